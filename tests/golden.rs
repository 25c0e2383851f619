//! Frames that a running keepalived sent (tests/golden/capture), both ways: their bytes are read as the meaning
//! that its configuration gave them, and that meaning is written as the same bytes.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use alived::net::{Family, MacAddress};
use alived::secret::Secret;
use alived::wire::arp::ArpFrame;
use alived::wire::ip::{self, IpPacket};
use alived::wire::ndisc::NeighbourAdvertisement;
use alived::wire::vrrp::{
    Advertisement, AdvertisementInterval, AuthenticationData, ChecksumMode, Expectation, HopLimits,
    PacketHeader, Priority, Rejection, Version, Vrid, decode, peek,
};

const FIXTURES: &str = include_str!("golden/keepalived-2.2.7.hex");
const SENDER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 10]);
const ETHERNET_HEADER: usize = 14;

fn fixtures() -> BTreeMap<&'static str, Vec<u8>> {
    let lines = FIXTURES.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap()).map(|(name, hex)| (name, bytes(hex))).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    assert_eq!(hex.len() % 2, 0);
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// What tests/golden/keepalived.conf says of an instance.
struct Meaning {
    name: &'static str,
    advertisement: Advertisement,
}

fn meaning(
    name: &'static str,
    version: Version,
    vrid: u8,
    priority: u8,
    interval: AdvertisementInterval,
    addresses: &[&str],
) -> Meaning {
    let advertisement = Advertisement {
        version,
        vrid: Vrid::new(vrid).unwrap(),
        priority: Priority(priority),
        interval,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        authentication: AuthenticationData::None,
        trailer: None,
    };
    Meaning { name, advertisement }
}

fn with_password(password: [u8; 8], meaning: Meaning) -> Meaning {
    let authentication = AuthenticationData::SimplePassword(Secret::new(password));
    Meaning { advertisement: Advertisement { authentication, ..meaning.advertisement }, ..meaning }
}

fn meanings() -> Vec<Meaning> {
    use Version::{V2, V3};
    let seconds = |s| AdvertisementInterval::from_seconds(s).unwrap();
    let centiseconds = |c| AdvertisementInterval::from_centiseconds(c).unwrap();
    let twenty: Vec<String> = (101..=120).map(|host| format!("198.51.100.{host}")).collect();
    let twenty: Vec<&str> = twenty.iter().map(String::as_str).collect();
    vec![
        meaning("v2", V2, 1, 255, seconds(1), &["192.0.2.101"]),
        meaning(
            "v2-three-addresses",
            V2,
            2,
            200,
            seconds(1),
            &["192.0.2.102", "198.51.100.2", "203.0.113.2"],
        ),
        meaning("v2-255-seconds", V2, 3, 255, seconds(255), &["192.0.2.103"]),
        with_password(*b"secret12", meaning("v2-password", V2, 4, 100, seconds(1), &["192.0.2.104"])),
        with_password(
            *b"abc\0\0\0\0\0",
            meaning("v2-short-password", V2, 5, 255, seconds(2), &["192.0.2.105"]),
        ),
        meaning("v3", V3, 10, 150, seconds(1), &["192.0.2.110"]),
        meaning("v3-half-second", V3, 11, 1, centiseconds(50), &["192.0.2.111", "192.0.2.211"]),
        meaning("v3-centisecond", V3, 12, 255, centiseconds(1), &["192.0.2.112"]),
        meaning("v3-longest-interval", V3, 13, 255, centiseconds(4095), &["192.0.2.113"]),
        meaning("v3-twenty-addresses", V3, 14, 255, seconds(1), &twenty),
        meaning("v3-unicast", V3, 15, 255, seconds(1), &["192.0.2.115"]),
        meaning("v3-unicast-old-checksum", V3, 16, 255, seconds(1), &["192.0.2.116"]),
        meaning("v3-ipv6", V3, 10, 150, seconds(1), &["fe80::56"]),
        meaning(
            "v3-ipv6-three-addresses",
            V3,
            11,
            255,
            centiseconds(20),
            &["fe80::57", "2001:db8::57", "2001:db8::1:57"],
        ),
        meaning("v2-ipv6", V2, 12, 255, seconds(1), &["fe80::58"]),
        with_password(*b"secret12", meaning("v2-ipv6-password", V2, 13, 255, seconds(1), &["fe80::59"])),
    ]
}

fn expectation(meaning: &Advertisement, destination: &IpAddr) -> Expectation {
    Expectation {
        family: Family::of(destination),
        version: meaning.version,
        interval: meaning.interval,
        authentication: meaning.authentication,
        checksum: ChecksumMode::PseudoHeader,
        multicast: destination.is_multicast(),
        hop_limits: HopLimits::LINK,
        trailer: false,
    }
}

