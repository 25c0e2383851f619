//! Whether advertisements leave the machine, as the driver tells.

use serde::{Deserialize, Serialize};

use super::router::{Output, Phase, VirtualRouter};
use super::{Cause, FaultReason, ReportKind, SendObstacle, State};
use crate::time::{Instant, Now};

/// What is known of the last attempts to send.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Sending {
    failing: Option<Failing>,
    proof: Proof,
}

/// Whether a router that stood back because its advertisements did not leave has to show that they do before it is
/// master: hosts would believe its announcements, and the master at work would not hear of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
enum Proof {
    #[default]
    NotNeeded,
    Needed,
    /// An advertisement is sent, as the first one of a master, and what became of it is not known yet.
    Awaited(Cause),
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Failing {
    since: Instant,
    failed: u64,
}

impl Sending {
    /// The next failure is the first. `unproven`: sending has to succeed before the router is master again.
    pub(super) fn begin_again(&mut self, unproven: bool) {
        self.failing = None;
        if unproven {
            self.proof = Proof::Needed;
        }
    }

    /// Nobody else is there: no proof is needed.
    pub(super) fn need_no_proof(&mut self) {
        self.proof = Proof::NotNeeded;
    }

    pub(super) const fn is_unproven(&self) -> bool {
        !matches!(self.proof, Proof::NotNeeded)
    }

    pub(super) const fn awaits_proof(&self) -> bool {
        matches!(self.proof, Proof::Awaited(_))
    }

    /// An advertisement is on its way; if it leaves, the router becomes master for this reason.
    pub(super) fn await_proof(&mut self, cause: Cause) {
        self.proof = Proof::Awaited(cause);
    }

    fn take_awaited(&mut self) -> Option<Cause> {
        match core::mem::replace(&mut self.proof, Proof::NotNeeded) {
            Proof::Awaited(cause) => Some(cause),
            other => {
                self.proof = other;
                None
            }
        }
    }
}

impl VirtualRouter {
    /// Whether the driver has to tell of advertisements that were sent, too.
    pub const fn is_send_failing(&self) -> bool {
        self.core.sending.failing.is_some() || matches!(self.core.sending.proof, Proof::Awaited(_))
    }

    /// An advertisement of this router was sent to at least one destination.
    pub fn on_sent(&mut self, now: Now, out: &mut Output<'_>) {
        if let Some(cause) = self.core.sending.take_awaited()
            && self.state() == State::Backup
        {
            self.take_proven_mastership(now, cause, out);
        }
        let Some(failing) = self.core.sending.failing.take() else { return };
        let after = now.instant.saturating_since(failing.since);
        let interface = self.core.config.interfaces.sends_by().cloned();
        self.core.report(ReportKind::SendWorks { interface, after, failed: failing.failed }, out);
        // What kept the advertisements may have kept the announcements.
        if let Phase::Master(mastership) = &mut self.phase {
            mastership.announce_all(&self.core, now, out);
        }
    }

    /// The kernel refused to send an advertisement of this router to any destination. A master whose advertisements
    /// do not leave is none for the others: after a master-down time they elect one, and this one stands back.
    pub fn on_send_failed(&mut self, now: Now, obstacle: SendObstacle, out: &mut Output<'_>) {
        self.core.counters.send_failures += 1;
        if let Some(cause) = self.core.sending.take_awaited() {
            return self.on_proof_failed(now, cause, obstacle, out);
        }
        if self.state() != State::Master {
            return;
        }
        let interface = self.core.config.interfaces.sends_by().cloned();
        let Some(failing) = &mut self.core.sending.failing else {
            self.core.sending.failing = Some(Failing { since: now.instant, failed: 1 });
            self.core.report(ReportKind::SendFailing { interface, obstacle }, out);
            return;
        };
        failing.failed = failing.failed.saturating_add(1);
        let lasts = now.instant.saturating_since(failing.since);
        if lasts >= self.core.master_down_interval() {
            self.hand_on_unsent(now, obstacle, out);
        }
    }

    /// The advertisement that a router sent to see whether it can be master did not leave.
    fn on_proof_failed(&mut self, now: Now, cause: Cause, obstacle: SendObstacle, out: &mut Output<'_>) {
        if self.state() != State::Backup {
            self.core.sending.begin_again(true);
        } else if !self.hand_on_unsent(now, obstacle, out) {
            self.core.sending.failing = Some(Failing { since: now.instant, failed: 1 });
            self.take_proven_mastership(now, cause, out);
        }
    }

    /// Stands back, unless nobody else is there, or the router wants to be master without the interface.
    fn hand_on_unsent(&mut self, now: Now, obstacle: SendObstacle, out: &mut Output<'_>) -> bool {
        let interface = self.core.config.interfaces.sends_by().cloned();
        let usable = interface.as_ref().is_none_or(|name| {
            self.core.environment.interface(name).is_some_and(|interface| interface.usable)
        });
        (usable || self.core.config.track_primary)
            && self.abstain(now, FaultReason::NotSending(interface, obstacle), out)
    }
}
