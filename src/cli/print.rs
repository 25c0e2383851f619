//! `alived print FILE`: the configuration as the daemon understands it.

use std::process::ExitCode;

use clap::Args;

use super::arguments::Loading;
use super::config_test::colour_wanted;
use crate::config::diagnostics::{Severity, Style, render};
use crate::config::{OwnSettings, PrintOptions, load, load_settings, print};
use crate::daemon::{DEFAULT_CONFIGURATION, RealHost};

/// Errors about text that was understood all the same, and is printed.
const UNDERSTOOD: [&str; 2] = ["not-supported-yet", "script-security"];

/// Print the configuration as the daemon understands it
///
/// Prints a configuration as it was understood: includes, definitions and sequences expanded, keywords in one order.
/// What is printed can be read again and means the same, if secrets are shown.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0, or 2 if the file has errors, 64 bad command line.")]
pub(super) struct Arguments {
    /// The file to print; default /etc/keepalived/keepalived.conf
    #[arg(value_name = "FILE", conflicts_with = "also")]
    file: Option<String>,
    /// The same, as the daemon is given it
    #[arg(id = "also", short = 'f', long = "use-file", value_name = "FILE")]
    also: Option<String>,
    /// Add what holds by default, as comments
    #[arg(long)]
    defaults: bool,
    /// Show passwords and keys
    #[arg(long)]
    show_secrets: bool,
    #[command(flatten)]
    loading: Loading,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let file =
        arguments.file.as_ref().or(arguments.also.as_ref()).map_or(DEFAULT_CONFIGURATION, String::as_str);
    let host = RealHost { text_only: true, ..RealHost::default() };
    let style = Style { colour: colour_wanted(), show_secrets: arguments.show_secrets };
    let mut status = 0;
    let own = load_settings(&host, arguments.loading.settings.as_deref(), file).unwrap_or_else(|fault| {
        super::say(&fault.render(style));
        status = 2;
        OwnSettings::default()
    });
    let loaded = load(&host, file, &arguments.loading.options(&own));
    let options = PrintOptions { defaults: arguments.defaults, show_secrets: arguments.show_secrets };
    super::print(&print(&loaded.config, options));
    // What could not be understood is not in the text: say so.
    for diagnostic in loaded
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity >= Severity::Error && !UNDERSTOOD.contains(&diagnostic.code))
    {
        super::say(&render(diagnostic, &loaded.sources, style));
        status = 2;
    }
    ExitCode::from(status)
}
