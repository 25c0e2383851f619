//! Starting a program as a user, in a process group of its own.
//!
//! By an ordinary fork, from a process that is small and has nothing urgent to do. With `vfork` the child would
//! share this process' memory while it has a user's rights already, and could be stopped by that user just then,
//! and this process with it.

#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Pid, Uid, User};
use serde::{Deserialize, Serialize};

use super::capabilities;
use super::process::{self, Fork};
use crate::kernel::NamedUser;

/// Where a bare name is looked up without `PATH`.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What runs a script without `#!`, as `execvp` does.
const SHELL: &CStr = c"/bin/sh";

/// What to start.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// The command line; the first word is a path, or a bare name that is looked up in `PATH`.
    pub words: &'a [CString],
    /// The whole environment, `NAME=VALUE` each.
    pub environment: &'a [CString],
    /// As whom; `None` = as the calling process.
    pub identity: Option<&'a Identity>,
    /// Standard input; `/dev/null` without. Standard output and error are those of the calling process.
    pub input: Option<BorrowedFd<'a>>,
}

/// Numbers of a user and of all its groups.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    user: Uid,
    group: Gid,
    supplementary: Vec<Gid>,
}

/// Why a program could not be started.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum StartError {
    /// There is no such user.
    NoSuchUser(String),
    /// There is no such group.
    NoSuchGroup(String),
    /// This step failed with this `errno`.
    Step(Step, i32),
}

/// What is done to start a program.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[repr(u8)]
pub enum Step {
    /// Looking up the user.
    LookUp,
    /// Another process.
    Fork,
    /// Standard input.
    Input,
    /// The rights of the user's groups.
    Groups,
    /// The rights of the user.
    User,
    /// The program itself: it is missing, not executable, not for this machine.
    Execute,
}

impl Step {
    const ALL: [Self; 6] = [Self::LookUp, Self::Fork, Self::Input, Self::Groups, Self::User, Self::Execute];
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (step, errno) = match self {
            Self::NoSuchUser(name) => return write!(f, "there is no user '{name}'"),
            Self::NoSuchGroup(name) => return write!(f, "there is no group '{name}'"),
            Self::Step(step, errno) => (step, io::Error::from_raw_os_error(*errno)),
        };
        match step {
            Step::LookUp => write!(f, "its user cannot be looked up: {errno}"),
            Step::Fork => write!(f, "no process for it: {errno}"),
            Step::Input => write!(f, "no standard input for it: {errno}"),
            Step::Groups => {
                write!(f, "it cannot have the rights of its groups: {errno}{}", lack(&errno, "CAP_SETGID"))
            }
            Step::User => {
                write!(f, "it cannot have the rights of its user: {errno}{}", lack(&errno, "CAP_SETUID"))
            }
            Step::Execute => write!(f, "it cannot be executed: {errno}"),
        }
    }
}

/// What a refusal most likely comes of.
fn lack(errno: &io::Error, capability: &str) -> String {
    match errno.raw_os_error() {
        Some(libc::EPERM) => format!(" (the daemon lacks {capability})"),
        _ => String::new(),
    }
}

impl Identity {
    /// Whether it is that of the calling process, in all its parts.
    fn is_own(&self) -> bool {
        let others = |groups: &[Gid]| -> BTreeSet<u32> {
            groups.iter().filter(|group| **group != self.group).map(|group| group.as_raw()).collect()
        };
        let (Ok(users), Ok(groups), Ok(supplementary)) =
            (nix::unistd::getresuid(), nix::unistd::getresgid(), nix::unistd::getgroups())
        else {
            return false;
        };
        [users.real, users.effective, users.saved].iter().all(|user| *user == self.user)
            && [groups.real, groups.effective, groups.saved].iter().all(|group| *group == self.group)
            && others(&supplementary) == others(&self.supplementary)
    }

