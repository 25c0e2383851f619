//! Backup (RFC 9568 §6.4.2, RFC 3768 §6.4.2).

use core::net::IpAddr;

use super::router::{Output, Phase, VirtualRouter};
use super::{Cause, ReportKind};
use crate::time::{Duration, Instant, Now};
use crate::wire::vrrp::{Advertisement, Priority};

/// What a backup keeps in mind.
#[derive(Clone, Debug)]
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
}

impl Backup {
    /// `preempt_delay` was changed while it runs.
    pub(super) fn retime(&mut self, before: Duration, delay: Duration) {
        if let Some(at) = &mut self.preempt_at {
            *at = (*at - before) + delay;
        }
    }
}

impl VirtualRouter {
    /// Enters Backup and waits `wait` for a master.
    pub(super) fn enter_backup(&mut self, now: Now, wait: Duration, cause: Cause, out: &mut Output<'_>) {
        self.master_request = None;
        let backup = Backup {
            master_down: now.instant + wait,
            master: None,
            master_until: now.instant,
            lower: None,
            left: None,
            preempt_at: None,
        };
        self.transition(now, Phase::Backup(backup), cause, out);
    }

    /// RFC 9568 §6.4.2: an advertisement is received.
    pub(super) fn hear_in_backup(
        &mut self,
        now: Now,
        from: IpAddr,
        advertisement: &Advertisement,
        out: &mut Output<'_>,
    ) {
        let Phase::Backup(backup) = &self.phase else { return };
        if advertisement.priority.is_leaving() {
            // (420) "set the Active_Down_Timer to Skew_Time". A router that is not the master we follow has
            // nothing to leave: obeying it would start an election under a living master.
            if backup.master.is_none_or(|(master, _)| master == from) {
                let at = now.instant + self.skew_time();
                if let Phase::Backup(backup) = &mut self.phase {
                    backup.master_down = backup.master_down.min(at);
                    backup.left = Some(from);
                }
            }
            return;
        }
        if self.follows(now, from, advertisement.priority, out) {
            self.wait_for(now, from, advertisement, out);
            if self.addresses.has_leftovers() {
                self.release_addresses(out);
            } else {
                self.addresses.decide();
            }
        } else if let Phase::Backup(backup) = &mut self.phase {
            // (440) A lower priority is discarded: the timer runs on, and we preempt.
            backup.lower = Some((from, advertisement.priority));
            if backup.master.is_some_and(|(master, _)| master == from) {
                backup.master = None;
            }
        }
    }

    /// RFC 9568 §6.4.2 (430): whether an advertisement is one of a master to follow. `preempt_delay` only
    /// delays the preemption of a living master (`behaviours` B6).
    fn follows(&mut self, now: Now, from: IpAddr, priority: Priority, out: &mut Output<'_>) -> bool {
        let own = self.priority.get();
        let preempts = self.config.preempt && !self.yielded;
        let delay = self.config.preempt_delay;
        let Phase::Backup(backup) = &mut self.phase else { return false };
        if priority >= own {
            backup.preempt_at = None;
            backup.lower = None;
            return true;
        }
        if !preempts {
            return true;
        }
        if delay.is_zero() {
            return false;
        }
        if let Some(preempt_at) = backup.preempt_at {
            return now.instant < preempt_at;
        }
        backup.preempt_at = Some(now.instant + delay);
        self.report_packet(
            now,
            ReportKind::PreemptDelayed { master: from, delay, until: now.wall + delay },
            out,
        );
        true
    }

    /// RFC 9568 §6.4.2 (430): an advertisement sets the timer. Where two masters meet, the last word of the loser may
    /// come after the winner's: with the loser's shorter interval the timer would fire before the winner sends
    /// again. So the better of the two is followed while it may be alive, and the other one only delays the timer.
    fn wait_for(&mut self, now: Now, from: IpAddr, advertisement: &Advertisement, out: &mut Output<'_>) {
        let Phase::Backup(backup) = &self.phase else { return };
        let priority = advertisement.priority;
        let better = |(master, best)| master != from && (best, master) > (priority, from);
        let beaten = backup.master.is_some_and(better);
        if beaten && backup.left.is_none() && now.instant < backup.master_until {
            let at = now.instant + self.master_down_interval_at(advertisement.interval);
            if let Phase::Backup(backup) = &mut self.phase {
                backup.master_down = backup.master_down.max(at);
            }
            return;
        }
        self.learn_interval(now, from, advertisement, out);
        let at = now.instant + self.master_down_interval();
        if let Phase::Backup(backup) = &mut self.phase {
            backup.master_down = at;
            backup.master = Some((from, priority));
            backup.master_until = at;
            backup.left = None;
        }
    }

    /// RFC 9568 §6.4.2 (430): version 3 follows the master's interval.
    pub(super) fn learn_interval(
        &mut self,
        now: Now,
        from: IpAddr,
        advertisement: &Advertisement,
        out: &mut Output<'_>,
    ) {
        if self.is_version_3() && self.master_interval != advertisement.interval {
            self.master_interval = advertisement.interval;
            self.report_packet(
                now,
                ReportKind::IntervalLearned { from, interval: advertisement.interval },
                out,
            );
        }
    }

    /// RFC 9568 §6.4.2 (340): the timer fires.
    pub(super) fn handle_backup_timeout(&mut self, now: Now) {
        let Phase::Backup(backup) = &mut self.phase else { return };
        if backup.master_down > now.instant {
            return;
        }
        let cause = match (backup.left, backup.lower, backup.master) {
            (Some(from), ..) => Cause::MasterLeft { from },
            (None, Some((master, priority)), None) => Cause::Preempted { master, priority },
            (None, _, master) => Cause::MasterDown { last_master: master.map(|(address, _)| address) },
        };
        // Until the request is granted, listen for another interval.
        let again = now.instant + self.master_interval.duration();
        if let Phase::Backup(backup) = &mut self.phase {
            backup.master_down = again;
        }
        self.master_request = Some(cause);
    }

    /// Starts the wait for a master anew.
    pub(super) fn restart_master_down(&mut self, now: Now) {
        let at = now.instant + self.master_down_interval();
        if let Phase::Backup(backup) = &mut self.phase {
            backup.master_down = at;
            backup.left = None;
        }
    }

    /// The operator ends a switch-over: takes back mastership from a master of lower priority, at once; before a
    /// successor is heard, goes on as master.
    pub fn switch_back(&mut self, now: Now, out: &mut Output<'_>) {
        if self.hands_over() {
            return self.resume(now, ReportKind::SwitchOverEnded, out);
        }
        if !core::mem::take(&mut self.yielded) {
            return;
        }
        if let Phase::Backup(backup) = &self.phase
            && self.config.preempt
            && backup.master.is_some_and(|(_, priority)| priority < self.priority.get())
        {
            self.master_request = Some(Cause::SwitchBack);
        }
    }
}
