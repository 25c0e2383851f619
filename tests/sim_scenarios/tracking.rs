//! Trackers that move priorities and cause faults.

use core::num::{NonZeroU16, NonZeroU32};

use alived::kernel::Script;
use alived::node::NodeConfig;
use alived::sim::network::SegmentId;
use alived::sim::{Fault, MachineSpec};
use alived::time::Duration;
use alived::track::{
    FileTracker, InterfaceDelay, Owner, ParameterMatch, ProcessTracker, ProcessTrackerTiming, Quorum,
    ScriptTest, ScriptTracker, TrackConfig, TrackReference, Tracker, Weight,
};
use alived::vrrp::State;
use alived::wire::vrrp::Priority;

use super::lan::{Lan, NAME, R1, R2, centiseconds, node, router};

pub(crate) const CHECK: &str = "check";

fn script() -> ScriptTracker {
    ScriptTracker {
        name: CHECK.into(),
        test: ScriptTest::Run(Script::new(c"/bin/check".to_owned())),
        interval: Duration::from_millis(500),
        timeout: Duration::from_millis(500),
        weight: Weight::FAULT,
        rise: NonZeroU32::new(2).unwrap(),
        fall: NonZeroU32::new(3).unwrap(),
        starts_failed: false,
    }
}

pub(crate) const LOAD: &str = "load";
pub(crate) const WEB: &str = "web";

fn file() -> FileTracker {
    FileTracker { name: LOAD.into(), path: "/run/load".into(), weight: Weight::FAULT, initial: None }
}

/// One must run; a start counts after 1 s, an end after 2 s.
fn process() -> ProcessTracker {
    ProcessTracker {
        name: WEB.into(),
        process: c"web".to_owned(),
        parameters: Vec::new(),
        parameter_match: ParameterMatch::Ignored,
        weight: Weight::FAULT,
        quorum: Quorum::AtLeast(NonZeroU16::MIN),
        timing: ProcessTrackerTiming {
            terminate_delay: Duration::from_secs(2),
            fork_delay: Duration::from_secs(1),
        },
        full_command: false,
    }
}

/// A router of priority 110 that depends on the script, or on something else, by this weight.
pub(crate) fn tracking(tracker: Tracker, weight: i16) -> NodeConfig {
    let reference = TrackReference { tracker, weight: Weight::new(weight, false).unwrap() };
    let tracking = TrackConfig {
        scripts: vec![script()],
        files: vec![file()],
        processes: vec![process()],
        references: vec![(Owner::Instance(NAME.into()), reference)],
        ..TrackConfig::default()
    };
    NodeConfig { tracking: tracking.into(), ..node(router(110)) }
}

fn pair(first: NodeConfig) -> Lan {
    let machine = |config| MachineSpec { config, ..MachineSpec::default() };
    let mut lan = Lan::of(vec![machine(first), machine(node(router(100)))]);
    lan.start_all();
    lan
}

fn of_script(weight: i16) -> Lan {
    pair(tracking(Tracker::Script(CHECK.into()), weight))
}

#[test]
fn a_failing_check_lowers_the_priority_until_it_succeeds_again() {
    let mut lan = of_script(-20);
    lan.assert_served_by(R1);
    let failing = lan.now();
    lan.apply(Fault::ScriptFails(R1, CHECK.into(), true));
    lan.settle();
    lan.assert_served_by(R2);
    lan.assert_state(R1, State::Backup);
    // Three runs in a row, then the master's next advertisement tells.
    let told = lan.delay(failing, "Changing effective priority from 110 to 90");
    assert!((1_000..=1_600).contains(&told), "{told} ms");
    let mended = lan.now();
    lan.apply(Fault::ScriptFails(R1, CHECK.into(), false));
    lan.settle();
    lan.assert_served_by(R1);
    assert!(lan.delay(mended, "Changing effective priority from 90 to 110") <= 1_100);
}

