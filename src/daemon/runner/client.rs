//! The worker's side: commands go in, what became of them comes out.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};

use super::AT_ONCE;
use super::protocol::{self, Command, Outcome, Refusal, Reply, Request, RunId};
use super::supply::Supply;
use crate::sys::channel::{Channel, MESSAGE_BYTES, Received, Sent};
use crate::sys::poll::Poller;
use crate::sys::process;

/// What became of a command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// It is over.
    Finished {
        /// What [`Runner::start`] gave.
        id: RunId,
        /// How it went.
        outcome: Outcome,
    },
    /// Its runner died: whether it ran, and how it went, is not known.
    Lost {
        /// What [`Runner::start`] gave.
        id: RunId,
    },
}

const SUPPLY: u64 = 0;
const SOCKET: u64 = 1;

/// Commands that are not over, sent or not; further ones are refused.
const OPEN_MAX: usize = 10_000;

/// The near end of a worker's runners: of the one that lives, and of the next one when it dies.
///
/// Its descriptor is readable when there is something for [`Runner::handle`]. Nothing here blocks.
#[derive(Debug)]
pub struct Runner {
    supply: Supply,
    asked: bool,
    poller: Poller,
    socket: Option<Channel>,
    at_once: u32,
    next: u64,
    /// Commands not sent yet, in order.
    unsent: VecDeque<Unsent>,
    /// Other requests to the runner that lives; they go first.
    words: VecDeque<Request>,
    /// What the runner that lives was sent, and has not answered.
    sent: BTreeSet<RunId>,
    events: VecDeque<Event>,
}

#[derive(Debug)]
struct Unsent {
    id: RunId,
    /// Its [`Request::Run`].
    message: Vec<u8>,
    input: Vec<u8>,
}

impl Runner {
    /// Without a runner yet: the first command asks for one.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new(supply: Supply) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.add(&supply, SUPPLY)?;
        Ok(Self {
            supply,
            asked: false,
            poller,
            socket: None,
            at_once: AT_ONCE,
            next: 0,
            unsent: VecDeque::new(),
            words: VecDeque::new(),
            sent: BTreeSet::new(),
            events: VecDeque::new(),
        })
    }

    /// Has a runner forked before the first command, so that this one need not wait for it.
    pub fn prepare(&mut self) {
        if !self.asked {
            self.asked = true;
            self.supply.ask();
        }
    }

    /// Runs a command when its turn comes. Exactly one event will tell what became of it.
    pub fn start(&mut self, command: Command) -> RunId {
        self.prepare();
        let id = RunId(self.next);
        self.next += 1;
        tracing::debug!("command {}: {:?}", id.0, command.script.program);
        if self.unsent.len() + self.sent.len() >= OPEN_MAX {
            self.finish(id, Outcome::Refused(Refusal::TooMany));
            return id;
        }
        let mut command = Box::new(command);
        let input = std::mem::take(&mut command.input);
        match protocol::encode(&Request::Run { id, command, input: !input.is_empty() }) {
            Some(message) => {
                self.unsent.push_back(Unsent { id, message, input });
                self.flush();
            }
            None => self.finish(id, Outcome::Refused(Refusal::TooLong)),
        }
        id
    }

    /// Ends a command, or strikes it out if its turn has not come. Its event comes all the same.
    pub fn cancel(&mut self, id: RunId) {
        if let Some(position) = self.unsent.iter().position(|unsent| unsent.id == id) {
            self.unsent.remove(position);
            self.finish(id, Outcome::Cancelled);
        } else if self.sent.contains(&id) {
            self.words.push_back(Request::Cancel(id));
            self.flush();
        }
    }

    /// How many commands run at a time, at least one; [`AT_ONCE`] at first. Those that run already go on.
    pub fn set_limit(&mut self, at_once: u32) {
        self.at_once = at_once;
        if self.socket.is_some() {
            self.words.push_back(Request::Limit(at_once));
            self.flush();
        }
    }

    /// To be called when the descriptor is readable.
    pub fn handle(&mut self) {
        self.receive();
        loop {
            match self.supply.take() {
                (Some(socket), _) => self.take_over(socket),
                (None, true) => break,
                // Without the supervisor there will be no next runner.
                (None, false) => {
                    self.poller.remove(&self.supply);
                    break;
                }
            }
        }
        self.flush();
    }

    /// What has become of commands, in the order in which it was learned.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn finish(&mut self, id: RunId, outcome: Outcome) {
        tracing::debug!("command {}: {outcome:?}", id.0);
        self.events.push_back(Event::Finished { id, outcome });
    }

    /// A runner was forked: the one before is dead, or as good as dead.
    fn take_over(&mut self, socket: Channel) {
        self.receive();
        self.hang_up();
        if self.poller.add(&socket, SOCKET).is_err() {
            // No memory. A runner whose socket is closed ends, and the supervisor forks the next.
            return;
        }
        self.socket = Some(socket);
        if self.at_once != AT_ONCE {
            self.words.push_back(Request::Limit(self.at_once));
        }
    }

    fn hang_up(&mut self) {
        let Some(socket) = self.socket.take() else { return };
        self.poller.remove(&socket);
        self.words.clear();
        for id in std::mem::take(&mut self.sent) {
            self.events.push_back(Event::Lost { id });
        }
    }

    fn receive(&mut self) {
        let mut buffer = vec![0; MESSAGE_BYTES];
        while let Some(socket) = &self.socket {
            match socket.receive(&mut buffer) {
                Ok(Received::Message(bytes, _)) => {
                    if let Some(Reply { id, outcome }) = protocol::decode(bytes)
                        && self.sent.remove(&id)
                    {
                        self.finish(id, outcome);
                    }
                }
                Ok(Received::Nothing) => break,
                Ok(Received::Closed) | Err(_) => self.hang_up(),
            }
        }
    }

    fn flush(&mut self) {
        let Some(socket) = &self.socket else { return };
        let mut full = false;
        while let Some(word) = self.words.front() {
            // Too short to be refused.
            let bytes = protocol::encode(word).unwrap_or_default();
            match socket.send(&bytes, None) {
                Ok(Sent::Done) => {
                    self.words.pop_front();
                }
                Ok(Sent::Full) => {
                    full = true;
                    break;
                }
                // What it has answered is read first, when its end is noticed. No memory: the next time.
                Ok(Sent::Closed) | Err(_) => return,
            }
        }
        while !full && let Some(unsent) = self.unsent.front() {
            match hand_in(socket, unsent) {
                Ok(Sent::Done) => {
                    self.sent.insert(unsent.id);
                }
                Ok(Sent::Full) => {
                    full = true;
                    break;
                }
                Ok(Sent::Closed) => return,
                Err(_) => {
                    let outcome = Outcome::Refused(Refusal::NoMemory);
                    self.events.push_back(Event::Finished { id: unsent.id, outcome });
                }
            }
            self.unsent.pop_front();
        }
        // It is in the set.
        let _ = self.poller.watch_writable(socket, SOCKET, full);
    }
}

fn hand_in(socket: &Channel, unsent: &Unsent) -> io::Result<Sent> {
    let input = match unsent.input.as_slice() {
        [] => None,
        input => Some(input_file(input)?),
    };
    socket.send(&unsent.message, input.as_ref().map(AsFd::as_fd))
}

/// A file in memory, so that however much it is nobody has to wait until the command has read it.
fn input_file(input: &[u8]) -> io::Result<std::fs::File> {
    let mut file = process::memory_file("alived-input")?;
    file.write_all(input)?;
    file.rewind()?;
    Ok(file)
}

impl AsFd for Runner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}
