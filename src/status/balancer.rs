//! [`BalancerStatus`]: the answer of an lvs worker to `status`, for programs and, rendered, for people.

use core::fmt::Write as _;
use core::num::NonZeroU16;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::latency::Latencies;
use super::report::{DaemonStatus, span};
use crate::check::{CheckStatus, CheckerKind};
use crate::kernel::ipvs::{
    Connections, ForwardingMethod, HostPort, IpvsTable, ServiceKey, Statistics, Tunnel,
};
use crate::lvs::{Advice, CheckId, OrderState, Ordered, RealServerView, ServerView, Service};
use crate::notify::{Event, Object, of_real_server, of_virtual_server, service_name, target_name};
use crate::time::{Duration, Instant, WallTime, micros};

/// What an lvs worker tells of itself. Times are as in [`super::Status`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BalancerStatus {
    /// The process.
    pub(crate) daemon: DaemonStatus,
    /// The virtual servers, in the order in which they were added.
    pub(crate) virtual_servers: Vec<VirtualServerStatus>,
    /// Entries that the kernel's table has of those that it shall have.
    pub(crate) entries_held: usize,
    /// Those that it lacks.
    pub(crate) entries_lacking: usize,
}

/// One virtual server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct VirtualServerStatus {
    /// As keepalived names it: `[192.0.2.1]:tcp:80`, `FWM 7`, `[GROUP]:0`.
    pub(crate) name: String,
    /// Whether it has its quorum.
    pub(crate) up: bool,
    /// The weight of all real servers that live.
    pub(crate) live_weight: u64,
    /// What is needed to gain the quorum, or to keep it.
    pub(crate) needed_weight: u64,
    /// `quorum`.
    #[serde(default)]
    pub(crate) quorum: u32,
    /// `hysteresis`.
    #[serde(default)]
    pub(crate) hysteresis: u32,
    /// When it gained or lost its quorum last, and why; absent where that has not happened in this worker's life.
    #[serde(default)]
    pub(crate) changed: Option<StateChange>,
    /// `lvs_sched`.
    pub(crate) scheduler: String,
    /// The services of the kernel that it stands for.
    pub(crate) services: Vec<String>,
    /// `sorry_server`.
    pub(crate) sorry_server: Option<String>,
    /// Whether the sorry server stands in for all others.
    pub(crate) sorry: bool,
    /// Whether its checks rest because its address is elsewhere (`ha_suspend`).
    pub(crate) suspended: bool,
    /// Connections that were scheduled.
    pub(crate) connections: u64,
    /// Bytes from clients, and to them where these come back through the director.
    pub(crate) incoming_bytes: u64,
    pub(crate) outgoing_bytes: u64,
    /// What the kernel counts of each of its services.
    #[serde(default)]
    pub(crate) counted: Vec<Counted>,
    /// How long the tries of its checks took, since the worker started.
    #[serde(default)]
    pub(crate) latency: Latencies,
    /// The real servers, in the order of the configuration.
    pub(crate) real_servers: Vec<RealServerStatus>,
    /// Those that are not in it any more, and keep their connections for a while.
    #[serde(default)]
    pub(crate) leaving: Vec<LeavingStatus>,
}

/// When a state began, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StateChange {
    /// When.
    pub(crate) since_unix_us: u64,
    /// Why.
    pub(crate) cause: String,
}

/// A part of a real server's weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WeightPart {
    /// `configured`, `by command`, `of the worker before`, or the keyword of the check that says so.
    pub(crate) what: String,
    /// What it adds.
    pub(crate) weight: i64,
}

/// A real server that is not in the configuration any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LeavingStatus {
    /// Address and port.
    pub(crate) name: String,
    /// Connections that are waited for.
    pub(crate) connections: u64,
    /// Since when.
    pub(crate) since_unix_us: u64,
    /// When they are cut.
    pub(crate) limit_unix_us: u64,
}

/// What an operator has ordered of a real server.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct OrderStatus {
    /// How far it is.
    pub(crate) state: OrderWord,
    /// The weight that it demands.
    pub(crate) weight: u32,
    /// Connections that are waited for.
    #[serde(default)]
    pub(crate) connections: u64,
    /// Connections that were cut because the limit was over.
    #[serde(default)]
    pub(crate) cut: u64,
    /// Since when it holds.
    pub(crate) since_unix_us: u64,
    /// When it ends by itself, if it does.
    pub(crate) until_unix_us: Option<u64>,
    /// When connections that are left are cut, if they are.
    #[serde(default)]
    pub(crate) limit_unix_us: Option<u64>,
}

