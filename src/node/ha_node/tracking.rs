//! What trackers find out, and who is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{HaNode, Phase};
use crate::kernel::{Link, RouterId, ScriptEnd};
use crate::net::InterfaceName;
use crate::time::{Duration, Now};
use crate::track::{Due, Effect, FileReading, Owner, Tracker, Verdict};
use crate::vrrp::{Actions, Report, ReportKind, Tracked, unnoticed_silence};

/// Routers that are told of a tracker at a time: what they want done then is done before others are told, so that no
/// advertisement waits for a thousand transitions.
const TOLD_PER_WAKE_UP: usize = 128;

impl HaNode {
    /// Takes the trackers of the configuration; `names` has the routers by their names from now on. Gives those to which
    /// something is another thing now, who have to be told.
    pub(super) fn configure_trackers(
        &mut self,
        now: Now,
        names: &BTreeMap<Arc<str>, RouterId>,
    ) -> BTreeSet<RouterId> {
        let find = |owner: &Owner| match owner {
            Owner::Instance(name) => names.get(name).copied().into_iter().collect(),
            Owner::SyncGroup(name) => self.groups.members_of(name).to_vec(),
        };
        let (kernel, states) = (&self.kernel, &self.link_states);
        let up =
            |name: &InterfaceName| kernel.link_by_name(name).is_some_and(|link| states.counts_as_up(link));
        let concerned = self.trackers.configure(now.instant, &self.config.tracking, find, up);
        self.untold.retain(|id| !concerned.contains(id));
        concerned
    }

    /// Tells routers what trackers make of them. None starts by that: new ones do not know their surroundings yet.
    pub(super) fn tell_tracked(&mut self, now: Now, ids: BTreeSet<RouterId>, actions: &mut Actions) {
        for id in ids {
            let tracked = self.tracked_of(id);
            self.with_router(now, id, actions, |router, out| router.set_tracked(now, tracked, out));
        }
    }

    /// Takes the delays of the configuration and which interfaces are asked, and gives those that no longer are.
    pub(super) fn configure_links(&mut self) -> BTreeSet<InterfaceName> {
        let kernel = &self.kernel;
        self.link_states.configure(&self.config.tracking, |name| kernel.link_by_name(name))
    }

    /// Takes what an interface answered that is asked for its carrier.
    pub(super) fn take_carrier(
        &mut self,
        now: Now,
        name: &InterfaceName,
        carrier: Option<bool>,
        actions: &mut Actions,
    ) {
        // An answer may be on its way when a reload ends the questions.
        if self.config.tracking.link_polling.iter().any(|line| line.interface == *name) {
            self.link_states.set_carrier(name, carrier);
            self.note_links(now, &[name]);
            self.update_names(now, &[name], actions);
            self.look_at_links(now, &[name], actions);
        }
    }

