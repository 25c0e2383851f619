//! [`HaNode`]: the virtual routers of one daemon, what they share, and who is told of what.

mod environments;
mod groups;
mod index;
mod inheritance;
mod link_states;
mod links;
mod locals;
mod operator;
mod plan;
mod retired;
mod routing;
mod sockets;
mod statics;
mod succession;
mod tracking;
mod unknown;

pub(crate) use retired::Retired;
pub use succession::Legacy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Bequest, Event, KernelModel, NodeConfig};

use crate::kernel::{
    AddressReply, KernelEvent, KernelRequest, Link, LinkKey, LinkOutcome, ReceiveSocket, Requester, RouterId,
    SocketEvent,
};
use crate::net::{Family, InterfaceIndex, InterfaceName};
use crate::time::{Duration, Instant, Now};
use crate::timer::TimerQueue;
use crate::track::Trackers;
use crate::vrrp::{
    Actions, AnnouncementQueue, Cause, Datagram, FaultReason, Listening, News, Output, Report, ReportKind,
    Reservation, RouterConfig, SendObstacle, SharedPace, SocketRequest, State, Transmission, VirtualRouter,
    shared_paces,
};
use crate::wanted::{Addresses, Collateral};
use crate::wire::vrrp::{Vrid, peek};
use groups::Groups;
use index::Index;
use inheritance::Inheritance;
use link_states::LinkStates;
use links::OwnLinks;
use routing::RoutingIndex;
use sockets::Sockets;
use statics::Statics;
use unknown::UnknownVrids;

/// Advertisements due within this time go out in one wake-up.
const COALESCE: Duration = Duration::from_millis(1);
/// Routers whose timers are served at a time: all that they ask for is done before the next ones are served.
const ROUTERS_PER_WAKE_UP: usize = 128;
/// Announcements given to the driver at a time, so that no advertisement waits for a long list.
const ANNOUNCEMENTS_PER_WAKE_UP: usize = 128;
/// A receive socket that the kernel refused is asked for again after this time.
const SOCKET_RETRY: Duration = Duration::from_secs(1);
/// What could not be announced is announced after this time.
const ANNOUNCEMENT_RETRY: Duration = Duration::from_secs(1);
/// No master-down time is shorter: 3 intervals of 10 ms.
const STALL_MIN: Duration = Duration::from_millis(10);

/// All virtual routers of one daemon in one network namespace.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct HaNode {
    /// Without the routers once these have come into being, which know their own.
    config: NodeConfig,
    /// Boxed: a tree's nodes are half empty.
    routers: BTreeMap<RouterId, Box<VirtualRouter>>,
    /// Removed by a reload, with requests that the kernel has not answered yet.
    departing: BTreeMap<RouterId, Box<VirtualRouter>>,
    #[serde(skip)]
    retired: Retired,
    routing: RoutingIndex,
    /// What members of a `track_group` lack, by group.
    static_faults: BTreeMap<Arc<str>, FaultReason>,
    statics: Statics,
    links: OwnLinks,
    next_id: u32,
    kernel: KernelModel,
    sockets: Sockets,
    socket_retry: Option<Instant>,
    index: Index,
    link_states: LinkStates,
    trackers: Trackers<RouterId>,
    /// Routers that depend on a tracker which has changed, and do not know it yet.
    untold: BTreeSet<RouterId>,
    groups: Groups,
    timers: TimerQueue<RouterId>,
    announcements: AnnouncementQueue,
    /// Of interfaces that share one.
    paces: BTreeMap<InterfaceName, SharedPace>,
    /// Interfaces on which no address takes others along (`promote_secondaries`), as far as we asked for that.
    promoted: BTreeSet<InterfaceIndex>,
    /// Interfaces on which an announcement could not be sent, and when that is made good.
    unannounced: BTreeMap<InterfaceIndex, Instant>,
    phase: Phase,
    /// Since when a predecessor that was killed has not advertised any more.
    silent_since: Option<Instant>,
    /// What it has said, if it left in order.
    legacy: Option<Legacy>,
    inheritance: Inheritance,
    /// What is set aside for authentication.
    reservation: Option<Reservation>,
    /// The deadline for which a stall was looked for already.
    stall_examined: Option<Instant>,
    unknown_vrids: UnknownVrids,
    /// Nobody takes part, until then if there is an end.
    maintenance: Option<Option<Instant>>,
    /// Routers to come that the operator has switched over before the start, until then if there is an end.
    switched_over: BTreeMap<Arc<str>, Option<Instant>>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Phase {
    /// The kernel's state is not known yet.
    New,
    /// `vrrp_startup_delay` runs since then.
    Held(Instant),
    Running,
    Stopping,
    Stopped,
}

