//! Neighbour discovery for IPv6 (RFC 4861): unsolicited neighbour advertisements, by which a master tells
//! the hosts of the LAN where its addresses are now (RFC 9568 §6.4.1, RFC 4861 §7.2.6).

use core::net::{IpAddr, Ipv6Addr};

use etherparse::icmpv6::{NdpOptionSlice, NdpOptionsIterator, NeighborAdvertisementHeader};
use etherparse::{
    EtherType, Ethernet2Header, Icmpv6Header, Icmpv6Slice, Icmpv6Type, IpNumber, Ipv6FlowLabel, Ipv6Header,
};

use super::ip::{self, IPV6_HEADER_LENGTH};
use crate::net::MacAddress;

/// ICMPv6 header with flags, then the target address.
const FIXED_LENGTH: usize = 24;

/// The target link-layer address option (RFC 4861 §4.6.1): type, length in units of 8 bytes, MAC.
const OPTION_LENGTH: usize = 8;

/// Bytes in the frame of a neighbour advertisement with its target's link-layer address.
pub const FRAME_LENGTH: usize = Ethernet2Header::LEN + IPV6_HEADER_LENGTH + FIXED_LENGTH + OPTION_LENGTH;

/// All nodes of the link (RFC 4291 §2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The Ethernet address of [`ALL_NODES`] (RFC 2464 §7).
const ALL_NODES_MAC: MacAddress = MacAddress([0x33, 0x33, 0, 0, 0, 1]);

/// A neighbour advertisement in its Ethernet frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NeighbourAdvertisement {
    /// Destination of the frame.
    pub frame_destination: MacAddress,
    /// Source of the frame.
    pub frame_source: MacAddress,
    /// Source of the IP packet.
    pub source: Ipv6Addr,
    /// Destination of the IP packet.
    pub destination: Ipv6Addr,
    /// R: the target is a router; hosts drop it from their default routers when the flag is not set.
    pub is_router: bool,
    /// S: an answer to a solicitation.
    pub is_solicited: bool,
    /// O: replaces what the hosts have remembered.
    pub is_override: bool,
    /// The address that this is about.
    pub target: Ipv6Addr,
    /// Its MAC: what the hosts remember.
    pub target_mac: Option<MacAddress>,
}

impl NeighbourAdvertisement {
    /// The announcement of `address` as keepalived sends it: from `address` itself to all nodes, overriding
    /// (RFC 4861 §7.2.6).
    pub const fn unsolicited(mac: MacAddress, address: Ipv6Addr, is_router: bool) -> Self {
        Self {
            frame_destination: ALL_NODES_MAC,
            frame_source: mac,
            source: address,
            destination: ALL_NODES,
            is_router,
            is_solicited: false,
            is_override: true,
            target: address,
            target_mac: Some(mac),
        }
    }

    /// The bytes of the frame: [`FRAME_LENGTH`] of them, or 8 fewer without the target's MAC.
    pub fn encode(&self) -> Vec<u8> {
        let icmp_type = Icmpv6Type::NeighborAdvertisement(NeighborAdvertisementHeader {
            router: self.is_router,
            solicited: self.is_solicited,
            r#override: self.is_override,
        });
        let mut payload = self.target.octets().to_vec();
        if let Some(mac) = self.target_mac {
            payload.extend_from_slice(&[2, 1]);
            payload.extend_from_slice(&mac.0);
        }
        let mut icmp = Icmpv6Header::new(icmp_type);
        // Fails only for payloads beyond 4 GiB.
        let _ = icmp.update_checksum(self.source.octets(), self.destination.octets(), &payload);
        let icmp = icmp.to_bytes();

        let ip = Ipv6Header {
            traffic_class: 0,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: u16::try_from(icmp.len() + payload.len()).unwrap_or(u16::MAX),
            next_header: IpNumber::IPV6_ICMP,
            hop_limit: 255,
            source: self.source.octets(),
            destination: self.destination.octets(),
        };
        let ethernet = Ethernet2Header {
            source: self.frame_source.0,
            destination: self.frame_destination.0,
            ether_type: EtherType::IPV6,
        };
        [&ethernet.to_bytes()[..], &ip.to_bytes(), &icmp, &payload].concat()
    }

