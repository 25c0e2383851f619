//! How the address list of an advertisement differs from ours, in words that say what to mend.

use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Addresses shown of each side; of the others the number.
const SHOWN: usize = 4;

/// What two address lists do not have in common, the addresses in their order.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AddressDifference {
    theirs: Shown,
    ours: Shown,
}

/// The first of some addresses, and how many more there are.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
struct Shown {
    addresses: Vec<IpAddr>,
    more: usize,
}

impl AddressDifference {
    /// `None` where both lists have the same addresses, in whatever order.
    pub(super) fn of(
        theirs: impl Iterator<Item = IpAddr> + Clone,
        ours: impl Iterator<Item = IpAddr> + Clone,
    ) -> Option<Self> {
        // Normally they are equal, which must cost next to nothing.
        if theirs.clone().eq(ours.clone()) {
            return None;
        }
        let sorted = |list: &mut dyn Iterator<Item = IpAddr>| {
            let mut list: Vec<_> = list.collect();
            list.sort_unstable();
            list
        };
        let (theirs, ours) = (sorted(&mut { theirs }), sorted(&mut { ours }));
        (theirs != ours).then(|| Self {
            theirs: Shown::of(theirs.iter().filter(|address| ours.binary_search(address).is_err())),
            ours: Shown::of(ours.iter().filter(|address| theirs.binary_search(address).is_err())),
        })
    }
}

impl Shown {
    fn of<'a>(mut addresses: impl Iterator<Item = &'a IpAddr>) -> Self {
        let shown = addresses.by_ref().take(SHOWN).copied().collect();
        Self { addresses: shown, more: addresses.count() }
    }

    const fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.addresses.iter().enumerate() {
            write!(f, "{}{address}", if index == 0 { "" } else { ", " })?;
        }
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}

impl fmt::Display for AddressDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.theirs.is_empty(), self.ours.is_empty()) {
            (false, false) => write!(f, "address list has {}, ours has {}", self.theirs, self.ours),
            (false, true) => write!(f, "address list has {}, ours has not", self.theirs),
            (true, false) => write!(f, "address list lacks {}", self.ours),
            (true, true) => f.write_str("address list has an address twice"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(theirs: &[u8], ours: &[u8]) -> Option<String> {
        let list = |numbers: &[u8]| -> Vec<IpAddr> {
            numbers.iter().map(|number| IpAddr::from([10, 0, 1, *number])).collect()
        };
        let (theirs, ours) = (list(theirs), list(ours));
        AddressDifference::of(theirs.iter().copied(), ours.iter().copied()).map(|found| found.to_string())
    }

    #[test]
    fn it_names_what_each_side_has_alone() {
        assert_eq!(difference(&[1, 2, 3], &[3, 1, 2]), None);
        assert_eq!(
            difference(&[1, 9], &[1, 8]).as_deref(),
            Some("address list has 10.0.1.9, ours has 10.0.1.8")
        );
        assert_eq!(difference(&[1, 9], &[1]).as_deref(), Some("address list has 10.0.1.9, ours has not"));
        assert_eq!(difference(&[], &[7, 6]).as_deref(), Some("address list lacks 10.0.1.6, 10.0.1.7"));
        assert_eq!(difference(&[1, 1], &[1]).as_deref(), Some("address list has an address twice"));
    }

    #[test]
    fn of_long_lists_it_shows_some() {
        let theirs: Vec<u8> = (1..=250).collect();
        assert_eq!(
            difference(&theirs, &[1]).as_deref(),
            Some("address list has 10.0.1.2, 10.0.1.3, 10.0.1.4, 10.0.1.5 and 245 more, ours has not")
        );
    }
}
