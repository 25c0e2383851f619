//! The notes of an observer who stands beside one daemon.
//!
//! The rules must not believe the engine that they judge. So each daemon has an observer, who sees what goes in
//! (messages, the kernel's notifications and answers, reloads, the operator's words) and what comes out (requests,
//! advertisements, transitions), and nothing of what is inside. From that alone the [`Ledger`] keeps
//! - which interfaces and addresses the daemon has been told of, and which of the addresses are not its own;
//! - which addresses each requester has asked for and not given up, as the kernel answered and told;
//! - of each virtual router a [`Standing`]: the state it announced, where it is in a switch-over, and before which
//!   moment it may not become master, which is the master-down timer of RFC 9568 §6.4.2 kept a second time.
//!
//! After each wake-up [`super::step`] compares what the daemon did with these notes; [`super::survey`] carries them
//! to the rules that look at the whole LAN.

use core::net::IpAddr;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::bounds::master_down_time;
use super::passing::{Passing, has_link, places};
use super::tracking::{LinkOpinions, Standard, Verdicts};
use super::{Batch, Heard, Standing, Switch};
use crate::kernel::{
    HeldAddress, KernelEvent, KernelRequest, Link, LinkKey, Requester, Route, RouterId, Rule, Verb,
};
use crate::net::{Family, InterfaceIndex, InterfaceName, Prefix};
use crate::node::{Bequest, Event, Legacy, NodeConfig, StaticConfig};
use crate::sim::kernel::usable_source;
use crate::sim::machine::meeting_place;
use crate::sim::table::Table;
use crate::time::{ARRIVAL_MAX, Duration, Instant};
use crate::vrrp::{Cause, FaultReason, News, ReportKind, RouterConfig, State, Transition, Whom};
use crate::wire::vrrp::{Version, Vrid};

/// The observer's notes on one daemon, from its start to its end.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The configuration in force.
    pub config: Arc<NodeConfig>,
    /// What was in force for a part of the last wake-up.
    passing: Passing,
    /// Interfaces as the daemon was told.
    pub links: Table<InterfaceIndex, Link>,
    /// Addresses as the daemon was told.
    pub addresses: Table<(InterfaceIndex, Prefix), HeldAddress>,
    /// Its virtual routers.
    pub routers: Table<RouterId, Standing>,
    /// What each of its requesters asked for and did not ask to remove since.
    pub wanted: BTreeSet<(Requester, InterfaceIndex, Prefix)>,
    /// Addresses without our mark that it was told of.
    foreign: BTreeSet<(InterfaceIndex, Prefix)>,
    /// Every address that it was ever configured with, on the interfaces that it saw under the name it belongs to at
    /// that time: elsewhere it does not look for what a predecessor left.
    pub charge: BTreeSet<(InterfaceIndex, IpAddr)>,
    /// What predecessors that were killed may have left: looked for at the start, and not later.
    left_addresses: BTreeSet<(InterfaceName, Prefix)>,
    /// Every route and every rule that it was ever configured with, or a predecessor that was killed.
    pub routing_charge: (BTreeSet<Route>, BTreeSet<Rule>),
    /// Routers that a reload removed, and when the last of each was (simulator's time).
    pub removed: BTreeMap<(Option<InterfaceName>, Option<IpAddr>, Family, Vrid), Instant>,
    /// Where it was ever configured to advertise to, by family and virtual router identifier.
    destinations: BTreeMap<(Family, u8), BTreeSet<IpAddr>>,
    /// When a reload last changed who is in a sync group (simulator's time).
    pub joined: BTreeMap<Arc<str>, Instant>,
    /// Of its scripts, files and processes.
    pub verdicts: Verdicts,
    /// Of its interfaces.
    link_opinions: LinkOpinions,
    /// Whether it was told to stop.
    pub stopping: bool,
    /// Told to keep out of the election, until then (machine's clock) if there is an end.
    pub maintenance: Option<Option<Instant>>,
    /// Since when a predecessor has been silent, if it was killed (machine's clock).
    silent_since: Option<Instant>,
    /// The masters that it has named, if it left in order.
    left_masters: Option<BTreeSet<Arc<str>>>,
}

