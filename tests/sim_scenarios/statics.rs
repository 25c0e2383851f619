//! Static addresses: there from the start to the stop of the daemon, whoever is master.

use alived::net::Prefix;
use alived::node::NodeConfig;
use alived::sim::machine::{interface_name, own_addresses};
use alived::sim::{Fault, MachineSpec};
use alived::vrrp::{RouterConfig, State};

use super::lan::{LAN, Lan, R1, R2, address, node, prefix, router, virtual_address, with_statics};
use super::sync_groups::OTHER_LAN;

fn kept(number: u8) -> Prefix {
    Prefix::new([10, 9, 0, number].into(), 24).unwrap()
}

/// Two routers, of which the second, a backup, has static addresses.
fn lan(statics: &[Prefix]) -> Lan {
    let configs = [node(router(150)), with_statics(router(100), statics)];
    let machines = configs.map(|config| MachineSpec { config, ..MachineSpec::default() });
    let mut lan = Lan::of(machines.into());
    lan.start_all();
    lan
}

#[test]
fn a_backup_has_its_static_addresses_until_it_stops() {
    let mut lan = lan(&[kept(1), kept(2)]);
    lan.assert_served_by(R1);
    assert!(lan.cluster.holds(R2, &kept(1).address()) && lan.cluster.holds(R2, &kept(2).address()));
    lan.apply(Fault::Stopped(R2));
    lan.settle();
    assert!(!lan.cluster.holds(R2, &kept(1).address()) && !lan.cluster.holds(R2, &kept(2).address()));
}

#[test]
fn a_stop_that_keeps_virtual_addresses_removes_static_ones() {
    let mut config = with_statics(router(150), &[kept(1)]);
    config.keep_addresses_on_stop = true;
    let mut lan = Lan::of(vec![MachineSpec { config, ..MachineSpec::default() }]);
    lan.start_all();
    lan.assert_served_by(R1);
    lan.apply(Fault::Stopped(R1));
    lan.settle();
    assert!(lan.cluster.holds(R1, &address(0)) && !lan.cluster.holds(R1, &kept(1).address()));
}

#[test]
fn one_that_somebody_removes_is_back_at_once_with_what_went_along() {
    let mut lan = lan(&[kept(1), kept(2)]);
    let removed = lan.now();
    lan.apply(Fault::AddressRemoved(R2, kept(1)));
    lan.run(50);
    assert!(lan.cluster.holds(R2, &kept(1).address()) && lan.cluster.holds(R2, &kept(2).address()));
    assert_eq!(lan.since(removed, "putting it back (repair 1)").len(), 2);
    lan.settle();
    assert_eq!(lan.transitions(removed), 0);
}

#[test]
fn a_predecessors_are_adopted_without_a_gap() {
    let mut lan = lan(&[kept(1)]);
    let crashed = lan.now();
    lan.apply(Fault::Crashed(R2));
    lan.run(20);
    lan.apply(Fault::Started(R2));
    lan.settle();
    assert!(lan.cluster.holds(R2, &kept(1).address()));
    assert_eq!(lan.since(crashed, "adopting 1 address(es)").len(), 1);
    assert_eq!(lan.since(crashed, "10.9.0.1/24").len(), 0, "{}", lan.cluster.timeline());
}

#[test]
fn a_reload_changes_the_difference_alone() {
    let mut lan = lan(&[kept(1), kept(2)]);
    let reloaded = lan.now();
    lan.apply(Fault::Reloaded(R2, with_statics(router(100), &[kept(2), kept(3)])));
    lan.settle();
    assert!(!lan.cluster.holds(R2, &kept(1).address()));
    // The first of its subnet may take it along, so that it is asked for again in the same batch.
    assert_eq!(lan.delay(reloaded, "+10.9.0.2/24"), lan.delay(reloaded, "-10.9.0.1/24"));
    assert!(lan.cluster.holds(R2, &kept(2).address()) && lan.cluster.holds(R2, &kept(3).address()));
    let again = lan.now();
    lan.apply(Fault::Reloaded(R2, with_statics(router(100), &[kept(2), kept(3)])));
    lan.settle();
    assert_eq!(lan.since(again, "10.9.0.").len(), 0);
}

#[test]
fn one_that_becomes_virtual_and_back_is_never_away_for_long() {
    let mut lan = lan(&[kept(1)]);
    lan.apply(Fault::Stopped(R1));
    lan.settle();
    lan.assert_state(R2, State::Master);
    let virtual_too = RouterConfig { excluded: vec![virtual_address(kept(1))], ..router(100) };
    for config in [node(virtual_too), with_statics(router(100), &[kept(1)])] {
        lan.apply(Fault::Reloaded(R2, config));
        lan.run(20);
        assert!(lan.cluster.holds(R2, &kept(1).address()), "{}", lan.cluster.timeline());
        lan.settle();
        assert!(lan.cluster.holds(R2, &kept(1).address()), "{}", lan.cluster.timeline());
    }
}

