//! `use_vmac`, `use_vmac_addr` and `vmac_xmit_base`: which interfaces of our own there are to be, and who is on them.

use std::collections::BTreeMap;

use super::super::instance_rules::Rules;
use super::Whole;
use super::unicast::is_unicast;
use crate::config::diagnostics::{Diagnostic, Status};
use crate::config::iproute::{self, Table};
use crate::config::model::VrrpInstance;
use crate::config::source::Position;
use crate::config::values::{AddressLine, IpvlanMode, MacPattern};
use crate::kernel::{AddressSpec, IpvlanSharing, VirtualLink, VirtualLinkKind};
use crate::net::{Family, InterfaceName, MacAddress};
use crate::node::StaticAddress;
use crate::vrrp::{RouterConfig, RouterInterfaces};
use crate::wire::vrrp::Vrid;

/// Prefix of the names of interfaces that have none of their own (`vmac_prefix`).
const PREFIX: &str = "vrrp";

/// The interfaces of our own that routers need, and what these have of their own.
#[derive(Debug, Default)]
pub(in crate::config::lower) struct OwnLinks {
    pub(in crate::config::lower) links: Vec<VirtualLink>,
    pub(in crate::config::lower) addresses: Vec<StaticAddress>,
}

/// The virtual MACs of a configuration.
#[derive(Debug, Default)]
pub(super) struct VirtualMacs<'a> {
    links: Vec<VirtualLink>,
    /// By parent and MAC: position in `links`, whose it is, and whether that sends from it, not only its addresses.
    of_macs: BTreeMap<(InterfaceName, MacAddress), (usize, &'a str, bool)>,
    /// Names that are taken: written somewhere in the file, or given.
    names: BTreeMap<InterfaceName, (&'a str, Position)>,
    /// Addresses of ipvlans.
    statics: Vec<StaticAddress>,
}

impl<'a> VirtualMacs<'a> {
    /// Takes the names that are written first: no other interface is given them.
    pub(super) fn new(instances: &'a [VrrpInstance]) -> Self {
        let mut macs = Self::default();
        for instance in instances {
            let vmac = instance.use_vmac.as_ref().map(|entry| (&entry.value.name, entry.at));
            let ipvlan = instance.use_ipvlan.as_ref().map(|entry| (&entry.value.name, entry.at));
            for (name, at) in vmac.into_iter().chain(ipvlan) {
                if let Some(name) = name {
                    macs.names.entry(name.clone()).or_insert((&instance.header.value.0, at));
                }
            }
        }
        macs
    }

    /// Whether there is to be an interface of this name.
    pub(super) fn contains(&self, name: &InterfaceName) -> bool {
        self.names.contains_key(name)
    }

    /// All of them, with the families that they take part in.
    pub(super) fn finish<'r>(self, routers: impl Iterator<Item = &'r RouterConfig>) -> OwnLinks {
        let mut links = self.links;
        let mut takes_part = |name: &InterfaceName, family: Family| {
            if let Some(link) = links.iter_mut().find(|link| link.name == *name) {
                match family {
                    Family::Ipv4 => link.ipv4 = true,
                    Family::Ipv6 => link.ipv6 = true,
                }
            }
        };
        for router in routers {
            takes_part(&router.interfaces.addresses, router.family);
            for address in router.addresses.iter().chain(&router.excluded) {
                let name = address.interface.as_ref().unwrap_or(&router.interfaces.addresses);
                takes_part(name, address.spec.prefix.family());
            }
        }
        OwnLinks { links, addresses: self.statics }
    }
}

/// The MAC of a virtual router (RFC 9568 §7.3).
const fn standard_mac(family: Family, vrid: Vrid) -> MacAddress {
    let kind = match family {
        Family::Ipv4 => 1,
        Family::Ipv6 => 2,
    };
    MacAddress([0, 0, 0x5e, 0, kind, vrid.get()])
}