impl HaNode {
    /// A node that does nothing until it is told the kernel's state.
    pub fn new(config: NodeConfig) -> Self {
        Self {
            statics: Statics::new(&config.statics),
            paces: shared_paces(&config.garp_groups),
            promoted: BTreeSet::new(),
            unannounced: BTreeMap::new(),
            links: OwnLinks::new(&config.links),
            config,
            routers: BTreeMap::new(),
            departing: BTreeMap::new(),
            retired: Retired::default(),
            routing: RoutingIndex::default(),
            static_faults: BTreeMap::new(),
            next_id: 0,
            kernel: KernelModel::default(),
            sockets: Sockets::default(),
            socket_retry: None,
            index: Index::default(),
            link_states: LinkStates::default(),
            trackers: Trackers::default(),
            untold: BTreeSet::new(),
            groups: Groups::default(),
            timers: TimerQueue::default(),
            announcements: AnnouncementQueue::default(),
            phase: Phase::New,
            silent_since: None,
            legacy: None,
            inheritance: Inheritance::default(),
            reservation: None,
            stall_examined: None,
            unknown_vrids: UnknownVrids::default(),
            maintenance: None,
            switched_over: BTreeMap::new(),
        }
    }

    /// To be called before the first event, if a predecessor was killed that has not advertised since then: its
    /// mastership goes on where nobody has missed it yet. `vrrp_startup_delay` is for starts and not for this.
    pub const fn succeed(&mut self, silent_since: Instant) {
        self.silent_since = Some(silent_since);
    }

    /// To be called before the first event: what a predecessor that was killed may have left. Of that, what the
    /// configuration does not name is removed.
    pub fn inherit(&mut self, bequest: Bequest) {
        self.inheritance = Inheritance::new(bequest);
    }

    /// Stamps are set aside for authentication: to be called before the first event, and whenever there are more.
    /// Without, every clock is followed, and what was used before the start may be used again.
    pub fn reserve_stamps(&mut self, reservation: Reservation) {
        self.reservation = Some(reservation);
        self.routers.values_mut().for_each(|router| router.reserve_stamps(reservation));
    }

    /// Takes a received message.
    pub fn handle_datagram(&mut self, now: Now, datagram: &Datagram<'_>, actions: &mut Actions) {
        let before = actions.kernel.len();
        self.notice_stall(now, actions);
        self.deliver(now, datagram, actions);
        self.conclude(now, before, actions);
    }

    fn deliver(&mut self, now: Now, datagram: &Datagram<'_>, actions: &mut Actions) {
        let Some(vrid) = datagram.message().and_then(peek) else { return };
        let ReceiveSocket { link, address, .. } = datagram.socket;
        let ids = match self.index.of_vrid(datagram.socket, vrid) {
            &[id] => return self.hand_over(now, id, datagram, actions),
            // Who sends to a group is told apart from a router that speaks to its peers, and named there.
            [] if address.is_multicast() && datagram.destination == address => {
                self.index.of_unicast(link, Family::of(&address), vrid)
            }
            ids => ids,
        };
        // Of routers that share their source address, the one whose peer it is from; a stranger's, each judges by itself.
        let names = |id: &&RouterId| {
            let router = self.routers.get(id);
            router.is_some_and(|router| router.config().destinations.peer(datagram.source).is_some())
        };
        let mut concerned: Vec<RouterId> = ids.iter().filter(names).copied().collect();
        if concerned.is_empty() {
            concerned = ids.to_vec();
        }
        // What was sent to an address comes by the socket of a group too; whether it is known there means nothing.
        if concerned.is_empty() && datagram.destination == address {
            self.note_unknown(now, datagram, vrid, actions);
        }
        for id in concerned {
            self.hand_over(now, id, datagram, actions);
        }
    }

