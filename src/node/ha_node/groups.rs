//! Sync groups: which routers belong together, and that each of them is brought in step after each event.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{HaNode, Phase};
use crate::kernel::RouterId;
use crate::time::{Instant, Now};
use crate::vrrp::{
    Actions, Cause, Contender, Mark, Order, State, SyncGroup, SyncGroupId, Touched, VirtualRouter,
    state_after_start, state_of,
};

/// More rounds of orders than a group can need: a start, faults shared and cleared, a proof, mastership.
const ROUNDS: usize = 8;

/// All sync groups of a node.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Groups {
    all: BTreeMap<SyncGroupId, SyncGroup>,
    next_id: u32,
    /// Those in which something has changed since they were judged last.
    touched: BTreeMap<SyncGroupId, Touched>,
}

impl Groups {
    /// Those in the order in which they were added.
    pub(super) fn iter(&self) -> impl Iterator<Item = &SyncGroup> {
        self.all.values()
    }

    /// The same with their numbers.
    pub(super) fn with_ids(&self) -> impl Iterator<Item = (SyncGroupId, &SyncGroup)> {
        self.all.iter().map(|(id, group)| (*id, group))
    }

    /// When a group that holds back may go on.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.all.values().filter_map(SyncGroup::holds_back_until).min()
    }

    /// Has the groups judged that held back for long enough.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for (id, group) in &mut self.all {
            if group.end_holding_back(now) {
                self.touched.entry(*id).or_default();
            }
        }
    }

    /// The members of the group of a name.
    pub(super) fn members_of(&self, name: &str) -> &[RouterId] {
        self.all.values().find(|group| **group.name() == *name).map_or(&[], SyncGroup::members)
    }

    /// Something has changed that no member shows.
    pub(super) fn touch_all(&mut self) {
        for id in self.all.keys() {
            self.touched.entry(*id).or_default();
        }
    }

    fn touch(&mut self, id: SyncGroupId, member: RouterId) {
        self.touched.entry(id).or_default().first.get_or_insert(member);
    }

    /// A member has left mastership.
    pub(super) fn note_left(&mut self, id: SyncGroupId, member: RouterId) {
        self.touched.entry(id).or_default().left.get_or_insert(member);
    }
}

/// What of a member mattered to its group before it was told something.
pub(super) type Before = Option<(SyncGroupId, Mark)>;

/// To be given to [`HaNode::note_change`] afterwards.
pub(super) fn before(router: &VirtualRouter) -> Before {
    router.sync_group().map(|id| (id, router.mark()))
}

impl HaNode {
    /// The sync groups, in the order in which they were added.
    pub fn sync_groups(&self) -> impl Iterator<Item = &SyncGroup> {
        self.groups.iter()
    }

    /// One sync group.
    pub fn sync_group(&self, id: SyncGroupId) -> Option<&SyncGroup> {
        self.groups.all.get(&id)
    }

    /// A router was told something.
    pub(super) fn note_change(&mut self, router: RouterId, before: Before) {
        let Some((id, mark)) = before else { return };
        if self.routers.get(&router).is_none_or(|router| router.mark() != mark) {
            self.groups.touch(id, router);
        }
    }

