//! Bytes -> advertisement: every check on receipt that needs no state of a router (RFC 3768 §7.1,
//! RFC 9568 §7.1), in keepalived's order, so that a packet with several faults is counted under the same name.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum;
use super::encode::{ADVERTISEMENT, authentication_type, body_length, has_authentication_data};
use super::{
    Advertisement, AdvertisementInterval, AuthenticationData, ChecksumMode, Expectation, PacketHeader,
    Priority, Rejection, TRAILER_LENGTH, Version, Vrid,
};
use crate::net::Family;

/// Bytes before the addresses.
const HEADER_LENGTH: usize = 8;

/// Shortest payload of an Ethernet frame: what is shorter gets padded.
const ETHERNET_PAYLOAD: usize = 46;

/// The virtual router that a message of at least 2 bytes is for. Nothing else is checked.
pub fn peek(payload: &[u8]) -> Option<Vrid> {
    payload.get(1).copied().and_then(Vrid::new)
}

/// A received advertisement that has passed [`check`], as it lies in its packet.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Protocol version.
    pub version: Version,
    /// Virtual router.
    pub vrid: Vrid,
    /// Sender's priority; 0 when it leaves.
    pub priority: Priority,
    /// Sender's interval.
    pub interval: AdvertisementInterval,
    /// Version 2 authentication.
    pub authentication: AuthenticationData,
    family: Family,
    /// The bytes of the address list.
    addresses: &'a [u8],
    /// Empty or [`TRAILER_LENGTH`] bytes.
    trailer: &'a [u8],
}

impl Message<'_> {
    /// Virtual addresses in the sender's order, all of one family.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + Clone {
        self.addresses.chunks_exact(self.family.octets()).filter_map(|octets| match self.family {
            Family::Ipv4 => <[u8; 4]>::try_from(octets).ok().map(|octets| Ipv4Addr::from(octets).into()),
            Family::Ipv6 => <[u8; 16]>::try_from(octets).ok().map(|octets| Ipv6Addr::from(octets).into()),
        })
    }

    /// A copy of its own.
    pub(crate) fn to_advertisement(self) -> Advertisement {
        Advertisement {
            version: self.version,
            vrid: self.vrid,
            priority: self.priority,
            interval: self.interval,
            addresses: self.addresses().collect(),
            authentication: self.authentication,
            trailer: <[u8; TRAILER_LENGTH]>::try_from(self.trailer).ok(),
        }
    }
}

/// [`check`], for who wants to keep the advertisement.
///
/// # Errors
///
/// As [`check`].
pub fn decode(
    header: &PacketHeader,
    payload: &[u8],
    expected: &Expectation,
) -> Result<Advertisement, Rejection> {
    check(header, payload, expected).map(|message| message.to_advertisement())
}

/// Takes a received message apart, or says which check it fails first.
///
/// A version 3 interval that differs from ours is no fault: backups follow their master. The address list is
/// not compared, and a trailer not verified: who does that, does it between [`frame`] and [`Framed::message`].
///
/// # Errors
///
/// The first check failed, in this order: those of [`frame`], those of [`Framed::message`].
pub fn check<'a>(
    header: &PacketHeader,
    payload: &'a [u8],
    expected: &Expectation,
) -> Result<Message<'a>, Rejection> {
    frame(header, payload, expected)?.message()
}

/// A received message that has passed the first checks: it is long enough, from nearby, and of our version.
#[derive(Clone, Copy, Debug)]
pub struct Framed<'a> {
    header: PacketHeader,
    expected: Expectation,
    vrid: Vrid,
    parts: Parts<'a>,
}

/// The checks before those of a trailer.
///
/// # Errors
///
/// The first check failed, in this order: family, source, length, TTL or hop limit, version, virtual router identifier.
pub fn frame<'a>(
    header: &PacketHeader,
    payload: &'a [u8],
    expected: &Expectation,
) -> Result<Framed<'a>, Rejection> {
    let families = (Family::of(&header.source), Family::of(&header.destination));
    if families != (expected.family, expected.family) {
        return Err(Rejection::Destination { received: header.destination });
    }
    if !is_host(&header.source) {
        return Err(Rejection::Source { received: header.source });
    }

    let parts = split(payload, expected)?;
    let [version_type, vrid, ..] = parts.fixed;

    if !expected.hop_limits.allow(header.hop_limit) {
        let (received, expected) = (header.hop_limit, expected.hop_limits);
        return Err(Rejection::HopLimit { received, expected });
    }
    if version_type >> 4 != expected.version.number() {
        return Err(Rejection::Version { received: version_type >> 4, expected: expected.version });
    }
    let vrid = Vrid::new(vrid).ok_or(Rejection::Vrid)?;
    Ok(Framed { header: *header, expected: *expected, vrid, parts })
}