/// How far an order is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OrderWord {
    /// A weight holds.
    Weight,
    /// Connections are waited for.
    Draining,
    /// It is not in the kernel's table any more.
    Drained,
}

/// Of `orders`, and of `drain`, `weight` and `restore` for those that they concern.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Orders {
    /// Each real server in each virtual server.
    pub(crate) real_servers: Vec<RealServerOrder>,
}

/// What is ordered of one real server in one virtual server.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RealServerOrder {
    /// The virtual server's name.
    pub(crate) virtual_server: String,
    /// The real server's.
    pub(crate) real_server: String,
    /// What is in force.
    pub(crate) order: Option<OrderStatus>,
}

impl OrderStatus {
    /// Of an order that is in force.
    pub(crate) fn of(ordered: &Ordered, now: Instant, wall: WallTime) -> Self {
        let unix = |at: Instant| unix_us(at, now, wall);
        let Ordered { state, since, until } = *ordered;
        let status = Self {
            state: OrderWord::Weight,
            weight: 0,
            connections: 0,
            cut: 0,
            since_unix_us: unix(since),
            until_unix_us: until.map(unix),
            limit_unix_us: None,
        };
        match state {
            OrderState::Weight(weight) => Self { weight, ..status },
            OrderState::Draining { limit, left } => Self {
                state: OrderWord::Draining,
                connections: left,
                limit_unix_us: limit.map(unix),
                ..status
            },
            OrderState::Drained { cut } => Self { state: OrderWord::Drained, cut, ..status },
        }
    }

    /// The order that it is of.
    pub(crate) fn ordered(&self, now: Instant, wall: WallTime) -> Ordered {
        let wall = wall.as_unix_micros();
        let instant = |unix_us: u64| match unix_us.checked_sub(wall) {
            Some(later) => now + Duration::from_micros(later),
            None => now - Duration::from_micros(wall - unix_us),
        };
        let state = match self.state {
            OrderWord::Weight => OrderState::Weight(self.weight),
            OrderWord::Draining => {
                OrderState::Draining { limit: self.limit_unix_us.map(instant), left: self.connections }
            }
            OrderWord::Drained => OrderState::Drained { cut: self.cut },
        };
        Ordered { state, since: instant(self.since_unix_us), until: self.until_unix_us.map(instant) }
    }

    /// In words.
    pub(crate) fn text(&self, now_unix_us: u64) -> String {
        let for_another = |until: u64| span(until.saturating_sub(now_unix_us));
        let mut text = match self.state {
            OrderWord::Weight => format!("weight {} by command", self.weight),
            OrderWord::Draining => {
                let cut = self.limit_unix_us.map(|limit| format!(", cut in {}", for_another(limit)));
                format!(
                    "draining by command, {} connections left{}",
                    self.connections,
                    cut.unwrap_or_default()
                )
            }
            OrderWord::Drained if self.cut > 0 => format!("drained by command, {} connections cut", self.cut),
            OrderWord::Drained => "drained by command".to_owned(),
        };
        if let Some(until) = self.until_unix_us {
            text += &format!(", for another {}", for_another(until));
        }
        text
    }
}

/// A time of the engine's on the wall clock.
fn unix_us(at: Instant, now: Instant, wall: WallTime) -> u64 {
    let wall = wall.as_unix_micros().saturating_add(micros(at.saturating_since(now)));
    wall.saturating_sub(micros(now.saturating_since(at)))
}

/// One real server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RealServerStatus {
    /// As keepalived names it.
    pub(crate) name: String,
    /// `lvs_method`.
    pub(crate) method: String,
    /// Whether all its checks are up.
    pub(crate) up: bool,
    /// The weight that it has while it is up.
    pub(crate) weight: u32,
    /// `weight`.
    pub(crate) configured_weight: u32,
    /// What its weight is made of; a sum below 0 counts as 0.
    #[serde(default)]
    pub(crate) weight_parts: Vec<WeightPart>,
    /// When it went up or down last, and why; absent where that has not happened in this worker's life.
    #[serde(default)]
    pub(crate) changed: Option<StateChange>,
    /// What an operator has ordered of it.
    #[serde(default)]
    pub(crate) order: Option<OrderStatus>,
    /// `inhibit_on_failure`: it stays in the table with weight 0 while it is down.
    pub(crate) inhibits: bool,
    /// Whether the kernel's table has it.
    pub(crate) in_table: bool,
    /// Connections that are established now.
    pub(crate) active_connections: u64,
    /// Those that begin or end.
    pub(crate) inactive_connections: u64,
    /// Connections that were scheduled.
    pub(crate) connections: u64,
    /// What the kernel counts of it in each service.
    #[serde(default)]
    pub(crate) counted: Vec<Counted>,
    /// Its checks, in the order of the configuration.
    pub(crate) checks: Vec<CheckReport>,
}