impl Ledger {
    /// Notes on a daemon that starts, in place of one that has been silent since then.
    pub fn new(config: NodeConfig, silent_since: Option<Instant>, left: &[NodeConfig]) -> Self {
        let mut destinations = BTreeMap::new();
        note_destinations(&config, &mut destinations);
        let mut routing_charge = routing_of(&config);
        let mut left_addresses = BTreeSet::new();
        for config in left {
            let (routes, rules) = routing_of(config);
            routing_charge.0.extend(routes);
            routing_charge.1.extend(rules);
            left_addresses.extend(Bequest::of(config).addresses);
        }
        Self {
            charge: BTreeSet::new(),
            routing_charge,
            left_addresses,
            destinations,
            config: Arc::new(config),
            passing: Passing::default(),
            links: Table::new(),
            addresses: Table::new(),
            routers: Table::new(),
            wanted: BTreeSet::new(),
            foreign: BTreeSet::new(),
            removed: BTreeMap::new(),
            joined: BTreeMap::new(),
            verdicts: Verdicts::default(),
            link_opinions: LinkOpinions::default(),
            stopping: false,
            maintenance: None,
            silent_since,
            left_masters: None,
        }
    }

    /// The process before has left in order.
    pub fn take_up(&mut self, legacy: &Legacy) {
        self.left_masters = Some(legacy.masters.clone());
        for (name, good) in &legacy.scripts {
            if self.config.tracking.scripts.iter().any(|script| script.name == *name) {
                self.verdicts.presume(name, *good);
            }
        }
    }

    /// Notes what a wake-up brought, in the order of the driver's contract. Returns whether something has lasted until
    /// then, and counts from now on.
    pub fn note_received(&mut self, batch: &Batch<'_>) -> bool {
        self.passing.clear();
        for heard in batch.heard {
            self.note_heard(batch, heard);
        }
        if self.maintenance.flatten().is_some_and(|until| until <= batch.local) {
            self.end_maintenance();
        }
        self.routers.values_mut().for_each(|standing| standing.end_hold(batch.local));
        for (position, event) in batch.events.iter().enumerate() {
            if matches!(event, Event::Reconfigure(_)) && (position > 0 || !batch.heard.is_empty()) {
                self.passing.note_config(&self.config);
            }
            self.note_event(batch, event);
            if matches!(event, Event::Kernel(_) | Event::Reconfigure(_)) {
                self.link_opinions.note(batch.local, &self.config, &self.links);
            }
        }
        let lasted = self.verdicts.settle(batch.local) | self.link_opinions.settle(batch.local);
        if lasted {
            self.verdicts.changed = batch.at;
        }
        lasted
    }

    /// Whether there is an interface of this name that counts as up, going by what the daemon was told.
    pub fn counts_as_up(&self, name: &InterfaceName) -> bool {
        self.links.values().any(|link| link.name == *name && self.link_opinions.up(link))
    }

    /// Notes what came of a wake-up, after [`Ledger::note_received`].
    pub fn note_actions(&mut self, batch: &Batch<'_>) {
        for request in batch.actions.kernel.iter().filter_map(KernelRequest::addresses) {
            for operation in &request.operations {
                let key = (request.requester, operation.link, operation.spec.prefix);
                match operation.verb {
                    // Told of in the same wake-up: adding leaves it as it is.
                    Verb::Add if self.is_foreign(key.1, key.2) => {}
                    Verb::Add => _ = self.wanted.insert(key),
                    Verb::Remove => _ = self.wanted.remove(&key),
                }
            }
        }
        for news in &batch.actions.news {
            match news {
                News::Transition(transition) => self.note_transition(batch, transition),
                News::Report(report) if report.kind == ReportKind::SwitchOverBegun => {
                    // Of several words in one wake-up it says itself what it made of them, in their order.
                    let orders =
                        |event: &Event| matches!(event, Event::SwitchOver(_) | Event::BeginMaintenance(_));
                    let told = batch.events.iter().any(orders);
                    let begins = |s: &&mut Standing| s.name == report.router && s.state == State::Master;
                    for standing in self.routers.values_mut().filter(begins).filter(|_| told) {
                        standing.switch = Switch::Leaving;
                    }
                }
                News::Report(report)
                    if matches!(
                        report.kind,
                        ReportKind::SwitchOverAbandoned | ReportKind::SwitchOverEnded
                    ) =>
                {
                    for standing in self.routers.values_mut().filter(|s| s.name == report.router) {
                        standing.switch = Switch::Off;
                    }
                }
                News::GroupTransition(_) | News::LowerPriorityReceived { .. } | News::Report(_) => {}
            }
        }
    }

