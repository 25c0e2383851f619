//! One virtual server and its real servers.

use core::num::NonZeroU32;
use std::sync::Arc;

use super::balancer::{inherited_weight, service};
use super::check::Checks;
use super::fields::{boolean, number, position, text};
use crate::config::diagnostics::Diagnostic;
use crate::config::model;
use crate::config::source::Position;
use crate::config::values::{At, Flag, OptionalNatural, Reading, VirtualServerKey};
use crate::kernel::Script;
use crate::kernel::ipvs::{
    ForwardingMethod, HostPort, Persistence, PersistenceGranularity, Protocol, Scheduler, SchedulerFlags,
};
use crate::lvs::{
    Quorum, QuorumNotifications, RealServer, RealServerDetails, Service, SorryServer, VirtualServer,
};
use crate::net::Family;

fn fault(reading: &Reading<'_>, code: &'static str, at: Position, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(code, message).at(reading.sources.word_at(at))
}

/// A virtual server without its real servers.
pub(super) fn virtual_server(
    reading: &Reading<'_>,
    block: &model::VirtualServer,
    checks: &mut Checks,
) -> Option<VirtualServer> {
    let at = block.header.at;
    let protocol = protocol(reading, block);
    let mut server = VirtualServer::new(service(block, protocol)?);
    if let (VirtualServerKey::Endpoint(endpoint), Some(entry)) = (&block.header.value, &block.ip_family)
        && Some(Family::of(&endpoint.address)) != named_family(block)
    {
        reading.diagnostics.push(
            fault(reading, "family", entry.at, format!("{} is not of this family", endpoint.address))
                .note("`ip_family` is ignored: it is for firewall marks"),
        );
    }
    server.scheduler = scheduler(reading, block);
    server.scheduler_flags = scheduler_flags(reading, block);
    server.method = method(block.lvs_method.as_ref()).unwrap_or_else(|| {
        reading.diagnostics.push(
            fault(reading, "no-method", at, "this virtual server has no lvs_method")
                .note("NAT is used")
                .help("write lvs_method NAT, DR or TUN"),
        );
        ForwardingMethod::Nat
    });
    if let Some(entry) = &block.ops {
        server.one_packet = protocol == Protocol::Udp;
        if !server.one_packet {
            reading.diagnostics.push(
                fault(reading, "ops-without-udp", entry.at, "one-packet scheduling is for UDP")
                    .note("`ops` is ignored"),
            );
        }
    }
    server.persistence = persistence(reading, block, &server.service);
    server.ha_suspend = block.ha_suspend.is_some();
    server.alpha = block.alpha.is_some();
    server.omega = block.omega.is_some();
    server.smtp_alert = boolean(block.smtp_alert.as_ref());
    server.notifications = QuorumNotifications {
        up: script(reading, checks, block.quorum_up.as_ref()),
        down: script(reading, checks, block.quorum_down.as_ref()),
    };
    server.snmp_name = text(block.snmp_name.as_ref()).map(|name| checks.names.share(name));
    server.sorry_server = sorry_server(reading, block, &server);
    Some(server)
}

fn script(reading: &Reading<'_>, checks: &mut Checks, entry: Option<&At<Script>>) -> Option<Arc<Script>> {
    checks.scripts.read(reading, entry?)
}

fn protocol(reading: &Reading<'_>, block: &model::VirtualServer) -> Protocol {
    match (&block.protocol, &block.header.value) {
        (Some(entry), VirtualServerKey::Mark(_)) => {
            protocol_of_mark(reading, entry.at);
            Protocol::Udp
        }
        (Some(entry), _) => entry.value,
        (None, VirtualServerKey::Endpoint(_)) => {
            reading.diagnostics.push(
                fault(reading, "no-protocol", block.header.at, "this virtual server has no protocol")
                    .note("UDP is used")
                    .help("write protocol TCP, UDP or SCTP"),
            );
            Protocol::Udp
        }
        (None, _) => Protocol::Udp,
    }
}

/// Reports a protocol where packets are chosen by their mark.
pub(super) fn protocol_of_mark(reading: &Reading<'_>, at: Position) {
    reading.diagnostics.push(
        fault(reading, "protocol-of-mark", at, "a service of a firewall mark has no protocol")
            .note("`protocol` is ignored"),
    );
}

