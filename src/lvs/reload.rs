//! Taking up a configuration, the first one or another one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::action::{Actions, Advice, Beginning, CheckId, Conduct, DirectorConfig, News, VirtualServerId};
use super::config::{Service, VirtualServer};
use super::director::{Director, Server};
use super::order::{OrderState, Ordered};
use super::server::{CheckState, RealServerState, ServerState};
use super::table::Table;
use super::{GroupMember, RealServer};
use crate::kernel::ipvs::{IpvsEntry, IpvsKey, ServiceKey};
use crate::time::{Duration, Instant};
use crate::wanted::{Change, IpvsEntries, WantedSet};

/// What a configuration would change in a virtual server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Planned {
    /// It comes.
    Added,
    /// It goes.
    Removed,
    /// It stays, with other settings, real servers or checks.
    Changed,
}

/// The checks of one virtual server: place of the real server, the check, and whether it has failed until it succeeds.
type Checks = Vec<(u32, CheckId, bool)>;

impl DirectorConfig {
    /// The members of each virtual server, before any is found to be another one's.
    fn members(&self, server: &VirtualServer) -> Vec<ServiceKey> {
        match &server.service {
            Service::Address(target, protocol) => vec![ServiceKey::Address(*target, *protocol)],
            Service::FirewallMark(mark) => vec![ServiceKey::FirewallMark(*mark)],
            Service::Group(name, protocol) => {
                let group = self.groups.iter().find(|group| group.name == *name);
                let members: &[GroupMember] = group.map_or(&[], |group| &group.members);
                members.iter().flat_map(|member| member.services(*protocol)).collect()
            }
        }
    }

    /// The checks of each virtual server.
    fn checks_by_server(&self) -> Vec<Checks> {
        let mut checks = vec![Checks::new(); self.virtual_servers.len()];
        for checked in &self.checks {
            if let Some(list) = checks.get_mut(checked.virtual_server as usize) {
                list.push((checked.real_server, checked.check, checked.alpha));
            }
        }
        checks
    }

    /// All that is said of each virtual server, by its service.
    fn by_service(&self) -> BTreeMap<&Service, (&VirtualServer, Vec<ServiceKey>, Checks)> {
        let servers = self.virtual_servers.iter().zip(self.checks_by_server());
        servers.map(|(server, checks)| (&server.service, (server, self.members(server), checks))).collect()
    }
}

impl Director {
    /// Begins with a configuration: takes over what the kernel holds, and asks for what it lacks.
    pub(crate) fn begin(
        now: Instant,
        config: DirectorConfig,
        beginning: &Beginning,
        actions: &mut Actions,
    ) -> Self {
        let mut director = Self::default();
        director.addresses.clone_from(&beginning.addresses);
        director.recorded.clone_from(&beginning.recorded);
        director.table.learn(&beginning.table);
        if beginning.flush {
            director.table.flush();
            actions.flush = true;
        }
        let adopted = beginning.same_configuration && !beginning.flush;
        director.install(now, config, &BTreeSet::new(), "start", Some((beginning, adopted)), actions);
        director.take_over_leaving(now, &beginning.recorded, actions);
        director.note_busy();
        director.remove_leftovers(&beginning.recorded, actions);
        director.update_record(actions);
        director.read_later(now, Duration::ZERO);
        director
    }

    /// What [`Director::apply`] would change, by virtual server. Nothing for what stays as it is.
    pub(crate) fn plan(&self, config: &DirectorConfig) -> Vec<(Service, Planned)> {
        let (before, after) = (self.config.by_service(), config.by_service());
        let gone = before.keys().filter(|service| !after.contains_key(*service));
        let gone = gone.map(|service| ((*service).clone(), Planned::Removed));
        let rest = after.iter().filter_map(|(service, what)| match before.get(service) {
            None => Some(((*service).clone(), Planned::Added)),
            Some(old) if old != what => Some(((*service).clone(), Planned::Changed)),
            Some(_) => None,
        });
        gone.chain(rest).collect()
    }

    /// Takes up another configuration. What is the same by its identity keeps its state: a virtual server by its
    /// service, a real server by its address and port, a check by its number. Gives what [`Director::plan`] had given.
    pub(crate) fn apply(
        &mut self,
        now: Instant,
        config: DirectorConfig,
        actions: &mut Actions,
    ) -> Vec<(Service, Planned)> {
        let planned = self.plan(&config);
        let before = self.orders();
        let changed = planned.iter().map(|(service, _)| service).collect();
        self.install(now, config, &changed, "configuration", None, actions);
        self.note_busy();
        let after = self.orders();
        if before != after {
            actions.orders = Some(after);
        }
        self.update_record(actions);
        planned
    }

