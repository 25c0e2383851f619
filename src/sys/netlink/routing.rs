//! Adding and removing routes and rules: [`RoutingOperation`]s as requests, refusals as outcomes.
//!
//! The requests are written here and not by `netlink-packet-route`, which lacks some of what a route may say (`encap ila`,
//! the flags of tunnels), and what is told to Linux shall be the same that is read from it.

use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};

use super::encode::Attributes;
use super::transport::RawMessage;
use super::{Acknowledge, Batch, RouteSocket};
use crate::kernel::{
    Encapsulation, KernelError, NextHop, NextHops, Realms, Route, RouteInsertion, RouteKey, RouterPreference,
    RoutingKey, RoutingObject, RoutingOperation, RoutingOutcome, Rule, RuleAction, RuleKey, TunnelHeader,
    Verb,
};
use crate::net::{Family, InterfaceIndex, Prefix};

pub(super) const RTA_DST: u16 = 1;
pub(super) const RTA_SRC: u16 = 2;
pub(super) const RTA_OIF: u16 = 4;
pub(super) const RTA_GATEWAY: u16 = 5;
pub(super) const RTA_PRIORITY: u16 = 6;
pub(super) const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
pub(super) const RTA_MULTIPATH: u16 = 9;
const RTA_FLOW: u16 = 11;
pub(super) const RTA_TABLE: u16 = 15;
pub(super) const RTA_VIA: u16 = 18;
const RTA_PREF: u16 = 20;
const RTA_ENCAP_TYPE: u16 = 21;
const RTA_ENCAP: u16 = 22;
const RTA_EXPIRES: u16 = 23;
const RTA_TTL_PROPAGATE: u16 = 26;
const RTAX_LOCK: u16 = 1;
const RTAX_CC_ALGO: u16 = 16;
const RTNH_F_ONLINK: u8 = 4;
const RT_SCOPE_NOWHERE: u8 = 255;

pub(super) const FRA_DST: u16 = 1;
pub(super) const FRA_SRC: u16 = 2;
pub(super) const FRA_IIFNAME: u16 = 3;
pub(super) const FRA_GOTO: u16 = 4;
pub(super) const FRA_PRIORITY: u16 = 6;
pub(super) const FRA_FWMARK: u16 = 10;
pub(super) const FRA_FLOW: u16 = 11;
pub(super) const FRA_TUN_ID: u16 = 12;
pub(super) const FRA_SUPPRESS_IFGROUP: u16 = 13;
pub(super) const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
pub(super) const FRA_TABLE: u16 = 15;
pub(super) const FRA_FWMASK: u16 = 16;
pub(super) const FRA_OIFNAME: u16 = 17;
pub(super) const FRA_L3MDEV: u16 = 19;
pub(super) const FRA_UID_RANGE: u16 = 20;
pub(super) const FRA_PROTOCOL: u16 = 21;
pub(super) const FRA_IP_PROTO: u16 = 22;
pub(super) const FRA_SPORT_RANGE: u16 = 23;
pub(super) const FRA_DPORT_RANGE: u16 = 24;
pub(super) const FIB_RULE_INVERT: u32 = 2;
pub(super) const FR_ACT_TO_TBL: u8 = 1;
pub(super) const FR_ACT_GOTO: u8 = 2;
pub(super) const FR_ACT_NOP: u8 = 3;
pub(super) const FR_ACT_BLACKHOLE: u8 = 6;
pub(super) const FR_ACT_UNREACHABLE: u8 = 7;
pub(super) const FR_ACT_PROHIBIT: u8 = 8;

