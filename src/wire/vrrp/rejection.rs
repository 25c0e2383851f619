//! Why a received packet is not used: RFC 3768 §7.1, RFC 9568 §7.1, one variant and one counter a check.

use core::fmt;
use core::net::IpAddr;

use super::{AdvertisementInterval, HopLimits, Version};

/// A received packet that fails a check. Each variant is a fact about the packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Rejection {
    /// Shorter than its header or than its address count says, or longer without being padding.
    Length {
        /// Bytes received.
        received: usize,
        /// Bytes that the header calls for.
        expected: usize,
    },
    /// TTL or hop limit is not 255, so that the packet may have crossed a router; or, of unicast, not within the limits
    /// configured.
    HopLimit {
        /// Value received; `None` where the driver could not learn it.
        received: Option<u8>,
        /// What may be received.
        expected: HopLimits,
    },
    /// Not the version configured for the virtual router.
    Version {
        /// Number received, 0 to 15.
        received: u8,
        /// Version configured.
        expected: Version,
    },
    /// Not an ADVERTISEMENT (type 1).
    Type {
        /// Number received, 0 to 15.
        received: u8,
    },
    /// The checksum does not fit.
    Checksum,
    /// Virtual router identifier 0.
    Vrid,
    /// An authentication type that no RFC defines.
    AuthenticationType {
        /// Number received.
        received: u8,
    },
    /// Another authentication type than configured.
    AuthenticationMismatch {
        /// Number received.
        received: u8,
        /// Number configured.
        expected: u8,
    },
    /// The password differs.
    AuthenticationFailure,
    /// Version 2: the interval differs from ours (RFC 3768 §7.1).
    IntervalMismatch {
        /// Sender's interval.
        received: AdvertisementInterval,
        /// Ours.
        expected: AdvertisementInterval,
    },
    /// The interval is 0.
    IntervalZero,
    /// The packet has our own source address: it was reflected, or the address is in use twice.
    OwnAddress {
        /// The address.
        source: IpAddr,
    },
    /// The source is no host's address: unspecified, a group or the broadcast address.
    Source {
        /// The address.
        received: IpAddr,
    },
    /// Sent to a unicast address while we use multicast, or the other way round.
    Destination {
        /// Destination received.
        received: IpAddr,
    },
    /// By unicast from who is no peer (`check_unicast_src`).
    Stranger {
        /// The address.
        source: IpAddr,
    },
}

/// A [`Rejection`] without its values: the name of its counter.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum RejectionKind {
    /// See [`Rejection::Length`].
    Length,
    /// See [`Rejection::HopLimit`].
    HopLimit,
    /// See [`Rejection::Version`].
    Version,
    /// See [`Rejection::Type`].
    Type,
    /// See [`Rejection::Checksum`].
    Checksum,
    /// See [`Rejection::Vrid`].
    Vrid,
    /// See [`Rejection::AuthenticationType`].
    AuthenticationType,
    /// See [`Rejection::AuthenticationMismatch`].
    AuthenticationMismatch,
    /// See [`Rejection::AuthenticationFailure`].
    AuthenticationFailure,
    /// See [`Rejection::IntervalMismatch`].
    IntervalMismatch,
    /// See [`Rejection::IntervalZero`].
    IntervalZero,
    /// See [`Rejection::OwnAddress`].
    OwnAddress,
    /// See [`Rejection::Destination`].
    Destination,
    /// See [`Rejection::Source`].
    Source,
    /// See [`Rejection::Stranger`].
    Stranger,
}

impl RejectionKind {
    /// All kinds, in the order of their counters.
    pub const ALL: [Self; 15] = [
        Self::Length,
        Self::HopLimit,
        Self::Version,
        Self::Type,
        Self::Checksum,
        Self::Vrid,
        Self::AuthenticationType,
        Self::AuthenticationMismatch,
        Self::AuthenticationFailure,
        Self::IntervalMismatch,
        Self::IntervalZero,
        Self::OwnAddress,
        Self::Destination,
        Self::Source,
        Self::Stranger,
    ];
}

