//! `alived status`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::{Client, EXITS, Failure, PATIENCE, REFUSED, Which};
use crate::cli::say;
use crate::control::Command;
use crate::status::{BalancerStatus, Status as Report, balancer_text, text};
use crate::sys::clock;

/// Clears a terminal.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Show what a running daemon does and why
///
/// Shows each virtual router: its state, since when and why, its priority with its parts, its addresses, the other
/// routers heard, and what it does next. Then each virtual server: its quorum, its real servers with their weights and
/// connections, and what their checks found last.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(in crate::cli) struct Status {
    /// Only this virtual router, with all that is known of it, or this virtual server ([192.0.2.1]:tcp:80)
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The whole answer as JSON
    #[arg(long)]
    json: bool,
    /// Go on showing it, every so many seconds, until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", require_equals = true,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    watch: Option<u32>,
    #[command(flatten)]
    which: Which,
}

/// Runs `status`.
pub(in crate::cli) fn status(arguments: &Status) -> ExitCode {
    loop {
        let text = match text_of(arguments) {
            Ok(Ok(text)) => text,
            Ok(Err(unknown)) => {
                say(&unknown);
                return ExitCode::from(REFUSED);
            }
            Err(failure) => return failure.tell("status"),
        };
        let mut output = std::io::stdout();
        let clear = if arguments.watch.is_some() && output.is_terminal() { CLEAR } else { "" };
        let written = output.write_all(format!("{clear}{text}").as_bytes()).and_then(|()| output.flush());
        match arguments.watch {
            // Whoever read it has gone.
            _ if written.is_err() => return ExitCode::SUCCESS,
            None => return ExitCode::SUCCESS,
            Some(seconds) => std::thread::sleep(Duration::from_secs(seconds.into())),
        }
    }
}

/// What is to be shown, or that there is no such router.
fn text_of(arguments: &Status) -> Result<Result<String, String>, Failure> {
    let (vrrp, lvs) = (arguments.which.vrrp(), arguments.which.lvs());
    let balancer = lvs.exists().then(|| balancer_of(&lvs)).transpose()?;
    let only = arguments.name.as_deref();
    let now = clock::wall().as_unix_micros();
    let is_server = |name: &str| {
        balancer.iter().any(|(_, report)| report.virtual_servers.iter().any(|server| server.name == name))
    };
    if !vrrp.exists()
        && let Some((result, report)) = &balancer
    {
        return Ok(Ok(match arguments.json {
            true => format!("{}\n", serde_json::json!({ "balancer": result })),
            false => balancer_text(report, now, only),
        }));
    }
    let mut result = vrrp.ask(Command::Status {}, PATIENCE)?;
    let report = understand(&result)?;
    let of_server = only.is_some_and(is_server);
    if let Some(name) = only.filter(|_| !of_server)
        && let Err(unknown) = find(&report, name, "status")
    {
        return Ok(Err(unknown));
    }
    if arguments.json {
        if let (Some((balancer, _)), Some(members)) = (balancer, result.as_object_mut()) {
            members.insert("balancer".to_owned(), balancer);
        }
        return Ok(Ok(format!("{result}\n")));
    }
    let mut shown = if of_server { String::new() } else { text::text(&report, now, only) };
    if let Some((_, report)) = &balancer
        && (only.is_none() || of_server)
    {
        if !shown.is_empty() {
            shown.push('\n');
        }
        shown.push_str(&balancer_text(report, now, only));
    }
    Ok(Ok(shown))
}

/// What the lvs worker answers.
pub(super) fn balancer_of(client: &Client) -> Result<(Value, BalancerStatus), Failure> {
    let result = client.ask(Command::Status {}, PATIENCE)?;
    let report = serde_json::from_value(result.clone())
        .map_err(|error| Failure::Unreachable(format!("the answer is not understood: {error}")))?;
    Ok((result, report))
}

/// Reads the answer to `status`.
pub(super) fn understand(result: &Value) -> Result<Report, Failure> {
    serde_json::from_value::<Report>(result.clone())
        .map_err(|error| Failure::Unreachable(format!("the answer is not understood: {error}")))
}

/// The virtual router of a name, or what to say if there is none.
pub(super) fn find<'a>(
    report: &'a Report,
    name: &str,
    subcommand: &str,
) -> Result<&'a crate::status::RouterStatus, String> {
    report.routers.iter().find(|router| router.name == name).ok_or_else(|| {
        let names: Vec<&str> = report.routers.iter().map(|router| &*router.name).collect();
        format!("alived {subcommand}: there is no virtual router {name}; there are: {}\n", names.join(" "))
    })
}
