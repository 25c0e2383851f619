//! The words of a statement while it is read, and while it is printed.

use core::cell::{Cell, OnceCell, RefCell};
use core::fmt::{Debug, Display, Write as _};

use crate::config::diagnostics::{Diagnostic, Diagnostics, Status};
use crate::config::host::{Host, HostInterface};
use crate::config::lints::Lints;
use crate::config::schema::{Context, Keyword, Support, nearest, schema};
use crate::config::source::{Position, SourceMap, Span};
use crate::config::tree::Statement;

/// What reading a configuration needs all the time, from its statements to what they say.
pub(crate) struct Reading<'a> {
    /// The texts.
    pub sources: &'a SourceMap,
    /// Where faults go.
    pub diagnostics: &'a Diagnostics,
    /// The host.
    pub host: &'a dyn Host,
    /// What it says of its interfaces, from the first time on that somebody asks: [`Reading::interfaces`].
    pub interfaces: &'a OnceCell<Option<Vec<HostInterface>>>,
    /// First use and number of uses of each keyword that is not acted on, by its number in the schema.
    pub unsupported: &'a RefCell<Unsupported>,
    /// Where remarks on mistakes go that are no faults.
    pub lints: &'a Lints,
    /// The last statement lacks its `{`: what follows is out of place for want of it.
    pub headless: &'a Cell<bool>,
}

impl Reading<'_> {
    /// The interfaces of the host, the same ones for all that is read; `None` when the text is judged without a host.
    pub(crate) fn interfaces(&self) -> Option<&[HostInterface]> {
        self.interfaces.get_or_init(|| self.host.interfaces()).as_deref()
    }
}

/// Uses of the keywords that are not acted on.
#[derive(Debug, Default)]
pub(crate) struct Unsupported {
    /// By number of the keyword: the first use and how many there are.
    uses: Vec<Option<(Span, u32)>>,
}

impl Unsupported {
    /// Counts a use.
    pub(crate) fn count(&mut self, keyword: u16, at: Span) {
        let index = usize::from(keyword);
        if self.uses.len() <= index {
            self.uses.resize(index + 1, None);
        }
        if let Some(slot) = self.uses.get_mut(index) {
            slot.get_or_insert((at, 0)).1 += 1;
        }
    }

    /// Whether a keyword was used.
    pub(crate) fn contains(&self, keyword: u16) -> bool {
        self.uses.get(usize::from(keyword)).is_some_and(Option::is_some)
    }

    /// The keywords used, with their first use and the number of uses.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, Span, u32)> {
        let used = self.uses.iter().enumerate();
        used.filter_map(|(index, slot)| {
            slot.and_then(|(at, count)| Some((u16::try_from(index).ok()?, at, count)))
        })
    }
}

/// Keywords whose argument keepalived asks for itself: without it the statement is ignored, while without the
/// argument of any other keyword keepalived stops.
const ASKED_FOR: [&str; 4] = ["script", "snmp_name", "virtualhost", "vrrp_sync_group"];

/// A kind of value.
pub(crate) trait Argument: Sized + Clone + Debug + PartialEq {
    /// Reads the value from the next words. `None` after having reported why.
    fn parse(args: &mut Args<'_>) -> Option<Self>;

    /// Appends the words that give this value again.
    fn print(&self, out: &mut Printed);

    /// Some valid value.
    #[cfg(test)]
    fn sample(random: &mut crate::prng::Prng) -> Self;
}

impl Argument for () {
    fn parse(_: &mut Args<'_>) -> Option<Self> {
        Some(())
    }

    fn print(&self, _: &mut Printed) {}

    #[cfg(test)]
    fn sample(_: &mut crate::prng::Prng) -> Self {}
}

/// The words of one statement, read from left to right.
pub(crate) struct Args<'a> {
    /// What lowering needs all the time.
    pub reading: &'a Reading<'a>,
    /// The keyword they belong to.
    pub keyword: &'static Keyword,
    /// The statement.
    pub statement: Statement<'a>,
    words: &'a [Span],
    at: usize,
}

/// A word and where it stands.
pub(super) type Word<'a> = (&'a str, Span);

impl<'a> Args<'a> {
    /// The words after the keyword of a statement.
    pub(crate) fn of_keyword(
        reading: &'a Reading<'a>,
        keyword: &'static Keyword,
        statement: Statement<'a>,
    ) -> Self {
        Self { reading, keyword, statement, words: statement.words(), at: 1 }
    }

    /// All words of a line of a list.
    pub(crate) fn of_line(
        reading: &'a Reading<'a>,
        keyword: &'static Keyword,
        statement: Statement<'a>,
    ) -> Self {
        Self { reading, keyword, statement, words: statement.words(), at: 0 }
    }

    /// One word of a list of words.
    pub(crate) fn of_word(
        reading: &'a Reading<'a>,
        keyword: &'static Keyword,
        statement: Statement<'a>,
        word: &'a Span,
    ) -> Self {
        Self { reading, keyword, statement, words: core::slice::from_ref(word), at: 0 }
    }

