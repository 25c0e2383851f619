//! Routes as the kernel takes them (`static_routes`, `virtual_routes`; `rtnetlink(7)`).

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::net::{Family, InterfaceName, Prefix};

/// `RTPROT_KEEPALIVED`: the origin that the routes and rules we add carry.
pub const ROUTE_PROTOCOL: u8 = 18;

/// A route with everything the kernel is told when it is added.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Route {
    /// Family of the destination; a gateway may be of the other one (`via inet6 …`).
    pub family: Family,
    /// What becomes of packets that match.
    pub kind: RouteType,
    /// `to`: `0.0.0.0/0` or `::/0` for `default`.
    pub destination: Prefix,
    /// `from`: only packets from there. IPv6 only.
    pub source: Option<Prefix>,
    /// `src`: source address of packets this host sends.
    pub preferred_source: Option<IpAddr>,
    /// Where packets go next.
    pub next: NextHops,
    /// The table that holds it.
    pub table: RouteTable,
    /// `protocol`: who made it, 0 to 255; [`ROUTE_PROTOCOL`] unless set.
    pub protocol: u8,
    /// `scope`: `rt_scopes` number; `None` = see [`Route::effective_scope`].
    pub scope: Option<u8>,
    /// `tos`, `dsfield`: 0 = any.
    pub tos: u8,
    /// `metric`, `priority`, `preference`: the kernel's default without (0 for IPv4, 1024 for IPv6).
    pub metric: Option<u32>,
    /// `add`, `prepend`, `append`.
    pub insertion: RouteInsertion,
    /// `expires`: lifetime in seconds. IPv6 only.
    pub expires_s: Option<u32>,
    /// `pref`: router preference. IPv6 only.
    pub preference: Option<RouterPreference>,
    /// `ttl-propagate`: whether an MPLS route copies the TTL.
    pub ttl_propagate: Option<bool>,
    /// `realms` of a route that names them outside of a `nexthop`. IPv4 only.
    pub realms: Option<Realms>,
    /// `mtu`, `rtt` …: settings for connections over this route.
    pub metrics: BTreeMap<RouteMetric, MetricValue>,
    /// `congctl`: congestion control algorithm.
    pub congestion_control: Option<CongestionControl>,
}

impl Route {
    /// A unicast route to `destination` with keepalived's defaults: main table, our protocol, in front of
    /// what is there, no way to it yet.
    pub fn new(destination: Prefix) -> Self {
        Self {
            family: destination.family(),
            kind: RouteType::Unicast,
            destination,
            source: None,
            preferred_source: None,
            next: NextHops::None,
            table: RouteTable::MAIN,
            protocol: ROUTE_PROTOCOL,
            scope: None,
            tos: 0,
            metric: None,
            insertion: RouteInsertion::Prepend,
            expires_s: None,
            preference: None,
            ttl_propagate: None,
            realms: None,
            metrics: BTreeMap::new(),
            congestion_control: None,
        }
    }

    /// Every interface that it names.
    pub fn interfaces(&self) -> impl Iterator<Item = &InterfaceName> {
        let vrf = match &self.table {
            RouteTable::OfVrf(vrf) => Some(vrf),
            RouteTable::Number(_) => None,
        };
        self.next.hops().filter_map(|hop| hop.interface.as_ref()).chain(vrf)
    }

    /// The scope that goes to the kernel: that set, else host for local routes, link for routes without a
    /// gateway and for broadcast, multicast and anycast, else global; IPv6 has no scopes.
    pub fn effective_scope(&self) -> u8 {
        const GLOBAL: u8 = 0;
        const LINK: u8 = 253;
        const HOST: u8 = 254;
        if self.family == Family::Ipv6 {
            return GLOBAL;
        }
        self.scope.unwrap_or_else(|| match self.kind {
            RouteType::Local | RouteType::Nat => HOST,
            RouteType::Broadcast | RouteType::Multicast | RouteType::Anycast => LINK,
            RouteType::Unicast if !self.next.has_gateway() => LINK,
            _ => GLOBAL,
        })
    }
}

/// `RTN_*`: what becomes of packets that match a route.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum RouteType {
    /// Forwarded.
    #[default]
    Unicast,
    /// Delivered to this host.
    Local,
    /// Sent as link broadcast.
    Broadcast,
    /// Delivered to this host, sent as unicast.
    Anycast,
    /// Multicast.
    Multicast,
    /// Dropped in silence.
    Blackhole,
    /// Answered "host unreachable".
    Unreachable,
    /// Answered "administratively prohibited".
    Prohibit,
    /// The lookup goes on in the next table.
    Throw,
    /// Address translation, no longer served by any kernel.
    Nat,
}

impl RouteType {
    /// The first in order.
    pub const LOWEST: Self = Self::Unicast;

