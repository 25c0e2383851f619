//! How a worker gets its runners: it says once that it needs one, and the supervisor sends it the socket of
//! each that it forks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::channel::{Channel, Received, Sent};

const NEEDED: &[u8] = b"runner needed";
const FORKED: &[u8] = b"runner";

/// The two ends, for the supervisor and for one worker.
///
/// # Errors
/// When the system has no descriptor left.
pub(crate) fn supply() -> io::Result<(Demand, Supply)> {
    let (demand, supply) = Channel::pair()?;
    Ok((Demand(demand), Supply(supply)))
}

/// The supervisor's end.
#[derive(Debug)]
pub(crate) struct Demand(Channel);

/// What a look at a [`Demand`] shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Need {
    /// The worker needs a runner, from now on.
    Runner,
    /// Nothing new.
    Nothing,
    /// The worker has closed its end.
    Over,
}

impl Demand {
    /// What the worker says.
    pub(crate) fn look(&self) -> Need {
        let mut buffer = [0; 64];
        match self.0.receive(&mut buffer) {
            Ok(Received::Message(NEEDED, _)) => Need::Runner,
            Ok(Received::Closed) => Need::Over,
            Ok(Received::Message(..) | Received::Nothing) | Err(_) => Need::Nothing,
        }
    }

    /// Hands the worker the socket of a runner.
    ///
    /// # Errors
    /// When the worker does not take it.
    pub(crate) fn hand_over(&self, runner: &Channel) -> io::Result<()> {
        match self.0.send(FORKED, Some(runner.as_fd()))? {
            Sent::Done => Ok(()),
            Sent::Full => Err(io::ErrorKind::WouldBlock.into()),
            Sent::Closed => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl AsFd for Demand {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The worker's end.
#[derive(Debug)]
pub struct Supply(Channel);

impl Supply {
    /// Says that a runner is needed.
    pub(super) fn ask(&self) {
        // Without a supervisor there is none; the worker is about to be told to stop.
        let _ = self.0.send(NEEDED, None);
    }

    /// A runner that was forked. False when there will be none any more.
    pub(super) fn take(&self) -> (Option<Channel>, bool) {
        let mut buffer = [0; 64];
        match self.0.receive(&mut buffer) {
            Ok(Received::Message(_, descriptor)) => (descriptor.map(Channel::new), true),
            Ok(Received::Closed) => (None, false),
            Ok(Received::Nothing) | Err(_) => (None, true),
        }
    }
}

impl AsFd for Supply {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Supply {
    fn from(socket: OwnedFd) -> Self {
        Self(Channel::new(socket))
    }
}
