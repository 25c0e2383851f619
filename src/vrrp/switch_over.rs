//! The operator's orders: a switch-over, by which a master hands on without a gap, its end, and maintenance, which
//! keeps a router out of the election whatever happens to the others.

use core::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::master::Mastership;
use super::router::{Output, Phase, VirtualRouter};
use super::router_core::Core;
use super::timing::skew_time;
use super::{Cause, FaultReason, ReportKind};
use crate::time::{Duration, Instant, Now};
use crate::wire::vrrp::Priority;

/// Whom an order is for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Whom {
    /// All virtual routers.
    All,
    /// The virtual router of this name with all of its sync group, or the sync group of this name.
    Named(Arc<str>),
}

/// The order to hand over.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SwitchOver {
    /// To whom it is given.
    pub whom: Whom,
    /// How long the higher priority of who handed over does not count, unless the successor fails; until it is switched
    /// back, if absent.
    pub hold: Option<Duration>,
}

impl SwitchOver {
    /// To all, until they are switched back.
    pub const ALL: Self = Self { whom: Whom::All, hold: None };
}

/// What a router makes of the order to hand over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HandsOver {
    /// It hands over: priority 0 is sent.
    Begun,
    /// It was handing over already.
    Already,
    /// It is not master.
    NotMaster,
    /// It owns the addresses, or somebody in its sync group does: refused.
    Owner,
}

/// The operator switched over: the router's higher priority does not count until its successor fails.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Hold {
    /// Or until then.
    pub(super) until: Option<Instant>,
}

/// Priority 0 is sent, no successor was heard yet.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Handover {
    begun: Instant,
    /// Nobody will take over after that.
    pub(super) give_up: Instant,
    /// What follows.
    then: Hold,
}

/// Whether the operator keeps the router out of the election.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Maintenance {
    #[default]
    Off,
    /// It is master still, and hands over.
    Ordered,
    InForce,
}

impl VirtualRouter {
    /// The operator's switch-over: priority 0, no more advertisements, but the addresses stay until the
    /// successor is heard, at most for `patience`: its own, or the longest in its sync group, since the successor
    /// waits for all of its members. Does nothing unless master. `hold`: see [`SwitchOver::hold`].
    pub fn switch_over(
        &mut self,
        now: Now,
        hold: Option<Duration>,
        patience: Duration,
        out: &mut Output<'_>,
    ) -> HandsOver {
        let Self { core, phase } = self;
        let then = Hold { until: hold.map(|hold| now.instant + hold) };
        match phase {
            Phase::Master(_) if core.priority.get().is_owner() => {
                core.report(ReportKind::SwitchOverRefused, out);
                HandsOver::Owner
            }
            Phase::Master(mastership) => mastership.hand_over(core, now, then, patience, out),
            Phase::Initialize | Phase::Backup(_) | Phase::Fault => HandsOver::NotMaster,
        }
    }

    /// How long a successor may need until it is heard: one interval and the longest skew time.
    pub(crate) fn patience(&self) -> Duration {
        let interval = self.core.config.interval;
        interval.duration() + skew_time(self.core.config.version, Priority(1), interval)
    }

    /// The others of its sync group switch over, and it is no master: it shall not make them come back before time.
    pub(crate) fn hold_back(&mut self, now: Now, hold: Option<Duration>) {
        if matches!(self.phase, Phase::Backup(_)) {
            self.core.hold = Some(Hold { until: hold.map(|hold| now.instant + hold) });
        }
    }

    /// The operator ends a switch-over: takes back mastership from a master of lower priority, at once; before a
    /// successor is heard, goes on as master.
    pub fn switch_back(&mut self, now: Now, out: &mut Output<'_>) {
        let Self { core, phase } = self;
        if let Phase::Master(mastership) = phase
            && mastership.hands_over()
        {
            // Who leaves for maintenance goes on with that.
            if core.maintenance == Maintenance::Off {
                mastership.resume(core, now, ReportKind::SwitchOverEnded, out);
            }
            return;
        }
        self.return_to_preemption();
    }

    /// The time is over for which the operator switched over.
    pub(super) fn end_hold(&mut self, out: &mut Output<'_>) {
        self.core.report(ReportKind::HoldEnded, out);
        self.return_to_preemption();
    }

    fn return_to_preemption(&mut self) {
        let Self { core, phase } = self;
        if core.hold.take().is_none() || !core.config.preempt {
            return;
        }
        if let Phase::Backup(backup) = phase
            && backup.master.is_some_and(|(_, priority)| priority < core.priority.get())
        {
            backup.wish(Cause::SwitchBack);
        }
    }

