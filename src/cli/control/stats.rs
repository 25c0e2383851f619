//! `alived stats`.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use super::client::{EXITS, PATIENCE, REFUSED, Which};
use super::status::{find, understand};
use crate::cli::{print, say};
use crate::control::Command;

/// Show what a running daemon has counted
///
/// Shows the counters of each virtual router that are not 0, and those of the process.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(in crate::cli) struct Stats {
    /// Only those of this virtual router, all of them
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// All counters as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// Runs `stats`.
pub(in crate::cli) fn stats(arguments: &Stats) -> ExitCode {
    let Stats { name, json, which } = arguments;
    let report = which.vrrp().ask(Command::Status {}, PATIENCE).and_then(|result| {
        let report = understand(&result)?;
        Ok((result, report))
    });
    let (result, report) = match report {
        Ok(answer) => answer,
        Err(failure) => return failure.tell("stats"),
    };
    if let Some(name) = name
        && let Err(unknown) = find(&report, name, "stats")
    {
        say(&unknown);
        return ExitCode::from(REFUSED);
    }
    let stats = select(&result, name.as_deref());
    print(&if *json { format!("{stats}\n") } else { text(&stats, name.is_some()) });
    ExitCode::SUCCESS
}

/// The counters of a whole state.
fn select(status: &Value, only: Option<&str>) -> Value {
    let routers = status.get("routers").and_then(Value::as_array).into_iter().flatten();
    let chosen = routers.filter(|router| only.is_none_or(|only| router["name"] == only));
    let counters: Vec<Value> =
        chosen.map(|router| json!({ "name": router["name"], "counters": router["counters"] })).collect();
    json!({ "routers": counters, "node": status["node"] })
}

fn text(stats: &Value, all: bool) -> String {
    let mut text = String::new();
    for router in stats["routers"].as_array().into_iter().flatten() {
        text += router["name"].as_str().unwrap_or("?");
        text.push('\n');
        counters(&mut text, router["counters"].as_object(), "", all);
    }
    if !all {
        text += "process\n";
        counters(&mut text, stats["node"].as_object(), "", true);
        for class in stats["node"]["timers_late"].as_array().into_iter().flatten() {
            let bound = class["below_us"]
                .as_u64()
                .map_or_else(|| "or later".to_owned(), |us| format!("below {us} us"));
            text += &format!("  timers late, {bound}: {}\n", class["count"]);
        }
    }
    text
}

fn counters(text: &mut String, counters: Option<&Map<String, Value>>, what: &str, all: bool) {
    for (name, value) in counters.into_iter().flatten() {
        let name = name.replace('_', " ");
        match value {
            Value::Number(number) if all || number.as_u64() != Some(0) => {
                *text += &format!("  {what}{name}: {number}\n");
            }
            Value::Object(inner) => self::counters(text, Some(inner), &format!("{what}{name}: "), all),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_told_by_name() {
        let status = json!({
            "routers": [
                { "name": "A", "counters": { "advertisements_sent": 3, "stalls": 0, "rejected": { "Vrid": 2 } } },
                { "name": "B", "counters": { "advertisements_sent": 0 } },
            ],
            "node": { "unknown_vrids": 0, "timers_late": [{ "below_us": 64, "count": 9 }] },
        });
        let told = text(&select(&status, None), false);
        assert_eq!(
            told,
            "A\n  advertisements sent: 3\n  rejected: Vrid: 2\nB\nprocess\n  unknown vrids: 0\n  timers late, below \
             64 us: 9\n"
        );
        let only = select(&status, Some("B"));
        assert_eq!(text(&only, true), "B\n  advertisements sent: 0\n");
    }
}
