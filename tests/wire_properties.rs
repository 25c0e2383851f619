//! Properties of the wire formats, for values and bytes that nobody thought of.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use alived::net::{Family, MacAddress};
use alived::secret::Secret;
use alived::wire::arp::{ArpFrame, Operation};
use alived::wire::ndisc::NeighbourAdvertisement;
use alived::wire::vrrp::{
    Advertisement, AdvertisementInterval, AuthenticationData, ChecksumMode, Expectation, HmacKey, HopLimits,
    PacketHeader, Priority, Stamp, TRAILER_LENGTH, Trailer, Version, Vrid, decode, fill_trailer, frame, peek,
};
use alived::wire::{ah, ip};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof};
use proptest::proptest;

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

fn address(family: Family) -> impl Strategy<Value = IpAddr> {
    any::<[u8; 16]>().prop_map(move |octets| match family {
        Family::Ipv4 => Ipv4Addr::from(*octets.first_chunk::<4>().unwrap()).into(),
        Family::Ipv6 => Ipv6Addr::from(octets).into(),
    })
}

fn family() -> impl Strategy<Value = Family> + Clone {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
}

fn interval(version: Version) -> impl Strategy<Value = AdvertisementInterval> {
    (1..=4095u16).prop_map(move |number| match version {
        Version::V2 => AdvertisementInterval::from_seconds(u8::try_from(number % 255 + 1).unwrap()).unwrap(),
        Version::V3 => AdvertisementInterval::from_centiseconds(number).unwrap(),
    })
}

fn authentication(version: Version, family: Family) -> impl Strategy<Value = AuthenticationData> {
    any::<(u8, [u8; 8])>().prop_map(move |(kind, password)| match (version, kind % 3) {
        (Version::V2, 1) if family == Family::Ipv4 => {
            AuthenticationData::SimplePassword(Secret::new(password))
        }
        (Version::V2, 2) => AuthenticationData::AuthenticationHeader(Secret::new(password)),
        _ => AuthenticationData::None,
    })
}

/// An advertisement between two addresses.
#[derive(Clone, Debug)]
struct Sent {
    advertisement: Advertisement,
    header: PacketHeader,
}

impl Sent {
    fn encode(&self, checksum: ChecksumMode) -> Vec<u8> {
        self.advertisement.encode(self.header.source, self.header.destination, checksum)
    }

