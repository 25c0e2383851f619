//! Routes and rules of a random LAN: what its routers are configured with, and what the observer sees of them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::invariants::Survey;
use super::machine::Machine;
use super::process::Process;
use crate::kernel::{HeldRoute, NextHop, NextHops, Route, RouteKey, RouteTable, Rule, RuleAction, RuleKey};
use crate::net::{Family, InterfaceIndex, InterfaceName, Prefix};
use crate::node::{NodeConfig, StaticRoute, StaticRule};
use crate::prng::Prng;
use crate::vrrp::{RouterConfig, State, VirtualRoute, VirtualRule};

/// The table that rules look up.
const TABLE: RouteTable = RouteTable::Number(100);

/// Gives a router routes and rules. Its identifier, which no other router of its machine has, makes them its own; one
/// route may be everybody's.
pub(super) fn draw(prng: &mut Prng, config: &mut RouterConfig) {
    let (vrid, interface) = (config.vrid.get(), config.interfaces.addresses.clone());
    let track = config.track_primary;
    let virtual_v4 = config.addresses.iter().map(|a| a.spec.prefix).find(|p| p.family() == Family::Ipv4);
    let mut routes = Vec::new();
    for number in 0..prng.below(4) as u8 {
        let to = |address, length| Prefix::new(address, length).unwrap_or(Prefix::LOWEST);
        let near = to(Ipv4Addr::new(172, 16 + number, vrid, 0).into(), 24);
        let far = to(Ipv6Addr::new(0x2001, 0xdb8, 0xa, vrid.into(), number.into(), 0, 0, 0).into(), 80);
        let mut route = through(near, &interface, None);
        match (prng.below(5), virtual_v4) {
            (0, Some(address)) => {
                let gateway = address.network();
                if let IpAddr::V4(network) = gateway {
                    let gateway = Ipv4Addr::from_bits(network.to_bits() | 0xfa);
                    route = through(near, &interface, Some(gateway.into()));
                }
            }
            (1, Some(address)) => route.preferred_source = Some(address.address()),
            (2, _) => route = through(far, &interface, None),
            (3, _) => route = through(to(Ipv4Addr::new(172, 31, 0, 0).into(), 16), &interface, None),
            _ => {}
        }
        routes.push(VirtualRoute { route, track });
    }
    config.routes = routes;
    config.rules = (0..prng.below(3))
        .map(|number| VirtualRule { rule: rule(prng, u32::from(vrid) * 10 + number as u32), track })
        .collect();
}

/// Gives a daemon a static route and a static rule.
pub(super) fn draw_statics(prng: &mut Prng, interface: &InterfaceName, config: &mut NodeConfig) {
    let destination = Prefix::new([172, 30, 0, 0].into(), 16).unwrap_or(Prefix::LOWEST);
    let route = through(destination, interface, None);
    config.statics.routes = vec![StaticRoute { route, track_group: None }];
    config.statics.rules = vec![StaticRule { rule: rule(prng, 9_000), track_group: None }];
}

fn through(destination: Prefix, interface: &InterfaceName, gateway: Option<IpAddr>) -> Route {
    let hop = NextHop { gateway, interface: Some(interface.clone()), ..NextHop::default() };
    Route { next: NextHops::One(hop), ..Route::new(destination) }
}

fn rule(prng: &mut Prng, priority: u32) -> Rule {
    let family = if prng.chance(1, 2) { Family::Ipv4 } else { Family::Ipv6 };
    Rule { priority: Some(priority), action: RuleAction::Lookup(TABLE), ..Rule::new(family) }
}

/// Every route and rule that a daemon shall have now.
fn wanted(process: &Process) -> (Vec<&Route>, Vec<&Rule>) {
    let config = &process.ledger.config;
    let is_master = |router: &&RouterConfig| {
        process.ledger.standing(&router.name).is_some_and(|standing| standing.state == State::Master)
    };
    let masters = || config.routers.iter().filter(is_master);
    let routes = masters().flat_map(|router| &router.routes).map(|line| &line.route);
    let rules = masters().flat_map(|router| &router.rules).map(|line| &line.rule);
    let statics = &config.statics;
    let routes = routes.chain(statics.routes.iter().map(|item| &item.route));
    let rules = rules.chain(statics.rules.iter().map(|item| &item.rule));
    (routes.collect(), rules.collect())
}

