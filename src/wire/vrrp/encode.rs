//! Advertisement -> bytes.

use core::net::IpAddr;

use super::{Advertisement, AuthenticationData, ChecksumMode, Version, checksum};
use crate::net::Family;

/// Number of the message type ADVERTISEMENT, the only one there is (RFC 9568 §5.2.2).
pub(super) const ADVERTISEMENT: u8 = 1;

impl Advertisement {
    /// The message for an IP packet between these addresses, its checksum filled in for both families.
    ///
    /// Only addresses of the family of `destination` are written, and the first 255 of them, which is all
    /// that the count field can say. An interval outside the version's field is written as the nearest that
    /// fits. The trailer, if any, follows as it is.
    pub fn encode(&self, source: IpAddr, destination: IpAddr, checksum: ChecksumMode) -> Vec<u8> {
        let family = Family::of(&destination);
        let addresses = || self.addresses.iter().filter(|a| Family::of(a) == family).take(255);
        let count = u8::try_from(addresses().count()).unwrap_or(u8::MAX);

        let length = body_length(self.version, family, count);
        let trailer = self.trailer.as_ref().map_or(&[][..], |trailer| trailer.as_slice());
        let mut bytes = Vec::with_capacity(length.saturating_add(trailer.len()));

        let [interval_high, interval_low] = match self.version {
            Version::V2 => [authentication_type(&self.authentication), self.interval.seconds()],
            Version::V3 => self.interval.centiseconds().min(0x0fff).to_be_bytes(),
        };
        bytes.extend_from_slice(&[
            self.version.number() << 4 | ADVERTISEMENT,
            self.vrid.get(),
            self.priority.0,
            count,
            interval_high,
            interval_low,
            0,
            0,
        ]);
        for address in addresses() {
            match address {
                IpAddr::V4(address) => bytes.extend_from_slice(&address.octets()),
                IpAddr::V6(address) => bytes.extend_from_slice(&address.octets()),
            }
        }
        if has_authentication_data(self.version, family) {
            bytes.extend_from_slice(&match self.authentication {
                AuthenticationData::SimplePassword(password) => *password.expose(),
                AuthenticationData::None | AuthenticationData::AuthenticationHeader(_) => [0; 8],
            });
        }

        let sum = checksum::compute(self.version, checksum, source, destination, &bytes, trailer);
        bytes[checksum::FIELD].copy_from_slice(&sum);
        bytes.extend_from_slice(trailer);
        bytes
    }
}

/// Bytes of a message with `count` addresses: header, addresses, authentication data.
pub(super) fn body_length(version: Version, family: Family, count: u8) -> usize {
    let authentication = if has_authentication_data(version, family) { 8 } else { 0 };
    8 + usize::from(count) * family.octets() + authentication
}

/// Whether the message ends with 8 bytes of authentication data: version 2 over IPv4, always
/// (RFC 3768 §5.3.10). keepalived's version 2 over IPv6 has none.
pub(super) fn has_authentication_data(version: Version, family: Family) -> bool {
    version == Version::V2 && family == Family::Ipv4
}

