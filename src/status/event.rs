//! What has happened, as it is kept for the operator and told through the control socket.

use core::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::balancer_event::BalancerHappening;
use super::report::ReloadStatus;
use crate::time::WallTime;
use crate::vrrp::{Cause, FaultReason, GroupTransition, News, Report, State, Transition};

/// Something that happened in a worker.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// The protocol core said so.
    News(News),
    /// Something of a virtual server.
    Balancer(BalancerHappening),
    /// A reload was answered.
    Reload(ReloadStatus),
    /// The operator gave an order, or the daemon began or ended something, in words.
    Said(String),
}

impl Happening {
    /// The virtual router, sync group or virtual server concerned, if it concerns one.
    pub(crate) fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Balancer(happening) => happening.virtual_server.as_ref(),
            Self::News(News::Transition(Transition { name, .. }))
            | Self::News(News::GroupTransition(GroupTransition { name, .. }))
            | Self::News(News::LowerPriorityReceived { router: name, .. })
            | Self::News(News::Report(Report { router: name, .. })) => Some(name).filter(|of| !of.is_empty()),
            Self::Reload(_) | Self::Said(_) => None,
        }
    }

    /// The real server concerned, if it concerns one.
    pub(crate) const fn real_server(&self) -> Option<&Arc<str>> {
        match self {
            Self::Balancer(happening) => happening.real_server.as_ref(),
            Self::News(_) | Self::Reload(_) | Self::Said(_) => None,
        }
    }
}

/// An event as programs read it. New members and kinds may be added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EventRecord {
    /// Counts the worker's events, from 1.
    pub(crate) number: u64,
    /// When, in microseconds since 1970.
    pub(crate) at_unix_us: u64,
    /// What.
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum What {
    /// A virtual router changed its state.
    Transition {
        /// Its name.
        name: String,
        /// Before: `INIT`, `BACKUP`, `MASTER`, `FAULT` or `MAINTENANCE`.
        from: String,
        /// After.
        to: String,
        /// Why.
        cause: String,
        /// Its effective priority at that moment.
        priority: u8,
    },
    /// A sync group changed its state.
    GroupTransition {
        /// Its name.
        name: String,
        /// Before.
        from: String,
        /// After.
        to: String,
        /// Why, and because of which member.
        cause: String,
    },
    /// A master has heard another one of lower priority.
    LowerPriorityHeard {
        /// Name of the virtual router.
        name: String,
        /// Its effective priority.
        priority: u8,
    },
    /// Something else that an operator wants to read: of peers, trackers, addresses.
    Report {
        /// Name of the virtual router, if it concerns one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// A word for its kind, for programs.
        what: String,
        /// For people.
        text: String,
    },
    /// A real server of a virtual server went up or down.
    RealServer {
        /// Name of the virtual server.
        name: String,
        /// Its own name.
        real_server: String,
        /// Whether all its checks succeed.
        up: bool,
        /// Why.
        cause: String,
    },
    /// A live real server has another weight.
    Weight {
        /// Name of the virtual server.
        name: String,
        /// Of the real server.
        real_server: String,
        /// Before.
        from: u32,
        /// From now on.
        to: u32,
    },
    /// An order for a real server was given, obeyed or is over; or one that left the configuration is waited for.
    Drain {
        /// Name of the virtual server, where it is in the configuration still.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Of the real server.
        real_server: String,
        /// `drain-begun`, `drain-ended`, `weight-ordered`, `restored`, `leave-begun` or `leave-ended`.
        what: String,
        /// Connections that were cut.
        cut: u64,
        /// For people.
        text: String,
    },
    /// A virtual server gained or lost its quorum.
    Quorum {
        /// Its name.
        name: String,
        /// Whether it has it now.
        up: bool,
        /// The weight of all real servers that live.
        live_weight: u64,
        /// What was needed to gain it, or not to lose it.
        needed_weight: u64,
        /// Why.
        cause: String,
    },
    /// The sorry server of a virtual server stands in for all others from now on, or no longer.
    SorryServer {
        /// Name of the virtual server.
        name: String,
        /// Of the sorry server.
        real_server: String,
        /// Whether it stands in.
        serves: bool,
        /// Why.
        cause: String,
    },
    /// An entry of the kernel's table that somebody else removed or changed was put right.
    Drift {
        /// Name of the virtual server.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The entry.
        entry: String,
        /// How often since it was last left in peace.
        times: u32,
    },
    /// A reload was answered.
    Reload {
        /// Whether the new configuration is in force.
        taken: bool,
        /// What it changed, or why it was refused.
        lines: Vec<String>,
    },
    /// The operator gave an order, or the daemon began or ended something.
    Said {
        /// For people.
        text: String,
    },
}

impl EventRecord {
    /// Of the event of this number.
    pub(crate) fn of(number: u64, at: WallTime, happening: &Happening) -> Self {
        let what = match happening {
            Happening::News(news) => What::of(news),
            Happening::Balancer(happening) => happening.what.clone(),
            Happening::Reload(reload) => What::Reload { taken: reload.taken, lines: reload.lines.clone() },
            Happening::Said(text) => What::Said { text: text.clone() },
        };
        Self { number, at_unix_us: at.as_unix_micros(), what }
    }
}