fn locate(machine: &Machine, route: &Route) -> Option<(RouteKey, Vec<Option<InterfaceIndex>>)> {
    let mut legs = Vec::new();
    for hop in route.next.hops() {
        legs.push(match &hop.interface {
            Some(name) => Some(machine.kernel.by_name(name)?.key),
            None => None,
        });
    }
    Some((RouteKey::of(route, 254, &legs), legs))
}

fn table(rule: &Rule) -> u32 {
    match rule.action {
        RuleAction::Lookup(RouteTable::Number(number)) => number,
        _ => 0,
    }
}

/// Notes what a machine lacks though its kernel would take it, and what it has though nothing of it wants that.
pub(super) fn look(machine: &Machine, process: &Process, survey: &mut Survey) {
    let (routes, rules) = wanted(process);
    let kernel = &machine.kernel;
    let located: Vec<_> = routes.iter().filter_map(|route| Some((*route, locate(machine, route)?))).collect();
    for (route, (key, legs)) in &located {
        let held = kernel.routes().iter().any(|held| key.is(held));
        if !held && kernel.ways_of(route, legs).is_ok() {
            survey.unrouted.insert((machine.id, format!("route {route}")));
        }
    }
    for held in charged(machine, process) {
        if !located.iter().any(|(_, (key, _))| key.is(held)) {
            survey.misrouted.insert((machine.id, format!("route to {}", held.place.destination)));
        }
    }
    let keys: Vec<RuleKey> = rules.iter().map(|rule| RuleKey::of(rule, table(rule))).collect();
    for (rule, key) in rules.iter().zip(&keys) {
        if !kernel.rules().iter().any(|held| RuleKey::of_held(held) == *key) {
            survey.unrouted.insert((machine.id, format!("rule {rule}")));
        }
    }
    for held in charged_rules(machine, process) {
        if !keys.contains(&RuleKey::of_held(held)) {
            survey.misrouted.insert((machine.id, format!("rule {held}")));
        }
    }
}

/// Routes that the daemon was ever configured with, as far as the kernel holds them. Elsewhere, as on an interface that
/// was renamed, it does not look for what a predecessor left.
fn charged<'a>(machine: &'a Machine, process: &'a Process) -> impl Iterator<Item = &'a HeldRoute> {
    let charge = &process.ledger.routing_charge.0;
    let charge = charge.iter().filter(|_| !machine.kernel.routes().is_empty());
    let keys: Vec<RouteKey> = charge.filter_map(|route| locate(machine, route)).map(|(key, _)| key).collect();
    machine.kernel.routes().iter().filter(move |held| keys.iter().any(|key| key.is(held)))
}

fn charged_rules<'a>(machine: &'a Machine, process: &'a Process) -> impl Iterator<Item = &'a Rule> {
    let charge = &process.ledger.routing_charge.1;
    let charge = charge.iter().filter(|_| !machine.kernel.rules().is_empty());
    let keys: Vec<RuleKey> = charge.map(|rule| RuleKey::of(rule, table(rule))).collect();
    machine.kernel.rules().iter().filter(move |held| keys.contains(&RuleKey::of_held(held)))
}

/// What a daemon that has stopped should have taken along.
pub(super) fn left_behind(machine: &Machine, process: &Process) -> Vec<String> {
    let config = &process.ledger.config;
    let keeps = config.keep_addresses_on_stop;
    let is_static = |destination: &Prefix| {
        config.statics.routes.iter().any(|item| item.route.destination == *destination)
    };
    let routes = charged(machine, process).filter(|held| !keeps || is_static(&held.place.destination));
    let rules = charged_rules(machine, process)
        .filter(|held| !keeps || config.statics.rules.iter().any(|item| item.rule.priority == held.priority));
    let routes = routes.map(|held| format!("route to {}", held.place.destination));
    routes.chain(rules.map(|rule| format!("rule {rule}"))).collect()
}