/// Number of the authentication type (RFC 2338 §5.3.6).
pub(super) fn authentication_type(authentication: &AuthenticationData) -> u8 {
    match authentication {
        AuthenticationData::None => 0,
        AuthenticationData::SimplePassword(_) => 1,
        AuthenticationData::AuthenticationHeader(_) => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::wire::vrrp::{
        AdvertisementInterval, Expectation, HopLimits, PacketHeader, Priority, Rejection, Vrid, decode,
    };

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            text.chars().filter_map(|c| c.to_digit(16)).map(|d| u8::try_from(d).unwrap()).collect();
        digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn advertisement(version: Version, vrid: u8, priority: u8, addresses: &[&str]) -> Advertisement {
        Advertisement {
            version,
            vrid: Vrid::new(vrid).unwrap(),
            priority: Priority(priority),
            interval: AdvertisementInterval::ONE_SECOND,
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            authentication: AuthenticationData::None,
            trailer: None,
        }
    }

    /// Both directions between `meaning` and the bytes that a keepalived sent.
    #[track_caller]
    fn golden(meaning: &Advertisement, source: &str, destination: &str, bytes: &str) {
        let (source, destination): (IpAddr, IpAddr) = (source.parse().unwrap(), destination.parse().unwrap());
        let bytes = hex(bytes);
        assert_eq!(meaning.encode(source, destination, ChecksumMode::PseudoHeader), bytes);

        let header = PacketHeader { source, destination, hop_limit: Some(255) };
        let expected = Expectation {
            family: Family::of(&destination),
            version: meaning.version,
            interval: meaning.interval,
            authentication: meaning.authentication,
            checksum: ChecksumMode::PseudoHeader,
            multicast: destination.is_multicast(),
            hop_limits: HopLimits::LINK,
            trailer: meaning.trailer.is_some(),
        };
        assert_eq!(decode(&header, &bytes, &expected).as_ref(), Ok(meaning));
    }

    #[test]
    fn version_2_as_sent_by_keepalived() {
        let (source, group) = ("192.0.2.10", "224.0.0.18");
        let plain = advertisement(Version::V2, 54, 100, &["192.0.2.54"]);
        golden(&plain, source, group, "213664010001b890c00002360000000000000000");

        let authentication = AuthenticationData::SimplePassword(Secret::new(*b"secret12"));
        let mut password =
            Advertisement { authentication, ..advertisement(Version::V2, 51, 100, &["192.0.2.51"]) };
        golden(&password, source, group, "2133640101014a18c00002337365637265743132");
        password.priority = Priority::LEAVING;
        golden(&password, source, group, "213300010101ae18c00002337365637265743132");

        let authentication = AuthenticationData::AuthenticationHeader(Secret::new(*b"secret12"));
        let ah = Advertisement { authentication, ..advertisement(Version::V2, 55, 100, &["192.0.2.55"]) };
        golden(&ah, source, group, "213764010201b68ec00002370000000000000000");
    }

    #[test]
    fn version_3_as_sent_by_keepalived() {
        let (source, group) = ("192.0.2.10", "224.0.0.18");
        let interval = AdvertisementInterval::from_centiseconds(50).unwrap();
        let two =
            Advertisement { interval, ..advertisement(Version::V3, 52, 150, &["192.0.2.52", "192.0.2.152"]) };
        golden(&two, source, group, "313496020032112cc0000234c0000298");
        let owner = advertisement(Version::V3, 57, 255, &["192.0.2.57"]);
        golden(&owner, source, group, "3139ff0100646a8dc0000239");
        let unicast = advertisement(Version::V3, 58, 100, &["192.0.2.58"]);
        golden(&unicast, source, "192.0.2.20", "313a64010064238ac000023a");
    }

    #[test]
    fn trailers_as_sent_by_keepalived() {
        let trailer = |text| hex(text).try_into().ok();
        let v3 = Advertisement {
            trailer: trailer("010700006b0465e3610300006782de034b6d5867d1a72dc5c14ea6a8"),
            ..advertisement(Version::V3, 53, 100, &["192.0.2.53"])
        };
        let bytes = "3135640100640596c0000235010700006b0465e3610300006782de034b6d5867d1a72dc5c14ea6a8";
        golden(&v3, "192.0.2.10", "224.0.0.18", bytes);

        let v6 = Advertisement {
            trailer: trailer("010900006b0465e360cb0000192f52af20d4ec98a9915f48dd46a5cb"),
            ..advertisement(Version::V3, 56, 100, &["fe80::56", "2001:db8::56"])
        };
        let bytes = "313864020064072dfe80000000000000000000000000005620010db8000000000000000000000056\
                     010900006b0465e360cb0000192f52af20d4ec98a9915f48dd46a5cb";
        golden(&v6, "fe80::10", "ff02::12", bytes);

        let v2 = Advertisement {
            trailer: trailer("010900006b0465e36119000014591151f3afdb0d06fd4efabcfc3178"),
            ..advertisement(Version::V2, 54, 100, &["192.0.2.54"])
        };
        let bytes = "213664010001b890c00002360000000000000000\
                     010900006b0465e36119000014591151f3afdb0d06fd4efabcfc3178";
        golden(&v2, "192.0.2.10", "224.0.0.18", bytes);
    }

    #[test]
    fn compatibility_checksum_leaves_the_pseudo_header_out() {
        let sent = advertisement(Version::V3, 57, 255, &["192.0.2.57"]);
        let (source, group) = ("192.0.2.10".parse().unwrap(), "224.0.0.18".parse().unwrap());
        let bytes = sent.encode(source, group, ChecksumMode::AsVersion2);
        // 3139 + ff01 + 0064 + c000 + 0239 = f2d8 with the carry added back, whose complement is 0d27.
        assert_eq!(bytes[6..8], [0x0d, 0x27]);
        let other = "198.51.100.1".parse().unwrap();
        assert_eq!(sent.encode(other, group, ChecksumMode::AsVersion2), bytes);
    }

    #[test]
    fn only_what_the_message_can_carry_is_written() {
        let (source, group): (IpAddr, IpAddr) =
            ("192.0.2.10".parse().unwrap(), "224.0.0.18".parse().unwrap());
        let mut sent = advertisement(Version::V3, 1, 100, &["192.0.2.1", "2001:db8::1"]);
        assert_eq!(sent.encode(source, group, ChecksumMode::PseudoHeader).len(), 12);
        sent.addresses = vec!["192.0.2.1".parse().unwrap(); 300];
        let bytes = sent.encode(source, group, ChecksumMode::PseudoHeader);
        assert_eq!((bytes.len(), bytes[3]), (8 + 255 * 4, 255));
        sent.interval = AdvertisementInterval::from_seconds(200).unwrap();
        assert_eq!(sent.encode(source, group, ChecksumMode::PseudoHeader)[4..6], [0x0f, 0xff]);
        sent.version = Version::V2;
        assert_eq!(sent.encode(source, group, ChecksumMode::PseudoHeader)[5], 200);
        sent.interval = AdvertisementInterval::from_centiseconds(10).unwrap();
        assert_eq!(sent.encode(source, group, ChecksumMode::PseudoHeader)[5], 1);
    }

    #[test]
    fn no_addresses_is_a_message_too() {
        let sent = advertisement(Version::V3, 1, 100, &[]);
        let (source, group) = ("fe80::1".parse().unwrap(), "ff02::12".parse().unwrap());
        let bytes = sent.encode(source, group, ChecksumMode::PseudoHeader);
        let header = PacketHeader { source, destination: group, hop_limit: Some(255) };
        let expected = Expectation {
            family: Family::Ipv6,
            version: Version::V3,
            interval: sent.interval,
            authentication: AuthenticationData::None,
            checksum: ChecksumMode::PseudoHeader,
            multicast: true,
            hop_limits: HopLimits::LINK,
            trailer: false,
        };
        assert_eq!(decode(&header, &bytes, &expected), Ok(sent));
        let other = PacketHeader { source: "fe80::2".parse().unwrap(), ..header };
        assert_eq!(decode(&other, &bytes, &expected), Err(Rejection::Checksum));
    }
}
