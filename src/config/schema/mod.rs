//! The keywords of keepalived 2.4.3, one row each in `keywords.tsv`, with what this program does with them.
//!
//! From this one table come the "unknown keyword" check and its suggestions, the warnings for what is not
//! acted on yet, `alived keywords` and the help in error messages.

mod context;
mod suggest;

pub(crate) use context::Context;
pub(crate) use suggest::{is_secret_keyword, nearest};

use core::fmt;
use std::collections::HashMap;
use std::sync::OnceLock;

static TABLE: &str = include_str!("keywords.tsv");

/// What this program does with a keyword.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Support {
    /// The daemon acts on it.
    ActedOn,
    /// Not yet, so that start and reload are refused. Says what would be missing.
    Refused(&'static str),
    /// Does not apply to this program. Says why.
    NotApplicable(&'static str),
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ActedOn => f.write_str("acted on"),
            Self::Refused(why) => write!(f, "not yet, refuses to start: {why}"),
            Self::NotApplicable(why) => write!(f, "does not apply: {why}"),
        }
    }
}

impl Support {
    /// One word for tables: `acted-on`, `refused`, `not-applicable`.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::ActedOn => "acted-on",
            Self::Refused(_) => "refused",
            Self::NotApplicable(_) => "not-applicable",
        }
    }

    /// The explanation, if there is one.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::ActedOn => "",
            Self::Refused(why) | Self::NotApplicable(why) => why,
        }
    }
}

/// One keyword in one place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Keyword {
    /// The block it stands in.
    pub context: Context,
    /// The keyword.
    pub name: &'static str,
    /// Grammar of its arguments.
    pub arguments: &'static str,
    /// What holds without it; empty if nothing or if it must be given.
    pub default: &'static str,
    /// keepalived's release that brought it.
    pub since: &'static str,
    /// An old spelling; the keyword to use instead, if there is one.
    pub deprecated: Option<&'static str>,
    /// keepalived reports it as deprecated, which `-t` counts.
    pub deprecation_counts: bool,
    /// What it means.
    pub meaning: &'static str,
    /// What this program does with it.
    pub support: Support,
    /// The block it opens.
    pub opens: Option<Context>,
    /// Its own number in the table.
    pub index: u16,
}

impl Keyword {
    /// Whether it must be followed by `{`.
    pub(crate) fn takes_block(&self) -> bool {
        self.arguments.contains("{ ") && !self.arguments.starts_with("{ connection") || self.opens.is_some()
    }
}

/// All keywords. Those of a block are read when it is first asked for: a configuration has few of the blocks, and what a
/// start does before it serves is time without the service.
#[derive(Debug)]
pub(crate) struct Schema {
    /// In the order of [`Context::ALL`].
    blocks: [Block; Context::ALL.len()],
}

/// The keywords of one block.
#[derive(Debug)]
struct Block {
    context: Context,
    /// Its lines of the table, which stand together.
    lines: &'static str,
    /// The number of its first keyword.
    first: u16,
    rows: OnceLock<Rows>,
}

#[derive(Debug)]
struct Rows {
    keywords: Vec<Keyword>,
    /// The place of each keyword, by each of its spellings.
    places: HashMap<&'static str, usize>,
}

/// The table.
pub(crate) fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(Schema::index)
}

impl Schema {
    /// Finds the lines of each block.
    fn index() -> Self {
        let empty = |context| Block { context, lines: "", first: 0, rows: OnceLock::new() };
        let mut blocks = Context::ALL.map(empty);
        let mut rest = TABLE.split_once('\n').map_or("", |(_, rest)| rest);
        let mut first = 0_u16;
        while let Some((path, _)) = rest.split_once('\t') {
            let is_of = |line: &str| line.strip_prefix(path).is_some_and(|line| line.starts_with('\t'));
            let lines = rest.split_inclusive('\n').take_while(|line| is_of(line));
            let (length, count) =
                lines.fold((0, 0_u16), |(length, count), line| (length + line.len(), count + 1));
            let (lines, others) = rest.split_at(length);
            if let Some(context) = Context::from_path(path) {
                let block = &mut blocks[context as usize];
                (block.lines, block.first) = (lines, first);
            }
            first += count;
            rest = others;
        }
        Self { blocks }
    }