impl<'a> Framed<'a> {
    /// The message without trailer and padding.
    pub const fn body(&self) -> &'a [u8] {
        self.parts.body
    }

    /// The trailer, where one is allowed and there.
    pub fn trailer(&self) -> Option<&'a [u8; TRAILER_LENGTH]> {
        self.parts.trailer.try_into().ok()
    }

    /// The checks that follow.
    ///
    /// # Errors
    ///
    /// The first check failed, in this order: version 2 authentication, version 2 interval, type, interval 0, checksum,
    /// destination.
    pub fn message(&self) -> Result<Message<'a>, Rejection> {
        let Self { header, expected, vrid, parts } = self;
        let Parts { fixed, body, trailer } = *parts;
        let [version_type, _, priority, _, fifth, sixth, _, _] = fixed;
        let authentication = match expected.version {
            Version::V2 => check_authentication(fifth, body, expected)?,
            Version::V3 => AuthenticationData::None,
        };
        let interval = match expected.version {
            Version::V2 => {
                let interval = AdvertisementInterval::from_seconds(sixth).ok_or(Rejection::IntervalZero)?;
                // RFC 3768 §7.1: a version 2 interval MUST be the one configured.
                if interval.seconds() != expected.interval.seconds() {
                    let (received, expected) = (interval, expected.interval);
                    return Err(Rejection::IntervalMismatch { received, expected });
                }
                Some(interval)
            }
            // The upper 4 bits are reserved and ignored (RFC 9568 §5.2.6).
            Version::V3 => {
                AdvertisementInterval::from_centiseconds(u16::from_be_bytes([fifth, sixth]) & 0x0fff)
            }
        };
        if version_type & 0x0f != ADVERTISEMENT {
            return Err(Rejection::Type { received: version_type & 0x0f });
        }
        let interval = interval.ok_or(Rejection::IntervalZero)?;

        check_checksum(header, body, trailer, expected)?;
        if header.destination.is_multicast() != expected.multicast {
            return Err(Rejection::Destination { received: header.destination });
        }

        Ok(Message {
            version: expected.version,
            vrid: *vrid,
            priority: Priority(priority),
            interval,
            authentication,
            family: expected.family,
            addresses: addresses(body, expected.version, expected.family),
            trailer,
        })
    }
}

/// Whether a host can have this address: nobody else can be a master.
const fn is_host(address: &IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || broadcast)
}

/// A message whose length is right.
#[derive(Clone, Copy, Debug)]
struct Parts<'a> {
    fixed: [u8; HEADER_LENGTH],
    /// Fixed part, addresses and authentication data.
    body: &'a [u8],
    /// Empty or [`TRAILER_LENGTH`] bytes.
    trailer: &'a [u8],
}

/// Cuts trailer or padding off. The length is judged by the version that the message itself claims, so that
/// a peer configured for the other version is reported as such and not as sending short packets.
fn split<'a>(payload: &'a [u8], expected: &Expectation) -> Result<Parts<'a>, Rejection> {
    let Some((fixed, _)) = payload.split_first_chunk::<HEADER_LENGTH>() else {
        return Err(Rejection::Length { received: payload.len(), expected: HEADER_LENGTH });
    };
    let version = match fixed[0] >> 4 {
        2 => Version::V2,
        3 => Version::V3,
        // Says nothing of its length, and is rejected for its version.
        _ => return Ok(Parts { fixed: *fixed, body: payload, trailer: &[] }),
    };
    let length = body_length(version, expected.family, fixed[3]);
    let Some((body, rest)) = payload.split_at_checked(length) else {
        return Err(Rejection::Length { received: payload.len(), expected: length });
    };
    if rest.is_empty() || expected.trailer && rest.len() == TRAILER_LENGTH {
        return Ok(Parts { fixed: *fixed, body, trailer: rest });
    }
    if is_padding(rest.len(), length, expected.family) {
        return Ok(Parts { fixed: *fixed, body, trailer: &[] });
    }
    Err(Rejection::Length { received: payload.len(), expected: length })
}

/// Whether a packet may be `surplus` bytes too long because its sender counted the padding of the Ethernet
/// frame as part of it. 46 bytes less an IPv4 header and whole addresses leaves a remainder of 2 by 4; no
/// IPv6 packet is that short.
fn is_padding(surplus: usize, length: usize, family: Family) -> bool {
    const IPV4_HEADER: usize = 20;
    family == Family::Ipv4 && IPV4_HEADER + length < ETHERNET_PAYLOAD && surplus % 4 == 2
}

