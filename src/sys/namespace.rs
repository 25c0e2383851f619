//! Network namespaces held by descriptors: nothing is named on the machine, and a namespace ends with its
//! last descriptor and process.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{getegid, geteuid};

/// A network namespace.
#[derive(Debug)]
pub struct Namespace {
    descriptor: OwnedFd,
}

impl Namespace {
    /// The calling thread's.
    pub fn current() -> io::Result<Self> {
        Ok(Self { descriptor: File::open("/proc/thread-self/ns/net")?.into() })
    }

    /// A new, empty one. Needs `CAP_SYS_ADMIN` in the process' user namespace.
    pub fn create() -> io::Result<Self> {
        on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Self::current()
        })?
    }

    /// The same namespace once more.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { descriptor: self.descriptor.try_clone()? })
    }

    /// Runs `work` inside, on a thread of its own, and waits for it. Sockets it opens stay in the namespace;
    /// `/proc/sys/net` shows this namespace there.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_own_thread(|| {
            self.enter()?;
            Ok(work())
        })?
    }

    /// Moves the calling thread inside.
    pub fn enter(&self) -> io::Result<()> {
        Ok(setns(&self.descriptor, CloneFlags::CLONE_NEWNET)?)
    }

    /// Makes `command` start inside. The namespace must outlive the call that spawns it.
    pub fn contain(&self, command: &mut Command) {
        let descriptor = self.descriptor.as_raw_fd();
        let enter = move || {
            // SAFETY: the descriptor is open: `spawn` is called while `self` lives, and it closes on exec only.
            let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
            Ok(setns(descriptor, CloneFlags::CLONE_NEWNET)?)
        };
        // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
        unsafe { command.pre_exec(enter) };
    }

    /// Sets `/proc/sys/net/…` inside. `setting` is the path below `/proc/sys/net`.
    pub fn set(&self, setting: &str, value: &str) -> io::Result<()> {
        let path = format!("/proc/sys/net/{setting}");
        self.run(|| std::fs::write(&path, value))?
            .map_err(|error| io::Error::new(error.kind(), format!("writing {value} to {path}: {error}")))
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// How this process came to the right to build namespaces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Privilege {
    /// It had it.
    Held,
    /// In a user namespace of its own, where it is root over itself alone.
    OwnUserNamespace,
}

/// Why namespaces cannot be built.
#[derive(Debug)]
pub struct Forbidden {
    /// The kernel's error.
    pub error: io::Error,
    /// What to change, as settings for `sysctl`.
    pub settings: Vec<&'static str>,
}

/// Makes sure that this process may build network namespaces, and moves it into an empty one of its own. It
/// must have one thread only, since a process with several cannot enter a user namespace.
///
/// # Errors
/// [`Forbidden`] where neither privilege nor user namespaces are to be had.
pub fn acquire_privilege() -> Result<Privilege, Forbidden> {
    if unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(Privilege::Held);
    }
    let (user, group) = (geteuid(), getegid());
    let enter = || -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
        // A group map may be written without privilege only once setgroups is given up (user_namespaces(7)).
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
        std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))?;
        // Where AppArmor restricts user namespaces, entering succeeds and the capabilities are missing.
        unshare(CloneFlags::CLONE_NEWNET)?;
        Ok(())
    };
    enter().map(|()| Privilege::OwnUserNamespace).map_err(|error| Forbidden {
        error,
        settings: forbidding_settings(|path| std::fs::read_to_string(path).ok()),
    })
}

/// The settings that forbid user namespaces, each as the `sysctl` argument that allows them.
fn forbidding_settings(read: impl Fn(&str) -> Option<String>) -> Vec<&'static str> {
    let value = |path: &str| read(&format!("/proc/sys/{path}"))?.trim().parse::<i64>().ok();
    [
        (
            value("kernel/unprivileged_userns_clone").is_some_and(|value| value == 0),
            "kernel.unprivileged_userns_clone=1",
        ),
        (value("user/max_user_namespaces").is_some_and(|value| value < 2), "user.max_user_namespaces=1024"),
        (value("user/max_net_namespaces").is_some_and(|value| value < 6), "user.max_net_namespaces=1024"),
        (
            value("kernel/apparmor_restrict_unprivileged_userns").is_some_and(|value| value != 0),
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ]
    .into_iter()
    .filter_map(|(forbids, setting)| forbids.then_some(setting))
    .collect()
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, work)?;
        worker.join().map_err(|_| io::Error::other("the thread inside the namespace panicked"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forbidding_settings_are_named() {
        let host = |path: &str| match path {
            "/proc/sys/kernel/unprivileged_userns_clone" => Some("0\n".to_owned()),
            "/proc/sys/user/max_user_namespaces" => Some("95000\n".to_owned()),
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns" => Some("1\n".to_owned()),
            _ => None,
        };
        assert_eq!(
            forbidding_settings(host),
            ["kernel.unprivileged_userns_clone=1", "kernel.apparmor_restrict_unprivileged_userns=0"]
        );
        assert!(forbidding_settings(|_| None).is_empty());
    }

    #[test]
    fn a_new_namespace_holds_loopback_alone() {
        let namespace = match Namespace::create() {
            Ok(namespace) => namespace,
            Err(error) => {
                let reason = format!("no right to create a network namespace: {error}");
                return crate::skip::skip("a_new_namespace_holds_loopback_alone", &reason);
            }
        };
        let links =
            namespace.run(|| crate::sys::netlink::Network::open().unwrap().dump_links().unwrap()).unwrap();
        assert!(
            links
                .iter()
                .all(|link| link.header.link_layer_type != netlink_packet_route::link::LinkLayerType::Ether)
        );
    }
}
