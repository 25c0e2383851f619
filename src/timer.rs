//! Deadlines as data.
//!
//! [`TimerQueue`] orders the next deadline of many owners; the driver owns exactly one real timer and
//! sleeps until [`TimerQueue::next`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::time::Instant;

/// The next deadline of each of many owners, ordered by time and then by owner.
///
/// A deadline that moves later, as a backup's does with every advertisement, only notes the new time; its
/// place in the order is corrected when it comes to the front.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(bound(deserialize = "Owner: Deserialize<'de> + Ord"))]
pub struct TimerQueue<Owner> {
    /// The first is always true; later ones may stand too early.
    by_time: BTreeSet<(Instant, Owner)>,
    by_owner: BTreeMap<Owner, Entry>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Entry {
    deadline: Instant,
    /// Its time in `by_time`, not after the deadline.
    queued: Instant,
}

impl<Owner> Default for TimerQueue<Owner> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), by_owner: BTreeMap::new() }
    }
}

impl<Owner: Copy + Ord> TimerQueue<Owner> {
    /// Replaces the owner's deadline; `None` removes it.
    pub fn set(&mut self, owner: Owner, deadline: Option<Instant>) {
        match (self.by_owner.get_mut(&owner), deadline) {
            (Some(entry), Some(at)) if at >= entry.queued => entry.deadline = at,
            (Some(entry), Some(at)) => {
                self.by_time.remove(&(entry.queued, owner));
                *entry = Entry { deadline: at, queued: at };
                self.by_time.insert((at, owner));
            }
            (None, Some(at)) => {
                self.by_owner.insert(owner, Entry { deadline: at, queued: at });
                self.by_time.insert((at, owner));
            }
            (Some(entry), None) => {
                self.by_time.remove(&(entry.queued, owner));
                self.by_owner.remove(&owner);
            }
            (None, None) => {}
        }
        self.correct_front();
    }

    /// The earliest deadline of all.
    pub fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|&(at, _)| at)
    }

    /// Takes the owner with the earliest deadline if that is not after `until`.
    pub(crate) fn pop_due(&mut self, until: Instant) -> Option<(Instant, Owner)> {
        let &(at, owner) = self.by_time.first()?;
        if at > until {
            return None;
        }
        self.by_time.remove(&(at, owner));
        self.by_owner.remove(&owner);
        self.correct_front();
        Some((at, owner))
    }

    fn correct_front(&mut self) {
        while let Some(&(queued, owner)) = self.by_time.first() {
            let Some(entry) = self.by_owner.get_mut(&owner) else { return };
            if entry.deadline == queued {
                return;
            }
            entry.queued = entry.deadline;
            self.by_time.remove(&(queued, owner));
            self.by_time.insert((entry.deadline, owner));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    #[test]
    fn agrees_with_a_plain_table() {
        let mut prng = Prng::new(7);
        let mut queue = TimerQueue::default();
        let mut plain: BTreeMap<u32, Instant> = BTreeMap::new();
        for _ in 0..20_000 {
            let owner = prng.below(20) as u32;
            let at = Instant::from_micros(prng.below(1000));
            match prng.below(4) {
                0 => {
                    let due = queue.pop_due(at);
                    let first = plain.iter().map(|(owner, at)| (*at, *owner)).min();
                    assert_eq!(due, first.filter(|(first, _)| *first <= at));
                    if let Some((_, owner)) = due {
                        plain.remove(&owner);
                    }
                }
                1 => {
                    queue.set(owner, None);
                    plain.remove(&owner);
                }
                _ => {
                    queue.set(owner, Some(at));
                    plain.insert(owner, at);
                }
            }
            assert_eq!(queue.next(), plain.values().min().copied());
        }
    }
}
