//! What a process can never do any more, whatever rights it has (`seccomp(2)`, `PR_SET_NO_NEW_PRIVS`).

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::io;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// System calls for what no part of the daemon that serves packets does: running programs, looking into other
/// processes, mounting, changing the kernel, the clock or who the process is, and interfaces with a history of holes.
/// They fail with EPERM. FIFOs can be made; for devices the right is missing (CAP_MKNOD).
const FORBIDDEN: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
];

/// Those calls in words, for a log.
pub const FORBIDDEN_WORDS: &str = "executing programs, becoming another user, tracing, mounting, entering namespaces, \
                                   setting the clock, and loading code into the kernel";

/// Gives up [`FORBIDDEN_WORDS`] for ever: for the calling thread, the threads that it starts from then on, and their
/// children. Nothing that they execute gains rights either.
///
/// # Errors
/// Where the kernel has no filters, or the machine is one that the filter is not made for.
pub fn forbid() -> io::Result<()> {
    let architecture: TargetArch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        FORBIDDEN.iter().map(|call| (*call, Vec::new())).collect();
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, denied, architecture).map_err(io::Error::other)?;
    let program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_given_up_fails_and_the_rest_goes_on() {
        // A filter is its thread's alone.
        let thread = std::thread::spawn(|| {
            forbid().unwrap();
            let run = Command::new("/bin/true").status();
            let file = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let mount = nix::mount::mount(
                None::<&str>,
                "/nowhere",
                Some("tmpfs"),
                nix::mount::MsFlags::empty(),
                None::<&str>,
            );
            (run.map_err(|error| error.raw_os_error()), file, mount)
        });
        let (run, status, mount) = thread.join().unwrap();
        assert!(matches!(run, Err(Some(libc::EPERM))), "{run:?}");
        assert_eq!(mount, Err(nix::errno::Errno::EPERM));
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(status.lines().any(|of| of == line), "{status}");
        }
        assert!(Command::new("/bin/true").status().unwrap().success(), "the others may");
    }
}
