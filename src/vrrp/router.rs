//! A virtual router: what its node tells it, and who of its parts is concerned.
//!
//! The states of RFC 9568 §6.4 are in [`super::backup`], [`super::master`] and [`super::fault`], the changes between
//! them in [`super::transitions`], what they wait for in [`super::deadlines`]; receipt (§7.1) is in
//! [`super::receive`], transmission (§7.2) in [`super::transmit`].

use core::net::IpAddr;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::backup::Backup;
use super::environment::Environment;
use super::master::{Mastership, Verdict};
use super::ownership::{Known, locate, wishes};
use super::peers::PeerTable;
use super::priority::EffectivePriority;
use super::router_core::Core;
use super::timing::master_down_interval;
use super::{
    Actions, AnnouncementQueue, Cause, Counters, Datagram, FaultReason, ReportKind, Reservation, Rival,
    RouterConfig, State, Tracked,
};
use crate::kernel::RouterId;
use crate::time::{Duration, Instant, Now, WallTime};
use crate::wire::vrrp::{AdvertisementInterval, Message, Priority, Rejection};

/// Where a router puts what it wants done.
#[derive(Debug)]
pub struct Output<'a> {
    /// For the driver.
    pub actions: &'a mut Actions,
    /// Announcements, which the node paces.
    pub announcements: &'a mut AnnouncementQueue,
}

/// One virtual router: its core, which its states work on, and its state.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct VirtualRouter {
    pub(super) core: Core,
    pub(super) phase: Phase,
}

/// A state with its data.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Phase {
    Initialize,
    Backup(Backup),
    Master(Mastership),
    Fault,
}

impl VirtualRouter {
    /// A router that has not started.
    pub fn new(id: RouterId, config: RouterConfig) -> Self {
        Self { core: Core::new(id, config), phase: Phase::Initialize }
    }

    /// Takes a message for this virtual router.
    pub fn handle_datagram(&mut self, now: Now, datagram: &Datagram<'_>, out: &mut Output<'_>) {
        match self.phase {
            Phase::Initialize | Phase::Fault => self.core.overhear(now, datagram, out),
            Phase::Backup(_) | Phase::Master(_) => match self.core.receive(now, datagram, out) {
                Ok(message) => self.hear(now, datagram.source, &message, out),
                Err(Rejection::TrailerStale { authentic: true, .. }) if self.state() == State::Master => {
                    self.core.counters.second_masters += 1;
                }
                Err(_) => {}
            },
        }
    }

    fn hear(&mut self, now: Now, from: IpAddr, advertisement: &Message<'_>, out: &mut Output<'_>) {
        if let Phase::Master(mastership) = &mut self.phase {
            self.core.note_company(now, advertisement);
            match mastership.hear(&mut self.core, now, from, advertisement, out) {
                Verdict::Stays => {}
                Verdict::Yields(cause) => self.yield_mastership(now, cause, out),
                Verdict::StepsDown(cause) => self.step_down(now, cause, out),
            }
        }
        // Whoever has just yielded follows the master that it yielded to.
        if let Phase::Backup(backup) = &mut self.phase {
            backup.hear(&mut self.core, now, from, advertisement, out);
        }
    }

    /// Takes a change of the interfaces, the source address or the receive socket. `known` tells what the
    /// kernel holds, for interfaces that are new.
    pub fn set_environment(
        &mut self,
        now: Now,
        environment: Environment,
        known: Known<'_>,
        out: &mut Output<'_>,
    ) {
        let before = &self.core.environment;
        if before.source != environment.source {
            if environment.source.is_none() && self.state() == State::Master {
                // A fault: the last word is still said from the address that the others know.
                self.core.send_leaving(now, out);
            }
            self.core.outgoing.forget();
        }
        let before = &self.core.environment;
        let announce = before.is_to_be_announced_in(&environment);
        if before.sends_otherwise(&environment, self.core.config.interfaces.sends_by())
            && matches!(self.core.abstention.reason(), Some(FaultReason::NotSending(..)))
        {
            self.core.try_again(now);
        }
        self.core.environment = environment;
        self.core.locate_addresses(known, out);
        self.update_faults(now, out);
        if announce && let Phase::Master(mastership) = &mut self.phase {
            mastership.announce_all(&self.core, now, out);
        }
    }

