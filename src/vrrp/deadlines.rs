//! Everything that a router waits for, and the one place where it is served.

use super::abstention::Return;
use super::router::{Output, Phase, VirtualRouter};
use super::{Cause, FaultReason, ReportKind};
use crate::time::{Duration, Instant, Now};

/// No address is said to be missing sooner, however short a master-down time is.
const LACKING_MIN: Duration = Duration::from_secs(3);

/// A kind of deadline.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Deadline {
    /// `Master_Down_Timer` of a backup.
    MasterDown,
    /// `Adver_Timer` of a master.
    Advertise,
    /// A rival or a router that left is answered, which it could not be at once.
    Answer,
    /// The second block of announcements, after an election, a rival or a stall.
    AnnounceAgain,
    /// `garp_master_refresh`.
    Refresh,
    /// `garp_extra_if`.
    AnnounceElsewhere,
    /// The addresses are announced over a rival, which they could not be at once.
    AnnounceOverRival,
    /// Other masters that are heard, or are no longer, are told.
    TellRivals,
    /// Nobody took over from a master that hands over.
    GiveUpHandover,
    /// The time is over for which the operator switched over.
    EndHold,
    /// What the kernel holds is compared with what is wanted.
    JudgeAddresses,
    /// The same of routes and rules.
    JudgeRouting,
    /// An address that another host had is tried again.
    DetectAgain,
    /// An address has been missing for too long.
    AddressMissing,
    /// A route or a rule has been.
    RoutingMissing,
    /// The router has stood back for long enough, or nobody else is there.
    EndAbstention,
    /// The number of reports left out is told.
    TellLeftOut,
}

impl Deadline {
    /// All, in the order in which those are served that are due together. The hand-over comes behind what it holds up.
    const ALL: [Self; 17] = [
        Self::MasterDown,
        Self::Advertise,
        Self::Answer,
        Self::AnnounceAgain,
        Self::Refresh,
        Self::AnnounceElsewhere,
        Self::AnnounceOverRival,
        Self::TellRivals,
        Self::GiveUpHandover,
        Self::EndHold,
        Self::JudgeAddresses,
        Self::JudgeRouting,
        Self::DetectAgain,
        Self::AddressMissing,
        Self::RoutingMissing,
        Self::EndAbstention,
        Self::TellLeftOut,
    ];
}

