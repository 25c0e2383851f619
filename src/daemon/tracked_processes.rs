//! Tracked processes: a thread of their own counts them, and tells the vrrp thread the numbers.
//!
//! The kernel tells it of every process that comes, changes and goes. Where it does not, as in a container, the thread
//! looks at all processes again and again, and waits for the ends of those that count.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::mailbox::Mailbox;
use super::spawn;
use super::vrrp_thread::Message;
use crate::sys::clock;
use crate::sys::poll::Poller;
use crate::sys::process_events::{Drained, ProcessEvent, ProcessEvents, ProcessSocket};
use crate::sys::process_table::{self, ProcessEnd};
use crate::time::{Duration, Instant};
use crate::track::{Census, ProcessChange, ProcessTable, ProcessTracker, TrackConfig, Tracker};

/// Bytes of events that may wait: a sixth of a second of 10,000 processes made and ended a second.
const QUEUE_BYTES: usize = 4 << 20;

/// Events taken in one go.
const EVENTS_MAX: usize = 4096;

/// Pause between two messages to the vrrp thread: what comes and goes in between is not told.
const PAUSE: Duration = Duration::from_millis(10);

/// Pause before all processes are looked at again, where the kernel tells of none, and as many times as long as that
/// takes, so that it never costs more than a twentieth of a core.
const SCAN_PAUSE: Duration = Duration::from_millis(250);
const SCAN_SHARE: u32 = 20;

/// Pause before all are looked at again because events were lost.
const RECOUNT_PAUSE: Duration = Duration::from_millis(100);

/// Processes whose ends are waited for; those of others are found by looking.
const ENDS_MAX: usize = 16;

const INBOX: u64 = 0;
const EVENTS: u64 = 1;
/// The end of process N is this and N.
const ENDS: u64 = 1 << 32;

/// The main thread's end.
#[derive(Debug)]
pub(super) struct TrackedProcesses {
    vrrp_thread: Mailbox<Message>,
    /// Until the thread has it.
    socket: Option<ProcessSocket>,
    /// Room in bytes for what the kernel tells, where more than usual is asked for.
    queue: usize,
    /// Once there is something to count.
    thread: Option<Mailbox<Vec<ProcessTracker>>>,
}

impl TrackedProcesses {
    /// No process yet.
    pub(super) const fn new(
        vrrp_thread: Mailbox<Message>,
        socket: Option<ProcessSocket>,
        queue: usize,
    ) -> Self {
        Self { vrrp_thread, socket, queue, thread: None }
    }

    /// Takes a configuration that the vrrp thread has, or has been sent. It is told all numbers then.
    pub(super) fn configure(&mut self, config: &TrackConfig) {
        let tracked = |process: &&ProcessTracker| {
            let tracker = Tracker::Process(Arc::clone(&process.name));
            config.references.iter().any(|(_, reference)| reference.tracker == tracker)
        };
        let processes: Vec<ProcessTracker> = config.processes.iter().filter(tracked).cloned().collect();
        if self.thread.is_none() && !processes.is_empty() {
            match start(self.vrrp_thread.clone(), self.socket.take(), self.queue) {
                Ok(inbox) => self.thread = Some(inbox),
                Err(error) => {
                    tracing::error!("tracked processes cannot be counted and count as absent: {error}");
                    for process in &processes {
                        let name = Arc::clone(&process.name);
                        self.vrrp_thread.send(Message::Processes { name, count: 0 });
                    }
                }
            }
        }
        if let Some(thread) = &self.thread {
            thread.send(processes);
        }
    }
}

fn start(
    vrrp_thread: Mailbox<Message>,
    socket: Option<ProcessSocket>,
    queue: usize,
) -> io::Result<Mailbox<Vec<ProcessTracker>>> {
    let inbox = Mailbox::new()?;
    let poller = Poller::new()?;
    poller.add(&inbox, INBOX)?;
    let thread = ProcessThread {
        inbox: inbox.clone(),
        vrrp_thread,
        socket,
        queue,
        poller,
        census: Census::default(),
        source: Source::None,
        told: Instant::ZERO,
        look_at: None,
    };
    spawn("processes", move || thread.run())?;
    Ok(inbox)
}

struct ProcessThread {
    inbox: Mailbox<Vec<ProcessTracker>>,
    vrrp_thread: Mailbox<Message>,
    socket: Option<ProcessSocket>,
    queue: usize,
    poller: Poller,
    census: Census,
    source: Source,
    /// When the vrrp thread was last told something.
    told: Instant,
    /// When to look at all processes.
    look_at: Option<Instant>,
}

/// How the thread learns of processes.
enum Source {
    /// Nothing is counted.
    None,
    /// By the kernel's events.
    Events(ProcessEvents),
    /// By looking. `ends` are those waited for.
    Looking { ends: BTreeMap<u32, ProcessEnd> },
}

/// The processes of this system.
struct System;

impl ProcessTable for System {
    fn short_name(&self, pid: u32) -> Option<Vec<u8>> {
        process_table::short_name(pid)
    }

    fn command_line(&self, pid: u32, limit: usize) -> Option<Vec<u8>> {
        process_table::command_line(pid, limit)
    }

