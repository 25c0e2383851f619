//! Tests on a kernel of their own: Debian's User Mode Linux, a Linux that runs as an ordinary process and has what
//! this machine's kernel may lack (IPVS, VLANs, bonds, VRF, ipvlan, dummy).
//!
//! ```ignore
//! #[test]
//! fn a_vlan_is_a_link() {
//!     second_kernel::run(|| { /* as root of a machine of its own */ });
//! }
//! ```
//!
//! The kernel boots with this machine's files as its root, read-only, and this very program as its init, which runs
//! the same test once more; there the body is executed. What it may write to is memory of its own: `/run`, and the
//! folder for temporary files in it. Modules are loaded when they are first asked for. Where such a kernel cannot be
//! had, the test is skipped.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_types, dead_code)]

use std::any::type_name;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use alived::drill::Folder;
use alived::kernel::KernelError;
use alived::sys::netlink::Network;
use nix::mount::{MsFlags, mount};
use nix::sys::wait::{WaitStatus, wait};

use super::skip;

/// What this process is: unset outside, else [`INIT`] or [`INSIDE`].
const ROLE: &str = "ALIVED_SECOND_KERNEL";
const INIT: &str = "init";
const INSIDE: &str = "inside";

/// For init: the folder outside that takes what the test leaves.
const RESULTS: &str = "ALIVED_SECOND_KERNEL_RESULTS";
/// The same folder inside.
const RESULTS_INSIDE: &str = "/run/results";

/// Files in that folder: there once init runs; standard output and error of the test; its exit status; its reasons for
/// skipping itself.
const BOOTED: &str = "booted";
const OUTPUT: &str = "output";
const STATUS: &str = "status";
const SKIPS: &str = "skips";

const MODULES: &str = "/usr/lib/uml/modules";
const MODPROBE: &str = "/sbin/modprobe";

/// A kernel and its test take seconds. This ends one that hangs, and only that.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

/// How a test in the second kernel ended.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Passed,
    /// With the reason.
    Skipped(String),
    /// With what it and its kernel said.
    Failed(String),
}

/// Runs `body`, which captures nothing, in a second kernel. Called once in a test, which does nothing else.
pub(crate) fn run<F: FnOnce()>(body: F) {
    let name = name_of::<F>();
    match outcome(LIMIT, body) {
        Outcome::Passed => {}
        Outcome::Skipped(reason) => skip::skip(name, &reason),
        Outcome::Failed(report) => panic!("{name} failed in the second kernel:\n{report}"),
    }
}

/// The same with another limit of time. Returns outside only.
pub(crate) fn outcome<F: FnOnce()>(limit: Duration, body: F) -> Outcome {
    match std::env::var(ROLE).as_deref() {
        Ok(INSIDE) => {
            body();
            std::process::exit(0)
        }
        Ok(_) => init(name_of::<F>()),
        Err(_) => boot(name_of::<F>(), limit),
    }
}

/// A test's name for the test harness, from the type of a closure in it: `binary::module::test::{{closure}}`.
fn name_of<F>() -> &'static str {
    let path = type_name::<F>();
    let path = path.strip_suffix("::{{closure}}").unwrap_or(path);
    path.split_once("::").map_or(path, |(_, name)| name)
}

// Outside.

