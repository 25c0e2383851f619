//! The wanted objects of one kind of one requester.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::item::{Added, Held, Item};
use super::{Answer, Change, Kind, Known, Repair, Verb};
use crate::time::{Duration, Instant};

/// What the requester makes of its wishes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Stance {
    /// Nothing yet: what is ours belongs to a predecessor, and is left alone.
    Undecided,
    /// The kernel shall hold them.
    Wanted,
    /// The kernel shall hold none of ours.
    Unwanted,
}

/// The objects of one kind that one requester wants all together or not at all.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(bound(
    deserialize = "K::Key: Deserialize<'de>, K::Wish: Deserialize<'de>",
    serialize = "K::Key: Serialize, K::Wish: Serialize"
))]
pub(crate) struct WantedSet<K: Kind> {
    pub(super) items: Vec<Item<K>>,
    /// Positions in `items`, in the order of the keys.
    pub(super) index: Vec<(K::Key, usize)>,
    /// Changes not answered yet of objects that are not wished for any more, or not there.
    pub(super) orphans: BTreeMap<K::Key, u32>,
    pub(super) stance: Stance,
    /// Not later than the earliest `judge_at`.
    judge_next: Option<Instant>,
}

impl<K: Kind> WantedSet<K> {
    /// A set about which nothing is decided. With each wish, whether the object's loss counts against the requester
    /// ([`WantedSet::take_lacking`]). They are asked for in their order, and given up in the opposite one.
    pub(crate) fn new(wishes: impl IntoIterator<Item = (K::Wish, bool)>) -> Self {
        let items = wishes.into_iter().map(|(wish, watched)| Item::new(wish, watched)).collect();
        let stance = Stance::Undecided;
        Self { items, index: Vec::new(), orphans: BTreeMap::new(), stance, judge_next: None }
    }

    /// Whether the kernel shall hold the objects.
    pub(crate) fn is_wanted(&self) -> bool {
        self.stance == Stance::Wanted
    }

    /// Whether every change has been answered.
    pub(crate) fn is_settled(&self) -> bool {
        self.orphans.is_empty() && self.items.iter().all(|item| item.outstanding == 0)
    }

    /// The objects that have a place.
    pub(crate) fn keys(&self) -> impl Iterator<Item = K::Key> {
        self.index.iter().map(|(key, _)| *key)
    }

    /// The objects that the kernel holds.
    pub(crate) fn held(&self) -> impl Iterator<Item = K::Key> {
        self.items.iter().filter(|item| item.held != Held::Absent).filter_map(|item| item.key)
    }

    /// Whether an object is about to be there: wanted, and not refused, but not answered for, or not there as far as the
    /// kernel has told (`is_missing`).
    pub(crate) fn is_under_way(&self, wish: &K::Wish, is_missing: bool) -> bool {
        let of_wish = self.items.iter().find(|item| item.wish == *wish);
        self.is_wanted()
            && of_wish.is_some_and(|item| {
                item.key.is_some() && !item.refused && (item.outstanding > 0 || is_missing)
            })
    }

    /// Whether left-overs of a predecessor wait for a decision.
    pub(crate) fn has_leftovers(&self) -> bool {
        self.count_leftovers() > 0
    }

