//! Scheduling and memory of the threads that must not be late.

#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

/// Gives the calling thread `SCHED_FIFO` at `priority` (1 to 99). Processes that it forks do not inherit it.
///
/// # Errors
/// EPERM where neither privilege nor `RLIMIT_RTPRIO` allows it, or the thread's cgroup has no real-time
/// share.
pub fn schedule_fifo(priority: u8) -> io::Result<()> {
    schedule(0, libc::SCHED_FIFO, priority)
}

/// `thread` 0 is the calling one.
fn schedule(thread: libc::pid_t, policy: libc::c_int, priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: i32::from(priority) };
    // SAFETY: `parameters` lives through the call, which touches no other memory.
    match unsafe {
        libc::sched_setscheduler(thread, policy | libc::SCHED_RESET_ON_FORK, &raw const parameters)
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Real-time scheduling that a real-time thread lends to another while it waits for its work, as with
/// priority inheritance. Between loans the borrower is an ordinary thread.
#[derive(Clone, Debug)]
pub struct Loan {
    priority: u8,
    borrower: Arc<Borrower>,
}

#[derive(Debug, Default)]
struct Borrower {
    /// 0 until the thread has made itself known.
    thread: AtomicI32,
    lent: AtomicBool,
}

impl Loan {
    /// Lends `priority` (1 to 99).
    pub fn new(priority: u8) -> Self {
        Self { priority, borrower: Arc::default() }
    }

    /// The calling thread is the one that borrows.
    pub fn borrow_here(&self) {
        self.borrower.thread.store(nix::unistd::gettid().as_raw(), Ordering::Release);
    }

    /// For the lender, before it hands work over. Costs a system call only if nothing is lent yet. Where it is
    /// not allowed, the borrower stays an ordinary thread.
    pub fn lend(&self) {
        let thread = self.borrower.thread.load(Ordering::Acquire);
        if thread != 0 && !self.borrower.lent.swap(true, Ordering::AcqRel) {
            let _ = schedule(thread, libc::SCHED_FIFO, self.priority);
        }
    }

    /// For the borrower, whose work takes too long: it goes on as an ordinary thread, and nothing is lent again
    /// until [`Loan::give_back`].
    pub fn go_on_without(&self) {
        let _ = schedule(0, libc::SCHED_OTHER, 0);
    }

    /// For the borrower, whose work is done.
    pub fn give_back(&self) {
        if self.borrower.lent.load(Ordering::Acquire) {
            self.go_on_without();
            self.borrower.lent.store(false, Ordering::Release);
        }
    }
}

/// Sets the nice value (-20 to 19) of the calling thread and of those it starts.
///
/// # Errors
/// EACCES or EPERM where a lower value needs `CAP_SYS_NICE`.
pub fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: 0 names the calling thread; no memory is touched.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Binds the calling thread and those it starts to these processors.
///
/// # Errors
/// EINVAL where none of them exists.
pub fn set_affinity(processors: &[u32]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for processor in processors {
        set.set(usize::try_from(*processor).map_err(io::Error::other)?)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Bounds the time that a real-time thread of the calling process may run without pause, in microseconds: a
/// runaway is killed before it takes the machine.
///
/// # Errors
/// None in practice.
pub fn limit_realtime(us: u64) -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_RTTIME, us, us)?)
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
/// used costs nothing). `always` does it even where a limit may make the process fail later.
pub fn lock_memory(always: bool) -> MemoryLock {
    let Ok((limit, _)) = getrlimit(Resource::RLIMIT_MEMLOCK) else { return MemoryLock::Limited(0) };
    // Whoever may lift the limit is not bound by it.
    let lifted =
        limit == RLIM_INFINITY || setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_ok();
    if !lifted && !always {
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
