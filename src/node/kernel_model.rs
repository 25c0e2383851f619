//! What the kernel holds, as far as its notifications told.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::kernel::{
    Detection, HeldAddress, HeldRoute, KernelView, Link, LinkKey, RoutePlace, RoutingKey, RuleKey,
};
use crate::net::{Family, InterfaceIndex, InterfaceName, Prefix};

/// Links and addresses of the kernel.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct KernelModel {
    links: BTreeMap<InterfaceIndex, Link>,
    by_name: BTreeMap<InterfaceName, InterfaceIndex>,
    addresses: BTreeMap<(InterfaceIndex, Prefix), HeldAddress>,
    /// Addresses that are not ours, by interface and in the kernel's order: candidates for a source.
    own: BTreeMap<InterfaceIndex, Vec<Prefix>>,
    /// Routes of the protocols that we use.
    routes: BTreeMap<RoutePlace, Vec<HeldRoute>>,
    rules: BTreeSet<RuleKey>,
}

impl KernelModel {
    /// Everything anew.
    pub fn from_view(view: KernelView) -> Self {
        let mut model = Self::default();
        for link in view.links {
            model.set_link(link);
        }
        for address in view.addresses {
            model.set_address(address);
        }
        for route in view.routes {
            model.set_route(route);
        }
        model.rules = view.rules.iter().map(RuleKey::of_held).collect();
        model
    }

    /// A link is new or changed. Returns the name it had before, if it had another.
    pub fn set_link(&mut self, link: Link) -> Option<InterfaceName> {
        let before = self.links.get(&link.key).map(|old| old.name.clone()).filter(|old| *old != link.name);
        if let Some(before) = &before
            && self.by_name.get(before) == Some(&link.key)
        {
            self.by_name.remove(before);
        }
        self.by_name.insert(link.name.clone(), link.key);
        self.links.insert(link.key, link);
        before
    }

    /// A link is gone, and its addresses with it. Returns its name.
    pub fn remove_link(&mut self, key: InterfaceIndex) -> Option<InterfaceName> {
        let link = self.links.remove(&key)?;
        if self.by_name.get(&link.name) == Some(&key) {
            self.by_name.remove(&link.name);
        }
        let lowest = (key, Prefix::LOWEST);
        let held = self.addresses.range(lowest..).map(|(held, _)| *held).take_while(|(link, _)| *link == key);
        for held in held.collect::<Vec<_>>() {
            self.addresses.remove(&held);
        }
        self.own.remove(&key);
        Some(link.name)
    }

    /// An address is new or changed. True when it may change a source address.
    pub fn set_address(&mut self, address: HeldAddress) -> bool {
        let key = (address.link, address.prefix);
        let candidate = !address.ours && !address.is_tentative();
        let own = self.own.entry(address.link).or_default();
        let before = own.len();
        match own.iter().position(|prefix| *prefix == address.prefix) {
            Some(position) if !candidate => {
                own.remove(position);
            }
            None if candidate => own.push(address.prefix),
            _ => {}
        }
        let changed = own.len() != before;
        self.addresses.insert(key, address);
        changed
    }

    /// An address is gone. True when it may change a source address.
    pub fn remove_address(&mut self, link: InterfaceIndex, prefix: Prefix) -> bool {
        self.addresses.remove(&(link, prefix));
        let Some(own) = self.own.get_mut(&link) else { return false };
        let before = own.len();
        own.retain(|own| *own != prefix);
        own.len() != before
    }

    /// A route is new.
    pub fn set_route(&mut self, route: HeldRoute) {
        let routes = self.routes.entry(route.place).or_default();
        if !routes.contains(&route) {
            routes.push(route);
        }
    }

    /// A route is gone.
    pub fn remove_route(&mut self, route: &HeldRoute) {
        self.remove_routes_in(&route.place, |held| held == route);
    }

    /// Those of a place that something is true of are gone, which are given.
    pub fn remove_routes_in(
        &mut self,
        place: &RoutePlace,
        gone: impl FnMut(&mut HeldRoute) -> bool,
    ) -> Vec<HeldRoute> {
        let Some(routes) = self.routes.get_mut(place) else { return Vec::new() };
        let removed = routes.extract_if(.., gone).collect();
        if routes.is_empty() {
            self.routes.remove(place);
        }
        removed
    }

