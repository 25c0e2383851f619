//! How many virtual routers are in which state, counted by the vrrp thread and read by the main thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sys::poll::Waker;
use crate::vrrp::State;

/// The counts. Copies share them.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    counts: Arc<Counts>,
    changed: Waker,
}

#[derive(Debug, Default)]
struct Counts {
    backup: AtomicUsize,
    master: AtomicUsize,
    fault: AtomicUsize,
}

/// What a [`Tally`] shows; read while it changes, one router may be missing or be there twice.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Totals {
    pub(super) master: usize,
    pub(super) backup: usize,
    pub(super) fault: usize,
}

impl Tally {
    /// Nothing runs yet.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { counts: Arc::default(), changed: Waker::new()? })
    }

    /// A router has changed its state. Never waits; costs a system call only if somebody has looked since.
    pub(super) fn note(&self, from: State, to: State) {
        if let Some(count) = self.counts.of(from) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(count) = self.counts.of(to) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.changed.wake();
    }

    /// Reads the counts. What changes from here on makes the descriptor readable again.
    pub(super) fn look(&self) -> Totals {
        self.changed.acknowledge();
        let Counts { backup, master, fault } = &*self.counts;
        Totals {
            master: master.load(Ordering::Relaxed),
            backup: backup.load(Ordering::Relaxed),
            fault: fault.load(Ordering::Relaxed),
        }
    }
}

impl AsFd for Tally {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changed.as_fd()
    }
}

impl Counts {
    const fn of(&self, state: State) -> Option<&AtomicUsize> {
        match state {
            State::Initialize => None,
            State::Backup => Some(&self.backup),
            State::Master => Some(&self.master),
            State::Fault => Some(&self.fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stops_is_not_counted_any_more() {
        let tally = Tally::new().unwrap();
        let copy = tally.clone();
        for (from, to) in [
            (State::Initialize, State::Backup),
            (State::Initialize, State::Backup),
            (State::Initialize, State::Fault),
            (State::Backup, State::Master),
        ] {
            copy.note(from, to);
        }
        assert_eq!(tally.look(), Totals { master: 1, backup: 1, fault: 1 });
        copy.note(State::Master, State::Initialize);
        copy.note(State::Fault, State::Backup);
        assert_eq!(tally.look(), Totals { master: 0, backup: 2, fault: 0 });
    }
}