    fn rows(&self, context: Context) -> &Rows {
        let block = &self.blocks[context as usize];
        block.rows.get_or_init(|| block.read())
    }

    /// A keyword of a block.
    pub(crate) fn find(&self, context: Context, name: &str) -> Option<&Keyword> {
        let Rows { keywords, places } = self.rows(context);
        keywords.get(*places.get(name)?)
    }

    /// A keyword by its number.
    pub(crate) fn keyword(&self, index: u16) -> Option<&Keyword> {
        self.keywords().find(|keyword| keyword.index == index)
    }

    /// Every row in the order of the table.
    pub(crate) fn keywords(&self) -> impl Iterator<Item = &Keyword> {
        let mut blocks: Vec<&Block> = self.blocks.iter().collect();
        blocks.sort_by_key(|block| block.first);
        blocks.into_iter().flat_map(|block| &self.rows(block.context).keywords)
    }

    /// The keywords of a block.
    pub(crate) fn names(&self, context: Context) -> impl Iterator<Item = &'static str> {
        self.rows(context).keywords.iter().flat_map(|keyword| keyword.name.split(" / "))
    }

    /// Blocks that have a keyword of this name.
    pub(crate) fn places(&self, name: &str) -> Vec<Context> {
        Context::ALL
            .into_iter()
            .filter(|context| context.is_block() && self.find(*context, name).is_some())
            .collect()
    }
}

impl Block {
    fn read(&self) -> Rows {
        let keywords: Vec<Keyword> = self
            .lines
            .lines()
            .zip(self.first..)
            .map(|(line, index)| read(self.context, line, index))
            .collect();
        let mut places = HashMap::with_capacity(keywords.len());
        for (place, keyword) in keywords.iter().enumerate() {
            for word in keyword.name.split(" / ") {
                places.entry(word).or_insert(place);
            }
        }
        Rows { keywords, places }
    }
}

/// Reads a line of the table.
fn read(context: Context, line: &'static str, index: u16) -> Keyword {
    // The first cell is the context.
    let mut cells = line.split('\t').skip(1);
    let mut cell = || match cells.next() {
        Some("-") | None => "",
        Some(text) => text,
    };
    let (name, arguments, default, since) = (cell(), cell(), cell(), cell());
    let old = cell();
    let (old, replacement) = old.split_once(':').unwrap_or((old, ""));
    let support = cell();
    let support = match support.split_once(':') {
        Some(("refuses", why)) => Support::Refused(why),
        Some(("never", why)) => Support::NotApplicable(why),
        // Keywords of a block that nothing acts on say it by their block.
        _ if support == "inherit" => context.inherited_support(),
        _ => Support::ActedOn,
    };
    Keyword {
        context,
        name,
        arguments,
        default,
        since,
        deprecated: (!old.is_empty()).then_some(replacement),
        deprecation_counts: old == "deprecated",
        meaning: cell(),
        support,
        opens: context.opened_by(name),
        index,
    }
}

