//! Initialize (RFC 9568 §6.4.1, RFC 3768 §6.4.1): a router that has not started, or was stopped.

use std::collections::BTreeSet;

use super::environment::Listening;
use super::router_core::Core;
use super::timing::{skew_time, unnoticed_silence};
use super::{FaultReason, InitialState, RouterConfig};
use crate::time::Duration;
use crate::wire::vrrp::Priority;

/// How a router leaves Initialize.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Start {
    /// It cannot yet: its receive socket is about to be opened, and it shall never elect itself unheard, or its virtual
    /// MAC is about to be there, or a tracker has not found out yet.
    NotYet,
    /// It cannot take part.
    InFault,
    /// As a backup that waits so long for a master.
    Backup(Duration),
}

impl Core {
    /// Looks at the surroundings.
    pub(super) fn start(&mut self) -> Start {
        self.faults = self.current_faults();
        self.way_to_start(&self.faults)
    }

    /// How it would start with these faults.
    pub(super) fn way_to_start(&self, faults: &BTreeSet<FaultReason>) -> Start {
        if self.environment.preparing || faults.is_empty() && self.tracker_pending {
            return Start::NotYet;
        }
        if faults.is_empty() {
            return Start::Backup(self.first_wait());
        }
        let pending = self.environment.listening == Listening::Pending;
        let passes =
            |fault: &FaultReason| matches!(fault, FaultReason::NotListening(_) | FaultReason::Tracked(_));
        if pending && faults.iter().all(passes) { Start::NotYet } else { Start::InFault }
    }

    /// Whether a predecessor that has been silent for so long was master, and nobody has taken its place, or if so,
    /// only one that we preempt anyhow. That it was master it has said, or, if it was killed, its addresses tell, which no
    /// other router of the daemon has; routes and rules, which others may have too, only where there are none.
    pub(super) fn succeeds(&self, silence: Duration) -> bool {
        let RouterConfig { preempt, preempt_delay, interval, down_timer_adverts, .. } = self.config;
        let limit = if preempt && preempt_delay.is_zero() {
            self.master_down_interval()
        } else {
            // Its last word was its last advertisement, or, if it was killed, may have been one long past.
            let since_last = if self.was_master.is_some() { interval.duration() } else { Duration::ZERO };
            unnoticed_silence(interval, down_timer_adverts) + since_last
        };
        let left = match self.addresses.len() {
            0 => self.routing.has_leftovers(),
            _ => self.addresses.has_leftovers(),
        };
        self.was_master.unwrap_or(left) && silence < limit
    }

    /// How long to listen after the start: `state MASTER` shortens it to one interval and the shortest skew time.
    fn first_wait(&self) -> Duration {
        match self.config.initial {
            InitialState::Backup => self.master_down_interval(),
            InitialState::Master => {
                let shortest = skew_time(self.config.version, Priority::OWNER, self.config.interval);
                self.config.interval.duration() + shortest
            }
        }
    }
}
