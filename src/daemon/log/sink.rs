//! What all sinks have in common: a layer for each, which loses lines rather than wait for whoever does not take
//! them, and says how many.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::record::Record;

/// How long to wait for whoever does not take lines; once, until he takes them again.
const PATIENCE: Duration = Duration::from_millis(200);

/// Where lines go.
pub(super) trait Outlet: fmt::Debug + Send {
    /// Writes a line, waiting at most `patience`. False when it was not taken.
    fn put(&mut self, record: &Record, patience: Duration) -> bool;

    /// Why lines are lost.
    fn why_lost(&self) -> &'static str;
}

/// An outlet as a layer of the subscriber.
#[derive(Debug)]
pub(super) struct Sink {
    /// Locked by the one thread that writes.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    outlet: Box<dyn Outlet>,
    /// Lines since the last one that was taken.
    lost: u64,
}

impl Sink {
    pub(super) fn new(outlet: impl Outlet + 'static) -> Self {
        Self { state: Mutex::new(State { outlet: Box::new(outlet), lost: 0 }) }
    }

    /// Writes one line, or counts it as lost. The number is written as soon as lines are taken again.
    pub(super) fn write(&self, record: &Record) {
        let State { outlet, lost } = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = if *lost == 0 { PATIENCE } else { Duration::ZERO };
        if *lost > 0 {
            let text = format!("log lines lost before this, because {}: {lost}", outlet.why_lost());
            if outlet.put(&Record { wall: record.wall, ..Record::new(Level::WARN, text) }, patience) {
                *lost = 0;
            }
        }
        if *lost > 0 || !outlet.put(record, patience) {
            *lost += 1;
        }
    }
}

impl<S: Subscriber> Layer<S> for Sink {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.write(&Record::of(event));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Slow {
        blocked: Arc<AtomicBool>,
        taken: Arc<Mutex<Vec<(String, Duration)>>>,
        waited: Arc<Mutex<Vec<Duration>>>,
    }

    impl Outlet for Slow {
        fn put(&mut self, record: &Record, patience: Duration) -> bool {
            self.waited.lock().unwrap().push(patience);
            let blocked = self.blocked.load(Ordering::Relaxed);
            if !blocked {
                self.taken.lock().unwrap().push((record.message.clone(), patience));
            }
            !blocked
        }

        fn why_lost(&self) -> &'static str {
            "nobody read them"
        }
    }

    #[test]
    fn a_blocked_outlet_is_waited_for_once_and_the_lines_it_lost_are_counted() {
        let slow = Slow::default();
        let sink = Sink::new(slow.clone());
        let write = |text: &str| sink.write(&Record::new(Level::INFO, text.to_owned()));
        slow.blocked.store(true, Ordering::Relaxed);
        ["a", "b", "c"].into_iter().for_each(write);
        assert_eq!(*slow.waited.lock().unwrap(), [PATIENCE, Duration::ZERO, Duration::ZERO]);
        slow.blocked.store(false, Ordering::Relaxed);
        ["d", "e"].into_iter().for_each(write);
        let taken: Vec<String> = slow.taken.lock().unwrap().iter().map(|(text, _)| text.clone()).collect();
        assert_eq!(taken, ["log lines lost before this, because nobody read them: 3", "d", "e"]);
        assert_eq!(slow.waited.lock().unwrap().last(), Some(&PATIENCE), "it takes lines again");
    }
}
