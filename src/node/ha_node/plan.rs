//! A reload: what it would change is planned first, and then carried out.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::links::OwnLinks;
use super::statics::Statics;
use super::{HaNode, Phase, Retired};
use crate::kernel::RouterId;
use crate::net::InterfaceName;
use crate::node::{Changes, NodeConfig};
use crate::time::Now;
use crate::vrrp::{Actions, Cause, Reservation, RouterConfig, RouterIdentity, shared_paces};

/// What a new configuration changes in a node, which has not happened yet. It prints as a line for each object.
#[derive(Clone, Debug)]
pub struct Plan {
    changes: Changes,
    removed: Vec<RouterId>,
    kept: Vec<(RouterId, RouterConfig)>,
    added: Vec<RouterConfig>,
    /// Everything but the routers.
    others: NodeConfig,
}

impl Plan {
    /// Object by object.
    pub const fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The same, for somebody who keeps them; the plan prints as empty then.
    pub fn take_changes(&mut self) -> Changes {
        core::mem::take(&mut self.changes)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.changes.lines().join("\n"))
    }
}

impl HaNode {
    /// What [`HaNode::apply`] would change.
    pub fn plan(&self, mut config: NodeConfig) -> Plan {
        let mut changes = Changes::default();
        let before = self.config.routers.iter().chain(self.routers().map(|router| router.config()));
        changes.routers(before, config.routers.iter());
        changes.others(&self.config, &config);
        // Of routers of one identity, which speak to different peers, the first is the first one again.
        let mut known: BTreeMap<RouterIdentity, VecDeque<RouterId>> = BTreeMap::new();
        for router in self.routers() {
            known.entry(router.config().identity()).or_default().push_back(router.id());
        }
        let (mut kept, mut added) = (Vec::new(), Vec::new());
        for config in core::mem::take(&mut config.routers) {
            match known.get_mut(&config.identity()).and_then(VecDeque::pop_front) {
                Some(id) => kept.push((id, config)),
                None => added.push(config),
            }
        }
        Plan { changes, removed: known.into_values().flatten().collect(), kept, added, others: config }
    }

    /// Carries out what was planned for the node as it is: only what changes is touched.
    pub fn apply(&mut self, now: Now, plan: Plan, actions: &mut Actions) {
        let before = actions.kernel.len();
        self.notice_stall(now, actions);
        self.carry_out(now, plan, actions);
        self.settle_track_groups(now, actions);
        self.restore_taken(before, actions);
        self.restore_routing(before, actions);
    }

    pub(super) fn carry_out(&mut self, now: Now, plan: Plan, actions: &mut Actions) {
        let Plan { changes: _, removed, kept, added, others } = plan;
        let before = core::mem::replace(&mut self.config, others);
        let other_statics = before.statics != self.config.statics;
        let other_paces = before.garp_groups != self.config.garp_groups;
        if other_paces {
            self.paces = shared_paces(&self.config.garp_groups);
        }
        let other_links = before.links != self.config.links;
        let watched = |config: &NodeConfig| {
            let tracking = &config.tracking;
            (tracking.interface_delays.clone(), tracking.link_polling.clone())
        };
        let watched_otherwise = watched(&before) != watched(&self.config);
        let is_same = |(id, config): &(RouterId, RouterConfig)| {
            self.router(*id).is_none_or(|router| *router.config() == *config)
        };
        let other_trackers = before.tracking != self.config.tracking
            || before.sync_groups != self.config.sync_groups
            || !removed.is_empty()
            || !added.is_empty()
            || !kept.iter().all(is_same);
        self.retired = Retired { others: Some(before), ..Retired::default() };
        match self.phase {
            Phase::New => {
                self.statics = Statics::new(&self.config.statics);
                self.links = OwnLinks::new(&self.config.links);
                self.config.routers = added;
                return;
            }
            Phase::Stopping | Phase::Stopped => return,
            Phase::Held(_) | Phase::Running => {}
        }
        // Who goes gives up its addresses before somebody else asks for them.
        for id in removed {
            self.with_router(now, id, actions, |router, out| router.stop(now, Cause::Reload, false, out));
            match self.forget_router(id) {
                Some(router) if router.is_settled() => self.retired.routers.push(router),
                Some(router) => drop(self.departing.insert(id, router)),
                None => {}
            }
        }
        if other_statics {
            self.statics.reconfigure(&self.config.statics, &self.kernel, actions);
            self.index_static_routing();
        }
        if other_links {
            self.links.reconfigure(&self.config.links, &self.kernel, actions);
        }
        let mut names: BTreeMap<Arc<str>, RouterId> =
            kept.iter().map(|(id, config)| (Arc::clone(&config.name), *id)).collect();
        // One that is added now may have been there before, and gone.
        let later = |all: Reservation| Reservation { from: all.until, ..all };
        let reservation = self.reservation.map(later);
        let mut new = Vec::new();
        for config in added {
            let name = Arc::clone(&config.name);
            let id = self.add_router(config, reservation);
            names.insert(name, id);
            new.push(id);
        }
        // Who is a member from now on waits for the others from now on.
        self.configure_groups(now, &names, actions);
        let mut concerned =
            if other_trackers { self.configure_trackers(now, &names) } else { BTreeSet::new() };
        for (id, config) in kept {
            let same = self.router(id).is_none_or(|router| *router.config() == config);
            let unused = if same {
                config
            } else {
                // What trackers make of it changes along with its priority: what is between the two it never has.
                let tracked = concerned.remove(&id).then(|| self.tracked_of(id));
                self.reconfigure_router(now, id, config, tracked, actions)
            };
            self.retired.configs.push(unused);
        }
        self.tell_tracked(now, concerned, actions);
        self.update_routers(now, new, actions);
        if watched_otherwise {
            let at_once = self.configure_links();
            let names: Vec<&InterfaceName> = at_once.iter().collect();
            self.update_names(now, &names, actions);
            self.look_at_links(now, &names, actions);
        }
        if other_paces {
            self.update_all(now, actions);
        }
        self.leave_all_to_who_wants(now, actions);
        // Who waited for a tracker that is gone now waits no longer.
        self.start_waiting(now, actions);
        // Before anybody else is told something.
        self.settle_groups(now, actions);
    }
}
