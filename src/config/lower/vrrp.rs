//! `vrrp_instance` blocks, with the defaults of `global_defs`, as routers of the engine.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use super::instance_rules::Rules;
use super::reachability::{self, OutOfSubnet};
use crate::config::diagnostics::{Diagnostic, Status};
use crate::config::host::HostInterface;
use crate::config::model::{Config, GlobalDefs, VrrpInstance};
use crate::config::source::{Position, Span};
use crate::config::values::{AddressLine, At, Bool, Cx, Flag, Leading};
use crate::net::{Family, InterfaceName};
use crate::time::Duration;
use crate::vrrp::{
    AnnounceSettings, Destinations, InitialState, RouterConfig, VirtualAddress, default_group,
};
use crate::wire::vrrp::{AdvertisementInterval, ChecksumMode, Priority, Version, Vrid};

/// The router of each instance, in the order of the file; `None` where it cannot be one, which is reported.
pub(super) fn routers(cx: &Cx<'_>, config: &Config) -> Vec<Option<RouterConfig>> {
    let no_global;
    let global = match config.global.as_deref() {
        Some(global) => global,
        None => {
            no_global = GlobalDefs::new(At { value: (), at: Position::FIRST });
            &no_global
        }
    };
    at_least_one(cx, global);
    let mut whole = Whole::new(cx, config, global);
    config.instances.iter().map(|instance| whole.router(instance)).collect()
}

/// Reports the counts of `global_defs` that must not be 0. As in keepalived, 1 is used.
fn at_least_one(cx: &Cx<'_>, global: &GlobalDefs) {
    for (entry, keyword) in [
        (&global.vrrp_garp_master_repeat, "vrrp_garp_master_repeat"),
        (&global.vrrp_garp_master_refresh_repeat, "vrrp_garp_master_refresh_repeat"),
    ] {
        if let Some(entry) = entry.as_ref().filter(|entry| entry.value.0 == 0) {
            cx.diagnostics.push(
                Diagnostic::error("invalid-value", format!("{keyword} must be greater than 0"))
                    .at(cx.sources.word_at(entry.at))
                    .label("1 is used")
                    .help("remove it to have the default, or write how many announcements to send"),
            );
        }
    }
}

