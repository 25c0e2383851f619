//! Orders to hand over that are under way: who was asked, and what came of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::super::control::Asked;
use crate::control::{Code, Command, OrderOutcome, Ordered, RouterOrdered};
use crate::time::micros;
use crate::vrrp::{HandsOver, News, Report, ReportKind, State, Transition};

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Handovers {
    /// Given to the vrrp thread and not answered, the oldest first; `None` for a signal.
    given: VecDeque<Option<Asked>>,
    /// Under way.
    watched: Vec<Watched>,
}

/// One that is under way.
#[derive(Debug)]
struct Watched {
    asked: Asked,
    /// Of each router concerned; `None` until it is known.
    outcomes: BTreeMap<Arc<str>, Option<Outcome>>,
}

/// What came of it at one router.
#[derive(Clone, Debug)]
struct Outcome {
    word: OrderOutcome,
    text: String,
    successor: Option<String>,
    after_us: Option<u64>,
}

impl Outcome {
    fn new(word: OrderOutcome, text: impl Into<String>) -> Self {
        Self { word, text: text.into(), successor: None, after_us: None }
    }

    /// At once, if there is nothing to wait for.
    fn at_once(answer: HandsOver) -> Option<Self> {
        match answer {
            HandsOver::Begun | HandsOver::Already => None,
            HandsOver::NotMaster => {
                Some(Self::new(OrderOutcome::NotMaster, "is not master: nothing to hand over"))
            }
            HandsOver::Owner => Some(Self::new(
                OrderOutcome::Refused,
                "stays master: the owner of the addresses (priority 255), or of others in its sync group, always is; \
                 lower its priority first",
            )),
        }
    }

    /// What news say of a router that hands over.
    fn of(news: &News) -> Option<(&Arc<str>, Self)> {
        match news {
            News::Report(Report { router, kind }) => {
                let text = kind.to_string();
                let outcome = match kind {
                    ReportKind::SwitchedOver { successor, after } => Self {
                        successor: Some(successor.to_string()),
                        after_us: Some(micros(*after)),
                        ..Self::new(OrderOutcome::Done, text)
                    },
                    ReportKind::SwitchOverAbandoned => Self::new(OrderOutcome::Nobody, text),
                    ReportKind::NobodyTookOver => Self::new(OrderOutcome::Left, text),
                    ReportKind::SwitchOverEnded => Self::new(OrderOutcome::Ended, text),
                    _ => return None,
                };
                Some((router, outcome))
            }
            News::Transition(Transition { name, from: State::Master, to, cause, .. }) => {
                Some((name, Self::new(OrderOutcome::Done, format!("{to}: {cause}"))))
            }
            _ => None,
        }
    }

    fn of_router(&self, name: &Arc<str>) -> RouterOrdered {
        let Self { word, text, successor, after_us } = self.clone();
        RouterOrdered { name: name.to_string(), outcome: word, text, successor, after_us }
    }
}

impl Handovers {
    /// An order is on its way to the vrrp thread.
    pub(super) fn give(&mut self, asked: Option<Asked>) {
        self.given.push_back(asked);
    }

    /// The vrrp thread has answered the oldest one: who is concerned, and what each makes of it.
    pub(super) fn begin(&mut self, answers: Vec<(Arc<str>, HandsOver)>) {
        let Some(asked) = self.given.pop_front().flatten() else { return };
        let outcomes = answers.into_iter().map(|(name, answer)| (name, Outcome::at_once(answer)));
        self.watched.push(Watched { asked, outcomes: outcomes.collect() });
        self.finish();
    }

    /// Something happened.
    pub(super) fn note(&mut self, news: &News) {
        if self.watched.is_empty() {
            return;
        }
        let Some((name, outcome)) = Outcome::of(news) else { return };
        // What is known already stays: a successor tells more than the change of state that follows.
        for known in self.watched.iter_mut().filter_map(|watched| watched.outcomes.get_mut(name)) {
            known.get_or_insert_with(|| outcome.clone());
        }
        self.finish();
    }

    /// Answers those of which all is known.
    fn finish(&mut self) {
        let is_known = |watched: &mut Watched| watched.outcomes.values().all(Option::is_some);
        for Watched { asked, outcomes } in self.watched.extract_if(.., is_known) {
            if outcomes.is_empty() && matches!(asked.request.command, Command::Failover { of: Some(_), .. }) {
                asked.refuse(Code::Refused, "there is no virtual router and no sync group of that name");
                continue;
            }
            let router =
                |(name, outcome): (&Arc<str>, &Option<Outcome>)| Some(outcome.as_ref()?.of_router(name));
            asked.grant_with(&Ordered { routers: outcomes.iter().filter_map(router).collect() });
        }
    }
}
