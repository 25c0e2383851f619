//! All checks of one daemon: when each is tried, and what its results mean.

mod life;
mod probe;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use self::life::Told;
use self::probe::Probe;
use super::action::{Attempt, CheckActions, Event, LastResult};
use super::pattern::Patterns;
use super::{Checker, CheckerKind, Target};
use crate::prng::Prng;
use crate::time::{Duration, Instant};
use crate::timer::TimerQueue;

/// One check of one real server.
#[derive(Clone, Debug)]
pub struct TargetedCheck<K> {
    /// Who depends on it; no two with the same.
    pub key: K,
    /// The real server.
    pub target: Target,
    /// What to check, and when.
    pub checker: Arc<Checker>,
}

/// What is known of one check.
#[derive(Clone, Copy, Debug)]
pub struct CheckStatus<'a, K> {
    /// Who depends on it.
    pub key: &'a K,
    /// The real server.
    pub target: Target,
    /// What is checked.
    pub checker: &'a Arc<Checker>,
    /// Whether the server is up as far as this check goes; `None` before the first result.
    pub up: Option<bool>,
    /// Whether it rests.
    pub suspended: bool,
    /// The last result.
    pub last: Option<&'a LastResult>,
    /// Why there was none since: the last try could not be made, for want of something of our own.
    pub obstacle: Option<&'a str>,
}

/// The golden ratio as a fraction of 2^64: its multiples divide a circle as evenly as can be at any time.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// All checks. `K` names one check of one real server.
///
/// Checks that say the same of the same target are one probe with many readers.
#[derive(Debug)]
pub struct Checks<K> {
    probes: BTreeMap<u32, Probe<K>>,
    /// Where each key reads.
    keys: BTreeMap<K, u32>,
    /// Equal checks.
    identities: HashMap<(Target, Arc<Checker>), u32>,
    timers: TimerQueue<u32>,
    next_probe: u32,
    random: Prng,
    patterns: Patterns,
    /// Where in its period the next probe begins, in 2^64ths.
    phase: u64,
    /// Counts tries.
    serial: u64,
    /// What tracked files hold; `None` = nothing that can be read.
    numbers: BTreeMap<Arc<str>, Option<i64>>,
    /// State of BFD sessions.
    sessions: BTreeMap<Arc<str>, bool>,
}

impl<K: Clone + Ord> Checks<K> {
    /// No checks. Equal seeds give equal starts, payloads and identifiers.
    pub fn new(seed: u64) -> Self {
        let mut random = Prng::new(seed);
        let phase = random.next_u64();
        Self {
            probes: BTreeMap::new(),
            keys: BTreeMap::new(),
            identities: HashMap::new(),
            timers: TimerQueue::default(),
            next_probe: 0,
            random,
            patterns: Patterns::default(),
            phase,
            serial: 0,
            numbers: BTreeMap::new(),
            sessions: BTreeMap::new(),
        }
    }

    /// Takes these checks in place of all that there were. What stays the same goes on undisturbed, results included;
    /// a check whose times alone change keeps its result. Of a key that is named twice the last one counts.
    pub fn configure(
        &mut self,
        now: Instant,
        checks: impl IntoIterator<Item = TargetedCheck<K>>,
        actions: &mut CheckActions<K>,
    ) {
        let mut wanted: BTreeMap<K, (Target, Arc<Checker>)> = BTreeMap::new();
        for check in checks {
            wanted.insert(check.key, (check.target, check.checker));
        }
        let keys = core::mem::take(&mut self.keys);
        let mut touched = BTreeSet::new();
        let mut left: BTreeMap<K, u32> = keys;
        for (key, identity) in wanted {
            let old = left.remove(&key);
            let id = self.probe_for(now, &identity, old);
            if old != Some(id) {
                let reader = old.and_then(|old| self.probes.get_mut(&old)?.readers.remove(&key));
                touched.extend(old);
                if let Some(probe) = self.probes.get_mut(&id) {
                    probe.readers.insert(key.clone(), reader.unwrap_or_default());
                }
                touched.insert(id);
            }
            self.keys.insert(key, id);
        }
        for (key, old) in left {
            if let Some(probe) = self.probes.get_mut(&old) {
                probe.readers.remove(&key);
            }
            touched.insert(old);
        }
        if !touched.is_empty() {
            self.patterns.clear();
        }
        for id in touched {
            let Some(probe) = self.probes.get_mut(&id) else { continue };
            if probe.readers.is_empty() {
                probe.stop(id, actions);
                self.timers.set(id, None);
                let identity = (probe.target, Arc::clone(&probe.checker));
                self.identities.remove(&identity);
                self.probes.remove(&id);
                continue;
            }
            probe.tell(actions);
            self.settle(now, id, actions);
        }
    }

    /// The probe of this identity, perhaps a new one. `old` is what the key read before.
    fn probe_for(&mut self, now: Instant, identity: &(Target, Arc<Checker>), old: Option<u32>) -> u32 {
        if let Some(&id) = self.identities.get(identity) {
            return id;
        }
        let (target, checker) = identity;
        let mut probe = Probe::new(*target, Arc::clone(checker));
        let before = old.and_then(|old| self.probes.get(&old));
        if let Some(before) = before.filter(|before| before.asks_the_same(&probe)) {
            probe.inherit(before);
        }
        probe.due = now + self.phase(checker.timing.warmup);
        let id = self.next_probe;
        self.next_probe = self.next_probe.wrapping_add(1);
        self.probes.insert(id, probe);
        self.identities.insert(identity.clone(), id);
        id
    }

