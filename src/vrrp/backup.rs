//! Backup (RFC 9568 §6.4.2, RFC 3768 §6.4.2).

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::router_core::Core;
use super::{Cause, Output, ReportKind, RouterConfig};
use crate::time::{Duration, Instant, Now};
use crate::wire::vrrp::{Message, Priority};

/// What a backup keeps in mind.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Backup {
    /// `Active_Down_Timer` (`Master_Down_Timer`).
    pub(super) master_down: Instant,
    /// The master followed.
    pub(super) master: Option<(IpAddr, Priority)>,
    /// Until when a worse master cannot take its place: as long as it may just not have sent again yet.
    master_until: Instant,
    /// A master whose priority is lower than ours and that we therefore do not follow.
    lower: Option<(IpAddr, Priority)>,
    /// Who sent priority 0, if that is what the timer waits for.
    left: Option<IpAddr>,
    /// End of `preempt_delay`, from the first advertisement of lower priority on.
    preempt_at: Option<Instant>,
    /// Why it wants to become master, until the node has granted that, or a master is there to follow.
    wish: Option<Cause>,
}

impl Backup {
    /// Waits `wait` for a master.
    pub(super) fn new(now: Now, wait: Duration) -> Self {
        Self {
            master_down: now.instant + wait,
            master: None,
            master_until: now.instant,
            lower: None,
            left: None,
            preempt_at: None,
            wish: None,
        }
    }

    /// Wants to become master, which the node grants.
    pub(super) fn wish(&mut self, cause: Cause) {
        self.wish = Some(cause);
    }

    pub(super) const fn take_wish(&mut self) -> Option<Cause> {
        self.wish.take()
    }

    /// Why it wants to become master, if it does.
    pub(super) const fn wanted(&self) -> Option<&Cause> {
        self.wish.as_ref()
    }

    /// What its wish came from may not hold any more: it listens once more.
    pub(super) fn reconsider(&mut self, core: &Core, now: Now) {
        if self.wish.take().is_some() {
            self.restart(core, now);
        }
    }

    /// RFC 9568 §6.4.2: an advertisement is received.
    pub(super) fn hear(
        &mut self,
        core: &mut Core,
        now: Now,
        from: IpAddr,
        advertisement: &Message<'_>,
        out: &mut Output<'_>,
    ) {
        if advertisement.priority.is_leaving() {
            // (420) "set the Active_Down_Timer to Skew_Time". A router that is not the master we follow has
            // nothing to leave: obeying it would start an election under a living master.
            if self.master.is_none_or(|(master, _)| master == from) {
                self.master_down = self.master_down.min(now.instant + core.skew_time());
                self.left = Some(from);
            }
            return;
        }
        if self.follows(core, now, from, advertisement.priority, out) {
            self.wish = None;
            self.wait_for(core, now, from, advertisement, out);
            core.release_leftovers(out);
            core.routing.decide();
            core.addresses.decide();
        } else {
            // Who has to wait for its sync group cannot tell for how long the other one is master.
            if core.group.is_some() {
                core.release_leftovers(out);
            }
            // (440) A lower priority is discarded: the timer runs on, and we preempt.
            self.lower = Some((from, advertisement.priority));
            if self.master.is_some_and(|(master, _)| master == from) {
                self.master = None;
            }
        }
    }

    /// RFC 9568 §6.4.2 (430): whether an advertisement is one of a master to follow. `preempt_delay` only
    /// delays the preemption of a living master.
    fn follows(
        &mut self,
        core: &mut Core,
        now: Now,
        from: IpAddr,
        priority: Priority,
        out: &mut Output<'_>,
    ) -> bool {
        let delay = core.config.preempt_delay;
        if priority >= core.priority.get() {
            self.preempt_at = None;
            self.lower = None;
            return true;
        }
        if !core.config.preempt || core.hold.is_some() {
            return true;
        }
        if delay.is_zero() {
            return false;
        }
        if let Some(preempt_at) = self.preempt_at {
            return now.instant < preempt_at;
        }
        self.preempt_at = Some(now.instant + delay);
        core.report_packet(
            now,
            ReportKind::PreemptDelayed { master: from, delay, until: now.wall + delay },
            out,
        );
        true
    }

    /// RFC 9568 §6.4.2 (430): an advertisement sets the timer. Where two masters meet, the last word of the loser may
    /// come after the winner's: with the loser's shorter interval the timer would fire before the winner sends
    /// again. So the better of the two is followed while it may be alive, and the other one only delays the timer.
    fn wait_for(
        &mut self,
        core: &mut Core,
        now: Now,
        from: IpAddr,
        advertisement: &Message<'_>,
        out: &mut Output<'_>,
    ) {
        let priority = advertisement.priority;
        let better = |(master, best)| master != from && (best, master) > (priority, from);
        let beaten = self.master.is_some_and(better);
        if beaten && self.left.is_none() && now.instant < self.master_until {
            let at = now.instant + core.master_down_interval_at(advertisement.interval);
            self.master_down = self.master_down.max(at);
            return;
        }
        core.learn_interval(now, from, advertisement, out);
        let at = now.instant + core.master_down_interval();
        self.master_down = at;
        self.master = Some((from, priority));
        self.master_until = at;
        self.left = None;
    }

    /// RFC 9568 §6.4.2 (340): the timer fires.
    pub(super) fn miss_master(&mut self, core: &mut Core, now: Now, out: &mut Output<'_>) {
        // Whom its sync group lets wait is no master, though nobody tells it that there is one.
        if self.wish.is_some() && core.group.is_some() {
            core.release_leftovers(out);
        }
        let cause = match (self.left, self.lower, self.master) {
            (Some(from), ..) => Cause::MasterLeft { from },
            (None, Some((master, priority)), None) => {
                Cause::Preempted { master, priority, ours: core.priority.clone() }
            }
            (None, _, master) => Cause::MasterDown { last_master: master.map(|(address, _)| address) },
        };
        // Until the wish is granted, listen for another interval.
        self.master_down = now.instant + core.master_interval.duration();
        self.wish(cause);
    }

    /// Starts the wait for a master anew.
    pub(super) fn restart(&mut self, core: &Core, now: Now) {
        self.wish = None;
        self.master_down = now.instant + core.master_down_interval();
        self.left = None;
    }

    /// The configuration was changed.
    pub(super) fn retime(&mut self, core: &Core, now: Now, before: &RouterConfig) {
        self.reconsider(core, now);
        if let Some(at) = &mut self.preempt_at {
            *at = (*at - before.preempt_delay) + core.config.preempt_delay;
        }
        let master_down = now.instant + core.master_down_interval();
        if core.config.interval.duration() > before.interval.duration() {
            self.master_down = master_down;
        } else {
            self.master_down = self.master_down.min(master_down);
        }
        if core.config.priority.is_owner() && !before.priority.is_owner() {
            self.wish(Cause::Owner);
        }
    }
}

impl Core {
    /// RFC 9568 §6.4.2 (430): version 3 follows the master's interval.
    fn learn_interval(&mut self, now: Now, from: IpAddr, advertisement: &Message<'_>, out: &mut Output<'_>) {
        if self.is_version_3() && self.master_interval != advertisement.interval {
            self.master_interval = advertisement.interval;
            self.report_packet(
                now,
                ReportKind::IntervalLearned { from, interval: advertisement.interval },
                out,
            );
        }
    }
}
