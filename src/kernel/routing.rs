//! Routes and rules as the kernel holds them, and what is asked of it.
//!
//! A route of ours and the one that the kernel tells of are not equal: the kernel adds what it has worked out, such as
//! the interface of a gateway. So a [`RouteKey`] says what it is to be recognised by. A rule comes back as it was sent.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    KernelError, MarkMatch, NextHop, NextHops, Requester, Route, RouteTable, RouteType, Rule, RuleAction,
    Verb, WeightedHop,
};
use crate::net::{Family, InterfaceIndex, Prefix};

/// Metric of an IPv6 route that names none (`IP6_RT_PRIO_USER`).
const IPV6_METRIC: u32 = 1024;

/// What Linux sorts routes by: several may be in one place, which differ in their ways.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct RoutePlace {
    /// Number of the table.
    pub table: u32,
    /// Destination, without host bits.
    pub destination: Prefix,
    /// Source, without host bits. IPv6 only.
    pub source: Option<Prefix>,
    /// Type of service.
    pub tos: u8,
    /// Metric, as the kernel has it.
    pub metric: u32,
}

/// What tells a route of ours from all others.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct RouteKey {
    /// Where it is.
    pub place: RoutePlace,
    /// What becomes of packets.
    pub kind: RouteType,
    /// Who made it: our mark, or that of the configuration.
    pub protocol: u8,
    /// The interface of a single way, if it names one.
    pub link: Option<InterfaceIndex>,
    /// How many ways there are.
    hops: u8,
    /// Digest of the ways and the preferred source.
    ways: u64,
}

impl RouteKey {
    /// The lowest in a place.
    pub const fn lowest(place: RoutePlace) -> Self {
        Self { place, kind: RouteType::LOWEST, protocol: 0, link: None, hops: 0, ways: 0 }
    }

    /// Of `route` in the table of this number. `legs` are the interfaces of its ways, in order.
    pub fn of(route: &Route, table: u32, legs: &[Option<InterfaceIndex>]) -> Self {
        let metric = match (route.metric.unwrap_or(0), route.family) {
            (0, Family::Ipv6) => IPV6_METRIC,
            (metric, _) => metric,
        };
        let place = RoutePlace {
            table,
            destination: without_host_bits(route.destination),
            source: route.source.map(without_host_bits).filter(|source| source.length() > 0),
            tos: route.tos,
            metric,
        };
        let leg = |position: usize| legs.get(position).copied().flatten();
        let ways: Vec<Way> = match &route.next {
            NextHops::None => Vec::new(),
            NextHops::One(hop) => vec![Way::of(hop.gateway, leg(0), 0)],
            NextHops::Multipath(hops) => hops
                .iter()
                .enumerate()
                .map(|(at, weighted)| Way::of(weighted.hop.gateway, leg(at), weighted.weight_minus_one))
                .collect(),
        };
        Self {
            place,
            kind: route.kind,
            protocol: route.protocol,
            link: if ways.len() == 1 { leg(0) } else { None },
            hops: u8::try_from(ways.len()).unwrap_or(u8::MAX),
            ways: digest(&(route.preferred_source, ways)),
        }
    }

    /// Whether the kernel speaks of this route.
    pub fn is(&self, held: &HeldRoute) -> bool {
        let HeldRoute { place, kind, protocol, preferred_source, ways } = held;
        if (*place, *kind, *protocol) != (self.place, self.kind, self.protocol) {
            return false;
        }
        // To what it drops, IPv6 says the loopback interface.
        if self.hops == 0 && !kind.forwards() {
            return true;
        }
        let link_fits = self.link.is_none() || ways.len() == 1 && ways[0].link == self.link;
        let ways: Vec<Way> = ways.iter().map(HeldWay::way).collect();
        usize::from(self.hops) == ways.len() && link_fits && self.ways == digest(&(*preferred_source, ways))
    }

    /// Whether the kernel may speak of one way of this route alone: of those of an IPv6 route it tells, as it removes
    /// them, one by one.
    pub fn may_be_part(&self, held: &HeldRoute) -> bool {
        self.place.destination.family() == Family::Ipv6
            && (held.place, held.kind, held.protocol) == (self.place, self.kind, self.protocol)
            && held.ways.len() < usize::from(self.hops)
    }
}

/// A way, as far as it tells routes apart.
#[derive(Hash)]
struct Way {
    gateway: Option<IpAddr>,
    /// Of one without gateway: with one, the kernel works it out where none is given.
    link: Option<InterfaceIndex>,
    weight_minus_one: u8,
}

impl Way {
    fn of(gateway: Option<IpAddr>, link: Option<InterfaceIndex>, weight_minus_one: u8) -> Self {
        Self { gateway, link: link.filter(|_| gateway.is_none()), weight_minus_one }
    }
}