    /// A part of this time, such that many begin evenly within it.
    fn phase(&mut self, within: Duration) -> Duration {
        self.phase = self.phase.wrapping_add(GOLDEN);
        let us = (u128::from(crate::time::micros(within)) * u128::from(self.phase)) >> 64;
        Duration::from_micros(u64::try_from(us).unwrap_or(0))
    }

    /// Takes what is known without asking, and sets the timer of a probe.
    fn settle(&mut self, now: Instant, id: u32, actions: &mut CheckActions<K>) {
        let Some(probe) = self.probes.get_mut(&id) else { return };
        match &probe.checker.kind {
            CheckerKind::File(file) => {
                if let Some(number) = self.numbers.get(&file.tracker) {
                    probe.take_number(now, *number, actions);
                }
            }
            CheckerKind::Bfd(session) => {
                if let Some(up) = self.sessions.get(session) {
                    probe.take_session(now, *up, actions);
                }
            }
            _ => {
                if probe.rests() {
                    probe.stop(id, actions);
                }
                self.timers.set(id, probe.wakes_at());
            }
        }
    }

    /// `ha_suspend`: the check rests, or goes on. A probe rests when all its readers do.
    pub fn suspend(&mut self, now: Instant, key: &K, suspended: bool, actions: &mut CheckActions<K>) {
        let Some(&id) = self.keys.get(key) else { return };
        let Some(probe) = self.probes.get_mut(&id) else { return };
        let rested = probe.rests();
        let Some(reader) = probe.readers.get_mut(key) else { return };
        if reader.suspended == suspended {
            return;
        }
        reader.suspended = suspended;
        if rested {
            let warmup = probe.checker.timing.warmup;
            let due = now + self.phase(warmup);
            if let Some(probe) = self.probes.get_mut(&id) {
                probe.due = due;
            }
        }
        if let Some(probe) = self.probes.get_mut(&id) {
            probe.tell(actions);
        }
        self.settle(now, id, actions);
    }

    /// An event of a try. Those of tries that are over are ignored.
    pub fn handle(
        &mut self,
        now: Instant,
        attempt: Attempt,
        event: &Event<'_>,
        actions: &mut CheckActions<K>,
    ) {
        let Some(probe) = self.probes.get_mut(&attempt.probe) else { return };
        if probe.handle(now, attempt, event, actions) {
            self.timers.set(attempt.probe, probe.wakes_at());
        }
    }

    /// The number in a tracked file, for `FILE_CHECK`; `None` = there is none.
    pub fn file(
        &mut self,
        now: Instant,
        tracker: &Arc<str>,
        number: Option<i64>,
        actions: &mut CheckActions<K>,
    ) {
        self.numbers.insert(Arc::clone(tracker), number);
        for probe in self.probes.values_mut() {
            if matches!(&probe.checker.kind, CheckerKind::File(file) if file.tracker == *tracker) {
                probe.take_number(now, number, actions);
            }
        }
    }

    /// The state of a BFD session, for `BFD_CHECK`.
    pub fn session(&mut self, now: Instant, name: &Arc<str>, up: bool, actions: &mut CheckActions<K>) {
        self.sessions.insert(Arc::clone(name), up);
        for probe in self.probes.values_mut() {
            if matches!(&probe.checker.kind, CheckerKind::Bfd(session) if session == name) {
                probe.take_session(now, up, actions);
            }
        }
    }

    /// When [`Checks::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Begins what is due and ends what took too long. To be called after the events that have arrived: what came in
    /// time counts, however late it is read.
    pub fn handle_timeout(&mut self, now: Instant, actions: &mut CheckActions<K>) {
        // Each once: what is due again at once is for the next call, after the events that come until then.
        let mut served = Vec::new();
        while let Some((_, id)) = self.timers.pop_due(now) {
            let Some(probe) = self.probes.get_mut(&id) else { continue };
            self.serial += 1;
            let attempt = Attempt { probe: id, serial: self.serial };
            probe.handle_timeout(now, attempt, &mut self.random, &mut self.patterns, actions);
            served.push((id, probe.wakes_at()));
        }
        for (id, at) in served {
            self.timers.set(id, at);
        }
    }

    /// What is known of all checks, by key.
    pub fn statuses(&self) -> impl Iterator<Item = CheckStatus<'_, K>> {
        self.keys.iter().filter_map(|(key, id)| {
            let probe = self.probes.get(id)?;
            Some(CheckStatus {
                key,
                target: probe.target,
                checker: &probe.checker,
                up: probe.life.up(),
                suspended: probe.readers.get(key).is_some_and(|reader| reader.suspended),
                last: probe.last.as_ref(),
                obstacle: probe.obstacle.as_deref(),
            })
        })
    }

    /// How many probes there are: equal checks of one target are one.
    pub fn probes(&self) -> usize {
        self.probes.len()
    }
}
