//! VRRP advertisements: version 2 (RFC 3768 §5) and version 3 (RFC 9568 §5).

mod checksum;
mod decode;
mod encode;
mod rejection;
mod types;

pub use decode::{decode, peek};
pub use rejection::{Rejection, RejectionKind};
pub use types::{
    Advertisement, AdvertisementInterval, AuthenticationData, ChecksumMode, Priority, Version, Vrid,
};

use core::net::IpAddr;

use crate::net::Family;

/// What the IP layer says of a received message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PacketHeader {
    /// Sender.
    pub source: IpAddr,
    /// Group or address it was sent to.
    pub destination: IpAddr,
    /// TTL or hop limit; `None` where the driver could not learn it, which no check passes.
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
    /// Whether advertisements come by multicast: TTL must then be 255 and the destination a group.
    pub multicast: bool,
    /// Whether 28 bytes may follow the message (`auth_hmac`).
    pub trailer: bool,
}
