//! The command line: keepalived's flags, and subcommands of our own.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod arguments;
mod check;
mod commands;
mod completions;
mod config_test;
mod control;
mod doctor;
mod drill;
pub mod flags;
mod genhash;
mod help;
mod keywords;
mod man;
mod print;
mod protocol;
mod replay;
mod sim;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use self::flags::Request;
use crate::daemon;
use crate::sys::signals::Signal;

/// keepalived's exit status for a bad command line.
const EXIT_USAGE: u8 = 1;
/// The exit status of `check`, `print`, `keywords`, `status` and `reload` for a bad command line: the lower ones are verdicts.
const EXIT_USAGE_OF_FILES: u8 = 64;

/// Runs the program with the arguments of the process.
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let program = arguments.next().unwrap_or_else(|| "alived".into());
    let program = Path::new(&program).file_name().unwrap_or_else(|| OsStr::new("alived")).to_owned();
    if program == "genhash" {
        return genhash::main(arguments);
    }
    let request = match flags::parse(&program, arguments.collect()) {
        Ok(request) => request,
        Err(error) => {
            let program = program.to_string_lossy();
            say(&format!("{program}: {error}\nTry `{program} --help`.\n"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    // Who executes the program for more than a start says so in the environment.
    let errand = match request {
        Request::Run(_) | Request::ConfigTest(..) => daemon::errand(),
        _ => Ok(None),
    };
    let errand = match errand {
        Ok(errand) => errand,
        Err(why) => {
            say(&format!("alived: {why}\n"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match request {
        Request::Run(options) => match errand {
            Some(errand) => daemon::go_on(&options, errand),
            None => daemon::run(&options),
        },
        Request::ConfigTest(options, log) => match errand.and_then(|errand| daemon::judge(&options, &errand))
        {
            Some(verdict) => verdict,
            None => config_test::run(&options, log.as_deref()),
        },
        Request::Subcommand(words) => commands::run(&words),
        Request::SignalNumber(name) => signal_number(&name),
        Request::Version => version(&program),
        Request::Help => {
            print(&help::text(&program.to_string_lossy()));
            ExitCode::SUCCESS
        }
    }
}

fn signal_number(name: &str) -> ExitCode {
    match Signal::named(name) {
        Some(signal) => {
            print(&format!("{}\n", signal.number()));
            ExitCode::SUCCESS
        }
        None => {
            say(&format!("Unknown sigfunc {name}\n"));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn version(program: &OsStr) -> ExitCode {
    let text = format!(
        "alived v{}\n\nVRRP router daemon; reads the configuration language of keepalived 2.4.3.\n\
         Licence: MIT OR Apache-2.0\n",
        env!("CARGO_PKG_VERSION")
    );
    // keepalived's goes to standard error, and scripts that call it by that name expect it there.
    if program == "keepalived" {
        say(&text)
    } else {
        print(&text)
    }
    ExitCode::SUCCESS
}

/// To standard output; a closed pipe is no error of ours.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// To standard error.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
