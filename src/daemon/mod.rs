//! The daemon: processes, threads, loops.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod options;

pub use options::{DEFAULT_CONFIGURATION, LogOptions, Options, Realtime};

use std::process::ExitCode;

/// Runs the daemon as the options say, and gives the exit status of the process it was called in.
pub fn run(options: &Options) -> ExitCode {
    let _ = options;
    ExitCode::FAILURE
}
