//! What the director tells of itself, for people.

use std::collections::BTreeMap;

use super::director::{Director, Server};
use super::server::ServerState;
use super::{Advice, CheckId, Leaving, Ordered, RealServer, Service, VirtualServer};
use crate::kernel::ipvs::{HostPort, IpvsKey, ServiceKey};

/// A virtual server and its state.
#[derive(Debug)]
pub(crate) struct ServerView<'a> {
    /// What was configured.
    pub config: &'a VirtualServer,
    /// The services of the kernel that it has.
    pub members: &'a [ServiceKey],
    /// It has its quorum.
    pub up: bool,
    /// The weight of all real servers that live.
    pub live: u64,
    /// What is needed to gain the quorum, or to keep it.
    pub needed: u64,
    /// Its checks rest (`ha_suspend`).
    pub suspended: bool,
    /// Entries that are not wished for any more, and have connections.
    pub leaving: &'a BTreeMap<IpvsKey, Leaving>,
    /// Its real servers, in the order of the configuration.
    pub real_servers: Vec<RealServerView<'a>>,
}

/// A real server and its state.
#[derive(Debug)]
pub(crate) struct RealServerView<'a> {
    /// What was configured.
    pub config: &'a RealServer,
    /// All its checks are up.
    pub up: bool,
    /// The weight that it has while it is up.
    pub weight: u32,
    /// What an operator has ordered of it.
    pub order: Option<Ordered>,
    /// What decides about it.
    pub checks: Vec<CheckId>,
    /// What they say of its weight.
    pub advice: Vec<(CheckId, Advice)>,
    /// The weight that a predecessor left it with, until a check says more.
    pub adopted_weight: Option<u32>,
    /// Where it is in the kernel's table, if it is.
    pub destinations: Vec<(ServiceKey, HostPort)>,
}

impl Director {
    /// All virtual servers, in the order in which they were added.
    pub(crate) fn views(&self) -> impl Iterator<Item = ServerView<'_>> {
        self.servers.values().map(|Server { state, .. }| view(state))
    }

    /// The virtual server that has a service of the kernel.
    pub(crate) fn service_of(&self, key: ServiceKey) -> Option<&Service> {
        let server = self.servers.get(self.owners.get(&key)?)?;
        Some(&server.state.config.service)
    }
}

fn view(state: &ServerState) -> ServerView<'_> {
    let real_servers = state.servers().map(|(config, real)| RealServerView {
        config,
        up: real.is_up(),
        weight: real.weight(config),
        order: real.order,
        checks: real.checks.iter().map(|check| check.id).collect(),
        advice: real.checks.iter().map(|check| (check.id, check.advice)).collect(),
        adopted_weight: real.adopted_weight,
        destinations: state
            .members
            .iter()
            .filter_map(|member| Some((*member, ServerState::in_table(*member, config)?)))
            .collect(),
    });
    ServerView {
        config: &state.config,
        members: &state.members,
        up: state.quorum_up,
        live: state.live_weight(),
        needed: state.needed(),
        suspended: state.suspended,
        leaving: &state.leaving,
        real_servers: real_servers.collect(),
    }
}
