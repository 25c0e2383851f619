//! Subcommands that ask a running daemon through its control socket.

mod client;
mod events;
mod explain;
mod operator;
mod plan;
mod real_servers;
mod record;
mod restart;
mod stats;
mod status;

pub(super) use client::Which;
pub(super) use events::{Events, events};
pub(super) use explain::{Explain, explain};
pub(super) use operator::{Failback, Failover, Maintenance, failback, failover, maintenance};
pub(super) use plan::{Plan, plan};
pub(super) use real_servers::{Drain, Restore, Weight, drain, restore, weight};
pub(super) use record::{Record, record};
pub(super) use restart::{Restart, restart};
pub(super) use stats::{Stats, stats};
pub(super) use status::{Status, status};

use std::process::ExitCode;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::client::{EXITS, Failure, PATIENCE, READING_PATIENCE};
use crate::control::{self, Command, LevelChange, LogTarget};
use crate::status::Status as Report;

/// Have a running daemon read its configuration again
///
/// Says what the new configuration changed, or why it was refused; then the daemon goes on with the one before.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(super) struct Reload {
    #[command(flatten)]
    which: Which,
}

/// Show or change what a running daemon logs
///
/// Shows from which level on each part of the worker logs. A change holds until the worker ends.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(super) struct LogLevel {
    /// What to change: all, vrrp, daemon, control or runner
    #[arg(value_parser = word::<LogTarget>, requires = "level")]
    target: Option<LogTarget>,
    /// From which level on it logs: off, error, warn, info or debug
    #[arg(value_parser = word::<control::LogLevel>)]
    level: Option<control::LogLevel>,
    #[command(flatten)]
    which: Which,
}

/// A word of the protocol.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::from(text)).map_err(|error| error.to_string())
}

/// Runs `reload`.
pub(super) fn reload(arguments: &Reload) -> ExitCode {
    // The first one reads the configuration, the other one follows.
    let (vrrp, lvs) = (arguments.which.vrrp(), arguments.which.lvs());
    let leads = vrrp.exists() || !lvs.exists();
    let clients = [(leads, vrrp), (lvs.exists(), lvs)];
    for (_, client) in clients.into_iter().filter(|(asked, _)| *asked) {
        match client.ask(Command::Reload {}, READING_PATIENCE) {
            Ok(result) => print_lines(&result, "lines"),
            Err(failure) => return failure.tell("reload"),
        }
    }
    ExitCode::SUCCESS
}

/// Runs `log-level`.
pub(super) fn log_level(arguments: &LogLevel) -> ExitCode {
    let change = arguments.target.zip(arguments.level).map(|(target, level)| LevelChange { target, level });
    match arguments.which.vrrp().ask(Command::LogLevel { change }, PATIENCE) {
        Ok(result) => {
            let levels = result.get("levels").and_then(Value::as_object).into_iter().flatten();
            for (part, level) in levels {
                super::print(&format!("{part} {}\n", level.as_str().unwrap_or("?")));
            }
            ExitCode::SUCCESS
        }
        Err(failure) => failure.tell("log-level"),
    }
}

/// The state of a running daemon.
pub(super) fn status_of(which: &Which) -> Result<Report, Failure> {
    which.vrrp().ask(Command::Status {}, PATIENCE).and_then(|result| status::understand(&result))
}

/// Prints the texts of a member of a result, a line each.
fn print_lines(result: &Value, member: &str) {
    let lines = result.get(member).and_then(Value::as_array).into_iter().flatten();
    for line in lines.filter_map(Value::as_str) {
        super::print(&format!("{line}\n"));
    }
}
