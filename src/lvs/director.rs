//! All virtual servers of one network namespace.
//!
//! The driver carries [`Actions`] out in order and answers each change of the kernel's table, in order too; a reading of
//! the table is answered between the changes that were asked for before it and those after it. A call with nothing due
//! is harmless.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Service;
use super::action::{
    Actions, CheckId, CheckSwitch, DirectorConfig, Ending, Event, News, Verdict, VirtualServerId,
};
use super::server::ServerState;
use super::table::Table;
use crate::kernel::Verb;
use crate::kernel::ipvs::{IpvsEntry, IpvsKey, IpvsRefusal, IpvsTable, ServiceKey};
use crate::time::{Duration, Instant};
use crate::timer::TimerQueue;
use crate::wanted::{Change, IpvsEntries, WantedSet};

/// The kernel tells nobody of changes of its table: it is read at least so often …
const READ_PAUSE: Duration = Duration::from_millis(50);
/// … unless that takes more than one part in so many of the time.
const READ_SHARE: u32 = 20;

/// First pause before a removal that was refused is tried again; doubles up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest pause between two tries.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The engine.
#[derive(Debug, Default)]
pub(crate) struct Director {
    pub(super) config: DirectorConfig,
    pub(super) servers: BTreeMap<VirtualServerId, Server>,
    pub(super) by_service: BTreeMap<Service, VirtualServerId>,
    /// Who has a service of the kernel.
    pub(super) owners: BTreeMap<ServiceKey, VirtualServerId>,
    /// Sets of virtual servers that are gone, until all their changes are answered.
    pub(super) retired: BTreeMap<VirtualServerId, WantedSet<IpvsEntries>>,
    /// Real servers of a check: virtual server, and place among its real servers.
    pub(super) checked: BTreeMap<CheckId, Vec<(VirtualServerId, usize)>>,
    /// Checks that rest.
    pub(super) resting: BTreeSet<CheckId>,
    pub(super) table: Table,
    /// What the kernel refused to remove: how often, and when it is asked again.
    doomed: BTreeMap<IpvsKey, (u32, Instant)>,
    pub(super) addresses: BTreeSet<IpAddr>,
    pub(super) timers: TimerQueue<VirtualServerId>,
    /// What was said last of the services that are ours, and that it may not be so any more.
    pub(super) recorded: BTreeSet<ServiceKey>,
    record_is_stale: bool,
    pub(super) next_id: u32,
    read_at: Option<Instant>,
    /// Virtual servers with orders, or with entries that leave.
    pub(super) busy: BTreeSet<VirtualServerId>,
    /// The earliest deadline of theirs.
    pub(super) drain_at: Option<Instant>,
    stopping: bool,
    stopped: bool,
}

/// A virtual server, and what the kernel shall hold of it.
#[derive(Debug)]
pub(super) struct Server {
    pub state: ServerState,
    pub set: WantedSet<IpvsEntries>,
    /// The wishes of the set.
    pub wishes: BTreeMap<IpvsKey, IpvsEntry>,
}

impl Director {
    /// Something happened.
    pub(crate) fn handle(&mut self, now: Instant, event: Event, actions: &mut Actions) {
        match event {
            Event::Answers(answers) => self.on_answers(now, answers, actions),
            Event::Table { table, took } => self.on_table(now, &table, took, actions),
            Event::Check { check, verdict, reason } => self.on_check(now, check, verdict, &reason, actions),
            Event::Address { address, present } => self.on_address(address, present, actions),
        }
    }

