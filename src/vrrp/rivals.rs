//! Other masters that a master hears and that lose to it: told when they are heard first, again and again while they
//! last, and when they have fallen silent. Two masters at a time are never normal.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::ReportKind;
use super::peers::PEERS_MAX;
use crate::time::{Duration, Instant};
use crate::wire::vrrp::Priority;

/// While a rival lasts, it is told this often.
const TELL_PERIOD: Duration = Duration::from_secs(10);

/// Another master.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Rival {
    /// Its address.
    pub from: IpAddr,
    /// Its priority.
    pub priority: Priority,
    /// Since when it has been heard.
    pub since: Instant,
    /// It counts as silent from then on, unless it is heard again.
    silent_at: Instant,
    /// When it is told again.
    tell_at: Instant,
}

/// All of them, by address. Normally there is none: no room is set aside.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Rivals {
    rivals: Vec<Rival>,
    /// Since when there has been one, whichever.
    since: Option<Instant>,
    /// How long there was one before.
    before: Duration,
}

impl Rivals {
    /// One was heard; `silence` is the time after which it counts as gone. True where it was not known.
    pub(super) fn hear(&mut self, now: Instant, from: IpAddr, priority: Priority, silence: Duration) -> bool {
        let silent_at = now + silence;
        if let Some(rival) = self.rivals.iter_mut().find(|rival| rival.from == from) {
            (rival.priority, rival.silent_at) = (priority, silent_at);
            return false;
        }
        if self.rivals.len() >= PEERS_MAX {
            let oldest = self.rivals.iter().enumerate().min_by_key(|(_, rival)| rival.silent_at);
            if let Some((oldest, _)) = oldest {
                self.rivals.remove(oldest);
            }
        }
        self.since.get_or_insert(now);
        self.rivals.reserve_exact(1);
        self.rivals.push(Rival { from, priority, since: now, silent_at, tell_at: now + TELL_PERIOD });
        self.rivals.sort_unstable_by_key(|rival| rival.from);
        true
    }

    /// One said that it leaves.
    pub(super) fn leave(&mut self, now: Instant, from: IpAddr) {
        self.rivals.retain(|rival| rival.from != from);
        self.note_alone(now);
    }

    /// How long there was one in all.
    pub(super) fn together(&self, now: Instant) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| now.saturating_since(since))
    }

    fn note_alone(&mut self, now: Instant) {
        if self.rivals.is_empty() {
            self.before = self.together(now);
            self.since = None;
        }
    }

    /// When [`Rivals::take_due`] has something to tell.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.rivals.iter().map(|rival| rival.silent_at.min(rival.tell_at)).min()
    }

    /// Who is gone, and who still is there.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<ReportKind> {
        let mut told = Vec::new();
        self.rivals.retain_mut(|rival| {
            let Rival { from, priority, since, .. } = *rival;
            let lasting = now.saturating_since(since);
            if rival.silent_at <= now {
                told.push(ReportKind::RivalGone { from, lasting });
                return false;
            }
            if rival.tell_at <= now {
                rival.tell_at = now + TELL_PERIOD;
                told.push(ReportKind::RivalStays { from, priority, lasting });
            }
            true
        });
        self.note_alone(now);
        told
    }

    /// All, by address.
    pub(super) fn all(&self) -> &[Rival] {
        &self.rivals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_millis(3_600);

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    fn source(number: u32) -> IpAddr {
        IpAddr::V4(core::net::Ipv4Addr::from_bits(number))
    }

    #[test]
    fn a_rival_is_told_while_it_lasts_and_when_it_is_gone() {
        let mut rivals = Rivals::default();
        let (one, low) = (source(1), Priority(50));
        assert!(rivals.hear(at(0), one, low, SILENCE));
        let mut told = Vec::new();
        for ms in (0..=25_000).step_by(100) {
            if ms % 1_000 == 0 {
                assert!(!rivals.hear(at(ms), one, low, SILENCE));
            }
            told.extend(rivals.take_due(at(ms)).into_iter().map(|kind| (ms, kind)));
        }
        let stays =
            |ms: u64| ReportKind::RivalStays { from: one, priority: low, lasting: Duration::from_millis(ms) };
        assert_eq!(told, [(10_000, stays(10_000)), (20_000, stays(20_000))]);
        assert_eq!(rivals.take_due(at(28_500)), []);
        let gone = ReportKind::RivalGone { from: one, lasting: Duration::from_millis(28_600) };
        assert_eq!(rivals.take_due(at(28_600)), [gone]);
        assert_eq!(rivals.poll_timeout(), None);
        assert_eq!(rivals.together(at(90_000)), Duration::from_millis(28_600));
        assert!(rivals.hear(at(100_000), one, low, SILENCE));
        assert_eq!(rivals.together(at(101_000)), Duration::from_millis(29_600));
        rivals.leave(at(102_000), one);
        assert_eq!(rivals.together(at(200_000)), Duration::from_millis(30_600));
    }

    #[test]
    fn forged_rivals_are_bounded() {
        let mut rivals = Rivals::default();
        for number in 0..1_000 {
            assert!(rivals.hear(at(number.into()), source(number), Priority(1), SILENCE));
        }
        assert_eq!(rivals.all().len(), PEERS_MAX);
    }
}