/// What the kernel counts of a service, or of a real server in one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// Address and port, `192.0.2.1:80`; of marks `fwmark:7`.
    pub(crate) address: String,
    /// Number of the transport protocol; 0 for marks.
    pub(crate) protocol: u8,
    /// Connections that were scheduled.
    pub(crate) connections: u64,
    /// Packets from clients.
    pub(crate) incoming_packets: u64,
    /// Packets to clients, where these come back through the director.
    pub(crate) outgoing_packets: u64,
    /// Bytes from clients.
    pub(crate) incoming_bytes: u64,
    /// Bytes to clients, as above.
    pub(crate) outgoing_bytes: u64,
}

impl Counted {
    /// Of a service, or of this real server in it.
    fn of(service: ServiceKey, target: Option<HostPort>, counted: &Statistics) -> Self {
        let shown = |at: HostPort| format!("{}:{}", at.address, at.port.map_or(0, NonZeroU16::get));
        let (address, protocol) = match service {
            ServiceKey::Address(address, protocol) => (shown(address), protocol.number()),
            ServiceKey::FirewallMark(mark) => (format!("fwmark:{}", mark.mark), 0),
        };
        Self {
            address: target.map_or(address, shown),
            protocol,
            connections: counted.connections,
            incoming_packets: counted.incoming_packets,
            outgoing_packets: counted.outgoing_packets,
            incoming_bytes: counted.incoming_bytes,
            outgoing_bytes: counted.outgoing_bytes,
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CheckReport {
    /// Its keyword.
    pub(crate) kind: String,
    /// Whether the server is up as far as it goes; absent before the first result.
    pub(crate) up: Option<bool>,
    /// Whether it rests.
    pub(crate) suspended: bool,
    /// What the last try found.
    pub(crate) last: Option<LastTry>,
}

/// What the last try of a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LastTry {
    /// When.
    pub(crate) at_unix_us: u64,
    /// Whether it was good.
    pub(crate) good: bool,
    /// Why, in words.
    pub(crate) reason: String,
    /// From its start to its end.
    pub(crate) latency_us: u64,
    /// When the certificate that the server showed becomes invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate_expires_unix_us: Option<u64>,
}

/// What a [`BalancerStatus`] is made of.
pub(crate) struct Parts<'a> {
    pub(crate) now: Instant,
    pub(crate) wall: WallTime,
    pub(crate) checks: BTreeMap<CheckId, CheckStatus<'a, CheckId>>,
    pub(crate) table: &'a IpvsTable,
    /// How long tries of checks took.
    pub(crate) latencies: &'a BTreeMap<Service, Latencies>,
    /// Entries that are held and lacking.
    pub(crate) entries: (usize, usize),
    /// What was told last of each object.
    pub(crate) states: &'a BTreeMap<Object, Event>,
}

impl Parts<'_> {
    fn change(&self, object: &Object) -> Option<StateChange> {
        let event = self.states.get(object)?;
        Some(StateChange {
            since_unix_us: event.at.as_unix_micros(),
            cause: event.cause.clone().unwrap_or_default(),
        })
    }
}

