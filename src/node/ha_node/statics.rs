//! The static part: what a daemon keeps in the kernel for as long as it lives (`static_ipaddress`, `static_routes`,
//! `static_rules`), and what groups of routers depend on (`track_group`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::kernel::{
    AddressOperation, AddressReply, AddressRequest, KernelRequest, Link, Requester, Route, RoutingKey,
    RoutingReply, Rule,
};
use crate::net::{InterfaceIndex, InterfaceName, Prefix};
use crate::node::{KernelModel, StaticConfig};
use crate::time::{Duration, Instant, Now};
use crate::vrrp::{Actions, Report, ReportKind, RoutingReport, request_routing};
use crate::wanted::{
    AddressWish, Addresses, Answer, Change, Repair, RouteLink, RoutingLeftovers, RoutingSets, WantedSet,
    distinct,
};

/// A static item is said to be missing, though nothing speaks against it, after this time.
const LACKING: Duration = Duration::from_secs(3);

/// A requester like each virtual router, which wants what it has from the start to the stop.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Statics {
    addresses: WantedSet<Addresses>,
    routing: RoutingSets,
    config: Box<StaticConfig>,
    /// When it was looked last at what is missing.
    examined: Instant,
}

/// An address on an interface.
pub(super) type Key = (InterfaceIndex, Prefix);

impl Statics {
    /// Nothing is asked for yet.
    pub(super) fn new(config: &StaticConfig) -> Self {
        let (routes, rules) = routing_wishes(config);
        Self {
            addresses: WantedSet::new(wishes(config)),
            routing: RoutingSets::new(routes, rules),
            config: Box::new(config.clone()),
            examined: Instant::ZERO,
        }
    }

    /// The kernel's state is known for the first time: asks for what is missing.
    pub(super) fn begin(&mut self, kernel: &KernelModel, actions: &mut Actions) {
        self.locate(kernel, actions);
        let mut changes = Vec::new();
        let (_, count) = self.addresses.want(&mut changes);
        if count > 0 {
            report(ReportKind::LeftoverAdopted { count }, actions);
        }
        request(changes, actions);
        let (leftovers, operations) = self.routing.want();
        let RoutingLeftovers { routes, rules } = leftovers;
        if routes + rules > 0 {
            actions.report(RoutingReport::Adopted { routes, rules }.of_statics());
        }
        request_routing(Requester::Static, operations, actions);
    }

    /// Interfaces came, went or have other names.
    pub(super) fn locate(&mut self, kernel: &KernelModel, actions: &mut Actions) {
        let mut changes = Vec::new();
        self.addresses.locate(&locate(kernel), &|key| kernel.holds(key), &mut changes);
        request(changes, actions);
        if !self.routing.is_idle() {
            let operations = self.routing.locate(&links(kernel), &|key| kernel.holds_routing(key));
            request_routing(Requester::Static, operations, actions);
        }
        self.report_foreign(kernel, actions);
    }

    /// Replaces the lists: what stays is not touched.
    pub(super) fn reconfigure(&mut self, config: &StaticConfig, kernel: &KernelModel, actions: &mut Actions) {
        let mut changes = Vec::new();
        let known = |key| kernel.holds(key);
        self.addresses.reconfigure(wishes(config), &locate(kernel), &known, &mut changes);
        request(changes, actions);
        let known = |key| kernel.holds_routing(key);
        let operations = self.routing.reconfigure(routing_wishes(config), &links(kernel), &known);
        request_routing(Requester::Static, operations, actions);
        *self.config = config.clone();
        self.report_foreign(kernel, actions);
    }

    /// Compares with the kernel's whole state, after notifications were lost.
    pub(super) fn resynchronise(&mut self, now: Now, kernel: &KernelModel, actions: &mut Actions) {
        self.locate(kernel, actions);
        self.addresses.resynchronise(now.instant, &|key| kernel.holds(key));
        self.routing.resynchronise(now.instant, &|key| kernel.holds_routing(key));
    }

    /// The kernel tells that it holds an address, and whether with our mark.
    pub(super) fn on_present(
        &mut self,
        now: Now,
        key: Key,
        ours: bool,
        kernel: &KernelModel,
        actions: &mut Actions,
    ) {
        if self.addresses.on_present(now.instant, key, ours) {
            report_foreign(key, kernel, actions);
        }
    }

    /// The kernel tells that an address is gone.
    pub(super) fn on_gone(&mut self, now: Now, key: Key) {
        self.addresses.on_gone(now.instant, key);
    }

