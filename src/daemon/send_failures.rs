//! Packets that the kernel refused to send: counted; of announcements it is said at most every ten seconds.

use std::io;

use crate::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(10);

/// What could not be sent.
#[derive(Debug, Default)]
pub(super) struct SendFailures {
    total: u64,
    unsaid: u64,
    last: String,
    quiet_until: Instant,
}

impl SendFailures {
    /// Counts one that somebody else tells of.
    pub(super) const fn count(&mut self) {
        self.total += 1;
    }

    /// Takes note of an announcement that could not be sent; `what` names it.
    pub(super) fn note(&mut self, what: impl FnOnce() -> String, error: &io::Error) {
        self.count();
        if self.unsaid == 0 {
            self.last = format!("cannot announce {}: {error}{}", what(), advice(error));
        }
        self.unsaid += 1;
    }

    /// The line to log now, if there is one.
    pub(super) fn due(&mut self, now: Instant) -> Option<String> {
        if self.unsaid == 0 || now < self.quiet_until {
            return None;
        }
        self.quiet_until = now + PAUSE;
        let more = match core::mem::take(&mut self.unsaid) {
            1 => String::new(),
            count => format!(" ({count} packets refused since the last such line)"),
        };
        Some(format!("{}{more}", self.last))
    }

    /// How many there were.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM) => ": a firewall rule of this host drops it",
        Some(libc::ENOBUFS) => ": the interface's queue is full",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failures_is_one_line_in_ten_seconds() {
        let mut failures = SendFailures::default();
        let at = |seconds| Instant::from_micros(60_000_000) + Duration::from_secs(seconds);
        assert_eq!(failures.due(at(0)), None);
        let what = || "(VI_1) 192.0.2.51 on eth0".to_owned();
        failures.note(what, &io::Error::from_raw_os_error(libc::EPERM));
        let line = failures.due(at(0)).unwrap();
        assert!(
            line.starts_with("cannot announce (VI_1) 192.0.2.51 on eth0: ") && line.contains("firewall"),
            "{line}"
        );
        for _ in 0..500 {
            failures.note(what, &io::Error::from_raw_os_error(libc::ENETDOWN));
        }
        assert_eq!(failures.due(at(9)), None);
        assert!(failures.due(at(10)).unwrap().contains("(500 packets refused"));
        assert_eq!(failures.due(at(20)), None);
        assert_eq!(failures.total(), 501);
    }
}
