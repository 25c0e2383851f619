//! The daemon: processes, threads, loops.
//!
//! ```text
//! supervisor (one thread)   pid files, signals passed on, a new worker when one dies
//!   worker
//!     main     start, signals, reload, dumps          may take its time
//!     vrrp     HaNode, sockets, timer, monitor        never waits; SCHED_FIFO where allowed
//!     kernel   address writes, joins, whole views     waits for the kernel in the vrrp thread's place
//!     log      writes what all threads log            waits for disks in everybody's place
//!   runner     starts scripts as their users           when the worker first needs one
//!   web        metrics over HTTP                       an unprivileged user; only where an address is set
//! ```

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod acceptance;
mod background;
pub mod checks;
mod child;
mod configuration;
mod confinement;
mod control;
mod core_pattern;
mod descriptors;
mod door;
mod dumps;
mod errand;
mod events;
mod fifos;
mod files;
mod filter;
mod guardian;
mod handover;
mod hooks;
mod host;
mod host_with_text;
mod interface_settings;
mod ipvs_module;
mod kernel_thread;
mod left_filters;
mod leftovers;
mod local_reports;
mod log;
mod lvs_worker;
mod mail;
mod mailbox;
mod maintenance;
mod memory;
mod options;
mod plan;
mod polled_links;
mod progress;
mod receive_pace;
mod record;
mod recorder;
mod rehearsal;
mod reload_files;
mod reload_schedule;
mod respawn;
mod restart;
pub mod runner;
mod scheduling;
mod seat;
mod send_failures;
mod service_manager;
mod service_record;
mod shared_text;
mod stamps;
mod status;
mod supervisor;
mod switch_overs;
mod sync_daemons;
mod tally;
mod tracked_files;
mod tracked_processes;
mod tracked_scripts;
mod transitions;
mod virtual_links;
mod vrrp_thread;
mod watchdog;
mod web;
mod worker;
mod worker_start;

pub(crate) use files::append;
pub use files::default_log_file;
pub use host::RealHost;
pub use log::LogFormat;
pub use options::{DEFAULT_CONFIGURATION, LogOptions, Options};

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread::JoinHandle;

use tracing::dispatcher;

use self::configuration::{Configuration, Tolerance};
use self::files::PidPaths;
use self::log::{Levels, Logger};
use self::restart::{Origin, TakenOver};
use self::runner::Runner;
use self::seat::Part;
use self::service_manager::ServiceManager;
use self::status::{FATAL, PERMISSION};
use self::supervisor::{Outset, PidFiles, WorkerMain};
use self::worker_start::Inheritance;
use crate::sys::pidfile::{PidFile, PidFileError};
use crate::sys::process;
use crate::sys::process_events::ProcessSocket;
use crate::sys::signals::{self, Signal, SignalQueue};

/// Identity of the supervisor in the system log.
const IDENTITY: &str = "Keepalived";

/// keepalived's mask for files that are created: for their owner alone.
const UMASK: u32 = 0o177;

/// How often, and how long each time, a start waits for the end of a worker whose supervisor is dead.
const ORPHAN_WAITS: (u32, std::time::Duration) = (150, std::time::Duration::from_millis(20));

/// The stack of a thread, of which only what is used costs memory.
const STACK_BYTES: usize = 512 * 1024;

/// Runs the daemon as the options say, and gives the exit status of the process it was called in.
///
/// To be called in a process with one thread.
pub fn run(options: &Options) -> ExitCode {
    run_with(options, &run_worker, None)
}

fn run_worker(options: &Options, inheritance: Inheritance) -> u8 {
    match inheritance.part {
        Part::Vrrp => worker::run(options, inheritance),
        Part::Lvs => lvs_worker::run(options, inheritance),
    }
}

/// The same, but with a worker that only has runners, which a test wants to steer.
pub fn run_with_worker(options: &Options, worker: fn(Runner) -> u8) -> ExitCode {
    let run_worker = |_: &Options, inheritance: Inheritance| {
        let mut pid_file = inheritance.pid_file;
        let started = pid_file.write(process::own_pid()).and_then(|()| Runner::new(inheritance.runners));
        started.map_or(FATAL, worker)
    };
    run_with(options, &run_worker, None)
}

