//! One virtual server: which of its real servers live, whether that is enough, and what the kernel shall hold of it.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::action::{Advice, CheckId, News, Verdict};
use super::config::{RealServer, RealServerDetails, VirtualServer};
use super::drain::Leaving;
use super::order::{OrderState, Ordered};
use crate::kernel::ipvs::{
    DestinationSettings, ForwardingMethod, HostPort, IpvsEntry, IpvsKey, PersistenceGranularity, ServiceKey,
    ServiceSettings,
};
use crate::net::Family;

/// The kernel's largest weight.
const WEIGHT_MAX: u32 = i32::MAX as u32;

/// A virtual server and its state.
#[derive(Clone, Debug)]
pub(super) struct ServerState {
    /// What was configured.
    pub config: VirtualServer,
    /// The services of the kernel that it has.
    pub members: Vec<ServiceKey>,
    /// Its real servers, in the order of the configuration.
    pub real_servers: Vec<RealServerState>,
    /// Enough of them live.
    pub quorum_up: bool,
    /// Its checks rest (`ha_suspend`).
    pub suspended: bool,
    /// Entries that are not wished for any more, and have connections.
    pub leaving: BTreeMap<IpvsKey, Leaving>,
}

/// A real server's state.
#[derive(Clone, Debug, Default)]
pub(super) struct RealServerState {
    /// What decides about it. It is up while all of these are.
    pub checks: Vec<CheckState>,
    /// What was told of it last; `None` while its first checks are waited for.
    pub told: Option<bool>,
    /// The weight that a predecessor left it with, until a check says more.
    pub adopted_weight: Option<u32>,
    /// What an operator has ordered.
    pub order: Option<Ordered>,
}

/// What is known of a check.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckState {
    pub id: CheckId,
    pub up: bool,
    /// It has been made at least once.
    pub has_run: bool,
    /// What it says of the weight.
    pub advice: Advice,
}

impl RealServerState {
    /// All checks are up.
    pub(super) fn is_up(&self) -> bool {
        self.checks.iter().all(|check| check.up)
    }

    /// The weight that it has while it is up.
    pub(super) fn weight(&self, config: &RealServer) -> u32 {
        if let Some(order) = self.order {
            return order.weight();
        }
        if let Some(adopted) = self.adopted_weight {
            return adopted;
        }
        let configured = i64::from(config.weight);
        let added = self.checks.iter().map(|check| match check.advice {
            Advice::Keep => 0,
            // As in keepalived, what several checks say adds up.
            Advice::Set(weight) => i64::from(weight) - configured,
            Advice::Add(weight) => weight,
        });
        let sum = added.fold(configured, i64::saturating_add);
        u32::try_from(sum.clamp(0, WEIGHT_MAX.into())).unwrap_or(WEIGHT_MAX)
    }

    /// Takes over what a check found.
    pub(super) fn note(&mut self, id: CheckId, verdict: Verdict) {
        for check in self.checks.iter_mut().filter(|check| check.id == id) {
            check.has_run = true;
            match verdict {
                Verdict::Up(advice) => {
                    (check.up, check.advice) = (true, advice);
                    self.adopted_weight = None;
                }
                Verdict::Down => check.up = false,
            }
        }
    }
}

impl ServerState {
    /// The real servers with their states.
    pub(super) fn servers(&self) -> impl DoubleEndedIterator<Item = (&RealServer, &RealServerState)> {
        self.config.real_servers.iter().zip(&self.real_servers)
    }

    /// A real server's state.
    pub(super) fn real_server(&mut self, target: HostPort) -> Option<&mut RealServerState> {
        let at = self.config.real_servers.iter().position(|config| config.target == target)?;
        self.real_servers.get_mut(at)
    }

    /// The weight of all that live.
    pub(super) fn live_weight(&self) -> u64 {
        let live = self.servers().filter(|(_, state)| state.is_up());
        live.map(|(config, state)| u64::from(state.weight(config))).sum()
    }

