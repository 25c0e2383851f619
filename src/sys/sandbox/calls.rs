//! System calls that are given up (`seccomp(2)`, `PR_SET_NO_NEW_PRIVS`), and the word that is left when one is made.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// The numbers of system calls, with the words that stand for them here.
macro_rules! calls {
    ($($call:ident),* $(,)?) => { &[$((libc::$call, stringify!($call))),*] };
}

/// System calls for what no part of the daemon that serves packets does: running programs, looking into other
/// processes, mounting, changing the kernel, the clock or who the process is, and interfaces with a history of holes.
/// They fail with EPERM. FIFOs can be made; for devices the right is missing (CAP_MKNOD).
const FORBIDDEN: &[(libc::c_long, &str)] = calls![
    SYS_execve,
    SYS_execveat,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    SYS_pidfd_getfd,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_unshare,
    SYS_setns,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_fanotify_init,
    SYS_acct,
    SYS_quotactl,
    SYS_syslog,
    SYS_vhangup,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_setuid,
    SYS_setgid,
    SYS_setreuid,
    SYS_setregid,
    SYS_setresuid,
    SYS_setresgid,
    SYS_setgroups,
    SYS_setfsuid,
    SYS_setfsgid,
];

/// Those calls in words, for a log.
pub const FORBIDDEN_WORDS: &str = "executing programs, becoming another user, tracing, mounting, entering namespaces, \
                                   setting the clock, and loading code into the kernel";

/// Of each of [`FORBIDDEN`] one bit: it was made and not told of yet.
static MADE: AtomicU64 = AtomicU64::new(0);

/// What is written to then; -1 before there is one.
static WOKEN: AtomicI32 = AtomicI32::new(-1);

/// What [`WOKEN`] is of: never closed, since a handler may use it.
static NOTICE: OnceLock<EventFd> = OnceLock::new();

const _: () = assert!(FORBIDDEN.len() <= u64::BITS as usize, "a bit for each");

/// Tells of forbidden calls that were made by any thread.
#[derive(Clone, Copy, Debug)]
pub struct Refusals(&'static EventFd);

impl Refusals {
    /// The names of those made since the last time.
    pub fn take(self) -> Vec<&'static str> {
        // Emptied first: what is made from now on wakes again.
        let _ = self.0.read();
        let made = MADE.swap(0, Ordering::Relaxed);
        let is_made = |place: usize| made & (1 << place) != 0;
        FORBIDDEN
            .iter()
            .enumerate()
            .filter(|(place, _)| is_made(*place))
            .map(|(_, (_, name))| name.trim_start_matches("SYS_"))
            .collect()
    }
}

/// Readable while there is something to take.
impl AsFd for Refusals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Gives up [`FORBIDDEN_WORDS`] for ever: for the calling thread, the threads that it starts from then on, and their
/// children. Nothing that they execute gains rights either.
///
/// # Errors
/// Where the kernel has no filters, or the machine is one that the filter is not made for.
pub fn forbid() -> io::Result<Refusals> {
    let notice = notice()?;
    let architecture: TargetArch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        FORBIDDEN.iter().map(|(call, _)| (*call, Vec::new())).collect();
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, denied(), architecture).map_err(io::Error::other)?;
    let program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)?;
    Ok(Refusals(notice))
}

/// A call that is refused raises a signal in the thread that made it, whose handler notes it and makes the call fail.
/// Where a handler cannot set what a call gives, it just fails.
fn denied() -> SeccompAction {
    if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        SeccompAction::Trap
    } else {
        SeccompAction::Errno(libc::EPERM.unsigned_abs())
    }
}

fn notice() -> io::Result<&'static EventFd> {
    if NOTICE.get().is_none() {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let _ = NOTICE.set(EventFd::from_value_and_flags(0, flags)?);
    }
    let notice = NOTICE.get().ok_or(io::ErrorKind::NotFound)?;
    WOKEN.store(notice.as_raw_fd(), Ordering::Relaxed);
    let action = SigAction::new(
        SigHandler::SigAction(refuse),
        SaFlags::SA_SIGINFO | SaFlags::SA_RESTART | SaFlags::SA_ONSTACK,
        SigSet::empty(),
    );
    // SAFETY: the handler does only what a handler may: atomics, write(2), and its own arguments.
    unsafe { signal::sigaction(Signal::SIGSYS, &action) }?;
    Ok(notice)
}

/// The handler: notes the call, and has it give EPERM.
extern "C" fn refuse(_: libc::c_int, information: *mut libc::siginfo_t, context: *mut libc::c_void) {
    /// The part of `siginfo_t` that belongs to SIGSYS (`sigaction(2)`), which libc has no access to.
    #[repr(C)]
    struct ForbiddenCall {
        _head: [libc::c_int; 3],
        _address: *mut libc::c_void,
        number: libc::c_int,
        _architecture: libc::c_uint,
    }
    // SAFETY: the kernel gives both, for this signal in this form; the code tells it from one that somebody sent.
    let number = unsafe {
        const SYS_SECCOMP: libc::c_int = 1;
        if (*information).si_code != SYS_SECCOMP {
            return;
        }
        give(&mut *context.cast::<libc::ucontext_t>(), -i64::from(libc::EPERM));
        (*information.cast::<ForbiddenCall>()).number
    };
    let Some(place) = FORBIDDEN.iter().position(|(call, _)| *call == libc::c_long::from(number)) else {
        return;
    };
    MADE.fetch_or(1 << place, Ordering::Relaxed);
    let one = 1_u64.to_ne_bytes();
    // SAFETY: the descriptor is never closed; the bytes live through the call. A full counter is one that wakes, too.
    unsafe { libc::write(WOKEN.load(Ordering::Relaxed), one.as_ptr().cast(), one.len()) };
}

/// Sets what the interrupted call gives.
#[cfg(target_arch = "x86_64")]
fn give(context: &mut libc::ucontext_t, result: i64) {
    context.uc_mcontext.gregs[libc::REG_RAX as usize] = result;
}

/// Sets what the interrupted call gives.
#[cfg(target_arch = "aarch64")]
fn give(context: &mut libc::ucontext_t, result: i64) {
    context.uc_mcontext.regs[0] = result as u64;
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn give(_: &mut libc::ucontext_t, _: i64) {}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::errno::Errno;

    use super::*;

    #[test]
    fn what_is_given_up_fails_by_its_name_and_the_rest_goes_on() {
        // A filter is its thread's alone.
        let thread = std::thread::spawn(|| {
            let refusals = forbid().unwrap();
            assert_eq!(refusals.take(), [""; 0]);
            let run = nix::unistd::execv(c"/bin/true", &[c"true"]);
            let file = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let mount = nix::mount::mount(
                None::<&str>,
                "/nowhere",
                Some("tmpfs"),
                nix::mount::MsFlags::empty(),
                None::<&str>,
            );
            let told = refusals.take();
            (run, file, mount, told, refusals.take())
        });
        let (run, status, mount, told, again) = thread.join().unwrap();
        assert_eq!((run, mount), (Err(Errno::EPERM), Err(Errno::EPERM)));
        if matches!(denied(), SeccompAction::Trap) {
            assert_eq!((told, again), (vec!["execve", "mount"], vec![]));
        }
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(status.lines().any(|of| of == line), "{status}");
        }
        assert!(Command::new("/bin/true").status().unwrap().success(), "the others may");
    }
}