impl VirtualRouter {
    /// When [`VirtualRouter::handle_timeout`] shall be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        Deadline::ALL.into_iter().filter_map(|deadline| self.deadline(deadline)).min()
    }

    /// Serves what is due: advertisements due until `horizon`, everything else until now.
    pub fn handle_timeout(&mut self, now: Now, horizon: Instant, out: &mut Output<'_>) {
        for deadline in Deadline::ALL {
            let until = if deadline == Deadline::Advertise { horizon } else { now.instant };
            if self.deadline(deadline).is_some_and(|at| at <= until) {
                self.serve(deadline, now, out);
            }
        }
    }

    fn deadline(&self, deadline: Deadline) -> Option<Instant> {
        let Self { core, phase } = self;
        let backup = if let Phase::Backup(backup) = phase { Some(backup) } else { None };
        let master = if let Phase::Master(mastership) = phase { Some(mastership) } else { None };
        // A master that hands over neither advertises nor announces until it knows the outcome.
        let at_work = master.filter(|mastership| !mastership.hands_over());
        match deadline {
            Deadline::MasterDown => backup.map(|backup| backup.master_down),
            Deadline::Advertise => at_work.map(|mastership| mastership.next_advert),
            Deadline::Answer => at_work?.answer_due,
            Deadline::AnnounceAgain => at_work?.second_block.map(|block| block.at),
            Deadline::Refresh => at_work?.refresh,
            Deadline::AnnounceElsewhere => at_work?.extra,
            Deadline::AnnounceOverRival => at_work?.rival_due,
            Deadline::TellRivals => at_work?.rivals.poll_timeout(),
            Deadline::GiveUpHandover => master?.handover.map(|handover| handover.give_up),
            Deadline::EndHold => core.hold?.until,
            Deadline::JudgeAddresses => core.addresses.poll_timeout(),
            Deadline::JudgeRouting => core.routing.poll_timeout(),
            Deadline::DetectAgain => core.detections.poll_timeout(),
            Deadline::AddressMissing => core.addresses.lacking_timeout(self.lacking_limit()?),
            Deadline::RoutingMissing => core.routing.lacking_timeout(self.lacking_limit()?),
            Deadline::EndAbstention => core.abstention.poll_timeout(),
            Deadline::TellLeftOut => core.limits.poll_timeout(),
        }
    }

    fn serve(&mut self, deadline: Deadline, now: Now, out: &mut Output<'_>) {
        let lacking_limit = self.lacking_limit();
        let Self { core, phase } = self;
        match (deadline, phase) {
            (Deadline::MasterDown, Phase::Backup(backup)) => backup.miss_master(core, now, out),
            (Deadline::Advertise, Phase::Master(mastership)) => mastership.advertise(core, now, out),
            (Deadline::Answer, Phase::Master(mastership)) => mastership.answer(core, now, out),
            (Deadline::AnnounceAgain | Deadline::Refresh, Phase::Master(mastership)) => {
                mastership.announce_again(core, now, out);
            }
            (Deadline::AnnounceElsewhere, Phase::Master(mastership)) => {
                mastership.announce_elsewhere(core, now, out);
            }
            (Deadline::AnnounceOverRival, Phase::Master(mastership)) => {
                mastership.announce_over_rival(core, now, out);
            }
            (Deadline::TellRivals, Phase::Master(mastership)) => mastership.tell_rivals(core, now, out),
            (Deadline::GiveUpHandover, _) => self.give_up_handover(now, out),
            (Deadline::EndHold, _) => self.end_hold(out),
            (Deadline::JudgeAddresses, _) => core.judge_addresses(now, out),
            (Deadline::JudgeRouting, _) => core.judge_routing(now, out),
            (Deadline::DetectAgain, _) => core.detect_again(out),
            (Deadline::AddressMissing, _) => {
                let missing = lacking_limit.and_then(|limit| core.addresses.take_lacking(now.instant, limit));
                if let Some((_, prefix)) = missing {
                    self.abstain(now, FaultReason::AddressMissing(prefix), out);
                }
            }
            (Deadline::RoutingMissing, _) => {
                let missing = lacking_limit.and_then(|limit| core.routing.take_lacking(now.instant, limit));
                if let Some(object) = missing {
                    self.abstain(now, FaultReason::RoutingMissing(object), out);
                }
            }
            (Deadline::EndAbstention, _) => self.come_back(now, out),
            (Deadline::TellLeftOut, _) => {
                for (what, count) in core.limits.take_due(now.instant) {
                    core.report(ReportKind::LeftOut { what, count }, out);
                }
            }
            // Those of a state that the router is not in: they never are due.
            (
                Deadline::MasterDown
                | Deadline::Advertise
                | Deadline::Answer
                | Deadline::AnnounceAgain
                | Deadline::Refresh
                | Deadline::AnnounceElsewhere
                | Deadline::AnnounceOverRival
                | Deadline::TellRivals,
                _,
            ) => {}
        }
    }

    /// How long an address may be missing though it was asked for, before another router shall try; `None` unless
    /// master.
    fn lacking_limit(&self) -> Option<Duration> {
        matches!(self.phase, Phase::Master(_)).then(|| self.core.master_down_interval().max(LACKING_MIN))
    }

    fn come_back(&mut self, now: Now, out: &mut Output<'_>) {
        let Some(back) = self.core.end_abstention(now) else { return };
        self.update_faults(now, out);
        if back == Return::Alone
            && let Phase::Backup(backup) = &mut self.phase
        {
            backup.wish(Cause::NobodyElse);
        }
    }
}