/// Reports a service of all ports that is not persistent.
pub(super) fn needs_persistence(reading: &Reading<'_>, at: Position) {
    reading.diagnostics.push(
        fault(
            reading,
            "no-port",
            at,
            "a virtual server without port serves all ports, which needs persistence",
        )
        .note(format!("a persistence of {} seconds is used", Persistence::DEFAULT_TIMEOUT_S))
        .help("write a port, or persistence_timeout"),
    );
}

/// `ip_family`.
pub(super) fn named_family(block: &model::VirtualServer) -> Option<Family> {
    block.ip_family.as_ref().map(|entry| entry.value)
}

fn scheduler(reading: &Reading<'_>, block: &model::VirtualServer) -> Scheduler {
    block.lvs_sched.as_ref().map(|entry| entry.value).unwrap_or_else(|| {
        reading.diagnostics.push(
            fault(reading, "no-scheduler", block.header.at, "this virtual server has no lvs_sched")
                .note("wlc is used")
                .help("write lvs_sched rr, wrr, lc, wlc, lblc, lblcr, sh, mh, dh, sed, nq, fo, ovf or twos"),
        );
        Scheduler::default()
    })
}

/// Flags by number count always, those by name only after the scheduler they belong to.
fn scheduler_flags(reading: &Reading<'_>, block: &model::VirtualServer) -> SchedulerFlags {
    let hash_since = block.lvs_sched.as_ref().and_then(|entry| match entry.value {
        Scheduler::SourceHash | Scheduler::MaglevHash => Some(entry.at),
        _ => None,
    });
    let named = |field: &Option<At<Flag>>, name: &str| {
        let Some(entry) = field else { return false };
        let counts = hash_since.is_some_and(|since| since < entry.at);
        if !counts {
            reading.diagnostics.push(
                fault(
                    reading,
                    "flag-of-scheduler",
                    entry.at,
                    format!("`{name}` is for the schedulers sh and mh"),
                )
                .note("it is ignored")
                .help("write it after `lvs_sched sh` or `lvs_sched mh`"),
            );
        }
        counts
    };
    named(&block.hashed, "hashed");
    let port = named(&block.sh_port, "sh-port") | named(&block.mh_port, "mh-port");
    let fallback = named(&block.sh_fallback, "sh-fallback") | named(&block.mh_fallback, "mh-fallback");
    SchedulerFlags {
        first: block.flag_1.is_some() | fallback,
        second: block.flag_2.is_some() | port,
        third: block.flag_3.is_some(),
    }
}

/// `lvs_method`.
fn method(entry: Option<&At<ForwardingMethod>>) -> Option<ForwardingMethod> {
    entry.map(|entry| entry.value)
}

fn persistence(
    reading: &Reading<'_>,
    block: &model::VirtualServer,
    service: &Service,
) -> Option<Persistence> {
    let family = match service {
        Service::Address(target, _) => Some(Family::of(&target.address)),
        _ => None,
    };
    let granularity = block.persistence_granularity.as_ref().and_then(|entry| {
        let own = match entry.value {
            PersistenceGranularity::Ipv4(_) => Family::Ipv4,
            PersistenceGranularity::Ipv6(_) => Family::Ipv6,
        };
        if family.is_some_and(|family| family != own) {
            reading.diagnostics.push(
                Diagnostic::warning("family", format!("this granularity is for {own} services"))
                    .at(reading.sources.word_at(entry.at))
                    .note("it is ignored"),
            );
            return None;
        }
        Some(entry.value)
    });
    let timeout = block.persistence_timeout.as_ref().map(|entry| {
        let OptionalNatural(seconds) = entry.value;
        seconds.and_then(NonZeroU32::new).unwrap_or(Persistence::DEFAULT_TIMEOUT_S)
    });
    let any_port = matches!(service, Service::Address(HostPort { port: None, .. }, _));
    let wanted = timeout.is_some() || block.persistence_granularity.is_some();
    if any_port && !wanted {
        needs_persistence(reading, block.header.at);
    }
    let engine = block.persistence_engine.as_ref();
    if let (Some(entry), false) = (engine, wanted || any_port) {
        reading.diagnostics.push(
            Diagnostic::warning("engine-without-persistence", "`persistence_engine` has no effect alone")
                .at(reading.sources.word_at(entry.at))
                .help("write persistence_timeout"),
        );
    }
    (wanted || any_port).then(|| Persistence {
        timeout_s: timeout.unwrap_or(Persistence::DEFAULT_TIMEOUT_S),
        granularity,
        engine: engine.map(|entry| (&*entry.value.0).into()),
    })
}

