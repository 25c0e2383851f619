//! `vrrp_instance` blocks, with the defaults of `global_defs`, as routers of the engine.

mod addresses;
mod channel;
mod election;
mod strict;
mod unicast;
mod virtual_mac;

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use super::instance_rules::Rules;
use super::reachability::{self, OutOfSubnet};
use crate::config::diagnostics::{Diagnostic, Status};
use crate::config::host::HostInterface;
use crate::config::model::{Config, GlobalDefs, VrrpInstance};
use crate::config::source::{Position, Span};
use crate::config::values::{At, Bool, Flag, Leading, Reading};
use crate::net::{Family, InterfaceName};
use crate::vrrp::{InitialState, RouterConfig, RouterInterfaces};
use crate::wire::vrrp::{Version, Vrid};
pub(super) use virtual_mac::OwnLinks;
use virtual_mac::VirtualMacs;

/// The router of each instance, in the order of the file; `None` where it cannot be one, which is reported. With the
/// interfaces of our own that they need.
pub(super) fn routers(reading: &Reading<'_>, config: &Config) -> (Vec<Option<RouterConfig>>, OwnLinks) {
    let no_global;
    let global = match config.global.as_deref() {
        Some(global) => global,
        None => {
            no_global = GlobalDefs::new(At { value: (), at: Position::FIRST });
            &no_global
        }
    };
    at_least_one(reading, global);
    let mut whole = Whole::new(reading, config, global);
    let routers: Vec<_> = config.instances.iter().map(|instance| whole.router(instance)).collect();
    let links = whole.macs.finish(routers.iter().flatten());
    (routers, links)
}

/// Reports the counts of `global_defs` that must not be 0. As in keepalived, 1 is used.
fn at_least_one(reading: &Reading<'_>, global: &GlobalDefs) {
    for (entry, keyword) in [
        (&global.vrrp_garp_master_repeat, "vrrp_garp_master_repeat"),
        (&global.vrrp_garp_master_refresh_repeat, "vrrp_garp_master_refresh_repeat"),
    ] {
        if let Some(entry) = entry.as_ref().filter(|entry| entry.value.0 == 0) {
            reading.diagnostics.push(
                Diagnostic::error("invalid-value", format!("{keyword} must be greater than 0"))
                    .at(reading.sources.word_at(entry.at))
                    .label("1 is used")
                    .help("remove it to have the default, or write how many announcements to send"),
            );
        }
    }
}

