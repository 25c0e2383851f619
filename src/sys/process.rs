//! Processes: fork, wait, names, namespaces, standard descriptors.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::kill as send;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, User, geteuid, setgroups, setresgid, setresuid};
use serde::{Deserialize, Serialize};

/// Which side of a fork this is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fork {
    /// The new process.
    Child,
    /// The old one, with the new one's number.
    Parent(u32),
}

/// Makes a copy of this process, which must have one thread only.
///
/// # Errors
/// When the system refuses another process, or when there are other threads: their locks would never be
/// released in the copy.
pub fn fork() -> io::Result<Fork> {
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or(1);
    if threads > 1 {
        return Err(io::Error::other(format!("cannot fork: {threads} threads are running")));
    }
    // SAFETY: there is no other thread, so no lock can be held by one.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(Fork::Child),
        ForkResult::Parent { child } => Ok(Fork::Parent(u32::try_from(child.as_raw()).unwrap_or(0))),
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Ended {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// A child that has ended, if any has.
pub fn reap() -> Option<(u32, Ended)> {
    loop {
        let (pid, ended) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) => (pid, Ended::Exited(status)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Ended::Killed(signal as i32)),
            Ok(WaitStatus::StillAlive) | Err(_) => return None,
            Ok(_) => continue,
        };
        return Some((u32::try_from(pid.as_raw()).unwrap_or(0), ended));
    }
}

/// Waits until this child has ended.
pub fn wait_for(child: u32) {
    let Ok(child) = i32::try_from(child) else { return };
    while waitpid(Pid::from_raw(child), None) == Err(nix::errno::Errno::EINTR) {}
}

/// Sends a signal by number, real-time signals included. A process that is gone is no error.
pub fn signal(pid: u32, number: i32) {
    let Ok(pid) = i32::try_from(pid) else { return };
    if pid > 0 {
        // SAFETY: only sends a signal.
        unsafe { libc::kill(pid, number) };
    }
}

/// Sends a signal to a process group. A group that is gone is no error.
pub fn signal_group(group: u32, number: i32) {
    let Ok(group) = i32::try_from(group) else { return };
    // 1 would be every process there is.
    if group > 1 {
        // SAFETY: only sends a signal.
        unsafe { libc::kill(-group, number) };
    }
}

/// Whether there is a process in this group, be it one that has ended and was not waited for.
pub fn group_exists(group: u32) -> bool {
    let Ok(group) = i32::try_from(group) else { return false };
    group > 1 && !matches!(send(Pid::from_raw(-group), None), Err(nix::errno::Errno::ESRCH))
}

/// Whether a process of this number exists.
pub fn exists(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| pid > 0 && send(Pid::from_raw(pid), None).is_ok())
}

/// The name of this node, as `uname -n` gives it.
pub fn node_name() -> String {
    nix::sys::utsname::uname()
        .map(|names| names.nodename().to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The number of the calling process.
pub fn own_pid() -> u32 {
    std::process::id()
}

/// Makes the kernel send TERM to the calling process when its parent ends. False if the parent, whose number
/// was `parent`, ended before that took effect.
pub fn end_with_parent(parent: u32) -> bool {
    // SAFETY: both calls only change or read attributes of this process.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
        u32::try_from(libc::getppid()) == Ok(parent)
    }
}

/// Makes the calling process the parent of orphaned descendants.
pub fn adopt_orphans() {
    // SAFETY: only changes an attribute of this process.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
}

/// Allows a core file.
pub fn allow_core_dump() {
    use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
    // Where the hard limit forbids it there is no core file, which is no reason not to run.
    let _ = setrlimit(Resource::RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY);
}

/// The soft limit of open files before it was raised; 0 = it was not.
static DESCRIPTORS_BEFORE: AtomicU64 = AtomicU64::new(0);

/// Raises the limit of open files as far as the hard limit goes.
pub fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok()
    {
        DESCRIPTORS_BEFORE.store(soft, Ordering::Relaxed);
    }
}

/// For a program that is about to be executed: sets the limit as it was before [`raise_descriptor_limit`]. Some fail
/// with a high one, or take long.
pub fn restore_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let soft = DESCRIPTORS_BEFORE.load(Ordering::Relaxed);
    if let (true, Ok((_, hard))) = (soft > 0, getrlimit(Resource::RLIMIT_NOFILE)) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard);
    }
}

/// How many files may be open.
pub fn descriptor_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}

/// The number that the next file will have: at least as many are open. `any` is any open descriptor.
///
/// # Errors
/// When the system has no descriptor left.
pub fn lowest_free_descriptor(any: &impl AsFd) -> io::Result<u64> {
    let copy = any.as_fd().try_clone_to_owned()?;
    Ok(u64::try_from(copy.as_raw_fd()).unwrap_or(0))
}

/// Detaches the calling process from its terminal and folder.
///
/// # Errors
/// None in practice.
pub fn detach() -> io::Result<()> {
    nix::unistd::setsid()?;
    std::env::set_current_dir("/")
}

