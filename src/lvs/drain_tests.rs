//! Orders, draining and leaving, by hand.

use super::action::{Actions, Beginning, Conduct, DirectorConfig};
use super::config::SorryServer;
use super::order::{Order, OrderState};
use super::tests::{Desk, checked, real, target, web};
use crate::kernel::ipvs::{ForwardingMethod, IpvsKey, Protocol, ServiceKey};
use crate::time::Duration;

const SERVICE: ServiceKey = ServiceKey::Address(
    crate::kernel::ipvs::HostPort {
        address: core::net::IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1)),
        port: core::num::NonZeroU16::new(80),
    },
    Protocol::Tcp,
);

fn drain(limit: Option<u64>) -> Option<(Order, Option<Duration>)> {
    Some((Order::Drain { limit: limit.map(Duration::from_secs) }, None))
}

fn leaving(config: DirectorConfig, seconds: u64) -> DirectorConfig {
    let leaving_limit = Some(Duration::from_secs(seconds));
    DirectorConfig { conduct: Conduct { leaving_limit, ..config.conduct }, ..config }
}

impl Desk {
    /// Orders something of 10.0.0.LAST.
    fn order(&mut self, last: u8, order: Option<(Order, Option<Duration>)>) {
        let service = self.director.config.virtual_servers[0].service.clone();
        let mut actions = Actions::default();
        let which = [(service, target(&format!("10.0.0.{last}"), 80))];
        self.director.order(self.now, &which, order, &mut actions);
        self.act(actions);
    }

    /// Established and other connections of 10.0.0.LAST.
    fn connect(&mut self, last: u8, active: u32, inactive: u32) {
        let destination = Some(target(&format!("10.0.0.{last}"), 80));
        self.connections.insert(IpvsKey { service: SERVICE, destination }, (active, inactive));
    }
}

#[test]
fn a_drained_server_is_removed_when_its_connections_are_over() {
    let mut desk = Desk::new(checked(vec![web("192.0.2.1", 2)]));
    desk.connect(1, 3, 1);
    desk.order(1, drain(None));
    desk.pass(600_000);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 0", "[10.0.0.2]:80 1"]);
    desk.connect(1, 0, 1);
    desk.pass(100);
    assert_eq!(desk.destinations(), ["[10.0.0.2]:80 1"]);
    assert_eq!(desk.director.orders()[0].ordered.state, OrderState::Drained { cut: 0 });
    // Neither checks nor an equal configuration bring it back.
    desk.down(&[1]);
    desk.up(&[1]);
    assert_eq!(desk.apply(checked(vec![web("192.0.2.1", 2)])), 0);
    desk.pass(10_000);
    assert_eq!(desk.destinations(), ["[10.0.0.2]:80 1"]);
    desk.order(1, None);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 1", "[10.0.0.2]:80 1"]);
    assert_eq!(desk.orders, []);
}

#[test]
fn what_just_begins_is_waited_for() {
    let mut desk = Desk::new(checked(vec![web("192.0.2.1", 2)]));
    // A handshake is not over yet.
    desk.connect(1, 0, 1);
    desk.order(1, drain(None));
    desk.pass(500);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 0", "[10.0.0.2]:80 1"]);
    desk.connect(1, 1, 0);
    desk.pass(5_000);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 0", "[10.0.0.2]:80 1"]);
    desk.connect(1, 0, 0);
    desk.pass(100);
    assert_eq!(desk.destinations(), ["[10.0.0.2]:80 1"]);
}

#[test]
fn a_limit_cuts_what_is_left_and_a_time_ends_the_order() {
    let mut desk = Desk::new(checked(vec![web("192.0.2.1", 2)]));
    desk.connect(1, 3, 0);
    let order = Order::Drain { limit: Some(Duration::from_secs(10)) };
    desk.order(1, Some((order, Some(Duration::from_secs(30)))));
    desk.pass(9_990);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 0", "[10.0.0.2]:80 1"]);
    desk.pass(20);
    assert_eq!(desk.destinations(), ["[10.0.0.2]:80 1"]);
    assert_eq!(desk.director.orders()[0].ordered.state, OrderState::Drained { cut: 3 });
    desk.pass(19_980);
    assert_eq!(desk.destinations(), ["[10.0.0.2]:80 1"]);
    desk.pass(20);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 1", "[10.0.0.2]:80 1"]);
    assert_eq!(desk.orders, []);
}

#[test]
fn one_that_is_dead_has_nothing_to_wait_for() {
    let mut desk = Desk::new(checked(vec![web("192.0.2.1", 2)]));
    desk.connect(1, 3, 0);
    desk.order(1, drain(None));
    desk.down(&[1]);
    desk.pass(100);
    assert_eq!(desk.destinations(), ["[10.0.0.2]:80 1"]);
    assert_eq!(desk.director.orders()[0].ordered.state, OrderState::Drained { cut: 0 });
}

#[test]
fn a_sorry_server_stands_in_for_drained_ones_beside_their_connections() {
    let mut server = web("192.0.2.1", 2);
    let sorry = SorryServer { target: target("10.0.0.9", 80), method: ForwardingMethod::Nat, inhibit: false };
    server.sorry_server = Some(sorry);
    let mut desk = Desk::new(checked(vec![server]));
    desk.news();
    desk.connect(1, 3, 0);
    desk.order(1, drain(None));
    desk.order(2, drain(None));
    assert!(desk.news().contains(&"[192.0.2.1]:tcp:80 quorum down 0/1".to_owned()));
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 0", "[10.0.0.9]:80 1"]);
    desk.order(2, None);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 0", "[10.0.0.2]:80 1"]);
}

