//! What a daemon that was killed may have left in the kernel: everything that its configurations name. What the next one
//! names too it adopts or removes as its routers decide; the rest is removed at its start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::NodeConfig;
use crate::kernel::{
    AddressOperation, AddressSpec, HeldAddress, HeldRoute, KernelView, Link, LinkKey, LinkOperation, Route,
    RouteKey, RoutePlace, RouteTable, RoutingKey, RoutingObject, RoutingOperation, Rule, RuleAction, RuleKey,
    Verb, VirtualLink,
};
use crate::net::{InterfaceIndex, InterfaceName, Prefix};

/// Everything that configurations name.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Bequest {
    /// Addresses, and where they were.
    pub addresses: BTreeSet<(InterfaceName, Prefix)>,
    /// Places of routes, and their protocols.
    pub routes: BTreeSet<(RoutePlace, u8)>,
    /// The same in the table of a VRF; the number of the table does not count.
    pub routes_of_vrfs: BTreeSet<(InterfaceName, RoutePlace, u8)>,
    /// Rules, but for those that look up the table of a VRF.
    pub rules: BTreeSet<RuleKey>,
    /// Interfaces on top of others.
    pub links: BTreeSet<VirtualLink>,
}

/// What the kernel holds of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Remains {
    /// Those of its routes that the configuration names too, maybe with other ways.
    named: Vec<HeldRoute>,
    addresses: Vec<HeldAddress>,
    routes: Vec<HeldRoute>,
    rules: Vec<Rule>,
    links: Vec<(LinkKey, VirtualLink)>,
}

impl Bequest {
    /// What a configuration names.
    pub fn of(config: &NodeConfig) -> Self {
        let NodeConfig { routers, statics, links, .. } = config;
        let mut bequest = Self { links: links.iter().cloned().collect(), ..Self::default() };
        for router in routers {
            for address in router.addresses.iter().chain(&router.excluded) {
                let interface = address.interface.as_ref().unwrap_or(&router.interfaces.addresses);
                bequest.addresses.insert((interface.clone(), address.spec.prefix));
            }
            router.routes.iter().for_each(|line| bequest.note_route(&line.route));
            router.rules.iter().for_each(|line| bequest.note_rule(&line.rule));
        }
        for address in &statics.addresses {
            bequest.addresses.insert((address.interface.clone(), address.spec.prefix));
        }
        statics.routes.iter().for_each(|item| bequest.note_route(&item.route));
        statics.rules.iter().for_each(|item| bequest.note_rule(&item.rule));
        bequest
    }

    fn note_route(&mut self, route: &Route) {
        let place = |table| RouteKey::of(route, table, &[]).place;
        match &route.table {
            RouteTable::Number(table) => _ = self.routes.insert((place(*table), route.protocol)),
            RouteTable::OfVrf(vrf) => {
                self.routes_of_vrfs.insert((vrf.clone(), place(0), route.protocol));
            }
        }
    }

    fn note_rule(&mut self, rule: &Rule) {
        let table = match &rule.action {
            RuleAction::Lookup(RouteTable::Number(table)) => *table,
            RuleAction::Lookup(RouteTable::OfVrf(_)) => return,
            _ => 0,
        };
        self.rules.insert(RuleKey::of(rule, table));
    }

    /// The protocols of its routes.
    pub(crate) fn route_protocols(&self) -> impl Iterator<Item = u8> {
        let of_vrfs = self.routes_of_vrfs.iter().map(|(_, _, protocol)| *protocol);
        self.routes.iter().map(|(_, protocol)| *protocol).chain(of_vrfs)
    }

    /// Adds what another one has.
    pub fn extend(&mut self, other: Self) {
        self.addresses.extend(other.addresses);
        self.routes.extend(other.routes);
        self.routes_of_vrfs.extend(other.routes_of_vrfs);
        self.rules.extend(other.rules);
        self.links.extend(other.links);
    }

