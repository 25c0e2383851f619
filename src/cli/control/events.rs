//! `alived events`.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::client::{EXITS, Failure, PATIENCE, Which};
use crate::control::Command;
use crate::status::EventRecord;
use crate::sys::clock::local_time;
use crate::time::WallTime;

/// Show what has happened lately, and why
///
/// Shows changes of state with their causes, what other routers did, results of trackers, orders and reloads: the last
/// thousands, the oldest first.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(in crate::cli) struct Events {
    /// Only those of this virtual router or sync group
    #[arg(value_name = "NAME")]
    of: Option<String>,
    /// Go on with what happens from now on, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Only so many, the latest ones
    #[arg(short = 'n', long, value_name = "COUNT")]
    last: Option<u32>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// Runs `events`.
pub(in crate::cli) fn events(arguments: &Events) -> ExitCode {
    match show(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell("events"),
    }
}

fn show(arguments: &Events) -> Result<(), Failure> {
    let Events { of, follow, last, json, which } = arguments;
    let command = Command::Events { of: of.clone(), last: *last, follow: *follow };
    let mut conversation = which.vrrp().converse(command, (!follow).then_some(PATIENCE))?;
    let kept = conversation.result.get("events").and_then(Value::as_array);
    let lines: String = kept.into_iter().flatten().map(|event| line(event, *json)).collect();
    let mut output = std::io::stdout();
    // Whoever read it has gone: there is nobody to tell.
    let mut written = output.write_all(lines.as_bytes());
    while *follow && written.is_ok() {
        let event = conversation.next()?;
        written = output.write_all(line(&event, *json).as_bytes()).and_then(|()| output.flush());
    }
    Ok(())
}

fn line(event: &Value, json: bool) -> String {
    match serde_json::from_value::<EventRecord>(event.clone()) {
        Ok(record) if !json => {
            let at = WallTime::from_unix_micros(record.at_unix_us);
            let milliseconds = record.at_unix_us / 1000 % 1000;
            format!("{}.{milliseconds:03} {}\n", local_time(at, c"%Y-%m-%d %H:%M:%S"), record.what)
        }
        // A newer daemon may tell of what is not known here.
        _ => format!("{event}\n"),
    }
}
