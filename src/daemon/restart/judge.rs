//! Judging the program on the disk and the configuration in the files before anything is given up: a child executes that
//! program, which reads the configuration as a reload would, and says who it is.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};

use serde::{Deserialize, Serialize};

use super::super::child::Child;
use super::super::configuration::{self, Configuration, Tolerance};
use super::super::files::PidPaths;
use super::super::options::Options;
use super::super::seat;
use super::super::shared_text::SharedText;
use super::super::supervisor::wants_lvs;
use super::{FORMAT, JUDGE, Origin, VARIABLE};
use crate::sys::clock;
use crate::sys::process::{self, Ended, Fork};
use crate::sys::{exec, signals};
use crate::time::Duration;

/// How long a program may take for its verdict.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most that is read of what it says, in bytes, and passed on, in lines.
const OUTPUT_BYTES: u64 = 64 * 1024;
const OUTPUT_LINES: usize = 50;

/// How the line begins by which a program says who it is.
const MARK: &str = "alived-restart ";

/// What a program says of itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(in crate::daemon) struct Testimony {
    pub(in crate::daemon) version: String,
    /// The forms of an estate that it understands.
    formats: BTreeSet<u32>,
    /// Where its pid files would be.
    pid_files: [String; 3],
    /// The network namespace that it would work in.
    namespace: Option<String>,
}

impl Testimony {
    fn of(options: &Options, configuration: &Configuration) -> Self {
        let PidPaths { supervisor, vrrp, lvs } = PidPaths::new(options, &configuration.settings);
        let namespace = options.namespace.as_ref().or(configuration.settings.namespace.as_ref());
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            formats: [FORMAT].into(),
            pid_files: [supervisor, vrrp, lvs].map(|path| path.display().to_string()),
            namespace: namespace.cloned(),
        }
    }

    /// Why nobody who says this can go on for a daemon with these files.
    fn objection(&self, options: &Options, paths: &PidPaths) -> Option<String> {
        if !self.formats.contains(&FORMAT) {
            let version = &self.version;
            return Some(format!(
                "version {version} cannot go on for this one; stop and start the daemon instead"
            ));
        }
        let PidPaths { supervisor, vrrp, lvs } = paths;
        let own = [supervisor, vrrp, lvs].map(|path| path.display().to_string());
        if self.pid_files != own || self.namespace != options.namespace {
            return Some(
                "the configuration moves the daemon to other pid files or another network namespace; stop and start it \
                 instead"
                    .to_owned(),
            );
        }
        None
    }
}

/// The child that judges.
#[derive(Debug)]
pub(in crate::daemon) struct Judging {
    pub(in crate::daemon) child: Child,
    output: File,
}

impl Judging {
    /// Has the program judged. `kept`: the configuration in force.
    pub(in crate::daemon) fn begin(
        options: &Options,
        origin: &Origin,
        kept: &SharedText,
    ) -> io::Result<Self> {
        let output = process::memory_file("alived-judge")?;
        let mut child = Child::new("judging process");
        match process::fork()? {
            Fork::Child => {
                let error = execute(options, origin, kept, &output);
                // It is the file that is read.
                let _ = (&output)
                    .write_all(format!("cannot execute {}: {error}\n", origin.program.display()).as_bytes());
                std::process::exit(126)
            }
            Fork::Parent(pid) => {
                let now = clock::now().instant;
                child.started(pid, now);
                child.kill_at(now + PATIENCE);
            }
        }
        Ok(Self { child, output })
    }