/// Carries out the operations in order, in one system call, and gives one outcome for each. What is there already when
/// it is added, or gone already when it is removed, is a success.
pub fn apply_routing(socket: &mut RouteSocket, operations: &[RoutingOperation]) -> Vec<RoutingOutcome> {
    let mut batch = Batch::default();
    let mut sent = Vec::new();
    for (position, operation) in operations.iter().enumerate() {
        if let Some((kind, body, flags)) = request(operation) {
            batch.push(RawMessage { kind, body: &body }, flags);
            sent.push(position);
        }
    }
    let mut outcomes: Vec<RoutingOutcome> =
        operations.iter().map(|operation| RoutingOutcome::of(operation, None)).collect();
    match socket.send(batch, Acknowledge::Last) {
        Ok(results) => {
            for (position, result) in sent.into_iter().zip(results) {
                let operation = &operations[position];
                outcomes[position].error = match result {
                    Err(error) if error.errno == libc::EEXIST && lacks_legs(operation) => {
                        renew(socket, operation)
                    }
                    result => refusal(operation, result),
                };
            }
        }
        // What was carried out of it is not known; the kernel's notifications tell.
        Err(error) => sent.into_iter().for_each(|position| outcomes[position].error = Some(error.clone())),
    }
    outcomes
}

/// Of the ways of an IPv6 route the kernel takes none if it has one of them already, and keeps the others out.
fn lacks_legs(operation: &RoutingOperation) -> bool {
    let RoutingObject::Route(route, _) = &operation.object else { return false };
    operation.verb == Verb::Add
        && route.family == Family::Ipv6
        && matches!(route.next, NextHops::Multipath(_))
        && route.insertion != RouteInsertion::Exclusive
}

fn renew(socket: &mut RouteSocket, operation: &RoutingOperation) -> Option<KernelError> {
    let mut batch = Batch::default();
    for verb in [Verb::Remove, Verb::Add] {
        let (kind, body, flags) = request(&RoutingOperation { verb, ..operation.clone() })?;
        batch.push(RawMessage { kind, body: &body }, flags);
    }
    match socket.send(batch, Acknowledge::Last) {
        Ok(results) => results.into_iter().next_back().and_then(Result::err),
        Err(error) => Some(error),
    }
}

fn refusal(operation: &RoutingOperation, result: Result<(), KernelError>) -> Option<KernelError> {
    let error = result.err()?;
    let done_already = match (operation.verb, &operation.object) {
        // It may be somebody else's.
        (Verb::Add, RoutingObject::Route(route, _)) if route.insertion == RouteInsertion::Exclusive => false,
        (Verb::Add, _) => error.errno == libc::EEXIST,
        (Verb::Remove, RoutingObject::Route(..)) => {
            matches!(error.errno, libc::ESRCH | libc::ENODEV | libc::ENETDOWN | libc::ENETUNREACH)
        }
        (Verb::Remove, RoutingObject::Rule(_)) => matches!(error.errno, libc::ENOENT | libc::ESRCH),
    };
    (!done_already).then_some(error)
}

/// The request: its type, its body and its flags. `None` for the removal of what cannot be there.
fn request(operation: &RoutingOperation) -> Option<(u16, Vec<u8>, u16)> {
    match (operation.verb, &operation.object, operation.key) {
        (Verb::Add, RoutingObject::Route(route, legs), RoutingKey::Route(key)) => {
            let insertion = match route.insertion {
                RouteInsertion::Exclusive => NLM_F_EXCL,
                RouteInsertion::Prepend => 0,
                RouteInsertion::Append => NLM_F_APPEND,
            };
            Some((libc::RTM_NEWROUTE, new_route(route, key, legs), NLM_F_CREATE | insertion))
        }
        (Verb::Remove, RoutingObject::Route(route, legs), RoutingKey::Route(key)) => {
            Some((libc::RTM_DELROUTE, old_route(route, key, legs)?, 0))
        }
        (Verb::Add, RoutingObject::Rule(rule), RoutingKey::Rule(key)) => {
            Some((libc::RTM_NEWRULE, rule_body(rule, key), NLM_F_CREATE | NLM_F_EXCL))
        }
        (Verb::Remove, RoutingObject::Rule(rule), RoutingKey::Rule(key)) => {
            Some((libc::RTM_DELRULE, rule_body(rule, key), 0))
        }
        _ => None,
    }
}

