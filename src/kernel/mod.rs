//! The words exchanged with the operating system: plain data, no effects.
//!
//! What the kernel holds arrives as [`KernelEvent`]s (first a [`KernelView`], then changes); what we want of
//! it leaves as [`KernelRequest`]s, answered chunk by chunk with [`AddressReply`]s and [`RoutingReply`]s.

pub mod ipvs;
mod link;
mod route;
mod routing;
mod routing_text;
mod rule;
mod script;

pub use link::{IpvlanSharing, LinkKey, LinkOperation, LinkOutcome, Stacked, VirtualLink, VirtualLinkKind};
pub use route::{
    CongestionControl, Encapsulation, MetricValue, NextHop, NextHops, ROUTE_PROTOCOL, Realms, Route,
    RouteInsertion, RouteMetric, RouteTable, RouteType, RouterPreference, TunnelHeader, WeightedHop,
};
pub use routing::{
    HeldRoute, HeldWay, RouteKey, RoutePlace, RoutingKey, RoutingObject, RoutingOperation, RoutingOutcome,
    RoutingReply, RoutingRequest, RuleKey,
};
pub use rule::{IdRange, MarkMatch, Rule, RuleAction};
pub use script::{NamedUser, Script, ScriptEnd, ScriptUser};

use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::net::{Family, InterfaceIndex, InterfaceName, MacAddress, Prefix, VRRP_PROTOCOL};

/// `IFA_PROTO` of the addresses we add: keepalived's number in `rt_addrprotos`.
pub const ADDRESS_PROTOCOL: u8 = 18;

/// A network interface as the kernel describes it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Link {
    /// Its number.
    pub key: InterfaceIndex,
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
    /// On what it stands, if it is like an interface of ours.
    pub stacked: Option<Stacked>,
    /// Number of the routing table that a VRF device stands for.
    pub vrf_table: Option<u32>,
}

impl Link {
    /// Which interface of ours it is like.
    pub(crate) fn virtual_key(&self) -> Option<LinkKey> {
        self.stacked.map(|Stacked { parent, kind }| LinkKey { parent, name: self.name.packed(), kind })
    }

    /// Up and with a carrier: what keepalived calls up.
    pub const fn usable(&self) -> bool {
        self.admin_up && self.running
    }
}

/// Whether the host is a router on an interface.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Forwarding {
    /// `net.ipv6.conf.IF.forwarding`.
    pub ipv6: bool,
}

/// An address that the kernel holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HeldAddress {
    /// The interface that has it.
    pub link: InterfaceIndex,
    /// Address and prefix length (`IFA_LOCAL` for IPv4).
    pub prefix: Prefix,
    /// Whether it carries our mark: [`ADDRESS_PROTOCOL`], or an entry of the run directory's record.
    pub ours: bool,
    /// `IFA_F_SECONDARY`: goes when the first address of its subnet goes, without `promote_secondaries`.
    pub secondary: bool,
    /// How far duplicate address detection is.
    pub detection: Detection,
}

impl HeldAddress {
    /// Not usable as a source, and not answered for.
    pub(crate) const fn is_tentative(&self) -> bool {
        !matches!(self.detection, Detection::Done)
    }
}

/// How far duplicate address detection is with an address (IPv6, RFC 4862 §5.4).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Detection {
    /// Done or not needed: the address is usable.
    #[default]
    Done,
    /// Under way (`IFA_F_TENTATIVE`).
    Running,
    /// Another host has it (`IFA_F_DADFAILED`).
    Failed,
}

/// Everything the kernel holds that concerns us, read at start and again after a lost notification.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct KernelView {
    /// All interfaces.
    pub links: Vec<Link>,
    /// All addresses.
    pub addresses: Vec<HeldAddress>,
    /// The routes that may be ours.
    pub routes: Vec<HeldRoute>,
    /// The rules that may be ours.
    pub rules: Vec<Rule>,
}

