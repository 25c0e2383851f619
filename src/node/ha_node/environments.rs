//! What each router needs to know of the interfaces it works on, and who is concerned by one.

use core::net::IpAddr;
use std::collections::BTreeSet;

use super::{HaNode, Phase};
use crate::kernel::{ReceiveSocket, RouterId};
use crate::net::{InterfaceName, LinkKey};
use crate::time::Now;
use crate::vrrp::{
    Actions, Destinations, Environment, Interface, Listening, Output, RouterConfig, SocketRequest,
    VirtualRouter,
};

impl HaNode {
    /// Opens the sockets that routers need and closes those that none needs.
    pub(super) fn sync_sockets(&mut self, actions: &mut Actions) {
        let sockets = self.routers.values().filter_map(|router| self.socket_of(router.config()));
        let wanted: BTreeSet<ReceiveSocket> = sockets.collect();
        self.sockets.retain(|socket, _| {
            let keep = wanted.contains(socket);
            if !keep {
                actions.sockets.push(SocketRequest::Close(*socket));
            }
            keep
        });
        for socket in wanted {
            self.sockets.entry(socket).or_insert_with(|| {
                actions.sockets.push(SocketRequest::Open(socket));
                Listening::Pending
            });
        }
    }

    fn socket_of(&self, config: &RouterConfig) -> Option<ReceiveSocket> {
        let link = self.kernel.link_by_name(&config.interfaces.receive)?.key;
        let address = match &config.destinations {
            Destinations::Multicast(group) => *group,
            Destinations::Unicast(_) => self.source_of(config, None)?,
        };
        Some(ReceiveSocket { link, address })
    }

    fn source_of(&self, config: &RouterConfig, current: Option<IpAddr>) -> Option<IpAddr> {
        let link = self.kernel.link_by_name(&config.interfaces.transmit)?.key;
        config.source.or_else(|| self.kernel.source(link, config.family, current))
    }

    pub(super) fn environment_of(&self, router: &VirtualRouter, config: &RouterConfig) -> Environment {
        let socket = self.socket_of(config);
        Environment {
            interfaces: self.interfaces_of(config),
            source: self.source_of(config, router.source()),
            listening: socket.and_then(|socket| self.sockets.get(&socket).copied()).unwrap_or_default(),
        }
    }

    fn interfaces_of(&self, config: &RouterConfig) -> Vec<(InterfaceName, Interface)> {
        let mut interfaces: Vec<(InterfaceName, Interface)> = Vec::with_capacity(1);
        for name in config.interface_names() {
            if let Some(interface) = self.kernel.interface(name)
                && !interfaces.iter().any(|(known, _)| known == name)
            {
                interfaces.push((name.clone(), interface));
            }
        }
        interfaces
    }

    /// Tells routers what they need to know of their interfaces: those that use the interface of that name,
    /// or all.
    pub(super) fn update_environments(
        &mut self,
        now: Now,
        name: Option<&InterfaceName>,
        actions: &mut Actions,
    ) {
        let ids: Vec<RouterId> = match name {
            Some(name) => self.by_name.get(name).into_iter().flatten().copied().collect(),
            None => self.routers.keys().copied().collect(),
        };
        if ids.is_empty() && name.is_some() {
            return;
        }
        for &id in &ids {
            let environment =
                self.routers.get(&id).map(|router| self.environment_of(router, router.config()));
            let Some(environment) = environment else { continue };
            let Some(router) = self.routers.get_mut(&id) else { continue };
            let mut out = Output { actions, announcements: &mut self.announcements };
            let holds = |link, prefix| self.kernel.holds(link, prefix);
            router.set_environment(now, environment, &holds, &mut out);
            if self.phase == Phase::Running {
                router.start(now, &mut out);
            }
            self.settle(now, id, actions);
        }
        self.index_links();
    }

    /// An address came or went that may be somebody's source.
    pub(super) fn update_sources(
        &mut self,
        now: Now,
        link: LinkKey,
        changes_source: bool,
        actions: &mut Actions,
    ) {
        if changes_source && let Some(name) = self.kernel.link(link).map(|link| link.name.clone()) {
            self.update_environments(now, Some(&name), actions);
        }
    }

    pub(super) fn index_names(&mut self) {
        self.by_name.clear();
        for router in self.routers.values() {
            for name in router.config().interface_names() {
                self.by_name.entry(name.clone()).or_default().insert(router.id());
            }
        }
    }

    fn index_links(&mut self) {
        self.by_vrid.clear();
        self.by_address.clear();
        self.by_subnet.clear();
        for router in self.routers.values() {
            let config = router.config();
            if let Some(link) = self.kernel.link_by_name(&config.interfaces.receive) {
                self.by_vrid.entry((link.key, config.family, config.vrid)).or_default().push(router.id());
            }
            for key in router.address_keys() {
                let (link, prefix) = key;
                self.by_address.entry(key).or_default().push(router.id());
                let subnet = (link, prefix.network(), prefix.length());
                self.by_subnet.entry(subnet).or_default().insert(router.id());
            }
        }
    }
}
