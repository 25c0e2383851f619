//! What the first process of a second kernel does.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sys::wait::{WaitStatus, wait};

use super::{BOOTED, ERRORS, MODPROBE, MODULES, OUTPUT, RESULTS, STATUS};
use crate::kernel::KernelError;
use crate::net::InterfaceIndex;
use crate::sys::netlink::Network;

/// The folder for results.
const FOLDER: &str = "/run/results";

/// Where the work may write files.
const TEMPORARY: &str = "/run/tmp";

/// A file in the folder for results.
pub fn result(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// As init: mounts what a system has, prepares the loading of modules, does `work`, leaves its exit status, and ends the kernel.
pub fn main(work: impl FnOnce() -> io::Result<Command>) -> ! {
    match prepare().and_then(|()| supervise(work()?)) {
        Ok(status) => fs::write(result(STATUS), status.to_string()),
        Err(error) => fs::write("/dev/console", format!("init: {error}\n")),
    }
    .unwrap_or_else(|error| println!("init: {error}"));
    nix::unistd::sync();
    let _ = fs::write("/proc/sysrq-trigger", "o");
    loop {
        std::thread::park();
    }
}

fn prepare() -> io::Result<()> {
    let attach = |kind: &str, to: &str, data: Option<&str>| -> io::Result<()> {
        fs::create_dir_all(to)?;
        Ok(mount(Some(kind), to, Some(kind), MsFlags::empty(), data)?)
    };
    attach("proc", "/proc", None)?;
    attach("sysfs", "/sys", None)?;
    attach("tmpfs", "/run", None)?;
    let results = std::env::var(RESULTS).map_err(io::Error::other)?;
    attach("hostfs", FOLDER, Some(&results))?;
    File::create(result(BOOTED))?;

    // Called by the kernel when somebody asks for what a module has.
    fs::create_dir_all("/run/modules/lib")?;
    symlink(MODULES, "/run/modules/lib/modules")?;
    fs::write("/run/modprobe", format!("#!/bin/sh\nexec {MODPROBE} -d /run/modules \"$@\"\n"))?;
    fs::set_permissions("/run/modprobe", fs::Permissions::from_mode(0o755))?;
    fs::write("/proc/sys/kernel/modprobe", "/run/modprobe")?;
    load(&["ipv6"])?;

    let set_up = || {
        let mut network = Network::open()?;
        // The loopback interface is the first of every network namespace.
        network.set_up(InterfaceIndex::LOWEST, true)
    };
    set_up().map_err(|error: KernelError| io::Error::from_raw_os_error(error.errno))?;
    fs::create_dir(TEMPORARY)
}

/// Loads modules that nobody asks for by using them.
///
/// # Errors
/// When one of them cannot be.
pub fn load(modules: &[&str]) -> io::Result<()> {
    let status = Command::new("/run/modprobe").arg("-a").args(modules).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("cannot load {modules:?}: {status}")))
    }
}

/// Runs the work in a process of its own, and waits for it and for all orphans until then.
fn supervise(mut work: Command) -> io::Result<i32> {
    let work = work
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TMPDIR", TEMPORARY)
        .stdin(Stdio::null())
        .stdout(File::create(result(OUTPUT))?)
        .stderr(File::create(result(ERRORS))?)
        .spawn()?;
    loop {
        match wait()? {
            WaitStatus::Exited(pid, status) if pid.as_raw().cast_unsigned() == work.id() => {
                return Ok(status);
            }
            WaitStatus::Signaled(pid, signal, _) if pid.as_raw().cast_unsigned() == work.id() => {
                return Ok(128 + signal as i32);
            }
            _ => {}
        }
    }
}
