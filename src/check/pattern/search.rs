//! Searching a body while it comes in, in bounded memory.

use std::sync::Arc;

use super::Compiled;
use crate::check::RegexMatch;

/// Most of a body that is held at a time.
const WINDOW: usize = 128 * 1024;
/// What is kept of it when more comes: a match that is longer may be missed.
const OVERLAP: usize = 32 * 1024;
/// What is kept of that for looking back only.
const CONTEXT: usize = 1024;

/// A search that is fed piece by piece.
#[derive(Debug)]
pub(in crate::check) struct Search {
    pattern: Arc<Compiled>,
    /// Offsets of the body at which a match may begin.
    from: u64,
    to: u64,
    window: Vec<u8>,
    /// Offset of the window in the body.
    base: u64,
    /// How much of the window was there at the last look.
    looked_at: usize,
    found: bool,
    gave_up: bool,
}

impl Search {
    pub(in crate::check) fn new(check: &RegexMatch, pattern: Arc<Compiled>) -> Self {
        Self {
            pattern,
            from: check.minimum_offset,
            to: check.maximum_offset.unwrap_or(u64::MAX),
            window: Vec::new(),
            base: 0,
            looked_at: 0,
            found: false,
            gave_up: false,
        }
    }

    /// Whether there is a match so far.
    pub(in crate::check) const fn found(&self) -> bool {
        self.found
    }

    /// Whether the pattern needs more backtracking than it gets.
    pub(in crate::check) const fn gave_up(&self) -> bool {
        self.gave_up
    }

    const fn is_over(&self) -> bool {
        self.found || self.gave_up || self.base > self.to
    }

    /// Takes the next bytes of the body.
    pub(in crate::check) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_over() {
            let (now, later) = bytes.split_at(bytes.len().min(WINDOW - self.window.len()));
            self.note_line_feed(now);
            self.window.extend_from_slice(now);
            bytes = later;
            // Looking at each byte anew would take a time that grows with the square of them.
            let fresh = self.window.len() - self.looked_at;
            let is_full = self.window.len() == WINDOW;
            if is_full || fresh > self.looked_at / 4 {
                self.look(false);
            }
            if is_full && !self.is_over() {
                self.window.drain(..WINDOW - OVERLAP);
                self.base += (WINDOW - OVERLAP) as u64;
                self.looked_at = OVERLAP;
            }
        }
    }

    /// The body is over.
    pub(in crate::check) fn finish(&mut self) {
        if !self.is_over() {
            self.look(true);
        }
    }

    fn note_line_feed(&mut self, bytes: &[u8]) {
        if self.pattern.first_line
            && let Some(at) = memchr::memchr(b'\n', bytes)
        {
            let at = self.base + (self.window.len() + at) as u64;
            self.to = self.to.min(at);
        }
    }

    fn look(&mut self, is_end: bool) {
        self.looked_at = self.window.len();
        let known = if self.base == 0 { 0 } else { CONTEXT };
        let from = self.from.saturating_sub(self.base);
        let from = usize::try_from(from).unwrap_or(usize::MAX).max(known);
        if from > self.window.len() {
            return;
        }
        match self.pattern.regex.find_from_pos(self.window.as_slice(), from) {
            Ok(Some(found)) => {
                // What comes may undo a match near the end.
                let after = self.window.len() - found.end();
                let open = !is_end && self.pattern.looks_ahead.is_some_and(|most| after <= most);
                let begins = self.base + found.start() as u64;
                self.found = begins <= self.to && !open;
            }
            Ok(None) => {}
            Err(_) => self.gave_up = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::RegexOption;
    use crate::check::pattern::compiled;

    fn check(minimum_offset: u64, maximum_offset: Option<u64>) -> RegexMatch {
        RegexMatch { minimum_offset, maximum_offset, ..RegexMatch::new("") }
    }

    fn search(
        pattern: &str,
        options: &[RegexOption],
        check: &RegexMatch,
        text: &[u8],
        portion: usize,
    ) -> bool {
        let mut search = Search::new(check, compiled(pattern, options));
        for piece in text.chunks(portion) {
            search.push(piece);
            assert!(search.window.len() <= WINDOW);
        }
        search.finish();
        search.found()
    }

    #[test]
    fn the_result_does_not_depend_on_the_portions() {
        let mut text = vec![b'a'; 300_000];
        text.extend(b"\nneedle 42\nbb");
        let any = check(0, None);
        for portion in [1000, 4096, 131_072, 1 << 20] {
            assert!(search(r"needle \d+$", &[RegexOption::MultiLine], &any, &text, portion), "{portion}");
            assert!(search("bb$", &[], &any, &text, portion));
            assert!(!search("^needle", &[], &any, &text, portion));
            assert!(!search("aab$", &[], &any, &text, portion));
            assert!(!search(r"(?<!\n)needle", &[], &any, &text, portion));
        }
        for portion in [1, 3, 100] {
            assert!(search("^o.*k$", &[], &any, b"over the network", portion));
            assert!(!search("^over$", &[], &any, b"over the network", portion));
            assert!(!search("over(?! the)", &[], &any, b"over the network", portion));
        }
    }

    #[test]
    fn a_match_begins_within_its_offsets() {
        let text = b"0123needle";
        for (from, to, found) in
            [(0, None, true), (4, None, true), (5, None, false), (0, Some(4), true), (0, Some(3), false)]
        {
            for portion in [1, 100] {
                assert_eq!(search("needle", &[], &check(from, to), text, portion), found, "{from} {to:?}");
            }
        }
        assert!(!search("needle", &[], &check(1 << 40, None), text, 1));
        assert!(!search("b", &[RegexOption::FirstLine], &check(0, None), b"a\nb", 1));
        assert!(search("a", &[RegexOption::FirstLine], &check(0, None), b"xa\nb", 1));
    }

    #[test]
    fn work_and_memory_are_bounded() {
        // Drop by drop.
        let mut slow = Search::new(&check(0, None), compiled("needle", &[]));
        for _ in 0..300_000 {
            slow.push(b"x");
        }
        slow.finish();
        assert!(!slow.found() && slow.window.capacity() <= 2 * WINDOW);
        // A pattern that backtracks without end gives up.
        let mut hard = Search::new(&check(0, None), compiled(r"(?=(a+)+b)\1c", &[]));
        hard.push(&[b'a'; 5000]);
        hard.finish();
        assert!(!hard.found());
    }
}
