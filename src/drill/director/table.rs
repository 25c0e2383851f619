//! The kernel's table of a director as it changes. The kernel tells nobody: it is read every few milliseconds.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::drill::lab::Site;
use crate::sys::clock;
use crate::sys::netlink::ipvs::IpvsSocket;
use crate::time::WallTime;

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(4);

/// A longer time between two looks is the machine's doing.
const STALL: Duration = Duration::from_millis(100);

/// A table, and when it was first seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Version {
    /// When.
    pub time: WallTime,
    /// Its lines, as `ipvsadm -S -n` writes them, in order.
    pub lines: Vec<String>,
}

/// Looks on a thread of its own until dropped.
#[derive(Debug)]
pub(super) struct TableWatch {
    versions: Arc<Mutex<Vec<Version>>>,
    stalls: Arc<Mutex<Vec<(WallTime, Duration)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TableWatch {
    /// Starts looking.
    pub(super) fn start(site: &Site) -> io::Result<Self> {
        let mut socket =
            site.namespace.run(IpvsSocket::open)?.map_err(|error| io::Error::other(error.to_string()))?;
        let first = read(&mut socket)?;
        let versions = Arc::new(Mutex::new(vec![first]));
        let stop = Arc::new(AtomicBool::new(false));
        let stalls = Arc::new(Mutex::new(Vec::new()));
        let (shared, noted, stopping) = (Arc::clone(&versions), Arc::clone(&stalls), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("table".to_owned()).spawn(move || {
            let mut last = Instant::now();
            while !stopping.load(Ordering::Relaxed) {
                std::thread::sleep(PERIOD);
                let gap = last.elapsed();
                if gap > STALL {
                    noted.lock().unwrap_or_else(PoisonError::into_inner).push((clock::wall(), gap));
                }
                last = Instant::now();
                let Ok(version) = read(&mut socket) else { continue };
                let mut versions = shared.lock().unwrap_or_else(PoisonError::into_inner);
                if versions.last().is_none_or(|last| last.lines != version.lines) {
                    versions.push(version);
                }
            }
        })?;
        Ok(Self { versions, stalls, stop, thread: Some(thread) })
    }

    /// All versions so far.
    pub(super) fn versions(&self) -> Vec<Version> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long this thread was not run since then, pauses of less than a tenth of a second left out: others were not
    /// sooner.
    pub(super) fn stalled(&self, since: WallTime) -> Duration {
        let stalls = self.stalls.lock().unwrap_or_else(PoisonError::into_inner);
        stalls.iter().filter(|(end, _)| *end >= since).map(|(_, length)| *length).sum()
    }

    /// The table now.
    pub(super) fn lines(&self) -> Vec<String> {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.last().map(|version| version.lines.clone()).unwrap_or_default()
    }

    /// When it first was as wanted at `since` or later.
    pub(super) fn first(&self, since: WallTime, wanted: impl Fn(&[String]) -> bool) -> Option<WallTime> {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changes = versions.iter().filter(|version| version.time >= since);
        changes.find(|version| wanted(&version.lines)).map(|version| version.time)
    }
}

impl Drop for TableWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(socket: &mut IpvsSocket) -> io::Result<Version> {
    let mut lines = socket.table().map_err(|error| io::Error::other(error.to_string()))?.lines();
    lines.sort();
    Ok(Version { time: clock::wall(), lines })
}
