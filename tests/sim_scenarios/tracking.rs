//! Trackers that move priorities and cause faults.

use core::num::NonZeroU32;

use alived::kernel::Script;
use alived::node::NodeConfig;
use alived::sim::{Fault, MachineSpec};
use alived::time::Duration;
use alived::track::{Owner, ScriptTest, ScriptTracker, TrackConfig, TrackReference, Tracker, Weight};
use alived::vrrp::State;

use super::lan::{Lan, NAME, R1, R2, node, router};

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

/// A router of priority 110 that depends on the script, or on something else, by this weight.
pub(crate) fn tracking(tracker: Tracker, weight: i16) -> NodeConfig {
    let reference = TrackReference { tracker, weight: Weight::new(weight, false).unwrap() };
    let tracking = TrackConfig {
        scripts: vec![script()],
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
        lan.apply(Fault::CablePulled(R1, alived::sim::network::SegmentId(1)));
        lan.settle();
        lan.assert_served_by(R2);
        lan.assert_state(R1, state);
        lan.apply(Fault::CablePlugged(R1, alived::sim::network::SegmentId(1)));
        lan.settle();
        lan.assert_served_by(R1);
    }
}