    /// When [`WantedSet::judge`] may have something to do.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.judge_next
    }

    /// When [`WantedSet::take_lacking`] may have something to say.
    pub(crate) fn lacking_timeout(&self, limit: Duration) -> Option<Instant> {
        self.items.iter().filter_map(Item::lacking_since).min().map(|since| since + limit)
    }

    /// A watched object that has been missing for longer than `limit` though it was wanted and there; told once in
    /// that time.
    pub(crate) fn take_lacking(&mut self, now: Instant, limit: Duration) -> Option<K::Key> {
        let mut found = None;
        for item in &mut self.items {
            if item.take_lacking(now, limit) {
                found = found.or(item.key);
            }
        }
        found
    }

    /// Objects found without our mark, each told once.
    pub(crate) fn take_foreign(&mut self) -> Vec<K::Key> {
        let foreign = self.items.iter_mut().filter_map(|item| item.take_foreign().then_some(item.key));
        foreign.flatten().collect()
    }

    /// The objects are wanted from now on: asks for what is missing. Returns what is there already (adopted or
    /// foreign), and how many of these a predecessor left.
    pub(crate) fn want(&mut self, changes: &mut Vec<Change<K>>) -> (Vec<K::Key>, usize) {
        let leftovers = self.count_leftovers();
        self.stance = Stance::Wanted;
        let mut present = Vec::new();
        for item in &mut self.items {
            item.begin_anew();
            let will_be_held = item.will_be_held();
            if let (true, 0, Some(key)) = (will_be_held, item.outstanding, item.key) {
                present.push(key);
            }
            if !will_be_held || K::SHAPES {
                item.request(Verb::Add, changes);
            }
        }
        (present, leftovers)
    }

    /// The objects are not wanted (any more): asks for the removal of what is ours, last added first, so that what
    /// depends on others goes before them. Returns how many a predecessor left.
    pub(crate) fn release(&mut self, changes: &mut Vec<Change<K>>) -> usize {
        let leftovers = self.count_leftovers();
        let wanted = self.is_wanted();
        self.stance = Stance::Unwanted;
        for item in self.items.iter_mut().rev() {
            item.begin_anew();
            // "Already gone" is success.
            if (wanted && item.asked_for() || item.will_be_held()) && item.held != Held::Foreign {
                item.request(Verb::Remove, changes);
            }
        }
        leftovers
    }

    /// The requester ends and leaves the kernel as it is.
    pub(crate) fn abandon(&mut self) {
        self.items.iter_mut().for_each(|item| item.wanted_again = false);
        self.stance = Stance::Undecided;
    }

    /// Nothing is wanted of what a predecessor may still have left, if nothing was decided yet: what appears of it
    /// is removed.
    pub(crate) fn decide(&mut self) {
        if self.stance == Stance::Undecided {
            self.stance = Stance::Unwanted;
        }
    }

    /// Asks again for what is wanted and what somebody's removal takes along.
    pub(crate) fn restore(&mut self, taken: &dyn Fn(K::Key) -> bool, changes: &mut Vec<Change<K>>) {
        if !self.is_wanted() {
            return;
        }
        for item in &mut self.items {
            if item.held != Held::Foreign
                && (item.held != Held::Absent || item.outstanding > 0 && item.asked_for())
                && item.key.is_some_and(taken)
            {
                item.request_now(Verb::Add, changes);
            }
        }
    }

    /// Asks at once for what is wanted and missing among these, whenever it was to be tried again: what it depends on
    /// is there now, or it is what others depend on.
    pub(crate) fn hasten(&mut self, which: &dyn Fn(K::Key) -> bool, changes: &mut Vec<Change<K>>) {
        self.add_at_once(|item| item.held == Held::Absent, which, changes);
    }

    /// Asks at once for what is wanted and was refused, where that may be otherwise now.
    pub(crate) fn retry(&mut self, concerned: &dyn Fn(K::Key) -> bool, changes: &mut Vec<Change<K>>) {
        self.add_at_once(|item| item.refused, concerned, changes);
    }

    fn add_at_once(
        &mut self,
        is_due: impl Fn(&Item<K>) -> bool,
        concerned: &dyn Fn(K::Key) -> bool,
        changes: &mut Vec<Change<K>>,
    ) {
        if !self.is_wanted() {
            return;
        }
        for item in &mut self.items {
            if is_due(item) && item.outstanding == 0 && item.key.is_some_and(concerned) {
                item.judge_at = None;
                item.request_now(Verb::Add, changes);
            }
        }
    }

    /// Whether a wish cannot be fulfilled: the kernel refuses it, or it goes missing each time it is put back, for longer
    /// than `limit`.
    pub(crate) fn is_lacking(
        &self,
        is_wish: impl Fn(&K::Wish) -> bool,
        now: Instant,
        limit: Duration,
    ) -> bool {
        self.items.iter().find(|item| is_wish(&item.wish)).is_some_and(|item| item.is_lacking(now, limit))
    }

    /// When [`WantedSet::forgive`] has something to do.
    pub(crate) fn steady_timeout(&self) -> Option<Instant> {
        self.items.iter().filter_map(Item::steady_at).min()
    }

    /// What was missing and has been there for a while counts as missing no more.
    pub(crate) fn forgive(&mut self, now: Instant) {
        self.items.iter_mut().for_each(|item| item.forgive(now));
    }

    /// How many wishes there are.
    pub(crate) const fn len(&self) -> usize {
        self.items.len()
    }

    /// The wish that has this key.
    pub(crate) fn wish(&self, key: K::Key) -> Option<&K::Wish> {
        let found = self.index.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(&self.items.get(self.index[found].1)?.wish)
    }

    /// Removes what is there and is ours, and asks for it again once that is done. Nothing while it is not wanted, or
    /// a change of it is under way.
    pub(crate) fn renew(&mut self, key: K::Key, changes: &mut Vec<Change<K>>) {
        let wanted = self.is_wanted();
        if let Some(item) = self.item(key)
            && wanted
            && item.outstanding == 0
            && item.held == Held::Ours
        {
            item.request_now(Verb::Remove, changes);
            item.wanted_again = true;
        }
    }

    /// Compares with the kernel's whole state, after notifications were lost, or where there are none.
    pub(crate) fn resynchronise(&mut self, now: Instant, known: Known<'_, K>) {
        let keys: Vec<_> = self.keys().collect();
        for key in keys {
            match known(key) {
                Some(ours) => _ = self.on_present(now, key, ours),
                None => self.on_gone(now, key),
            }
        }
    }

    /// The kernel tells of an object, and whether it has our mark. True when it is found to be foreign, once.
    pub(crate) fn on_present(&mut self, now: Instant, key: K::Key, ours: bool) -> bool {
        let unwanted = self.stance == Stance::Unwanted;
        let Some(item) = self.item(key) else { return false };
        item.note_present(now, ours);
        if item.held == Held::Foreign {
            return item.take_foreign();
        }
        if unwanted && item.outstanding == 0 {
            let at = item.judge_later(now);
            self.judge_no_later_than(at);
        }
        false
    }

    /// The kernel tells that an object is gone.
    pub(crate) fn on_gone(&mut self, now: Instant, key: K::Key) {
        let wanted = self.is_wanted();
        let Some(item) = self.item(key) else { return };
        if item.note_gone(now, wanted) {
            let at = item.judge_later(now);
            self.judge_no_later_than(at);
        }
    }

    /// The kernel answered one change.
    pub(crate) fn on_answer(&mut self, now: Instant, verb: Verb, key: K::Key, refused: bool) -> Answer {
        let wanted = self.is_wanted();
        if let Some(unanswered) = self.orphans.get_mut(&key) {
            debug_assert!(*unanswered > 0, "{key:?}: an orphan without changes");
            *unanswered = unanswered.saturating_sub(1);
            if *unanswered == 0 {
                self.orphans.remove(&key);
            }
            return Answer::Done;
        }
        let Some(item) = self.item(key) else {
            debug_assert!(false, "{key:?}: an answer to nothing that was asked for");
            return Answer::Done;
        };
        item.count_answer();
        item.refused = refused;
        if refused {
            item.note_refused(now);
            let at = item.judge_later(now);
            self.judge_no_later_than(at);
            return Answer::Refused;
        }
        let is_there = match verb {
            Verb::Add => match item.note_added(now) {
                Added::ToStay => true,
                Added::ForNothing => false,
                Added::OrRemovedSince => {
                    let at = item.judge_later(now);
                    self.judge_no_later_than(at);
                    true
                }
            },
            Verb::Remove => {
                item.note_removed();
                false
            }
        };
        if is_there && wanted { Answer::There } else { Answer::Done }
    }

    /// After answers of the kernel: asks for what had to wait for them.
    pub(crate) fn request_again(
        &mut self,
        answered: impl IntoIterator<Item = K::Key>,
        changes: &mut Vec<Change<K>>,
    ) {
        for key in answered {
            if let Some(item) = self.item(key) {
                item.request_again(changes);
            }
        }
    }

    /// Looks at every object whose time has come: puts back what somebody removed, which is returned; removes what
    /// is ours and should not be.
    pub(crate) fn judge(&mut self, now: Instant, changes: &mut Vec<Change<K>>) -> Vec<Repair<K>> {
        let mut repairs = Vec::new();
        if self.judge_next.is_none_or(|at| at > now) {
            return repairs;
        }
        for item in &mut self.items {
            if item.judge_at.is_none_or(|at| at > now) {
                continue;
            }
            item.judge_at = None;
            if item.outstanding > 0 {
                continue;
            }
            match (self.stance, item.held, item.key) {
                (Stance::Wanted, Held::Absent, Some(key)) => {
                    // What the kernel refused nobody has removed: it is tried again, and that counts then.
                    if !core::mem::take(&mut item.refused) {
                        item.count_attempt(now);
                        repairs.push(Repair { key, times: item.repairs });
                    }
                    item.request(Verb::Add, changes);
                }
                (Stance::Unwanted, Held::Ours, _) => item.request(Verb::Remove, changes),
                _ => {}
            }
        }
        self.judge_next = self.items.iter().filter_map(|item| item.judge_at).min();
        repairs
    }

    fn judge_no_later_than(&mut self, at: Instant) {
        self.judge_next = Some(self.judge_next.map_or(at, |next| next.min(at)));
    }

    fn item(&mut self, key: K::Key) -> Option<&mut Item<K>> {
        let found = self.index.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        let (_, position) = self.index[found];
        self.items.get_mut(position)
    }

    fn count_leftovers(&self) -> usize {
        match self.stance {
            Stance::Undecided => self.items.iter().filter(|item| item.held == Held::Ours).count(),
            Stance::Wanted | Stance::Unwanted => 0,
        }
    }
}
