//! The guardian of a restart: a small process that the old program forks before the new one is executed. While nobody
//! goes on it removes what was left, as far as other routers may take it over, and everything when the supervisor is
//! gone. It is told how far the restart is, and ends with it.

use std::fs::File;
use std::io::Read as _;

use super::files::PidPaths;
use super::leftovers::Leftovers;
use super::options::Options;
use super::record;
use super::service_record;
use crate::sys::clock;
use crate::sys::poll::Poller;
use crate::sys::process;
use crate::time::{Duration, Instant};

/// The old vrrp worker has left, and the new one is about to start.
pub(super) const LEFT: u8 = b'l';
/// All is served again, or was stopped in order.
pub(super) const OVER: u8 = b'o';

/// How long the new program may take until it is ready to go on: reading a large configuration on a busy host.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long workers may take to stop in order whose supervisor is gone, and how often that is looked at.
const STOPPING: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

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
    /// The workers of the old one.
    pub(super) workers: Vec<u32>,
}

/// Guards until it is told that all is over.
pub(super) fn run(guarded: &Guarded<'_>, mut word: File) {
    process::name_thread("alived-guardian");
    let Ok(mut poller) = Poller::new() else { return };
    if poller.add(&word, 0).is_err() {
        return;
    }
    let begun = clock::now().instant;
    let mut left: Option<Instant> = None;
    let mut passed = None;
    let mut patient = true;
    loop {
        let now = clock::now().instant;
        let deadline = match left {
            None => patient.then_some(begun + PATIENCE),
            Some(left) => guarded.leftovers.next_removal(FOR_EVER, passed).map(|after| left + after),
        };
        if deadline.is_some_and(|at| at <= now) {
            match left {
                None => {
                    tracing::error!(
                        "the new program does not go on, ending it; the old workers leave in order"
                    );
                    process::signal(guarded.supervisor, libc::SIGKILL);
                    patient = false;
                }
                Some(left) => {
                    passed = Some(now.saturating_since(left));
                    guarded.remove(passed);
                }
            }
            continue;
        }
        let timeout = deadline.map(|at| at.saturating_since(now) + Duration::from_millis(1));
        let Ok(ready) = poller.wait(timeout).map(Iterator::count) else { return };
        if ready == 0 {
            continue;
        }
        let mut said = [0];
        match word.read(&mut said) {
            Ok(0) | Err(_) => return guarded.end(),
            Ok(_) if said[0] == OVER => return,
            Ok(_) => left = Some(clock::now().instant),
        }
    }
}

impl Guarded<'_> {
    /// Nobody goes on: what other routers may take over by now goes.
    fn remove(&self, passed: Option<Duration>) {
        if self.options.keep_addresses {
            return;
        }
        let (ownership, record) = record::ownership(&self.paths.vrrp);
        let between = passed.map(|passed| (passed, FOR_EVER));
        match self.leftovers.remove(between, &ownership, record) {
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
