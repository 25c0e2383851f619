//! How an address is known to be ours.

use std::collections::BTreeMap;

use super::message::AddressContent;
use crate::kernel::{ADDRESS_PROTOCOL, AddressOutcome, Verb};
use crate::net::{InterfaceIndex, Prefix};

/// How an address is known to be ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ownership {
    /// By its `IFA_PROTO` (Linux 5.18 and later).
    Mark,
    /// By a record that this process keeps.
    Record(OwnAddresses),
}

impl Ownership {
    pub(super) fn holds(&self, address: &AddressContent) -> bool {
        match self {
            Self::Mark => address.protocol == ADDRESS_PROTOCOL,
            Self::Record(record) => record.contains(&(address.index, address.prefix)),
        }
    }

    /// The kernel says that an address is gone. Whether it was on the record and is not any more.
    pub(super) fn note_gone(&mut self, key: (InterfaceIndex, Prefix)) -> bool {
        match self {
            Self::Mark => false,
            Self::Record(record) => record.strike_out(key),
        }
    }
}

/// The addresses that are ours or are about to be. Told of what the kernel's notifications say before it is told
/// of the answers to the same requests.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OwnAddresses {
    /// With the additions that are not answered yet.
    lines: BTreeMap<(InterfaceIndex, Prefix), u32>,
}

impl OwnAddresses {
    fn contains(&self, key: &(InterfaceIndex, Prefix)) -> bool {
        self.lines.contains_key(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = (InterfaceIndex, Prefix)> {
        self.lines.keys().copied()
    }

    /// An addition was asked for.
    pub fn note_asked(&mut self, key: (InterfaceIndex, Prefix)) {
        let adding = self.lines.entry(key).or_default();
        *adding = adding.saturating_add(1);
    }

    /// An operation was answered.
    pub fn note_answered(&mut self, outcome: &AddressOutcome) {
        let key = (outcome.link, outcome.prefix);
        let gone = match outcome.verb {
            Verb::Add => {
                if let Some(adding) = self.lines.get_mut(&key) {
                    *adding = adding.saturating_sub(1);
                }
                outcome.error.is_some()
            }
            Verb::Remove => outcome.error.is_none(),
        };
        if gone {
            self.strike_out(key);
        }
    }

    /// Takes an address off, unless it is being added. Whether it was on it.
    pub(super) fn strike_out(&mut self, key: (InterfaceIndex, Prefix)) -> bool {
        self.lines.get(&key) == Some(&0) && self.lines.remove(&key).is_some()
    }
}

impl FromIterator<(InterfaceIndex, Prefix)> for OwnAddresses {
    fn from_iter<I: IntoIterator<Item = (InterfaceIndex, Prefix)>>(keys: I) -> Self {
        Self { lines: keys.into_iter().map(|key| (key, 0)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{AddressOperation, AddressSpec, KernelError};
    use crate::sys::netlink::message::{self, Content, tests::address_body};

    fn content(host: u8, protocol: Option<u8>) -> AddressContent {
        match message::tests::read_kind(libc::RTM_NEWADDR, &address_body(7, [192, 0, 2, host], protocol)) {
            Some(Content::Address(content)) => content,
            other => panic!("{other:?}"),
        }
    }

    fn key() -> (InterfaceIndex, Prefix) {
        let plain = content(8, None);
        (plain.index, plain.prefix)
    }

    fn answer(verb: Verb, refused: bool) -> AddressOutcome {
        let operation = AddressOperation::new(verb, key().0, AddressSpec::new(key().1));
        let error = refused.then(|| KernelError { errno: libc::EINVAL, message: String::new() });
        AddressOutcome::of(&operation, error)
    }

    #[test]
    fn ours_is_what_is_marked_or_recorded() {
        let (marked, plain) = (content(7, Some(18)), content(8, None));
        let record = Ownership::Record([key()].into_iter().collect());
        assert!(Ownership::Mark.holds(&marked) && !Ownership::Mark.holds(&plain));
        assert!(!record.holds(&marked) && record.holds(&plain));
        let elsewhere = AddressContent { index: InterfaceIndex::new(8).unwrap(), ..plain };
        assert!(!record.holds(&elsewhere));
    }

    #[test]
    fn what_is_gone_is_not_ours_any_more() {
        let mut record: OwnAddresses = [key()].into_iter().collect();
        assert!(record.strike_out(key()) && !record.strike_out(key()));
        record.note_asked(key());
        record.note_answered(&answer(Verb::Add, false));
        assert!(record.contains(&key()));
        record.note_answered(&answer(Verb::Remove, true));
        assert!(record.contains(&key()), "a removal that failed");
        record.note_answered(&answer(Verb::Remove, false));
        assert!(!record.contains(&key()));
        record.note_asked(key());
        record.note_answered(&answer(Verb::Add, true));
        assert!(!record.contains(&key()), "an addition that failed");
    }

    /// One router gives up what another one takes, or a removal takes along what is put back with it.
    #[test]
    fn what_is_being_added_stays_ours_whatever_was_removed_before() {
        let mut record: OwnAddresses = [key()].into_iter().collect();
        record.note_asked(key());
        assert!(!record.strike_out(key()));
        record.note_answered(&answer(Verb::Remove, false));
        assert!(record.contains(&key()));
        record.note_answered(&answer(Verb::Add, false));
        assert!(record.contains(&key()));
        assert!(record.strike_out(key()), "gone afterwards");
    }
}
