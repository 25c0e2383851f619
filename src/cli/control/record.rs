//! `alived record`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::client::{EXITS, Failure, PATIENCE, Which};
use super::operator::seconds;
use crate::cli::print;
use crate::control::{Command, RecordChange, Recorded, Recording};
use crate::status::span;
use crate::sys::clock;

/// Record what reaches the virtual routers, for `alived replay`
///
/// Writes packets, changes in the kernel, configurations, results of trackers and orders, with their times, to a ring of
/// files: when they have the size that they may have, the oldest goes. Passwords and keys are left out, and so are
/// arguments of scripts. `[record] always` of alived.toml has it always on. Without a word, shows how it goes.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(in crate::cli) struct Record {
    /// What to do
    #[arg(value_name = "start|stop")]
    what: Option<What>,
    /// End it after this time: 90s, 30m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = seconds, requires = "what")]
    time: Option<u32>,
    /// To files in this folder; default that of alived.toml, /var/lib/alived
    #[arg(long, value_name = "PATH", requires = "what")]
    folder: Option<String>,
    /// Size of all files together in MiB, 4 to 1048576; default that of alived.toml, 64
    #[arg(long, value_name = "MIB", requires = "what", value_parser = clap::value_parser!(u32).range(4..=1_048_576))]
    size: Option<u32>,
    /// The answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum What {
    /// Begin.
    Start,
    /// End.
    Stop,
}

/// Runs `record`.
pub(in crate::cli) fn record(arguments: &Record) -> ExitCode {
    match ask(arguments) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(failure) => failure.tell("record"),
    }
}

fn ask(arguments: &Record) -> Result<String, Failure> {
    let Record { what, time, folder, size, json, which } = arguments;
    let change = what.map(|what| RecordChange {
        on: what == What::Start,
        seconds: *time,
        folder: folder.clone(),
        megabytes: *size,
    });
    let result = which.vrrp().ask(Command::Record { change }, PATIENCE)?;
    if *json {
        return Ok(format!("{result}\n"));
    }
    let recorded: Recorded = serde_json::from_value(result)
        .map_err(|error| Failure::Unreachable(format!("the answer is not understood: {error}")))?;
    Ok(match recorded.recording {
        None => "there is no recording\n".to_owned(),
        Some(recording) => text(&recording, *what == Some(What::Stop)),
    })
}

fn text(recording: &Recording, ended: bool) -> String {
    let now = clock::wall().as_unix_micros();
    let Recording { folder, size, since_unix_us, until_unix_us, files, bytes, lost, fault } = recording;
    let since = span(now.saturating_sub(*since_unix_us));
    let mut text = match (ended, until_unix_us) {
        (true, _) => format!("the recording to {folder} has ended after {since}\n"),
        (false, Some(until)) => {
            let left = span(until.saturating_sub(now));
            format!("recording to {folder} for {since}, for another {left}\n")
        }
        (false, None) => format!("recording to {folder} for {since}\n"),
    };
    let (used, size) = (*bytes as f64 / 1_048_576.0, size >> 20);
    text += &format!("{files} files, {used:.1} MiB of {size} MiB\n");
    if *lost > 0 {
        text += &format!("{lost} inputs were left out, the disk was too slow or full\n");
    }
    if let Some(fault) = fault {
        text += &format!("NOTHING IS WRITTEN: {fault}\n");
    }
    text
}