/// RFC 2338 §5.3.6, §7.1. Of an authentication header only the type is seen here: it is in the IP layer.
fn check_authentication(
    received: u8,
    body: &[u8],
    expected: &Expectation,
) -> Result<AuthenticationData, Rejection> {
    if received > 2 {
        return Err(Rejection::AuthenticationType { received });
    }
    let wanted = authentication_type(&expected.authentication);
    if received != wanted {
        return Err(Rejection::AuthenticationMismatch { received, expected: wanted });
    }
    if let AuthenticationData::SimplePassword(password) = expected.authentication
        && has_authentication_data(expected.version, expected.family)
        && !body.ends_with(password.expose())
    {
        return Err(Rejection::AuthenticationFailure);
    }
    Ok(expected.authentication)
}

fn check_checksum(
    header: &PacketHeader,
    body: &[u8],
    trailer: &[u8],
    expected: &Expectation,
) -> Result<(), Rejection> {
    if expected.version == Version::V3
        && expected.family == Family::Ipv4
        && expected.checksum == ChecksumMode::AsVersion2
    {
        // Others may use either way of summing.
        return Ok(());
    }
    let sum = checksum::compute(
        expected.version,
        expected.checksum,
        header.source,
        header.destination,
        body,
        trailer,
    );
    if sum == [0, 0] { Ok(()) } else { Err(Rejection::Checksum) }
}

