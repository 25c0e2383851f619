//! A host that forges advertisements, faster than any router sends them.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::frame::{Origin, Packet};
use crate::net::Family;
use crate::time::{Duration, WallTime, micros};
use crate::vrrp::{HmacConfig, RouterConfig, default_group};
use crate::wire::ah::{self, AH_LENGTH, AH_PROTOCOL};
use crate::wire::ip::{IpFields, ipv4_header};
use crate::wire::vrrp::{
    Advertisement, AdvertisementInterval, AuthenticationData, Priority, Stamp, TRAILER_LENGTH, fill_trailer,
};

/// What a host sends in the name of routers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Flood {
    /// The router that it imitates: version, family, number, interval, authentication.
    pub like: Box<RouterConfig>,
    /// What it does differently.
    pub forgery: Forgery,
    /// The pause between two packets, at least 1 µs.
    pub pause: Duration,
}

/// Of what kind the forged advertisements are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Forgery {
    /// Two masters of priority 1 in turn, each with an address of its own.
    Rivals,
    /// Two masters in turn that leave.
    Leaving,
    /// A master that is there, with an interval that differs from the last by a centisecond.
    Intervals {
        /// Its address.
        source: IpAddr,
        /// Its priority.
        priority: Priority,
    },
    /// A master of the highest priority, who does not know the password or the key.
    Stranger,
}

impl Flood {
    /// The packet of this number.
    pub(super) fn packet(&self, number: u64, wall: WallTime) -> Packet {
        let second = number % 2 == 1;
        let like = &self.like;
        let own = || like.addresses.iter().map(|address| address.spec.prefix.address());
        let stranger = stranger(like.family, 1 + u8::from(second));
        let centiseconds = like.interval.centiseconds().saturating_add(u16::from(second));
        let longer = AdvertisementInterval::from_centiseconds(centiseconds).unwrap_or(like.interval);
        let (source, priority, interval, addresses) = match self.forgery {
            Forgery::Rivals => {
                let other = stranger_address(like.family, 3 + u8::from(second));
                (stranger, Priority(1), like.interval, vec![other])
            }
            Forgery::Leaving => (stranger, Priority(0), like.interval, own().collect()),
            Forgery::Intervals { source, priority } => (source, priority, longer, own().collect()),
            Forgery::Stranger => (stranger, Priority(254), like.interval, own().collect()),
        };
        let advertisement = Advertisement {
            version: like.version,
            vrid: like.vrid,
            priority,
            interval,
            addresses,
            authentication: like.authentication,
            trailer: like.hmac.as_ref().map(|_| [0; TRAILER_LENGTH]),
        };
        let destination = default_group(like.family);
        let mut payload = advertisement.encode(source, destination, like.checksum);
        let mut ip = IpFields::vrrp(255);
        match (&like.hmac, like.authentication, source, destination) {
            (Some(hmac), ..) => sign(&mut payload, source, hmac, wall),
            (None, AuthenticationData::AuthenticationHeader(password), IpAddr::V4(from), IpAddr::V4(to)) => {
                ip.protocol = AH_PROTOCOL;
                // Nobody's is higher.
                let sequence = u32::MAX;
                if let Ok(header) = ipv4_header(from, to, ip, AH_LENGTH + payload.len()) {
                    payload = ah::encode(&password, &header, from, sequence, &payload);
                }
            }
            (None, ..) => {}
        }
        let origin = match self.forgery {
            Forgery::Stranger => Origin::Stranger,
            Forgery::Rivals | Forgery::Leaving | Forgery::Intervals { .. } => Origin::Router,
        };
        Packet { frame: None, source, destination, ip, payload: payload.into(), origin }
    }
}

fn sign(payload: &mut [u8], source: IpAddr, hmac: &HmacConfig, wall: WallTime) {
    let Some((message, _)) = payload.split_last_chunk::<TRAILER_LENGTH>() else { return };
    let Some(key) = hmac.key(hmac.active) else { return };
    let trailer = key.sign(source, message, hmac.active, Stamp::of(wall));
    fill_trailer(payload, Family::of(&source), &trailer);
}

/// An address that no router has, to send from.
fn stranger(family: Family, number: u8) -> IpAddr {
    match family {
        Family::Ipv4 => stranger_address(family, number),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xf10d, number.into())),
    }
}

/// An address that no router has.
fn stranger_address(family: Family, number: u8) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(10, 0, 0, 240 + number % 10)),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xf10d, number.into())),
    }
}

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.forgery {
            Forgery::Rivals => "masters of priority 1",
            Forgery::Leaving => "masters that leave",
            Forgery::Intervals { .. } => "changing intervals of the master",
            Forgery::Stranger => "a master without the secret",
        };
        write!(f, "forges {what} for ({}), one packet every {} µs", self.like.name, micros(self.pause))
    }
}