    /// What is needed to gain the quorum, or to keep it.
    pub(super) fn needed(&self) -> u64 {
        let (weight, hysteresis) = (self.config.quorum.weight().get(), self.config.quorum.hysteresis());
        if self.quorum_up {
            // Below the quorum, so that this is at least 1.
            u64::from(weight - hysteresis)
        } else {
            u64::from(weight) + u64::from(hysteresis)
        }
    }

    /// Takes over what a check found of a real server. Whether that changes anything.
    pub(super) fn on_check(
        &mut self,
        at: usize,
        check: CheckId,
        verdict: Verdict,
        reason: &Arc<str>,
        news: &mut Vec<News>,
    ) -> bool {
        let (Some(config), Some(state)) = (self.config.real_servers.get(at), self.real_servers.get_mut(at))
        else {
            return false;
        };
        let before = (state.is_up(), state.weight(config));
        state.note(check, verdict);
        let after = (state.is_up(), state.weight(config));
        let is_told = match state.told {
            Some(told) => told == after.0,
            // Of a new one a failure is told at once, and that it is up when nothing more is waited for.
            None if after.0 => !state.checks.iter().all(|check| check.has_run),
            None => verdict != Verdict::Down,
        };
        if before.0 && after.0 && before.1 != after.1 {
            let (service, target) = (self.config.service.clone(), config.target);
            news.push(News::Weight { service, target, from: before.1, to: after.1 });
        }
        if !is_told {
            news.extend(self.tell_real_server(at, after.0, reason));
        }
        before != after
    }

    /// That a real server is up or down.
    pub(super) fn tell_real_server(&mut self, at: usize, up: bool, reason: &Arc<str>) -> Option<News> {
        let (config, state) = (self.config.real_servers.get(at)?, self.real_servers.get_mut(at)?);
        state.told = Some(up);
        let details = config.details.as_deref();
        let script =
            details.and_then(|details| if up { &details.notify_up } else { &details.notify_down }.clone());
        Some(News::RealServer {
            service: self.config.service.clone(),
            target: config.target,
            up,
            reason: Arc::clone(reason),
            script,
            mail: config.smtp_alert,
        })
    }

    /// Whether the quorum was gained or lost.
    pub(super) fn weigh(&mut self, reason: &Arc<str>, news: &mut Vec<News>) {
        let up = self.live_weight() >= self.needed();
        if up != self.quorum_up {
            news.push(self.quorum_news(up, reason));
            self.quorum_up = up;
        }
    }

    /// That the quorum is gained or lost.
    pub(super) fn quorum_news(&self, up: bool, reason: &Arc<str>) -> News {
        let notifications = &self.config.notifications;
        News::Quorum {
            service: self.config.service.clone(),
            up,
            live: self.live_weight(),
            needed: self.needed(),
            reason: Arc::clone(reason),
            script: if up { &notifications.up } else { &notifications.down }.clone(),
            mail: self.config.smtp_alert,
        }
    }

    /// Whether its addresses are among these; a firewall mark has none to miss.
    pub(super) fn is_here(&self, is_local: impl Fn(&IpAddr) -> bool) -> bool {
        self.members.iter().any(|member| match member {
            ServiceKey::Address(target, _) => is_local(&target.address),
            ServiceKey::FirewallMark(_) => true,
        })
    }

    /// What the kernel shall hold.
    pub(super) fn wishes(&self) -> BTreeMap<IpvsKey, IpvsEntry> {
        let mut wishes = BTreeMap::new();
        let mut add = |entry: IpvsEntry| _ = wishes.insert(entry.key(), entry);
        for member in &self.members {
            add(IpvsEntry::Service(*member, self.settings(member.family())));
            // Of two real servers that are one to the kernel the first counts.
            for (config, state) in self.servers().rev() {
                if let (Some(target), Some(weight)) =
                    (Self::in_table(*member, config), self.weight_in_table(config, state))
                {
                    add(IpvsEntry::Destination(*member, target, settings_of(config, weight)));
                }
            }
            if let Some((target, settings)) = self.sorry_in_table(*member) {
                add(IpvsEntry::Destination(*member, target, settings));
            }
        }
        for (key, leaving) in &self.leaving {
            if let Some(target) = key.destination {
                let entry = || IpvsEntry::Destination(key.service, target, leaving.settings);
                wishes.entry(*key).or_insert_with(entry);
            }
        }
        wishes
    }

