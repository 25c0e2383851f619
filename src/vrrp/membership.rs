//! A virtual router as a member of a sync group: what the group sees of it, and how it does what the group orders.

use super::initialize::Start;
use super::router::{Output, Phase, VirtualRouter};
use super::sync_group::{Order, Proof, Standing};
use super::{Cause, State, SyncGroupId};
use crate::time::{Instant, Now};

/// What of a member matters to its group, so that the node sees whether it has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Mark {
    state: State,
    ready: bool,
    faulty: bool,
    wishes: bool,
    proof: Proof,
    follows: bool,
}

impl VirtualRouter {
    /// The sync group that it is a member of.
    pub const fn sync_group(&self) -> Option<SyncGroupId> {
        self.core.group
    }

    /// Makes it a member of a sync group, or of none. Who is in none any more shares nobody's fault.
    pub(crate) fn set_sync_group(&mut self, now: Now, group: Option<SyncGroupId>, out: &mut Output<'_>) {
        self.core.group = group;
        if group.is_none()
            && let Some(imposed) = self.core.imposed.clone()
        {
            self.clear_imposed(now, Cause::FaultCleared(imposed), out);
        }
    }

    /// What its group has to look at; cheap.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            state: self.state(),
            ready: self.is_ready(),
            faulty: self.core.has_own_fault(),
            wishes: self.wanted().is_some(),
            proof: self.proof(),
            follows: self.master().is_some(),
        }
    }

    /// All that its group has to know.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            member: self.core.id,
            name: self.core.config.name.clone(),
            state: self.state(),
            ready: self.is_ready(),
            fault: self.core.own_faults().into_iter().next(),
            imposed: self.core.imposed.clone(),
            wish: self.wanted().cloned(),
            proof: self.proof(),
            follows: self.master().map(|(from, priority)| {
                let ours = self.core.priority.clone();
                Cause::BetterMaster { from, priority, ours }
            }),
            last_cause: self.core.last_cause.clone(),
        }
    }

    /// Does as its group says. `silent_since`: see [`VirtualRouter::start`].
    pub(crate) fn obey(
        &mut self,
        now: Now,
        order: Order,
        silent_since: Option<Instant>,
        out: &mut Output<'_>,
    ) {
        match order {
            Order::Start => self.start_now(now, silent_since, out),
            Order::Impose(fault) => self.impose(now, fault, out),
            Order::Clear(cause) => self.clear_imposed(now, cause, out),
            Order::Prove(cause) | Order::BecomeMaster(cause) => self.become_master(now, cause, out),
            Order::StepDown(cause) => self.step_down(now, cause, out),
        }
    }

    /// Its advertisements leave, or nobody else is there: it is master, or wants to be as before, where its group has to
    /// agree.
    pub(super) fn take_proven_mastership(&mut self, now: Now, cause: Cause, out: &mut Output<'_>) {
        match &mut self.phase {
            Phase::Backup(backup) if self.core.group.is_some() => backup.wish(cause),
            _ => self.take_mastership(now, cause, out),
        }
    }

    /// Why it wants to become master, if it does.
    pub(crate) const fn wanted(&self) -> Option<&Cause> {
        match &self.phase {
            Phase::Backup(backup) => backup.wanted(),
            Phase::Initialize | Phase::Master(_) | Phase::Fault => None,
        }
    }

    const fn proof(&self) -> Proof {
        match (self.core.sending.awaits_proof(), self.core.sending.is_unproven()) {
            (true, _) => Proof::Awaited,
            (false, true) => Proof::Needed,
            (false, false) => Proof::NotNeeded,
        }
    }

    fn is_ready(&self) -> bool {
        self.state() == State::Initialize && self.core.way_to_start(&self.core.own_faults()) != Start::NotYet
    }
}
