//! `alived man`: the manual pages, from the tables that the program itself reads its command line and settings by.

use clap::{Args, ValueEnum};
use roff::{Inline, Roff, bold, italic, roman};
use std::process::ExitCode;

use super::flags::{Argument, FLAGS};
use super::{commands, help};

/// `alived.toml` as it is packaged: every setting with what it means.
const SETTINGS: &str = include_str!("../../conf/alived.toml");

/// Print a manual page
///
/// The pages of packages are made by it: `alived man alived | man -l -` shows one.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which one: that of the program (8), or of its settings (5)
    #[arg(value_enum)]
    page: Page,
}

/// A manual page.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Page {
    /// alived(8)
    #[value(name = "alived")]
    Program,
    /// alived.toml(5)
    #[value(name = "alived.toml")]
    Settings,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    super::print(&match arguments.page {
        Page::Program => program(),
        Page::Settings => settings(SETTINGS),
    });
    ExitCode::SUCCESS
}

fn begin(name: &str, section: &str, purpose: &str) -> Roff {
    let mut page = Roff::new();
    // Where others have a date: the text is that of a version.
    page.control("TH", [name, section, concat!("alived ", env!("CARGO_PKG_VERSION"))]);
    page.control("SH", ["NAME"]);
    page.text([roman(format!("{name} - {purpose}"))]);
    page
}