impl What {
    fn of(news: &News) -> Self {
        match news {
            News::Transition(Transition { name, from, to, cause, priority, .. }) => Self::Transition {
                name: name.to_string(),
                from: before(*from, cause),
                to: after(*to, cause),
                cause: cause.to_string(),
                priority: priority.0,
            },
            News::GroupTransition(GroupTransition { name, from, to, cause: group_cause }) => {
                // The cause of a group begins with its name.
                let cause = group_cause.to_string();
                let own = format!("sync group {name}: ");
                Self::GroupTransition {
                    name: name.to_string(),
                    from: before(*from, group_cause),
                    to: after(*to, group_cause),
                    cause: cause.strip_prefix(&own).unwrap_or(&cause).to_owned(),
                }
            }
            News::LowerPriorityReceived { router, priority } => {
                Self::LowerPriorityHeard { name: router.to_string(), priority: priority.0 }
            }
            News::Report(Report { router, kind }) => {
                let debug = format!("{kind:?}");
                let word = debug.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
                Self::Report {
                    name: Some(router.to_string()).filter(|name| !name.is_empty()),
                    what: kebab(word),
                    text: kind.to_string(),
                }
            }
        }
    }
}

/// The state after a change: maintenance is one of its own.
fn after(to: State, cause: &Cause) -> String {
    match cause.root() {
        Cause::Fault(fault) if to == State::Fault && fault.root() == &FaultReason::Maintenance => {
            "MAINTENANCE".to_owned()
        }
        _ => to.to_string(),
    }
}

/// The state before it.
fn before(from: State, cause: &Cause) -> String {
    match cause.root() {
        Cause::FaultCleared(fault) if from == State::Fault && fault.root() == &FaultReason::Maintenance => {
            "MAINTENANCE".to_owned()
        }
        _ => from.to_string(),
    }
}

/// `RivalBeaten` as `rival-beaten`.
fn kebab(word: &str) -> String {
    let mut text = String::new();
    for (position, letter) in word.char_indices() {
        if letter.is_uppercase() && position > 0 {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// Without its time: `VI_1: BACKUP -> MASTER: no master heard for a master-down time`.
impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transition { name, from, to, cause, priority } => {
                write!(f, "{name}: {from} -> {to}, priority {priority}: {cause}")
            }
            Self::GroupTransition { name, from, to, cause } => {
                write!(f, "sync group {name}: {from} -> {to}: {cause}")
            }
            Self::LowerPriorityHeard { name, priority } => {
                write!(f, "{name}: heard a master of lower priority than ours, {priority}")
            }
            Self::RealServer { name, real_server, up, cause } => {
                write!(f, "RS {real_server} of VS {name}: {}: {cause}", if *up { "UP" } else { "DOWN" })
            }
            Self::Weight { name, real_server, from, to } => {
                write!(f, "RS {real_server} of VS {name}: weight {from} -> {to}")
            }
            Self::Drain { name: Some(name), real_server, text, .. } => {
                write!(f, "RS {real_server} of VS {name}: {text}")
            }
            Self::Drain { name: None, real_server, text, .. } => write!(f, "RS {real_server}: {text}"),
            Self::Quorum { name, up, live_weight, needed_weight, cause } => {
                let word = if *up { "gained" } else { "lost" };
                write!(f, "VS {name}: quorum {word}, {live_weight} of {needed_weight} live: {cause}")
            }
            Self::SorryServer { name, real_server, serves, cause } => {
                let word = if *serves { "stands in" } else { "is out again" };
                write!(f, "VS {name}: sorry server {real_server} {word}: {cause}")
            }
            Self::Drift { name, entry, times } => {
                let of = name.as_ref().map(|name| format!("VS {name}: ")).unwrap_or_default();
                write!(f, "{of}somebody removed or changed {entry}, which is put right")?;
                if *times > 1 { write!(f, ", for the {times}th time") } else { Ok(()) }
            }
            Self::Report { name: Some(name), text, .. } => write!(f, "{name}: {text}"),
            Self::Report { name: None, text, .. } | Self::Said { text } => f.write_str(text),
            Self::Reload { taken: true, lines } => write!(f, "reloaded: {}", lines.join("; ")),
            Self::Reload { taken: false, lines } => write!(f, "reload refused: {}", lines.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::RouterId;
    use crate::vrrp::ReportKind;
    use crate::wire::vrrp::Priority;

    #[test]
    fn events_are_told_to_programs_and_to_people() {
        let transition = News::Transition(Transition {
            router: RouterId(0),
            name: "VI_1".into(),
            from: State::Backup,
            to: State::Master,
            cause: Cause::SwitchBack,
            priority: Priority(100),
        });
        let begun = Report { router: "VI_1".into(), kind: ReportKind::SwitchOverBegun };
        let stalled = ReportKind::Stalled { pause: crate::time::Duration::from_secs(9) };
        let at = WallTime::from_unix_micros(7);
        let record = |happening| EventRecord::of(3, at, &happening);
        let json = |record: &EventRecord| serde_json::to_string(record).unwrap();
        let of_transition = record(Happening::News(transition));
        assert_eq!(
            json(&of_transition),
            r#"{"number":3,"at_unix_us":7,"kind":"transition","name":"VI_1","from":"BACKUP","to":"MASTER","cause":"switched back","priority":100}"#
        );
        assert_eq!(of_transition.what.to_string(), "VI_1: BACKUP -> MASTER, priority 100: switched back");
        assert!(
            json(&record(Happening::News(News::Report(begun)))).contains(r#""what":"switch-over-begun""#)
        );
        let stalled = record(Happening::News(News::Report(Report { router: "".into(), kind: stalled })));
        assert!(json(&stalled).contains(r#""kind":"report","what":"stalled","text""#), "{}", json(&stalled));
        assert_eq!(serde_json::from_str::<EventRecord>(&json(&stalled)).unwrap(), stalled);
    }
}
