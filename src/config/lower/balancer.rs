//! `virtual_server`, `virtual_server_group`, `SSL`: what the load balancer is told.
//!
//! Virtual servers are read one by one as they come, so that a large file never has all of them twice in
//! memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::check::{Checks, Inherited};
use super::fields::{number, text};
use super::order::{Defined, duplicate};
use super::server;
use crate::check::{CheckAssignment, TlsClient};
use crate::config::diagnostics::Diagnostic;
use crate::config::model::{self, Config};
use crate::config::source::Position;
use crate::config::values::{Reading, VirtualServerKey};
use crate::kernel::ipvs::{FirewallMark, HostPort, Persistence};
use crate::lvs::{GroupMember, RealServer, RealServerKey, Service, VirtualServer, VirtualServerGroup};
use crate::net::Family;
use crate::node::BalancerConfig;

/// The load balancer while it is read.
#[derive(Debug, Default)]
pub(super) struct Balancer {
    config: BalancerConfig,
    /// What checks share.
    pub(super) checks: Checks,
    services: HashMap<Service, Position>,
    targets: HashSet<HostPort>,
    /// Virtual servers of groups, which are looked at again when the groups are known: by group.
    of_groups: BTreeMap<Arc<str>, Vec<OfGroup>>,
}

/// A virtual server of a group.
#[derive(Clone, Copy, Debug)]
struct OfGroup {
    index: usize,
    at: Position,
    protocol: Option<Position>,
    servers: Reached,
}

/// Which families real servers have that are not reached through a tunnel, and the first of each.
#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    ipv4: Option<Position>,
    ipv6: Option<Position>,
    /// There is one that is, which serves both families.
    tunnelled: bool,
}

impl Reached {
    fn note(&mut self, server: &RealServer, at: Position) {
        if server::tunnelled(server) {
            self.tunnelled = true;
            return;
        }
        match Family::of(&server.target.address) {
            Family::Ipv4 => self.ipv4.get_or_insert(at),
            Family::Ipv6 => self.ipv6.get_or_insert(at),
        };
    }

    const fn first(&self, family: Family) -> Option<Position> {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }
}

impl Balancer {
    /// Takes a virtual server.
    pub(super) fn add(&mut self, reading: &Reading<'_>, defined: &Defined, block: &model::VirtualServer) {
        let at = block.header.at;
        let Some(mut server) = server::virtual_server(reading, block, &mut self.checks) else { return };
        let Ok(index) = u32::try_from(self.config.virtual_servers.len()) else { return };
        let checks_before = self.config.checks.len();
        let mut reached = Reached::default();
        self.targets.clear();
        server.real_servers.reserve_exact(block.real_servers.len());
        for real in &block.real_servers {
            let Some(lowered) = self.real_server(reading, block, &server, real) else { continue };
            // A firewall mark has the family of its first real server unless it names one.
            if let (Service::FirewallMark(mark), true, None) =
                (&mut server.service, server.real_servers.is_empty(), &block.ip_family)
                && !server::tunnelled(&lowered)
            {
                mark.family = Family::of(&lowered.target.address);
            }
            let key = RealServerKey {
                virtual_server: index,
                real_server: u32::try_from(server.real_servers.len()).unwrap_or(u32::MAX),
            };
            reached.note(&lowered, real.header.at);
            server.real_servers.push(lowered);
            let inherited = Inherited::new(block, real);
            let list = &mut self.config.checks;
            self.checks.of_server(reading, defined, real, &inherited, |checker| {
                list.push(CheckAssignment { server: key, checker });
            });
        }
        if server.real_servers.is_empty() {
            reading.diagnostics.push(
                Diagnostic::error("no-real-servers", "this virtual server has no real servers")
                    .at(reading.sources.word_at(at))
                    .label("ignored")
                    .help("write a real_server block in it"),
            );
        } else if self.is_new(reading, &server.service, at) {
            server::settle(reading, block, &mut server);
            server::settle_sorry_server(reading, block, &mut server);
            if let Service::Group(name, _) = &server.service {
                let entry = OfGroup {
                    index: self.config.virtual_servers.len(),
                    at,
                    protocol: block.protocol.as_ref().map(|entry| entry.at),
                    servers: reached,
                };
                self.of_groups.entry(Arc::clone(name)).or_default().push(entry);
            }
            server.real_servers.shrink_to_fit();
            self.config.virtual_servers.push(server);
            return;
        }
        self.config.checks.truncate(checks_before);
    }

