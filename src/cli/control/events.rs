//! `alived events`.

use std::io::Write;
use std::process::ExitCode;
use std::sync::mpsc;

use clap::Args;
use serde_json::Value;

use super::client::{Conversation, EXITS, Failure, PATIENCE, Which};
use crate::control::Command;
use crate::status::EventRecord;
use crate::sys::clock::local_time;
use crate::time::WallTime;

/// Show what has happened lately, and why
///
/// Shows changes of state with their causes, what other routers did, results of trackers, orders and reloads, and of
/// virtual servers who went down and came back, quorums, sorry servers, drains and what was put right: the last thousands,
/// the oldest first.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(in crate::cli) struct Events {
    /// Only those of this virtual router, sync group, virtual server ([192.0.2.1]:tcp:80) or real server
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
    let patience = (!follow).then_some(PATIENCE);
    let (mut conversations, mut failures) = (Vec::new(), Vec::new());
    for worker in which.workers() {
        match worker.converse(command.clone(), patience) {
            Ok(conversation) => conversations.push(conversation),
            Err(failure) => failures.push(failure),
        }
    }
    match failures.into_iter().next() {
        Some(failure) if conversations.is_empty() => return Err(failure),
        // What the other worker knows is shown all the same.
        Some(failure) => _ = failure.tell("events"),
        None => {}
    }
    let kept = kept(&conversations, *last);
    let lines: String = kept.into_iter().map(|event| line(event, *json)).collect();
    let mut output = std::io::stdout();
    // Whoever read it has gone: there is nobody to tell.
    if output.write_all(lines.as_bytes()).and_then(|()| output.flush()).is_err() || !follow {
        return Ok(());
    }
    follow_all(conversations, |event| {
        output.write_all(line(event, *json).as_bytes()).and_then(|()| output.flush()).is_ok()
    })
}

/// What all workers have kept, by its time, and of it the latest ones.
fn kept(conversations: &[Conversation], last: Option<u32>) -> Vec<&Value> {
    let of_each = conversations.iter().filter_map(|one| one.result.get("events").and_then(Value::as_array));
    let mut all: Vec<(u64, &Value)> = Vec::new();
    for events in of_each {
        // Those of one worker stay in their order, also where its clock was set back.
        let mut latest = 0;
        for event in events {
            latest = event.get("at_unix_us").and_then(Value::as_u64).unwrap_or(0).max(latest);
            all.push((latest, event));
        }
    }
    all.sort_by_key(|(at, _)| *at);
    let mut all: Vec<&Value> = all.into_iter().map(|(_, event)| event).collect();
    let last = last.and_then(|last| usize::try_from(last).ok()).unwrap_or(all.len());
    all.split_off(all.len().saturating_sub(last))
}

/// Shows what happens until nobody looks any more, or no worker tells any more.
fn follow_all(conversations: Vec<Conversation>, mut show: impl FnMut(&Value) -> bool) -> Result<(), Failure> {
    let (sender, told) = mpsc::channel();
    let mut left = conversations.len();
    for mut conversation in conversations {
        let sender = sender.clone();
        std::thread::spawn(move || {
            loop {
                let next = conversation.next();
                let is_end = next.is_err();
                if sender.send(next).is_err() || is_end {
                    return;
                }
            }
        });
    }
    drop(sender);
    for next in told {
        match next {
            Ok(event) if !show(&event) => return Ok(()),
            Ok(_) => {}
            Err(failure) => {
                left -= 1;
                if left == 0 {
                    return Err(failure);
                }
                let _ = failure.tell("events");
            }
        }
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
