//! The frames of a running daemon, captured and decoded by a library that the product does not use: what our own
//! decoder accepts too readily would show here.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "support/cable.rs"]
mod cable;
#[path = "support/host.rs"]
mod host;
#[path = "support/skip.rs"]
mod skip;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use host::{Host, instance};
use pnet_datalink::{DataLinkReceiver, MacAddr};
use pnet_packet::Packet;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, ArpPacket};
use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use pnet_packet::icmpv6::ndp::{NdpOptionTypes, NeighborAdvertFlags, NeighborAdvertPacket};
use pnet_packet::icmpv6::{self, Icmpv6Code, Icmpv6Packet, Icmpv6Types};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::{self, Ipv4Packet};
use pnet_packet::ipv6::Ipv6Packet;
use pnet_packet::util;

/// Of the first host, which every frame of ours comes from, and its addresses.
const MAC: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
const IPV4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);

const VIRTUAL: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 50), Ipv4Addr::new(192, 0, 2, 51)];
const VIRTUAL_IPV6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x50), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x50)];

/// The groups that advertisements go to (RFC 9568 §5.1), and all nodes.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const GROUP_MAC: MacAddr = MacAddr(1, 0, 0x5e, 0, 0, 18);
const GROUP_IPV6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 18);
const GROUP_IPV6_MAC: MacAddr = MacAddr(0x33, 0x33, 0, 0, 0, 18);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: MacAddr = MacAddr(0x33, 0x33, 0, 0, 0, 1);

/// DSCP of routing protocols.
const INTERNETWORK_CONTROL: u8 = 48;

/// A host and what comes out at the other end of its cable.
struct Wire {
    host: Host,
    receiver: Box<dyn DataLinkReceiver>,
}

impl Wire {
    fn new() -> Option<Self> {
        let host = Host::new()?;
        let (_, receiver) = cable::open(&host, &host.port());
        Some(Self { host, receiver })
    }

    /// Starts a daemon that has one virtual router, of this version and with these addresses.
    fn start<T: ToString>(&mut self, version: u8, addresses: &[T], length: u8) {
        let prefixes: Vec<String> =
            addresses.iter().map(|address| format!("{}/{length}", address.to_string())).collect();
        let text = instance("VI_1", 51, 150, &prefixes.join("\n        "));
        let text = match version {
            2 => text.replace("version 3", "version 2").replace("advert_int 0.1", "advert_int 1"),
            _ => text,
        };
        self.host.configure(&text);
        self.host.start(&[]);
    }

    /// The first `count` things that `read` finds in frames of the host.
    fn collect<T>(&mut self, count: usize, read: impl Fn(&EthernetPacket<'_>) -> Option<T>) -> Vec<T> {
        let start = Instant::now();
        let mut found = Vec::new();
        while found.len() < count {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{} of {count}: {}",
                found.len(),
                self.host.log()
            );
            let frame = match self.receiver.next() {
                Ok(frame) => EthernetPacket::new(frame).unwrap(),
                Err(error) if error.kind() == ErrorKind::TimedOut => continue,
                Err(error) => panic!("{error}"),
            };
            if frame.get_source() == MAC {
                found.extend(read(&frame));
            }
        }
        found
    }