/// What the calling process is there for, if another one has executed it for more than a start.
pub struct Errand(restart::Errand);

/// Looks for an errand, once. To be called in a process with one thread.
///
/// # Errors
/// In words, when the environment is not understood.
pub fn errand() -> Result<Option<Errand>, String> {
    restart::errand().transpose().map(|errand| errand.map(Errand))
}

/// Judges this program and the configuration for the daemon that has executed it, and gives the exit status; `None` if
/// it was executed for something else.
pub fn judge(options: &Options, errand: &Errand) -> Option<ExitCode> {
    match &errand.0 {
        restart::Errand::Judge(kept) => Some(ExitCode::from(restart::judge(options.clone(), kept.as_ref()))),
        restart::Errand::GoOn(_) => None,
    }
}

/// Goes on for the daemon that has executed this program in its place, as the options say.
pub fn go_on(options: &Options, errand: Errand) -> ExitCode {
    match errand.0 {
        restart::Errand::GoOn(taken) => run_with(options, &run_worker, Some(taken)),
        restart::Errand::Judge(_) => ExitCode::from(FATAL),
    }
}

fn run_with(options: &Options, worker_main: WorkerMain<'_>, taken_over: Option<Box<TakenOver>>) -> ExitCode {
    // What is asked for during the start is done after it; only a stop cannot wait.
    let mut signals = Signal::ALL.to_vec();
    let stops = stops(options);
    signals.retain(|signal| *signal != Signal::Child && !stops.contains(signal));
    signals::hold_back(&signals);
    process::fill_standard_streams();
    let mut options = options.clone();
    // Before the network namespace may change.
    let manager = ServiceManager::from_environment().unwrap_or_else(|error| {
        options.warnings.push(format!("the service manager (NOTIFY_SOCKET) cannot be told: {error}"));
        ServiceManager::default()
    });
    // In the first one the kernel tells of processes. Without it trackers look for them.
    let process_socket = ProcessSocket::open().ok();
    let origin = match &taken_over {
        Some(taken) => taken.estate.origin.clone(),
        None => Origin::of(options.command_line.first()),
    };
    ExitCode::from(match prepare(options, taken_over.as_deref()) {
        Ok(Prepared { options, configuration, pid_files }) => {
            let outset = Outset { configuration, pid_files, process_socket, manager, origin, taken_over };
            // Who goes on is in the background already.
            if options.background && outset.taken_over.is_none() {
                background::run(&options, worker_main, outset)
            } else {
                if options.background {
                    let _ = std::env::set_current_dir("/");
                }
                with_log(&options, outset, |outset| supervisor::run(&options, worker_main, outset, None))
            }
        }
        Err(Ending::Failed { status, text }) => {
            let _ = io::stderr().write_all(text.as_bytes());
            manager.refused(&text);
            status
        }
        Err(Ending::Stopped(signal)) => signals::end_by(signal),
    })
}

struct Prepared {
    options: Options,
    configuration: Configuration,
    pid_files: PidFiles,
}

/// Why there is nothing to run.
enum Ending {
    /// Something is wrong.
    Failed { status: u8, text: String },
    /// It was told to stop.
    Stopped(Signal),
}

impl Ending {
    fn new(status: u8, text: &str) -> Self {
        Self::Failed { status, text: format!("alived: {text}\n") }
    }
}

/// Everything that can go wrong before the first fork.
fn prepare(mut options: Options, taken_over: Option<&TakenOver>) -> Result<Prepared, Ending> {
    // The working folder changes; a reload shall find the same files.
    for path in [Some(&mut options.configuration), options.settings.as_mut(), options.log.file.as_mut()]
        .into_iter()
        .flatten()
    {
        if let Ok(absolute) = std::path::absolute(&path) {
            *path = absolute;
        }
    }
    process::set_umask(options.umask.unwrap_or(UMASK));
    process::raise_descriptor_limit();
    if options.core_dump {
        process::allow_core_dump();
    }
    if let Some(name) = &options.namespace {
        enter_namespace(name)?;
    }
    let mut configuration = load(&options, taken_over)?;
    if options.namespace.is_none()
        && let Some(name) = configuration.settings.namespace.clone()
    {
        // Read again, because the interfaces it is checked against are others there.
        enter_namespace(&name)?;
        options.namespace = Some(name);
        configuration = load(&options, taken_over)?;
    }
    if let (None, Some(mask)) = (options.umask, configuration.settings.umask) {
        process::set_umask(mask);
    }
    let paths = PidPaths::new(&options, &configuration.settings);
    let balances = !configuration.balancer.virtual_servers.is_empty();
    let lvs = supervisor::wants_lvs(&options, balances);
    let pid_files = match taken_over {
        Some(taken) => adopt_all(paths, taken)?,
        None => lock_all(paths, options.vrrp, lvs, stops(&options))?,
    };
    Ok(Prepared { options, configuration, pid_files })
}

