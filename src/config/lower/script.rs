//! Commands that scripts run, and whether they can run here.
#![allow(clippy::result_large_err, reason = "a diagnostic is made once for each script at most")]

use std::collections::BTreeSet;
use std::sync::Arc;

use super::script_security::{Identity, PathFault, Policy, path_fault};
use crate::config::diagnostics::{Diagnostic, Severity, Status};
use crate::config::host::Lookup;
use crate::config::model::{Config, GlobalDefs};
use crate::config::source::{Position, Span};
use crate::config::values::{At, Fifo, Reading};
use crate::kernel::{NamedUser, Script, ScriptUser};
use crate::notify::FifoConfig;

/// Directories in which a bare name is looked up.
const SEARCH_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Reads scripts, each program looked at once.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    /// Programs that may be run, and as whom.
    fit: BTreeSet<(Box<str>, Identity)>,
    /// The first script in use.
    first: Option<Position>,
    /// The first one of a tracker, which only virtual routers run.
    first_tracked: Option<Position>,
    policy: Policy,
    /// What `global_defs` said when the policy was made.
    known: Option<Option<(bool, Option<Position>)>>,
}

impl Scripts {
    /// Learns what `global_defs` says so far.
    pub(super) fn know(&mut self, global: Option<&GlobalDefs>) {
        // The host is asked again only when `global_defs` says something new.
        let says = global.map(|global| {
            (global.enable_script_security.is_some(), global.script_user.as_ref().map(|entry| entry.at))
        });
        if self.known != Some(says) {
            self.known = Some(says);
            self.policy = Policy::new(global);
        }
    }

    /// A script with the user after its command; `None` when it cannot run, which is reported.
    pub(super) fn read(&mut self, reading: &Reading<'_>, entry: &At<Script>) -> Option<Arc<Script>> {
        self.read_as(reading, entry, None)
    }

    /// As [`Scripts::read`], with the keyword `user`. `-t` of keepalived does not look at these programs.
    pub(super) fn read_as(
        &mut self,
        reading: &Reading<'_>,
        entry: &At<Script>,
        user: Option<&At<NamedUser>>,
    ) -> Option<Arc<Script>> {
        self.read_checked(reading, entry, user, false)
            .map_err(|fault| {
                reading.diagnostics.push(fault.into_warning(&["script-unusable", "script-insecure"]))
            })
            .ok()
    }

    /// The reader of a FIFO. keepalived leaves one out, without a word, that it cannot run as its user.
    fn read_reader(&mut self, reading: &Reading<'_>, entry: &At<Script>) -> Option<Arc<Script>> {
        let read = self.read_checked(reading, entry, None, false);
        let overlooked = ["script-unusable", "script-insecure", "no-such-user", "no-such-group"];
        read.map_err(|fault| reading.diagnostics.push(fault.into_warning(&overlooked))).ok()
    }

    /// A script that is tracked: the fault of its program counts where the script is used.
    pub(super) fn read_tracked(
        &mut self,
        reading: &Reading<'_>,
        entry: &At<Script>,
        user: Option<&At<NamedUser>>,
    ) -> Result<Arc<Script>, Diagnostic> {
        self.read_checked(reading, entry, user, true).map_err(|fault| fault.0)
    }

    fn read_checked(
        &mut self,
        reading: &Reading<'_>,
        entry: &At<Script>,
        user: Option<&At<NamedUser>>,
        tracked: bool,
    ) -> Result<Arc<Script>, Fault> {
        let place = reading.sources.word_at(entry.at);
        let own = user.map(|user| &user.value).or_else(|| entry.value.user.named());
        let at = user.map_or(entry.at, |user| user.at);
        if self.policy.lacks_user(reading, own) {
            return Err(Fault(no_user(place, "this script has no user to run as")));
        }
        if let Some(own) = own {
            known_user(reading, own, at)?;
        }
        let user = self.policy.run_as(reading, own);
        let program = entry.value.program.to_string_lossy();
        // It is meant to be run, whether it can be or not.
        if is_there(reading, &program) {
            if tracked { &mut self.first_tracked } else { &mut self.first }.get_or_insert(entry.at);
        }
        let identity = self.policy.identity(reading, own);
        self.runs(reading, &program, identity, place)?;
        Ok(Arc::new(Script { user, ..entry.value.clone() }))
    }

