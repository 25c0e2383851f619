//! A restart without failover, as far as it is the worker's: asking for it, and leaving to the next process.

use super::super::control::Asked;
use super::super::restart::{LegacyFile, Verdict};
use super::super::vrrp_thread::Message;
use super::Worker;
use crate::control::{Code, Refusal, Restarted};
use crate::node::Legacy;
use crate::sys::process;

/// How far a worker is that leaves to the next one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Leaving {
    /// Hooks are told what they have not heard yet; the routers go on.
    Tells,
    /// The vrrp thread was told.
    Ordered,
}

impl Worker<'_> {
    /// The supervisor judges, and answers.
    pub(super) fn restart(&mut self, asked: Asked) {
        self.note("told to restart");
        self.restarts.push(asked);
        self.handover.ask_for_restart();
    }

    /// The supervisor has answered.
    pub(super) fn answer_restarts(&mut self) {
        if let Some(verdict) = self.handover.take_answer() {
            answer(std::mem::take(&mut self.restarts), &verdict);
        }
    }

    /// The next process is ready to go on.
    pub(super) fn begin_to_leave(&mut self) {
        if self.leaving.is_some() {
            return;
        }
        self.answer_restarts();
        tracing::info!("Leaving to the next process");
        self.note("leaves to the next process");
        self.leaving = Some(Leaving::Tells);
        self.hooks.leave();
    }

    /// Whether it leaves to the next process, and does not stop.
    pub(super) fn leaves(&self) -> bool {
        self.leaving.is_some() && !self.stopping
    }

    /// All is told that has happened until now.
    pub(super) fn leave(&mut self) {
        if self.leaving == Some(Leaving::Tells) {
            self.leaving = Some(Leaving::Ordered);
            self.inbox.send(Message::Leave);
        }
    }

    /// The vrrp thread has left.
    pub(super) fn write_legacy(&self, legacy: &Legacy) {
        let file = LegacyFile::beside(&self.control);
        if let Err(error) = file.write(legacy, &self.hooks.told()) {
            tracing::warn!(
                "cannot write down who was master ({error}): the next process finds out by the addresses that it finds"
            );
        }
    }
}

/// Tells those who asked for a restart what comes of it.
pub(in crate::daemon) fn answer(asked: Vec<Asked>, verdict: &Verdict) {
    for asked in asked {
        match verdict.clone() {
            Verdict::Follows(version) => asked.grant_with(&Restarted {
                version,
                before: env!("CARGO_PKG_VERSION").to_owned(),
                pid: process::own_pid(),
            }),
            Verdict::Refused { why, lines } => {
                let message = format!("no restart, the daemon goes on as it is: {why}");
                asked.refuse_with(Refusal { code: Code::Refused, message, lines });
            }
        }
    }
}
