//! What the removals in a batch take along of other requesters' objects.

use std::collections::{BTreeMap, BTreeSet};

use super::Kind;
use crate::kernel::Verb;

/// The removals of a batch of changes, by requester.
#[derive(Debug)]
pub(crate) struct Collateral<K: Kind, R> {
    /// Objects that are removed, and by whom.
    removed: BTreeMap<K::Key, R>,
    /// Kins of which some go along, and with whose objects.
    endangered: BTreeMap<K::Kin, BTreeSet<R>>,
}

impl<K: Kind, R: Copy + Ord> Collateral<K, R> {
    /// Of a batch without changes.
    pub(crate) const fn new() -> Self {
        Self { removed: BTreeMap::new(), endangered: BTreeMap::new() }
    }

    /// Takes a change into account, in the order of the batch. `goes_alone`: the kernel told that nothing depends
    /// on the object.
    pub(crate) fn note(&mut self, requester: R, verb: Verb, key: K::Key, goes_alone: bool) {
        if verb == Verb::Add {
            self.removed.remove(&key);
            return;
        }
        self.removed.insert(key, requester);
        if let Some(kin) = K::kin(key).filter(|_| !goes_alone) {
            self.endangered.entry(kin).or_default().insert(requester);
        }
    }

    /// Objects that are removed.
    pub(crate) fn removed(&self) -> impl Iterator<Item = &K::Key> {
        self.removed.keys()
    }

    /// Kins of which some go along.
    pub(crate) fn endangered(&self) -> impl Iterator<Item = &K::Kin> {
        self.endangered.keys()
    }

    /// Whether an object that `requester` wants is removed by another one, or goes along with what another one
    /// removes.
    pub(crate) fn takes(&self, requester: R, key: K::Key) -> bool {
        self.removed.get(&key).is_some_and(|remover| *remover != requester)
            || K::kin(key)
                .and_then(|kin| self.endangered.get(&kin))
                .is_some_and(|removers| removers.iter().any(|remover| *remover != requester))
    }
}