    /// The messages of the first advertisement and of the one that ends the router.
    fn first_and_last(&mut self, read: impl Fn(&EthernetPacket<'_>) -> Option<Vec<u8>>) -> [Vec<u8>; 2] {
        let first = self.collect(1, &read).remove(0);
        self.host.signal(libc::SIGTERM);
        self.host.wait_for_end();
        let last = self.collect(1, |frame| read(frame).filter(|message| message[2] == 0)).remove(0);
        [first, last]
    }
}

/// The VRRP message of an advertisement over IPv4, whose headers are as they must be.
fn advertisement_ipv4(frame: &EthernetPacket<'_>) -> Option<Vec<u8>> {
    if frame.get_ethertype() != EtherTypes::Ipv4 {
        return None;
    }
    let packet = Ipv4Packet::new(frame.payload()).unwrap();
    if packet.get_next_level_protocol() != IpNextHeaderProtocols::Vrrp {
        return None;
    }
    assert_eq!(frame.get_destination(), GROUP_MAC);
    assert_eq!((packet.get_source(), packet.get_destination()), (IPV4, GROUP));
    assert_eq!((packet.get_version(), packet.get_header_length()), (4, 5));
    assert_eq!((packet.get_ttl(), packet.get_dscp(), packet.get_ecn()), (255, INTERNETWORK_CONTROL, 0));
    assert_eq!(packet.get_fragment_offset(), 0);
    assert_eq!(packet.get_checksum(), ipv4::checksum(&packet));
    assert_eq!(usize::from(packet.get_total_length()), frame.payload().len(), "no padding, nothing missing");
    Some(packet.payload().to_vec())
}

fn advertisement_ipv6(frame: &EthernetPacket<'_>) -> Option<Vec<u8>> {
    if frame.get_ethertype() != EtherTypes::Ipv6 {
        return None;
    }
    let packet = Ipv6Packet::new(frame.payload()).unwrap();
    if packet.get_next_header() != IpNextHeaderProtocols::Vrrp {
        return None;
    }
    assert_eq!(frame.get_destination(), GROUP_IPV6_MAC);
    assert_eq!((packet.get_source(), packet.get_destination()), (IPV6, GROUP_IPV6));
    assert_eq!((packet.get_version(), packet.get_hop_limit()), (6, 255));
    assert_eq!((packet.get_traffic_class(), packet.get_flow_label()), (INTERNETWORK_CONTROL << 2, 0));
    assert_eq!(usize::from(packet.get_payload_length()), packet.payload().len());
    Some(packet.payload().to_vec())
}

/// A message of these bytes, with the checksum that `checksum` gives for the third 16-bit word's place.
fn message(head: [u8; 6], rest: &[u8], checksum: impl Fn(&[u8]) -> u16) -> Vec<u8> {
    let mut message = [&head[..], &[0, 0], rest].concat();
    let checksum = checksum(&message);
    message[6..8].copy_from_slice(&checksum.to_be_bytes());
    message
}

const VRRP: pnet_packet::ip::IpNextHeaderProtocol = IpNextHeaderProtocols::Vrrp;

#[test]
fn advertisements_of_version_2() {
    let Some(mut wire) = Wire::new() else { return };
    wire.start(2, &VIRTUAL, 24);
    // The addresses, then no authentication data.
    let rest = [&VIRTUAL.map(|address| address.octets()).concat()[..], &[0; 8]].concat();
    let expected = [150, 0]
        .map(|priority| message([0x21, 51, priority, 2, 0, 1], &rest, |bytes| util::checksum(bytes, 3)));
    assert_eq!(wire.first_and_last(advertisement_ipv4), expected);
}

#[test]
fn advertisements_of_version_3_over_ipv4() {
    let Some(mut wire) = Wire::new() else { return };
    wire.start(3, &VIRTUAL, 24);
    let rest = VIRTUAL.map(|address| address.octets()).concat();
    let checksum = |bytes: &[u8]| util::ipv4_checksum(bytes, 3, &[], &IPV4, &GROUP, VRRP);
    // The interval is 10 hundredths of a second.
    let expected = [150, 0].map(|priority| message([0x31, 51, priority, 2, 0, 10], &rest, checksum));
    assert_eq!(wire.first_and_last(advertisement_ipv4), expected);
}

#[test]
fn advertisements_of_version_3_over_ipv6() {
    let Some(mut wire) = Wire::new() else { return };
    wire.start(3, &VIRTUAL_IPV6, 64);
    let rest = VIRTUAL_IPV6.map(|address| address.octets()).concat();
    let checksum = |bytes: &[u8]| util::ipv6_checksum(bytes, 3, &[], &IPV6, &GROUP_IPV6, VRRP);
    let expected = [150, 0].map(|priority| message([0x31, 51, priority, 2, 0, 10], &rest, checksum));
    assert_eq!(wire.first_and_last(advertisement_ipv6), expected);
}

#[test]
fn gratuitous_arp() {
    let Some(mut wire) = Wire::new() else { return };
    wire.start(3, &VIRTUAL, 24);
    let announced = wire.collect(VIRTUAL.len(), |frame| {
        if frame.get_ethertype() != EtherTypes::Arp {
            return None;
        }
        assert_eq!(frame.get_destination(), MacAddr::broadcast());
        let arp = ArpPacket::new(frame.payload()).unwrap();
        assert_eq!(
            (arp.get_hardware_type(), arp.get_protocol_type()),
            (ArpHardwareTypes::Ethernet, EtherTypes::Ipv4)
        );
        assert_eq!((arp.get_hw_addr_len(), arp.get_proto_addr_len()), (6, 4));
        assert_eq!(arp.get_operation(), ArpOperations::Request);
        assert_eq!((arp.get_sender_hw_addr(), arp.get_target_hw_addr()), (MAC, MacAddr::broadcast()));
        assert_eq!(arp.get_sender_proto_addr(), arp.get_target_proto_addr());
        Some(arp.get_sender_proto_addr())
    });
    assert_eq!(announced, VIRTUAL);
}

#[test]
fn unsolicited_neighbour_advertisements() {
    for (forwarding, flags) in [
        ("0", NeighborAdvertFlags::Override),
        ("1", NeighborAdvertFlags::Override | NeighborAdvertFlags::Router),
    ] {
        let Some(mut wire) = Wire::new() else { return };
        wire.host.namespace.set("ipv6/conf/lan0/forwarding", forwarding).unwrap();
        wire.start(3, &VIRTUAL_IPV6, 64);
        let announced = wire.collect(VIRTUAL_IPV6.len(), |frame| neighbour_advertisement(frame, flags));
        assert_eq!(announced, VIRTUAL_IPV6);
    }
}

/// The address that a frame announces, all of whose layers are as they must be.
fn neighbour_advertisement(frame: &EthernetPacket<'_>, flags: u8) -> Option<Ipv6Addr> {
    if frame.get_ethertype() != EtherTypes::Ipv6 {
        return None;
    }
    let packet = Ipv6Packet::new(frame.payload()).unwrap();
    if packet.get_next_header() != IpNextHeaderProtocols::Icmpv6 {
        return None;
    }
    let icmp = Icmpv6Packet::new(packet.payload()).unwrap();
    if icmp.get_icmpv6_type() != Icmpv6Types::NeighborAdvert {
        return None;
    }
    assert_eq!((frame.get_destination(), packet.get_destination()), (ALL_NODES_MAC, ALL_NODES));
    assert_eq!(packet.get_hop_limit(), 255);
    assert_eq!(icmp.get_icmpv6_code(), Icmpv6Code(0));
    let (source, destination) = (packet.get_source(), packet.get_destination());
    assert_eq!(icmp.get_checksum(), icmpv6::checksum(&icmp, &source, &destination));

    let advertisement = NeighborAdvertPacket::new(packet.payload()).unwrap();
    assert_eq!((advertisement.get_flags(), advertisement.get_reserved()), (flags, 0));
    assert_eq!(advertisement.get_target_addr(), source, "from the address that is announced");
    let options = advertisement.get_options();
    assert_eq!(options.len(), 1);
    assert_eq!((options[0].option_type, options[0].length), (NdpOptionTypes::TargetLLAddr, 1));
    assert_eq!(options[0].data, MAC.octets());
    Some(source)
}
