//! What a worker that dies leaves to the next one, in memory that supervisor and workers hold: reloads that were asked
//! for by a signal and that it has not begun, and whether it has served. And what it says to the supervisor: which
//! workers the configuration in force needs, and how long a stop takes.
//!
//! A worker that dies *of* a reload leaves it to nobody, or the next one would die of it too.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use super::restart::Verdict;
use super::shared_text::SharedText;
use crate::sys::poll::Bell;
use crate::sys::process;
use crate::time::{Duration, micros};

const ASKED: u64 = 0;
const BEGUN: u64 = 8;
const SERVED: u64 = 16;
const LEFT: u64 = 24;
const TAKEN: u64 = 32;
const BALANCES: u64 = 40;
const MODULE_WANTED: u64 = 48;
const RESTART_WANTED: u64 = 56;
const BYTES: usize = 64;

/// How many reloads were asked for and begun, and whether the last worker has served.
#[derive(Debug)]
pub(super) struct Handover {
    file: File,
    /// Wakes the supervisor.
    bell: Bell,
    /// The last configuration that the supervisor has heard of.
    seen: Cell<u64>,
    /// What the supervisor answers.
    answer: SharedText,
    /// Wakes the worker.
    answered: Bell,
}

impl Handover {
    /// Nothing was asked for.
    pub(super) fn new() -> io::Result<Self> {
        let file = process::memory_file("alived-handover")?;
        file.write_all_at(&[0; BYTES], 0)?;
        let answer = SharedText::new("alived-answer")?;
        Ok(Self { file, bell: Bell::new()?, seen: Cell::new(0), answer, answered: Bell::new()? })
    }

    /// The same memory, for a worker.
    pub(super) fn share(&self) -> io::Result<Self> {
        Ok(Self {
            file: self.file.try_clone()?,
            bell: self.bell.share()?,
            seen: self.seen.clone(),
            answer: self.answer.share()?,
            answered: self.answered.share()?,
        })
    }

    /// For the supervisor: one more reload is asked for.
    pub(super) fn ask_for_reload(&self) {
        self.set(ASKED, self.number(ASKED).wrapping_add(1));
    }

    /// For the supervisor: whether no worker has begun the last reload.
    pub(super) fn is_reload_due(&self) -> bool {
        self.number(ASKED) != self.number(BEGUN)
    }

    /// For the worker: begins all reloads that were asked for.
    pub(super) fn begin_reload(&self) {
        self.set(BEGUN, self.number(ASKED));
    }

    /// For the worker: its routers run.
    pub(super) fn note_served(&self) {
        self.set(SERVED, 1);
        self.bell.ring();
    }

    /// For the supervisor: whether the worker that runs serves.
    pub(super) fn has_served(&self) -> bool {
        self.number(SERVED) != 0
    }

    /// For the supervisor: whether the worker that has died served.
    pub(super) fn take_served(&self) -> bool {
        let served = self.number(SERVED) != 0;
        self.set(SERVED, 0);
        served
    }

    /// For the worker: its routers have left, and hooks may take so long to be told of it.
    pub(super) fn note_left(&self, hooks: Duration) {
        self.set(LEFT, micros(hooks));
    }

    /// For the supervisor: how long a worker may take that has just left; nothing the second time.
    pub(super) fn take_left(&self) -> Duration {
        let hooks = Duration::from_micros(self.number(LEFT));
        self.set(LEFT, 0);
        hooks
    }

    /// For the worker that reads configurations: another one is in force, and kept. `balances`: it has virtual servers.
    pub(super) fn note_taken(&self, balances: bool) {
        self.set(BALANCES, balances.into());
        self.set(TAKEN, self.number(TAKEN).wrapping_add(1));
        self.bell.ring();
    }

    /// For the supervisor: whether another configuration is in force since the last call, and if so, whether it has
    /// virtual servers.
    pub(super) fn take_taken(&self) -> Option<bool> {
        let taken = self.number(TAKEN);
        (self.seen.replace(taken) != taken).then(|| self.number(BALANCES) != 0)
    }

