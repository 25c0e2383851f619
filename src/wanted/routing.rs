//! Routes and rules: kinds of wanted objects, which a requester wants together.

use core::convert::Infallible;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Answer, Change, Kind, Repair, WantedSet};
use crate::kernel::{
    Route, RouteKey, RouteTable, RoutingKey, RoutingObject, RoutingOperation, RoutingOutcome, Rule,
    RuleAction, RuleKey,
};
use crate::net::{InterfaceIndex, InterfaceName};
use crate::time::{Duration, Instant};

/// Routes.
#[derive(Clone, Copy, Debug)]
enum Routes {}

impl Kind for Routes {
    type Key = RouteKey;
    type Wish = Arc<Route>;
    /// The kernel removes none along with another one.
    type Kin = Infallible;
    const COINCIDE: bool = true;
}

/// Rules.
#[derive(Clone, Copy, Debug)]
enum Rules {}

impl Kind for Rules {
    type Key = RuleKey;
    type Wish = Arc<Rule>;
    type Kin = Infallible;
    const COINCIDE: bool = true;
}

/// What a route has to know of an interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RouteLink {
    /// Its number.
    pub(crate) key: InterfaceIndex,
    /// The administrator wants it up: without that the kernel takes no route through it.
    pub(crate) admin_up: bool,
    /// The table that it stands for, if it is a VRF.
    pub(crate) vrf_table: Option<u32>,
}

/// The interface of a name, if it exists.
pub(crate) type RouteLinks<'a> = &'a dyn Fn(&InterfaceName) -> Option<RouteLink>;

/// What the kernel is known to hold, and whether it carries our mark.
pub(crate) type KnownRouting<'a> = &'a dyn Fn(RoutingKey) -> Option<bool>;

/// How much a predecessor left.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct RoutingLeftovers {
    pub(crate) routes: usize,
    pub(crate) rules: usize,
}

/// The routes and rules of one requester. Routes are added before rules, which look them up, and removed behind them.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct RoutingSets {
    routes: WantedSet<Routes>,
    rules: WantedSet<Rules>,
    /// Interfaces of the ways of those that have several.
    legs: BTreeMap<RouteKey, Arc<[Option<InterfaceIndex>]>>,
}

/// A wish, and whether its loss counts against the requester.
type Wish<T> = (Arc<T>, bool);

impl RoutingSets {
    /// Nothing is decided yet.
    pub(crate) fn new(
        routes: impl IntoIterator<Item = Wish<Route>>,
        rules: impl IntoIterator<Item = Wish<Rule>>,
    ) -> Self {
        let (routes, rules) = (WantedSet::new(distinct(routes)), WantedSet::new(distinct(rules)));
        Self { routes, rules, legs: BTreeMap::new() }
    }

    /// Whether there is nothing to do, now or later.
    pub(crate) fn is_idle(&self) -> bool {
        self.routes.len() == 0 && self.rules.len() == 0 && self.is_settled()
    }

    /// Whether the kernel shall hold them.
    pub(crate) fn is_wanted(&self) -> bool {
        self.routes.is_wanted()
    }

    /// Interfaces came, went or changed.
    pub(crate) fn locate(&mut self, links: RouteLinks<'_>, known: KnownRouting<'_>) -> Vec<RoutingOperation> {
        let (mut routes, mut rules) = (Vec::new(), Vec::new());
        self.routes.locate(
            &|wish| locate_route(wish, links),
            &|key| known(RoutingKey::Route(key)),
            &mut routes,
        );
        self.rules.locate(&|wish| locate_rule(wish, links), &|key| known(RoutingKey::Rule(key)), &mut rules);
        self.moved(links, routes, rules)
    }

