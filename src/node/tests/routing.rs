//! Routes and rules: their order, what the kernel drops without a word, what somebody else removes, track groups.

use std::sync::Arc;

use super::*;
use crate::kernel::{
    HeldRoute, HeldWay, KernelError, NextHop, NextHops, Route, RoutingKey, RoutingOutcome, RoutingReply, Rule,
};
use crate::node::{StaticConfig, StaticRoute, TrackGroup};
use crate::vrrp::{RoutingReport, VirtualRoute, VirtualRule};

fn route() -> Route {
    let mut route = Route::new(Prefix::new([198, 51, 100, 0].into(), 24).unwrap());
    let hop = NextHop {
        gateway: Some([192, 0, 2, 254].into()),
        interface: Some("eth0".parse().unwrap()),
        ..NextHop::default()
    };
    route.next = NextHops::One(hop);
    route
}

fn rule() -> Rule {
    let mut rule = Rule::new(Family::Ipv4);
    rule.priority = Some(500);
    rule
}

fn held(protocol: u8) -> HeldRoute {
    let place = crate::kernel::RouteKey::of(&route(), 254, &[Some(ETH0)]).place;
    let way = HeldWay { gateway: Some([192, 0, 2, 254].into()), link: Some(ETH0), weight_minus_one: 0 };
    HeldRoute { place, kind: route().kind, protocol, preferred_source: None, ways: vec![way] }
}

fn with_routing(config: &mut RouterConfig) {
    config.routes.push(VirtualRoute { route: route(), track: true });
    config.rules.push(VirtualRule { rule: rule(), track: true });
}

/// What is asked for, in order, and carried out, told of if `told`.
fn obey_all(script: &mut Script, refused: bool) -> Vec<String> {
    let mut asked = Vec::new();
    loop {
        let requests = script.take().kernel;
        if requests.is_empty() {
            return asked;
        }
        for request in requests {
            match request {
                KernelRequest::Addresses(request) => {
                    let outcomes: Vec<_> =
                        request.operations.iter().map(|o| AddressOutcome::of(o, None)).collect();
                    asked.extend(outcomes.iter().map(|o| format!("{:?} {}", o.verb, o.prefix)));
                    script.tell(Event::Addresses(AddressReply { requester: request.requester, outcomes }));
                }
                KernelRequest::Routing(request) => {
                    let error = refused.then(|| KernelError { errno: 101, message: String::new() });
                    let outcomes: Vec<_> =
                        request.operations.iter().map(|o| RoutingOutcome::of(o, error.clone())).collect();
                    asked.extend(request.operations.iter().map(|o| format!("{:?} {}", o.verb, o.object)));
                    script.tell(Event::Routing(RoutingReply { requester: request.requester, outcomes }));
                }
            }
        }
    }
}

const ROUTE: &str = "route 198.51.100.0/24 via 192.0.2.254 dev eth0";
const RULE: &str = "rule 500: from all lookup 254";

fn told(script: &mut Script) {
    script.tell(Event::Kernel(KernelEvent::RoutePresent { route: held(18), replaces: false }));
    script.tell(Event::Kernel(KernelEvent::RulePresent(rule())));
}

fn master() -> Script {
    let mut script = Script::new(with_routing);
    script.pass(4_000);
    let asked = obey_all(&mut script, false);
    assert_eq!(asked[asked.len() - 2..], [format!("Add {ROUTE}"), format!("Add {RULE}")]);
    assert!(asked[0].starts_with("Add 192.0.2."), "{asked:?}");
    told(&mut script);
    script
}

#[test]
fn routes_and_rules_come_behind_the_addresses_and_go_before_them() {
    let mut script = master();
    script.tell(Event::Stop);
    let asked = obey_all(&mut script, false);
    assert_eq!(asked[..2], [format!("Remove {RULE}"), format!("Remove {ROUTE}")]);
    assert!(asked[2].starts_with("Remove 192.0.2."), "{asked:?}");
}

#[test]
fn what_somebody_removes_is_back_at_once_and_counted() {
    let mut script = master();
    script.tell(Event::Kernel(KernelEvent::RouteGone(held(18))));
    script.tell(Event::Kernel(KernelEvent::RuleGone(rule())));
    script.pass(20);
    let reports: Vec<_> = script.actions.reports().map(|report| report.kind.clone()).collect();
    let repairs =
        reports.iter().filter(|kind| matches!(kind, ReportKind::Routing(RoutingReport::Repaired { .. })));
    assert_eq!(repairs.count(), 2, "{reports:?}");
    assert_eq!(obey_all(&mut script, false), [format!("Add {ROUTE}"), format!("Add {RULE}")]);
    let router = script.node.router(RouterId(0)).unwrap();
    assert_eq!((router.counters().routing_repaired, router.state()), (2, State::Master));
}

