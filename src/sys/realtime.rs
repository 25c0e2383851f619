//! Scheduling and memory of the threads that must not be late.

#![allow(unsafe_code)]

use std::io;
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};
use std::thread::JoinHandle;

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

/// Gives another thread of this process `SCHED_FIFO` at `priority` (1 to 99), or makes it an ordinary one.
///
/// # Errors
/// As [`schedule_fifo`].
pub fn schedule_thread(thread: &JoinHandle<()>, priority: Option<u8>) -> io::Result<()> {
    let policy = if priority.is_some() { libc::SCHED_FIFO } else { libc::SCHED_OTHER };
    let parameters = libc::sched_param { sched_priority: priority.map_or(0, i32::from) };
    // SAFETY: the thread's handle keeps its identifier valid, `parameters` lives through the call, which
    // touches no other memory.
    match unsafe {
        libc::pthread_setschedparam(
            thread.as_pthread_t(),
            policy | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
    } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Real-time scheduling that a real-time thread lends to another while it waits for its work, as with
/// priority inheritance. Between loans the borrower is an ordinary thread.
#[derive(Clone, Debug)]
pub struct Loan {
    borrower: Arc<Borrower>,
}

#[derive(Debug, Default)]
struct Borrower {
    /// 0 until the thread has made itself known.
    thread: AtomicI32,
    /// 0 = there is nothing to lend.
    priority: AtomicU8,
    lent: AtomicBool,
}

impl Loan {
    /// Lends `priority` (1 to 99), or nothing.
    pub fn new(priority: Option<u8>) -> Self {
        let loan = Self { borrower: Arc::default() };
        loan.set_priority(priority);
        loan
    }

    /// Lends `priority` (1 to 99), or nothing, from the next time on.
    pub fn set_priority(&self, priority: Option<u8>) {
        self.borrower.priority.store(priority.unwrap_or(0), Ordering::Release);
    }

    /// The calling thread is the one that borrows.
    pub fn borrow_here(&self) {
        self.borrower.thread.store(nix::unistd::gettid().as_raw(), Ordering::Release);
    }

    /// For the lender, before it hands work over. Costs a system call only if nothing is lent yet. Where it is
    /// not allowed, the borrower stays an ordinary thread.
    pub fn lend(&self) {
        let thread = self.borrower.thread.load(Ordering::Acquire);
        let priority = self.borrower.priority.load(Ordering::Acquire);
        if thread != 0 && priority != 0 && !self.borrower.lent.swap(true, Ordering::AcqRel) {
            let _ = schedule(thread, libc::SCHED_FIFO, priority);
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
    if !lifted && !always && !is_exempt_from_limit() {
        return MemoryLock::Limited(limit);
    }
    // SAFETY: changes only whether pages may be swapped out.
    match unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) } {
        0 => MemoryLock::Locked,
        _ => MemoryLock::Refused(io::Error::last_os_error()),
    }
}

/// Whether the calling process may lock memory without limit (`CAP_IPC_LOCK` of the machine; that of a user
/// namespace does not count, so the kernel is asked by trying).
fn is_exempt_from_limit() -> bool {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_MEMLOCK) else { return false };
    if setrlimit(Resource::RLIMIT_MEMLOCK, 0, hard).is_err() {
        return false;
    }
    let byte = 0u8;
    // SAFETY: locks and unlocks the page of a variable that lives through both calls.
    let exempt = unsafe {
        let locked = libc::mlock((&raw const byte).cast(), 1) == 0;
        if locked {
            libc::munlock((&raw const byte).cast(), 1);
        }
        locked
    };
    // Raising the soft limit to the hard one's old value is always allowed.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, soft, hard);
    exempt
}

/// Does some work with `SCHED_FIFO` at `priority` (1 to 99), where there is one and it is allowed, and is an ordinary
/// thread then.
pub fn run_at<T>(priority: Option<u8>, work: impl FnOnce() -> T) -> T {
    let raised = priority.is_some_and(|priority| schedule_fifo(priority).is_ok());
    let result = work();
    if raised {
        let _ = schedule(0, libc::SCHED_OTHER, 0);
    }
    result
}

/// Lets go of the code and the constants that are in memory, of which most were needed by the start alone. What is used
/// again is mapped again, from the file's pages in memory as a rule, and stays where memory is locked. Needs Linux 5.18.
pub fn release_code() {
    let Ok(page) = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE) else { return };
    let mut page = page.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(4096);
    // SAFETY: `release` takes the data for what it is, and keeps nothing of what it is given.
    unsafe {
        libc::dl_iterate_phdr(Some(release), (&raw mut page).cast());
    }
}

