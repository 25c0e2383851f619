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

/// All keywords.
#[derive(Debug)]
pub(crate) struct Schema {
    keywords: Vec<Keyword>,
    /// The number of each keyword, by its block and each of its spellings.
    numbers: HashMap<(Context, &'static str), u16>,
}

/// The table.
pub(crate) fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(Schema::parse)
}

impl Schema {
    fn parse() -> Self {
        let mut keywords: Vec<Keyword> = Vec::with_capacity(640);
        let mut numbers = HashMap::with_capacity(640);
        for line in TABLE.lines().skip(1) {
            let mut cells = line.split('\t');
            let mut cell = || match cells.next() {
                Some("-") | None => "",
                Some(text) => text,
            };
            let Some(context) = Context::from_path(cell()) else { continue };
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
            let index = u16::try_from(keywords.len()).unwrap_or(u16::MAX);
            keywords.push(Keyword {
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
            });
            for word in name.split(" / ") {
                numbers.entry((context, word)).or_insert(index);
            }
        }
        Self { keywords, numbers }
    }

    /// A keyword of a block.
    pub(crate) fn find(&self, context: Context, name: &str) -> Option<&Keyword> {
        self.keywords.get(usize::from(*self.numbers.get(&(context, name))?))
    }

    /// Every row in the order of the table.
    pub(crate) fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    /// The keywords of a block.
    pub(crate) fn names(&self, context: Context) -> impl Iterator<Item = &'static str> {
        let rows = self.keywords.iter().filter(move |keyword| keyword.context == context);
        rows.flat_map(|keyword| keyword.name.split(" / "))
    }

    /// Blocks that have a keyword of this name.
    pub(crate) fn places(&self, name: &str) -> Vec<Context> {
        Context::ALL
            .into_iter()
            .filter(|context| context.is_block() && self.find(*context, name).is_some())
            .collect()
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
        assert_eq!(schema().keywords().len(), rows, "a row names an unknown block");
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
        const REFUSED: [(Context, &str); 3] = [
            (Context::Root, "net_namespace_ipvs"),
            (Context::VrrpInstance, "lvs_sync_daemon_interface"),
            (Context::VmacWords, "netlink_notify_msg"),
        ];
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
