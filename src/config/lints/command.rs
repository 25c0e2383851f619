//! Commands: no shell reads them.

use crate::config::diagnostics::Diagnostic;
use crate::config::source::Span;
use crate::config::values::Reading;

/// Words that mean something to a shell alone.
const OPERATORS: [&str; 13] = ["|", "||", "&&", "&", ";", ">", ">>", "<", "2>", "2>>", "&>", "2>&1", "1>&2"];

/// Looks at the command of the keyword `keyword`: its `words` as the program gets them, and those that stand `after`
/// it on the line.
pub(in crate::config) fn command(
    reading: &Reading<'_>,
    keyword: &str,
    at: Span,
    words: &[&str],
    after: &[String],
) {
    let Some((&program, arguments)) = words.split_first() else { return };
    // `"< FILE"` opens a file.
    if program.starts_with('<') {
        return;
    }
    let file = program.rsplit('/').next().unwrap_or(program);
    if let Some(operator) = operator(file, words).or_else(|| operator("", after)) {
        reading.lints.note("shell-operator", || {
            Diagnostic::warning(
                "shell-operator",
                format!("`{operator}` is for a shell, and no shell reads this command"),
            )
            .at(at)
            .label(format!("`{file}` gets it as an argument, or it is not used at all"))
            .help(format!("put it in a script, or write {keyword} \"/bin/sh -c '…'\""))
        });
    }
    if !program.contains('/') {
        reading.lints.note("bare-script-name", || {
            Diagnostic::hint("bare-script-name", format!("`{program}` has no path"))
                .at(at)
                .label("looked for in the directories of the system")
                .help("write its whole path: which program is run shall not depend on what is installed")
        });
    }
    if keyword == "script"
        && let Some(process) = looks_for_process(file, arguments)
    {
        reading.lints.note("process-by-script", || {
            Diagnostic::hint("process-by-script", format!("a script that looks whether `{process}` runs"))
                .at(at)
                .label("starts a program each time")
                .help(format!(
                    "write vrrp_track_process NAME {{ process {process} }} and track_process: it knows at once, and \
                     starts nothing"
                ))
        });
    }
}

/// The first word that a shell would not have passed on. What stands in quotes within the command may be for the
/// shell that it starts, and what follows `-c` is.
fn operator<'a, T: AsRef<str>>(file: &str, arguments: &'a [T]) -> Option<&'a str> {
    let mut for_a_shell = false;
    for argument in arguments.iter().map(AsRef::as_ref) {
        let is_quoted = argument.contains([' ', '\t', '\n']);
        let passed_on = core::mem::replace(&mut for_a_shell, argument == "-c") || is_quoted;
        // `find … -exec … \;` needs it.
        if passed_on || file == "find" && argument == ";" {
            continue;
        }
        let redirects = [">/", "2>/", "&>/", ">>/", "2>>/", "$(", "`"];
        if OPERATORS.contains(&argument)
            || redirects.iter().any(|start| argument.starts_with(start))
            || argument.contains(">/dev/null")
            || argument.len() > 1 && argument.ends_with(';')
        {
            return Some(argument);
        }
    }
    None
}

/// The process that a command looks for, where this is all it does.
fn looks_for_process<'a>(file: &str, arguments: &[&'a str]) -> Option<&'a str> {
    match (file, arguments) {
        ("killall" | "pkill", ["-0", process]) | ("killall", ["-s", "0", process]) => Some(process),
        ("pidof" | "pgrep", [process]) | ("pidof", ["-s", process]) | ("pgrep", ["-x", process]) => {
            Some(process)
        }
        ("sh" | "bash" | "dash", ["-c", line]) => {
            let words: Vec<&'a str> = line.split_ascii_whitespace().collect();
            let (program, arguments) = words.split_first()?;
            let file = program.rsplit('/').next().unwrap_or(program);
            if file.ends_with("sh") { None } else { looks_for_process(file, arguments) }
        }
        _ => None,
    }
}