    /// The kernel took a chunk of our changes.
    pub(super) fn on_reply(&mut self, now: Now, reply: &AddressReply, actions: &mut Actions) {
        for outcome in &reply.outcomes {
            let (key, error) = ((outcome.link, outcome.prefix), &outcome.error);
            let answer = self.addresses.on_answer(now.instant, outcome.verb, key, error.is_some());
            if let (Answer::Refused, Some(error)) = (answer, error) {
                let (prefix, error) = (outcome.prefix, error.clone());
                report(ReportKind::AddressRefused { prefix, error }, actions);
            }
        }
        request_again(&mut self.addresses, reply, actions);
    }

    /// When [`Statics::handle_timeout`] shall be called next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let judged = [self.addresses.poll_timeout(), self.routing.poll_timeout()];
        let lacking = [self.addresses.lacking_timeout(LACKING), self.routing.lacking_timeout(LACKING)];
        let lacking = lacking.into_iter().filter(|at| *at > Some(self.examined));
        let back = [self.addresses.steady_timeout(), self.routing.steady_timeout()];
        judged.into_iter().chain(lacking).chain(back).flatten().min()
    }

    /// Puts back what somebody removed.
    pub(super) fn handle_timeout(&mut self, now: Now, actions: &mut Actions) {
        self.examined = now.instant;
        self.addresses.forgive(now.instant);
        self.routing.forgive(now.instant);
        let mut changes = Vec::new();
        for Repair { key: (_, prefix), times } in self.addresses.judge(now.instant, &mut changes) {
            report(ReportKind::AddressRepaired { prefix, times }, actions);
        }
        request(changes, actions);
        let (repaired, operations) = self.routing.judge(now.instant);
        for (object, times) in repaired {
            actions.report(RoutingReport::Repaired { object, times }.of_statics());
        }
        request_routing(Requester::Static, operations, actions);
    }

    /// A virtual router's removal takes some along: they are asked for again.
    pub(super) fn restore(&mut self, taken: &dyn Fn(Key) -> bool, actions: &mut Actions) {
        let mut changes = Vec::new();
        self.addresses.restore(taken, &mut changes);
        request(changes, actions);
    }

    /// The daemon stops: what is ours is removed.
    pub(super) fn stop(&mut self, actions: &mut Actions) {
        let (_, operations) = self.routing.release();
        request_routing(Requester::Static, operations, actions);
        let mut changes = Vec::new();
        self.addresses.release(&mut changes);
        request(changes, actions);
    }

    /// Whether every change has been answered.
    pub(super) fn is_settled(&self) -> bool {
        self.addresses.is_settled() && self.routing.is_settled()
    }

    /// The kernel tells that one of the routes or rules is there, or gone.
    pub(super) fn on_routing(&mut self, now: Now, key: RoutingKey, present: bool) {
        self.routing.on_change(now.instant, key, present);
    }

    /// The kernel took a chunk of our changes of routes and rules.
    pub(super) fn on_routing_reply(&mut self, now: Now, reply: &RoutingReply, actions: &mut Actions) {
        let (refused, operations) = self.routing.on_outcomes(now.instant, &reply.outcomes);
        for (object, error) in refused {
            actions.report(RoutingReport::Refused { object, error }.of_statics());
        }
        request_routing(Requester::Static, operations, actions);
    }

    /// A virtual router removes some of ours: they are asked for again.
    pub(super) fn restore_routing(&mut self, taken: &dyn Fn(RoutingKey) -> bool, actions: &mut Actions) {
        request_routing(Requester::Static, self.routing.restore(taken), actions);
    }

    /// An interface is up, or has a new address.
    pub(super) fn retry_routes(&mut self, link: InterfaceIndex, actions: &mut Actions) {
        request_routing(Requester::Static, self.routing.retry(link), actions);
    }

    /// Whether routes and rules are wanted: from the start to the stop.
    pub(super) fn wants_routing(&self) -> bool {
        self.routing.is_wanted()
    }

    /// Routes and rules that have a place.
    pub(super) fn routing_keys(&self) -> impl Iterator<Item = RoutingKey> {
        self.routing.keys()
    }

    /// What each track group lacks: an item whose interface is missing or cannot be used, that the kernel refuses, or
    /// that goes missing each time it is put back.
    pub(super) fn missing(&mut self, now: Instant, kernel: &KernelModel) -> BTreeMap<Arc<str>, Arc<str>> {
        let mut missing: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
        let mut note = |group: &Arc<str>, what: String| {
            missing.entry(Arc::clone(group)).or_insert_with(|| what.into());
        };
        let usable = |name: &InterfaceName| kernel.link_by_name(name).is_some_and(Link::usable);
        let StaticConfig { addresses, routes, rules, track_groups: _ } = &*self.config;
        for item in addresses {
            let Some(group) = &item.track_group else { continue };
            let wish = AddressWish { interface: item.interface.clone(), spec: item.spec.clone() };
            if !usable(&item.interface) || self.addresses.is_lacking(|of| *of == wish, now, LACKING) {
                note(group, format!("address {} on {}", item.spec.prefix, item.interface));
            }
        }
        for item in routes {
            let Some(group) = &item.track_group else { continue };
            if !item.route.interfaces().all(usable)
                || self.routing.is_route_lacking(&item.route, now, LACKING)
            {
                note(group, format!("route {}", item.route));
            }
        }
        for item in rules {
            let Some(group) = &item.track_group else { continue };
            if !item.rule.input.iter().all(usable) || self.routing.is_rule_lacking(&item.rule, now, LACKING) {
                note(group, format!("rule {}", item.rule));
            }
        }
        missing
    }

    fn report_foreign(&mut self, kernel: &KernelModel, actions: &mut Actions) {
        for key in self.addresses.take_foreign() {
            report_foreign(key, kernel, actions);
        }
    }
}