    /// Serves the timers of trackers and of interfaces, and tells some of those who do not know yet what changed.
    pub(super) fn serve_trackers(&mut self, now: Now, actions: &mut Actions) {
        let late = self.link_states.take_due(now.instant);
        if !late.is_empty() {
            let names: Vec<&InterfaceName> = late.iter().collect();
            self.update_names(now, &names, actions);
            self.look_at_links(now, &names, actions);
        }
        let mut changed = Vec::new();
        self.trackers.handle_timeout(now.instant, &mut |due| match due {
            Due::Run(name) => actions.scripts.push(name),
            Due::Changed(tracker) => changed.push(tracker),
        });
        for tracker in changed {
            if let Tracker::Process(name) = &tracker {
                self.report_processes(name, actions);
            }
            self.note_dependents(&tracker);
        }
        self.tell_some(now, actions);
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

    /// Takes what was read from a file.
    pub(super) fn take_file(
        &mut self,
        now: Now,
        name: &Arc<str>,
        reading: FileReading,
        actions: &mut Actions,
    ) {
        if let Some(tracker) = self.trackers.note_file(name, reading) {
            self.tell_dependents(now, &tracker, actions);
        }
    }

    /// Takes a number of processes.
    pub(super) fn take_processes(&mut self, now: Now, name: &Arc<str>, count: u32, actions: &mut Actions) {
        if let Some(tracker) = self.trackers.note_processes(now.instant, name, count) {
            self.report_processes(name, actions);
            self.tell_dependents(now, &tracker, actions);
        }
    }

    fn report_processes(&self, name: &Arc<str>, actions: &mut Actions) {
        let Some(state) = self.trackers.process(name) else { return };
        let kind = ReportKind::QuorumChanged {
            name: Arc::clone(name),
            met: state.verdict() == Verdict::Good,
            count: state.count().unwrap_or_default(),
        };
        actions.report(Report { router: "".into(), kind });
    }

    /// Notes for the delays of all interfaces what is known of them.
    pub(super) fn note_all_links(&mut self, now: Now) {
        let names: Vec<InterfaceName> = self.link_states.delayed().cloned().collect();
        self.note_links(now, &names.iter().collect::<Vec<_>>());
    }

    /// Notes for the delays of interfaces what is known of these.
    pub(super) fn note_links(&mut self, now: Now, names: &[&InterfaceName]) {
        for name in names.iter().filter(|name| self.link_states.is_delayed(name)).collect::<Vec<_>>() {
            let longest = self.longest_unnoticed(name);
            self.link_states.note(now.instant, name, self.kernel.link_by_name(name), longest);
        }
    }

    /// How long the loss of an interface may be kept from routers before a backup that cannot hear through it any more
    /// would elect itself.
    fn longest_unnoticed(&self, name: &InterfaceName) -> Duration {
        let tracker = Tracker::Interface(name.clone());
        let users = self.index.of_name(name).iter().copied().chain(self.trackers.dependents(&tracker));
        let silences = users
            .filter_map(|id| self.routers.get(&id))
            .map(|router| unnoticed_silence(router.master_interval(), router.config().down_timer_adverts));
        silences.min().unwrap_or(Duration::MAX)
    }

    /// Looks at all tracked interfaces.
    pub(super) fn look_at_all_links(&mut self, now: Now, actions: &mut Actions) {
        let names: Vec<InterfaceName> = self.trackers.links().map(|(name, _)| name.clone()).collect();
        self.look_at_links(now, &names.iter().collect::<Vec<_>>(), actions);
    }

    /// Looks at those of these interfaces that are tracked.
    pub(super) fn look_at_links(&mut self, now: Now, names: &[&InterfaceName], actions: &mut Actions) {
        for name in names {
            let counts = |link: &Link| self.link_states.counts_as_up(link);
            let up = self.kernel.link_by_name(name).is_some_and(counts);
            if let Some(tracker) = self.trackers.note_link(name, up) {
                self.tell_dependents(now, &tracker, actions);
            }
        }
    }

    fn tell_dependents(&mut self, now: Now, tracker: &Tracker, actions: &mut Actions) {
        self.note_dependents(tracker);
        self.tell_some(now, actions);
    }

    fn note_dependents(&mut self, tracker: &Tracker) {
        self.untold.extend(self.trackers.dependents(tracker));
    }

    /// Tells some of those who do not know yet; [`HaNode::poll_timeout`] is due while there are more.
    fn tell_some(&mut self, now: Now, actions: &mut Actions) {
        let (running, silent_since) = (self.phase == Phase::Running, self.silent_since);
        for _ in 0..TOLD_PER_WAKE_UP {
            let Some(id) = self.untold.pop_first() else { return };
            let tracked = self.tracked_of(id);
            self.with_router(now, id, actions, |router, out| {
                router.set_tracked(now, tracked, out);
                if running {
                    router.start(now, silent_since, out);
                }
            });
        }
    }

    /// What trackers make of a router.
    pub(super) fn tracked_of(&self, id: RouterId) -> Tracked {
        let mut tracked = Tracked::default();
        for (name, effect) in self.trackers.effects(id) {
            let name = Arc::clone(name);
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
