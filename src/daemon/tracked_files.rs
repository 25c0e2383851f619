//! Tracked files: a thread of their own follows and reads them, so that nothing else waits for a disk, and tells the
//! vrrp thread their numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mailbox::Mailbox;
use super::spawn;
use crate::sys::clock;
use crate::sys::path_watch::{Obstacle, PathWatch, read_start, write_start};
use crate::sys::poll::Poller;
use crate::time::{Duration, Instant};
use crate::track::{FileReading, FileTracker, TrackConfig, Tracker, leading_number};

/// More than any number needs.
const FILE_BYTES: u64 = 4096;

/// Pause after files were read: whoever writes without end costs a hundred readings a second, and the vrrp thread as
/// many changes.
const PAUSE: Duration = Duration::from_millis(10);

/// How long until a file is looked for again that could not be followed.
const RETRY: Duration = Duration::from_secs(1);

const INBOX: u64 = 0;
const WATCH: u64 = 1;

/// What is in a file.
#[derive(Debug)]
pub(super) struct FileNews {
    /// Name of its tracker.
    pub(super) name: Arc<str>,
    pub(super) reading: FileReading,
}

/// Those that instances and groups depend on.
pub(super) fn of_routers(config: &TrackConfig) -> Vec<FileTracker> {
    let tracked = |file: &&FileTracker| {
        let tracker = Tracker::File(Arc::clone(&file.name));
        config.references.iter().any(|(_, reference)| reference.tracker == tracker)
    };
    config.files.iter().filter(tracked).cloned().collect()
}

/// The main thread's end.
#[derive(Debug)]
pub(super) struct TrackedFiles<M> {
    told: Mailbox<M>,
    /// Once there is something to follow.
    thread: Option<Mailbox<Vec<FileTracker>>>,
}

impl<M: From<FileNews> + Send + 'static> TrackedFiles<M> {
    /// No file yet; `told` is who hears of them.
    pub(super) const fn new(told: Mailbox<M>) -> Self {
        Self { told, thread: None }
    }

    /// Takes files in place of those before. Of each is told then what is in it.
    pub(super) fn configure(&mut self, files: Vec<FileTracker>) {
        if self.thread.is_none() && !files.is_empty() {
            match start(self.told.clone()) {
                Ok(inbox) => self.thread = Some(inbox),
                Err(error) => {
                    tracing::error!("tracked files cannot be followed and count as failed: {error}");
                    for file in &files {
                        let (name, reading) = (Arc::clone(&file.name), FileReading::Unreadable);
                        self.told.send(FileNews { name, reading }.into());
                    }
                }
            }
        }
        if let Some(thread) = &self.thread {
            thread.send(files);
        }
    }
}

/// `init_file` of every file, at the start of the daemon: it counts from its first reading on.
pub(super) fn initialize(config: &TrackConfig) {
    for FileTracker { name, path, initial, .. } in &config.files {
        let Some(initial) = initial else { continue };
        match write_start(Path::new(&**path), &format!("{}\n", initial.value), initial.overwrite) {
            Ok(_) => {}
            Err(obstacle) => tracing::error!("init_file of track_file {name}: {path} {obstacle}"),
        }
    }
}

fn start<M: From<FileNews> + Send + 'static>(told: Mailbox<M>) -> io::Result<Mailbox<Vec<FileTracker>>> {
    let inbox = Mailbox::new()?;
    let (poller, watch) = (Poller::new()?, PathWatch::new()?);
    poller.add(&inbox, INBOX)?;
    poller.add(&watch, WATCH)?;
    let thread = FileThread {
        inbox: inbox.clone(),
        told,
        poller,
        watch,
        files: Vec::new(),
        retries: BTreeMap::new(),
        complaints: BTreeMap::new(),
    };
    spawn("files", move || thread.run())?;
    Ok(inbox)
}

struct FileThread<M> {
    inbox: Mailbox<Vec<FileTracker>>,
    told: Mailbox<M>,
    poller: Poller,
    watch: PathWatch,
    files: Vec<Followed>,
    /// Files that could not be followed, and when that is tried again.
    retries: BTreeMap<usize, Instant>,
    /// What was said last of each file that something is wrong with.
    complaints: BTreeMap<Arc<str>, String>,
}

