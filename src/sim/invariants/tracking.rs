//! What a daemon's trackers must have come to, counted from the results that it was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::kernel::ScriptEnd;
use crate::net::InterfaceName;
use crate::node::NodeConfig;
use crate::time::Instant;
use crate::track::{Effect, Owner, ScriptTracker, Tracker, Verdict};
use crate::vrrp::RouterConfig;
use crate::wire::vrrp::Priority;

/// The verdicts on a daemon's scripts.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    scripts: BTreeMap<Arc<str>, Record>,
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
            if *owner != Owner::Instance(Arc::clone(&router.name)) {
                continue;
            }
            let verdict = match &reference.tracker {
                Tracker::Script(name) => self.verdict(config, name),
                Tracker::Interface(name) if up(name) => Verdict::Good,
                Tracker::Interface(_) => Verdict::Bad,
                Tracker::File(_) | Tracker::Process(_) | Tracker::Bfd(_) => continue,
            };
            match reference.weight.effect(verdict) {
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
