//! How often a router reports what packets make it report: any host on the LAN can send as many as it likes.

use serde::{Deserialize, Serialize};

use super::ReportKind;
use crate::time::{Duration, Instant};

/// Of each kind one report in this time; the others are counted, and their number told at its end.
const PAUSE: Duration = Duration::from_secs(1);

/// A kind of report that packets cause.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum PacketReport {
    /// [`ReportKind::Rejected`].
    Rejected,
    /// [`ReportKind::ClockDiffers`].
    ClockDiffers,
    /// [`ReportKind::AddressListMismatch`].
    AddressListMismatch,
    /// [`ReportKind::IntervalLearned`].
    IntervalLearned,
    /// [`ReportKind::RivalBeaten`].
    RivalBeaten,
    /// [`ReportKind::RivalStays`] and [`ReportKind::RivalGone`].
    Rivals,
    /// [`ReportKind::PreemptDelayed`].
    PreemptDelayed,
    /// [`ReportKind::ChecksumOfPeer`].
    ChecksumOfPeer,
    /// [`ReportKind::PeerHeard`].
    PeerHeard,
}

impl PacketReport {
    /// The kind of a report, if packets cause it.
    pub const fn of(kind: &ReportKind) -> Option<Self> {
        Some(match kind {
            ReportKind::Rejected { .. } => Self::Rejected,
            ReportKind::ClockDiffers { .. } => Self::ClockDiffers,
            ReportKind::AddressListMismatch { .. } => Self::AddressListMismatch,
            ReportKind::PeerHeard { .. } => Self::PeerHeard,
            ReportKind::IntervalLearned { .. } => Self::IntervalLearned,
            ReportKind::RivalBeaten { .. } => Self::RivalBeaten,
            ReportKind::RivalStays { .. } | ReportKind::RivalGone { .. } => Self::Rivals,
            ReportKind::PreemptDelayed { .. } => Self::PreemptDelayed,
            ReportKind::ChecksumOfPeer { .. } => Self::ChecksumOfPeer,
            _ => return None,
        })
    }

    /// In words, for the number of those that were left out.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Rejected => "packets dropped for a reason not told yet",
            Self::ClockDiffers => "senders with another time than ours",
            Self::AddressListMismatch => "advertisements with another address list",
            Self::PeerHeard => "other routers heard for the first time",
            Self::IntervalLearned => "changes of the master's interval",
            Self::RivalBeaten => "second masters heard",
            Self::Rivals => "words about second masters",
            Self::PreemptDelayed => "delays of a preemption",
            Self::ChecksumOfPeer => "changes of a peer's checksums",
        }
    }
}

/// What is being held back, by kind. Normally nothing is: no room is set aside.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct ReportLimits {
    pauses: Vec<Pause>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Pause {
    what: PacketReport,
    until: Instant,
    left_out: u64,
}

impl ReportLimits {
    /// Whether a report of this kind may be made now. If not, it is counted.
    pub(super) fn may_tell(&mut self, now: Instant, what: PacketReport) -> bool {
        match self.pauses.iter_mut().find(|pause| pause.what == what) {
            Some(pause) if now < pause.until || pause.left_out > 0 => {
                pause.left_out = pause.left_out.saturating_add(1);
                false
            }
            Some(pause) => {
                pause.until = now + PAUSE;
                true
            }
            None => {
                self.pauses.reserve_exact(1);
                self.pauses.push(Pause { what, until: now + PAUSE, left_out: 0 });
                true
            }
        }
    }

    /// Whether a report of this kind would be made now.
    pub(super) fn is_free(&self, now: Instant, what: PacketReport) -> bool {
        !self.pauses.iter().any(|pause| pause.what == what && (now < pause.until || pause.left_out > 0))
    }

    /// When [`ReportLimits::take_due`] has something to tell.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.pauses.iter().filter(|pause| pause.left_out > 0).map(|pause| pause.until).min()
    }

    /// How many of which kind were left out in a pause that is over; a new one begins.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(PacketReport, u64)> {
        let mut told = Vec::new();
        for pause in self.pauses.iter_mut().filter(|pause| pause.left_out > 0 && pause.until <= now) {
            told.push((pause.what, core::mem::take(&mut pause.left_out)));
            pause.until = now + PAUSE;
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_second_then_the_number() {
        let mut limits = ReportLimits::default();
        let at = |ms| Instant::from_micros(1_000_000) + Duration::from_millis(ms);
        let what = PacketReport::RivalBeaten;
        assert!(limits.may_tell(at(0), what));
        assert_eq!(limits.poll_timeout(), None);
        for ms in 1..=500 {
            assert!(!limits.may_tell(at(ms), what));
        }
        assert!(limits.may_tell(at(500), PacketReport::Rejected), "each kind has its own");
        assert_eq!(limits.poll_timeout(), Some(at(1000)));
        assert_eq!(limits.take_due(at(999)), []);
        assert!(!limits.may_tell(at(1000), what), "the number comes first");
        assert_eq!(limits.take_due(at(1000)), [(what, 501)]);
        assert!(!limits.may_tell(at(1500), what), "the number was a report too");
        assert_eq!(limits.take_due(at(2000)), [(what, 1)]);
        assert!(limits.may_tell(at(3000), what));
    }
}
