//! Static addresses, routes and rules, and those of instances.

use std::sync::Arc;

use super::groups;
use super::interfaces::Interfaces;
use super::order::Defined;
use crate::config::diagnostics::{Diagnostic, Status};
use crate::config::model::{Config, VrrpInstance};
use crate::config::source::Position;
use crate::config::values::{AddressLine, At, NamedInterfaces, Reading, RouteLine, RuleLine};
use crate::kernel::{AddressSpec, NextHops, Rule};
use crate::net::{Family, InterfaceName};
use crate::node::{StaticAddress, StaticConfig, StaticRoute, StaticRule};
use crate::vrrp::{RouterConfig, VirtualRoute, VirtualRule};

/// Static items while they are read.
#[derive(Debug)]
pub(super) struct Statics {
    /// What was read, but for the addresses.
    pub(super) config: StaticConfig,
    addresses: Vec<Address>,
    preferences: Preferences,
}

/// A line of `static_ipaddress`. Where one without `dev` belongs is known at the end.
#[derive(Debug)]
struct Address {
    spec: AddressSpec,
    interface: Option<InterfaceName>,
    track_group: Option<Arc<str>>,
}

impl Default for Statics {
    fn default() -> Self {
        let preferences = Preferences { ipv4: 16384, ipv6: 16384 };
        Self { config: StaticConfig::default(), addresses: Vec::new(), preferences }
    }
}

/// The preferences that rules without one get, counting down.
#[derive(Clone, Copy, Debug)]
struct Preferences {
    ipv4: u32,
    ipv6: u32,
}

impl Preferences {
    fn give(&mut self, reading: &Reading<'_>, rule: &mut Rule, at: Position) {
        if rule.priority.is_some() {
            return;
        }
        let next = match rule.family {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        };
        rule.priority = Some(*next);
        reading.diagnostics.push(
            Diagnostic::error("no-preference", "this rule has no preference")
                .at(reading.sources.word_at(at))
                .note(format!("{next} is used, which is probably not what you want"))
                .help("write preference with a number: rules are tried in rising order"),
        );
        *next = next.saturating_sub(1);
    }
}

impl Statics {
    /// Takes a line of `static_ipaddress`.
    pub(super) fn address(
        &mut self,
        reading: &Reading<'_>,
        defined: &Defined,
        interfaces: &Interfaces,
        entry: &At<AddressLine>,
    ) {
        let line = &entry.value;
        if line.interface.as_ref().is_some_and(|name| !interfaces.check(reading, name, entry.at)) {
            return;
        }
        if line.use_vmac {
            reading.diagnostics.push(
                Diagnostic::error("static-vmac", "a static address has no virtual MAC: use_vmac is ignored")
                    .at(reading.sources.word_at(entry.at))
                    .label("on the interface itself")
                    .help("remove use_vmac"),
            );
        }
        let track_group = track_group(defined, line.track_group.as_deref(), entry.at);
        self.addresses.push(Address {
            spec: line.spec.clone(),
            interface: line.interface.clone(),
            track_group,
        });
    }

    /// Takes a line of `static_routes`.
    pub(super) fn route(
        &mut self,
        reading: &Reading<'_>,
        defined: &Defined,
        interfaces: &Interfaces,
        entry: &At<RouteLine>,
    ) {
        let line = &entry.value;
        if !all_exist(reading, interfaces, &line.interfaces) {
            return;
        }
        let names_interface = match &line.route.next {
            NextHops::None => false,
            NextHops::One(hop) => hop.interface.is_some(),
            NextHops::Multipath(legs) => legs.iter().any(|leg| leg.hop.interface.is_some()),
        };
        let track_group = track_group(defined, line.track_group.as_deref(), entry.at)
            .filter(|_| needs(reading, entry.at, names_interface, "an output interface (dev)"));
        self.config.routes.push(StaticRoute { route: line.route.clone(), track_group });
    }

