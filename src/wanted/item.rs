//! One wanted object: what was asked for, what the kernel told, and when to look again.

use serde::{Deserialize, Serialize};

use super::{Change, Kind, Verb};
use crate::time::{Duration, Instant};

/// A notification may come later than the answer to our own request: what looks like drift is judged after
/// this pause.
const JUDGE_AFTER: Duration = Duration::from_millis(10);
/// First pause before an object is put back again; doubles up to [`REPAIR_MAX`].
const REPAIR_FIRST: Duration = Duration::from_millis(250);
/// Longest pause between two repairs: a rival that keeps deleting is named, and the object is not left missing.
const REPAIR_MAX: Duration = Duration::from_secs(1);
/// First pause before what the kernel refused is tried again; doubles up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest pause between two tries of what the kernel refuses.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Left in peace for so long, an object counts as never touched.
const PEACE: Duration = Duration::from_secs(120);
/// Held for so long, an object that was missing counts as there again.
const STEADY: Duration = Duration::from_secs(1);

/// What the kernel holds of one object.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Held {
    Absent,
    /// With our mark.
    Ours,
    /// Without it.
    Foreign,
}

/// A wish, and all that is known of its object.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(bound(
    deserialize = "K::Key: Deserialize<'de>, K::Wish: Deserialize<'de>",
    serialize = "K::Key: Serialize, K::Wish: Serialize"
))]
pub(super) struct Item<K: Kind> {
    pub(super) wish: K::Wish,
    /// Its loss counts against the requester.
    pub(super) watched: bool,
    /// `None` while it has no place: its interface does not exist.
    pub(super) key: Option<K::Key>,
    pub(super) held: Held,
    /// Changes not answered yet, and the verb of the last one.
    pub(super) outstanding: u32,
    pub(super) last_verb: Verb,
    /// Wanted again while its removal is under way: asked for when that is answered.
    pub(super) wanted_again: bool,
    /// The kernel refused the last change.
    pub(super) refused: bool,
    /// The operator was told that it is foreign.
    foreign_told: bool,
    /// The kernel has told of it with our mark since it was last asked for.
    marked: bool,
    /// Gone, as the kernel told last, while a change was outstanding: our own, or somebody else's doing.
    vanished: bool,
    /// Since when it is missing though it is wanted and was there, and since when it is there again.
    lacking_since: Option<Instant>,
    held_since: Instant,
    /// When to look whether the kernel holds what it should.
    pub(super) judge_at: Option<Instant>,
    /// Attempts since the object became wanted or was last left in peace, and when the last one was.
    pub(super) repairs: u32,
    repaired_at: Instant,
}

impl<K: Kind> Item<K> {
    pub(super) const fn new(wish: K::Wish, watched: bool) -> Self {
        Self {
            wish,
            watched,
            key: None,
            held: Held::Absent,
            outstanding: 0,
            last_verb: Verb::Remove,
            wanted_again: false,
            refused: false,
            foreign_told: false,
            marked: false,
            vanished: false,
            lacking_since: None,
            held_since: Instant::ZERO,
            judge_at: None,
            repairs: 0,
            repaired_at: Instant::ZERO,
        }
    }

    /// Takes another place, or none, where nothing is known of it but that `outstanding` changes are not answered.
    pub(super) fn move_to(&mut self, key: Option<K::Key>, outstanding: u32) {
        self.key = key;
        self.outstanding = outstanding;
        self.last_verb = Verb::Remove;
        self.wanted_again = false;
        self.held = Held::Absent;
        self.marked = false;
        self.vanished = false;
        self.foreign_told = false;
        self.judge_at = None;
        self.lacking_since = None;
    }

    /// The requester made up its mind anew: what was counted before does not matter any more.
    pub(super) const fn begin_anew(&mut self) {
        self.repairs = 0;
        self.judge_at = None;
        self.lacking_since = None;
    }

    /// Whether we asked for it last: what a late notification calls gone may be there then all the same, and is ours.
    pub(super) const fn asked_for(&self) -> bool {
        matches!(self.last_verb, Verb::Add)
    }

    /// Whether the kernel will hold it once all changes are answered.
    pub(super) fn will_be_held(&self) -> bool {
        if self.outstanding > 0 { self.asked_for() || self.wanted_again } else { self.held != Held::Absent }
    }

    /// Asks for a change. A removal follows an addition at once, so that nothing is announced any more; an
    /// addition waits until the removal before it is answered: of a requester that wavers, the kernel would
    /// otherwise have ever more to do that comes to nothing.
    pub(super) fn request(&mut self, verb: Verb, changes: &mut Vec<Change<K>>) {
        if self.outstanding > 0 && !self.asked_for() {
            self.wanted_again = verb == Verb::Add;
        } else {
            self.request_now(verb, changes);
        }
    }

    /// Asks for what waited, once nothing is under way any more.
    pub(super) fn request_again(&mut self, changes: &mut Vec<Change<K>>) {
        if self.outstanding == 0 && self.wanted_again {
            self.request_now(Verb::Add, changes);
        }
    }

    pub(super) fn request_now(&mut self, verb: Verb, changes: &mut Vec<Change<K>>) {
        let Some(key) = self.key else { return };
        self.wanted_again = false;
        self.marked = false;
        // What was told before nothing was under way is not of this change.
        self.vanished &= self.outstanding > 0;
        self.outstanding += 1;
        self.last_verb = verb;
        changes.push(Change { verb, key, wish: self.wish.clone() });
    }

