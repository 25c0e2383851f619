//! Routes and rules of all requesters: who is concerned by what the kernel tells, and what it does not tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{HaNode, Phase, inheritance};
use crate::kernel::{
    HeldRoute, KernelRequest, Requester, RouteKey, RoutingKey, RoutingReply, Rule, RuleKey, Verb,
};
use crate::net::{Family, InterfaceIndex, Prefix};
use crate::time::Now;
use crate::vrrp::{Actions, FaultReason, Output};

/// `EEXIST`.
const EXISTS: i32 = 17;

/// Whose each route and rule is.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct RoutingIndex {
    owners: BTreeMap<RoutingKey, BTreeSet<Requester>>,
    /// The static ones among them.
    statics: Vec<RoutingKey>,
}

impl RoutingIndex {
    /// A requester has other ones, or has them elsewhere.
    pub(super) fn shift(&mut self, requester: Requester, before: &[RoutingKey], after: &[RoutingKey]) {
        if before == after {
            return;
        }
        for key in before {
            if let Some(owners) = self.owners.get_mut(key) {
                owners.remove(&requester);
                if owners.is_empty() {
                    self.owners.remove(key);
                }
            }
        }
        for key in after {
            self.owners.entry(*key).or_default().insert(requester);
        }
    }

    /// Whether nobody has any.
    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    fn of(&self, key: RoutingKey) -> Vec<Requester> {
        self.owners.get(&key).into_iter().flatten().copied().collect()
    }

    /// Those that several have.
    fn shared(&self) -> Vec<RoutingKey> {
        self.owners.iter().filter(|(_, owners)| owners.len() > 1).map(|(key, _)| *key).collect()
    }

    /// Routes of ours in the place of one that the kernel tells of.
    pub(super) fn in_place_of(&self, held: &HeldRoute) -> Vec<RouteKey> {
        let first = RoutingKey::Route(RouteKey::lowest(held.place));
        let all = self.owners.range(first..).map_while(|(key, _)| match key {
            RoutingKey::Route(key) if key.place == held.place => Some(*key),
            _ => None,
        });
        all.collect()
    }

    /// The static part has other ones, or has them elsewhere.
    fn shift_statics(&mut self, after: Vec<RoutingKey>) {
        let before = core::mem::take(&mut self.statics);
        self.shift(Requester::Static, &before, &after);
        self.statics = after;
    }

    /// Who has routes that may lead through the interface.
    fn of_link(&self, link: InterfaceIndex) -> BTreeSet<Requester> {
        let concerned = self.owners.iter().filter(|(key, _)| match key {
            RoutingKey::Route(key) => key.link.is_none_or(|of| of == link),
            RoutingKey::Rule(_) => false,
        });
        concerned.flat_map(|(_, owners)| owners).copied().collect()
    }
}

impl HaNode {
    /// Interfaces came, went or have other names.
    pub(super) fn locate_statics(&mut self, actions: &mut Actions) {
        self.statics.locate(&self.kernel, actions);
        self.index_static_routing();
    }

    /// The static ones have other places.
    pub(super) fn index_static_routing(&mut self) {
        self.routing.shift_statics(self.statics.routing_keys().collect());
    }

    pub(super) fn on_route_present(
        &mut self,
        now: Now,
        route: HeldRoute,
        replaces: bool,
        actions: &mut Actions,
    ) {
        if replaces {
            // Of several in one place the kernel does not say which one: those that are there still are asked for in vain.
            for gone in self.kernel.remove_routes_in(&route.place, |held| *held != route) {
                self.tell_route_gone(now, &gone, actions);
            }
        }
        for key in self.routing.in_place_of(&route) {
            if key.is(&route) {
                self.tell_routing(now, RoutingKey::Route(key), true, actions);
            }
        }
        // Of somebody else's that takes a place of ours nothing more is to be known.
        if self.routing.in_place_of(&route).iter().any(|key| key.protocol == route.protocol) || !replaces {
            self.kernel.set_route(route);
        }
    }

    pub(super) fn on_route_gone(&mut self, now: Now, route: &HeldRoute, actions: &mut Actions) {
        self.kernel.remove_route(route);
        for whole in self.routing.in_place_of(route).into_iter().filter(|key| key.may_be_part(route)) {
            self.kernel.remove_routes_in(&route.place, |held| whole.is(held));
        }
        self.tell_route_gone(now, route, actions);
    }