    /// Replaces the wishes: what stays is not touched.
    pub(crate) fn reconfigure(
        &mut self,
        (routes, rules): (Vec<Wish<Route>>, Vec<Wish<Rule>>),
        links: RouteLinks<'_>,
        known: KnownRouting<'_>,
    ) -> Vec<RoutingOperation> {
        let (mut route_changes, mut rule_changes) = (Vec::new(), Vec::new());
        let (find_route, find_rule) =
            (|wish: &_| locate_route(wish, links), |wish: &_| locate_rule(wish, links));
        let known_route = |key| known(RoutingKey::Route(key));
        let known_rule = |key| known(RoutingKey::Rule(key));
        self.routes.reconfigure(distinct(routes), &find_route, &known_route, &mut route_changes);
        self.rules.reconfigure(distinct(rules), &find_rule, &known_rule, &mut rule_changes);
        self.moved(links, route_changes, rule_changes)
    }

    fn moved(
        &mut self,
        links: RouteLinks<'_>,
        routes: Vec<Change<Routes>>,
        rules: Vec<Change<Rules>>,
    ) -> Vec<RoutingOperation> {
        let keys: BTreeSet<RouteKey> = self.routes.keys().collect();
        for key in &keys {
            if let Some(wish) = self.routes.wish(*key).filter(|wish| wish.next.hops().nth(1).is_some()) {
                self.legs.insert(*key, legs(wish, links));
            }
        }
        let operations = self.operations(routes, rules);
        // Those of removals are on their way.
        self.legs.retain(|key, _| keys.contains(key));
        operations
    }

    /// They are wanted from now on.
    pub(crate) fn want(&mut self) -> (RoutingLeftovers, Vec<RoutingOperation>) {
        let (mut routes, mut rules) = (Vec::new(), Vec::new());
        let (_, route_count) = self.routes.want(&mut routes);
        let (_, rule_count) = self.rules.want(&mut rules);
        let leftovers = RoutingLeftovers { routes: route_count, rules: rule_count };
        (leftovers, self.operations(routes, rules))
    }

    /// They are not wanted any more.
    pub(crate) fn release(&mut self) -> (RoutingLeftovers, Vec<RoutingOperation>) {
        let (mut routes, mut rules) = (Vec::new(), Vec::new());
        let rule_count = self.rules.release(&mut rules);
        let route_count = self.routes.release(&mut routes);
        let leftovers = RoutingLeftovers { routes: route_count, rules: rule_count };
        let mut operations = self.operations(Vec::new(), rules);
        operations.extend(self.operations(routes, Vec::new()));
        (leftovers, operations)
    }

    /// The requester ends and leaves the kernel as it is.
    pub(crate) fn abandon(&mut self) {
        self.routes.abandon();
        self.rules.abandon();
    }

    /// As [`WantedSet::decide`].
    pub(crate) fn decide(&mut self) {
        self.routes.decide();
        self.rules.decide();
    }

    /// Whether a predecessor's wait for a decision.
    pub(crate) fn has_leftovers(&self) -> bool {
        self.routes.has_leftovers() || self.rules.has_leftovers()
    }

    /// The kernel tells that one is there, with our mark, or that it is gone.
    pub(crate) fn on_change(&mut self, now: Instant, key: RoutingKey, present: bool) {
        match (key, present) {
            (RoutingKey::Route(key), true) => _ = self.routes.on_present(now, key, true),
            (RoutingKey::Route(key), false) => self.routes.on_gone(now, key),
            (RoutingKey::Rule(key), true) => _ = self.rules.on_present(now, key, true),
            (RoutingKey::Rule(key), false) => self.rules.on_gone(now, key),
        }
    }

    /// Compares with the kernel's whole state.
    pub(crate) fn resynchronise(&mut self, now: Instant, known: KnownRouting<'_>) {
        self.routes.resynchronise(now, &|key| known(RoutingKey::Route(key)));
        self.rules.resynchronise(now, &|key| known(RoutingKey::Rule(key)));
    }

