//! Unicast for real: a source address that comes and goes, strangers, routers told apart by their sources, and
//! peers behind a router, ours and keepalived on either side.

use std::net::IpAddr;
use std::process::Command;
use std::rc::Rc;

use alived::drill::Program;
use alived::sys::netlink::Network;
use serde_json::Value;

use crate::host::{Host, LAN, prefix};
use crate::skip;

const ADDRESS: &str = "192.0.2.50/24";

/// A version 3 router of 0.1 s. `statements` say where it sends, `address` is a line of `virtual_ipaddress`.
fn instance(name: &str, priority: u8, statements: &str, address: &str) -> String {
    format!(
        "vrrp_instance {name} {{\n    virtual_router_id 51\n    version 3\n    priority {priority}\n    \
         advert_int 0.1\n    {statements}\n    virtual_ipaddress {{\n        {address}\n    }}\n}}\n"
    )
}

fn on_lan(source: &str, peer: &str) -> String {
    format!("interface {LAN}\n    unicast_src_ip {source}\n    unicast_peer {{\n        {peer}\n    }}")
}

fn status(host: &Host) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
    let output = command.args(["status", "--json", "-r"]).arg(host.path("vrrp.pid")).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn wait_for(host: &mut Host, address: &str, held: bool) {
    let what = if held { "the address" } else { "the loss of the address" };
    host.wait(what, |host| host.holds(address) == held);
}

#[test]
fn a_source_address_appears_goes_and_comes_back() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    let source = prefix("192.0.2.101/24");
    for (interface, place) in [(format!("interface {LAN}"), "interface lan0"), (String::new(), "this host")] {
        let statements = format!(
            "{interface}\n    unicast_src_ip 192.0.2.101\n    unicast_peer {{\n        192.0.2.2\n    }}"
        );
        let address = format!("{ADDRESS} dev {LAN}");
        first.configure(&instance("VI_1", 150, &statements, &address));
        second.configure(&instance("VI_1", 100, &on_lan("192.0.2.2", "192.0.2.101"), ADDRESS));
        first.start(&[]);
        second.start(&[]);
        wait_for(&mut second, ADDRESS, true);
        let missing = format!("source address 192.0.2.101 is not on {place}");
        first.wait_for_lines(&missing, 1);
        let lan = first.lan();
        for round in 2..=3 {
            first.socket.add_address(lan, source).unwrap();
            wait_for(&mut first, ADDRESS, true);
            wait_for(&mut second, ADDRESS, false);
            first.socket.remove_address(lan, source).unwrap();
            first.wait_for_lines(&missing, round);
            wait_for(&mut second, ADDRESS, true);
            wait_for(&mut first, ADDRESS, false);
        }
        for host in [&mut first, &mut second] {
            host.signal(libc::SIGTERM);
            assert!(host.wait_for_end().success());
        }
    }
}

#[test]
fn a_stranger_is_counted_and_named_once() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    let checked = format!("check_unicast_src\n    {}", on_lan("192.0.2.1", "192.0.2.9"));
    first.configure(&instance("VI_1", 100, &checked, ADDRESS));
    second.configure(&instance("VI_1", 150, &on_lan("192.0.2.2", "192.0.2.1"), ADDRESS));
    second.start(&[]);
    wait_for(&mut second, ADDRESS, true);
    first.start(&[]);
    // It is not heard, so that there are two masters.
    wait_for(&mut first, ADDRESS, true);
    let told = "192.0.2.2 is no unicast_peer of ours, and check_unicast_src is set";
    first.wait_for_lines(told, 1);
    first.wait("more of its packets", |host| {
        let status = status(host);
        let counted = status["routers"][0]["counters"]["rejected"]["Stranger"].as_u64().unwrap_or(0);
        counted > 20
    });
    assert_eq!(first.log().matches(told).count(), 1);
}

#[test]
fn routers_of_one_identifier_are_told_apart_by_their_sources() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    for (host, number) in [(&mut first, 1), (&mut second, 2)] {
        let lan = host.lan();
        host.socket.add_address(lan, prefix(&format!("192.0.2.1{number}/24"))).unwrap();
        let other = 3 - number;
        let priority = if number == 1 { [150, 100] } else { [100, 150] };
        let text = instance(
            "A",
            priority[0],
            &on_lan(&format!("192.0.2.{number}"), &format!("192.0.2.{other}")),
            ADDRESS,
        ) + &instance(
            "B",
            priority[1],
            &on_lan(&format!("192.0.2.1{number}"), &format!("192.0.2.1{other}")),
            "192.0.2.60/24",
        );
        host.configure(&text);
        host.start(&[]);
    }
    wait_for(&mut first, ADDRESS, true);
    wait_for(&mut second, "192.0.2.60/24", true);
    wait_for(&mut first, "192.0.2.60/24", false);
    wait_for(&mut second, ADDRESS, false);
    // A reload without a change leaves both as they are.
    let since = |host: &Host| {
        let status = status(host);
        [0, 1].map(|number| {
            let router = &status["routers"][number];
            (router["state"].clone(), router["since_unix_us"].clone())
        })
    };
    let before = since(&first);
    first.signal(libc::SIGHUP);
    first.wait("the reload", |host| status(host)["daemon"]["last_reload"] != Value::Null);
    assert_eq!(since(&first), before);
    assert_eq!(before.map(|(state, _)| state), ["MASTER", "BACKUP"]);
}

