//! Routes and rules: they follow mastership, and come back.

use alived::kernel::{KernelRequest, NextHop, NextHops, Route, Rule as RoutingRule, Verb};
use alived::net::{Family, Prefix};
use alived::node::{NodeConfig, StaticRoute};
use alived::sim::invariants::Rule;
use alived::sim::process::Sabotage;
use alived::sim::{Fault, MachineSpec};
use alived::time::{Duration, Instant, Now};
use alived::vrrp::{Actions, RouterConfig, State, VirtualRoute, VirtualRule};
use alived::wire::vrrp::Vrid;

use super::lan::{LAN, Lan, NAME, R1, R2, node, prefix, router, virtual_address};

fn route(third: u8, gateway: Option<[u8; 4]>) -> Route {
    let mut route = Route::new(Prefix::new([172, 16, third, 0].into(), 24).unwrap());
    let interface = "eth0".parse().ok();
    route.next = NextHops::One(NextHop { gateway: gateway.map(Into::into), interface, ..NextHop::default() });
    route
}

fn rule(priority: u32) -> RoutingRule {
    RoutingRule { priority: Some(priority), ..RoutingRule::new(Family::Ipv4) }
}

/// A router with two routes, of which one prefers its address, and a rule.
fn routed(priority: u8) -> RouterConfig {
    let preferred = Route { preferred_source: Some(prefix(0, 24).address()), ..route(1, None) };
    let routes = [preferred, route(2, Some([10, 0, 0, 250]))];
    RouterConfig {
        routes: routes.map(|route| VirtualRoute { route, track: true }).into(),
        rules: vec![VirtualRule { rule: rule(7), track: true }],
        ..router(priority)
    }
}

fn lan() -> Lan {
    let configs = [node(routed(150)), node(routed(100))];
    let mut lan = Lan::of(configs.map(|config| MachineSpec { config, ..MachineSpec::default() }).into());
    lan.start_all();
    lan.assert_served_by(R1);
    lan
}

/// What a machine's kernel holds of routes and rules.
fn held(lan: &Lan, machine: alived::sim::MachineId) -> (usize, usize) {
    let kernel = lan.cluster.kernel(machine);
    (kernel.routes().len(), kernel.rules().len())
}

#[test]
fn they_follow_the_master() {
    let mut lan = lan();
    assert_eq!((held(&lan, R1), held(&lan, R2)), ((2, 1), (0, 0)));
    lan.apply(Fault::Stopped(R1));
    lan.settle();
    assert_eq!((held(&lan, R1), held(&lan, R2)), ((0, 0), (2, 1)));
}

#[test]
fn what_is_flushed_is_back_at_once_without_a_transition() {
    let mut lan = lan();
    let flushed = lan.now();
    lan.apply(Fault::RoutingFlushed(R1));
    lan.run(50);
    assert_eq!(held(&lan, R1), (2, 1), "{}", lan.cluster.timeline());
    assert_eq!(lan.since(flushed, "putting it back (repair 1)").len(), 3);
    lan.settle();
    assert_eq!(lan.transitions(flushed), 0);
}

#[test]
fn the_first_repair_of_routes_and_of_rules_comes_at_once_and_further_ones_within_a_second() {
    let mut lan = lan();
    let begun = lan.now();
    for times in 0..40 {
        lan.apply(Fault::RoutingFlushed(R1));
        assert_eq!(held(&lan, R1), (0, 0));
        let bound = if times == 0 { 100 } else { 1_010 };
        let mut missing = [0, 0];
        while held(&lan, R1) != (2, 1) {
            let (routes, rules) = held(&lan, R1);
            missing[0] += u64::from(routes < 2);
            missing[1] += u64::from(rules < 1);
            assert!(missing.iter().all(|ms| *ms < bound), "{missing:?} ms after {times} repairs");
            lan.run(1);
        }
        // They stay for a moment each time.
        lan.run(1_500);
    }
    lan.settle();
    assert_eq!(lan.transitions(begun), 0);
    lan.assert_served_by(R1);
}

#[test]
fn a_rival_that_goes_on_flushing_is_answered_once_a_second() {
    let mut config = routed(150);
    config.rules[0].track = false;
    config.routes.clear();
    let mut lan = Lan::started([config]);
    for _ in 0..40 {
        lan.apply(Fault::RoutingFlushed(R1));
        lan.run(100);
    }
    let begun = lan.now();
    for _ in 0..100 {
        lan.apply(Fault::RoutingFlushed(R1));
        lan.run(10);
    }
    let repairs = lan.since(begun, "+rule 7").len();
    assert!((1..=2).contains(&repairs), "{repairs} repairs in a second");
    lan.settle();
}