    /// Requests to remove those of its interfaces that are there.
    pub(crate) fn link_removals(&self, view: &KernelView) -> Vec<LinkOperation> {
        self.remains(view).links()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the kernel holds of it, with our mark where there is one.
    pub(super) fn remains(&self, view: &KernelView) -> Remains {
        let by_index: BTreeMap<InterfaceIndex, &Link> =
            view.links.iter().map(|link| (link.key, link)).collect();
        let name = |index: &InterfaceIndex| by_index.get(index).map(|link| &link.name);
        let is_ours = |held: &&HeldAddress| {
            let named = |name: &InterfaceName| self.addresses.contains(&(name.clone(), held.prefix));
            held.ours && name(&held.link).is_some_and(named)
        };
        let tables: BTreeMap<u32, &InterfaceName> =
            view.links.iter().filter_map(|link| Some((link.vrf_table?, &link.name))).collect();
        let is_route = |held: &&HeldRoute| {
            let (place, protocol) = (held.place, held.protocol);
            self.routes.contains(&(place, protocol))
                || tables.get(&place.table).is_some_and(|vrf| {
                    let place = RoutePlace { table: 0, ..place };
                    self.routes_of_vrfs.contains(&((*vrf).clone(), place, protocol))
                })
        };
        let is_link = |link: &VirtualLink| {
            let held = view.links.iter().find(|held| held.name == link.name)?;
            let key = held.virtual_key().filter(|key| key.kind == link.kind)?;
            (name(&key.parent) == Some(&link.parent)).then(|| (key, link.clone()))
        };
        Remains {
            named: Vec::new(),
            addresses: view.addresses.iter().filter(is_ours).cloned().collect(),
            routes: view.routes.iter().filter(is_route).cloned().collect(),
            rules: view.rules.iter().filter(|r| self.rules.contains(&RuleKey::of_held(r))).cloned().collect(),
            links: self.links.iter().filter_map(is_link).collect(),
        }
    }
}

impl Remains {
    /// Without what a configuration names, but for the routes, of which the ways count too.
    pub(super) fn without(mut self, config: &NodeConfig, view: &KernelView) -> Self {
        let kept = Bequest::of(config).remains(view);
        let names = |key: &LinkKey| config.links.iter().any(|link| link.name.packed() == key.name);
        self.links.retain(|(key, _)| !names(key));
        // They go along with their interface.
        let by_link: BTreeSet<InterfaceIndex> = self
            .links
            .iter()
            .filter_map(|(key, _)| {
                view.links.iter().find(|link| link.name.packed() == key.name).map(|link| link.key)
            })
            .collect();
        self.addresses.retain(|held| !kept.addresses.contains(held) && !by_link.contains(&held.link));
        self.rules.retain(|rule| !kept.rules.contains(rule));
        self.named = kept.routes;
        self
    }

    /// Whether the configuration has a route of this protocol in this place.
    pub(super) fn names_place(&self, held: &HeldRoute) -> bool {
        self.named.iter().any(|named| (named.place, named.protocol) == (held.place, held.protocol))
    }

    /// Requests to remove the addresses, secondary ones first: with the first address of a subnet the kernel may remove
    /// the others.
    pub(super) fn addresses(&self) -> Vec<AddressOperation> {
        let (secondary, primary): (Vec<_>, Vec<_>) = self.addresses.iter().partition(|held| held.secondary);
        let all = secondary.into_iter().chain(primary);
        all.map(|held| AddressOperation::new(Verb::Remove, held.link, AddressSpec::new(held.prefix)))
            .collect()
    }

    /// Requests to remove rules, and the routes that somebody does not want.
    pub(super) fn routing(&self, is_wanted: impl Fn(&HeldRoute) -> bool) -> Vec<RoutingOperation> {
        let rules = self.rules.iter().map(|rule| RoutingOperation {
            verb: Verb::Remove,
            key: RoutingKey::Rule(RuleKey::of_held(rule)),
            object: RoutingObject::Rule(Arc::new(rule.clone())),
        });
        // Last added first.
        let routes = self.routes.iter().rev().filter(|held| !is_wanted(held)).map(|held| {
            let (route, legs) = held.to_route();
            RoutingOperation {
                verb: Verb::Remove,
                key: RoutingKey::Route(RouteKey::of(&route, held.place.table, &legs)),
                object: RoutingObject::Route(Arc::new(route), legs.into()),
            }
        });
        rules.chain(routes).collect()
    }

    /// Requests to remove the interfaces.
    pub(super) fn links(&self) -> Vec<LinkOperation> {
        let operation = |(key, link): &(LinkKey, VirtualLink)| LinkOperation {
            verb: Verb::Remove,
            key: *key,
            link: link.clone(),
        };
        self.links.iter().map(operation).collect()
    }
}