/// A change the kernel told us of.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum KernelEvent {
    /// The whole state: replaces all that was known.
    View(KernelView),
    /// An interface is new or changed (flags, name, MAC, MTU).
    LinkChanged(Link),
    /// An interface was deleted or moved to another namespace.
    LinkGone(InterfaceIndex),
    /// An address is new or changed.
    AddressPresent(HeldAddress),
    /// An address is gone.
    AddressGone {
        /// The interface that had it.
        link: InterfaceIndex,
        /// The address and its prefix length.
        prefix: Prefix,
    },
    /// A route is new.
    RoutePresent {
        /// The route.
        route: HeldRoute,
        /// It took the place of another one, of which the kernel says nothing.
        replaces: bool,
    },
    /// A route is gone.
    RouteGone(HeldRoute),
    /// A rule is new.
    RulePresent(Rule),
    /// A rule is gone.
    RuleGone(Rule),
}

/// An address with everything the kernel is told when it is added.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
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
    /// Preferred lifetime in seconds (`preferred_lft`); `None` = forever, 0 = deprecated at once.
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
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
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

/// What to do with an object of the kernel.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Verb {
    /// Add it with our mark; already there is success.
    Add,
    /// Remove it; already gone is success.
    Remove,
}

/// One change of one address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressOperation {
    /// Add or remove.
    pub verb: Verb,
    /// On this interface.
    pub link: InterfaceIndex,
    /// The address.
    pub spec: AddressSpec,
    /// To be sent, once, when the address has been added, unless a later request removes it again: who carries
    /// out the change knows first that it is done.
    pub announcement: Option<Announcement>,
}

impl AddressOperation {
    /// A change that is not announced.
    pub const fn new(verb: Verb, link: InterfaceIndex, spec: AddressSpec) -> Self {
        Self { verb, link, spec, announcement: None }
    }
}

/// One gratuitous ARP (IPv4) or unsolicited neighbour advertisement (IPv6) to send.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Announcement {
    /// Through this interface.
    pub link: InterfaceIndex,
    /// The MAC that hosts shall use.
    pub mac: MacAddress,
    /// The address.
    pub address: IpAddr,
    /// The router flag of a neighbour advertisement.
    pub is_router: bool,
    /// The ARP packet is a reply, which nobody answers, and not a request for its own sender.
    pub is_reply: bool,
}

/// A router's number in a [`crate::node::HaNode`], stable over its life; never reused.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct RouterId(pub u32);

/// Who has something changed in the kernel, and is told what came of it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Requester {
    /// A virtual router.
    Router(RouterId),
    /// The static part: what a daemon keeps in the kernel for as long as it lives.
    Static,
    /// Interfaces of our own, which have addresses of their own.
    Links,
    /// Nobody any more: what a predecessor has left and the configuration does not name is removed.
    Predecessor,
}

/// Changes of addresses for one requester, to be carried out in order. Requests of one requester are never
/// reordered; the answer comes in chunks as the kernel takes them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressRequest {
    /// Who wants them.
    pub requester: Requester,
    /// The changes, in order.
    pub operations: Vec<AddressOperation>,
}

/// Something to be changed in the kernel. Requests of one requester are never reordered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KernelRequest {
    /// Addresses.
    Addresses(AddressRequest),
    /// Routes and rules.
    Routing(RoutingRequest),
}

impl KernelRequest {
    /// Who asks.
    pub const fn requester(&self) -> Requester {
        match self {
            Self::Addresses(request) => request.requester,
            Self::Routing(request) => request.requester,
        }
    }

    /// The changes of addresses, if it is about these.
    pub const fn addresses(&self) -> Option<&AddressRequest> {
        match self {
            Self::Addresses(request) => Some(request),
            Self::Routing(_) => None,
        }
    }

    /// The same, to be altered.
    pub const fn addresses_mut(&mut self) -> Option<&mut AddressRequest> {
        match self {
            Self::Addresses(request) => Some(request),
            Self::Routing(_) => None,
        }
    }

    /// The changes of routes and rules, if it is about these.
    pub const fn routing(&self) -> Option<&RoutingRequest> {
        match self {
            Self::Addresses(_) => None,
            Self::Routing(request) => Some(request),
        }
    }
}

/// What became of one operation.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AddressOutcome {
    /// Add or remove.
    pub verb: Verb,
    /// The interface.
    pub link: InterfaceIndex,
    /// The address.
    pub prefix: Prefix,
    /// The kernel's refusal, if it refused.
    pub error: Option<KernelError>,
    /// Whether the operation's announcement was sent.
    pub announced: bool,
}