fn sorry_server(
    reading: &Reading<'_>,
    block: &model::VirtualServer,
    server: &VirtualServer,
) -> Option<SorryServer> {
    let after = |at: Position, name: &str| {
        let counts = block.sorry_server.as_ref().is_some_and(|sorry| sorry.at < at);
        if !counts {
            reading.diagnostics.push(
                fault(reading, "without-sorry-server", at, format!("`{name}` needs a sorry_server above it"))
                    .note("it is ignored"),
            );
        }
        counts
    };
    let inhibit =
        block.sorry_server_inhibit.as_ref().is_some_and(|entry| after(entry.at, "sorry_server_inhibit"));
    let own =
        block.sorry_server_lvs_method.as_ref().filter(|entry| after(entry.at, "sorry_server_lvs_method"));
    let entry = block.sorry_server.as_ref()?;
    let mut sorry =
        SorryServer { target: entry.value, method: method(own).unwrap_or(server.method), inhibit };
    if let Service::Address(target, _) = &server.service {
        let tunnelled = matches!(sorry.method, ForwardingMethod::Tunnel(_));
        if Family::of(&target.address) != Family::of(&sorry.target.address) && !tunnelled {
            reading.diagnostics.push(
                fault(
                    reading,
                    "family",
                    entry.at,
                    format!("{} is not of the virtual server's family", sorry.target.address),
                )
                .note("the sorry server is ignored"),
            );
            return None;
        }
        if sorry.method.keeps_port() {
            sorry.target.port = target.port;
        }
    }
    Some(sorry)
}

/// Whether a real server is reached through a tunnel, which may be of the other family.
pub(super) const fn tunnelled(server: &RealServer) -> bool {
    matches!(server.method, ForwardingMethod::Tunnel(_))
}

/// A real server; `None` when its address does not fit, which is reported.
pub(super) fn real_server(
    reading: &Reading<'_>,
    outer: &model::VirtualServer,
    server: &VirtualServer,
    block: &model::RealServer,
    checks: &mut Checks,
) -> Option<RealServer> {
    let at = block.header.at;
    let mut real = RealServer {
        target: block.header.value,
        weight: number(block.weight.as_ref()).unwrap_or_else(|| inherited_weight(outer, at)),
        method: method(block.lvs_method.as_ref()).unwrap_or(server.method),
        inhibit_on_failure: boolean(block.inhibit_on_failure.as_ref())
            .unwrap_or_else(|| outer.inhibit_on_failure.is_some()),
        smtp_alert: boolean(block.smtp_alert.as_ref()),
        details: details(reading, block, checks),
    };
    let family = match &server.service {
        Service::Address(target, _) => Some(Family::of(&target.address)),
        Service::FirewallMark(mark) if outer.ip_family.is_some() || !server.real_servers.is_empty() => {
            Some(mark.family)
        }
        _ => None,
    };
    let own = Family::of(&real.target.address);
    if family.is_some_and(|family| family != own) && !tunnelled(&real) {
        reading.diagnostics.push(
            fault(
                reading,
                "family",
                at,
                format!("{} is not of the virtual server's family", real.target.address),
            )
            .label("ignored")
            .help("only tunnelled real servers (lvs_method TUN) may be of the other family"),
        );
        return None;
    }
    if real.method.keeps_port() {
        fix_port(reading, server, at, &mut real);
    }
    Some(real)
}

