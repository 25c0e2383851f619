//! Deadlines as data.
//!
//! [`TimerQueue`] orders the next deadline of many owners; the driver owns exactly one real timer and
//! sleeps until [`TimerQueue::next`].

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Instant;

/// The next deadline of each of many owners, ordered by time and then by owner.
#[derive(Clone, Debug)]
pub struct TimerQueue<Owner> {
    by_time: BTreeSet<(Instant, Owner)>,
    by_owner: BTreeMap<Owner, Instant>,
}

impl<Owner> Default for TimerQueue<Owner> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), by_owner: BTreeMap::new() }
    }
}

impl<Owner: Copy + Ord> TimerQueue<Owner> {
    /// Replaces the owner's deadline; `None` removes it.
    pub fn set(&mut self, owner: Owner, deadline: Option<Instant>) {
        let old = match deadline {
            Some(at) => self.by_owner.insert(owner, at),
            None => self.by_owner.remove(&owner),
        };
        if old == deadline {
            return;
        }
        if let Some(at) = old {
            self.by_time.remove(&(at, owner));
        }
        if let Some(at) = deadline {
            self.by_time.insert((at, owner));
        }
    }

    /// The earliest deadline of all.
    pub fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|&(at, _)| at)
    }

    /// Takes the owner with the earliest deadline if that is not after `until`.
    pub fn pop_due(&mut self, until: Instant) -> Option<(Instant, Owner)> {
        let &(at, owner) = self.by_time.first()?;
        if at > until {
            return None;
        }
        self.by_time.remove(&(at, owner));
        self.by_owner.remove(&owner);
        Some((at, owner))
    }
}
