//! The recorder: a thread that writes what the vrrp thread notes to a ring of files, so that nobody ever waits for a disk.
//!
//! Between the two is room that was made beforehand: the vrrp thread fills it, the recorder empties it. Where the
//! recorder is too slow, or the disk is full, inputs are left out and counted, and the recording goes on with a whole state.

mod ring;
mod spool;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use self::ring::Ring;
use self::spool::Shared;
use super::spawn;
use crate::node::recording::{Piece, Tape};
use crate::recording::Head;
use crate::sys::clock;
use crate::sys::realtime;
use crate::time::Duration;

/// How often the recorder looks for what has been noted: nobody has to wake it up.
const PAUSE: Duration = Duration::from_millis(50);

/// How long after a disk has refused something it is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// How long the end of the worker waits for the recorder.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// Below the threads that serve.
const NICE: i32 = 10;

/// Where to record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// The folder; made if only it is missing.
    pub(super) folder: PathBuf,
    /// Bytes of all files together.
    pub(super) size: u64,
    /// What the files' names begin with.
    pub(super) prefix: String,
}

/// How it goes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Progress {
    /// Files of the ring, with those of earlier recordings.
    pub(super) files: u64,
    /// Bytes in them.
    pub(super) bytes: u64,
    /// Inputs that were left out, since the recording began.
    pub(super) lost: u64,
    /// Why nothing is written now.
    pub(super) fault: Option<String>,
}

/// A recorder at work.
#[derive(Debug)]
pub(super) struct Recorder {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Recorder {
    /// Starts one that has the tape's far end. `routers`: how many there are, for the room that their state takes. With it
    /// comes what tells when its last byte is written.
    ///
    /// # Errors
    /// Where the folder is not fit for it, or the first file cannot be made.
    pub(super) fn start(
        place: &Place,
        head: &Head,
        routers: usize,
    ) -> io::Result<(Self, Box<Tape>, oneshot::Receiver<()>)> {
        let ring = Ring::open(place, head)?;
        let shared = Arc::new(Shared::new(routers));
        let (done, ended) = oneshot::channel();
        let for_thread = Arc::clone(&shared);
        let thread = spawn("recorder", move || {
            // A recorder that nobody minds is the aim, and no reason not to record.
            let _ = realtime::set_nice(NICE);
            Writer { shared: for_thread, ring, lost: 0, retry: None }.run();
            // Who does not wait any more needs no word.
            let _ = done.send(());
        })?;
        let tape = Box::new(Tape::new(Box::new(shared.spool())));
        Ok((Self { shared, thread }, tape, ended))
    }

    /// How it goes.
    pub(super) fn progress(&self) -> Progress {
        self.shared.progress()
    }

    /// There will be no more: it writes what is left, and ends.
    pub(super) fn end(&self) {
        self.shared.ended.store(true, Ordering::Release);
        self.thread.thread().unpark();
    }

    /// The same at the end of the process, which does not wait for a disk that hangs.
    pub(super) fn end_soon(self) {
        self.end();
        let begun = clock::now().instant;
        while !self.thread.is_finished() && clock::now().instant.saturating_since(begun) < LAST_MOMENT {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The thread.
struct Writer {
    shared: Arc<Shared>,
    ring: Ring,
    /// Inputs that were noted and not written, and have not been told of in a file.
    lost: u64,
    /// When to try again to write.
    retry: Option<crate::time::Instant>,
}

impl Writer {
    fn run(mut self) {
        loop {
            // Before the last look: what is noted comes before the word that there is no more.
            let ended = self.shared.ended.load(Ordering::Acquire);
            while let Some(piece) = self.shared.full.pop() {
                self.write(&piece);
                self.shared.give_back(piece);
            }
            let now = clock::now().instant;
            if self.retry.is_some_and(|at| at <= now) {
                self.retry = None;
                self.shared.wants_state.store(true, Ordering::Release);
            }
            self.shared.note(self.ring.progress(self.lost));
            if ended {
                break;
            }
            std::thread::park_timeout(PAUSE);
        }
        self.ring.close();
        self.shared.note(self.ring.progress(self.lost));
    }

    fn write(&mut self, piece: &Piece) {
        self.shared.lost.fetch_add(if piece.is_state { piece.lost } else { 0 }, Ordering::Relaxed);
        let lost = self.lost;
        match self.ring.put(piece, lost) {
            Ok(true) => self.lost = 0,
            // No file is open, and it is no state to begin one with.
            Ok(false) => self.lose(piece),
            Err(error) => {
                self.lose(piece);
                self.retry = Some(clock::now().instant + RETRY);
                if self.ring.note_fault(&error) {
                    tracing::warn!(
                        "cannot write the recording to {}: {error}; it is tried again every {} s, and the virtual \
                         routers go on",
                        self.ring.folder().display(),
                        RETRY.as_secs()
                    );
                }
            }
        }
        if self.ring.is_full() {
            self.shared.wants_state.store(true, Ordering::Release);
        }
    }

    fn lose(&mut self, piece: &Piece) {
        let inputs = crate::node::recording::Inputs::of(&piece.bytes);
        let count = if piece.is_state { 0 } else { inputs.count() as u64 };
        self.lost += count;
        self.shared.lost.fetch_add(count, Ordering::Relaxed);
    }
}
