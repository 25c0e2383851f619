//! How a block of the language becomes a struct: the `block!` macro and what it stands on.

use thin_vec::ThinVec;

use crate::config::diagnostics::{Diagnostic, Severity, Status};
use crate::config::lints;
use crate::config::schema::{Context, Keyword, Support, nearest, schema};
use crate::config::tree::Statement;
use crate::config::values::{Args, Argument, At, Printed, Reading};

/// A block with its own keywords.
pub(crate) trait Block: Sized {
    /// Where its keywords are in the schema.
    const CONTEXT: Context;

    /// Reads the words between the keyword that opens the block and its `{`.
    fn begin(args: &mut Args<'_>) -> Option<Self>;

    /// Reads the statements of the block.
    fn read(&mut self, reading: &Reading<'_>, _keyword: &'static Keyword, statement: Statement<'_>) {
        for child in statement.children() {
            read_statement(reading, self, child);
        }
        self.shrink();
    }

    /// Takes one statement of the block; false if it has no such keyword.
    fn set(&mut self, reading: &Reading<'_>, keyword: &'static Keyword, statement: Statement<'_>) -> bool;

    /// Called at the end of the block.
    fn shrink(&mut self) {}

    /// Prints the whole block.
    fn print(&self, keyword: &str, out: &mut Canonical);

    /// Prints each statement of the block.
    fn print_body(&self, out: &mut Canonical);
}

/// Reads a block. `None` when its header is wrong or it is not closed, which is reported.
pub(in crate::config) fn read_block<B: Block>(
    reading: &Reading<'_>,
    keyword: &'static Keyword,
    statement: Statement<'_>,
) -> Option<B> {
    let mut args = Args::of_keyword(reading, keyword, statement);
    if !has_block(reading, keyword, statement) {
        return None;
    }
    if EMPTY.contains(&keyword.name) {
        note_empty(reading, keyword, statement);
    }
    let block = B::begin(&mut args);
    if block.is_some() {
        args.finish();
    }
    let mut block = block?;
    block.read(reading, keyword, statement);
    // An object counts only when its end is reached; the missing brace is reported by the parser.
    statement.is_closed().then_some(block)
}

/// Reads a block that may stand several times and counts as one.
pub(in crate::config) fn read_merged<B: Block>(
    reading: &Reading<'_>,
    keyword: &'static Keyword,
    statement: Statement<'_>,
    field: &mut Option<Box<B>>,
) {
    match field {
        Some(block) if statement.block().is_some() && statement.is_closed() => {
            note_empty(reading, keyword, statement);
            for child in statement.children() {
                read_statement(reading, &mut **block, child);
            }
        }
        _ => {
            if let Some(block) = read_block(reading, keyword, statement) {
                *field = Some(Box::new(block));
            }
        }
    }
}

/// Reads one statement of a block.
pub(in crate::config) fn read_statement<B: Block>(
    reading: &Reading<'_>,
    block: &mut B,
    statement: Statement<'_>,
) {
    let Some(&word) = statement.words().first() else { return };
    let name = reading.sources.text(word);
    let Some(keyword) = schema().find(B::CONTEXT, name) else {
        unknown(reading, B::CONTEXT, name, statement);
        return;
    };
    reading.headless.set(false);
    if keyword.support != Support::ActedOn {
        reading.unsupported.borrow_mut().count(keyword.index, word);
    }
    if let Some(replacement) = keyword.deprecated {
        let message = format!("`{name}` is deprecated");
        let diagnostic = if keyword.deprecation_counts {
            Diagnostic::error("deprecated", message)
        } else {
            Diagnostic::warning("deprecated", message)
        };
        let diagnostic = diagnostic.at(word);
        reading.diagnostics.push(if replacement.is_empty() {
            diagnostic.help("remove it")
        } else {
            diagnostic.help(format!("write `{replacement}` instead"))
        });
    }
    if !keyword.takes_block()
        && let Some(brace) = statement.block()
    {
        reading.diagnostics.push(
            Diagnostic::error("unexpected-brace", format!("`{name}` takes no block"))
                .at(brace)
                .note("the block is ignored"),
        );
    }
    if !block.set(reading, keyword, statement) {
        unknown(reading, B::CONTEXT, name, statement);
    }
}

/// Reports a keyword that its block does not have. The statements of its own block are passed over.
fn unknown(reading: &Reading<'_>, context: Context, name: &str, statement: Statement<'_>) {
    if name == "{" {
        // Reported when it was read.
        return;
    }
    if reading.headless.get() || statement.is_adrift() && !schema().places(name).is_empty() {
        // It follows from a brace that is missing above, which is reported there.
        return;
    }
    reading
        .diagnostics
        .push_with(Severity::Error, Some(Status::Fault), || unknown_keyword(context, name, statement));
}

fn unknown_keyword(context: Context, name: &str, statement: Statement<'_>) -> Diagnostic {
    let at = statement.words().first().copied().unwrap_or_else(|| statement.text());
    let place = context.phrase();
    let shown: String = name.chars().take(60).collect();
    let elsewhere = schema().places(name);
    let (code, label) = match elsewhere.as_slice() {
        [] => ("unknown-keyword", "not known"),
        _ => ("misplaced-keyword", "not known here"),
    };
    let mut diagnostic =
        Diagnostic::error(code, format!("unknown keyword `{shown}` {place}")).at(at).label(label);
    if let Some(near) = nearest(name, schema().names(context)) {
        diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
    } else if let Some(first) = elsewhere.first() {
        let perhaps = match first {
            Context::Root if statement.block().is_some() => "; is a `}` missing above?",
            _ => "",
        };
        let places: Vec<String> = elsewhere.iter().take(3).map(|place| place.phrase()).collect();
        diagnostic = diagnostic.help(format!("`{name}` belongs {}{perhaps}", places.join(" or ")));
    }
    if statement.block().is_some() {
        diagnostic = diagnostic.note("its whole block is ignored");
    }
    diagnostic
}

/// Reads an argument that must be there; reports words that are left over.
pub(in crate::config) fn read_value<T: Argument>(
    reading: &Reading<'_>,
    keyword: &'static Keyword,
    statement: Statement<'_>,
) -> Option<At<T>> {
    let mut args = Args::of_keyword(reading, keyword, statement);
    let at = args.position();
    let value = T::parse(&mut args)?;
    args.finish();
    Some(At { value, at })
}

/// Sets a keyword that may stand once. A second one replaces the first, as in keepalived, with a hint.
pub(in crate::config) fn set_once<T: Argument>(
    reading: &Reading<'_>,
    keyword: &'static Keyword,
    statement: Statement<'_>,
    field: &mut Option<At<T>>,
) {
    let Some(value) = read_value(reading, keyword, statement) else { return };
    if let Some(first) = field
        && first.value != value.value
    {
        reading.diagnostics.push(
            Diagnostic::hint("set-twice", format!("`{}` is set twice: the last one counts", keyword.name))
                .at(statement.text())
                .related(reading.sources.word_at(first.at), "first set here"),
        );
    }
    *field = Some(value);
}

/// Appends each line of a list.
pub(in crate::config) fn read_lines<T: Argument>(
    reading: &Reading<'_>,
    keyword: &'static Keyword,
    statement: Statement<'_>,
    field: &mut ThinVec<At<T>>,
) {
    if expect_list(reading, keyword, statement) {
        read_entries(reading, keyword, statement, field);
    }
}

/// Appends each line of a block that holds nothing else.
pub(in crate::config) fn read_entries<T: Argument>(
    reading: &Reading<'_>,
    keyword: &'static Keyword,
    statement: Statement<'_>,
    field: &mut ThinVec<At<T>>,
) {
    for line in statement.children().filter(|line| !is_adrift(reading, *line)) {
        let mut args = Args::of_line(reading, keyword, line);
        let at = args.position();
        if let Some(value) = T::parse(&mut args) {
            args.finish();
            field.push(At { value, at });
        }
        refuse_inner_block(reading, line);
    }
}

/// Appends each word of a list.
pub(in crate::config) fn read_words<T: Argument>(
    reading: &Reading<'_>,
    keyword: &'static Keyword,
    statement: Statement<'_>,
    field: &mut ThinVec<At<T>>,
) {
    if !expect_list(reading, keyword, statement) {
        return;
    }
    for line in statement.children().filter(|line| !is_adrift(reading, *line)) {
        for word in line.words() {
            let mut args = Args::of_word(reading, keyword, line, word);
            if let Some(value) = T::parse(&mut args) {
                field.push(At { value, at: word.start });
            }
        }
        refuse_inner_block(reading, line);
    }
}

fn expect_list(reading: &Reading<'_>, keyword: &'static Keyword, statement: Statement<'_>) -> bool {
    let found = has_block(reading, keyword, statement);
    if found {
        Args::of_keyword(reading, keyword, statement).finish();
        note_empty(reading, keyword, statement);
    }
    found && statement.is_closed()
}

/// Blocks of statements that say nothing when they are empty; those of others may stand for themselves.
const EMPTY: [&str; 3] = ["global_defs", "authentication", "auth_hmac"];

fn note_empty(reading: &Reading<'_>, keyword: &Keyword, statement: Statement<'_>) {
    // What was in it may have been dropped for an error.
    let is_whole = reading.diagnostics.gravest() < Some(Severity::Error);
    if is_whole && statement.is_closed() && statement.children().next().is_none() {
        let at = statement.words().first().copied().unwrap_or_else(|| statement.text());
        lints::empty_block(reading, keyword.name, at);
    }
}

/// Whether a statement has the block it needs; reports it if not.
fn has_block(reading: &Reading<'_>, keyword: &'static Keyword, statement: Statement<'_>) -> bool {
    let found = statement.block().is_some();
    if !found {
        reading.headless.set(true);
        reading.diagnostics.push(
            Diagnostic::error("missing-brace", format!("`{}` needs a block", keyword.name))
                .at(statement.text())
                .label("no `{` follows")
                .help(format!("write `{} {}`", keyword.name, keyword.arguments)),
        );
    }
    found
}

/// Whether a line of a list is none: a keyword that got there for want of a `}`, which is reported.
fn is_adrift(reading: &Reading<'_>, line: Statement<'_>) -> bool {
    let keyword = line.words().first().map_or("", |word| reading.sources.text(*word));
    line.is_adrift() && !schema().places(keyword).is_empty()
}

fn refuse_inner_block(reading: &Reading<'_>, line: Statement<'_>) {
    if let Some(brace) = line.block() {
        reading
            .diagnostics
            .push(Diagnostic::error("unexpected-brace", "a block has no place in this list").at(brace));
    }
}

/// The canonical text being made.
#[derive(Debug, Default)]
pub(crate) struct Canonical {
    text: String,
    depth: usize,
    /// Add what holds by default, as comments.
    pub defaults: bool,
    /// Show secrets.
    pub secrets: bool,
    /// Some were not shown.
    pub hides: bool,
}

impl Canonical {
    /// Everything printed so far.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// A blank line between blocks of the outermost level.
    pub(crate) fn gap(&mut self) {
        if self.depth == 0 && !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    fn indent(&mut self) {
        for _ in 0..self.depth {
            self.text.push_str("    ");
        }
    }

    /// A line: a keyword and its arguments.
    pub(crate) fn statement<T: Argument>(&mut self, keyword: &str, value: &T) {
        let mut words = Printed::default();
        value.print(&mut words);
        let words = words.into_text();
        self.indent();
        self.text.push_str(keyword);
        if !words.is_empty() {
            self.text.push(' ');
            let secret = !self.secrets && crate::config::schema::is_secret_keyword(keyword);
            self.text.push_str(if secret { "********" } else { &words });
            self.hides |= secret;
        }
        self.text.push('\n');
    }

    /// The default of a keyword that was not written, as a comment.
    pub(crate) fn default_of(&mut self, context: Context, keyword: &str) {
        if !self.defaults {
            return;
        }
        if let Some(row) = schema().find(context, keyword)
            && !row.default.is_empty()
            && row.deprecated.is_none()
        {
            self.indent();
            self.text.push_str(&format!("# {keyword}: {}\n", row.default));
        }
    }

    /// `keyword HEADER {`, the lines that `inner` prints, `}`.
    pub(crate) fn block<T: Argument>(&mut self, keyword: &str, header: &T, inner: impl FnOnce(&mut Self)) {
        let mut words = Printed::default();
        header.print(&mut words);
        let words = words.into_text();
        self.gap();
        self.indent();
        self.text.push_str(keyword);
        if !words.is_empty() {
            self.text.push(' ');
            self.text.push_str(&words);
        }
        self.text.push_str(" {\n");
        self.depth += 1;
        inner(self);
        self.depth -= 1;
        self.indent();
        self.text.push_str("}\n");
    }

    /// A list, one entry on a line.
    pub(crate) fn list<T: Argument>(&mut self, keyword: &str, values: &[At<T>]) {
        if values.is_empty() {
            return;
        }
        self.block(keyword, &(), |out| out.entries(values));
    }

    /// Entries, each on its line.
    pub(crate) fn entries<T: Argument>(&mut self, values: &[At<T>]) {
        for entry in values {
            let mut words = Printed::default();
            entry.value.print(&mut words);
            self.indent();
            let words = words.into_text();
            self.text.push_str(&words);
            self.text.push('\n');
        }
    }
}

/// Makes a struct of a block: a field for each keyword, reading, printing, and samples for tests.
///
/// Each row is `KIND "keyword" field: Type`, where KIND is
/// `once` (the last one counts), `many` (each counts), `lines` and `words` (lists in braces),
/// `block` (an inner block that may stand once) or `blocks` (that may stand often).
macro_rules! block {
    (
        $(#[$doc:meta])*
        $name:ident in $context:ident, header $header:ty;
        $($kind:ident $keyword:literal $(| $synonym:literal)* $field:ident: $type:ty;)*
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct $name {
            /// The words before `{`.
            pub(crate) header: $crate::config::values::At<$header>,
            $(
                #[doc = concat!("`", $keyword, "`.")]
                pub(crate) $field: block!(@type $kind $type),
            )*
        }

        impl $name {
            /// An empty block.
            pub(crate) fn new(header: $crate::config::values::At<$header>) -> Self {
                Self { header, $($field: Default::default(),)* }
            }
        }

        impl $crate::config::model::block::Block for $name {
            const CONTEXT: $crate::config::schema::Context = $crate::config::schema::Context::$context;

            fn begin(args: &mut $crate::config::values::Args<'_>) -> Option<Self> {
                let at = args.position();
                let value = <$header as $crate::config::values::Argument>::parse(args)?;
                Some(Self::new($crate::config::values::At { value, at }))
            }

            fn set(
                &mut self,
                reading: &$crate::config::values::Reading<'_>,
                keyword: &'static $crate::config::schema::Keyword,
                statement: $crate::config::tree::Statement<'_>,
            ) -> bool {
                match keyword.name {
                    $($keyword $(| $synonym)* => block!(@read $kind reading, keyword, statement, &mut self.$field),)*
                    _ => return false,
                }
                true
            }

            fn shrink(&mut self) {
                $(block!(@shrink $kind self.$field);)*
            }

            fn print(&self, keyword: &str, out: &mut $crate::config::model::block::Canonical) {
                out.block(keyword, &self.header.value, |out| self.print_body(out));
            }

            fn print_body(&self, out: &mut $crate::config::model::block::Canonical) {
                $(block!(@print $kind self.$field, $keyword, $context, out);)*
            }
        }

        #[cfg(test)]
        impl $crate::config::model::block::Sample for $name {
            fn sample(random: &mut $crate::prng::Prng) -> Self {
                let at = $crate::config::source::Position::FIRST;
                let header = <$header as $crate::config::values::Argument>::sample(random);
                let mut block = Self::new($crate::config::values::At { value: header, at });
                $(block!(@sample $kind block.$field, $type, random);)*
                let _ = (&mut block, at);
                block
            }
        }
    };

    (@type once $type:ty) => { Option<$crate::config::values::At<$type>> };
    (@type many $type:ty) => { thin_vec::ThinVec<$crate::config::values::At<$type>> };
    (@type lines $type:ty) => { thin_vec::ThinVec<$crate::config::values::At<$type>> };
    (@type words $type:ty) => { thin_vec::ThinVec<$crate::config::values::At<$type>> };
    (@type block $type:ty) => { Option<Box<$type>> };
    (@type merge $type:ty) => { Option<Box<$type>> };
    (@type blocks $type:ty) => { thin_vec::ThinVec<$type> };

    (@read once $reading:expr, $keyword:expr, $statement:expr, $field:expr) => {
        $crate::config::model::block::set_once($reading, $keyword, $statement, $field)
    };
    (@read many $reading:expr, $keyword:expr, $statement:expr, $field:expr) => {
        $field.extend($crate::config::model::block::read_value($reading, $keyword, $statement))
    };
    (@read lines $reading:expr, $keyword:expr, $statement:expr, $field:expr) => {
        $crate::config::model::block::read_lines($reading, $keyword, $statement, $field)
    };
    (@read words $reading:expr, $keyword:expr, $statement:expr, $field:expr) => {
        $crate::config::model::block::read_words($reading, $keyword, $statement, $field)
    };
    (@read block $reading:expr, $keyword:expr, $statement:expr, $field:expr) => {
        if let Some(block) = $crate::config::model::block::read_block($reading, $keyword, $statement) {
            *$field = Some(Box::new(block));
        }
    };
    (@read merge $reading:expr, $keyword:expr, $statement:expr, $field:expr) => {
        $crate::config::model::block::read_merged($reading, $keyword, $statement, $field)
    };
    (@read blocks $reading:expr, $keyword:expr, $statement:expr, $field:expr) => {
        $field.extend($crate::config::model::block::read_block($reading, $keyword, $statement))
    };

    (@shrink once $field:expr) => {};
    (@shrink block $field:expr) => {};
    (@shrink merge $field:expr) => {};
    (@shrink $kind:ident $field:expr) => { $field.shrink_to_fit() };

    (@print once $field:expr, $keyword:literal, $context:ident, $out:expr) => {
        match &$field {
            Some(entry) => $out.statement($keyword, &entry.value),
            None => $out.default_of($crate::config::schema::Context::$context, $keyword),
        }
    };
    (@print many $field:expr, $keyword:literal, $context:ident, $out:expr) => {
        for entry in &$field {
            $out.statement($keyword, &entry.value);
        }
    };
    (@print lines $field:expr, $keyword:literal, $context:ident, $out:expr) => { $out.list($keyword, &$field) };
    (@print words $field:expr, $keyword:literal, $context:ident, $out:expr) => { $out.list($keyword, &$field) };
    (@print block $field:expr, $keyword:literal, $context:ident, $out:expr) => {
        if let Some(block) = &$field {
            $crate::config::model::block::Block::print(&**block, $keyword, $out);
        }
    };
    (@print merge $field:expr, $keyword:literal, $context:ident, $out:expr) => {
        if let Some(block) = &$field {
            $crate::config::model::block::Block::print(&**block, $keyword, $out);
        }
    };
    (@print blocks $field:expr, $keyword:literal, $context:ident, $out:expr) => {
        for block in &$field {
            $crate::config::model::block::Block::print(block, $keyword, $out);
        }
    };

    (@sample once $field:expr, $type:ty, $random:expr) => {
        if $random.chance(1, 3) {
            $field = Some($crate::config::model::block::sample_at::<$type>($random));
        }
    };
    (@sample block $field:expr, $type:ty, $random:expr) => {
        if $random.chance(1, 3) {
            $field = Some(Box::new(<$type as $crate::config::model::block::Sample>::sample($random)));
        }
    };
    (@sample merge $field:expr, $type:ty, $random:expr) => {
        $field = Some(Box::new(<$type as $crate::config::model::block::Sample>::sample($random)));
    };
    (@sample blocks $field:expr, $type:ty, $random:expr) => {
        for _ in 0..$random.below(3) {
            $field.push(<$type as $crate::config::model::block::Sample>::sample($random));
        }
    };
    (@sample $kind:ident $field:expr, $type:ty, $random:expr) => {
        for _ in 0..$random.below(3) {
            $field.push($crate::config::model::block::sample_at::<$type>($random));
        }
    };
}
pub(in crate::config) use block;

/// A block made up for a test.
#[cfg(test)]
pub(in crate::config) trait Sample {
    fn sample(random: &mut crate::prng::Prng) -> Self;
}

#[cfg(test)]
pub(in crate::config) fn sample_at<T: Argument>(random: &mut crate::prng::Prng) -> At<T> {
    At { value: T::sample(random), at: crate::config::source::Position::FIRST }
}