    fn hand_over(&mut self, now: Now, id: RouterId, datagram: &Datagram<'_>, actions: &mut Actions) {
        self.with_router(now, id, actions, |router, out| router.handle_datagram(now, datagram, out));
    }

    fn note_unknown(&mut self, now: Now, datagram: &Datagram<'_>, vrid: Vrid, actions: &mut Actions) {
        let (socket, from) = (datagram.socket, datagram.source);
        if !self.unknown_vrids.hear(now.instant, socket, vrid, from) || !self.config.log_unknown_vrids {
            return;
        }
        let interface = socket.link.and_then(|link| self.kernel.link(link)).map(|link| link.name.clone());
        let family = Family::of(&from);
        actions.report(Report {
            router: "".into(),
            kind: ReportKind::UnknownVrid { vrid, family, from, interface },
        });
    }

    /// Takes an event.
    pub fn handle(&mut self, now: Now, event: Event, actions: &mut Actions) {
        let before = actions.kernel.len();
        self.notice_stall(now, actions);
        match event {
            Event::Kernel(event) => self.handle_kernel(now, event, actions),
            Event::Addresses(reply) => {
                self.handle_reply(now, &reply, actions);
            }
            Event::Routing(reply) => self.handle_routing_reply(now, &reply, actions),
            Event::Links(outcomes) => self.handle_links(now, outcomes, actions),
            Event::Socket(event) => self.handle_socket(now, event, actions),
            Event::Script { name, end, ending } => {
                self.take_script(now, name, end, ending, actions);
            }
            Event::File { name, reading } => self.take_file(now, &name, reading, actions),
            Event::Processes { name, count } => self.take_processes(now, &name, count, actions),
            Event::Carrier { interface, carrier } => self.take_carrier(now, &interface, carrier, actions),
            Event::Reconfigure(config) => {
                let plan = self.plan(config);
                self.carry_out(now, plan, actions);
            }
            Event::SwitchOver(order) => _ = self.switch_over(now, &order, actions),
            Event::SwitchBack(whom) => _ = self.switch_back(now, &whom, actions),
            Event::BeginMaintenance(span) => _ = self.begin_maintenance(now, span, actions),
            Event::EndMaintenance => self.end_maintenance(now, false, actions),
            Event::Stop => self.stop(now, actions),
        }
        self.settle_track_groups(now, actions);
        self.conclude(now, before, actions);
    }

    /// The end of whatever has asked for changes since `before`.
    fn conclude(&mut self, now: Now, before: usize, actions: &mut Actions) {
        self.settle_groups(now, actions);
        self.restore_taken(before, actions);
        self.restore_routing(before, actions);
    }

