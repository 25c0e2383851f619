//! The Internet checksum of an advertisement: RFC 3768 §5.3.8, RFC 9568 §5.2.8.

use core::net::IpAddr;

use etherparse::checksum::Sum16BitWords;

use super::{ChecksumMode, Version};
use crate::wire::ip::VRRP_PROTOCOL;

/// Where the checksum stands in every version.
pub(super) const FIELD: core::ops::Range<usize> = 6..8;

/// The checksum to put into `message`, whose checksum field is zero, or 0 when `message` carries the right
/// one already. `body` is the length without padding and trailer.
///
/// IPv4 sums the body alone; version 3 adds the pseudo-header, and its length field counts the body. Over
/// IPv6 the kernel of a keepalived fills the field: it adds the pseudo-header in version 2 too, and sums all
/// that is sent, trailer included.
pub(super) fn compute(
    version: Version,
    mode: ChecksumMode,
    source: IpAddr,
    destination: IpAddr,
    body: &[u8],
    trailer: &[u8],
) -> [u8; 2] {
    let mut sum = Sum16BitWords::new().add_slice(body);
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let summed = match mode {
                ChecksumMode::PseudoHeader => Some(destination),
                ChecksumMode::Group(group) => Some(group),
                ChecksumMode::AsVersion2 => None,
            };
            if let Some(destination) = summed.filter(|_| version == Version::V3) {
                sum = sum.add_4bytes(source.octets());
                sum = sum.add_4bytes(destination.octets());
                sum = sum.add_2bytes([0, VRRP_PROTOCOL]);
                // An IPv4 packet cannot be longer than this field can say.
                sum = sum.add_2bytes(u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
            }
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            sum = sum.add_slice(trailer);
            sum = sum.add_16bytes(source.octets());
            sum = sum.add_16bytes(destination.octets());
            let length = body.len().saturating_add(trailer.len());
            sum = sum.add_4bytes(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
            sum = sum.add_2bytes([0, VRRP_PROTOCOL]);
        }
        // No packet has addresses of two families: the callers have checked.
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
    }
    // The sum is kept in the machine's byte order.
    sum.ones_complement().to_ne_bytes()
}

/// Corrects the checksum in `message` for bytes from `place` on that were others before (RFC 1624).
pub(super) fn replace(message: &mut [u8], place: usize, before: &[u8], after: &[u8]) {
    let Some(field) = message.get_mut(FIELD).and_then(|field| <&mut [u8; 2]>::try_from(field).ok()) else {
        return;
    };
    let aligned = |bytes: &[u8]| {
        let odd = core::iter::repeat_n(0, place % 2);
        odd.chain(bytes.iter().copied()).collect::<Vec<u8>>()
    };
    let inverted: Vec<u8> = aligned(before)
        .chunks(2)
        .flat_map(|word| {
            let word = u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]);
            (!word).to_be_bytes()
        })
        .collect();
    let sum = u16::from_be_bytes(*field);
    let sum =
        Sum16BitWords::new().add_2bytes((!sum).to_be_bytes()).add_slice(&inverted).add_slice(&aligned(after));
    *field = sum.ones_complement().to_ne_bytes();
}

/// Corrects the checksum in `message` for bytes at an even place that were zero before (RFC 1624).
pub(super) fn add(message: &mut [u8], bytes: &[u8]) {
    let Some(field) = message.get_mut(FIELD).and_then(|field| <&mut [u8; 2]>::try_from(field).ok()) else {
        return;
    };
    let before = u16::from_be_bytes(*field);
    let sum = Sum16BitWords::new().add_2bytes((!before).to_be_bytes()).add_slice(bytes);
    *field = sum.ones_complement().to_ne_bytes();
}
