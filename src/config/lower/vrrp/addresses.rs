//! `virtual_ipaddress` and `virtual_ipaddress_excluded`.

use super::super::reachability;
use super::Whole;
use crate::config::diagnostics::{Diagnostic, Status};
use crate::config::model::VrrpInstance;
use crate::config::values::{AddressLine, At};
use crate::net::{Family, InterfaceName};
use crate::vrrp::{RouterConfig, VirtualAddress};
use crate::wire::ah::AH_LENGTH;
use crate::wire::vrrp::{AuthenticationData, TRAILER_LENGTH, Version};

impl<'a> Whole<'a> {
    pub(super) fn addresses(&mut self, instance: &'a VrrpInstance, router: &mut RouterConfig, name: &'a str) {
        let hears_by = router.interfaces.base.as_ref().or_else(|| router.interfaces.hears_by());
        let mtu = hears_by.and_then(|name| self.interfaces.as_ref()?.get(name));
        let room = advertised_addresses(router, mtu.map(|interface| interface.mtu));
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
            let interface = self.address_interface(instance, &entry.value, entry.at, router);
            if router.addresses.len() < room {
                router.addresses.push(virtual_address(&entry.value, interface));
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
                router.excluded.push(virtual_address(&entry.value, interface));
            }
        }
        for entry in &instance.virtual_ipaddress_excluded {
            if self.new_address(entry, router, name) {
                let interface = self.address_interface(instance, &entry.value, entry.at, router);
                router.excluded.push(virtual_address(&entry.value, interface));
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
            && !known.contains_key(interface)
            && !self.macs.contains(interface)
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
        reachability::not_static(self.reading, &self.static_addresses, entry, name);
        let base = router.interfaces.base.as_ref().unwrap_or(&router.interfaces.addresses);
        // What is on top of an interface reaches whom that reaches.
        let interface = entry.value.interface.as_ref().unwrap_or(base);
        if let Some(known) = self.interfaces.as_ref().and_then(|known| known.get(interface)) {
            self.out_of_subnet.note(known, entry);
        }
        true
    }
}

/// What a line of `virtual_ipaddress` means.
fn virtual_address(line: &AddressLine, interface: Option<InterfaceName>) -> VirtualAddress {
    VirtualAddress { spec: line.spec.clone(), interface, track: !line.no_track }
}

/// How many addresses an advertisement holds: at most 255 (RFC 9568 §5.2.5), and what fits a packet of the MTU.
fn advertised_addresses(router: &RouterConfig, mtu: Option<u32>) -> usize {
    let (header, size) = match router.family {
        Family::Ipv4 => (20, 4),
        Family::Ipv6 => (40, 16),
    };
    let authentication = match (&router.hmac, router.authentication) {
        (Some(_), _) => TRAILER_LENGTH,
        (None, AuthenticationData::AuthenticationHeader(_)) => AH_LENGTH,
        (None, _) => 0,
    };
    let fixed = 8 + authentication + if router.version == Version::V2 { 8 } else { 0 };
    let by_mtu = mtu.map_or(255, |mtu| (mtu as usize).saturating_sub(header + fixed) / size);
    by_mtu.min(255)
}