    /// The kernel answered. Gives what it refused, and what had to wait for the answers.
    pub(crate) fn on_outcomes(
        &mut self,
        now: Instant,
        outcomes: &[RoutingOutcome],
    ) -> (Vec<(RoutingObject, crate::kernel::KernelError)>, Vec<RoutingOperation>) {
        let mut refused = Vec::new();
        for RoutingOutcome { verb, key, error } in outcomes {
            let answer = match key {
                RoutingKey::Route(key) => self.routes.on_answer(now, *verb, *key, error.is_some()),
                RoutingKey::Rule(key) => self.rules.on_answer(now, *verb, *key, error.is_some()),
            };
            if let (Answer::Refused, Some(error)) = (answer, error)
                && let Some(object) = self.object(*key)
            {
                refused.push((object, error.clone()));
            }
        }
        let (mut routes, mut rules) = (Vec::new(), Vec::new());
        let (mut route_keys, mut rule_keys) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome.key {
                RoutingKey::Route(key) => route_keys.push(key),
                RoutingKey::Rule(key) => rule_keys.push(key),
            }
        }
        self.routes.request_again(route_keys, &mut routes);
        self.rules.request_again(rule_keys, &mut rules);
        (refused, self.operations(routes, rules))
    }

    /// Somebody else's removal takes some along: they are asked for again.
    pub(crate) fn restore(&mut self, taken: &dyn Fn(RoutingKey) -> bool) -> Vec<RoutingOperation> {
        let (mut routes, mut rules) = (Vec::new(), Vec::new());
        self.routes.restore(&|key| taken(RoutingKey::Route(key)), &mut routes);
        self.rules.restore(&|key| taken(RoutingKey::Rule(key)), &mut rules);
        self.operations(routes, rules)
    }

    /// Interfaces or addresses came: what was refused for want of them is asked for again.
    pub(crate) fn retry(&mut self, link: InterfaceIndex) -> Vec<RoutingOperation> {
        let mut routes = Vec::new();
        self.routes.retry(&|key| key.link.is_none_or(|of| of == link), &mut routes);
        self.operations(routes, Vec::new())
    }

    /// When [`RoutingSets::judge`] may have something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [self.routes.poll_timeout(), self.rules.poll_timeout()].into_iter().flatten().min()
    }

    /// Puts back what somebody removed, and gives that.
    pub(crate) fn judge(&mut self, now: Instant) -> (Vec<(RoutingObject, u32)>, Vec<RoutingOperation>) {
        let (mut routes, mut rules, mut repaired) = (Vec::new(), Vec::new(), Vec::new());
        for Repair { key, times } in self.routes.judge(now, &mut routes) {
            repaired.extend(self.object(RoutingKey::Route(key)).map(|object| (object, times)));
        }
        for Repair { key, times } in self.rules.judge(now, &mut rules) {
            repaired.extend(self.object(RoutingKey::Rule(key)).map(|object| (object, times)));
        }
        (repaired, self.operations(routes, rules))
    }

    /// When [`RoutingSets::take_lacking`] may have something to say.
    pub(crate) fn lacking_timeout(&self, limit: Duration) -> Option<Instant> {
        [self.routes.lacking_timeout(limit), self.rules.lacking_timeout(limit)].into_iter().flatten().min()
    }

    /// As [`WantedSet::steady_timeout`].
    pub(crate) fn steady_timeout(&self) -> Option<Instant> {
        [self.routes.steady_timeout(), self.rules.steady_timeout()].into_iter().flatten().min()
    }

    /// As [`WantedSet::forgive`].
    pub(crate) fn forgive(&mut self, now: Instant) {
        self.routes.forgive(now);
        self.rules.forgive(now);
    }

    /// A watched one that has been missing for longer than `limit` though it was there; told once in that time.
    pub(crate) fn take_lacking(&mut self, now: Instant, limit: Duration) -> Option<RoutingObject> {
        let route = self.routes.take_lacking(now, limit).map(RoutingKey::Route);
        let rule = self.rules.take_lacking(now, limit).map(RoutingKey::Rule);
        self.object(route.or(rule)?)
    }

    /// Whether every change has been answered.
    pub(crate) fn is_settled(&self) -> bool {
        self.routes.is_settled() && self.rules.is_settled()
    }

    /// Those that have a place.
    pub(crate) fn keys(&self) -> impl Iterator<Item = RoutingKey> {
        self.routes.keys().map(RoutingKey::Route).chain(self.rules.keys().map(RoutingKey::Rule))
    }

    /// As [`WantedSet::is_lacking`].
    pub(crate) fn is_route_lacking(&self, route: &Route, now: Instant, limit: Duration) -> bool {
        self.routes.is_lacking(|wish| **wish == *route, now, limit)
    }

    /// As [`WantedSet::is_lacking`].
    pub(crate) fn is_rule_lacking(&self, rule: &Rule, now: Instant, limit: Duration) -> bool {
        self.rules.is_lacking(|wish| **wish == *rule, now, limit)
    }

    fn object(&self, key: RoutingKey) -> Option<RoutingObject> {
        Some(match key {
            RoutingKey::Route(key) => {
                RoutingObject::Route(Arc::clone(self.routes.wish(key)?), self.legs_of(key))
            }
            RoutingKey::Rule(key) => RoutingObject::Rule(Arc::clone(self.rules.wish(key)?)),
        })
    }

    fn legs_of(&self, key: RouteKey) -> Arc<[Option<InterfaceIndex>]> {
        self.legs.get(&key).map_or_else(|| Arc::new([key.link]), Arc::clone)
    }

    fn operations(&self, routes: Vec<Change<Routes>>, rules: Vec<Change<Rules>>) -> Vec<RoutingOperation> {
        let routes = routes.into_iter().map(|Change { verb, key, wish }| RoutingOperation {
            verb,
            key: RoutingKey::Route(key),
            object: RoutingObject::Route(wish, self.legs_of(key)),
        });
        let rules = rules.into_iter().map(|Change { verb, key, wish }| RoutingOperation {
            verb,
            key: RoutingKey::Rule(key),
            object: RoutingObject::Rule(wish),
        });
        routes.chain(rules).collect()
    }
}

