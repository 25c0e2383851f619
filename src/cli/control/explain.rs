//! `alived explain`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::client::{EXITS, PATIENCE, REFUSED, Which};
use super::status::{find, understand};
use crate::cli::{print, say};
use crate::control::Command;
use crate::status;
use crate::sys::clock;

/// Say why a virtual router is master or is not
///
/// In sentences: why it is what it is, what would change that, and what it receives and does not use, and from whom.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(in crate::cli) struct Explain {
    /// The virtual router
    #[arg(value_name = "NAME")]
    name: String,
    /// The sentences as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// Runs `explain`.
pub(in crate::cli) fn explain(arguments: &Explain) -> ExitCode {
    let Explain { name, json, which } = arguments;
    let report = which.vrrp().ask(Command::Status {}, PATIENCE).and_then(|result| understand(&result));
    let report = match report {
        Ok(report) => report,
        Err(failure) => return failure.tell("explain"),
    };
    let router = match find(&report, name, "explain") {
        Ok(router) => router,
        Err(unknown) => {
            say(&unknown);
            return ExitCode::from(REFUSED);
        }
    };
    let explanation = status::explain(&report, router, clock::wall().as_unix_micros());
    if *json {
        print(&format!("{}\n", json!({ "name": name, "state": router.state, "explanation": explanation })));
    } else {
        print(&explanation.to_string());
    }
    ExitCode::SUCCESS
}
