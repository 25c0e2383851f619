//! Scripts of the daemon itself (`startup_script`, `shutdown_script`): the supervisor has a runner of its own run them,
//! and waits.

use std::io;

use super::runner::{self, Command, Cut, Event, Outcome, Runner};
use crate::config::ProcessScript;
use crate::sys::channel::Channel;
use crate::sys::poll::Poller;
use crate::sys::process::{self, Ended, Fork};
use crate::sys::signals::{Signal, SignalQueue};

const SIGNALS: u64 = 0;
const RUNNER: u64 = 1;

/// Runs the script that the keyword names, and logs how it went. A signal that `ends` says ends it; all that come
/// meanwhile are given back. No other process of the caller may end meanwhile that it wants to hear of.
pub(super) fn run(
    keyword: &str,
    script: &ProcessScript,
    signals: &SignalQueue,
    ends: impl Fn(Signal) -> bool,
) -> Vec<Signal> {
    tracing::info!("Running {keyword} {}", script.script);
    let mut came = Vec::new();
    match wait(script, signals, ends, &mut came) {
        Ok(Event::Finished { outcome: Outcome::Ended { how: Ended::Exited(0), cut: None, .. }, .. }) => {
            tracing::info!("{keyword} succeeded");
        }
        Ok(Event::Finished { outcome, .. }) => {
            let deadline = matches!(outcome, Outcome::Ended { cut: Some(Cut::Deadline), .. });
            let setting = if deadline { format!(" ({keyword}_timeout)") } else { String::new() };
            tracing::warn!("{keyword} {outcome}{setting}");
        }
        Ok(Event::Lost { .. }) => tracing::warn!("{keyword} was lost with the process that ran it"),
        Err(error) => tracing::error!("cannot run {keyword}: {error}"),
    }
    came
}

fn wait(
    script: &ProcessScript,
    signals: &SignalQueue,
    ends: impl Fn(Signal) -> bool,
    came: &mut Vec<Signal>,
) -> io::Result<Event> {
    let (demand, supply) = runner::supply()?;
    let mut runner = Runner::new(supply)?;
    let mut poller = Poller::new()?;
    poller.add(signals, SIGNALS)?;
    poller.add(&runner, RUNNER)?;
    let own_pid = process::own_pid();
    let (near, far) = Channel::pair()?;
    match process::fork()? {
        Fork::Child => {
            drop((near, runner, demand));
            if process::end_with_parent(own_pid)
                && let Err(error) = runner::run(far)
            {
                tracing::error!("the runner cannot go on: {error}");
            }
            std::process::exit(0)
        }
        Fork::Parent(_) => drop(far),
    }
    demand.hand_over(&near)?;
    drop(near);
    let limit = Some(script.limit);
    let id = runner.start(Command { deadline: limit, ..Command::new((*script.script).clone()) });
    loop {
        runner.handle();
        if let Some(event) = runner.next_event() {
            return Ok(event);
        }
        poller.wait(None)?.for_each(drop);
        while let Some(signal) = signals.next() {
            match signal {
                // The runner's end is seen by its socket.
                Signal::Child => while process::reap().is_some() {},
                signal => {
                    if ends(signal) {
                        runner.cancel(id);
                    }
                    came.push(signal);
                }
            }
        }
    }
}
