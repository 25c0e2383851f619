//! Policy routing rules as the kernel takes them (`static_rules`, `virtual_rules`; `ip-rule(8)`).

use serde::{Deserialize, Serialize};

use super::route::{ROUTE_PROTOCOL, Realms, RouteTable};
use crate::net::{Family, InterfaceName, Prefix};

/// A rule with everything the kernel is told when it is added.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Rule {
    /// Which of the two rule lists.
    pub family: Family,
    /// `preference`, `order`, `priority`: its place in the list; `None` = the kernel gives one.
    pub priority: Option<u32>,
    /// What happens to packets that match.
    pub action: RuleAction,
    /// `not`: the rule holds for packets that do *not* match.
    pub invert: bool,
    /// `from`: source; `None` = all.
    pub from: Option<Prefix>,
    /// `to`: destination; `None` = all.
    pub to: Option<Prefix>,
    /// `tos`, `dsfield`: 0 = any.
    pub tos: u8,
    /// `fwmark`.
    pub mark: Option<MarkMatch>,
    /// `realms`. IPv4 only.
    pub realms: Option<Realms>,
    /// `dev`, `iif`: input interface.
    pub input: Option<InterfaceName>,
    /// `oif`: output interface of packets this host sends.
    pub output: Option<InterfaceName>,
    /// `suppress_prefixlength`: routes found with a prefix of at most this length do not count.
    pub suppress_prefix_length: Option<u8>,
    /// `suppress_ifgroup`: routes through an interface of this group do not count.
    pub suppress_interface_group: Option<u32>,
    /// `tunnel-id`.
    pub tunnel_id: Option<u64>,
    /// `uidrange`: users whose sockets are meant, first and last.
    pub users: Option<IdRange<u32>>,
    /// `protocol`: who made it; [`ROUTE_PROTOCOL`] unless set.
    pub protocol: u8,
    /// `ipproto`: protocol number of the packet.
    pub ip_protocol: Option<u8>,
    /// `sport`.
    pub source_ports: Option<IdRange<u16>>,
    /// `dport`.
    pub destination_ports: Option<IdRange<u16>>,
}

impl Rule {
    /// A rule that matches everything and looks up the main table, with our protocol.
    pub const fn new(family: Family) -> Self {
        Self {
            family,
            priority: None,
            action: RuleAction::Lookup(RouteTable::MAIN),
            invert: false,
            from: None,
            to: None,
            tos: 0,
            mark: None,
            realms: None,
            input: None,
            output: None,
            suppress_prefix_length: None,
            suppress_interface_group: None,
            tunnel_id: None,
            users: None,
            protocol: ROUTE_PROTOCOL,
            ip_protocol: None,
            source_ports: None,
            destination_ports: None,
        }
    }
}

impl Rule {
    /// Every interface that it names.
    pub fn interfaces(&self) -> impl Iterator<Item = &InterfaceName> {
        let vrf = match &self.action {
            RuleAction::Lookup(RouteTable::OfVrf(vrf)) => Some(vrf),
            _ => None,
        };
        self.input.iter().chain(&self.output).chain(vrf)
    }
}

/// What a rule does (`FR_ACT_*`).
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum RuleAction {
    /// `table`, `lookup`: the route is sought in this table.
    Lookup(RouteTable),
    /// `l3mdev`: the route is sought in the table of the VRF that the packet belongs to.
    LookupVrf,
    /// `goto`: on with the rule of this priority, which is above the rule's own.
    GoTo(u32),
    /// `nop`: on with the next rule.
    Nop,
    /// `blackhole`.
    Blackhole,
    /// `unreachable`.
    Unreachable,
    /// `prohibit`.
    Prohibit,
}

/// `fwmark MARK[/MASK]`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct MarkMatch {
    /// The mark to compare with.
    pub mark: u32,
    /// Bits compared; all unless given.
    pub mask: u32,
}

/// First and last of a range; first is not above last.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct IdRange<T> {
    first: T,
    last: T,
}

impl<T: Copy + Ord> IdRange<T> {
    /// `None` when `first` is above `last`.
    pub fn new(first: T, last: T) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The lowest.
    pub const fn first(&self) -> T {
        self.first
    }

    /// The highest.
    pub const fn last(&self) -> T {
        self.last
    }
}