    fn tell_route_gone(&mut self, now: Now, route: &HeldRoute, actions: &mut Actions) {
        for key in self.routing.in_place_of(route) {
            if key.is(route) || key.may_be_part(route) {
                self.tell_routing(now, RoutingKey::Route(key), false, actions);
            }
        }
    }

    pub(super) fn on_rule(&mut self, now: Now, rule: &Rule, present: bool, actions: &mut Actions) {
        let key = RuleKey::of_held(rule);
        self.kernel.set_rule(key, present);
        self.tell_routing(now, RoutingKey::Rule(key), present, actions);
    }

    fn tell_routing(&mut self, now: Now, key: RoutingKey, present: bool, actions: &mut Actions) {
        let owners = self.routing.of(key);
        let taken = present && self.is_shared_and_wanted(&owners);
        for owner in owners {
            let present = present && (!taken || self.wants_routing(owner));
            match owner {
                Requester::Router(id) => self.with_router(now, id, actions, |router, out| {
                    router.on_routing(now, key, present, out);
                }),
                Requester::Static => self.statics.on_routing(now, key, present),
                Requester::Links | Requester::Predecessor => {}
            }
        }
    }

    /// Of several that have a route or rule, those that do not want it leave it to those that do: to them it is not there,
    /// or a backup would remove what a master of the same daemon puts back, again and again.
    pub(super) fn leave_to_who_wants(&mut self, now: Now, keys: &[RoutingKey], actions: &mut Actions) {
        for key in keys {
            let owners = self.routing.of(*key);
            if !self.is_shared_and_wanted(&owners) {
                continue;
            }
            for owner in owners {
                if let Requester::Router(id) = owner
                    && !self.wants_routing(owner)
                    && let Some(router) = self.routers.get_mut(&id)
                {
                    let mut out = Output { actions, announcements: &mut self.announcements };
                    router.on_routing(now, *key, false, &mut out);
                }
            }
        }
    }

    /// The same for all, after they were compared with the kernel's whole state.
    pub(super) fn leave_all_to_who_wants(&mut self, now: Now, actions: &mut Actions) {
        let shared = self.routing.shared();
        self.leave_to_who_wants(now, &shared, actions);
    }

    fn is_shared_and_wanted(&self, owners: &[Requester]) -> bool {
        owners.len() > 1 && owners.iter().any(|owner| self.wants_routing(*owner))
    }

    fn wants_routing(&self, requester: Requester) -> bool {
        match requester {
            Requester::Router(id) => self.routers.get(&id).is_some_and(|router| router.wants_routing()),
            Requester::Static => self.statics.wants_routing(),
            Requester::Links | Requester::Predecessor => false,
        }
    }

    /// An interface is down or gone: without a word, Linux drops IPv4 routes through it.
    pub(super) fn drop_routes_of_link(&mut self, now: Now, link: InterfaceIndex, actions: &mut Actions) {
        // Of IPv6 routes it tells, but for an interface that moves to another namespace.
        let gone = self.kernel.link(link).is_none();
        let drops = |route: &HeldRoute| {
            (gone || route.place.destination.family() == Family::Ipv4) && route.leads_through(link)
        };
        self.drop_routes(now, drops, actions);
    }

    /// An address is gone: without a word, Linux drops IPv4 routes that prefer it as a source, and all through an
    /// interface that has none left.
    pub(super) fn follow_routes_of_address(
        &mut self,
        now: Now,
        link: InterfaceIndex,
        prefix: Prefix,
        actions: &mut Actions,
    ) {
        if prefix.family() != Family::Ipv4 {
            return;
        }
        let source = prefix.address();
        let source_gone = self.kernel.has(None, &source).is_none();
        let none_left = !self.kernel.has_any(link, Family::Ipv4);
        if source_gone || none_left {
            let drops = |route: &HeldRoute| {
                route.place.destination.family() == Family::Ipv4
                    && (source_gone && route.preferred_source == Some(source)
                        || none_left && route.leads_through(link))
            };
            self.drop_routes(now, drops, actions);
        }
    }

    fn drop_routes(&mut self, now: Now, gone: impl Fn(&HeldRoute) -> bool, actions: &mut Actions) {
        for route in self.kernel.remove_routes(gone) {
            self.tell_route_gone(now, &route, actions);
        }
    }

    /// An interface is up, or has a new address.
    pub(super) fn retry_routes(&mut self, now: Now, link: InterfaceIndex, actions: &mut Actions) {
        if self.routing.is_empty() {
            return;
        }
        for owner in self.routing.of_link(link) {
            match owner {
                Requester::Router(id) => {
                    self.with_router(now, id, actions, |router, out| router.retry_routes(link, out));
                }
                Requester::Static => self.statics.retry_routes(link, actions),
                Requester::Links | Requester::Predecessor => {}
            }
        }
    }