#[test]
fn a_route_goes_in_silence_with_the_address_that_it_prefers_and_both_are_back() {
    let mut lan = lan();
    let removed = lan.now();
    lan.apply(Fault::AddressRemoved(R1, prefix(0, 24)));
    assert_eq!(held(&lan, R1).0, 1);
    lan.run(50);
    assert_eq!(held(&lan, R1), (2, 1), "{}", lan.cluster.timeline());
    lan.settle();
    assert_eq!(lan.transitions(removed), 0);
}

#[test]
fn a_predecessors_are_adopted_by_a_master_and_removed_by_a_backup() {
    let mut lan = lan();
    let crashed = lan.now();
    lan.apply(Fault::Crashed(R1));
    lan.run(20);
    lan.apply(Fault::Respawned(R1));
    lan.settle();
    assert_eq!(held(&lan, R1), (2, 1));
    assert_eq!(
        lan.since(crashed, "adopting 2 route(s) and 1 rule(s)").len(),
        1,
        "{}",
        lan.cluster.timeline()
    );
    assert_eq!(lan.since(crashed, "+route").len(), 0);
    lan.apply(Fault::Crashed(R1));
    lan.settle();
    lan.assert_state(R2, State::Master);
    assert_eq!(held(&lan, R1), (2, 1));
    let restarted = lan.now();
    lan.apply(Fault::Reloaded(R1, node(routed(50))));
    lan.apply(Fault::Started(R1));
    lan.settle();
    assert_eq!((held(&lan, R1), held(&lan, R2)), ((0, 0), (2, 1)));
    assert_eq!(
        lan.since(restarted, "removing 2 route(s) and 1 rule(s)").len(),
        1,
        "{}",
        lan.cluster.timeline()
    );
}

/// Two routers with the same routes and rule, of which each machine is master of one; static ones, too.
#[test]
fn what_several_routers_of_a_machine_have_stays_while_one_of_them_wants_it() {
    const OTHER: &str = "VI_2";
    let both = |first, second, is_static| {
        let lines = RouterConfig { addresses: vec![virtual_address(prefix(9, 24))], ..routed(second) };
        let other = RouterConfig { name: OTHER.into(), vrid: Vrid::new(52).unwrap(), ..lines };
        let mut config = NodeConfig { routers: vec![routed(first), other], ..NodeConfig::default() };
        // One that prefers the address of the first would go with that.
        config.routers.iter_mut().for_each(|router| _ = router.routes.remove(0));
        if is_static {
            config.statics.routes =
                vec![StaticRoute { route: route(2, Some([10, 0, 0, 250])), track_group: None }];
        }
        MachineSpec { config, ..MachineSpec::default() }
    };
    for (is_static, after_all) in [(false, (0, 0)), (true, (1, 0))] {
        let mut lan = Lan::of(vec![both(150, 100, is_static), both(100, 150, false)]);
        lan.start_all();
        assert_eq!((lan.cluster.masters(NAME), lan.cluster.masters(OTHER)), ([R1].into(), [R2].into()));
        assert_eq!((held(&lan, R1), held(&lan, R2)), ((1, 1), (1, 1)));
        // A successor finds there what is everybody's.
        lan.apply(Fault::Crashed(R1));
        lan.apply(Fault::Respawned(R1));
        lan.settle();
        for removal in ["-route", "-rule"] {
            assert!(lan.since(Instant::ZERO, removal).is_empty(), "{}", lan.cluster.timeline());
        }
        // A flush is made good by who wants it alone.
        let flushed = lan.now();
        lan.apply(Fault::RoutingFlushed(R1));
        lan.settle();
        assert!(lan.since(flushed, "-route").is_empty(), "{}", lan.cluster.timeline());
        // R2 takes over both, and gives one back.
        lan.apply(Fault::CablePulled(R1, LAN));
        lan.settle();
        assert_eq!(held(&lan, R2), (1, 1));
        lan.apply(Fault::CablePlugged(R1, LAN));
        lan.settle();
        assert_eq!((held(&lan, R1), held(&lan, R2)), ((1, 1), (1, 1)));
        let begun = lan.now();
        lan.apply(Fault::NotificationsLost(R1, Duration::from_secs(1)));
        lan.run(5_000);
        assert!(lan.since(begun, "route 172").is_empty(), "{}", lan.cluster.timeline());
        // Nobody on R1 wants the rule any more.
        lan.apply(Fault::SwitchOver(R1));
        lan.settle();
        assert_eq!((held(&lan, R1), held(&lan, R2)), (after_all, (1, 1)));
    }
}

