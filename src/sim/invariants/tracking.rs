//! What a daemon's trackers must have come to, counted from the results that it was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::kernel::{Link, ScriptEnd};
use crate::net::{InterfaceIndex, InterfaceName};
use crate::node::NodeConfig;
use crate::sim::table::Table;
use crate::time::{Duration, Instant};
use crate::track::{Effect, FileReading, Owner, ProcessTracker, ScriptTracker, Tracker, Verdict};
use crate::vrrp::RouterConfig;
use crate::wire::vrrp::Priority;

/// The verdicts on a daemon's scripts, processes and files.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    scripts: BTreeMap<Arc<str>, Record>,
    files: BTreeMap<Arc<str>, FileReading>,
    processes: BTreeMap<Arc<str>, (u32, Opinion)>,
    /// When one of them last changed (simulator's time).
    pub changed: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    verdict: Verdict,
    /// The last results, the newest in the lowest bit: 1 = success.
    results: u64,
    count: u32,
}

/// What counts, and since when the contrary has been seen, which counts when it has lasted for a time (machine's clock).
#[derive(Clone, Copy, Debug)]
struct Opinion {
    counts: bool,
    contrary: Option<(Instant, Duration)>,
}

impl Opinion {
    const fn new(counts: bool) -> Self {
        Self { counts, contrary: None }
    }

    fn see(&mut self, local: Instant, value: bool, delay: Duration) {
        self.contrary = (value != self.counts).then_some(self.contrary.unwrap_or((local, delay)));
    }

    /// Returns whether it is another one now.
    fn settle(&mut self, local: Instant) -> bool {
        let turns = self.contrary.is_some_and(|(since, delay)| local.saturating_since(since) >= delay);
        if turns {
            *self = Self::new(!self.counts);
        }
        turns
    }
}

/// Which interfaces count as up: those with `interface_up_down_delays` when it has lasted. Delays must be too short to
/// be cut.
#[derive(Clone, Debug, Default)]
pub struct LinkOpinions(BTreeMap<InterfaceName, (InterfaceIndex, Opinion)>);

impl LinkOpinions {
    /// The daemon was told of its interfaces.
    pub fn note(&mut self, local: Instant, config: &NodeConfig, links: &Table<InterfaceIndex, Link>) {
        let before = core::mem::take(&mut self.0);
        for line in &config.tracking.interface_delays {
            let Some(link) = links.values().find(|link| link.name == line.interface) else { continue };
            let known = before.get(&line.interface).filter(|(key, _)| *key == link.key);
            let opinion = known.map_or_else(
                || Opinion::new(link.usable()),
                |(_, opinion)| {
                    let mut opinion = *opinion;
                    opinion.see(local, link.usable(), if link.usable() { line.up } else { line.down });
                    opinion
                },
            );
            self.0.insert(line.interface.clone(), (link.key, opinion));
        }
    }

    /// All that it was told at this time has been noted. Returns whether something counts that did not.
    pub fn settle(&mut self, local: Instant) -> bool {
        self.0.values_mut().fold(false, |changed, (_, opinion)| opinion.settle(local) || changed)
    }

    /// Whether an interface counts as up.
    pub fn up(&self, link: &Link) -> bool {
        match self.0.get(&link.name) {
            Some((key, opinion)) if *key == link.key => opinion.counts,
            _ => link.usable(),
        }
    }
}

/// What follows for a router.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standard {
    /// Its effective priority.
    pub priority: Priority,
    /// Whether trackers keep it from taking part.
    pub fault: bool,
    /// Whether one may do so that has not found out yet.
    pub pending: bool,
}

impl Verdicts {
    /// A script has ended: as many equal results in a row as it needs make a verdict, the first one does alone.
    pub fn note(&mut self, at: Instant, config: &NodeConfig, name: &Arc<str>, end: ScriptEnd) {
        let Some(script) = config.tracking.scripts.iter().find(|script| script.name == *name) else { return };
        let success = match end {
            ScriptEnd::Success => true,
            ScriptEnd::Failure => false,
            ScriptEnd::Lost => return,
        };
        let fresh = || Record { verdict: before_any_result(script), ..Record::default() };
        let record = self.scripts.entry(Arc::clone(name)).or_insert_with(fresh);
        record.results = record.results << 1 | u64::from(success);
        record.count = record.count.saturating_add(1).min(64);
        let needed = match (record.verdict, success) {
            (Verdict::Unknown, _) => 1,
            (_, true) => script.rise.get(),
            (_, false) => script.fall.get(),
        };
        let last = if success { record.results.trailing_ones() } else { record.results.trailing_zeros() };
        let verdict = if success { Verdict::Good } else { Verdict::Bad };
        if verdict != record.verdict && last.min(record.count) >= needed {
            record.verdict = verdict;
            self.changed = at;
        }
    }

