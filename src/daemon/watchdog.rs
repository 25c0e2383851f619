//! The service manager's watchdog (`WatchdogSec` of systemd): it is told that the daemon is alive only while the vrrp
//! thread makes progress.
//!
//! The supervisor rings now and then, the vrrp thread rings back at the end of the wake-up that this causes. A thread
//! that does not is of no use to anybody: its process is killed long before the manager would end the whole daemon, and
//! the next one adopts what it held.

use std::io;

use crate::sys::poll::{Bell, Poller};
use crate::time::{Duration, Instant};

/// Of the manager's time: the pause between two questions.
const QUESTIONS: u32 = 6;

/// Of the manager's time: how long the vrrp thread may take to answer.
const ANSWERS: u32 = 2;

/// How long a worker may take from its fork until it serves, as long as systemd lets a service.
const START: Duration = Duration::from_secs(90);

/// The bells between the supervisor and the vrrp thread.
#[derive(Debug)]
pub(super) struct Pulse {
    asked: Bell,
    answered: Bell,
}

impl Pulse {
    fn new() -> io::Result<Self> {
        Ok(Self { asked: Bell::new()?, answered: Bell::new()? })
    }

    /// The same bells, for a worker.
    pub(super) fn share(&self) -> io::Result<Self> {
        Ok(Self { asked: self.asked.share()?, answered: self.answered.share()? })
    }

    /// For the vrrp thread: has itself woken by questions.
    pub(super) fn watch(&self, poller: &Poller, token: u64) -> io::Result<()> {
        poller.add(&self.asked, token)
    }

    /// For the vrrp thread, at the end of a wake-up: answers, if it was asked. Never blocks.
    pub(super) fn answer(&self) {
        if self.asked.silence() {
            self.answered.ring();
        }
    }
}

/// What the supervisor knows of the vrrp worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Observed {
    /// None runs, or it has to stop: there is nobody to ask, and nothing hangs.
    Nobody,
    /// It has not served yet.
    Starts,
    /// It serves.
    Serves,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Nothing.
    Wait,
    /// Telling the manager that the daemon is alive.
    Alive,
    /// Killing the vrrp worker, whose thread has not answered for so long.
    Hangs(Duration),
}

/// Asks the vrrp thread, and judges.
#[derive(Debug)]
pub(super) struct Watchdog {
    pulse: Pulse,
    /// The manager's time.
    limit: Duration,
    /// When the next question is due.
    next: Instant,
    /// Since when an answer is waited for.
    asked_at: Option<Instant>,
    /// When the last vrrp worker was started.
    started: Instant,
}

impl Watchdog {
    /// For a manager that waits so long, and the descriptor of answers under `token`.
    pub(super) fn new(limit: Duration, now: Instant, poller: &Poller, token: u64) -> io::Result<Self> {
        let pulse = Pulse::new()?;
        poller.add(&pulse.answered, token)?;
        Ok(Self { pulse, limit, next: now, asked_at: None, started: now })
    }

    /// A vrrp worker is started: gives what its thread answers with.
    pub(super) fn expect_worker(&mut self, now: Instant) -> io::Result<Pulse> {
        // What the one before was asked or has answered says nothing of this one.
        self.pulse.asked.silence();
        self.pulse.answered.silence();
        self.asked_at = None;
        self.started = now;
        self.pulse.share()
    }

    /// When [`Watchdog::judge`] is to be called though nobody has answered.
    pub(super) fn timeout(&self) -> Instant {
        self.asked_at.map_or(self.next, |at| self.next.min(at + self.limit / ANSWERS))
    }

