//! A worker's place in the supervisor: its process or the next one, its runner, its pid file, and what it leaves to
//! the next one.

use std::path::PathBuf;

use super::child::Child;
use super::handover::Handover;
use super::runner::Demand;
use crate::sys::pidfile::PidFile;
use crate::sys::process::Ended;
use crate::time::Duration;

/// Which worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// Virtual routers.
    Vrrp,
    /// Virtual servers.
    Lvs,
}

impl Part {
    /// In the words of keepalived's log.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Vrrp => "VRRP",
            Self::Lvs => "Healthcheck",
        }
    }

    /// In our own.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Vrrp => "vrrp worker",
            Self::Lvs => "lvs worker",
        }
    }
}

/// The place of one worker.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) part: Part,
    /// There shall be a worker.
    pub(super) wanted: bool,
    pub(super) child: Child,
    /// What starts commands for it.
    pub(super) runner: Child,
    /// Where it says that it needs a runner.
    pub(super) demand: Option<Demand>,
    pub(super) handover: Handover,
    /// Its pid file, locked once there is to be a worker.
    pub(super) pid_file: Option<PidFile>,
    pub(super) pid_path: PathBuf,
    /// One has served since the daemon started.
    pub(super) served: bool,
    /// The one that runs is of the program before: the first one of this program follows.
    pub(super) predecessor: bool,
}

impl Seat {
    /// An empty one.
    pub(super) fn new(part: Part, pid_path: PathBuf, pid_file: Option<PidFile>, handover: Handover) -> Self {
        let runner = match part {
            Part::Vrrp => "runner",
            Part::Lvs => "lvs runner",
        };
        Self {
            part,
            wanted: false,
            child: Child::new(part.name()),
            runner: Child::new(runner),
            demand: None,
            handover,
            pid_file,
            pid_path,
            served: false,
            predecessor: false,
        }
    }
}

/// What the end of a worker leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Another worker.
    Respawn,
    /// None: it is not wanted any more.
    Nothing,
    /// The end of the daemon, with this exit status.
    End(u8),
}

/// keepalived's rules: a worker that cannot run (1), has no usable configuration (2) or no permission (4) ends all;
/// with `-R` any death does; else there is another worker. `alone`: its failures are its own, because others serve.
pub(super) fn after(ended: Ended, wanted: bool, respawn: bool, alone: bool) -> Next {
    use super::status::{CONFIGURATION, FATAL, PERMISSION};
    match ended {
        _ if !wanted => Next::Nothing,
        Ended::Exited(status)
            if !alone && [FATAL, CONFIGURATION, PERMISSION].map(i32::from).contains(&status) =>
        {
            Next::End(u8::try_from(status).unwrap_or(FATAL))
        }
        _ if respawn => Next::Respawn,
        Ended::Exited(0) => Next::End(0),
        _ => Next::End(FATAL),
    }
}

/// How it ended, in words.
pub(super) fn words(ended: Ended) -> String {
    match ended {
        Ended::Exited(status) => format!("ended with status {status}"),
        Ended::Killed(signal) => format!("was killed by signal {signal}"),
    }
}

/// When something is done that waits so long.
pub(super) fn in_seconds(wait: Duration) -> String {
    if wait == Duration::ZERO { String::new() } else { format!(" in {} seconds", wait.as_secs()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hopeless_workers_are_not_replaced() {
        for (ended, respawn, alone, next) in [
            (Ended::Exited(1), true, false, Next::End(1)),
            (Ended::Exited(2), true, false, Next::End(2)),
            (Ended::Exited(4), true, false, Next::End(4)),
            (Ended::Exited(1), true, true, Next::Respawn),
            (Ended::Exited(4), true, true, Next::Respawn),
            (Ended::Exited(0), true, false, Next::Respawn),
            (Ended::Killed(6), true, false, Next::Respawn),
            (Ended::Exited(101), true, false, Next::Respawn),
            (Ended::Killed(6), false, true, Next::End(1)),
            (Ended::Exited(0), false, false, Next::End(0)),
        ] {
            assert_eq!(after(ended, true, respawn, alone), next, "{ended:?}");
            assert_eq!(after(ended, false, respawn, alone), Next::Nothing, "{ended:?}");
        }
    }
}