    /// Serves the timers due at `now`, and advertisements due within the next millisecond; if there are many, some
    /// of them, and [`HaNode::poll_timeout`] is due still.
    pub fn handle_timeout(&mut self, now: Now, actions: &mut Actions) {
        let before = actions.kernel.len();
        self.notice_stall(now, actions);
        if self.held_until().is_some_and(|until| until <= now.instant) {
            self.phase = Phase::Running;
            self.start_waiting(now, actions);
            self.groups.touch_all();
        }
        self.end_maintenance_in_time(now, actions);
        let horizon = now.instant + COALESCE;
        let mut due = Vec::new();
        while due.len() < ROUTERS_PER_WAKE_UP
            && let Some((_, id)) = self.timers.pop_due(horizon)
        {
            due.push(id);
        }
        for id in due {
            self.with_router(now, id, actions, |router, out| router.handle_timeout(now, horizon, out));
        }
        self.statics.handle_timeout(now, actions);
        self.links.handle_timeout(now, actions);
        self.serve_trackers(now, actions);
        if self.socket_retry.is_some_and(|at| at <= now.instant) {
            self.socket_retry = None;
            actions.sockets.extend(self.sockets.failed().map(SocketRequest::Open));
        }
        self.announce_what_was_not(now, actions);
        self.groups.handle_timeout(now.instant);
        self.settle_track_groups(now, actions);
        self.settle_groups(now, actions);
        let routers = &mut self.routers;
        self.announcements.take_due(now.instant, ANNOUNCEMENTS_PER_WAKE_UP, &mut actions.announce, |of| {
            if let Some(router) = routers.get_mut(&of) {
                router.counters_mut().announcements += 1;
            }
        });
        self.restore_taken(before, actions);
        self.restore_routing(before, actions);
    }