#[test]
fn a_good_check_adds_to_the_priority() {
    let mut lan = of_script(20);
    assert_eq!(lan.since(alived::time::Instant::ZERO, "from 110 to 130").len(), 1);
    lan.assert_served_by(R1);
    lan.apply(Fault::ScriptFails(R1, CHECK.into(), true));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn without_a_weight_a_failure_is_a_fault() {
    let mut lan = of_script(0);
    lan.assert_served_by(R1);
    let failing = lan.now();
    lan.apply(Fault::ScriptFails(R1, CHECK.into(), true));
    lan.settle();
    lan.assert_served_by(R2);
    lan.assert_state(R1, State::Fault);
    assert_eq!(lan.since(failing, "MASTER -> FAULT: script check failed").len(), 1);
    lan.apply(Fault::ScriptFails(R1, CHECK.into(), false));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_router_does_not_start_before_its_checks_have_a_result() {
    let machine = |config| MachineSpec { config, ..MachineSpec::default() };
    let mut lan =
        Lan::of(vec![machine(tracking(Tracker::Script(CHECK.into()), 0)), machine(node(router(100)))]);
    lan.apply(Fault::ScriptFails(R1, CHECK.into(), true));
    let start = lan.now();
    lan.start_all();
    lan.assert_served_by(R2);
    lan.assert_state(R1, State::Fault);
    assert_eq!(lan.since(start, "INIT -> FAULT: script check failed").len(), 1);
}

#[test]
fn a_reload_keeps_results() {
    let mut lan = of_script(0);
    lan.apply(Fault::ScriptFails(R1, CHECK.into(), true));
    lan.settle();
    lan.assert_state(R1, State::Fault);
    let reloaded = lan.now();
    lan.apply(Fault::Reloaded(R1, tracking(Tracker::Script(CHECK.into()), -5)));
    lan.run(10);
    assert_eq!(lan.since(reloaded, "Changing effective priority from 110 to 105").len(), 1);
    lan.settle();
    lan.assert_served_by(R1);
    // Without the script nothing holds the router back, and nothing is run.
    lan.apply(Fault::Reloaded(R1, node(router(110))));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn the_loss_of_a_tracked_interface_counts() {
    for (weight, state) in [(0, State::Fault), (-50, State::Backup)] {
        let mut lan = pair(tracking(Tracker::Interface("eth1".parse().unwrap()), weight));
        lan.assert_served_by(R1);
        lan.apply(Fault::CablePulled(R1, SegmentId(1)));
        lan.settle();
        lan.assert_served_by(R2);
        lan.assert_state(R1, state);
        lan.apply(Fault::CablePlugged(R1, SegmentId(1)));
        lan.settle();
        lan.assert_served_by(R1);
    }
}

#[test]
fn a_number_in_a_file_is_multiplied_and_added() {
    let mut lan = pair(tracking(Tracker::File(LOAD.into()), -2));
    lan.assert_served_by(R1);
    let written = lan.now();
    lan.apply(Fault::FileWritten(R1, LOAD.into(), 6));
    lan.settle();
    lan.assert_served_by(R2);
    lan.assert_state(R1, State::Backup);
    assert!(lan.delay(written, "Changing effective priority from 110 to 98") <= 100);
    // 127 times -2 is a fault, 126 times is not.
    for (number, state) in [(127, State::Fault), (126, State::Backup)] {
        lan.apply(Fault::FileWritten(R1, LOAD.into(), number));
        lan.settle();
        lan.assert_state(R1, state);
    }
    lan.apply(Fault::FileWritten(R1, LOAD.into(), 0));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_router_starts_with_what_its_files_and_processes_say() {
    for (fault, tracker) in [
        (Fault::FileWritten(R1, LOAD.into(), 1), Tracker::File(LOAD.into())),
        (Fault::ProcessesRun(R1, WEB.into(), 0), Tracker::Process(WEB.into())),
    ] {
        let machine = |config| MachineSpec { config, ..MachineSpec::default() };
        let mut lan = Lan::of(vec![machine(tracking(tracker.clone(), 0)), machine(node(router(100)))]);
        lan.apply(fault);
        let start = lan.now();
        lan.start_all();
        lan.assert_served_by(R2);
        lan.assert_state(R1, State::Fault);
        assert_eq!(lan.since(start, &format!("INIT -> FAULT: {tracker} failed")).len(), 1);
    }
}

#[test]
fn a_quorum_of_processes_counts_after_its_delays() {
    let machine = |config| MachineSpec { config, ..MachineSpec::default() };
    let first = tracking(Tracker::Process(WEB.into()), 0);
    let mut lan = Lan::of(vec![machine(first), machine(node(router(100)))]);
    lan.apply(Fault::ProcessesRun(R1, WEB.into(), 1));
    lan.start_all();
    lan.assert_served_by(R1);
    // Gone for less than its delay.
    let restarted = lan.now();
    lan.apply(Fault::ProcessesRun(R1, WEB.into(), 0));
    lan.cluster.run_for(Duration::from_millis(1_500));
    lan.apply(Fault::ProcessesRun(R1, WEB.into(), 2));
    lan.settle();
    assert!(lan.since(restarted, "Quorum").is_empty());
    lan.assert_served_by(R1);

    let ended = lan.now();
    lan.apply(Fault::ProcessesRun(R1, WEB.into(), 0));
    lan.settle();
    let lost = lan.delay(ended, "MASTER -> FAULT: process web failed");
    assert!((2_000..=2_100).contains(&lost), "{lost} ms");
    lan.assert_served_by(R2);
    let begun = lan.now();
    lan.apply(Fault::ProcessesRun(R1, WEB.into(), 1));
    lan.settle();
    let gained = lan.delay(begun, "Quorum gained for tracked process web, 1 run");
    assert!((1_000..=1_100).contains(&gained), "{gained} ms");
    lan.assert_served_by(R1);
}

/// A router of priority 110 whose interface counts as down and as up after these seconds.
pub(crate) fn delayed(down: u64, up: u64) -> NodeConfig {
    let delay = InterfaceDelay {
        interface: "eth0".parse().unwrap(),
        down: Duration::from_secs(down),
        up: Duration::from_secs(up),
    };
    let tracking = TrackConfig { interface_delays: vec![delay], ..TrackConfig::default() };
    // A loss may be kept from it for two intervals.
    let router = alived::vrrp::RouterConfig { interval: centiseconds(100), ..router(110) };
    NodeConfig { tracking: tracking.into(), ..node(router) }
}

#[test]
fn an_interface_that_flaps_counts_when_it_has_lasted() {
    let mut lan = pair(delayed(1, 4));
    lan.assert_served_by(R1);
    let flapped = lan.now();
    for _ in 0..3 {
        lan.apply(Fault::CablePulled(R1, SegmentId(0)));
        lan.cluster.run_for(Duration::from_millis(600));
        lan.apply(Fault::CablePlugged(R1, SegmentId(0)));
        lan.cluster.run_for(Duration::from_millis(600));
    }
    lan.settle();
    lan.assert_served_by(R1);
    assert!(lan.since(flapped, " -> FAULT").is_empty());

    let pulled = lan.now();
    lan.apply(Fault::CablePulled(R1, SegmentId(0)));
    lan.cluster.run_for(Duration::from_secs(10));
    let down = lan.delay(pulled, "MASTER -> FAULT: interface eth0 is down");
    assert!((1_000..=1_100).contains(&down), "{down} ms");
    let plugged = lan.now();
    lan.apply(Fault::CablePlugged(R1, SegmentId(0)));
    lan.settle();
    let up = lan.delay(plugged, "FAULT -> BACKUP");
    assert!((4_000..=4_100).contains(&up), "{up} ms");
    lan.assert_served_by(R1);
}

#[test]
fn a_loss_counts_before_a_backup_that_cannot_hear_would_elect_itself() {
    let mut lan = pair(node(router(110)));
    let mut second = delayed(200, 0);
    second.routers[0].priority = Priority(100);
    lan.apply(Fault::Reloaded(R2, second));
    lan.settle();
    lan.assert_served_by(R1);
    let pulled = lan.now();
    lan.cluster.schedule_fault(lan.cluster.now(), Fault::CablePulled(R2, SegmentId(0)));
    lan.cluster.run_for(Duration::from_secs(10));
    let down = lan.delay(pulled, "BACKUP -> FAULT: interface eth0 is down");
    assert!((200..=300).contains(&down), "two intervals of the master it follows, not 200 s: {down} ms");
    assert!(lan.since(pulled, "-> MASTER").is_empty());
}

#[test]
fn a_reload_without_delays_takes_what_is() {
    let mut lan = pair(delayed(2, 60));
    lan.apply(Fault::CablePulled(R1, SegmentId(0)));
    lan.cluster.run_for(Duration::from_secs(5));
    lan.apply(Fault::CablePlugged(R1, SegmentId(0)));
    lan.cluster.run_for(Duration::from_secs(5));
    lan.assert_state(R1, State::Fault);
    lan.apply(Fault::Reloaded(R1, node(router(110))));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_reload_changes_the_priority_once_whatever_trackers_make_of_it() {
    let by_load = |base: u8, factor: i16| {
        let mut config = tracking(Tracker::File(LOAD.into()), factor);
        config.routers[0].priority = Priority(base);
        config
    };
    let mut lan = pair(by_load(20, 50));
    lan.apply(Fault::FileWritten(R1, LOAD.into(), 1));
    lan.settle();
    lan.assert_served_by(R2);
    // 20 + 50 = 90 - 20; between the two there is neither 90 + 50 nor 20 - 20.
    let reloaded = lan.now();
    lan.apply(Fault::Reloaded(R1, by_load(90, -20)));
    lan.settle();
    assert!(lan.since(reloaded, "Changing effective priority").is_empty(), "{}", lan.cluster.timeline());
    lan.assert_served_by(R2);
    let raised = lan.now();
    lan.apply(Fault::Reloaded(R1, by_load(150, -10)));
    lan.settle();
    let changes = lan.since(raised, "Changing effective priority");
    assert_eq!(changes.len(), 1, "{}", lan.cluster.timeline());
    assert!(changes[0].text.contains("from 70 to 140"), "{}", changes[0].text);
    lan.assert_served_by(R1);
}
