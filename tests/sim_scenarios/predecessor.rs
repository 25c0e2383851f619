//! What a daemon that was killed has left, where the next one has another configuration.

use alived::kernel::{Route, Rule as RoutingRule, VirtualLink, VirtualLinkKind};
use alived::net::{Family, Prefix};
use alived::node::{NodeConfig, StaticRoute, StaticRule};
use alived::sim::machine::{interface_name, virtual_name};
use alived::sim::{Fault, MachineSpec};
use alived::vrrp::{RouterConfig, State, VirtualRoute};
use alived::wire::vrrp::Vrid;

use super::lan::{LAN, Lan, R1, R2, address, node, prefix, router, virtual_address, with_statics};

fn kept(number: u8) -> Prefix {
    Prefix::new([10, 9, 0, number].into(), 24).unwrap()
}

fn route(third: u8) -> Route {
    Route::new(Prefix::new([172, 16, third, 0].into(), 24).unwrap())
}

/// With static things of every kind.
fn with_everything(priority: u8, with_link: bool) -> NodeConfig {
    let mut config = with_statics(router(priority), &[kept(1), kept(2)]);
    // To nowhere, so that it needs no interface.
    let dropped = |third| Route { kind: alived::kernel::RouteType::Blackhole, ..route(third) };
    config.statics.routes =
        [1, 2].map(|third| StaticRoute { route: dropped(third), track_group: None }).into();
    let rule = |priority| RoutingRule { priority: Some(priority), ..RoutingRule::new(Family::Ipv4) };
    config.statics.rules = [7, 8].map(|number| StaticRule { rule: rule(number), track_group: None }).into();
    if with_link {
        let name = virtual_name(LAN, Vrid::new(77).unwrap());
        let kind = VirtualLinkKind::Macvlan(alived::net::MacAddress([0, 0, 0x5e, 0, 1, 77]));
        let parent = interface_name(LAN);
        config.links = vec![VirtualLink { name, parent, kind, group: None, ipv4: true, ipv6: false }];
    }
    config
}

fn lan(second: NodeConfig) -> Lan {
    let configs = [node(router(150)), second];
    let mut lan = Lan::of(configs.map(|config| MachineSpec { config, ..MachineSpec::default() }).into());
    lan.start_all();
    lan.assert_served_by(R1);
    lan
}

/// The daemon of the second machine is killed, and another one started with this configuration.
fn replace(lan: &mut Lan, config: NodeConfig) {
    lan.apply(Fault::Crashed(R2));
    lan.run(20);
    lan.apply(Fault::Reloaded(R2, config));
    lan.apply(Fault::Started(R2));
    lan.settle();
}

#[test]
fn what_the_configuration_does_not_name_any_more_is_removed() {
    let mut lan = lan(with_everything(100, true));
    let crashed = lan.now();
    let mut config = with_statics(router(100), &[kept(2)]);
    config.statics.routes = with_everything(100, false).statics.routes.split_off(1);
    replace(&mut lan, config);
    let kernel = lan.cluster.kernel(R2);
    assert_eq!((kernel.routes().len(), kernel.rules().len()), (1, 0), "{}", lan.cluster.timeline());
    assert!(kernel.by_name(&virtual_name(LAN, Vrid::new(77).unwrap())).is_none());
    assert!(!lan.cluster.holds(R2, &kept(1).address()) && lan.cluster.holds(R2, &kept(2).address()));
    let told = "removing 1 address(es), 1 route(s), 2 rule(s) and 1 interface(s) that a predecessor left";
    assert_eq!(lan.since(crashed, told).len(), 1, "{}", lan.cluster.timeline());
    // The new daemon's own beginning.
    assert_eq!(lan.transitions(crashed), 1, "{}", lan.cluster.timeline());
    let again = lan.now();
    lan.apply(Fault::Crashed(R2));
    lan.apply(Fault::Started(R2));
    lan.settle();
    assert_eq!(lan.since(again, "removing ").len(), 0, "{}", lan.cluster.timeline());
}

#[test]
fn a_router_that_is_gone_leaves_nothing_and_the_others_go_on() {
    let other = RouterConfig {
        name: "VI_2".into(),
        vrid: Vrid::new(52).unwrap(),
        addresses: vec![virtual_address(prefix(9, 24))],
        routes: vec![VirtualRoute {
            route: Route { kind: alived::kernel::RouteType::Blackhole, ..route(1) },
            track: true,
        }],
        ..router(200)
    };
    let both = NodeConfig { routers: vec![router(100), other], ..NodeConfig::default() };
    let mut lan = lan(both);
    assert!(lan.cluster.holds(R2, &address(9)));
    let crashed = lan.now();
    replace(&mut lan, node(router(100)));
    assert!(!lan.cluster.holds(R2, &address(9)), "{}", lan.cluster.timeline());
    assert_eq!(lan.cluster.kernel(R2).routes().len(), 0);
    lan.assert_state(R1, State::Master);
    assert_eq!(lan.since(crashed, "removing 1 address(es), 1 route(s), 0 rule(s)").len(), 1);
}

#[test]
fn a_route_whose_way_is_another_one_now_makes_place() {
    let way = |last: u8| {
        let hop = alived::kernel::NextHop { gateway: Some([10, 0, 0, last].into()), ..Default::default() };
        let route = Route { next: alived::kernel::NextHops::One(hop), ..route(1) };
        NodeConfig {
            routers: vec![RouterConfig { routes: vec![VirtualRoute { route, track: true }], ..router(200) }],
            ..NodeConfig::default()
        }
    };
    let mut lan = Lan::of(vec![MachineSpec { config: way(250), ..MachineSpec::default() }]);
    lan.start_all();
    lan.assert_state(R1, State::Master);
    let crashed = lan.now();
    lan.apply(Fault::Crashed(R1));
    lan.apply(Fault::Reloaded(R1, way(251)));
    lan.apply(Fault::Started(R1));
    lan.settle();
    let routes = lan.cluster.kernel(R1).routes();
    let ways: Vec<_> = routes.iter().flat_map(|held| &held.ways).map(|way| way.gateway).collect();
    assert_eq!(ways, [Some([10, 0, 0, 251].into())], "{}", lan.cluster.timeline());
    assert_eq!(lan.since(crashed, "0 address(es), 1 route(s), 0 rule(s) and 0 interface(s)").len(), 1);
}

#[test]
fn what_an_ordered_stop_leaves_by_intention_is_left_alone() {
    let mut config = node(router(200));
    config.keep_addresses_on_stop = true;
    let mut lan = Lan::of(vec![MachineSpec { config, ..MachineSpec::default() }]);
    lan.start_all();
    lan.apply(Fault::Stopped(R1));
    lan.settle();
    lan.apply(Fault::Reloaded(
        R1,
        with_statics(RouterConfig { addresses: Vec::new(), ..router(200) }, &[kept(1)]),
    ));
    lan.apply(Fault::Started(R1));
    lan.settle();
    assert!(lan.cluster.holds(R1, &address(0)) && lan.cluster.holds(R1, &kept(1).address()));
}
