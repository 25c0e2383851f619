//! Routers with a virtual MAC: who has it, what becomes of it, and that hosts need not notice.

use alived::kernel::{VirtualLink, VirtualLinkKind};
use alived::net::MacAddress;
use alived::node::NodeConfig;
use alived::sim::machine::{interface_name, virtual_name};
use alived::sim::{Fault, MachineSpec};
use alived::vrrp::{RouterInterfaces, State};
use alived::wire::vrrp::Vrid;

use super::lan::{IMPATIENT, LAN, Lan, R1, R2, address, node, router};

const MAC: MacAddress = MacAddress([0, 0, 0x5e, 0, 1, 51]);

/// The router of [`router`] on a virtual MAC.
pub(crate) fn on_virtual_mac(priority: u8) -> NodeConfig {
    by(priority, false)
}

fn by(priority: u8, by_base: bool) -> NodeConfig {
    let mut config = node(router(priority));
    let (base, upper) = (interface_name(LAN), virtual_name(LAN, Vrid::new(51).unwrap()));
    let kind = VirtualLinkKind::Macvlan(MAC);
    config.links = vec![VirtualLink {
        name: upper.clone(),
        parent: base.clone(),
        kind,
        group: None,
        ipv4: true,
        ipv6: false,
    }];
    config.routers[0].interfaces = RouterInterfaces::on_top(base, upper, Some(MAC), by_base);
    config
}

fn lan(configs: [NodeConfig; 2]) -> Lan {
    let machine = |config| MachineSpec { config, ..MachineSpec::default() };
    let mut lan = Lan::of(configs.into_iter().map(machine).collect());
    lan.start_all();
    lan
}

fn pair() -> Lan {
    lan([on_virtual_mac(150), on_virtual_mac(100)])
}

#[test]
fn who_takes_over_has_the_same_mac() {
    let mut lan = pair();
    lan.assert_served_by(R1);
    assert_eq!(lan.cluster.mac(IMPATIENT, &address(0)), Some(MAC));
    let broken = lan.now();
    lan.apply(Fault::CablePulled(R1, LAN));
    lan.settle();
    lan.assert_served_by(R2);
    // The switch has learnt something, the host has not.
    assert!(lan.since(broken, "is at").is_empty(), "{}", lan.cluster.timeline());
    lan.apply(Fault::CablePlugged(R1, LAN));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn routers_with_and_without_a_virtual_mac_hear_each_other() {
    for configs in [
        [on_virtual_mac(150), node(router(100))],
        [node(router(150)), on_virtual_mac(100)],
        [by(150, true), by(100, true)],
        [by(150, true), node(router(100))],
    ] {
        let mut lan = lan(configs);
        lan.assert_served_by(R1);
        lan.apply(Fault::Stopped(R1));
        lan.settle();
        lan.assert_served_by(R2);
        lan.apply(Fault::Started(R1));
        lan.settle();
        lan.assert_served_by(R1);
    }
}

#[test]
fn a_start_waits_for_the_virtual_mac_and_is_no_fault() {
    let lan = pair();
    assert!(lan.since(alived::time::Instant::ZERO, "FAULT").is_empty(), "{}", lan.cluster.timeline());
}

#[test]
fn a_virtual_mac_that_somebody_deletes_is_made_again() {
    let mut lan = pair();
    let broken = lan.now();
    lan.apply(Fault::VirtualMacsDeleted(R1, LAN));
    lan.settle();
    lan.assert_served_by(R1);
    assert!(!lan.since(broken, "-> FAULT: interface vmac0.51 does not exist").is_empty());
    assert!(!lan.since(broken, "vmac0.51 was removed or changed by somebody else").is_empty());
}

#[test]
fn it_goes_with_the_interface_below_and_comes_back_with_it() {
    for terse in [false, true] {
        let mut lan = pair();
        lan.apply(Fault::InterfaceDeleted(R1, LAN, terse));
        lan.settle();
        lan.assert_state(R1, State::Fault);
        lan.assert_served_by(R2);
        lan.apply(Fault::InterfaceCreated(R1, LAN));
        lan.settle();
        lan.assert_served_by(R1);
    }
}

#[test]
fn a_killed_daemon_leaves_it_to_its_successor() {
    let mut lan = pair();
    lan.apply(Fault::Crashed(R1));
    let killed = lan.now();
    lan.apply(Fault::Respawned(R1));
    lan.settle();
    lan.assert_served_by(R1);
    assert!(!lan.since(killed, "left over by a predecessor, is used").is_empty());
    assert!(lan.since(killed, "INIT -> FAULT").is_empty(), "{}", lan.cluster.timeline());
}

#[test]
fn a_reload_puts_a_router_on_a_virtual_mac_and_back() {
    let mut lan = lan([node(router(150)), node(router(100))]);
    for config in [on_virtual_mac(150), node(router(150))] {
        let on_top = !config.links.is_empty();
        lan.apply(Fault::Reloaded(R1, config));
        lan.settle();
        lan.assert_served_by(R1);
        assert_eq!(lan.cluster.mac(IMPATIENT, &address(0)) == Some(MAC), on_top);
    }
}

#[test]
fn of_reloads_that_are_found_at_once_after_a_standstill_the_last_one_counts() {
    let mut lan = pair();
    for last in [on_virtual_mac(150), node(router(150))] {
        let on_top = !last.links.is_empty();
        lan.apply(Fault::Frozen(R1));
        for config in [node(router(150)), on_virtual_mac(150), node(router(150)), last] {
            lan.apply(Fault::Reloaded(R1, config));
        }
        lan.run(10_000);
        lan.apply(Fault::Thawed(R1));
        lan.settle();
        lan.assert_served_by(R1);
        assert_eq!(lan.cluster.mac(IMPATIENT, &address(0)) == Some(MAC), on_top);
    }
}
