//! What this host lacked, for the log: one line, not one for each check.

use crate::sys::clock;
use crate::time::{Duration, Instant};

/// At most one line in this time.
const PAUSE: Duration = Duration::from_secs(60);

/// Attempts that could not be made.
#[derive(Debug, Default)]
pub(super) struct Lacks {
    count: u64,
    why: String,
    last: Option<Instant>,
}

impl Lacks {
    pub(super) fn note(&mut self, why: &str) {
        if self.count == 0 {
            why.clone_into(&mut self.why);
        }
        self.count += 1;
    }

    /// Logs what was noted, if that is due.
    pub(super) fn report(&mut self) {
        if self.count == 0 {
            return;
        }
        let now = clock::now().instant;
        if self.last.is_some_and(|last| now.saturating_since(last) < PAUSE) {
            return;
        }
        self.last = Some(now);
        let count = core::mem::take(&mut self.count);
        tracing::error!(
            "{count} tries of checks could not be made, which counts neither for nor against their servers: {}",
            self.why
        );
    }
}
