//! The routes and rules of the list: a line for each place of a route and each rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use super::{Patience, parse_prefix};
use crate::kernel::{Route, RoutingOutcome};
use crate::kernel::{
    RouteKey, RoutePlace, RouteTable, RoutingKey, RoutingObject, RoutingOperation, Rule, RuleAction, RuleKey,
    Verb,
};
use crate::net::InterfaceName;
use crate::node::{Bequest, NodeConfig};
use crate::sys::netlink::{self, Interest, Ownership, RouteSocket};
use crate::time::{Duration, micros};

/// What was listed, and the patience of each.
#[derive(Debug, Default)]
pub(super) struct Listed {
    routes: BTreeMap<(RoutePlace, u8), Patience>,
    /// Only the next daemon finds out which table is meant.
    routes_of_vrfs: BTreeSet<(InterfaceName, RoutePlace, u8)>,
    rules: BTreeMap<RuleKey, Patience>,
}

/// Appends the routes and rules of a configuration, but for rules that look up the table of a VRF, whose number is not
/// known here.
pub(super) fn list(config: &NodeConfig, text: &mut String) {
    // Writing to a String cannot fail.
    let mut route = |route: &Route, patience: Patience| {
        let (keyword, table, number) = match &route.table {
            RouteTable::Number(table) => ("@route", table.to_string(), *table),
            RouteTable::OfVrf(vrf) => ("@vrf", vrf.to_string(), 0),
        };
        let RoutePlace { destination, source, tos, metric, .. } = RouteKey::of(route, number, &[]).place;
        let (unnoticed, master_down) = (micros(patience.unnoticed), micros(patience.master_down));
        let source = source.map_or_else(|| "-".to_owned(), |source| source.to_string());
        let _ = writeln!(
            text,
            "{keyword} {table} {destination} {source} {tos} {metric} {} {unnoticed} {master_down}",
            route.protocol
        );
    };
    for router in &config.routers {
        router.routes.iter().for_each(|line| route(&line.route, Patience::of(router)));
    }
    config.statics.routes.iter().for_each(|item| route(&item.route, Patience::ENDLESS));
    let mut rule = |rule: &Rule, patience: Patience| {
        let table = match &rule.action {
            RuleAction::Lookup(RouteTable::Number(table)) => *table,
            RuleAction::Lookup(RouteTable::OfVrf(_)) => return,
            _ => 0,
        };
        let (unnoticed, master_down) = (micros(patience.unnoticed), micros(patience.master_down));
        let key = RuleKey::of(rule, table).to_text();
        let _ = writeln!(text, "@rule {key} {unnoticed} {master_down}");
    };
    for router in &config.routers {
        router.rules.iter().for_each(|line| rule(&line.rule, Patience::of(router)));
    }
    config.statics.rules.iter().for_each(|item| rule(&item.rule, Patience::ENDLESS));
}