    /// Whether packets go on, or are taken here.
    pub const fn forwards(self) -> bool {
        !matches!(self, Self::Blackhole | Self::Unreachable | Self::Prohibit | Self::Throw)
    }

    /// All, in the kernel's order.
    pub const ALL: [Self; 10] = [
        Self::Unicast,
        Self::Local,
        Self::Broadcast,
        Self::Anycast,
        Self::Multicast,
        Self::Blackhole,
        Self::Unreachable,
        Self::Prohibit,
        Self::Throw,
        Self::Nat,
    ];

    /// The kernel's number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Unicast => 1,
            Self::Local => 2,
            Self::Broadcast => 3,
            Self::Anycast => 4,
            Self::Multicast => 5,
            Self::Blackhole => 6,
            Self::Unreachable => 7,
            Self::Prohibit => 8,
            Self::Throw => 9,
            Self::Nat => 10,
        }
    }

    /// The keyword.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Unicast => "unicast",
            Self::Local => "local",
            Self::Broadcast => "broadcast",
            Self::Anycast => "anycast",
            Self::Multicast => "multicast",
            Self::Blackhole => "blackhole",
            Self::Unreachable => "unreachable",
            Self::Prohibit => "prohibit",
            Self::Throw => "throw",
            Self::Nat => "nat",
        }
    }
}

/// `table`, `vrf`: a routing table.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum RouteTable {
    /// By number; never 0.
    Number(u32),
    /// The table of this VRF interface, known once the interface exists.
    OfVrf(InterfaceName),
}

impl RouteTable {
    /// `RT_TABLE_MAIN`.
    pub const MAIN: Self = Self::Number(254);
    /// `RT_TABLE_LOCAL`.
    pub const LOCAL: Self = Self::Number(255);
}

/// How a route is added beside routes to the same destination.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum RouteInsertion {
    /// `add`: an error when one is there (`NLM_F_EXCL`).
    Exclusive,
    /// `prepend`: before those that are there.
    #[default]
    Prepend,
    /// `append`: after those that are there.
    Append,
}

/// Where packets of a route go next.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum NextHops {
    /// Nowhere: blackhole and the like, or a route that names neither gateway nor interface.
    #[default]
    None,
    /// One way.
    One(NextHop),
    /// `nexthop …`, at least one: the kernel spreads flows over them by weight.
    Multipath(Vec<WeightedHop>),
}

impl NextHops {
    /// All ways.
    pub fn hops(&self) -> impl Iterator<Item = &NextHop> {
        let (one, several) = match self {
            Self::None => (None, &[][..]),
            Self::One(hop) => (Some(hop), &[][..]),
            Self::Multipath(hops) => (None, hops.as_slice()),
        };
        one.into_iter().chain(several.iter().map(|leg| &leg.hop))
    }

    /// Whether any way leads through a gateway.
    pub fn has_gateway(&self) -> bool {
        match self {
            Self::None => false,
            Self::One(hop) => hop.gateway.is_some(),
            Self::Multipath(hops) => hops.iter().any(|hop| hop.hop.gateway.is_some()),
        }
    }
}

/// One way: a gateway, an interface, or both.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct NextHop {
    /// `via`: of the route's family, or an IPv6 gateway of an IPv4 route.
    pub gateway: Option<IpAddr>,
    /// `dev`, `oif`.
    pub interface: Option<InterfaceName>,
    /// `onlink`: the gateway is reached on the interface though no prefix says so.
    pub on_link: bool,
    /// `encap`: packets are wrapped first.
    pub encapsulation: Option<Box<Encapsulation>>,
}

/// One leg of a multipath route.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct WeightedHop {
    /// The way.
    pub hop: NextHop,
    /// `weight` less one, as the kernel counts it: 0 to 255 for weights 1 to 256.
    pub weight_minus_one: u8,
    /// `realms` of this leg. IPv4 only.
    pub realms: Option<Realms>,
}

/// `realms [FROM/]TO`: numbers of `rt_realms`, for classifying traffic.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Realms {
    /// Source realm; 0 = unknown.
    pub from: u16,
    /// Destination realm.
    pub to: u16,
}

/// `encap`: a lightweight tunnel (`LWTUNNEL_ENCAP_*`).
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Encapsulation {
    /// `encap ip`.
    Ip(TunnelHeader<core::net::Ipv4Addr>),
    /// `encap ip6`.
    Ip6(TunnelHeader<core::net::Ipv6Addr>),
    /// `encap mpls L[/L…]`: labels of 20 bits, outermost first, at least one.
    Mpls(Vec<u32>),
    /// `encap ila LOCATOR`: the upper 64 bits of the address.
    Ila(u64),
}