    pub(super) fn handle_routing_reply(&mut self, now: Now, reply: &RoutingReply, actions: &mut Actions) {
        let mut reply = reply.clone();
        for outcome in &mut reply.outcomes {
            // Of a route that is to be added only where there is none (`add`): it may be ours that is there.
            let exists = outcome.error.as_ref().is_some_and(|error| error.errno == EXISTS);
            if exists && self.kernel.holds_routing(outcome.key).is_some() {
                outcome.error = None;
            }
        }
        match reply.requester {
            Requester::Router(id) => {
                self.with_router(now, id, actions, |router, out| router.on_routing_reply(now, &reply, out));
                if let Some(router) = self.departing.get_mut(&id) {
                    let mut out = Output { actions, announcements: &mut self.announcements };
                    router.on_routing_reply(now, &reply, &mut out);
                    if router.is_settled() {
                        self.retired.routers.extend(self.departing.remove(&id));
                    }
                }
            }
            Requester::Static => self.statics.on_routing_reply(now, &reply, actions),
            Requester::Predecessor => inheritance::note_routing(&reply, actions),
            Requester::Links => {}
        }
        self.finish_stop(actions);
    }

    /// What is asked to be removed somebody else may want: asks for it again, right behind the removal.
    pub(super) fn restore_routing(&mut self, before: usize, actions: &mut Actions) {
        if actions.kernel.len() == before || matches!(self.phase, Phase::Stopping | Phase::Stopped) {
            return;
        }
        let mut removed: BTreeMap<RoutingKey, Requester> = BTreeMap::new();
        for request in actions.kernel[before..].iter().filter_map(KernelRequest::routing) {
            for operation in &request.operations {
                match operation.verb {
                    Verb::Add => _ = removed.remove(&operation.key),
                    Verb::Remove => _ = removed.insert(operation.key, request.requester),
                }
            }
        }
        let concerned: BTreeSet<Requester> = removed
            .iter()
            .flat_map(|(key, remover)| {
                self.routing.of(*key).into_iter().filter(move |owner| owner != remover)
            })
            .collect();
        for owner in concerned {
            let taken = |key| removed.get(&key).is_some_and(|remover| *remover != owner);
            match owner {
                Requester::Router(id) => {
                    let Some(router) = self.routers.get_mut(&id) else { continue };
                    let mut out = Output { actions, announcements: &mut self.announcements };
                    router.restore_routing(&taken, &mut out);
                }
                Requester::Static => self.statics.restore_routing(&taken, actions),
                Requester::Links | Requester::Predecessor => {}
            }
        }
    }

    /// Tells the members of each track group whether something of theirs is missing. What is received and sent changes
    /// nothing about that: it is settled after every other event, and when [`super::statics::Statics::poll_timeout`] says so.
    pub(super) fn settle_track_groups(&mut self, now: Now, actions: &mut Actions) {
        if self.config.statics.track_groups.is_empty() && self.static_faults.is_empty() {
            return;
        }
        let missing = match self.phase {
            Phase::Running | Phase::Held(_) => self.statics.missing(now.instant, &self.kernel),
            Phase::New | Phase::Stopping | Phase::Stopped => return,
        };
        let fault = |(group, object): (Arc<str>, Arc<str>)| {
            (Arc::clone(&group), FaultReason::StaticMissing { group, object })
        };
        let faults: BTreeMap<Arc<str>, FaultReason> = missing.into_iter().map(fault).collect();
        if faults == self.static_faults {
            return;
        }
        self.static_faults = faults;
        self.impose_static_faults(now, actions);
        self.start_waiting(now, actions);
    }

    /// The same for routers that are new or have other groups.
    pub(super) fn impose_static_faults(&mut self, now: Now, actions: &mut Actions) {
        let mut of_router: BTreeMap<Arc<str>, FaultReason> = BTreeMap::new();
        for group in &self.config.statics.track_groups {
            if let Some(fault) = self.static_faults.get(&group.name) {
                of_router.extend(group.members.iter().map(|name| (Arc::clone(name), fault.clone())));
            }
        }
        self.for_each(now, actions, |router, out| {
            let fault = of_router.get(&router.config().name).cloned();
            router.set_static_fault(now, fault, out);
        });
    }
}
