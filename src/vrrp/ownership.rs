//! Ownership of virtual addresses: which are wanted, which the kernel holds, and the difference.
//!
//! Addresses are a wanted set. What the kernel holds is learned from its notifications; only the difference
//! is asked for. Three kinds are told apart: ours (carrying our mark), foreign (there before us without our
//! mark: announced, never removed) and left over (ours, but from a predecessor that was killed: kept until
//! the first valid advertisement that makes us stay backup, a fault, or our own election).

use std::collections::BTreeMap;

use super::environment::{Environment, Interface};
use super::{ReportKind, RouterConfig, VirtualAddress};
use crate::kernel::{AddressOperation, AddressOutcome, AddressSpec, Verb};
use crate::net::{InterfaceName, LinkKey, Prefix};
use crate::time::{Duration, Instant};

/// A notification may come later than the answer to our own request: what looks like drift is judged after
/// this pause.
const JUDGE_AFTER: Duration = Duration::from_millis(10);
/// First pause before an address is put back again; doubles up to [`REPAIR_MAX`].
const REPAIR_FIRST: Duration = Duration::from_millis(250);
/// Longest pause between two repairs: a rival that keeps deleting is named, and the address is not left missing.
const REPAIR_MAX: Duration = Duration::from_secs(1);
/// First pause before what the kernel refused is tried again; doubles up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest pause between two tries of what the kernel refuses.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Left in peace for so long, an address counts as never touched.
const PEACE: Duration = Duration::from_secs(120);
/// Held for so long, an address that was missing counts as there again.
const STEADY: Duration = Duration::from_secs(1);

/// What the kernel holds of one virtual address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Held {
    Absent,
    Ours,
    Foreign,
}

#[derive(Clone, Debug)]
struct Item {
    spec: AddressSpec,
    interface: InterfaceName,
    link: Option<Interface>,
    held: Held,
    /// Operations not answered yet, and the last of them.
    outstanding: u32,
    last_verb: Verb,
    /// Wanted again while its removal is under way: asked for when that is answered.
    wanted_again: bool,
    /// The kernel refused the last request for it.
    refused: bool,
    /// The operator was told that it is foreign.
    foreign_told: bool,
    /// The kernel has told of it with our mark since it was last asked for.
    marked: bool,
    /// Gone, as the kernel told last, while an operation was outstanding: our own, or somebody else's doing.
    vanished: bool,
    /// Not `no_track`: its loss counts against the router.
    track: bool,
    /// Since when it is missing though it is wanted and was there, and since when it is there again.
    lacking_since: Option<Instant>,
    held_since: Instant,
    /// When to look whether the kernel holds what it should.
    judge_at: Option<Instant>,
    /// Attempts since the address became wanted or was last left in peace, and when the last one was.
    repairs: u32,
    repaired_at: Instant,
}

impl Item {
    fn key(&self) -> Option<(LinkKey, Prefix)> {
        self.link.map(|link| (link.key, self.spec.prefix))
    }

    /// Whether we asked for it last: what a late notification calls gone may be there then all the same, and is ours.
    const fn asked_for(&self) -> bool {
        matches!(self.last_verb, Verb::Add)
    }

    /// Whether the kernel will hold it once all requests are answered.
    fn will_be_held(&self) -> bool {
        if self.outstanding > 0 { self.asked_for() || self.wanted_again } else { self.held != Held::Absent }
    }

    /// Asks for an operation. A removal follows an addition at once, so that nothing is announced any more; an
    /// addition waits until the removal before it is answered: of a router that wavers, the kernel would otherwise
    /// have ever more to do that comes to nothing.
    fn request(&mut self, verb: Verb, operations: &mut Vec<AddressOperation>) {
        if self.outstanding > 0 && !self.asked_for() {
            self.wanted_again = verb == Verb::Add;
        } else {
            self.request_now(verb, operations);
        }
    }

    /// Asks for what waited, once nothing is under way any more.
    fn request_again(&mut self, operations: &mut Vec<AddressOperation>) {
        if self.outstanding == 0 && self.wanted_again {
            self.request_now(Verb::Add, operations);
        }
    }

    fn request_now(&mut self, verb: Verb, operations: &mut Vec<AddressOperation>) {
        let Some(link) = self.link else { return };
        self.wanted_again = false;
        self.marked = false;
        // What was told before nothing was under way is not of this request.
        self.vanished &= self.outstanding > 0;
        self.outstanding += 1;
        self.last_verb = verb;
        operations.push(AddressOperation::new(verb, link.key, self.spec.clone()));
    }

