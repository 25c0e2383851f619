//! Random trackers of a machine.

use core::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use super::scenario::pick;
use crate::kernel::{IdRange, Script};
use crate::net::InterfaceName;
use crate::node::NodeConfig;
use crate::prng::Prng;
use crate::time::Duration;
use crate::track::{
    FileTracker, InterfaceDelay, Owner, ParameterMatch, ProcessTracker, ProcessTrackerTiming, Quorum,
    ScriptTest, ScriptTracker, TrackConfig, TrackReference, Tracker, Weight,
};

/// Names of the script, the file and the process tracker that a machine may have.
pub(super) const SCRIPT: &str = "check";
pub(super) const FILE: &str = "load";
pub(super) const PROCESS: &str = "web";

/// The script, a file, a process tracker, and perhaps an interface, that some of the routers depend on. Owners of
/// addresses may, too: with them it changes nothing but faults.
pub(super) fn draw(prng: &mut Prng, config: &NodeConfig, interfaces: &[InterfaceName]) -> TrackConfig {
    let mut tracking = TrackConfig {
        scripts: vec![script(prng)],
        files: vec![file()],
        processes: vec![process(prng)],
        ..TrackConfig::default()
    };
    for router in &config.routers {
        let mut trackers = vec![Tracker::Script(SCRIPT.into())];
        if prng.chance(1, 3) {
            let other = pick(prng, interfaces).filter(|name| Some(*name) != router.interfaces.hears_by());
            trackers.extend(other.cloned().map(Tracker::Interface));
        }
        if prng.chance(1, 2) {
            trackers.push(Tracker::File(FILE.into()));
        }
        if prng.chance(1, 2) {
            trackers.push(Tracker::Process(PROCESS.into()));
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

/// Delays of some interfaces; a loss counts after `longest` at most.
pub(super) fn draw_delays(
    prng: &mut Prng,
    interfaces: &[InterfaceName],
    longest: Duration,
) -> Vec<InterfaceDelay> {
    let delayed = interfaces.iter().filter(|_| prng.chance(1, 2)).cloned().collect::<Vec<_>>();
    let delay = |interface| InterfaceDelay {
        interface,
        down: Duration::from_micros(prng.between(0, crate::time::micros(longest))),
        up: Duration::from_micros(prng.between(0, 3_000_000)),
    };
    delayed.into_iter().map(delay).collect()
}

/// What may be written into the file: mostly small numbers, now and then a fault.
pub(super) fn draw_number(prng: &mut Prng) -> i32 {
    match prng.below(4) {
        0 => 0,
        1 | 2 => prng.between(0, 60) as i32 - 30,
        _ => prng.between(0, 600) as i32 - 300,
    }
}

/// How long the trackers may take until what has changed counts.
pub(super) fn latency(config: &TrackConfig) -> Duration {
    let scripts =
        config.scripts.iter().map(|script| script.interval * (script.rise.max(script.fall).get() + 1));
    let processes = config.processes.iter().map(|p| p.timing.fork_delay.max(p.timing.terminate_delay));
    let interfaces = config.interface_delays.iter().map(|delay| delay.up.max(delay.down));
    let longest = |times: &mut dyn Iterator<Item = Duration>| times.max().unwrap_or_default();
    longest(&mut scripts.chain(processes)) + longest(&mut { interfaces })
}

fn file() -> FileTracker {
    FileTracker { name: FILE.into(), path: "/run/load".into(), weight: Weight::FAULT, initial: None }
}

fn process(prng: &mut Prng) -> ProcessTracker {
    let delay = |prng: &mut Prng| match prng.chance(1, 2) {
        true => Duration::from_millis(prng.between(1, 2_000)),
        false => Duration::ZERO,
    };
    ProcessTracker {
        name: PROCESS.into(),
        process: c"web".to_owned(),
        parameters: Vec::new(),
        parameter_match: ParameterMatch::Ignored,
        weight: Weight::FAULT,
        quorum: match IdRange::new(1, prng.between(1, 3) as u16).filter(|_| prng.chance(1, 3)) {
            Some(range) => Quorum::Between(range),
            None if prng.chance(1, 4) => Quorum::None,
            None => Quorum::AtLeast(NonZeroU16::MIN),
        },
        timing: ProcessTrackerTiming { terminate_delay: delay(prng), fork_delay: delay(prng) },
        full_command: false,
    }
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

/// Any weight.
pub(super) fn weight(prng: &mut Prng) -> Weight {
    let value = match prng.below(3) {
        0 => 0,
        1 => prng.between(1, 100) as i16,
        _ => -(prng.between(1, 254) as i16),
    };
    Weight::new(value, prng.chance(1, 8)).unwrap_or(Weight::FAULT)
}
