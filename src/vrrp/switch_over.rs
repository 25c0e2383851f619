//! The operator's switch-over, by which a master hands on without a gap, and its end.

use super::master::Mastership;
use super::router::{Output, Phase, VirtualRouter};
use super::router_core::Core;
use super::timing::skew_time;
use super::{Cause, ReportKind};
use crate::time::Now;
use crate::wire::vrrp::Priority;

impl VirtualRouter {
    /// The operator's switch-over: priority 0, no more advertisements, but the addresses stay until the
    /// successor is heard, at most one interval and the longest skew time. Does nothing unless master.
    pub fn switch_over(&mut self, now: Now, out: &mut Output<'_>) {
        let Self { core, phase } = self;
        let Phase::Master(mastership) = phase else { return };
        if core.priority.get().is_owner() {
            return core.report(ReportKind::SwitchOverRefused, out);
        }
        if mastership.hands_over() {
            return;
        }
        let interval = core.config.interval;
        let longest_skew = skew_time(core.config.version, Priority(1), interval);
        mastership.handover = Some(now.instant + interval.duration() + longest_skew);
        core.send_leaving(now, out);
        core.report(ReportKind::SwitchOverBegun, out);
    }

    /// The operator ends a switch-over: takes back mastership from a master of lower priority, at once; before a
    /// successor is heard, goes on as master.
    pub fn switch_back(&mut self, now: Now, out: &mut Output<'_>) {
        let Self { core, phase } = self;
        if let Phase::Master(mastership) = phase
            && mastership.hands_over()
        {
            return mastership.resume(core, now, ReportKind::SwitchOverEnded, out);
        }
        if !core::mem::take(&mut core.yielded) || !core.config.preempt {
            return;
        }
        if let Phase::Backup(backup) = phase
            && backup.master.is_some_and(|(_, priority)| priority < core.priority.get())
        {
            backup.wish(Cause::SwitchBack);
        }
    }

    /// Whether the router is handing over to a successor (switch-over).
    pub const fn is_switching_over(&self) -> bool {
        matches!(&self.phase, Phase::Master(mastership) if mastership.hands_over())
    }

    /// Whether a switch-over keeps the router from preempting.
    pub const fn has_yielded(&self) -> bool {
        self.core.yielded
    }
}

impl Mastership {
    /// Whether a switch-over is under way.
    pub(super) const fn hands_over(&self) -> bool {
        self.handover.is_some()
    }

    /// The switch-over ends without a successor: master as before.
    pub(super) fn resume(&mut self, core: &mut Core, now: Now, why: ReportKind, out: &mut Output<'_>) {
        self.handover = None;
        core.report(why, out);
        self.advertise_now(core, now, out);
    }
}
