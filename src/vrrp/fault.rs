//! Fault: keepalived's state of a router that cannot take part, with the set of its reasons. One of them it may
//! impose on itself, and stands back.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::abstention::Return;
use super::router::{Output, VirtualRouter};
use super::router_core::Core;
use super::switch_over::Maintenance;
use super::{FaultReason, ReportKind};
use crate::time::Now;

impl Core {
    /// Every reason at this moment.
    pub(super) fn current_faults(&self) -> BTreeSet<FaultReason> {
        let mut faults = self.own_faults();
        faults.extend(self.imposed.clone());
        faults
    }

    /// Those of its own, without what other members of its sync group suffer from.
    pub(super) fn own_faults(&self) -> BTreeSet<FaultReason> {
        let mut faults = self.environment.faults(&self.config);
        faults.extend(self.abstention.reason().cloned());
        faults.extend(self.static_fault.clone());
        faults.extend((self.maintenance == Maintenance::InForce).then_some(FaultReason::Maintenance));
        faults.extend(self.tracked_faults.iter().map(|name| FaultReason::Tracked(Arc::clone(name))));
        faults
    }

    /// Whether there is one of its own among those that hold.
    pub(super) fn has_own_fault(&self) -> bool {
        self.faults.iter().any(|fault| !matches!(fault, FaultReason::Member { .. }))
    }

    /// If the reasons are not what they were, gives what they were.
    pub(super) fn renew_faults(&mut self) -> Option<BTreeSet<FaultReason>> {
        let faults = self.current_faults();
        (faults != self.faults).then(|| core::mem::replace(&mut self.faults, faults))
    }

    /// Tells all reasons.
    pub(super) fn report_faults(&self, out: &mut Output<'_>) {
        let remaining = self.faults.iter().cloned().collect();
        self.report(ReportKind::FaultsChanged { remaining }, out);
    }

    /// Ends an abstention before its time. The faults have to be computed anew.
    pub(super) fn try_again(&mut self, now: Now) {
        let unproven = matches!(self.abstention.reason(), Some(FaultReason::NotSending(..)));
        self.sending.begin_again(unproven);
        self.abstention.end(now.instant);
    }

    /// Ends an abstention whose time has come. The faults have to be computed anew.
    pub(super) fn end_abstention(&mut self, now: Now) -> Option<Return> {
        let failed = matches!(self.abstention.reason(), Some(FaultReason::NotSending(..)));
        let back = self.abstention.take_due(now.instant)?;
        self.sending.begin_again(failed && back == Return::ToBackup);
        if back == Return::Alone {
            self.sending.need_no_proof();
        }
        Some(back)
    }
}

impl VirtualRouter {
    /// A static address, route or rule that it depends on (`track_group`) is there or not.
    pub fn set_static_fault(&mut self, now: Now, fault: Option<FaultReason>, out: &mut Output<'_>) {
        if self.core.static_fault != fault {
            self.core.static_fault = fault;
            self.update_faults(now, out);
        }
    }

    /// Stands back, unless there is nobody else.
    pub(super) fn abstain(&mut self, now: Now, reason: FaultReason, out: &mut Output<'_>) -> bool {
        let master_down = self.core.master_down_interval();
        let begins = self.core.abstention.begin(now.instant, reason, master_down);
        if begins {
            self.update_faults(now, out);
        }
        begins
    }
}
