//! Virtual routers on links that depend on others: a VLAN on a cable, a bond of two.

use std::time::{Duration, Instant};

use alived::net::{InterfaceIndex, InterfaceName};
use alived::sys::capture::Capture;
use alived::sys::netlink::Network;
use alived::wire::arp::ArpFrame;
use netlink_packet_route::link::BondMode;
use rtnetlink::{LinkBond, LinkVlan};

use crate::host::{self, Host, instance, name, prefix};
use crate::second_kernel;

const ADDRESS: &str = "198.51.100.50/24";

/// Two hosts whose daemons share an address on a link that each has on its cable. The first is the better one.
struct Pair {
    first: Host,
    second: Host,
    link: InterfaceName,
}

impl Pair {
    /// `make` gives a host its link. Afterwards both daemons run, and each knows its place.
    fn start(link: &str, interval: &str, make: impl Fn(&mut Host)) -> Self {
        Self::start_with("", link, interval, make)
    }

    /// The same with further settings of the routers.
    fn start_with(settings: &str, link: &str, interval: &str, make: impl Fn(&mut Host)) -> Self {
        let (mut first, mut second) = Host::pair().unwrap();
        for (host, priority) in [(&mut first, 150), (&mut second, 100)] {
            make(host);
            let router = instance("VI_1", 51, priority, ADDRESS);
            let router =
                router.replace(host::LAN, link).replace("advert_int 0.1", &format!("advert_int {interval}"));
            let router = router.replace("version 3", &format!("version 3\n    {settings}"));
            host.configure(&format!("global_defs {{\n    dynamic_interfaces\n}}\n{router}"));
        }
        let mut capture = second.namespace.run(Capture::open).unwrap().unwrap();
        for host in [&mut first, &mut second] {
            host.start(&[]);
        }
        let mut pair = Self { first, second, link: name(link) };
        pair.wait_for_master(true);
        let seen = pair.heard_by_second(&mut capture, 2);
        assert!(seen.announcements > 0, "{seen:?}\n{}", pair.logs());
        pair
    }

