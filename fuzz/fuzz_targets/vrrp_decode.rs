//! Any bytes as a VRRP message, for every kind of virtual router: never a panic, and what is taken can be said
//! again in other bytes of the same meaning.
//!
//! The first byte of the input chooses what the router expects, the rest is the message.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use alived::net::Family;
use alived::secret::Secret;
use alived::wire::vrrp::{
    AdvertisementInterval, AuthenticationData, ChecksumMode, Expectation, HopLimits, PacketHeader, Version,
    decode, peek,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, payload)) = input.split_first() else { return };
    let bit = |number: u8| choice >> number & 1 == 1;
    let multicast = bit(5);
    let (family, source, destination): (_, IpAddr, IpAddr) = if bit(0) {
        let group =
            if multicast { Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12) } else { Ipv6Addr::LOCALHOST };
        (Family::Ipv6, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x10).into(), group.into())
    } else {
        let group = if multicast { Ipv4Addr::new(224, 0, 0, 18) } else { Ipv4Addr::new(192, 0, 2, 20) };
        (Family::Ipv4, Ipv4Addr::new(192, 0, 2, 10).into(), group.into())
    };
    let header = PacketHeader { source, destination, hop_limit: Some(255) };
    let expected = Expectation {
        family,
        version: if bit(1) { Version::V2 } else { Version::V3 },
        interval: AdvertisementInterval::ONE_SECOND,
        authentication: match choice >> 2 & 3 {
            0 | 3 => AuthenticationData::None,
            1 => AuthenticationData::SimplePassword(Secret::new(*b"secret12")),
            _ => AuthenticationData::AuthenticationHeader(Secret::new(*b"secret12")),
        },
        checksum: if bit(4) { ChecksumMode::AsVersion2 } else { ChecksumMode::PseudoHeader },
        multicast,
        hop_limits: if multicast { HopLimits::LINK } else { HopLimits::ANY },
        trailer: bit(6),
    };

    let vrid = peek(payload);
    match decode(&header, payload, &expected) {
        Ok(advertisement) => {
            assert_eq!(Some(advertisement.vrid), vrid);
            let again = advertisement.encode(source, destination, expected.checksum);
            assert!(again.len() <= payload.len());
            assert_eq!(decode(&header, &again, &expected), Ok(advertisement));
        }
        Err(rejection) => assert!(!rejection.to_string().is_empty()),
    }
});