/// Without address translation a real server sees the virtual server's port.
fn fix_port(reading: &Reading<'_>, server: &VirtualServer, at: Position, real: &mut RealServer) {
    let Some(port) = real.target.port else { return };
    match &server.service {
        Service::Address(target, _) if target.port != Some(port) => {
            let wanted = target.port.map_or_else(|| "none".to_owned(), |port| port.to_string());
            reading.diagnostics.push(
                fault(
                    reading,
                    "port-differs",
                    at,
                    format!("port {port} is not the virtual server's ({wanted})"),
                )
                .note("only NAT changes ports: the virtual server's is used"),
            );
            real.target.port = target.port;
        }
        Service::FirewallMark(_) => {
            reading.diagnostics.push(
                fault(
                    reading,
                    "port-differs",
                    at,
                    "a service of a firewall mark has no port, nor its real servers",
                )
                .note("only NAT changes ports: the port is ignored"),
            );
            real.target.port = None;
        }
        _ => {}
    }
}

fn details(
    reading: &Reading<'_>,
    block: &model::RealServer,
    checks: &mut Checks,
) -> Option<Box<RealServerDetails>> {
    let rare = block.uthreshold.is_some()
        || block.lthreshold.is_some()
        || block.notify_up.is_some()
        || block.notify_down.is_some()
        || block.snmp_name.is_some();
    rare.then(|| {
        Box::new(RealServerDetails {
            upper_threshold: number(block.uthreshold.as_ref()).unwrap_or(0),
            lower_threshold: number(block.lthreshold.as_ref()).unwrap_or(0),
            notify_up: script(reading, checks, block.notify_up.as_ref()),
            notify_down: script(reading, checks, block.notify_down.as_ref()),
            snmp_name: text(block.snmp_name.as_ref()).map(|name| checks.names.share(name)),
        })
    })
}

/// What depends on all real servers: the quorum.
pub(super) fn settle(reading: &Reading<'_>, block: &model::VirtualServer, server: &mut VirtualServer) {
    let at = position(block.quorum.as_ref(), block.header.at);
    let total: u64 = server.real_servers.iter().map(|real| u64::from(real.weight)).sum();
    let mut weight = number(block.quorum.as_ref()).and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
    if u64::from(weight.get()) > total {
        let most = u32::try_from(total).ok().and_then(NonZeroU32::new);
        let note = match most {
            Some(most) => format!("{most} is used"),
            None => "it is never reached".to_owned(),
        };
        reading.diagnostics.push(
            fault(
                reading,
                "quorum",
                at,
                format!("a quorum of {weight} is above the weight of all real servers, {total}"),
            )
            .note(note),
        );
        weight = most.unwrap_or(weight);
    }
    let hysteresis = number(block.hysteresis.as_ref()).unwrap_or(0);
    server.quorum = Quorum::new(weight, hysteresis).unwrap_or_else(|| {
        let most = weight.get() - 1;
        reading.diagnostics.push(
            fault(
                reading,
                "hysteresis",
                position(block.hysteresis.as_ref(), at),
                format!("hysteresis {hysteresis} must be below the quorum, {weight}"),
            )
            .note(format!("{most} is used")),
        );
        Quorum::new(weight, most).unwrap_or(Quorum::ONE)
    });
}

/// A sorry server that is a real server too is taken out of service as that one is.
pub(super) fn settle_sorry_server(
    reading: &Reading<'_>,
    block: &model::VirtualServer,
    server: &mut VirtualServer,
) {
    let (Some(sorry), Some(entry)) = (&mut server.sorry_server, &block.sorry_server) else { return };
    let Some(real) = server.real_servers.iter().find(|real| real.target == sorry.target) else { return };
    if real.inhibit_on_failure == sorry.inhibit {
        return;
    }
    sorry.inhibit = real.inhibit_on_failure;
    let (is, used) = if sorry.inhibit { ("with", "set") } else { ("without", "cleared") };
    reading.diagnostics.push(
        fault(
            reading,
            "sorry-server-inhibit",
            entry.at,
            format!(
                "the sorry server {} is a real server too, which is {is} inhibit_on_failure",
                real.target
            ),
        )
        .note(format!("inhibiting is {used} for the sorry server"))
        .help("write sorry_server_inhibit and inhibit_on_failure both, or neither"),
    );
}
