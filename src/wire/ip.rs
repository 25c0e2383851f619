//! IPv4 and IPv6 headers (RFC 791, RFC 8200) as far as VRRP needs them: no options or extension headers
//! when writing; options skipped and extension headers left in the payload when reading.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    IpDscp, IpEcn, IpNumber, Ipv4Header, Ipv4HeaderSlice, Ipv6FlowLabel, Ipv6Header, Ipv6HeaderSlice,
};

pub use crate::net::VRRP_PROTOCOL;

/// Bytes in an IPv4 header without options.
pub const IPV4_HEADER_LENGTH: usize = Ipv4Header::MIN_LEN;

/// Bytes in an IPv6 header.
pub const IPV6_HEADER_LENGTH: usize = Ipv6Header::LEN;

/// Type of service or traffic class of routing protocols: precedence "internetwork control", which is
/// DSCP 48 (RFC 2474 §4.2.2.2) and what keepalived sends.
const INTERNETWORK_CONTROL: u8 = 48;

/// The whole byte of it.
pub const TRAFFIC_CLASS: u8 = INTERNETWORK_CONTROL << 2;

/// A payload that is longer than the length field of the IP header can say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PayloadTooLong {
    /// Bytes in the payload.
    pub length: usize,
}

impl fmt::Display for PayloadTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a payload of {} bytes does not fit into an IP packet", self.length)
    }
}

impl core::error::Error for PayloadTooLong {}

/// What the header of a packet of ours says beside the two addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IpFields {
    /// Number of the protocol that the payload begins with.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// Identification of an IPv4 packet; 0 = the kernel chooses it. IPv6 has none.
    pub identification: u16,
}

impl IpFields {
    /// A VRRP message, identified by the kernel.
    pub const fn vrrp(hop_limit: u8) -> Self {
        Self { protocol: VRRP_PROTOCOL, hop_limit, identification: 0 }
    }
}

/// The header of an IPv4 packet: TOS 0xC0, no options, fragmenting allowed as keepalived does, checksum correct.
///
/// # Errors
///
/// `payload_length` is more than 65515 bytes.
pub fn ipv4_header(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    fields: IpFields,
    payload_length: usize,
) -> Result<[u8; IPV4_HEADER_LENGTH], PayloadTooLong> {
    let too_long = PayloadTooLong { length: payload_length };
    let length = u16::try_from(payload_length).map_err(|_| too_long)?;
    let (source, destination) = (source.octets(), destination.octets());
    let IpFields { protocol, hop_limit, identification } = fields;
    let mut header =
        Ipv4Header::new(length, hop_limit, IpNumber(protocol), source, destination).map_err(|_| too_long)?;
    header.identification = identification;
    header.dscp = IpDscp::try_new(INTERNETWORK_CONTROL).unwrap_or(IpDscp::ZERO);
    header.ecn = IpEcn::ZERO;
    header.dont_fragment = false;
    header.header_checksum = header.calc_header_checksum();
    let mut bytes = [0; IPV4_HEADER_LENGTH];
    bytes.copy_from_slice(&header.to_bytes()[..IPV4_HEADER_LENGTH]);
    Ok(bytes)
}

/// The header of an IPv6 packet: traffic class 0xC0, flow label 0, no extension headers.
///
/// # Errors
///
/// `payload_length` is more than 65535 bytes.
pub fn ipv6_header(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    fields: IpFields,
    payload_length: usize,
) -> Result<[u8; IPV6_HEADER_LENGTH], PayloadTooLong> {
    let header = Ipv6Header {
        traffic_class: TRAFFIC_CLASS,
        flow_label: Ipv6FlowLabel::ZERO,
        payload_length: u16::try_from(payload_length)
            .map_err(|_| PayloadTooLong { length: payload_length })?,
        next_header: IpNumber(fields.protocol),
        hop_limit: fields.hop_limit,
        source: source.octets(),
        destination: destination.octets(),
    };
    Ok(header.to_bytes())
}

/// A received IP packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IpPacket<'a> {
    /// Sender.
    pub source: IpAddr,
    /// Where it was sent to.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// Number of the protocol that the payload begins with: 112 for VRRP, 51 for an authentication header.
    pub protocol: u8,
    /// The header with its options.
    pub header: &'a [u8],
    /// What follows the header (and, in IPv4, its options), without the padding of the Ethernet frame.
    pub payload: &'a [u8],
}