/// A route that the kernel holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HeldRoute {
    /// Where it is.
    pub place: RoutePlace,
    /// What becomes of packets.
    pub kind: RouteType,
    /// Who made it.
    pub protocol: u8,
    /// Preferred source.
    pub preferred_source: Option<IpAddr>,
    /// Where packets go next.
    pub ways: Vec<HeldWay>,
}

impl HeldRoute {
    /// As one to be asked for, with the interfaces of its ways: what it takes to remove it.
    pub fn to_route(&self) -> (Route, Vec<Option<InterfaceIndex>>) {
        let RoutePlace { table, destination, source, tos, metric } = self.place;
        let mut route = Route::new(destination);
        (route.source, route.tos, route.metric) = (source, tos, Some(metric));
        (route.kind, route.protocol) = (self.kind, self.protocol);
        (route.table, route.preferred_source) = (RouteTable::Number(table), self.preferred_source);
        let ways = if self.kind.forwards() { self.ways.as_slice() } else { &[] };
        let hop = |way: &HeldWay| NextHop { gateway: way.gateway, ..NextHop::default() };
        route.next = match ways {
            [] => NextHops::None,
            [way] => NextHops::One(hop(way)),
            ways => {
                let leg = |way: &HeldWay| WeightedHop {
                    hop: hop(way),
                    weight_minus_one: way.weight_minus_one,
                    realms: None,
                };
                NextHops::Multipath(ways.iter().map(leg).collect())
            }
        };
        (route, ways.iter().map(|way| way.link).collect())
    }

    /// Whether a way leads through the interface.
    pub fn leads_through(&self, link: InterfaceIndex) -> bool {
        self.ways.iter().any(|way| way.link == Some(link))
    }
}

/// One way of a route that the kernel holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HeldWay {
    /// The gateway.
    pub gateway: Option<IpAddr>,
    /// The interface.
    pub link: Option<InterfaceIndex>,
    /// Weight less one.
    pub weight_minus_one: u8,
}

impl HeldWay {
    fn way(&self) -> Way {
        Way::of(self.gateway, self.link, self.weight_minus_one)
    }
}

/// What tells a rule of ours from all others.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct RuleKey {
    /// Which of the two lists.
    pub family: Family,
    /// Its place in the list; 0 if the kernel gives one.
    pub priority: u32,
    /// Who made it.
    pub protocol: u8,
    /// Table to look up; 0 for none.
    pub table: u32,
    /// Digest of everything else.
    rest: u64,
}

impl RuleKey {
    /// Of `rule`, which looks up the table of this number if it looks up any.
    pub fn of(rule: &Rule, table: u32) -> Self {
        let mut rest = rule.clone();
        let some =
            |prefix: Option<Prefix>| prefix.map(without_host_bits).filter(|prefix| prefix.length() > 0);
        (rest.from, rest.to) = (some(rest.from), some(rest.to));
        rest.mark = rest.mark.map(|mark| MarkMatch { mark: mark.mark & mark.mask, ..mark });
        if let RuleAction::Lookup(_) = rest.action {
            rest.action = RuleAction::Lookup(RouteTable::Number(table));
        }
        Self {
            family: rule.family,
            priority: rule.priority.unwrap_or(0),
            protocol: rule.protocol,
            table,
            rest: digest(&rest),
        }
    }

    /// In words for another process of this program.
    pub(crate) fn to_text(self) -> String {
        let Self { family, priority, protocol, table, rest } = self;
        let version = match family {
            Family::Ipv4 => 4,
            Family::Ipv6 => 6,
        };
        format!("{version} {priority} {protocol} {table} {rest}")
    }

    /// From these words.
    pub(crate) fn from_text(words: &[&str]) -> Option<Self> {
        let &[version, priority, protocol, table, rest] = words else { return None };
        Some(Self {
            family: if version == "4" { Family::Ipv4 } else { Family::Ipv6 },
            priority: priority.parse().ok()?,
            protocol: protocol.parse().ok()?,
            table: table.parse().ok()?,
            rest: rest.parse().ok()?,
        })
    }

    /// Of a rule that the kernel tells of.
    pub fn of_held(rule: &Rule) -> Self {
        let table = match rule.action {
            RuleAction::Lookup(RouteTable::Number(table)) => table,
            _ => 0,
        };
        Self::of(rule, table)
    }
}

/// What tells a route or a rule of ours from all others.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum RoutingKey {
    /// A route.
    Route(RouteKey),
    /// A rule.
    Rule(RuleKey),
}

/// A route or a rule with everything the kernel is told when it is added.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum RoutingObject {
    /// A route, and the interfaces of its ways in order, as far as it names them and they are known.
    Route(Arc<Route>, Arc<[Option<InterfaceIndex>]>),
    /// A rule.
    Rule(Arc<Rule>),
}

impl fmt::Display for RoutingObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(route, _) => write!(f, "route {route}"),
            Self::Rule(rule) => write!(f, "rule {rule}"),
        }
    }
}