    /// `planned`: the virtual servers that are not as they were. `beginning`: what a predecessor has left, and whether it
    /// had this configuration, so that the table tells what it knew.
    fn install(
        &mut self,
        now: Instant,
        config: DirectorConfig,
        planned: &BTreeSet<&Service>,
        reason: &str,
        beginning: Option<(&Beginning, bool)>,
        actions: &mut Actions,
    ) {
        let mut old = core::mem::take(&mut self.servers);
        let old_ids = core::mem::take(&mut self.by_service);
        self.owners.clear();
        self.checked.clear();
        let (mut new, mut changed) = (BTreeSet::new(), BTreeSet::new());
        for (server, checks) in config.virtual_servers.iter().zip(config.checks_by_server()) {
            let previous = old_ids.get(&server.service).and_then(|id| Some((*id, old.remove(id)?)));
            let (id, previous) = match previous {
                Some((id, previous)) => (id, Some(previous)),
                None => {
                    self.next_id += 1;
                    new.insert(VirtualServerId(self.next_id));
                    (VirtualServerId(self.next_id), None)
                }
            };
            let members = self.claim(id, server, config.members(server), &mut actions.news);
            for (real, check, _) in &checks {
                self.checked.entry(*check).or_default().push((id, *real as usize));
            }
            let previous = match previous {
                Some(previous) if !planned.contains(&server.service) && previous.state.members == members => {
                    self.by_service.insert(server.service.clone(), id);
                    self.servers.insert(id, previous);
                    continue;
                }
                previous => previous,
            };
            changed.insert(id);
            let before = previous.as_ref().map(|previous| &previous.state);
            let leavers = before.map(|before| before.leavers(server)).unwrap_or_default();
            let Conduct { rs_init_notifies, leaving_limit } = config.conduct;
            let mut state = ServerState::new(server.clone(), members, &checks, before, rs_init_notifies);
            state.leave(now, leavers, leaving_limit, &mut actions.news);
            let (set, wishes) = match previous {
                Some(Server { set, wishes, .. }) => (set, wishes),
                None => (WantedSet::new([]), BTreeMap::new()),
            };
            self.by_service.insert(server.service.clone(), id);
            self.servers.insert(id, Server { state, set, wishes });
        }
        self.config = config;
        self.look_for_addresses(actions);
        if let Some((beginning, _)) = beginning {
            self.take_over_orders(&beginning.orders);
        }

        let reason: Arc<str> = reason.into();
        let mut all_changes = Vec::new();
        for (id, server) in &mut self.servers {
            if !changed.contains(id) {
                continue;
            }
            let is_new = new.contains(id);
            if let Some((beginning, true)) = beginning {
                server.state.adopt(&self.table, &beginning.recorded);
            }
            server.state.take_up(is_new, &reason, &mut actions.news);
            all_changes.push((*id, server.wish_anew(is_new)));
        }
        // Only now it is known what moves from one to the other.
        for (id, changes) in all_changes {
            self.emit(now, id, changes, actions);
        }
        for (id, mut server) in old {
            let mut changes = Vec::new();
            server.set.release(&mut changes);
            self.retired.insert(id, server.set);
            self.emit(now, id, changes, actions);
        }
        self.retired.retain(|_, set| !set.is_settled());
    }

    /// The members that are not those of a virtual server further up.
    fn claim(
        &mut self,
        id: VirtualServerId,
        server: &VirtualServer,
        members: Vec<ServiceKey>,
        news: &mut Vec<News>,
    ) -> Vec<ServiceKey> {
        let mut claimed = Vec::with_capacity(members.len());
        for key in members {
            match self.owners.get(&key) {
                None => {
                    self.owners.insert(key, id);
                    claimed.push(key);
                }
                // Twice in its own group.
                Some(owner) if *owner == id => {}
                Some(_) => news.push(News::AlreadyServed { service: server.service.clone(), key }),
            }
        }
        claimed
    }

    /// Removes what a predecessor recorded as its own and what is not wished for.
    fn remove_leftovers(&mut self, recorded: &BTreeSet<ServiceKey>, actions: &mut Actions) {
        let held = recorded.iter().flat_map(|service| self.table.of_service(*service));
        let leftovers: Vec<IpvsKey> = held.filter(|key| !self.is_wished(*key)).collect();
        let services = leftovers.iter().filter(|key| key.destination.is_none());
        let services: BTreeSet<ServiceKey> = services.map(|key| key.service).collect();
        for key in leftovers.iter().rev() {
            self.table.remove(None, *key, &services, &mut actions.kernel);
        }
        if !leftovers.is_empty() {
            actions.news.push(News::LeftOver(leftovers.len()));
        }
    }
}

