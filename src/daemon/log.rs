//! The log: lines that operators of keepalived know, written by a thread of their own from a bounded queue,
//! so that nobody ever waits for a slow disk or log daemon.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_queue::ArrayQueue;

use super::options::{LogOptions, Options};
use crate::sys::poll::{self, Poller, Waker};
use crate::sys::syslog::{Severity, Syslog, local_time};
use crate::sys::{clock, process};
use crate::time::{Duration, WallTime};
use crate::vrrp::{Cause, Report, ReportKind, State, Transition};

/// Lines that wait; further ones are dropped and counted.
const QUEUE_LINES: usize = 4096;

/// What is to be logged, made into text by the log's own thread.
#[derive(Debug)]
pub(super) enum Entry {
    Text(Severity, String),
    Transition(Transition),
    Report(Report),
}

impl Entry {
    fn severity(&self) -> Severity {
        match self {
            Self::Text(severity, _) => *severity,
            Self::Transition(transition) if transition.to == State::Fault => Severity::Warning,
            Self::Transition(_) => Severity::Info,
            Self::Report(report) => severity_of(&report.kind),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_, text) => f.write_str(text),
            Self::Transition(transition) => write_transition(f, transition),
            Self::Report(Report { router, kind }) => {
                if !router.is_empty() {
                    write!(f, "({router}) ")?;
                }
                kind.fmt(f)?;
                match kind {
                    ReportKind::StartupDelayed { until, .. } | ReportKind::PreemptDelayed { until, .. } => {
                        write!(f, " (until {})", local_time(*until, c"%H:%M:%S"))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

/// `(VI_1) Entering MASTER STATE (why)`; the first words are keepalived's.
fn write_transition(f: &mut fmt::Formatter<'_>, transition: &Transition) -> fmt::Result {
    let Transition { name, from, to, cause, priority, .. } = transition;
    match (to, cause) {
        (State::Initialize, _) => write!(f, "({name}) Stopped, was {from} ({cause})"),
        (_, Cause::Startup) => write!(f, "({name}) Entering {to} STATE (init)"),
        (State::Master, _) => write!(f, "({name}) Entering MASTER STATE ({cause}; priority {priority})"),
        _ => write!(f, "({name}) Entering {to} STATE ({cause})"),
    }
}

const fn severity_of(kind: &ReportKind) -> Severity {
    match kind {
        ReportKind::IntervalLearned { .. }
        | ReportKind::LeftoverAdopted { .. }
        | ReportKind::LeftoverRemoved { .. }
        | ReportKind::FaultsChanged { .. }
        | ReportKind::StartupDelayed { .. }
        | ReportKind::PreemptDelayed { .. }
        | ReportKind::SendWorks { .. }
        | ReportKind::SwitchOverBegun => Severity::Info,
        ReportKind::AddressRefused { .. }
        | ReportKind::SocketFailed { .. }
        | ReportKind::SendFailing { .. } => Severity::Error,
        _ => Severity::Warning,
    }
}

/// How long to wait for a reader of standard error who does not read; once, until he reads again.
const READER_PATIENCE: Duration = Duration::from_millis(200);

/// What a pipe takes at once when it takes anything (`PIPE_BUF`).
const WRITE_BYTES: usize = 4096;

/// What goes to standard error besides the system log. A reader who does not read (a full pipe, a stopped
/// terminal) loses lines, instead of holding up a daemon that must hand over its addresses.
#[derive(Debug)]
pub(super) struct Console {
    all: bool,
    errors: AtomicBool,
    /// Lines lost because nobody read.
    lost: AtomicU64,
}

impl Console {
    /// All lines with `-l`; without it errors until the daemon serves, for whoever started it.
    pub(super) const fn starting(options: &Options) -> Self {
        Self { all: options.log.console, errors: AtomicBool::new(true), lost: AtomicU64::new(0) }
    }

    /// The daemon serves.
    pub(super) fn started(&self) {
        self.errors.store(false, Ordering::Relaxed);
    }

    fn write(&self, wall: WallTime, severity: Severity, text: &str) {
        let line = if self.all {
            format!("{}: {text}\n", local_time(wall, c"%a %b %e %H:%M:%S %Y"))
        } else if severity == Severity::Error && self.errors.load(Ordering::Relaxed) {
            format!("alived: {text}\n")
        } else {
            return;
        };
        let lost = self.lost.load(Ordering::Relaxed);
        let patience = if lost == 0 { READER_PATIENCE } else { Duration::ZERO };
        let notice = format!("log lines lost before this, because nobody read them: {lost}\n");
        if lost > 0 && write_in_time(&notice, patience) {
            self.lost.store(0, Ordering::Relaxed);
        }
        if self.lost.load(Ordering::Relaxed) > 0 || !write_in_time(&line, patience) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes to standard error, but for what it does not take in time. False if that was the case.
fn write_in_time(text: &str, patience: Duration) -> bool {
    let mut stream = io::stderr();
    for chunk in text.as_bytes().chunks(WRITE_BYTES) {
        if !poll::is_writable(&stream, patience) {
            return false;
        }
        // A closed terminal is no reason to stop.
        let _ = stream.write_all(chunk);
    }
    true
}

/// Where lines go in the end.
#[derive(Debug)]
pub(super) struct Sink {
    identity: String,
    pid: u32,
    console: Arc<Console>,
    syslog: Option<Syslog>,
}

impl Sink {
    /// A sink of the calling process, which has `identity` in the system log.
    pub(super) fn new(options: LogOptions, identity: &str, console: Arc<Console>) -> Self {
        Self {
            identity: identity.to_owned(),
            pid: process::own_pid(),
            console,
            syslog: options.syslog.then(|| Syslog::new(options.facility)),
        }
    }

    /// Writes one line at once.
    pub(super) fn write(&mut self, wall: WallTime, severity: Severity, text: &str) {
        self.console.write(wall, severity, text);
        if let Some(syslog) = &mut self.syslog {
            syslog.send(severity, wall, &self.identity, self.pid, text);
        }
    }

    /// Writes one line at once, with the time of now.
    pub(super) fn say(&mut self, severity: Severity, text: &str) {
        self.write(clock::wall(), severity, text);
    }
}

/// A line that waits. Boxed in its queue, so that an empty one is small.
#[derive(Debug)]
struct Line {
    number: u64,
    wall: WallTime,
    entry: Entry,
}

#[derive(Debug)]
struct Shared {
    /// Transitions have a queue of their own, which nothing else can fill.
    transitions: ArrayQueue<Box<Line>>,
    others: ArrayQueue<Box<Line>>,
    /// Numbers the lines, so that they are written in their order.
    next: AtomicU64,
    dropped: AtomicU64,
    ended: AtomicBool,
    waker: Waker,
}

/// The near end of the log, for any thread.
#[derive(Clone, Debug)]
pub(super) struct Log {
    shared: Arc<Shared>,
}

impl Log {
    /// Starts the log's thread.
    pub(super) fn start(sink: Sink) -> io::Result<(Self, LogThread)> {
        let shared = Arc::new(Shared {
            transitions: ArrayQueue::new(QUEUE_LINES),
            others: ArrayQueue::new(QUEUE_LINES),
            next: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            waker: Waker::new()?,
        });
        let log = Self { shared: Arc::clone(&shared) };
        let mut poller = Poller::new()?;
        poller.add(&shared.waker, 0)?;
        let thread = super::spawn("log", move || drain(&shared, &mut poller, sink))?;
        Ok((log.clone(), LogThread { log, thread }))
    }

    /// Queues an entry. Never blocks; when the queue is full the entry is dropped and counted.
    pub(super) fn entry(&self, wall: WallTime, entry: Entry) {
        let Shared { transitions, others, next, dropped, waker, .. } = &*self.shared;
        let queue = if matches!(entry, Entry::Transition(_)) { transitions } else { others };
        let line = Line { number: next.fetch_add(1, Ordering::Relaxed), wall, entry };
        if queue.push(Box::new(line)).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
        waker.wake();
    }

    /// Queues a text with the time of now.
    pub(super) fn say(&self, severity: Severity, text: impl Into<String>) {
        self.entry(clock::wall(), Entry::Text(severity, text.into()));
    }
}

/// The far end.
#[derive(Debug)]
pub(super) struct LogThread {
    log: Log,
    thread: JoinHandle<()>,
}

impl LogThread {
    /// Writes what waits, then ends the thread.
    pub(super) fn finish(self) {
        self.log.shared.ended.store(true, Ordering::Release);
        self.log.shared.waker.wake();
        // It cannot have panicked: a panic ends the process.
        let _ = self.thread.join();
    }
}

fn drain(shared: &Shared, poller: &mut Poller, mut sink: Sink) {
    let (mut transition, mut other) = (None, None);
    loop {
        if poller.wait(None).map(Iterator::count).is_err() {
            return;
        }
        shared.waker.acknowledge();
        let ended = shared.ended.load(Ordering::Acquire);
        while let Some(line) = next_line(shared, &mut transition, &mut other) {
            let Line { wall, entry, .. } = *line;
            sink.write(wall, entry.severity(), &entry.to_string());
        }
        let dropped = shared.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            sink.say(Severity::Warning, &format!("{dropped} log lines were dropped, the log was too slow"));
        }
        if ended {
            return;
        }
    }
}

/// The line of the lowest number; the other queue's is kept for the next call.
fn next_line(
    shared: &Shared,
    transition: &mut Option<Box<Line>>,
    other: &mut Option<Box<Line>>,
) -> Option<Box<Line>> {
    *transition = transition.take().or_else(|| shared.transitions.pop());
    *other = other.take().or_else(|| shared.others.pop());
    match (&transition, &other) {
        (Some(first), Some(second)) if first.number < second.number => transition.take(),
        (Some(_), None) => transition.take(),
        _ => other.take(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::RouterId;
    use crate::wire::vrrp::Priority;

    fn line(to: State, cause: Cause) -> String {
        Entry::Transition(Transition {
            router: RouterId(0),
            name: "VI_1".into(),
            from: State::Backup,
            to,
            cause,
            priority: Priority(100),
        })
        .to_string()
    }

    #[test]
    fn a_full_queue_of_reports_costs_no_transition() {
        let shared = Shared {
            transitions: ArrayQueue::new(QUEUE_LINES),
            others: ArrayQueue::new(QUEUE_LINES),
            next: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            waker: Waker::new().unwrap(),
        };
        let log = Log { shared: Arc::new(shared) };
        let transition = || {
            Entry::Transition(Transition {
                router: RouterId(0),
                name: "VI_1".into(),
                from: State::Backup,
                to: State::Master,
                cause: Cause::Startup,
                priority: Priority(100),
            })
        };
        log.say(Severity::Info, "first");
        log.entry(WallTime::default(), transition());
        for _ in 0..QUEUE_LINES * 2 {
            log.say(Severity::Info, "flood");
        }
        log.entry(WallTime::default(), transition());
        let (mut waiting, mut other) = (None, None);
        let mut texts = Vec::new();
        while let Some(line) = next_line(&log.shared, &mut waiting, &mut other) {
            texts.push(line.entry.to_string());
        }
        assert_eq!(texts.len(), QUEUE_LINES + 2);
        assert_eq!(texts[0], "first");
        assert!(texts[1].contains("MASTER") && texts.last().unwrap().contains("MASTER"), "in their order");
        assert_eq!(log.shared.dropped.load(Ordering::Relaxed), QUEUE_LINES as u64 + 1);
    }

    #[test]
    fn transitions_have_the_words_operators_look_for() {
        assert_eq!(line(State::Backup, Cause::Startup), "(VI_1) Entering BACKUP STATE (init)");
        let master = line(State::Master, Cause::MasterDown { last_master: None });
        assert!(master.starts_with("(VI_1) Entering MASTER STATE (no master heard"), "{master}");
        let fault =
            line(State::Fault, Cause::Fault(crate::vrrp::FaultReason::LinkDown("eth0".parse().unwrap())));
        assert_eq!(fault, "(VI_1) Entering FAULT STATE (interface eth0 is down)");
    }
}
