//! A family of processes that cannot outlive this one: a PID namespace whose first process, a keeper that
//! only waits, ends when we do; the kernel then kills everything inside, however it was stopped or forked.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

type Job = (Command, mpsc::Sender<io::Result<Child>>);

/// A PID namespace of this process' making. Processes in it see their own numbers there; the numbers that
/// this process sees ([`Child::id`]) are its own namespace's.
#[derive(Debug)]
pub struct PidNamespace {
    // Dropping it kills every process inside: the thread that listens then lets the keeper go.
    jobs: mpsc::Sender<Job>,
}

impl PidNamespace {
    /// A new one. Needs `CAP_SYS_ADMIN` in the process' user namespace.
    pub fn create() -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let (ready, outcome) = mpsc::channel();
        // Unsharing changes the children of the calling thread alone, and that thread cannot start threads
        // any more: hence one for nothing else.
        thread::Builder::new().name("spawn".to_owned()).spawn(move || {
            match Keeper::start() {
                Ok(keeper) => {
                    let _ = ready.send(Ok(()));
                    for (mut command, answer) in waiting {
                        let _ = answer.send(command.spawn());
                    }
                    keeper.end();
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            };
        })?;
        outcome.recv().unwrap_or_else(|_| Err(io::Error::other("the spawning thread ended early")))?;
        Ok(Self { jobs })
    }

    /// Starts `command` inside.
    pub fn spawn(&self, command: Command) -> io::Result<Child> {
        let gone = || io::Error::other("the spawning thread ended early");
        let (answer, outcome) = mpsc::channel();
        self.jobs.send((command, answer)).map_err(|_| gone())?;
        outcome.recv().map_err(|_| gone())?
    }
}

/// The namespace's first process: it ends when the pipe's other end closes, which the kernel does for us
/// however we end.
struct Keeper {
    pid: nix::unistd::Pid,
    lifeline: OwnedFd,
}

impl Keeper {
    fn start() -> io::Result<Self> {
        unshare(CloneFlags::CLONE_NEWPID)?;
        let (waiting, lifeline) = io::pipe()?;
        let (waiting, lifeline) = (OwnedFd::from(waiting), OwnedFd::from(lifeline));
        // SAFETY: the child makes only system calls that are safe after a fork, and never returns.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self { pid: child, lifeline }),
            ForkResult::Child => {
                // SAFETY: plain system calls on a descriptor that is open; every other one is closed, and
                // the process ends here without running any destructor.
                unsafe {
                    libc::dup2(waiting.as_raw_fd(), 0);
                    libc::syscall(libc::SYS_close_range, 1u32, u32::MAX, 0u32);
                    // Orphans inside become our children: let the kernel reap them.
                    libc::signal(libc::SIGCHLD, libc::SIG_IGN);
                    libc::prctl(libc::PR_SET_NAME, c"keeper".as_ptr());
                    let mut byte = 0u8;
                    while libc::read(0, (&raw mut byte).cast(), 1) < 0
                        && *libc::__errno_location() == libc::EINTR
                    {}
                    libc::_exit(0)
                }
            }
        }
    }

    /// The kernel lets the keeper go only after every process inside is reaped, by its own parent: this may
    /// wait for somebody to look after a [`Child`].
    fn end(self) {
        drop(self.lifeline);
        let _ = waitpid(self.pid, None);
    }
}

/// The processes that descend from `pid`, itself included, parents before children.
pub fn descendants(pid: u32) -> io::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(parent) = parent_of(process) {
            parents.push((process, parent));
        }
    }
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(parents.iter().filter(|&&(_, p)| p == parent).map(|&(process, _)| process));
        next += 1;
    }
    Ok(family)
}

fn parent_of(process: u32) -> Option<u32> {
    let stat = io::read_to_string(File::open(format!("/proc/{process}/stat")).ok()?).ok()?;
    // The name in brackets may hold anything; state and parent follow the last bracket (proc(5)).
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopped_processes_end_with_the_namespace() {
        let family = match PidNamespace::create() {
            Ok(family) => family,
            Err(error) => {
                let reason = format!("no right to create a PID namespace: {error}");
                return crate::skip::skip("stopped_processes_end_with_the_namespace", &reason);
            }
        };
        let mut command = Command::new("sh");
        command.args(["-c", "kill -STOP $$; sleep 1000"]);
        let mut child = family.spawn(command).unwrap();
        drop(family);
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
    }

    #[test]
    fn descendants_are_found() {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 1000 & echo; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0u8];
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let family = descendants(child.id()).unwrap();
        for &process in family.iter().rev() {
            nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(process.cast_signed()),
                nix::sys::signal::Signal::SIGKILL,
            )
            .unwrap();
        }
        child.wait().unwrap();
        assert_eq!(family.len(), 2);
    }
}
