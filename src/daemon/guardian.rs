//! The guardian of a restart: a small process that the old program forks before the new one is executed. While nobody
//! goes on it removes what was left, as far as other routers may take it over, and everything when the supervisor is
//! gone. It is told how far the restart is, and ends with it.

use std::fs::File;
use std::io::Read as _;

use super::files::PidPaths;
use super::leftovers::Leftovers;
use super::options::Options;
use super::service_record;
use crate::sys::clock;
use crate::sys::poll::Poller;
use crate::sys::process;
use crate::sys::process_table::ProcessEnd;
use crate::time::{Duration, Instant};

/// The new program is ready, and has the old workers leave.
pub(super) const GOES_ON: u8 = b'g';
/// The old vrrp worker has ended. A guardian sees that itself where the kernel tells of processes (Linux 5.3).
pub(super) const LEFT: u8 = b'l';
/// The new vrrp worker serves.
pub(super) const BACK: u8 = b'b';
/// All is served again, or was stopped in order.
pub(super) const OVER: u8 = b'o';

/// How long the new program may take until it is ready to go on: reading a large configuration on a busy host.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long workers may take to stop in order whose supervisor is gone, and how often that is looked at.
const STOPPING: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

const WORD: u64 = 0;
const WORKER: u64 = 1;

/// Longer than any pause: whoever does not come back in time does not come back.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);

/// What it guards.
#[derive(Debug)]
pub(super) struct Guarded<'a> {
    pub(super) options: &'a Options,
    pub(super) leftovers: &'a Leftovers,
    pub(super) paths: PidPaths,
    /// The process in which one program follows the other.
    pub(super) supervisor: u32,
    /// The vrrp worker of the old one.
    pub(super) vrrp: Option<u32>,
    /// All workers of it.
    pub(super) workers: Vec<u32>,
}

/// How far the restart is.
#[derive(Debug)]
enum Stage {
    /// The new program is not ready. When it is to be.
    Starts(Instant),
    /// It is, or was ended.
    GoesOn,
    /// Its vrrp worker serves.
    Back,
}

/// Guards until it is told that all is over.
pub(super) fn run(guarded: &Guarded<'_>, mut word: File) {
    process::name_thread("alived-guardian");
    let Ok(mut poller) = Poller::new() else { return };
    if poller.add(&word, WORD).is_err() {
        return;
    }
    let worker = guarded.vrrp.and_then(|pid| ProcessEnd::of(pid).ok());
    if let Some(worker) = &worker {
        // In vain: then it is told.
        let _ = poller.add(worker, WORKER);
    }
    let mut stage = Stage::Starts(clock::now().instant + PATIENCE);
    let mut left: Option<Instant> = None;
    let mut passed = None;
    loop {
        let now = clock::now().instant;
        let removal = left
            .filter(|_| !matches!(stage, Stage::Back))
            .and_then(|left| guarded.leftovers.next_removal(FOR_EVER, passed).map(|after| left + after));
        if let Stage::Starts(until) = stage
            && until <= now
        {
            tracing::error!("the new program does not go on, ending it; the old workers leave in order");
            process::signal(guarded.supervisor, libc::SIGKILL);
            stage = Stage::GoesOn;
        }
        if let Some(left) = left
            && removal.is_some_and(|at| at <= now)
        {
            let since = now.saturating_since(left);
            passed = Some(since);
            guarded.remove(since);
            continue;
        }
        let ready = match stage {
            Stage::Starts(until) => Some(until),
            Stage::GoesOn | Stage::Back => None,
        };
        let deadline = ready.into_iter().chain(removal).min();
        let timeout = deadline.map(|at| at.saturating_since(now) + Duration::from_millis(1));
        let Ok(ready) = poller.wait(timeout).map(Iterator::collect::<Vec<_>>) else { return };
        if ready.contains(&WORKER)
            && let Some(worker) = &worker
        {
            poller.remove(worker);
            left.get_or_insert_with(|| clock::now().instant);
        }
        if !ready.contains(&WORD) {
            continue;
        }
        let mut said = [0];
        match word.read(&mut said) {
            Ok(0) | Err(_) => return guarded.end(),
            Ok(_) => match said[0] {
                GOES_ON => stage = Stage::GoesOn,
                LEFT => _ = left.get_or_insert_with(|| clock::now().instant),
                BACK => stage = Stage::Back,
                _ => return,
            },
        }
    }
}

impl Guarded<'_> {
    /// Nobody goes on: what other routers may take over by now goes.
    fn remove(&self, passed: Duration) {
        if self.options.keep_addresses {
            return;
        }
        match self.leftovers.remove_due(&self.paths.vrrp, passed, FOR_EVER) {
            Ok(0) => {}
            Ok(count) => tracing::warn!(
                "no worker goes on: removed {count} virtual addresses, routes and rules, before other routers take over"
            ),
            Err(error) => tracing::error!("cannot remove what the worker left behind: {error}"),
        }
    }

    /// The supervisor is gone. Its workers have been told to stop by that; what they leave is removed.
    fn end(&self) {
        let until = clock::now().instant + STOPPING;
        let written = [&self.paths.vrrp, &self.paths.lvs]
            .map(|path| std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok()));
        let all = || self.workers.iter().copied().chain(written.into_iter().flatten());
        while all().any(process::exists) && clock::now().instant < until {
            std::thread::sleep(LOOK);
        }
        if !self.options.keep_addresses {
            match self.leftovers.remove_everything(&self.paths.vrrp) {
                Ok(0) => {}
                Ok(count) => {
                    tracing::warn!("the restart has failed: removed {count} objects that were left behind")
                }
                Err(error) => tracing::error!("cannot remove what the workers left behind: {error}"),
            }
        }
        if !self.options.keep_ipvs {
            service_record::remove_recorded(&self.paths.lvs);
        }
    }
}
