//! What each router needs to know of the interfaces it works on.

use core::net::IpAddr;
use std::collections::BTreeSet;

use super::index::AddressKey;
use super::{HaNode, Phase};
use crate::kernel::{Link, ReceiveSocket, Requester, RouterId, RoutingKey};
use crate::net::{InterfaceIndex, InterfaceName, VRRP_PROTOCOL};
use crate::time::Now;
use crate::vrrp::{
    Actions, Destinations, Environment, Interface, Listening, Output, RouterConfig, Tracked, VirtualRouter,
};
use crate::wire::ah::AH_PROTOCOL;
use crate::wire::vrrp::{AuthenticationData, Vrid};

impl HaNode {
    /// What a router of this configuration would know, but for the state of the socket that it needs.
    fn surroundings(
        &self,
        router: &VirtualRouter,
        config: &RouterConfig,
    ) -> (Environment, Option<ReceiveSocket>) {
        let source = self.source_of(config, router.source());
        let environment = Environment {
            interfaces: self.interfaces_of(config),
            source,
            listening: Listening::Pending,
            preparing: config.interface_names().any(|name| self.links.is_under_way(name, &self.kernel)),
        };
        (environment, self.socket_of(config, source))
    }

    fn socket_of(&self, config: &RouterConfig, source: Option<IpAddr>) -> Option<ReceiveSocket> {
        let link = match config.interfaces.hears_by() {
            Some(name) => Some(self.kernel.link_by_name(name)?.key),
            None => None,
        };
        let address = match &config.destinations {
            Destinations::Multicast(group) => *group,
            Destinations::Unicast(_) => source?,
        };
        let protocol = match config.authentication {
            AuthenticationData::AuthenticationHeader(_) => AH_PROTOCOL,
            AuthenticationData::None | AuthenticationData::SimplePassword(_) => VRRP_PROTOCOL,
        };
        Some(ReceiveSocket { link, address, protocol })
    }

    /// Where a router sends from. Who is spoken to at its own address needs one that this host has.
    fn source_of(&self, config: &RouterConfig, current: Option<IpAddr>) -> Option<IpAddr> {
        let link = match config.interfaces.source_by() {
            Some(name) => Some(self.kernel.link_by_name(name)?.key),
            None => None,
        };
        match (config.source, link) {
            (Some(source), _) if config.tracks_source() => {
                let ours = self.kernel.has(link, &source)?;
                // Which is there while the router is master only.
                (!ours || !config.has_virtual(&source)).then_some(source)
            }
            (Some(source), _) => Some(source),
            (None, Some(link)) => self.kernel.source(link, config.family, current),
            (None, None) => None,
        }
    }

    fn interfaces_of(&self, config: &RouterConfig) -> Vec<(InterfaceName, Interface)> {
        let mut interfaces: Vec<(InterfaceName, Interface)> = Vec::with_capacity(1);
        for name in config.interface_names() {
            if let Some(link) = self.kernel.link_by_name(name)
                && !interfaces.iter().any(|(known, _)| known == name)
            {
                let interface = interface(link, self.link_states.counts_as_up(link));
                let pace = self.paces.get(name).copied();
                interfaces.push((name.clone(), Interface { pace, ..interface }));
            }
        }
        interfaces
    }

    /// Has a router listen where it should, on `None` nowhere, and gives the state of that socket.
    pub(super) fn listen(&mut self, id: RouterId, vrid: Vrid, socket: Option<ReceiveSocket>) -> Listening {
        let before = self.sockets.assign(id, socket);
        let key = |socket: ReceiveSocket| (socket, vrid);
        self.index.move_vrid(id, before.map(key), socket.map(key));
        self.sockets.listening(socket)
    }

    /// Tells all routers what they need to know of their interfaces.
    pub(super) fn update_all(&mut self, now: Now, actions: &mut Actions) {
        let ids: Vec<RouterId> = self.routers.keys().copied().collect();
        self.update_routers(now, ids, actions);
    }

    /// Tells the routers that use interfaces of these names what they need to know of them. A source address that no
    /// interface is given for may be on any.
    pub(super) fn update_names(&mut self, now: Now, names: &[&InterfaceName], actions: &mut Actions) {
        let by_name = names.iter().flat_map(|name| self.index.of_name(name));
        let ids: BTreeSet<RouterId> = by_name.chain(self.index.routed()).copied().collect();
        self.update_routers(now, ids, actions);
    }