/// alived(8).
fn program() -> String {
    let mut page = begin("alived", "8", "high-availability router daemon");
    page.control("SH", ["SYNOPSIS"]);
    page.text([bold("alived"), roman(" ["), italic("FLAG"), roman("...]")]);
    page.control("br", []);
    page.text([bold("alived "), italic("SUBCOMMAND"), roman(" ["), italic("ARGUMENT"), roman("...]")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(
        "Keeps addresses alive: virtual routers (VRRP version 2 and 3), virtual servers (IPVS) with their health checks. \
         Without a subcommand it is the daemon. It runs the keepalived.conf(5) of keepalived unchanged, and takes its flags \
         and signals; under the name keepalived or genhash it is that program.",
    )]);
    page.control("SH", ["FLAGS"]);
    for flag in FLAGS {
        page.control("TP", []);
        let mut line: Vec<Inline> = Vec::new();
        if let Some(short) = flag.short {
            line.extend([bold(format!("-{short}")), roman(", ")]);
        }
        line.push(bold(format!("--{}", flag.long)));
        match flag.argument {
            Argument::None => {}
            Argument::Required(what) => line.extend([roman("="), italic(what)]),
            Argument::Optional(what) => line.extend([roman("[="), italic(what), roman("]")]),
        }
        page.text(line);
        page.text([roman(flag.help)]);
    }
    page.control("SH", ["SUBCOMMANDS"]);
    for mut command in commands::shown() {
        subcommand(&mut page, &mut command);
    }
    page.control("SH", ["SIGNALS"]);
    page.text([roman(help::SIGNALS)]);
    page.control("SH", ["EXIT STATUS"]);
    page.text([roman(help::EXIT_STATUS)]);
    page.control("SH", ["EXAMPLES"]);
    verbatim(&mut page, help::EXAMPLES);
    page.control("SH", ["FILES"]);
    for (file, meaning) in [
        ("/etc/keepalived/keepalived.conf", "the configuration, in the language of keepalived"),
        ("/etc/keepalived/alived.toml", "settings that keepalived does not have; may be missing"),
        ("/run/keepalived.pid", "the process that signals go to"),
        ("/run/vrrp.sock", "where the subcommands ask the daemon, for root alone"),
    ] {
        page.control("TP", []);
        page.text([italic(file)]);
        page.text([roman(meaning)]);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([
        bold("alived.toml"),
        roman("(5), "),
        bold("keepalived.conf"),
        roman("(5), "),
        bold("ipvsadm"),
        roman("(8)"),
    ]);
    page.render()
}

/// One subcommand, as its `--help` has it.
fn subcommand(page: &mut Roff, command: &mut clap::Command) {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    page.control("SS", [command.get_name()]);
    page.text([bold(usage)]);
    page.control("PP", []);
    let about = command.get_long_about().or_else(|| command.get_about());
    page.text([roman(
        about.map(ToString::to_string).unwrap_or_default().replace("\n\n", ". ").replace('\n', " "),
    )]);
    let (positional, named): (Vec<_>, Vec<_>) =
        command.get_arguments().partition(|argument| argument.is_positional());
    for argument in positional.into_iter().chain(named).filter(|argument| is_shown(argument)) {
        page.control("TP", []);
        page.text(argument_line(argument));
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        page.text([roman(help.replace('\n', " "))]);
    }
    if let Some(after) = command.get_after_help() {
        page.control("PP", []);
        verbatim(page, &after.to_string());
    }
}

/// All but `--help`, which all of them have.
fn is_shown(argument: &clap::Arg) -> bool {
    !argument.is_hide_set() && argument.get_id() != "help"
}

fn argument_line(argument: &clap::Arg) -> Vec<Inline> {
    let names = argument.get_value_names().unwrap_or_default();
    let values = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    if argument.is_positional() {
        return vec![italic(values)];
    }
    let mut line = Vec::new();
    if let Some(short) = argument.get_short() {
        line.push(bold(format!("-{short}")));
    }
    if let Some(long) = argument.get_long() {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.push(bold(format!("--{long}")));
    }
    if argument.get_action().takes_values() {
        line.extend([roman(" "), italic(values)]);
    }
    line
}

fn verbatim(page: &mut Roff, text: &str) {
    page.control("nf", []);
    for line in text.lines() {
        page.text([roman(line)]);
    }
    page.control("fi", []);
}

/// alived.toml(5), of that file: a comment above a table or a setting describes it, one behind a setting goes on in the
/// comments below that are indented.
fn settings(file: &str) -> String {
    let mut page = begin("alived.toml", "5", "settings of alived that keepalived does not have");
    page.control("SH", ["DESCRIPTION"]);
    let mut comment: Vec<&str> = Vec::new();
    let mut described = false;
    for line in file.lines() {
        // A setting that the packaged file changes is no comment there.
        let bare = line.strip_prefix('#').unwrap_or(line);
        match bare.trim() {
            text if bare.starts_with("    ") && described => {
                page.text([roman(text.trim_start_matches(['#', ' ']))]);
            }
            text if line.starts_with('#') && bare.starts_with(' ') => comment.push(text),
            "" => {
                if !comment.is_empty() && !described {
                    page.text([roman(comment.join(" "))]);
                    page.control("SH", ["SETTINGS"]);
                }
                comment.clear();
            }
            table if table.starts_with('[') => {
                page.control("SS", [table.split_whitespace().next().unwrap_or(table)]);
                page.text([roman(comment.join(" "))]);
                comment.clear();
            }
            setting => {
                let (setting, meaning) = setting.split_once('#').unwrap_or((setting, ""));
                page.control("TP", []);
                page.text([bold(setting.trim())]);
                let above = comment.join(" ");
                page.text([roman(format!("{above} {}", meaning.trim()).trim().to_owned())]);
                comment.clear();
                described = true;
            }
        }
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("alived"), roman("(8)")]);
    page.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{OwnSettings, Realtime};

    /// As people read it.
    fn plain(page: &str) -> String {
        page.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "")
    }

    #[test]
    fn the_page_of_the_program_has_every_flag_and_subcommand() {
        let page = plain(&program());
        for flag in FLAGS {
            assert!(page.contains(&format!("--{}", flag.long)), "{}", flag.long);
        }
        for command in commands::shown() {
            assert!(page.contains(&format!("\n.SS {}\nalived {}", command.get_name(), command.get_name())));
            for argument in command.get_arguments().filter(|argument| is_shown(argument)) {
                let line: String = plain(&Roff::new().text(argument_line(argument)).to_roff());
                assert!(page.contains(&format!("\n.TP\n{line}")), "{} {line}", command.get_name());
            }
        }
    }

    #[test]
    fn the_page_of_the_settings_has_every_one_with_what_it_means() {
        let page = plain(&settings(SETTINGS));
        let all = OwnSettings { realtime: Realtime::Priority(40), ..OwnSettings::default() };
        let serde_json::Value::Object(all) = serde_json::to_value(all).unwrap() else { panic!() };
        let has = |name: &str| {
            let place = page.find(&format!("\n.TP\n{name} = ")).unwrap_or_else(|| panic!("{name}\n{page}"));
            // The setting, then its meaning.
            let meaning = page[place + 5..].lines().nth(1).unwrap_or_default();
            assert!(meaning.len() > 8 && !meaning.starts_with('.'), "{name}: {meaning}");
        };
        for (name, value) in &all {
            let Some(table) = value.as_object() else {
                has(name);
                continue;
            };
            assert!(page.contains(&format!("\n.SS [{name}]\n")), "{name}");
            table.keys().for_each(|name| has(name));
        }
    }

    #[test]
    fn lines_that_go_on_below_are_one_paragraph() {
        let file = "# What it is.\n\n# Of a table.\n#[t]\n#a = 1        # first\n#             # second\nb = 2 # of b\n";
        let page = plain(&settings(file));
        let body = page.split_once(".SH SETTINGS\n").unwrap().1;
        assert!(
            body.starts_with(".SS [t]\nOf a table.\n.TP\na = 1\nfirst\nsecond\n.TP\nb = 2\nof b\n"),
            "{body}"
        );
    }
}
