//! How a worker begins: its log, its name, the rights that it keeps, the configuration that the one before ran with.

use std::fs::File;
use std::io;
use std::path::Path;

use caps::Capability;
use tracing::dispatcher;

use super::configuration::{self, Configuration, ProcessSettings, Settings};
use super::confinement::Confinement;
use super::door::Door;
use super::handover::Handover;
use super::leftovers::Leftovers;
use super::log::{Levels, Log, Logger};
use super::options::Options;
use super::runner::{Runner, Supply};
use super::seat::Part;
use super::shared_text::SharedText;
use super::status::FATAL;
use super::watchdog::Pulse;
use crate::config::Scripts;
use crate::sys::capabilities;
use crate::sys::channel::Channel;
use crate::sys::pidfile::PidFile;
use crate::sys::process;
use crate::sys::process_events::ProcessSocket;
use crate::sys::signals::SignalQueue;
use crate::time::Instant;

/// What a worker gets from the supervisor.
#[derive(Debug)]
pub(super) struct Inheritance {
    /// Which worker it is.
    pub(super) part: Part,
    /// It reads the configuration, and has the other one follow.
    pub(super) leads: bool,
    /// The configuration, for the first worker of a program; later ones run what is kept.
    pub(super) configuration: Option<Configuration>,
    /// It is the first one in the daemon's life, and knows of nothing before it.
    pub(super) is_first: bool,
    /// The settings that the supervisor was started with.
    pub(super) settings: Settings,
    /// The locked pid file to write into.
    pub(super) pid_file: PidFile,
    /// Where to list the addresses.
    pub(super) leftovers: Leftovers,
    /// What the worker before has left undone, and where this one says what it has done.
    pub(super) handover: Handover,
    /// When the last vrrp worker that served died, if one did.
    pub(super) silent_since: Option<Instant>,
    /// Where to keep what the daemon runs with.
    pub(super) kept: SharedText,
    /// Where to say that the daemon serves; only for the first worker of a background start.
    pub(super) readiness: Option<File>,
    /// Where runners come from.
    pub(super) runners: Supply,
    /// Where the kernel may tell of processes.
    pub(super) process_socket: Option<ProcessSocket>,
    /// Where to tell how far the worker is, if somebody wants to know.
    pub(super) progress: Option<Channel>,
    /// Where the vrrp thread is asked whether it goes on, if somebody wants to know.
    pub(super) pulse: Option<Pulse>,
    /// Where the web process comes in, if there is to be one.
    pub(super) door: Option<Door>,
}

/// Who a worker is to others, and what it may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    /// In the system log.
    pub(super) log: &'static str,
    /// In the names of its log files.
    pub(super) suffix: &'static str,
    /// Of root's rights.
    pub(super) kept: &'static [Capability],
}

/// A log that is open, and what there is before there is another thread.
pub(super) struct Begun {
    /// It is the first one in the daemon's life.
    pub(super) is_first: bool,
    /// To run with.
    pub(super) configuration: Configuration,
    pub(super) confinement: Confinement,
    pub(super) log: Log,
    pub(super) logger: Logger,
    pub(super) levels: Levels,
    pub(super) signals: SignalQueue,
}

/// Begins a worker in the calling process, and gives its exit status.
pub(super) fn run(
    options: &Options,
    mut inheritance: Inheritance,
    process: fn(&Settings) -> &ProcessSettings,
    identity: Identity,
    serve: impl FnOnce(Inheritance, Begun) -> Result<u8, (u8, String)>,
) -> u8 {
    let logger = Logger::new(
        &options.log,
        configuration::log_identity(&inheritance.settings, identity.log, options),
        identity.suffix,
    );
    let mut levels = Levels::default();
    end_on_panic(&logger);
    let is_first = inheritance.is_first;
    let prepared = dispatcher::with_default(&logger.direct(&mut levels), || {
        let mut begun = || {
            name(process(&inheritance.settings), &logger);
            let configuration = match inheritance.configuration.take() {
                Some(configuration) => configuration,
                None => load_kept(options, &inheritance.kept)?,
            };
            let confinement = confine(options, &configuration, inheritance.pid_file.path(), identity.kept);
            let started = SignalQueue::open().and_then(|signals| Ok((signals, logger.queued(&mut levels)?)));
            Ok((configuration, confinement, started.map_err(|error| fatal(&error))?))
        };
        begun().map_err(|(status, text)| {
            tracing::error!("{text}");
            status
        })
    });
    let (configuration, confinement, (signals, (events, log, log_thread))) = match prepared {
        Ok(prepared) => prepared,
        Err(status) => return status,
    };
    let status = dispatcher::with_default(&events, || {
        let begun = Begun { is_first, configuration, confinement, log, logger, levels, signals };
        serve(inheritance, begun).unwrap_or_else(|(status, text)| {
            tracing::error!("{text}");
            status
        })
    });
    log_thread.finish();
    status
}

fn name(process: &ProcessSettings, logger: &Logger) {
    if let Some(name) = &process.name {
        process::name_thread(name);
    }
    if let Some(fault) = logger.fault() {
        tracing::warn!("{fault}");
    }
}

/// Gives up what is never done, before there is another thread, because each has rights of its own.
fn confine(
    options: &Options,
    configuration: &Configuration,
    pid_file: &Path,
    kept: &[Capability],
) -> Confinement {
    if let Err(error) = capabilities::keep_only(kept) {
        tracing::warn!("cannot give up rights that are not needed: {error}");
    }
    Confinement::enter(options, configuration, pid_file)
}

/// A panic in any thread ends the worker: half of it would be worse than the next one.
fn end_on_panic(logger: &Logger) {
    let logger = logger.clone();
    std::panic::set_hook(Box::new(move |panic| {
        logger.last_words(format!("internal error, ending this process: {panic}").replace('\n', " "));
        std::process::abort();
    }));
}

/// For a worker that replaces another, or follows one: what is in the files now nobody has asked for yet.
pub(super) fn load_kept(options: &Options, kept: &SharedText) -> Result<Configuration, (u8, String)> {
    let kept = kept.read().map_err(|error| fatal(&error))?;
    let configuration = configuration::load_kept(options, &kept).map_err(|refusal| {
        let why = refusal.lines.join("; ");
        (refusal.status, format!("cannot run with the configuration of the worker before: {why}"))
    })?;
    // What was wrong with the files was said when they were read.
    Ok(Configuration { warnings: Vec::new(), ..configuration })
}

/// `[scripts]` of alived.toml.
pub(super) fn apply_to_runner(scripts: Scripts, runner: &mut Runner) {
    runner.set_limit(scripts.at_once);
    if scripts.prepare {
        runner.prepare();
    }
}

/// A worker cannot start.
pub(super) fn fatal(error: &io::Error) -> (u8, String) {
    (FATAL, format!("cannot start: {error}"))
}
