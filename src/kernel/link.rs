//! Interfaces that are ours, on top of others: what they are, and the words with which they are asked for.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::{KernelError, Verb};
use crate::net::{InterfaceIndex, InterfaceName, MacAddress, PackedName};

/// How an interface of ours stands on its parent.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum VirtualLinkKind {
    /// A macvlan of mode private with this hardware address (`use_vmac`).
    Macvlan(MacAddress),
    /// An ipvlan of mode L2, which has its parent's hardware address (`use_ipvlan`).
    Ipvlan(IpvlanSharing),
}

impl fmt::Display for VirtualLinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Macvlan(mac) => write!(f, "macvlan {mac}"),
            Self::Ipvlan(_) => f.write_str("ipvlan"),
        }
    }
}

/// What the ipvlans of one parent see of each other (`enum ipvlan` flags).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum IpvlanSharing {
    /// All.
    #[default]
    Bridge,
    /// Nothing.
    Private,
    /// What the switch sends back.
    Vepa,
}

/// On what an interface stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Stacked {
    /// The interface below.
    pub parent: InterfaceIndex,
    /// How.
    pub kind: VirtualLinkKind,
}

/// An interface that the daemon keeps on top of another one for as long as it lives.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct VirtualLink {
    /// Its name.
    pub name: InterfaceName,
    /// The interface below (`interface` of an instance, `dev` of an address).
    pub parent: InterfaceName,
    /// What it is.
    pub kind: VirtualLinkKind,
    /// `group`: number of its interface group; `None` = the kernel's default.
    pub group: Option<u32>,
    /// It takes part in IPv4.
    pub ipv4: bool,
    /// It takes part in IPv6, and has its parent's link-local address.
    pub ipv6: bool,
}

impl VirtualLink {
    /// Whether it is to have its parent's link-local address: an ipvlan makes one of its own.
    pub(crate) const fn needs_local(&self) -> bool {
        self.ipv6 && matches!(self.kind, VirtualLinkKind::Macvlan(_))
    }
}

/// What tells interfaces of ours apart in the kernel.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct LinkKey {
    /// The interface below.
    pub parent: InterfaceIndex,
    /// Its name.
    pub name: PackedName,
    /// What it is.
    pub kind: VirtualLinkKind,
}

/// One change of one interface of ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkOperation {
    /// Add, or bring into shape what is there already; remove.
    pub verb: Verb,
    /// Which.
    pub key: LinkKey,
    /// All that is wanted of it.
    pub link: VirtualLink,
}

/// What became of one operation.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LinkOutcome {
    /// Add or remove.
    pub verb: Verb,
    /// Which interface.
    pub key: LinkKey,
    /// The refusal, if it was refused.
    pub error: Option<KernelError>,
    /// It was there before.
    pub found: bool,
}

impl LinkOutcome {
    /// What became of `operation`.
    pub const fn of(operation: &LinkOperation, error: Option<KernelError>, found: bool) -> Self {
        Self { verb: operation.verb, key: operation.key, error, found }
    }
}
