//! Whether advertisements leave the machine, as the driver tells.

use super::router::{Output, Phase, VirtualRouter};
use super::{FaultReason, ReportKind, SendObstacle};
use crate::time::{Instant, Now};

/// What is known of the last attempts to send.
#[derive(Clone, Debug, Default)]
pub(super) struct Sending {
    failing: Option<Failing>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Instant,
    failed: u64,
}

impl Sending {
    /// The next failure is the first.
    pub(super) const fn forget(&mut self) {
        self.failing = None;
    }
}

impl VirtualRouter {
    /// Whether the driver has to tell of advertisements that were sent, too.
    pub const fn is_send_failing(&self) -> bool {
        self.sending.failing.is_some()
    }

    /// An advertisement of this router was sent to at least one destination.
    pub fn on_sent(&mut self, now: Now, out: &mut Output<'_>) {
        let Some(failing) = self.sending.failing.take() else { return };
        let after = now.instant.saturating_since(failing.since);
        let interface = self.config.interfaces.transmit.clone();
        self.report(ReportKind::SendWorks { interface, after, failed: failing.failed }, out);
    }

    /// The kernel refused to send an advertisement of this router to any destination. A master whose advertisements
    /// do not leave is none for the others: after a master-down time they elect one, and this one stands back.
    pub fn on_send_failed(&mut self, now: Now, obstacle: SendObstacle, out: &mut Output<'_>) {
        self.counters.send_failures += 1;
        if !matches!(self.phase, Phase::Master(_)) {
            return;
        }
        let interface = self.config.interfaces.transmit.clone();
        let Some(failing) = &mut self.sending.failing else {
            self.sending.failing = Some(Failing { since: now.instant, failed: 1 });
            self.report(ReportKind::SendFailing { interface, obstacle }, out);
            return;
        };
        failing.failed = failing.failed.saturating_add(1);
        let lasts = now.instant.saturating_since(failing.since);
        // Who does not track the interface wants to be master without it.
        let usable = self.environment.interface(&interface).is_some_and(|interface| interface.usable);
        if lasts >= self.master_down_interval() && (usable || self.config.track_primary) {
            self.abstain(now, FaultReason::NotSending(interface, obstacle), out);
        }
    }
}
