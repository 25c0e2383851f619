//! Who is concerned by an interface, a message, an address.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::kernel::{ReceiveSocket, RouterId};
use crate::net::{Family, InterfaceIndex, InterfaceName};
use crate::vrrp::RouterConfig;
use crate::wanted::{Addresses, Kind};
use crate::wire::vrrp::Vrid;

/// An address on a link.
pub(super) type AddressKey = <Addresses as Kind>::Key;
/// A subnet on a link, of which addresses may go along with others.
pub(super) type SubnetKey = <Addresses as Kind>::Kin;

/// Kept in step with each router by the difference that a change makes: an event costs the routers that it concerns,
/// not all of them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Index {
    names: Sets<InterfaceName>,
    sources: Sets<IpAddr>,
    routed: BTreeSet<RouterId>,
    unicast: Sets<(Option<InterfaceIndex>, Family, Vrid)>,
    vrids: Sets<(ReceiveSocket, Vrid)>,
    addresses: Sets<AddressKey>,
    subnets: Sets<SubnetKey>,
}

impl Index {
    /// Routers whose configuration names the interface.
    pub(super) fn of_name(&self, name: &InterfaceName) -> &[RouterId] {
        self.names.get(name)
    }

    /// Routers that can only send from the address.
    pub(super) fn of_source(&self, address: &IpAddr) -> &[RouterId] {
        self.sources.get(address)
    }

    /// Routers without an interface to send from.
    pub(super) const fn routed(&self) -> &BTreeSet<RouterId> {
        &self.routed
    }

    /// Routers that have the identifier and listen by unicast on the link.
    pub(super) fn of_unicast(&self, link: Option<InterfaceIndex>, family: Family, vrid: Vrid) -> &[RouterId] {
        self.unicast.get(&(link, family, vrid))
    }

    /// Routers that listen by the socket and have the identifier: nearly always one. Unicast instances may be told apart
    /// by their peers alone. A unicast and a multicast instance on the same link, which may share an identifier, each have
    /// a socket of their own.
    pub(super) fn of_vrid(&self, socket: ReceiveSocket, vrid: Vrid) -> &[RouterId] {
        self.vrids.get(&(socket, vrid))
    }

    /// Routers that the address belongs to.
    pub(super) fn of_address(&self, address: &AddressKey) -> &[RouterId] {
        self.addresses.get(address)
    }

    /// Routers with an address in the subnet.
    pub(super) fn of_subnet(&self, subnet: &SubnetKey) -> &[RouterId] {
        self.subnets.get(subnet)
    }

    /// A router has another configuration, is new, or is removed.
    pub(super) fn move_names(
        &mut self,
        id: RouterId,
        before: Option<&RouterConfig>,
        after: Option<&RouterConfig>,
    ) {
        let names = |config: Option<&RouterConfig>| -> BTreeSet<InterfaceName> {
            config.into_iter().flat_map(RouterConfig::interface_names).cloned().collect()
        };
        self.names.shift(id, &names(before), &names(after));
        let source = |config: Option<&RouterConfig>| -> BTreeSet<IpAddr> {
            config
                .filter(|config| config.tracks_source())
                .and_then(|config| config.source)
                .into_iter()
                .collect()
        };
        self.sources.shift(id, &source(before), &source(after));
        match after {
            Some(config) if config.interfaces.transmit.is_none() => self.routed.insert(id),
            _ => self.routed.remove(&id),
        };
    }

    /// A router listens by another socket, or has another identifier.
    pub(super) fn move_vrid(
        &mut self,
        id: RouterId,
        before: Option<(ReceiveSocket, Vrid)>,
        after: Option<(ReceiveSocket, Vrid)>,
    ) {
        if before != after {
            self.vrids.shift(id, &before.into_iter().collect(), &after.into_iter().collect());
            let unicast = |key: Option<(ReceiveSocket, Vrid)>| {
                let unicast = key.filter(|(socket, _)| !socket.address.is_multicast());
                unicast
                    .map(|(socket, vrid)| (socket.link, Family::of(&socket.address), vrid))
                    .into_iter()
                    .collect()
            };
            self.unicast.shift(id, &unicast(before), &unicast(after));
        }
    }

    /// A router has other addresses, or has them on other links.
    pub(super) fn move_addresses(&mut self, id: RouterId, before: &[AddressKey], after: &[AddressKey]) {
        if before == after {
            return;
        }
        let set = |keys: &[AddressKey]| keys.iter().copied().collect();
        self.addresses.shift(id, &set(before), &set(after));
        let subnets = |keys: &[AddressKey]| keys.iter().copied().filter_map(Addresses::kin).collect();
        self.subnets.shift(id, &subnets(before), &subnets(after));
    }
}

/// Routers by key, in order; none is without an entry.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(bound(deserialize = "K: Deserialize<'de> + Ord"))]
struct Sets<K>(BTreeMap<K, Vec<RouterId>>);