    /// Exchanges the configuration for another one. What did not change is not touched: an equal configuration yields no
    /// action at all. With it the trackers' words, if these are other ones from then on: the priority changes once, and no
    /// timer follows one that the router has neither before nor after.
    pub fn reconfigure(
        &mut self,
        now: Now,
        config: &mut RouterConfig,
        tracked: Option<Tracked>,
        environment: Environment,
        known: Known<'_>,
        out: &mut Output<'_>,
    ) {
        if self.core.config == *config {
            if let Some(tracked) = tracked {
                self.set_tracked(now, tracked, out);
            }
            return self.set_environment(now, environment, known, out);
        }
        let started = self.state() != State::Initialize;
        let core = &mut self.core;
        core::mem::swap(&mut core.config, config);
        let before = &*config;
        let from = core.priority.get();
        core.priority.set_base(core.config.priority);
        if let Some(tracked) = tracked {
            core.take_tracked(tracked);
        }
        let to = core.priority.get();
        if started && from != to {
            core.report(ReportKind::PriorityChanged { from, to }, out);
        }
        core.outgoing.forget();
        core.compared = None;
        core.peers.forget_told();
        core.old_checksum_peers.clear();
        // The operator may have mended what was wrong.
        core.try_again(now);
        if before.interval != core.config.interval {
            core.master_interval = core.config.interval;
        }
        let mut changes = Vec::new();
        core.detections.reconfigure(&core.config);
        core.priority.set_lowered(false);
        core.addresses.reconfigure(wishes(&core.config), &locate(&environment), known, &mut changes);
        if let Phase::Master(mastership) = &mut self.phase
            && !changes.is_empty()
        {
            mastership.plan_second_block(core, now);
        }
        core.request_addresses(changes, out);
        self.set_environment(now, environment, known, out);
        self.retime(now, before);
    }

    /// Adapts running timers to a changed configuration.
    fn retime(&mut self, now: Now, before: &RouterConfig) {
        let Self { core, phase } = self;
        match phase {
            Phase::Backup(backup) => backup.retime(core, now, before),
            Phase::Master(mastership) => {
                core.master_interval = core.config.interval;
                mastership.retime(core, now, &before.announce);
            }
            Phase::Initialize | Phase::Fault => {}
        }
    }

    /// The process stood still for `pause` past this router's deadline: if that is longer than a
    /// master-down time, another master may have been elected, so the router listens before it acts.
    pub fn notice_stall(&mut self, now: Now, pause: Duration, out: &mut Output<'_>) {
        if self.gives_up_after_stall(now, out) {
            return;
        }
        let Self { core, phase } = self;
        if pause <= core.master_down_interval() {
            return;
        }
        match phase {
            Phase::Initialize | Phase::Fault => return,
            Phase::Backup(backup) => backup.restart(core, now),
            Phase::Master(mastership) => mastership.listen_after_stall(core, now),
        }
        core.counters.stalls += 1;
        core.report(ReportKind::Stalled { pause }, out);
    }

    /// `timer_expired_backup`: a master that a router of that priority may have replaced becomes a backup.
    fn gives_up_after_stall(&mut self, now: Now, out: &mut Output<'_>) -> bool {
        let (Phase::Master(mastership), Some(priority)) =
            (&self.phase, self.core.config.timer_expired_backup)
        else {
            return false;
        };
        let interval = self.core.config.interval;
        let silence = interval.duration() + now.instant.saturating_since(mastership.next_advert);
        let RouterConfig { version, down_timer_adverts, .. } = self.core.config;
        if mastership.hands_over()
            || silence < master_down_interval(version, priority, interval, down_timer_adverts)
        {
            return false;
        }
        self.core.counters.stalls += 1;
        self.step_down(now, Cause::StoodStill { silence, priority }, out);
        true
    }

    /// Stamps are set aside for its advertisements.
    pub fn reserve_stamps(&mut self, reservation: Reservation) {
        self.core.authenticator.reserve(reservation);
    }

