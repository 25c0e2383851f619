//! `alived plan`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::client::{EXITS, READING_PATIENCE, Which};
use super::print_lines;
use crate::cli::{print, say};
use crate::control::Command;

/// Show what a reload with a file would change, and do nothing
///
/// The running daemon reads the file in place of its own, judges it as a reload does, and compares it with what it
/// runs, object by object.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(in crate::cli) struct Plan {
    /// The configuration to compare
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The plan as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// Runs `plan`.
pub(in crate::cli) fn plan(arguments: &Plan) -> ExitCode {
    let Plan { file, json, which } = arguments;
    let path = match std::path::absolute(file) {
        Ok(path) => path,
        Err(error) => {
            say(&format!("alived plan: {}: {error}\n", file.display()));
            return ExitCode::from(super::client::REFUSED);
        }
    };
    let command = Command::Plan { file: path.to_string_lossy().into_owned() };
    let plan = match which.leader().ask(command, READING_PATIENCE) {
        Ok(plan) => plan,
        Err(failure) => return failure.tell("plan"),
    };
    if *json {
        print(&format!("{plan}\n"));
        return ExitCode::SUCCESS;
    }
    print_lines(&plan, "lines");
    let texts = |member: &str| plan.get(member).and_then(Value::as_array).cloned().unwrap_or_default();
    for name in texts("needs_restart").iter().filter_map(Value::as_str) {
        print(&format!("{name}: changes with a restart only\n"));
    }
    for warning in texts("warnings").iter().filter_map(Value::as_str) {
        say(&format!("{warning}\n"));
    }
    print(&format!(
        "{} objects stay as they are\n",
        plan.get("unchanged").and_then(Value::as_u64).unwrap_or(0)
    ));
    ExitCode::SUCCESS
}
