//! Draining: real servers that get no new connections stay in the table until those that they have are over, or until a
//! limit.
//!
//! Two kinds drain: those that an operator says so of, and those that a new configuration does not have any more.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Actions, News, VirtualServerId};
use super::config::VirtualServer;
use super::director::{Director, Server};
use super::order::{OrderNews, OrderState};
use super::server::{ServerState, destination, settings_of};
use super::table::Table;
use crate::kernel::ipvs::{
    Connections, DestinationSettings, HeldDestination, IpvsKey, IpvsTable, Protocol, ServiceKey,
};
use crate::time::{Duration, Instant};

/// A connection that was given to a real server just before it drained may still be beginning: it counts as established
/// a round trip later.
const SETTLED: Duration = Duration::from_secs(1);

/// An entry that is not wished for any more, except for its connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Leaving {
    /// As which it stays: with weight 0.
    pub settings: DestinationSettings,
    /// Since when.
    pub since: Instant,
    /// When the connections that are left are cut.
    pub limit: Instant,
    /// How many there were when the table was last read.
    pub left: u64,
}

/// Connections of a destination that gets no new ones.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    /// Those that are waited for.
    waited: u64,
    /// All.
    all: u64,
}

impl Left {
    fn of(held: &HeldDestination) -> Self {
        let Connections { active, inactive, .. } = held.connections;
        let all = u64::from(active) + u64::from(inactive);
        // IPVS counts none of UDP as active.
        let waited = match held.service {
            ServiceKey::Address(_, Protocol::Udp) => all,
            ServiceKey::Address(..) | ServiceKey::FirewallMark(_) => active.into(),
        };
        Self { waited, all }
    }

    const fn plus(self, other: Self) -> Self {
        Self { waited: self.waited.saturating_add(other.waited), all: self.all.saturating_add(other.all) }
    }

    /// Whether what has drained since then is over.
    fn is_over(self, since: Instant, now: Instant) -> bool {
        self.waited == 0 && (self.all == 0 || now >= since + SETTLED)
    }
}

/// A reading of the table, as far as it concerns what drains.
struct Reading<'a> {
    table: &'a Table,
    drained: BTreeMap<IpvsKey, Left>,
}

impl<'a> Reading<'a> {
    fn of(read: &IpvsTable, table: &'a Table) -> Self {
        let drains = |held: &&HeldDestination| held.settings.is_some_and(|settings| settings.weight == 0);
        let drained =
            read.destinations.iter().filter(drains).map(|held| {
                (IpvsKey { service: held.service, destination: Some(held.target) }, Left::of(held))
            });
        Self { table, drained: drained.collect() }
    }

    /// What an entry has left; `None` while it may get new connections.
    fn left(&self, key: IpvsKey) -> Option<Left> {
        if self.table.is_under_way(key) {
            None
        } else if self.table.has(key) {
            self.drained.get(&key).copied()
        } else {
            Some(Left::default())
        }
    }
}

impl Director {
    /// After orders or the configuration have changed.
    pub(super) fn note_busy(&mut self) {
        let is_busy = |server: &Server| {
            !server.state.leaving.is_empty()
                || server.state.real_servers.iter().any(|real| real.order.is_some())
        };
        self.busy = self.servers.iter().filter(|(_, server)| is_busy(server)).map(|(id, _)| *id).collect();
        self.note_deadline();
    }

    fn note_deadline(&mut self) {
        let of = |id: &VirtualServerId| {
            let state = &self.servers.get(id)?.state;
            let orders = state.real_servers.iter().filter_map(|real| real.order?.deadline());
            orders.chain(state.leaving.values().map(|leaving| leaving.limit)).min()
        };
        self.drain_at = self.busy.iter().filter_map(of).min();
    }

    /// A deadline is over, or the table was read.
    pub(super) fn drain(&mut self, now: Instant, read: Option<&IpvsTable>, actions: &mut Actions) {
        if self.busy.is_empty() || read.is_none() && self.drain_at.is_none_or(|at| at > now) {
            return;
        }
        let mut touched = BTreeSet::new();
        let mut is_other = self.end_orders(now, &mut touched, &mut actions.news);
        let reading = read.map(|read| Reading::of(read, &self.table));
        for id in &self.busy {
            let Some(Server { state, .. }) = self.servers.get_mut(id) else { continue };
            let drained = state.drain(now, reading.as_ref(), &mut actions.news);
            is_other |= drained;
            let left = state.let_go(now, reading.as_ref(), &mut actions.news);
            if drained || left {
                touched.insert(*id);
            }
        }
        if touched.is_empty() {
            return;
        }
        self.note_busy();
        self.settle_all(now, touched, "drained", actions);
        if is_other {
            actions.orders = Some(self.orders());
        }
    }

