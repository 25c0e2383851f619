//! What a new configuration changes, object by object.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use super::object::Object;
use super::{NodeConfig, StaticConfig};
use crate::track::TrackConfig;
use crate::vrrp::RouterConfig;

/// The difference between two configurations.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// What comes, goes and changes, kind by kind.
    pub objects: Vec<ObjectChange>,
    /// How many objects stay as they are.
    pub unchanged: usize,
}

/// What becomes of one object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ObjectChange {
    /// `virtual router`, or the keyword of its block.
    pub kind: &'static str,
    /// Its name in the configuration.
    pub name: String,
    /// What becomes of it.
    pub change: Change,
}

/// What becomes of an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// It comes.
    Added,
    /// It goes.
    Removed,
    /// It stays, and this of it changes: at least one.
    Changed(Vec<String>),
}

/// A line: `virtual router VI_1: priority 100 -> 150`.
impl fmt::Display for ObjectChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, change } = self;
        match change {
            Change::Added => write!(f, "{kind} {name} is new"),
            Change::Removed => write!(f, "{kind} {name} is removed"),
            Change::Changed(what) => write!(f, "{kind} {name}: {}", what.join(", ")),
        }
    }
}

impl Changes {
    /// In words, a line for each object concerned.
    pub fn lines(&self) -> Vec<String> {
        match self.objects.as_slice() {
            [] => vec!["nothing is changed".to_owned()],
            objects => objects.iter().map(ObjectChange::to_string).collect(),
        }
    }

    /// Something that is no object of a node, and of which only is known whether it differs.
    pub(crate) fn note_other(&mut self, name: &str, differs: bool) {
        if differs {
            let change = Change::Changed(vec!["changed".to_owned()]);
            self.objects.push(ObjectChange { kind: "the", name: name.to_owned(), change });
        }
    }

