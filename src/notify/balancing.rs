//! Who is told of virtual and real servers: from the news of the director to events.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::account::{Told, hook};
use super::event::{Event, Object, Word};
use super::fifo;
use crate::kernel::Script;
use crate::kernel::ipvs::HostPort;
use crate::lvs::{News, Service};
use crate::time::WallTime;

/// Turns news of the director into events.
#[derive(Debug, Default)]
pub(crate) struct BalancerAccount {
    /// `smtp_alert_checker`, else `smtp_alert`.
    mail: Option<bool>,
    /// The last state of each object.
    states: BTreeMap<Object, Event>,
}

impl BalancerAccount {
    /// What holds for servers that do not say themselves whether mail tells of them.
    pub(crate) const fn set_mail(&mut self, mail: Option<bool>) {
        self.mail = mail;
    }

    /// What each object is, as far as it was told.
    pub(crate) const fn states(&self) -> &BTreeMap<Object, Event> {
        &self.states
    }

    /// Forgets those that a new configuration does not have.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Object) -> bool) {
        self.states.retain(|object, _| keep(object));
    }

    /// The event that it is, if anybody may hear of it.
    pub(crate) fn take(&mut self, at: WallTime, news: &News) -> Option<Told> {
        let told = match news {
            News::RealServer { service, target, up, reason, script, mail } => {
                let object = of_real_server(service, *target);
                let keyword = if *up { "notify_up" } else { "notify_down" };
                // keepalived tells of real servers by mail unless it is told not to.
                let has_mail = mail.or(self.mail).unwrap_or(true);
                told(object, *up, reason, (keyword, script.as_ref()), has_mail, at)
            }
            News::Quorum { service, up, live, needed, reason, script, mail } => {
                let object = of_virtual_server(service);
                let keyword = if *up { "quorum_up" } else { "quorum_down" };
                let word = if *up { "Gained" } else { "Lost" };
                let reason: Arc<str> = format!("{word} quorum: {live} of {needed} live ({reason})").into();
                let has_mail = mail.or(self.mail).unwrap_or(false);
                told(object, *up, &reason, (keyword, script.as_ref()), has_mail, at)
            }
            News::Weight { .. }
            | News::Order { .. }
            | News::Leaving { .. }
            | News::Left { .. }
            | News::Suspended { .. }
            | News::Repaired { .. }
            | News::Refused(_)
            | News::AlreadyServed { .. }
            | News::LeftOver(_) => return None,
        };
        fifo::note(&mut self.states, &told.event);
        Some(told)
    }
}

/// A virtual server in keepalived's words; `[GROUP]:0` of a group.
pub(crate) fn of_virtual_server(service: &Service) -> Object {
    Object::VirtualServer(service_name(service))
}

/// A real server in keepalived's words.
pub(crate) fn of_real_server(service: &Service, target: HostPort) -> Object {
    Object::RealServer(target_name(service, target), service_name(service))
}

/// A virtual server as keepalived names it: `[192.0.2.1]:tcp:80`, `FWM 12`, `[GROUP]:0`.
pub(crate) fn service_name(service: &Service) -> Arc<str> {
    match service {
        Service::Address(..) => service.to_string().into(),
        Service::FirewallMark(mark) => format!("FWM {}", mark.mark).into(),
        Service::Group(name, _) => format!("[{name}]:0").into(),
    }
}

/// A real server of it, likewise.
pub(crate) fn target_name(service: &Service, target: HostPort) -> Arc<str> {
    match service {
        Service::Address(_, protocol) | Service::Group(_, protocol) => {
            Service::Address(target, *protocol).to_string().into()
        }
        Service::FirewallMark(_) => {
            let port = target.port.map_or(0, core::num::NonZeroU16::get);
            format!("[{}]:none:{port}", target.address).into()
        }
    }
}

fn told(
    object: Object,
    up: bool,
    reason: &Arc<str>,
    (keyword, script): (&'static str, Option<&Arc<Script>>),
    has_mail: bool,
    at: WallTime,
) -> Told {
    let event = Event {
        object,
        word: if up { Word::Up } else { Word::Down },
        priority: 0,
        from: None,
        cause: Some(reason.to_string()),
        at,
        is_last: false,
    };
    let hooks = hook(keyword, script).into_iter().collect();
    Told { event: Arc::new(event), hooks, has_line: true, has_mail }
}
