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
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use alived::drill::second_kernel::{SecondKernel, inside};

use super::skip;

/// What this process is: unset outside, else [`INIT`] or [`INSIDE`].
const ROLE: &str = "ALIVED_SECOND_KERNEL";
const INIT: &str = "init";
const INSIDE: &str = "inside";

/// The test's reasons for skipping itself, among the results.
const SKIPS: &str = "skips";

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

/// Loads modules that nobody asks for by using them.
pub(crate) fn load(modules: &[&str]) -> std::io::Result<()> {
    inside::load(modules)
}

// Outside.

fn boot(name: &str, limit: Duration) -> Outcome {
    let mut environment = vec![(ROLE, INIT.to_owned())];
    for key in ["RUST_BACKTRACE", "ALIVED_SOAK"] {
        environment.extend(std::env::var(key).ok().map(|value| (key, value)));
    }
    let init = std::env::current_exe().unwrap();
    let mut kernel = match SecondKernel::boot(&init, &[name, "--exact"], &environment) {
        Ok(kernel) => kernel,
        Err(reason) => return Outcome::Skipped(reason),
    };
    let start = Instant::now();
    while kernel.runs().unwrap() && start.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(20));
    }
    let late = start.elapsed() >= limit;
    let read = |file: &Path| String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
    let report = |how: &str| {
        let said = read(&kernel.output()) + &read(&kernel.errors());
        Outcome::Failed(format!("{said}\nThe kernel's console:\n{}\n{how}", kernel.console()))
    };
    if late {
        return report(&format!("not finished within {limit:?}"));
    }
    if !kernel.has_booted() {
        return Outcome::Skipped(kernel.last_words());
    }
    match kernel.status() {
        Some(0) => {
            let skips = read(&kernel.file(SKIPS));
            match skips.lines().next() {
                Some(line) => {
                    Outcome::Skipped(line.split_once(": ").map_or(line, |(_, reason)| reason).to_owned())
                }
                None => {
                    // For `--nocapture`.
                    print!("{}", read(&kernel.output()));
                    Outcome::Passed
                }
            }
        }
        None => report("the kernel ended before the test"),
        Some(status) => report(&format!("status {status}")),
    }
}

// Inside, as the first process.

fn init(name: &str) -> ! {
    inside::main(|| {
        let mut test = Command::new(std::env::current_exe()?);
        // Two, so that the test has a thread with its name also where there is one processor.
        test.args([name, "--exact", "--nocapture", "--test-threads=2"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env(ROLE, INSIDE)
            .env("ALIVED_SKIPS", inside::result(SKIPS));
        Ok(test)
    })
}
