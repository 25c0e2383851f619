//! What happens next: a queue ordered by time, and at one time in the order of scheduling.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Instant;

/// What is to happen, and when. What happens stands in slots of its own, so that the order is kept among small numbers.
#[derive(Debug)]
pub(super) struct Agenda<T> {
    order: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    slots: Vec<Option<T>>,
    free: Vec<usize>,
    sequence: u64,
}

impl<T> Agenda<T> {
    /// Nothing is to happen.
    pub(super) const fn new() -> Self {
        Self { order: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), sequence: 0 }
    }

    /// Something is to happen at `at`, behind what is to happen then already.
    pub(super) fn schedule(&mut self, at: Instant, what: T) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(what);
                slot
            }
            None => {
                self.slots.push(Some(what));
                self.slots.len() - 1
            }
        };
        self.order.push(Reverse((at, self.sequence, slot)));
        self.sequence += 1;
    }

    /// Takes what happens next, if that is not after `end`.
    pub(super) fn next_until(&mut self, end: Instant) -> Option<(Instant, T)> {
        let &Reverse((at, _, _)) = self.order.peek()?;
        if at > end {
            return None;
        }
        let Reverse((at, _, slot)) = self.order.pop()?;
        self.free.push(slot);
        self.slots[slot].take().map(|what| (at, what))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::prng::Prng;

    #[test]
    fn agrees_with_an_ordered_map() {
        let mut prng = Prng::new(3);
        let (mut agenda, mut map) = (Agenda::new(), BTreeMap::new());
        let mut now = 0;
        for number in 0..20_000_u64 {
            if prng.chance(1, 2) {
                let at = Instant::from_micros(now + prng.below(50));
                agenda.schedule(at, number);
                map.insert((at, number), number);
            } else {
                now += prng.below(20);
                let end = Instant::from_micros(now);
                let first = map.first_key_value().map(|(key, _)| *key).filter(|(at, _)| *at <= end);
                assert_eq!(agenda.next_until(end), first);
                map.remove(&first.unwrap_or_default());
            }
        }
    }
}
