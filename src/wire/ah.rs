//! The IP authentication header as VRRP version 2 uses it (RFC 2338 §5.3.6, RFC 2402, RFC 2403): HMAC-MD5-96 with
//! the password as the key, over IPv4.
//!
//! As keepalived computes it: over the IP header with only the type of service and the checksum zeroed, so that TTL,
//! identification and length count as they are sent; then this header with its check value zeroed; then the message.
//! The SPI is the sender's address.

use core::net::Ipv4Addr;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use super::ip::IPV4_HEADER_LENGTH;
use crate::net::VRRP_PROTOCOL;
use crate::secret::Secret;

/// Number of the protocol in the IP header.
pub const AH_PROTOCOL: u8 = 51;

/// Bytes before the message: 12, and 12 of the check value.
pub const AH_LENGTH: usize = FIXED + CHECK_VALUE;

const FIXED: usize = 12;
const CHECK_VALUE: usize = 12;

/// Length of the header in words of 32 bits, less 2 (RFC 2402 §2.2).
const LENGTH_FIELD: u8 = (AH_LENGTH / 4 - 2) as u8;

/// Where the IP header has what the check value leaves out.
const TYPE_OF_SERVICE: usize = 1;
const HEADER_CHECKSUM: core::ops::Range<usize> = 10..12;

/// The password, padded with zero bytes, which HMAC would do as well.
pub type AhPassword = Secret<[u8; 8]>;

/// A received authentication header in front of a message, not verified yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AuthenticatedPacket<'a> {
    /// Grows from packet to packet.
    pub sequence: u32,
    /// What follows.
    pub message: &'a [u8],
    fixed: &'a [u8; FIXED],
    check_value: &'a [u8; CHECK_VALUE],
}

/// Takes what follows the IP header of a packet of protocol 51 apart; `None` where that is no authentication header in
/// front of a VRRP message, with a check value of 96 bits.
pub fn parse(payload: &[u8]) -> Option<AuthenticatedPacket<'_>> {
    let (fixed, rest) = payload.split_first_chunk::<FIXED>()?;
    let (check_value, message) = rest.split_first_chunk::<CHECK_VALUE>()?;
    // The two bytes that are reserved are ignored, but covered by the check value.
    let [next_header, length, _, _, _, _, _, _, sequence @ ..] = *fixed;
    let whole = next_header == VRRP_PROTOCOL && length == LENGTH_FIELD;
    whole.then(|| AuthenticatedPacket { sequence: u32::from_be_bytes(sequence), message, fixed, check_value })
}

impl AuthenticatedPacket<'_> {
    /// The sender's own name for what it agreed on with us: its address.
    pub const fn spi(&self) -> Ipv4Addr {
        let [_, _, _, _, a, b, c, d, ..] = *self.fixed;
        Ipv4Addr::new(a, b, c, d)
    }

    /// Whether the packet was made by somebody who knows the password. `ip_header` is the packet's own, as received,
    /// without options. Takes the same time whatever differs.
    pub fn is_authentic(&self, password: &AhPassword, ip_header: &[u8]) -> bool {
        let Ok(ip_header) = ip_header.try_into() else { return false };
        let mac = compute(password, ip_header, self.fixed, self.message);
        mac.verify_truncated_left(self.check_value).is_ok()
    }
}

/// Zeros in place of the check value of the header that `packet` begins with.
pub fn forget_check_value(packet: &mut [u8]) {
    if let Some(check_value) = packet.get_mut(FIXED..AH_LENGTH) {
        check_value.fill(0);
    }
}