    /// The next word, which stays.
    pub(crate) fn peek(&self) -> Option<Word<'a>> {
        let span = *self.words.get(self.at)?;
        Some((self.reading.sources.text(span), span))
    }

    /// The next word.
    pub(crate) fn next(&mut self) -> Option<Word<'a>> {
        let word = self.peek()?;
        self.at += 1;
        Some(word)
    }

    /// Takes the next word if it is `word`.
    pub(crate) fn accept(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|(text, _)| text == word);
        self.at += usize::from(found);
        found
    }

    /// The next word; its absence is reported, as a fault on which keepalived stops.
    pub(crate) fn required(&mut self) -> Option<Word<'a>> {
        let word = self.next();
        if word.is_none() {
            let message = format!("`{}` needs an argument", self.name());
            let diagnostic = if ASKED_FOR.contains(&self.name()) {
                Diagnostic::error("missing-argument", message).note("it is ignored")
            } else {
                Diagnostic::fatal("missing-argument", message).status(Status::MissingArgument)
            };
            self.reading.diagnostics.push(
                diagnostic
                    .at(self.words.last().copied().unwrap_or_else(|| self.statement.text()))
                    .label("nothing follows")
                    .help(format!("write `{} {}`", self.name(), self.keyword.arguments)),
            );
        }
        word
    }

    /// The next word as the argument of the inline option before it.
    pub(crate) fn option_value(&mut self, option: &str) -> Option<Word<'a>> {
        let word = self.next();
        if word.is_none() {
            let at = self.words.last().copied().unwrap_or_else(|| self.statement.text());
            self.reject(at, format!("`{option}` needs a value"));
        }
        word
    }

    /// Notes the use of a word inside a line, which is a row of the schema with a support of its own.
    ///
    /// Where the statement itself is not acted on, that is said of the statement, and its words need none.
    pub(super) fn note_inline(&self, context: Context, (name, at): Word<'_>) {
        if self.keyword.support != Support::ActedOn {
            return;
        }
        let row = schema().find(context, name).filter(|row| row.support != Support::ActedOn);
        if let Some(row) = row {
            self.reading.unsupported.borrow_mut().count(row.index, at);
        }
    }

    /// The keyword.
    pub(crate) fn name(&self) -> &'static str {
        self.keyword.name
    }

    /// The keyword's own place, or the first word of a line.
    pub(crate) fn place(&self) -> Span {
        self.words.first().copied().unwrap_or_else(|| self.statement.text())
    }

    /// Where the value begins, for [`super::At`].
    pub(crate) fn position(&self) -> Position {
        self.words
            .get(self.at)
            .or_else(|| self.words.last())
            .map_or_else(|| self.statement.text().start, |word| word.start)
    }

    /// Reports a value that cannot be used: the statement is dropped and the default holds.
    pub(crate) fn reject(&self, at: Span, message: impl Into<String>) {
        self.reading.diagnostics.push(self.rejection(at, message));
    }

    /// As [`Args::reject`], for more words.
    pub(crate) fn rejection(&self, at: Span, message: impl Into<String>) -> Diagnostic {
        let diagnostic = Diagnostic::error("invalid-value", message).at(at);
        if self.keyword.default.is_empty() || self.keyword.takes_block() {
            diagnostic
        } else {
            diagnostic.note(format!("`{}` is ignored; its default is {}", self.name(), self.keyword.default))
        }
    }

    /// Reports a word that is none of those allowed.
    pub(crate) fn reject_choice(&self, word: Word<'_>, allowed: &[&str]) {
        let (text, at) = word;
        let mut diagnostic =
            self.rejection(at, format!("`{text}` is no value of `{}`", self.name())).label("not known");
        diagnostic = match nearest(text, allowed.iter().copied()) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help(format!("it takes {}", allowed.join(", "))),
        };
        self.reading.diagnostics.push(diagnostic);
    }

    /// Reports a word that is none of those that may stand inside the line.
    pub(super) fn reject_inline(&self, word: Word<'_>, context: Context) {
        self.reject_choice(word, &schema().names(context).collect::<Vec<_>>());
    }

    /// Reports words that are left over: keepalived passes over them in silence, but for one keyword.
    pub(crate) fn finish(&self) {
        if let (Some(&first), Some(&last)) = (self.words.get(self.at), self.words.last()) {
            let message = format!("`{}` takes no more words", self.name());
            let diagnostic = if self.name() == "snmp_name" {
                Diagnostic::error("extra-words", message)
            } else {
                Diagnostic::warning("extra-words", message)
            };
            self.reading.diagnostics.push(
                diagnostic
                    .at(first.to(last))
                    .label("not used")
                    .help("a keyword and its arguments have a line of their own"),
            );
        }
    }

    /// Reports words after the one that a keyword takes.
    pub(super) fn extra_words(&self, at: Span, help: &str) {
        self.reading.diagnostics.push(
            Diagnostic::warning(
                "extra-words",
                format!("`{}` takes one word: the words after it are not passed on", self.name()),
            )
            .at(at)
            .help(help),
        );
    }

    /// Passes over all words that are left.
    pub(crate) fn skip_rest(&mut self) {
        self.at = self.words.len();
    }
}

/// Words being printed.
#[derive(Debug, Default)]
pub(crate) struct Printed {
    text: String,
}

impl Printed {
    /// Appends a word, in quotes if it needs them.
    pub(crate) fn word(&mut self, word: &str) {
        self.separate();
        // At the beginning of a line these would be a condition, a repetition, a definition, an include.
        let special = word.starts_with(['@', '~', '$']) || word.starts_with("include");
        let plain = !word.is_empty()
            && !special
            && !word
                .bytes()
                .any(|b| b.is_ascii_control() || matches!(b, b' ' | b'#' | b'!' | b'{' | b'}' | b'\\'));
        if plain {
            self.text.push_str(word);
        } else {
            self.text.push('"');
            self.text.push_str(word);
            self.text.push('"');
        }
    }

    /// Appends a value that needs no quotes.
    pub(crate) fn value(&mut self, value: impl Display) {
        self.separate();
        let _ = write!(self.text, "{value}");
    }

    /// Appends a word of the language and a value.
    pub(crate) fn option(&mut self, name: &str, value: impl Display) {
        self.value(name);
        self.value(value);
    }

    /// The same with `more` joined to the last word.
    pub(super) fn join(mut self, more: &str) -> Self {
        self.text.push_str(more);
        self
    }

    fn separate(&mut self) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
    }

    /// The line.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}
