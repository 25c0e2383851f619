//! What the operator orders: switch-over, its end, maintenance. A sync group moves as one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{HaNode, Phase};
use crate::kernel::RouterId;
use crate::time::{Duration, Instant, Now};
use crate::vrrp::{
    Actions, HandsOver, Report, ReportKind, State, SwitchOver, SyncGroup, SyncGroupId, VirtualRouter, Whom,
};

impl HaNode {
    /// [`Event::SwitchOver`](crate::node::Event::SwitchOver), and what each router concerned makes of it; empty where
    /// nobody has that name.
    pub fn order_switch_over(
        &mut self,
        now: Now,
        order: &SwitchOver,
        actions: &mut Actions,
    ) -> Vec<(Arc<str>, HandsOver)> {
        let before = actions.kernel.len();
        self.notice_stall(now, actions);
        let answers = self.switch_over(now, order, actions);
        self.conclude(now, before, actions);
        answers
    }

    /// To be called before the first event: maintenance holds since before the start, until then if there is an end.
    pub const fn start_under_maintenance(&mut self, until: Option<Instant>) {
        self.maintenance = Some(until);
    }

    /// To be called before the first event: the operator has switched these over before the start, until then if there
    /// is an end. They wait for a switch-back as if they had handed over themselves.
    pub fn start_switched_over(&mut self, held: BTreeMap<Arc<str>, Option<Instant>>) {
        self.switched_over = held;
    }

    /// Whether maintenance keeps all routers out of the election, and until when, if there is an end.
    pub const fn maintenance(&self) -> Option<Option<Instant>> {
        self.maintenance
    }

    /// A group with an owner stays: only the owner answers.
    pub(super) fn switch_over(
        &mut self,
        now: Now,
        order: &SwitchOver,
        actions: &mut Actions,
    ) -> Vec<(Arc<str>, HandsOver)> {
        let owns = |id: &RouterId| self.routers.get(id).is_some_and(|r| r.priority().get().is_owner());
        let refusing: BTreeSet<SyncGroupId> = self
            .groups
            .with_ids()
            .filter(|(_, group)| group.members().iter().any(owns))
            .map(|(id, _)| id)
            .collect();
        let mut answers = Vec::new();
        for id in self.concerned(&order.whom) {
            let patience = self.patience(id);
            self.with_router(now, id, actions, |router, out| {
                let refused = router.sync_group().is_some_and(|group| refusing.contains(&group));
                let answer = match refused && !router.priority().get().is_owner() {
                    true => HandsOver::Owner,
                    false => router.switch_over(now, order.hold, patience, out),
                };
                if answer == HandsOver::NotMaster && router.sync_group().is_some() {
                    router.hold_back(now, order.hold);
                }
                answers.push((Arc::clone(&router.config().name), answer));
            });
        }
        answers
    }

    /// How long a router that hands over waits for its successor: as long as any of its sync group.
    fn patience(&self, id: RouterId) -> Duration {
        let group = self.router(id).and_then(VirtualRouter::sync_group);
        let members = group.and_then(|group| self.sync_group(group)).map(SyncGroup::members);
        let members = members.unwrap_or_else(|| core::slice::from_ref(&id));
        let patience = |member: &RouterId| self.router(*member).map(VirtualRouter::patience);
        members.iter().filter_map(patience).max().unwrap_or(Duration::ZERO)
    }

    /// [`Event::SwitchBack`](crate::node::Event::SwitchBack), and whether each router concerned had switched over;
    /// empty where nobody has that name.
    pub fn take_back(&mut self, now: Now, whom: &Whom, actions: &mut Actions) -> Vec<(Arc<str>, bool)> {
        let before = actions.kernel.len();
        self.notice_stall(now, actions);
        let answers = self.switch_back(now, whom, actions);
        self.conclude(now, before, actions);
        answers
    }

    /// [`Event::BeginMaintenance`](crate::node::Event::BeginMaintenance), and what each router makes of it.
    pub fn maintain(
        &mut self,
        now: Now,
        span: Option<Duration>,
        actions: &mut Actions,
    ) -> Vec<(Arc<str>, HandsOver)> {
        let before = actions.kernel.len();
        self.notice_stall(now, actions);
        let answers = self.begin_maintenance(now, span, actions);
        self.settle_track_groups(now, actions);
        self.conclude(now, before, actions);
        answers
    }

    pub(super) fn switch_back(
        &mut self,
        now: Now,
        whom: &Whom,
        actions: &mut Actions,
    ) -> Vec<(Arc<str>, bool)> {
        let mut answers = Vec::new();
        for id in self.concerned(whom) {
            self.with_router(now, id, actions, |router, out| {
                let over = router.has_yielded() || router.is_switching_over();
                answers.push((Arc::clone(&router.config().name), over));
                router.switch_back(now, out);
            });
        }
        answers
    }

    pub(super) fn begin_maintenance(
        &mut self,
        now: Now,
        span: Option<Duration>,
        actions: &mut Actions,
    ) -> Vec<(Arc<str>, HandsOver)> {
        let mut answers = Vec::new();
        if matches!(self.phase, Phase::Stopping | Phase::Stopped) {
            return answers;
        }
        self.maintenance = Some(span.map(|span| now.instant + span));
        actions.report(Report { router: "".into(), kind: ReportKind::MaintenanceBegun { span } });
        for id in self.routers.keys().copied().collect::<Vec<_>>() {
            let patience = self.patience(id);
            self.with_router(now, id, actions, |router, out| {
                let answer = match router.state() {
                    State::Master => HandsOver::Begun,
                    _ => HandsOver::NotMaster,
                };
                answers.push((Arc::clone(&router.config().name), answer));
                router.begin_maintenance(now, patience, out);
            });
        }
        // Who waited for its socket or a tracker has nothing to wait for.
        self.start_waiting(now, actions);
        answers
    }

    pub(super) fn end_maintenance(&mut self, now: Now, timed: bool, actions: &mut Actions) {
        if self.maintenance.take().is_none() || matches!(self.phase, Phase::Stopping | Phase::Stopped) {
            return;
        }
        actions.report(Report { router: "".into(), kind: ReportKind::MaintenanceEnded { timed } });
        self.for_each(now, actions, |router, out| router.end_maintenance(now, out));
    }

    pub(super) fn end_maintenance_in_time(&mut self, now: Now, actions: &mut Actions) {
        if self.maintenance.flatten().is_some_and(|until| until <= now.instant) {
            self.end_maintenance(now, true, actions);
        }
    }

    /// Whom an order is for: of a sync group all.
    fn concerned(&self, whom: &Whom) -> Vec<RouterId> {
        let Whom::Named(name) = whom else { return self.routers.keys().copied().collect() };
        let of_group = self.groups.members_of(name);
        if !of_group.is_empty() {
            return of_group.to_vec();
        }
        let Some(router) = self.routers().find(|router| router.config().name == *name) else {
            return Vec::new();
        };
        match router.sync_group().and_then(|id| self.sync_group(id)) {
            Some(group) => group.members().to_vec(),
            None => vec![router.id()],
        }
    }
}