/// For each object that is loaded. `page` is the size of one, in bytes, as a `usize`.
unsafe extern "C" fn release(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    page: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the loader's description lives through the call and has this many headers; the rest is the caller's word.
    let (base, headers, page) = unsafe {
        let object = &*object;
        let headers = std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into());
        (object.dlpi_addr as usize, headers, *page.cast::<usize>())
    };
    for header in headers {
        // What cannot be written to has not been changed, by relocations for example: the file has all of it.
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        // Addresses of an object may be higher than where it is: the base is then what wraps around to there. So it is
        // with the kernel's own one under User Mode Linux.
        let start = base.wrapping_add(header.p_vaddr as usize);
        let first = start - start % page;
        // SAFETY: nothing is unmapped; the pages are read from their file again when they are used.
        unsafe {
            libc::madvise(
                first as *mut libc::c_void,
                (start - first).saturating_add(header.p_memsz as usize),
                libc::MADV_DONTNEED_LOCKED,
            );
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn policy(thread: libc::pid_t) -> libc::c_int {
        // SAFETY: only reads an attribute of a thread.
        unsafe { libc::sched_getscheduler(thread) & !libc::SCHED_RESET_ON_FORK }
    }

    #[test]
    fn what_is_lent_is_given_back() {
        let loan = Loan::new(Some(1));
        let (known, thread) = mpsc::channel();
        let (permit, waiting) = mpsc::channel();
        let borrower = loan.clone();
        let join = std::thread::spawn(move || {
            borrower.borrow_here();
            known.send(nix::unistd::gettid().as_raw()).unwrap();
            waiting.recv().unwrap();
            borrower.give_back();
        });
        let thread = thread.recv().unwrap();
        assert_eq!(policy(thread), libc::SCHED_OTHER);
        loan.set_priority(None);
        loan.lend();
        assert_eq!(policy(thread), libc::SCHED_OTHER, "there was nothing to lend");
        if let Err(error) = schedule(thread, libc::SCHED_FIFO, 1) {
            permit.send(()).unwrap();
            join.join().unwrap();
            return crate::skip::skip(
                "what_is_lent_is_given_back",
                &format!("no real-time scheduling: {error}"),
            );
        }
        schedule(thread, libc::SCHED_OTHER, 0).unwrap();

        loan.set_priority(Some(1));
        loan.lend();
        loan.lend();
        assert_eq!(policy(thread), libc::SCHED_FIFO);
        permit.send(()).unwrap();
        join.join().unwrap();
        assert!(!loan.borrower.lent.load(Ordering::Acquire));
    }

    #[test]
    fn a_thread_is_scheduled_from_outside() {
        let (permit, waiting) = mpsc::channel();
        let (known, thread) = mpsc::channel();
        let join = std::thread::spawn(move || {
            known.send(nix::unistd::gettid().as_raw()).unwrap();
            waiting.recv().unwrap();
        });
        let thread = thread.recv().unwrap();
        let raised = schedule_thread(&join, Some(1)).map(|()| policy(thread));
        let lowered = schedule_thread(&join, None).map(|()| policy(thread));
        permit.send(()).unwrap();
        join.join().unwrap();
        match raised {
            Ok(raised) => assert_eq!((raised, lowered.unwrap()), (libc::SCHED_FIFO, libc::SCHED_OTHER)),
            Err(error) => {
                crate::skip::skip(
                    "a_thread_is_scheduled_from_outside",
                    &format!("no real-time scheduling: {error}"),
                );
            }
        }
    }

    /// Code, constants, and what the loader has written addresses into.
    #[test]
    fn what_was_released_is_there_when_it_is_used() {
        static NAMES: [&str; 2] = ["one", "two"];
        type Act = Box<dyn Fn(&str) -> String>;
        let act: [Act; 2] = [Box::new(|name| name.to_uppercase()), Box::new(|name| format!("{name:>5}"))];
        for _ in 0..100 {
            release_code();
            let made: Vec<String> = NAMES.iter().zip(&act).map(|(name, act)| act(name)).collect();
            assert_eq!(made, ["ONE", "  two"]);
        }
    }
}
