//! What the supervisor removes when no worker goes on, or not soon enough.

use super::{Pause, Supervisor};
use crate::daemon::seat::Part;
use crate::daemon::service_record;
use crate::time::{Duration, Instant};

impl Supervisor<'_> {
    /// Removes the addresses that other routers may take over before there is another worker.
    pub(super) fn remove_abandoned(&mut self, now: Instant) {
        let Some(pause) = &mut self.pause else { return };
        if pause.removal.is_none_or(|at| now < at) {
            return;
        }
        let Pause { since, length, .. } = *pause;
        let passed = now.saturating_since(since);
        pause.removal = self.leftovers.next_removal(length, Some(passed)).map(|after| since + after);
        self.remove_addresses(Some((passed, length)));
    }

    /// Removes what a worker that did not stop in order has left, where there is to be no next one.
    pub(super) fn tidy_up(&mut self, index: usize) {
        match self.seats[index].part {
            Part::Vrrp => self.remove_addresses(None),
            Part::Lvs if self.options.keep_ipvs => {}
            Part::Lvs => service_record::remove_recorded(&self.seats[index].pid_path),
        }
    }

    /// Removes addresses: between two workers, of a pause of which so much has passed, those that others may take over.
    fn remove_addresses(&mut self, between: Option<(Duration, Duration)>) {
        if self.options.keep_addresses {
            return;
        }
        let why = between.map_or("", |_| ", before other routers take over");
        let pid_file = &self.seats[0].pid_path;
        let removed = match between {
            None => self.leftovers.remove_everything(pid_file),
            Some((passed, pause)) => self.leftovers.remove_due(pid_file, passed, pause),
        };
        match removed {
            Ok(0) => {}
            Ok(count) => {
                tracing::warn!(
                    "removed {count} virtual addresses, routes and rules that the worker left behind{why}"
                );
            }
            Err(error) => {
                tracing::error!("cannot remove what the worker left behind: {error}");
            }
        }
    }
}
