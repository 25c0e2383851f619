//! Any bytes as an Ethernet frame: IP packets, ARP and neighbour advertisements.

#![no_main]

use alived::wire::arp::ArpFrame;
use alived::wire::ip;
use alived::wire::ndisc::NeighbourAdvertisement;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    for packet in [frame, frame.get(14..).unwrap_or_default()] {
        if let Ok(parsed) = ip::parse_ipv4(packet) {
            assert!(parsed.source.is_ipv4() && parsed.destination.is_ipv4());
            assert!(parsed.payload.len() + ip::IPV4_HEADER_LENGTH <= packet.len());
        }
        if let Ok(parsed) = ip::parse_ipv6(packet) {
            assert!(parsed.source.is_ipv6() && parsed.destination.is_ipv6());
            assert!(parsed.payload.len() + ip::IPV6_HEADER_LENGTH <= packet.len());
        }
    }
    if let Some(arp) = ArpFrame::parse(frame) {
        // What follows an ARP packet is padding.
        assert_eq!(arp.encode()[..], frame[..alived::wire::arp::FRAME_LENGTH]);
    }
    if let Some(advertisement) = NeighbourAdvertisement::parse(frame) {
        assert_eq!(NeighbourAdvertisement::parse(&advertisement.encode()), Some(advertisement));
    }
});