    /// Looks the names up. That may take long where they come from the network.
    ///
    /// # Errors
    /// When they are neither names nor numbers, or cannot be looked up.
    pub fn of(named: &NamedUser) -> Result<Self, StartError> {
        let failed = |error: Errno| StartError::Step(Step::LookUp, error as i32);
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number != u32::MAX);
        let by_number = |number: u32| User::from_uid(Uid::from_raw(number)).map_err(failed);
        let (user, known) = match User::from_name(&named.user).map_err(failed)? {
            Some(known) => (known.uid, Some(known)),
            None => {
                let uid = number(&named.user)
                    .ok_or_else(|| StartError::NoSuchUser(named.user.as_ref().to_owned()))?;
                (Uid::from_raw(uid), by_number(uid)?)
            }
        };
        let group = match (&named.group, &known) {
            (Some(name), _) => match Group::from_name(name).map_err(failed)? {
                Some(group) => group.gid,
                None => number(name)
                    .map(Gid::from_raw)
                    .ok_or_else(|| StartError::NoSuchGroup(name.as_ref().to_owned()))?,
            },
            (None, Some(known)) => known.gid,
            // A number that is nobody's has no group either.
            (None, None) => return Err(StartError::NoSuchUser(named.user.as_ref().to_owned())),
        };
        let supplementary = match known.filter(|_| named.supplementary_groups) {
            Some(known) => {
                let name = CString::new(known.name).map_err(|_| failed(Errno::EINVAL))?;
                nix::unistd::getgrouplist(&name, group).map_err(failed)?
            }
            None => vec![group],
        };
        Ok(Self { user, group, supplementary })
    }

    /// Number of the user.
    pub fn user(&self) -> u32 {
        self.user.as_raw()
    }

    /// Number of its group.
    pub fn group(&self) -> u32 {
        self.group.as_raw()
    }
}

/// A program that was started, or is just about to turn out not to be.
#[derive(Debug)]
pub struct Started {
    /// The number of its process, and of its process group.
    pub pid: u32,
    /// What the process says if it cannot become the program.
    report: File,
}

impl Started {
    /// Why the process ended without having become the program. To be called when it has ended; does not
    /// wait.
    pub fn failure(mut self) -> Option<StartError> {
        let mut report = [0; 5];
        self.report.read_exact(&mut report).ok()?;
        let [step, errno @ ..] = report;
        let step = Step::ALL.into_iter().find(|known| *known as u8 == step)?;
        Some(StartError::Step(step, i32::from_ne_bytes(errno)))
    }
}

/// Starts a program in a process group of its own: with the signals as a fresh process has them, none of
/// the calling process' other descriptors (they must be closed on execution), and TERM for it when the calling
/// process ends. Whether it becomes the program is known when it has ended: [`Started::failure`].
///
/// The calling process must have one thread.
///
/// # Errors
/// When the system has no process or no descriptor left.
pub fn start(program: &Program<'_>) -> Result<Started, StartError> {
    let failed =
        |error: &io::Error| StartError::Step(Step::Fork, error.raw_os_error().unwrap_or(libc::EAGAIN));
    let candidates = candidates(program);
    let parent = process::own_pid();
    let (report, mut word) = process::pipe().map_err(|error| failed(&error))?;
    match process::fork().map_err(|error| failed(&error))? {
        Fork::Parent(pid) => {
            let number = Pid::from_raw(i32::try_from(pid).unwrap_or(0));
            // The child does the same: whoever comes first. A signal to the group finds it from here on.
            let _ = nix::unistd::setpgid(number, number);
            Ok(Started { pid, report })
        }
        Fork::Child => {
            let (step, error) = become_program(program, &candidates, parent);
            let mut bytes = vec![step as u8];
            bytes.extend((error as i32).to_ne_bytes());
            let _ = word.write_all(&bytes);
            // SAFETY: ends the process without running what the parent has registered for its own end.
            unsafe { libc::_exit(127) }
        }
    }
}

/// In the child: gives only if it fails.
fn become_program(program: &Program<'_>, candidates: &[CString], parent: u32) -> (Step, Errno) {
    let this = Pid::from_raw(0);
    let _ = nix::unistd::setpgid(this, this);
    if let Err(error) = redirect_input(program.input) {
        return (Step::Input, error);
    }
    // Who is somebody already needs no right to become it.
    if let Some(identity) = program.identity.filter(|identity| !identity.is_own()) {
        let Identity { user, group, supplementary } = identity;
        // In this order: without the user's rights the groups could not be changed.
        if let Err(error) = nix::unistd::setgroups(supplementary)
            .and_then(|()| nix::unistd::setresgid(*group, *group, *group))
        {
            return (Step::Groups, error);
        }
        if let Err(error) = nix::unistd::setresuid(*user, *user, *user) {
            return (Step::User, error);
        }
    }
    // Another user has none any more; root finds and executes the program with all of them.
    let _ = capabilities::take_up();
    reset_signals();
    process::restore_descriptor_limit();
    // After the change of user, which would undo it.
    if !process::end_with_parent(parent) {
        process::signal(process::own_pid(), libc::SIGTERM);
    }
    (Step::Execute, execute(program, candidates))
}