    fn all(&self) -> Vec<u32> {
        process_table::all()
    }
}

impl ProcessThread {
    fn run(mut self) {
        if let Err(error) = self.serve() {
            tracing::error!("tracked processes are not counted any more: {error}");
        }
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            let now = clock::now().instant;
            let tell_at = self.census.has_changed().then(|| self.told + PAUSE);
            let next = [tell_at, self.look_at].into_iter().flatten().min();
            // Rounded up: the poller counts in whole milliseconds.
            let timeout = next.map(|at| match at.saturating_since(now) {
                Duration::ZERO => Duration::ZERO,
                wait => wait + Duration::from_millis(1),
            });
            let tokens: Vec<u64> = self.poller.wait(timeout)?.collect();
            for token in tokens {
                match token {
                    INBOX => self.take_configuration()?,
                    EVENTS => self.take_events()?,
                    end => self.take_end(end),
                }
            }
            let now = clock::now().instant;
            if self.look_at.is_some_and(|at| at <= now) {
                self.look();
            }
            if self.census.has_changed() && self.told + PAUSE <= now {
                self.tell(now);
            }
        }
    }

    fn take_configuration(&mut self) -> io::Result<()> {
        self.inbox.acknowledge();
        let mut latest = None;
        while let Some(processes) = self.inbox.take() {
            latest = Some(processes);
        }
        let Some(processes) = latest else { return Ok(()) };
        let needed = !processes.is_empty();
        self.census = Census::new(processes);
        match (needed, &self.source) {
            (false, _) => {
                self.source = Source::None;
                self.look_at = None;
                return Ok(());
            }
            (true, Source::None) => self.open()?,
            (true, Source::Looking { .. } | Source::Events(_)) => {}
        }
        self.look();
        // In any case: the vrrp thread may have forgotten.
        self.tell(clock::now().instant);
        Ok(())
    }

    /// From here on the kernel tells what happens, if it does.
    fn open(&mut self) -> io::Result<()> {
        let no_socket = || io::Error::other("no socket could be opened");
        let shared = self.socket.clone().ok_or_else(no_socket);
        self.source = match shared
            .and_then(|socket| ProcessEvents::listen(socket, QUEUE_BYTES.max(self.queue)))
        {
            Ok(events) => {
                self.poller.add(&events, EVENTS)?;
                Source::Events(events)
            }
            Err(error) => {
                tracing::info!(
                    "the kernel does not tell this process of others ({error}): tracked processes are looked for \
                     every {} ms",
                    SCAN_PAUSE.as_millis()
                );
                Source::Looking { ends: BTreeMap::new() }
            }
        };
        Ok(())
    }

    fn take_events(&mut self) -> io::Result<()> {
        let Self { source: Source::Events(events), census, look_at, .. } = self else { return Ok(()) };
        let drained = events.drain(EVENTS_MAX, |event| {
            let change = match event {
                ProcessEvent::Answer(_) => return,
                ProcessEvent::Forked { parent, child } => ProcessChange::Forked { parent, child },
                ProcessEvent::Executed(pid) => ProcessChange::Executed(pid),
                ProcessEvent::Renamed(pid) => ProcessChange::Renamed(pid),
                ProcessEvent::Ended(pid) => ProcessChange::Ended(pid),
            };
            census.note(change, &System);
        })?;
        if drained == Drained::Lost {
            look_at.get_or_insert(clock::now().instant + RECOUNT_PAUSE);
        }
        Ok(())
    }

    fn take_end(&mut self, token: u64) {
        let (Source::Looking { ends }, Ok(pid)) = (&mut self.source, u32::try_from(token & (ENDS - 1)))
        else {
            return;
        };
        if let Some(end) = ends.remove(&pid) {
            self.poller.remove(&end);
            self.census.note(ProcessChange::Ended(pid), &System);
        }
    }

    fn look(&mut self) {
        let begun = clock::now().instant;
        self.census.take(&System);
        self.look_at = None;
        if let Source::Looking { ends } = &mut self.source {
            let members: std::collections::BTreeSet<u32> = self.census.members().collect();
            let gone: Vec<u32> = ends.keys().filter(|pid| !members.contains(pid)).copied().collect();
            for end in gone.iter().filter_map(|pid| ends.remove(pid)) {
                self.poller.remove(&end);
            }
            for pid in members {
                if ends.len() >= ENDS_MAX {
                    break;
                }
                if !ends.contains_key(&pid)
                    // Old kernels have no such thing: then looking must do.
                    && let Ok(end) = ProcessEnd::of(pid)
                    && self.poller.add(&end, ENDS | u64::from(pid)).is_ok()
                {
                    ends.insert(pid, end);
                }
            }
            let now = clock::now().instant;
            self.look_at = Some(now + SCAN_PAUSE.max(now.saturating_since(begun) * SCAN_SHARE));
        }
    }

    fn tell(&mut self, now: Instant) {
        self.told = now;
        for (name, count) in self.census.take_changed() {
            self.vrrp_thread.send(Message::Processes { name, count });
        }
    }
}
