//! The trailer of keepalived's `auth_hmac`, as 2.4.2 and 2.4.3 have it on the wire: an extension of no RFC.
//!
//! ```text
//! 0  u8   type = 1
//! 1  u8   key id
//! 2  u16  reserved = 0
//! 4  u32  seconds     \
//! 8  u16  1/65536 s    } stamp
//! 10 u16  counter     /
//! 12 16   HMAC-SHA256, truncated
//! ```
//! The HMAC covers family, version, virtual router and source; the message with its checksum zeroed; and the trailer
//! with its own place zeroed. So it is the same whomever an advertisement is sent to.

use core::fmt;
use core::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;

use super::checksum;
use crate::net::Family;
use crate::secret::{Secret, pseudonym};
use crate::time::WallTime;

/// Bytes in a trailer.
pub const TRAILER_LENGTH: usize = 28;

const KIND: u8 = 1;
/// Bytes before the truncated HMAC.
const HEAD: usize = 12;
/// Where the truncated HMAC begins.
pub(super) const CODE: usize = HEAD;
/// Bytes that stand for family, version, virtual router and source.
const PSEUDO_HEADER: usize = 20;

/// When an advertisement was signed: 32 bits of seconds since 1970, 16 of 1/65536 s, 16 of a counter. Ordered as serial
/// numbers (RFC 1982), so that no stamp is the last one.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Stamp(u64);

impl Stamp {
    /// As one number.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As one number.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// What the clock says, its counter 0.
    pub const fn of(wall: WallTime) -> Self {
        let us = wall.as_unix_micros();
        let fraction = (us % 1_000_000) * 0x1_0000 / 1_000_000;
        Self((us / 1_000_000) << 32 | fraction << 16)
    }

    /// The one after it.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// This much time later.
    pub const fn after_seconds(self, seconds: u32) -> Self {
        Self(self.0.wrapping_add((seconds as u64) << 32))
    }

    /// Whether it is later than another one, by less than half of all stamps (68 years).
    pub(crate) const fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    /// The later of two.
    pub(crate) const fn or_later(self, other: Self) -> Self {
        if other.is_after(self) { other } else { self }
    }

    /// Microseconds by which it is ahead of a clock; negative where it is behind.
    pub(crate) fn ahead_of_us(self, wall: WallTime) -> i64 {
        let ahead = self.0.wrapping_sub(Self::of(wall).0).cast_signed();
        // At most 2^31 seconds: it fits.
        ((i128::from(ahead) * 1_000_000) >> 32) as i64
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:05}+{}", self.0 >> 32, (self.0 >> 16) & 0xffff, self.0 & 0xffff)
    }
}

/// A key of `auth_hmac`, made ready for use once: what it is hashed into depends on nothing else.
#[derive(Clone)]
pub struct HmacKey {
    secret: Secret<Box<[u8]>>,
    keyed: Hmac<Sha256>,
}

/// Its pseudonym.
impl Serialize for HmacKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        pseudonym(self.secret.expose()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HmacKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pseudonym = <[u8; 8]>::deserialize(deserializer)?;
        Self::new(&pseudonym.repeat(4)).ok_or_else(|| D::Error::custom("a key has 32 to 64 bytes"))
    }
}

impl HmacKey {
    /// Bytes of a key.
    pub const LENGTHS: core::ops::RangeInclusive<usize> = 32..=64;

    /// `None` where the number of bytes is not one of [`HmacKey::LENGTHS`].
    pub fn new(secret: &[u8]) -> Option<Self> {
        let keyed = Hmac::new_from_slice(secret).ok()?;
        Self::LENGTHS.contains(&secret.len()).then(|| Self { secret: Secret::new(secret.into()), keyed })
    }

    /// The key itself, to be handed over to a successor.
    pub const fn secret(&self) -> &Secret<Box<[u8]>> {
        &self.secret
    }

    /// The trailer for a message from `source`: whatever its checksum, and whomever it is for.
    pub fn sign(&self, source: IpAddr, message: &[u8], id: u8, stamp: Stamp) -> [u8; TRAILER_LENGTH] {
        let mut trailer = [0; TRAILER_LENGTH];
        trailer[..2].copy_from_slice(&[KIND, id]);
        trailer[4..HEAD].copy_from_slice(&stamp.0.to_be_bytes());
        let code = self.compute(source, message, &trailer).finalize().into_bytes();
        trailer[HEAD..].copy_from_slice(&code[..TRAILER_LENGTH - HEAD]);
        trailer
    }

