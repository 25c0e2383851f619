//! `alived restart`: another process of the daemon, of the program that is on the disk now, without a failover.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::{Client, PATIENCE, REFUSED, UNREACHABLE, Which};
use crate::cli::{print, say};
use crate::control::Command;
use crate::sys::clock;

/// How long judging may take, and how long the next process afterwards, until it answers.
const JUDGING_PATIENCE: Duration = Duration::from_secs(120);
const FOLLOWING_PATIENCE: Duration = Duration::from_secs(60);

/// How long nobody may listen meanwhile: then the daemon is gone.
const SILENCE: Duration = Duration::from_secs(10);

/// The pause between two looks for it.
const LOOK: Duration = Duration::from_millis(20);

const EXITS: &str =
    "Exit status: 0 restarted, 1 refused or nobody went on, 3 no daemon answers, 64 bad command line.";

/// Restart the daemon without failover, for an upgrade too
///
/// Judges the program that is on the disk now and the configuration first: if either is not good nothing happens, and the
/// reason is said. Then that program goes on in the same process, with the same options: addresses, routes, interfaces,
/// firewall rules and IPVS stay, masters stay masters, and neither other routers nor hosts notice, as long as it takes
/// less than a master-down time. What an operator ordered holds on. Scripts and FIFOs are told of changes only, and there
/// is none. Should nobody go on, everything is removed. Stopping the daemon, also by `systemctl restart`, releases all, so
/// that another router takes over.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(in crate::cli) struct Restart {
    /// The answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// Runs `restart`.
pub(in crate::cli) fn restart(arguments: &Restart) -> ExitCode {
    let (vrrp, lvs) = (arguments.which.vrrp(), arguments.which.lvs());
    let leader = if vrrp.exists() || !lvs.exists() { vrrp } else { lvs };
    let answer = match leader.ask(Command::Restart {}, JUDGING_PATIENCE) {
        Ok(answer) => answer,
        Err(failure) => return failure.tell("restart"),
    };
    let text = |member: &str| answer.get(member).and_then(Value::as_str).unwrap_or("?").to_owned();
    let begun = clock::now().instant;
    let mut heard = begun;
    loop {
        let after = clock::now().instant.saturating_since(begun);
        if let Some(pid) = follower(&leader, answer.get("pid")) {
            if arguments.json {
                let (version, before) = (text("version"), text("before"));
                print(&format!(
                    "{}\n",
                    serde_json::json!({ "version": version, "before": before, "pid": pid })
                ));
            } else {
                let (version, before, ms) = (text("version"), text("before"), after.as_millis());
                print(&format!("v{version} goes on for v{before}, and answers after {ms} ms\n"));
            }
            return ExitCode::SUCCESS;
        }
        let now = clock::now().instant;
        if leader.listens() {
            heard = now;
        }
        if after > FOLLOWING_PATIENCE || now.saturating_since(heard) > SILENCE {
            say(
                "alived restart: all was judged good, but no other process has gone on; see the daemon's log\n",
            );
            return ExitCode::from(if leader.exists() { REFUSED } else { UNREACHABLE });
        }
        std::thread::sleep(LOOK);
    }
}

/// The number of the worker that answers, if it is another one.
fn follower(leader: &Client, before: Option<&Value>) -> Option<u64> {
    let status = leader.ask(Command::Status {}, PATIENCE).ok()?;
    let pid = status.get("daemon")?.get("pid").filter(|pid| Some(*pid) != before)?;
    pid.as_u64()
}