    /// A real server as a destination of a member; `None` where that cannot reach it.
    pub(super) fn in_table(member: ServiceKey, config: &RealServer) -> Option<HostPort> {
        let RealServer { target, method, .. } = *config;
        reaches(member, target, method).then(|| destination(member, target, method))
    }

    /// The weight that a real server has in the table; `None` when it is not there.
    pub(super) fn weight_in_table(&self, config: &RealServer, state: &RealServerState) -> Option<u32> {
        let replaced = !self.quorum_up && self.config.sorry_server.is_some();
        match state.order.map(|order| order.state) {
            Some(OrderState::Drained { .. }) => return None,
            // Its connections go on beside the sorry server's.
            Some(OrderState::Draining { .. }) if state.is_up() => return Some(0),
            _ => {}
        }
        if state.is_up() && !replaced {
            Some(state.weight(config))
        } else {
            config.inhibit_on_failure.then_some(0)
        }
    }

    fn sorry_in_table(&self, member: ServiceKey) -> Option<(HostPort, DestinationSettings)> {
        let sorry = self.config.sorry_server?;
        let needed = !self.quorum_up;
        let is_wanted = (needed || sorry.inhibit) && reaches(member, sorry.target, sorry.method);
        let target = destination(member, sorry.target, sorry.method);
        // As long as it is not needed, it may be a real server like others.
        let is_real = || {
            let mut held =
                self.servers().filter(|(config, state)| self.weight_in_table(config, state).is_some());
            held.any(|(config, _)| destination(member, config.target, config.method) == target)
        };
        if !is_wanted || !needed && is_real() {
            return None;
        }
        let weight = u32::from(needed);
        Some((target, DestinationSettings { weight, method: sorry.method, ..DestinationSettings::default() }))
    }

    fn settings(&self, family: Family) -> ServiceSettings {
        let config = &self.config;
        let mut persistence = config.persistence.clone();
        if let Some(persistence) = &mut persistence {
            let fits = |granularity: &PersistenceGranularity| {
                granularity.family() == family && !granularity.is_each_client()
            };
            persistence.granularity = persistence.granularity.filter(fits);
        }
        ServiceSettings {
            scheduler: config.scheduler,
            scheduler_flags: config.scheduler_flags,
            one_packet: config.one_packet,
            persistence,
        }
    }
}

pub(super) fn settings_of(config: &RealServer, weight: u32) -> DestinationSettings {
    let thresholds = |details: &RealServerDetails| (details.upper_threshold, details.lower_threshold);
    let (upper_threshold, lower_threshold) = config.details.as_deref().map_or((0, 0), thresholds);
    DestinationSettings { weight, method: config.method, upper_threshold, lower_threshold }
}

/// Whether packets of a service reach a server: only tunnels lead to the other family.
fn reaches(service: ServiceKey, target: HostPort, method: ForwardingMethod) -> bool {
    service.family() == Family::of(&target.address) || matches!(method, ForwardingMethod::Tunnel(_))
}

/// A server as a destination: with the service's port where it has none of its own, or cannot have one.
pub(super) fn destination(service: ServiceKey, target: HostPort, method: ForwardingMethod) -> HostPort {
    let of_service = match service {
        ServiceKey::Address(HostPort { port, .. }, _) => port,
        ServiceKey::FirewallMark(_) => None,
    };
    let port = if method.keeps_port() { of_service } else { target.port.or(of_service) };
    HostPort { port, ..target }
}
