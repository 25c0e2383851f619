//! Regular expressions of HTTP checks: PCRE2 in keepalived, fancy-regex here.

mod search;
mod translate;

pub(super) use search::Search;

use core::fmt;
use std::collections::HashMap;
use std::sync::Arc;

use fancy_regex::{BytesMode, Regex, RegexBuilder};

use super::{RegexMatch, RegexOption};

/// Steps of backtracking in one search. A pattern that takes more has no answer.
const BACKTRACKING: usize = 1_000_000;

/// How far ahead a pattern is taken to look.
const LOOKAHEAD: usize = 1024;

/// Options without which a pattern of PCRE2 means something else, and that there is nothing for.
const UNSUPPORTED: [RegexOption; 3] =
    [RegexOption::AllowEmptyClass, RegexOption::AlternativeBsux, RegexOption::MatchUnsetBackReference];

/// A pattern that can be searched for.
#[derive(Debug)]
pub(super) struct Compiled {
    regex: Regex,
    /// `firstline`: a match begins before the first line feed.
    first_line: bool,
    /// How many bytes after a match may undo it; `None` = none can.
    looks_ahead: Option<usize>,
}

/// Why a pattern cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InvalidPattern(String);

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a pattern can be used with these options.
///
/// # Errors
/// Why it cannot.
pub fn judge_pattern(pattern: &str, options: &[RegexOption]) -> Result<(), InvalidPattern> {
    compile(pattern, options).map(|_| ())
}

fn compile(pattern: &str, options: &[RegexOption]) -> Result<Compiled, InvalidPattern> {
    let has = |option| options.contains(&option);
    if let Some(option) = UNSUPPORTED.into_iter().find(|option| has(*option)) {
        return Err(InvalidPattern(format!("there is no option {}", option.keyword())));
    }
    let mode = match (has(RegexOption::Utf), has(RegexOption::Ucp)) {
        (false, false) => BytesMode::Ascii,
        _ => BytesMode::UnicodeBytes,
    };
    let multi_line = has(RegexOption::MultiLine);
    let translated = translate::translate(pattern, !multi_line && !has(RegexOption::DollarEndOnly));
    let translated = if has(RegexOption::Ungreedy) { format!("(?U){translated}") } else { translated };
    let regex = RegexBuilder::new(&translated)
        .bytes_mode(mode)
        .case_insensitive(has(RegexOption::Caseless))
        .multi_line(multi_line)
        .dot_matches_new_line(has(RegexOption::DotAll))
        .verbose_mode(has(RegexOption::Extended))
        .backtrack_limit(BACKTRACKING)
        .build()
        .map_err(|error| {
            let error = error.to_string();
            // Errors of several lines draw the pattern; the last line says what is wrong.
            let why = error.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
            InvalidPattern(why.to_owned())
        })?;
    let has_any = |signs: &[&str]| signs.iter().any(|sign| pattern.contains(sign));
    let looks_ahead = if has_any(&["(?=", "(?!"]) {
        Some(LOOKAHEAD)
    } else {
        // An end, before a line feed or not, or the boundary of a word.
        has_any(&["$", "\\z", "\\Z", "\\b", "\\B"]).then_some(1)
    };
    Ok(Compiled { regex, first_line: has(RegexOption::FirstLine), looks_ahead })
}

/// Compiled patterns, each once for all checks that have it.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    known: HashMap<(Box<[u8]>, Vec<RegexOption>), Judged>,
}

/// A pattern, or why it cannot be used.
type Judged = Result<Arc<Compiled>, InvalidPattern>;

impl Patterns {
    /// The compiled pattern of a check.
    pub(super) fn get(&mut self, check: &RegexMatch) -> Judged {
        let key = (check.pattern.clone(), check.options.clone());
        let known = self.known.entry(key);
        known
            .or_insert_with(|| {
                compile(&String::from_utf8_lossy(&check.pattern), &check.options).map(Arc::new)
            })
            .clone()
    }

    /// Forgets them: another configuration has others.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }
}

#[cfg(test)]
pub(super) fn compiled(pattern: &str, options: &[RegexOption]) -> Arc<Compiled> {
    Arc::new(compile(pattern, options).unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, options: &[RegexOption], text: &[u8]) -> bool {
        compile(pattern, options).unwrap().regex.find(text).unwrap().is_some()
    }

    /// As PCRE2 10.42 has it for the same patterns and texts.
    #[test]
    fn patterns_mean_what_they_mean_in_pcre2() {
        for (pattern, text, expected) in [
            (r#"{"status":"ok"}"#, &b"{\"status\":\"ok\"}"[..], true),
            ("ok$", b"ok\n", true),
            ("ok$", b"ok\n\n", false),
            (r"ok\Z", b"ok\n", true),
            (r"ok\z", b"ok\n", false),
            (r"price \$5$", b"price $5", true),
            ("[[]x", b"[x", true),
            ("[]a]x", b"]x", true),
            ("[^]a]x", b"]x", false),
            ("[a&&b]", b"&", true),
            ("[$]", b"$", true),
            ("[[:digit:]$]{2}", b"5$", true),
            (r"\Qa.b$\E", b"a.b$", true),
            (r"\Qa.b", b"axb", false),
            (r"a\hb", b"a\tb", true),
            (r"a\Hb", b"a b", false),
            (r"a[\h]b", b"a b", true),
            (r"a\vb", b"a\nb", true),
            (r"\012", b"\n", true),
            (r"\x41\01", b"A\x01", true),
            (r"\w", b"\xe9", false),
            (".", b"\xe9", true),
            (r"(?<=a)b", b"ab", true),
            (r"(a+)-\1", b"aa-aa", true),
        ] {
            let Ok(compiled) = compile(pattern, &[]) else {
                assert!(!expected, "{pattern}");
                continue;
            };
            assert_eq!(compiled.regex.find(text).unwrap().is_some(), expected, "{pattern}");
        }
    }

    #[test]
    fn options_are_those_of_pcre2() {
        use RegexOption::{Caseless, DollarEndOnly, DotAll, Extended, MultiLine, Ucp, Ungreedy, Utf};
        assert!(found("OK", &[Caseless], b"ok"));
        assert!(found("^b$", &[MultiLine], b"a\nb\nc"));
        assert!(!found("ok$", &[DollarEndOnly], b"ok\n"));
        assert!(found("a.b", &[DotAll], b"a\nb"));
        assert!(found("a b # c", &[Extended], b"ab"));
        assert!(found("^.$", &[Utf], "\u{e9}".as_bytes()) && !found("^.$", &[], "\u{e9}".as_bytes()));
        assert!(found(r"^\w$", &[Utf, Ucp], "\u{e9}".as_bytes()));
        assert_eq!(compile("a+", &[Ungreedy]).unwrap().regex.find(&b"aa"[..]).unwrap().unwrap().end(), 1);
        assert!(compile("a", &[RegexOption::AllowEmptyClass]).is_err());
        assert!(compile("(", &[]).is_err());
    }
}
