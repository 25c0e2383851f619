//! The runner in its real processes: a supervisor of the daemon, a worker that does what the test says, and
//! the runners that the supervisor forks for it.
//!
//! The supervisor forks, which it can do only in a process with one thread. So this program is the tests and,
//! called by them, the daemon.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../support/skip.rs"]
mod skip;

mod checks;
mod commands;
mod daemon;
mod limits;
mod processes;

use std::panic::catch_unwind;
use std::process::ExitCode;

/// A test and its name.
type Test = (&'static str, fn());

/// Names functions as tests.
macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as fn())),*] };
}
pub(crate) use tests;

fn main() -> ExitCode {
    if let Some(folder) = std::env::var_os(daemon::ROLE) {
        let folder = folder.as_ref();
        return match std::env::var_os(checks::CHECKS) {
            Some(_) => daemon::run_with(folder, checks::worker),
            None => daemon::run(folder),
        };
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let tests = [checks::TESTS, commands::TESTS, limits::TESTS, processes::TESTS].concat();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests.into_iter().filter(|(name, _): &Test| wanted(name)) {
        let result = catch_unwind(test);
        println!("test {name} ... {}", if result.is_ok() { "ok" } else { "FAILED" });
        *if result.is_ok() { &mut passed } else { &mut failed } += 1;
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}