#[test]
fn what_linux_drops_without_a_word_is_asked_for_again() {
    // Somebody else's route in our place.
    let mut script = master();
    script.tell(Event::Kernel(KernelEvent::RoutePresent { route: held(3), replaces: true }));
    script.pass(20);
    assert_eq!(obey_all(&mut script, false), [format!("Add {ROUTE}")]);
    // With the address that it prefers, a route goes; both are put back in their order.
    let source = "192.0.2.51";
    let preferred_source = source.parse().ok();
    let mut script = Script::new(|config| {
        config.routes.push(VirtualRoute { route: Route { preferred_source, ..route() }, track: true });
    });
    script.pass(4_000);
    obey_all(&mut script, false);
    let address = held_address(source, true);
    script.tell(Event::Kernel(KernelEvent::AddressPresent(address.clone())));
    let route = HeldRoute { preferred_source, ..held(18) };
    script.tell(Event::Kernel(KernelEvent::RoutePresent { route, replaces: false }));
    script.tell(Event::Kernel(KernelEvent::AddressGone { link: ETH0, prefix: address.prefix }));
    script.pass(20);
    let both = ["Add 192.0.2.51/24".to_owned(), format!("Add {ROUTE}")];
    assert_eq!(obey_all(&mut script, true), both);
    // Refused, it is asked for again at once when there is an address.
    script.tell(Event::Kernel(KernelEvent::AddressPresent(address)));
    assert_eq!(obey_all(&mut script, false), both[1..]);
}

#[test]
fn a_predecessors_routes_go_where_the_router_cannot_be_master() {
    let mut node = HaNode::new(NodeConfig { routers: vec![router(with_routing)], ..NodeConfig::default() });
    let now = Now { instant: Instant::ZERO, wall: WallTime::default() };
    let view = KernelView {
        links: vec![link(false)],
        addresses: vec![held_address(OWN, false)],
        routes: vec![held(3), HeldRoute { place: held(18).place, ..held(18) }],
        rules: vec![rule()],
    };
    let mut actions = Actions::default();
    node.handle(now, Event::Kernel(KernelEvent::View(view)), &mut actions);
    let socket = ReceiveSocket::vrrp(ETH0, "224.0.0.18".parse().unwrap());
    node.handle(now, Event::Socket(SocketEvent::Opened(socket)), &mut actions);
    let removed = actions.kernel.iter().filter_map(KernelRequest::routing).flat_map(|r| &r.operations);
    let removed: Vec<_> = removed.map(|o| (o.verb, matches!(o.key, RoutingKey::Rule(_)))).collect();
    // IPv4 routes of a link that is down are gone; these were told of all the same.
    assert_eq!(removed, [(Verb::Remove, true)]);
}

#[test]
fn a_track_group_faults_while_the_kernel_refuses_its_route() {
    let track_group: Option<Arc<str>> = Some("gateways".into());
    let statics = StaticConfig {
        routes: vec![StaticRoute { route: route(), track_group }],
        track_groups: vec![TrackGroup { name: "gateways".into(), members: vec!["VI_1".into()] }],
        ..StaticConfig::default()
    };
    let mut routers = vec![router(|_| {})];
    routers[0].name = "VI_1".into();
    let config = NodeConfig { routers, statics: Box::new(statics), ..NodeConfig::default() };
    let mut script = Script {
        node: HaNode::new(config),
        now: Now { instant: Instant::ZERO, wall: WallTime::default() },
        actions: Actions::default(),
    };
    let addresses = vec![held_address(OWN, false)];
    let view = KernelView { links: vec![link(true)], addresses, ..KernelView::default() };
    script.tell(Event::Kernel(KernelEvent::View(view)));
    let socket = ReceiveSocket::vrrp(ETH0, "224.0.0.18".parse().unwrap());
    script.tell(Event::Socket(SocketEvent::Opened(socket)));
    let state = |script: &Script| script.node.router(RouterId(0)).unwrap().state();
    assert_eq!(state(&script), State::Backup);
    assert_eq!(obey_all(&mut script, true), [format!("Add {ROUTE}")]);
    assert_eq!(state(&script), State::Fault);
    script.pass(2_000);
    assert!(obey_all(&mut script, false).contains(&format!("Add {ROUTE}")), "it is tried again");
    assert_eq!(state(&script), State::Backup);
}

#[test]
fn a_static_route_on_an_interface_that_came_anew_unseen_is_watched_over() {
    let statics = StaticConfig {
        routes: vec![StaticRoute { route: route(), track_group: None }],
        ..StaticConfig::default()
    };
    let mut script = Script {
        node: HaNode::new(NodeConfig { statics: Box::new(statics), ..NodeConfig::default() }),
        now: Now { instant: Instant::ZERO, wall: WallTime::default() },
        actions: Actions::default(),
    };
    let view = |link: Link| KernelView { links: vec![link], ..KernelView::default() };
    script.tell(Event::Kernel(KernelEvent::View(view(link(true)))));
    assert_eq!(obey_all(&mut script, false), [format!("Add {ROUTE}")]);
    let anew = Link { key: InterfaceIndex::new(99).unwrap(), ..link(true) };
    let mut there = held(18);
    there.ways[0].link = Some(anew.key);
    // Notifications were lost meanwhile.
    script.tell(Event::Kernel(KernelEvent::View(view(anew))));
    assert_eq!(obey_all(&mut script, false), [format!("Remove {ROUTE}"), format!("Add {ROUTE}")]);
    script.tell(Event::Kernel(KernelEvent::RoutePresent { route: there.clone(), replaces: false }));
    script.tell(Event::Kernel(KernelEvent::RouteGone(there)));
    script.pass(20);
    assert_eq!(obey_all(&mut script, false), [format!("Add {ROUTE}")]);
}