    /// Whether `trailer` was made with this key for `message` from `source`. Takes the same time whatever differs.
    pub fn verifies(&self, source: IpAddr, message: &[u8], trailer: &[u8; TRAILER_LENGTH]) -> bool {
        let mut unsigned = *trailer;
        unsigned[HEAD..].fill(0);
        self.compute(source, message, &unsigned).verify_truncated_left(&trailer[HEAD..]).is_ok()
    }

    fn compute(&self, source: IpAddr, message: &[u8], unsigned: &[u8; TRAILER_LENGTH]) -> Hmac<Sha256> {
        // What is short is hashed in one piece: the pseudo-header, and the message up to its addresses.
        let mut begin = [0; PSEUDO_HEADER + 8];
        let (fixed, rest) = message.split_at_checked(8).unwrap_or((message, &[]));
        begin[0] = match Family::of(&source) {
            Family::Ipv4 => 4,
            Family::Ipv6 => 6,
        };
        begin[1] = fixed.first().map_or(0, |first| first >> 4);
        begin[2] = fixed.get(1).copied().unwrap_or(0);
        match source {
            IpAddr::V4(address) => begin[4..8].copy_from_slice(&address.octets()),
            IpAddr::V6(address) => begin[4..PSEUDO_HEADER].copy_from_slice(&address.octets()),
        }
        begin[PSEUDO_HEADER..][..fixed.len()].copy_from_slice(fixed);
        begin[PSEUDO_HEADER..][checksum::FIELD].fill(0);
        let mut mac = self.keyed.clone();
        mac.update(&begin);
        mac.update(rest);
        mac.update(unsigned);
        mac
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.secret.fmt(f)
    }
}

impl Eq for HmacKey {}

impl PartialEq for HmacKey {
    fn eq(&self, other: &Self) -> bool {
        self.secret == other.secret
    }
}

/// What a received trailer says, not verified yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Trailer {
    /// Which key it was made with.
    pub key: u8,
    /// When.
    pub stamp: Stamp,
}

impl Trailer {
    /// `None` for a trailer of another kind.
    pub fn parse(bytes: &[u8; TRAILER_LENGTH]) -> Option<Self> {
        let [kind, key, 0, 0, rest @ ..] = bytes else { return None };
        let stamp = u64::from_be_bytes(*rest.first_chunk()?);
        (*kind == KIND).then_some(Self { key: *key, stamp: Stamp(stamp) })
    }
}

