//! Programs of checks (`MISC_CHECK`), which the runner runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::check::{Attempt, Event, ProgramEnd};
use crate::daemon::runner::{self, Command, Cut, Outcome, RunId, Runner};
use crate::kernel::Script;
use crate::sys::process::Ended;
use crate::time::Duration;

/// Those that run.
#[derive(Debug, Default)]
pub(super) struct Programs {
    /// `None` = its attempt is over, and it is being ended.
    runs: BTreeMap<RunId, Option<Attempt>>,
    by_attempt: HashMap<Attempt, RunId>,
}

impl Programs {
    pub(super) fn start(
        &mut self,
        attempt: Attempt,
        script: &Arc<Script>,
        timeout: Duration,
        runner: &mut Runner,
    ) {
        let id = runner.start(Command { deadline: Some(timeout), ..Command::new(Script::clone(script)) });
        self.runs.insert(id, Some(attempt));
        self.by_attempt.insert(attempt, id);
    }

    /// Ends the attempt's program, if it has one that runs.
    pub(super) fn close(&mut self, attempt: Attempt, runner: &mut Runner) {
        let Some(id) = self.by_attempt.remove(&attempt) else { return };
        if let Some(run) = self.runs.get_mut(&id) {
            *run = None;
            runner.cancel(id);
        }
    }

    /// Whether it is about a program of a check, and what that means for its attempt, unless that is over.
    pub(super) fn finish(&mut self, event: &runner::Event) -> (bool, Option<(Attempt, Event<'static>)>) {
        let (runner::Event::Finished { id, .. } | runner::Event::Lost { id }) = event;
        let Some(attempt) = self.runs.remove(id) else { return (false, None) };
        let end = match event {
            runner::Event::Finished { outcome, .. } => judge(outcome),
            runner::Event::Lost { .. } => ProgramEnd::Lost,
        };
        (true, attempt.map(|attempt| (attempt, Event::Ended(end))))
    }

    /// Whether the attempt is one of a program and not over.
    pub(super) fn has(&self, attempt: Attempt) -> bool {
        self.by_attempt.contains_key(&attempt)
    }
}

fn judge(outcome: &Outcome) -> ProgramEnd {
    match outcome {
        Outcome::Ended { cut: Some(Cut::Deadline), .. } => ProgramEnd::TimedOut,
        Outcome::Ended { cut: Some(Cut::Cancelled), .. } | Outcome::Cancelled => ProgramEnd::Lost,
        Outcome::Ended { how: Ended::Exited(status), cut: None, .. } => {
            ProgramEnd::Exited(u8::try_from(*status).unwrap_or(u8::MAX))
        }
        Outcome::Ended { how: Ended::Killed(signal), cut: None, .. } => ProgramEnd::Signalled(*signal),
        Outcome::NotStarted(_) | Outcome::Refused(_) => ProgramEnd::NotStarted(outcome.to_string().into()),
    }
}
