//! Virtual MACs (`use_vmac`) on real interfaces: what is on the wire, judged by a library that the product does not use;
//! what is left after a kill, a stop, a removal; and keepalived beside ours.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use alived::net::InterfaceIndex;
use alived::sys::process::signal;
use pnet_datalink::{DataLinkReceiver, MacAddr};
use pnet_packet::Packet;
use pnet_packet::arp::ArpPacket;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;

use crate::cable;
use crate::host::{self, Host, LAN, instance, name};
use crate::nft::rules;

const ADDRESS: &str = "192.0.2.50/24";
const VMAC: &str = "vrrp.51";
const MAC: MacAddr = MacAddr(0, 0, 0x5e, 0, 1, 51);
const MAC_IPV6: MacAddr = MacAddr(0, 0, 0x5e, 0, 2, 51);
/// Of the first host's own interface.
const OWN_MAC: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);

/// What a frame is, and the MAC that it comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Seen {
    Advertisement { priority: u8, source: IpAddr },
    Arp { sender: MacAddr, address: IpAddr },
    Igmp,
    Icmpv6 { kind: u8, target: Option<IpAddr> },
}

fn see(frame: &EthernetPacket<'_>) -> Option<Seen> {
    match frame.get_ethertype() {
        EtherTypes::Arp => {
            let arp = ArpPacket::new(frame.payload())?;
            Some(Seen::Arp { sender: arp.get_sender_hw_addr(), address: arp.get_sender_proto_addr().into() })
        }
        EtherTypes::Ipv4 => {
            let packet = Ipv4Packet::new(frame.payload())?;
            match packet.get_next_level_protocol() {
                IpNextHeaderProtocols::Vrrp => Some(Seen::Advertisement {
                    priority: packet.payload()[2],
                    source: packet.get_source().into(),
                }),
                IpNextHeaderProtocols::Igmp => Some(Seen::Igmp),
                _ => None,
            }
        }
        EtherTypes::Ipv6 => {
            let packet = Ipv6Packet::new(frame.payload())?;
            let payload = packet.payload();
            let (next, payload) = match packet.get_next_header() {
                // MLD has a router alert before it.
                IpNextHeaderProtocols::Hopopt => (payload[0], &payload[8..]),
                other => (other.0, payload),
            };
            match next {
                112 => Some(Seen::Advertisement { priority: payload[2], source: packet.get_source().into() }),
                58 => {
                    let target = (payload[0] == 136)
                        .then(|| IpAddr::from(<[u8; 16]>::try_from(&payload[8..24]).unwrap()));
                    Some(Seen::Icmpv6 { kind: payload[0], target })
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// The far end of a host's cable.
struct Wire(Box<dyn DataLinkReceiver>);

impl Wire {
    fn of(host: &Host) -> Self {
        Self(cable::open(host, &host.port()).1)
    }

    /// Collects what the host sends, with the MACs it comes from, until `done` of all.
    fn collect(&mut self, host: &Host, done: impl Fn(&[(MacAddr, Seen)]) -> bool) -> Vec<(MacAddr, Seen)> {
        let start = Instant::now();
        let mut all = Vec::new();
        while !done(&all) {
            assert!(start.elapsed() < Duration::from_secs(30), "{all:?}\n{}", host.log());
            match self.0.next() {
                Ok(frame) => {
                    let frame = EthernetPacket::new(frame).unwrap();
                    all.extend(see(&frame).map(|seen| (frame.get_source(), seen)));
                }
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                Err(error) => panic!("{error}"),
            }
        }
        all
    }
}

fn has(all: &[(MacAddr, Seen)], what: impl Fn(MacAddr, Seen) -> bool) -> bool {
    all.iter().any(|(mac, seen)| what(*mac, *seen))
}

/// A router with a virtual MAC.
fn router(settings: &str, addresses: &str) -> String {
    let text = instance("VI_1", 51, 100, addresses);
    text.replacen("    version 3", &format!("    version 3\n    {settings}"), 1)
}

fn setting(host: &Host, path: &str) -> String {
    let read = || fs::read_to_string(format!("/proc/sys/net/{path}"));
    host.namespace.run(read).unwrap().unwrap_or_else(|error| error.to_string()).trim().to_owned()
}

/// The settings that a virtual MAC changes, as they are now.
fn settings(host: &Host) -> Vec<String> {
    let paths = ["conf/lan0/arp_ignore", "conf/lan0/arp_filter", "conf/lan0/rp_filter", "conf/all/rp_filter"];
    let paths = paths.iter().chain(&["conf/default/rp_filter", "conf/lo/rp_filter"]);
    paths.map(|path| setting(host, &format!("ipv4/{path}"))).collect()
}

fn index(host: &mut Host, link: &str) -> Option<InterfaceIndex> {
    host.socket.index_of(&name(link)).ok()
}

/// The interface that holds an address.
fn holder(host: &mut Host, address: &str) -> Option<String> {
    let address = host::prefix(address);
    let links = host.socket.links().unwrap();
    links
        .into_iter()
        .find(|link| host.socket.addresses(link.index).unwrap_or_default().contains(&address))
        .map(|link| link.name)
}

#[test]
fn all_that_is_sent_for_the_address_comes_from_the_virtual_mac_and_nothing_else_does() {
    let Some(mut host) = Host::new() else { return };
    let mut wire = Wire::of(&host);
    host.configure(&router("use_vmac", ADDRESS));
    host.start(&[]);
    let advertisement = |mac, seen| matches!(seen, Seen::Advertisement { .. }) && mac == MAC;
    let all = wire.collect(&host, |all| {
        all.iter().filter(|(mac, seen)| advertisement(*mac, *seen)).count() >= 5
            && has(all, |_, seen| matches!(seen, Seen::Arp { .. }))
            && has(all, |mac, seen| seen == Seen::Igmp && mac == OWN_MAC)
    });
    for (mac, seen) in &all {
        match seen {
            Seen::Advertisement { source, .. } => {
                assert_eq!((*mac, *source), (MAC, [192, 0, 2, 1].into()), "from the parent's address");
            }
            Seen::Arp { sender, address } if *address == IpAddr::from([192, 0, 2, 50]) => {
                assert_eq!((*mac, *sender), (MAC, MAC));
            }
            _ => assert_ne!(*mac, MAC, "{seen:?} from the virtual MAC"),
        }
    }
    assert_eq!(holder(&mut host, ADDRESS).as_deref(), Some(VMAC));
    host.signal(libc::SIGTERM);
    host.wait_for_end();
    let last = wire
        .collect(&host, |all| has(all, |_, seen| matches!(seen, Seen::Advertisement { priority: 0, .. })));
    assert!(has(&last, |mac, seen| mac == MAC && matches!(seen, Seen::Advertisement { priority: 0, .. })));
    assert_eq!(index(&mut host, VMAC), None, "{}", host.log());
}

#[test]
fn the_filter_stands_where_it_is_told_and_counts() {
    let Some(mut host) = Host::new() else { return };
    let global = "global_defs {\n    nftables_priority -77\n    nftables_counters\n}\n";
    host.configure(&format!("{global}{}", router("use_vmac", ADDRESS)));
    host.start(&[]);
    host.wait("the address", |host| host.holds(ADDRESS));
    let Some(rules) = rules(&host) else { return };
    assert_eq!(rules.matches("type filter hook output priority -77; policy accept;").count(), 2, "{rules}");
    assert!(rules.contains("ip protocol igmp counter packets"), "{rules}");
    assert!(rules.contains("icmpv6 type nd-router-solicit oif @vmac_set counter packets"), "{rules}");
}

#[test]
fn ipv6_has_its_own_virtual_mac_with_the_link_local_address_of_its_parent() {
    let Some(mut host) = Host::new() else { return };
    let mut wire = Wire::of(&host);
    let local: IpAddr = "fe80::ff:fe00:1".parse().unwrap();
    host.wait("the link-local address", |host| {
        let lan = host.lan();
        host.socket.addresses(lan).unwrap().iter().any(|prefix| prefix.address() == local)
            && host.socket.has_multicast_route(lan).unwrap()
    });
    host.configure(&router("use_vmac", "fe80::50/64\n        2001:db8::50/64"));
    host.start(&[]);
    let virtual_address: IpAddr = "2001:db8::50".parse().unwrap();
    let is_mld = |seen| matches!(seen, Seen::Icmpv6 { kind: 131 | 132 | 143, .. });
    let all = wire.collect(&host, |all| {
        has(all, |mac, seen| mac == MAC_IPV6 && matches!(seen, Seen::Advertisement { .. }))
            && has(all, |_, seen| seen == Seen::Icmpv6 { kind: 136, target: Some(virtual_address) })
            && has(all, |mac, seen| is_mld(seen) && mac == OWN_MAC)
    });
    for (mac, seen) in &all {
        match seen {
            Seen::Advertisement { source, .. } => assert_eq!((*mac, *source), (MAC_IPV6, local)),
            Seen::Icmpv6 { kind: 136, target: Some(target) } => {
                assert_eq!(*mac == MAC_IPV6, *target != local, "{seen:?}");
            }
            _ => assert_ne!(*mac, MAC_IPV6, "{seen:?} from the virtual MAC"),
        }
    }
    assert_eq!(setting(&host, "ipv6/conf/vrrp.51/addr_gen_mode"), "1");
    assert_eq!(setting(&host, "ipv6/conf/vrrp.51/disable_ipv6"), "0");
    let upper = index(&mut host, VMAC).unwrap();
    let mut held = host.socket.addresses(upper).unwrap();
    held.sort_unstable();
    let mut wanted = ["fe80::50/64", "2001:db8::50/64", "fe80::ff:fe00:1/64"].map(host::prefix);
    wanted.sort_unstable();
    assert_eq!(held, wanted);
}

#[test]
fn a_killed_daemon_leaves_the_interface_its_successor_uses_it_and_a_stop_puts_everything_back() {
    let Some(mut host) = Host::new() else { return };
    host.namespace.set("ipv4/conf/all/rp_filter", "1").unwrap();
    let before = settings(&host);
    host.configure(&router("use_vmac", ADDRESS));
    host.start(&[]);
    host.wait("the address", |host| host.holds(ADDRESS));
    let link = index(&mut host, VMAC).unwrap();
    let during = settings(&host);
    assert_eq!(during, ["1", "1", "1", "0", "1", "1"], "{}", host.log());
    for (path, value) in
        [("arp_ignore", "1"), ("accept_local", "1"), ("rp_filter", "0"), ("promote_secondaries", "1")]
    {
        assert_eq!(setting(&host, &format!("ipv4/conf/{VMAC}/{path}")), value, "{path}");
    }
    assert_eq!(setting(&host, &format!("ipv6/conf/{VMAC}/disable_ipv6")), "1");
    let filter = rules(&host);
    if let Some(filter) = &filter {
        assert!(
            filter.contains("ip protocol igmp dup to ip daddr device oif map @vmac_map drop"),
            "{filter}"
        );
        assert!(filter.contains(&format!("\"{VMAC}\" : \"{LAN}\"")), "{filter}");
    }
    assert!(host.log().contains("nftables table ip keepalived: ip protocol igmp"), "{}", host.log());

    let starts = host.log().matches("Startup complete").count();
    signal(host.worker(), libc::SIGKILL);
    host.wait_for_lines("Startup complete", starts + 1);
    host.wait_for_lines("Entering MASTER STATE", 2);
    assert_eq!(index(&mut host, VMAC), Some(link));
    assert!(host.log().contains("left over by a predecessor, is used"), "{}", host.log());
    assert_eq!(rules(&host), filter);
    assert_eq!(settings(&host), during);

    // Everything is killed: what the next daemon finds is the last one's, and it knows how it was before.
    let worker = host.worker();
    // Stopped first: the death of its supervisor has it end in order.
    signal(worker, libc::SIGSTOP);
    signal(host.supervisor(), libc::SIGKILL);
    signal(worker, libc::SIGKILL);
    host.wait_for_end();
    assert_eq!(index(&mut host, VMAC), Some(link));
    host.start(&[]);
    assert_eq!(index(&mut host, VMAC), Some(link));
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success());
    assert_eq!(index(&mut host, VMAC), None);
    assert_eq!(settings(&host), before);
    if let Some(filter) = rules(&host) {
        assert_eq!(filter, "");
    }
    assert!(!host.path("vrrp.settings").exists());
}

#[test]
fn what_somebody_deletes_is_made_again_and_the_router_is_in_fault_meanwhile() {
    let Some(mut host) = Host::new() else { return };
    host.configure(&format!("global_defs {{\n    dynamic_interfaces\n}}\n{}", router("use_vmac", ADDRESS)));
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    let link = index(&mut host, VMAC).unwrap();
    host.socket.delete(link).unwrap();
    host.wait_for_lines("Entering FAULT STATE (interface vrrp.51", 1);
    host.wait_for_lines("Entering MASTER STATE", 2);
    assert!(
        host.log().contains("interface vrrp.51 was removed or changed by somebody else, putting it back")
    );
    let again = index(&mut host, VMAC).unwrap();
    assert_ne!(again, link);
    host.wait("the address", |host| host.holds(ADDRESS));

    let lan = host.lan();
    host.socket.delete(lan).unwrap();
    host.wait_for_lines("in FAULT: interface lan0 does not exist", 1);
    host.wait("the end of the interface", |host| index(host, VMAC).is_none());
    host.plug_in();
    host.wait_for_lines("Entering MASTER STATE", 3);
    assert_eq!(holder(&mut host, ADDRESS).as_deref(), Some(VMAC));
    assert_eq!(setting(&host, "ipv4/conf/lan0/arp_ignore"), "1");

    // Another MAC is none of ours.
    let link = index(&mut host, VMAC).unwrap();
    host.socket.set_mac(link, alived::net::MacAddress([2, 0, 0, 0, 9, 9])).unwrap();
    host.wait("the MAC to be put back", |host| {
        let links = host.socket.dump_links().unwrap();
        links.iter().any(|link| {
            use netlink_packet_route::link::LinkAttribute::{Address, IfName};
            link.attributes.contains(&IfName(VMAC.to_owned()))
                && link.attributes.contains(&Address(MAC.octets().to_vec()))
        })
    });
}

#[test]
fn a_name_that_another_interface_has_is_refused() {
    let Some(mut host) = Host::new() else { return };
    host.socket.create_bridge(&name("taken0")).unwrap();
    host.configure(&router("use_vmac taken0", ADDRESS));
    let output = host.run(&["-n", "-l"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("the host has an interface taken0 already"), "{text}");

    // It comes while the daemon runs.
    host.configure(&router("use_vmac later0", ADDRESS));
    host.start(&[]);
    let link = index(&mut host, "later0").unwrap();
    signal(host.worker(), libc::SIGSTOP);
    host.socket.delete(link).unwrap();
    host.socket.create_bridge(&name("later0")).unwrap();
    signal(host.worker(), libc::SIGCONT);
    host.wait_for_lines("there is another interface of this name", 1);
    host.wait_for_lines("Entering FAULT STATE", 1);
}

#[test]
fn a_reload_adds_changes_and_removes_virtual_macs() {
    let Some(mut host) = Host::new() else { return };
    host.configure(&instance("VI_1", 51, 100, ADDRESS));
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    assert_eq!(holder(&mut host, ADDRESS).as_deref(), Some(LAN));

    host.configure(&router("use_vmac vmac0 02:00:00:00:00:05:09", ADDRESS).replace(":05:09", ":09"));
    host.signal(libc::SIGHUP);
    host.wait("the address to be on the virtual MAC", |host| {
        holder(host, ADDRESS).as_deref() == Some("vmac0")
    });
    let link = index(&mut host, "vmac0").unwrap();

    // The same interface goes on when an address of the other family comes to it.
    let masters = host.log().matches("Entering MASTER STATE").count();
    let excluded = "    virtual_ipaddress_excluded {\n        2001:db8::50/64\n    }\n}\n";
    let text = router("use_vmac vmac0 02:00:00:00:00:09", ADDRESS);
    host.configure(&format!("{}{excluded}", text.trim_end().trim_end_matches('}')));
    host.signal(libc::SIGHUP);
    host.wait("the IPv6 address", |host| holder(host, "2001:db8::50/64").as_deref() == Some("vmac0"));
    assert_eq!(index(&mut host, "vmac0"), Some(link));
    assert_eq!(host.log().matches("Entering MASTER STATE").count(), masters, "{}", host.log());

    host.configure(&instance("VI_1", 51, 100, ADDRESS));
    host.signal(libc::SIGHUP);
    host.wait("the address to be back", |host| holder(host, ADDRESS).as_deref() == Some(LAN));
    host.wait("the end of the virtual MAC", |host| index(host, "vmac0").is_none());
    host.wait("the settings", |host| setting(host, "ipv4/conf/lan0/arp_ignore") == "0");
}

#[test]
fn an_address_has_a_virtual_mac_of_its_own_on_another_interface() {
    let Some(mut host) = Host::new() else { return };
    let other = host.lay_cable(&name("lan1"), &name("far1"), 1);
    host.socket.set_up(other, true).unwrap();
    let text = router("use_vmac", &format!("{ADDRESS}\n        192.0.2.51/24 dev lan1 use_vmac"));
    host.configure(&text);
    host.start(&[]);
    host.wait("the addresses", |host| host.holds(ADDRESS) && host.holds("192.0.2.51/24"));
    assert_eq!(holder(&mut host, ADDRESS).as_deref(), Some(VMAC));
    assert_eq!(holder(&mut host, "192.0.2.51/24").as_deref(), Some("vrrp4.51"));
    host.signal(libc::SIGTERM);
    host.wait_for_end();
    assert_eq!((index(&mut host, VMAC), index(&mut host, "vrrp4.51")), (None, None));
}

#[test]
fn on_a_bridge_and_by_the_base_interface() {
    let Some(mut host) = Host::new() else { return };
    let lan = host.lan();
    host.socket.create_bridge(&name("br0")).unwrap();
    let bridge = index(&mut host, "br0").unwrap();
    host.socket.remove_address(lan, host::prefix("192.0.2.1/24")).unwrap();
    host.socket.set_controller(lan, Some(bridge)).unwrap();
    host.socket.add_address(bridge, host::prefix("192.0.2.1/24")).unwrap();
    host.socket.set_up(bridge, true).unwrap();
    let mut wire = Wire::of(&host);
    host.configure(&router("use_vmac", ADDRESS).replace("interface lan0", "interface br0"));
    host.start(&[]);
    wire.collect(&host, |all| has(all, |mac, seen| mac == MAC && matches!(seen, Seen::Advertisement { .. })));
    host.signal(libc::SIGTERM);
    host.wait_for_end();

    let text = router("use_vmac\n    vmac_xmit_base", ADDRESS).replace("interface lan0", "interface br0");
    host.configure(&text);
    let mut wire = Wire::of(&host);
    host.start(&[]);
    let all = wire.collect(&host, |all| {
        has(all, |_, seen| matches!(seen, Seen::Advertisement { priority: 100, .. }))
            && has(all, |_, seen| matches!(seen, Seen::Arp { sender: MAC, .. }))
    });
    assert!(!has(&all, |mac, seen| mac == MAC && matches!(seen, Seen::Advertisement { .. })), "{all:?}");
    assert_eq!(holder(&mut host, ADDRESS).as_deref(), Some(VMAC));
}

/// Who is master after each event, ours and keepalived as each other's master and backup.
fn beside_keepalived(ours: &str, theirs: &str, ours_leads: bool) {
    let Some((mut host, mut keepalived)) = Host::beside_keepalived() else { return };
    let priorities = if ours_leads { (150, 100) } else { (100, 150) };
    let text = |settings, priority: u8| {
        router(settings, ADDRESS).replace("priority 100", &format!("priority {priority}"))
    };
    host.configure(&text(ours, priorities.0));
    keepalived.configure(&text(theirs, priorities.1));
    keepalived.start(&[]);
    host.start(&[]);
    let settle = |first: bool, what: &str, host: &mut Host, keepalived: &mut Host| {
        let mut since = None;
        host.wait(what, |host| {
            let settled = host.holds(ADDRESS) == first && keepalived.holds(ADDRESS) != first;
            let start = *since.get_or_insert_with(Instant::now);
            if !settled {
                since = None;
            }
            settled && start.elapsed() > Duration::from_millis(700)
        });
    };
    settle(ours_leads, "the first election", &mut host, &mut keepalived);
    let leader = if ours_leads { &mut host } else { &mut keepalived };
    leader.signal(libc::SIGTERM);
    leader.wait_for_end();
    settle(!ours_leads, "the leader's stop", &mut host, &mut keepalived);
    let leader = if ours_leads { &mut host } else { &mut keepalived };
    leader.start(&[]);
    settle(ours_leads, "the leader's return", &mut host, &mut keepalived);
}

#[test]
fn ours_leads_with_a_virtual_mac_on_both_sides() {
    beside_keepalived("use_vmac", "use_vmac", true);
}

#[test]
fn keepalived_leads_with_a_virtual_mac_on_both_sides() {
    beside_keepalived("use_vmac", "use_vmac", false);
}

#[test]
fn ours_leads_and_only_ours_has_a_virtual_mac() {
    beside_keepalived("use_vmac", "", true);
}

#[test]
fn keepalived_leads_and_only_ours_has_a_virtual_mac() {
    beside_keepalived("use_vmac", "", false);
}

#[test]
fn keepalived_leads_and_only_keepalived_has_a_virtual_mac() {
    beside_keepalived("", "use_vmac", false);
}

#[test]
fn keepalived_leads_and_both_advertise_by_the_base_interface() {
    beside_keepalived("use_vmac\n    vmac_xmit_base", "use_vmac\n    vmac_xmit_base", false);
}