/// The table of all keywords in Markdown, as `KEYWORDS.md` has it.
pub(crate) fn markdown() -> String {
    let mut text = String::from(
        "# Keywords\n\nEvery keyword of keepalived 2.4.3 and what alived does with it. This page is made by \
         `alived keywords --markdown`.\n\n*acted-on*: the daemon acts on it. *refused*: not yet, so that start \
         and reload are refused. *not-applicable*: does not apply.\n",
    );
    let cell = |text: &str| text.replace('|', "\\|").replace('<', "&lt;");
    let mut context = None;
    for keyword in schema().keywords() {
        if context != Some(keyword.context) {
            context = Some(keyword.context);
            text.push_str(&format!(
                "\n## {}\n\n| keyword | arguments | default | alived | meaning |\n|---|---|---|---|---|\n",
                keyword.context.path()
            ));
        }
        let reason = keyword.support.reason();
        let support = match reason {
            "" => keyword.support.word().to_owned(),
            _ => format!("{}: {}", keyword.support.word(), cell(reason)),
        };
        text.push_str(&format!(
            "| `{}` | {} | {} | {support} | {}{} |\n",
            keyword.name.replace('|', "\\|"),
            cell(keyword.arguments),
            cell(keyword.default),
            if keyword.deprecated.is_some() { "(deprecated) " } else { "" },
            cell(keyword.meaning),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_whole() {
        let rows = TABLE.lines().skip(1).count();
        assert_eq!(
            schema().keywords().count(),
            rows,
            "a row names an unknown block, or not beside its others"
        );
        assert!(schema().keywords().zip(0..).all(|(keyword, number)| keyword.index == number));
        for keyword in schema().keywords() {
            assert!(!keyword.name.is_empty());
            assert!(!keyword.meaning.is_empty() || keyword.context == Context::Language, "{keyword:?}");
            if !matches!(keyword.support, Support::ActedOn) {
                assert!(!keyword.support.reason().is_empty(), "{keyword:?}");
            }
            if let Some(replacement) = keyword.deprecated.filter(|name| !name.is_empty()) {
                let known = Context::ALL.iter().any(|context| schema().find(*context, replacement).is_some());
                assert!(known, "{replacement} replaces {} but is unknown", keyword.name);
            }
        }
    }

    /// Every keyword works, or does not apply, or is refused: those of BFD, SNMP and D-Bus as a whole, the others one by
    /// one.
    #[test]
    fn every_keyword_works_or_is_refused_with_a_reason() {
        const REFUSED: [(Context, &str); 2] =
            [(Context::Root, "net_namespace_ipvs"), (Context::VmacWords, "netlink_notify_msg")];
        let is_of = |row: &Keyword, subject: &str| row.name.to_lowercase().contains(subject);
        let is_later = |row: &Keyword| {
            matches!(row.context, Context::BfdInstance | Context::BfdCheck)
                || ["bfd", "snmp", "dbus", "enable_traps"].into_iter().any(|subject| is_of(row, subject))
        };
        let mut refused = Vec::new();
        for row in schema().keywords() {
            match row.support {
                Support::ActedOn => assert!(!is_later(row), "{row:?}: does it work now?"),
                Support::NotApplicable(why) => assert!(!why.is_empty(), "{row:?}"),
                Support::Refused(why) => {
                    assert!(!why.is_empty(), "{row:?}");
                    refused.extend((!is_later(row)).then_some((row.context, row.name)));
                }
            }
        }
        assert_eq!(refused, REFUSED);
    }

    #[test]
    fn the_page_of_keywords_is_up_to_date() {
        let page = include_str!("../../../KEYWORDS.md");
        assert!(page == markdown(), "run: alived keywords --markdown > KEYWORDS.md");
    }

    #[test]
    fn words_inside_lines_have_a_support_of_their_own() {
        for (context, words) in [
            (Context::MethodWords, &["type", "port", "nocsum", "csum", "remcsum"][..]),
            (Context::SyncDaemonWords, &["inst", "id", "maxlen", "port", "ttl", "group"]),
            (Context::TimeoutWords, &["tcp", "tcpfin", "udp"]),
        ] {
            assert!(!context.is_block());
            assert_eq!(schema().names(context).collect::<Vec<_>>(), words);
            for word in words {
                let support = schema().find(context, word).map(|row| row.support);
                assert_eq!(support, Some(Support::ActedOn), "{word}");
            }
        }
    }

    #[test]
    fn keywords_are_found_in_their_block_only() {
        assert!(schema().find(Context::VrrpInstance, "priority").is_some());
        assert!(schema().find(Context::GlobalDefs, "priority").is_none());
        assert_eq!(schema().places("priority").first(), Some(&Context::VrrpInstance));
        let tcp = schema().find(Context::RealServer, "TCP_CHECK").unwrap();
        assert_eq!(tcp.opens, Some(Context::TcpCheck));
    }
}
