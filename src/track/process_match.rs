//! Which processes a `vrrp_track_process` counts.

use super::{ParameterMatch, ProcessTracker};

/// The kernel's short name of a process is cut off after so many bytes (`TASK_COMM_LEN` less its NUL).
const SHORT_NAME_BYTES: usize = 15;

impl ProcessTracker {
    /// Whether the command line decides, and not the short name.
    pub fn goes_by_command_line(&self) -> bool {
        self.full_command || self.parameter_match != ParameterMatch::Ignored
    }

    /// Whether the process of this short name counts. A longer `process` is cut off as the kernel does it.
    pub fn matches_short_name(&self, name: &[u8]) -> bool {
        let wanted = self.process.to_bytes();
        let wanted = wanted.get(..SHORT_NAME_BYTES).unwrap_or(wanted);
        !self.goes_by_command_line() && name == wanted
    }

    /// Whether the process of this command line counts: each word ends with a NUL, as in `/proc/PID/cmdline`. Only as
    /// much of it is looked at as [`ProcessTracker::command_line_bytes`] says.
    pub fn matches_command_line(&self, line: &[u8]) -> bool {
        if !self.goes_by_command_line() {
            return false;
        }
        let Some(mut rest) = strip_word(line, self.process.to_bytes()) else { return false };
        let Some((last, first)) = self.parameters.split_last() else {
            return match self.parameter_match {
                ParameterMatch::Exact => rest.is_empty(),
                ParameterMatch::Ignored | ParameterMatch::Initial | ParameterMatch::Partial => true,
            };
        };
        for parameter in first {
            match strip_word(rest, parameter.to_bytes()) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        let last = last.to_bytes();
        match self.parameter_match {
            ParameterMatch::Ignored => true,
            ParameterMatch::Exact => strip_word(rest, last).is_some_and(<[u8]>::is_empty),
            ParameterMatch::Partial => strip_word(rest, last).is_some(),
            ParameterMatch::Initial => rest.starts_with(last),
        }
    }

    /// How much of a command line has to be read.
    pub fn command_line_bytes(&self) -> usize {
        let words = core::iter::once(&self.process).chain(&self.parameters);
        // Each with its NUL, and one byte more to see that something follows.
        words.map(|word| word.to_bytes_with_nul().len()).fold(1, usize::saturating_add)
    }
}

/// What follows the word and its NUL, which the last word of a line may lack.
fn strip_word<'a>(line: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(word)? {
        [] if !line.is_empty() => Some(&[]),
        [0, rest @ ..] => Some(rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU16;
    use std::ffi::CString;

    use super::*;
    use crate::track::{ProcessTrackerTiming, Quorum, Weight};

    fn tracker(words: &[&str], parameter_match: ParameterMatch, full_command: bool) -> ProcessTracker {
        let mut words = words.iter().map(|word| CString::new(*word).unwrap());
        ProcessTracker {
            name: "t".into(),
            process: words.next().unwrap(),
            parameters: words.collect(),
            parameter_match,
            weight: Weight::FAULT,
            quorum: Quorum::AtLeast(NonZeroU16::MIN),
            timing: ProcessTrackerTiming::default(),
            full_command,
        }
    }

    /// Counts as keepalived 2.2.7 showed them in its data file, but for the name that is too long.
    #[test]
    fn processes_count_as_in_keepalived() {
        use ParameterMatch::{Exact, Ignored, Initial, Partial};
        let running: [(&str, &[u8]); 4] = [
            ("tsleep", b"tsleep\x001234\0"),
            ("tsleep", b"/tmp/trk/tsleep\x001235\0"),
            ("tsleep", b"tsleep\x0077\x0078\0"),
            ("averyveryverylo", b"averyveryverylongname\x0099\0"),
        ];
        for (words, parameter_match, full, expected) in [
            (&["tsleep"][..], Ignored, false, 3),
            (&["/tmp/trk/tsleep"], Ignored, false, 0),
            (&["tsleep", "1234"], Exact, false, 1),
            (&["/tmp/trk/tsleep", "1235"], Exact, false, 1),
            (&["tsleep", "1235"], Exact, false, 0),
            (&["tsleep"], Ignored, true, 2),
            (&["/tmp/trk/tsleep"], Ignored, true, 1),
            (&["tsleep"], Exact, false, 0),
            (&["tsleep", "12"], Initial, false, 1),
            (&["tsleep", "1234"], Initial, false, 1),
            (&["tsleep", "77"], Partial, false, 1),
            (&["tsleep", "77"], Exact, false, 0),
            (&["tsleep", "77", "78"], Exact, false, 1),
            (&["tsleep", "7"], Initial, false, 1),
            (&["tsleep", "77", "7"], Initial, false, 1),
            (&["averyveryverylo"], Ignored, false, 1),
            (&["averyveryverylongname"], Ignored, true, 1),
            (&["tsleep 1234"], Ignored, true, 0),
            // keepalived never finds it.
            (&["averyveryverylongname"], Ignored, false, 1),
        ] {
            let tracker = tracker(words, parameter_match, full);
            let counts = |(name, line): &&(&str, &[u8])| {
                let line = &line[..line.len().min(tracker.command_line_bytes())];
                tracker.matches_short_name(name.as_bytes()) || tracker.matches_command_line(line)
            };
            let count = running.iter().filter(counts).count();
            assert_eq!(count, expected, "{words:?} {parameter_match:?} {full}");
        }
    }

    #[test]
    fn a_command_line_need_not_end_with_a_nul() {
        let tracker = tracker(&["a", "b"], ParameterMatch::Exact, false);
        assert!(tracker.matches_command_line(b"a\0b") && tracker.matches_command_line(b"a\0b\0"));
        assert!(!tracker.matches_command_line(b"") && !tracker.matches_command_line(b"a"));
        assert!(!tracker.matches_command_line(b"a\0bc") && !tracker.matches_command_line(b"a\0b\0\0"));
    }
}