impl<'a> Whole<'a> {
    /// The interfaces of an instance; `None` where it cannot have a virtual MAC, which is reported.
    pub(super) fn on_virtual_mac(
        &mut self,
        instance: &'a VrrpInstance,
        rules: &Rules<'_>,
        interfaces: RouterInterfaces,
        vrid: Vrid,
    ) -> Option<RouterInterfaces> {
        // Without an interface there is nothing to put one on top of.
        if instance.interface.is_none() {
            return Some(interfaces);
        }
        let base = &interfaces.addresses;
        let Some(entry) = &instance.use_vmac else {
            if let Some(lonely) = &instance.vmac_xmit_base {
                self.push(
                    Diagnostic::warning(
                        "vmac-xmit-base",
                        format!("`{}`: vmac_xmit_base without use_vmac", rules.name),
                    )
                    .at(self.place(lonely.at))
                    .label("ignored")
                    .help("write use_vmac, or remove it"),
                );
            }
            return self.on_ipvlan(instance, rules, interfaces, vrid);
        };
        if let Some(other) = &instance.use_ipvlan {
            self.push(
                Diagnostic::error("vmac-and-ipvlan", format!("`{}`: use_ipvlan beside use_vmac", rules.name))
                    .at(self.place(other.at))
                    .label("ignored")
                    .help("remove one of them"),
            );
        }
        if !self.can_have_virtual_mac(base, entry.at) {
            return None;
        }
        let own = entry.value.mac.filter(|_| !rules.strict());
        let mac = own.map_or_else(
            || standard_mac(rules.family, vrid),
            |MacPattern { mut bytes, add_vrid }| {
                if add_vrid {
                    bytes[5] = vrid.get();
                }
                MacAddress(bytes)
            },
        );
        let group = self.group(entry.value.group.as_deref(), entry.at);
        let prefix = self.global.vmac_prefix.as_ref().map_or(PREFIX, |entry| &*entry.value.0);
        let wanted = Wanted {
            owner: &instance.header.value.0,
            at: entry.at,
            parent: base,
            mac,
            family: rules.family,
            vrid,
            prefix,
        };
        let name = match &entry.value.name {
            Some(name) => self.named_link(&wanted, name, group)?,
            None => self.own_link(&wanted, group, false)?,
        };
        let by_base = is_unicast(instance) || instance.vmac_xmit_base.is_some() && !rules.strict();
        Some(RouterInterfaces::on_top(base.clone(), name, Some(mac), by_base))
    }

    /// An instance on an ipvlan, or on its interface itself.
    fn on_ipvlan(
        &mut self,
        instance: &'a VrrpInstance,
        rules: &Rules<'_>,
        interfaces: RouterInterfaces,
        vrid: Vrid,
    ) -> Option<RouterInterfaces> {
        let Some(entry) = &instance.use_ipvlan else { return Some(interfaces) };
        let base = &interfaces.addresses;
        if !self.can_have_virtual_mac(base, entry.at) {
            return None;
        }
        let refuse = |message: &str, help: &str| {
            self.push(
                Diagnostic::fatal("ipvlan", format!("`{}`: {message}", rules.name))
                    .status(Status::Fault)
                    .at(self.place(entry.at))
                    .help(help),
            );
        };
        if rules.family == Family::Ipv6 {
            refuse("ipvlan over IPv6 is not supported yet", "write use_vmac, or remove it");
            return None;
        }
        let Some(address) = entry.value.address.filter(|address| address.family() == Family::Ipv4) else {
            refuse("an ipvlan needs an IPv4 address of its own", "write use_ipvlan with ADDRESS/LENGTH");
            return None;
        };
        let group = self.group(entry.value.group.as_deref(), entry.at);
        let wanted = Wanted {
            owner: &instance.header.value.0,
            at: entry.at,
            parent: base,
            mac: standard_mac(rules.family, vrid),
            family: rules.family,
            vrid,
            prefix: self.global.vmac_prefix.as_ref().map_or(PREFIX, |entry| &*entry.value.0),
        };
        let name = match &entry.value.name {
            Some(name) if self.is_free(&wanted, name) => name.clone(),
            Some(_) => return None,
            None => self.default_name(&wanted)?,
        };
        let sharing = match entry.value.mode {
            None | Some(IpvlanMode::Bridge) => IpvlanSharing::Bridge,
            Some(IpvlanMode::Private) => IpvlanSharing::Private,
            Some(IpvlanMode::Vepa) => IpvlanSharing::Vepa,
        };
        self.macs.names.insert(name.clone(), (wanted.owner, wanted.at));
        self.macs.links.push(VirtualLink {
            name: name.clone(),
            parent: base.clone(),
            kind: VirtualLinkKind::Ipvlan(sharing),
            group,
            ipv4: false,
            ipv6: false,
        });
        let spec = AddressSpec::new(address);
        self.macs.statics.push(StaticAddress { spec, interface: name.clone(), track_group: None });
        let by_base = is_unicast(instance) || instance.vmac_xmit_base.is_some();
        Some(RouterInterfaces::on_top(base.clone(), name, None, by_base))
    }