    /// Senders of signed advertisements (`auth_hmac`, anti-replay `time`) heard within a master-down time whose clock
    /// differs from ours by more than the window, and how far each is ahead, in microseconds. While we are master, each
    /// is a second one.
    pub fn outside_window(&self, now: Instant) -> impl Iterator<Item = (IpAddr, i64)> {
        self.core.authenticator.outside(now, self.master_down_interval())
    }

    /// Before the start: whether the process before was master, as it has said when it left for this one.
    pub(crate) const fn succeed_to(&mut self, was_master: bool) {
        self.core.was_master = Some(was_master);
    }

    /// Another process goes on for this one in a moment: a master says once more that it is there, so that nobody misses
    /// it meanwhile. True if it is one. Nothing is given up.
    pub(crate) fn leave_to_next(&mut self, now: Now, out: &mut Output<'_>) -> bool {
        let Phase::Master(mastership) = &self.phase else { return false };
        if mastership.hands_over() {
            return false;
        }
        self.core.send_advertisement(now, out);
        true
    }

    /// The wish to become master, if the router has one. The node answers with
    /// [`VirtualRouter::become_master`], at once for a router that is in no group.
    pub const fn take_wish(&mut self) -> Option<Cause> {
        match &mut self.phase {
            Phase::Backup(backup) => backup.take_wish(),
            Phase::Initialize | Phase::Master(_) | Phase::Fault => None,
        }
    }

    /// Identifier within the node.
    pub const fn id(&self) -> RouterId {
        self.core.id
    }

    /// Source address of its advertisements.
    pub const fn source(&self) -> Option<IpAddr> {
        self.core.environment.source
    }

    /// Current configuration.
    pub const fn config(&self) -> &RouterConfig {
        &self.core.config
    }

    /// Current state.
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Initialize => State::Initialize,
            Phase::Backup(_) => State::Backup,
            Phase::Master(_) => State::Master,
            Phase::Fault => State::Fault,
        }
    }

    /// Every reason of [`State::Fault`].
    pub const fn faults(&self) -> &BTreeSet<FaultReason> {
        &self.core.faults
    }

    /// Configured and effective priority.
    pub const fn priority(&self) -> &EffectivePriority {
        &self.core.priority
    }

    /// What the router has counted.
    pub const fn counters(&self) -> &Counters {
        &self.core.counters
    }

    /// Counters, for the driver's own observations and for setting them to zero.
    pub const fn counters_mut(&mut self) -> &mut Counters {
        &mut self.core.counters
    }

    /// Other masters heard while master, by address.
    pub fn rivals(&self) -> &[Rival] {
        match &self.phase {
            Phase::Master(mastership) => mastership.rivals.all(),
            Phase::Initialize | Phase::Backup(_) | Phase::Fault => &[],
        }
    }

    /// How long another master was heard while this one was master.
    pub fn two_masters(&self, now: Instant) -> Duration {
        let current = match &self.phase {
            Phase::Master(mastership) => mastership.rivals.together(now),
            Phase::Initialize | Phase::Backup(_) | Phase::Fault => Duration::ZERO,
        };
        self.core.counters.two_masters + current
    }

    /// The other routers heard.
    pub const fn peers(&self) -> &PeerTable {
        &self.core.peers
    }

    /// The master followed while in Backup: its address and priority.
    pub const fn master(&self) -> Option<(IpAddr, Priority)> {
        match &self.phase {
            Phase::Backup(backup) => backup.master,
            Phase::Initialize | Phase::Master(_) | Phase::Fault => None,
        }
    }

    /// Interval of the master followed, our own while master.
    pub const fn master_interval(&self) -> AdvertisementInterval {
        self.core.master_interval
    }

    /// Wall-clock time of the last change of state.
    pub const fn last_transition(&self) -> WallTime {
        self.core.last_transition
    }

    /// Why it changed its state last.
    pub const fn last_cause(&self) -> Option<&Cause> {
        self.core.last_cause.as_ref()
    }

    /// Time without advertisements after which a backup takes over.
    pub fn master_down_interval(&self) -> Duration {
        self.core.master_down_interval()
    }
}
