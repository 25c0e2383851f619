//! Regular expressions of HTTP checks: whether they can be compiled.

use std::collections::HashSet;

use crate::check::{RegexOption, judge_pattern};
use crate::config::diagnostics::Diagnostic;
use crate::config::values::{At, Pattern, Reading};

/// What PCRE2 has and our engine has not, and how it begins.
const FOREIGN: [(&str, &str); 9] = [
    ("(*", "verbs"),
    ("(?R", "recursion"),
    ("(?&", "calls of groups"),
    ("(?P>", "calls of groups"),
    ("(?|", "groups that share numbers"),
    ("(?C", "callouts"),
    ("\\C", "single bytes"),
    ("\\X", "grapheme clusters"),
    ("\\g<", "calls of groups"),
];

/// The patterns looked at so far, as many servers have the same.
#[derive(Debug, Default)]
pub(super) struct Patterns(HashSet<(Box<str>, Vec<RegexOption>)>);

impl Patterns {
    /// Says of a pattern that cannot be compiled why. `-t` of keepalived does not look at them.
    pub(super) fn judge(&mut self, reading: &Reading<'_>, entry: &At<Pattern>, options: &[RegexOption]) {
        let pattern = &entry.value.0;
        if !self.0.insert((pattern.clone(), options.to_vec())) {
            return;
        }
        let Err(why) = judge_pattern(pattern, options) else { return };
        let foreign = FOREIGN.iter().find(|(sign, _)| pattern.contains(sign));
        let diagnostic = match foreign {
            Some((sign, what)) => Diagnostic::warning(
                "unsupported-pattern",
                format!("this regular expression uses `{sign}`, {what} of PCRE2, which is not supported"),
            )
            .help("write it without"),
            None => Diagnostic::warning(
                "invalid-pattern",
                format!("this regular expression cannot be compiled: {why}"),
            )
            .note(format!("the pattern is `{pattern}`, after the escapes of the file are resolved"))
            .help("a backslash of the pattern is written twice: regex \"\\\\d+\""),
        };
        reading
            .diagnostics
            .push(diagnostic.at(reading.sources.word_at(entry.at)).label("the check would never succeed"));
    }
}