/// Why bytes are no usable IP packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InvalidPacket {
    /// Fewer bytes than the header.
    HeaderTruncated,
    /// Another version in the first four bits.
    Version,
    /// The length fields contradict each other.
    HeaderLength,
    /// Fewer bytes received than the header announces.
    PayloadTruncated,
    /// A fragment: it holds no whole message.
    Fragment,
}

impl fmt::Display for InvalidPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeaderTruncated => "shorter than an IP header",
            Self::Version => "wrong IP version",
            Self::HeaderLength => "the length fields of the IP header contradict each other",
            Self::PayloadTruncated => "shorter than its IP header says",
            Self::Fragment => "a fragment of an IP packet",
        })
    }
}

impl core::error::Error for InvalidPacket {}

/// Takes an IPv4 packet apart, as a raw socket delivers it. The header checksum is not verified: the kernel
/// has done that.
///
/// # Errors
///
/// The header is incomplete or contradicts itself or the number of bytes, or the packet is a fragment.
pub fn parse_ipv4(packet: &[u8]) -> Result<IpPacket<'_>, InvalidPacket> {
    match packet.first() {
        None => return Err(InvalidPacket::HeaderTruncated),
        Some(first) if first >> 4 != 4 => return Err(InvalidPacket::Version),
        Some(first) if usize::from(first & 0x0f) * 4 < IPV4_HEADER_LENGTH => {
            return Err(InvalidPacket::HeaderLength);
        }
        Some(_) => {}
    }
    let header = Ipv4HeaderSlice::from_slice(packet).map_err(|_| InvalidPacket::HeaderTruncated)?;
    let payload = packet
        .get(..usize::from(header.total_len()))
        .ok_or(InvalidPacket::PayloadTruncated)?
        .get(header.slice().len()..)
        .ok_or(InvalidPacket::HeaderLength)?;
    if header.is_fragmenting_payload() {
        return Err(InvalidPacket::Fragment);
    }
    Ok(IpPacket {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        hop_limit: header.ttl(),
        protocol: header.protocol().0,
        header: packet.get(..header.slice().len()).unwrap_or_default(),
        payload,
    })
}