    /// The child has ended: who may follow, or why nobody does.
    pub(in crate::daemon) fn conclude(
        mut self,
        ended: Ended,
        options: &Options,
        paths: &PidPaths,
    ) -> Result<Testimony, (String, Vec<String>)> {
        let mut bytes = Vec::new();
        let read = self.output.rewind().and_then(|()| self.output.take(OUTPUT_BYTES).read_to_end(&mut bytes));
        let text = String::from_utf8_lossy(&bytes);
        let testimony =
            text.lines().rev().find_map(|line| serde_json::from_str(line.strip_prefix(MARK)?).ok());
        let lines = || {
            let said = text.lines().filter(|line| !line.starts_with(MARK) && !line.trim().is_empty());
            said.take(OUTPUT_LINES).map(str::to_owned).collect::<Vec<_>>()
        };
        match (read, ended, testimony) {
            (Err(error), ..) => Err((format!("its verdict cannot be read: {error}"), Vec::new())),
            (_, Ended::Exited(0), Some(testimony)) => {
                let testimony: Testimony = testimony;
                match testimony.objection(options, paths) {
                    None => Ok(testimony),
                    Some(why) => Err((why, lines())),
                }
            }
            (_, Ended::Exited(0), None) => {
                Err(("the program on the disk is none that can go on for this one".to_owned(), lines()))
            }
            (_, Ended::Exited(status), None) if status == i32::from(super::super::status::CONFIGURATION) => {
                Err(("the configuration is not good".to_owned(), lines()))
            }
            (_, ended, _) => {
                let how = seat::words(ended);
                Err((
                    format!("the program on the disk cannot be used: judging the configuration, it {how}"),
                    lines(),
                ))
            }
        }
    }
}

/// Comes back only with an error.
fn execute(options: &Options, origin: &Origin, kept: &SharedText, output: &File) -> io::Error {
    let prepared = || {
        let numbers = kept.hand_on(true)?;
        exec::write_into(output)?;
        process::return_home()?;
        process::restore_descriptor_limit();
        signals::unblock_all();
        std::env::set_current_dir(&origin.folder)?;
        Ok::<_, io::Error>(numbers)
    };
    match prepared() {
        Ok([first, second, current]) => {
            // Whatever stands in its place, so asked it judges a configuration and does nothing.
            let words: Vec<_> =
                options.command_line.iter().cloned().chain(["--config-test".into()]).collect();
            exec::replace(
                &origin.program,
                &words,
                &[(VARIABLE, format!("{JUDGE} {first},{second},{current}"))],
            )
        }
        Err(error) => error,
    }
}

/// In the child: judges the configuration that the options name, and gives the exit status.
pub(in crate::daemon) fn judge(mut options: Options, kept: Option<&SharedText>) -> u8 {
    let status = super::super::namespace_of(&mut options).and_then(|()| {
        let before = kept.and_then(|kept| configuration::load_kept(&options, &kept.read().ok()?).ok());
        let none = BTreeSet::new();
        let known = before.as_ref().map_or(&none, |before| &before.faults);
        let configuration = configuration::load(&options, Tolerance::Strict(known)).map_err(|refusal| {
            for line in &refusal.lines {
                let _ = writeln!(io::stderr(), "{line}");
            }
            refusal.status
        })?;
        if let Some(before) = &before
            && let Some(what) = emptied(&options, before, &configuration)
        {
            let _ = writeln!(
                io::stderr(),
                "the configuration has no {what} any more, and would stop all that run; if that is wanted, reload it \
                 (allow-empty under [reload] in alived.toml)"
            );
            return Err(super::super::status::CONFIGURATION);
        }
        let testimony = serde_json::to_string(&Testimony::of(&options, &configuration)).unwrap_or_default();
        let _ = writeln!(io::stdout(), "{MARK}{testimony}");
        Ok(())
    });
    status.err().unwrap_or_default()
}

/// What a configuration has none of though the one in force has.
fn emptied(options: &Options, before: &Configuration, now: &Configuration) -> Option<&'static str> {
    if now.settings.reload.allow_empty {
        return None;
    }
    let routers = options.vrrp && !before.node.routers.is_empty() && now.node.routers.is_empty();
    let has_servers = |configuration: &Configuration| !configuration.balancer.virtual_servers.is_empty();
    let servers = wants_lvs(options, true) && has_servers(before) && !has_servers(now);
    match (routers, servers) {
        (true, _) => Some("virtual router"),
        (_, true) => Some("virtual server"),
        _ => None,
    }
}
