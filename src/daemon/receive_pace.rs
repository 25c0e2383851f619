//! Many packets a second are better taken in bundles: a wake-up for each costs more than the packet.
//!
//! Above a rate, the receive sockets are left alone for a millisecond after they were read. Below it, every
//! packet wakes the thread at once.

use crate::time::{Duration, Instant};

/// How long the sockets are left alone. An advertisement is taken that much later at most.
const PAUSE: Duration = Duration::from_millis(1);

/// The rate is measured over this time.
const WINDOW: Duration = Duration::from_millis(100);

/// Packets in a window from which on the sockets are left alone: 2000 a second.
const MANY: usize = 200;

/// What changes for the receive sockets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// They shall not wake the thread.
    LeaveAlone,
    /// They shall.
    Watch,
}

/// Measures the rate and decides.
#[derive(Debug, Default)]
pub(super) struct ReceivePace {
    window_end: Instant,
    packets: usize,
    busy: bool,
    left_alone: bool,
}

impl ReceivePace {
    /// How long to wait at most for anything else while the sockets are left alone.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.left_alone.then_some(PAUSE)
    }

    /// Takes note of a look at all sockets that found so many packets.
    pub(super) fn note(&mut self, now: Instant, packets: usize) -> Option<Change> {
        if now >= self.window_end {
            self.busy = self.packets >= MANY;
            self.packets = 0;
            self.window_end = now + WINDOW;
        }
        self.packets += packets;
        let leave_alone = (self.busy || self.packets >= MANY) && packets > 0;
        if leave_alone == self.left_alone {
            return None;
        }
        self.left_alone = leave_alone;
        Some(if leave_alone { Change::LeaveAlone } else { Change::Watch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_packets_wake_at_once_and_many_are_bundled() {
        let mut pace = ReceivePace::default();
        let mut at = Instant::from_micros(1_000_000);
        for _ in 0..1000 {
            at += Duration::from_millis(1);
            assert_eq!(pace.note(at, 1), None);
        }
        assert_eq!(pace.pause(), None);
        assert_eq!(pace.note(at, 300), Some(Change::LeaveAlone));
        assert_eq!(pace.pause(), Some(PAUSE));
        // The burst is over: the next packet wakes at once, and starts the next bundle.
        at += PAUSE;
        assert_eq!(pace.note(at, 10), None);
        at += PAUSE;
        assert_eq!(pace.note(at, 0), Some(Change::Watch));
        assert_eq!(pace.note(at, 1), Some(Change::LeaveAlone));
        // Two quiet windows end it.
        at += Duration::from_millis(250);
        assert_eq!(pace.note(at, 0), Some(Change::Watch));
        at += Duration::from_millis(250);
        assert_eq!(pace.note(at, 1), None);
    }
}