/// The signals that end the daemon.
fn stops(options: &Options) -> &'static [Signal] {
    if options.ignore_interrupt { &[Signal::Stop] } else { &[Signal::Stop, Signal::Interrupt] }
}

/// For who judges: goes where the configuration says that the daemon works.
fn namespace_of(options: &mut Options) -> Result<(), u8> {
    let enter = |name: &str| {
        enter_namespace(name).map_err(|ending| match ending {
            Ending::Failed { status, text } => {
                let _ = io::stderr().write_all(text.as_bytes());
                status
            }
            Ending::Stopped(_) => FATAL,
        })
    };
    if let Some(name) = &options.namespace {
        return enter(name);
    }
    // What is wrong with it is said when it is read once more.
    let named = configuration::load(options, Tolerance::Lenient).ok().and_then(|of| of.settings.namespace);
    if let Some(name) = named {
        enter(&name)?;
        options.namespace = Some(name);
    }
    Ok(())
}

/// The pid files of the program before, which are locked.
fn adopt_all(paths: PidPaths, taken: &TakenOver) -> Result<PidFiles, Ending> {
    let adopted = taken.pid_files(&paths);
    let moved = || Ending::new(FATAL, "cannot go on: the pid files are elsewhere now, or were replaced");
    let (supervisor, vrrp, lvs) = adopted.ok_or_else(moved)?;
    Ok(PidFiles { supervisor, vrrp, lvs, paths })
}

/// What is in the files. Who goes on for another program does so in any case: what was judged good a moment ago may have
/// been changed since.
fn load(options: &Options, taken_over: Option<&TakenOver>) -> Result<Configuration, Ending> {
    let read = configuration::load(options, Tolerance::Lenient);
    let kept = taken_over.filter(|_| read.is_err()).and_then(|taken| taken.kept.read().ok());
    if let Some(kept) = kept
        && let Ok(mut before) = configuration::load_kept(options, &kept)
    {
        before.warnings.push(
            "the configuration is not good any more: going on with the one before; correct the file and reload"
                .to_owned(),
        );
        return Ok(before);
    }
    read.map_err(|refusal| Ending::Failed { status: refusal.status, text: refusal.rendered })
}

fn enter_namespace(name: &str) -> Result<(), Ending> {
    process::enter_namespace(name).map_err(|error| {
        let status = if error.kind() == io::ErrorKind::PermissionDenied { PERMISSION } else { FATAL };
        Ending::new(
            status,
            &format!(
                "cannot enter the network namespace '{name}': {error}; see `ip netns` for those there are"
            ),
        )
    })
}

/// Locks the pid files. From here on a stop has something to tidy up and no longer just ends the process.
fn lock_all(paths: PidPaths, vrrp: bool, lvs: bool, stops: &[Signal]) -> Result<PidFiles, Ending> {
    let stops = SignalQueue::open_for(stops)
        .map_err(|error| Ending::new(FATAL, &format!("cannot wait for signals: {error}")))?;
    let supervisor = lock(&paths.supervisor, "-p", &stops)?;
    let mut files = PidFiles { supervisor, vrrp: None, lvs: None, paths };
    for (wanted, flag) in [(vrrp, "-r"), (lvs, "-c")] {
        let PidFiles { vrrp, lvs, paths, .. } = &mut files;
        let (file, path) = if flag == "-r" { (vrrp, &paths.vrrp) } else { (lvs, &paths.lvs) };
        match wanted.then(|| lock(path, flag, &stops)).transpose() {
            Ok(locked) => *file = locked,
            Err(ending) => {
                files.remove();
                return Err(ending);
            }
        }
    }
    Ok(files)
}

