//! One process of the daemon after the other: what a worker that leaves tells the next one, and what that makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{HaNode, Phase};
use crate::time::Now;
use crate::track::Verdict;
use crate::vrrp::{Actions, Output};

/// What a worker that leaves in order knows and the next one needs at once.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Legacy {
    /// The routers that were master. They are master again, whatever they hold.
    pub masters: BTreeSet<Arc<str>>,
    /// What tracked scripts have found out: whether all is well. Nobody waits for their next run.
    pub scripts: BTreeMap<Arc<str>, bool>,
}

impl HaNode {
    /// Another process goes on for this one in a moment: masters send one more advertisement, and nothing is given up.
    /// The node is not to be called any more.
    pub fn leave_to_next(&mut self, now: Now, actions: &mut Actions) -> Legacy {
        let mut legacy = Legacy::default();
        if self.phase == Phase::Running {
            for router in self.routers.values_mut() {
                let mut out = Output { actions, announcements: &mut self.announcements };
                if router.leave_to_next(now, &mut out) {
                    legacy.masters.insert(Arc::clone(&router.config().name));
                }
            }
        }
        for (script, state) in self.trackers.scripts() {
            if state.verdict() != Verdict::Unknown {
                legacy.scripts.insert(Arc::clone(&script.name), state.verdict() == Verdict::Good);
            }
        }
        legacy
    }

    /// To be called before the first event, with [`HaNode::succeed`]: what the process before has left in order.
    pub fn take_up(&mut self, legacy: Legacy) {
        self.legacy = Some(legacy);
    }
}