    /// Compares the routers, which are the same by their identity, not by their names.
    pub(super) fn routers<'a>(
        &mut self,
        before: impl Iterator<Item = &'a RouterConfig>,
        after: impl Iterator<Item = &'a RouterConfig>,
    ) {
        self.compare(
            before.map(|config| (config.identity(), config)),
            after.map(|config| (config.identity(), config)),
        );
    }

    /// Compares everything beside the routers.
    pub(super) fn others(&mut self, before: &NodeConfig, after: &NodeConfig) {
        self.lists(&before.sync_groups, &after.sync_groups);
        let TrackConfig { scripts, files, processes, interface_delays, link_polling, references } =
            &*before.tracking;
        self.lists(scripts, &after.tracking.scripts);
        self.lists(files, &after.tracking.files);
        self.lists(processes, &after.tracking.processes);
        self.lists(interface_delays, &after.tracking.interface_delays);
        self.lists(link_polling, &after.tracking.link_polling);
        self.lists(references, &after.tracking.references);
        self.lists(&before.bfd, &after.bfd);
        self.lists(&before.garp_groups, &after.garp_groups);
        self.lists(&before.links, &after.links);
        let StaticConfig { addresses, routes, rules, track_groups } = &*before.statics;
        self.lists(addresses, &after.statics.addresses);
        self.lists(routes, &after.statics.routes);
        self.lists(rules, &after.statics.rules);
        self.lists(track_groups, &after.statics.track_groups);
        if before.startup_delay != after.startup_delay {
            let seconds = |config: &NodeConfig| config.startup_delay.as_secs_f64();
            let change = Change::Changed(vec![format!("{} -> {}", seconds(before), seconds(after))]);
            self.objects.push(ObjectChange {
                kind: "setting",
                name: "vrrp_startup_delay".to_owned(),
                change,
            });
        }
    }

    /// Compares objects that are the same by their names; several of one name are told apart by their order.
    fn lists<T: Object>(&mut self, before: &[T], after: &[T]) {
        self.compare(numbered(before).into_iter(), numbered(after).into_iter());
    }

    fn compare<'a, K: Ord, T: Object + 'a>(
        &mut self,
        before: impl Iterator<Item = (K, &'a T)>,
        after: impl Iterator<Item = (K, &'a T)>,
    ) {
        let mut old: BTreeMap<K, &T> = before.collect();
        let mut changed = Vec::new();
        let object = |object: &T, change| ObjectChange { kind: T::KIND, name: object.name(), change };
        for (key, new) in after {
            match old.remove(&key) {
                None => self.objects.push(object(new, Change::Added)),
                Some(before) if before == new => self.unchanged += 1,
                Some(before) => {
                    let mut what = new.differences(before);
                    if what.is_empty() {
                        what.push("other settings".to_owned());
                    }
                    changed.push(object(new, Change::Changed(what)));
                }
            }
        }
        self.objects.extend(old.into_values().map(|before| object(before, Change::Removed)));
        self.objects.append(&mut changed);
    }
}

fn numbered<T: Object>(list: &[T]) -> Vec<((String, usize), &T)> {
    let mut known = BTreeSet::new();
    let key = |object: &T| {
        let mut key = (object.name(), 0);
        while !known.insert(key.clone()) {
            key.1 += 1;
        }
        key
    };
    list.iter().map(key).collect::<Vec<_>>().into_iter().zip(list).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{AddressSpec, Route, Rule};
    use crate::net::{Family, Prefix};
    use crate::node::{HaNode, StaticAddress, StaticRoute, StaticRule};
    use crate::time::Duration;
    use crate::track::{Owner, TrackReference, Tracker, Weight};
    use crate::vrrp::{SyncGroupConfig, VirtualAddress, VirtualRoute};
    use crate::wire::vrrp::{Priority, Vrid};

    fn router(name: &str, vrid: u8) -> RouterConfig {
        RouterConfig::new(name, Vrid::new(vrid).unwrap(), Family::Ipv4, "eth0".parse().unwrap())
    }

    fn prefix(text: &str, length: u8) -> Prefix {
        Prefix::new(text.parse().unwrap(), length).unwrap()
    }

    fn lines(before: &NodeConfig, after: &NodeConfig) -> Vec<String> {
        let plan = HaNode::new(before.clone()).plan(after.clone());
        assert_eq!(plan.to_string(), plan.changes().lines().join("\n"));
        plan.changes().lines()
    }

    #[test]
    fn routers_that_come_go_and_change_are_named() {
        let before = NodeConfig {
            routers: vec![router("A", 1), router("B", 2), router("C", 3)],
            ..NodeConfig::default()
        };
        let mut after = NodeConfig {
            routers: vec![router("A", 1), router("B", 2), router("D", 4)],
            ..NodeConfig::default()
        };
        after.routers[1].priority = Priority(150);
        let spec = AddressSpec::new(prefix("192.0.2.1", 24));
        after.routers[1].addresses = vec![VirtualAddress { spec, interface: None, track: true }];
        let route = Route::new(prefix("10.0.0.0", 8));
        after.routers[1].routes = vec![VirtualRoute { route, track: true }];
        assert_eq!(
            lines(&before, &after),
            [
                "virtual router D is new",
                "virtual router C is removed",
                "virtual router B: priority 100 -> 150, address 192.0.2.1/24 added, route 10.0.0.0/8 added",
            ]
        );
        assert_eq!(HaNode::new(before.clone()).plan(after).changes().unchanged, 1);
        assert_eq!(lines(&before, &before), ["nothing is changed"]);
    }

    #[test]
    fn everything_beside_the_routers_is_named_too() {
        let group = |members: &[&str]| SyncGroupConfig {
            name: "G".into(),
            members: members.iter().map(|member| (*member).into()).collect(),
        };
        let reference = |weight| {
            let weight = Weight::new(weight, false).unwrap();
            (Owner::Instance("A".into()), TrackReference { tracker: Tracker::Script("chk".into()), weight })
        };
        let spec = AddressSpec::new(prefix("192.0.2.7", 32));
        let address = StaticAddress { spec, interface: "eth1".parse().unwrap(), track_group: None };
        let route = |metric| {
            let route = Route { metric: Some(metric), ..Route::new(prefix("10.0.0.0", 8)) };
            StaticRoute { route, track_group: None }
        };
        let rule = Rule { priority: Some(9), from: Some(prefix("10.0.0.0", 8)), ..Rule::new(Family::Ipv4) };
        let mut before = NodeConfig { sync_groups: vec![group(&["A", "B"])], ..NodeConfig::default() };
        before.tracking.references.push(reference(5));
        before.statics.routes = vec![route(1), route(1), route(2)];
        let mut after = NodeConfig { sync_groups: vec![group(&["A"])], ..NodeConfig::default() };
        after.tracking.references.push(reference(6));
        after.statics.addresses.push(address);
        after.statics.routes = vec![route(1)];
        after.statics.rules.push(StaticRule { rule, track_group: None });
        after.startup_delay = Duration::from_millis(1500);
        assert_eq!(
            lines(&before, &after),
            [
                "vrrp_sync_group G: group",
                "tracking of script chk by A: weight",
                "static_ipaddress 192.0.2.7/32 dev eth1 is new",
                "static_routes 10.0.0.0/8 metric 1 is removed",
                "static_routes 10.0.0.0/8 metric 2 is removed",
                "static_rules IPv4 preference 9 from 10.0.0.0/8 is new",
                "setting vrrp_startup_delay: 0 -> 1.5",
            ]
        );
    }
}
