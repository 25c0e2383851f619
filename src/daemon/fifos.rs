//! The FIFOs that tell of virtual routers, and the scripts that read them. What a reader gets is the engine's affair
//! ([`FifoLines`]).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::ErrorKind;
use std::path::Path;

use tokio::time::Instant;

use super::runner::{self, Command, RunId, Runner};
use crate::kernel::{Script, ScriptUser};
use crate::notify::{Event, FifoConfig, FifoLines, Object};
use crate::sys::fifo::{Fifo, FifoError};
use crate::sys::readiness::Readiness;
use crate::sys::spawn::Identity;
use crate::time::Duration;

/// How often it is looked whether a reader has come.
const LOOK: Duration = Duration::from_millis(100);

/// How long a stop waits for readers, each time: until all is read, until a script has ended by itself, until one has
/// ended that was told to.
const LAST_LINES: Duration = Duration::from_secs(2);

/// All FIFOs of the worker.
#[derive(Debug, Default)]
pub(super) struct Fifos {
    open: Vec<OpenFifo>,
    stage: Stage,
    /// When the stage ends at the latest.
    stage_until: Option<Instant>,
}

/// How far a stop is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Stage {
    /// There is none.
    #[default]
    Serving,
    /// The last lines are read.
    Reading,
    /// The FIFOs are closed; scripts find their end.
    Ending,
    /// Scripts were told to end.
    Cancelling,
}

#[derive(Debug)]
struct OpenFifo {
    config: FifoConfig,
    lines: FifoLines,
    /// Until it is closed at a stop.
    pipe: Option<Fifo>,
    /// While somebody reads: when there is room again, or nobody reads any more.
    read: Option<Readiness>,
    /// That has told of something since the last look, other than that it was registered.
    woken: Cell<bool>,
    registered: Cell<bool>,
    /// While nobody reads: when to look again.
    look_at: Instant,
    script: Option<RunId>,
}

impl Fifos {
    /// The longest that [`Fifos::leave`] takes.
    pub(super) const LEAVING: Duration = LAST_LINES.saturating_mul(3);

    /// Opens those of a configuration, and closes those that are not in it. Within a runtime.
    pub(super) fn configure(
        &mut self,
        configs: &[FifoConfig],
        states: &BTreeMap<Object, Event>,
        runner: &mut Runner,
    ) {
        let mut before = core::mem::take(&mut self.open);
        for config in configs {
            let same = |open: &OpenFifo| open.config.path == config.path && open.config.owner == config.owner;
            if let Some(position) = before.iter().position(same) {
                let mut open = before.remove(position);
                if open.config.script != config.script
                    && let Some(script) = open.script.take()
                {
                    runner.cancel(script);
                }
                open.config = config.clone();
                self.open.push(open);
            } else if let Some(open) = OpenFifo::new(config.clone(), states) {
                self.open.push(open);
            }
        }
        for mut gone in before {
            if let Some(script) = gone.script {
                runner.cancel(script);
            }
            gone.close();
        }
        for open in &mut self.open {
            if open.script.is_none() {
                open.start_script(runner);
            }
        }
    }

    /// Something happened.
    pub(super) fn push(&mut self, event: &Event) {
        self.open.iter_mut().for_each(|open| open.lines.push(event));
    }

    /// Tells all states once more.
    pub(super) fn repeat(&mut self) {
        self.open.iter_mut().for_each(|open| open.lines.repeat());
    }

