//! The command line of a program that only simulates: `alived sim` and its options.

#[path = "sim.rs"]
mod sim;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
enum Request {
    Sim(sim::Arguments),
}

/// Runs the program with these arguments, and gives its exit status.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Request::Sim(request) = Request::parse_from(arguments);
    sim::main(&request)
}