impl Rejection {
    /// The counter that this rejection belongs to.
    pub const fn kind(&self) -> RejectionKind {
        match self {
            Self::Length { .. } => RejectionKind::Length,
            Self::HopLimit { .. } => RejectionKind::HopLimit,
            Self::Version { .. } => RejectionKind::Version,
            Self::Type { .. } => RejectionKind::Type,
            Self::Checksum => RejectionKind::Checksum,
            Self::Vrid => RejectionKind::Vrid,
            Self::AuthenticationType { .. } => RejectionKind::AuthenticationType,
            Self::AuthenticationMismatch { .. } => RejectionKind::AuthenticationMismatch,
            Self::AuthenticationFailure => RejectionKind::AuthenticationFailure,
            Self::IntervalMismatch { .. } => RejectionKind::IntervalMismatch,
            Self::IntervalZero => RejectionKind::IntervalZero,
            Self::OwnAddress { .. } => RejectionKind::OwnAddress,
            Self::Destination { .. } => RejectionKind::Destination,
            Self::Source { .. } => RejectionKind::Source,
            Self::Stranger { .. } => RejectionKind::Stranger,
        }
    }
}

impl Rejection {
    /// What was wrong with a packet of `from` of which `version` was expected, in keepalived's words where it has some.
    pub(crate) fn describe(&self, from: IpAddr, version: Version, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HopLimit { received: Some(received), expected } => {
                write!(f, "invalid TTL/HL from {from}. Received {received} and expect {expected}")
            }
            Self::Checksum => write!(f, "Invalid VRRPv{} checksum from {from}", version.number()),
            Self::IntervalMismatch { received, expected } => write!(
                f,
                "advertisement interval mismatch with {from} mine={expected} sec rcv'd={received} sec"
            ),
            Self::AuthenticationFailure => write!(f, "received an invalid passwd from {from}!"),
            Self::AuthenticationMismatch { received, expected } => {
                write!(f, "received a {received} auth from {from}, expecting {expected}!")
            }
            Self::Version { received, expected } => write!(
                f,
                "wrong VRRP version from {from}. Received {received} and expect {}",
                expected.number()
            ),
            other => write!(f, "dropping a packet from {from}: {other}"),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { received, expected } => {
                write!(f, "wrong length: received {received} bytes and expect {expected}")
            }
            Self::HopLimit { received: Some(received), expected } => {
                write!(f, "invalid TTL/HL: received {received} and expect {expected}")
            }
            Self::HopLimit { received: None, expected } => write!(f, "unknown TTL/HL, expect {expected}"),
            Self::Version { received, expected } => {
                write!(f, "wrong VRRP version: received {received} and expect {}", expected.number())
            }
            Self::Type { received } => write!(f, "invalid type: received {received} and expect 1"),
            Self::Checksum => f.write_str("invalid checksum"),
            Self::Vrid => f.write_str("virtual router identifier 0"),
            Self::AuthenticationType { received } => {
                write!(f, "unknown authentication type {received}")
            }
            Self::AuthenticationMismatch { received, expected } => {
                write!(f, "received authentication type {received}, expecting {expected}")
            }
            Self::AuthenticationFailure => f.write_str("the password differs from ours"),
            Self::IntervalMismatch { received, expected } => {
                write!(f, "advertisement interval mismatch: mine={expected} sec rcv'd={received} sec")
            }
            Self::IntervalZero => f.write_str("advertisement interval 0"),
            Self::OwnAddress { source } => write!(f, "sent from our own address {source}"),
            Self::Source { received } => write!(f, "sent from {received}, which is no host's address"),
            Self::Stranger { source } => {
                write!(f, "{source} is no unicast_peer of ours, and check_unicast_src is set")
            }
            Self::Destination { received } if received.is_multicast() => {
                write!(f, "sent to the group {received}, while we use unicast")
            }
            Self::Destination { received } => write!(f, "sent to {received}, which is not ours to hear"),
        }
    }
}
