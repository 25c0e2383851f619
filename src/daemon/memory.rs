//! The worker's memory: locked, and what the start or a reload leaves over given back.

use tokio::time::{Duration, Instant};

use super::configuration::Settings;
use super::rehearsal;
use crate::node::Retired;
use crate::sys::heap;
use crate::sys::realtime::{self, MemoryLock};

/// How long after the start or a reload what it has left over is given back: more of it may follow.
const PAUSE: Duration = Duration::from_secs(1);

/// What became of it, and what is to be done.
#[derive(Debug, Default)]
pub(super) struct Memory {
    locked: bool,
    trim_at: Option<Instant>,
}

impl Memory {
    /// Locks it where that can do no harm, once what the start took is given back.
    pub(super) fn lock(&mut self, settings: &Settings) {
        heap::trim();
        match realtime::lock_memory(settings.vrrp.no_swap) {
            MemoryLock::Locked => self.locked = true,
            MemoryLock::Limited(limit) => tracing::warn!(
                "memory is not locked, because the limit of {} KiB could make the daemon fail; run it with \
                 CAP_IPC_LOCK or an unlimited RLIMIT_MEMLOCK (systemd: LimitMEMLOCK=infinity)",
                limit / 1024
            ),
            MemoryLock::Refused(error) => tracing::warn!("memory is not locked: {error}"),
        }
        self.left_over();
    }

    /// The start or a reload has ended: soon [`Memory::give_back`] has something to do.
    pub(super) fn left_over(&mut self) {
        self.trim_at = Some(Instant::now() + PAUSE);
    }

    /// Waits until there is something to do.
    pub(super) async fn due(&self) {
        match self.trim_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Frees what the vrrp thread does not use any more. That thread may wait for the allocator meanwhile.
    pub(super) fn free(&mut self, retired: Retired, settings: &Settings) {
        realtime::run_at(priority(settings), || drop(retired));
        self.left_over();
    }

    /// Gives back what was freed, and the code that was used, but not that of a takeover.
    pub(super) fn give_back(&mut self, settings: &Settings) {
        self.trim_at = None;
        realtime::release_code();
        if let Err(error) = rehearsal::rehearse() {
            tracing::debug!("the code of a takeover is not in memory yet: {error}");
        }
        if !self.locked {
            return heap::trim();
        }
        if let Err(error) = realtime::run_at(priority(settings), heap::trim_locked) {
            tracing::warn!("memory is not locked any more: {error}");
        }
    }
}

/// With which the main thread holds the locks that the vrrp thread may come to wait for (the allocator's, that of the
/// address space): one that ordinary threads do not interrupt, and below the vrrp thread's. Not where the time of
/// real-time threads is limited.
fn priority(settings: &Settings) -> Option<u8> {
    let priority = settings.realtime_priority.filter(|_| settings.vrrp.realtime_limit_us.is_none());
    priority.map(|priority| priority.saturating_sub(1).max(1))
}
