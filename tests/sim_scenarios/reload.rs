//! New configurations for running daemons.

use alived::node::NodeConfig;
use alived::sim::{Fault, MachineSpec};
use alived::time::Duration;
use alived::vrrp::{RouterConfig, State};
use alived::wire::vrrp::{Priority, Vrid};

use super::lan::{LAN, Lan, NAME, R1, R2, address, node, prefix, router, virtual_address};

const SECOND: &str = "VI_2";

fn second(priority: u8) -> RouterConfig {
    RouterConfig {
        name: SECOND.into(),
        vrid: Vrid::new(52).unwrap(),
        addresses: vec![virtual_address(prefix(9, 24))],
        ..router(priority)
    }
}

fn both(first: u8, other: u8) -> NodeConfig {
    NodeConfig { routers: vec![router(first), second(other)], ..NodeConfig::default() }
}

#[test]
fn a_reload_adds_and_removes_a_router_and_leaves_the_other_alone() {
    let mut lan = Lan::started([router(150), router(100)]);
    let begun = lan.now();
    lan.apply(Fault::Reloaded(R1, both(150, 100)));
    lan.apply(Fault::Reloaded(R2, both(100, 150)));
    lan.settle();
    lan.assert_served_by(R1);
    assert_eq!(lan.cluster.masters(SECOND), [R2].into());
    assert!(lan.cluster.holds(R2, &address(9)));
    lan.apply(Fault::Reloaded(R2, node(router(100))));
    lan.settle();
    assert_eq!(lan.cluster.masters(SECOND), [R1].into());
    assert!(!lan.cluster.holds(R2, &address(9)) && lan.cluster.holds(R1, &address(9)));
    lan.apply(Fault::Reloaded(R1, node(router(150))));
    lan.settle();
    assert!(!lan.cluster.holds(R1, &address(9)));
    assert!(lan.since(begun, "(VI_1)").is_empty(), "{}", lan.cluster.timeline());
}

#[test]
fn the_same_configuration_again_changes_nothing() {
    let mut lan = Lan::started([router(150), router(100)]);
    let begun = lan.now();
    for _ in 0..10 {
        lan.apply(Fault::Reloaded(R1, node(router(150))));
        lan.apply(Fault::Reloaded(R2, node(router(100))));
        lan.run(77);
    }
    lan.settle();
    lan.assert_served_by(R1);
    assert_eq!(lan.transitions(begun), 0);
    assert!(lan.since(begun, "10.0.0.100/24").is_empty());
}

#[test]
fn a_changed_priority_moves_the_mastership() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::Reloaded(R1, node(router(50))));
    lan.settle();
    lan.assert_served_by(R2);
    lan.apply(Fault::Reloaded(R1, node(RouterConfig { priority: Priority(200), ..router(200) })));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_master_adds_and_removes_single_addresses() {
    let with = |count: u8| {
        let addresses = (0..count).map(|number| virtual_address(prefix(number, 24))).collect();
        node(RouterConfig { addresses, ..router(150) })
    };
    let mut lan = Lan::started([router(150), router(100)]);
    let begun = lan.now();
    lan.apply(Fault::Reloaded(R1, with(4)));
    lan.settle();
    assert!((0..4).all(|number| lan.cluster.holds(R1, &address(number))));
    lan.apply(Fault::Reloaded(R1, with(2)));
    lan.settle();
    let held: Vec<bool> = (0..4).map(|number| lan.cluster.holds(R1, &address(number))).collect();
    assert_eq!(held, [true, true, false, false]);
    assert_eq!(lan.transitions(begun), 0);
    assert_eq!(lan.cluster.masters(NAME), [R1].into());
    assert!(lan.since(begun, "-10.0.0.100/24").is_empty(), "what stays is not touched");
}

