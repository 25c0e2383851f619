//! Random trackers of a machine.

use core::num::NonZeroU32;
use std::sync::Arc;

use super::scenario::pick;
use crate::kernel::Script;
use crate::net::InterfaceName;
use crate::node::NodeConfig;
use crate::prng::Prng;
use crate::time::Duration;
use crate::track::{Owner, ScriptTest, ScriptTracker, TrackConfig, TrackReference, Tracker, Weight};

/// Name of the script that a machine may have.
pub(super) const SCRIPT: &str = "check";

/// The script, and perhaps an interface, that some of the routers depend on. Owners of addresses may, too: with them it
/// changes nothing but faults.
pub(super) fn draw(prng: &mut Prng, config: &NodeConfig, interfaces: &[InterfaceName]) -> TrackConfig {
    let mut tracking = TrackConfig { scripts: vec![script(prng)], ..TrackConfig::default() };
    for router in &config.routers {
        let mut trackers = vec![Tracker::Script(SCRIPT.into())];
        if prng.chance(1, 3) {
            let other = pick(prng, interfaces).filter(|name| Some(*name) != router.interfaces.hears_by());
            trackers.extend(other.cloned().map(Tracker::Interface));
        }
        for tracker in trackers {
            if prng.chance(1, 3) {
                continue;
            }
            let owner = Owner::Instance(Arc::clone(&router.name));
            tracking.references.push((owner, TrackReference { tracker, weight: weight(prng) }));
        }
    }
    tracking
}

/// How long the scripts may take to find out what has changed.
pub(super) fn latency(config: &TrackConfig) -> Duration {
    let longest = |script: &ScriptTracker| script.interval * (script.rise.max(script.fall).get() + 1);
    config.scripts.iter().map(longest).max().unwrap_or_default()
}

fn script(prng: &mut Prng) -> ScriptTracker {
    let interval = Duration::from_millis(prng.between(50, 1_000));
    let count = |prng: &mut Prng| NonZeroU32::new(prng.between(1, 3) as u32).unwrap_or(NonZeroU32::MIN);
    ScriptTracker {
        name: SCRIPT.into(),
        test: ScriptTest::Run(Script::new(c"/bin/check".to_owned())),
        interval,
        timeout: interval,
        weight: Weight::FAULT,
        rise: count(prng),
        fall: count(prng),
        starts_failed: prng.chance(1, 4),
    }
}

fn weight(prng: &mut Prng) -> Weight {
    let value = match prng.below(3) {
        0 => 0,
        1 => prng.between(1, 100) as i16,
        _ => -(prng.between(1, 254) as i16),
    };
    Weight::new(value, prng.chance(1, 8)).unwrap_or(Weight::FAULT)
}