fn addresses(body: &[u8], version: Version, family: Family) -> &[u8] {
    let end = if has_authentication_data(version, family) { body.len() - 8 } else { body.len() };
    &body[HEADER_LENGTH..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::wire::vrrp::HopLimits;

    const GROUP: &str = "224.0.0.18";
    /// Version 2, VRID 54, priority 100, 1 s, 192.0.2.54, no authentication; sent by a keepalived.
    const V2: &[u8] = b"\x21\x36\x64\x01\x00\x01\xb8\x90\xc0\x00\x02\x36\0\0\0\0\0\0\0\0";
    /// Version 3, VRID 57, priority 255, 1 s, 192.0.2.57; sent by a keepalived.
    const V3: &[u8] = b"\x31\x39\xff\x01\x00\x64\x6a\x8d\xc0\x00\x02\x39";

    fn header() -> PacketHeader {
        PacketHeader {
            source: "192.0.2.10".parse().unwrap(),
            destination: GROUP.parse().unwrap(),
            hop_limit: Some(255),
        }
    }

    fn expecting(version: Version) -> Expectation {
        Expectation {
            family: Family::Ipv4,
            version,
            interval: AdvertisementInterval::ONE_SECOND,
            authentication: AuthenticationData::None,
            checksum: ChecksumMode::PseudoHeader,
            multicast: true,
            hop_limits: HopLimits::LINK,
            trailer: false,
        }
    }

    /// `message` with some bytes replaced; its checksum is then wrong.
    fn with(message: &[u8], changes: &[(usize, u8)]) -> Vec<u8> {
        let mut bytes = message.to_vec();
        for &(index, value) in changes {
            bytes[index] = value;
        }
        bytes
    }

    fn rejection(payload: &[u8], expected: &Expectation) -> Rejection {
        decode(&header(), payload, expected).unwrap_err()
    }

    #[test]
    fn peek_reads_the_identifier_alone() {
        assert_eq!(peek(V3), Vrid::new(57));
        assert_eq!(peek(&[0xff, 7]), Vrid::new(7));
        assert_eq!(peek(&[0x31, 0]), None);
        assert_eq!(peek(&[0x31]), None);
        assert_eq!(peek(&[]), None);
    }

    #[test]
    fn each_check_has_its_rejection() {
        let v2 = expecting(Version::V2);
        let v3 = expecting(Version::V3);
        let length = |received, expected| Rejection::Length { received, expected };

        assert_eq!(rejection(&[], &v3), length(0, 8));
        assert_eq!(rejection(&V3[..7], &v3), length(7, 8));
        assert_eq!(rejection(&V3[..11], &v3), length(11, 12));
        assert_eq!(rejection(&V2[..19], &v2), length(19, 20));
        assert_eq!(rejection(&with(V3, &[(3, 2)]), &v3), length(12, 16));
        assert_eq!(
            rejection(V3, &v2),
            Rejection::Version { received: 3, expected: Version::V2 },
            "a whole packet of the other version is no length error"
        );
        assert_eq!(rejection(V2, &v3), Rejection::Version { received: 2, expected: Version::V3 });
        assert_eq!(
            rejection(&with(V3, &[(0, 0x41)]), &v3),
            Rejection::Version { received: 4, expected: Version::V3 }
        );
        assert_eq!(rejection(&with(V3, &[(1, 0)]), &v3), Rejection::Vrid);
        assert_eq!(rejection(&with(V2, &[(4, 3)]), &v2), Rejection::AuthenticationType { received: 3 });
        assert_eq!(
            rejection(&with(V2, &[(4, 1)]), &v2),
            Rejection::AuthenticationMismatch { received: 1, expected: 0 }
        );
        let two = AdvertisementInterval::from_seconds(2).unwrap();
        assert_eq!(
            rejection(&with(V2, &[(5, 2)]), &v2),
            Rejection::IntervalMismatch { received: two, expected: AdvertisementInterval::ONE_SECOND }
        );
        assert_eq!(rejection(&with(V2, &[(5, 0)]), &v2), Rejection::IntervalZero);
        assert_eq!(rejection(&with(V3, &[(5, 0)]), &v3), Rejection::IntervalZero);
        assert_eq!(rejection(&with(V3, &[(0, 0x32)]), &v3), Rejection::Type { received: 2 });
        assert_eq!(rejection(&with(V2, &[(2, 99)]), &v2), Rejection::Checksum);
        assert_eq!(rejection(&with(V3, &[(11, 58)]), &v3), Rejection::Checksum);
    }

    #[test]
    fn only_a_host_can_be_a_master() {
        for (source, good) in
            [("0.0.0.0", false), ("224.0.0.18", false), ("255.255.255.255", false), ("192.0.2.20", true)]
        {
            let header = PacketHeader { source: source.parse().unwrap(), ..header() };
            let decoded = decode(&header, V2, &expecting(Version::V2));
            let refused = Rejection::Source { received: header.source };
            assert_eq!(decoded.err(), (!good).then_some(refused), "{source}");
        }
        for source in ["::", "ff02::12"] {
            assert!(!is_host(&source.parse().unwrap()), "{source}");
        }
        assert!(is_host(&"fe80::1".parse().unwrap()));
    }

    #[test]
    fn passwords_are_compared() {
        let password = *b"secret12";
        let sent = Advertisement {
            version: Version::V2,
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::DEFAULT,
            interval: AdvertisementInterval::ONE_SECOND,
            addresses: vec!["192.0.2.51".parse().unwrap()],
            authentication: AuthenticationData::SimplePassword(Secret::new(password)),
            trailer: None,
        };
        let PacketHeader { source, destination, .. } = header();
        let bytes = sent.encode(source, destination, ChecksumMode::PseudoHeader);
        let expected = Expectation { authentication: sent.authentication, ..expecting(Version::V2) };
        assert_eq!(decode(&header(), &bytes, &expected), Ok(sent));

        let other = AuthenticationData::SimplePassword(Secret::new(*b"secret1\0"));
        let expected = Expectation { authentication: other, ..expected };
        assert_eq!(rejection(&bytes, &expected), Rejection::AuthenticationFailure);
        assert_eq!(rejection(V2, &expected), Rejection::AuthenticationMismatch { received: 0, expected: 1 });
    }

    #[test]
    fn multicast_needs_hop_limit_255() {
        let expected = expecting(Version::V3);
        for hop_limit in [None, Some(0), Some(254)] {
            let header = PacketHeader { hop_limit, ..header() };
            let rejection = Rejection::HopLimit { received: hop_limit, expected: HopLimits::LINK };
            assert_eq!(decode(&header, V3, &expected), Err(rejection));
        }
    }

    #[test]
    fn unicast_has_hop_limits_of_its_own_and_is_kept_apart() {
        let destination: IpAddr = "192.0.2.20".parse().unwrap();
        let unicast = Expectation { multicast: false, hop_limits: HopLimits::ANY, ..expecting(Version::V3) };
        // Version 3, VRID 58, priority 100, 1 s, 192.0.2.58, to 192.0.2.20; sent by a keepalived.
        let bytes = b"\x31\x3a\x64\x01\x00\x64\x23\x8a\xc0\x00\x02\x3a";
        let header = PacketHeader { destination, hop_limit: Some(3), ..header() };
        assert!(decode(&header, bytes, &unicast).is_ok());
        for (least, most, passes) in [(3, 3, true), (1, 5, true), (4, 255, false), (0, 2, false)] {
            let expected = Expectation { hop_limits: HopLimits { least, most }, ..unicast };
            assert_eq!(decode(&header, bytes, &expected).is_ok(), passes, "{least} to {most}");
        }

        let multicast = Expectation { multicast: true, hop_limits: HopLimits::LINK, ..unicast };
        let near = PacketHeader { hop_limit: Some(255), ..header };
        assert_eq!(decode(&near, bytes, &multicast), Err(Rejection::Destination { received: destination }));
        assert_eq!(rejection(V3, &unicast), Rejection::Destination { received: GROUP.parse().unwrap() });
        let six = Expectation { family: Family::Ipv6, ..multicast };
        assert_eq!(rejection(V3, &six), Rejection::Destination { received: GROUP.parse().unwrap() });
    }

    #[test]
    fn a_packet_with_several_faults_is_counted_by_the_first() {
        let expected = expecting(Version::V2);
        let header = PacketHeader { hop_limit: Some(1), ..header() };
        let all = with(V2, &[(0, 0x32), (4, 1), (5, 9)]);
        assert!(matches!(decode(&header, &all[..9], &expected), Err(Rejection::Length { .. })));
        assert!(matches!(decode(&header, &all, &expected), Err(Rejection::Length { .. })), "as version 3");
        let all = with(V2, &[(0, 0x22), (4, 1), (5, 9)]);
        assert!(matches!(decode(&header, &all, &expected), Err(Rejection::HopLimit { .. })));
        assert!(matches!(rejection(&all, &expected), Rejection::AuthenticationMismatch { .. }));
        let all = with(&all, &[(4, 0)]);
        assert!(matches!(rejection(&all, &expected), Rejection::IntervalMismatch { .. }));
        let all = with(&all, &[(5, 1)]);
        assert_eq!(rejection(&all, &expected), Rejection::Type { received: 2 });
    }

    #[test]
    fn ethernet_padding_is_cut_off() {
        let expected = expecting(Version::V3);
        let plain = decode(&header(), V3, &expected).unwrap();
        let padded = [V3, &[0xee; 14]].concat();
        assert_eq!(decode(&header(), &padded, &expected).as_ref(), Ok(&plain));
        for surplus in [1, 3, 4, 16, 28] {
            let bytes = [V3, &vec![0; surplus][..]].concat();
            let length = Rejection::Length { received: 12 + surplus, expected: 12 };
            assert_eq!(rejection(&bytes, &expected), length);
        }
        // 20 bytes of IP header and 28 of message reach the minimum: nothing pads them.
        let five = with(&[V3, &[0; 18]].concat(), &[(3, 5)]);
        assert_eq!(rejection(&five, &expected), Rejection::Length { received: 30, expected: 28 });
    }

    #[test]
    fn a_trailer_is_taken_where_allowed_and_not_summed_over_ipv4() {
        let bytes = [V3, &[7; 28]].concat();
        let allowed = Expectation { trailer: true, ..expecting(Version::V3) };
        assert_eq!(decode(&header(), &bytes, &allowed).unwrap().trailer, Some([7; 28]));
        assert_eq!(decode(&header(), V3, &allowed).unwrap().trailer, None);
        assert_eq!(
            rejection(&bytes, &expecting(Version::V3)),
            Rejection::Length { received: 40, expected: 12 }
        );
    }

    #[test]
    fn reserved_bits_of_version_3_are_ignored() {
        let mut bytes = with(V3, &[(4, 0xf0), (6, 0), (7, 0)]);
        let PacketHeader { source, destination, .. } = header();
        let mode = ChecksumMode::PseudoHeader;
        let sum = checksum::compute(Version::V3, mode, source, destination, &bytes, &[]);
        bytes[checksum::FIELD].copy_from_slice(&sum);
        let decoded = decode(&header(), &bytes, &expecting(Version::V3)).unwrap();
        assert_eq!(decoded.interval, AdvertisementInterval::ONE_SECOND);
    }

    #[test]
    fn checksums_are_not_enforced_in_compatibility_mode() {
        let bytes = with(V3, &[(6, 0), (7, 0)]);
        let lenient = Expectation { checksum: ChecksumMode::AsVersion2, ..expecting(Version::V3) };
        assert!(decode(&header(), &bytes, &lenient).is_ok());
        let lenient = Expectation { checksum: ChecksumMode::AsVersion2, ..expecting(Version::V2) };
        assert_eq!(rejection(&with(V2, &[(6, 0)]), &lenient), Rejection::Checksum, "version 3 alone");
    }
}
