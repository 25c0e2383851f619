//! Addresses that others remove, own, or keep.

use core::net::IpAddr;

use alived::net::Prefix;
use alived::node::NodeConfig;
use alived::sim::invariants::Pace;
use alived::sim::machine::interface_name;
use alived::sim::network::SegmentId;
use alived::sim::{Fault, MachineSpec};
use alived::time::Duration;
use alived::vrrp::{InitialState, RouterConfig, State};
use alived::wire::vrrp::{Priority, Vrid};

use super::lan::{LAN, Lan, NAME, R1, R2, address, node, prefix, router, virtual_address};

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

/// Removes the address each time it is there, for so long.
fn keep_deleting(lan: &mut Lan, milliseconds: u64) {
    let end = lan.now() + Duration::from_millis(milliseconds);
    while lan.now() < end {
        lan.apply(Fault::AddressRemoved(R1, prefix(0, 24)));
        lan.run(10);
    }
}

#[test]
fn the_first_repair_comes_at_once_and_further_ones_within_a_second() {
    let mut lan = Lan::started([router(150), router(100)]);
    for times in 0..40 {
        let removed = lan.now();
        lan.apply(Fault::AddressRemoved(R1, prefix(0, 24)));
        while !lan.cluster.holds(R1, &address(0)) {
            lan.run(1);
        }
        let missing = lan.now().saturating_since(removed);
        let bound = Duration::from_millis(if times == 0 { 100 } else { 1_010 });
        assert!(missing < bound, "{missing:?} after {times} repairs");
        // It stays for a moment each time.
        lan.run(1_500);
    }
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_router_whose_address_goes_missing_again_and_again_lets_another_one_try() {
    let mut lan = Lan::started([router(150), router(100)]);
    let begun = lan.now();
    keep_deleting(&mut lan, 4_000);
    let fault = "goes missing each time it is put back";
    assert!(lan.delay(begun, fault) >= 3_000, "{}", lan.cluster.timeline());
    assert!(lan.cluster.holds(R2, &address(0)) || lan.since(begun, "MASTER").len() >= 2);
    // Each pause is twice as long as the one before; between them it tries again.
    keep_deleting(&mut lan, 120_000);
    // The end of each is told with its reason, too.
    let mut faults = lan.since(begun, fault);
    faults.retain(|entry| entry.text.contains("-> FAULT"));
    let pauses: Vec<u64> =
        faults.windows(2).map(|pair| pair[1].at.saturating_since(pair[0].at).as_secs()).collect();
    assert!(pauses.windows(2).all(|pair| pair[1] > pair[0]), "{pauses:?}");
    assert!((4..=7).contains(&faults.len()), "{pauses:?}");
    let r2_masters = lan.since(begun, "BACKUP -> MASTER").iter().filter(|entry| entry.actor == "r2").count();
    assert_eq!(r2_masters, faults.len());
    lan.run(70_000);
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_router_that_is_alone_goes_on_trying() {
    let mut lan = Lan::started([router(150)]);
    let begun = lan.now();
    let mut master_ms = 0;
    for _ in 0..6_000 {
        lan.apply(Fault::AddressRemoved(R1, prefix(0, 24)));
        lan.run(10);
        master_ms += u64::from(lan.cluster.masters(NAME).contains(&R1)) * 10;
    }
    let repairs = lan.since(begun, "putting it back").len();
    assert!((40..=90).contains(&repairs), "{repairs} repairs in a minute");
    assert!(master_ms > 55_000, "master for {master_ms} ms of a minute");
    lan.settle();
    lan.assert_served_by(R1);
}

/// Addresses in one subnet in which no machine has one of its own, one for each of several virtual routers.
fn sharing(priorities: [u8; 3]) -> NodeConfig {
    let routers = priorities.into_iter().enumerate().map(|(index, priority)| {
        let number = index as u8 + 1;
        let name = format!("VI_{number}");
        RouterConfig {
            name: name.as_str().into(),
            vrid: Vrid::new(number).unwrap(),
            addresses: vec![virtual_address(Prefix::new([10, 9, 0, number].into(), 24).unwrap())],
            ..router(priority)
        }
    });
    NodeConfig { routers: routers.collect(), ..NodeConfig::default() }
}

#[test]
fn what_the_removal_of_another_router_takes_along_is_put_back_at_once() {
    let machine = |config| MachineSpec { config, ..MachineSpec::default() };
    let mut lan = Lan::of(vec![machine(sharing([150; 3])), machine(sharing([100; 3]))]);
    lan.start_all();
    let third = [10, 9, 0, 3].into();
    let begun = lan.now();
    for round in 0..10 {
        // The second machine takes and gives up the first two by turns.
        let better = [[200, 100, 100], [100, 200, 100]][round % 2];
        lan.apply(Fault::Reloaded(R2, sharing(better)));
        let mut missing = 0;
        for _ in 0..2_000 {
            lan.run(1);
            missing += u32::from(!lan.cluster.holds(R1, &third));
        }
        assert!(missing <= 12, "away for {missing} ms in round {round}\n{}", lan.cluster.timeline());
    }
    assert_eq!(lan.since(begun, "putting it back").len(), 0, "nobody else removed it");
    assert!(lan.since(begun, "10.9.0.3/24 with the primary").len() >= 2, "{}", lan.cluster.timeline());
    lan.settle();
}

#[test]
fn an_address_that_a_reload_gives_to_another_router_stays() {
    let machine = |config| MachineSpec { config, ..MachineSpec::default() };
    let mut lan = Lan::of(vec![machine(sharing([150; 3]))]);
    lan.start_all();
    let moving: IpAddr = [10, 9, 0, 9].into();
    let with = |index: usize| {
        let mut config = sharing([150; 3]);
        config.routers[index].addresses.push(virtual_address(Prefix::new(moving, 24).unwrap()));
        config
    };
    lan.apply(Fault::Reloaded(R1, with(0)));
    lan.settle();
    for index in [1, 0, 2, 1] {
        let reloaded = lan.now();
        lan.apply(Fault::Reloaded(R1, with(index)));
        let mut missing = 0;
        for _ in 0..1_000 {
            lan.run(1);
            missing += u32::from(!lan.cluster.holds(R1, &moving));
        }
        assert!(missing <= 4, "away for {missing} ms\n{}", lan.cluster.timeline());
        assert_eq!(lan.since(reloaded, "putting it back").len(), 0);
    }
    lan.settle();
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

/// Two routers with the same address, each on an interface of its own.
fn apart(first: u8, second: u8) -> NodeConfig {
    let other = RouterConfig {
        version: router(second).version,
        interval: router(second).interval,
        priority: Priority(second),
        addresses: router(second).addresses,
        ..RouterConfig::new(
            "VI_2",
            Vrid::new(52).unwrap(),
            router(second).family,
            interface_name(SegmentId(1)),
        )
    };
    NodeConfig { routers: vec![router(first), other], ..NodeConfig::default() }
}

#[test]
fn the_same_address_on_two_interfaces_is_two_addresses() {
    let machine = |config| MachineSpec { config, ..MachineSpec::default() };
    let mut lan = Lan::of(vec![machine(apart(150, 150)), machine(apart(100, 100))]);
    lan.start_all();
    // How many addresses move: first one to the second machine, then both change places.
    for (better, moves) in [((100, 200), 1), ((200, 100), 2), ((100, 200), 2)] {
        let begun = lan.now();
        lan.apply(Fault::Reloaded(R2, apart(better.0, better.1)));
        lan.settle();
        let (first, second) = if better.0 > 150 { (R2, R1) } else { (R1, R2) };
        assert_eq!(lan.cluster.masters(NAME), [first].into(), "{}", lan.cluster.timeline());
        assert_eq!(lan.cluster.masters("VI_2"), [second].into(), "{}", lan.cluster.timeline());
        assert!(lan.cluster.holds(R1, &address(0)) && lan.cluster.holds(R2, &address(0)));
        for sign in ["+", "-"] {
            let changes = lan.since(begun, &format!("{sign}10.0.0.100/24"));
            assert_eq!(changes.len(), moves, "{sign}: {}", lan.cluster.timeline());
        }
    }
}