/// Takes an IPv6 packet apart, as a capture holds it. (A raw socket delivers the payload alone.)
///
/// # Errors
///
/// The header is incomplete or announces more bytes than there are.
pub fn parse_ipv6(packet: &[u8]) -> Result<IpPacket<'_>, InvalidPacket> {
    if packet.first().is_some_and(|first| first >> 4 != 6) {
        return Err(InvalidPacket::Version);
    }
    let header = Ipv6HeaderSlice::from_slice(packet).map_err(|_| InvalidPacket::HeaderTruncated)?;
    let end = IPV6_HEADER_LENGTH + usize::from(header.payload_length());
    let payload = packet.get(IPV6_HEADER_LENGTH..end).ok_or(InvalidPacket::PayloadTruncated)?;
    Ok(IpPacket {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        hop_limit: header.hop_limit(),
        protocol: header.next_header().0,
        header: packet.get(..IPV6_HEADER_LENGTH).unwrap_or_default(),
        payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

    #[test]
    fn ipv4_header_is_keepalived_s() {
        // Identification and checksum apart, what a keepalived sends before a message of 12 bytes.
        let header = ipv4_header(SOURCE, GROUP, IpFields::vrrp(255), 12).unwrap();
        assert_eq!(header[..10], *b"\x45\xc0\x00\x20\0\0\0\0\xff\x70");
        assert_eq!(header[12..], *b"\xc0\x00\x02\x0a\xe0\x00\x00\x12");
        let sum: u32 =
            header.as_chunks::<2>().0.iter().map(|&word| u32::from(u16::from_be_bytes(word))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "the checksum fits");
    }

    #[test]
    fn ipv4_packet_goes_there_and_back() {
        let payload = [7; 12];
        let header = ipv4_header(SOURCE, GROUP, IpFields::vrrp(64), payload.len()).unwrap();
        let packet = [&header[..], &payload, &[0xee; 14]].concat();
        let parsed = parse_ipv4(&packet).unwrap();
        assert_eq!(
            parsed,
            IpPacket {
                source: SOURCE.into(),
                destination: GROUP.into(),
                hop_limit: 64,
                protocol: VRRP_PROTOCOL,
                header: &header,
                payload: &payload,
            },
            "the padding is cut off"
        );
    }

    #[test]
    fn ipv4_options_are_skipped() {
        let header = ipv4_header(SOURCE, GROUP, IpFields::vrrp(255), 4 + 3).unwrap();
        let mut packet = [&header[..], &[1, 1, 1, 0], b"abc"].concat();
        packet[0] = 0x46;
        assert_eq!(parse_ipv4(&packet).unwrap().payload, b"abc");
    }

    #[test]
    fn broken_ipv4_headers_are_named() {
        let good = [&ipv4_header(SOURCE, GROUP, IpFields::vrrp(255), 4).unwrap()[..], b"abcd"].concat();
        let parse = |changes: &[(usize, u8)], length: usize| {
            let mut packet = good.clone();
            for &(index, value) in changes {
                packet[index] = value;
            }
            parse_ipv4(&packet[..length]).map(|p| p.payload.len())
        };
        assert_eq!(parse(&[], 24), Ok(4));
        assert_eq!(parse(&[], 23), Err(InvalidPacket::PayloadTruncated));
        assert_eq!(parse(&[], 19), Err(InvalidPacket::HeaderTruncated));
        assert_eq!(parse(&[], 0), Err(InvalidPacket::HeaderTruncated));
        assert_eq!(parse(&[(0, 0x65)], 24), Err(InvalidPacket::Version));
        assert_eq!(parse(&[(0, 0x44)], 24), Err(InvalidPacket::HeaderLength));
        assert_eq!(parse(&[(0, 0x4f)], 24), Err(InvalidPacket::HeaderTruncated));
        assert_eq!(parse(&[(3, 19)], 24), Err(InvalidPacket::HeaderLength));
        assert_eq!(parse(&[(2, 1)], 24), Err(InvalidPacket::PayloadTruncated));
        assert_eq!(parse(&[(6, 0x20)], 24), Err(InvalidPacket::Fragment));
        assert_eq!(parse(&[(7, 1)], 24), Err(InvalidPacket::Fragment));
    }

    #[test]
    fn ipv6_packet_goes_there_and_back() {
        let (source, group): (Ipv6Addr, Ipv6Addr) =
            ("fe80::10".parse().unwrap(), "ff02::12".parse().unwrap());
        let header = ipv6_header(source, group, IpFields::vrrp(255), 3).unwrap();
        assert_eq!(header[..8], *b"\x6c\0\0\0\0\x03\x70\xff");
        let packet = [&header[..], b"abc", &[0xee; 9]].concat();
        let parsed = parse_ipv6(&packet).unwrap();
        assert_eq!(
            parsed,
            IpPacket {
                source: source.into(),
                destination: group.into(),
                hop_limit: 255,
                protocol: VRRP_PROTOCOL,
                header: &header,
                payload: b"abc",
            }
        );
        assert_eq!(parse_ipv6(&packet[..42]), Err(InvalidPacket::PayloadTruncated));
        assert_eq!(parse_ipv6(&packet[..39]), Err(InvalidPacket::HeaderTruncated));
        assert_eq!(parse_ipv6(&[]), Err(InvalidPacket::HeaderTruncated));
        assert_eq!(parse_ipv6(&[0x45; 50]), Err(InvalidPacket::Version));
    }

    #[test]
    fn too_long_payloads_are_refused() {
        assert!(ipv4_header(SOURCE, GROUP, IpFields::vrrp(255), 65515).is_ok());
        for length in [65516, 65536, usize::MAX] {
            assert_eq!(
                ipv4_header(SOURCE, GROUP, IpFields::vrrp(255), length),
                Err(PayloadTooLong { length })
            );
        }
        let any = Ipv6Addr::UNSPECIFIED;
        assert!(ipv6_header(any, any, IpFields::vrrp(255), 65535).is_ok());
        assert_eq!(ipv6_header(any, any, IpFields::vrrp(255), 65536), Err(PayloadTooLong { length: 65536 }));
    }
}
