//! The changes of state: every arrow of the picture in [`super`], and nothing else, is here.

use std::sync::Arc;

use super::backup::Backup;
use super::initialize::Start;
use super::master::Mastership;
use super::router::{Output, Phase, VirtualRouter};
use super::switch_over::Maintenance;
use super::{Cause, FaultReason, ReportKind, State, Transition};
use crate::time::{Duration, Instant, Now};

impl VirtualRouter {
    /// Leaves Initialize (RFC 9568 §6.4.1) as soon as the surroundings are known: to Backup, or to Fault. If a
    /// predecessor was killed, `silent_since` tells when. The members of a sync group start when all can.
    pub fn start(&mut self, now: Now, silent_since: Option<Instant>, out: &mut Output<'_>) {
        if self.core.group.is_none() {
            self.start_now(now, silent_since, out);
        }
    }

    /// The same for a member that its group has told to.
    pub(super) fn start_now(&mut self, now: Now, silent_since: Option<Instant>, out: &mut Output<'_>) {
        if self.state() != State::Initialize {
            return;
        }
        match self.core.start() {
            Start::NotYet => {}
            Start::InFault => self.enter_fault(now, out),
            Start::Backup(wait) => {
                self.enter_backup(now, wait, Cause::Startup, out);
                let silence = silent_since.map(|since| now.instant.saturating_since(since));
                if let Phase::Backup(backup) = &mut self.phase
                    && silence.is_some_and(|silence| self.core.succeeds(silence))
                {
                    backup.wish(Cause::Succession);
                }
            }
        }
    }

    /// Becomes master because of `cause`, whether that is an advertisement not heard or a word of the node's: of a
    /// backup (RFC 9568 §6.4.1 (110 to 140), §6.4.2 (345 to 375)), in any other state nothing happens. A router whose
    /// advertisements did not leave sends one first, and is master when that has left.
    ///
    /// What is done first is the order of [`Actions::carry_out`](super::Actions::carry_out).
    pub fn become_master(&mut self, now: Now, cause: Cause, out: &mut Output<'_>) {
        if self.state() != State::Backup {
            return;
        }
        // Who owns the addresses is their owner again where nobody else is.
        self.core.priority.set_lowered(false);
        self.core.send_advertisement(now, out);
        if self.core.sending.is_unproven() {
            return self.core.sending.await_proof(cause);
        }
        self.take_mastership(now, cause, out);
    }

    /// Becomes master; the first advertisement is sent.
    pub(super) fn take_mastership(&mut self, now: Now, cause: Cause, out: &mut Output<'_>) {
        let core = &mut self.core;
        core.master_interval = core.config.interval;
        core.hold = None;
        core.counters.became_master += 1;
        let (present, leftovers) = core.claim_addresses(out);
        core.claim_routing(out);
        let mastership = Mastership::new(core, now);
        self.transition(now, Phase::Master(mastership), cause, out);
        self.core.announce(present, self.core.config.announce.repeat.max(1), out);
        if leftovers > 0 {
            self.core.report(ReportKind::LeftoverAdopted { count: leftovers }, out);
        }
    }

    /// Ends a mastership because of `cause`, without another master's advertisement: says priority 0, gives up the
    /// addresses and waits for a master as a backup. In any other state nothing happens.
    pub fn step_down(&mut self, now: Now, cause: Cause, out: &mut Output<'_>) {
        let Phase::Master(mastership) = &self.phase else { return };
        if !mastership.hands_over() {
            self.core.send_leaving(now, out);
        }
        if matches!(cause.root(), Cause::SwitchOver { .. }) {
            self.core.hold = Some(mastership.hold_of_handover());
        }
        self.yield_mastership(now, cause, out);
    }

    /// Gives up the addresses and becomes backup, or leaves for maintenance; the other master needs no word.
    pub(super) fn yield_mastership(&mut self, now: Now, cause: Cause, out: &mut Output<'_>) {
        self.core.counters.released_master += 1;
        self.core.release_routing(out);
        self.core.release_addresses(out);
        if self.core.begin_ordered_maintenance() {
            self.core.renew_faults();
            return self.transition(now, Phase::Fault, Cause::Fault(FaultReason::Maintenance), out);
        }
        self.enter_backup(now, self.core.master_down_interval(), cause, out);
    }

