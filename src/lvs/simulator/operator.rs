//! Connections of the simulated kernel, and an operator who drains real servers and gives them weights.
//!
//! Invariants: an order holds until it is ended, its time is over or its server leaves; no connection of what drains or leaves
//! is cut before its limit; what drains is drained once its connections are over.

use std::collections::BTreeMap;

use super::super::action::{Actions, News};
use super::super::config::Service;
use super::super::order::{Order, OrderNews, OrderState};
use super::World;
use crate::kernel::ipvs::{DestinationSettings, HostPort, IpvsEntry, IpvsKey};
use crate::time::{Duration, Instant};

/// What the operator remembers.
#[derive(Debug, Default)]
pub(super) struct Operator {
    orders: BTreeMap<(Service, HostPort), Given>,
    /// When what leaves may be cut.
    leaving: BTreeMap<IpvsKey, Instant>,
    pub(super) drained: usize,
    pub(super) left: usize,
    pub(super) cut: usize,
}

#[derive(Clone, Copy, Debug)]
struct Given {
    order: Order,
    limit: Option<Instant>,
    until: Option<Instant>,
}

impl Operator {
    /// The director ends, and all orders with it.
    pub(super) fn forget(&mut self) {
        self.orders.clear();
        self.leaving.clear();
    }
}

impl World {
    /// Clients come and go.
    pub(super) fn traffic(&mut self) {
        for (key, entry) in &self.kernel {
            let IpvsEntry::Destination(_, _, DestinationSettings { weight, .. }) = entry else { continue };
            let connections = self.connections.entry(*key).or_default();
            if *weight > 0 && self.prng.chance(1, 2) {
                *connections += 1;
            } else if self.prng.chance(1, 3) {
                *connections = connections.saturating_sub(1);
            }
        }
    }

    /// The kernel forgets connections with their destination.
    pub(super) fn forget_connections(&mut self) {
        self.connections.retain(|key, _| self.kernel.contains_key(key));
    }

    pub(super) fn give_an_order(&mut self) {
        let servers = &self.config.virtual_servers;
        let Some(server) = servers.get(self.prng.below(servers.len() as u64) as usize) else { return };
        let at = self.prng.below(server.real_servers.len() as u64) as usize;
        let which = (server.service.clone(), server.real_servers[at].target);
        let some = |world: &mut Self, seconds| Duration::from_secs(1 + world.prng.below(seconds));
        let span = if self.prng.chance(1, 3) { Some(some(self, 20)) } else { None };
        let order = match self.prng.below(4) {
            0 | 1 => {
                let limit = if self.prng.chance(1, 2) { Some(some(self, 10)) } else { None };
                Some((Order::Drain { limit }, span))
            }
            2 => Some((Order::Weight(self.prng.below(4) as u32), span)),
            _ => None,
        };
        match order {
            Some((order, span)) => {
                let limit = match order {
                    Order::Drain { limit } => limit.map(|limit| self.now + limit),
                    Order::Weight(_) => None,
                };
                let until = span.map(|span| self.now + span);
                self.operator.orders.insert(which.clone(), Given { order, limit, until });
            }
            None => _ = self.operator.orders.remove(&which),
        }
        let mut actions = Actions::default();
        self.director.order(self.now, &[which], order, &mut actions);
        self.take(actions);
    }

    /// Orders end with the real server.
    pub(super) fn forget_orders(&mut self) {
        let servers = &self.config.virtual_servers;
        self.operator.orders.retain(|(service, target), _| {
            let mut all = servers.iter().filter(|server| server.service == *service);
            all.any(|server| server.real_servers.iter().any(|real| real.target == *target))
        });
    }

    pub(super) fn hear(&mut self, news: &News) {
        let (seed, now) = (self.seed, self.now);
        match news {
            News::Order { service, target, what: OrderNews::Drained { cut, .. } } => {
                self.operator.drained += 1;
                self.operator.cut += usize::from(*cut > 0);
                let state = &self.director.servers[&self.director.by_service[service]].state;
                let of_server =
                    |key: &IpvsKey| key.destination == Some(*target) && state.members.contains(&key.service);
                let left: u32 =
                    self.connections.iter().filter(|(key, _)| of_server(key)).map(|(_, count)| count).sum();
                let given = self.operator.orders[&(service.clone(), *target)];
                if *cut > 0 {
                    assert!(
                        given.limit.is_some_and(|limit| limit <= now),
                        "seed {seed}: {target} is cut early"
                    );
                } else {
                    // At the limit it may have got connections that it had not when the table was last read.
                    let is_over = given.limit.is_some_and(|limit| limit <= now);
                    assert!(left == 0 || is_over, "seed {seed}: {target} is cut in silence");
                }
            }
            News::Order { service, target, what: OrderNews::Over { timed: true } } => {
                let given = self.operator.orders.remove(&(service.clone(), *target));
                let until = given.and_then(|given| given.until);
                assert!(until.is_some_and(|until| until <= now), "seed {seed}: {target} is restored early");
            }
            News::Leaving { key, limit } => _ = self.operator.leaving.insert(*key, now + *limit),
            News::Left { key, cut, .. } => {
                self.operator.left += 1;
                self.operator.cut += usize::from(*cut > 0);
                let limit = self.operator.leaving.remove(key);
                if *cut > 0 {
                    assert!(limit.is_some_and(|limit| limit <= now), "seed {seed}: {key} is cut early");
                } else {
                    let left = self.connections.get(key).copied().unwrap_or_default();
                    let is_over = limit.is_some_and(|limit| limit <= now);
                    assert!(left == 0 || is_over, "seed {seed}: {key} is cut in silence");
                }
            }
            _ => {}
        }
    }

    /// What must hold always of orders.
    pub(super) fn look_at_orders(&self) {
        let seed = self.seed;
        let held: BTreeMap<_, _> = self
            .director
            .orders()
            .into_iter()
            .map(|order| ((order.service, order.target), order.ordered))
            .collect();
        assert!(
            held.keys().eq(self.operator.orders.keys()),
            "seed {seed}: {held:#?}\n{:#?}",
            self.operator.orders
        );
        for (which, given) in &self.operator.orders {
            let state = held[which].state;
            match given.order {
                Order::Weight(weight) => {
                    assert_eq!(state, OrderState::Weight(weight), "seed {seed}: {which:?}")
                }
                Order::Drain { .. } => {
                    assert!(!matches!(state, OrderState::Weight(_)), "seed {seed}: {which:?}");
                }
            }
            let server = &self.director.servers[&self.director.by_service[&which.0]];
            for (key, entry) in &server.wishes {
                let IpvsEntry::Destination(_, target, settings) = entry else { continue };
                if *target != which.1 {
                    continue;
                }
                match state {
                    OrderState::Drained { .. } => panic!("seed {seed}: {key} is drained and wished for"),
                    OrderState::Draining { .. } => assert_eq!(settings.weight, 0, "seed {seed}: {key}"),
                    OrderState::Weight(weight) => {
                        assert!([0, weight].contains(&settings.weight), "seed {seed}: {key}");
                    }
                }
            }
        }
    }

    /// Once all connections are over.
    pub(super) fn look_for_drained(&self) {
        for order in self.director.orders() {
            let drains = matches!(order.ordered.state, OrderState::Draining { .. });
            assert!(!drains, "seed {}: {order:?}", self.seed);
        }
        for server in self.director.servers.values() {
            assert!(server.state.leaving.is_empty(), "seed {}: {:?}", self.seed, server.state.leaving);
        }
    }
}