#[test]
fn a_router_removed_while_its_daemon_stood_still_ends_with_an_election() {
    // Of equals the one with the higher address wins: R1 obeys what R2 says before it reads of its removal.
    let mut lan = Lan::started([router(100), router(100)]);
    lan.apply(Fault::PowerLost(R1));
    lan.run(1_000);
    lan.assert_state(R2, State::Master);
    lan.apply(Fault::Booted(R1));
    lan.apply(Fault::Started(R1));
    lan.settle();
    lan.apply(Fault::Frozen(R2));
    lan.apply(Fault::Reloaded(R2, NodeConfig::default()));
    lan.run(5_000);
    lan.assert_state(R1, State::Master);
    let thawed = lan.now();
    lan.apply(Fault::Thawed(R2));
    lan.run(1_000);
    assert_eq!(lan.since(thawed, "MASTER -> BACKUP: master 10.0.0.2 with priority 100 heard").len(), 1);
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_daemon_whose_only_router_is_removed_while_it_stood_still_gives_up_the_address() {
    let mut lan = Lan::started([router(100)]);
    lan.apply(Fault::Frozen(R1));
    lan.apply(Fault::Reloaded(R1, NodeConfig::default()));
    lan.run(5_000);
    lan.apply(Fault::Thawed(R1));
    lan.settle();
    assert!(!lan.cluster.holds(R1, &address(0)));
}

#[test]
fn a_reload_removes_what_was_added_while_notifications_were_lost() {
    let with = |count: u8, priority| {
        let addresses = (0..count).map(|number| virtual_address(prefix(number, 32))).collect();
        RouterConfig { addresses, ..router(priority) }
    };
    let mut lan = Lan::started([with(9, 150), with(9, 100)]);
    // Whether the notification of the removal before or the answer comes first is a matter of chance.
    for _ in 0..8 {
        lan.apply(Fault::PowerLost(R1));
        lan.settle();
        lan.apply(Fault::Booted(R1));
        lan.apply(Fault::Started(R1));
        lan.settle();
        lan.assert_served_by(R1);
        lan.apply(Fault::NotificationsLost(R2, Duration::from_secs(3)));
        lan.apply(Fault::PowerLost(R1));
        lan.run(1_000);
        lan.assert_state(R2, State::Master);
        assert!((0..9).all(|number| lan.cluster.holds(R2, &address(number))));
        lan.apply(Fault::Reloaded(R2, node(with(1, 100))));
        lan.run(2_500);
        lan.settle();
        lan.assert_served_by(R2);
        assert!((1..9).all(|number| !lan.cluster.holds(R2, &address(number))));
        lan.apply(Fault::Reloaded(R2, node(with(9, 100))));
        lan.apply(Fault::Booted(R1));
        lan.apply(Fault::Started(R1));
        lan.settle();
    }
}

#[test]
fn a_reload_that_lowers_a_priority_does_not_lengthen_a_wait_that_priority_0_has_shortened() {
    let mut lan = Lan::started([router(200), router(150)]);
    lan.apply(Fault::PowerLost(R1));
    lan.run(1_000);
    lan.assert_state(R2, State::Master);
    // R1 comes and goes, and the reload comes, while R2 stands still: it reads of all in one wake-up.
    lan.apply(Fault::Frozen(R2));
    lan.apply(Fault::Booted(R1));
    lan.apply(Fault::Started(R1));
    lan.run(3_000);
    lan.apply(Fault::Stopped(R1));
    lan.apply(Fault::Reloaded(R2, node(router(10))));
    lan.run(1_000);
    let thawed = lan.now();
    lan.apply(Fault::Thawed(R2));
    lan.settle();
    lan.assert_served_by(R2);
    assert!(lan.delay(thawed, "BACKUP -> MASTER: master 10.0.0.1 left") < 50);
}

#[test]
fn what_a_reload_removes_of_an_interface_that_is_not_there_is_left_alone() {
    let with = |count: u8| {
        let addresses = (0..count).map(|number| virtual_address(prefix(number, 32))).collect();
        node(RouterConfig { addresses, ..router(100) })
    };
    let mut lan = Lan::of(vec![MachineSpec { config: with(2), ..MachineSpec::default() }]);
    lan.start_all();
    lan.apply(Fault::Crashed(R1));
    lan.apply(Fault::InterfaceRenamed(R1, LAN));
    lan.apply(Fault::Started(R1));
    lan.run(1_000);
    lan.apply(Fault::Reloaded(R1, with(1)));
    lan.run(1_000);
    lan.apply(Fault::InterfaceNameRestored(R1, LAN));
    lan.settle();
    assert!(lan.cluster.holds(R1, &address(1)), "not known to be of an interface of this name");
    lan.apply(Fault::Stopped(R1));
    lan.settle();
    assert!(!lan.cluster.holds(R1, &address(0)));
}

/// Adds an address to one router after the other: in between they differ in their lists.
#[test]
fn adding_an_address_to_one_router_after_the_other_never_makes_two_masters() {
    for (first, second) in [(R1, R2), (R2, R1)] {
        let config = |priority, addresses: u8| {
            let addresses = (0..addresses).map(|number| virtual_address(prefix(number, 24))).collect();
            node(RouterConfig { addresses, ..router(priority) })
        };
        let priority = |machine| if machine == R1 { 150 } else { 100 };
        let mut lan = Lan::started([router(150), router(100)]);
        for (machine, addresses) in
            [(first, 2), (second, 2), (second, 3), (first, 3), (first, 1), (second, 1)]
        {
            let begun = lan.now();
            lan.apply(Fault::Reloaded(machine, config(priority(machine), addresses)));
            // Through the time in which a backup that dropped what it hears would have elected itself.
            for _ in 0..500 {
                lan.run(1);
                assert_eq!(lan.cluster.masters(NAME), [R1].into(), "{}", lan.cluster.timeline());
            }
            lan.settle();
            lan.assert_served_by(R1);
            assert_eq!(lan.transitions(begun), 0, "{}", lan.cluster.timeline());
        }
    }
}
