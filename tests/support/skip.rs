//! A test that cannot run here says so: it calls [`skip`] once and returns. `tests/run` then counts it as skipped, not
//! as passed, and prints the reason.
//!
//! Included where it is needed:
//! `#[path = "support/skip.rs"] mod skip;` in tests/, `crate::skip` in unit tests.

#![allow(clippy::disallowed_methods, dead_code)]

use std::fs::OpenOptions;
use std::io::Write as _;

/// Records that the test `name` does not run here because of `reason` (one line, what would be needed).
pub(crate) fn skip(name: &str, reason: &str) {
    let line = format!("{name}: {}\n", reason.replace('\n', " "));
    print!("SKIP {line}");
    let Some(path) = std::env::var_os("ALIVED_SKIPS") else { return };
    // One write, so that lines of tests that run at the same time do not mix.
    let written = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        panic!("cannot write {}: {error}", path.display());
    }
}
