//! Values of an advertisement, correct by construction.

use core::fmt;
use core::net::IpAddr;
use core::num::NonZeroU8;

use serde::{Deserialize, Serialize};

use super::TRAILER_LENGTH;
use crate::secret::Secret;
use crate::time::Duration;
use crate::wire::ah::AhPassword;

/// Protocol version.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Version {
    /// RFC 3768. IPv4; for IPv6 only as keepalived's own extension.
    V2 = 2,
    /// RFC 9568 (and 5798). IPv4 and IPv6.
    V3 = 3,
}

impl Version {
    /// 2 or 3.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// Virtual router identifier, 1 to 255 (RFC 9568 §5.2.3).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Vrid(NonZeroU8);

impl Vrid {
    /// `None` for 0.
    pub const fn new(vrid: u8) -> Option<Self> {
        match NonZeroU8::new(vrid) {
            Some(vrid) => Some(Self(vrid)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// Priority in an advertisement (RFC 9568 §5.2.4): 0 = leaving, 1 to 254 = backup routers, 255 = owner.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Priority(pub u8);

impl Priority {
    /// The master stops taking part.
    pub const LEAVING: Self = Self(0);
    /// keepalived's and the RFC's default.
    pub const DEFAULT: Self = Self(100);
    /// The router owns the virtual addresses.
    pub const OWNER: Self = Self(255);

    /// Whether this is the owner's priority.
    pub(crate) const fn is_owner(self) -> bool {
        self.0 == 255
    }

    /// Whether this says that the master leaves.
    pub(crate) const fn is_leaving(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Time between advertisements, never 0: whole seconds 1 to 255 in version 2, centiseconds 1 to 4095 in
/// version 3.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct AdvertisementInterval {
    centiseconds: u16,
}

impl AdvertisementInterval {
    /// One second, the default of both versions.
    pub const ONE_SECOND: Self = Self { centiseconds: 100 };

    /// Version 2: `None` for 0.
    pub const fn from_seconds(seconds: u8) -> Option<Self> {
        if seconds == 0 { None } else { Some(Self { centiseconds: seconds as u16 * 100 }) }
    }

    /// Version 3: `None` outside 1 to 4095.
    pub const fn from_centiseconds(centiseconds: u16) -> Option<Self> {
        if centiseconds == 0 || centiseconds > 4095 { None } else { Some(Self { centiseconds }) }
    }

    /// Hundredths of a second. Above 4095 only for version 2.
    pub const fn centiseconds(self) -> u16 {
        self.centiseconds
    }

    /// As the version 2 field carries it, rounded down to at least 1.
    pub fn seconds(self) -> u8 {
        u8::try_from(self.centiseconds / 100).unwrap_or(u8::MAX).max(1)
    }

    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.centiseconds as u64 * 10)
    }

    /// In microseconds.
    pub(crate) const fn micros(self) -> u64 {
        self.centiseconds as u64 * 10_000
    }
}

impl fmt::Display for AdvertisementInterval {
    /// In seconds, with as many places as needed: `1`, `0.5`, `0.01`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.centiseconds / 100, self.centiseconds % 100);
        match rest {
            0 => write!(f, "{whole}"),
            rest if rest % 10 == 0 => write!(f, "{whole}.{}", rest / 10),
            rest => write!(f, "{whole}.{rest:02}"),
        }
    }
}

/// How the checksum of a version 3 advertisement over IPv4 is computed. Over IPv6 the pseudo-header is
/// always part of it (RFC 9568 §5.2.8).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum ChecksumMode {
    /// With the pseudo-header: keepalived's default.
    #[default]
    PseudoHeader,
    /// Over the message alone (`v3_checksum_as_v2`); checksums of others are then not enforced,
    /// as in keepalived.
    AsVersion2,
    /// With the pseudo-header, and this group in place of the destination: by unicast until keepalived 1.3.6
    /// (`old_unicast_checksum`).
    Group(core::net::Ipv4Addr),
}

/// The last 8 bytes of a version 2 advertisement over IPv4 (RFC 2338 §5.3.6, §5.3.10).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum AuthenticationData {
    /// Type 0: the bytes are sent as zero and ignored on receipt (RFC 3768 §5.3.6). The only one in
    /// version 3.
    #[default]
    None,
    /// Type 1: a plain-text password, padded with zero bytes.
    SimplePassword(Secret<[u8; 8]>),
    /// Type 2: the packet carries an IP authentication header made with this password; the bytes are zero.
    AuthenticationHeader(AhPassword),
}

/// A VRRP message as it is sent or has passed decoding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Advertisement {
    /// Protocol version.
    pub version: Version,
    /// Virtual router.
    pub vrid: Vrid,
    /// Sender's priority; 0 when it leaves.
    pub priority: Priority,
    /// Sender's interval.
    pub interval: AdvertisementInterval,
    /// Virtual addresses in the sender's order, all of one family, at most 255.
    pub addresses: Vec<IpAddr>,
    /// Version 2 authentication.
    pub authentication: AuthenticationData,
    /// keepalived's `auth_hmac` trailer after the body, neither checked nor produced here.
    pub trailer: Option<[u8; TRAILER_LENGTH]>,
}