/// What is known while the instances are read one after the other.
struct Whole<'a> {
    cx: &'a Cx<'a>,
    global: &'a GlobalDefs,
    /// Interfaces of the host by name, if the host is known.
    interfaces: Option<BTreeMap<String, HostInterface>>,
    /// `static_ipaddress`.
    static_addresses: BTreeMap<IpAddr, Position>,
    dynamic_interfaces: bool,
    names: BTreeMap<&'a str, Position>,
    identities: BTreeMap<(InterfaceName, Family, u8, IpAddr), (&'a str, Position)>,
    /// Unicast instances by interface, family, VRID, source address and peers.
    unicast: BTreeMap<UnicastIdentity, (&'a str, Position)>,
    /// By address, length, interface, and whether it is on a virtual MAC of its own.
    addresses: BTreeMap<(IpAddr, u8, InterfaceName, bool), (&'a str, Position)>,
    /// Of the router being read.
    out_of_subnet: OutOfSubnet,
}

/// Interface, family, VRID, source address and peers in their order.
type UnicastIdentity = (InterfaceName, Family, u8, Option<IpAddr>, BTreeSet<IpAddr>);

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
    fn new(cx: &'a Cx<'a>, config: &'a Config, global: &'a GlobalDefs) -> Self {
        let interfaces = cx.host.interfaces().map(|interfaces| {
            interfaces.into_iter().map(|interface| (interface.name.clone(), interface)).collect()
        });
        Self {
            cx,
            global,
            interfaces,
            static_addresses: reachability::static_addresses(config),
            dynamic_interfaces: global.dynamic_interfaces.is_some(),
            names: BTreeMap::new(),
            identities: BTreeMap::new(),
            unicast: BTreeMap::new(),
            addresses: BTreeMap::new(),
            out_of_subnet: OutOfSubnet::default(),
        }
    }

    fn place(&self, at: Position) -> Span {
        self.cx.sources.word_at(at)
    }

    fn push(&self, diagnostic: Diagnostic) {
        self.cx.diagnostics.push(diagnostic);
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

        let interface = self.interface(instance, name, place);
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
        let (interface, vrid) = (interface?, vrid?);

        let family = self.family(instance, name);
        let version = self.version(instance, family, name);
        let rules = Rules { cx: self.cx, global: self.global, instance, name, family, version };
        rules.strict_mode();
        rules.unicast();
        let mut router = RouterConfig::new(name, vrid, family, interface);
        router.version = version;
        router.authentication = rules.authentication();
        router.track_primary = !on(instance.dont_track_primary.as_ref());
        router.interval = self.interval(instance, version);
        self.priority(instance, &mut router, name);
        self.preemption(instance, &mut router, name);
        router.down_timer_adverts = u8::try_from(number(
            instance.down_timer_adverts.as_ref(),
            value(self.global.vrrp_down_timer_adverts.as_ref()),
            3,
        ))
        .unwrap_or(3);
        router.announce = self.announce(instance);
        self.destination(instance, &mut router, name);
        self.switches(instance, &mut router);
        self.addresses(instance, &mut router, name);
        core::mem::take(&mut self.out_of_subnet).report(self.cx);
        self.unique(&router, name, instance);
        Some(router)
    }

    fn interface(&mut self, instance: &'a VrrpInstance, name: &str, place: Span) -> Option<InterfaceName> {
        let Some(entry) = &instance.interface else {
            // Unicast takes whatever way the routes say; what is left to know is where the addresses go.
            if !instance.unicast_peer.is_empty() {
                let first = instance.virtual_ipaddress.iter().find_map(|entry| entry.value.interface.clone());
                let default = || self.global.default_interface.as_ref().map(|entry| entry.value.0.clone());
                if let Some(interface) = first.or_else(default) {
                    return Some(interface);
                }
            }
            self.push(
                Diagnostic::fatal("missing-interface", format!("the instance `{name}` has no interface"))
                    .status(Status::Fault)
                    .at(place)
                    .help("write interface with the name of the network interface it runs on"),
            );
            return None;
        };
        let interface = entry.value.0.clone();
        let word = self.place(entry.at);
        let known = self.interfaces.as_ref().and_then(|known| known.get(interface.as_str()));
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
        let exists = self.interfaces.as_ref().is_none_or(|known| known.contains_key(interface.as_str()));
        if !exists && !self.dynamic_interfaces {
            let known: Vec<&str> =
                self.interfaces.iter().flat_map(|known| known.keys().map(String::as_str)).take(20).collect();
            self.push(
                Diagnostic::fatal("no-such-interface", format!("the interface {interface} does not exist"))
                    .status(Status::Fault)
                    .at(word)
                    .label(format!("not on this host; it has {}", known.join(", ")))
                    .help("if it appears later, write dynamic_interfaces in global_defs: the router waits in FAULT"),
            );
        }
        Some(interface)
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

    fn interval(&self, instance: &VrrpInstance, version: Version) -> AdvertisementInterval {
        let Some(entry) = &instance.advert_int else { return AdvertisementInterval::ONE_SECOND };
        let micros = entry.value.0;
        let place = self.place(entry.at);
        let text = self.cx.sources.text(place);
        let (unit, most) = match version {
            Version::V2 => (1_000_000, 255),
            Version::V3 => (10_000, 4095),
        };
        let rounded = (micros + unit / 2) / unit;
        let count = rounded.clamp(1, most);
        let interval = match version {
            Version::V2 => u8::try_from(count).ok().and_then(AdvertisementInterval::from_seconds),
            Version::V3 => u16::try_from(count).ok().and_then(AdvertisementInterval::from_centiseconds),
        }
        .unwrap_or(AdvertisementInterval::ONE_SECOND);
        if count * unit != micros {
            let why = match version {
                Version::V2 => "version 2 has whole seconds from 1 to 255",
                Version::V3 => "version 3 has steps of 0.01 seconds up to 40.95",
            };
            self.push(
                Diagnostic::error("interval-rounded", format!("advert_int {text} becomes {interval}: {why}"))
                    .at(place)
                    .help(match version {
                        Version::V2 => {
                            "write version 3 in the instance for shorter intervals, on all routers"
                        }
                        Version::V3 => "write an interval that fits",
                    }),
            );
        }
        interval
    }

    fn priority(&self, instance: &VrrpInstance, router: &mut RouterConfig, name: &str) {
        let wish = instance.state.as_ref().map(|entry| entry.value);
        let priority = instance.priority.as_ref();
        router.priority = match (priority, wish) {
            (Some(entry), _) => entry.value,
            (None, Some(InitialState::Master)) => {
                let at = instance.state.as_ref().map_or(instance.header.at, |entry| entry.at);
                self.push(
                    Diagnostic::warning(
                        "implied-owner",
                        format!("`{name}` has state MASTER and no priority: it becomes owner of the addresses (255)"),
                    )
                    .at(self.place(at))
                    .help("write a priority"),
                );
                Priority::OWNER
            }
            (None, _) => Priority::DEFAULT,
        };
        router.initial = wish.unwrap_or_default();
    }

    fn preemption(&self, instance: &VrrpInstance, router: &mut RouterConfig, name: &str) {
        let nopreempt = instance.nopreempt.as_ref();
        // `preempt` written after `nopreempt` takes it back.
        let taken_back = match (nopreempt, instance.preempt.as_ref()) {
            (Some(no), Some(yes)) => yes.at > no.at,
            _ => false,
        };
        router.preempt = nopreempt.is_none() || taken_back;
        let delay = instance.preempt_delay.as_ref();
        router.preempt_delay = delay.map_or(Duration::ZERO, |entry| entry.value.duration());
        if router.initial == InitialState::Master {
            for (at, keyword) in [
                (nopreempt.filter(|_| !router.preempt).map(|entry| entry.at), "nopreempt"),
                (delay.filter(|entry| entry.value.0 > 0).map(|entry| entry.at), "preempt_delay"),
            ] {
                let Some(at) = at else { continue };
                self.push(
                    Diagnostic::error(
                        "preempt-with-master",
                        format!("`{name}`: {keyword} has no effect with state MASTER and is ignored"),
                    )
                    .at(self.place(at))
                    .help("write state BACKUP on all routers, and let the priority decide"),
                );
            }
            router.preempt = true;
            router.preempt_delay = Duration::ZERO;
        } else if !router.preempt && !router.preempt_delay.is_zero() {
            let at = delay.map_or(instance.header.at, |entry| entry.at);
            self.push(
                Diagnostic::error(
                    "preempt-delay-without-preempt",
                    format!("`{name}`: preempt_delay has no effect with nopreempt and is ignored"),
                )
                .at(self.place(at)),
            );
            router.preempt_delay = Duration::ZERO;
        }
    }

    fn announce(&self, instance: &VrrpInstance) -> AnnounceSettings {
        let g = self.global;
        let seconds = |count: u32| Duration::from_secs(count.into());
        let least = boolean(g.vrrp_min_garp.as_ref(), None);
        let (repeat, delay, refresh_repeat) = if least { (1, 0, 0) } else { (5, 5, 1) };
        // What an instance says of itself as a new master does not hold when it answers a rival.
        let delay = value(g.vrrp_garp_master_delay.as_ref()).unwrap_or(delay);
        let repeat = value(g.vrrp_garp_master_repeat.as_ref()).map_or(repeat, |count| count.max(1));
        AnnounceSettings {
            repeat: value(instance.garp_master_repeat.as_ref()).unwrap_or(repeat),
            delay: seconds(value(instance.garp_master_delay.as_ref()).unwrap_or(delay)),
            refresh: seconds(number(
                instance.garp_master_refresh.as_ref(),
                value(g.vrrp_garp_master_refresh.as_ref()),
                0,
            )),
            refresh_repeat: number(
                instance.garp_master_refresh_repeat.as_ref(),
                value(g.vrrp_garp_master_refresh_repeat.as_ref()),
                refresh_repeat,
            )
            .max(1),
            lower_prio_delay: seconds(number(
                instance.garp_lower_prio_delay.as_ref(),
                value(g.vrrp_garp_lower_prio_delay.as_ref()),
                delay,
            )),
            lower_prio_repeat: number(
                instance.garp_lower_prio_repeat.as_ref(),
                value(g.vrrp_garp_lower_prio_repeat.as_ref()),
                repeat,
            ),
            arp_interval: g.vrrp_garp_interval.as_ref().map_or(Duration::ZERO, |e| e.value.duration()),
            ndisc_interval: g.vrrp_gna_interval.as_ref().map_or(Duration::ZERO, |e| e.value.duration()),
        }
    }

    fn destination(&self, instance: &VrrpInstance, router: &mut RouterConfig, name: &str) {
        let mut group = match router.family {
            Family::Ipv4 => self.global.vrrp_mcast_group4.as_ref().map(|e| IpAddr::V4(e.value.0)),
            Family::Ipv6 => self.global.vrrp_mcast_group6.as_ref().map(|e| IpAddr::V6(e.value.0)),
        }
        .unwrap_or_else(|| default_group(router.family));
        if let Some(entry) = &instance.mcast_dst_ip {
            let own = entry.value.0;
            let fits = own.is_multicast()
                && Family::of(&own) == router.family
                // Link-local scope, any flags.
                && match own {
                    IpAddr::V4(_) => true,
                    IpAddr::V6(group) => group.segments()[0] & 0xff0f == 0xff02,
                };
            if fits {
                group = own;
            } else {
                self.push(
                    Diagnostic::error(
                        "invalid-group",
                        format!(
                            "`{name}`: {own} cannot be the group of an {} router: {group} is used",
                            router.family
                        ),
                    )
                    .at(self.place(entry.at))
                    .help("IPv4 groups are 224.0.0.0/4, IPv6 groups must be of link-local scope (ffX2::)"),
                );
            }
        }
        router.destinations = Destinations::Multicast(group);
        if let Some(entry) = &instance.mcast_src_ip {
            if Family::of(&entry.value.0) == router.family {
                router.source = Some(entry.value.0);
            } else {
                self.push(
                    Diagnostic::error(
                        "source-family",
                        format!(
                            "`{name}`: mcast_src_ip {} is not of the family of the addresses",
                            entry.value.0
                        ),
                    )
                    .at(self.place(entry.at))
                    .note("the interface's own address is used"),
                );
            }
        }
    }

    fn switches(&self, instance: &VrrpInstance, router: &mut RouterConfig) {
        let g = self.global;
        let as_version_2 = boolean(instance.v3_checksum_as_v2.as_ref(), g.v3_checksum_as_v2.as_ref());
        if as_version_2 && router.version == Version::V3 && router.family == Family::Ipv4 {
            router.checksum = ChecksumMode::AsVersion2;
        }
        router.lower_prio_no_advert =
            boolean(instance.lower_prio_no_advert.as_ref(), g.vrrp_lower_prio_no_advert.as_ref());
        let last_advert = instance.higher_prio_send_advert.as_ref();
        if let Some(entry) = last_advert.or(g.vrrp_higher_prio_send_advert.as_ref()) {
            router.higher_prio_send_advert = entry.value.0;
        }
        router.skip_check_adv_addr =
            boolean(instance.skip_check_adv_addr.as_ref(), g.vrrp_skip_check_adv_addr.as_ref());
        router.owner_ignore_adverts =
            boolean(instance.owner_ignore_adverts.as_ref(), g.vrrp_owner_ignore_adverts.as_ref());
    }

    fn addresses(&mut self, instance: &'a VrrpInstance, router: &mut RouterConfig, name: &'a str) {
        let mtu = self.interfaces.as_ref().and_then(|known| known.get(router.interfaces.receive.as_str()));
        let room = advertised_addresses(router.family, router.version, mtu.map(|interface| interface.mtu));
        for entry in &instance.virtual_ipaddress {
            let place = self.place(entry.at);
            if entry.value.spec.prefix.family() != router.family {
                self.push(
                    Diagnostic::error(
                        "mixed-families",
                        format!(
                            "`{name}` advertises {} addresses, and {} is none",
                            router.family, entry.value.spec.prefix
                        ),
                    )
                    .at(place)
                    .label("ignored")
                    .help("move it to virtual_ipaddress_excluded, or make a second instance for this family"),
                );
                continue;
            }
            if !self.new_address(entry, router, name) {
                continue;
            }
            if router.addresses.len() < room {
                router.addresses.push(virtual_address(&entry.value));
            } else {
                if router.addresses.len() + router.excluded.len() == room {
                    self.push(
                        Diagnostic::error(
                            "too-many-addresses",
                            format!("`{name}`: an advertisement holds {room} addresses, this and the next do not fit"),
                        )
                        .at(place)
                        .label("served, but not advertised")
                        .help("move them to virtual_ipaddress_excluded, the same on all routers"),
                    );
                }
                router.excluded.push(virtual_address(&entry.value));
            }
        }
        for entry in &instance.virtual_ipaddress_excluded {
            if self.new_address(entry, router, name) {
                router.excluded.push(virtual_address(&entry.value));
            }
        }
        if instance.virtual_ipaddress.is_empty() && instance.no_virtual_ipaddress.is_none() {
            let at = self.place(instance.header.at);
            let diagnostic = if router.version == Version::V3 {
                Diagnostic::error(
                    "no-addresses",
                    format!("`{name}` has no virtual_ipaddress, which version 3 demands"),
                )
            } else {
                Diagnostic::warning("no-addresses", format!("`{name}` has no virtual_ipaddress"))
            };
            self.push(
                diagnostic
                    .at(at)
                    .help("write virtual_ipaddress { … }, or no_virtual_ipaddress if this is meant"),
            );
        }
    }

    /// Whether an address is not yet taken by an instance on the same interface.
    fn new_address(&mut self, entry: &At<AddressLine>, router: &RouterConfig, name: &'a str) -> bool {
        let interface = entry.value.interface.as_ref().unwrap_or(&router.interfaces.addresses).clone();
        let prefix = entry.value.spec.prefix;
        let key = (prefix.address(), prefix.length(), interface, entry.value.use_vmac);
        match self.addresses.get(&key) {
            Some(&(owner, first)) if owner == name => {
                self.push(
                    Diagnostic::error("duplicate-address", format!("{prefix} is twice in `{name}`"))
                        .at(self.place(entry.at))
                        .label("ignored")
                        .related(self.place(first), format!("first in `{owner}`")),
                );
                return false;
            }
            // A backup removes its addresses: it would take this one from the other instance.
            Some(&(owner, first)) => {
                let interface = &key.2;
                let mut diagnostic = Diagnostic::fatal(
                    "shared-address",
                    format!("{prefix} is on {interface} in two instances, which is not supported yet"),
                )
                .at(self.place(entry.at))
                .label("one instance would take it from the other")
                .related(self.place(first), format!("first in `{owner}`"))
                .note("valid for keepalived, but start and reload are refused")
                .help("leave it in one of them, or put it on another interface with dev");
                diagnostic.status = None;
                self.push(diagnostic);
            }
            None => {
                self.addresses.insert(key, (name, entry.at));
            }
        }
        if let (Some(known), Some(interface)) = (&self.interfaces, &entry.value.interface)
            && !known.contains_key(interface.as_str())
            && !self.dynamic_interfaces
        {
            self.push(
                Diagnostic::fatal(
                    "no-such-interface",
                    format!("the interface {interface} of {prefix} does not exist"),
                )
                .status(Status::Fault)
                .at(self.place(entry.at))
                .label("not on this host")
                .help(
                    "if it appears later, write dynamic_interfaces in global_defs: the address is added then",
                ),
            );
            return false;
        }
        reachability::not_static(self.cx, &self.static_addresses, entry, name);
        let interface = entry.value.interface.as_ref().unwrap_or(&router.interfaces.addresses);
        if let Some(known) = self.interfaces.as_ref().and_then(|known| known.get(interface.as_str())) {
            self.out_of_subnet.note(known, entry);
        }
        true
    }

    fn unique(&mut self, router: &RouterConfig, name: &'a str, instance: &'a VrrpInstance) {
        let Destinations::Multicast(group) = router.destinations else { return };
        let receive = router.interfaces.receive.clone();
        let vrid = router.vrid.get();
        let at = instance.virtual_router_id.as_ref().map_or(instance.header.at, |entry| entry.at);
        let first = if instance.unicast_peer.is_empty() {
            let key = (receive.clone(), router.family, vrid, group);
            let first = self.identities.get(&key).copied();
            self.identities.entry(key).or_insert((name, at));
            first
        } else {
            // Unicast instances are told apart by who talks to whom.
            let source = instance.unicast_src_ip.as_ref().map(|entry| entry.value.0);
            let peers = instance.unicast_peer.iter().map(|peer| peer.value.address).collect();
            let key = (receive.clone(), router.family, vrid, source, peers);
            let first = self.unicast.get(&key).copied();
            self.unicast.entry(key).or_insert((name, at));
            first
        };
        if let Some((other, first)) = first {
            self.push(
                Diagnostic::fatal(
                    "vrid-clash",
                    format!(
                        "{other} and {name} both use VRID {} with {} on interface {receive}",
                        router.vrid, router.family
                    ),
                )
                .status(Status::Fault)
                .at(self.place(at))
                .related(self.place(first), format!("first used by `{other}`"))
                .help("give one of them another virtual_router_id, the same on all routers of its group"),
            );
        }
    }
}

/// What a line of `virtual_ipaddress` means.
fn virtual_address(line: &AddressLine) -> VirtualAddress {
    VirtualAddress { spec: line.spec.clone(), interface: line.interface.clone(), track: !line.no_track }
}

/// How many addresses an advertisement holds (`behaviours` B17).
fn advertised_addresses(family: Family, version: Version, mtu: Option<u32>) -> usize {
    let (header, size) = match family {
        Family::Ipv4 => (20, 4),
        Family::Ipv6 => (40, 16),
    };
    let fixed = 8 + if version == Version::V2 { 8 } else { 0 };
    let by_mtu = mtu.map_or(255, |mtu| (mtu as usize).saturating_sub(header + fixed) / size);
    by_mtu.min(255)
}
