//! What was found of the codes that authenticate one packet: noted for a recording, where the keys must not be, or told
//! by one, to a router that does not know them.

use std::cell::Cell;

/// Most verdicts on one packet: of so many routers that share interface and VRID.
const MOST: u32 = 64;

/// The verdicts on one packet, in the order in which they are asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Verdicts {
    told: bool,
    count: Cell<u32>,
    bits: Cell<u64>,
}

impl Verdicts {
    /// Those that a recording tells: what [`Verdicts::noted`] gave.
    pub const fn told(bits: u64) -> Self {
        Self { told: true, count: Cell::new(0), bits: Cell::new(bits) }
    }

    /// What was found, one bit each; the first is the lowest.
    pub const fn noted(&self) -> u64 {
        self.bits.get()
    }

    /// The next one: `judge`'s, or the recording's. Beyond the 64th a recording tells none, which counts as not
    /// authentic.
    pub(super) fn next(&self, judge: impl FnOnce() -> bool) -> bool {
        let place = self.count.get();
        self.count.set(place.saturating_add(1));
        if self.told {
            return place < MOST && self.bits.get() >> place & 1 == 1;
        }
        let authentic = judge();
        if authentic && place < MOST {
            self.bits.set(self.bits.get() | 1 << place);
        }
        authentic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_told_again() {
        let noted = Verdicts::default();
        let found = [true, false, true, true];
        assert!(found.iter().all(|verdict| noted.next(|| *verdict) == *verdict));
        let told = Verdicts::told(noted.noted());
        let unasked = || panic!("nobody knows the key");
        assert!(found.iter().all(|verdict| told.next(unasked) == *verdict));
        assert!((0..100).all(|_| !told.next(unasked)), "what was never found is not authentic");
    }
}