    /// Whether a program is there and may be run. Unknown hosts have every program.
    fn runs(
        &mut self,
        reading: &Reading<'_>,
        program: &str,
        identity: Identity,
        place: Span,
    ) -> Result<(), Fault> {
        let key = (Box::from(program), identity);
        if self.fit.contains(&key) {
            return Ok(());
        }
        let fault = if program.starts_with('/') {
            path_fault(reading, program, identity)
        } else if program.contains('/') {
            Some(PathFault::Unusable("is not an absolute path".to_owned()))
        } else {
            let found = SEARCH_PATH.iter().find(|directory| {
                !matches!(
                    path_fault(reading, &format!("{directory}/{program}"), Identity::ANYBODY),
                    Some(PathFault::Missing | PathFault::Unusable(_))
                )
            });
            match found {
                Some(directory) => path_fault(reading, &format!("{directory}/{program}"), identity),
                None => Some(PathFault::Unusable(format!("is in none of {}", SEARCH_PATH.join(", ")))),
            }
        };
        let unusable = |code: &'static str, why: String| {
            Fault(
                Diagnostic::error(code, format!("the program `{program}` {why}"))
                    .at(place)
                    .note("the script is not run")
                    .help("write the path of an executable file, and quote command and arguments together"),
            )
        };
        match fault {
            None => {
                self.fit.insert(key);
                Ok(())
            }
            Some(PathFault::Insecure(why)) if !self.policy.enabled => {
                reading.diagnostics.push(
                    Diagnostic::warning("script-insecure", format!("`{program}` runs as root, and {why}"))
                        .at(place)
                        .label("others could make it do anything")
                        .help("correct owner and mode; enable_script_security would refuse to run it"),
                );
                self.fit.insert(key);
                Ok(())
            }
            Some(PathFault::Insecure(why)) => Err(Fault(
                Diagnostic::error("script-insecure", format!("`{program}` would run as root, but {why}"))
                    .at(place)
                    .label("refused by enable_script_security")
                    .note("the script is not run")
                    .help("correct owner and mode, or let another user run it"),
            )),
            Some(PathFault::Missing) => Err(unusable("script-unusable", "does not exist".to_owned())),
            Some(PathFault::Unusable(why)) => Err(unusable("script-unusable", why)),
            Some(PathFault::Closed(why)) => Err(unusable("script-closed", why)),
        }
    }
}

/// Why a script does not run.
struct Fault(Diagnostic);

impl Fault {
    /// A fault that `-t` of keepalived does not look at is a warning. That there is no user, it sees.
    fn into_warning(self, overlooked: &[&str]) -> Diagnostic {
        let mut diagnostic = self.0;
        if overlooked.contains(&diagnostic.code) {
            diagnostic.severity = Severity::Warning;
            diagnostic.status = None;
        }
        diagnostic
    }
}

fn no_user(place: Span, message: &str) -> Diagnostic {
    Diagnostic::error("no-script-user", message)
        .at(place)
        .note("with enable_script_security nothing is done as the daemon's user by itself")
        .help("write script_user in global_defs, a user after it, or make the user keepalived_script")
}

/// Whether a program leads to something, as far as the host is known.
fn is_there(reading: &Reading<'_>, program: &str) -> bool {
    let there = |path: &str| path_fault(reading, path, Identity::ANYBODY) != Some(PathFault::Missing);
    if program.contains('/') {
        there(program)
    } else {
        SEARCH_PATH.iter().any(|directory| there(&format!("{directory}/{program}")))
    }
}

/// Reports a `script_user` that the host does not know.
pub(super) fn report_user(reading: &Reading<'_>, config: &Config) {
    let Some(entry) = config.global.as_ref().and_then(|global| global.script_user.as_ref()) else { return };
    if let Err(fault) = known_user(reading, &entry.value, entry.at) {
        reading.diagnostics.push(fault.0);
    }
}

/// The scripts of the processes themselves, and their FIFOs.
#[derive(Debug, Default)]
pub(super) struct ProcessScripts {
    /// `startup_script`.
    pub(super) startup: Option<Arc<Script>>,
    /// `shutdown_script`.
    pub(super) shutdown: Option<Arc<Script>>,
    /// What tells of virtual routers.
    pub(super) fifos: Vec<FifoConfig>,
    /// What tells of virtual servers.
    pub(super) balancer_fifos: Vec<FifoConfig>,
}