/// `struct rtmsg` and what adding and removing have in common.
fn route_head(route: &Route, key: RouteKey, scope: u8, flags: u32) -> Attributes {
    let place = key.place;
    let mut head = vec![
        family_number(route.family),
        place.destination.length(),
        place.source.map_or(0, |source| source.length()),
        place.tos,
        u8::try_from(place.table).unwrap_or(0),
        route.protocol,
        scope,
        route.kind.number(),
    ];
    head.extend(flags.to_ne_bytes());
    let mut attributes = Attributes::after(head);
    attributes.number(RTA_TABLE, place.table);
    put_prefix(&mut attributes, RTA_DST, Some(place.destination));
    put_prefix(&mut attributes, RTA_SRC, place.source);
    if let Some(metric) = route.metric {
        attributes.number(RTA_PRIORITY, metric);
    }
    put_address(&mut attributes, RTA_PREFSRC, route.preferred_source);
    attributes
}

fn new_route(route: &Route, key: RouteKey, legs: &[Option<InterfaceIndex>]) -> Vec<u8> {
    let leg = |position: usize| legs.get(position).copied().flatten();
    let flags = match &route.next {
        NextHops::One(hop) if hop.on_link => u32::from(RTNH_F_ONLINK),
        _ => 0,
    };
    let mut attributes = route_head(route, key, route.effective_scope(), flags);
    match &route.next {
        NextHops::None => {}
        NextHops::One(hop) => put_hop(&mut attributes, route.family, hop, leg(0), None, true),
        NextHops::Multipath(_) => put_legs(&mut attributes, route, legs, true),
    }
    if let Some(realms) = route.realms {
        put_realms(&mut attributes, RTA_FLOW, realms);
    }
    if !route.metrics.is_empty() || route.congestion_control.is_some() {
        attributes.nest(RTA_METRICS, |nested| put_metrics(nested, route));
    }
    if let Some(expires) = route.expires_s {
        attributes.number(RTA_EXPIRES, expires);
    }
    if let Some(preference) = route.preference {
        let number = match preference {
            RouterPreference::Medium => 0,
            RouterPreference::High => 1,
            RouterPreference::Low => 3,
        };
        attributes.put(RTA_PREF, &[number]);
    }
    if let Some(propagate) = route.ttl_propagate {
        attributes.put(RTA_TTL_PROPAGATE, &[u8::from(propagate)]);
    }
    attributes.into_bytes()
}

/// As far as it tells the route from others. What leads through an interface that is gone is gone too.
fn old_route(route: &Route, key: RouteKey, legs: &[Option<InterfaceIndex>]) -> Option<Vec<u8>> {
    let mut attributes = route_head(route, key, RT_SCOPE_NOWHERE, 0);
    match &route.next {
        NextHops::None => {}
        NextHops::One(hop) => {
            let leg = legs.first().copied().flatten();
            if hop.interface.is_some() && leg.is_none() {
                return None;
            }
            put_hop(&mut attributes, route.family, hop, leg, None, false);
        }
        NextHops::Multipath(hops) => {
            let known =
                |(hop, leg): (&NextHop, &Option<InterfaceIndex>)| hop.interface.is_none() || leg.is_some();
            if !hops.iter().map(|weighted| &weighted.hop).zip(legs).any(known) {
                return None;
            }
            put_legs(&mut attributes, route, legs, false);
        }
    }
    Some(attributes.into_bytes())
}

/// `struct rtnexthop` after `struct rtnexthop`, without those whose interface is gone.
fn put_legs(attributes: &mut Attributes, route: &Route, legs: &[Option<InterfaceIndex>], adding: bool) {
    let NextHops::Multipath(hops) = &route.next else { return };
    let mut bytes = Vec::new();
    for (position, weighted) in hops.iter().enumerate() {
        let hop = &weighted.hop;
        let leg = legs.get(position).copied().flatten();
        if hop.interface.is_some() && leg.is_none() && !adding {
            continue;
        }
        let mut nested = Attributes::default();
        put_hop(&mut nested, route.family, hop, None, weighted.realms, adding);
        let nested = nested.into_bytes();
        const HEADER: usize = 8;
        let length = u16::try_from(HEADER + nested.len()).unwrap_or(u16::MAX);
        bytes.extend(length.to_ne_bytes());
        bytes.push(if hop.on_link && adding { RTNH_F_ONLINK } else { 0 });
        bytes.push(weighted.weight_minus_one);
        bytes.extend(leg.map_or(0, InterfaceIndex::get).to_ne_bytes());
        bytes.extend(nested);
    }
    attributes.put(RTA_MULTIPATH, &bytes);
}