    /// Until one holds the address and the other does not.
    fn wait_for_master(&mut self, first: bool) {
        let start = Instant::now();
        while self.first.holds(ADDRESS) != first || self.second.holds(ADDRESS) == first {
            assert!(start.elapsed() < Duration::from_secs(30), "in vain for first={first}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the second host hears on the link until a number of advertisements has arrived.
    fn heard_by_second(&mut self, capture: &mut Capture, advertisements: usize) -> Heard {
        let link = self.second.socket.index_of(&self.link).unwrap();
        let mut heard = Heard::default();
        self.second.wait("advertisements", |_| {
            while let Some(frame) = capture.read().unwrap() {
                if frame.interface != link {
                    continue;
                }
                match ArpFrame::parse(&frame.bytes) {
                    Some(arp) if arp.is_gratuitous() && prefix(ADDRESS).address() == arp.sender => {
                        heard.announcements += 1;
                    }
                    Some(_) => {}
                    // The protocol of an IPv4 header behind an Ethernet header.
                    None => {
                        let is_one = frame.bytes[12..14] == [8, 0] && frame.bytes[23] == 112;
                        heard.advertisements += usize::from(is_one);
                        if is_one {
                            heard.sources.insert(frame.bytes[26..30].try_into().unwrap());
                        }
                        heard.from_virtual_mac += usize::from(is_one && frame.bytes[6..12] == VIRTUAL_MAC);
                    }
                }
            }
            heard.advertisements >= advertisements
        });
        heard
    }

    /// The first host loses its link by `set(false)`, and the address; both return by `set(true)`.
    fn fails_over(&mut self, mut set: impl FnMut(&mut Host, bool)) {
        let faults = self.first.log().matches("Entering FAULT STATE").count();
        set(&mut self.first, false);
        self.wait_for_master(false);
        self.first.wait_for_lines("Entering FAULT STATE", faults + 1);
        set(&mut self.first, true);
        self.wait_for_master(true);
    }

    fn transitions(&self) -> usize {
        self.logs().matches("(VI_1) Entering").count()
    }

    fn logs(&self) -> String {
        format!("the first:\n{}\nthe second:\n{}", self.first.log(), self.second.log())
    }
}

#[derive(Debug, Default)]
struct Heard {
    advertisements: usize,
    from_virtual_mac: usize,
    /// Of the advertisements.
    sources: std::collections::BTreeSet<[u8; 4]>,
    announcements: usize,
}

/// Of virtual router 51 over IPv4.
const VIRTUAL_MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 51];

/// The pair's address is on a virtual MAC on top of its link, goes with it, and goes at the end.
fn has_a_virtual_mac(mut pair: Pair) {
    let mut capture = pair.second.namespace.run(Capture::open).unwrap().unwrap();
    let heard = pair.heard_by_second(&mut capture, 3);
    assert_eq!(heard.from_virtual_mac, heard.advertisements, "{heard:?}");
    let upper = pair.first.socket.index_of(&name("vrrp.51")).unwrap();
    assert!(pair.first.socket.addresses(upper).unwrap().contains(&prefix(ADDRESS)));
    let link = pair.link.clone();
    pair.fails_over(|host, up| {
        let index = host.socket.index_of(&link).unwrap();
        host.socket.set_up(index, up).unwrap();
    });
    pair.first.signal(libc::SIGTERM);
    pair.first.wait_for_end();
    pair.wait_for_master(false);
    assert!(pair.first.socket.index_of(&name("vrrp.51")).is_err(), "{}", pair.logs());
}

#[test]
fn a_vlan_has_a_virtual_mac() {
    second_kernel::run(|| has_a_virtual_mac(Pair::start_with("use_vmac", VLAN, "0.1", make_vlan)));
}

#[test]
fn a_bond_has_a_virtual_mac() {
    second_kernel::run(|| has_a_virtual_mac(Pair::start_with("use_vmac", BOND, "0.1", make_bond)));
}

#[test]
fn an_ipvlan_has_the_address_and_sends_from_its_own() {
    second_kernel::run(|| {
        // Of the second host, which is told so below.
        let settings = "use_ipvlan ipvl0 198.51.100.11/24";
        let (mut first, mut second) = Host::pair().unwrap();
        for (host, priority, own) in [(&mut first, 150, 11), (&mut second, 100, 12)] {
            let router = instance("VI_1", 51, priority, ADDRESS);
            let settings = settings.replace(".11/", &format!(".{own}/"));
            host.configure(&router.replace("version 3", &format!("version 3\n    {settings}")));
            host.start(&[]);
            // The second hears the first from its beginning.
            if own == 11 {
                host.wait("the address", |host| host.holds(ADDRESS));
            }
        }
        let mut pair = Pair { first, second, link: name(host::LAN) };
        pair.wait_for_master(true);
        let mut capture = pair.second.namespace.run(Capture::open).unwrap().unwrap();
        let heard = pair.heard_by_second(&mut capture, 3);
        assert_eq!(heard.from_virtual_mac, 0, "{heard:?}");
        assert_eq!(heard.sources, [[198, 51, 100, 11]].into());
        let upper = pair.first.socket.index_of(&name("ipvl0")).unwrap();
        let held = pair.first.socket.addresses(upper).unwrap();
        assert!([ADDRESS, "198.51.100.11/24"].iter().all(|a| held.contains(&prefix(a))), "{held:?}");
        assert!(!pair.second.log().contains("Entering MASTER STATE (no master heard"), "{}", pair.logs());
        pair.first.signal(libc::SIGTERM);
        pair.first.wait_for_end();
        pair.wait_for_master(false);
        assert!(pair.first.socket.index_of(&name("ipvl0")).is_err(), "{}", pair.logs());
    });
}

/// Sets a port of the switch up or down: the carrier at the other end of the cable.
fn set_carrier(host: &Host, port: &InterfaceName, up: bool) {
    let mut switch = host.switch.run(Network::open).unwrap().unwrap();
    let port = switch.index_of(port).unwrap();
    switch.set_up(port, up).unwrap();
}

/// A link with an address in the subnet of the virtual one.
fn bring_up(host: &mut Host, link: &str) -> InterfaceIndex {
    let link = host.socket.index_of(&name(link)).unwrap();
    host.socket.add_address(link, prefix(&format!("198.51.100.{}/24", host.number))).unwrap();
    host.socket.set_up(link, true).unwrap();
    link
}

const VLAN: &str = "lan0.5";

fn make_vlan(host: &mut Host) {
    let lan = host.lan();
    host.socket.create(LinkVlan::new(VLAN, lan.get(), 5).build()).unwrap();
    bring_up(host, VLAN);
}

#[test]
fn a_vlan_fails_over_with_what_it_depends_on() {
    second_kernel::run(|| {
        let mut pair = Pair::start(VLAN, "0.1", make_vlan);
        pair.fails_over(|host, up| {
            let vlan = host.socket.index_of(&name(VLAN)).unwrap();
            host.socket.set_up(vlan, up).unwrap();
        });
        pair.fails_over(|host, up| {
            let lan = host.lan();
            host.socket.set_up(lan, up).unwrap();
        });
        pair.fails_over(|host, up| set_carrier(host, &host.port(), up));
    });
}

#[test]
fn a_vlan_that_is_deleted_and_created_again_is_used_again() {
    second_kernel::run(|| {
        let mut pair = Pair::start(VLAN, "0.1", make_vlan);
        pair.fails_over(|host, present| {
            if present {
                return make_vlan(host);
            }
            let vlan = host.socket.index_of(&name(VLAN)).unwrap();
            host.socket.delete(vlan).unwrap();
        });
        // Together with the interface below it.
        pair.fails_over(|host, present| {
            if present {
                host.plug_in();
                let port = host.port();
                connect(host, &port);
                return make_vlan(host);
            }
            let lan = host.lan();
            host.socket.delete(lan).unwrap();
        });
    });
}

const BOND: &str = "bond0";

/// The second cable of a host and its port in the switch.
const SLAVE: &str = "lan1";

fn second_port(host: &Host) -> InterfaceName {
    name(&format!("second{}", host.number))
}

fn make_bond(host: &mut Host) {
    let port = second_port(host);
    let second = host.lay_cable(&name(SLAVE), &port, 1);
    connect(host, &port);
    let first = host.lan();
    let own = prefix(&format!("192.0.2.{}/24", host.number));
    host.socket.remove_address(first, own).unwrap();
    host.socket.set_up(first, false).unwrap();
    host.socket.create(LinkBond::new(BOND).mode(BondMode::ActiveBackup).miimon(10).build()).unwrap();
    let bond = bring_up(host, BOND);
    for slave in [first, second] {
        host.socket.set_controller(slave, Some(bond)).unwrap();
    }
}

/// Makes a port of the switch one of its bridge.
fn connect(host: &Host, port: &InterfaceName) {
    let mut switch = host.switch.run(Network::open).unwrap().unwrap();
    let bridge = switch.index_of(&name("bridge")).unwrap();
    let port = switch.index_of(port).unwrap();
    switch.set_controller(port, Some(bridge)).unwrap();
}

#[test]
fn a_bond_fails_over_only_with_all_its_slaves() {
    second_kernel::run(|| {
        // So slow that a slave's turn, tens of milliseconds, cannot look like a master that is gone.
        let mut pair = Pair::start(BOND, "0.5", make_bond);
        let settled = pair.transitions();
        for slave in [Host::port, second_port] {
            let port = slave(&pair.first);
            set_carrier(&pair.first, &port, false);
            let mut capture = pair.second.namespace.run(Capture::open).unwrap().unwrap();
            pair.heard_by_second(&mut capture, 6);
            set_carrier(&pair.first, &port, true);
            pair.heard_by_second(&mut capture, 2);
        }
        assert_eq!(pair.transitions(), settled, "{}", pair.logs());

        pair.fails_over(|host, up| {
            for port in [host.port(), second_port(host)] {
                set_carrier(host, &port, up);
            }
        });
        // One is enough to return.
        pair.fails_over(|host, up| {
            set_carrier(host, &host.port(), up);
            if !up {
                set_carrier(host, &second_port(host), false);
            }
        });
    });
}