    /// What a predecessor has left in services that go on, and that is not wished for, leaves without losing its
    /// connections.
    pub(super) fn take_over_leaving(
        &mut self,
        now: Instant,
        recorded: &BTreeSet<ServiceKey>,
        actions: &mut Actions,
    ) {
        let Some(limit) = self.config.conduct.leaving_limit else { return };
        let mut touched = BTreeSet::new();
        for service in recorded {
            let Some(id) = self.owners.get(service).copied() else { continue };
            let unwished: Vec<IpvsKey> = self
                .table
                .of_service(*service)
                .filter(|key| key.destination.is_some() && !self.is_wished(*key))
                .collect();
            for key in unwished {
                let Some(settings) = self.table.settings(key) else { continue };
                let Some(server) = self.servers.get_mut(&id) else { continue };
                // One that is configured is dead or drained.
                if server.state.configured().contains(&key) {
                    continue;
                }
                let settings = DestinationSettings { weight: 0, ..settings };
                let leaving = Leaving { settings, since: now, limit: now + limit, left: 0 };
                server.state.leaving.insert(key, leaving);
                actions.news.push(News::Leaving { key, limit });
                touched.insert(id);
            }
        }
        self.settle_all(now, touched, "start", actions);
    }
}

impl ServerState {
    /// Live real servers that another configuration does not have, as they are in the table.
    pub(super) fn leavers(&self, new: &VirtualServer) -> Vec<(IpvsKey, DestinationSettings)> {
        if self.config.real_servers == new.real_servers {
            return Vec::new();
        }
        let stay: BTreeSet<_> = new.real_servers.iter().map(|real| (real.target, real.method)).collect();
        let mut leavers = Vec::new();
        for (config, real) in self.servers() {
            if stay.contains(&(config.target, config.method))
                || !real.is_up()
                || self.weight_in_table(config, real).is_none()
            {
                continue;
            }
            for member in &self.members {
                if let Some(target) = Self::in_table(*member, config) {
                    let key = IpvsKey { service: *member, destination: Some(target) };
                    leavers.push((key, settings_of(config, 0)));
                }
            }
        }
        leavers
    }

    /// After another configuration: what leaves from now on, and what has come back.
    pub(super) fn leave(
        &mut self,
        now: Instant,
        leavers: Vec<(IpvsKey, DestinationSettings)>,
        limit: Option<Duration>,
        news: &mut Vec<News>,
    ) {
        if let Some(limit) = limit {
            for (key, settings) in leavers {
                self.leaving.entry(key).or_insert_with(|| {
                    news.push(News::Leaving { key, limit });
                    Leaving { settings, since: now, limit: now + limit, left: 0 }
                });
            }
        }
        if self.leaving.is_empty() {
            return;
        }
        let stay = self.configured();
        let members = &self.members;
        self.leaving.retain(|key, _| members.contains(&key.service) && !stay.contains(key));
    }

    /// All entries of configured servers, also of the sorry server, whether they are in the table or not.
    fn configured(&self) -> BTreeSet<IpvsKey> {
        let of_member = |member: &ServiceKey| {
            let service = *member;
            let real =
                self.config.real_servers.iter().filter_map(move |config| Self::in_table(service, config));
            let sorry =
                self.config.sorry_server.map(|sorry| destination(service, sorry.target, sorry.method));
            real.chain(sorry).map(move |target| IpvsKey { service, destination: Some(target) })
        };
        self.members.iter().flat_map(of_member).collect()
    }

    /// Ends the draining of those whose connections are over, or whose limit is. Whether there were any.
    fn drain(&mut self, now: Instant, reading: Option<&Reading<'_>>, news: &mut Vec<News>) -> bool {
        let mut any = false;
        for (config, real) in self.config.real_servers.iter().zip(&mut self.real_servers) {
            let Some(ordered) = &mut real.order else { continue };
            let OrderState::Draining { limit, left } = &mut ordered.state else { continue };
            let of_members = reading.and_then(|reading| {
                let keys = self.members.iter().filter_map(|member| {
                    Some(IpvsKey { service: *member, destination: Some(Self::in_table(*member, config)?) })
                });
                let mut each = keys.map(|key| reading.left(key));
                each.try_fold(Left::default(), |sum, of_member| Some(sum.plus(of_member?)))
            });
            if let Some(now_left) = of_members {
                *left = now_left.waited;
            }
            let is_over = of_members.is_some_and(|left| left.is_over(ordered.since, now));
            if is_over || limit.is_some_and(|limit| limit <= now) {
                let (cut, after) = (if is_over { 0 } else { *left }, now.saturating_since(ordered.since));
                ordered.state = OrderState::Drained { cut };
                let (service, target) = (self.config.service.clone(), config.target);
                news.push(News::Order { service, target, what: OrderNews::Drained { cut, after } });
                any = true;
            }
        }
        any
    }

    /// Lets those go that leave and whose connections are over, or whose limit is. Whether there were any.
    fn let_go(&mut self, now: Instant, reading: Option<&Reading<'_>>, news: &mut Vec<News>) -> bool {
        let before = self.leaving.len();
        self.leaving.retain(|key, leaving| {
            let left = reading.and_then(|reading| reading.left(*key));
            if let Some(left) = left {
                leaving.left = left.waited;
            }
            let is_over = left.is_some_and(|left| left.is_over(leaving.since, now));
            if is_over || leaving.limit <= now {
                let cut = if is_over { 0 } else { leaving.left };
                news.push(News::Left { key: *key, cut, after: now.saturating_since(leaving.since) });
                return false;
            }
            true
        });
        self.leaving.len() != before
    }
}