    /// One change is answered.
    pub(super) fn count_answer(&mut self) {
        debug_assert!(self.outstanding > 0, "{:?}: more answers than changes", self.wish);
        self.outstanding = self.outstanding.saturating_sub(1);
    }

    /// The answer is that the kernel will not. What it refuses no other host may do better.
    pub(super) fn note_refused(&mut self, now: Instant) {
        self.lacking_since = None;
        self.count_attempt(now);
    }

    /// The answer to an addition: it is there. Whether that is to be told; and if somebody may have removed it since,
    /// it has to be looked at again.
    pub(super) fn note_added(&mut self, now: Instant) -> Added {
        if self.vanished {
            return Added::OrRemovedSince;
        }
        if self.held == Held::Absent {
            self.held = Held::Ours;
            self.held_since = now;
        }
        if self.will_be_held() { Added::ToStay } else { Added::ForNothing }
    }

    /// The answer to a removal.
    pub(super) fn note_removed(&mut self) {
        if self.held == Held::Ours {
            self.held = Held::Absent;
        }
    }

    /// The kernel tells that it is there.
    pub(super) fn note_present(&mut self, now: Instant, ours: bool) {
        if self.held == Held::Absent {
            self.held_since = now;
        }
        self.learn(ours);
        self.vanished = false;
    }

    /// The kernel tells that it is gone. True when that is to be judged.
    pub(super) fn note_gone(&mut self, now: Instant, wanted: bool) -> bool {
        if self.is_back(now) {
            self.lacking_since = None;
        }
        self.held = Held::Absent;
        self.foreign_told = false;
        self.vanished = self.outstanding > 0;
        let drift = wanted && self.outstanding == 0;
        if drift {
            self.lacking_since.get_or_insert(now);
        }
        drift && self.judge_at.is_none()
    }

    pub(super) fn learn(&mut self, ours: bool) {
        self.held = match self.held {
            Held::Foreign => Held::Foreign,
            // Also while it is being added, and just after: the kernel leaves an object that is there as it is.
            Held::Absent if !ours => Held::Foreign,
            Held::Ours if !ours && !self.marked => Held::Foreign,
            Held::Absent | Held::Ours => Held::Ours,
        };
        self.marked |= ours;
    }

    /// Plans a look at the object: at once the first time, later the more often it had to be repaired.
    pub(super) fn judge_later(&mut self, now: Instant) -> Instant {
        if now.saturating_since(self.repaired_at) > PEACE {
            self.repairs = 0;
        }
        let (first, longest) =
            if self.refused { (RETRY_FIRST, RETRY_MAX) } else { (REPAIR_FIRST, REPAIR_MAX) };
        let pause = match self.repairs {
            0 => JUDGE_AFTER,
            repairs => first.saturating_mul(1 << (repairs - 1).min(6)).min(longest),
        };
        let at = now + pause;
        self.judge_at = Some(at);
        at
    }

    pub(super) fn count_attempt(&mut self, now: Instant) {
        self.repairs = self.repairs.saturating_add(1);
        self.repaired_at = now;
    }

    /// True once of an object that is foreign.
    pub(super) fn take_foreign(&mut self) -> bool {
        self.held == Held::Foreign && !core::mem::replace(&mut self.foreign_told, true)
    }

    /// Since when it has been missing, but for moments, though it was wanted and there.
    pub(super) const fn lacking_since(&self) -> Option<Instant> {
        self.lacking_since
    }

    /// Whether the kernel refused it, or it has been missing for longer than `limit`.
    pub(super) fn is_lacking(&self, now: Instant, limit: Duration) -> bool {
        let missing = self.lacking_since.is_some_and(|since| since + limit <= now) && !self.is_back(now);
        self.held == Held::Absent && self.refused || missing
    }

    /// When what was missing has been there for long enough.
    pub(super) fn steady_at(&self) -> Option<Instant> {
        self.lacking_since.filter(|_| self.held != Held::Absent).map(|_| self.held_since + STEADY)
    }

    /// It counts as missing no more if it has been there for long enough.
    pub(super) fn forgive(&mut self, now: Instant) {
        if self.is_back(now) {
            self.lacking_since = None;
        }
    }

    /// Whether it has been there long enough not to count as missing any more.
    fn is_back(&self, now: Instant) -> bool {
        self.held != Held::Absent && now.saturating_since(self.held_since) >= STEADY
    }

    /// Whether it has been missing for longer than `limit`; told once in that time.
    pub(super) fn take_lacking(&mut self, now: Instant, limit: Duration) -> bool {
        if self.is_back(now) || self.refused || !self.watched {
            self.lacking_since = None;
        }
        let lacks = self.lacking_since.is_some_and(|since| since + limit <= now);
        if lacks {
            self.lacking_since = Some(now);
        }
        lacks
    }
}

/// What an answer to an addition means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Added {
    /// It is there.
    ToStay,
    /// It is there, but its removal is under way.
    ForNothing,
    /// It was removed by somebody else before the answer came, or the notification of an earlier removal of ours
    /// came late: told for the second case, looked at again for the first.
    OrRemovedSince,
}