/// A way; its interface where that is an attribute.
fn put_hop(
    attributes: &mut Attributes,
    family: Family,
    hop: &NextHop,
    link: Option<InterfaceIndex>,
    realms: Option<Realms>,
    adding: bool,
) {
    match hop.gateway {
        Some(gateway) if Family::of(&gateway) == family => {
            put_address(attributes, RTA_GATEWAY, Some(gateway))
        }
        Some(gateway) => {
            let mut via = u16::from(family_number(Family::of(&gateway))).to_ne_bytes().to_vec();
            via.extend(octets(gateway));
            attributes.put(RTA_VIA, &via);
        }
        None => {}
    }
    if let Some(link) = link {
        attributes.number(RTA_OIF, link.get());
    }
    if let Some(realms) = realms.filter(|_| adding) {
        put_realms(attributes, RTA_FLOW, realms);
    }
    if let Some(encapsulation) = hop.encapsulation.as_deref().filter(|_| adding) {
        put_encapsulation(attributes, encapsulation);
    }
}

fn put_encapsulation(attributes: &mut Attributes, encapsulation: &Encapsulation) {
    const MPLS: u16 = 1;
    const IP: u16 = 2;
    const ILA: u16 = 3;
    const IP6: u16 = 4;
    let (kind, content) = match encapsulation {
        Encapsulation::Mpls(labels) => {
            let last = labels.len().saturating_sub(1);
            let entries = labels.iter().enumerate().flat_map(|(at, label)| {
                let bottom = u32::from(at == last);
                ((label << 12) | (bottom << 8)).to_be_bytes()
            });
            let mut content = Attributes::default();
            content.put(1, &entries.collect::<Vec<u8>>());
            (MPLS, content)
        }
        Encapsulation::Ip(header) => (IP, tunnel(header)),
        Encapsulation::Ip6(header) => (IP6, tunnel(header)),
        Encapsulation::Ila(locator) => {
            let mut content = Attributes::default();
            content.put(1, &locator.to_be_bytes());
            (ILA, content)
        }
    };
    attributes.put(RTA_ENCAP_TYPE, &kind.to_ne_bytes());
    attributes.nest(RTA_ENCAP, |nested| *nested = content);
}

/// `LWTUNNEL_IP_*`, which has the numbers of `LWTUNNEL_IP6_*`.
fn tunnel<A: Copy + Into<IpAddr>>(header: &TunnelHeader<A>) -> Attributes {
    let TunnelHeader { id, destination, source, tos, ttl, flags } = header;
    let mut content = Attributes::default();
    if let Some(id) = id {
        content.put(1, &id.to_be_bytes());
    }
    put_address(&mut content, 2, destination.map(Into::into));
    put_address(&mut content, 3, source.map(Into::into));
    if let Some(ttl) = ttl {
        content.put(4, &[*ttl]);
    }
    if let Some(tos) = tos {
        content.put(5, &[*tos]);
    }
    if let Some(flags) = flags {
        content.put(6, &flags.to_be_bytes());
    }
    content
}

fn put_metrics(nested: &mut Attributes, route: &Route) {
    let mut locks = 0;
    for (metric, value) in &route.metrics {
        nested.number(u16::from(metric.number()), value.value);
        if value.locked {
            locks |= 1 << metric.number();
        }
    }
    if let Some(congestion_control) = &route.congestion_control {
        nested.put(RTAX_CC_ALGO, congestion_control.name.as_bytes());
        if congestion_control.locked {
            locks |= 1 << RTAX_CC_ALGO;
        }
    }
    if locks != 0 {
        nested.number(RTAX_LOCK, locks);
    }
}