/// The same for a worker that a reload has started. In words why not.
fn lock_later(path: &std::path::Path) -> Result<PidFile, String> {
    PidFile::lock(path).map_err(|error| {
        let why = match error {
            PidFileError::Locked => "another process holds it".to_owned(),
            PidFileError::InTheWay(what) => format!("there is {what}"),
            PidFileError::Io(error) => error.to_string(),
        };
        format!("cannot use the pid file {}: {why}", path.display())
    })
}

fn lock(path: &std::path::Path, flag: &str, stops: &SignalQueue) -> Result<PidFile, Ending> {
    let mut locked = PidFile::lock(path);
    // Of a supervisor that was killed the worker may still be about to end, and keeps the lock until then.
    let (mut waits, pause) = ORPHAN_WAITS;
    while waits > 0 && matches!(locked, Err(PidFileError::Locked)) && !PidFile::writer_lives(path) {
        if let Some(signal) = stops.wait(Some(pause)) {
            return Err(Ending::Stopped(signal));
        }
        locked = PidFile::lock(path);
        waits -= 1;
    }
    locked.map_err(|error| match error {
        PidFileError::Locked if !PidFile::writer_lives(path) => Ending::new(
            FATAL,
            &format!(
                "a worker without its supervisor still holds the pid file {}; kill it and start again",
                path.display()
            ),
        ),
        PidFileError::Locked => {
            Ending::new(0, &format!("daemon is already running (pid file {})", path.display()))
        }
        PidFileError::InTheWay(what) => Ending::new(
            FATAL,
            &format!(
                "cannot use the pid file {}: there is {what}; remove it or choose another with {flag}",
                path.display()
            ),
        ),
        PidFileError::Io(error) => {
            let status = if error.kind() == io::ErrorKind::PermissionDenied { PERMISSION } else { FATAL };
            let why = match error.raw_os_error() {
                Some(libc::ELOOP) => "it is a symbolic link, which is not followed; remove it or".to_owned(),
                Some(libc::EISDIR) => "it is a folder; remove it or".to_owned(),
                Some(libc::EACCES) => format!("{error}; run as root or"),
                _ => format!("{error};"),
            };
            let path = path.display();
            Ending::new(
                status,
                &format!("cannot write the pid file {path}: {why} choose another with {flag}"),
            )
        }
    })
}

/// Has the calling process log as the supervisor, begins with keepalived's first lines, and runs.
fn with_log<T>(options: &Options, outset: Outset, run: impl FnOnce(Outset) -> T) -> T {
    let settings = &outset.configuration.settings;
    let logger = Logger::new(&options.log, configuration::log_identity(settings, IDENTITY, options), "");
    dispatcher::with_default(&logger.direct(&mut Levels::default()), || {
        announce(options, &outset.configuration);
        if let Some(fault) = logger.fault() {
            tracing::warn!("{fault}");
        }
        run(outset)
    })
}

fn announce(options: &Options, configuration: &Configuration) {
    let words: Vec<String> =
        options.command_line.iter().map(|word| format!("'{}'", word.display())).collect();
    let settings = options.settings_path();
    for line in [
        Some(format!("Starting alived v{}", env!("CARGO_PKG_VERSION"))),
        Some(format!("Running on Linux {}", process::kernel_release())),
        Some(format!("Command line: {}", words.join(" "))),
        Some(format!("Configuration file {}", options.configuration.display())),
        settings.exists().then(|| format!("Settings file {}", settings.display())),
    ]
    .into_iter()
    .flatten()
    {
        tracing::info!("{line}");
    }
    for line in configuration.dump.iter().flat_map(|dump| dump.lines()) {
        tracing::info!("{line}");
    }
}

/// Starts a thread of the worker, whose events go where those of the calling one go.
fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let events = dispatcher::get_default(Clone::clone);
    std::thread::Builder::new()
        .name(format!("alived-{name}"))
        .stack_size(STACK_BYTES)
        .spawn(move || dispatcher::with_default(&events, run))
}
