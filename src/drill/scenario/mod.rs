//! What can happen to a master.

mod check;
mod crash;
mod cut;
mod kill;
mod link;
mod member;
mod restart;
mod stall;
mod stop;
mod switch;

use std::io;

use super::stage::Stage;
use crate::wire::vrrp::AdvertisementInterval;

/// A fault or an operation, applied to the first router while it is master.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scenario {
    /// The router dies: all its processes are stopped and killed, and its cable is cut, at one instant.
    Kill,
    /// Only the daemon dies; its host lives on with the addresses still on it.
    Crash,
    /// The daemon is stopped in order.
    Stop,
    /// The cable is pulled.
    Link,
    /// The daemon freezes until well after its successor was elected, then goes on.
    Stall,
    /// The operator hands over.
    Switch,
    /// Another process of the daemon goes on for the first one (`alived restart`).
    Restart,
    /// A check of the master's fails, and later succeeds again.
    Check,
    /// The successor no longer hears the master, which hears it, and later does again.
    Cut,
    /// A member of a sync group loses its cable.
    Member,
}

impl Scenario {
    /// All, in the order in which they are run.
    pub const ALL: [Self; 10] = [
        Self::Kill,
        Self::Crash,
        Self::Stop,
        Self::Link,
        Self::Stall,
        Self::Switch,
        Self::Restart,
        Self::Check,
        Self::Cut,
        Self::Member,
    ];

    /// Name for options and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Crash => "crash",
            Self::Stop => "stop",
            Self::Link => "link",
            Self::Stall => "stall",
            Self::Switch => "switch",
            Self::Restart => "restart",
            Self::Check => "check",
            Self::Cut => "cut",
            Self::Member => "member",
        }
    }

    /// The scenario of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.name() == name)
    }

    /// One line for the reader of a report.
    pub const fn story(self) -> &'static str {
        match self {
            Self::Kill => "the master's machine dies",
            Self::Crash => "the master's daemon is killed, its machine lives on",
            Self::Stop => "the master is stopped in order",
            Self::Link => "the master's cable is pulled",
            Self::Stall => "the master freezes and comes back",
            Self::Switch => "the operator switches over",
            Self::Restart => "the master is restarted without a failover",
            Self::Check => "a check on the master fails and recovers",
            Self::Cut => "the backup stops hearing the master, one way only",
            Self::Member => "a member of the master's sync group loses its cable",
        }
    }

    /// Whether the routers have a second segment, and on each a virtual router of one sync group.
    pub const fn needs_sync_group(self) -> bool {
        matches!(self, Self::Member)
    }

    /// Whether the master says that it leaves.
    pub const fn says_goodbye(self) -> bool {
        matches!(self, Self::Stop | Self::Switch)
    }

    /// Who is to be elected afterwards, in order; nobody else.
    pub const fn elections(self) -> &'static [usize] {
        match self {
            // The old master has the higher priority and preempts when it is back.
            Self::Stall | Self::Check => &[1, 0],
            Self::Restart => &[],
            _ => &[1],
        }
    }

    /// Who is master when all is over.
    pub const fn master(self) -> usize {
        match self {
            Self::Stall | Self::Restart | Self::Check | Self::Cut => 0,
            _ => 1,
        }
    }

    /// Whether the old master advertises until it hears its successor.
    pub const fn overlaps(self) -> bool {
        matches!(self, Self::Check | Self::Cut)
    }

    /// Whether neither another router nor a host may notice it.
    pub const fn is_unnoticed(self) -> bool {
        matches!(self, Self::Restart)
    }

    /// At which interval it is drilled. The next process starts within a master-down time; that of the shortest intervals a
    /// busy machine does not keep.
    pub fn interval(self, wanted: AdvertisementInterval) -> AdvertisementInterval {
        match self {
            Self::Restart => wanted.max(AdvertisementInterval::ONE_SECOND),
            _ => wanted,
        }
    }

    /// Does it.
    pub(super) fn strike(self, stage: &mut Stage) -> io::Result<()> {
        match self {
            Self::Kill => kill::strike(stage),
            Self::Crash => crash::strike(stage),
            Self::Stop => stop::strike(stage),
            Self::Link => link::strike(stage),
            Self::Stall => stall::strike(stage),
            Self::Switch => switch::strike(stage),
            Self::Restart => restart::strike(stage),
            Self::Check => check::strike(stage),
            Self::Cut => cut::strike(stage),
            Self::Member => member::strike(stage),
        }
    }
}