/// What is known while the instances are read one after the other.
struct Whole<'a> {
    reading: &'a Reading<'a>,
    global: &'a GlobalDefs,
    /// Interfaces of the host by name, if the host is known.
    interfaces: Option<BTreeMap<InterfaceName, &'a HostInterface>>,
    /// `static_ipaddress`.
    static_addresses: BTreeMap<IpAddr, Position>,
    dynamic_interfaces: bool,
    names: BTreeMap<&'a str, Position>,
    identities: BTreeMap<MulticastIdentity, (&'a str, Position)>,
    /// Unicast instances by interface, family, VRID, source address and peers.
    unicast: BTreeMap<UnicastIdentity, (&'a str, Position)>,
    /// By address, length, interface, and whether it is on a virtual MAC of its own.
    addresses: BTreeMap<(IpAddr, u8, InterfaceName, bool), (&'a str, Position)>,
    macs: VirtualMacs<'a>,
    /// Of the router being read.
    out_of_subnet: OutOfSubnet,
}

/// Interface, family, VRID and group.
type MulticastIdentity = (Option<InterfaceName>, Family, u8, IpAddr);

/// Interface, family, VRID, source address and peers in their order.
type UnicastIdentity = (Option<InterfaceName>, Family, u8, Option<IpAddr>, BTreeSet<IpAddr>);

fn on(flag: Option<&At<Flag>>) -> bool {
    flag.is_some()
}

fn number<const LOW: u32, const HIGH: u32>(
    own: Option<&At<Leading<LOW, HIGH>>>,
    global: Option<u32>,
    default: u32,
) -> u32 {
    own.map(|entry| entry.value.0).or(global).unwrap_or(default)
}

fn value<const LOW: u32, const HIGH: u32>(entry: Option<&At<Leading<LOW, HIGH>>>) -> Option<u32> {
    entry.map(|entry| entry.value.0)
}

fn boolean(own: Option<&At<Bool>>, global: Option<&At<Bool>>) -> bool {
    own.or(global).is_some_and(|entry| entry.value.0)
}

impl<'a> Whole<'a> {
    fn new(reading: &'a Reading<'a>, config: &'a Config, global: &'a GlobalDefs) -> Self {
        let interfaces = reading
            .interfaces()
            .map(|all| all.iter().map(|interface| (interface.name.clone(), interface)).collect());
        Self {
            reading,
            global,
            interfaces,
            static_addresses: reachability::static_addresses(config),
            dynamic_interfaces: global.dynamic_interfaces.is_some(),
            names: BTreeMap::new(),
            identities: BTreeMap::new(),
            unicast: BTreeMap::new(),
            addresses: BTreeMap::new(),
            macs: VirtualMacs::new(&config.instances),
            out_of_subnet: OutOfSubnet::default(),
        }
    }

    fn place(&self, at: Position) -> Span {
        self.reading.sources.word_at(at)
    }

    fn push(&self, diagnostic: Diagnostic) {
        self.reading.diagnostics.push(diagnostic);
    }

    fn router(&mut self, instance: &'a VrrpInstance) -> Option<RouterConfig> {
        let name: &'a str = &instance.header.value.0;
        let place = self.place(instance.header.at);
        if let Some(&first) = self.names.get(name) {
            self.push(
                Diagnostic::error("duplicate-name", format!("there are two instances named `{name}`"))
                    .at(place)
                    .label("ignored")
                    .related(self.place(first), "first defined here")
                    .help("give each vrrp_instance a name of its own"),
            );
            return None;
        }
        self.names.insert(name, instance.header.at);

        let interfaces = self.interfaces(instance, name, place);
        let vrid = instance
            .virtual_router_id
            .as_ref()
            .and_then(|e| u8::try_from(e.value.0).ok())
            .and_then(Vrid::new);
        if vrid.is_none() {
            self.push(
                Diagnostic::fatal("missing-vrid", format!("the instance `{name}` has no virtual_router_id"))
                    .status(Status::Fault)
                    .at(place)
                    .help("write virtual_router_id with a number from 1 to 255, the same on all routers of the group"),
            );
        }
        let (interfaces, vrid) = (interfaces?, vrid?);

        let family = self.family(instance, name);
        let version = self.version(instance, family, name);
        let rules = Rules { reading: self.reading, global: self.global, instance, name, family, version };
        rules.strict_mode();
        let version = rules.version_in_force();
        let mut router = RouterConfig::new(name, vrid, family, interfaces.addresses.clone());
        let interfaces = self.on_virtual_mac(instance, &rules, interfaces, vrid)?;
        router.interfaces = interfaces;
        router.version = version;
        router.authentication = rules.authentication();
        router.track_primary = !on(instance.dont_track_primary.as_ref());
        router.interval = self.interval(instance, version);
        router.hmac = rules.hmac(router.interval);
        self.priority(instance, &mut router, name);
        if rules.strict() && !router.priority.is_owner() {
            router.initial = InitialState::Backup;
        }
        self.preemption(instance, &mut router, name);
        router.down_timer_adverts = u8::try_from(number(
            instance.down_timer_adverts.as_ref(),
            value(self.global.vrrp_down_timer_adverts.as_ref()),
            3,
        ))
        .unwrap_or(3);
        router.announce = self.announce(instance);
        self.destination(instance, &mut router, name);
        self.ipvlan_source(instance, &mut router);
        self.unicast(instance, &mut router, name);
        self.switches(instance, &mut router);
        self.enforce_standard(&rules, &mut router);
        self.addresses(instance, &mut router, name);
        core::mem::take(&mut self.out_of_subnet).report(self.reading);
        self.unique(&router, name, instance);
        Some(router)
    }

    fn interfaces(&self, instance: &'a VrrpInstance, name: &str, place: Span) -> Option<RouterInterfaces> {
        let Some(entry) = &instance.interface else {
            return self.routed(instance, name, place);
        };
        if let Some(entry) = &instance.vrf {
            self.push(
                Diagnostic::error("vrf", format!("`{name}` has an interface: its VRF is the interface's"))
                    .at(self.place(entry.at))
                    .label("ignored")
                    .help("remove vrf, or the interface"),
            );
        }
        let interface = entry.value.0.clone();
        let word = self.place(entry.at);
        let known = self.interfaces.as_ref().and_then(|known| known.get(&interface));
        if known.map_or_else(|| interface.as_str() == "lo", |known| known.loopback) {
            self.push(
                Diagnostic::fatal(
                    "loopback",
                    format!("the instance `{name}` cannot run on the loopback interface"),
                )
                .status(Status::Fault)
                .at(word)
                .label("no other router can hear it there")
                .help("write the interface that the routers share; addresses may be on lo: `ADDRESS dev lo`"),
            );
            return None;
        }
        self.exists(&interface, word);
        Some(RouterInterfaces::single(interface))
    }

    /// Reports an interface that is not there.
    fn exists(&self, interface: &InterfaceName, word: Span) {
        let exists = self.interfaces.as_ref().is_none_or(|known| known.contains_key(interface));
        if !exists && !self.dynamic_interfaces {
            let known: Vec<&str> = self
                .interfaces
                .iter()
                .flat_map(|known| known.keys().map(InterfaceName::as_str))
                .take(20)
                .collect();
            self.push(
                Diagnostic::fatal("no-such-interface", format!("the interface {interface} does not exist"))
                    .status(Status::Fault)
                    .at(word)
                    .label(format!("not on this host; it has {}", known.join(", ")))
                    .help("if it appears later, write dynamic_interfaces in global_defs: the router waits in FAULT"),
            );
        }
    }

    fn family(&self, instance: &VrrpInstance, name: &str) -> Family {
        let first = instance.virtual_ipaddress.first();
        let native = instance.native_ipv6.is_some();
        let by_address = first.map(|entry| entry.value.spec.prefix.family());
        let by_source = instance.mcast_src_ip.as_ref().or(instance.unicast_src_ip.as_ref());
        let by_peer = instance.unicast_peer.first().map(|peer| Family::of(&peer.value.address));
        let family = by_address
            .or(by_peer)
            .or_else(|| by_source.map(|entry| Family::of(&entry.value.0)))
            .unwrap_or(if native { Family::Ipv6 } else { Family::Ipv4 });
        if native && by_address == Some(Family::Ipv4) {
            self.push(Diagnostic::error(
                "native-ipv6",
                format!("the instance `{name}` has native_ipv6 but IPv4 addresses: it stays IPv4"),
            ));
        }
        family
    }

    fn version(&self, instance: &VrrpInstance, family: Family, name: &str) -> Version {
        let global = value(self.global.vrrp_version.as_ref());
        let own = instance.version.as_ref();
        let chosen = own.map(|entry| entry.value.0).or(match family {
            Family::Ipv4 => global,
            Family::Ipv6 => None,
        });
        if let (Some(entry), Family::Ipv6) = (own.filter(|entry| entry.value.0 == 2), family) {
            self.push(
                Diagnostic::warning(
                    "version-2-over-ipv6",
                    format!("the instance `{name}` runs version 2 over IPv6, which no RFC describes"),
                )
                .at(self.place(entry.at))
                .help("only keepalived and alived understand it; version 3 is the standard for IPv6"),
            );
        }
        match (chosen, family) {
            (Some(3), _) | (None, Family::Ipv6) => Version::V3,
            _ => Version::V2,
        }
    }
}
