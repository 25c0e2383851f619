//! Routes and rules made up for the test that what is printed is read again.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::line::NamedInterfaces;
use super::route_hop::{sample_hop, sample_leg};
use super::{RouteLine, RuleLine};
use crate::kernel::{
    CongestionControl, IdRange, MarkMatch, MetricValue, NextHop, NextHops, Realms, Route, RouteInsertion,
    RouteMetric, RouteTable, RouteType, RouterPreference, Rule, RuleAction,
};
use crate::net::{Family, Prefix};
use crate::prng::Prng;

fn prefix(random: &mut Prng, family: Family) -> Prefix {
    match family {
        Family::Ipv4 => {
            let address = Ipv4Addr::from_bits(0x0a00_0000 + random.below(1 << 24) as u32);
            Prefix::new(IpAddr::V4(address), random.below(33) as u8).unwrap()
        }
        Family::Ipv6 => {
            let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(random.below(u64::MAX)));
            Prefix::new(IpAddr::V6(address), random.below(129) as u8).unwrap()
        }
    }
}

fn family(random: &mut Prng) -> Family {
    if random.chance(1, 2) { Family::Ipv4 } else { Family::Ipv6 }
}

fn metric(random: &mut Prng, metric: RouteMetric) -> MetricValue {
    let value = match metric {
        RouteMetric::Rtt => 8 * random.between(200, 9000) as u32,
        RouteMetric::RttVariance => 4 * random.between(200, 9000) as u32,
        RouteMetric::RetransmissionTimeoutMinimum => random.between(200, 9000) as u32,
        RouteMetric::HopLimit => random.below(256) as u32,
        RouteMetric::Features => 1,
        RouteMetric::QuickAck | RouteMetric::FastOpenNoCookie => random.below(2) as u32,
        _ => random.below(1 << 32) as u32,
    };
    MetricValue { value, locked: metric.lockable() && random.chance(1, 3) }
}

pub(super) fn route_line(random: &mut Prng) -> RouteLine {
    let family = family(random);
    let mut route = Route::new(prefix(random, family));
    route.kind = RouteType::ALL[random.below(10) as usize];
    let forwards = !matches!(
        route.kind,
        RouteType::Blackhole | RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw
    );
    if forwards && random.chance(1, 2) {
        let hop = sample_hop(random, family);
        route.next = if hop == NextHop::default() { NextHops::None } else { NextHops::One(hop) };
    } else if forwards {
        let legs = (0..random.between(1, 3)).map(|_| sample_leg(random, family)).collect();
        route.next = NextHops::Multipath(legs);
    }
    match family {
        Family::Ipv4 => {
            route.realms = random.chance(1, 4).then_some(Realms { from: 3, to: 4 });
        }
        Family::Ipv6 => {
            route.source = random.chance(1, 4).then(|| prefix(random, family));
            route.expires_s = random.chance(1, 4).then(|| random.below(1 << 32) as u32);
            let choices = [RouterPreference::Low, RouterPreference::Medium, RouterPreference::High];
            route.preference = random.chance(1, 4).then(|| choices[random.below(3) as usize]);
        }
    }
    route.preferred_source = random.chance(1, 4).then(|| prefix(random, family).address());
    route.table = match random.below(4) {
        0 => RouteTable::Number(random.between(1, u32::MAX.into()) as u32),
        1 => RouteTable::OfVrf("blue".parse().unwrap()),
        _ => RouteTable::MAIN,
    };
    route.scope = random.chance(1, 4).then(|| random.below(256) as u8);
    route.tos = if random.chance(1, 4) { random.below(256) as u8 } else { 0 };
    route.metric = random.chance(1, 4).then(|| random.below(1 << 32) as u32);
    route.insertion = [RouteInsertion::Prepend, RouteInsertion::Append, RouteInsertion::Exclusive]
        [random.below(3) as usize];
    route.ttl_propagate = random.chance(1, 4).then(|| random.chance(1, 2));
    for kind in RouteMetric::ALL {
        if random.chance(1, 5) {
            route.metrics.insert(kind, metric(random, kind));
        }
    }
    if random.chance(1, 4) {
        let locked = random.chance(1, 2);
        route.congestion_control = Some(CongestionControl { name: "cubic".into(), locked });
    }
    let track = random.chance(1, 2);
    if !track {
        route.protocol = random.below(256) as u8;
    }
    RouteLine {
        route,
        track,
        track_group: random.chance(1, 4).then(|| "tg".into()),
        interfaces: NamedInterfaces::default(),
    }
}

pub(super) fn rule_line(random: &mut Prng) -> RuleLine {
    let family = family(random);
    let mut rule = Rule::new(family);
    rule.priority = random.chance(3, 4).then(|| random.below(1000) as u32);
    rule.action = match (random.below(7), rule.priority) {
        (0, Some(priority)) => RuleAction::GoTo(priority + 1),
        (1, _) => RuleAction::Nop,
        (2, _) => RuleAction::Blackhole,
        (3, _) => RuleAction::Unreachable,
        (4, _) => RuleAction::Prohibit,
        (5, _) => RuleAction::LookupVrf,
        _ => RuleAction::Lookup(RouteTable::Number(random.between(1, 70_000) as u32)),
    };
    rule.invert = random.chance(1, 4);
    rule.from = random.chance(1, 2).then(|| prefix(random, family));
    rule.to = random.chance(1, 2).then(|| prefix(random, family));
    rule.tos = if random.chance(1, 4) { random.below(256) as u8 } else { 0 };
    rule.mark = random.chance(1, 4).then(|| MarkMatch {
        mark: random.below(1 << 32) as u32,
        mask: if random.chance(1, 2) { u32::MAX } else { random.below(1 << 32) as u32 },
    });
    rule.realms = random.chance(1, 4).then_some(Realms { from: 0, to: 4 });
    rule.input = random.chance(1, 4).then(|| "eth0".parse().unwrap());
    rule.output = random.chance(1, 4).then(|| "eth1".parse().unwrap());
    rule.suppress_prefix_length = random.chance(1, 4).then(|| random.below(129) as u8);
    rule.suppress_interface_group = random.chance(1, 4).then(|| random.below(9) as u32);
    rule.tunnel_id = random.chance(1, 4).then(|| random.below(u64::MAX));
    rule.users = if random.chance(1, 4) { IdRange::new(0, random.below(1 << 32) as u32) } else { None };
    rule.ip_protocol = random.chance(1, 4).then(|| random.below(256) as u8);
    rule.source_ports = if random.chance(1, 4) { IdRange::new(5, 5) } else { None };
    rule.destination_ports = if random.chance(1, 4) { IdRange::new(5, 65535) } else { None };
    let track = random.chance(1, 2);
    if !track {
        rule.protocol = random.below(256) as u8;
    }
    RuleLine {
        rule,
        track,
        track_group: random.chance(1, 4).then(|| "tg".into()),
        interfaces: NamedInterfaces::default(),
    }
}
