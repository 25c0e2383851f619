//! Addresses that others remove, own, or keep.

use alived::sim::invariants::Pace;
use alived::sim::{Fault, MachineSpec};
use alived::time::Duration;
use alived::vrrp::{InitialState, RouterConfig, State};
use alived::wire::vrrp::Priority;

use super::lan::{LAN, Lan, R1, R2, address, node, prefix, router, virtual_address};

#[test]
fn an_address_removed_by_hand_comes_back_without_a_transition() {
    let mut lan = Lan::started([router(150), router(100)]);
    let removed = lan.now();
    lan.apply(Fault::AddressRemoved(R1, prefix(0, 24)));
    lan.settle();
    lan.assert_served_by(R1);
    assert_eq!(lan.transitions(removed), 0);
    assert_eq!(lan.since(removed, "putting it back (repair 1)").len(), 1);
    assert!(lan.delay(removed, "+10.0.0.100/24") < 50);
}

#[test]
fn a_rival_that_keeps_deleting_is_not_fought() {
    let mut lan = Lan::started([router(150)]);
    let begun = lan.now();
    for _ in 0..6_000 {
        lan.apply(Fault::AddressRemoved(R1, prefix(0, 24)));
        lan.run(10);
    }
    let repairs = lan.since(begun, "putting it back").len();
    assert!((5..=10).contains(&repairs), "{repairs} repairs in a minute");
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn an_address_whose_removal_was_not_notified_comes_back() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::NotificationsLost(R1, Duration::from_millis(500)));
    lan.apply(Fault::AddressRemoved(R1, prefix(0, 24)));
    lan.run(400);
    assert!(!lan.cluster.holds(R1, &address(0)));
    lan.run(200);
    assert!(lan.cluster.holds(R1, &address(0)));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn the_loss_of_a_primary_takes_the_others_along_and_all_come_back() {
    let several = |priority| RouterConfig {
        addresses: (0..4).map(|number| virtual_address(prefix(number, 28))).collect(),
        ..router(priority)
    };
    for promote_secondaries in [false, true] {
        let machine = |priority| MachineSpec {
            config: node(several(priority)),
            promote_secondaries,
            ..MachineSpec::default()
        };
        let mut lan = Lan::of(vec![machine(150), machine(100)]);
        lan.start_all();
        lan.apply(Fault::AddressRemoved(R1, prefix(0, 28)));
        lan.settle();
        for number in 0..4 {
            assert!(lan.cluster.holds(R1, &address(number)), "{promote_secondaries} {number}");
        }
        lan.apply(Fault::Stopped(R1));
        lan.settle();
        assert!((0..4).all(|number| !lan.cluster.holds(R1, &address(number))));
    }
}

#[test]
fn an_owners_own_address_is_announced_and_never_removed() {
    let owner = RouterConfig { priority: Priority::OWNER, initial: InitialState::Master, ..router(255) };
    let mut lan = Lan::of(vec![
        MachineSpec { config: node(owner), foreign: vec![(LAN, prefix(0, 24))], ..MachineSpec::default() },
        MachineSpec { config: node(router(100)), ..MachineSpec::default() },
    ]);
    lan.start_all();
    lan.assert_served_by(R1);
    let stopped = lan.now();
    lan.apply(Fault::Stopped(R1));
    lan.settle();
    assert!(lan.cluster.holds(R1, &address(0)), "it was there before us");
    assert_eq!(lan.since(stopped, "-10.0.0.100").len(), 0);
    lan.assert_state(R2, State::Master);
    lan.apply(Fault::Started(R1));
    lan.settle();
    lan.assert_state(R1, State::Master);
}

#[test]
fn a_foreign_address_on_a_backup_is_left_alone() {
    let mut lan = Lan::started([router(150), router(100)]);
    let added = lan.now();
    lan.apply(Fault::AddressAdded(R2, LAN, prefix(0, 24)));
    lan.run(1_000);
    assert!(lan.cluster.holds(R2, &address(0)));
    assert_eq!(lan.since(added, "without our mark").len(), 1);
}

#[test]
fn excluded_addresses_move_along() {
    let with_excluded = |priority| RouterConfig {
        excluded: vec![virtual_address(prefix(7, 32)), virtual_address(prefix(8, 24))],
        ..router(priority)
    };
    let mut lan = Lan::started([with_excluded(150), with_excluded(100)]);
    for number in [0, 7, 8] {
        assert!(lan.cluster.holds(R1, &address(number)));
    }
    lan.apply(Fault::Stopped(R1));
    lan.settle();
    for number in [0, 7, 8] {
        assert!(lan.cluster.holds(R2, &address(number)));
        assert!(!lan.cluster.holds(R1, &address(number)));
    }
}

#[test]
fn an_owners_address_that_goes_and_comes_back_unseen_is_not_removed_by_a_fault_in_between() {
    let owner = RouterConfig { priority: Priority::OWNER, initial: InitialState::Master, ..router(255) };
    let foreign = vec![(LAN, prefix(0, 24))];
    let mut lan = Lan::of(vec![MachineSpec { config: node(owner), foreign, ..MachineSpec::default() }]);
    lan.start_all();
    lan.apply(Fault::Frozen(R1));
    // The virtual address is a secondary of the own one and goes with it.
    lan.apply(Fault::OwnAddressRemoved(R1, LAN));
    assert!(!lan.cluster.holds(R1, &address(0)));
    lan.apply(Fault::OwnAddressRestored(R1, LAN));
    lan.run(20);
    let thawed = lan.now();
    lan.apply(Fault::Thawed(R1));
    lan.settle();
    lan.assert_state(R1, State::Master);
    assert_eq!(lan.since(thawed, "-10.0.0.100").len(), 0);
}

#[test]
fn a_router_that_wavers_asks_for_no_more_than_the_kernel_can_do() {
    let many = |priority| {
        let addresses = (0..40).map(|number| virtual_address(prefix(number, 32))).collect();
        let config = node(RouterConfig { addresses, ..router(priority) });
        MachineSpec { config, ..MachineSpec::default() }
    };
    let mut lan = Lan::at_pace(Pace::SLUGGISH, vec![many(150), many(100)]);
    lan.start_all();
    for _ in 0..60 {
        lan.apply(Fault::Partition(LAN, vec![lan.cluster.machine_port(R2, LAN)]));
        lan.run(400);
        lan.apply(Fault::HealNetwork);
        lan.run(150);
    }
    lan.assert_state(R2, State::Backup);
    lan.run(2_500);
    assert!((0..40).all(|number| !lan.cluster.holds(R2, &address(number))), "{}", lan.cluster.timeline());
    lan.settle();
    lan.assert_served_by(R1);
}
