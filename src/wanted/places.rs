//! What a set wishes for and where: wishes that come and go by a reload, places that come and go with interfaces.

use std::collections::{BTreeMap, BTreeSet};

use super::item::{Held, Item};
use super::set::{Stance, WantedSet};
use super::{Change, Kind, Known, Verb};

/// Where a wish can be fulfilled now: `None` while its interface does not exist. No two wishes of a set have the
/// same key at the same time, unless they may ([`Kind::COINCIDE`]).
pub(crate) type Locate<'a, K> = &'a dyn Fn(&<K as Kind>::Wish) -> Option<<K as Kind>::Key>;

impl<K: Kind> WantedSet<K> {
    /// Tells where wishes can be fulfilled now. What had another place is forgotten, and not left behind there;
    /// at a new place it is asked for if wanted.
    pub(crate) fn locate(
        &mut self,
        locate: Locate<'_, K>,
        known: Known<'_, K>,
        changes: &mut Vec<Change<K>>,
    ) {
        let mut moved = false;
        let mut taken = BTreeSet::new();
        for position in 0..self.items.len() {
            let mut key = locate(&self.items[position].wish);
            if K::COINCIDE {
                key = key.filter(|key| taken.insert(*key));
            }
            if self.items[position].key != key {
                moved = true;
                self.relocate(position, key, known, changes);
            }
        }
        if moved {
            self.reindex();
        }
    }

    fn relocate(
        &mut self,
        position: usize,
        key: Option<K::Key>,
        known: Known<'_, K>,
        changes: &mut Vec<Change<K>>,
    ) {
        let (wanted, unwanted) = (self.is_wanted(), self.stance == Stance::Unwanted);
        let item = &mut self.items[position];
        // The interface may live on under another name.
        if let Some(old) = item.key {
            let added = item.asked_for() && (wanted || item.outstanding > 0);
            if item.held != Held::Foreign && (added || known(old) == Some(true)) {
                item.request_now(Verb::Remove, changes);
            }
            if item.outstanding > 0 {
                *self.orphans.entry(old).or_default() += item.outstanding;
            }
        }
        item.move_to(key, key.and_then(|key| self.orphans.remove(&key)).unwrap_or_default());
        if let Some(ours) = key.and_then(known) {
            item.learn(ours);
        }
        if wanted && (!item.will_be_held() || K::SHAPES) {
            item.request_now(Verb::Add, changes);
        } else if unwanted && item.will_be_held() && item.held == Held::Ours {
            item.request_now(Verb::Remove, changes);
        }
    }

    /// Replaces the wishes: what stays keeps its state. When one goes, the kernel may take others along, so these
    /// are put back in the same batch.
    pub(crate) fn reconfigure(
        &mut self,
        wishes: impl IntoIterator<Item = (K::Wish, bool)>,
        locate: Locate<'_, K>,
        known: Known<'_, K>,
        changes: &mut Vec<Change<K>>,
    ) {
        let mut old: BTreeMap<K::Wish, Item<K>> = BTreeMap::new();
        for item in core::mem::take(&mut self.items) {
            old.insert(item.wish.clone(), item);
        }
        for (wish, watched) in wishes {
            let mut item = old.remove(&wish).unwrap_or_else(|| Item::new(wish, watched));
            item.watched = watched;
            self.items.push(item);
        }
        let mut gone: Vec<Item<K>> = old.into_values().collect();
        let places = self.items.iter().filter(|_| K::SHAPES).filter_map(|item| locate(&item.wish));
        let taken_over: BTreeSet<K::Key> = places.collect();
        for item in gone.iter_mut().rev() {
            let asked_for = self.is_wanted() && item.asked_for();
            let held = item.will_be_held() && !item.wanted_again;
            let taken_over = item.key.is_some_and(|key| taken_over.contains(&key));
            if (asked_for || held) && item.held != Held::Foreign && !taken_over {
                item.request_now(Verb::Remove, changes);
            }
            if let Some(key) = item.key.filter(|_| item.outstanding > 0) {
                *self.orphans.entry(key).or_default() += item.outstanding;
            }
        }
        let removed = gone.iter().filter(|item| item.outstanding > 0 && !item.asked_for());
        let removed: Vec<K::Key> = removed.filter_map(|item| item.key).collect();
        let endangers = |key| {
            let kin = K::kin(key);
            kin.is_some() && removed.iter().any(|removed| K::kin(*removed) == kin)
        };
        if self.is_wanted() && !removed.is_empty() {
            for item in self.items.iter_mut().filter(|item| item.held != Held::Foreign) {
                // New ones have no place yet, and are asked for below.
                if item.key.is_some_and(endangers) {
                    item.request_now(Verb::Add, changes);
                }
            }
        }
        // What changed is removed above and must be added again.
        let known = |key| if removed.contains(&key) { None } else { known(key) };
        self.locate(locate, &known, changes);
        self.reindex();
    }

    fn reindex(&mut self) {
        let keys = self.items.iter().enumerate();
        self.index = keys.filter_map(|(position, item)| Some((item.key?, position))).collect();
        self.index.sort_unstable_by_key(|(key, _)| *key);
        self.index.shrink_to_fit();
        debug_assert!(self.index.is_sorted_by(|(a, _), (b, _)| a < b), "two wishes for one object");
    }
}