/// What follows the IP header `ip_header` of a packet with `message`.
pub fn encode(
    password: &AhPassword,
    ip_header: &[u8; IPV4_HEADER_LENGTH],
    source: Ipv4Addr,
    sequence: u32,
    message: &[u8],
) -> Vec<u8> {
    let mut fixed = [0; FIXED];
    fixed[..2].copy_from_slice(&[VRRP_PROTOCOL, LENGTH_FIELD]);
    fixed[4..8].copy_from_slice(&source.octets());
    fixed[8..].copy_from_slice(&sequence.to_be_bytes());
    let check_value = compute(password, ip_header, &fixed, message).finalize().into_bytes();
    let mut payload = Vec::with_capacity(AH_LENGTH + message.len());
    payload.extend_from_slice(&fixed);
    payload.extend_from_slice(&check_value[..CHECK_VALUE]);
    payload.extend_from_slice(message);
    payload
}

fn compute(
    password: &AhPassword,
    ip_header: &[u8; IPV4_HEADER_LENGTH],
    fixed: &[u8; FIXED],
    message: &[u8],
) -> Hmac<Md5> {
    let mut ip_header = *ip_header;
    ip_header[TYPE_OF_SERVICE] = 0;
    ip_header[HEADER_CHECKSUM].fill(0);
    let mut mac = keyed(password);
    mac.update(&ip_header);
    mac.update(fixed);
    mac.update(&[0; CHECK_VALUE]);
    mac.update(message);
    mac
}

fn keyed(password: &AhPassword) -> Hmac<Md5> {
    match Hmac::new_from_slice(password.expose()) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes keys of any length"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: AhPassword = Secret::new(*b"secret12");
    const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
    /// Sent by keepalived 2.2.7 to 224.0.0.18, TTL 255, identification 2, sequence 2, VRID 55.
    const PACKET: &[u8] = b"\x45\xc0\x00\x40\x00\x02\x00\x00\xff\x33\x18\xac\xc0\x00\x02\x0a\xe0\x00\x00\x12\
        \x70\x04\x00\x00\xc0\x00\x02\x0a\x00\x00\x00\x02\x38\xbd\xb5\xf4\x3c\xec\x7e\xca\x75\xc2\x7a\xdd\
        \x21\x37\x64\x01\x02\x01\xb6\x8e\xc0\x00\x02\x37\0\0\0\0\0\0\0\0";

    fn split(packet: &[u8]) -> (&[u8; IPV4_HEADER_LENGTH], &[u8]) {
        packet.split_first_chunk().unwrap()
    }

    #[test]
    fn keepalived_s_packet_goes_there_and_back() {
        let (header, payload) = split(PACKET);
        let parsed = parse(payload).unwrap();
        assert_eq!((parsed.sequence, parsed.spi(), parsed.message), (2, SOURCE, &PACKET[44..]));
        assert!(parsed.is_authentic(&PASSWORD, header));
        assert_eq!(encode(&PASSWORD, header, SOURCE, 2, &PACKET[44..]), payload);
    }

    #[test]
    fn whatever_is_changed_on_the_way_is_noticed() {
        for position in 0..PACKET.len() {
            let mut packet = PACKET.to_vec();
            packet[position] ^= 0x10;
            let (header, payload) = split(&packet);
            let authentic = parse(payload).is_some_and(|parsed| parsed.is_authentic(&PASSWORD, header));
            assert_eq!(authentic, [1, 10, 11].contains(&position), "byte {position}");
        }
        let (header, payload) = split(PACKET);
        let parsed = parse(payload).unwrap();
        assert!(!parsed.is_authentic(&Secret::new(*b"secret1\0"), header));
        assert!(!parsed.is_authentic(&PASSWORD, &[]), "without an IP header");
        let cut = parse(&payload[..payload.len() - 1]).unwrap();
        assert!(!cut.is_authentic(&PASSWORD, header));
    }

    #[test]
    fn what_is_none_is_refused() {
        let (_, payload) = split(PACKET);
        for length in 0..AH_LENGTH {
            assert_eq!(parse(&payload[..length]), None, "{length} bytes");
        }
        for position in [0, 1] {
            let mut other = payload.to_vec();
            other[position] ^= 1;
            assert_eq!(parse(&other), None, "byte {position}");
        }
    }
}
