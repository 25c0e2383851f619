//! `alived print FILE`: the configuration as the daemon understands it.

use std::ffi::OsString;
use std::process::ExitCode;

use super::arguments::{Arguments, LOADING};
use super::config_test::colour_wanted;
use crate::config::diagnostics::{Severity, Style, render};
use crate::config::{OwnSettings, PrintOptions, load, load_settings, print};
use crate::daemon::RealHost;

const HELP: &str = "Usage: alived print [FLAGS] FILE

Prints a configuration as it was understood: includes, definitions and sequences expanded, keywords in
one order. What is printed can be read again and means the same, if secrets are shown.

  --defaults             add what holds by default, as comments
  --show-secrets         show passwords and keys
";

/// Runs the subcommand.
pub(super) fn main(words: &[OsString]) -> ExitCode {
    let known = ["defaults", "show-secrets", "config-id", "all-config", "use-file", "limit", "settings"];
    let arguments = match Arguments::parse(words, &known) {
        Ok(arguments) => arguments,
        Err(error) => {
            super::say(&format!("alived print: {error}\nTry `alived print --help`.\n"));
            return ExitCode::from(64);
        }
    };
    let [file] = arguments.files.as_slice() else {
        let text = format!("{HELP}{LOADING}\nExit status: 0, or 2 if the file has errors.\n");
        if arguments.help {
            super::print(&text);
            return ExitCode::SUCCESS;
        }
        super::say(&text);
        return ExitCode::from(64);
    };
    let host = RealHost { text_only: true, ..RealHost::default() };
    let style = Style { colour: colour_wanted(), show_secrets: arguments.show_secrets };
    let mut status = 0;
    let own = load_settings(&host, arguments.settings.as_deref(), file).unwrap_or_else(|fault| {
        super::say(&fault.render(style));
        status = 2;
        OwnSettings::default()
    });
    let loaded = load(&host, file, &arguments.load_options(own));
    let options = PrintOptions { defaults: arguments.defaults, show_secrets: arguments.show_secrets };
    super::print(&print(&loaded.config, options));
    // What could not be understood is not in the text: say so.
    for diagnostic in loaded
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity >= Severity::Error && diagnostic.code != "not-supported-yet")
    {
        super::say(&render(diagnostic, &loaded.sources, style));
        status = 2;
    }
    ExitCode::from(status)
}