impl BalancerStatus {
    /// Of all virtual servers.
    pub(crate) fn of<'a>(
        daemon: DaemonStatus,
        servers: impl Iterator<Item = ServerView<'a>>,
        parts: &Parts<'_>,
    ) -> Self {
        let of_destinations = parts.table.destinations.iter().map(|held| {
            let counted = (held.connections, held.statistics);
            ((held.service, held.target), counted)
        });
        let destinations: BTreeMap<_, _> = of_destinations.collect();
        let services: BTreeMap<_, _> =
            parts.table.services.iter().map(|held| (held.key, held.statistics)).collect();
        let (entries_held, entries_lacking) = parts.entries;
        let virtual_servers = servers.map(|server| {
            let ServerView { config, members, up, live, needed, suspended, leaving, real_servers } = server;
            let held = members.iter().filter_map(|member| services.get(member));
            let sum = |count: fn(&Statistics) -> u64| held.clone().map(count).sum();
            VirtualServerStatus {
                name: service_name(&config.service).to_string(),
                up,
                live_weight: live,
                needed_weight: needed,
                quorum: config.quorum.weight().get(),
                hysteresis: config.quorum.hysteresis(),
                changed: parts.change(&of_virtual_server(&config.service)),
                scheduler: config.scheduler.name().to_owned(),
                services: members.iter().map(ToString::to_string).collect(),
                sorry_server: config
                    .sorry_server
                    .map(|sorry| target_name(&config.service, sorry.target).to_string()),
                sorry: config.sorry_server.is_some() && !up,
                suspended,
                connections: sum(|counted| counted.connections),
                incoming_bytes: sum(|counted| counted.incoming_bytes),
                outgoing_bytes: sum(|counted| counted.outgoing_bytes),
                counted: members
                    .iter()
                    .filter_map(|member| Some(Counted::of(*member, None, services.get(member)?)))
                    .collect(),
                latency: parts.latencies.get(&config.service).cloned().unwrap_or_default(),
                real_servers: real_servers
                    .iter()
                    .map(|real| RealServerStatus {
                        name: target_name(&config.service, real.config.target).to_string(),
                        changed: parts.change(&of_real_server(&config.service, real.config.target)),
                        ..RealServerStatus::of(real, &destinations, parts)
                    })
                    .collect(),
                leaving: leaving
                    .iter()
                    .filter_map(|(key, leaving)| {
                        let unix = |at: Instant| unix_us(at, parts.now, parts.wall);
                        Some(LeavingStatus {
                            name: target_name(&config.service, key.destination?).to_string(),
                            connections: leaving.left,
                            since_unix_us: unix(leaving.since),
                            limit_unix_us: unix(leaving.limit),
                        })
                    })
                    .collect(),
            }
        });
        Self { daemon, virtual_servers: virtual_servers.collect(), entries_held, entries_lacking }
    }
}

type Destinations = BTreeMap<(ServiceKey, HostPort), (Connections, Statistics)>;

impl RealServerStatus {
    fn of(real: &RealServerView<'_>, destinations: &Destinations, parts: &Parts<'_>) -> Self {
        let held = real.destinations.iter().filter_map(|key| destinations.get(key));
        let sum = |count: fn(&(Connections, Statistics)) -> u64| held.clone().map(count).sum();
        Self {
            name: String::new(),
            method: method(real.config.method).to_owned(),
            up: real.up,
            weight: real.weight,
            configured_weight: real.config.weight,
            weight_parts: weight_parts(real, parts),
            changed: None,
            order: real.order.map(|order| OrderStatus::of(&order, parts.now, parts.wall)),
            inhibits: real.config.inhibit_on_failure,
            in_table: held.clone().next().is_some(),
            active_connections: sum(|(now, _)| now.active.into()),
            inactive_connections: sum(|(now, _)| now.inactive.into()),
            connections: sum(|(_, counted)| counted.connections),
            counted: real
                .destinations
                .iter()
                .filter_map(|key| Some(Counted::of(key.0, Some(key.1), &destinations.get(key)?.1)))
                .collect(),
            checks: real
                .checks
                .iter()
                .filter_map(|id| parts.checks.get(id))
                .map(|check| CheckReport::of(check, parts))
                .collect(),
        }
    }
}

/// What a weight is made of, as the director sums it up.
fn weight_parts(real: &RealServerView<'_>, parts: &Parts<'_>) -> Vec<WeightPart> {
    let part = |what: &str, weight: i64| WeightPart { what: what.to_owned(), weight };
    if real.order.is_some() {
        return vec![part("by command", real.weight.into())];
    }
    if let Some(adopted) = real.adopted_weight {
        return vec![part("of the worker before", adopted.into())];
    }
    let configured = i64::from(real.config.weight);
    let of_check = |(id, advice): &(CheckId, Advice)| {
        let weight = match *advice {
            Advice::Keep => return None,
            Advice::Set(weight) => i64::from(weight) - configured,
            Advice::Add(weight) => weight,
        };
        Some(part(check_keyword(&parts.checks.get(id)?.checker.kind), weight))
    };
    [part("configured", configured)].into_iter().chain(real.advice.iter().filter_map(of_check)).collect()
}

impl CheckReport {
    fn of(check: &CheckStatus<'_, CheckId>, parts: &Parts<'_>) -> Self {
        let last = check.last.map(|last| LastTry {
            at_unix_us: unix_us(last.at, parts.now, parts.wall),
            good: last.good,
            reason: last.reason.to_string(),
            latency_us: micros(last.latency),
            certificate_expires_unix_us: last.certificate_expires.map(WallTime::as_unix_micros),
        });
        Self {
            kind: check_keyword(&check.checker.kind).to_owned(),
            up: check.up,
            suspended: check.suspended,
            last,
        }
    }
}

