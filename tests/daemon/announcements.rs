//! Announcements of a running daemon as they are on the wire, and those of keepalived beside them: how many, in which
//! order, how far apart. All bounds of time are lower ones, which a busy machine cannot miss.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use alived::drill::Program;
use pnet_datalink::DataLinkReceiver;
use pnet_packet::Packet;
use pnet_packet::arp::ArpPacket;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use pnet_packet::icmpv6::ndp::NeighborAdvertPacket;
use pnet_packet::icmpv6::{Icmpv6Packet, Icmpv6Types};
use pnet_packet::ipv6::Ipv6Packet;

use crate::host::{Host, LAN, instance, name, prefix};
use crate::{cable, skip};

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ours, and keepalived where it is installed.
fn programs() -> Vec<Option<PathBuf>> {
    let keepalived = Program::keepalived().map(|program| Some(program.path));
    if keepalived.is_none() {
        skip::skip(std::thread::current().name().unwrap(), "keepalived is not installed");
    }
    [Some(None), keepalived].into_iter().flatten().collect()
}

/// The address that a frame announces.
fn announced(frame: &EthernetPacket<'_>) -> Option<IpAddr> {
    match frame.get_ethertype() {
        EtherTypes::Arp => {
            let arp = ArpPacket::new(frame.payload())?;
            let own = arp.get_sender_proto_addr() == arp.get_target_proto_addr();
            own.then(|| arp.get_sender_proto_addr().into())
        }
        EtherTypes::Ipv6 => {
            let packet = Ipv6Packet::new(frame.payload())?;
            let icmp = Icmpv6Packet::new(packet.payload())?;
            if packet.get_destination() != Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)
                || icmp.get_icmpv6_type() != Icmpv6Types::NeighborAdvert
            {
                return None;
            }
            Some(NeighborAdvertPacket::new(packet.payload())?.get_target_addr().into())
        }
        _ => None,
    }
}

/// The next announcements, with the times between them in milliseconds.
fn collect(host: &Host, receiver: &mut dyn DataLinkReceiver, count: usize) -> Vec<(IpAddr, u128)> {
    let start = Instant::now();
    let mut last = start;
    let mut found = Vec::new();
    while found.len() < count {
        assert!(start.elapsed() < PATIENCE, "{} of {count}: {}", found.len(), host.log());
        let address = match receiver.next() {
            Ok(frame) => EthernetPacket::new(frame).and_then(|frame| announced(&frame)),
            Err(error) if error.kind() == ErrorKind::TimedOut => None,
            Err(error) => panic!("{error}"),
        };
        if let Some(address) = address {
            found.push((address, last.elapsed().as_millis()));
            last = Instant::now();
        }
    }
    found
}

/// The configuration with further lines in its instance.
fn with(lines: &str) -> String {
    let text = instance("VI_1", 51, 150, "192.0.2.50/24\n        192.0.2.51/24");
    text.replace("    virtual_ipaddress", &format!("    {lines}\n    virtual_ipaddress"))
}

fn addresses(found: &[(IpAddr, u128)]) -> Vec<u8> {
    let last = |(address, _): &(IpAddr, u128)| match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    found.iter().map(last).collect()
}

#[test]
fn blocks_and_refreshes_are_keepalived_s() {
    for program in programs() {
        let Some(mut host) = Host::new() else { return };
        if let Some(program) = &program {
            host.use_program(program);
        }
        let lines = "garp_master_repeat 3\n    garp_master_delay 2\n    garp_master_refresh 5\n    \
                     garp_master_refresh_repeat 2";
        host.configure(&with(lines));
        let (_, mut receiver) = cable::open(&host, &host.port());
        host.start(&[]);
        // Two blocks of three rounds, two refreshes of two.
        let found = collect(&host, &mut *receiver, 20);
        assert_eq!(addresses(&found), [50, 51].repeat(10), "{program:?}: {found:?}");
        let pauses = [6, 12, 16].map(|first: usize| found[first].1);
        assert!(pauses[0] >= 1_800 && pauses[1] >= 2_500 && pauses[2] >= 4_500, "{program:?}: {found:?}");
    }
}