#[test]
fn a_weight_by_command_wins_over_checks() {
    let mut desk = Desk::new(checked(vec![web("192.0.2.1", 2)]));
    desk.order(1, Some((Order::Weight(7), None)));
    desk.check(1, super::Verdict::Up(super::Advice::Set(100)));
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 7", "[10.0.0.2]:80 1"]);
    desk.order(1, Some((Order::Weight(0), None)));
    desk.pass(10_000);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 0", "[10.0.0.2]:80 1"]);
    desk.down(&[1]);
    assert_eq!(desk.destinations(), ["[10.0.0.2]:80 1"]);
    desk.check(1, super::Verdict::Up(super::Advice::Set(100)));
    desk.order(1, None);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 100", "[10.0.0.2]:80 1"]);
}

#[test]
fn one_that_leaves_the_configuration_keeps_its_connections() {
    let two = leaving(checked(vec![web("192.0.2.1", 2)]), 60);
    let one = leaving(checked(vec![web("192.0.2.1", 1)]), 60);
    let mut desk = Desk::new(two.clone());
    desk.connect(2, 3, 0);
    desk.apply(one.clone());
    desk.pass(50_000);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 1", "[10.0.0.2]:80 0"]);
    // An equal configuration changes nothing, also not the limit.
    assert_eq!(desk.apply(one.clone()), 0);
    desk.pass(9_990);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 1", "[10.0.0.2]:80 0"]);
    desk.pass(20);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 1"]);

    // One that comes back serves, and one without connections goes at once.
    desk.apply(two.clone());
    desk.connect(2, 3, 0);
    desk.apply(one.clone());
    desk.apply(two);
    desk.pass(120_000);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 1", "[10.0.0.2]:80 1"]);
    desk.connect(2, 0, 0);
    desk.apply(one.clone());
    desk.pass(100);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 1"]);

    // One that is dead goes at once, and all do with their virtual server.
    let mut dead = web("192.0.2.1", 2);
    dead.real_servers[1].inhibit_on_failure = true;
    desk.apply(leaving(checked(vec![dead]), 60));
    desk.connect(1, 3, 0);
    desk.connect(2, 3, 0);
    desk.down(&[2]);
    desk.apply(one);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 1"]);
    desk.apply(leaving(checked(vec![web("192.0.2.2", 1)]), 60));
    assert_eq!(desk.table(), ["TCP [192.0.2.2]:80", "  [10.0.0.1]:80 1"]);
}

#[test]
fn a_successor_goes_on_with_what_was_ordered_and_what_leaves() {
    let config = leaving(checked(vec![web("192.0.2.1", 5)]), 60);
    let mut desk = Desk::new(config);
    for last in 1..=5 {
        desk.connect(last, 1, 0);
    }
    desk.order(1, drain(None));
    desk.connect(2, 0, 0);
    desk.order(2, drain(None));
    desk.order(3, Some((Order::Weight(9), None)));
    let config = leaving(checked(vec![web("192.0.2.1", 4)]), 60);
    desk.apply(config.clone());
    desk.pass(5_000);
    let held = ["[10.0.0.1]:80 0", "[10.0.0.3]:80 9", "[10.0.0.4]:80 1", "[10.0.0.5]:80 0"];
    assert_eq!(desk.destinations(), held);
    let beginning = Beginning {
        recorded: desk.record.clone(),
        same_configuration: true,
        orders: desk.orders.clone(),
        ..Beginning::default()
    };
    let connections = desk.connections.clone();
    let mut desk = Desk::with(config, desk.kernel.clone(), beginning);
    desk.connections = connections;
    assert_eq!((desk.written, desk.destinations()), (0, held.map(str::to_owned).to_vec()));
    desk.pass(50_000);
    assert_eq!(desk.destinations(), held);
    desk.connect(1, 0, 0);
    desk.connect(5, 0, 0);
    desk.pass(100);
    assert_eq!(desk.destinations(), ["[10.0.0.3]:80 9", "[10.0.0.4]:80 1"]);
    for last in 1..=3 {
        desk.order(last, None);
    }
    let all = ["[10.0.0.1]:80 1", "[10.0.0.2]:80 1", "[10.0.0.3]:80 1", "[10.0.0.4]:80 1"];
    assert_eq!(desk.destinations(), all);
}

#[test]
fn udp_is_waited_for_by_what_the_kernel_counts_of_it() {
    let mut server = web("192.0.2.1", 0);
    let service = ServiceKey::Address(target("192.0.2.1", 53), Protocol::Udp);
    server.service = super::Service::Address(target("192.0.2.1", 53), Protocol::Udp);
    server.real_servers = vec![real("10.0.0.1", 80), real("10.0.0.2", 80)];
    let mut desk = Desk::new(checked(vec![server]));
    let key = IpvsKey { service, destination: Some(target("10.0.0.1", 80)) };
    desk.connections.insert(key, (0, 2));
    desk.order(1, drain(None));
    desk.pass(60_000);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 0", "[10.0.0.2]:80 1"]);
    desk.connections.clear();
    desk.pass(100);
    assert_eq!(desk.destinations(), ["[10.0.0.2]:80 1"]);
}
