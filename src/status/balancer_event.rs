//! What has happened to virtual servers, from the news of the director, for the operator.

use std::sync::Arc;

use super::event::What;
use crate::kernel::ipvs::{HostPort, ServiceKey};
use crate::lvs::{News, Order, OrderNews, Service, VirtualServer};
use crate::notify::{service_name, target_name};
use crate::time::Duration;

/// Something that happened to a virtual server.
#[derive(Clone, Debug)]
pub(crate) struct BalancerHappening {
    /// Its name, as far as it is known.
    pub(crate) virtual_server: Option<Arc<str>>,
    /// The real server's, if it concerns one.
    pub(crate) real_server: Option<Arc<str>>,
    /// What.
    pub(crate) what: What,
}

/// What the operator is told of news: of a lost quorum also that the sorry server stands in. `of` finds the virtual server
/// of a service of the kernel, `configured` its configuration.
pub(crate) fn happenings<'a>(
    news: &News,
    of: impl Fn(ServiceKey) -> Option<&'a Service>,
    configured: impl Fn(&Service) -> Option<&'a VirtualServer>,
) -> Vec<BalancerHappening> {
    match news {
        News::RealServer { service, target, up, reason, .. } => {
            let (up, cause) = (*up, reason.to_string());
            vec![of_target(service, *target, |name, real_server| What::RealServer {
                name,
                real_server,
                up,
                cause,
            })]
        }
        News::Weight { service, target, from, to } => {
            let (from, to) = (*from, *to);
            vec![of_target(service, *target, |name, real_server| What::Weight {
                name,
                real_server,
                from,
                to,
            })]
        }
        News::Order { service, target, what } => {
            let (what, cut, text) = order(*what);
            vec![of_target(service, *target, |name, real_server| What::Drain {
                name: Some(name),
                real_server,
                what: what.to_owned(),
                cut,
                text,
            })]
        }
        News::Leaving { key, limit } => {
            let text = format!(
                "not in the configuration any more, no new connections; those that it has are waited for, for at most {} s",
                limit.as_secs()
            );
            leaving(of(key.service), key.destination, "leave-begun", 0, text)
        }
        News::Left { key, cut, after } => {
            leaving(of(key.service), key.destination, "leave-ended", *cut, ended("removed", *cut, *after))
        }
        News::Quorum { service, up, live, needed, reason, .. } => {
            let name = service_name(service);
            let quorum = What::Quorum {
                name: name.to_string(),
                up: *up,
                live_weight: *live,
                needed_weight: *needed,
                cause: reason.to_string(),
            };
            let mut told =
                vec![BalancerHappening { virtual_server: Some(name), real_server: None, what: quorum }];
            if let Some(sorry) = configured(service).and_then(|server| server.sorry_server) {
                let (serves, cause) = (!up, format!("quorum {}", if *up { "gained" } else { "lost" }));
                told.push(of_target(service, sorry.target, |name, real_server| What::SorryServer {
                    name,
                    real_server,
                    serves,
                    cause,
                }));
            }
            told
        }
        News::Suspended { service, suspended } => {
            let (what, text) = match suspended {
                true => ("checks-rest", "its checks rest: its address is not on this host (ha_suspend)"),
                false => ("checks-go-on", "its checks go on: its address is on this host (ha_suspend)"),
            };
            vec![report(Some(service_name(service)), what, text.to_owned())]
        }
        News::Repaired { key, times } => {
            let service = of(key.service);
            let name = service.map(service_name);
            let entry = key.to_string();
            let what = What::Drift { name: name.as_deref().map(str::to_owned), entry, times: *times };
            let real_server =
                service.zip(key.destination).map(|(service, target)| target_name(service, target));
            vec![BalancerHappening { virtual_server: name, real_server, what }]
        }
        News::Refused(refusal) => {
            vec![report(None, "refused", format!("{refusal}; it is tried again"))]
        }
        News::AlreadyServed { service, key } => {
            let text = format!("it does without {key}: another virtual server further up has it");
            vec![report(Some(service_name(service)), "already-served", text)]
        }
        News::LeftOver(count) => {
            let text =
                format!("{count} entries that the worker before has left and nobody wants are removed");
            vec![report(None, "left-over", text)]
        }
    }
}

fn of_target(
    service: &Service,
    target: HostPort,
    what: impl FnOnce(String, String) -> What,
) -> BalancerHappening {
    let (name, real) = (service_name(service), target_name(service, target));
    let what = what(name.to_string(), real.to_string());
    BalancerHappening { virtual_server: Some(name), real_server: Some(real), what }
}

fn report(name: Option<Arc<str>>, what: &str, text: String) -> BalancerHappening {
    let what = What::Report { name: name.as_deref().map(str::to_owned), what: what.to_owned(), text };
    BalancerHappening { virtual_server: name, real_server: None, what }
}

/// A word, the connections that were cut, and a sentence.
fn order(what: OrderNews) -> (&'static str, u64, String) {
    match what {
        OrderNews::Given(Order::Weight(weight)) => {
            ("weight-ordered", 0, format!("told to have weight {weight}"))
        }
        OrderNews::Given(Order::Drain { limit }) => {
            let limit = limit.map(|limit| format!(", for at most {} s", limit.as_secs()));
            ("drain-begun", 0, format!("told to drain{}", limit.unwrap_or_default()))
        }
        OrderNews::Drained { cut, after } => ("drain-ended", cut, ended("drained", cut, after)),
        OrderNews::Over { timed: true } => {
            ("restored", 0, "serves as configured again: the time of the order is over".to_owned())
        }
        OrderNews::Over { timed: false } => {
            ("restored", 0, "serves as configured again: told to restore it".to_owned())
        }
    }
}

fn ended(word: &str, cut: u64, after: Duration) -> String {
    let seconds = after.as_secs_f64();
    match cut {
        0 => format!("{word} after {seconds:.1} s, all connections are over"),
        _ => format!("{word} after {seconds:.1} s, and {cut} connections are cut: the limit is over"),
    }
}

/// Of an entry whose virtual server may have left, too.
fn leaving(
    service: Option<&Service>,
    target: Option<HostPort>,
    what: &str,
    cut: u64,
    text: String,
) -> Vec<BalancerHappening> {
    let Some(target) = target else { return Vec::new() };
    let name = service.map(service_name);
    let real = service.map_or_else(|| target.to_string().into(), |service| target_name(service, target));
    let what = What::Drain {
        name: name.as_deref().map(str::to_owned),
        real_server: real.to_string(),
        what: what.to_owned(),
        cut,
        text,
    };
    vec![BalancerHappening { virtual_server: name, real_server: Some(real), what }]
}