/// One change of one route or rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RoutingOperation {
    /// Add or remove.
    pub verb: Verb,
    /// Which.
    pub key: RoutingKey,
    /// The object.
    pub object: RoutingObject,
}

/// Changes of routes and rules for one requester, to be carried out in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RoutingRequest {
    /// Who wants them.
    pub requester: Requester,
    /// The changes, in order.
    pub operations: Vec<RoutingOperation>,
}

/// What became of one operation.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RoutingOutcome {
    /// Add or remove.
    pub verb: Verb,
    /// Which route or rule.
    pub key: RoutingKey,
    /// The kernel's refusal, if it refused.
    pub error: Option<KernelError>,
}

impl RoutingOutcome {
    /// What became of `operation`.
    pub const fn of(operation: &RoutingOperation, error: Option<KernelError>) -> Self {
        Self { verb: operation.verb, key: operation.key, error }
    }
}

/// The kernel's answer to a chunk of a requester's operations, in their order.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RoutingReply {
    /// Who asked.
    pub requester: Requester,
    /// One outcome for each operation of the chunk.
    pub outcomes: Vec<RoutingOutcome>,
}

fn without_host_bits(prefix: Prefix) -> Prefix {
    Prefix::new(prefix.network(), prefix.length()).unwrap_or(prefix)
}

/// FNV-1a of 64 bits: the same in every run.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn digest(value: &impl Hash) -> u64 {
    let mut fnv = Fnv(0xcbf2_9ce4_8422_2325);
    value.hash(&mut fnv);
    fnv.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str, length: u8) -> Prefix {
        Prefix::new(text.parse().unwrap(), length).unwrap()
    }

    fn held(route: &Route, link: u32) -> HeldRoute {
        let key = RouteKey::of(route, 254, &[]);
        let ways = match &route.next {
            NextHops::None => Vec::new(),
            NextHops::One(hop) => vec![(hop.gateway, 0)],
            NextHops::Multipath(hops) => {
                hops.iter().map(|leg| (leg.hop.gateway, leg.weight_minus_one)).collect()
            }
        };
        let link = InterfaceIndex::new(link);
        let way = |(gateway, weight_minus_one)| HeldWay { gateway, link, weight_minus_one };
        HeldRoute {
            place: key.place,
            kind: key.kind,
            protocol: key.protocol,
            preferred_source: route.preferred_source,
            ways: ways.into_iter().map(way).collect(),
        }
    }

    #[test]
    fn a_route_is_recognised_also_where_the_kernel_says_more() {
        let mut route = Route::new(prefix("10.0.0.9", 8));
        let hop = NextHop { gateway: Some([192, 0, 2, 9].into()), ..NextHop::default() };
        route.next = NextHops::One(hop.clone());
        let open = RouteKey::of(&route, 254, &[None]);
        let bound = RouteKey::of(&route, 254, &[InterfaceIndex::new(3)]);
        assert_eq!(open.place.destination, prefix("10.0.0.0", 8));
        assert!(open.is(&held(&route, 3)) && open.is(&held(&route, 4)));
        assert!(bound.is(&held(&route, 3)) && !bound.is(&held(&route, 4)));
        let other = HeldRoute { protocol: 4, ..held(&route, 3) };
        assert!(!open.is(&other));
        let mut elsewhere = route.clone();
        elsewhere.next = NextHops::One(NextHop { gateway: Some([192, 0, 2, 8].into()), ..hop });
        assert!(!open.is(&held(&elsewhere, 3)));
    }

    #[test]
    fn one_way_of_several_is_a_part() {
        let mut route = Route::new(prefix("2001:db8:1::", 48));
        let leg = |last: u16| WeightedHop {
            hop: NextHop { gateway: Some([0xfe80, 0, 0, 0, 0, 0, 0, last].into()), ..NextHop::default() },
            weight_minus_one: 0,
            realms: None,
        };
        route.next = NextHops::Multipath(vec![leg(1), leg(2)]);
        let key = RouteKey::of(&route, 254, &[None, None]);
        assert_eq!(key.place.metric, IPV6_METRIC);
        let whole = held(&route, 3);
        assert!(key.is(&whole) && !key.may_be_part(&whole));
        let part = HeldRoute { ways: whole.ways[..1].to_vec(), ..whole };
        assert!(!key.is(&part) && key.may_be_part(&part));
    }

    #[test]
    fn what_a_rule_does_not_say_does_not_count() {
        let mut rule = Rule::new(Family::Ipv4);
        rule.priority = Some(7);
        let key = RuleKey::of(&rule, 254);
        rule.from = Some(prefix("0.0.0.0", 0));
        assert_eq!(RuleKey::of_held(&rule), key);
        rule.from = Some(prefix("10.0.0.0", 8));
        assert_ne!(RuleKey::of_held(&rule), key);
    }
}