impl AddressOutcome {
    /// What became of `operation`, which was not announced.
    pub const fn of(operation: &AddressOperation, error: Option<KernelError>) -> Self {
        let AddressOperation { verb, link, spec, .. } = operation;
        Self { verb: *verb, link: *link, prefix: spec.prefix, error, announced: false }
    }
}

/// The kernel's answer to a chunk of a requester's operations, in their order.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AddressReply {
    /// Who asked.
    pub requester: Requester,
    /// One outcome for each operation of the chunk.
    pub outcomes: Vec<AddressOutcome>,
}

/// The announcements to send when `operations` have been carried out with these `outcomes`, each with its
/// position: of addresses added that none of these operations and of the `later` ones removes.
pub fn first_announcements<'a>(
    operations: &[AddressOperation],
    outcomes: &[AddressOutcome],
    later: impl Iterator<Item = &'a AddressOperation>,
) -> Vec<(usize, Announcement)> {
    if operations.iter().all(|operation| operation.announcement.is_none()) {
        return Vec::new();
    }
    let key = |operation: &AddressOperation| (operation.link, operation.spec.prefix);
    let removal = |operation: &&AddressOperation| operation.verb == Verb::Remove;
    let mut removed: BTreeSet<(InterfaceIndex, Prefix)> = later.filter(removal).map(key).collect();
    let mut announcements = Vec::new();
    for (position, (operation, outcome)) in operations.iter().zip(outcomes).enumerate().rev() {
        if operation.verb == Verb::Remove {
            removed.insert(key(operation));
        } else if let Some(announcement) = operation.announcement
            && outcome.error.is_none()
            && !removed.contains(&key(operation))
        {
            announcements.push((position, announcement));
        }
    }
    announcements.reverse();
    announcements
}

/// A refusal by the kernel: error number and, where it gave one, its own explanation.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
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

/// A receive socket for advertisements: one for each interface, protocol, and group or address.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ReceiveSocket {
    /// The interface it is bound to; `None` = it hears what comes to its address by any, for unicast alone.
    pub link: Option<InterfaceIndex>,
    /// The multicast group it joins, or for unicast the address it is bound to, which this host has: a socket is closed
    /// with its address, and opened anew when that comes back. Gives the family too.
    pub address: IpAddr,
    /// Number of the IP protocol.
    pub protocol: u8,
}

impl ReceiveSocket {
    /// For VRRP messages.
    pub fn vrrp(link: impl Into<Option<InterfaceIndex>>, address: IpAddr) -> Self {
        Self { link: link.into(), address, protocol: VRRP_PROTOCOL }
    }
}

/// What the driver tells of a [`ReceiveSocket`] it was asked to open.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum SocketEvent {
    /// Open, joined, delivering.
    Opened(ReceiveSocket),
    /// Could not be opened, or failed later.
    Failed(ReceiveSocket, KernelError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(verb: Verb, number: u8) -> AddressOperation {
        let address = [192, 0, 2, number].into();
        let spec = AddressSpec::new(Prefix::host(address));
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        let announcement =
            Announcement { link: InterfaceIndex::LOWEST, mac, address, is_router: false, is_reply: false };
        let announcement = (verb == Verb::Add).then_some(announcement);
        AddressOperation { announcement, ..AddressOperation::new(verb, InterfaceIndex::LOWEST, spec) }
    }

    #[test]
    fn what_is_there_to_stay_is_announced() {
        use Verb::{Add, Remove};
        let operations = [(Add, 1), (Add, 2), (Remove, 2), (Add, 3), (Add, 4), (Remove, 5), (Add, 5)]
            .map(|(v, n)| operation(v, n));
        let mut outcomes: Vec<_> = operations.iter().map(|o| AddressOutcome::of(o, None)).collect();
        outcomes[3].error = Some(KernelError { errno: 19, message: String::new() });
        let later = [operation(Remove, 4), operation(Add, 6)];
        let positions = |later: &[AddressOperation]| -> Vec<usize> {
            let announcements = first_announcements(&operations, &outcomes, later.iter());
            announcements.into_iter().map(|(position, _)| position).collect()
        };
        // 2 is removed again, 3 was refused, 4 is removed by a later request.
        assert_eq!(positions(&later), [0, 6]);
        assert_eq!(positions(&[]), [0, 4, 6]);
    }
}