    /// Waits until there is something for [`Fifos::serve`].
    pub(super) async fn due(&self) {
        let wait = async |place: usize| match self.open.get(place) {
            Some(open) => open.due().await,
            None => std::future::pending().await,
        };
        let stage = async {
            match self.stage_until {
                // Nobody tells of what is read.
                Some(until) => tokio::time::sleep_until(until.min(Instant::now() + LOOK / 5)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait(0) => {}
            () = wait(1) => {}
            () = stage => {}
        }
    }

    /// Takes what the runner says of a script. True if it is one of these.
    pub(super) fn finish(&mut self, event: &runner::Event, runner: &mut Runner) -> bool {
        let (runner::Event::Finished { id, .. } | runner::Event::Lost { id }) = event;
        let Some(open) = self.open.iter_mut().find(|open| open.script == Some(*id)) else { return false };
        open.script = None;
        let path = &open.config.path;
        match event {
            _ if self.stage != Stage::Serving => {}
            runner::Event::Finished { outcome, .. } => {
                tracing::warn!("the script that reads the FIFO {path} {outcome}; a reload starts it again");
            }
            runner::Event::Lost { .. } => {
                tracing::warn!("the script that reads the FIFO {path} was lost with its process");
                open.start_script(runner);
            }
        }
        true
    }

    /// Writes what can be written.
    pub(super) fn serve(&mut self) {
        self.open.iter_mut().for_each(OpenFifo::serve);
    }

    /// To be called again and again at a stop, when nothing is pushed any more. True when all is over: lines are read as
    /// far as there are readers, and scripts have ended.
    pub(super) fn leave(&mut self, runner: &mut Runner) -> bool {
        let now = Instant::now();
        let due = self.stage_until.is_none_or(|until| until <= now);
        let until = Some(now + LAST_LINES);
        match self.stage {
            Stage::Serving => (self.stage, self.stage_until) = (Stage::Reading, until),
            Stage::Reading if due || self.open.iter().all(OpenFifo::is_done) => {
                self.open.iter_mut().for_each(OpenFifo::close);
                (self.stage, self.stage_until) = (Stage::Ending, until);
            }
            Stage::Ending if due => {
                for script in self.open.iter().filter_map(|open| open.script) {
                    runner.cancel(script);
                }
                (self.stage, self.stage_until) = (Stage::Cancelling, until);
            }
            Stage::Reading | Stage::Ending | Stage::Cancelling => {}
        }
        match self.stage {
            Stage::Serving | Stage::Reading => self.open.is_empty(),
            Stage::Ending => self.open.iter().all(|open| open.script.is_none()),
            Stage::Cancelling => due || self.open.iter().all(|open| open.script.is_none()),
        }
    }
}

impl OpenFifo {
    fn new(config: FifoConfig, states: &BTreeMap<Object, Event>) -> Option<Self> {
        let opened = match &config.owner {
            ScriptUser::Default => Fifo::open(Path::new(&*config.path), None),
            ScriptUser::Named(owner) => match Identity::of(owner) {
                Ok(owner) => Fifo::open(Path::new(&*config.path), Some(&owner)),
                Err(error) => Err(FifoError::Io(std::io::Error::other(error.to_string()))),
            },
        };
        let opened = opened.inspect_err(|error| {
            tracing::error!("cannot use the FIFO {}: {error}; nobody is told by it", config.path);
        });
        let pipe = opened.ok()?;
        let lines = FifoLines::new(pipe.capacity(), states);
        Some(Self {
            config,
            lines,
            pipe: Some(pipe),
            read: None,
            woken: Cell::new(false),
            registered: Cell::new(false),
            look_at: Instant::now(),
            script: None,
        })
    }

    fn start_script(&mut self, runner: &mut Runner) {
        let Some(script) = &self.config.script else { return };
        let mut script = Script::clone(script);
        // A path of the configuration, which has no NUL.
        script.arguments.push(CString::new(&*self.config.path).unwrap_or_default());
        self.script = Some(runner.start(Command::new(script)));
    }

    async fn due(&self) {
        match &self.read {
            Some(readiness) => {
                // It fails when the runtime ends.
                let _ = readiness.changed().await;
                self.woken.set(self.registered.replace(true));
            }
            None if self.pipe.is_some() => tokio::time::sleep_until(self.look_at).await,
            None => std::future::pending().await,
        }
    }

    fn serve(&mut self) {
        self.look();
        let Some(pipe) = &mut self.pipe else { return };
        while let Some(bytes) = self.lines.next() {
            match pipe.write(bytes) {
                Ok(written) => self.lines.wrote(written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Full, or the last reader has just left, which is seen the next time.
                Err(_) => break,
            }
        }
        let left_out = self.lines.take_left_out();
        if left_out > 0 {
            let path = &self.config.path;
            tracing::warn!("{left_out} lines for the FIFO {path}, which nobody reads, were left out");
        }
    }

    /// Looks whether somebody reads.
    fn look(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        // Whose lines are in a pipe that another worker writes to is not known: they stay, and states come twice rather
        // than not at all.
        let shared = self.config.shared;
        if self.read.is_none() && self.look_at > Instant::now() {
            return;
        }
        let woken = self.woken.take();
        match (&self.read, pipe.is_read()) {
            (None, true) => {
                self.lines.reader_came();
                self.registered.set(false);
                self.read = Readiness::of_writer(pipe).ok();
            }
            // The kernel wakes a writer when there is room in a full pipe, or when the last reader leaves: there is
            // another one already.
            (Some(_), true) if woken && self.lines.next().is_none() => {
                self.lines.reader_left(if shared { 0 } else { pipe.unread() });
                self.lines.reader_came();
            }
            // In the second case somebody may have come, read and gone.
            (Some(_) | None, false) => {
                self.read = None;
                let unread = if shared { 0 } else { pipe.unread() };
                if self.lines.reader_left(unread) && !shared {
                    pipe.empty();
                }
            }
            (Some(_), true) => {}
        }
        self.look_at = Instant::now() + LOOK;
    }

    /// Whether nobody reads, or everything is read.
    fn is_done(&self) -> bool {
        let unread = self.pipe.as_ref().map_or(0, Fifo::unread);
        self.read.is_none() || unread == 0 && self.lines.next().is_none()
    }

    /// Closes it for good.
    fn close(&mut self) {
        // It has a descriptor of it, too.
        self.read = None;
        if let Some(pipe) = self.pipe.take() {
            pipe.close();
        }
    }
}
