//! `alived keywords`: every keyword of the language and what this program does with it.

use std::process::ExitCode;

use clap::Args;

use crate::config::schema::{Context, Keyword, schema};

/// List the keywords of the configuration and which are acted on
///
/// Lists the keywords of keepalived.conf, their arguments, and whether alived acts on them.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these; default: all
    #[arg(value_name = "KEYWORD")]
    names: Vec<String>,
    /// Only those of one block, for example vrrp_instance
    #[arg(long, value_name = "BLOCK")]
    context: Option<String>,
    /// For programs
    #[arg(long)]
    json: bool,
    /// The table of KEYWORDS.md
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let wanted: Vec<&Keyword> = schema()
        .keywords()
        .filter(|keyword| {
            arguments.names.is_empty() || arguments.names.iter().any(|name| name == keyword.name)
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