    /// Where an instance on an ipvlan sends from, unless it says otherwise: its own address there.
    pub(super) fn ipvlan_source(&self, instance: &VrrpInstance, router: &mut RouterConfig) {
        let RouterInterfaces { transmit, addresses, .. } = &router.interfaces;
        if let Some(entry) = instance.use_ipvlan.as_ref().filter(|_| instance.use_vmac.is_none())
            && transmit.as_ref() == Some(addresses)
            && router.source.is_none()
        {
            router.source = entry.value.address.map(|address| address.address());
        }
    }

    /// The number of an interface group.
    fn group(&self, name: Option<&str>, at: Position) -> Option<u32> {
        let name = name?;
        let group = iproute::lookup(self.reading.host, Table::Groups, name);
        if group.is_none() {
            self.push(
                Diagnostic::error("unknown-group", format!("there is no interface group `{name}`"))
                    .at(self.place(at))
                    .label("the kernel's default is used")
                    .help("write its number, or its name in /etc/iproute2/group"),
            );
        }
        group
    }

    /// Where an address belongs: where its line says, or on a virtual MAC of its own there.
    pub(super) fn address_interface(
        &mut self,
        instance: &'a VrrpInstance,
        line: &AddressLine,
        at: Position,
        router: &RouterConfig,
    ) -> Option<InterfaceName> {
        let base = router.interfaces.base.as_ref().unwrap_or(&router.interfaces.addresses);
        let parent = line.interface.as_ref().unwrap_or(base);
        let family = line.spec.prefix.family();
        let elsewhere = parent != base || family != router.family;
        let own = line.use_vmac || instance.use_vmac_addr.is_some() && elsewhere;
        if !own {
            return line.interface.clone();
        }
        // The instance's own virtual MAC is the right one.
        if !elsewhere && router.interfaces.virtual_mac.is_some() {
            return None;
        }
        if !self.can_have_virtual_mac(parent, at) {
            return line.interface.clone();
        }
        let global = self.global;
        let prefix = global.vmac_addr_prefix.as_ref().or(global.vmac_prefix.as_ref());
        let wanted = Wanted {
            owner: &instance.header.value.0,
            at,
            parent,
            mac: standard_mac(family, router.vrid),
            family,
            vrid: router.vrid,
            prefix: prefix.map_or(PREFIX, |entry| &*entry.value.0),
        };
        self.own_link(&wanted, None, true).or_else(|| line.interface.clone())
    }

    /// Whether macvlans can be on top of an interface; if not, that is reported.
    fn can_have_virtual_mac(&self, parent: &InterfaceName, at: Position) -> bool {
        let Some(known) = self.interfaces.as_ref().and_then(|known| known.get(parent)) else { return true };
        if known.ethernet {
            return true;
        }
        self.push(
            Diagnostic::fatal("not-ethernet", format!("the interface {parent} cannot have a virtual MAC"))
                .status(Status::Fault)
                .at(self.place(at))
                .label("it is no Ethernet interface")
                .help("remove use_vmac, or use an Ethernet interface"),
        );
        false
    }

    /// An interface with a name that was written.
    fn named_link(
        &mut self,
        wanted: &Wanted<'a, '_>,
        name: &InterfaceName,
        group: Option<u32>,
    ) -> Option<InterfaceName> {
        if !self.is_free(wanted, name) {
            return None;
        }
        self.new_link(wanted, name.clone(), group, true)
    }

    /// Whether a name that was written is nobody else's; if not, that is reported.
    fn is_free(&self, wanted: &Wanted<'a, '_>, name: &InterfaceName) -> bool {
        let clash = |first: Option<(&str, Position)>, message: String| {
            let mut diagnostic = Diagnostic::fatal("vmac-name", format!("`{}`: {message}", wanted.owner))
                .status(Status::Fault)
                .at(self.place(wanted.at))
                .help("write another name, or none: there is one for each virtual router");
            if let Some((owner, at)) = first {
                diagnostic = diagnostic.related(self.place(at), format!("first in `{owner}`"));
            }
            self.push(diagnostic);
        };
        match self.macs.names.get(name) {
            Some(first) if first.0 != wanted.owner => {
                clash(Some(*first), format!("the name {name} is that of another virtual MAC"));
                return false;
            }
            _ => {}
        }
        if self.is_others(name) {
            clash(None, format!("the host has an interface {name} already"));
            return false;
        }
        true
    }