/// Reads the scripts of the processes themselves, and their FIFOs. `balances`: there are virtual servers. A process that
/// has nothing to do is not started, nor are its scripts.
pub(super) fn of_processes(
    reading: &Reading<'_>,
    config: &Config,
    balances: bool,
    scripts: &mut Scripts,
) -> ProcessScripts {
    let mut read = ProcessScripts::default();
    let Some(global) = config.global.as_deref() else { return read };
    read.startup = global.startup_script.as_ref().and_then(|entry| scripts.read(reading, entry));
    read.shutdown = global.shutdown_script.as_ref().and_then(|entry| scripts.read(reading, entry));
    let routes = !config.instances.is_empty();
    for (fifo, reader, by_vrrp, by_lvs) in [
        (&global.notify_fifo, &global.notify_fifo_script, routes, balances),
        (&global.vrrp_notify_fifo, &global.vrrp_notify_fifo_script, routes, false),
        (&global.lvs_notify_fifo, &global.lvs_notify_fifo_script, false, balances),
    ] {
        let is_started = by_vrrp || by_lvs;
        if let Some(entry) = fifo
            && scripts.policy.lacks_user(reading, entry.value.owner.as_ref())
        {
            let place = reading.sources.word_at(entry.at);
            reading.diagnostics.push(no_user(place, "this FIFO has no user to belong to"));
        }
        // That it has no user is seen whether it is started or not.
        let looks =
            |entry: &&At<Script>| is_started || scripts.policy.lacks_user(reading, entry.value.user.named());
        let script = reader.as_ref().filter(looks).and_then(|entry| scripts.read_reader(reading, entry));
        let Some(entry) = fifo.as_ref() else { continue };
        let Fifo { path, owner } = &entry.value;
        // Without a user it is nobody's, which has been said.
        if scripts.policy.lacks_user(reading, owner.as_ref()) {
            continue;
        }
        let own = || owner.clone().map(ScriptUser::Named);
        let owner = own().unwrap_or_else(|| scripts.policy.script_user(reading));
        // Of two keywords with one path the first counts in each worker.
        let config = FifoConfig { path: path.clone(), owner, script, shared: false };
        for (list, writes) in [(&mut read.fifos, by_vrrp), (&mut read.balancer_fifos, by_lvs)] {
            if writes && !list.iter().any(|other| other.path == *path) {
                list.push(config.clone());
            }
        }
    }
    for fifo in &mut read.fifos {
        if let Some(other) = read.balancer_fifos.iter_mut().find(|other| other.path == fifo.path) {
            (fifo.shared, other.shared) = (true, true);
            // As in keepalived one of the two processes runs the script: that of virtual servers for `notify_fifo`.
            match fifo.script == other.script {
                true => fifo.script = None,
                false => other.script = None,
            }
        }
    }
    read
}

/// keepalived wants script security to be switched on where scripts run.
pub(super) fn report_security(reading: &Reading<'_>, config: &Config, scripts: &Scripts) {
    let enabled = config.global.as_ref().is_some_and(|global| global.enable_script_security.is_some());
    let tracked = scripts.first_tracked.filter(|_| !config.instances.is_empty());
    let Some(first) = scripts.first.into_iter().chain(tracked).min() else { return };
    if !enabled {
        reading.diagnostics.push(
            Diagnostic::error("script-security", "scripts are run without enable_script_security")
                .status(Status::Security)
                .at(reading.sources.word_at(first))
                .label("the first script")
                .note("a script that others than root can change would give them root's rights")
                .help("write enable_script_security in global_defs"),
        );
    }
}

/// Whether the host knows the user of a script and its group.
fn known_user(reading: &Reading<'_>, user: &NamedUser, at: Position) -> Result<(), Fault> {
    let reject = |code: &'static str, message: String| {
        Fault(
            Diagnostic::error(code, message)
                .at(reading.sources.word_at(at))
                .note("the script is not run")
                .help("quote the command and its arguments: words after the command are user and group"),
        )
    };
    let NamedUser { user, group, .. } = user;
    if reading.host.user(user) == Some(Lookup::Missing) && user.parse::<u32>().is_err() {
        return Err(reject("no-such-user", format!("there is no user `{user}`")));
    }
    if let Some(group) = group
        && reading.host.group(group) == Some(Lookup::Missing)
        && group.parse::<u32>().is_err()
    {
        return Err(reject("no-such-group", format!("there is no group `{group}`")));
    }
    Ok(())
}
