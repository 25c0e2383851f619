//! Any bytes as an authentication header or as a message with a signed trailer: never a panic, and believed is only what
//! its sender could have made with the secret. Any message that is sealed or signed here is believed, and no longer once
//! a bit of it is another one.
//!
//! The first byte of the input chooses; the next four say which bit is inverted, the rest is the packet or the message.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use alived::net::Family;
use alived::secret::Secret;
use alived::wire::ah::{self, AH_LENGTH, AH_PROTOCOL, AhPassword};
use alived::wire::ip::{IPV4_HEADER_LENGTH, IpFields, ipv4_header};
use alived::wire::vrrp::{
    AdvertisementInterval, AuthenticationData, ChecksumMode, Expectation, HmacKey, HopLimits, PacketHeader,
    Stamp, TRAILER_LENGTH, Trailer, Version, fill_trailer, frame,
};
use libfuzzer_sys::fuzz_target;

const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const PASSWORD: AhPassword = Secret::new(*b"secret12");

fuzz_target!(|input: &[u8]| {
    let Some((&choice, rest)) = input.split_first() else { return };
    let Some((at, bytes)) = rest.split_first_chunk() else { return };
    let at = u32::from_be_bytes(*at) as usize;
    if choice & 1 == 0 {
        received_header(bytes);
        sealed_here(bytes, at);
    } else {
        let family = if choice & 2 == 0 { Family::Ipv4 } else { Family::Ipv6 };
        let version = if choice & 4 == 0 { Version::V3 } else { Version::V2 };
        let Some(key) = HmacKey::new(&[7; 32]) else { unreachable!("the key is long enough") };
        let receiver = Receiver::new(key, family, version);
        receiver.receive(bytes);
        receiver.sign_and_change(bytes, at);
    }
});

/// The IP header and what follows it.
fn received_header(packet: &[u8]) {
    let (header, payload) = packet.split_at(packet.len().min(IPV4_HEADER_LENGTH));
    let Some(parsed) = ah::parse(payload) else { return };
    assert_eq!(parsed.message.len() + AH_LENGTH, payload.len());
    if parsed.is_authentic(&PASSWORD, header) {
        // The two reserved bytes may be anything that is covered; we send zeros.
        let Ok(header) = header.try_into() else { unreachable!("authentic without an IP header") };
        let again = ah::encode(&PASSWORD, header, parsed.spi(), parsed.sequence, parsed.message);
        assert!(payload[2..4] != [0, 0] || again == payload);
    }
}

fn sealed_here(message: &[u8], at: usize) {
    let fields = IpFields { protocol: AH_PROTOCOL, hop_limit: 255, identification: at as u16 };
    let Ok(header) = ipv4_header(SOURCE, GROUP, fields, AH_LENGTH + message.len()) else { return };
    let mut payload = ah::encode(&PASSWORD, &header, SOURCE, 77, message);
    let parsed = ah::parse(&payload).map(|parsed| (parsed.sequence, parsed.spi(), parsed.message.to_vec()));
    assert_eq!(parsed, Some((77, SOURCE, message.to_vec())));
    let authentic =
        |payload: &[u8]| ah::parse(payload).is_some_and(|parsed| parsed.is_authentic(&PASSWORD, &header));
    assert!(authentic(&payload));
    invert(&mut payload, at);
    assert!(!authentic(&payload));
}

struct Receiver {
    key: HmacKey,
    header: PacketHeader,
    expected: Expectation,
}

impl Receiver {
    fn new(key: HmacKey, family: Family, version: Version) -> Self {
        let [source, destination]: [IpAddr; 2] = match family {
            Family::Ipv4 => [SOURCE.into(), GROUP.into()],
            Family::Ipv6 => [
                Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x10).into(),
                Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12).into(),
            ],
        };
        let expected = Expectation {
            family,
            version,
            interval: AdvertisementInterval::ONE_SECOND,
            authentication: AuthenticationData::None,
            checksum: ChecksumMode::PseudoHeader,
            multicast: true,
            hop_limits: HopLimits::LINK,
            trailer: true,
        };
        Self { key, header: PacketHeader { source, destination, hop_limit: Some(255) }, expected }
    }

    /// Whether a router that demands a signature takes the message; gives what the trailer says.
    fn receive(&self, payload: &[u8]) -> Option<Trailer> {
        let framed = frame(&self.header, payload, &self.expected).ok()?;
        let trailer = framed.trailer()?;
        let said = Trailer::parse(trailer);
        let verified = self.key.verifies(self.header.source, framed.body(), trailer);
        let taken = framed.message().is_ok();
        said.filter(|_| verified && taken)
    }

    fn sign_and_change(&self, message: &[u8], at: usize) {
        let mut payload = [message, &[0; TRAILER_LENGTH]].concat();
        // Only what is an advertisement in itself; without room for a trailer there is none.
        let is_whole = frame(&self.header, &payload, &self.expected)
            .is_ok_and(|framed| framed.body() == message && framed.message().is_ok());
        if !is_whole {
            return;
        }
        let stamp = Stamp::from_bits(at as u64);
        let trailer = self.key.sign(self.header.source, message, 3, stamp);
        fill_trailer(&mut payload, self.expected.family, &trailer);
        assert_eq!(self.receive(&payload), Some(Trailer { key: 3, stamp }));
        invert(&mut payload, at);
        assert_eq!(self.receive(&payload), None);
    }
}

fn invert(bytes: &mut [u8], at: usize) {
    let bit = at % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}