fn wishes(config: &StaticConfig) -> Vec<(AddressWish, bool)> {
    distinct(config.addresses.iter().map(|address| {
        let wish = AddressWish { interface: address.interface.clone(), spec: address.spec.clone() };
        // Of those that no group depends on nobody asks.
        (wish, address.track_group.is_some())
    }))
}

/// Routes and rules, and whether the loss of each counts.
type RoutingWishes = (Vec<(Arc<Route>, bool)>, Vec<(Arc<Rule>, bool)>);

fn routing_wishes(config: &StaticConfig) -> RoutingWishes {
    let routes = config.routes.iter().map(|item| (Arc::new(item.route.clone()), item.track_group.is_some()));
    let rules = config.rules.iter().map(|item| (Arc::new(item.rule.clone()), item.track_group.is_some()));
    (routes.collect(), rules.collect())
}

fn links(kernel: &KernelModel) -> impl Fn(&InterfaceName) -> Option<RouteLink> {
    |name| {
        let link = kernel.link_by_name(name)?;
        Some(RouteLink { key: link.key, admin_up: link.admin_up, vrf_table: link.vrf_table })
    }
}

/// An address has a place where its interface exists.
pub(super) fn locate(kernel: &KernelModel) -> impl Fn(&AddressWish) -> Option<Key> {
    |wish| kernel.link_by_name(&wish.interface).map(|link| (link.key, wish.spec.prefix))
}

fn request(changes: Vec<Change<Addresses>>, actions: &mut Actions) {
    request_for(Requester::Static, changes, actions);
}

/// Asks once more, on behalf of whom the answer is for, for what it has not settled.
pub(super) fn request_again(
    addresses: &mut WantedSet<Addresses>,
    reply: &AddressReply,
    actions: &mut Actions,
) {
    let mut changes = Vec::new();
    let answered = reply.outcomes.iter().map(|outcome| (outcome.link, outcome.prefix));
    addresses.request_again(answered, &mut changes);
    request_for(reply.requester, changes, actions);
}

/// Asks for changes that are not announced.
pub(super) fn request_for(requester: Requester, changes: Vec<Change<Addresses>>, actions: &mut Actions) {
    if changes.is_empty() {
        return;
    }
    let operation = |Change { verb, key: (link, _), wish }: Change<Addresses>| {
        AddressOperation::new(verb, link, wish.spec)
    };
    let operations = changes.into_iter().map(operation).collect();
    actions.kernel.push(KernelRequest::Addresses(AddressRequest { requester, operations }));
}

fn report(kind: ReportKind, actions: &mut Actions) {
    actions.report(Report { router: "".into(), kind });
}

fn report_foreign((link, prefix): Key, kernel: &KernelModel, actions: &mut Actions) {
    if let Some(link) = kernel.link(link) {
        report(ReportKind::StaticAddressForeign { prefix, interface: link.name.clone() }, actions);
    }
}