    /// The routes that something is true of are gone, which are given.
    pub fn remove_routes(&mut self, gone: impl Fn(&HeldRoute) -> bool) -> Vec<HeldRoute> {
        let mut removed = Vec::new();
        self.routes.retain(|_, routes| {
            removed.extend(routes.extract_if(.., |route| gone(route)));
            !routes.is_empty()
        });
        removed
    }

    /// A rule is new, or gone.
    pub fn set_rule(&mut self, key: RuleKey, present: bool) {
        if present {
            self.rules.insert(key);
        } else {
            self.rules.remove(&key);
        }
    }

    /// Whether a route or rule is there; it carries our mark then, which is part of the key.
    pub fn holds_routing(&self, key: RoutingKey) -> Option<bool> {
        let there = match key {
            RoutingKey::Route(key) => {
                self.routes.get(&key.place).is_some_and(|routes| routes.iter().any(|route| key.is(route)))
            }
            RoutingKey::Rule(key) => self.rules.contains(&key),
        };
        there.then_some(true)
    }

    /// Whether an interface has an address of the family.
    pub fn has_any(&self, link: InterfaceIndex, family: Family) -> bool {
        let all = self.addresses.range((link, Prefix::LOWEST)..).take_while(|((of, _), _)| *of == link);
        all.into_iter().any(|((_, prefix), _)| prefix.family() == family)
    }

    /// Whether an interface of ours is there as it shall be; it carries no mark, so that one like it counts as ours.
    pub fn holds_link(&self, key: LinkKey) -> Option<bool> {
        let link = self.link_by_name(&key.name.to_string().parse().ok()?)?;
        (link.virtual_key() == Some(key)).then_some(true)
    }

    /// The link of that name.
    pub fn link_by_name(&self, name: &InterfaceName) -> Option<&Link> {
        self.links.get(self.by_name.get(name)?)
    }

    /// The link of that key.
    pub fn link(&self, key: InterfaceIndex) -> Option<&Link> {
        self.links.get(&key)
    }

    /// Whether the address is there, and then whether it carries our mark.
    pub fn holds(&self, key: (InterfaceIndex, Prefix)) -> Option<bool> {
        self.addresses.get(&key).map(|address| address.ours)
    }

    /// How far duplicate address detection is with an address that is there.
    pub fn detection(&self, key: (InterfaceIndex, Prefix)) -> Option<Detection> {
        self.addresses.get(&key).map(|address| address.detection)
    }

    /// Whether the address is known to depend on another one of its subnet.
    pub fn is_secondary(&self, key: (InterfaceIndex, Prefix)) -> bool {
        self.addresses.get(&key).is_some_and(|address| address.secondary)
    }

    /// Whether the interface, or where none is given any, has an address that can be used, and whether it is ours then.
    pub fn has(&self, link: Option<InterfaceIndex>, address: &IpAddr) -> Option<bool> {
        let one = link.into_iter();
        let all = self.links.keys().copied().filter(|_| link.is_none());
        let mut held = one.chain(all).flat_map(|link| {
            let from = Prefix::new(*address, 0).unwrap_or(Prefix::LOWEST);
            let same = self.addresses.range((link, from)..=(link, Prefix::host(*address)));
            same.map(|(_, held)| held).filter(|held| !held.is_tentative())
        });
        let first = held.next()?.ours;
        Some(first && held.all(|held| held.ours))
    }

