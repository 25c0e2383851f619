//! A process that the supervisor keeps: whether it runs, when it is started again, when it is killed.

use super::respawn::Respawn;
use crate::sys::process;
use crate::time::{Duration, Instant};

/// One of the supervisor's processes, or its place between two of them.
#[derive(Debug)]
pub(super) struct Child {
    name: &'static str,
    process: Option<Process>,
    respawn: Respawn,
    respawn_at: Option<Instant>,
    kill_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Process {
    pid: u32,
    started: Instant,
}

impl Child {
    /// One that was not started yet.
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, process: None, respawn: Respawn::default(), respawn_at: None, kill_at: None }
    }

    /// What it is called in the log.
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// What it is doing, for people: `process 4711 for 12 s`.
    pub(super) fn describe(&self) -> String {
        let now = crate::sys::clock::now().instant;
        match (self.process, self.respawn_at) {
            (Some(Process { pid, started }), _) => {
                format!("process {pid}, for {} s", now.saturating_since(started).as_secs())
            }
            (None, Some(at)) => format!("started again in {} s", at.saturating_since(now).as_secs()),
            (None, None) => "not needed".to_owned(),
        }
    }

    /// A process was started.
    pub(super) const fn started(&mut self, pid: u32, now: Instant) {
        self.process = Some(Process { pid, started: now });
        self.respawn_at = None;
        self.kill_at = None;
    }

    /// The number of its process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.map(|process| process.pid)
    }

    /// Whether there is a process.
    pub(super) const fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Whether there is a process, or will be one.
    pub(super) const fn is_wanted(&self) -> bool {
        self.process.is_some() || self.respawn_at.is_some()
    }

    /// Sends a signal, if there is a process.
    pub(super) fn signal(&self, number: i32) {
        if let Some(process) = self.process {
            process::signal(process.pid, number);
        }
    }

    /// How long the process lived, if it is the one of this number, which has ended.
    pub(super) fn ended(&mut self, pid: u32) -> Option<Duration> {
        let process = self.process.take_if(|process| process.pid == pid)?;
        self.kill_at = None;
        Some(crate::sys::clock::now().instant.saturating_since(process.started))
    }

    /// Has a next one started after one that `lived` so long, and gives how long from now.
    pub(super) fn respawn_later(&mut self, now: Instant, lived: Duration) -> Duration {
        let wait = self.respawn.wait_after(lived);
        self.respawn_at = Some(now + wait);
        wait
    }

    /// There is to be no next one.
    pub(super) const fn stay_dead(&mut self) {
        self.respawn_at = None;
    }

    /// Has it killed if it has not ended by then.
    pub(super) const fn kill_at(&mut self, at: Instant) {
        self.kill_at = Some(at);
    }

    /// When there is something to do about it.
    pub(super) fn timeout(&self) -> Option<Instant> {
        [self.respawn_at, self.kill_at].into_iter().flatten().min()
    }

    /// Whether it had its time to end.
    pub(super) fn is_kill_due(&self, now: Instant) -> bool {
        self.kill_at.is_some_and(|at| at <= now)
    }

    /// Kills it if it had its time to end. True if so.
    pub(super) fn kill_if_due(&mut self, now: Instant) -> bool {
        let due = self.kill_at.take_if(|at| *at <= now).is_some() && self.runs();
        if due {
            self.signal(libc::SIGKILL);
        }
        due
    }

    /// Whether it is time for the next one. True once.
    pub(super) fn is_respawn_due(&mut self, now: Instant) -> bool {
        self.respawn_at.take_if(|at| *at <= now).is_some()
    }
}