#[test]
fn an_interface_that_comes_back_gets_its_routes_again() {
    let mut lan = lan();
    lan.apply(Fault::Stopped(R2));
    lan.settle();
    for (out, back) in [
        (Fault::AdminDown(R1, LAN), Fault::AdminUp(R1, LAN)),
        (Fault::InterfaceDeleted(R1, LAN, true), Fault::InterfaceCreated(R1, LAN)),
        (Fault::CablePulled(R1, LAN), Fault::CablePlugged(R1, LAN)),
        (Fault::OwnAddressRemoved(R1, LAN), Fault::OwnAddressRestored(R1, LAN)),
    ] {
        lan.apply(out);
        lan.settle();
        lan.apply(back);
        lan.settle();
        lan.assert_state(R1, State::Master);
        assert_eq!(held(&lan, R1), (2, 1), "{}", lan.cluster.timeline());
    }
}

#[test]
fn a_reload_changes_the_difference_alone() {
    let mut lan = lan();
    let reloaded = lan.now();
    let mut config = routed(150);
    config.routes[1].route = route(3, None);
    lan.apply(Fault::Reloaded(R1, node(config.clone())));
    lan.settle();
    assert_eq!(held(&lan, R1), (2, 1));
    assert_eq!(lan.since(reloaded, "+route").len(), 1, "{}", lan.cluster.timeline());
    assert_eq!(lan.since(reloaded, "-route").len(), 1);
    assert_eq!(lan.since(reloaded, "rule").len(), 0);
    let again = lan.now();
    lan.apply(Fault::Reloaded(R1, node(config)));
    lan.settle();
    assert_eq!(lan.since(again, "route").len(), 0);
}

/// Changes what the node of the first machine wants done.
struct Tamper<F>(F);

impl<F> core::fmt::Debug for Tamper<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Tamper")
    }
}

impl<F: FnMut(&mut Actions)> Sabotage for Tamper<F> {
    fn act(&mut self, _: Now, actions: &mut Actions) {
        self.0(actions);
    }
}

/// The rules that a first machine breaks whose actions are tampered with, when it starts and is stopped by a cable.
fn broken(tamper: impl FnMut(&mut Actions) + 'static) -> Vec<Rule> {
    let configs = [node(routed(150)), node(routed(100))];
    let mut lan = Lan::of(configs.map(|config| MachineSpec { config, ..MachineSpec::default() }).into());
    lan.cluster.sabotage(R1, Box::new(Tamper(tamper)));
    for id in [R1, R2] {
        lan.apply(Fault::Started(id));
    }
    lan.cluster.settle();
    lan.apply(Fault::SwitchOver(R1));
    lan.cluster.settle();
    lan.cluster.violations().iter().map(|violation| violation.rule).collect()
}

/// Of a verb, no change of a route or rule is carried out, but all are said to be.
fn without(verb: Verb) -> impl FnMut(&mut Actions) {
    move |actions| {
        for request in &mut actions.kernel {
            if let KernelRequest::Routing(request) = request {
                for operation in request.operations.iter_mut().filter(|operation| operation.verb == verb) {
                    // The other verb, of what is not there or is there already.
                    operation.verb = if verb == Verb::Add { Verb::Remove } else { Verb::Add };
                }
            }
        }
    }
}

#[test]
fn what_breaks_the_rules_is_seen() {
    assert_eq!(broken(|_| {}), []);
    let seen = |tamper: Box<dyn FnMut(&mut Actions)>, rule| {
        let broken = broken(tamper);
        assert!(broken.contains(&rule), "{rule:?} not among {broken:?}");
    };
    seen(
        Box::new(|actions: &mut Actions| {
            actions.kernel.sort_by_key(|request| matches!(request, KernelRequest::Routing(_)));
        }),
        Rule::RoutingOutOfOrder,
    );
    seen(Box::new(without(Verb::Remove)), Rule::RoutingElsewhere);
    seen(Box::new(without(Verb::Remove)), Rule::RoutingWithoutMastership);
    seen(
        Box::new(|actions: &mut Actions| actions.kernel.retain(|r| r.routing().is_none())),
        Rule::RoutingMissing,
    );
}