/// Points standard input and output, and standard error if asked, to `/dev/null`.
///
/// # Errors
/// When `/dev/null` cannot be opened.
pub fn close_standard_streams(error_too: bool) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let last = if error_too { libc::STDERR_FILENO } else { libc::STDOUT_FILENO };
    for descriptor in libc::STDIN_FILENO..=last {
        // SAFETY: replaces a standard descriptor by a copy of an open one.
        if unsafe { libc::dup2(null.as_raw_fd(), descriptor) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Opens `/dev/null` on each of descriptors 0 to 2 that is closed, so that no other file gets its number.
pub fn fill_standard_streams() {
    loop {
        // SAFETY: opens a file and gives the lowest free number.
        let descriptor = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        if descriptor > libc::STDERR_FILENO {
            // SAFETY: the descriptor is new and ours alone.
            drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
            return;
        }
        if descriptor < 0 {
            return;
        }
    }
}

/// Closes every descriptor from 3 on but this one: what the calling process has inherited is not its own.
///
/// What owned one of them must not be used or dropped any more.
pub fn close_all_but(kept: &impl AsFd) {
    let kept = u32::try_from(kept.as_fd().as_raw_fd()).unwrap_or(0);
    let first = 3;
    for (from, to) in [(first, kept.saturating_sub(1)), (kept.saturating_add(1).max(first), u32::MAX)] {
        if from > to {
            continue;
        }
        // SAFETY: closes descriptors that the caller has given up.
        if unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) } == 0 {
            continue;
        }
        // Linux before 5.9.
        for descriptor in open_descriptors().filter(|descriptor| (from..=to).contains(descriptor)) {
            // SAFETY: as above.
            unsafe { libc::close(i32::try_from(descriptor).unwrap_or(-1)) };
        }
    }
}

fn open_descriptors() -> impl Iterator<Item = u32> {
    let listed = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers: Vec<u32> = listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.into_iter()
}

/// Makes the calling process, which must have one thread, one of this user and its main group alone, for ever. Nothing
/// where it is not root's, and has no other user to become.
///
/// # Errors
/// When there is no such user, or the user namespace does not know it.
pub fn become_user(name: &str) -> io::Result<()> {
    let unknown = || io::Error::new(io::ErrorKind::NotFound, "there is no such user");
    let user = User::from_name(name)?.ok_or_else(unknown)?;
    if !geteuid().is_root() || user.uid.is_root() {
        return Ok(());
    }
    setgroups(&[user.gid])?;
    setresgid(user.gid, user.gid, user.gid)?;
    setresuid(user.uid, user.uid, user.uid)?;
    Ok(())
}

/// Sets the mask for files that are created.
pub fn set_umask(mask: u32) {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask));
}

/// Moves the calling thread, which must be the only one, into the network namespace of this name
/// (`ip netns`).
///
/// # Errors
/// When there is no such namespace or privilege is missing.
pub fn enter_namespace(name: &str) -> io::Result<()> {
    let path = namespace_path(name)?;
    let file = File::open(&path)?;
    let home = File::open("/proc/thread-self/ns/net");
    setns(file, CloneFlags::CLONE_NEWNET)?;
    if let Ok(home) = home {
        // The first one counts.
        let _ = HOME_NAMESPACE.set(home);
    }
    Ok(())
}

/// The network namespace before [`enter_namespace`] was called for the first time.
static HOME_NAMESPACE: OnceLock<File> = OnceLock::new();

/// For a program that is about to be executed: moves the calling thread, which must be the only one, to where it was
/// before [`enter_namespace`].
///
/// # Errors
/// When privilege is missing.
pub fn return_home() -> io::Result<()> {
    match HOME_NAMESPACE.get() {
        Some(home) => Ok(setns(home, CloneFlags::CLONE_NEWNET)?),
        None => Ok(()),
    }
}

fn namespace_path(name: &str) -> io::Result<PathBuf> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a name of a network namespace"));
    }
    Ok(PathBuf::from("/run/netns").join(name))
}

/// Names the calling thread, at most 15 bytes are kept.
pub fn name_thread(name: &str) {
    let Ok(name) = CString::new(name) else { return };
    // SAFETY: the text ends with a zero byte and lives through the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Machine name and kernel release (`uname`).
pub fn kernel_release() -> String {
    nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default()
}

/// A pipe: the end to read and the end to write. Both are closed when another program is executed.
///
/// # Errors
/// When the system has no descriptor left.
pub fn pipe() -> io::Result<(File, File)> {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    Ok((File::from(read), File::from(write)))
}

/// An anonymous file in memory, shared with the processes forked from here.
///
/// # Errors
/// When the system has no descriptor or memory left.
pub fn memory_file(name: &str) -> io::Result<File> {
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the text ends with a zero byte and lives through the call.
    let descriptor = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and ours alone.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespace_names_stay_in_their_folder() {
        for bad in ["", ".", "..", "../x", "/etc"] {
            assert!(namespace_path(bad).is_err(), "{bad}");
        }
        assert_eq!(namespace_path("a").unwrap(), PathBuf::from("/run/netns/a"));
    }

    #[test]
    fn fork_is_refused_with_threads() {
        // The test harness itself runs this in a thread beside the main one.
        assert!(fork().is_err());
    }

    #[test]
    fn this_process_exists() {
        assert!(exists(own_pid()));
        assert!(!exists(0));
        assert!(!exists(u32::MAX));
    }
}