    /// Takes the groups of the configuration. A group is the one that had its name before; `names` has the routers by
    /// their names from now on.
    pub(super) fn configure_groups(
        &mut self,
        now: Now,
        names: &BTreeMap<Arc<str>, RouterId>,
        actions: &mut Actions,
    ) {
        let mut known: BTreeMap<Arc<str>, (SyncGroupId, SyncGroup)> = core::mem::take(&mut self.groups.all)
            .into_iter()
            .map(|(id, group)| (Arc::clone(group.name()), (id, group)))
            .collect();
        let mut memberships: BTreeMap<RouterId, SyncGroupId> = BTreeMap::new();
        for config in &self.config.sync_groups {
            let members: Vec<RouterId> =
                config.members.iter().filter_map(|name| names.get(name).copied()).collect();
            let (id, mut group) = known.remove(&config.name).unwrap_or_else(|| {
                let id = SyncGroupId(self.groups.next_id);
                self.groups.next_id += 1;
                (id, SyncGroup::new(Arc::clone(&config.name), Vec::new()))
            });
            memberships.extend(members.iter().map(|member| (*member, id)));
            if group.set_members(members) {
                self.groups.touched.entry(id).or_default();
            }
            self.groups.all.insert(id, group);
        }
        for (_, (gone, _)) in known {
            self.groups.touched.remove(&gone);
        }
        let moved: Vec<(RouterId, Option<SyncGroupId>)> = self
            .routers()
            .map(|router| (router.id(), router.sync_group(), memberships.get(&router.id()).copied()))
            .filter(|(_, before, after)| before != after)
            .map(|(router, _, after)| (router, after))
            .collect();
        for (router, group) in moved {
            self.with_router(now, router, actions, |router, out| router.set_sync_group(now, group, out));
        }
    }

    /// Brings every group in step in which something has changed.
    pub(super) fn settle_groups(&mut self, now: Now, actions: &mut Actions) {
        while let Some((id, touched)) = self.groups.touched.pop_first() {
            let mut cause = None;
            for _ in 0..ROUNDS {
                let orders = self.orders(now, id, touched, actions);
                if orders.is_empty() {
                    break;
                }
                cause = orders.iter().find_map(|(_, order)| order.cause_of_group()).or(cause);
                for (member, order) in orders {
                    let silent_since = self.silent_since;
                    self.with_router(now, member, actions, |router, out| {
                        router.obey(now, order, silent_since, out);
                    });
                }
            }
            // What the members did as they were told is no news to the group.
            self.groups.touched.remove(&id);
            self.note_group(now, id, touched, cause, actions);
        }
    }

    fn orders(
        &mut self,
        now: Now,
        id: SyncGroupId,
        touched: Touched,
        actions: &mut Actions,
    ) -> Vec<(RouterId, Order)> {
        if self.phase != Phase::Running {
            return Vec::new();
        }
        let Some(group) = self.groups.all.get_mut(&id) else { return Vec::new() };
        let routers = group.members().iter().filter_map(|member| self.routers.get(member));
        let standings: Vec<_> = routers.map(|router| router.standing()).collect();
        let orders = group.orders(&standings, touched);
        // keepalived tells of the group first when it starts.
        let all_start = standings.iter().all(|standing| standing.state == State::Initialize);
        if all_start && !orders.is_empty() {
            let news = group.note(now, state_after_start(&standings), Cause::Startup, None);
            news.into_iter().for_each(|transition| actions.group_transition(transition));
        }
        orders
    }

    /// Tells of the group's state if it is another one.
    fn note_group(
        &mut self,
        now: Now,
        id: SyncGroupId,
        touched: Touched,
        cause: Option<Cause>,
        actions: &mut Actions,
    ) {
        let Some(group) = self.groups.all.get_mut(&id) else { return };
        let members = || group.members().iter().filter_map(|member| self.routers.get(member));
        let state = state_of(members().map(|router| router.state()));
        let began = members().find(|router| Some(router.id()) == touched.left.or(touched.first));
        let began = began.or_else(|| members().find(|router| router.state() == state));
        let of_member = || began.and_then(|router| group.cause_of(router));
        let Some(cause) = cause.or_else(of_member) else { return };
        let source = members().find_map(|router| router.source()).filter(|_| group.members().len() > 1);
        let master_down = members().map(|router| router.master_down_interval()).max();
        let contender =
            source.zip(master_down).map(|(source, master_down)| Contender { source, master_down });
        let news = group.note(now, state, cause, contender);
        news.into_iter().for_each(|transition| actions.group_transition(transition));
    }
}
