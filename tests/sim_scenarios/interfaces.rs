//! Interfaces that go down, vanish, come back, change their names and their addresses.

use alived::net::{Family, Prefix};
use alived::node::NodeConfig;
use alived::sim::machine::interface_name;
use alived::sim::network::SegmentId;
use alived::sim::{Fault, MachineId, MachineSpec};
use alived::time::Duration;
use alived::vrrp::{RouterConfig, State, VirtualAddress};
use alived::wire::vrrp::Vrid;

use super::lan::{IMPATIENT, LAN, Lan, PATIENT, R1, R2, address, router, virtual_address};

/// Breaks R1 and mends it: R2 takes over, R1 faults and gives up its address, and takes back.
fn out_and_back(breaking: Fault, mending: Fault, reason: &str) {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.assert_served_by(R1);
    let broken = lan.now();
    lan.apply(breaking);
    lan.settle();
    lan.assert_state(R1, State::Fault);
    lan.assert_served_by(R2);
    assert!(!lan.since(broken, reason).is_empty(), "no `{reason}` in\n{}", lan.cluster.timeline());
    lan.apply(mending);
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_pulled_cable_is_a_fault() {
    let reason = "-> FAULT: interface eth0 is down";
    out_and_back(Fault::CablePulled(R1, LAN), Fault::CablePlugged(R1, LAN), reason);
}

#[test]
fn an_interface_set_down_is_a_fault() {
    let reason = "-> FAULT: interface eth0 is down";
    out_and_back(Fault::AdminDown(R1, LAN), Fault::AdminUp(R1, LAN), reason);
}

#[test]
fn an_interface_deleted_and_created_again_is_used_again() {
    for terse in [false, true] {
        let deleted = Fault::InterfaceDeleted(R1, LAN, terse);
        out_and_back(deleted, Fault::InterfaceCreated(R1, LAN), "interface eth0 does not exist");
    }
}

#[test]
fn a_renamed_interface_keeps_no_address_of_ours() {
    let reason = "-> FAULT: interface eth0 does not exist";
    out_and_back(Fault::InterfaceRenamed(R1, LAN), Fault::InterfaceNameRestored(R1, LAN), reason);
}

#[test]
fn an_interface_renamed_while_the_addresses_are_being_written_keeps_none_either() {
    for delay_us in (0..3_000).step_by(50) {
        let mut lan = Lan::started([router(150), router(100)]);
        lan.apply(Fault::PowerLost(R1));
        let master = MachineId(1);
        while lan.cluster.state(master, super::lan::NAME) != Some(State::Master) {
            lan.cluster.run_for(Duration::from_micros(50));
        }
        lan.cluster.run_for(Duration::from_micros(delay_us));
        lan.apply(Fault::InterfaceRenamed(R2, LAN));
        lan.run(1_000);
        assert!(!lan.cluster.holds(R2, &address(0)), "{}", lan.cluster.timeline());
        lan.apply(Fault::InterfaceNameRestored(R2, LAN));
        lan.settle();
        assert!(lan.cluster.holds(R2, &address(0)));
    }
}

#[test]
fn without_an_address_of_its_own_a_router_faults() {
    let reason = "-> FAULT: no address to send from on interface eth0";
    out_and_back(Fault::OwnAddressRemoved(R1, LAN), Fault::OwnAddressRestored(R1, LAN), reason);
}

#[test]
fn an_address_on_another_interface_comes_back_with_it() {
    let other = SegmentId(1);
    let elsewhere = |priority| {
        let on_eth1 = VirtualAddress {
            interface: Some(interface_name(other)),
            track: false,
            ..virtual_address(Prefix::new([10, 0, 1, 100].into(), 24).unwrap())
        };
        RouterConfig { excluded: vec![on_eth1], ..router(priority) }
    };
    let there = [10, 0, 1, 100].into();
    let mut lan = Lan::started([elsewhere(150), elsewhere(100)]);
    assert!(lan.cluster.holds(R1, &there));
    let deleted = lan.now();
    lan.apply(Fault::InterfaceDeleted(R1, other, false));
    lan.settle();
    lan.apply(Fault::InterfaceCreated(R1, other));
    lan.settle();
    assert!(lan.cluster.holds(R1, &there));
    assert_eq!(lan.transitions(deleted), 0, "the router's own interface is well");
    lan.apply(Fault::InterfaceRenamed(R1, other));
    lan.run(1_000);
    assert!(!lan.cluster.holds(R1, &there));
    lan.apply(Fault::InterfaceNameRestored(R1, other));
    lan.settle();
    assert!(lan.cluster.holds(R1, &there));
    lan.assert_served_by(R1);
}

#[test]
fn the_interface_of_an_address_is_tracked() {
    let other = SegmentId(1);
    let elsewhere = |priority| {
        let on_eth1 = VirtualAddress {
            interface: Some(interface_name(other)),
            ..virtual_address(Prefix::new([10, 0, 1, 100].into(), 24).unwrap())
        };
        RouterConfig { excluded: vec![on_eth1], ..router(priority) }
    };
    let mut lan = Lan::started([elsewhere(150), elsewhere(100)]);
    for (down, up) in [
        (Fault::CablePulled(R1, other), Fault::CablePlugged(R1, other)),
        (Fault::AdminDown(R1, other), Fault::AdminUp(R1, other)),
        (Fault::InterfaceDeleted(R1, other, false), Fault::InterfaceCreated(R1, other)),
        (Fault::InterfaceRenamed(R1, other), Fault::InterfaceNameRestored(R1, other)),
    ] {
        lan.apply(down);
        lan.settle();
        lan.assert_state(R1, State::Fault);
        lan.assert_served_by(R2);
        lan.apply(up);
        lan.settle();
        lan.assert_served_by(R1);
        assert!(lan.cluster.holds(R1, &[10, 0, 1, 100].into()));
    }
}

#[test]
fn who_lost_its_interface_while_it_stood_still_tells_the_new_master_nothing() {
    let mut lan = Lan::started([router(100), router(150)]);
    lan.apply(Fault::PowerLost(R2));
    lan.run(1_000);
    lan.assert_state(R1, State::Master);
    lan.apply(Fault::Frozen(R1));
    lan.apply(Fault::Cut(lan.cluster.machine_port(R2, LAN), lan.cluster.host_port(IMPATIENT)));
    lan.apply(Fault::Booted(R2));
    lan.apply(Fault::Started(R2));
    // Its second block of announcements is over.
    lan.run(10_000);
    lan.apply(Fault::InterfaceDeleted(R1, LAN, false));
    lan.apply(Fault::InterfaceCreated(R1, LAN));
    lan.apply(Fault::HealNetwork);
    let thawed = lan.now();
    lan.apply(Fault::Thawed(R1));
    lan.settle();
    assert_eq!(lan.since(thawed, "MASTER -> BACKUP: master 10.0.0.2 with priority 150 heard").len(), 1);
    lan.assert_state(R2, State::Master);
    assert_eq!(lan.cluster.route(PATIENT, &address(0)), Some(R2));
    assert_eq!(lan.cluster.route(IMPATIENT, &address(0)), None, "nobody can have told it");
}

#[test]
fn an_own_address_that_the_kernel_takes_along_with_a_virtual_one_is_a_fault_and_others_take_over() {
    let eth1 = SegmentId(1);
    let other = Prefix::new([10, 0, 1, 200].into(), 24).unwrap();
    let other = VirtualAddress { interface: Some(interface_name(eth1)), ..virtual_address(other) };
    let first = |priority| RouterConfig {
        excluded: vec![other.clone()],
        preempt_delay: Duration::from_secs(9),
        ..router(priority)
    };
    let second = |priority| RouterConfig {
        addresses: vec![virtual_address(Prefix::host([10, 0, 1, 100].into()))],
        name: "VI_2".into(),
        vrid: Vrid::new(52).unwrap(),
        interfaces: RouterConfig::new("", Vrid::new(1).unwrap(), Family::Ipv4, interface_name(eth1))
            .interfaces,
        ..router(priority)
    };
    let machine = |one, two| {
        let routers = vec![first(one), second(two)];
        MachineSpec { config: NodeConfig { routers, ..NodeConfig::default() }, ..MachineSpec::default() }
    };
    let mut lan = Lan::of(vec![machine(100, 150), machine(150, 100)]);
    lan.apply(Fault::Started(R1));
    lan.settle();
    // Without it for a moment, the virtual address is alone in the subnet and its primary.
    lan.apply(Fault::OwnAddressRemoved(R1, eth1));
    lan.run(1_000);
    lan.apply(Fault::OwnAddressRestored(R1, eth1));
    lan.settle();
    assert_eq!(lan.cluster.masters("VI_2"), [R1].into());
    lan.apply(Fault::Started(R2));
    let started = lan.now();
    lan.settle();
    assert_eq!(lan.since(started, "(VI_2) MASTER -> FAULT: no address to send from").len(), 1);
    lan.assert_served_by(R2);
    assert_eq!(lan.cluster.masters("VI_2"), [R2].into());
}
