//! A fault that a router imposes on itself: it is master, and cannot do what a master must. It lets another one try,
//! and tries again itself after a pause, since only trying shows whether the cause is gone.

use serde::{Deserialize, Serialize};

use super::FaultReason;
use crate::time::{Duration, Instant};

/// The first pause; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A mastership without complaints that lasts so long ends the doubling.
const SETTLED: Duration = Duration::from_secs(120);

/// Whether and why a router stands back, and for how long the next time.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Abstention {
    current: Option<Current>,
    /// The last pause; `None` before the first and after a good time.
    pause: Option<Duration>,
    ended_at: Instant,
    /// The last time nobody else was heard.
    alone: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Current {
    reason: FaultReason,
    retry_at: Instant,
    /// When it is plain that there is nobody else, unless somebody is heard. `None` where silence tells nothing.
    alone_at: Option<Instant>,
}

/// How an abstention ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Return {
    /// As a backup.
    ToBackup,
    /// As a master: nobody else was heard for a master-down time.
    Alone,
}

impl Abstention {
    /// Stands back. `master_down` is the time without advertisements after which nobody else is there. False where
    /// the router was alone the last time, and has not tried by itself for as long as the pause would be.
    pub(super) fn begin(&mut self, now: Instant, reason: FaultReason, master_down: Duration) -> bool {
        if self.current.is_some() {
            return false;
        }
        let since = now.saturating_since(self.ended_at);
        if self.pause.is_some() && since > SETTLED {
            (self.pause, self.alone) = (None, false);
        }
        let pause = self.pause.map_or(PAUSE_FIRST, |pause| (pause * 2).min(PAUSE_MAX));
        if self.alone && since < pause {
            return false;
        }
        self.pause = Some(pause);
        // An interface that is too small for our advertisement need not take those of the others either, which are as
        // large.
        let deaf = matches!(&reason, FaultReason::NotSending(_, obstacle) if obstacle.is_size());
        let alone_at = (!deaf).then(|| now + master_down);
        self.current = Some(Current { reason, retry_at: now + pause, alone_at });
        true
    }

    /// Why the router stands back.
    pub(super) fn reason(&self) -> Option<&FaultReason> {
        self.current.as_ref().map(|current| &current.reason)
    }

    /// Another master was heard; when that was `master_down` ago, nobody else is there any more.
    pub(super) fn hear(&mut self, now: Instant, master_down: Duration) {
        self.alone = false;
        if let Some(current) = &mut self.current {
            current.alone_at = Some(now + master_down);
        }
    }

    /// When [`Abstention::take_due`] has something to say.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let current = self.current.as_ref()?;
        Some(current.alone_at.map_or(current.retry_at, |alone_at| alone_at.min(current.retry_at)))
    }

    /// Ends the abstention if it is time.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Return> {
        let current = self.current.as_ref()?;
        let alone = current.alone_at.is_some_and(|alone_at| alone_at <= now);
        if !alone && current.retry_at > now {
            return None;
        }
        self.alone = alone;
        self.end(now);
        Some(if alone { Return::Alone } else { Return::ToBackup })
    }

    /// The surroundings changed so that the cause may be gone: ends the abstention.
    pub(super) fn end(&mut self, now: Instant) {
        if self.current.take().is_some() {
            self.ended_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN: Duration = Duration::from_millis(3_600);

    fn reason() -> FaultReason {
        FaultReason::NotListening("eth0".parse().ok())
    }

    #[test]
    fn the_pause_doubles_up_to_a_minute_and_a_good_time_ends_that() {
        let mut abstention = Abstention::default();
        let mut now = Instant::from_micros(1_000_000_000);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(abstention.begin(now, reason(), DOWN));
            assert!(!abstention.begin(now, reason(), DOWN), "it stands back already");
            let begun = now;
            let back = loop {
                // Somebody else advertises.
                abstention.hear(now, DOWN);
                let next = abstention.poll_timeout().unwrap().min(now + Duration::from_millis(100));
                assert_eq!(abstention.take_due(next - Duration::from_millis(1)), None);
                now = next;
                if let Some(back) = abstention.take_due(now) {
                    break back;
                }
            };
            assert_eq!(back, Return::ToBackup);
            pauses.push(now.saturating_since(begun).as_secs());
            now += Duration::from_secs(5);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        now += Duration::from_secs(120);
        assert!(abstention.begin(now, reason(), DOWN));
        abstention.hear(now, DOWN);
        assert_eq!(abstention.poll_timeout(), Some(now + PAUSE_FIRST));
    }

    #[test]
    fn whose_interface_is_too_small_need_not_be_alone_in_silence() {
        let obstacle = crate::vrrp::SendObstacle { errno: 90 };
        let too_small = || FaultReason::NotSending("eth0".parse().ok(), obstacle);
        let mut abstention = Abstention { pause: Some(PAUSE_MAX), ..Abstention::default() };
        let begun = Instant::from_micros(1_000_000);
        assert!(abstention.begin(begun, too_small(), DOWN));
        assert_eq!(abstention.poll_timeout(), Some(begun + PAUSE_MAX));
        assert_eq!(abstention.take_due(begun + PAUSE_MAX), Some(Return::ToBackup));
        // Whom it has heard, it would hear again.
        let again = begun + PAUSE_MAX * 2;
        assert!(abstention.begin(again, too_small(), DOWN));
        abstention.hear(again, DOWN);
        assert_eq!(abstention.take_due(again + DOWN), Some(Return::Alone));
    }

    #[test]
    fn whose_company_falls_silent_is_alone() {
        let mut abstention = Abstention { pause: Some(PAUSE_MAX), ..Abstention::default() };
        let begun = Instant::from_micros(1_000_000);
        assert!(abstention.begin(begun, reason(), DOWN));
        let last = begun + Duration::from_secs(20);
        abstention.hear(last, DOWN);
        assert_eq!(abstention.poll_timeout(), Some(last + DOWN));
        assert_eq!(abstention.take_due(last + DOWN), Some(Return::Alone));
        let now = last + DOWN + Duration::from_secs(1);
        assert!(!abstention.begin(now, reason(), DOWN), "there is nobody to hand on to");
        abstention.hear(now, DOWN);
        assert!(abstention.begin(now, reason(), DOWN));
    }

    #[test]
    fn who_is_alone_comes_back_as_master_and_stands_back_ever_more_seldom() {
        let mut abstention = Abstention::default();
        let mut now = Instant::from_micros(1_000_000_000);
        let mut served = Vec::new();
        for _ in 0..7 {
            while !abstention.begin(now, reason(), Duration::from_millis(500)) {
                now += Duration::from_secs(1);
            }
            served.push(now.saturating_since(abstention.ended_at).as_secs());
            now = abstention.poll_timeout().unwrap();
            assert_eq!(abstention.take_due(now), Some(Return::Alone));
        }
        assert_eq!(served[1..], [2, 4, 8, 16, 32, 60]);
    }
}
