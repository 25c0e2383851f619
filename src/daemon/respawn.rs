//! How long to wait before a dead worker is replaced.

use crate::time::Duration;

/// A worker that ran longer than this is replaced at once.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// The longest wait.
const LONGEST: u64 = 60;

/// Waits of 0, 1, 2, 4, … 60 seconds while workers die soon.
#[derive(Debug, Default)]
pub(super) struct Respawn {
    next_s: u64,
}

impl Respawn {
    /// The wait after a worker that `lived` so long.
    pub(super) fn wait_after(&mut self, lived: Duration) -> Duration {
        if lived > LONG_LIFE {
            self.next_s = 0;
        }
        let wait = self.next_s;
        self.next_s = (wait * 2).clamp(1, LONGEST);
        Duration::from_secs(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_until_a_worker_lives_long() {
        let mut respawn = Respawn::default();
        let mut waits = |lived, count| -> Vec<u64> {
            (0..count).map(|_| respawn.wait_after(Duration::from_secs(lived)).as_secs()).collect()
        };
        assert_eq!(waits(1, 9), [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(waits(61, 2), [0, 0]);
        assert_eq!(waits(60, 2), [1, 2]);
    }
}