    /// Reads an untagged Ethernet frame; `None` unless it is a neighbour advertisement that passes the checks
    /// of RFC 4861 §7.1.2, checksum and hop limit among them.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (ethernet, payload) = Ethernet2Header::from_slice(frame).ok()?;
        if ethernet.ether_type != EtherType::IPV6 {
            return None;
        }
        let packet = ip::parse_ipv6(payload).ok()?;
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (packet.source, packet.destination) else {
            return None;
        };
        if packet.protocol != IpNumber::IPV6_ICMP.0 || packet.hop_limit != 255 {
            return None;
        }
        let icmp = Icmpv6Slice::from_slice(packet.payload).ok()?;
        if !icmp.is_checksum_valid(source.octets(), destination.octets()) {
            return None;
        }
        let Icmpv6Type::NeighborAdvertisement(flags) = icmp.icmp_type() else { return None };
        let (target, options) = icmp.payload().split_first_chunk::<16>()?;
        let target = Ipv6Addr::from(*target);
        if target.is_multicast() || destination.is_multicast() && flags.solicited {
            return None;
        }
        let mut target_mac = None;
        for option in NdpOptionsIterator::from_slice(options) {
            if let NdpOptionSlice::TargetLinkLayerAddress(option) = option.ok()? {
                target_mac = option.link_layer_address().first_chunk().copied().map(MacAddress);
            }
        }
        Some(Self {
            frame_destination: MacAddress(ethernet.destination),
            frame_source: MacAddress(ethernet.source),
            source,
            destination,
            is_router: flags.router,
            is_solicited: flags.solicited,
            is_override: flags.r#override,
            target,
            target_mac,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x0a]);

    fn address() -> Ipv6Addr {
        "2001:db8::56".parse().unwrap()
    }

    #[test]
    fn unsolicited_advertisement_goes_there_and_back() {
        for is_router in [false, true] {
            let announced = NeighbourAdvertisement::unsolicited(MAC, address(), is_router);
            let frame = announced.encode();
            assert_eq!(frame.len(), FRAME_LENGTH);
            assert_eq!(frame[..14], *b"\x33\x33\0\0\0\x01\x02\0\0\0\0\x0a\x86\xdd");
            assert_eq!(frame[14..22], *b"\x60\0\0\0\0\x20\x3a\xff");
            assert_eq!(frame[54..56], [136, 0]);
            assert_eq!(frame[58], if is_router { 0xa0 } else { 0x20 });
            assert_eq!(frame[78..], *b"\x02\x01\x02\0\0\0\0\x0a");
            assert_eq!(NeighbourAdvertisement::parse(&frame), Some(announced));
        }
    }

    #[test]
    fn the_option_may_be_missing() {
        let bare = NeighbourAdvertisement {
            target_mac: None,
            ..NeighbourAdvertisement::unsolicited(MAC, address(), true)
        };
        let frame = bare.encode();
        assert_eq!(frame.len(), FRAME_LENGTH - 8);
        assert_eq!(NeighbourAdvertisement::parse(&frame), Some(bare));
    }

    #[test]
    fn what_hosts_must_drop_is_none() {
        let announced = NeighbourAdvertisement::unsolicited(MAC, address(), true);
        let frame = announced.encode();
        for length in 0..frame.len() {
            assert_eq!(NeighbourAdvertisement::parse(&frame[..length]), None, "cut after {length} bytes");
        }
        // Ethernet type, next header, hop limit, ICMPv6 type, checksum, target.
        for index in [12, 20, 21, 54, 56, 62] {
            let mut frame = frame.clone();
            frame[index] ^= 1;
            assert_eq!(NeighbourAdvertisement::parse(&frame), None, "byte {index} changed");
        }
        let solicited = NeighbourAdvertisement { is_solicited: true, ..announced };
        assert_eq!(NeighbourAdvertisement::parse(&solicited.encode()), None);
        let multicast = NeighbourAdvertisement { target: ALL_NODES, ..announced };
        assert_eq!(NeighbourAdvertisement::parse(&multicast.encode()), None);
    }
}
