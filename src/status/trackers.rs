//! What trackers have found out.

use core::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernel::RouterId;
use crate::track::{FileReading, Tracker, Trackers, Verdict};

/// One tracker that somebody depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TrackerStatus {
    /// What is tracked, as in the parts of a priority: `script NAME`.
    pub(crate) name: String,
    /// What is thought of it; absent for a file, whose number says it all.
    pub(crate) verdict: Option<VerdictWord>,
    /// The number in a file; absent where it was not read yet or cannot be read.
    pub(crate) number: Option<i32>,
    /// How many processes run; absent before they were counted.
    pub(crate) count: Option<u32>,
    /// Whether a script runs now.
    #[serde(default)]
    pub(crate) running: Option<bool>,
    /// Runs of a script that were left out because the one before was not over.
    pub(crate) overruns: Option<u64>,
}

/// What is thought of something.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VerdictWord {
    /// Nothing yet.
    Unknown,
    /// All is well.
    Good,
    /// It fails.
    Failed,
}

impl From<Verdict> for VerdictWord {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Unknown => Self::Unknown,
            Verdict::Good => Self::Good,
            Verdict::Bad => Self::Failed,
        }
    }
}

impl TrackerStatus {
    fn new(tracker: &Tracker) -> Self {
        Self {
            name: tracker.to_string(),
            verdict: None,
            number: None,
            count: None,
            running: None,
            overruns: None,
        }
    }

    /// All of a node: scripts, processes, files, interfaces.
    pub(crate) fn of(trackers: &Trackers<RouterId>) -> Vec<Self> {
        let scripts = trackers.scripts().map(|(config, state)| Self {
            verdict: Some(state.verdict().into()),
            running: Some(state.is_running()),
            overruns: Some(state.overruns()),
            ..Self::new(&Tracker::Script(Arc::clone(&config.name)))
        });
        let processes = trackers.processes().map(|(config, state)| Self {
            verdict: Some(state.verdict().into()),
            count: state.count(),
            ..Self::new(&Tracker::Process(Arc::clone(&config.name)))
        });
        let files = trackers.files().map(|(name, _, reading)| {
            let status = Self::new(&Tracker::File(Arc::clone(name)));
            match reading {
                None => Self { verdict: Some(VerdictWord::Unknown), ..status },
                Some(FileReading::Number(number)) => Self { number: Some(number), ..status },
                Some(FileReading::Unreadable) => Self { verdict: Some(VerdictWord::Failed), ..status },
            }
        });
        let links = trackers.links().map(|(name, up)| {
            let verdict = if up { VerdictWord::Good } else { VerdictWord::Failed };
            Self { verdict: Some(verdict), ..Self::new(&Tracker::Interface(name.clone())) }
        });
        scripts.chain(processes).chain(files).chain(links).collect()
    }
}

/// `script chk: good, 3 runs left out because the one before was not over`.
impl fmt::Display for TrackerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.name)?;
        match self.verdict {
            None => {}
            Some(VerdictWord::Unknown) => f.write_str(" nothing known yet")?,
            Some(VerdictWord::Good) => f.write_str(" good")?,
            Some(VerdictWord::Failed) => f.write_str(" failed")?,
        }
        if let Some(number) = self.number {
            write!(f, " {number}")?;
        }
        if let Some(count) = self.count {
            write!(f, ", {count} run")?;
        }
        match self.overruns {
            None | Some(0) => Ok(()),
            Some(overruns) => write!(f, ", {overruns} runs left out because the one before was not over"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trackers_are_told_in_a_line_each() {
        let new = || TrackerStatus::new(&Tracker::Script("chk".into()));
        let line = |status: TrackerStatus| status.to_string();
        let good = Some(VerdictWord::Good);
        assert_eq!(line(TrackerStatus { verdict: good, overruns: Some(0), ..new() }), "script chk: good");
        assert_eq!(
            line(TrackerStatus { verdict: Some(VerdictWord::Failed), overruns: Some(3), ..new() }),
            "script chk: failed, 3 runs left out because the one before was not over"
        );
        assert_eq!(line(TrackerStatus { verdict: good, count: Some(2), ..new() }), "script chk: good, 2 run");
        let file = TrackerStatus { number: Some(-7), ..TrackerStatus::new(&Tracker::File("load".into())) };
        assert_eq!(line(file), "file load: -7");
        let unread = TrackerStatus { verdict: Some(VerdictWord::Unknown), ..new() };
        assert_eq!(line(unread), "script chk: nothing known yet");
    }
}