    /// Plans a look at the address: at once the first time, later the more often it had to be repaired.
    fn judge_later(&mut self, now: Instant) -> Instant {
        if now.saturating_since(self.repaired_at) > PEACE {
            self.repairs = 0;
        }
        let (first, longest) =
            if self.refused { (RETRY_FIRST, RETRY_MAX) } else { (REPAIR_FIRST, REPAIR_MAX) };
        let pause = match self.repairs {
            0 => JUDGE_AFTER,
            repairs => first.saturating_mul(1 << (repairs - 1).min(6)).min(longest),
        };
        let at = now + pause;
        self.judge_at = Some(at);
        at
    }

    fn news_of_foreign(&mut self) -> Option<ReportKind> {
        if self.held != Held::Foreign || core::mem::replace(&mut self.foreign_told, true) {
            return None;
        }
        let (prefix, interface) = (self.spec.prefix, self.interface.clone());
        Some(ReportKind::ForeignAddress { prefix, interface })
    }

    fn count_attempt(&mut self, now: Instant) {
        self.repairs = self.repairs.saturating_add(1);
        self.repaired_at = now;
    }

    /// Whether it has been missing, but for moments, since it was wanted and there.
    fn lacks(&mut self, now: Instant) -> Option<Instant> {
        let is_back = self.held != Held::Absent && now.saturating_since(self.held_since) >= STEADY;
        // What the kernel refuses no other router may do better.
        if is_back || self.refused || !self.track {
            self.lacking_since = None;
        }
        self.lacking_since
    }

    /// It is there from now on.
    fn note_held(&mut self, now: Instant) {
        self.held_since = now;
    }

    fn learn(&mut self, ours: bool) {
        self.held = match self.held {
            Held::Foreign => Held::Foreign,
            // Also while it is being added, and just after: the kernel leaves an address that is there as it is.
            Held::Absent if !ours => Held::Foreign,
            Held::Ours if !ours && !self.marked => Held::Foreign,
            Held::Absent | Held::Ours => Held::Ours,
        };
        self.marked |= ours;
    }
}

/// The virtual addresses of one router.
#[derive(Clone, Debug, Default)]
pub(super) struct Ownership {
    items: Vec<Item>,
    /// Positions in `items`, in the order of the keys.
    index: Vec<((LinkKey, Prefix), usize)>,
    /// Unanswered requests for addresses that are not (any more) ours to keep where they were.
    orphans: BTreeMap<(LinkKey, Prefix), u32>,
    wanted: bool,
    /// From the start until the first decision: what is ours belongs to a predecessor.
    undecided: bool,
    /// Not later than the earliest `judge_at`.
    judge_next: Option<Instant>,
}

/// What the kernel is known to hold: whether an address is there, and then whether it carries our mark.
pub(super) type Known<'a> = &'a dyn Fn(LinkKey, Prefix) -> Option<bool>;

/// An address to announce, on the interface that holds it.
pub(super) type Announceable = (Interface, Prefix);

impl Ownership {
    /// Addresses of a router that has just been created.
    pub(super) fn new(config: &RouterConfig) -> Self {
        let mut ownership = Self { undecided: true, ..Self::default() };
        ownership.items = items_of(config);
        ownership
    }

    /// Whether the router wants its addresses.
    pub(super) const fn wanted(&self) -> bool {
        self.wanted
    }

    /// Whether every request has been answered.
    pub(super) fn is_settled(&self) -> bool {
        self.orphans.is_empty() && self.items.iter().all(|item| item.outstanding == 0)
    }

    /// Interface and address of each, as far as the interface exists.
    pub(super) fn keys(&self) -> impl Iterator<Item = (LinkKey, Prefix)> {
        self.index.iter().map(|(key, _)| *key)
    }

    /// Addresses the kernel holds or will hold, to be announced.
    pub(super) fn announceable(&self) -> Vec<Announceable> {
        let held = self.items.iter().filter(|item| item.held != Held::Absent);
        held.filter_map(|item| Some((item.link?, item.spec.prefix))).collect()
    }

