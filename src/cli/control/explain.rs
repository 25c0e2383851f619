//! `alived explain`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::client::{EXITS, Failure, PATIENCE, REFUSED, Which};
use super::status::{balancer_of, understand};
use crate::cli::{print, say};
use crate::control::Command;
use crate::status::{self, Explanation};
use crate::sys::clock;

/// Say why a virtual router is master or is not, and why a virtual server serves what it serves
///
/// In sentences. Of a virtual router: why it is what it is, what would change that, and what it receives and does not use,
/// and from whom. Of a virtual server: which real servers are in and why the others are not, their weights with their
/// parts, the quorum, the sorry server.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(in crate::cli) struct Explain {
    /// The virtual router, or the virtual server as `status` names it ([192.0.2.1]:tcp:80)
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
    match explanation(arguments) {
        Ok(Ok(text)) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Ok(Err(unknown)) => {
            say(&unknown);
            ExitCode::from(REFUSED)
        }
        Err(failure) => failure.tell("explain"),
    }
}

/// The sentences, or that there is nothing of that name.
fn explanation(arguments: &Explain) -> Result<Result<String, String>, Failure> {
    let Explain { name, json, which } = arguments;
    let (vrrp, lvs) = (which.vrrp(), which.lvs());
    let now = clock::wall().as_unix_micros();
    let text = |state: &str, explanation: &Explanation| match json {
        true => format!("{}\n", json!({ "name": name, "state": state, "explanation": explanation })),
        false => explanation.to_string(),
    };
    let mut servers = Vec::new();
    // A worker between two lives costs the other one's answer nothing.
    let mut failure = None;
    if lvs.exists() {
        match balancer_of(&lvs) {
            Ok((_, report)) => servers = report.virtual_servers,
            Err(failed) => failure = Some(failed),
        }
    }
    if let Some(server) = servers.iter().find(|server| server.name == *name) {
        let state = match (server.sorry, server.up) {
            (true, _) => "SORRY",
            (false, true) => "UP",
            (false, false) => "DOWN",
        };
        return Ok(Ok(text(state, &status::explain_server(server, now))));
    }
    let mut known = Vec::new();
    if vrrp.exists() || !lvs.exists() {
        let report = understand(&vrrp.ask(Command::Status {}, PATIENCE)?)?;
        if let Some(router) = report.routers.iter().find(|router| router.name == *name) {
            return Ok(Ok(text(&router.state, &status::explain(&report, router, now))));
        }
        known.extend(report.routers.into_iter().map(|router| router.name));
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    let servers = servers.into_iter().map(|server| server.name).collect::<Vec<_>>();
    let of_servers = match servers.as_slice() {
        [] => String::new(),
        servers => format!("; virtual servers: {}", servers.join(" ")),
    };
    let known = known.join(" ");
    Ok(Err(format!("alived explain: there is no virtual router {name}; there are: {known}{of_servers}\n")))
}