    /// For the worker: asks for the kernel's IPVS.
    pub(super) fn ask_for_module(&self) {
        self.set(MODULE_WANTED, 1);
        self.bell.ring();
    }

    /// For the supervisor: whether that was asked for.
    pub(super) fn take_module_wanted(&self) -> bool {
        self.take(MODULE_WANTED)
    }

    /// For the worker: an operator wants another process of the daemon in place of this one.
    pub(super) fn ask_for_restart(&self) {
        self.set(RESTART_WANTED, 1);
        self.bell.ring();
    }

    /// For the supervisor: whether that was asked for.
    pub(super) fn take_restart_wanted(&self) -> bool {
        self.take(RESTART_WANTED)
    }

    /// For the supervisor: what comes of it.
    pub(super) fn answer_restart(&self, verdict: &Verdict) {
        // What we write ourselves can be written; without an answer the operator waits in vain, and the log tells.
        let _ = self.answer.write(&serde_json::to_string(verdict).unwrap_or_default());
        self.answered.ring();
    }

    /// For the worker: what the supervisor has answered.
    pub(super) fn take_answer(&self) -> Option<Verdict> {
        if !self.answered.silence() {
            return None;
        }
        serde_json::from_str(&self.answer.read().ok()?).ok()
    }

    /// For the worker: readable when there is an answer.
    pub(super) const fn answered(&self) -> &Bell {
        &self.answered
    }

    /// For the supervisor: it looks now for what a worker says.
    pub(super) fn acknowledge(&self) {
        self.bell.silence();
    }

    // The memory is there since `new`: neither can fail.

    /// Whether a wish was noted since the last call.
    fn take(&self, wish: u64) -> bool {
        let wanted = self.number(wish) != 0;
        self.set(wish, 0);
        wanted
    }

    fn set(&self, which: u64, number: u64) {
        let _ = self.file.write_all_at(&number.to_ne_bytes(), which);
    }

    fn number(&self, which: u64) -> u64 {
        let mut bytes = [0; 8];
        let _ = self.file.read_exact_at(&mut bytes, which);
        u64::from_ne_bytes(bytes)
    }
}

impl AsFd for Handover {
    /// Readable when a worker has something to say.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_supervisor_hears_of_configurations() {
        let ours = Handover::new().unwrap();
        let theirs = ours.share().unwrap();
        assert_eq!(ours.take_taken(), None);
        theirs.note_taken(false);
        theirs.note_taken(true);
        assert_eq!((ours.take_taken(), ours.take_taken()), (Some(true), None));
        assert!(!ours.take_module_wanted());
        theirs.ask_for_module();
        assert!(ours.take_module_wanted() && !ours.take_module_wanted());
    }

    #[test]
    fn an_operator_hears_what_comes_of_a_restart() {
        let ours = Handover::new().unwrap();
        let theirs = ours.share().unwrap();
        assert!(!ours.take_restart_wanted() && theirs.take_answer().is_none());
        theirs.ask_for_restart();
        assert!(ours.take_restart_wanted() && !ours.take_restart_wanted());
        let verdict = Verdict::Refused { why: "no".to_owned(), lines: vec!["line 3".to_owned()] };
        ours.answer_restart(&verdict);
        assert_eq!((theirs.take_answer(), theirs.take_answer()), (Some(verdict), None));
    }

    #[test]
    fn a_reload_is_due_until_it_is_begun() {
        let ours = Handover::new().unwrap();
        let theirs = ours.share().unwrap();
        assert!(!ours.is_reload_due());
        for _ in 0..2 {
            ours.ask_for_reload();
            ours.ask_for_reload();
            assert!(ours.is_reload_due());
            theirs.begin_reload();
            assert!(!ours.is_reload_due());
        }
    }

    #[test]
    fn each_worker_serves_for_itself() {
        let ours = Handover::new().unwrap();
        assert!(!ours.take_served());
        ours.share().unwrap().note_served();
        assert!(ours.take_served() && !ours.take_served());
    }
}