fn boot(name: &str, limit: Duration) -> Outcome {
    for needed in ["/usr/bin/linux.uml", MODULES, MODPROBE] {
        if !Path::new(needed).exists() {
            return Outcome::Skipped(format!("there is no {needed} (apt-get install user-mode-linux kmod)"));
        }
    }
    let folder = Folder::create().unwrap();
    let path = |file: &str| folder.path().join(file);
    let results = path("results");
    fs::create_dir(&results).unwrap();
    let console = File::create(path("console")).unwrap();
    let mut command = contained("linux.uml");
    if fs::read_to_string("/proc/cpuinfo").unwrap_or_default().contains(" amx_tile") {
        match wide_registers(folder.path()) {
            Ok(library) => _ = command.env("LD_PRELOAD", library),
            Err(why) => return Outcome::Skipped(format!("linux.uml knows no AMX, and {why}")),
        }
    }
    command
        .args(["mem=256M", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "con=null", "con0=null,fd:1"])
        .args(["umid=kernel".to_owned(), format!("uml_dir={}/", folder.path().display())])
        .arg(format!("init={}", std::env::current_exe().unwrap().display()))
        // What the kernel does not know becomes environment and arguments of init.
        .arg(format!("{ROLE}={INIT}"))
        .arg(format!("{RESULTS}={}", results.display()))
        .args(["RUST_BACKTRACE", "ALIVED_SOAK"].into_iter().filter_map(|key| {
            let value = std::env::var(key).ok()?;
            Some(format!("{key}={value}"))
        }))
        .args([name, "--exact"])
        .stdin(Stdio::null())
        .stdout(console.try_clone().unwrap())
        .stderr(console);
    let mut kernel = command.spawn().unwrap();
    let start = Instant::now();
    while kernel.try_wait().unwrap().is_none() && start.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(20));
    }
    let late = start.elapsed() >= limit;
    let _ = kernel.kill();
    kernel.wait().unwrap();

    let read = |file: &Path| String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
    let console = read(&path("console"));
    let result = |file: &str| read(&results.join(file));
    let report =
        |how: &str| Outcome::Failed(format!("{}\nThe kernel's console:\n{console}\n{how}", result(OUTPUT)));
    if late {
        return report(&format!("not finished within {limit:?}"));
    }
    if !results.join(BOOTED).exists() {
        let last = console.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
        return Outcome::Skipped(format!("linux.uml does not run here: {last}"));
    }
    match result(STATUS).as_str() {
        "0" => {
            let skips = result(SKIPS);
            match skips.lines().next() {
                Some(line) => {
                    Outcome::Skipped(line.split_once(": ").map_or(line, |(_, reason)| reason).to_owned())
                }
                None => {
                    // For `--nocapture`.
                    print!("{}", result(OUTPUT));
                    Outcome::Passed
                }
            }
        }
        "" => report("the kernel ended before the test"),
        status => report(&format!("status {status}")),
    }
}

/// A library with which linux.uml runs on this processor.
fn wide_registers(folder: &Path) -> Result<PathBuf, String> {
    let library = folder.join("wide_registers.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/wide_registers.c");
    let built = Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).output();
    match built {
        Ok(output) if output.status.success() => Ok(library),
        Ok(output) => Err(format!("cc failed: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("cc: {error} (apt-get install g++)")),
    }
}

/// A command whose processes all end when it, or the calling thread, ends: User Mode Linux runs each of its processes
/// in one of this machine's, and these outlive it when it is killed. A PID namespace does not let them.
fn contained(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child"]);
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg(program);
    command
}

// Inside, as the first process.

fn init(name: &str) -> ! {
    match prepare().and_then(|()| supervise(name)) {
        Ok(status) => fs::write(Path::new(RESULTS_INSIDE).join(STATUS), status.to_string()),
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
    attach("hostfs", RESULTS_INSIDE, Some(&results))?;
    File::create(Path::new(RESULTS_INSIDE).join(BOOTED))?;

    // Called by the kernel when somebody asks for what a module has.
    fs::create_dir_all("/run/modules/lib")?;
    std::os::unix::fs::symlink(MODULES, "/run/modules/lib/modules")?;
    fs::write("/run/modprobe", format!("#!/bin/sh\nexec {MODPROBE} -d /run/modules \"$@\"\n"))?;
    fs::set_permissions("/run/modprobe", fs::Permissions::from_mode(0o755))?;
    fs::write("/proc/sys/kernel/modprobe", "/run/modprobe")?;
    load(&["ipv6"])?;

    let set_up = || {
        let mut network = Network::open()?;
        let loopback = network.index_of(&"lo".parse().unwrap())?;
        network.set_up(loopback, true)
    };
    set_up().map_err(|error: KernelError| io::Error::from_raw_os_error(error.errno))?;
    fs::create_dir("/run/tmp")
}

/// Loads modules that nobody asks for by using them.
pub(crate) fn load(modules: &[&str]) -> io::Result<()> {
    let status = Command::new("/run/modprobe").arg("-a").args(modules).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("cannot load {modules:?}: {status}")))
    }
}

/// Runs the test in a process of its own, and waits for it and for all orphans until then.
fn supervise(name: &str) -> io::Result<i32> {
    let output = File::create(Path::new(RESULTS_INSIDE).join(OUTPUT))?;
    let test = Command::new(std::env::current_exe()?)
        // Two, so that the test has a thread with its name also where there is one processor.
        .args([name, "--exact", "--nocapture", "--test-threads=2"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env(ROLE, INSIDE)
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TMPDIR", "/run/tmp")
        .env("ALIVED_SKIPS", Path::new(RESULTS_INSIDE).join(SKIPS))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    loop {
        match wait()? {
            WaitStatus::Exited(pid, status) if pid.as_raw() as u32 == test.id() => return Ok(status),
            WaitStatus::Signaled(pid, signal, _) if pid.as_raw() as u32 == test.id() => {
                return Ok(128 + signal as i32);
            }
            _ => {}
        }
    }
}
