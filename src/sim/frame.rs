//! What travels on a simulated LAN.

use core::fmt;
use core::net::IpAddr;
use std::sync::Arc;

use super::network::PortId;
use crate::net::MacAddress;
use crate::time::Duration;
use crate::wire::ip::{IPV4_HEADER_LENGTH, IpFields, ipv4_header};

/// A frame on a segment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// A VRRP message in its IP packet.
    Advertisement(Arc<Packet>),
    /// A gratuitous ARP or an unsolicited neighbour advertisement: "this address is at this MAC".
    Announcement {
        /// The address.
        address: IpAddr,
        /// Where it is said to be, which is the MAC of the frame too.
        mac: MacAddress,
        /// The port that the frame came in by.
        port: PortId,
    },
    /// An ARP request or neighbour solicitation: "who has this address?"
    Question {
        /// The address.
        address: IpAddr,
        /// The port that wants the answer.
        asker: PortId,
    },
    /// An ARP reply or solicited neighbour advertisement.
    Answer {
        /// The address.
        address: IpAddr,
        /// Where it is, which is the MAC of the frame too.
        mac: MacAddress,
        /// The port that the frame came in by.
        port: PortId,
    },
}

/// An IP packet that carries a VRRP message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packet {
    /// MAC of its frame, and the port that it came in by.
    pub frame: Option<(MacAddress, PortId)>,
    /// Sender.
    pub source: IpAddr,
    /// Group or address it was sent to.
    pub destination: IpAddr,
    /// The rest of the IP header.
    pub ip: IpFields,
    /// What follows it: the VRRP message, or an authentication header in front of it.
    pub payload: Arc<[u8]>,
    /// Who made it.
    pub origin: Origin,
}

/// Who made a packet: what no receiver can see.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Origin {
    /// Somebody who knows what the routers know.
    #[default]
    Router,
    /// The same, some time ago: it is sent again.
    Recording,
    /// Somebody who does not know the password or the key.
    Stranger,
}

impl Packet {
    /// The IP header of an IPv4 packet, as a raw socket delivers it.
    pub fn ipv4_header(&self) -> Option<[u8; IPV4_HEADER_LENGTH]> {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (self.source, self.destination) else {
            return None;
        };
        ipv4_header(source, destination, self.ip, self.payload.len()).ok()
    }

    /// The packet with one bit of its message inverted, as a bad cable would; the checksum must find it.
    pub fn damaged(&self, draw: u64) -> Self {
        let mut payload = self.payload.to_vec();
        let bits = payload.len() as u64 * 8;
        if let Some(bit) = draw.checked_rem(bits) {
            payload[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        Self { payload: payload.into(), ..self.clone() }
    }
}

/// The fields of an advertisement that judge a run, read straight from its bytes (RFC 3768 §5.1, RFC 9568
/// §5.1) and on purpose not with the decoder under test.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Glance {
    /// 2 or 3.
    pub version: u8,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Priority; 0 = leaving.
    pub priority: u8,
    /// Advertisement interval.
    pub interval: Duration,
    /// Addresses it says it carries.
    pub count: u8,
}

/// The number of the authentication header's protocol, and its bytes.
const AUTHENTICATION_HEADER: (u8, usize) = (51, 24);

impl Glance {
    /// Of what follows an IP header of this protocol.
    pub fn within(protocol: u8, payload: &[u8]) -> Option<Self> {
        let (number, length) = AUTHENTICATION_HEADER;
        Self::of(if protocol == number { payload.get(length..)? } else { payload })
    }

    /// `None` for what is too short or of neither version.
    pub fn of(payload: &[u8]) -> Option<Self> {
        let &[kind, vrid, priority, count, fourth, fifth, _, _, ..] = payload else { return None };
        let interval = match kind {
            0x21 => Duration::from_secs(fifth.into()),
            0x31 => Duration::from_millis(u64::from(u16::from_be_bytes([fourth & 0x0f, fifth])) * 10),
            _ => return None,
        };
        Some(Self { version: kind >> 4, vrid, priority, interval, count })
    }
}

impl fmt::Display for Glance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "advertisement v{} vrid {} priority {}", self.version, self.vrid, self.priority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_versions() {
        let v2 = [0x21, 51, 100, 1, 0, 2, 0, 0, 192, 0, 2, 51];
        let v3 = [0x31, 52, 150, 2, 0xf0, 50, 0, 0];
        assert_eq!(
            Glance::of(&v2),
            Some(Glance { version: 2, vrid: 51, priority: 100, interval: Duration::from_secs(2), count: 1 })
        );
        assert_eq!(
            Glance::of(&v3),
            Some(Glance {
                version: 3,
                vrid: 52,
                priority: 150,
                interval: Duration::from_millis(500),
                count: 2
            })
        );
        assert_eq!(Glance::of(&v3[..7]), None);
        assert_eq!(Glance::of(&[0x41, 1, 1, 1, 1, 1, 1, 1]), None);
    }

    #[test]
    fn damage_inverts_one_bit() {
        let packet = Packet {
            frame: None,
            source: [192, 0, 2, 1].into(),
            destination: [224, 0, 0, 18].into(),
            ip: IpFields::vrrp(255),
            payload: [0u8; 8].into(),
            origin: Origin::Router,
        };
        let ones = |p: &Packet| p.payload.iter().map(|b| b.count_ones()).sum::<u32>();
        assert_eq!(ones(&packet.damaged(77)), 1);
        assert_eq!(ones(&packet), 0);
    }
}
