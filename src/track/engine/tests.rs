//! Tests of the trackers of a node.

use core::num::NonZeroU32;

use super::*;
use crate::kernel::Script;
use crate::time::Duration;
use crate::track::{FileTracker, ParameterMatch, ProcessTrackerTiming, Quorum, ScriptTest, Weight};

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn script(name: &str, seconds: u64) -> ScriptTracker {
    ScriptTracker {
        name: name.into(),
        test: ScriptTest::Run(Script::new(c"/bin/check".to_owned())),
        interval: Duration::from_secs(seconds),
        timeout: Duration::from_secs(seconds),
        weight: Weight::FAULT,
        rise: NonZeroU32::MIN,
        fall: NonZeroU32::MIN,
        starts_failed: false,
    }
}

fn reference(owner: &str, tracker: Tracker, weight: i16) -> (Owner, TrackReference) {
    let weight = Weight::new(weight, false).unwrap();
    (Owner::Instance(owner.into()), TrackReference { tracker, weight })
}

/// Routers 1 and 2 are named so.
fn configure(trackers: &mut Trackers<u8>, now: Instant, config: &TrackConfig) -> BTreeSet<u8> {
    let find = |owner: &Owner| match owner {
        Owner::Instance(name) => name.parse().into_iter().collect(),
        Owner::SyncGroup(_) => vec![1, 2],
    };
    trackers.configure(now, config, find, |_| true)
}

fn due(trackers: &mut Trackers<u8>, now: Instant) -> Vec<String> {
    let mut names = Vec::new();
    trackers.handle_timeout(now, &mut |due| match due {
        Due::Run(name) => names.push(name.to_string()),
        Due::Changed(tracker) => names.push(tracker.to_string()),
    });
    names
}

fn effects(trackers: &Trackers<u8>, router: u8) -> Vec<Effect> {
    trackers.effects(router).map(|(_, effect)| effect).collect()
}

fn config() -> TrackConfig {
    TrackConfig {
        scripts: vec![script("a", 2), script("b", 3), script("unused", 1)],
        references: vec![
            reference("1", Tracker::Script("a".into()), 0),
            reference("1", Tracker::Script("b".into()), 20),
            (
                Owner::SyncGroup("g".into()),
                TrackReference { tracker: Tracker::Script("b".into()), weight: Weight::FAULT },
            ),
        ],
        ..TrackConfig::default()
    }
}