    /// The operator takes it out of the election: a master hands over first, and leaves whether anybody takes over or
    /// not. `patience`: as for [`VirtualRouter::switch_over`].
    pub fn begin_maintenance(&mut self, now: Now, patience: Duration, out: &mut Output<'_>) {
        let Self { core, phase } = self;
        if let Phase::Master(mastership) = phase {
            core.maintenance = Maintenance::Ordered;
            mastership.hand_over(core, now, Hold { until: None }, patience, out);
            return;
        }
        core.maintenance = Maintenance::InForce;
        core.hold = None;
        self.update_faults(now, out);
    }

    /// The operator keeps it out of the election from its start on.
    pub(crate) const fn start_under_maintenance(&mut self) {
        self.core.maintenance = Maintenance::InForce;
    }

    /// The operator has switched it over before its start.
    pub(crate) const fn start_switched_over(&mut self, until: Option<Instant>) {
        self.core.hold = Some(Hold { until });
    }

    /// It takes part again.
    pub fn end_maintenance(&mut self, now: Now, out: &mut Output<'_>) {
        let Self { core, phase } = self;
        let before = core::mem::take(&mut core.maintenance);
        match phase {
            Phase::Master(mastership) if before == Maintenance::Ordered && mastership.hands_over() => {
                mastership.resume(core, now, ReportKind::SwitchOverEnded, out);
            }
            _ => self.update_faults(now, out),
        }
    }

    /// Nobody has taken over.
    pub(super) fn give_up_handover(&mut self, now: Now, out: &mut Output<'_>) {
        let Self { core, phase } = self;
        let Phase::Master(mastership) = phase else { return };
        if core.maintenance == Maintenance::Off {
            return mastership.resume(core, now, ReportKind::SwitchOverAbandoned, out);
        }
        core.report(ReportKind::NobodyTookOver, out);
        self.yield_mastership(now, Cause::Fault(FaultReason::Maintenance), out);
    }

    /// Whether the router is handing over to a successor (switch-over).
    pub const fn is_switching_over(&self) -> bool {
        matches!(&self.phase, Phase::Master(mastership) if mastership.hands_over())
    }

    /// Whether a switch-over keeps the router from preempting.
    pub const fn has_yielded(&self) -> bool {
        self.core.hold.is_some()
    }

    /// Until when, if there is an end.
    pub fn yields_until(&self) -> Option<Instant> {
        self.core.hold?.until
    }

    /// Whether maintenance keeps it out of the election.
    pub fn is_under_maintenance(&self) -> bool {
        self.core.maintenance == Maintenance::InForce
    }
}

impl Core {
    /// A mastership ends: from now on maintenance holds that was ordered during it.
    pub(super) fn begin_ordered_maintenance(&mut self) -> bool {
        let begins = self.maintenance == Maintenance::Ordered;
        if begins {
            self.maintenance = Maintenance::InForce;
            self.hold = None;
        }
        begins
    }
}

impl Mastership {
    /// Whether a switch-over is under way.
    pub(super) const fn hands_over(&self) -> bool {
        self.handover.is_some()
    }

    fn hand_over(
        &mut self,
        core: &mut Core,
        now: Now,
        then: Hold,
        patience: Duration,
        out: &mut Output<'_>,
    ) -> HandsOver {
        if let Some(handover) = &mut self.handover {
            handover.then = then;
            return HandsOver::Already;
        }
        let give_up = now.instant + patience;
        self.handover = Some(Handover { begun: now.instant, give_up, then });
        core.send_leaving(now, out);
        core.report(ReportKind::SwitchOverBegun, out);
        HandsOver::Begun
    }

    /// A successor is heard; gives why the mastership ends.
    pub(super) fn hear_successor(
        &self,
        handover: Handover,
        core: &mut Core,
        now: Now,
        successor: IpAddr,
        out: &mut Output<'_>,
    ) -> Cause {
        let after = now.instant.saturating_since(handover.begun);
        core.report(ReportKind::SwitchedOver { successor, after }, out);
        core.hold = Some(handover.then);
        Cause::SwitchOver { successor }
    }

    /// Whose group has handed over before it heard a successor of its own.
    pub(super) fn hold_of_handover(&self) -> Hold {
        self.handover.map_or(Hold { until: None }, |handover| handover.then)
    }

    /// The switch-over ends without a successor: master as before.
    pub(super) fn resume(&mut self, core: &mut Core, now: Now, why: ReportKind, out: &mut Output<'_>) {
        self.handover = None;
        core.report(why, out);
        self.advertise_now(core, now, out);
    }
}
