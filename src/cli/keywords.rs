//! `alived keywords`: every keyword of the language and what this program does with it.

use std::ffi::OsString;
use std::process::ExitCode;

use super::arguments::Arguments;
use crate::config::schema::{Context, Keyword, schema};

const HELP: &str = "Usage: alived keywords [FLAGS] [KEYWORD...]

Lists the keywords of keepalived.conf, their arguments, and whether alived acts on them.

  --context BLOCK        only those of one block, for example vrrp_instance
  --json                 for programs
  --markdown             the table of KEYWORDS.md
";

/// Runs the subcommand.
pub(super) fn main(words: &[OsString]) -> ExitCode {
    let arguments = match Arguments::parse(words, &["context", "json", "markdown"]) {
        Ok(arguments) => arguments,
        Err(error) => {
            super::say(&format!("alived keywords: {error}\nTry `alived keywords --help`.\n"));
            return ExitCode::from(64);
        }
    };
    if arguments.help {
        super::print(HELP);
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&Keyword> = schema()
        .keywords()
        .iter()
        .filter(|keyword| {
            arguments.files.is_empty() || arguments.files.iter().any(|name| name == keyword.name)
        })
        .filter(|keyword| arguments.context.as_deref().is_none_or(|path| keyword.context.path() == path))
        .collect();
    if wanted.is_empty() {
        super::say("no such keyword; `alived keywords` lists all\n");
        return ExitCode::from(1);
    }
    super::print(&if arguments.json {
        json(&wanted)
    } else if arguments.markdown {
        crate::config::schema::markdown()
    } else {
        text(&wanted)
    });
    ExitCode::SUCCESS
}

fn json(keywords: &[&Keyword]) -> String {
    let rows: Vec<serde_json::Value> = keywords
        .iter()
        .map(|keyword| {
            serde_json::json!({
                "block": keyword.context.path(),
                "keyword": keyword.name,
                "arguments": keyword.arguments,
                "default": keyword.default,
                "since": keyword.since,
                "deprecated": keyword.deprecated.is_some(),
                "instead": keyword.deprecated.filter(|name| !name.is_empty()),
                "support": keyword.support.word(),
                "reason": keyword.support.reason(),
                "meaning": keyword.meaning,
            })
        })
        .collect();
    let mut text = serde_json::to_string_pretty(&rows).unwrap_or_default();
    text.push('\n');
    text
}

fn text(keywords: &[&Keyword]) -> String {
    let mut text = String::new();
    let mut context: Option<Context> = None;
    for keyword in keywords {
        if context != Some(keyword.context) {
            context = Some(keyword.context);
            text.push_str(&format!(
                "{}{}\n",
                if text.is_empty() { "" } else { "\n" },
                keyword.context.path()
            ));
        }
        let deprecated = if keyword.deprecated.is_some() { " (deprecated)" } else { "" };
        text.push_str(&format!(
            "  {:<30} {:<14} {}{deprecated}\n",
            keyword.name,
            keyword.support.word(),
            keyword.arguments
        ));
        if keywords.len() <= 8 {
            text.push_str(&format!("      {}\n", keyword.meaning));
            if !keyword.default.is_empty() {
                text.push_str(&format!("      default: {}\n", keyword.default));
            }
            if !keyword.support.reason().is_empty() {
                text.push_str(&format!("      {}\n", keyword.support));
            }
        }
    }
    text
}