impl Listed {
    pub(super) fn read(text: &str) -> Self {
        let mut listed = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["@route", table, rest @ ..] => _ = listed.route(table, rest),
                ["@vrf", vrf, rest @ ..] => _ = listed.route_of_vrf(vrf, rest),
                ["@rule", rest @ ..] => _ = listed.rule(rest),
                _ => {}
            }
        }
        listed
    }

    fn route(&mut self, table: &str, words: &[&str]) -> Option<()> {
        let (place, protocol, patience) = route(words)?;
        let place = RoutePlace { table: table.parse().ok()?, ..place };
        let known = self.routes.entry((place, protocol)).or_insert(patience);
        *known = known.min(patience);
        Some(())
    }

    fn route_of_vrf(&mut self, vrf: &str, words: &[&str]) -> Option<()> {
        let (place, protocol, _) = route(words)?;
        self.routes_of_vrfs.insert((vrf.parse().ok()?, place, protocol));
        Some(())
    }

    /// Adds what is listed to what a daemon leaves to the next one.
    pub(super) fn bequeath(self, bequest: &mut Bequest) {
        bequest.routes.extend(self.routes.into_keys());
        bequest.routes_of_vrfs.extend(self.routes_of_vrfs);
        bequest.rules.extend(self.rules.into_keys());
    }

    fn rule(&mut self, words: &[&str]) -> Option<()> {
        let [key @ .., unnoticed, master_down] = words else { return None };
        let patience = patience(unnoticed, master_down)?;
        let known = self.rules.entry(RuleKey::from_text(key)?).or_insert(patience);
        *known = known.min(patience);
        Some(())
    }

    pub(super) fn patience(&self) -> impl Iterator<Item = &Patience> {
        self.routes.values().chain(self.rules.values())
    }

    /// Removes those whose patience is at an end, and gives their number.
    pub(super) fn remove(mut self, due: impl Fn(&Patience) -> bool) -> io::Result<usize> {
        self.routes.retain(|_, patience| due(patience));
        self.rules.retain(|_, patience| due(patience));
        if self.routes.is_empty() && self.rules.is_empty() {
            return Ok(0);
        }
        let to_io = |errno| io::Error::from_raw_os_error(errno);
        let protocols: BTreeSet<u8> = self.routes.keys().map(|(_, protocol)| *protocol).collect();
        let rule_protocols: BTreeSet<u8> = self.rules.keys().map(|key| key.protocol).collect();
        let interest = Interest::of_protocols(protocols, rule_protocols);
        // Whose addresses are ours does not matter here.
        let view = netlink::view(&Ownership::Mark, &interest).map_err(|error| to_io(error.errno))?;
        let mut operations = Vec::new();
        for rule in view.rules {
            let key = RuleKey::of_held(&rule);
            if self.rules.contains_key(&key) {
                let (key, object) = (RoutingKey::Rule(key), RoutingObject::Rule(Arc::new(rule)));
                operations.push(RoutingOperation { verb: Verb::Remove, key, object });
            }
        }
        for held in view.routes.iter().rev() {
            if self.routes.contains_key(&(held.place, held.protocol)) {
                let (route, legs) = held.to_route();
                let key = RoutingKey::Route(RouteKey::of(&route, held.place.table, &legs));
                let object = RoutingObject::Route(Arc::new(route), legs.into());
                operations.push(RoutingOperation { verb: Verb::Remove, key, object });
            }
        }
        let mut socket = RouteSocket::open().map_err(|error| to_io(error.errno))?;
        for chunk in operations.chunks(128) {
            let outcomes = netlink::apply_routing(&mut socket, chunk);
            let refused = |outcome: &RoutingOutcome| outcome.error.as_ref().map(|error| error.errno);
            if let Some(errno) = outcomes.iter().find_map(refused) {
                return Err(to_io(errno));
            }
        }
        Ok(operations.len())
    }
}

/// A route in table 0: without the number of its table.
fn route(words: &[&str]) -> Option<(RoutePlace, u8, Patience)> {
    let &[destination, source, tos, metric, protocol, unnoticed, master_down] = words else { return None };
    let place = RoutePlace {
        table: 0,
        destination: parse_prefix(destination)?,
        source: if source == "-" { None } else { Some(parse_prefix(source)?) },
        tos: tos.parse().ok()?,
        metric: metric.parse().ok()?,
    };
    Some((place, protocol.parse().ok()?, patience(unnoticed, master_down)?))
}

fn patience(unnoticed: &str, master_down: &str) -> Option<Patience> {
    let time = |text: &str| Some(Duration::from_micros(text.parse().ok()?));
    Some(Patience { unnoticed: time(unnoticed)?, master_down: time(master_down)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Family, Prefix};
    use crate::node::{StaticRoute, StaticRule};

    #[test]
    fn what_is_listed_is_read() {
        let mut config = NodeConfig::default();
        for (text, length) in [("10.0.0.0", 8), ("2001:db8::", 32)] {
            let route = Route::new(Prefix::new(text.parse().unwrap(), length).unwrap());
            config.statics.routes.push(StaticRoute { route, track_group: None });
        }
        let rule = Rule { priority: Some(7), ..Rule::new(Family::Ipv6) };
        config.statics.rules.push(StaticRule { rule: rule.clone(), track_group: None });
        let mut text = "eth0 192.0.2.1/24 1 2\n".to_owned();
        list(&config, &mut text);
        let listed = Listed::read(&text);
        assert_eq!(listed.routes.len(), 2);
        for item in &config.statics.routes {
            let place = RouteKey::of(&item.route, 254, &[]).place;
            assert_eq!(listed.routes.get(&(place, 18)), Some(&Patience::ENDLESS));
        }
        assert!(listed.rules.contains_key(&RuleKey::of(&rule, 254)));
    }
}
