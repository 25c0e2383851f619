//! Commands that scripts run, and whether they can run here.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::sync::Arc;

use crate::config::diagnostics::{Diagnostic, Status};
use crate::config::host::{Lookup, PathKind};
use crate::config::model::Config;
use crate::config::source::Position;
use crate::config::values::{At, Cx, RunAs, Script as ScriptText};
use crate::kernel::{NamedUser, Script, ScriptUser};

/// Directories in which a bare name is looked up.
const SEARCH_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Reads scripts, each program looked at once.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    /// Programs that are there and can be run.
    fit: BTreeSet<Box<str>>,
    /// The first script in use.
    first: Option<Position>,
}

impl Scripts {
    /// A script with the user after its command; `None` when it cannot run, which is reported.
    pub(super) fn read(&mut self, cx: &Cx<'_>, entry: &At<ScriptText>) -> Option<Arc<Script>> {
        self.read_as(cx, entry, None)
    }

    /// As [`Scripts::read`], with the keyword `user`.
    pub(super) fn read_as(
        &mut self,
        cx: &Cx<'_>,
        entry: &At<ScriptText>,
        user: Option<&At<RunAs>>,
    ) -> Option<Arc<Script>> {
        let (program, arguments) = entry.value.command.split_first()?;
        let user = match (user, &entry.value.run_as) {
            (Some(user), _) => named_user(cx, &user.value, user.at)?,
            (None, Some(user)) => named_user(cx, user, entry.at)?,
            (None, None) => ScriptUser::Default,
        };
        if !self.runs(cx, program, entry.at) {
            return None;
        }
        self.first.get_or_insert(entry.at);
        // The tokeniser refuses NUL bytes.
        let word = |word: &str| CString::new(word).ok();
        Some(Arc::new(Script {
            program: word(program)?,
            arguments: arguments.iter().map(|argument| word(argument)).collect::<Option<_>>()?,
            user,
        }))
    }

    /// Whether a program is there and can be run. Unknown hosts have every program.
    fn runs(&mut self, cx: &Cx<'_>, program: &str, at: Position) -> bool {
        if self.fit.contains(program) {
            return true;
        }
        let fault = if program.starts_with('/') {
            fault_of(cx, program)
        } else if program.contains('/') {
            Some("is not an absolute path".to_owned())
        } else if SEARCH_PATH.iter().any(|dir| fault_of(cx, &format!("{dir}/{program}")).is_none()) {
            None
        } else {
            Some(format!("is in none of {}", SEARCH_PATH.join(", ")))
        };
        match fault {
            None => {
                self.fit.insert(program.into());
                true
            }
            Some(fault) => {
                cx.diagnostics.push(
                    Diagnostic::error("script-unusable", format!("the program `{program}` {fault}"))
                        .at(cx.sources.word_at(at))
                        .note("the script is not run")
                        .help(
                            "write the path of an executable file, and quote command and arguments together",
                        ),
                );
                false
            }
        }
    }
}

/// keepalived wants script security to be switched on where scripts run.
pub(super) fn report_security(cx: &Cx<'_>, config: &Config, scripts: &Scripts) {
    let enabled = config.global.as_ref().is_some_and(|global| global.enable_script_security.is_some());
    let Some(first) = scripts.first else { return };
    if !enabled {
        cx.diagnostics.push(
            Diagnostic::error("script-security", "scripts are run without enable_script_security")
                .status(Status::Security)
                .at(cx.sources.word_at(first))
                .label("the first script")
                .note("a script that others than root can change would give them root's rights")
                .help("write enable_script_security in global_defs"),
        );
    }
}

/// Why a path cannot be run, if the host is known.
fn fault_of(cx: &Cx<'_>, path: &str) -> Option<String> {
    let mut path = path.to_owned();
    // As many links as Linux follows.
    for _ in 0..40 {
        match cx.host.path(&path)? {
            Lookup::Missing => return Some("does not exist".to_owned()),
            Lookup::Found(metadata) => match metadata.kind {
                PathKind::File if metadata.mode & 0o111 != 0 => return None,
                PathKind::File => return Some("is not executable".to_owned()),
                PathKind::Directory => return Some("is a directory".to_owned()),
                PathKind::Other => return Some("is no regular file".to_owned()),
                PathKind::SymbolicLink(target) => {
                    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
                    path = if target.starts_with('/') { target } else { format!("{directory}/{target}") };
                }
            },
        }
    }
    Some("is a loop of symbolic links".to_owned())
}

/// The user of a script; `None` when the host does not know it, which is reported.
fn named_user(cx: &Cx<'_>, run_as: &RunAs, at: Position) -> Option<ScriptUser> {
    let reject = |message: String| {
        cx.diagnostics.push(
            Diagnostic::error("no-such-user", message)
                .at(cx.sources.word_at(at))
                .note("the script is not run")
                .help("quote the command and its arguments: words after the command are user and group"),
        );
    };
    if cx.host.user(&run_as.user) == Some(Lookup::Missing) && run_as.user.parse::<u32>().is_err() {
        reject(format!("there is no user `{}`", run_as.user));
        return None;
    }
    let (supplementary_groups, group) = match run_as.group.as_deref() {
        None => (false, None),
        Some(":") => (true, None),
        Some(group) => (group.starts_with(':'), Some(group.trim_start_matches(':'))),
    };
    if let Some(group) = group
        && cx.host.group(group) == Some(Lookup::Missing)
        && group.parse::<u32>().is_err()
    {
        reject(format!("there is no group `{group}`"));
        return None;
    }
    Some(ScriptUser::Named(NamedUser {
        user: (&*run_as.user).into(),
        group: group.map(Into::into),
        supplementary_groups,
    }))
}
