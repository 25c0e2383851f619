//! Scheduling of the worker, as the settings have them.

use std::thread::JoinHandle;

use super::configuration::ProcessSettings;
use crate::sys::realtime::{self, Loan};
use crate::time::Duration;

/// Applies what holds for the whole process; threads started later inherit it. `of`: the first word of the keywords.
pub(super) fn apply(settings: &ProcessSettings, of: &str) {
    let nice = settings.nice.map(|nice| ("priority", realtime::set_nice(nice)));
    let limit = settings.realtime_limit_us.map(|us| ("rlimit_rttime", realtime::limit_realtime(us)));
    let processors = (!settings.processors.is_empty())
        .then(|| ("cpu_affinity", realtime::set_affinity(&settings.processors)));
    for (keyword, result) in [nice, limit, processors].into_iter().flatten() {
        if let Err(error) = result {
            tracing::warn!("{of}_{keyword} cannot be applied: {error}");
        }
    }
}

/// The real-time scheduling of the vrrp thread, and what it lends of it.
#[derive(Debug)]
pub(super) struct RealtimeScheduling {
    vrrp_thread: JoinHandle<()>,
    loan: Loan,
    /// Priority in force.
    priority: Option<u8>,
    /// The kernel did not allow a higher one.
    at_its_limit: bool,
}

impl RealtimeScheduling {
    /// Of this thread, which is an ordinary one yet and lends nothing.
    pub(super) const fn new(vrrp_thread: JoinHandle<()>, loan: Loan) -> Self {
        Self { vrrp_thread, loan, priority: None, at_its_limit: false }
    }

    /// Gives the thread this priority (1 to 99), or makes it an ordinary one. False, and said so, where that is
    /// not allowed.
    pub(super) fn set(&mut self, priority: Option<u8>) -> bool {
        // The advertisements of some routers go before the addresses of others.
        self.loan.set_priority(priority.map(|priority| priority.saturating_sub(1).max(1)));
        match realtime::schedule_thread(&self.vrrp_thread, priority) {
            Ok(()) => {
                (self.priority, self.at_its_limit) = (priority, false);
                true
            }
            Err(error) => {
                self.at_its_limit = true;
                tracing::warn!(
                    "no real-time scheduling for the thread that sends advertisements: {error}; on a busy machine \
                     they may be late (allow it with CAP_SYS_NICE or RLIMIT_RTPRIO, or switch it off with \
                     --realtime=off)"
                );
                false
            }
        }
    }

    /// A timer of the thread was served so late that its priority goes up by one, if it may (`max_auto_priority`).
    pub(super) fn note_late(&mut self, late: Duration, max: u8) {
        let next = self.priority.map_or(1, |priority| priority.saturating_add(1));
        if next > max || self.at_its_limit {
            return;
        }
        if self.set(Some(next)) {
            tracing::warn!(
                "a timer was served {:.3} s late: real-time priority {next} for the thread that sends advertisements \
                 (max_auto_priority {max})",
                late.as_secs_f64()
            );
        }
    }
}