fn redirect_input(input: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    match input {
        Some(input) => nix::unistd::dup2_stdin(input),
        None => {
            let null = File::open("/dev/null")
                .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
            nix::unistd::dup2_stdin(null.as_fd())
        }
    }
}

/// What is ignored or blocked would stay so in the program.
fn reset_signals() {
    // Past the C library, which keeps two signals for itself and does not change them. All zero is the default.
    let action = [0_u64; 8];
    let set_bytes = size_of::<u64>();
    // SAFETY: `action` is longer than the kernel's structure and lives through the calls; default dispositions
    // run no code of ours; `set` is initialised by sigemptyset.
    unsafe {
        for number in 1..=libc::SIGRTMAX() {
            let none = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, number, action.as_ptr(), none, set_bytes);
        }
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// Gives only if none of the candidates can be executed: the error that says most.
fn execute(program: &Program<'_>, candidates: &[CString]) -> Errno {
    let mut worst = Errno::ENOENT;
    for candidate in candidates {
        let Err(error) = nix::unistd::execve(candidate, program.words, program.environment);
        match error {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => worst = error,
            Errno::ENOEXEC => {
                let rest = program.words.iter().skip(1).map(CString::as_c_str);
                let words: Vec<&CStr> = [SHELL, candidate].into_iter().chain(rest).collect();
                let Err(error) = nix::unistd::execve(SHELL, &words, program.environment);
                return error;
            }
            _ => return error,
        }
    }
    worst
}

/// Paths to try, in order.
fn candidates(program: &Program<'_>) -> Vec<CString> {
    let Some(name) = program.words.first() else { return Vec::new() };
    if name.to_bytes().contains(&b'/') {
        return vec![name.clone()];
    }
    let path = program.environment.iter().find_map(|entry| entry.to_bytes().strip_prefix(b"PATH="));
    let folders = path.unwrap_or(DEFAULT_PATH).split(|byte| *byte == b':');
    // An empty entry of PATH would be the working folder: a trap, and never meant.
    let folders = folders.filter(|folder| !folder.is_empty() && !name.is_empty());
    folders.filter_map(|folder| CString::new([folder, b"/", name.to_bytes()].concat()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(user: &str, group: Option<&str>) -> NamedUser {
        NamedUser { user: user.into(), group: group.map(Into::into), supplementary_groups: true }
    }

    #[test]
    fn users_and_groups_are_names_or_numbers() {
        let root = Identity::of(&named("root", None)).unwrap();
        assert_eq!((root.user, root.group), (Uid::from_raw(0), Gid::from_raw(0)));
        assert!(root.supplementary.contains(&root.group));
        assert_eq!(Identity::of(&named("0", Some("root"))).unwrap(), root);
        let number = Identity::of(&named("4000000001", Some("4000000002"))).unwrap();
        assert_eq!(number.supplementary, [Gid::from_raw(4_000_000_002)]);
        // u32::MAX would mean "leave it as it is".
        for nobody in ["no-such-user", "4000000001", "", "-1", "4294967295", "a\0b"] {
            let error = Identity::of(&named(nobody, None)).unwrap_err();
            assert!(!matches!(error, StartError::NoSuchGroup(_)), "{nobody}: {error}");
        }
        assert_eq!(
            Identity::of(&named("root", Some("no-such-group"))),
            Err(StartError::NoSuchGroup("no-such-group".to_owned()))
        );
    }

    #[test]
    fn bare_names_are_looked_up() {
        let c = |text: &str| CString::new(text).unwrap();
        let paths = |name: &str, environment: &[CString]| {
            let words = [c(name)];
            candidates(&Program { words: &words, environment, identity: None, input: None })
        };
        assert_eq!(paths("./x", &[]), [c("./x")]);
        assert_eq!(paths("x", &[c("A=b"), c("PATH=/a::/b")]), [c("/a/x"), c("/b/x")]);
        assert_eq!(paths("x", &[]).len(), 6);
        assert!(paths("", &[]).is_empty());
    }
}
