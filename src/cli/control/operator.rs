//! `alived failover`, `failback` and `maintenance`: orders to the virtual routers.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::client::{EXITS, Failure, REFUSED, Which};
use crate::cli::print;
use crate::control::{Command, MaintenanceChange};
use crate::status::{MaintenanceStatus, span};
use crate::sys::clock;

/// How long handing over may take: an interval and a skew time, with intervals of up to 255 s.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(600);

/// The word for all virtual routers.
const ALL: &str = "all";

const FAILOVER_EXITS: &str = "Exit status: 0 done, 1 refused, nobody took over, or no such virtual router, \
                              3 no daemon answers, 64 bad command line.";

/// Hand over to another router without losing a packet
///
/// A master says that it leaves, keeps its addresses until its successor is heard, and does not come back by itself
/// before the time is over or `failback`, unless the successor fails. If nobody takes over it stays master. A sync
/// group moves as one. Says who took over, and how long that took.
#[derive(Debug, Args)]
#[command(after_help = FAILOVER_EXITS)]
pub(in crate::cli) struct Failover {
    /// A virtual router, a sync group, or all
    #[arg(value_name = "NAME|all")]
    of: String,
    /// Come back after this time: 90s, 30m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    time: Option<u32>,
    /// The answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// Take back what was handed over
///
/// Ends the effect of `failover`: a router whose priority is higher than the master's takes over at once.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(in crate::cli) struct Failback {
    /// A virtual router, a sync group, or all
    #[arg(value_name = "NAME|all")]
    of: String,
    /// The answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// Keep this host out of all elections, for work on it
///
/// Masters hand over without losing a packet; then no virtual router takes part, whatever happens to the others, until
/// the time is over or `maintenance off`. If nobody takes over they leave all the same, and that is said. A reload
/// changes nothing about it. Without a word, shows whether it is on.
#[derive(Debug, Args)]
#[command(after_help = FAILOVER_EXITS)]
pub(in crate::cli) struct Maintenance {
    /// What to do
    #[arg(value_name = "on|off")]
    switch: Option<Switch>,
    /// End it after this time: 90s, 30m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = seconds, requires = "switch")]
    time: Option<u32>,
    /// Also hold on when the daemon is stopped and started, until the machine boots
    #[arg(long, requires = "switch")]
    over_restart: bool,
    /// The answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Switch {
    /// Begin.
    On,
    /// End.
    Off,
}

/// Runs `failover`.
pub(in crate::cli) fn failover(arguments: &Failover) -> ExitCode {
    let Failover { of, time, json, which } = arguments;
    let command = Command::Failover { of: name(of), seconds: *time };
    tell(which.vrrp().ask(command, HANDOVER_PATIENCE), "failover", *json)
}

/// Runs `failback`.
pub(in crate::cli) fn failback(arguments: &Failback) -> ExitCode {
    let Failback { of, json, which } = arguments;
    tell(which.vrrp().ask(Command::Failback { of: name(of) }, HANDOVER_PATIENCE), "failback", *json)
}

/// Runs `maintenance`.
pub(in crate::cli) fn maintenance(arguments: &Maintenance) -> ExitCode {
    let Maintenance { switch, time, over_restart, json, which } = arguments;
    let change = switch.map(|switch| MaintenanceChange {
        on: switch == Switch::On,
        seconds: *time,
        persists: *over_restart,
    });
    let client = which.vrrp();
    let answer = client.ask(Command::Maintenance { change }, HANDOVER_PATIENCE);
    if *json || *switch == Some(Switch::On) {
        return tell(answer, "maintenance", *json);
    }
    match answer {
        Ok(answer) => {
            print(&maintenance_line(&answer));
            ExitCode::SUCCESS
        }
        Err(failure) => failure.tell("maintenance"),
    }
}

fn maintenance_line(answer: &Value) -> String {
    let current: Option<MaintenanceStatus> =
        answer.get("maintenance").and_then(|value| serde_json::from_value(value.clone()).ok());
    let now = clock::wall().as_unix_micros();
    match current {
        None => "maintenance is off\n".to_owned(),
        Some(MaintenanceStatus { since_unix_us, until_unix_us, persists }) => {
            let left = |until: u64| format!(", for another {}", span(until.saturating_sub(now)));
            format!(
                "maintenance is on for {}{}{}\n",
                span(now.saturating_sub(since_unix_us)),
                until_unix_us.map(left).unwrap_or_default(),
                if persists { ", also over a restart" } else { "" }
            )
        }
    }
}

/// Tells what came of an order at each router.
fn tell(answer: Result<Value, Failure>, subcommand: &str, json: bool) -> ExitCode {
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => return failure.tell(subcommand),
    };
    let routers = answer.get("routers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if json {
        print(&format!("{answer}\n"));
    } else {
        for router in routers {
            let text = |member: &str| router.get(member).and_then(Value::as_str).unwrap_or_default();
            print(&format!("{}: {}\n", text("name"), text("text")));
        }
    }
    let failed = |router: &Value| {
        let outcome = router.get("outcome").and_then(Value::as_str);
        matches!(outcome, Some("nobody" | "left" | "refused" | "ended"))
    };
    if routers.iter().any(failed) { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS }
}

fn name(of: &str) -> Option<String> {
    (of != ALL).then(|| of.to_owned())
}

/// A time: `90`, `90s`, `30m`, `2h`, `1d`.
pub(super) fn seconds(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, text.chars().next_back()),
        None => (text, None),
    };
    let factor = match unit {
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => 1,
    };
    let seconds = number.parse().ok().and_then(|number: u32| number.checked_mul(factor));
    seconds
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| "write a time above 0 as 90s, 30m, 2h or 1d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::tests::read;

    #[test]
    fn times_have_units() {
        let read = |text| seconds(text).ok();
        assert_eq!(["90", "90s", "30m", "2h", "1d"].map(read), [90, 90, 1_800, 7_200, 86_400].map(Some));
        assert_eq!(["0", "", "s", "-1", "1.5h", "1w", "99999999d"].map(read), [None; 7]);
    }

    #[test]
    fn a_time_without_an_order_is_refused() {
        assert!(read::<Maintenance>(&["--for", "30m"]).is_err());
        let arguments = read::<Maintenance>(&["on", "--for", "30m", "--over-restart"]).unwrap();
        assert_eq!(
            (arguments.switch, arguments.time, arguments.over_restart),
            (Some(Switch::On), Some(1_800), true)
        );
        assert!(read::<Failover>(&[]).is_err(), "nobody hands over everything by leaving out a word");
    }
}