fn packet(frame: &[u8]) -> IpPacket<'_> {
    let packet = &frame[ETHERNET_HEADER..];
    if packet[0] >> 4 == 4 { ip::parse_ipv4(packet).unwrap() } else { ip::parse_ipv6(packet).unwrap() }
}

#[test]
fn advertisements_both_ways() {
    let mut frames = fixtures();
    frames.retain(|name, _| name.starts_with('v'));
    for Meaning { name, advertisement } in meanings() {
        let leaving = Advertisement { priority: Priority::LEAVING, ..advertisement.clone() };
        for (suffix, advertisement) in [("", advertisement), ("-leaving", leaving)] {
            let name = format!("{name}{suffix}");
            let frame = frames.remove(name.as_str()).unwrap_or_else(|| panic!("no fixture {name}"));
            let packet = packet(&frame);
            assert_eq!(packet.protocol, ip::VRRP_PROTOCOL, "{name}");
            assert_eq!(packet.hop_limit, 255, "{name}");
            assert_eq!(peek(packet.payload), Some(advertisement.vrid), "{name}");

            let header = PacketHeader {
                source: packet.source,
                destination: packet.destination,
                hop_limit: Some(packet.hop_limit),
            };
            let mut expected = expectation(&advertisement, &packet.destination);
            let mut summed_for = packet.destination;
            if name.contains("old-checksum") {
                assert_eq!(decode(&header, packet.payload, &expected), Err(Rejection::Checksum), "{name}");
                summed_for = Ipv4Addr::new(224, 0, 0, 18).into();
                expected.multicast = true;
            }
            let header = PacketHeader { destination: summed_for, ..header };
            let decoded = decode(&header, packet.payload, &expected);
            assert_eq!(decoded.as_ref(), Ok(&advertisement), "{name}");

            let encoded = advertisement.encode(packet.source, summed_for, ChecksumMode::PseudoHeader);
            assert_eq!(encoded, packet.payload, "{name}");
        }
    }
    assert!(frames.is_empty(), "fixtures without a meaning: {:?}", frames.keys());
}

#[test]
fn ip_headers_are_keepalived_s() {
    for (name, frame) in fixtures() {
        if !name.starts_with('v') {
            continue;
        }
        let packet = packet(&frame);
        let theirs = &frame[ETHERNET_HEADER..];
        match (packet.source, packet.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let ours =
                    ip::ipv4_header(source, destination, ip::IpFields::vrrp(255), packet.payload.len())
                        .unwrap();
                // Identification (4 and 5) counts up in theirs, and the checksum (10 and 11) with it.
                for range in [0..4, 6..10, 12..20] {
                    assert_eq!(ours[range.clone()], theirs[range], "{name}");
                }
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let ours =
                    ip::ipv6_header(source, destination, ip::IpFields::vrrp(255), packet.payload.len())
                        .unwrap();
                // The kernel makes up the flow label, the lower 20 bits of the first word.
                assert_eq!((ours[0], ours[1] & 0xf0), (theirs[0], theirs[1] & 0xf0), "{name}");
                assert_eq!(ours[4..], theirs[4..40], "{name}");
            }
            mixed => panic!("{name}: {mixed:?}"),
        }
    }
}

#[test]
fn gratuitous_arp_both_ways() {
    let mut count = 0;
    for (name, frame) in fixtures() {
        let Some(address) = name.strip_prefix("garp-") else { continue };
        let meaning = ArpFrame::gratuitous(SENDER_MAC, address.parse().unwrap());
        assert_eq!(ArpFrame::parse(&frame), Some(meaning), "{name}");
        assert_eq!(meaning.encode(), *frame, "{name}");
        count += 1;
    }
    let announced: usize = meanings()
        .iter()
        .map(|m| m.advertisement.addresses.iter().filter(|address| address.is_ipv4()).count())
        .sum();
    assert_eq!(count, announced, "keepalived announced each IPv4 address");
}

#[test]
fn neighbour_advertisements_both_ways() {
    let mut seen = [0, 0];
    for (name, frame) in fixtures() {
        let (address, is_router) = match (name.strip_prefix("host-na-"), name.strip_prefix("router-na-")) {
            (Some(address), _) => (address, false),
            (_, Some(address)) => (address, true),
            (None, None) => continue,
        };
        let address: Ipv6Addr = address.parse().unwrap();
        let meaning = NeighbourAdvertisement::unsolicited(SENDER_MAC, address, is_router);
        assert_eq!(NeighbourAdvertisement::parse(&frame), Some(meaning), "{name}");
        assert_eq!(meaning.encode(), *frame, "{name}");
        seen[usize::from(is_router)] += 1;
    }
    assert_eq!(seen, [6, 6], "each IPv6 address, as a host and as a router");
}