    /// The address to send advertisements from: the interface's primary IPv4 address (RFC 9568 §5.1.1.1) or
    /// its link-local IPv6 address (§5.1.2.1), the first in the kernel's order that is not ours. `current` is
    /// kept while it is there, so that another address does not change who wins a tie.
    pub fn source(&self, link: InterfaceIndex, family: Family, current: Option<IpAddr>) -> Option<IpAddr> {
        let fits = |address: &IpAddr| match address {
            IpAddr::V4(_) => family == Family::Ipv4,
            IpAddr::V6(address) => family == Family::Ipv6 && address.is_unicast_link_local(),
        };
        let mut candidates = self.own.get(&link)?.iter().map(Prefix::address).filter(fits).peekable();
        let first = candidates.peek().copied();
        candidates.find(|address| Some(*address) == current).or(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Forwarding;
    use crate::net::InterfaceIndex;

    const LINK: InterfaceIndex = InterfaceIndex::LOWEST;

    fn address(text: &str, ours: bool) -> HeldAddress {
        let prefix = Prefix::new(text.parse().unwrap(), 24).unwrap();
        HeldAddress { link: LINK, prefix, ours, secondary: false, detection: Detection::Done }
    }

    #[test]
    fn the_source_is_the_first_address_that_is_not_ours_and_stays() {
        let mut model = KernelModel::default();
        assert!(!model.set_address(address("192.0.2.1", true)));
        assert_eq!(model.source(LINK, Family::Ipv4, None), None);
        assert!(model.set_address(address("192.0.2.10", false)));
        assert!(model.set_address(address("192.0.2.11", false)));
        let first = model.source(LINK, Family::Ipv4, None);
        assert_eq!(first, Some("192.0.2.10".parse().unwrap()));
        let other = "192.0.2.11".parse().ok();
        assert_eq!(model.source(LINK, Family::Ipv4, other), other);
        assert!(model.remove_address(LINK, Prefix::new(other.unwrap(), 24).unwrap()));
        assert_eq!(model.source(LINK, Family::Ipv4, other), first);
    }

    #[test]
    fn only_link_local_addresses_serve_ipv6() {
        let mut model = KernelModel::default();
        model.set_address(address("2001:db8::1", false));
        assert_eq!(model.source(LINK, Family::Ipv6, None), None);
        let local = "fe80::1".parse().unwrap();
        model.set_address(HeldAddress { detection: Detection::Running, ..address("fe80::1", false) });
        assert_eq!(model.source(LINK, Family::Ipv6, None), None);
        assert_eq!(model.has(Some(LINK), &local), None);
        assert!(model.set_address(address("fe80::1", false)));
        assert!(model.source(LINK, Family::Ipv6, None).is_some());
        assert_eq!(model.has(Some(LINK), &local), Some(false));
    }

    #[test]
    fn an_address_is_found_on_its_link_or_on_any_whatever_its_length() {
        let [other, own] = ["192.0.2.10", "192.0.2.11"].map(|text| text.parse().unwrap());
        let mut model = KernelModel::default();
        for (text, ours) in [("192.0.2.10", true), ("192.0.2.11", false), ("192.0.2.12", false)] {
            model.set_address(address(text, ours));
        }
        let link = Link {
            key: LINK,
            name: "eth0".parse().unwrap(),
            mac: None,
            mtu: 1500,
            admin_up: true,
            running: true,
            loopback: false,
            forwarding: Forwarding::default(),
            stacked: None,
            vrf_table: None,
        };
        assert_eq!(model.has(None, &own), None, "the link is not known yet");
        model.set_link(link);
        let elsewhere = InterfaceIndex::new(7);
        for (address, on, found) in [
            (own, Some(LINK), Some(false)),
            (own, None, Some(false)),
            (own, elsewhere, None),
            (other, None, Some(true)),
            ([192, 0, 2, 13].into(), None, None),
        ] {
            assert_eq!(model.has(on, &address), found, "{address} {on:?}");
        }
    }

    #[test]
    fn a_name_follows_its_link() {
        let link = |index, name: &str| Link {
            key: InterfaceIndex::new(index).unwrap(),
            name: name.parse().unwrap(),
            mac: None,
            mtu: 1500,
            admin_up: true,
            running: true,
            loopback: false,
            forwarding: Forwarding::default(),
            stacked: None,
            vrf_table: None,
        };
        let mut model = KernelModel::default();
        model.set_link(link(2, "eth0"));
        assert_eq!(model.set_link(link(2, "wan")), Some("eth0".parse().unwrap()));
        assert!(model.link_by_name(&"eth0".parse().unwrap()).is_none());
        model.set_link(link(3, "eth0"));
        assert_eq!(model.remove_link(link(2, "wan").key), Some("wan".parse().unwrap()));
        assert!(model.link_by_name(&"eth0".parse().unwrap()).is_some());
    }
}
