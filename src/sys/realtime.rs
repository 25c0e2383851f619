//! Scheduling and memory of the threads that must not be late.

#![allow(unsafe_code)]

use std::io;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// Gives the calling thread `SCHED_FIFO` at `priority` (1 to 99). Processes that it forks do not inherit it.
///
/// # Errors
/// EPERM where neither privilege nor `RLIMIT_RTPRIO` allows it, or the thread's cgroup has no real-time
/// share.
pub fn schedule_fifo(priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: i32::from(priority) };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: 0 names the calling thread and `parameters` lives through the call.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives the calling thread ordinary scheduling back.
///
/// # Errors
/// None in practice.
pub fn schedule_normal() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    let policy = libc::SCHED_OTHER | libc::SCHED_RESET_ON_FORK;
    // SAFETY: 0 names the calling thread and `parameters` lives through the call.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What became of [`lock_memory`].
#[derive(Debug)]
pub enum MemoryLock {
    /// Pages stay in memory once they were used.
    Locked,
    /// Left alone, because `RLIMIT_MEMLOCK` (in bytes) could make a later allocation or thread fail.
    Limited(u64),
    /// The kernel refused.
    Refused(io::Error),
}

/// Keeps the pages of the calling process in memory, from their first use on (`MCL_ONFAULT`: what is never
/// used costs nothing).
pub fn lock_memory() -> MemoryLock {
    let Ok((limit, _)) = getrlimit(Resource::RLIMIT_MEMLOCK) else { return MemoryLock::Limited(0) };
    // Whoever may lift the limit is not bound by it.
    if limit != RLIM_INFINITY && setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_err() {
        return MemoryLock::Limited(limit);
    }
    // SAFETY: changes only whether pages may be swapped out.
    match unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) } {
        0 => MemoryLock::Locked,
        _ => MemoryLock::Refused(io::Error::last_os_error()),
    }
}

/// Gives memory that was freed back to the system.
pub fn trim_memory() {
    // SAFETY: releases free memory of the allocator; nothing in use is touched.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