/// Two hosts on LANs of their own with a router between them.
struct Routed {
    ours: Host,
    theirs: Host,
    sources: [&'static str; 2],
    address: &'static str,
}

impl Routed {
    fn new(six: bool) -> Option<Self> {
        let keepalived = Program::keepalived();
        let mut ours = Host::new()?;
        let mut theirs = Host::new_on(Rc::clone(&ours.switch), 2);
        let Some(keepalived) = keepalived else {
            skip::skip(std::thread::current().name().unwrap(), "keepalived is not installed");
            return None;
        };
        theirs.use_program(&keepalived.path);
        let (networks, sources, address, length, forwarding) = if six {
            (
                ["2001:db8:1::", "2001:db8:2::"],
                ["2001:db8:1::1", "2001:db8:2::2"],
                "2001:db8:9::50/64",
                64,
                "ipv6/conf/all/forwarding",
            )
        } else {
            (
                ["198.51.100.", "203.0.113."],
                ["198.51.100.1", "203.0.113.2"],
                "192.0.2.50/24",
                24,
                "ipv4/ip_forward",
            )
        };
        ours.switch.set(forwarding, "1").unwrap();
        let mut router = ours.switch.run(Network::open).unwrap().unwrap();
        for (host, network, source, other) in [
            (&mut ours, networks[0], sources[0], networks[1]),
            (&mut theirs, networks[1], sources[1], networks[0]),
        ] {
            let gateway: IpAddr = format!("{network}{}", if six { "ffff" } else { "254" }).parse().unwrap();
            host.namespace.set("ipv6/conf/all/accept_dad", "0").unwrap();
            let port = router.index_of(&host.port()).unwrap();
            router.add_address(port, prefix(&format!("{gateway}/{length}"))).unwrap();
            let lan = host.lan();
            host.socket.add_address(lan, prefix(&format!("{source}/{length}"))).unwrap();
            let other = prefix(&format!("{other}{}/{length}", if six { "" } else { "0" }));
            host.socket.add_route(other, gateway, lan).unwrap();
        }
        Some(Self { ours, theirs, sources, address })
    }

    /// Configures both: ours without `interface` if it is `routed`; each expects the TTL of one hop.
    fn configure(&self, priorities: [u8; 2], routed: bool, least: u8) {
        let [ours, theirs] = self.sources;
        let address = format!("{} dev {LAN}", self.address);
        for (host, priority, own, peer, routed) in [
            (&self.ours, priorities[0], ours, theirs, routed),
            (&self.theirs, priorities[1], theirs, ours, false),
        ] {
            let interface = if routed { String::new() } else { format!("interface {LAN}") };
            let statements = format!(
                "{interface}\n    unicast_src_ip {own}\n    unicast_ttl 255\n    unicast_peer {{\n        \
                 {peer} min_ttl {least} max_ttl 254\n    }}"
            );
            host.configure(&instance("VI_1", priority, &statements, &address));
        }
    }

