//! Regular expressions.

use super::script::{Escapes, after_keyword, quote, tokenise};
use super::words::{Args, Argument, Printed};
#[cfg(test)]
use crate::prng::Prng;

/// `regex`: a pattern, quoted like a command, so that a backslash of the pattern is
/// written twice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Pattern(pub Box<str>);

impl Argument for Pattern {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let (_, place) = args.peek().or_else(|| args.required())?;
        let mut words = match tokenise(after_keyword(args), Escapes::Resolve) {
            Ok(words) => words.into_iter(),
            Err(why) => {
                args.skip_rest();
                args.reject(place, why);
                return None;
            }
        };
        args.skip_rest();
        let pattern = words.next()?;
        if words.next().is_some() {
            args.extra_words(place, "put the pattern in quotes: regex \"…\"");
        }
        Some(Self(pattern.into()))
    }

    fn print(&self, out: &mut Printed) {
        if self.0.is_empty() {
            out.word("");
        } else {
            out.value(quote(core::iter::once(&self.0)));
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let patterns = ["^ok$", "a\\d+ \"x\"", "[a-z]{2,3}#!", "two words", "(?i)\u{fc}|'", "${X}"];
        Self(patterns[random.below(patterns.len() as u64) as usize].into())
    }
}