    /// Enters Backup and waits `wait` for a master; an owner does not (RFC 9568 §6.4.1 (100)).
    fn enter_backup(&mut self, now: Now, wait: Duration, cause: Cause, out: &mut Output<'_>) {
        let owns = matches!(cause.root(), Cause::Startup | Cause::FaultCleared(_))
            && self.core.priority.get().is_owner();
        let mut backup = Backup::new(now, wait);
        if owns {
            backup.wish(Cause::Owner);
        }
        self.transition(now, Phase::Backup(backup), cause, out);
    }

    /// Computes the reasons for Fault anew, and enters or leaves it.
    pub(super) fn update_faults(&mut self, now: Now, out: &mut Output<'_>) {
        if self.state() == State::Initialize {
            return;
        }
        let Some(before) = self.core.renew_faults() else { return };
        match (self.state(), self.core.faults.is_empty()) {
            (State::Fault, true) => {
                let Some(last) = before.into_iter().next() else { return };
                self.core.master_interval = self.core.config.interval;
                self.enter_backup(now, self.core.master_down_interval(), Cause::FaultCleared(last), out);
            }
            (State::Fault, false) => {
                // Of the faults of other members these tell.
                if self.core.has_own_fault() {
                    self.core.report_faults(out);
                }
            }
            (_, false) => self.enter_fault(now, out),
            (_, true) => {}
        }
    }

    /// Another member's fault holds from now on.
    pub(super) fn impose(&mut self, now: Now, fault: FaultReason, out: &mut Output<'_>) {
        self.core.imposed = Some(fault);
        if self.state() != State::Initialize
            && self.core.renew_faults().is_some()
            && self.state() != State::Fault
        {
            self.enter_fault(now, out);
        }
    }

    /// No other member's fault holds from now on, because of `cause`. Who has faults of its own has told of these.
    pub(super) fn clear_imposed(&mut self, now: Now, cause: Cause, out: &mut Output<'_>) {
        self.core.imposed = None;
        if self.state() != State::Initialize
            && self.core.renew_faults().is_some()
            && self.state() == State::Fault
            && self.core.faults.is_empty()
        {
            self.core.master_interval = self.core.config.interval;
            self.enter_backup(now, self.core.master_down_interval(), cause, out);
        }
    }

    /// Enters Fault: a master says that it leaves, as far as it still can be heard, and gives up its addresses.
    fn enter_fault(&mut self, now: Now, out: &mut Output<'_>) {
        self.say_leaving(now, out);
        self.core.release_routing(out);
        self.core.release_addresses(out);
        let Some(first) = self.core.faults.first().cloned() else { return };
        self.transition(now, Phase::Fault, Cause::Fault(first), out);
        if self.core.begin_ordered_maintenance() {
            self.core.renew_faults();
        }
        if self.core.faults.len() > 1 {
            self.core.report_faults(out);
        }
    }

    /// Ends the router: a master sends priority 0 first. With `keep_addresses` (`-V`) the kernel is left as
    /// it is.
    pub fn stop(&mut self, now: Now, cause: Cause, keep_addresses: bool, out: &mut Output<'_>) {
        self.say_leaving(now, out);
        if keep_addresses {
            self.core.addresses.abandon();
            self.core.routing.abandon();
        } else {
            self.core.release_routing(out);
            self.core.release_addresses(out);
        }
        self.transition(now, Phase::Initialize, cause, out);
    }

    /// A master's last word.
    fn say_leaving(&mut self, now: Now, out: &mut Output<'_>) {
        if let Phase::Master(mastership) = &self.phase {
            // Who has said so already, and was obeyed, need not say it once more to its successor.
            if !(mastership.hands_over() && self.core.maintenance == Maintenance::Ordered) {
                self.core.send_leaving(now, out);
            }
            self.core.counters.released_master += 1;
        }
    }

    fn transition(&mut self, now: Now, to: Phase, cause: Cause, out: &mut Output<'_>) {
        let from = self.state();
        if let Phase::Master(mastership) = &self.phase {
            self.core.counters.two_masters += mastership.rivals.together(now.instant);
        }
        self.phase = to;
        self.core.last_transition = now.wall;
        self.core.last_cause = Some(cause.clone());
        out.actions.transition(Transition {
            router: self.core.id,
            name: Arc::clone(&self.core.config.name),
            from,
            to: self.state(),
            cause,
            priority: self.core.priority.get(),
        });
    }
}
