//! Maintenance, and switch-overs for a time: what the operator orders through the control socket.

use alived::node::NodeConfig;
use alived::sim::{Fault, MachineSpec, Order};
use alived::time::Duration;
use alived::vrrp::{InitialState, RouterConfig, State, SwitchOver, Whom};
use alived::wire::vrrp::Priority;

use super::lan::{LAN, Lan, NAME, R1, R2, address, node, router};
use super::sync_groups::{OTHER, pair};

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

fn maintain(span: Option<Duration>) -> Fault {
    Fault::Ordered(R1, Order::Maintain(span))
}

fn end() -> Fault {
    Fault::Ordered(R1, Order::EndMaintenance)
}

fn switch_over(whom: Whom, hold: Option<Duration>) -> Fault {
    Fault::Ordered(R1, Order::SwitchOver(SwitchOver { whom, hold }))
}

/// Time in which something is to happen by itself, so that nothing is settled.
fn pass(lan: &mut Lan, milliseconds: u64) {
    lan.apply(Fault::SwitchBack(R2));
    lan.run(milliseconds);
}

fn started(configs: impl IntoIterator<Item = NodeConfig>) -> Lan {
    let machine = |config| MachineSpec { config, ..MachineSpec::default() };
    let mut lan = Lan::of(configs.into_iter().map(machine).collect());
    lan.start_all();
    lan
}

#[test]
fn a_switch_over_for_a_time_ends_by_itself() {
    let mut lan = Lan::started([router(150), router(100)]);
    let begun = lan.now();
    lan.apply(switch_over(Whom::All, MINUTE));
    lan.settle();
    lan.assert_served_by(R2);
    assert!(lan.delay(begun, "10.0.0.2 took over") < 70);
    pass(&mut lan, 30_000);
    lan.assert_served_by(R2);
    lan.run(20_000);
    lan.settle();
    lan.assert_served_by(R1);
    let back = lan.delay(begun, "preempting again");
    assert!((60_000..60_010).contains(&back), "{back}");
}

#[test]
fn who_becomes_master_again_before_the_time_is_over_hears_no_more_of_it() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(switch_over(Whom::All, MINUTE));
    lan.settle();
    lan.apply(Fault::PowerLost(R2));
    lan.settle();
    lan.assert_served_by(R1);
    let begun = lan.now();
    pass(&mut lan, 70_000);
    assert!(lan.since(begun, "preempting again").is_empty());
}

#[test]
fn one_of_several_routers_is_switched_over_and_back() {
    let two = |priority| {
        let mut config = pair(priority, priority);
        config.sync_groups.clear();
        config
    };
    let mut lan = started([two(150), two(100)]);
    let assert = |lan: &Lan, first: State, second: State| {
        let states = [NAME, OTHER].map(|name| lan.cluster.state(R1, name).unwrap());
        assert_eq!(states, [first, second], "{}", lan.cluster.timeline());
    };
    assert(&lan, State::Master, State::Master);
    lan.apply(switch_over(Whom::Named(OTHER.into()), None));
    lan.settle();
    assert(&lan, State::Master, State::Backup);
    lan.apply(Fault::Ordered(R1, Order::SwitchBack(Whom::Named(NAME.into()))));
    lan.settle();
    assert(&lan, State::Master, State::Backup);
    lan.apply(Fault::Ordered(R1, Order::SwitchBack(Whom::Named(OTHER.into()))));
    lan.settle();
    assert(&lan, State::Master, State::Master);
    lan.apply(switch_over(Whom::Named("nobody".into()), None));
    lan.settle();
    assert(&lan, State::Master, State::Master);
}

#[test]
fn a_group_is_switched_over_by_the_name_of_a_member_and_by_its_own_and_comes_back_in_time() {
    for name in [NAME, "G"] {
        let mut lan = started([pair(150, 150), pair(100, 100)]);
        lan.apply(switch_over(Whom::Named(name.into()), MINUTE));
        lan.settle();
        for member in [NAME, OTHER] {
            assert_eq!(lan.cluster.state(R1, member), Some(State::Backup), "{}", lan.cluster.timeline());
            assert_eq!(lan.cluster.state(R2, member), Some(State::Master));
        }
        pass(&mut lan, 65_000);
        lan.settle();
        for member in [NAME, OTHER] {
            assert_eq!(lan.cluster.state(R1, member), Some(State::Master), "{}", lan.cluster.timeline());
        }
    }
}

#[test]
fn maintenance_hands_over_without_a_gap_and_ends_with_the_election_as_before() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(maintain(None));
    for _ in 0..200 {
        lan.run(1);
        let holders = [R1, R2].map(|id| lan.cluster.holds(id, &address(0)));
        assert!(holders.contains(&true), "{}", lan.cluster.timeline());
    }
    lan.settle();
    lan.assert_state(R1, State::Fault);
    lan.assert_served_by(R2);
    // Whatever happens to the other one.
    lan.apply(Fault::PowerLost(R2));
    lan.settle();
    lan.assert_state(R1, State::Fault);
    assert!(lan.cluster.masters(NAME).is_empty());
    lan.apply(end());
    lan.settle();
    lan.assert_served_by(R1);
    assert_eq!(lan.since(Default::default(), "FAULT -> BACKUP: maintenance ended").len(), 1);
}

