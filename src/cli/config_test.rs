//! `-t`: judges a configuration as the daemon on this host would, with keepalived's exit statuses.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::config::diagnostics::Style;
use crate::config::{load, load_settings};
use crate::daemon::{Options, RealHost, append};
use crate::sys::process::enter_namespace;

/// Judges the configuration that the options name. Messages go to `log`, appended, or to standard error.
///
/// 0: nothing is wrong; 4: the main file is missing or the start is refused; 5: anything else is wrong;
/// 6: an include check failed or script security is violated; 2: a keyword lacks its argument.
pub(super) fn run(options: &Options, log: Option<&Path>) -> ExitCode {
    let file = options.configuration.to_string_lossy();
    let mut host = RealHost::default();
    let named = options.settings.as_ref().map(|path| path.to_string_lossy());
    let own = load_settings(&host, named.as_deref(), &file);
    let load_options = options.load_options(own.as_ref().cloned().unwrap_or_default());
    if let Some(name) = &options.namespace {
        host.foreign_namespace = enter_namespace(name).is_err();
    }
    let mut loaded = load(&host, &file, &load_options);
    if let (None, Some(name)) = (&options.namespace, &loaded.settings.namespace) {
        // The interfaces it is for are there.
        host.foreign_namespace = enter_namespace(name).is_err();
        loaded = load(&host, &file, &load_options);
    }
    let colour = log.is_none() && colour_wanted();
    let style = Style { colour, show_secrets: false };
    let mut text = loaded.render(style);
    let mut status = loaded.exit_code;
    if let Err(fault) = own {
        text.insert_str(0, &format!("{}\n", fault.render(style)));
        // The gravest status wins, and this is the least of them.
        status = if status == 0 { fault.exit_code() } else { status };
    }
    let written = log.map_or_else(|| std::io::stderr().write_all(text.as_bytes()), |log| append(log, &text));
    if let (Err(error), Some(log)) = (written, log) {
        // What is wrong with the configuration shall not be lost.
        super::say(&format!("cannot write to {}: {error}\n{text}", log.display()));
    }
    // The process ends: taking a large configuration apart would only cost time.
    std::mem::forget(loaded);
    ExitCode::from(status)
}

/// Whether standard error is a terminal that wants colour (<https://no-color.org>).
pub(super) fn colour_wanted() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