#[test]
fn verdicts_reach_those_who_depend_on_them() {
    let mut trackers = Trackers::default();
    configure(&mut trackers, at(0), &config());
    assert_eq!(effects(&trackers, 1), [Effect::Pending, Effect::Weight(0), Effect::Pending]);
    assert_eq!(due(&mut trackers, at(0)), ["a", "b"], "what nobody depends on is not run");
    assert_eq!(trackers.note_script(&"unused".into(), ScriptEnd::Success), None);
    assert_eq!(trackers.note_script(&"unknown".into(), ScriptEnd::Success), None);

    let b = trackers.note_script(&"b".into(), ScriptEnd::Success).unwrap();
    assert_eq!(trackers.dependents(&b).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(effects(&trackers, 1), [Effect::Pending, Effect::Weight(20), Effect::Weight(0)]);
    assert_eq!(effects(&trackers, 2), [Effect::Weight(0)]);
    assert!(trackers.note_script(&"a".into(), ScriptEnd::Failure).is_some());
    assert_eq!(effects(&trackers, 1)[0], Effect::Fault);

    assert_eq!(trackers.poll_timeout(), Some(at(2)));
    assert_eq!(due(&mut trackers, at(2)), ["a"]);
    assert_eq!(due(&mut trackers, at(3)), ["b"]);
    assert_eq!(trackers.note_script(&"b".into(), ScriptEnd::Success), None, "no news");
}

#[test]
fn a_reload_keeps_what_was_found_out() {
    let mut trackers = Trackers::default();
    let before = config();
    configure(&mut trackers, at(0), &before);
    assert_eq!(due(&mut trackers, at(0)).len(), 2);
    assert!(trackers.note_script(&"a".into(), ScriptEnd::Failure).is_some());
    assert!(trackers.note_script(&"b".into(), ScriptEnd::Success).is_some());

    // In another order, the first one with another weight, the second one another program.
    let mut after = before;
    after.scripts.reverse();
    after.references[0].1.weight = Weight::new(-30, false).unwrap();
    after.scripts[1].test = ScriptTest::Run(Script::new(c"/bin/other".to_owned()));
    configure(&mut trackers, at(1), &after);
    assert_eq!(effects(&trackers, 1), [Effect::Weight(-30), Effect::Weight(0), Effect::Pending]);
    assert_eq!(due(&mut trackers, at(1)), ["b"]);
    assert_eq!(due(&mut trackers, at(2)), ["a"]);

    configure(&mut trackers, at(3), &TrackConfig::default());
    assert_eq!((trackers.poll_timeout(), effects(&trackers, 1)), (None, vec![]));
}

fn file(path: &str) -> FileTracker {
    FileTracker { name: "f".into(), path: path.into(), weight: Weight::FAULT, initial: None }
}

fn process(fork_delay: u64) -> ProcessTracker {
    ProcessTracker {
        name: "p".into(),
        process: c"p".to_owned(),
        parameters: Vec::new(),
        parameter_match: ParameterMatch::Ignored,
        weight: Weight::FAULT,
        quorum: Quorum::AtLeast(core::num::NonZeroU16::MIN),
        timing: ProcessTrackerTiming {
            terminate_delay: Duration::ZERO,
            fork_delay: Duration::from_secs(fork_delay),
        },
        full_command: false,
    }
}

#[test]
fn interfaces_are_tracked() {
    let eth1 = Tracker::Interface("eth1".parse().unwrap());
    let config =
        TrackConfig { references: vec![reference("1", eth1.clone(), -10)], ..TrackConfig::default() };
    let mut trackers = Trackers::default();
    configure(&mut trackers, at(0), &config);
    assert_eq!(effects(&trackers, 1), [Effect::Weight(0)]);
    assert_eq!(trackers.note_link(&"eth1".parse().unwrap(), false), Some(eth1));
    assert_eq!(trackers.note_link(&"eth1".parse().unwrap(), false), None);
    assert_eq!(trackers.note_link(&"eth2".parse().unwrap(), false), None);
    assert_eq!(effects(&trackers, 1), [Effect::Weight(-10)]);
}

#[test]
fn files_are_tracked_by_their_paths() {
    let tracker = Tracker::File("f".into());
    let mut config = TrackConfig {
        files: vec![file("/run/a")],
        references: vec![reference("1", tracker.clone(), 2)],
        ..TrackConfig::default()
    };
    let mut trackers = Trackers::default();
    configure(&mut trackers, at(0), &config);
    assert_eq!(effects(&trackers, 1), [Effect::Pending], "it is read before anything else happens");
    assert_eq!(trackers.note_file(&"f".into(), FileReading::Number(7)), Some(tracker.clone()));
    assert_eq!(trackers.note_file(&"f".into(), FileReading::Number(7)), None);
    assert_eq!(trackers.note_file(&"g".into(), FileReading::Number(7)), None);
    assert_eq!(effects(&trackers, 1), [Effect::Weight(14)]);
    assert!(configure(&mut trackers, at(1), &config).is_empty());
    config.files = vec![file("/run/b")];
    assert_eq!(configure(&mut trackers, at(2), &config), BTreeSet::from([1]));
    assert_eq!(effects(&trackers, 1), [Effect::Pending]);
    assert_eq!(trackers.note_file(&"f".into(), FileReading::Unreadable), Some(tracker));
    assert_eq!(effects(&trackers, 1), [Effect::Weight(0)]);
    config.references = vec![reference("1", Tracker::File("f".into()), 0)];
    configure(&mut trackers, at(3), &config);
    assert_eq!(effects(&trackers, 1), [Effect::Fault]);
}

#[test]
fn processes_are_tracked_with_their_delays() {
    let tracker = Tracker::Process("p".into());
    let mut config = TrackConfig {
        processes: vec![process(5)],
        references: vec![reference("1", tracker.clone(), 0), reference("2", tracker.clone(), 10)],
        ..TrackConfig::default()
    };
    let mut trackers = Trackers::default();
    configure(&mut trackers, at(0), &config);
    assert_eq!(
        (effects(&trackers, 1), effects(&trackers, 2)),
        (vec![Effect::Pending], vec![Effect::Pending])
    );
    assert_eq!(trackers.note_processes(at(0), &"p".into(), 0), Some(tracker.clone()));
    assert_eq!(
        (effects(&trackers, 1), effects(&trackers, 2)),
        (vec![Effect::Fault], vec![Effect::Weight(0)])
    );
    assert_eq!(trackers.note_processes(at(1), &"p".into(), 2), None, "not yet");
    assert_eq!(trackers.note_processes(at(1), &"q".into(), 2), None);
    assert_eq!(trackers.poll_timeout(), Some(at(6)));
    assert!(configure(&mut trackers, at(2), &config).is_empty());
    assert_eq!(trackers.poll_timeout(), Some(at(6)), "a reload keeps what runs");
    assert_eq!(due(&mut trackers, at(6)), ["process p"]);
    assert_eq!(
        (effects(&trackers, 1), effects(&trackers, 2)),
        (vec![Effect::Weight(0)], vec![Effect::Weight(10)])
    );
    config.processes[0].process = c"other".to_owned();
    assert_eq!(configure(&mut trackers, at(7), &config), BTreeSet::from([1, 2]));
    assert_eq!(effects(&trackers, 2), [Effect::Pending]);
}

#[test]
fn a_reload_names_those_to_whom_something_is_another_thing() {
    let mut trackers = Trackers::default();
    let mut config = config();
    assert_eq!(configure(&mut trackers, at(0), &config), BTreeSet::from([1, 2]));
    assert_eq!(configure(&mut trackers, at(0), &config), BTreeSet::new());
    config.references[0].1.weight = Weight::new(5, false).unwrap();
    assert_eq!(configure(&mut trackers, at(0), &config), BTreeSet::from([1]));
    config.scripts[1].test = ScriptTest::Run(Script::new(c"/bin/other".to_owned()));
    assert_eq!(configure(&mut trackers, at(0), &config), BTreeSet::from([1, 2]));
    config.references.pop();
    assert_eq!(configure(&mut trackers, at(0), &config), BTreeSet::from([1, 2]));
}