    /// When [`Director::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let doomed = self.doomed.values().map(|(_, at)| *at).min();
        [self.read_at, self.timers.next(), self.drain_at, doomed].into_iter().flatten().min()
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant, actions: &mut Actions) {
        while let Some((_, id)) = self.timers.pop_due(now) {
            self.judge(now, id, actions);
        }
        self.drain(now, None, actions);
        self.remove_doomed(now, actions);
        if self.read_at.is_some_and(|at| at <= now) {
            self.read_at = None;
            actions.read_table = true;
        }
    }

    /// The end of it all: told by [`Actions::stopped`].
    pub(crate) fn stop(&mut self, now: Instant, ending: Ending, actions: &mut Actions) {
        self.stopping = true;
        self.read_at = None;
        let reason: Arc<str> = "shutdown".into();
        let ids: Vec<VirtualServerId> = self.servers.keys().copied().collect();
        for id in &ids {
            self.tell_the_end(*id, &reason, actions);
        }
        match ending {
            Ending::Remove => {
                for id in ids {
                    let Some(server) = self.servers.get_mut(&id) else { continue };
                    let mut changes = Vec::new();
                    server.set.release(&mut changes);
                    self.emit(now, id, changes, actions);
                }
            }
            Ending::Flush | Ending::Keep => {
                actions.flush = ending == Ending::Flush;
                self.servers.values_mut().for_each(|server| server.set.abandon());
            }
        }
        self.timers = TimerQueue::default();
        self.doomed.clear();
        self.busy.clear();
        self.drain_at = None;
        self.finish(ending, actions);
    }

    /// `omega`: the notifications of a virtual server and of its real servers that are up.
    fn tell_the_end(&mut self, id: VirtualServerId, reason: &Arc<str>, actions: &mut Actions) {
        let Some(Server { state, .. }) = self.servers.get_mut(&id) else { return };
        if !state.config.omega {
            return;
        }
        for at in 0..state.real_servers.len() {
            if state.real_servers.get(at).is_some_and(super::server::RealServerState::is_up) {
                actions.news.extend(state.tell_real_server(at, false, reason));
            }
        }
        // Also of one that is down already, as keepalived does.
        actions.news.push(state.quorum_news(false, reason));
    }

    fn finish(&mut self, ending: Ending, actions: &mut Actions) {
        if self.stopping && !self.stopped && (self.table.is_settled() || ending != Ending::Remove) {
            self.stopped = true;
            actions.stopped = true;
            if ending != Ending::Keep && !self.recorded.is_empty() {
                self.recorded.clear();
                actions.record = Some(BTreeSet::new());
            }
        }
    }

    fn on_answers(&mut self, now: Instant, answers: Vec<Result<(), IpvsRefusal>>, actions: &mut Actions) {
        let mut touched: BTreeMap<VirtualServerId, Vec<IpvsKey>> = BTreeMap::new();
        let mut added = BTreeSet::new();
        for answer in answers {
            let refused = answer.is_err();
            let Some(sent) = self.table.answered(refused) else {
                debug_assert!(false, "more answers than changes");
                break;
            };
            actions.news.extend(answer.err().map(News::Refused));
            self.note_doom(now, sent.verb, sent.key, refused);
            let Some(id) = sent.requester else { continue };
            if let Some(set) = self.set(id) {
                set.on_answer(now, sent.verb, sent.key, refused);
            }
            touched.entry(id).or_default().push(sent.key);
            if sent.key.destination.is_none() && sent.verb == Verb::Add && !refused {
                added.insert(sent.key.service);
            }
        }
        for (id, keys) in touched {
            let Some(set) = self.set(id) else { continue };
            let mut changes = Vec::new();
            set.request_again(keys, &mut changes);
            // What was refused, or would have been, for want of its service.
            set.hasten(&|key| key.destination.is_some() && added.contains(&key.service), &mut changes);
            self.emit(now, id, changes, actions);
        }
        self.retired.retain(|_, set| !set.is_settled());
        if self.stopping {
            self.finish(Ending::Remove, actions);
        } else if self.record_is_stale {
            self.update_record(actions);
        }
    }

    /// After the answer to a change.
    fn note_doom(&mut self, now: Instant, verb: Verb, key: IpvsKey, refused: bool) {
        if !refused || verb == Verb::Add || self.stopping {
            self.doomed.remove(&key);
            return;
        }
        // With a service all that would have gone along with it.
        let with_it: Vec<IpvsKey> = match key.destination {
            None => self.table.of_service(key.service).collect(),
            Some(_) => Vec::new(),
        };
        for key in with_it.into_iter().chain([key]).collect::<BTreeSet<_>>() {
            let (tries, at) = self.doomed.entry(key).or_insert((0, now));
            *at = now + RETRY_FIRST.saturating_mul(1 << (*tries).min(6)).min(RETRY_MAX);
            *tries = tries.saturating_add(1);
        }
    }

    /// Asks again for the removal of what was refused, and is still there and not wished for.
    fn remove_doomed(&mut self, now: Instant, actions: &mut Actions) {
        let due: Vec<IpvsKey> =
            self.doomed.iter().filter(|(_, (_, at))| *at <= now).map(|(key, _)| *key).collect();
        for key in due {
            let sent =
                !self.is_wished(key) && self.table.remove(None, key, &BTreeSet::new(), &mut actions.kernel);
            match self.doomed.get_mut(&key) {
                // Until it is answered.
                Some((_, at)) if sent => *at = now + RETRY_MAX,
                _ => _ = self.doomed.remove(&key),
            }
        }
    }

    fn set(&mut self, id: VirtualServerId) -> Option<&mut WantedSet<IpvsEntries>> {
        match self.servers.get_mut(&id) {
            Some(server) => Some(&mut server.set),
            None => self.retired.get_mut(&id),
        }
    }

    fn on_table(&mut self, now: Instant, table: &IpvsTable, took: Duration, actions: &mut Actions) {
        self.table.learn(table);
        if self.stopping {
            return;
        }
        for (id, server) in &mut self.servers {
            // What is under way came later than what was read.
            if !server.set.is_settled() {
                continue;
            }
            let (held, wishes) = (&self.table, &server.wishes);
            // What was changed by hand is not what is wished for, and as good as gone.
            server.set.resynchronise(now, &|key| {
                wishes.get(&key).is_some_and(|wish| held.holds(wish)).then_some(true)
            });
            self.timers.set(*id, server.set.poll_timeout());
        }
        self.drain(now, Some(table), actions);
        self.read_later(now, took);
    }

    /// It has been told to stop.
    pub(super) const fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Plans the next reading of the table.
    pub(super) fn read_later(&mut self, now: Instant, took: Duration) {
        self.read_at = Some(now + READ_PAUSE.max(took.saturating_mul(READ_SHARE)));
    }

    fn judge(&mut self, now: Instant, id: VirtualServerId, actions: &mut Actions) {
        let Some(set) = self.set(id) else { return };
        let mut changes = Vec::new();
        let repairs = set.judge(now, &mut changes);
        actions.news.extend(
            repairs.into_iter().map(|repair| News::Repaired { key: repair.key, times: repair.times }),
        );
        // What was changed by hand is there, and edited.
        self.emit(now, id, changes, actions);
    }

    fn on_check(
        &mut self,
        now: Instant,
        check: CheckId,
        verdict: Verdict,
        reason: &Arc<str>,
        actions: &mut Actions,
    ) {
        if self.stopping {
            return;
        }
        let mut touched = BTreeSet::new();
        for (id, at) in self.checked.get(&check).into_iter().flatten() {
            let Some(Server { state, .. }) = self.servers.get_mut(id) else { continue };
            if state.suspended {
                continue;
            }
            if state.on_check(*at, check, verdict, reason, &mut actions.news) {
                touched.insert(*id);
            }
        }
        for id in touched {
            self.settle(now, id, reason, actions);
        }
    }

    fn on_address(&mut self, address: IpAddr, present: bool, actions: &mut Actions) {
        let changed = if present { self.addresses.insert(address) } else { self.addresses.remove(&address) };
        if changed && !self.stopping {
            self.look_for_addresses(actions);
        }
    }

    /// `ha_suspend`: checks of virtual servers rest while their addresses are elsewhere.
    pub(super) fn look_for_addresses(&mut self, actions: &mut Actions) {
        for Server { state, .. } in self.servers.values_mut() {
            let suspended =
                state.config.ha_suspend && !state.is_here(|address| self.addresses.contains(address));
            if suspended != state.suspended {
                state.suspended = suspended;
                actions.news.push(News::Suspended { service: state.config.service.clone(), suspended });
            }
        }
        let rests = |users: &Vec<(VirtualServerId, usize)>| {
            users.iter().all(|(id, _)| self.servers.get(id).is_some_and(|server| server.state.suspended))
        };
        let resting: BTreeSet<CheckId> =
            self.checked.iter().filter(|(_, users)| rests(users)).map(|(check, _)| *check).collect();
        for check in resting.difference(&self.resting) {
            actions.checks.push(CheckSwitch { check: *check, active: false });
        }
        for check in self.resting.difference(&resting) {
            // Of those that are still configured.
            if self.checked.contains_key(check) {
                actions.checks.push(CheckSwitch { check: *check, active: true });
            }
        }
        self.resting = resting;
    }

    /// [`Director::settle`] for several.
    pub(super) fn settle_all(
        &mut self,
        now: Instant,
        ids: BTreeSet<VirtualServerId>,
        reason: &str,
        actions: &mut Actions,
    ) {
        let reason: Arc<str> = reason.into();
        for id in ids {
            self.settle(now, id, &reason, actions);
        }
    }

    /// After something changed in a virtual server: whether it has its quorum, and what the kernel shall hold.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        id: VirtualServerId,
        reason: &Arc<str>,
        actions: &mut Actions,
    ) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        server.state.weigh(reason, &mut actions.news);
        let wishes = server.state.wishes();
        if wishes == server.wishes {
            return;
        }
        let mut changes = Vec::new();
        server.set.reconfigure(
            wishes.values().map(|wish| (wish.clone(), true)),
            &|wish| Some(wish.key()),
            &|_| None,
            &mut changes,
        );
        server.wishes = wishes;
        self.emit(now, id, changes, actions);
    }

    /// Sends changes, and answers those at once that have come true already or are not ours to make.
    pub(super) fn emit(
        &mut self,
        now: Instant,
        id: VirtualServerId,
        mut changes: Vec<Change<IpvsEntries>>,
        actions: &mut Actions,
    ) {
        // Each round answers what the one before asked for: an addition that waited for a removal.
        while !changes.is_empty() {
            // First what serves from now on, then what does not any more: no client finds nobody.
            let (additions, removals): (Vec<_>, Vec<_>) =
                changes.drain(..).partition(|change| change.verb == Verb::Add);
            let additions = self.with_their_services(id, additions);
            let mut done = Vec::new();
            for change in additions {
                if !self.table.add(id, change.wish, &mut actions.kernel) {
                    done.push((Verb::Add, change.key));
                }
            }
            let services = removals.iter().filter(|change| change.key.destination.is_none());
            let removed: BTreeSet<ServiceKey> = services
                .map(|change| change.key.service)
                .filter(|service| !self.is_others(id, *service))
                .collect();
            for change in removals {
                let key = change.key;
                let sent = !self.is_wished_by_others(id, key)
                    && self.table.remove(Some(id), key, &removed, &mut actions.kernel);
                if !sent {
                    done.push((Verb::Remove, key));
                }
            }
            let Some(set) = self.set(id) else { return };
            for (verb, key) in &done {
                set.on_answer(now, *verb, *key, false);
            }
            set.request_again(done.into_iter().map(|(_, key)| key), &mut changes);
        }
        let next = self.set(id).and_then(|set| set.poll_timeout());
        if !self.stopping {
            self.timers.set(id, next);
        }
    }

    /// Additions, after those of services that are missing for them.
    fn with_their_services(
        &mut self,
        id: VirtualServerId,
        additions: Vec<Change<IpvsEntries>>,
    ) -> Vec<Change<IpvsEntries>> {
        let mut services = BTreeSet::new();
        for change in &additions {
            let service = IpvsKey { destination: None, ..change.key };
            if !self.table.has(service) && !self.table.is_under_way(service) {
                services.insert(service);
            }
        }
        for change in &additions {
            services.remove(&change.key);
        }
        let mut all = Vec::new();
        if !services.is_empty()
            && let Some(set) = self.set(id)
        {
            set.hasten(&|key| services.contains(&key), &mut all);
        }
        all.extend(additions);
        all
    }

    /// Whether a service is another virtual server's.
    fn is_others(&self, id: VirtualServerId, service: ServiceKey) -> bool {
        self.owners.get(&service).is_some_and(|owner| *owner != id)
    }

    fn is_wished_by_others(&self, id: VirtualServerId, key: IpvsKey) -> bool {
        self.is_others(id, key.service) && self.is_wished(key)
    }

    /// Whether an entry is wished for by the virtual server that has its service.
    pub(super) fn is_wished(&self, key: IpvsKey) -> bool {
        let owner = self.owners.get(&key.service).and_then(|owner| self.servers.get(owner));
        owner.is_some_and(|server| server.wishes.contains_key(&key))
    }

    /// Says which services are ours, if that is not what was said last.
    pub(super) fn update_record(&mut self, actions: &mut Actions) {
        let refused = self.doomed.keys().map(|key| key.service);
        let ours =
            self.owners.keys().copied().chain(self.table.services_under_way()).chain(refused).collect();
        if self.recorded != ours {
            self.recorded.clone_from(&ours);
            actions.record = Some(ours);
        }
        self.record_is_stale = !self.table.is_settled() || !self.doomed.is_empty();
    }

    /// How many entries the kernel is known to hold and to lack, of those that are wished for.
    pub(crate) fn held(&self) -> (usize, usize) {
        let wishes = self.servers.values().flat_map(|server| server.wishes.values());
        wishes.fold(
            (0, 0),
            |(held, lacking), wish| {
                if self.table.holds(wish) { (held + 1, lacking) } else { (held, lacking + 1) }
            },
        )
    }
}