impl<K> Default for Sets<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Clone + Ord> Sets<K> {
    fn get(&self, key: &K) -> &[RouterId] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    fn shift(&mut self, id: RouterId, before: &BTreeSet<K>, after: &BTreeSet<K>) {
        for key in before.difference(after) {
            let Some(ids) = self.0.get_mut(key) else { continue };
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.0.remove(key);
            }
        }
        for key in after.difference(before) {
            let ids = self.0.entry(key.clone()).or_default();
            if let Err(position) = ids.binary_search(&id) {
                ids.insert(position, id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{AddressSpec, Detection, Forwarding, HeldAddress, KernelEvent, KernelView, Link};
    use crate::net::Prefix;
    use crate::node::{Event, HaNode, NodeConfig};
    use crate::prng::Prng;
    use crate::time::{Instant, Now, WallTime};
    use crate::vrrp::{Actions, Destinations, RouterInterfaces, SocketRequest, VirtualAddress};

    const NAMES: [&str; 4] = ["eth0", "eth1", "eth2", "eth3"];

    fn some_name(prng: &mut Prng) -> InterfaceName {
        NAMES[prng.below(NAMES.len() as u64) as usize].parse().unwrap()
    }

    fn some_config(prng: &mut Prng) -> NodeConfig {
        let mut routers = Vec::new();
        for vrid in 1..=6_u8 {
            if prng.chance(1, 4) {
                continue;
            }
            let vrid = Vrid::new(vrid).unwrap();
            let mut config = RouterConfig::new("R", vrid, Family::Ipv4, some_name(prng));
            for host in 0..prng.below(4) as u8 {
                let prefix = Prefix::new([192, 0, 2, vrid.get() * 10 + host].into(), 24).unwrap();
                let interface = prng.chance(1, 3).then(|| some_name(prng));
                config.addresses.push(VirtualAddress {
                    spec: AddressSpec::new(prefix),
                    interface,
                    track: true,
                });
            }
            if prng.chance(1, 3) {
                config.destinations = Destinations::Unicast(vec![IpAddr::from([192, 0, 2, 99]).into()]);
                if prng.chance(1, 2) {
                    config.source = Some([192, 0, 2, 200].into());
                    config.interfaces = RouterInterfaces::routed(some_name(prng), None);
                }
            }
            if !routers.iter().any(|other: &RouterConfig| other.identity() == config.identity()) {
                routers.push(config);
            }
        }
        NodeConfig { routers, ..NodeConfig::default() }
    }

    fn some_key(prng: &mut Prng) -> InterfaceIndex {
        InterfaceIndex::new(1 + prng.below(4) as u32).unwrap()
    }

    fn some_link(prng: &mut Prng) -> Link {
        Link {
            key: some_key(prng),
            name: some_name(prng),
            mac: None,
            mtu: 1500,
            admin_up: prng.chance(3, 4),
            running: true,
            loopback: false,
            forwarding: Forwarding::default(),
            stacked: None,
            vrf_table: None,
        }
    }

    fn some_address(prng: &mut Prng) -> HeldAddress {
        let prefix = Prefix::new([192, 0, 2, 200 + prng.below(3) as u8].into(), 24).unwrap();
        HeldAddress {
            link: some_key(prng),
            prefix,
            ours: false,
            secondary: false,
            detection: Detection::Done,
        }
    }

    fn some_event(prng: &mut Prng) -> Event {
        Event::Kernel(match prng.below(8) {
            0..3 => KernelEvent::LinkChanged(some_link(prng)),
            3 => KernelEvent::LinkGone(some_key(prng)),
            4 => KernelEvent::AddressPresent(some_address(prng)),
            5 => {
                let HeldAddress { link, prefix, .. } = some_address(prng);
                KernelEvent::AddressGone { link, prefix }
            }
            6 => KernelEvent::View(KernelView {
                links: (0..prng.below(5)).map(|_| some_link(prng)).collect(),
                addresses: (0..prng.below(5)).map(|_| some_address(prng)).collect(),
                ..KernelView::default()
            }),
            _ => return Event::Reconfigure(some_config(prng)),
        })
    }

    /// The index made anew, and the sockets that are needed.
    fn anew(node: &HaNode) -> (Index, BTreeSet<ReceiveSocket>) {
        let (mut index, mut sockets) = (Index::default(), BTreeSet::new());
        for router in node.routers() {
            let (id, config) = (router.id(), router.config());
            index.move_names(id, None, Some(config));
            index.move_addresses(id, &[], &router.address_keys().collect::<Vec<_>>());
            let link = match &config.interfaces.receive {
                Some(name) => match node.kernel().link_by_name(name) {
                    Some(link) => Some(link.key),
                    None => continue,
                },
                None => None,
            };
            let address = match &config.destinations {
                Destinations::Multicast(group) => Some(*group),
                Destinations::Unicast(_) => router.source(),
            };
            let Some(address) = address else { continue };
            let socket = ReceiveSocket::vrrp(link, address);
            index.move_vrid(id, None, Some((socket, config.vrid)));
            sockets.insert(socket);
        }
        (index, sockets)
    }

    #[test]
    fn what_differences_make_of_it_is_what_it_would_be_anew() {
        for seed in 0..200 {
            let mut prng = Prng::new(seed);
            let now = Now { instant: Instant::ZERO, wall: WallTime::default() };
            let mut node = HaNode::new(some_config(&mut prng));
            let mut open = BTreeSet::new();
            for step in 0..40 {
                let event = match step {
                    0 => Event::Kernel(KernelEvent::View(KernelView::default())),
                    _ => some_event(&mut prng),
                };
                let mut actions = Actions::default();
                node.handle(now, event.clone(), &mut actions);
                for request in actions.sockets {
                    let changed = match request {
                        SocketRequest::Open(socket) => open.insert(socket),
                        SocketRequest::Close(socket) => open.remove(&socket),
                    };
                    assert!(changed, "seed {seed}, step {step}: {request:?} twice");
                }
                let (index, sockets) = anew(&node);
                assert_eq!(node.index, index, "seed {seed}, step {step}: {event:?}");
                assert_eq!(open, sockets, "seed {seed}, step {step}: {event:?}");
            }
        }
    }
}