/// keepalived 2.2.7 sends the first of the queue and forgets the rest: three of these six.
#[test]
fn a_garp_group_sets_the_pace() {
    let Some(mut host) = Host::new() else { return };
    let group = format!("garp_group {{\n    garp_interval 0.1\n    interface {LAN}\n}}\n");
    host.configure(&(group + &with("garp_master_repeat 3\n    garp_master_delay 0")));
    let (_, mut receiver) = cable::open(&host, &host.port());
    host.start(&[]);
    let found = collect(&host, &mut *receiver, 6);
    assert_eq!(addresses(&found), [50, 51].repeat(3), "{found:?}");
    // Some frames may wait in the capture while this test does not run; not all of them.
    let total: u128 = found[1..].iter().map(|(_, pause)| pause).sum();
    assert!(total >= 450, "{found:?}");
}

#[test]
fn an_address_on_another_interface_is_announced_from_time_to_time_as_by_keepalived() {
    for program in programs() {
        let Some(mut host) = Host::new() else { return };
        if let Some(program) = &program {
            host.use_program(program);
        }
        let far = name("port1b");
        let index = host.lay_cable(&name("lan1"), &far, 1);
        host.socket.set_up(index, true).unwrap();
        let lines = "garp_master_repeat 1\n    garp_master_delay 0\n    garp_extra_if all 1";
        let text = with(lines).replace("192.0.2.51/24", "198.51.100.51/24 dev lan1");
        host.configure(&text);
        let (_, mut receiver) = cable::open(&host, &far);
        host.start(&[]);
        let found = collect(&host, &mut *receiver, 4);
        assert_eq!(addresses(&found), [51; 4], "{program:?}: {found:?}");
        let total: u128 = found[1..].iter().map(|(_, pause)| pause).sum();
        assert!(total >= 1_900, "{program:?}: {found:?}");
    }
}

/// Without `all`: only addresses that have a virtual MAC of their own, each time by a request and a reply behind it.
#[test]
fn an_address_with_a_virtual_mac_of_its_own_is_announced_from_time_to_time() {
    let Some(mut host) = Host::new() else { return };
    let lines = "garp_master_repeat 1\n    garp_master_delay 0\n    garp_extra_if 1";
    host.configure(&with(lines).replace("192.0.2.51/24", "192.0.2.51/32 dev lan0 use_vmac"));
    let (_, mut receiver) = cable::open(&host, &host.port());
    host.start(&[]);
    let found = collect(&host, &mut *receiver, 7);
    let mut first = addresses(&found[..2]);
    first.sort_unstable();
    assert_eq!((first, addresses(&found[2..])), (vec![50, 51], vec![51; 5]), "{found:?}");
    let total: u128 = found[3..].iter().map(|(_, pause)| pause).sum();
    assert!(total >= 1_900, "{found:?}");
}

/// An IPv6 address with duplicate address detection (`-nodad`).
fn detecting() -> String {
    instance("VI_1", 51, 150, "fe80::50/64\n        2001:db8::50/64 -nodad").replace(
        "    virtual_ipaddress",
        "    garp_master_repeat 1\n    garp_master_delay 0\n    virtual_ipaddress",
    )
}

#[test]
fn an_address_is_announced_when_the_kernel_has_found_it_unique() {
    let Some(mut host) = Host::new() else { return };
    host.configure(&detecting());
    let (_, mut receiver) = cable::open(&host, &host.port());
    host.start(&[]);
    let found = collect(&host, &mut *receiver, 2);
    let expected: Vec<IpAddr> = ["fe80::50", "2001:db8::50"].map(|text| text.parse().unwrap()).into();
    assert_eq!(found.iter().map(|(address, _)| *address).collect::<Vec<_>>(), expected);
    assert!(found[1].1 >= 800, "detection takes a second: {found:?}");
}

#[test]
fn an_address_that_another_host_has_is_told_and_taken_when_it_is_free() {
    let Some((mut host, mut other)) = Host::pair() else { return };
    other.namespace.set(&format!("ipv6/conf/{LAN}/accept_dad"), "0").unwrap();
    let lan = other.lan();
    other.socket.add_address(lan, prefix("2001:db8::50/64")).unwrap();
    host.configure(&detecting());
    let (_, mut receiver) = cable::open(&host, &host.port());
    host.start(&[]);
    host.wait_for_lines("another host on lan0 has 2001:db8::50/64", 1);
    other.socket.remove_address(lan, prefix("2001:db8::50/64")).unwrap();
    host.wait_for_lines("no other host has 2001:db8::50/64 any more", 1);
    let found = collect(&host, &mut *receiver, 2);
    let expected: Vec<IpAddr> = ["fe80::50", "2001:db8::50"].map(|text| text.parse().unwrap()).into();
    assert_eq!(
        found.iter().map(|(address, _)| *address).collect::<Vec<_>>(),
        expected,
        "not announced before"
    );
}