/// What a lightweight IP tunnel writes into its outer header.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct TunnelHeader<A> {
    /// `id`: key of the tunnel.
    pub id: Option<u64>,
    /// `dst`.
    pub destination: Option<A>,
    /// `src`.
    pub source: Option<A>,
    /// `tos` or `tc`.
    pub tos: Option<u8>,
    /// `ttl` or `hoplimit`.
    pub ttl: Option<u8>,
    /// `flags`.
    pub flags: Option<u16>,
}

impl<A> Default for TunnelHeader<A> {
    fn default() -> Self {
        Self { id: None, destination: None, source: None, tos: None, ttl: None, flags: None }
    }
}

/// `RTAX_*`: a setting for connections over a route.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum RouteMetric {
    /// `mtu` in bytes.
    Mtu,
    /// `window`: clamp of the advertised window in bytes.
    Window,
    /// `rtt`: first estimate, in eighths of a millisecond.
    Rtt,
    /// `rttvar`: first estimate, in quarters of a millisecond.
    RttVariance,
    /// `ssthresh` in segments.
    SlowStartThreshold,
    /// `cwnd`: clamp of the congestion window in segments; meaningful only when locked.
    CongestionWindow,
    /// `advmss` in bytes.
    AdvertisedMss,
    /// `reordering` in segments.
    Reordering,
    /// `hoplimit`: 1 to 255.
    HopLimit,
    /// `initcwnd` in segments.
    InitialCongestionWindow,
    /// `features`: 1 = ECN.
    Features,
    /// `rto_min` in milliseconds.
    RetransmissionTimeoutMinimum,
    /// `initrwnd` in segments.
    InitialReceiveWindow,
    /// `quickack`: 0 or 1.
    QuickAck,
    /// `fastopen_no_cookie`: 0 or 1.
    FastOpenNoCookie,
}

impl RouteMetric {
    /// All, in the kernel's order.
    pub const ALL: [Self; 15] = [
        Self::Mtu,
        Self::Window,
        Self::Rtt,
        Self::RttVariance,
        Self::SlowStartThreshold,
        Self::CongestionWindow,
        Self::AdvertisedMss,
        Self::Reordering,
        Self::HopLimit,
        Self::InitialCongestionWindow,
        Self::Features,
        Self::RetransmissionTimeoutMinimum,
        Self::InitialReceiveWindow,
        Self::QuickAck,
        Self::FastOpenNoCookie,
    ];

    /// The kernel's number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Mtu => 2,
            Self::Window => 3,
            Self::Rtt => 4,
            Self::RttVariance => 5,
            Self::SlowStartThreshold => 6,
            Self::CongestionWindow => 7,
            Self::AdvertisedMss => 8,
            Self::Reordering => 9,
            Self::HopLimit => 10,
            Self::InitialCongestionWindow => 11,
            Self::Features => 12,
            Self::RetransmissionTimeoutMinimum => 13,
            Self::InitialReceiveWindow => 14,
            Self::QuickAck => 15,
            Self::FastOpenNoCookie => 17,
        }
    }

    /// The keyword.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Mtu => "mtu",
            Self::Window => "window",
            Self::Rtt => "rtt",
            Self::RttVariance => "rttvar",
            Self::SlowStartThreshold => "ssthresh",
            Self::CongestionWindow => "cwnd",
            Self::AdvertisedMss => "advmss",
            Self::Reordering => "reordering",
            Self::HopLimit => "hoplimit",
            Self::InitialCongestionWindow => "initcwnd",
            Self::Features => "features",
            Self::RetransmissionTimeoutMinimum => "rto_min",
            Self::InitialReceiveWindow => "initrwnd",
            Self::QuickAck => "quickack",
            Self::FastOpenNoCookie => "fastopen_no_cookie",
        }
    }

    /// Whether the keyword takes `lock`.
    pub const fn lockable(self) -> bool {
        matches!(
            self,
            Self::Mtu
                | Self::Rtt
                | Self::RttVariance
                | Self::SlowStartThreshold
                | Self::CongestionWindow
                | Self::AdvertisedMss
                | Self::Reordering
                | Self::RetransmissionTimeoutMinimum
        )
    }
}

/// Value of a [`RouteMetric`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct MetricValue {
    /// In the metric's own unit.
    pub value: u32,
    /// `lock`: the kernel does not change it by what it learns.
    pub locked: bool,
}

/// `congctl`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct CongestionControl {
    /// Name of the algorithm, at most 15 bytes.
    pub name: Arc<str>,
    /// `lock`.
    pub locked: bool,
}

/// `pref`: preference of a default router (RFC 4191 §2.1).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum RouterPreference {
    /// `low`.
    Low,
    /// `medium`.
    Medium,
    /// `high`.
    High,
}