    /// A real server that can be used with its virtual server.
    fn real_server(
        &mut self,
        reading: &Reading<'_>,
        outer: &model::VirtualServer,
        server: &VirtualServer,
        block: &model::RealServer,
    ) -> Option<RealServer> {
        let real = server::real_server(reading, outer, server, block, &mut self.checks)?;
        if self.targets.insert(real.target) {
            return Some(real);
        }
        let first = outer.real_servers.iter().find(|other| other.header.value == block.header.value);
        let diagnostic = Diagnostic::error(
            "duplicate-real-server",
            format!("this virtual server has the real server {} twice", real.target),
        )
        .at(reading.sources.word_at(block.header.at))
        .label("ignored");
        reading.diagnostics.push(match first {
            Some(first) => diagnostic.related(reading.sources.word_at(first.header.at), "first defined here"),
            None => diagnostic,
        });
        None
    }

    fn is_new(&mut self, reading: &Reading<'_>, service: &Service, at: Position) -> bool {
        let Some(first) = self.services.get(service) else {
            self.services.insert(service.clone(), at);
            return true;
        };
        // keepalived drops it in silence.
        reading.diagnostics.push(
            Diagnostic::warning("duplicate-virtual-server", "this virtual server is defined twice")
                .at(reading.sources.word_at(at))
                .label("ignored")
                .related(reading.sources.word_at(*first), "first defined here"),
        );
        false
    }

    /// The whole, once everything is read.
    pub(super) fn finish(mut self, reading: &Reading<'_>, config: &Config) -> (BalancerConfig, Checks) {
        self.config.groups = groups(reading, config);
        self.config.tls = config.ssl.last().map(|ssl| Arc::new(tls(ssl)));
        for ssl in config.ssl.iter().skip(1) {
            reading.diagnostics.push(
                Diagnostic::error("set-twice", "there are two SSL blocks: the last one counts")
                    .at(reading.sources.word_at(ssl.header.at)),
            );
        }
        for (name, servers) in &self.of_groups {
            let group = self.config.groups.iter().find(|group| group.name == *name);
            for entry in servers {
                let Some(server) = self.config.virtual_servers.get_mut(entry.index) else { continue };
                match group {
                    Some(group) => fit_group(reading, group, server, entry),
                    None => reading.diagnostics.push(
                        // keepalived says nothing and serves nothing.
                        Diagnostic::warning(
                            "no-such-name",
                            format!("there is no virtual_server_group `{name}`"),
                        )
                        .at(reading.sources.word_at(entry.at))
                        .note("this virtual server serves nothing"),
                    ),
                }
            }
        }
        self.config.virtual_servers.shrink_to_fit();
        self.config.checks.shrink_to_fit();
        (self.config, self.checks)
    }
}

/// What follows for a virtual server from the members of its group.
fn fit_group(reading: &Reading<'_>, group: &VirtualServerGroup, server: &mut VirtualServer, entry: &OfGroup) {
    let any_port = group
        .members
        .iter()
        .any(|member| matches!(member, GroupMember::Addresses { first: HostPort { port: None, .. }, .. }));
    if any_port && server.persistence.is_none() {
        server::needs_persistence(reading, entry.at);
        server.persistence =
            Some(Persistence { timeout_s: Persistence::DEFAULT_TIMEOUT_S, granularity: None, engine: None });
    }
    unfit_port(reading, group, server, entry.at);
    let only_marks = group.members.iter().all(|member| matches!(member, GroupMember::FirewallMark(_)));
    if let (true, Some(at)) = (only_marks, entry.protocol) {
        server::protocol_of_mark(reading, at);
    }
    // keepalived hands all of them to the kernel, which refuses those that do not fit.
    for family in [Family::Ipv4, Family::Ipv6] {
        let served = group.members.iter().any(|member| member.family() == family);
        let diagnostic = match (served, entry.servers.first(family)) {
            (false, Some(at)) => Diagnostic::warning(
                "family",
                format!(
                    "the virtual_server_group `{}` has no {family} member for this real server",
                    group.name
                ),
            )
            .at(reading.sources.word_at(at))
            .label("gets no connections")
            .help("only tunnelled real servers (lvs_method TUN) may be of the other family"),
            (true, None) if !entry.servers.tunnelled => Diagnostic::warning(
                "family",
                format!(
                    "the virtual_server_group `{}` has {family} members, but no real server here is {family}",
                    group.name
                ),
            )
            .at(reading.sources.word_at(entry.at))
            .help(format!("write a real_server with an {family} address, or take the {family} members out")),
            _ => continue,
        };
        reading.diagnostics.push(diagnostic);
    }
}