struct Followed {
    name: Arc<str>,
    path: PathBuf,
    reading: FileReading,
}

impl<M: From<FileNews> + Send> FileThread<M> {
    fn run(mut self) {
        if let Err(error) = self.serve() {
            tracing::error!("tracked files are not followed any more: {error}");
        }
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            let now = clock::now().instant;
            let timeout = self.retries.values().min().map(|at| at.saturating_since(now) + PAUSE);
            let (mut inbox, mut watch) = (false, false);
            for token in self.poller.wait(timeout)? {
                match token {
                    INBOX => inbox = true,
                    _ => watch = true,
                }
            }
            let mut changed = BTreeSet::new();
            if watch {
                changed = self.watch.changed()?;
            }
            if inbox {
                self.inbox.acknowledge();
                while let Some(files) = self.inbox.take() {
                    self.configure(&files);
                    changed.clear();
                }
            }
            let now = clock::now().instant;
            changed.extend(self.retries.iter().filter(|(_, at)| **at <= now).map(|(file, _)| *file));
            if !changed.is_empty() {
                for file in changed {
                    self.look(file, now, false);
                }
                self.pause()?;
            }
        }
    }

    /// Leaves everything alone for a moment, but for another configuration.
    fn pause(&mut self) -> io::Result<()> {
        self.poller.remove(&self.watch);
        let waiting = self.poller.wait(Some(PAUSE))?.count();
        debug_assert!(waiting <= 1, "only the inbox is waited for");
        self.poller.add(&self.watch, WATCH)
    }

    fn configure(&mut self, files: &[FileTracker]) {
        (0..self.files.len()).for_each(|file| self.watch.forget(file));
        self.retries.clear();
        let before: BTreeMap<(Arc<str>, PathBuf), FileReading> =
            self.files.drain(..).map(|file| ((file.name, file.path), file.reading)).collect();
        for FileTracker { name, path, .. } in files {
            let key = (Arc::clone(name), PathBuf::from(&**path));
            let reading = before.get(&key).copied().unwrap_or(FileReading::Number(0));
            let (name, path) = key;
            self.files.push(Followed { name, path, reading });
        }
        let names: BTreeSet<Arc<str>> = files.iter().map(|file| Arc::clone(&file.name)).collect();
        self.complaints.retain(|name, _| names.contains(name));
        let now = clock::now().instant;
        (0..self.files.len()).for_each(|file| self.look(file, now, true));
    }

    /// Follows a file, reads it and tells what is in it, if that is something else or `in_any_case`.
    fn look(&mut self, file: usize, now: Instant, in_any_case: bool) {
        let Some(followed) = self.files.get_mut(file) else { return };
        let path = followed.path.as_path();
        let found = self.watch.follow(file, path);
        self.retries.remove(&file);
        if matches!(found, Err(Obstacle::System(..))) {
            self.retries.insert(file, now + RETRY);
        }
        // What the system does not let us follow we go on reading.
        let (silent, unfollowed) = match found {
            Err(Obstacle::System(what, error)) => (None, Some(Obstacle::System(what, error).to_string())),
            Err(obstacle) => (Some(obstacle), None),
            Ok(()) => (None, None),
        };
        let read = silent.map_or_else(|| read_start(path, FILE_BYTES), Err);
        let (reading, complaint) = match read {
            Ok(None) => (FileReading::Number(0), unfollowed),
            Ok(Some(text)) => match leading_number(&text) {
                Ok(number) => (FileReading::Number(number), unfollowed),
                // As keepalived: what was there before counts on.
                Err(_) => {
                    (followed.reading, Some("has a number of more than 32 bits, which is ignored".to_owned()))
                }
            },
            Err(obstacle) => (FileReading::Unreadable, Some(format!("{obstacle}; it counts as failed"))),
        };
        if core::mem::replace(&mut followed.reading, reading) != reading || in_any_case {
            self.told.send(FileNews { name: Arc::clone(&followed.name), reading }.into());
        }
        let name = Arc::clone(&followed.name);
        match complaint {
            None => drop(self.complaints.remove(&name)),
            Some(text) if self.complaints.get(&name) == Some(&text) => {}
            Some(text) => {
                tracing::error!("track_file {name}: {} {text}", path.display());
                self.complaints.insert(name, text);
            }
        }
    }
}
