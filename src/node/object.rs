//! What is said of an object of the configuration that a reload changes.

use std::collections::BTreeSet;

use super::{StaticAddress, StaticRoute, StaticRule, TrackGroup};
use crate::bfd::SessionConfig;
use crate::kernel::{Route, RouteTable, Rule, VirtualLink};
use crate::net::{InterfaceName, Prefix};
use crate::track::{
    FileTracker, InterfaceDelay, LinkPolling, Owner, ProcessTracker, ScriptTracker, TrackReference, Tracker,
};
use crate::vrrp::{GarpGroup, RouterConfig, SyncGroupConfig, VirtualAddress};

/// An object of the configuration.
pub(super) trait Object: PartialEq {
    /// `virtual router`, or the keyword of its block.
    const KIND: &'static str;

    /// Its name in the configuration.
    fn name(&self) -> String;

    /// What of it is other than before, as far as there are words for it.
    fn differences(&self, before: &Self) -> Vec<String>;
}

/// An object whose differences are named by their keywords.
macro_rules! object {
    ($type:ty, $kind:literal, $name:expr $(, $keyword:literal $field:ident)*) => {
        impl Object for $type {
            const KIND: &'static str = $kind;

            fn name(&self) -> String {
                let name: fn(&Self) -> String = $name;
                name(self)
            }

            fn differences(&self, before: &Self) -> Vec<String> {
                let found: &[(&str, bool)] = &[$(($keyword, self.$field != before.$field)),*];
                found.iter().filter(|(_, differs)| *differs).map(|(keyword, _)| (*keyword).to_owned()).collect()
            }
        }
    };
}

object!(SyncGroupConfig, "vrrp_sync_group", |group| group.name.to_string(),
    "group" members);
object!(ScriptTracker, "vrrp_script", |script| script.name.to_string(),
    "script" test, "interval" interval, "timeout" timeout, "weight" weight, "rise" rise, "fall" fall,
    "init_fail" starts_failed);
object!(FileTracker, "track_file", |file| file.name.to_string(),
    "file" path, "weight" weight, "init_file" initial);
object!(ProcessTracker, "vrrp_track_process", |process| process.name.to_string(),
    "process" process, "process" parameters, "param_match" parameter_match, "weight" weight, "quorum" quorum,
    "delay" timing, "full_command" full_command);
object!(InterfaceDelay, "interface_up_down_delays", |delay| delay.interface.to_string(),
    "down" down, "up" up);
object!(LinkPolling, "linkbeat_interfaces", |polling| polling.interface.to_string(), "method" method);
object!(SessionConfig, "bfd_instance", |session| session.name.to_string(),
    "neighbor_ip" neighbor, "source_ip" source, "min_rx" min_receive, "min_tx" min_transmit,
    "idle_tx" idle_transmit, "multiplier" multiplier, "passive" passive, "ttl" ttl, "max_hops" max_hops,
    "multihop" multihop, "vrrp or checker" listeners);
object!(GarpGroup, "garp_group", |group| words(group.interfaces.iter().map(InterfaceName::as_str)),
    "garp_interval" arp_interval, "gna_interval" ndisc_interval);
object!(VirtualLink, "interface", |link| format!("{} on {}", link.name, link.parent),
    "kind or MAC" kind, "group" group, "families" ipv4, "families" ipv6);
object!(StaticAddress, "static_ipaddress", |address| on(address.spec.prefix, Some(&address.interface)),
    "attributes" spec, "track_group" track_group);
object!(StaticRoute, "static_routes", |line| route(&line.route), "attributes" route, "track_group" track_group);
object!(StaticRule, "static_rules", |line| rule(&line.rule), "attributes" rule, "track_group" track_group);
object!(TrackGroup, "track_group", |group| group.name.to_string(), "group" members);

impl Object for (Owner, TrackReference) {
    const KIND: &'static str = "tracking";

    fn name(&self) -> String {
        let (owner, reference) = self;
        let tracked = match &reference.tracker {
            Tracker::Interface(name) => format!("interface {name}"),
            Tracker::Script(name) => format!("script {name}"),
            Tracker::File(name) => format!("file {name}"),
            Tracker::Process(name) => format!("process {name}"),
            Tracker::Bfd(name) => format!("BFD session {name}"),
        };
        match owner {
            Owner::Instance(name) => format!("of {tracked} by {name}"),
            Owner::SyncGroup(name) => format!("of {tracked} by the group {name}"),
        }
    }

    fn differences(&self, _: &Self) -> Vec<String> {
        vec!["weight".to_owned()]
    }
}

impl Object for RouterConfig {
    const KIND: &'static str = "virtual router";

    fn name(&self) -> String {
        self.name.to_string()
    }

    fn differences(&self, before: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut note = |differs: bool, text: String| {
            if differs {
                found.push(text);
            }
        };
        note(before.name != self.name, format!("was named {}", before.name));
        note(before.priority != self.priority, format!("priority {} -> {}", before.priority, self.priority));
        note(
            before.interval != self.interval,
            format!("advert_int {} -> {}", before.interval, self.interval),
        );
        note(before.preempt != self.preempt, if self.preempt { "preempt" } else { "nopreempt" }.to_owned());
        let delay = |config: &Self| config.preempt_delay.as_secs_f64();
        note(
            before.preempt_delay != self.preempt_delay,
            format!("preempt_delay {} -> {}", delay(before), delay(self)),
        );
        let addresses = |list: &[VirtualAddress]| -> BTreeSet<String> {
            list.iter().map(|address| address.spec.prefix.to_string()).collect()
        };
        let routes = |config: &Self| config.routes.iter().map(|line| route(&line.route)).collect();
        let rules = |config: &Self| config.rules.iter().map(|line| rule(&line.rule)).collect();
        for (what, old, new) in [
            ("address", addresses(&before.addresses), addresses(&self.addresses)),
            ("excluded address", addresses(&before.excluded), addresses(&self.excluded)),
            ("route", routes(before), routes(self)),
            ("rule", rules(before), rules(self)),
        ] {
            for name in new.difference(&old) {
                note(true, format!("{what} {name} added"));
            }
            for name in old.difference(&new) {
                note(true, format!("{what} {name} removed"));
            }
        }
        found
    }
}

fn words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

fn on(prefix: Prefix, interface: Option<&InterfaceName>) -> String {
    match interface {
        Some(interface) => format!("{prefix} dev {interface}"),
        None => prefix.to_string(),
    }
}

/// What tells routes apart.
fn route(route: &Route) -> String {
    let mut name = route.destination.to_string();
    match &route.table {
        RouteTable::Number(number) if route.table != RouteTable::MAIN => {
            name.push_str(&format!(" table {number}"));
        }
        RouteTable::Number(_) => {}
        RouteTable::OfVrf(vrf) => name.push_str(&format!(" vrf {vrf}")),
    }
    if route.tos != 0 {
        name.push_str(&format!(" tos {}", route.tos));
    }
    if let Some(metric) = route.metric {
        name.push_str(&format!(" metric {metric}"));
    }
    name
}

/// What tells rules apart.
fn rule(rule: &Rule) -> String {
    let mut name = match rule.priority {
        Some(priority) => format!("{} preference {priority}", rule.family),
        None => rule.family.to_string(),
    };
    for (keyword, prefix) in [("from", rule.from), ("to", rule.to)] {
        if let Some(prefix) = prefix {
            name.push_str(&format!(" {keyword} {prefix}"));
        }
    }
    name
}