    /// Ours and keepalived take over from each other over the router.
    fn life(mut self, routed: bool) {
        let address = self.address;
        self.configure([150, 100], routed, 254);
        self.theirs.start(&[]);
        wait_for(&mut self.theirs, address, true);
        self.ours.start(&[]);
        wait_for(&mut self.ours, address, true);
        wait_for(&mut self.theirs, address, false);
        self.ours.signal(libc::SIGTERM);
        assert!(self.ours.wait_for_end().success());
        wait_for(&mut self.theirs, address, true);
        self.configure([100, 150], routed, 254);
        self.theirs.signal(libc::SIGTERM);
        self.theirs.wait_for_end();
        self.ours.start(&[]);
        wait_for(&mut self.ours, address, true);
        self.theirs.start(&[]);
        wait_for(&mut self.theirs, address, true);
        wait_for(&mut self.ours, address, false);
        self.ours.wait_for_lines(&format!("master {} with priority 150 heard", self.sources[1]), 1);
        self.theirs.signal(libc::SIGTERM);
        self.theirs.wait_for_end();
        wait_for(&mut self.ours, address, true);
        assert!(!self.ours.log().contains("dropping"), "{}", self.ours.log());
    }
}

#[test]
fn beside_keepalived_over_a_router() {
    if let Some(routed) = Routed::new(false) {
        routed.life(false);
    }
}

#[test]
fn beside_keepalived_over_a_router_by_ipv6() {
    if let Some(routed) = Routed::new(true) {
        routed.life(false);
    }
}

#[test]
fn beside_keepalived_without_an_interface() {
    if let Some(routed) = Routed::new(false) {
        routed.life(true);
    }
}

#[test]
fn beside_keepalived_without_an_interface_by_ipv6() {
    if let Some(routed) = Routed::new(true) {
        routed.life(true);
    }
}

#[test]
fn who_is_further_away_than_expected_is_not_heard() {
    let Some(mut routed) = Routed::new(false) else { return };
    routed.configure([100, 150], false, 255);
    routed.theirs.start(&[]);
    routed.ours.start(&[]);
    wait_for(&mut routed.ours, routed.address, true);
    routed.ours.wait_for_lines("254 and expect", 1);
}

/// keepalived until 1.3.6, which later ones can be told to be.
#[test]
fn the_old_checksum_is_understood_and_spoken() {
    let Some((mut ours, mut theirs)) = Host::beside_keepalived() else { return };
    let (own, other) = (on_lan("192.0.2.1", "192.0.2.2"), on_lan("192.0.2.2", "192.0.2.1"));
    let old = |statements: &str| format!("old_unicast_checksum\n    {statements}");
    // Theirs speaks it: ours finds out, and answers in it.
    ours.configure(&instance("VI_1", 100, &own, ADDRESS));
    theirs.configure(&instance("VI_1", 150, &old(&other), ADDRESS));
    theirs.start(&[]);
    wait_for(&mut theirs, ADDRESS, true);
    ours.start(&[]);
    ours.wait_for_lines("the checksums of 192.0.2.2 are those of keepalived before 1.3.7", 1);
    assert!(!ours.holds(ADDRESS));
    // As a master it goes on so.
    theirs.configure(&instance("VI_1", 50, &old(&other), ADDRESS));
    theirs.signal(libc::SIGTERM);
    theirs.wait_for_end();
    wait_for(&mut ours, ADDRESS, true);
    theirs.start(&[]);
    theirs.wait_for_lines("Entering BACKUP STATE", 2);
    ours.wait("a while of advertisements", |host| {
        status(host)["routers"][0]["counters"]["advertisements_sent"].as_u64().unwrap() > 30
    });
    assert!(!theirs.holds(ADDRESS), "{}", theirs.log());
    // Ours is told to speak it, and theirs finds out.
    ours.configure(&instance("VI_1", 150, &old(&own), ADDRESS));
    theirs.configure(&instance("VI_1", 100, &other, ADDRESS));
    for host in [&mut ours, &mut theirs] {
        host.signal(libc::SIGTERM);
        host.wait_for_end();
        host.start(&[]);
    }
    wait_for(&mut ours, ADDRESS, true);
    wait_for(&mut theirs, ADDRESS, false);
    let sent = |host: &Host| status(host)["routers"][0]["counters"]["advertisements_sent"].as_u64().unwrap();
    let before = sent(&ours);
    ours.wait("a while of advertisements", |host| sent(host) > before + 20);
    assert!(!theirs.holds(ADDRESS), "{}", theirs.log());
}

/// Advertisements go from address to address on the interface below, the addresses are at the virtual MAC.
#[test]
fn beside_keepalived_on_virtual_macs() {
    let Some((mut ours, mut theirs)) = Host::beside_keepalived() else { return };
    let on_top = |statements: String| format!("use_vmac\n    vmac_xmit_base\n    {statements}");
    for priorities in [[150, 100], [100, 150]] {
        ours.configure(&instance("VI_1", priorities[0], &on_top(on_lan("192.0.2.1", "192.0.2.2")), ADDRESS));
        theirs.configure(&instance(
            "VI_1",
            priorities[1],
            &on_top(on_lan("192.0.2.2", "192.0.2.1")),
            ADDRESS,
        ));
        for host in [&mut ours, &mut theirs] {
            host.start(&[]);
        }
        let (better, other) =
            if priorities[0] > priorities[1] { (&mut ours, &mut theirs) } else { (&mut theirs, &mut ours) };
        wait_for(better, ADDRESS, true);
        wait_for(other, ADDRESS, false);
        better.signal(libc::SIGTERM);
        better.wait_for_end();
        wait_for(other, ADDRESS, true);
        other.signal(libc::SIGTERM);
        other.wait_for_end();
    }
    assert!(!ours.log().contains("dropping"), "{}", ours.log());
}