#[test]
fn maintenance_for_a_time_ends_by_itself() {
    let mut lan = Lan::started([router(150), router(100)]);
    let begun = lan.now();
    lan.apply(maintain(MINUTE));
    lan.settle();
    lan.assert_served_by(R2);
    pass(&mut lan, 65_000);
    lan.settle();
    lan.assert_served_by(R1);
    let ended = lan.delay(begun, "maintenance ended: its time is over");
    assert!((60_000..60_010).contains(&ended), "{ended}");
}

#[test]
fn who_has_nobody_to_hand_over_to_leaves_all_the_same_and_says_so() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::PowerLost(R2));
    lan.settle();
    lan.assert_served_by(R1);
    let begun = lan.now();
    lan.apply(maintain(None));
    lan.settle();
    lan.assert_state(R1, State::Fault);
    assert!(!lan.cluster.holds(R1, &address(0)));
    let delay = lan.delay(begun, "nobody took over within the time allowed: leaving all the same");
    assert!((195..=202).contains(&delay), "one interval and the longest skew: {delay}");
}

#[test]
fn maintenance_that_ends_before_a_successor_is_heard_changes_nothing() {
    for pause in [0, 5, 30, 55, 60, 61, 62, 65, 100] {
        let mut lan = Lan::started([router(150), router(100)]);
        lan.apply(maintain(None));
        lan.run(pause);
        lan.apply(end());
        lan.settle();
        lan.assert_served_by(R1);
    }
}

#[test]
fn switching_back_does_not_end_maintenance_and_maintenance_goes_on_from_a_switch_over() {
    for pause in [0, 5, 70] {
        let mut lan = Lan::started([router(150), router(100)]);
        lan.apply(Fault::SwitchOver(R1));
        lan.run(pause);
        lan.apply(maintain(None));
        lan.run(2);
        lan.apply(Fault::SwitchBack(R1));
        lan.settle();
        lan.assert_state(R1, State::Fault);
        lan.assert_served_by(R2);
        lan.apply(end());
        lan.settle();
        lan.assert_served_by(R1);
    }
}

#[test]
fn an_owner_of_the_addresses_goes_into_maintenance_too() {
    let owner = RouterConfig { priority: Priority::OWNER, initial: InitialState::Master, ..router(255) };
    let mut lan = Lan::started([owner, router(100)]);
    lan.assert_served_by(R1);
    lan.apply(maintain(None));
    lan.settle();
    lan.assert_served_by(R2);
    lan.apply(end());
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_sync_group_goes_into_maintenance_and_comes_back_as_one() {
    let mut lan = started([pair(150, 150), pair(100, 100)]);
    lan.apply(maintain(None));
    lan.settle();
    for member in [NAME, OTHER] {
        assert_eq!(lan.cluster.state(R1, member), Some(State::Fault), "{}", lan.cluster.timeline());
        assert_eq!(lan.cluster.state(R2, member), Some(State::Master), "{}", lan.cluster.timeline());
    }
    lan.apply(end());
    lan.settle();
    for member in [NAME, OTHER] {
        assert_eq!(lan.cluster.state(R1, member), Some(State::Master), "{}", lan.cluster.timeline());
    }
}

#[test]
fn a_reload_and_a_fault_change_nothing_about_maintenance() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(maintain(None));
    lan.settle();
    let mut config = pair(200, 200);
    config.sync_groups.clear();
    lan.apply(Fault::Reloaded(R1, config));
    lan.settle();
    for name in [NAME, OTHER] {
        assert_eq!(lan.cluster.state(R1, name), Some(State::Fault), "{}", lan.cluster.timeline());
    }
    lan.assert_served_by(R2);
    lan.apply(Fault::CablePulled(R1, LAN));
    lan.settle();
    lan.apply(end());
    lan.settle();
    lan.assert_state(R1, State::Fault);
    lan.apply(Fault::CablePlugged(R1, LAN));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_backup_in_maintenance_is_not_there_when_the_master_fails() {
    let mut lan = Lan::started([router(100), router(150)]);
    lan.assert_served_by(R2);
    lan.apply(maintain(MINUTE));
    lan.settle();
    lan.apply(Fault::PowerLost(R2));
    lan.settle();
    assert!(lan.cluster.masters(NAME).is_empty(), "{}", lan.cluster.timeline());
    pass(&mut lan, 65_000);
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_daemon_that_stops_in_maintenance_starts_without_it() {
    let mut lan = started([node(router(150)), node(router(100))]);
    lan.apply(maintain(None));
    lan.run(3);
    lan.apply(Fault::Stopped(R1));
    lan.settle();
    lan.assert_served_by(R2);
    lan.apply(Fault::Started(R1));
    lan.settle();
    lan.assert_served_by(R1);
}