    /// Takes an answer, asks when that is due, and judges.
    pub(super) fn judge(&mut self, now: Instant, observed: Observed) -> Verdict {
        let pause = self.limit / QUESTIONS;
        if now >= self.next + pause {
            // This process slept too (a machine that was suspended): nobody was asked meanwhile.
            self.asked_at = self.asked_at.map(|_| now);
        }
        let due = now >= self.next;
        if due {
            self.next = now + pause;
        }
        let answered = self.pulse.answered.silence();
        match observed {
            Observed::Serves if answered => {
                self.asked_at = None;
                Verdict::Alive
            }
            Observed::Serves => self.ask(now, due),
            Observed::Starts if now.saturating_since(self.started) > START => Verdict::Wait,
            Observed::Nobody | Observed::Starts => {
                self.asked_at = None;
                if due { Verdict::Alive } else { Verdict::Wait }
            }
        }
    }

    fn ask(&mut self, now: Instant, due: bool) -> Verdict {
        match self.asked_at {
            Some(at) if now >= at + self.limit / ANSWERS => {
                // Killed once: what follows is about the next one.
                self.asked_at = None;
                Verdict::Hangs(now.saturating_since(at))
            }
            Some(_) => Verdict::Wait,
            None => {
                if due {
                    self.asked_at = Some(now);
                    self.pulse.asked.ring();
                }
                Verdict::Wait
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn watchdog() -> Watchdog {
        Watchdog::new(Duration::from_secs(12), at(0), &Poller::new().unwrap(), 0).unwrap()
    }

    #[test]
    fn the_manager_hears_of_a_thread_that_answers() {
        let mut watchdog = watchdog();
        let thread = watchdog.expect_worker(at(0)).unwrap();
        for second in 0..40 {
            let now = at(second);
            let asks = second % 2 == 0;
            assert_eq!(watchdog.judge(now, Observed::Serves), Verdict::Wait, "{second}");
            thread.answer();
            let verdict = if asks { Verdict::Alive } else { Verdict::Wait };
            assert_eq!(watchdog.judge(now, Observed::Serves), verdict, "{second}");
            assert_eq!(watchdog.timeout(), at(second - second % 2 + 2));
        }
    }

    #[test]
    fn a_thread_that_does_not_answer_hangs() {
        let mut watchdog = watchdog();
        let _thread = watchdog.expect_worker(at(0)).unwrap();
        let mut told = Vec::new();
        for second in 0..=7 {
            match watchdog.judge(at(second), Observed::Serves) {
                Verdict::Wait => {}
                other => told.push((second, other)),
            }
        }
        assert_eq!(told, [(6, Verdict::Hangs(SECOND * 6))]);
        // Its successor is asked anew, and that nobody was there is no reason to end the daemon.
        assert_eq!(watchdog.judge(at(8), Observed::Nobody), Verdict::Alive);
        let thread = watchdog.expect_worker(at(9)).unwrap();
        thread.answer();
        assert_eq!(watchdog.judge(at(10), Observed::Serves), Verdict::Wait, "it was not asked yet");
        thread.answer();
        assert_eq!(watchdog.judge(at(10), Observed::Serves), Verdict::Alive);
    }

    #[test]
    fn a_machine_that_slept_has_not_missed_an_answer() {
        let mut watchdog = watchdog();
        let thread = watchdog.expect_worker(at(0)).unwrap();
        assert_eq!(watchdog.judge(at(0), Observed::Serves), Verdict::Wait);
        assert_eq!(watchdog.judge(at(5000), Observed::Serves), Verdict::Wait);
        thread.answer();
        assert_eq!(watchdog.judge(at(5001), Observed::Serves), Verdict::Alive);
    }

    #[test]
    fn a_worker_that_never_serves_is_not_vouched_for_without_end() {
        let mut watchdog = watchdog();
        let _thread = watchdog.expect_worker(at(0)).unwrap();
        assert_eq!(watchdog.judge(at(80), Observed::Starts), Verdict::Alive);
        assert_eq!(watchdog.judge(at(91), Observed::Starts), Verdict::Wait);
        assert_eq!(watchdog.judge(at(1000), Observed::Starts), Verdict::Wait);
    }
}
