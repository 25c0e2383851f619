//! A start in the background: the first process forks the daemon off and waits until it serves or has failed.

use std::fs::File;
use std::io::{self, Read, Write};

use super::options::Options;
use super::status::FATAL;
use super::supervisor::{self, Outset, WorkerMain};
use crate::sys::poll::Poller;
use crate::sys::process::{self, Fork};
use crate::sys::signals::{self, Signal, SignalQueue};

const SIGNALS: u64 = 0;
const READINESS: u64 = 1;

/// What the first process waits with.
struct Waiting {
    /// Held back before the fork, so that none kills this process alone: whoever started it knows its number only.
    signals: SignalQueue,
    /// The daemon's word: an exit status.
    readiness: File,
    poller: Poller,
}

/// Runs the daemon, and gives the exit status of the calling process.
pub(super) fn run(options: &Options, worker_main: WorkerMain<'_>, outset: Outset) -> u8 {
    let forked = Waiting::new().and_then(|(waiting, write)| {
        let handing_over = process::pipe()?;
        Ok((waiting, write, handing_over, process::fork()?))
    });
    match forked {
        Ok((waiting, write, handing_over, Fork::Parent(daemon))) => {
            drop(write);
            // The manager listens to this process alone (`NotifyAccess=main`) until it names another one.
            outset.manager.hand_over(daemon);
            drop(handing_over);
            waiting.attend(daemon, options.ignore_interrupt)
        }
        Ok((waiting, write, (mut handed_over, hand_over), Fork::Child)) => {
            drop((waiting, hand_over));
            // Ends when the first process has told the manager of this one.
            let _ = handed_over.read(&mut [0]);
            super::with_log(options, outset, |outset| {
                if let Err(error) = process::detach() {
                    tracing::warn!("cannot detach from the terminal: {error}");
                }
                supervisor::run(options, worker_main, outset, Some(write))
            })
        }
        Err(error) => {
            outset.pid_files.remove();
            let _ = writeln!(io::stderr(), "alived: cannot start in the background: {error}");
            FATAL
        }
    }
}

impl Waiting {
    /// Holds signals back, and gives the end of the pipe that the daemon writes to.
    fn new() -> io::Result<(Self, File)> {
        let (readiness, write) = process::pipe()?;
        let (signals, poller) = (SignalQueue::open()?, Poller::new()?);
        poller.add(&signals, SIGNALS)?;
        poller.add(&readiness, READINESS)?;
        Ok((Self { signals, readiness, poller }, write))
    }

    /// Passes signals on until the daemon has said its word. After a stop this process ends by the same signal, when
    /// the daemon has ended.
    fn attend(mut self, daemon: u32, ignore_interrupt: bool) -> u8 {
        let mut stop = None;
        loop {
            let status = match self.poller.wait(None) {
                Ok(mut ready) => ready.any(|token| token == READINESS).then(|| read_status(&self.readiness)),
                Err(_) => Some(read_status(&self.readiness)),
            };
            // After the word: what comes later is for the daemon itself.
            while let Some(signal) = self.signals.next() {
                if signal == Signal::Child {
                    continue;
                }
                process::signal(daemon, signal.number());
                if signal == Signal::Stop || signal == Signal::Interrupt && !ignore_interrupt {
                    stop = Some(signal);
                }
            }
            match (status, stop) {
                (Some(status), None) => return status,
                (Some(_), Some(signal)) => {
                    process::wait_for(daemon);
                    signals::end_by(signal)
                }
                (None, _) => {}
            }
        }
    }
}

/// Without a word the supervisor was killed.
fn read_status(mut readiness: &File) -> u8 {
    let mut status = [FATAL];
    let _ = readiness.read_exact(&mut status);
    status[0]
}