    fn expectation(&self, checksum: ChecksumMode) -> Expectation {
        Expectation {
            family: Family::of(&self.header.destination),
            version: self.advertisement.version,
            interval: self.advertisement.interval,
            authentication: self.advertisement.authentication,
            checksum,
            multicast: self.header.destination.is_multicast(),
            hop_limits: HopLimits::LINK,
            trailer: self.advertisement.trailer.is_some(),
        }
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    (family(), prop_oneof![Just(Version::V2), Just(Version::V3)]).prop_flat_map(|(family, version)| {
        let advertisement = (
            1..=255u8,
            any::<u8>(),
            interval(version),
            vec(address(family), 0..=255),
            authentication(version, family),
            option::of(any::<[u8; 28]>()),
        )
            .prop_map(move |(vrid, priority, interval, addresses, authentication, trailer)| Advertisement {
                version,
                vrid: Vrid::new(vrid).unwrap(),
                priority: Priority(priority),
                interval,
                addresses,
                authentication,
                trailer,
            });
        // Nobody else than a host sends.
        let is_host = |source: &IpAddr| {
            !source.is_unspecified() && !source.is_multicast() && *source != IpAddr::V4(Ipv4Addr::BROADCAST)
        };
        let source = address(family).prop_filter("a host's address", is_host);
        (advertisement, source, address(family)).prop_map(|(advertisement, source, destination)| Sent {
            advertisement,
            header: PacketHeader { source, destination, hop_limit: Some(255) },
        })
    })
}

fn mode() -> impl Strategy<Value = ChecksumMode> {
    prop_oneof![Just(ChecksumMode::PseudoHeader), Just(ChecksumMode::AsVersion2)]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_encoded_is_decoded(sent in sent(), mode in mode()) {
        let bytes = sent.encode(mode);
        prop_assert_eq!(peek(&bytes), Some(sent.advertisement.vrid));
        let decoded = decode(&sent.header, &bytes, &sent.expectation(mode));
        prop_assert_eq!(decoded, Ok(sent.advertisement));
    }

    /// The one's complement sum sees every change of a single byte. Over IPv4 the trailer is not summed: it has
    /// a signature of its own.
    #[test]
    fn a_changed_byte_is_noticed(sent in sent(), at: usize, change in 1..=255u8) {
        let mut bytes = sent.encode(ChecksumMode::PseudoHeader);
        let at = at % bytes.len();
        bytes[at] ^= change;
        let decoded = decode(&sent.header, &bytes, &sent.expectation(ChecksumMode::PseudoHeader));
        let trailer = sent.advertisement.trailer.map_or(0, |trailer| trailer.len());
        if at >= bytes.len() - trailer && sent.header.destination.is_ipv4() {
            prop_assert!(decoded.is_ok_and(|decoded| decoded != sent.advertisement));
        } else {
            prop_assert!(decoded.is_err());
        }
    }

    #[test]
    fn a_cut_message_is_noticed(sent in sent(), at: usize) {
        let bytes = sent.encode(ChecksumMode::PseudoHeader);
        let at = at % bytes.len();
        let decoded = decode(&sent.header, &bytes[..at], &sent.expectation(ChecksumMode::PseudoHeader));
        // Without its trailer, an IPv4 message is whole; what is left of the trailer may look like padding.
        if let Ok(decoded) = decoded {
            let trailer = sent.advertisement.trailer.map_or(0, |trailer| trailer.len());
            prop_assert!(sent.header.destination.is_ipv4() && at + trailer >= bytes.len());
            prop_assert_eq!(decoded, Advertisement { trailer: None, ..sent.advertisement });
        }
    }

    /// By all that a router checks that demands a signature; what is added to a message that is whole is padding.
    #[test]
    fn what_is_signed_is_believed_and_a_changed_bit_of_it_is_not(
        sent in sent(), secret in vec(any::<u8>(), 32..=64), id: u8, stamp: u64, bit: usize,
    ) {
        let key = HmacKey::new(&secret).unwrap();
        let family = Family::of(&sent.header.source);
        // What is signed has no other authentication.
        let advertisement = Advertisement {
            authentication: AuthenticationData::None,
            trailer: Some([0; TRAILER_LENGTH]),
            ..sent.advertisement
        };
        let sent = Sent { advertisement, ..sent };
        let mut bytes = sent.encode(ChecksumMode::PseudoHeader);
        let (message, _) = bytes.split_last_chunk::<TRAILER_LENGTH>().unwrap();
        let trailer = key.sign(sent.header.source, message, id, Stamp::from_bits(stamp));
        fill_trailer(&mut bytes, family, &trailer);
        let expected = sent.expectation(ChecksumMode::PseudoHeader);
        let believed = |bytes: &[u8]| {
            let framed = frame(&sent.header, bytes, &expected).ok()?;
            let trailer = framed.trailer()?;
            let said = Trailer::parse(trailer)?;
            framed.message().ok()?;
            key.verifies(sent.header.source, framed.body(), trailer).then_some(said)
        };
        let said = Trailer { key: id, stamp: Stamp::from_bits(stamp) };
        prop_assert_eq!(believed(&bytes), Some(said));
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(believed(&bytes), None);
    }

    #[test]
    fn what_is_sealed_is_believed_and_a_changed_bit_of_it_is_not(
        octets: [[u8; 4]; 2], hop_limit: u8, identification: u16, password: [u8; 8], sequence: u32,
        message in vec(any::<u8>(), 0..300), bit: usize,
    ) {
        let [source, destination] = octets.map(Ipv4Addr::from);
        let fields = ip::IpFields { protocol: ah::AH_PROTOCOL, hop_limit, identification };
        let header = ip::ipv4_header(source, destination, fields, ah::AH_LENGTH + message.len()).unwrap();
        let password = Secret::new(password);
        let payload = ah::encode(&password, &header, source, sequence, &message);
        let parsed = ah::parse(&payload).unwrap();
        prop_assert_eq!((parsed.sequence, parsed.spi(), parsed.message), (sequence, source, &message[..]));
        let believed = |packet: &[u8]| {
            let (header, payload) = packet.split_at(header.len());
            ah::parse(payload).is_some_and(|parsed| parsed.is_authentic(&password, header))
        };
        let mut packet = [&header[..], &payload].concat();
        prop_assert!(believed(&packet));
        let bit = bit % (packet.len() * 8);
        packet[bit / 8] ^= 1 << (bit % 8);
        // The type of service and the checksum of the IP header change on the way.
        prop_assert_eq!(believed(&packet), [1, 10, 11].contains(&(bit / 8)));
    }

    #[test]
    fn any_bytes_as_an_authentication_header_are_taken_calmly(
        bytes in vec(any::<u8>(), 0..80), start: bool, header: [u8; ip::IPV4_HEADER_LENGTH], password: [u8; 8],
    ) {
        let mut bytes = bytes;
        if let (true, Some(begin)) = (start, bytes.first_chunk_mut()) {
            *begin = [112, 4];
        }
        let Some(parsed) = ah::parse(&bytes) else { return Ok(()) };
        prop_assert_eq!(parsed.message.len() + ah::AH_LENGTH, bytes.len());
        prop_assert!(!parsed.is_authentic(&Secret::new(password), &header));
    }

    #[test]
    fn any_bytes_are_taken_calmly(
        bytes in vec(any::<u8>(), 0..200),
        start in option::of(prop_oneof![Just(0x21u8), Just(0x31)]),
        sent in sent(),
        mode in mode(),
        trailer: bool,
    ) {
        let mut bytes = bytes;
        if let (Some(start), Some(first)) = (start, bytes.first_mut()) {
            *first = start;
        }
        let expected = Expectation { trailer, ..sent.expectation(mode) };
        if let Ok(decoded) = decode(&sent.header, &bytes, &expected) {
            let again = decoded.encode(sent.header.source, sent.header.destination, mode);
            prop_assert_eq!(decode(&sent.header, &again, &expected), Ok(decoded));
        }
        if let Ok(packet) = ip::parse_ipv4(&bytes) {
            prop_assert!(packet.payload.len() + ip::IPV4_HEADER_LENGTH <= bytes.len());
        }
        if let Ok(packet) = ip::parse_ipv6(&bytes) {
            prop_assert!(packet.payload.len() + ip::IPV6_HEADER_LENGTH <= bytes.len());
        }
        if let Some(frame) = ArpFrame::parse(&bytes) {
            prop_assert_eq!(ArpFrame::parse(&frame.encode()), Some(frame));
        }
        if let Some(frame) = NeighbourAdvertisement::parse(&bytes) {
            prop_assert_eq!(NeighbourAdvertisement::parse(&frame.encode()), Some(frame));
        }
    }

    #[test]
    fn ip_packets_go_there_and_back(
        family in family(), octets: ([u8; 16], [u8; 16]), protocol: u8, hop_limit: u8, identification: u16,
        payload in vec(any::<u8>(), 0..2000), padding in vec(any::<u8>(), 0..46),
    ) {
        let fields = ip::IpFields { protocol, hop_limit, identification };
        let header = match family {
            Family::Ipv4 => {
                let [source, destination] = [octets.0, octets.1]
                    .map(|octets| Ipv4Addr::from(*octets.first_chunk::<4>().unwrap()));
                ip::ipv4_header(source, destination, fields, payload.len()).unwrap().to_vec()
            }
            Family::Ipv6 => {
                let [source, destination] = [octets.0, octets.1].map(Ipv6Addr::from);
                ip::ipv6_header(source, destination, fields, payload.len()).unwrap().to_vec()
            }
        };
        let packet = [&header[..], &payload, &padding].concat();
        let parsed = match family {
            Family::Ipv4 => ip::parse_ipv4(&packet),
            Family::Ipv6 => ip::parse_ipv6(&packet),
        }.unwrap();
        prop_assert_eq!(parsed.payload, &payload[..]);
        prop_assert_eq!((parsed.hop_limit, parsed.protocol), (hop_limit, protocol));
        prop_assert_eq!(Family::of(&parsed.source), family);
    }

    #[test]
    fn arp_frames_go_there_and_back(macs: [[u8; 6]; 4], addresses: [[u8; 4]; 2], reply: bool) {
        let [destination, source, sender_mac, target_mac] = macs.map(MacAddress);
        let [sender, target] = addresses.map(Ipv4Addr::from);
        let operation = if reply { Operation::Reply } else { Operation::Request };
        let frame =
            ArpFrame { destination, source, operation, sender_mac, sender, target_mac, target };
        prop_assert_eq!(ArpFrame::parse(&frame.encode()), Some(frame));
    }

    #[test]
    fn a_changed_byte_of_a_neighbour_advertisement_is_noticed(
        mac: [u8; 6], octets: [u8; 16], is_router: bool, at: usize, change in 1..=255u8,
    ) {
        let address = Ipv6Addr::from(octets);
        let announced = NeighbourAdvertisement::unsolicited(MacAddress(mac), address, is_router);
        let mut frame = announced.encode();
        prop_assert_eq!(
            NeighbourAdvertisement::parse(&frame),
            (!address.is_multicast()).then_some(announced)
        );
        // Behind the Ethernet header and what routers change on the way, all is summed or checked.
        let at = 18 + at % (frame.len() - 18);
        frame[at] ^= change;
        prop_assert_eq!(NeighbourAdvertisement::parse(&frame), None);
    }
}
