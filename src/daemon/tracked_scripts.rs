//! Tracked scripts: when the vrrp thread wants one run, the runner does it, and the vrrp thread is told how it ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::mailbox::Mailbox;
use super::runner::{self, Command, Outcome, RunId, Runner};
use super::vrrp_thread::Message;
use crate::kernel::ScriptEnd;
use crate::sys::process::Ended;
use crate::time::Duration;
use crate::track::{ScriptTest, ScriptTracker, TrackConfig};

/// The scripts of the configuration in force, and those that run.
#[derive(Debug)]
pub(super) struct TrackedScripts {
    scripts: BTreeMap<Arc<str>, ScriptTracker>,
    runs: BTreeMap<RunId, Arc<str>>,
    vrrp_thread: Mailbox<Message>,
}

impl TrackedScripts {
    pub(super) fn new(config: &TrackConfig, vrrp_thread: Mailbox<Message>) -> Self {
        Self { scripts: by_name(config), runs: BTreeMap::new(), vrrp_thread }
    }

    /// Takes another configuration. Runs of scripts that are others now are ended, and nobody hears of them.
    pub(super) fn configure(&mut self, config: &TrackConfig, runner: &mut Runner) {
        let before = core::mem::replace(&mut self.scripts, by_name(config));
        let scripts = &self.scripts;
        self.runs.retain(|id, name| {
            let test = |scripts: &BTreeMap<Arc<str>, ScriptTracker>| {
                scripts.get(name).map(|script| script.test.clone())
            };
            let stays = test(scripts) == test(&before);
            if !stays {
                runner.cancel(*id);
            }
            stays
        });
    }

    /// Runs a script. It is unknown only while a reload is on its way to the vrrp thread.
    pub(super) fn run(&mut self, name: Arc<str>, runner: &mut Runner) {
        let Some(ScriptTracker { test, timeout, .. }) = self.scripts.get(&name) else { return };
        match test {
            ScriptTest::Run(script) => {
                let command = Command { deadline: Some(*timeout), ..Command::new(script.clone()) };
                self.runs.insert(runner.start(command), name);
            }
            ScriptTest::Open(path) => {
                let path = PathBuf::from(std::ffi::OsStr::from_bytes(path.as_bytes()));
                let (timeout, vrrp_thread) = (*timeout, self.vrrp_thread.clone());
                tokio::spawn(async move {
                    let (end, ending) = open(path, timeout).await;
                    vrrp_thread.send(Message::Script { name, end, ending });
                });
            }
            ScriptTest::Never(why) => {
                let ending = format!("cannot be run: {why}");
                self.vrrp_thread.send(Message::Script { name, end: ScriptEnd::Failure, ending });
            }
        }
    }

    /// Takes what the runner says of a script; what is about something else is passed over.
    pub(super) fn finish(&mut self, event: &runner::Event) {
        let (runner::Event::Finished { id, .. } | runner::Event::Lost { id }) = event;
        let Some(name) = self.runs.remove(id) else { return };
        let (end, ending) = match event {
            runner::Event::Finished { outcome, .. } => (judge(outcome), outcome.to_string()),
            runner::Event::Lost { .. } => {
                (ScriptEnd::Lost, "was lost with the process that ran it".to_owned())
            }
        };
        self.vrrp_thread.send(Message::Script { name, end, ending });
    }
}

fn by_name(config: &TrackConfig) -> BTreeMap<Arc<str>, ScriptTracker> {
    config.scripts.iter().map(|script| (Arc::clone(&script.name), script.clone())).collect()
}

/// Exit status 0 is success. Whatever else happens, a script that was not run to its end says nothing good.
const fn judge(outcome: &Outcome) -> ScriptEnd {
    match outcome {
        Outcome::Ended { how: Ended::Exited(0), cut: None, .. } => ScriptEnd::Success,
        Outcome::Ended { .. } | Outcome::NotStarted(_) | Outcome::Refused(_) => ScriptEnd::Failure,
        Outcome::Cancelled => ScriptEnd::Lost,
    }
}

/// `script "< PATH"`: whether the file can be opened. Some file systems let one wait for that.
async fn open(path: PathBuf, timeout: Duration) -> (ScriptEnd, String) {
    let opened = tokio::task::spawn_blocking(move || {
        File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)
    });
    match tokio::time::timeout(timeout, opened).await {
        Ok(Ok(Ok(_))) => (ScriptEnd::Success, "can be opened".to_owned()),
        Ok(Ok(Err(error))) => (ScriptEnd::Failure, format!("cannot be opened: {error}")),
        Ok(Err(error)) => (ScriptEnd::Lost, format!("was not tried: {error}")),
        Err(_) => (ScriptEnd::Failure, format!("was not open after {} s", timeout.as_secs_f64())),
    }
}
