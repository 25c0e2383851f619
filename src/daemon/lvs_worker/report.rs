//! What happens, for the log: in keepalived's words where it has some.

use super::LvsWorker;
use crate::check::{Outcome, OutcomeKind};
use crate::lvs::{CheckId, News, Order, OrderNews, Service, VirtualServer};
use crate::notify::{service_name, target_name};
use crate::status::{Happening, check_keyword, happenings};
use crate::time::WallTime;

/// Writes down what the director tells of a virtual server.
fn log(news: &News, server: Option<&VirtualServer>) {
    match news {
        News::RealServer { service, target, up, reason, .. } => {
            // Whether it stays in the table when it is down.
            let mut real = server.into_iter().flat_map(|server| &server.real_servers);
            let inhibits = real.any(|real| real.target == *target && real.inhibit_on_failure);
            let (verb, joined) = match (up, inhibits) {
                (true, false) => ("Adding", "to"),
                (true, true) => ("Enabling", "in"),
                (false, false) => ("Removing", "from"),
                (false, true) => ("Disabling", "in"),
            };
            let (target, name) = (target_name(service, *target), service_name(service));
            let text = format!("{verb} service {target} {joined} VS {name}: {reason}");
            if *up { tracing::info!("{text}") } else { tracing::warn!("{text}") }
        }
        News::Weight { service, target, from, to } => tracing::info!(
            "Changing weight from {from} to {to} for service {} of VS {}",
            target_name(service, *target),
            service_name(service)
        ),
        News::Order { service, target, what } => {
            let (target, name) = (target_name(service, *target), service_name(service));
            match what {
                OrderNews::Given(Order::Weight(weight)) => {
                    tracing::info!("told to give weight {weight} to service {target} of VS {name}");
                }
                OrderNews::Given(Order::Drain { limit }) => {
                    let limit = limit.map(|limit| format!(", for at most {} s", limit.as_secs()));
                    let limit = limit.unwrap_or_default();
                    tracing::info!("told to drain service {target} of VS {name}{limit}");
                }
                OrderNews::Drained { cut: 0, after } => {
                    tracing::info!(
                        "Drained service {target} of VS {name} after {:.1} s",
                        after.as_secs_f64()
                    );
                }
                OrderNews::Drained { cut, after } => tracing::warn!(
                    "Drained service {target} of VS {name}: {cut} connections are cut, the limit of {:.0} s is over",
                    after.as_secs_f64()
                ),
                OrderNews::Over { timed } => tracing::info!(
                    "service {target} of VS {name} serves as configured again: {}",
                    if *timed { "the time of the order is over" } else { "told to restore it" }
                ),
            }
        }
        News::Leaving { key, limit } => tracing::info!(
            "{key} is not in the configuration any more: no new connections, those that it has are waited for, for at most \
             {} s",
            limit.as_secs()
        ),
        News::Left { key, cut: 0, after } => {
            tracing::info!("{key} is removed, its connections are over after {:.1} s", after.as_secs_f64());
        }
        News::Left { key, cut, after } => tracing::warn!(
            "{key} is removed, and {cut} connections of it are cut: the limit of {:.0} s is over",
            after.as_secs_f64()
        ),
        News::Quorum { service, up, live, needed, .. } => {
            let name = service_name(service);
            let (weight, hysteresis) = server.map_or((*needed, 0), |server| {
                (server.quorum.weight().get().into(), server.quorum.hysteresis().into())
            });
            let sorry =
                server.and_then(|server| server.sorry_server).map(|sorry| target_name(service, sorry.target));
            if *up {
                tracing::info!(
                    "Gained quorum {weight}+{hysteresis}={} <= {live} for VS {name}",
                    weight + hysteresis
                );
            } else {
                let kept = weight.saturating_sub(hysteresis);
                tracing::warn!("Lost quorum {weight}-{hysteresis}={kept} > {live} for VS {name}");
            }
            match (sorry, up) {
                (Some(sorry), false) => {
                    tracing::warn!("Adding sorry server {sorry} to VS {name}");
                    tracing::info!("Removing alive servers from the pool for VS {name}");
                }
                (Some(sorry), true) => {
                    tracing::info!("Adding alive servers to the pool for VS {name}");
                    tracing::info!("Removing sorry server {sorry} from VS {name}");
                }
                (None, _) => {}
            }
        }
        News::Suspended { service, suspended: true } => {
            let name = service_name(service);
            tracing::info!(
                "Suspending the checks of VS {name}: its address is not on this host (ha_suspend)"
            );
        }
        News::Suspended { service, suspended: false } => {
            let name = service_name(service);
            tracing::info!("Activating the checks of VS {name}: its address is on this host (ha_suspend)");
        }
        News::Repaired { key, times } => tracing::warn!(
            "somebody removed or changed {key}: it is put right{}",
            if *times > 1 { format!(", for the {times}th time") } else { String::new() }
        ),
        News::Refused(refusal) => tracing::error!("{refusal}; it is tried again"),
        News::AlreadyServed { service, key } => tracing::error!(
            "VS {} does without {key}: another virtual server further up has it",
            service_name(service)
        ),
        News::LeftOver(count) => {
            tracing::warn!("removing {count} entries that the worker before has left and nobody wants");
        }
    }
}

impl LvsWorker<'_> {
    /// Writes down what the director tells.
    pub(super) fn report(&self, news: &News) {
        let service = match news {
            News::RealServer { service, .. } | News::Quorum { service, .. } => Some(service),
            _ => None,
        };
        let server = service.and_then(|service| self.config.virtual_servers.get(*self.index.get(service)?));
        log(news, server);
    }

    /// Keeps what the director tells for the operator.
    pub(super) fn note_event(&mut self, at: WallTime, news: &News) {
        let configured = |service: &Service| self.config.virtual_servers.get(*self.index.get(service)?);
        for happening in happenings(news, |key| self.node.service_of(key), configured) {
            self.events.note(at, Happening::Balancer(happening));
        }
    }

    /// What came of a check.
    pub(super) fn report_outcome(&self, outcome: &Outcome<CheckId>) {
        let Outcome { key, checker, kind, up, reason, latency, .. } = outcome;
        let Some((service, target)) = self.node.of_check(*key) else { return };
        let (name, of) = (target_name(service, target), service_name(service));
        let what = check_keyword(&checker.kind);
        let ms = latency.as_millis();
        match kind {
            OutcomeKind::First | OutcomeKind::Changed if *up => {
                tracing::info!("{what} on service {name} succeeded ({ms} ms) for VS {of}");
            }
            OutcomeKind::First | OutcomeKind::Changed => {
                tracing::warn!("{what} on service {name} failed: {reason}, for VS {of}");
            }
            OutcomeKind::Weight => {}
            OutcomeKind::Forgiven { failures, retry } => {
                let logs = checker.timing.log_all_failures.unwrap_or(self.settings.lvs.log_all_failures);
                if logs {
                    tracing::info!(
                        "{what} on service {name} failed, {failures} of {retry} retries: {reason}, for VS {of}"
                    );
                }
            }
        }
    }
}