    /// When [`HaNode::handle_timeout`] shall be called next; in the past if at once.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let all = [
            self.timers.next(),
            self.announcements.poll_timeout(),
            self.trackers.poll_timeout(),
            self.link_states.poll_timeout(),
            (!self.untold.is_empty()).then_some(Instant::ZERO),
            self.statics.poll_timeout(),
            self.links.poll_timeout(),
            self.groups.poll_timeout(),
            self.socket_retry,
            self.unannounced.values().min().copied(),
            self.held_until(),
            self.maintenance.flatten(),
        ];
        all.into_iter().flatten().min()
    }

    /// The virtual routers, by identifier.
    pub fn routers(&self) -> impl Iterator<Item = &VirtualRouter> {
        self.routers.values().map(Box::as_ref)
    }

    /// One virtual router.
    pub fn router(&self, id: RouterId) -> Option<&VirtualRouter> {
        self.routers.get(&id).map(Box::as_ref)
    }

    /// What became of advertisements that were handed to the driver, by the positions of those that the kernel refused
    /// and its error number.
    pub fn note_sent(
        &mut self,
        now: Now,
        transmissions: &[Transmission],
        failed: &BTreeMap<usize, SendObstacle>,
        actions: &mut Actions,
    ) {
        let before = actions.kernel.len();
        let mut outcomes: BTreeMap<RouterId, Result<(), SendObstacle>> = BTreeMap::new();
        for (position, transmission) in transmissions.iter().enumerate() {
            let id = transmission.router;
            let outcome = failed.get(&position).map_or(Ok(()), |obstacle| Err(*obstacle));
            if outcome.is_err() || self.routers.get(&id).is_some_and(|router| router.is_send_failing()) {
                // One destination of several is enough.
                let known = outcomes.entry(id).or_insert(outcome);
                *known = known.or(outcome);
            }
        }
        for (id, outcome) in outcomes {
            self.with_router(now, id, actions, |router, out| match outcome {
                Ok(()) => router.on_sent(now, out),
                Err(obstacle) => router.on_send_failed(now, obstacle, out),
            });
        }
        self.conclude(now, before, actions);
    }

    /// The kernel refused to send announcements on this interface: its masters announce their addresses once more, as
    /// often as it takes.
    pub fn note_unannounced(&mut self, now: Now, link: InterfaceIndex) {
        self.unannounced.entry(link).or_insert(now.instant + ANNOUNCEMENT_RETRY);
    }

    fn announce_what_was_not(&mut self, now: Now, actions: &mut Actions) {
        if self.unannounced.values().all(|at| *at > now.instant) {
            return;
        }
        let due = |(link, at): (&InterfaceIndex, &Instant)| (*at <= now.instant).then_some(*link);
        for link in self.unannounced.iter().filter_map(due).collect::<Vec<_>>() {
            self.unannounced.remove(&link);
            let Some(name) = self.kernel.link(link).map(|link| link.name.clone()) else { continue };
            for id in self.index.of_name(&name).to_vec() {
                self.with_router(now, id, actions, |router, out| router.announce_on(link, out));
            }
        }
    }

    /// End of `vrrp_startup_delay`.
    fn held_until(&self) -> Option<Instant> {
        match self.phase {
            Phase::Held(since) => Some(since + self.config.startup_delay),
            _ => None,
        }
    }

    /// Sets every counter to zero (keepalived's `STATS_CLEAR`).
    pub fn clear_counters(&mut self) {
        for router in self.routers.values_mut() {
            *router.counters_mut() = crate::vrrp::Counters::default();
        }
        self.unknown_vrids.count = 0;
    }

    /// The trackers that somebody depends on.
    pub const fn trackers(&self) -> &Trackers<RouterId> {
        &self.trackers
    }

    /// Messages for virtual routers that are not configured here.
    pub const fn unknown_vrids(&self) -> u64 {
        self.unknown_vrids.count
    }

    /// What the kernel is known to hold.
    pub const fn kernel(&self) -> &KernelModel {
        &self.kernel
    }

    /// Current configuration, the routers in the order in which they were added.
    pub fn config(&self) -> NodeConfig {
        let mut config = self.config.clone();
        config.routers.extend(self.routers().map(|router| router.config().clone()));
        config
    }

    fn handle_reply(&mut self, now: Now, reply: &AddressReply, actions: &mut Actions) {
        match reply.requester {
            Requester::Router(id) => {
                self.with_router_and_kernel(now, id, actions, |router, kernel, out| {
                    router.on_address_reply(now, reply, &|key| kernel.detection(key), out);
                });
                if let Some(router) = self.departing.get_mut(&id) {
                    let mut out = Output { actions, announcements: &mut self.announcements };
                    router.on_address_reply(now, reply, &|_| None, &mut out);
                    if router.is_settled() {
                        self.retired.routers.extend(self.departing.remove(&id));
                    }
                }
            }
            Requester::Static => self.statics.on_reply(now, reply, actions),
            Requester::Links => self.links.locals.on_reply(now, reply, actions),
            Requester::Predecessor => inheritance::note_addresses(reply, actions),
        }
        self.finish_stop(actions);
    }

    fn handle_kernel(&mut self, now: Now, event: KernelEvent, actions: &mut Actions) {
        match event {
            KernelEvent::View(view) => {
                let remains = self.inheritance.open(&view, &self.config);
                self.kernel = KernelModel::from_view(view);
                if self.phase == Phase::New {
                    self.begin(now, actions);
                    self.remove_remains(&remains, actions);
                } else {
                    self.note_all_links(now);
                    self.statics.resynchronise(now, &self.kernel, actions);
                    self.index_static_routing();
                    self.links.resynchronise(now, &self.kernel, actions);
                    self.update_all(now, actions);
                    self.look_at_all_links(now, actions);
                    let ids: Vec<_> = self.routers.keys().copied().collect();
                    for id in ids {
                        self.with_router_and_kernel(now, id, actions, |router, kernel, out| {
                            let detection = |key| kernel.detection(key);
                            router.resynchronise(now, &|key| kernel.holds(key), &detection, out);
                            router.resynchronise_routing(now, &|key| kernel.holds_routing(key));
                        });
                    }
                    self.leave_all_to_who_wants(now, actions);
                }
            }
            KernelEvent::LinkChanged(link) => {
                let name = link.name.clone();
                let (key, up) = (link.key, link.admin_up);
                let virtual_keys = (self.virtual_key(link.key), link.virtual_key());
                let before = self.kernel.set_link(link);
                if !up {
                    self.drop_routes_of_link(now, key, actions);
                }
                self.locate_statics(actions);
                self.links.on_change(now, virtual_keys.0, virtual_keys.1);
                self.links.locate(&self.kernel, actions);
                let names: Vec<_> = before.iter().chain([&name]).collect();
                self.note_links(now, &names);
                self.update_names(now, &names, actions);
                self.look_at_links(now, &names, actions);
                if up {
                    self.retry_routes(now, key, actions);
                }
            }
            KernelEvent::LinkGone(key) => {
                self.promoted.remove(&key);
                let virtual_key = self.virtual_key(key);
                if let Some(name) = self.kernel.remove_link(key) {
                    self.drop_routes_of_link(now, key, actions);
                    self.note_links(now, &[&name]);
                    self.locate_statics(actions);
                    self.links.on_change(now, virtual_key, None);
                    self.links.locate(&self.kernel, actions);
                    self.update_names(now, &[&name], actions);
                    self.look_at_links(now, &[&name], actions);
                }
            }
            KernelEvent::AddressPresent(address) => {
                let (key, ours) = ((address.link, address.prefix), address.ours);
                let changes_source = self.kernel.set_address(address.clone());
                self.statics.on_present(now, key, ours, &self.kernel, actions);
                self.links.locals.on_present(now, key, ours);
                for id in self.index.of_address(&key).to_vec() {
                    self.with_router(now, id, actions, |router, out| {
                        router.on_address_present(now, &address, out);
                    });
                }
                self.update_sources(now, key, changes_source, actions);
                self.retry_routes(now, address.link, actions);
            }
            KernelEvent::AddressGone { link, prefix } => {
                let changes_source = self.kernel.remove_address(link, prefix);
                self.statics.on_gone(now, (link, prefix));
                self.links.locals.on_gone(now, (link, prefix));
                for id in self.index.of_address(&(link, prefix)).to_vec() {
                    self.with_router(now, id, actions, |router, _| {
                        router.on_address_gone(now, (link, prefix))
                    });
                }
                self.update_sources(now, (link, prefix), changes_source, actions);
                self.follow_routes_of_address(now, link, prefix, actions);
            }
            KernelEvent::RoutePresent { route, replaces } => {
                self.on_route_present(now, route, replaces, actions);
            }
            KernelEvent::RouteGone(route) => self.on_route_gone(now, &route, actions),
            KernelEvent::RulePresent(rule) => self.on_rule(now, &rule, true, actions),
            KernelEvent::RuleGone(rule) => self.on_rule(now, &rule, false, actions),
        }
    }

    /// The kernel's state is known for the first time: the routers come into being.
    fn begin(&mut self, now: Now, actions: &mut Actions) {
        self.phase = match self.config.startup_delay {
            Duration::ZERO => Phase::Running,
            _ if self.silent_since.is_some() => Phase::Running,
            delay => {
                let kind = ReportKind::StartupDelayed { delay, until: now.wall + delay };
                actions.report(Report { router: "".into(), kind });
                Phase::Held(now.instant)
            }
        };
        self.statics.begin(&self.kernel, actions);
        self.index_static_routing();
        self.links.begin(&self.kernel, actions);
        let mut names = BTreeMap::new();
        for config in core::mem::take(&mut self.config.routers) {
            names.insert(Arc::clone(&config.name), self.add_router(config, self.reservation));
        }
        self.configure_groups(now, &names, actions);
        self.configure_links();
        let concerned = self.configure_trackers(now, &names);
        if let Some(legacy) = self.legacy.take() {
            self.trackers.presume(&legacy.scripts);
        }
        self.tell_tracked(now, concerned, actions);
        self.update_all(now, actions);
        self.leave_all_to_who_wants(now, actions);
    }

    fn virtual_key(&self, link: InterfaceIndex) -> Option<LinkKey> {
        self.kernel.link(link).and_then(Link::virtual_key)
    }

    /// Interfaces of our own were created or removed, or could not be.
    fn handle_links(&mut self, now: Now, mut outcomes: Vec<LinkOutcome>, actions: &mut Actions) {
        self.inheritance.note_links(&mut outcomes, actions);
        let names = self.links.on_outcomes(now, outcomes, &self.kernel, actions);
        self.update_names(now, &names.iter().collect::<Vec<_>>(), actions);
        self.finish_stop(actions);
    }

    fn add_router(&mut self, config: RouterConfig, reservation: Option<Reservation>) -> RouterId {
        let id = RouterId(self.next_id);
        self.next_id += 1;
        self.index.move_names(id, None, Some(&config));
        let mut router = Box::new(VirtualRouter::new(id, config));
        if let Some(reservation) = reservation {
            router.reserve_stamps(reservation);
        }
        if let Some(legacy) = &self.legacy {
            router.succeed_to(legacy.masters.contains(&router.config().name));
        }
        if self.maintenance.is_some() {
            router.start_under_maintenance();
        }
        if let Some(until) = self.switched_over.remove(&router.config().name) {
            router.start_switched_over(until);
        }
        self.routers.insert(id, router);
        id
    }

    fn handle_socket(&mut self, now: Now, event: SocketEvent, actions: &mut Actions) {
        let (socket, state) = match &event {
            SocketEvent::Opened(socket) => (*socket, Listening::Open),
            SocketEvent::Failed(socket, _) => (*socket, Listening::Failed),
        };
        let Some(before) = self.sockets.set_listening(socket, state) else { return };
        let news = before != state;
        let name = socket.link.and_then(|link| self.kernel.link(link)).map(|link| link.name.clone());
        if let SocketEvent::Failed(_, error) = event {
            self.socket_retry.get_or_insert(now.instant + SOCKET_RETRY);
            if news {
                let kind = ReportKind::SocketFailed { interface: name, error };
                actions.report(Report { router: "".into(), kind });
            }
        }
        let ids: Vec<RouterId> = self.sockets.routers(socket).collect();
        self.update_routers(now, ids, actions);
    }

    fn stop(&mut self, now: Now, actions: &mut Actions) {
        if matches!(self.phase, Phase::Stopping | Phase::Stopped) {
            return;
        }
        self.phase = Phase::Stopping;
        self.trackers = Trackers::default();
        self.untold.clear();
        let keep = self.config.keep_addresses_on_stop;
        self.for_each(now, actions, |router, out| router.stop(now, Cause::Shutdown, keep, out));
        self.statics.stop(actions);
        self.finish_stop(actions);
    }

    fn finish_stop(&mut self, actions: &mut Actions) {
        let settled = || {
            self.statics.is_settled()
                && self.departing.is_empty()
                && self.routers.values().all(|router| router.is_settled())
        };
        if self.phase == Phase::Stopping && settled() {
            // Last of all: on them the routers have said that they leave.
            self.links.stop(self.config.keep_addresses_on_stop, actions);
            if self.links.is_settled() {
                self.phase = Phase::Stopped;
                actions.stopped = true;
            }
        }
    }

    /// A deadline missed by more than a router's master-down time: the process stood still.
    fn notice_stall(&mut self, now: Now, actions: &mut Actions) {
        let Some(next) = self.timers.next() else { return };
        if now.instant.saturating_since(next) < STALL_MIN || self.stall_examined == Some(next) {
            return;
        }
        self.stall_examined = Some(next);
        self.for_each(now, actions, |router, out| {
            if let Some(deadline) = router.poll_timeout() {
                router.notice_stall(now, now.instant.saturating_since(deadline), out);
            }
        });
    }

    /// Who is in Initialize still starts as far as it can.
    fn start_waiting(&mut self, now: Now, actions: &mut Actions) {
        if self.phase == Phase::Running {
            let silent_since = self.silent_since;
            self.for_each(now, actions, |router, out| router.start(now, silent_since, out));
        }
    }

    fn for_each(
        &mut self,
        now: Now,
        actions: &mut Actions,
        mut tell: impl FnMut(&mut VirtualRouter, &mut Output<'_>),
    ) {
        let ids: Vec<_> = self.routers.keys().copied().collect();
        for id in ids {
            self.with_router(now, id, actions, &mut tell);
        }
    }

    fn with_router(
        &mut self,
        now: Now,
        id: RouterId,
        actions: &mut Actions,
        tell: impl FnOnce(&mut VirtualRouter, &mut Output<'_>),
    ) {
        self.with_router_and_kernel(now, id, actions, |router, _, out| tell(router, out));
    }

    /// Tells a router something, and does what follows from it.
    fn with_router_and_kernel(
        &mut self,
        now: Now,
        id: RouterId,
        actions: &mut Actions,
        tell: impl FnOnce(&mut VirtualRouter, &KernelModel, &mut Output<'_>),
    ) {
        let Some(router) = self.routers.get_mut(&id) else { return };
        let mut out = Output { actions, announcements: &mut self.announcements };
        let (before, mark) = (out.actions.news.len(), groups::before(router));
        tell(router, &self.kernel, &mut out);
        // As most advertisements do: its deadline moves on, and nobody else has to know.
        let asks = mark.is_none() && router.wanted().is_some();
        if out.actions.news.len() == before && groups::before(router) == mark && !asks {
            return self.timers.set(id, router.poll_timeout());
        }
        self.note_transitions(now, before, actions);
        self.settle(now, id, actions);
        self.note_change(id, mark);
    }

    /// Learns of the changes of state among the news since `before`.
    fn note_transitions(&mut self, now: Now, before: usize, actions: &mut Actions) {
        let mut masters = Vec::new();
        for transition in News::transitions(&actions.news[before..]) {
            if transition.to == State::Master && !self.routing.is_empty() {
                masters.push(transition.router);
            }
            // Who is master no longer announces nothing any more.
            if transition.from == State::Master {
                self.announcements.cancel(transition.router);
                if transition.to == State::Backup
                    && let Some(group) = self.routers.get(&transition.router).and_then(|r| r.sync_group())
                {
                    self.groups.note_left(group, transition.router);
                }
            }
        }
        for id in masters {
            let keys = self.routing_keys(id);
            self.leave_to_who_wants(now, &keys, actions);
        }
    }

    /// What is asked to be removed may take addresses of other routers along: without `promote_secondaries`, the first
    /// address of an IPv4 subnet takes all others. Asks for these again, right behind the removal.
    fn restore_taken(&mut self, before: usize, actions: &mut Actions) {
        if actions.kernel.len() == before || matches!(self.phase, Phase::Stopping | Phase::Stopped) {
            return;
        }
        let mut collateral: Collateral<Addresses, Requester> = Collateral::new();
        for request in actions.kernel[before..].iter().filter_map(KernelRequest::addresses) {
            for operation in &request.operations {
                let key = (operation.link, operation.spec.prefix);
                collateral.note(request.requester, operation.verb, key, self.kernel.is_secondary(key));
            }
        }
        let by_address = collateral.removed().flat_map(|key| self.index.of_address(key));
        let by_subnet = collateral.endangered().flat_map(|kin| self.index.of_subnet(kin));
        let concerned: BTreeSet<RouterId> = by_address.chain(by_subnet).copied().collect();
        for id in concerned {
            let Some(router) = self.routers.get_mut(&id) else { continue };
            let mut out = Output { actions, announcements: &mut self.announcements };
            router.restore(&|key| collateral.takes(Requester::Router(id), key), &mut out);
        }
        self.statics.restore(&|key| collateral.takes(Requester::Static, key), actions);
    }

    /// After a router was told something: grants its wish, unless a group has to agree, and notes its deadline.
    fn settle(&mut self, now: Now, id: RouterId, actions: &mut Actions) {
        let Some(router) = self.routers.get_mut(&id) else { return };
        if router.sync_group().is_none()
            && let Some(cause) = router.take_wish()
        {
            let before = actions.news.len();
            let mut out = Output { actions, announcements: &mut self.announcements };
            router.become_master(now, cause, &mut out);
            self.note_transitions(now, before, actions);
        }
        let deadline = self.routers.get(&id).and_then(|router| router.poll_timeout());
        self.timers.set(id, deadline);
    }
}
