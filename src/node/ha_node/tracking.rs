//! What trackers find out, and who is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{HaNode, Phase};
use crate::kernel::{Link, RouterId, ScriptEnd};
use crate::net::InterfaceName;
use crate::time::Now;
use crate::track::{Effect, Owner, Tracker};
use crate::vrrp::{Actions, Report, ReportKind, Tracked};

impl HaNode {
    /// Takes the trackers of the configuration, and tells each router what is known. None starts by that: new ones do
    /// not know their surroundings yet.
    pub(super) fn configure_trackers(&mut self, now: Now, actions: &mut Actions) {
        let routers: BTreeMap<Arc<str>, RouterId> =
            self.routers().map(|router| (Arc::clone(&router.config().name), router.id())).collect();
        let find = |owner: &Owner| match owner {
            Owner::Instance(name) => routers.get(name).copied().into_iter().collect(),
            // Refused by the configuration.
            Owner::SyncGroup(_) => Vec::new(),
        };
        let kernel = &self.kernel;
        let usable = |name: &InterfaceName| kernel.link_by_name(name).is_some_and(Link::usable);
        self.trackers.configure(now.instant, &self.config.tracking, find, usable);
        for id in routers.into_values() {
            let tracked = self.tracked_of(id);
            self.with_router(now, id, actions, |router, out| router.set_tracked(now, tracked, out));
        }
    }

    /// Takes the result of a script.
    pub(super) fn take_script(
        &mut self,
        now: Now,
        name: Arc<str>,
        end: ScriptEnd,
        ending: String,
        actions: &mut Actions,
    ) {
        let Some(tracker) = self.trackers.note_script(&name, end) else { return };
        let success = end == ScriptEnd::Success;
        actions
            .report(Report { router: "".into(), kind: ReportKind::ScriptVerdict { name, success, ending } });
        self.tell_dependents(now, &tracker, actions);
    }

    /// Looks at all tracked interfaces.
    pub(super) fn look_at_all_links(&mut self, now: Now, actions: &mut Actions) {
        let names: Vec<InterfaceName> = self.trackers.links().cloned().collect();
        self.look_at_links(now, &names.iter().collect::<Vec<_>>(), actions);
    }

    /// Looks at those of these interfaces that are tracked.
    pub(super) fn look_at_links(&mut self, now: Now, names: &[&InterfaceName], actions: &mut Actions) {
        for name in names {
            let usable = self.kernel.link_by_name(name).is_some_and(Link::usable);
            if let Some(tracker) = self.trackers.note_link(now.instant, name, usable) {
                self.tell_dependents(now, &tracker, actions);
            }
        }
    }

    fn tell_dependents(&mut self, now: Now, tracker: &Tracker, actions: &mut Actions) {
        let ids: Vec<RouterId> = self.trackers.dependents(tracker).collect();
        let (running, silent_since) = (self.phase == Phase::Running, self.silent_since);
        for id in ids {
            let tracked = self.tracked_of(id);
            self.with_router(now, id, actions, |router, out| {
                router.set_tracked(now, tracked, out);
                if running {
                    router.start(now, silent_since, out);
                }
            });
        }
    }

    fn tracked_of(&self, id: RouterId) -> Tracked {
        let mut tracked = Tracked::default();
        for (tracker, effect) in self.trackers.effects(id) {
            let name: Arc<str> = tracker.to_string().into();
            match effect {
                Effect::Fault => {
                    tracked.faults.insert(name);
                }
                Effect::Pending => tracked.pending = true,
                // Tracked by the router and by its group.
                Effect::Weight(weight) => *tracked.contributions.entry(name).or_default() += weight,
            }
        }
        tracked
    }
}