    /// What the process before has found out about a script counts until it is run again.
    pub fn presume(&mut self, name: &Arc<str>, good: bool) {
        let verdict = if good { Verdict::Good } else { Verdict::Bad };
        self.scripts.insert(Arc::clone(name), Record { verdict, ..Record::default() });
    }

    /// A file was read.
    pub fn note_file(&mut self, at: Instant, name: &Arc<str>, reading: FileReading) {
        if self.files.insert(Arc::clone(name), reading) != Some(reading) {
            self.changed = at;
        }
    }

    /// Processes were counted.
    pub fn note_processes(
        &mut self,
        (at, local): (Instant, Instant),
        config: &NodeConfig,
        name: &Arc<str>,
        count: u32,
    ) {
        let Some(tracker) = process(config, name) else { return };
        let met = tracker.quorum.is_met(count);
        match self.processes.get_mut(name) {
            None => {
                self.processes.insert(Arc::clone(name), (count, Opinion::new(met)));
                self.changed = at;
            }
            Some((before, opinion)) => {
                let timing = tracker.timing;
                let delay = if count < *before { timing.terminate_delay } else { timing.fork_delay };
                *before = count;
                opinion.see(local, met, delay);
            }
        }
    }

    /// All that the daemon was told at this time has been noted. Returns whether something counts that did not.
    pub fn settle(&mut self, local: Instant) -> bool {
        self.processes.values_mut().fold(false, |changed, (_, opinion)| opinion.settle(local) || changed)
    }

    /// Another configuration: scripts that are others now have no results yet.
    pub fn reconfigure(&mut self, at: Instant, before: &NodeConfig, after: &NodeConfig) {
        let test = |config: &NodeConfig, name: &Arc<str>| {
            config
                .tracking
                .scripts
                .iter()
                .find(|script| script.name == *name)
                .map(|script| script.test.clone())
        };
        self.scripts.retain(|name, _| test(after, name).is_some() && test(before, name) == test(after, name));
        let path = |config: &NodeConfig, name: &Arc<str>| {
            config.tracking.files.iter().find(|file| file.name == *name).map(|file| Arc::clone(&file.path))
        };
        self.files.retain(|name, _| path(after, name).is_some() && path(before, name) == path(after, name));
        self.processes.retain(|name, (count, opinion)| match (process(before, name), process(after, name)) {
            (Some(old), Some(new)) if old.counts_the_same(new) => {
                if old.quorum != new.quorum {
                    *opinion = Opinion::new(new.quorum.is_met(*count));
                }
                true
            }
            _ => false,
        });
        if before.tracking != after.tracking {
            self.changed = at;
        }
    }

    fn verdict(&self, config: &NodeConfig, name: &Arc<str>) -> Verdict {
        let script = config.tracking.scripts.iter().find(|script| script.name == *name);
        let before = script.map_or(Verdict::Unknown, before_any_result);
        self.scripts.get(name).map_or(before, |record| record.verdict)
    }

    /// What they make of a router. `up` tells of interfaces.
    pub fn standard(
        &self,
        config: &NodeConfig,
        router: &RouterConfig,
        up: impl Fn(&InterfaceName) -> bool,
    ) -> Standard {
        let mut sum = i32::from(router.priority.0);
        let (mut fault, mut pending) = (false, false);
        for (owner, reference) in &config.tracking.references {
            let concerns = match owner {
                Owner::Instance(name) => *name == router.name,
                Owner::SyncGroup(name) => config
                    .sync_groups
                    .iter()
                    .any(|group| group.name == *name && group.members.contains(&router.name)),
            };
            if !concerns {
                continue;
            }
            let weight = reference.weight;
            let effect = match &reference.tracker {
                Tracker::Script(name) => weight.effect(self.verdict(config, name)),
                Tracker::Interface(name) if up(name) => weight.effect(Verdict::Good),
                Tracker::Interface(_) => weight.effect(Verdict::Bad),
                Tracker::File(name) => weight.effect_of_reading(self.files.get(name).copied()),
                Tracker::Process(name) => match self.processes.get(name) {
                    None => Effect::Pending,
                    Some((_, Opinion { counts: true, .. })) => weight.effect(Verdict::Good),
                    Some(_) => weight.effect(Verdict::Bad),
                },
                Tracker::Bfd(_) => continue,
            };
            match effect {
                Effect::Fault => fault = true,
                Effect::Pending => pending = true,
                Effect::Weight(weight) => sum += weight,
            }
        }
        let priority = match router.priority {
            Priority::OWNER => Priority::OWNER,
            // Within 1 and 254.
            _ => Priority(sum.clamp(1, 254) as u8),
        };
        Standard { priority, fault, pending }
    }
}

/// `init_fail`: a failure is assumed.
const fn before_any_result(script: &ScriptTracker) -> Verdict {
    if script.starts_failed { Verdict::Bad } else { Verdict::Unknown }
}

fn process<'a>(config: &'a NodeConfig, name: &Arc<str>) -> Option<&'a ProcessTracker> {
    config.tracking.processes.iter().find(|process| process.name == *name)
}
