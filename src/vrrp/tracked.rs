//! What trackers make of a router: its effective priority, and whether it can take part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ReportKind;
use super::router::{Output, Phase, VirtualRouter};
use super::router_core::Core;
use crate::time::Now;

/// Everything that trackers say of a router, by names that an operator knows them by.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Tracked {
    /// Who keeps it from taking part.
    pub faults: BTreeSet<Arc<str>>,
    /// What is added to its priority, -254 to 254 each.
    pub contributions: BTreeMap<Arc<str>, i32>,
    /// Somebody who may keep it from taking part has not found out yet: it does not start before. A router that has
    /// started goes on.
    pub pending: bool,
}

impl VirtualRouter {
    /// Takes the trackers' words. A master's next advertisement has the new priority.
    pub fn set_tracked(&mut self, now: Now, tracked: Tracked, out: &mut Output<'_>) {
        let core = &mut self.core;
        let before = core.priority.get();
        core.take_tracked(tracked);
        let after = core.priority.get();
        if after != before {
            core.report(ReportKind::PriorityChanged { from: before, to: after }, out);
        }
        if after < before
            && let Phase::Backup(backup) = &mut self.phase
        {
            backup.reconsider(core, now);
        }
        self.update_faults(now, out);
    }
}

impl Core {
    /// The faults have to be computed anew, and whoever counts with the priority has to be told.
    pub(super) fn take_tracked(&mut self, tracked: Tracked) {
        let Tracked { faults, contributions, pending } = tracked;
        self.priority.set_contributions(contributions);
        self.tracked_faults = faults;
        self.tracker_pending = pending;
    }
}