    /// Notes that what the router sent in the wake-up at `at` did not leave the machine: if it yielded then, the
    /// better master was not told.
    pub fn note_unsent(&mut self, router: RouterId, at: Instant) {
        if let Some(standing) = self.routers.get_mut(&router) {
            standing.yielded = standing.yielded.filter(|(_, yielded)| *yielded != at);
        }
    }

    /// The configuration of a router, by its name.
    pub fn router_config(&self, name: &str) -> Option<Cow<'_, RouterConfig>> {
        let config = self.config.routers.iter().find(|config| &*config.name == name)?;
        Some(self.at_its_priority(config))
    }

    /// A router's configuration, with the priority that it has by its trackers.
    fn at_its_priority<'a>(&self, config: &'a RouterConfig) -> Cow<'a, RouterConfig> {
        let priority = self.standard(config).priority;
        match priority == config.priority {
            true => Cow::Borrowed(config),
            false => Cow::Owned(RouterConfig { priority, ..config.clone() }),
        }
    }

    /// The names of the routers that an order is for.
    fn concerned(&self, whom: &Whom) -> BTreeSet<Arc<str>> {
        let names = || self.config.routers.iter().map(|router| Arc::clone(&router.name));
        let Whom::Named(name) = whom else { return names().collect() };
        let group = self.config.sync_groups.iter().find(|group| group.name == *name);
        let members = group.map_or_else(|| self.companions(name), |group| group.members.as_slice());
        members.iter().cloned().chain(names().filter(|own| own == name)).collect()
    }

    /// When the last order ends by itself that was given for a time (machine's clock).
    pub fn orders_end(&self) -> Option<Instant> {
        let holds = self.routers.values().filter_map(|standing| standing.hold_until);
        holds.chain(self.maintenance.flatten()).max()
    }

    fn end_maintenance(&mut self) {
        if self.maintenance.take().is_none() {
            return;
        }
        for standing in self.routers.values_mut().filter(|s| s.switch == Switch::Leaving) {
            standing.switch = Switch::Off;
        }
    }

    /// The members of a router's sync group, by their names; none without a group.
    pub fn companions(&self, name: &str) -> &[Arc<str>] {
        let mut groups = self.config.sync_groups.iter();
        let group = groups.find(|group| group.members.iter().any(|member| **member == *name));
        group.map_or(&[], |group| group.members.as_slice())
    }

    /// What the daemon's trackers make of a router.
    pub fn standard(&self, router: &RouterConfig) -> Standard {
        self.verdicts.standard(&self.config, router, |name| self.counts_as_up(name))
    }

    /// The notes on a router, by its name; of several the last, which replaced the others.
    pub fn standing(&self, name: &str) -> Option<&Standing> {
        self.routers.values().rev().find(|standing| &*standing.name == name)
    }

    /// Whether a router with the identifier may advertise to this destination.
    pub fn speaks_to(&self, vrid: u8, source: IpAddr, destination: IpAddr) -> bool {
        let known = self.destinations.get(&(Family::of(&destination), vrid));
        source != destination && known.is_some_and(|known| known.contains(&destination))
    }

    /// Why the router cannot take part, going by what the daemon was told.
    pub fn fault(&self, config: &RouterConfig) -> Option<String> {
        let interfaces = &config.interfaces;
        for name in interfaces
            .base
            .iter()
            .chain(interfaces.hears_by())
            .chain(interfaces.sends_by())
            .chain([&interfaces.addresses])
        {
            if !self.links.values().any(|link| link.name == *name) {
                return Some(format!("interface {name} does not exist"));
            }
            if config.track_primary && !self.counts_as_up(name) {
                return Some(format!("interface {name} is down"));
            }
        }
        let tracked = config.addresses.iter().chain(&config.excluded).filter(|address| address.track);
        for name in tracked.filter_map(|address| address.interface.as_ref()) {
            if !self.counts_as_up(name) {
                return Some(format!("interface {name} of an address is down"));
            }
        }
        if self.maintenance.is_some() {
            return Some("under maintenance".to_owned());
        }
        if self.standard(config).fault {
            return Some("a tracker fails".to_owned());
        }
        let by = interfaces.base.as_ref().or_else(|| interfaces.sends_by());
        let sends = |held: &&HeldAddress| {
            by.is_none_or(|name| self.links.get(&held.link).is_some_and(|link| link.name == *name))
        };
        let mut held = self.addresses.values().filter(sends);
        let source = match config.source {
            Some(_) if !config.destinations.is_unicast() => true,
            Some(source) => {
                held.any(|held| held.prefix.address() == source && !held.ours && !held.is_tentative())
            }
            None => held.any(|held| usable_source(held, config.family)),
        };
        (!source).then(|| "no address to send from".to_owned())
    }

    /// Whether an advertisement is for this router and passes the checks of RFC 3768 §7.1 or RFC 9568 §7.1.
    fn concerns(&self, config: &RouterConfig, heard: &Heard) -> bool {
        let hears_by = config.interfaces.hears_by();
        heard.glance.vrid == config.vrid.get()
            && hears_by.is_none_or(|name| self.links.get(&heard.link).is_some_and(|link| link.name == *name))
            && heard.destination.is_multicast() != config.destinations.is_unicast()
            && heard.glance.version == config.version.number()
            && Family::of(&heard.source) == config.family
            && (!config.check_source || config.destinations.peer(heard.source).is_some())
            && config.accepted_hop_limits(heard.source).allow(Some(heard.hop_limit))
            && heard.glance.interval > Duration::ZERO
            && (config.version == Version::V3 || heard.glance.interval == config.interval.duration())
            && !self.is_own_source(config.family, heard.source)
    }

    /// Whether its own advertisements may carry this source. A virtual address that it holds for an owner is the
    /// owner's, who may send from it.
    fn is_own_source(&self, family: Family, source: IpAddr) -> bool {
        let mut own = self.addresses.values().filter(|held| usable_source(held, family));
        own.any(|held| held.prefix.address() == source)
    }

    fn note_heard(&mut self, batch: &Batch<'_>, heard: &Heard) {
        let arrived = batch.local - ARRIVAL_MAX;
        let node = Arc::clone(&self.config);
        for config in &node.routers {
            if !self.concerns(config, heard) {
                continue;
            }
            let config = self.at_its_priority(config);
            for standing in self.routers.values_mut().filter(|standing| standing.name == config.name) {
                match standing.state {
                    State::Backup if heard.certain => standing.hear(arrived, &config, heard),
                    State::Backup => standing.hear_perhaps(arrived, &config, heard),
                    State::Master if heard.certain && heard.glance.priority > 0 => {
                        standing.rival = Some(batch.at);
                    }
                    State::Fault if heard.certain => standing.overhear(arrived, &config, heard),
                    State::Master | State::Fault | State::Initialize => {}
                }
            }
        }
    }

    fn note_event(&mut self, batch: &Batch<'_>, event: &Event) {
        match event {
            Event::Script { name, end, .. } => self.verdicts.note(batch.at, &self.config, name, *end),
            Event::File { name, reading } => self.verdicts.note_file(batch.at, name, *reading),
            Event::Processes { name, count } => {
                self.verdicts.note_processes((batch.at, batch.local), &self.config, name, *count);
            }
            Event::Kernel(KernelEvent::View(view)) => {
                view.links.iter().for_each(|link| self.passing.note_link(&self.links, link));
                self.links = view.links.iter().map(|link| (link.key, link.clone())).collect();
                view.links.iter().for_each(|link| self.note_link(link));
                for (name, prefix) in core::mem::take(&mut self.left_addresses) {
                    let link = view.links.iter().find(|link| link.name == name);
                    self.charge.extend(link.map(|link| (link.key, prefix.address())));
                }
                self.addresses.clear();
                view.addresses.iter().for_each(|held| self.note_present(held));
                let held = &self.addresses;
                self.foreign.retain(|key| held.contains_key(key));
                self.wanted.retain(|(_, link, prefix)| held.contains_key(&(*link, *prefix)));
            }
            Event::Kernel(KernelEvent::LinkChanged(link)) => {
                self.passing.note_link(&self.links, link);
                self.links.insert(link.key, link.clone());
                self.note_link(link);
            }
            Event::Kernel(KernelEvent::LinkGone(key)) => {
                self.links.remove(key);
                self.addresses.retain(|(link, _), _| link != key);
                self.foreign.retain(|(link, _)| link != key);
                self.wanted.retain(|(_, link, _)| link != key);
            }
            Event::Kernel(KernelEvent::AddressPresent(held)) => {
                self.note_present(held);
            }
            Event::Kernel(KernelEvent::AddressGone { link, prefix }) => {
                self.addresses.remove(&(*link, *prefix));
                self.foreign.remove(&(*link, *prefix));
                self.wanted.retain(|(_, on, address)| (on, address) != (link, prefix));
            }
            Event::Kernel(
                KernelEvent::RoutePresent { .. }
                | KernelEvent::RouteGone(_)
                | KernelEvent::RulePresent(_)
                | KernelEvent::RuleGone(_),
            )
            | Event::Links(_)
            | Event::Routing(_) => {}
            Event::Addresses(reply) => {
                for outcome in reply.outcomes.iter().filter(|o| o.error.is_some()) {
                    self.wanted.remove(&(reply.requester, outcome.link, outcome.prefix));
                }
            }
            Event::Reconfigure(config) => {
                for standing in self.routers.values_mut() {
                    let old = self.config.routers.iter().find(|c| c.name == standing.name);
                    let new = config.routers.iter().find(|c| c.name == standing.name);
                    if old != new {
                        // A changed priority or interval restarts or shortens timers.
                        standing.earliest = batch.local;
                    }
                    if let Some(new) = new {
                        standing.shortest_interval = standing.shortest_interval.min(new.interval.duration());
                    }
                }
                for old in &self.config.routers {
                    if !config.routers.iter().any(|new| new.name == old.name) {
                        let place = meeting_place(old);
                        let group = (old.interfaces.hears_by().cloned(), place, old.family, old.vrid);
                        self.removed.insert(group, batch.at);
                    }
                }
                for group in &config.sync_groups {
                    if !self.config.sync_groups.contains(group) {
                        self.joined.insert(Arc::clone(&group.name), batch.at);
                    }
                }
                self.verdicts.reconfigure(batch.at, &self.config, config);
                note_destinations(config, &mut self.destinations);
                let (routes, rules) = routing_of(config);
                self.routing_charge.0.extend(routes);
                self.routing_charge.1.extend(rules);
                self.config = Arc::new(config.clone());
                let links: Vec<Link> = self.links.values().cloned().collect();
                links.iter().for_each(|link| self.note_link(link));
            }
            Event::SwitchOver(order) => {
                let concerned = self.concerned(&order.whom);
                let mut routers = core::mem::take(&mut self.routers);
                let masters = routers.values_mut().filter(|s| s.state == State::Master);
                for standing in masters.filter(|s| concerned.contains(&s.name)) {
                    // A group with an owner refuses.
                    let owns = |name| self.router_config(name).is_none_or(|c| c.priority.is_owner());
                    let owner =
                        owns(&standing.name) || self.companions(&standing.name).iter().any(|name| owns(name));
                    if !owner {
                        standing.switch = Switch::Leaving;
                        standing.hold_until = order.hold.map(|hold| batch.local + hold);
                    }
                }
                self.routers = routers;
            }
            Event::SwitchBack(whom) => {
                let concerned = self.concerned(whom);
                for standing in self.routers.values_mut().filter(|s| concerned.contains(&s.name)) {
                    standing.come_back_to_preempt(batch.local, self.maintenance.is_some());
                }
            }
            Event::BeginMaintenance(span) => {
                self.maintenance = Some(span.map(|span| batch.local + span));
                for standing in self.routers.values_mut() {
                    // A backup is out at once, and comes back with its own priority.
                    let leaves = standing.state == State::Master;
                    standing.switch = if leaves { Switch::Leaving } else { Switch::Off };
                }
            }
            Event::EndMaintenance => self.end_maintenance(),
            Event::Stop => self.stopping = true,
            // No machine here asks its interfaces.
            Event::Socket(_) | Event::Carrier { .. } => {}
        }
    }

    fn note_transition(&mut self, batch: &Batch<'_>, transition: &Transition) {
        let config = self.config.routers.iter().find(|config| config.name == transition.name);
        let may_succeed = config.is_some_and(|config| self.may_succeed(config, batch.local));
        let standing = self.routers.get_or_insert_with(transition.router, || Standing {
            name: transition.name.clone(),
            state: State::Initialize,
            elected: None,
            rival: None,
            yielded: None,
            switch: Switch::Off,
            hold_until: None,
            tries: false,
            alone_from: None,
            earliest: batch.local,
            shortest_interval: config.map_or(Duration::ZERO, |c| c.interval.duration()),
        });
        standing.state = transition.to;
        match transition.to {
            State::Master => {
                standing.tries = false;
                standing.elected = Some(batch.at);
                standing.switch = Switch::Off;
                standing.hold_until = None;
                if let Some(config) = config {
                    standing.shortest_interval = config.interval.duration();
                }
            }
            State::Backup => {
                if let Cause::BetterMaster { from, .. } = transition.cause {
                    standing.yielded = Some((from, batch.at));
                }
                let handed_over = matches!(transition.cause.root(), Cause::SwitchOver { .. });
                standing.switch = match standing.switch {
                    Switch::Leaving if handed_over => Switch::Held,
                    Switch::Leaving => Switch::Off,
                    other => other,
                };
                if let Some(config) = config {
                    standing.enter_backup(batch, config, transition);
                    standing.come_back(batch.local);
                    if transition.from == State::Initialize && may_succeed {
                        standing.earliest = batch.local;
                    }
                }
            }
            State::Initialize | State::Fault => {
                if let Cause::Fault(fault) = &transition.cause {
                    standing.tries |= matches!(fault, FaultReason::NotSending(..));
                    let by_itself =
                        matches!(fault, FaultReason::NotSending(..) | FaultReason::AddressMissing(_));
                    if let Some(config) = config.filter(|_| by_itself) {
                        let then = RouterConfig { priority: transition.priority, ..config.clone() };
                        standing.stand_back(batch.local, &then);
                    }
                }
                if standing.switch == Switch::Leaving {
                    standing.switch = Switch::Off;
                }
            }
        }
    }

    /// Whether a router may go on for a predecessor without having listened: it has addresses of a master that nobody
    /// can have missed yet, or it preempts whoever has.
    fn may_succeed(&self, config: &RouterConfig, local: Instant) -> bool {
        let Some(since) = self.silent_since else { return false };
        let interval = config.interval.duration();
        let limit = match config.preempt && config.preempt_delay.is_zero() {
            true => master_down_time(config, interval),
            false if self.left_masters.is_some() => interval * u32::from(config.down_timer_adverts),
            false => interval * u32::from(config.down_timer_adverts.saturating_sub(1)),
        };
        let mut addresses = config.addresses.iter().chain(&config.excluded);
        let left = addresses.any(|address| {
            self.addresses.values().any(|held| held.ours && held.prefix == address.spec.prefix)
        });
        let left = self.left_masters.as_ref().map_or(left, |masters| masters.contains(&config.name));
        left && local.saturating_since(since) < limit
    }

    /// Whether the daemon knows that it has nothing to do with an address of its kernel.
    pub fn is_foreign(&self, link: InterfaceIndex, prefix: Prefix) -> bool {
        self.foreign.contains(&(link, prefix))
    }

    /// Whether an address that is configured belongs on other interfaces than this one.
    pub fn is_elsewhere(&self, link: InterfaceIndex, prefix: Prefix) -> bool {
        let Some(link) = self.links.get(&link) else { return false };
        let mut names = places(&self.config, prefix).peekable();
        names.peek().is_some() && names.all(|name| *name != link.name)
    }

    /// Whether an address belonged on this interface during a part of the wake-up: by a configuration that has been
    /// superseded since, or by another name of the interface.
    pub fn was_here(&self, link: InterfaceIndex, prefix: Prefix) -> bool {
        let name = self.links.get(&link).map(|link| &link.name);
        self.passing.was_here(&self.config, link, name, prefix)
    }

    /// Whether it is configured with an interface of its own, on a parent that is there.
    pub fn keeps_link(&self, key: &LinkKey) -> bool {
        !self.stopping && has_link(&self.config, key, &self.links)
    }

    /// Whether it was not configured with that during a part of the wake-up, by a configuration that has been superseded
    /// since.
    pub fn was_without_link(&self, key: &LinkKey) -> bool {
        self.passing.was_without(key, &self.links)
    }

    /// Whether it shall have an address on an interface for as long as it lives.
    pub fn is_static(&self, link: InterfaceIndex, address: IpAddr) -> bool {
        let name = self.links.get(&link).map(|link| &link.name);
        let mut statics = self.config.statics.addresses.iter();
        statics.any(|entry| Some(&entry.interface) == name && entry.spec.prefix.address() == address)
    }

    fn note_link(&mut self, link: &Link) {
        for address in self.config.statics.addresses.iter().filter(|address| address.interface == link.name) {
            self.charge.insert((link.key, address.spec.prefix.address()));
        }
        for router in &self.config.routers {
            for address in router.addresses.iter().chain(&router.excluded) {
                if *address.interface.as_ref().unwrap_or(&router.interfaces.addresses) == link.name {
                    self.charge.insert((link.key, address.spec.prefix.address()));
                }
            }
        }
    }

    fn note_present(&mut self, held: &HeldAddress) {
        let key = (held.link, held.prefix);
        self.addresses.insert(key, held.clone());
        if held.ours {
            self.foreign.remove(&key);
        } else {
            self.foreign.insert(key);
            self.wanted.retain(|(_, link, prefix)| (*link, *prefix) != key);
        }
    }
}

/// All routes and all rules.
fn routing_of(config: &NodeConfig) -> (BTreeSet<Route>, BTreeSet<Rule>) {
    let StaticConfig { routes, rules, .. } = &*config.statics;
    let of_routers = config.routers.iter().flat_map(|router| &router.routes).map(|line| &line.route);
    let all = of_routers.chain(routes.iter().map(|item| &item.route));
    let routes_of_all = all.cloned().collect();
    let of_routers = config.routers.iter().flat_map(|router| &router.rules).map(|line| &line.rule);
    let all = of_routers.chain(rules.iter().map(|item| &item.rule));
    (routes_of_all, all.cloned().collect())
}

fn note_destinations(config: &NodeConfig, destinations: &mut BTreeMap<(Family, u8), BTreeSet<IpAddr>>) {
    for router in &config.routers {
        let known = destinations.entry((router.family, router.vrid.get())).or_default();
        known.extend(router.destinations.addresses());
    }
}
