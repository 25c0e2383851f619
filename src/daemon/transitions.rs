//! How often each virtual router came into which state because of what, for metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::status::TransitionCount;
use crate::vrrp::{News, State, Transition};

/// The counts since the worker started. The kinds of causes are few.
#[derive(Debug, Default)]
pub(super) struct Transitions {
    counts: BTreeMap<Arc<str>, BTreeMap<(State, &'static str), u64>>,
}

impl Transitions {
    /// Something has happened.
    pub(super) fn note(&mut self, news: &News) {
        if let News::Transition(Transition { name, to, cause, .. }) = news {
            let of_router = self.counts.entry(Arc::clone(name)).or_default();
            *of_router.entry((*to, cause.kind())).or_default() += 1;
        }
    }

    /// Forgets routers that are not there any more.
    pub(super) fn keep<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let names: BTreeSet<&str> = names.collect();
        self.counts.retain(|name, _| names.contains(&**name));
    }

    /// Of a router.
    pub(super) fn of(&self, name: &str) -> Vec<TransitionCount> {
        let of_router = self.counts.get(name).into_iter().flatten();
        of_router
            .map(|((to, cause), count)| TransitionCount {
                to: to.to_string(),
                cause: (*cause).to_owned(),
                count: *count,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::RouterId;
    use crate::vrrp::Cause;
    use crate::wire::vrrp::Priority;

    #[test]
    fn transitions_are_counted_by_cause_for_routers_that_are_there() {
        let mut transitions = Transitions::default();
        let transition = |name: &str, to, cause| {
            News::Transition(Transition {
                router: RouterId(0),
                name: name.into(),
                from: State::Backup,
                to,
                cause,
                priority: Priority(100),
            })
        };
        for cause in [Cause::MasterDown { last_master: None }, Cause::SwitchBack, Cause::SwitchBack] {
            transitions.note(&transition("A", State::Master, cause));
        }
        transitions.note(&transition("B", State::Master, Cause::SwitchBack));
        let told = |transitions: &Transitions, name| -> Vec<(String, u64)> {
            transitions.of(name).into_iter().map(|of| (format!("{} {}", of.to, of.cause), of.count)).collect()
        };
        let of_a = [("MASTER master-down".to_owned(), 1), ("MASTER switch-back".to_owned(), 2)];
        assert_eq!(told(&transitions, "A"), of_a);
        transitions.keep(["A", "C"].into_iter());
        assert_eq!((told(&transitions, "A").len(), told(&transitions, "B").len()), (2, 0));
    }
}
