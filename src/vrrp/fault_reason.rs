//! Why a router cannot take part.

use core::fmt;
use core::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::SendObstacle;
use crate::kernel::RoutingObject;
use crate::net::{InterfaceName, Prefix};

/// One reason why a router cannot take part. A router is in [`State::Fault`](super::State::Fault) while it has any.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum FaultReason {
    /// The operator keeps it out of the election.
    Maintenance,
    /// The interface does not exist.
    InterfaceMissing(InterfaceName),
    /// The interface is down or has no carrier.
    LinkDown(InterfaceName),
    /// Unicast without a peer (`unicast_fault_no_peer`).
    NoPeers,
    /// The interface has no address to send from.
    NoSourceAddress(Option<InterfaceName>),
    /// The configured source is not there: on the interface, or on this host where none is given.
    SourceMissing(IpAddr, Option<InterfaceName>),
    /// The receive socket is not open (yet), on the interface if one is given.
    NotListening(Option<InterfaceName>),
    /// While master, none of its advertisements could be sent for a master-down time.
    NotSending(Option<InterfaceName>, SendObstacle),
    /// While master, an address that was asked for was missing for longer than a master-down time.
    AddressMissing(Prefix),
    /// While master, a route or a rule that was asked for was missing for longer than a master-down time.
    RoutingMissing(RoutingObject),
    /// A static address, route or rule of its track group cannot be kept.
    StaticMissing {
        /// The group.
        group: Arc<str>,
        /// What is missing.
        object: Arc<str>,
    },
    /// A tracker or the operator says so; the name is its contribution's.
    Tracked(Arc<str>),
    /// Another member of its sync group cannot take part.
    Member {
        /// The group.
        group: Arc<str>,
        /// The member.
        member: Arc<str>,
        /// Why that one cannot.
        fault: Box<Self>,
    },
}

impl FaultReason {
    /// That of the member of the sync group where it began; itself without a group.
    pub fn root(&self) -> &Self {
        match self {
            Self::Member { fault, .. } => fault.root(),
            fault => fault,
        }
    }
}

impl fmt::Display for FaultReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Maintenance => f.write_str("under maintenance"),
            Self::InterfaceMissing(name) => write!(f, "interface {name} does not exist"),
            Self::LinkDown(name) => write!(f, "interface {name} is down"),
            Self::NoPeers => f.write_str("no unicast peers"),
            Self::NoSourceAddress(on) => write!(f, "no address to send from{}", On(on)),
            Self::SourceMissing(source, None) => write!(f, "source address {source} is not on this host"),
            Self::SourceMissing(source, on) => write!(f, "source address {source} is not{}", On(on)),
            Self::NotListening(on) => write!(f, "not listening{}", On(on)),
            Self::NotSending(on, obstacle) => {
                write!(f, "no advertisement could be sent{}: {obstacle}", On(on))
            }
            Self::AddressMissing(prefix) => {
                write!(f, "address {prefix} goes missing each time it is put back")
            }
            Self::RoutingMissing(object) => write!(f, "{object} goes missing each time it is put back"),
            Self::StaticMissing { group, object } => write!(f, "track_group {group}: {object} is missing"),
            Self::Tracked(name) => write!(f, "{name} failed"),
            Self::Member { group, member, fault } => {
                write!(f, "sync group {group}: member {member}: {fault}")
            }
        }
    }
}

/// Words for an interface, with a space before them; nothing where none is given.
pub(super) struct On<'a>(pub(super) &'a Option<InterfaceName>);

impl fmt::Display for On<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |name| write!(f, " on interface {name}"))
    }
}
