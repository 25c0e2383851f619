//! A yes or no that counts only when it has lasted: links that flap, processes that restart.

use serde::{Deserialize, Serialize};

use crate::time::{Duration, Instant};

/// What counts, and what may come to count.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Lasting {
    counts: bool,
    /// The opposite has been seen, and counts from then on.
    turns: Option<Instant>,
}

impl Lasting {
    /// Something that counts from the beginning.
    pub const fn new(counts: bool) -> Self {
        Self { counts, turns: None }
    }

    /// What counts.
    pub const fn get(self) -> bool {
        self.counts
    }

    /// When [`Lasting::handle_timeout`] wants to be called.
    pub const fn deadline(self) -> Option<Instant> {
        self.turns
    }

    /// Something was seen that counts when it has lasted for `delay`. Returns whether it does already.
    #[must_use]
    pub fn see(&mut self, now: Instant, value: bool, delay: Duration) -> bool {
        if value == self.counts {
            self.turns = None;
            return false;
        }
        self.turns.get_or_insert(now + delay);
        self.handle_timeout(now)
    }

    /// Returns whether the opposite counts now.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let turned = self.turns.is_some_and(|at| at <= now);
        if turned {
            self.counts = !self.counts;
            self.turns = None;
        }
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn what_does_not_last_does_not_count() {
        let mut up = Lasting::new(true);
        let delay = Duration::from_secs(1);
        assert!(!up.see(at(0), false, delay));
        assert!(!up.see(at(600), false, delay), "seen again: the time goes on");
        assert_eq!(up.deadline(), Some(at(1_000)));
        assert!(!up.see(at(900), true, delay));
        assert_eq!(up.deadline(), None);
        assert!(!up.see(at(950), false, delay));
        assert!(!up.handle_timeout(at(1_949)));
        assert!(up.get() && up.handle_timeout(at(1_950)) && !up.get());
        assert!(up.see(at(2_000), true, Duration::ZERO) && up.get(), "without a delay at once");
    }
}