    /// An interface with a name that is not taken: `vrrp.51`, or with the family or a number after the prefix.
    /// One that is there already serves addresses (`for_addresses`), and a router if it serves only addresses so far.
    fn own_link(
        &mut self,
        wanted: &Wanted<'a, '_>,
        group: Option<u32>,
        for_addresses: bool,
    ) -> Option<InterfaceName> {
        let mac = (wanted.parent.clone(), wanted.mac);
        if let Some((position, _, of_router)) = self.macs.of_macs.get_mut(&mac)
            && (for_addresses || !*of_router)
        {
            *of_router |= !for_addresses;
            return self.macs.links.get(*position).map(|link| link.name.clone());
        }
        let name = self.default_name(wanted)?;
        self.new_link(wanted, name, group, !for_addresses)
    }

    fn default_name(&self, wanted: &Wanted<'a, '_>) -> Option<InterfaceName> {
        let Wanted { prefix, vrid, family, .. } = *wanted;
        let digit = match family {
            Family::Ipv4 => 4,
            Family::Ipv6 => 6,
        };
        let numbered =
            (1..=9).filter(|number| *number != digit).map(|number| format!("{prefix}{number}.{vrid}"));
        let candidates = [format!("{prefix}.{vrid}"), format!("{prefix}{digit}.{vrid}")];
        for candidate in candidates.into_iter().chain(numbered) {
            let name: InterfaceName = match candidate.parse() {
                Ok(name) => name,
                Err(error) => {
                    self.push(
                        Diagnostic::fatal(
                            "vmac-name",
                            format!("`{candidate}` cannot be the name of a virtual MAC: {error}"),
                        )
                        .status(Status::Fault)
                        .at(self.place(wanted.at))
                        .help("write a shorter vmac_prefix, or a name after use_vmac"),
                    );
                    return None;
                }
            };
            if !self.macs.contains(&name) && !self.is_others(&name) {
                return Some(name);
            }
        }
        self.push(
            Diagnostic::fatal(
                "vmac-name",
                format!("`{}`: all names from {prefix}.{vrid} to {prefix}9.{vrid} are taken", wanted.owner),
            )
            .status(Status::Fault)
            .at(self.place(wanted.at))
            .help("write a name after use_vmac"),
        );
        None
    }

    fn new_link(
        &mut self,
        wanted: &Wanted<'a, '_>,
        name: InterfaceName,
        group: Option<u32>,
        of_router: bool,
    ) -> Option<InterfaceName> {
        let mac = (wanted.parent.clone(), wanted.mac);
        if let Some(&(_, owner, _)) = self.macs.of_macs.get(&mac) {
            self.push(
                Diagnostic::fatal(
                    "vmac-mac",
                    format!(
                        "`{}`: the MAC {} is that of another virtual MAC on {}, in `{owner}`",
                        wanted.owner, wanted.mac, wanted.parent
                    ),
                )
                .status(Status::Fault)
                .at(self.place(wanted.at))
                .help("give each virtual router a MAC of its own, or none for the standard one"),
            );
            return None;
        }
        self.macs.of_macs.insert(mac, (self.macs.links.len(), wanted.owner, of_router));
        self.macs.names.insert(name.clone(), (wanted.owner, wanted.at));
        self.macs.links.push(VirtualLink {
            name: name.clone(),
            parent: wanted.parent.clone(),
            kind: VirtualLinkKind::Macvlan(wanted.mac),
            group,
            ipv4: false,
            ipv6: false,
        });
        Some(name)
    }

    /// Whether the host has an interface of this name that is none like ours.
    fn is_others(&self, name: &InterfaceName) -> bool {
        self.interfaces.as_ref().and_then(|known| known.get(name)).is_some_and(|known| !known.virtual_link)
    }
}

/// An interface that is to be.
struct Wanted<'a, 'b> {
    owner: &'a str,
    at: Position,
    parent: &'b InterfaceName,
    mac: MacAddress,
    family: Family,
    vrid: Vrid,
    prefix: &'b str,
}
