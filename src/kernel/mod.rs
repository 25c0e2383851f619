//! The words exchanged with the operating system: plain data, no effects.
//!
//! What the kernel holds arrives as [`KernelEvent`]s (first a [`KernelView`], then changes); what we want of
//! it leaves as [`AddressRequest`]s, answered chunk by chunk with [`AddressReply`]s.

mod route;
mod rule;
mod script;

pub use route::{
    CongestionControl, Encapsulation, MetricValue, NextHop, NextHops, ROUTE_PROTOCOL, Realms, Route,
    RouteInsertion, RouteMetric, RouteTable, RouteType, RouterPreference, TunnelHeader, WeightedHop,
};
pub use rule::{IdRange, MarkMatch, Rule, RuleAction};
pub use script::{NamedUser, Script, ScriptUser};

use core::fmt;
use core::net::{IpAddr, Ipv4Addr};

use crate::net::{Family, InterfaceName, LinkKey, MacAddress, Prefix};

/// `IFA_PROTO` of the addresses we add: keepalived's number in `rt_addrprotos`.
pub const ADDRESS_PROTOCOL: u8 = 18;

/// A network interface as the kernel describes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    /// Namespace and index.
    pub key: LinkKey,
    /// Current name; a rename arrives as a change of the same key.
    pub name: InterfaceName,
    /// Hardware address of an Ethernet interface.
    pub mac: Option<MacAddress>,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// `IFF_UP`: the administrator wants it up.
    pub admin_up: bool,
    /// `IFF_RUNNING`: it has a carrier and can send.
    pub running: bool,
    /// `ARPHRD_LOOPBACK`.
    pub loopback: bool,
    /// Whether the host forwards packets of each family on this interface (router flag of RFC 4861).
    pub forwarding: Forwarding,
}

impl Link {
    /// Up and with a carrier (`behaviours` D2).
    pub const fn usable(&self) -> bool {
        self.admin_up && self.running
    }
}

/// Whether the host is a router on an interface.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Forwarding {
    /// `net.ipv6.conf.IF.forwarding`.
    pub ipv6: bool,
}

/// An address that the kernel holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeldAddress {
    /// The interface that has it.
    pub link: LinkKey,
    /// Address and prefix length (`IFA_LOCAL` for IPv4).
    pub prefix: Prefix,
    /// Whether it carries our mark: [`ADDRESS_PROTOCOL`], or an entry of the run directory's record.
    pub ours: bool,
    /// `IFA_F_SECONDARY`: goes when the first address of its subnet goes, without `promote_secondaries`.
    pub secondary: bool,
    /// `IFA_F_TENTATIVE` or `IFA_F_DADFAILED`: not usable as a source.
    pub tentative: bool,
}

/// Everything the kernel holds that concerns us, read at start and again after a lost notification.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KernelView {
    /// All interfaces.
    pub links: Vec<Link>,
    /// All addresses.
    pub addresses: Vec<HeldAddress>,
}

/// A change the kernel told us of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KernelEvent {
    /// The whole state: replaces all that was known.
    View(KernelView),
    /// An interface is new or changed (flags, name, MAC, MTU).
    LinkChanged(Link),
    /// An interface was deleted or moved to another namespace.
    LinkGone(LinkKey),
    /// An address is new or changed.
    AddressPresent(HeldAddress),
    /// An address is gone.
    AddressGone {
        /// The interface that had it.
        link: LinkKey,
        /// The address and its prefix length.
        prefix: Prefix,
    },
}

/// An address with everything the kernel is told when it is added.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AddressSpec {
    /// Address and prefix length.
    pub prefix: Prefix,
    /// `rt_scopes` number, 0 = global. IPv4 only.
    pub scope: u8,
    /// Broadcast address. IPv4 only.
    pub broadcast: Option<Ipv4Addr>,
    /// `IFA_LABEL`, at most 15 bytes. IPv4 only.
    pub label: Option<String>,
    /// Far end of a point-to-point link.
    pub peer: Option<Prefix>,
    /// Preferred lifetime in seconds; `None` = forever, 0 = deprecated at once (`behaviours` E1).
    pub preferred_lifetime_s: Option<u32>,
    /// Further flags.
    pub flags: AddressFlags,
}

impl AddressSpec {
    /// The address with keepalived's defaults: global scope, no label, and for an IPv6 host address
    /// (/128) a preferred lifetime of 0, so that it is not chosen as a source address.
    pub fn new(prefix: Prefix) -> Self {
        let deprecated = prefix.family() == Family::Ipv6 && prefix.length() == 128;
        Self {
            prefix,
            scope: 0,
            broadcast: None,
            label: None,
            peer: None,
            preferred_lifetime_s: deprecated.then_some(0),
            flags: AddressFlags::default(),
        }
    }
}

/// The name of a scope in `rt_scopes`, or its number.
pub fn scope_name(scope: u8) -> String {
    match scope {
        0 => "global".to_owned(),
        200 => "site".to_owned(),
        253 => "link".to_owned(),
        254 => "host".to_owned(),
        255 => "nowhere".to_owned(),
        other => other.to_string(),
    }
}

/// Flags of an address line; all off by default.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AddressFlags {
    /// `-nodad`: duplicate address detection is left on (IPv6; we switch it off by default).
    pub duplicate_address_detection: bool,
    /// `home`.
    pub home: bool,
    /// `mngtmpaddr`.
    pub manage_temporary: bool,
    /// `noprefixroute`.
    pub no_prefix_route: bool,
    /// `autojoin`.
    pub auto_join: bool,
}

/// What to do with an address.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum AddressVerb {
    /// Add it with our mark; already there is success.
    Add,
    /// Remove it; already gone is success.
    Remove,
}

/// One change of one address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressOperation {
    /// Add or remove.
    pub verb: AddressVerb,
    /// On this interface.
    pub link: LinkKey,
    /// The address.
    pub spec: AddressSpec,
}

/// A router's number in a [`crate::node::HaNode`], stable over its life; never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RouterId(pub u32);

/// Changes of addresses for one router, to be carried out in order. Requests of one router are never
/// reordered; the answer comes in chunks as the kernel takes them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressRequest {
    /// The router that wants them.
    pub router: RouterId,
    /// The changes, in order.
    pub operations: Vec<AddressOperation>,
}

/// What became of one operation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressOutcome {
    /// Add or remove.
    pub verb: AddressVerb,
    /// The interface.
    pub link: LinkKey,
    /// The address.
    pub prefix: Prefix,
    /// The kernel's refusal, if it refused.
    pub error: Option<KernelError>,
}

/// The kernel's answer to a chunk of a router's operations, in their order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressReply {
    /// The router that asked.
    pub router: RouterId,
    /// One outcome for each operation of the chunk.
    pub outcomes: Vec<AddressOutcome>,
}

/// A refusal by the kernel: error number and, where it gave one, its own explanation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KernelError {
    /// Positive `errno`.
    pub errno: i32,
    /// The text of the extended acknowledgement, or the standard text of the error number.
    pub message: String,
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (errno {})", self.message, self.errno)
    }
}

/// A receive socket for advertisements, bound to its interface: one for each interface, family and group.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ReceiveSocket {
    /// The interface it is bound to.
    pub link: LinkKey,
    /// The multicast group it joins, or for unicast the address it is bound to. Gives the family too.
    pub address: IpAddr,
}

/// What the driver tells of a [`ReceiveSocket`] it was asked to open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SocketEvent {
    /// Open, joined, delivering.
    Opened(ReceiveSocket),
    /// Could not be opened, or failed later.
    Failed(ReceiveSocket, KernelError),
}