/// Reports a real server with a port that is not that of all members: only NAT changes ports.
fn unfit_port(reading: &Reading<'_>, group: &VirtualServerGroup, server: &VirtualServer, at: Position) {
    for real in server.real_servers.iter().filter(|real| real.method.keeps_port()) {
        let Some(port) = real.target.port else { continue };
        let differs = group.members.iter().find_map(|member| match member {
            GroupMember::Addresses { first, .. } if first.port != Some(port) => {
                Some((format!("that of {first}"), "the member's is used"))
            }
            GroupMember::Addresses { .. } => None,
            GroupMember::FirewallMark(_) => Some(("for its firewall mark".to_owned(), "it is ignored there")),
        });
        if let Some((what, used)) = differs {
            let (target, group) = (real.target, &group.name);
            reading.diagnostics.push(
                Diagnostic::error(
                    "port-differs",
                    format!("the port of {target} is not {what} in the group `{group}`"),
                )
                .at(reading.sources.word_at(at))
                .note(format!("only NAT changes ports: {used}"))
                .help("write real servers without port, or lvs_method NAT"),
            );
            return;
        }
    }
}

fn groups(reading: &Reading<'_>, config: &Config) -> Vec<VirtualServerGroup> {
    let mut known: BTreeMap<&str, Position> = BTreeMap::new();
    let mut groups = Vec::new();
    for block in &config.virtual_server_groups {
        let (name, at) = (&*block.header.value.0, block.header.at);
        if let Some(first) = known.get(name) {
            duplicate(reading, "virtual_server_group", name, at, *first, false);
            continue;
        }
        known.insert(name, at);
        let members: Vec<GroupMember> = block.endpoints.iter().map(|entry| entry.value).collect();
        if members.is_empty() {
            reading.diagnostics.push(
                Diagnostic::error("empty-group", format!("the virtual_server_group `{name}` has no members"))
                    .at(reading.sources.word_at(at))
                    .label("ignored"),
            );
            continue;
        }
        groups.push(VirtualServerGroup { name: name.into(), members });
    }
    groups
}

fn tls(ssl: &model::Ssl) -> TlsClient {
    let path = |field| text(field).map(Into::into);
    TlsClient {
        authorities: path(ssl.ca.as_ref()),
        certificate: path(ssl.certificate.as_ref()),
        key: path(ssl.key.as_ref()),
        password: ssl.password.as_ref().map(|entry| entry.value.0.clone()),
    }
}

/// What a virtual server serves, as its header says.
pub(super) fn service(
    block: &model::VirtualServer,
    protocol: crate::kernel::ipvs::Protocol,
) -> Option<Service> {
    Some(match &block.header.value {
        VirtualServerKey::Endpoint(endpoint) => Service::Address(*endpoint, protocol),
        VirtualServerKey::Mark(mark) => Service::FirewallMark(FirewallMark {
            mark: *mark,
            family: server::named_family(block).unwrap_or(Family::Ipv4),
        }),
        VirtualServerKey::Group(name) => Service::Group((&**name).into(), protocol),
    })
}

/// A weight that a real server inherits: the virtual server's, if it stands above.
pub(super) fn inherited_weight(outer: &model::VirtualServer, at: Position) -> u32 {
    match &outer.weight {
        Some(entry) if entry.at < at => number(Some(entry)).unwrap_or(1),
        _ => 1,
    }
}