#[test]
fn what_a_virtual_address_takes_along_is_put_back_at_once() {
    // The virtual address is the first of the subnet that the static one is in.
    let virtual_first = RouterConfig { excluded: vec![virtual_address(kept(1))], ..router(150) };
    let machine = |config| MachineSpec { config, ..MachineSpec::default() };
    let mut lan = Lan::of(vec![machine(node(virtual_first.clone())), machine(node(router(100)))]);
    lan.start_all();
    lan.apply(Fault::Reloaded(R1, with_statics(virtual_first, &[kept(2)])));
    lan.settle();
    let left = lan.now();
    lan.apply(Fault::SwitchOver(R1));
    lan.settle();
    lan.assert_served_by(R2);
    assert!(!lan.cluster.holds(R1, &kept(1).address()) && lan.cluster.holds(R1, &kept(2).address()));
    assert_eq!(lan.since(left, "was removed by somebody else").len(), 0, "{}", lan.cluster.timeline());
}

#[test]
fn one_that_was_there_before_us_is_left_there() {
    let mut lan = lan(&[own_addresses(R2, LAN)[0]]);
    assert_eq!(lan.since(alived::time::Instant::ZERO, "without our mark: it is left there").len(), 1);
    lan.apply(Fault::Stopped(R2));
    lan.settle();
    assert!(lan.cluster.holds(R2, &own_addresses(R2, LAN)[0].address()));
}

#[test]
fn they_are_no_source_of_advertisements() {
    let mut lan = lan(&[prefix(50, 24)]);
    lan.apply(Fault::OwnAddressRemoved(R2, LAN));
    lan.run(100);
    lan.assert_state(R2, State::Fault);
    assert!(lan.cluster.holds(R2, &address(50)));
}

#[test]
fn they_come_and_go_with_their_interface() {
    let mut lan = lan(&[kept(1)]);
    lan.apply(Fault::InterfaceDeleted(R2, LAN, true));
    lan.run(100);
    assert!(!lan.cluster.holds(R2, &kept(1).address()));
    lan.apply(Fault::InterfaceCreated(R2, LAN));
    lan.settle();
    assert!(lan.cluster.holds(R2, &kept(1).address()));
    lan.apply(Fault::InterfaceRenamed(R2, LAN));
    lan.run(100);
    assert!(!lan.cluster.holds(R2, &kept(1).address()), "it is not left under another name");
    lan.apply(Fault::InterfaceNameRestored(R2, LAN));
    lan.settle();
    assert!(lan.cluster.holds(R2, &kept(1).address()));
}

/// The same list on the other interface.
pub(crate) fn on_other_lan(mut config: NodeConfig) -> NodeConfig {
    config.statics.addresses.iter_mut().for_each(|entry| entry.interface = interface_name(OTHER_LAN));
    config
}

#[test]
fn what_comes_and_goes_while_the_daemon_stands_still_leaves_nothing_behind() {
    let mut lan = lan(&[kept(1)]);
    let here = with_statics(router(100), &[kept(1)]);
    let there = on_other_lan(here.clone());
    let is_on = |lan: &Lan, segment| {
        let kernel = lan.cluster.kernel(R2);
        let on = kernel.by_name(&interface_name(segment)).unwrap().key;
        kernel.holds(on, kept(1))
    };
    // Two reloads at once.
    lan.apply(Fault::Frozen(R2));
    for config in [&there, &here] {
        lan.apply(Fault::Reloaded(R2, config.clone()));
    }
    lan.run(1_000);
    lan.apply(Fault::Thawed(R2));
    lan.settle();
    assert!(is_on(&lan, LAN) && !is_on(&lan, OTHER_LAN));
    // A new interface, which it has a place on until the reload behind it.
    lan.apply(Fault::Frozen(R2));
    lan.apply(Fault::InterfaceDeleted(R2, LAN, false));
    lan.apply(Fault::InterfaceCreated(R2, LAN));
    lan.run(1_000);
    lan.apply(Fault::Reloaded(R2, there));
    lan.run(1_000);
    lan.apply(Fault::Thawed(R2));
    lan.settle();
    assert!(!is_on(&lan, LAN) && is_on(&lan, OTHER_LAN));
    // One that gets another name before the daemon has seen it.
    lan.apply(Fault::InterfaceDeleted(R2, OTHER_LAN, false));
    lan.run(1_000);
    lan.apply(Fault::Frozen(R2));
    lan.apply(Fault::InterfaceCreated(R2, OTHER_LAN));
    lan.run(1_000);
    lan.apply(Fault::InterfaceRenamed(R2, OTHER_LAN));
    lan.run(1_000);
    lan.apply(Fault::Thawed(R2));
    lan.settle();
    assert!(!lan.cluster.holds(R2, &kept(1).address()));
    lan.apply(Fault::InterfaceNameRestored(R2, OTHER_LAN));
    lan.settle();
    assert!(is_on(&lan, OTHER_LAN));
}