const fn method(method: ForwardingMethod) -> &'static str {
    match method {
        ForwardingMethod::Nat => "NAT",
        ForwardingMethod::DirectRouting => "DR",
        ForwardingMethod::Tunnel(Tunnel::Ipip) => "TUN",
        ForwardingMethod::Tunnel(Tunnel::Gre { .. }) => "TUN (gre)",
        ForwardingMethod::Tunnel(Tunnel::Gue { .. }) => "TUN (gue)",
    }
}

/// Of a check, in the configuration.
pub(crate) fn check_keyword(kind: &CheckerKind) -> &'static str {
    match kind {
        CheckerKind::Tcp(_) => "TCP_CHECK",
        CheckerKind::Http(http) if http.tls.is_some() => "SSL_GET",
        CheckerKind::Http(_) => "HTTP_GET",
        CheckerKind::Smtp(_) => "SMTP_CHECK",
        CheckerKind::Dns(_) => "DNS_CHECK",
        CheckerKind::Udp(_) => "UDP_CHECK",
        CheckerKind::Ping(_) => "PING_CHECK",
        CheckerKind::Misc(_) => "MISC_CHECK",
        CheckerKind::File(_) => "FILE_CHECK",
        CheckerKind::Bfd(_) => "BFD_CHECK",
    }
}

/// The whole text. `now_unix_us` is the reader's wall clock; `only` names one virtual server.
pub(crate) fn text(status: &BalancerStatus, now_unix_us: u64, only: Option<&str>) -> String {
    let BalancerStatus { daemon, virtual_servers, entries_held, entries_lacking } = status;
    let mut text = String::new();
    let real: usize = virtual_servers.iter().map(|server| server.real_servers.len()).sum();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "lvs worker, process {}, {} virtual servers, {real} real servers, running for {}",
        daemon.pid,
        virtual_servers.len(),
        span(now_unix_us.saturating_sub(daemon.started_unix_us))
    );
    let lacking =
        if *entries_lacking > 0 { format!(", {entries_lacking} are missing") } else { String::new() };
    let _ = writeln!(text, "the kernel has {entries_held} entries{lacking}");
    for server in virtual_servers.iter().filter(|server| only.is_none_or(|name| name == server.name)) {
        text.push('\n');
        let _ = write_server(&mut text, server, now_unix_us);
    }
    text
}

fn write_server(text: &mut String, server: &VirtualServerStatus, now_unix_us: u64) -> core::fmt::Result {
    let word = |up: bool| if up { "UP" } else { "DOWN" };
    writeln!(
        text,
        "VS {}: {}, weight {} of {} needed, {}{}",
        server.name,
        word(server.up),
        server.live_weight,
        server.needed_weight,
        server.scheduler,
        if server.suspended { ", checks rest: its address is elsewhere" } else { "" }
    )?;
    if let Some(sorry) = &server.sorry_server {
        let serves = if server.sorry { "serves" } else { "waits" };
        writeln!(text, "  sorry server {sorry} {serves}")?;
    }
    for real in &server.real_servers {
        let configured = match real.weight == real.configured_weight {
            true => String::new(),
            false => format!(" (configured {})", real.configured_weight),
        };
        let ordered = real.order.as_ref().map(|order| format!(", {}", order.text(now_unix_us)));
        let ordered = ordered.unwrap_or_default();
        writeln!(
            text,
            "  RS {}: {}, weight {}{configured}{ordered}, {}, {} active, {} inactive connections{}",
            real.name,
            word(real.up),
            real.weight,
            real.method,
            real.active_connections,
            real.inactive_connections,
            if real.in_table { "" } else { ", not in the table" }
        )?;
        for check in &real.checks {
            write!(text, "    {}", check.kind)?;
            match &check.last {
                None => writeln!(text, ": no result yet")?,
                Some(last) => {
                    let ago = span(now_unix_us.saturating_sub(last.at_unix_us));
                    let latency = span(last.latency_us);
                    write!(text, ": {} {ago} ago, in {latency}", last.reason)?;
                    if let Some(expires) = last.certificate_expires_unix_us {
                        match expires.checked_sub(now_unix_us) {
                            Some(left) => write!(text, ", certificate expires in {}", span(left))?,
                            None => write!(text, ", CERTIFICATE EXPIRED")?,
                        }
                    }
                    writeln!(text)?;
                }
            }
        }
    }
    for leaving in &server.leaving {
        writeln!(
            text,
            "  RS {}: not in the configuration any more, weight 0, {} connections left, cut in {}",
            leaving.name,
            leaving.connections,
            span(leaving.limit_unix_us.saturating_sub(now_unix_us))
        )?;
    }
    Ok(())
}
