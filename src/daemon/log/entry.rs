//! What is logged, and the events that are made of it.

use std::fmt;

use tracing::Level;

use super::levels::VRRP;
use super::record::Kept;
use crate::sys::clock::local_time;
use crate::vrrp::{Cause, GroupTransition, Report, ReportKind, State, Transition};

/// What is to be logged, made into text by the log's own thread.
#[derive(Debug)]
pub(in crate::daemon) enum Entry {
    /// A text of the vrrp thread.
    Text(Level, String),
    Transition(Transition),
    GroupTransition(GroupTransition),
    Report(Report),
    /// What another thread has said through `tracing`.
    Event(Kept),
}

/// An event whose level is known at run time only.
macro_rules! event_at {
    ($level:expr, $($what:tt)+) => {
        match $level {
            Level::ERROR => tracing::error!($($what)+),
            Level::WARN => tracing::warn!($($what)+),
            _ => tracing::info!($($what)+),
        }
    };
}

impl Entry {
    /// Makes an event of it.
    pub(super) fn dispatch(&self) {
        match self {
            Self::Text(level, text) => event_at!(*level, target: VRRP, "{text}"),
            Self::Transition(transition) => {
                let Transition { name, from, to, cause, priority, .. } = transition;
                let level = if *to == State::Fault { Level::WARN } else { Level::INFO };
                event_at!(
                    level,
                    target: VRRP,
                    instance = &**name,
                    from = %from,
                    state = %to,
                    cause = %cause,
                    priority = priority.0,
                    "{}",
                    TransitionText(transition)
                );
            }
            Self::GroupTransition(transition) => {
                let GroupTransition { name, from, to, cause } = transition;
                let level = if *to == State::Fault { Level::WARN } else { Level::INFO };
                event_at!(
                    level,
                    target: VRRP,
                    group = &**name,
                    from = %from,
                    state = %to,
                    cause = %cause,
                    "{}",
                    GroupTransitionText(transition)
                );
            }
            Self::Report(report) => {
                let level = level_of(&report.kind);
                event_at!(level, target: VRRP, instance = &*report.router, "{}", ReportText(report));
            }
            Self::Event(event) => event.dispatch(),
        }
    }
}

/// `(VI_1) Entering MASTER STATE (why)`; the first words are keepalived's.
struct TransitionText<'a>(&'a Transition);

impl fmt::Display for TransitionText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Transition { name, from, to, cause, priority, .. } = self.0;
        match (to, cause) {
            (State::Initialize, _) => write!(f, "({name}) Stopped, was {from} ({cause})"),
            (_, Cause::Startup) => write!(f, "({name}) Entering {to} STATE (init)"),
            (State::Master, _) => write!(f, "({name}) Entering MASTER STATE ({cause}; priority {priority})"),
            _ => write!(f, "({name}) Entering {to} STATE ({cause})"),
        }
    }
}

/// `VRRP_Group(G) Syncing instances to MASTER state (why)`; the first words are keepalived's.
struct GroupTransitionText<'a>(&'a GroupTransition);

impl fmt::Display for GroupTransitionText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GroupTransition { name, from, to, cause } = self.0;
        match (to, cause) {
            (State::Initialize, _) => write!(f, "VRRP_Group({name}) Stopped, was {from} ({cause})"),
            (_, Cause::SyncGroup { member, cause, .. }) => {
                write!(f, "VRRP_Group({name}) Syncing instances to {to} state (member {member}: {cause})")
            }
            _ => write!(f, "VRRP_Group({name}) Syncing instances to {to} state ({cause})"),
        }
    }
}

struct ReportText<'a>(&'a Report);

impl fmt::Display for ReportText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { router, kind } = self.0;
        if !router.is_empty() {
            write!(f, "({router}) ")?;
        }
        kind.fmt(f)?;
        match kind {
            ReportKind::StartupDelayed { until, .. } | ReportKind::PreemptDelayed { until, .. } => {
                write!(f, " (until {})", local_time(*until, c"%H:%M:%S"))
            }
            _ => Ok(()),
        }
    }
}

const fn level_of(kind: &ReportKind) -> Level {
    match kind {
        ReportKind::IntervalLearned { .. }
        | ReportKind::PeerHeard { .. }
        | ReportKind::LeftoverAdopted { .. }
        | ReportKind::LeftoverRemoved { .. }
        | ReportKind::BequestRemoved { .. }
        | ReportKind::FaultsChanged { .. }
        | ReportKind::PriorityChanged { .. }
        | ReportKind::ScriptVerdict { success: true, .. }
        | ReportKind::QuorumChanged { met: true, .. }
        | ReportKind::StartupDelayed { .. }
        | ReportKind::PreemptDelayed { .. }
        | ReportKind::SendWorks { .. }
        | ReportKind::RivalGone { .. }
        | ReportKind::AddressUnique { .. }
        | ReportKind::LinkCreated { .. }
        | ReportKind::LinkAdopted { .. }
        | ReportKind::SwitchOverBegun
        | ReportKind::SwitchedOver { .. }
        | ReportKind::HoldEnded
        | ReportKind::MaintenanceBegun { .. }
        | ReportKind::MaintenanceEnded { .. } => Level::INFO,
        ReportKind::AddressRefused { .. }
        | ReportKind::AddressDuplicate { .. }
        | ReportKind::OwnerLowered { .. }
        | ReportKind::SocketFailed { .. }
        | ReportKind::LinkRefused { .. }
        | ReportKind::SendFailing { .. } => Level::ERROR,
        _ => Level::WARN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::RouterId;
    use crate::wire::vrrp::Priority;

    fn line(to: State, cause: Cause) -> String {
        let transition = Transition {
            router: RouterId(0),
            name: "VI_1".into(),
            from: State::Backup,
            to,
            cause,
            priority: Priority(100),
        };
        TransitionText(&transition).to_string()
    }

    #[test]
    fn transitions_have_the_words_operators_look_for() {
        assert_eq!(line(State::Backup, Cause::Startup), "(VI_1) Entering BACKUP STATE (init)");
        let master = line(State::Master, Cause::MasterDown { last_master: None });
        assert!(master.starts_with("(VI_1) Entering MASTER STATE (no master heard"), "{master}");
        let fault =
            line(State::Fault, Cause::Fault(crate::vrrp::FaultReason::LinkDown("eth0".parse().unwrap())));
        assert_eq!(fault, "(VI_1) Entering FAULT STATE (interface eth0 is down)");
    }
}