/// Puts a trailer into the place at the end of an encoded message that has 28 zero bytes there, and corrects a checksum
/// that covers it: over IPv6.
pub fn fill_trailer(message: &mut [u8], family: Family, trailer: &[u8; TRAILER_LENGTH]) {
    let Some((_, place)) = message.split_last_chunk_mut::<TRAILER_LENGTH>() else { return };
    *place = *trailer;
    if family == Family::Ipv6 {
        checksum::add(message, trailer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap()).collect();
        digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// Captured from keepalived 2.4.3.
    #[test]
    fn keepalived_s_trailers_are_made_and_verified() {
        let seven = HmacKey::new(b"0123456789abcdef0123456789abcdef").unwrap();
        let nine = HmacKey::new(&(0..32).collect::<Vec<u8>>()).unwrap();
        let v6 = "313864020064072dfe80000000000000000000000000005620010db8000000000000000000000056";
        for (key, id, source, body, trailer) in [
            (
                &seven,
                7,
                "192.0.2.10",
                "3135640100640596c0000235",
                "010700006b0465e3610300006782de034b6d5867d1a72dc5c14ea6a8",
            ),
            (&nine, 9, "fe80::10", v6, "010900006b0465e360cb0000192f52af20d4ec98a9915f48dd46a5cb"),
            (
                &nine,
                9,
                "192.0.2.10",
                "213664010001b890c00002360000000000000000",
                "010900006b0465e36119000014591151f3afdb0d06fd4efabcfc3178",
            ),
        ] {
            let source: IpAddr = source.parse().unwrap();
            let (body, trailer) = (hex(body), <[u8; 28]>::try_from(hex(trailer)).unwrap());
            let parsed = Trailer::parse(&trailer).unwrap();
            assert_eq!(parsed.key, id);
            assert_eq!(parsed.stamp.bits() >> 32, 0x6b04_65e3);
            assert_eq!(key.sign(source, &body, id, parsed.stamp), trailer);
            assert!(key.verifies(source, &body, &trailer));

            let other = if id == 7 { &nine } else { &seven };
            assert!(!other.verifies(source, &body, &trailer));
            assert!(!key.verifies("192.0.2.11".parse().unwrap(), &body, &trailer));
            for position in 0..body.len() {
                let mut changed = body.clone();
                changed[position] ^= 1;
                let same = key.verifies(source, &changed, &trailer);
                assert_eq!(same, [6, 7].contains(&position), "byte {position}: the checksum alone is free");
            }
            for position in 0..trailer.len() {
                let mut changed = trailer;
                changed[position] ^= 1;
                assert!(!key.verifies(source, &body, &changed), "byte {position} of the trailer");
            }
        }
    }

    #[test]
    fn other_trailers_are_malformed() {
        let good: [u8; 28] =
            HmacKey::new(&[1; 32]).unwrap().sign([192, 0, 2, 1].into(), &[0; 8], 1, Stamp(5));
        assert_eq!(Trailer::parse(&good), Some(Trailer { key: 1, stamp: Stamp(5) }));
        for position in [0, 2, 3] {
            let mut other = good;
            other[position] ^= 4;
            assert_eq!(Trailer::parse(&other), None, "byte {position}");
        }
    }

    #[test]
    fn keys_have_32_to_64_bytes_and_do_not_show() {
        for (length, good) in [(0, false), (31, false), (32, true), (64, true), (65, false)] {
            assert_eq!(HmacKey::new(&vec![b'x'; length]).is_some(), good, "{length} bytes");
        }
        assert_eq!(format!("{:?}", HmacKey::new(&[b'x'; 32]).unwrap()), "********");
    }

    #[test]
    fn stamps_follow_the_clock_and_each_other() {
        let at = |us| WallTime::from_unix_micros(us);
        let stamp = Stamp::of(at(1_700_000_000_500_000));
        assert_eq!(stamp.bits(), 1_700_000_000 << 32 | 0x8000 << 16);
        assert!(stamp.next().is_after(stamp) && !stamp.is_after(stamp) && !stamp.is_after(stamp.next()));
        assert_eq!(stamp.ahead_of_us(at(1_700_000_000_500_000)), 0);
        assert_eq!(stamp.ahead_of_us(at(1_700_000_001_500_000)), -1_000_000);
        assert_eq!(stamp.after_seconds(3).ahead_of_us(at(1_700_000_000_500_000)), 3_000_000);
        // The seconds run over in 2106.
        let last = Stamp::from_bits(u64::MAX);
        assert!(last.next().is_after(last));
        let over = at(((1 << 32) + 5) * 1_000_000);
        assert_eq!(last.next().ahead_of_us(over), -5_000_000);
    }

    #[test]
    fn a_filled_in_trailer_is_as_if_encoded_with_it() {
        use crate::wire::vrrp::{
            Advertisement, AdvertisementInterval, AuthenticationData, ChecksumMode, Priority, Version, Vrid,
        };
        for (source, group, address) in
            [("192.0.2.10", "224.0.0.18", "192.0.2.53"), ("fe80::10", "ff02::12", "2001:db8::53")]
        {
            let (source, group): (IpAddr, IpAddr) = (source.parse().unwrap(), group.parse().unwrap());
            for filling in [[0; 28], [0xff; 28], core::array::from_fn(|at| (at * 37) as u8)] {
                let mut sent = Advertisement {
                    version: Version::V3,
                    vrid: Vrid::new(53).unwrap(),
                    priority: Priority::DEFAULT,
                    interval: AdvertisementInterval::ONE_SECOND,
                    addresses: vec![address.parse().unwrap()],
                    authentication: AuthenticationData::None,
                    trailer: Some([0; 28]),
                };
                let mut filled = sent.encode(source, group, ChecksumMode::PseudoHeader);
                fill_trailer(&mut filled, Family::of(&source), &filling);
                sent.trailer = Some(filling);
                assert_eq!(filled, sent.encode(source, group, ChecksumMode::PseudoHeader));
            }
        }
    }
}
