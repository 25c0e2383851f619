//! What an operator has ordered of real servers: it holds over what is configured and what checks say, until it is ended, its
//! time is over, or the real server leaves the configuration.

use std::collections::BTreeSet;

use super::action::{Actions, News, VirtualServerId};
use super::config::Service;
use super::director::{Director, Server};
use super::server::ServerState;
use crate::kernel::ipvs::HostPort;
use crate::time::{Duration, Instant};

/// What is ordered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    /// No new connections; once those that it has are over, it is removed from the table.
    Drain {
        /// The longest that connections are waited for; `None` = as long as they take.
        limit: Option<Duration>,
    },
    /// This weight in place of all others, 0 to 2,147,483,647.
    Weight(u32),
}

/// An order that is in force.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ordered {
    /// How far it has come.
    pub state: OrderState,
    /// Since when.
    pub since: Instant,
    /// When it ends by itself.
    pub until: Option<Instant>,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OrderState {
    /// The weight holds.
    Weight(u32),
    /// Connections are waited for.
    Draining {
        /// When those that are left are cut.
        limit: Option<Instant>,
        /// How many there were when the table was last read.
        left: u64,
    },
    /// It is not in the table any more.
    Drained {
        /// How many connections were cut.
        cut: u64,
    },
}

/// An order in force, and for whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct OrderedServer {
    /// Of this virtual server.
    pub service: Service,
    /// The real server's address and port.
    pub target: HostPort,
    /// What was ordered.
    pub ordered: Ordered,
}

/// What becomes of an order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OrderNews {
    /// It is given, or given anew.
    Given(Order),
    /// The real server is drained.
    Drained {
        /// How many connections were cut.
        cut: u64,
        /// How long it took.
        after: Duration,
    },
    /// It ends.
    Over {
        /// By itself.
        timed: bool,
    },
}

impl Ordered {
    /// What was ordered before, if anything, and what is ordered now for so long.
    fn follow(before: Option<Self>, now: Instant, order: Order, span: Option<Duration>) -> Self {
        let until = span.map(|span| now + span);
        let since_of = |is_alike: fn(&OrderState) -> bool| {
            before.filter(|before| is_alike(&before.state)).map_or(now, |before| before.since)
        };
        match order {
            Order::Weight(weight) => {
                let since = since_of(|state| matches!(state, OrderState::Weight(_)));
                Self { state: OrderState::Weight(weight), since, until }
            }
            Order::Drain { limit } => {
                let limit = limit.map(|limit| now + limit);
                let state = match before.map(|before| before.state) {
                    Some(drained @ OrderState::Drained { .. }) => drained,
                    Some(OrderState::Draining { left, .. }) => OrderState::Draining { limit, left },
                    _ => OrderState::Draining { limit, left: 0 },
                };
                Self { state, since: since_of(|state| !matches!(state, OrderState::Weight(_))), until }
            }
        }
    }

    /// The weight that it demands.
    pub(super) const fn weight(self) -> u32 {
        match self.state {
            OrderState::Weight(weight) => weight,
            OrderState::Draining { .. } | OrderState::Drained { .. } => 0,
        }
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let limit = match self.state {
            OrderState::Draining { limit, .. } => limit,
            OrderState::Weight(_) | OrderState::Drained { .. } => None,
        };
        [limit, self.until].into_iter().flatten().min()
    }
}

impl Director {
    /// Gives an order for these real servers, which may be for a time, or ends (`None`) those in force. Unknown ones are
    /// passed over.
    pub(crate) fn order(
        &mut self,
        now: Instant,
        which: &[(Service, HostPort)],
        order: Option<(Order, Option<Duration>)>,
        actions: &mut Actions,
    ) {
        if self.is_stopping() {
            return;
        }
        let mut touched = BTreeSet::new();
        for (service, target) in which {
            let Some(id) = self.by_service.get(service).copied() else { continue };
            let server = self.servers.get_mut(&id);
            let Some(real) = server.and_then(|server| server.state.real_server(*target)) else { continue };
            let what = match order {
                Some((order, span)) => {
                    real.order = Some(Ordered::follow(real.order, now, order, span));
                    OrderNews::Given(order)
                }
                None if real.order.is_none() => continue,
                None => {
                    real.order = None;
                    OrderNews::Over { timed: false }
                }
            };
            actions.news.push(News::Order { service: service.clone(), target: *target, what });
            touched.insert(id);
        }
        if touched.is_empty() {
            return;
        }
        self.note_busy();
        self.settle_all(now, touched, "order", actions);
        actions.orders = Some(self.orders());
        // What has no connections need not wait.
        actions.read_table = true;
    }

    /// All orders in force.
    pub(crate) fn orders(&self) -> Vec<OrderedServer> {
        let of = |id: &VirtualServerId| {
            let state = &self.servers.get(id)?.state;
            Some(state.servers().filter_map(|(config, real)| {
                let (service, target) = (state.config.service.clone(), config.target);
                Some(OrderedServer { service, target, ordered: real.order? })
            }))
        };
        self.busy.iter().filter_map(of).flatten().collect()
    }

    /// Takes over what a predecessor was ordered.
    pub(super) fn take_over_orders(&mut self, orders: &[OrderedServer]) {
        for OrderedServer { service, target, ordered } in orders {
            let server = self.by_service.get(service).and_then(|id| self.servers.get_mut(id));
            if let Some(real) = server.and_then(|server| server.state.real_server(*target)) {
                real.order = Some(*ordered);
            }
        }
    }

    /// Ends the orders whose time is over. Whether there were any.
    pub(super) fn end_orders(
        &mut self,
        now: Instant,
        touched: &mut BTreeSet<VirtualServerId>,
        news: &mut Vec<News>,
    ) -> bool {
        let mut any = false;
        for id in &self.busy {
            let Some(Server { state, .. }) = self.servers.get_mut(id) else { continue };
            let ServerState { config, real_servers, .. } = state;
            for (real_config, real) in config.real_servers.iter().zip(real_servers) {
                let is_over = |order: &mut Ordered| order.until.is_some_and(|until| until <= now);
                if real.order.take_if(is_over).is_some() {
                    let (service, target) = (config.service.clone(), real_config.target);
                    news.push(News::Order { service, target, what: OrderNews::Over { timed: true } });
                    touched.insert(*id);
                    any = true;
                }
            }
        }
        any
    }
}
