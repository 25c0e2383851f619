//! Who is concerned by an interface, a message, an address.

use std::collections::{BTreeMap, BTreeSet};

use crate::kernel::{ReceiveSocket, RouterId};
use crate::net::InterfaceName;
use crate::vrrp::RouterConfig;
use crate::wanted::{Addresses, Kind};
use crate::wire::vrrp::Vrid;

/// An address on a link.
pub(super) type AddressKey = <Addresses as Kind>::Key;
/// A subnet on a link, of which addresses may go along with others.
pub(super) type SubnetKey = <Addresses as Kind>::Kin;

/// Kept in step with each router by the difference that a change makes: an event costs the routers that it concerns,
/// not all of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Index {
    names: Sets<InterfaceName>,
    vrids: Sets<(ReceiveSocket, Vrid)>,
    addresses: Sets<AddressKey>,
    subnets: Sets<SubnetKey>,
}

impl Index {
    /// Routers whose configuration names the interface.
    pub(super) fn of_name(&self, name: &InterfaceName) -> &[RouterId] {
        self.names.get(name)
    }

    /// Routers that listen by the socket and have the identifier: nearly always one. A unicast and a multicast instance
    /// on the same link, which may share it, each have a socket of their own.
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
#[derive(Clone, Debug, Eq, PartialEq)]
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
    use crate::kernel::{AddressSpec, Forwarding, HeldAddress, KernelEvent, KernelView, Link};
    use crate::net::{Family, InterfaceIndex, Prefix};
    use crate::node::{Event, HaNode, NodeConfig};
    use crate::prng::Prng;
    use crate::time::{Instant, Now, WallTime};
    use crate::vrrp::{Actions, Destinations, SocketRequest, VirtualAddress};

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
                config.destinations = Destinations::Unicast(vec![[192, 0, 2, 99].into()]);
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
        }
    }

    fn some_address(prng: &mut Prng) -> HeldAddress {
        let prefix = Prefix::new([192, 0, 2, 200 + prng.below(3) as u8].into(), 24).unwrap();
        HeldAddress { link: some_key(prng), prefix, ours: false, secondary: false, tentative: false }
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
            let Some(link) = node.kernel().link_by_name(&config.interfaces.receive) else { continue };
            let address = match &config.destinations {
                Destinations::Multicast(group) => Some(*group),
                Destinations::Unicast(_) => router.source(),
            };
            let Some(address) = address else { continue };
            let socket = ReceiveSocket::vrrp(link.key, address);
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