/// `struct fib_rule_hdr` and everything that a rule says: it is added and removed by the same.
fn rule_body(rule: &Rule, key: RuleKey) -> Vec<u8> {
    let network = |prefix: Option<Prefix>| prefix.filter(|prefix| prefix.length() > 0);
    let (from, to) = (network(rule.from), network(rule.to));
    let action = match rule.action {
        RuleAction::Lookup(_) | RuleAction::LookupVrf => FR_ACT_TO_TBL,
        RuleAction::GoTo(_) => FR_ACT_GOTO,
        RuleAction::Nop => FR_ACT_NOP,
        RuleAction::Blackhole => FR_ACT_BLACKHOLE,
        RuleAction::Unreachable => FR_ACT_UNREACHABLE,
        RuleAction::Prohibit => FR_ACT_PROHIBIT,
    };
    let mut head = vec![
        family_number(rule.family),
        to.map_or(0, |to| to.length()),
        from.map_or(0, |from| from.length()),
        rule.tos,
        u8::try_from(key.table).unwrap_or(0),
        0,
        0,
        action,
    ];
    head.extend(if rule.invert { FIB_RULE_INVERT } else { 0 }.to_ne_bytes());
    let mut attributes = Attributes::after(head);
    if key.table != 0 {
        attributes.number(FRA_TABLE, key.table);
    }
    put_prefix(&mut attributes, FRA_SRC, from);
    put_prefix(&mut attributes, FRA_DST, to);
    if let Some(priority) = rule.priority {
        attributes.number(FRA_PRIORITY, priority);
    }
    if let Some(mark) = rule.mark {
        attributes.number(FRA_FWMARK, mark.mark).number(FRA_FWMASK, mark.mask);
    }
    if let Some(realms) = rule.realms {
        put_realms(&mut attributes, FRA_FLOW, realms);
    }
    for (kind, name) in [(FRA_IIFNAME, &rule.input), (FRA_OIFNAME, &rule.output)] {
        if let Some(name) = name {
            attributes.text(kind, name.as_str());
        }
    }
    if let Some(length) = rule.suppress_prefix_length {
        attributes.number(FRA_SUPPRESS_PREFIXLEN, length.into());
    }
    if let Some(group) = rule.suppress_interface_group {
        attributes.number(FRA_SUPPRESS_IFGROUP, group);
    }
    if let Some(id) = rule.tunnel_id {
        attributes.put(FRA_TUN_ID, &id.to_be_bytes());
    }
    if let Some(users) = rule.users {
        let range = [users.first().to_ne_bytes(), users.last().to_ne_bytes()].concat();
        attributes.put(FRA_UID_RANGE, &range);
    }
    attributes.put(FRA_PROTOCOL, &[rule.protocol]);
    if let Some(protocol) = rule.ip_protocol {
        attributes.put(FRA_IP_PROTO, &[protocol]);
    }
    for (kind, ports) in [(FRA_SPORT_RANGE, rule.source_ports), (FRA_DPORT_RANGE, rule.destination_ports)] {
        if let Some(ports) = ports {
            attributes.put(kind, &[ports.first().to_ne_bytes(), ports.last().to_ne_bytes()].concat());
        }
    }
    match rule.action {
        RuleAction::LookupVrf => _ = attributes.put(FRA_L3MDEV, &[1]),
        RuleAction::GoTo(target) => _ = attributes.number(FRA_GOTO, target),
        _ => {}
    }
    attributes.into_bytes()
}

fn put_prefix(attributes: &mut Attributes, kind: u16, prefix: Option<Prefix>) {
    if let Some(prefix) = prefix.filter(|prefix| prefix.length() > 0) {
        put_address(attributes, kind, Some(prefix.network()));
    }
}

fn put_address(attributes: &mut Attributes, kind: u16, address: Option<IpAddr>) {
    if let Some(address) = address {
        attributes.put(kind, &octets(address));
    }
}

fn put_realms(attributes: &mut Attributes, kind: u16, realms: Realms) {
    attributes.number(kind, (u32::from(realms.from) << 16) | u32::from(realms.to));
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => Ipv4Addr::octets(&address).to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

pub(super) const fn family_number(family: Family) -> u8 {
    match family {
        Family::Ipv4 => libc::AF_INET as u8,
        Family::Ipv6 => libc::AF_INET6 as u8,
    }
}