    /// When [`Ownership::judge`] may have something to do.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.judge_next
    }

    /// When [`Ownership::take_lacking`] may have something to say. `limit` is how long an address may be missing.
    pub(super) fn lacking_timeout(&self, limit: Duration) -> Option<Instant> {
        self.items.iter().filter_map(|item| item.lacking_since).min().map(|since| since + limit)
    }

    /// An address that has been missing for longer than `limit`; told once in that time.
    pub(super) fn take_lacking(&mut self, now: Instant, limit: Duration) -> Option<Prefix> {
        let mut found = None;
        for item in &mut self.items {
            if item.lacking_since.is_some() && item.lacks(now).is_some_and(|since| since + limit <= now) {
                item.lacking_since = Some(now);
                found.get_or_insert(item.spec.prefix);
            }
        }
        found
    }

    /// Asks again for what is wanted and what somebody's removal takes along.
    pub(super) fn restore(
        &mut self,
        taken: &dyn Fn(LinkKey, &Prefix) -> bool,
        operations: &mut Vec<AddressOperation>,
    ) {
        if !self.wanted {
            return;
        }
        for item in &mut self.items {
            if item.held != Held::Foreign
                && (item.held != Held::Absent || item.outstanding > 0 && item.asked_for())
                && item.link.is_some_and(|link| taken(link.key, &item.spec.prefix))
            {
                item.request_now(Verb::Add, operations);
            }
        }
    }

    /// Tells which interfaces exist and what the kernel holds there. An address on an interface that went is
    /// forgotten; on one that came it is asked for if wanted.
    pub(super) fn set_environment(
        &mut self,
        environment: &Environment,
        known: Known<'_>,
        operations: &mut Vec<AddressOperation>,
    ) {
        let mut moved = false;
        for item in &mut self.items {
            let link = environment.interface(&item.interface);
            if item.link.map(|link| link.key) != link.map(|link| link.key) {
                moved = true;
                // The interface may live on under another name: what we added there is not left behind.
                if let Some((old, prefix)) = item.key() {
                    let mut unanswered = item.outstanding;
                    let added = item.asked_for() && (self.wanted || item.outstanding > 0);
                    if item.held != Held::Foreign && (added || known(old, prefix) == Some(true)) {
                        unanswered += 1;
                        operations.push(AddressOperation::new(Verb::Remove, old, item.spec.clone()));
                    }
                    if unanswered > 0 {
                        *self.orphans.entry((old, prefix)).or_default() += unanswered;
                    }
                }
                item.link = link;
                item.outstanding = item.key().and_then(|key| self.orphans.remove(&key)).unwrap_or_default();
                item.last_verb = Verb::Remove;
                item.wanted_again = false;
                item.judge_at = None;
                item.lacking_since = None;
                item.held = Held::Absent;
                item.marked = false;
                item.foreign_told = false;
                if let Some(ours) = item.key().and_then(|(link, prefix)| known(link, prefix)) {
                    item.learn(ours);
                }
                let unwanted = !self.wanted && !self.undecided;
                if self.wanted && !item.will_be_held() {
                    item.request_now(Verb::Add, operations);
                } else if unwanted && item.will_be_held() && item.held == Held::Ours {
                    item.request_now(Verb::Remove, operations);
                }
            }
            item.link = link;
        }
        if moved {
            self.reindex();
        }
    }

    /// Addresses that were found without our mark, to be told once.
    pub(super) fn news_of_foreign(&mut self) -> Vec<ReportKind> {
        self.items.iter_mut().filter_map(Item::news_of_foreign).collect()
    }

    /// Compares with the kernel's whole state, after notifications were lost.
    pub(super) fn resynchronise(&mut self, now: Instant, known: Known<'_>) {
        let keys: Vec<_> = self.keys().collect();
        for key in keys {
            match known(key.0, key.1) {
                Some(ours) => {
                    self.on_present(now, key, ours);
                }
                None => self.on_gone(now, key),
            }
        }
    }

    /// The router becomes master: asks for what is missing. Returns what is there already (adopted or
    /// foreign), which can be announced at once, and how many of these a predecessor left.
    pub(super) fn want(&mut self, operations: &mut Vec<AddressOperation>) -> (Vec<Announceable>, usize) {
        let leftovers = if self.undecided { self.count_ours() } else { 0 };
        self.undecided = false;
        self.wanted = true;
        let mut present = Vec::new();
        for item in &mut self.items {
            item.repairs = 0;
            item.judge_at = None;
            item.lacking_since = None;
            if !item.will_be_held() {
                item.request(Verb::Add, operations);
            } else if let (0, Some(link)) = (item.outstanding, item.link) {
                present.push((link, item.spec.prefix));
            }
        }
        (present, leftovers)
    }

    /// The router is not master (any more): asks for the removal of what is ours, last added first, so that
    /// secondaries go before the primary of their subnet. Returns how many a predecessor left.
    pub(super) fn release(&mut self, operations: &mut Vec<AddressOperation>) -> usize {
        let leftovers = if self.undecided { self.count_ours() } else { 0 };
        let wanted = core::mem::take(&mut self.wanted);
        self.undecided = false;
        for item in self.items.iter_mut().rev() {
            item.repairs = 0;
            item.judge_at = None;
            item.lacking_since = None;
            // "Already gone" is success.
            if (wanted && item.asked_for() || item.will_be_held()) && item.held != Held::Foreign {
                item.request(Verb::Remove, operations);
            }
        }
        leftovers
    }

    /// The router ends without touching the kernel (`-V`).
    pub(super) fn abandon(&mut self) {
        self.items.iter_mut().for_each(|item| item.wanted_again = false);
        self.wanted = false;
        self.undecided = true;
    }

    /// Another router is master: what may still appear of a predecessor is not ours to keep.
    pub(super) const fn decide(&mut self) {
        self.undecided = false;
    }

    /// Whether left-overs of a predecessor wait for a decision.
    pub(super) fn has_leftovers(&self) -> bool {
        self.undecided && self.count_ours() > 0
    }

    /// The kernel tells of an address. Returns what to tell the operator.
    pub(super) fn on_present(
        &mut self,
        now: Instant,
        key: (LinkKey, Prefix),
        ours: bool,
    ) -> Option<ReportKind> {
        let stray = !self.wanted && !self.undecided;
        let item = self.item(key)?;
        if item.held == Held::Absent {
            item.note_held(now);
        }
        item.learn(ours);
        item.vanished = false;
        if item.held == Held::Foreign {
            return item.news_of_foreign();
        }
        if stray && item.outstanding == 0 {
            let at = item.judge_later(now);
            self.judge_no_later_than(at);
        }
        None
    }

    /// The kernel tells that an address is gone.
    pub(super) fn on_gone(&mut self, now: Instant, key: (LinkKey, Prefix)) {
        let wanted = self.wanted;
        let Some(item) = self.item(key) else { return };
        item.held = Held::Absent;
        item.foreign_told = false;
        item.vanished = item.outstanding > 0;
        if wanted && item.outstanding == 0 {
            item.lacking_since.get_or_insert(now);
        }
        if wanted && item.outstanding == 0 && item.judge_at.is_none() {
            let at = item.judge_later(now);
            self.judge_no_later_than(at);
        }
    }

    /// The kernel answered one operation. Returns what to announce, and what to tell.
    pub(super) fn on_outcome(
        &mut self,
        now: Instant,
        outcome: &AddressOutcome,
    ) -> (Option<Announceable>, Option<ReportKind>) {
        let wanted = self.wanted;
        let key = (outcome.link, outcome.prefix);
        if let Some(unanswered) = self.orphans.get_mut(&key) {
            *unanswered -= 1;
            if *unanswered == 0 {
                self.orphans.remove(&key);
            }
            return (None, None);
        }
        let Some(item) = self.item(key) else { return (None, None) };
        item.outstanding = item.outstanding.saturating_sub(1);
        item.refused = outcome.error.is_some();
        if let Some(error) = &outcome.error {
            item.count_attempt(now);
            let at = item.judge_later(now);
            self.judge_no_later_than(at);
            let report = ReportKind::AddressRefused { prefix: outcome.prefix, error: error.clone() };
            return (None, Some(report));
        }
        match outcome.verb {
            Verb::Add => {
                let announceable = item.link.filter(|_| wanted).map(|link| (link, outcome.prefix));
                if item.vanished {
                    // Removed by somebody else before the answer came, or the notification of an earlier removal
                    // of ours came late: announced for the second case, looked at again for the first.
                    let at = item.judge_later(now);
                    self.judge_no_later_than(at);
                    return (announceable, None);
                }
                if item.held == Held::Absent {
                    item.held = Held::Ours;
                    item.note_held(now);
                }
                (announceable.filter(|_| item.will_be_held()), None)
            }
            Verb::Remove => {
                if item.held == Held::Ours {
                    item.held = Held::Absent;
                }
                (None, None)
            }
        }
    }

    /// After answers of the kernel: asks for what had to wait for them.
    pub(super) fn request_again(
        &mut self,
        answered: &[AddressOutcome],
        operations: &mut Vec<AddressOperation>,
    ) {
        for outcome in answered {
            if let Some(item) = self.item((outcome.link, outcome.prefix)) {
                item.request_again(operations);
            }
        }
    }

    /// Looks at every address whose time has come: puts back what somebody removed, removes what is ours
    /// and should not be.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        operations: &mut Vec<AddressOperation>,
        reports: &mut Vec<ReportKind>,
    ) {
        if self.judge_next.is_none_or(|at| at > now) {
            return;
        }
        for item in &mut self.items {
            if item.judge_at.is_none_or(|at| at > now) {
                continue;
            }
            item.judge_at = None;
            if item.outstanding > 0 {
                continue;
            }
            match (self.wanted, item.held) {
                (true, Held::Absent) if item.link.is_some() => {
                    // What the kernel refused nobody has removed: it is tried again, and that counts then.
                    if !core::mem::take(&mut item.refused) {
                        item.count_attempt(now);
                        let (prefix, times) = (item.spec.prefix, item.repairs);
                        reports.push(ReportKind::AddressRepaired { prefix, times });
                    }
                    item.request(Verb::Add, operations);
                }
                (false, Held::Ours) => item.request(Verb::Remove, operations),
                _ => {}
            }
        }
        self.judge_next = self.items.iter().filter_map(|item| item.judge_at).min();
    }

    /// Replaces the list of addresses: what stays keeps its state. When one goes, the kernel may take the
    /// others of its subnet along, so these are put back in the same batch.
    pub(super) fn reconfigure(
        &mut self,
        config: &RouterConfig,
        environment: &Environment,
        known: Known<'_>,
        operations: &mut Vec<AddressOperation>,
    ) {
        let mut old: BTreeMap<(InterfaceName, AddressSpec), Item> = BTreeMap::new();
        for item in core::mem::take(&mut self.items) {
            old.insert((item.interface.clone(), item.spec.clone()), item);
        }
        let mut kept = Vec::new();
        for mut item in items_of(config) {
            if let Some(previous) = old.remove(&(item.interface.clone(), item.spec.clone())) {
                item = previous;
                kept.push(true);
            } else {
                kept.push(false);
            }
            self.items.push(item);
        }
        let mut gone: Vec<Item> = old.into_values().collect();
        for item in gone.iter_mut().rev() {
            let asked_for = self.wanted && item.asked_for();
            let held = item.will_be_held() && !item.wanted_again;
            if (asked_for || held) && item.held != Held::Foreign {
                item.request_now(Verb::Remove, operations);
            }
            if let Some(key) = item.key().filter(|_| item.outstanding > 0) {
                *self.orphans.entry(key).or_default() += item.outstanding;
            }
        }
        gone.retain(|item| item.outstanding > 0 && item.last_verb == Verb::Remove);
        for (item, kept) in self.items.iter_mut().zip(kept) {
            let endangered = kept
                && gone.iter().any(|gone| {
                    gone.link.map(|l| l.key) == item.link.map(|l| l.key)
                        && gone.spec.prefix.length() == item.spec.prefix.length()
                        && gone.spec.prefix.network() == item.spec.prefix.network()
                });
            if self.wanted && endangered && item.held != Held::Foreign {
                item.request_now(Verb::Add, operations);
            }
        }
        // An address whose attributes alone changed is removed above and must be added again.
        let removed: Vec<_> = gone.iter().filter_map(Item::key).collect();
        let known = |link, prefix| if removed.contains(&(link, prefix)) { None } else { known(link, prefix) };
        self.set_environment(environment, &known, operations);
        self.reindex();
    }

    fn judge_no_later_than(&mut self, at: Instant) {
        self.judge_next = Some(self.judge_next.map_or(at, |next| next.min(at)));
    }

    fn item(&mut self, key: (LinkKey, Prefix)) -> Option<&mut Item> {
        let found = self.index.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        let (_, position) = self.index[found];
        self.items.get_mut(position)
    }

    fn count_ours(&self) -> usize {
        self.items.iter().filter(|item| item.held == Held::Ours).count()
    }

    fn reindex(&mut self) {
        let keys = self.items.iter().enumerate();
        self.index = keys.filter_map(|(position, item)| Some((item.key()?, position))).collect();
        // Of two equal ones the later counts.
        self.index.sort_unstable_by_key(|(key, position)| (*key, core::cmp::Reverse(*position)));
        self.index.dedup_by_key(|(key, _)| *key);
        self.index.shrink_to_fit();
    }
}

fn items_of(config: &RouterConfig) -> Vec<Item> {
    let item = |address: &VirtualAddress| Item {
        spec: address.spec.clone(),
        interface: address.interface.clone().unwrap_or_else(|| config.interfaces.addresses.clone()),
        link: None,
        held: Held::Absent,
        outstanding: 0,
        last_verb: Verb::Remove,
        wanted_again: false,
        refused: false,
        foreign_told: false,
        marked: false,
        vanished: false,
        track: address.track,
        lacking_since: None,
        held_since: Instant::ZERO,
        judge_at: None,
        repairs: 0,
        repaired_at: Instant::ZERO,
    };
    config.addresses.iter().chain(&config.excluded).map(item).collect()
}
