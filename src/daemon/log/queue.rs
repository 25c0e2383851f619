//! The thread that writes log lines, and the bounded queue in front of it: nobody ever waits for a slow disk or log
//! daemon.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_queue::ArrayQueue;
use tracing::{Dispatch, Event, Subscriber, dispatcher};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::entry::Entry;
use super::ground::Ground;
use super::levels::Filter;
use super::record::{Kept, at};
use crate::sys::clock;
use crate::sys::poll::{Poller, Waker};
use crate::time::WallTime;

/// Lines that wait; further ones are dropped and counted.
const QUEUE_LINES: usize = 4096;

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

impl Shared {
    fn new() -> io::Result<Self> {
        Ok(Self {
            transitions: ArrayQueue::new(QUEUE_LINES),
            others: ArrayQueue::new(QUEUE_LINES),
            next: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            waker: Waker::new()?,
        })
    }
}

/// The near end of the queue, for any thread; as a layer of a subscriber, for what is said through `tracing`.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Log {
    shared: Arc<Shared>,
}

impl Log {
    /// Starts the log's thread, which writes to `sinks`.
    pub(super) fn start(sinks: Dispatch) -> io::Result<(Self, LogThread)> {
        let shared = Arc::new(Shared::new()?);
        let log = Self { shared: Arc::clone(&shared) };
        let mut poller = Poller::new()?;
        poller.add(&shared.waker, 0)?;
        let thread = crate::daemon::spawn("log", move || {
            dispatcher::with_default(&sinks, || drain(&shared, &mut poller));
        })?;
        Ok((log.clone(), LogThread { log, thread }))
    }

    /// Queues an entry. Never blocks; when the queue is full the entry is dropped and counted.
    pub(in crate::daemon) fn entry(&self, wall: WallTime, entry: Entry) {
        let Shared { transitions, others, next, dropped, waker, .. } = &*self.shared;
        let queue = if matches!(entry, Entry::Transition(_) | Entry::GroupTransition(_)) {
            transitions
        } else {
            others
        };
        let line = Line { number: next.fetch_add(1, Ordering::Relaxed), wall, entry };
        if queue.push(Box::new(line)).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
        waker.wake();
    }

    /// Where the events of the other threads go.
    pub(super) fn dispatch(&self, filter: Filter) -> Dispatch {
        Dispatch::new(Ground.with(filter).with(self.clone()))
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.entry(clock::wall(), Entry::Event(Kept::of(event)));
    }
}

/// The far end.
#[derive(Debug)]
pub(in crate::daemon) struct LogThread {
    log: Log,
    thread: JoinHandle<()>,
}

impl LogThread {
    /// Writes what waits, then ends the thread.
    pub(in crate::daemon) fn finish(self) {
        self.log.shared.ended.store(true, Ordering::Release);
        self.log.shared.waker.wake();
        // It cannot have panicked: a panic ends the process.
        let _ = self.thread.join();
    }
}

fn drain(shared: &Shared, poller: &mut Poller) {
    let (mut transition, mut other) = (None, None);
    loop {
        if poller.wait(None).map(Iterator::count).is_err() {
            return;
        }
        shared.waker.acknowledge();
        let ended = shared.ended.load(Ordering::Acquire);
        while let Some(line) = next_line(shared, &mut transition, &mut other) {
            at(line.wall, || line.entry.dispatch());
        }
        let dropped = shared.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!("{dropped} log lines were dropped, the log was too slow");
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
    use tracing::Level;

    use super::*;
    use crate::control::{LogLevel, LogTarget};
    use crate::daemon::log::levels::Levels;
    use crate::daemon::log::record::{FieldValue, Record};
    use crate::daemon::log::sink::{Outlet, Sink};
    use crate::kernel::RouterId;
    use crate::vrrp::{Cause, State, Transition};
    use crate::wire::vrrp::Priority;

    fn transition() -> Entry {
        Entry::Transition(Transition {
            router: RouterId(0),
            name: "VI_1".into(),
            from: State::Backup,
            to: State::Master,
            cause: Cause::Startup,
            priority: Priority(100),
        })
    }

    #[test]
    fn a_full_queue_of_reports_costs_no_transition() {
        let log = Log { shared: Arc::new(Shared::new().unwrap()) };
        log.entry(WallTime::default(), Entry::Text(Level::INFO, "first".to_owned()));
        log.entry(WallTime::default(), transition());
        for _ in 0..QUEUE_LINES * 2 {
            log.entry(WallTime::default(), Entry::Text(Level::INFO, "flood".to_owned()));
        }
        log.entry(WallTime::default(), transition());
        let (mut waiting, mut other) = (None, None);
        let mut kinds = Vec::new();
        while let Some(line) = next_line(&log.shared, &mut waiting, &mut other) {
            kinds.push(matches!(line.entry, Entry::Transition(_)));
        }
        assert_eq!(kinds.len(), QUEUE_LINES + 2);
        assert!(!kinds[0] && kinds[1] && kinds[QUEUE_LINES + 1], "in their order");
        assert_eq!(log.shared.dropped.load(Ordering::Relaxed), QUEUE_LINES as u64 + 1);
    }

    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<std::sync::Mutex<Vec<Record>>>);

    impl Outlet for Paper {
        fn put(&mut self, record: &Record, _: std::time::Duration) -> bool {
            self.0.lock().unwrap().push(record.clone());
            true
        }

        fn why_lost(&self) -> &'static str {
            "never"
        }
    }

    #[test]
    fn what_is_said_on_any_thread_is_written_by_the_log_s_with_its_time_and_values() {
        let (paper, mut levels) = (Paper::default(), Levels::default());
        let sinks = Dispatch::new(Ground.with(levels.filter()).with(Sink::new(paper.clone())));
        let (log, thread) = Log::start(sinks).unwrap();
        let queue = log.dispatch(levels.filter());
        let say = || {
            dispatcher::with_default(&queue, || {
                tracing::info!(count = 3, negative = -1, flag = true, "said {}", "so");
                tracing::debug!("a detail");
            });
        };
        say();
        log.entry(WallTime::from_unix_micros(7), transition());
        // The log's thread judges by the levels of the moment it writes.
        let written = || paper.0.lock().unwrap().len();
        while written() < 2 {
            std::thread::yield_now();
        }
        levels.set(LogTarget::All, LogLevel::Warn);
        say();
        log.entry(WallTime::default(), transition());
        log.entry(WallTime::default(), Entry::Text(Level::WARN, "still said".to_owned()));
        while written() < 3 {
            std::thread::yield_now();
        }
        levels.set(LogTarget::All, LogLevel::Debug);
        say();
        thread.finish();
        let records = paper.0.lock().unwrap();
        let texts: Vec<&str> = records.iter().map(|record| &*record.message).collect();
        let master = "(VI_1) Entering MASTER STATE (init)";
        assert_eq!(texts, ["said so", master, "still said", "said so", "a detail"]);
        let values = [("count", 3), ("negative", -1)].map(|(name, value)| (name, FieldValue::Signed(value)));
        assert_eq!(records[0].fields[..2], values);
        assert_eq!(records[0].fields[2], ("flag", FieldValue::Bool(true)));
        assert!(records[0].wall.as_unix_micros() > 0 && records[0].target.ends_with("queue::tests"));
        assert_eq!((records[1].wall, records[1].target), (WallTime::from_unix_micros(7), "vrrp"));
        assert!(records[1].fields.contains(&("priority", FieldValue::Unsigned(100))));
        assert!(records[1].fields.contains(&("state", FieldValue::Text("MASTER".to_owned()))));
    }
}