    pub(super) fn update_routers(
        &mut self,
        now: Now,
        ids: impl IntoIterator<Item = RouterId>,
        actions: &mut Actions,
    ) {
        for id in ids {
            let Some(router) = self.routers.get(&id) else { continue };
            let (mut environment, socket) = self.surroundings(router, router.config());
            let vrid = router.config().vrid;
            let promotes = promotes(router.config(), &environment);
            environment.listening = self.listen(id, vrid, socket);
            self.promote(promotes, actions);
            let (running, silent_since) = (self.phase == Phase::Running, self.silent_since);
            self.move_router(now, id, actions, |router, known, known_routing, out| {
                router.set_environment(now, environment, known, out);
                router.locate_routing(known_routing, out);
                if running {
                    router.start(now, silent_since, out);
                }
            });
        }
        self.sockets.take_requests(&mut actions.sockets);
    }

    /// A router that stays has another configuration. Gives the one that is not used any more.
    pub(super) fn reconfigure_router(
        &mut self,
        now: Now,
        id: RouterId,
        config: RouterConfig,
        tracked: Option<Tracked>,
        actions: &mut Actions,
    ) -> RouterConfig {
        let Some(router) = self.routers.get(&id) else { return config };
        let (mut environment, socket) = self.surroundings(router, &config);
        self.index.move_names(id, Some(router.config()), Some(&config));
        self.promote(promotes(&config, &environment), actions);
        environment.listening = self.listen(id, config.vrid, socket);
        let mut config = config;
        self.move_router(now, id, actions, |router, known, known_routing, out| {
            router.reconfigure(now, &mut config, tracked, environment, known, out);
            router.reconfigure_routing(known_routing, out);
        });
        config
    }

    fn promote(&mut self, link: Option<InterfaceIndex>, actions: &mut Actions) {
        actions.promote.extend(link.filter(|link| self.promoted.insert(*link)));
    }

    /// Tells a router what may change its addresses or the links that they are on.
    fn move_router(
        &mut self,
        now: Now,
        id: RouterId,
        actions: &mut Actions,
        tell: impl FnOnce(
            &mut VirtualRouter,
            &dyn Fn(AddressKey) -> Option<bool>,
            &dyn Fn(RoutingKey) -> Option<bool>,
            &mut Output<'_>,
        ),
    ) {
        let (before, routing) = (self.address_keys(id), self.routing_keys(id));
        self.with_router_and_kernel(now, id, actions, |router, kernel, out| {
            tell(router, &|key| kernel.holds(key), &|key| kernel.holds_routing(key), out);
        });
        self.index.move_addresses(id, &before, &self.address_keys(id));
        let routing_now = self.routing_keys(id);
        self.routing.shift(Requester::Router(id), &routing, &routing_now);
    }

    fn address_keys(&self, id: RouterId) -> Vec<AddressKey> {
        self.routers.get(&id).map(|router| router.address_keys().collect()).unwrap_or_default()
    }

    pub(super) fn routing_keys(&self, id: RouterId) -> Vec<RoutingKey> {
        self.routers.get(&id).map(|router| router.routing_keys().collect()).unwrap_or_default()
    }

    /// A router is no more.
    pub(super) fn forget_router(&mut self, id: RouterId) -> Option<Box<VirtualRouter>> {
        let router = self.routers.remove(&id)?;
        self.index.move_names(id, Some(router.config()), None);
        let addresses: Vec<AddressKey> = router.address_keys().collect();
        self.index.move_addresses(id, &addresses, &[]);
        let routing: Vec<RoutingKey> = router.routing_keys().collect();
        self.routing.shift(Requester::Router(id), &routing, &[]);
        self.listen(id, router.config().vrid, None);
        self.timers.set(id, None);
        Some(router)
    }

    /// An address came or went that may be somebody's source: of those who take it from the link if `changes_source`.
    pub(super) fn update_sources(
        &mut self,
        now: Now,
        (link, prefix): AddressKey,
        changes_source: bool,
        actions: &mut Actions,
    ) {
        let configured = self.index.of_source(&prefix.address()).to_vec();
        if !configured.is_empty() {
            self.update_routers(now, configured, actions);
        }
        if !changes_source {
            return;
        }
        self.links.find_locals(&self.kernel, actions);
        if let Some(name) = self.kernel.link(link).map(|link| link.name.clone()) {
            self.update_names(now, &[&name], actions);
        }
    }
}

/// What a router is told of an interface.
const fn interface(link: &Link, usable: bool) -> Interface {
    let (ipv6_forwarding, mtu, on_top) = (link.forwarding.ipv6, link.mtu, link.stacked.is_some());
    Interface {
        key: link.key,
        mac: link.mac,
        usable,
        admin_up: link.admin_up,
        vrf_table: link.vrf_table,
        ipv6_forwarding,
        mtu,
        on_top,
        pace: None,
    }
}

/// The interface on which no address shall take others along, on behalf of a router.
fn promotes(config: &RouterConfig, environment: &Environment) -> Option<InterfaceIndex> {
    let interface = environment.interface(&config.interfaces.addresses);
    interface.filter(|_| config.promote_secondaries).map(|interface| interface.key)
}
