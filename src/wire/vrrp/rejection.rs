//! Why a received packet is not used: RFC 3768 §7.1, RFC 9568 §7.1, one variant and one counter a check.

use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{AdvertisementInterval, HopLimits, Version};
use crate::time::Duration;

/// A received packet that fails a check. Each variant is a fact about the packet.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
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
    /// The IP authentication header is none, or not one for VRRP from this sender.
    HeaderMalformed,
    /// The IP authentication header was made with another password, or the packet was changed on its way.
    HeaderNotAuthentic,
    /// The sequence number of the IP authentication header is not higher than one that was there before.
    HeaderReplayed {
        /// Number received.
        received: u32,
        /// The highest before.
        last: u32,
    },
    /// `auth_hmac`: the message has no trailer.
    TrailerMissing,
    /// `auth_hmac`: the trailer is not of the one kind that there is.
    TrailerMalformed,
    /// `auth_hmac`, anti-replay `time`: signed too long ago, or in the future.
    TrailerStale {
        /// How far the sender's clock seems to be ahead of ours, in microseconds; negative where it is behind.
        ahead_us: i64,
        /// What `time_window` allows.
        window: Duration,
        /// Whether it was signed with a key of ours all the same.
        authentic: bool,
    },
    /// `auth_hmac`: signed with a key that we do not have.
    UnknownKey {
        /// Its identifier.
        id: u8,
    },
    /// `auth_hmac`: the signature is wrong.
    InvalidHmac,
    /// `auth_hmac`: not later than what the sender signed before.
    TrailerReplayed,
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
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
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
    /// See [`Rejection::HeaderMalformed`].
    HeaderMalformed,
    /// See [`Rejection::HeaderNotAuthentic`].
    HeaderNotAuthentic,
    /// See [`Rejection::HeaderReplayed`].
    HeaderReplayed,
    /// See [`Rejection::TrailerMissing`].
    TrailerMissing,
    /// See [`Rejection::TrailerMalformed`].
    TrailerMalformed,
    /// See [`Rejection::TrailerStale`].
    TrailerStale,
    /// See [`Rejection::UnknownKey`].
    UnknownKey,
    /// See [`Rejection::InvalidHmac`].
    InvalidHmac,
    /// See [`Rejection::TrailerReplayed`].
    TrailerReplayed,
}

impl RejectionKind {
    /// All kinds, in the order of their counters.
    pub const ALL: [Self; 24] = [
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
        Self::HeaderMalformed,
        Self::HeaderNotAuthentic,
        Self::HeaderReplayed,
        Self::TrailerMissing,
        Self::TrailerMalformed,
        Self::TrailerStale,
        Self::UnknownKey,
        Self::InvalidHmac,
        Self::TrailerReplayed,
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
            Self::HeaderMalformed => RejectionKind::HeaderMalformed,
            Self::HeaderNotAuthentic => RejectionKind::HeaderNotAuthentic,
            Self::HeaderReplayed { .. } => RejectionKind::HeaderReplayed,
            Self::TrailerMissing => RejectionKind::TrailerMissing,
            Self::TrailerMalformed => RejectionKind::TrailerMalformed,
            Self::TrailerStale { .. } => RejectionKind::TrailerStale,
            Self::UnknownKey { .. } => RejectionKind::UnknownKey,
            Self::InvalidHmac => RejectionKind::InvalidHmac,
            Self::TrailerReplayed => RejectionKind::TrailerReplayed,
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
            Self::HeaderMalformed => f.write_str("its IP authentication header is malformed"),
            Self::HeaderNotAuthentic => {
                f.write_str("its IP authentication header was not made with our password")
            }
            Self::HeaderReplayed { received, last } => {
                write!(
                    f,
                    "sequence number {received} of its IP authentication header was there before ({last})"
                )
            }
            Self::TrailerMissing => {
                f.write_str("it has no auth_hmac trailer; with mode permissive it would be accepted")
            }
            Self::TrailerMalformed => f.write_str("its auth_hmac trailer is malformed"),
            Self::TrailerStale { ahead_us, window, authentic } => {
                let (ahead, allowed) = (ahead_us.unsigned_abs() / 1000, window.as_secs());
                let side = if *ahead_us < 0 { "behind" } else { "ahead of" };
                let (seconds, millis) = (ahead / 1000, ahead % 1000);
                write!(
                    f,
                    "it was signed with a clock {seconds}.{millis:03} s {side} ours, time_window is {allowed} s"
                )?;
                f.write_str(if *authentic { "; set the clocks, with NTP" } else { "" })
            }
            Self::UnknownKey { id } => {
                write!(f, "it was signed with key {id} of auth_hmac, which we do not have")
            }
            Self::InvalidHmac => f.write_str("its auth_hmac signature is wrong"),
            Self::TrailerReplayed => f.write_str("it was signed before what we heard of its sender already"),
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