    /// Takes a line of `static_rules`.
    pub(super) fn rule(
        &mut self,
        reading: &Reading<'_>,
        defined: &Defined,
        interfaces: &Interfaces,
        entry: &At<RuleLine>,
    ) {
        let line = &entry.value;
        if !all_exist(reading, interfaces, &line.interfaces) {
            return;
        }
        let mut rule = line.rule.clone();
        self.preferences.give(reading, &mut rule, entry.at);
        let track_group = track_group(defined, line.track_group.as_deref(), entry.at)
            .filter(|_| needs(reading, entry.at, rule.input.is_some(), "an input interface (iif)"));
        self.config.rules.push(StaticRule { rule, track_group });
    }

    /// The routes and rules that go with an instance.
    pub(super) fn of_instance(
        &mut self,
        reading: &Reading<'_>,
        interfaces: &Interfaces,
        instance: &VrrpInstance,
    ) -> (Vec<VirtualRoute>, Vec<VirtualRule>) {
        let routes = instance
            .virtual_routes
            .iter()
            .filter(|entry| all_exist(reading, interfaces, &entry.value.interfaces))
            .map(|entry| VirtualRoute { route: entry.value.route.clone(), track: entry.value.track })
            .collect();
        let rules = instance
            .virtual_rules
            .iter()
            .filter(|entry| all_exist(reading, interfaces, &entry.value.interfaces))
            .map(|entry| {
                let mut rule = entry.value.rule.clone();
                self.preferences.give(reading, &mut rule, entry.at);
                VirtualRule { rule, track: entry.value.track }
            })
            .collect();
        (routes, rules)
    }

    /// The whole, once everything is read.
    pub(super) fn finish(
        mut self,
        reading: &Reading<'_>,
        config: &Config,
        interfaces: &Interfaces,
        routers: &[RouterConfig],
    ) -> StaticConfig {
        groups::settle_track_groups(reading, config, &mut self.config.track_groups, routers);
        let default = default_interface(reading, config, interfaces);
        let addresses = self.addresses.into_iter().filter_map(|Address { spec, interface, track_group }| {
            let interface = interface.or_else(|| default.clone())?;
            Some(StaticAddress { spec, interface, track_group })
        });
        self.config.addresses = addresses.collect();
        self.config
    }
}

fn all_exist(reading: &Reading<'_>, interfaces: &Interfaces, named: &NamedInterfaces) -> bool {
    // All are looked at, so that each is reported.
    named.0.iter().fold(true, |fine, (name, at)| interfaces.check(reading, name, *at) && fine)
}

fn track_group(defined: &Defined, name: Option<&str>, at: Position) -> Option<Arc<str>> {
    let name = name?;
    defined.track_groups.find(name, at).map(|()| name.into())
}

fn needs(reading: &Reading<'_>, at: Position, found: bool, what: &str) -> bool {
    if !found {
        reading.diagnostics.push(
            Diagnostic::error("track-group-without-interface", format!("`track_group` needs {what}"))
                .at(reading.sources.word_at(at))
                .note("`track_group` is ignored"),
        );
    }
    found
}

/// An address without `dev` goes to `default_interface`, which must then exist.
fn default_interface(
    reading: &Reading<'_>,
    config: &Config,
    interfaces: &Interfaces,
) -> Option<InterfaceName> {
    let entry = config.static_addresses.iter().find(|entry| entry.value.interface.is_none())?;
    let named = config.global.as_ref().and_then(|global| global.default_interface.as_ref());
    let fallback: Option<InterfaceName> = "eth0".parse().ok();
    let name = named.map(|entry| entry.value.0.clone()).or(fallback)?;
    if !interfaces.exists(&name) {
        reading.diagnostics.push(
            Diagnostic::fatal("no-such-interface", format!("the default interface {name} does not exist"))
                .status(Status::Refused)
                .at(reading.sources.word_at(entry.at))
                .label("this address names no other")
                .help("write `dev` with an interface, or default_interface in global_defs"),
        );
    }
    Some(name)
}
