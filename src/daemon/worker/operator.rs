//! The operator's orders to the virtual routers: handing over, taking back, maintenance.

use std::sync::Arc;

use serde_json::json;

use super::super::control::Asked;
use super::super::vrrp_thread::Message;
use super::Worker;
use crate::control::{Code, MaintenanceChange, OrderOutcome, Ordered, RouterOrdered};
use crate::sys::clock;
use crate::time::Duration;
use crate::vrrp::{News, Report, ReportKind, SwitchOver, Whom};

impl Worker<'_> {
    /// Answered when all have handed over, or have not.
    pub(super) fn fail_over(&mut self, asked: Asked, of: Option<String>, seconds: Option<u32>) {
        self.note(format!("told to hand over {}{}", words(of.as_deref()), span(seconds)));
        let hold = seconds.map(|seconds| Duration::from_secs(seconds.into()));
        self.handovers.give(Some(asked));
        self.inbox.send(Message::SwitchOver(SwitchOver { whom: whom(of), hold }));
    }

    /// Answered when it is in force.
    pub(super) fn fail_back(&mut self, asked: Asked, of: Option<String>) {
        self.note(format!("told to take back {}", words(of.as_deref())));
        self.taking_back.push_back(Some(asked));
        self.inbox.send(Message::SwitchBack(whom(of)));
    }

    /// What was handed over may have changed.
    pub(super) fn follow_switch_overs(&mut self) {
        if self.switch_overs.asks() {
            self.inbox.send(Message::SwitchedOver);
        }
    }

    /// The vrrp thread has obeyed.
    pub(super) fn taken_back(&mut self, answers: &[(Arc<str>, bool)]) {
        let Some(asked) = self.taking_back.pop_front().flatten() else { return };
        if answers.is_empty() {
            return asked.refuse(Code::Refused, "there is no virtual router and no sync group of that name");
        }
        let router = |(name, over): &(Arc<str>, bool)| {
            let (outcome, text) = match over {
                true => (OrderOutcome::Done, "takes back what it would be master of"),
                false => (OrderOutcome::Nothing, "had not handed over"),
            };
            let (name, text) = (name.to_string(), text.to_owned());
            RouterOrdered { name, outcome, text, successor: None, after_us: None }
        };
        asked.grant_with(&Ordered { routers: answers.iter().map(router).collect() });
    }

    /// Answered when all have left, where it begins.
    pub(super) fn maintain(&mut self, asked: Asked, change: Option<MaintenanceChange>) {
        match change {
            None => {}
            Some(MaintenanceChange { on: true, seconds, persists }) => {
                let duration = seconds.map(|seconds| Duration::from_secs(seconds.into()));
                if let Err(error) = self.maintenance.begin(clock::wall(), duration, persists) {
                    let text = format!(
                        "cannot write down that maintenance holds, so that it does not begin: {error}"
                    );
                    return asked.refuse(Code::Refused, text);
                }
                self.note(format!("told to begin maintenance{}", span(seconds)));
                self.handovers.give(Some(asked));
                return self.inbox.send(Message::Maintain(duration));
            }
            Some(MaintenanceChange { on: false, .. }) => {
                self.note("told to end maintenance");
                self.maintenance.end();
                self.inbox.send(Message::EndMaintenance);
            }
        }
        asked.grant(json!({ "maintenance": self.maintenance.current() }));
    }

    /// Its time may be over.
    pub(super) fn note_maintenance(&mut self, news: &News) {
        if let News::Report(Report { kind: ReportKind::MaintenanceEnded { timed: true }, .. }) = news {
            self.maintenance.end();
        }
    }
}

fn whom(of: Option<String>) -> Whom {
    of.map_or(Whom::All, |name| Whom::Named(name.into()))
}

fn words(of: Option<&str>) -> &str {
    of.unwrap_or("all virtual routers")
}

fn span(seconds: Option<u32>) -> String {
    seconds.map(|seconds| format!(" for {seconds} s")).unwrap_or_default()
}
