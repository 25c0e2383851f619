//! The log: lines that operators of keepalived know, and for programs the values in them.
//!
//! ```text
//! vrrp thread ──Entry──────────▶ queue ──▶ log thread ──event──▶ levels ──▶ standard error, file, system log
//! other threads ──event─▶ levels ──▲
//! supervisor, runner ──event──▶ levels ──▶ standard error, file, system log
//! ```
//!
//! Everybody speaks through `tracing`, but for the vrrp thread, which may not even format a line: it hands over data.
//! In the worker, the sinks are layers of the log thread's subscriber, and the other threads' subscriber has the queue as
//! its only layer. Processes of one thread write themselves, and no sink is waited for longer than a moment.

mod console;
mod entry;
mod file;
mod form;
mod ground;
mod levels;
mod queue;
mod record;
mod sink;
mod system;

pub(super) use self::entry::Entry;
pub use self::form::LogFormat;
pub(super) use self::levels::Levels;
pub(super) use self::queue::{Log, LogThread};

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{Dispatch, Level};
use tracing_subscriber::layer::SubscriberExt;

use self::console::Console;
use self::file::LogFile;
use self::form::Identity;
use self::ground::Ground;
use self::levels::Filter;
use self::record::Record;
use self::sink::Sink;
use super::options::LogOptions;
use crate::sys::process;

/// What a process needs to log: where its lines go and what they are headed with.
#[derive(Clone, Debug)]
pub(super) struct Logger {
    options: LogOptions,
    identity: Identity,
    /// The process's own log file.
    file: Option<PathBuf>,
    starting: Arc<AtomicBool>,
}

impl Logger {
    /// Of the calling process, which has the name `identity` in the system log and `suffix` in the name of its file.
    pub(super) fn new(options: &LogOptions, identity: String, suffix: &str) -> Self {
        Self {
            options: options.clone(),
            identity: Identity { name: identity, pid: process::own_pid() },
            file: options.file.as_ref().map(|path| file::path_for(path, suffix)),
            starting: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Where events go that the calling thread itself writes.
    pub(super) fn direct(&self, levels: &mut Levels) -> Dispatch {
        self.dispatch(levels.filter())
    }

    /// Starts the log's thread, and gives where the events of the other threads go.
    pub(super) fn queued(&self, levels: &mut Levels) -> io::Result<(Dispatch, Log, LogThread)> {
        let (log, thread) = Log::start(self.direct(levels))?;
        Ok((log.dispatch(levels.filter()), log, thread))
    }

    /// Writes one line at once, whatever the threads of the process do: it is about to end.
    pub(super) fn last_words(&self, text: String) {
        let record = Record::new(Level::ERROR, text);
        self.sinks().iter().for_each(|sink| sink.write(&record));
    }

    /// The daemon serves: from now on standard error gets what it is to get always.
    pub(super) fn started(&self) {
        self.starting.store(false, Ordering::Relaxed);
    }

    /// Why the log file cannot be used, if that is so.
    pub(super) fn fault(&self) -> Option<String> {
        let path = self.file.as_ref()?;
        let error = file::open(path).err()?;
        Some(format!("cannot log to {}: {error}", path.display()))
    }

    fn dispatch(&self, filter: Filter) -> Dispatch {
        Dispatch::new(Ground.with(filter).with(self.sinks()))
    }

    fn sinks(&self) -> Vec<Sink> {
        let Self { options, identity, file, starting } = self;
        let mut sinks = vec![Sink::new(Console {
            all: options.console,
            format: options.format,
            identity: identity.clone(),
            starting: Arc::clone(starting),
        })];
        sinks.extend(file.as_ref().map(|path| {
            let (path, identity) = (path.clone(), identity.clone());
            Sink::new(LogFile { path, format: options.format, identity, file: None })
        }));
        sinks.extend(options.syslog.then(|| system::system_log(options.facility, identity.clone())));
        sinks
    }
}