impl Server {
    /// Tells the set what is wished for.
    fn wish_anew(&mut self, is_new: bool) -> Vec<Change<IpvsEntries>> {
        let mut changes = Vec::new();
        let wishes = self.state.wishes();
        if is_new || wishes != self.wishes {
            let in_order = wishes.values().map(|wish: &IpvsEntry| (wish.clone(), true));
            self.set.reconfigure(in_order, &|wish| Some(wish.key()), &|_| None, &mut changes);
            self.wishes = wishes;
        }
        if is_new {
            self.set.want(&mut changes);
        }
        changes
    }
}

impl ServerState {
    fn new(
        config: VirtualServer,
        members: Vec<ServiceKey>,
        checks: &Checks,
        old: Option<&Self>,
        init_notifies: bool,
    ) -> Self {
        let mut by_target = BTreeMap::new();
        if let Some(old) = old {
            by_target.extend(old.servers().map(|(config, state)| (config.target, state)));
        }
        let mut real_servers: Vec<RealServerState> = Vec::with_capacity(config.real_servers.len());
        let mut own = vec![Vec::new(); config.real_servers.len()];
        for (at, id, alpha) in checks {
            if let Some(own) = own.get_mut(*at as usize) {
                own.push((*id, *alpha));
            }
        }
        for (RealServer { target, .. }, own) in config.real_servers.iter().zip(own) {
            real_servers.push(RealServerState::new(&own, by_target.get(target).copied(), init_notifies));
        }
        let (quorum_up, suspended) = old.map_or((false, false), |old| (old.quorum_up, old.suspended));
        let leaving = old.map(|old| old.leaving.clone()).unwrap_or_default();
        Self { config, members, real_servers, quorum_up, suspended, leaving }
    }

    /// After a new configuration: what it changes in what was told.
    fn take_up(&mut self, is_new: bool, reason: &Arc<str>, news: &mut Vec<News>) {
        for at in 0..self.real_servers.len() {
            let Some(state) = self.real_servers.get(at) else { continue };
            let up = state.is_up();
            if state.told.is_some_and(|told| told != up) {
                news.extend(self.tell_real_server(at, up, reason));
            }
        }
        self.weigh(reason, news);
        if is_new && !self.quorum_up && self.config.sorry_server.is_some() {
            // The sorry server stands in from the start.
            news.push(self.quorum_news(false, reason));
        }
    }

    /// Takes over from the table what a predecessor with this configuration had found: what it left out, or with weight
    /// 0, was down.
    fn adopt(&mut self, table: &Table, recorded: &BTreeSet<ServiceKey>) {
        let is_left = |member: &&ServiceKey| {
            recorded.contains(*member) && table.has(IpvsKey { service: **member, destination: None })
        };
        let Some(member) = self.members.iter().find(is_left).copied() else { return };
        for at in 0..self.real_servers.len() {
            let Some(config) = self.config.real_servers.get(at) else { continue };
            let Some(target) = Self::in_table(member, config) else { continue };
            let held = table.settings(IpvsKey { service: member, destination: Some(target) });
            let held = held.map(|settings| settings.weight);
            let Some(state) = self.real_servers.get_mut(at).filter(|state| !state.checks.is_empty()) else {
                continue;
            };
            let up = match state.order {
                // It was taken out whether it was up or not.
                Some(Ordered { state: OrderState::Drained { .. }, .. }) => true,
                order => {
                    let is_none = order.map_or(config.weight, Ordered::weight) == 0;
                    held.is_some_and(|weight| weight > 0 || is_none)
                }
            };
            state.checks.iter_mut().for_each(|check| check.up = up);
            state.told = Some(up);
            let is_ordered = state.order.is_some();
            state.adopted_weight = held.filter(|weight| up && *weight != config.weight && !is_ordered);
        }
    }
}

impl RealServerState {
    fn new(checks: &[(CheckId, bool)], old: Option<&Self>, init_notifies: bool) -> Self {
        let Some(old) = old else {
            let new = |(id, alpha): &(CheckId, bool)| CheckState {
                id: *id,
                up: !alpha,
                has_run: false,
                advice: Advice::Keep,
            };
            let mut state = Self { checks: checks.iter().map(new).collect(), ..Self::default() };
            let waits = init_notifies && !state.checks.is_empty();
            state.told = (state.is_up() && !waits).then_some(true);
            return state;
        };
        // A check that is new says nothing yet: the server stays as it is.
        let up = old.is_up();
        let new = |id| CheckState { id, up, has_run: false, advice: Advice::Keep };
        let known = |id| old.checks.iter().find(|check| check.id == id).copied();
        let checks = checks.iter().map(|(id, _)| known(*id).unwrap_or_else(|| new(*id))).collect();
        Self { checks, told: old.told, adopted_weight: old.adopted_weight, order: old.order }
    }
}