/// Without those that are there already.
fn distinct<T: Ord>(wishes: impl IntoIterator<Item = Wish<T>>) -> Vec<Wish<T>> {
    let mut seen = BTreeSet::new();
    wishes.into_iter().filter(|(wish, _)| seen.insert(Arc::clone(wish))).collect()
}

fn legs(route: &Route, links: RouteLinks<'_>) -> Arc<[Option<InterfaceIndex>]> {
    let link = |name: &Option<InterfaceName>| links(name.as_ref()?).map(|link| link.key);
    route.next.hops().map(|hop| link(&hop.interface)).collect()
}

fn table_number(table: &RouteTable, links: RouteLinks<'_>) -> Option<u32> {
    match table {
        RouteTable::Number(number) => Some(*number),
        RouteTable::OfVrf(vrf) => links(vrf)?.vrf_table,
    }
}

/// A route has a place while all its interfaces exist, and one of them is up.
fn locate_route(route: &Arc<Route>, links: RouteLinks<'_>) -> Option<RouteKey> {
    let table = table_number(&route.table, links)?;
    let mut named = route.next.hops().filter_map(|hop| hop.interface.as_ref()).peekable();
    let mut any_up = named.peek().is_none();
    for name in named {
        any_up |= links(name)?.admin_up;
    }
    any_up.then(|| RouteKey::of(route, table, &legs(route, links)))
}

/// A rule has a place everywhere: the interfaces that it names need not exist.
fn locate_rule(rule: &Arc<Rule>, links: RouteLinks<'_>) -> Option<RuleKey> {
    let table = match &rule.action {
        RuleAction::Lookup(table) => table_number(table, links)?,
        _ => 0,
    };
    Some(RuleKey::of(rule, table))
}
