//! Fault: keepalived's state of a router that cannot take part, with the set of its reasons.

use super::router::{Output, Phase, VirtualRouter};
use super::{Cause, ReportKind};
use crate::time::Now;

impl VirtualRouter {
    /// Computes the reasons anew and enters or leaves Fault (`behaviours` B9).
    pub(super) fn update_faults(&mut self, now: Now, out: &mut Output<'_>) {
        if matches!(self.phase, Phase::Initialize) {
            return;
        }
        let faults = self.current_faults();
        if faults == self.faults {
            return;
        }
        self.faults = faults;
        match (&self.phase, self.faults.is_empty()) {
            (Phase::Fault, true) => {
                self.master_interval = self.config.interval;
                let wait = self.master_down_interval();
                self.enter_backup(now, wait, Cause::FaultCleared, out);
                if self.priority.get().is_owner() {
                    self.master_request = Some(Cause::Owner);
                }
            }
            (Phase::Fault, false) => {
                let remaining = self.faults.iter().cloned().collect();
                self.report(ReportKind::FaultsChanged { remaining }, out);
            }
            (_, false) => self.enter_fault(now, out),
            (_, true) => {}
        }
    }

    /// Enters Fault: a master says that it leaves, as far as it still can be heard, and gives up its addresses.
    pub(super) fn enter_fault(&mut self, now: Now, out: &mut Output<'_>) {
        if matches!(self.phase, Phase::Master(_)) {
            self.send_leaving(out);
            self.counters.released_master += 1;
        }
        out.announcements.cancel(self.id);
        self.release_addresses(out);
        self.master_request = None;
        let Some(first) = self.faults.first().cloned() else { return };
        self.transition(now, Phase::Fault, Cause::Fault(first), out);
        if self.faults.len() > 1 {
            let remaining = self.faults.iter().cloned().collect();
            self.report(ReportKind::FaultsChanged { remaining }, out);
        }
    }
}
