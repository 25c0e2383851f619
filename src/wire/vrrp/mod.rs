//! VRRP advertisements: version 2 (RFC 3768 §5) and version 3 (RFC 9568 §5).

mod checksum;
mod decode;
mod encode;
mod rejection;
mod secrets;
mod trailer;
mod types;

pub use decode::{Framed, Message, check, decode, frame, peek};
pub use rejection::{Rejection, RejectionKind};
pub use secrets::without_secrets;
pub use trailer::{HmacKey, Stamp, TRAILER_LENGTH, Trailer, fill_trailer};
pub use types::{
    Advertisement, AdvertisementInterval, AuthenticationData, ChecksumMode, Priority, Version, Vrid,
};

use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::net::Family;

/// What the IP layer says of a received message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PacketHeader {
    /// Sender.
    pub source: IpAddr,
    /// Group or address it was sent to.
    pub destination: IpAddr,
    /// TTL or hop limit; `None` where the driver could not learn it.
    pub hop_limit: Option<u8>,
}

/// What a virtual router expects of the advertisements it receives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Expectation {
    /// Family of the virtual router.
    pub family: Family,
    /// Protocol version.
    pub version: Version,
    /// Own interval, which version 2 demands of others too.
    pub interval: AdvertisementInterval,
    /// Version 2 authentication.
    pub authentication: AuthenticationData,
    /// How version 3 over IPv4 is summed.
    pub checksum: ChecksumMode,
    /// Whether advertisements come by multicast: the destination must then be a group.
    pub multicast: bool,
    /// Which TTL or hop limit they come with.
    pub hop_limits: HopLimits,
    /// Whether 28 bytes may follow the message (`auth_hmac`).
    pub trailer: bool,
}

/// The TTLs or hop limits that received messages may have.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HopLimits {
    /// The lowest.
    pub least: u8,
    /// The highest.
    pub most: u8,
}

impl HopLimits {
    /// 255 alone, which no sender beyond the link can achieve (RFC 9568 §5.1.1.3, §5.1.2.3): multicast.
    pub const LINK: Self = Self { least: 255, most: 255 };
    /// All: unicast without `min_ttl` and `max_ttl`.
    pub const ANY: Self = Self { least: 0, most: 255 };

    /// Whether a message may have this one. What is not known passes only where nothing is demanded.
    pub fn allow(self, hop_limit: Option<u8>) -> bool {
        self == Self::ANY || hop_limit.is_some_and(|limit| (self.least..=self.most).contains(&limit))
    }
}

impl fmt::Display for HopLimits {
    /// `255`, `1 to 5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { least, most } if least == most => least.fmt(f),
            Self { least, most } => write!(f, "{least} to {most}"),
        }
    }
}
