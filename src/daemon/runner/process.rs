//! The runner's process: sockets, forks and signals around the [`Queue`].

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;

use caps::Capability;

use super::AT_ONCE;
use super::protocol::{self, Command, Reply, Request, RunId};
use super::queue::{Action, Event, Queue};
use crate::kernel::ScriptUser;
use crate::sys::channel::{Channel, MESSAGE_BYTES, Received, Sent};
use crate::sys::clock;
use crate::sys::poll::Poller;
use crate::sys::process::{self, Ended};
use crate::sys::service_manager::{NOTIFY_SOCKET, WATCHDOG_VARIABLES};
use crate::sys::signals::{Signal, SignalQueue};
use crate::sys::spawn::{self, Identity, Program, StartError, Started, Step};
use crate::sys::{capabilities, heap};
use crate::time::Duration;

/// Name of the process.
const NAME: &str = "alived-runner";

/// What a runner uses of root's rights: it becomes another user, and ends that user's processes.
///
/// The others are laid down and not given up: a script of root has them all, as any program that root executes
/// (from the bounding set), and if it *gained* them by that, the kernel would forget to end it with its runner
/// (`PR_SET_PDEATHSIG`).
const USED: [Capability; 3] = [Capability::CAP_SETUID, Capability::CAP_SETGID, Capability::CAP_KILL];

/// What scripts do not inherit: as with keepalived what would change what a shell or the loader makes of them; and what
/// is between the daemon and its service manager.
const NOT_INHERITED: [&[u8]; 6] = [
    b"IFS",
    b"LD_LIBRARY_PATH",
    b"LD_PRELOAD",
    NOTIFY_SOCKET.as_bytes(),
    WATCHDOG_VARIABLES[0].as_bytes(),
    WATCHDOG_VARIABLES[1].as_bytes(),
];

/// Requests that are read at a time, between two looks at deadlines and ends.
const REQUESTS: usize = 64;

const SOCKET: u64 = 0;
const SIGNALS: u64 = 1;

/// Serves a worker at the other end of `socket` until it closes its end and all that it asked for has ended.
/// Closes every other descriptor but the standard ones.
///
/// To be called in a process of its own, with one thread.
///
/// # Errors
/// When the system has no descriptor or memory left at the start.
pub fn run(socket: Channel) -> io::Result<()> {
    process::close_all_but(&socket);
    process::name_thread(NAME);
    if let Err(error) = capabilities::lay_down_all_but(&USED) {
        // Whoever forbids it (a confined service) has left few.
        tracing::info!("the runner cannot lay down rights that it does not use: {error}");
    }
    // What a script leaves behind when it was told to end is seen to end.
    process::adopt_orphans();
    heap::trim();
    let signals = SignalQueue::open()?;
    let poller = Poller::new()?;
    poller.add(&socket, SOCKET)?;
    poller.add(&signals, SIGNALS)?;
    let process = Process {
        socket,
        open: true,
        poller,
        signals,
        queue: Queue::new(usize::try_from(AT_ONCE).unwrap_or(usize::MAX)),
        actions: Vec::new(),
        runs: BTreeMap::new(),
        replies: VecDeque::new(),
        environment: inherited_environment(),
    };
    process.serve()
}

/// What it takes to start a command.
struct Job {
    command: Box<Command>,
    /// Whether it has input, and the file of it, unless there was no descriptor left to receive it.
    input: Option<Option<OwnedFd>>,
}

struct Process {
    socket: Channel,
    open: bool,
    poller: Poller,
    signals: SignalQueue,
    queue: Queue<Job>,
    actions: Vec<Action<Job>>,
    runs: BTreeMap<RunId, Run>,
    /// What the worker has not taken yet.
    replies: VecDeque<Vec<u8>>,
    /// For every command.
    environment: Vec<CString>,
}

/// A command that was started.
struct Run {
    group: u32,
    /// Until its process has ended.
    started: Option<Started>,
}

impl Process {
    fn serve(mut self) -> io::Result<()> {
        let mut buffer = vec![0; MESSAGE_BYTES];
        while !self.queue.is_over() {
            let now = clock::now().instant;
            // Rounded up: never early.
            let timeout = self
                .queue
                .poll_timeout()
                .map(|at| at.saturating_since(now).saturating_add(Duration::from_millis(1)));
            self.poller.wait(timeout)?.for_each(drop);
            while let Some(signal) = self.signals.next() {
                if signal == Signal::Child {
                    self.reap();
                }
            }
            if self.open {
                self.receive(&mut buffer);
            }
            self.queue.handle_timeout(clock::now().instant, &mut self.actions);
            self.act();
            self.reply();
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        for _ in 0..REQUESTS {
            match self.socket.receive(buffer) {
                Ok(Received::Message(bytes, descriptor)) => {
                    let event = match protocol::decode(bytes) {
                        Some(Request::Run { id, command, input }) => Event::Run {
                            id,
                            deadline: command.deadline,
                            grace: command.grace,
                            job: Job { command, input: input.then_some(descriptor) },
                        },
                        Some(Request::Cancel(id)) => Event::Cancel(id),
                        Some(Request::Limit(limit)) => {
                            Event::Limit(usize::try_from(limit).unwrap_or(usize::MAX))
                        }
                        // The same program is at the other end: there is nothing else.
                        None => continue,
                    };
                    self.handle(event);
                }
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) => return self.hang_up(),
                // Which run it was cannot be told: the worker must not wait for it for ever.
                Err(_) => return self.hang_up(),
            }
        }
    }

    fn hang_up(&mut self) {
        self.poller.remove(&self.socket);
        self.open = false;
        self.replies.clear();
        self.handle(Event::HungUp);
    }

    fn handle(&mut self, event: Event<Job>) {
        self.queue.handle(clock::now().instant, event, &mut self.actions);
        self.act();
    }

    fn act(&mut self) {
        // Acting leads to further actions: one that is not started makes room for the next.
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                match action {
                    Action::Start(id, job) => self.start(id, job),
                    Action::Signal(id, number) => {
                        if let Some(run) = self.runs.get(&id) {
                            process::signal_group(run.group, number);
                        }
                    }
                    Action::Report(id, outcome) => {
                        self.runs.remove(&id);
                        if self.open {
                            self.replies.extend(protocol::encode(&Reply { id, outcome }));
                        }
                    }
                }
            }
        }
    }

    fn start(&mut self, id: RunId, job: Job) {
        match start(job, &self.environment) {
            Ok(started) => {
                self.runs.insert(id, Run { group: started.pid, started: Some(started) });
            }
            Err(why) => {
                let event = Event::NotStarted(id, why);
                self.queue.handle(clock::now().instant, event, &mut self.actions);
            }
        }
    }

    fn reap(&mut self) {
        while let Some((pid, how)) = process::reap() {
            let found = self.runs.iter_mut().find(|(_, run)| run.group == pid && run.started.is_some());
            // Else it is one that a command has left behind.
            let Some((id, run)) = found else { continue };
            let (id, failure) = (*id, run.started.take().and_then(Started::failure));
            let event = match failure {
                Some(why) if how == Ended::Exited(127) => Event::NotStarted(id, why),
                _ => Event::Ended { id, how, rest: process::group_exists(pid) },
            };
            self.handle(event);
        }
        let gone: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(_, run)| run.started.is_none() && !process::group_exists(run.group))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.handle(Event::RestGone(id));
        }
    }

    fn reply(&mut self) {
        while let Some(reply) = self.replies.front() {
            match self.socket.send(reply, None) {
                Ok(Sent::Done) => {
                    self.replies.pop_front();
                }
                Ok(Sent::Full) => break,
                Ok(Sent::Closed) | Err(_) => return self.hang_up(),
            }
        }
        if self.open {
            // It is in the set.
            let _ = self.poller.watch_writable(&self.socket, SOCKET, !self.replies.is_empty());
        }
    }
}

fn start(job: Job, inherited: &[CString]) -> Result<Started, StartError> {
    let Job { command, input } = job;
    let input = match input {
        Some(None) => return Err(StartError::Step(Step::Input, libc::EMFILE)),
        Some(file) => file,
        None => None,
    };
    let identity = match &command.script.user {
        ScriptUser::Default => None,
        ScriptUser::Named(named) => Some(Identity::of(named)?),
    };
    if command.script.program.is_empty() {
        return Err(StartError::Step(Step::Execute, libc::ENOENT));
    }
    let name = |entry: &CStr| entry.to_bytes().split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
    let replaced = |entry: &CString| command.environment.iter().any(|own| name(own) == name(entry));
    let environment: Vec<CString> =
        inherited.iter().filter(|entry| !replaced(entry)).chain(&command.environment).cloned().collect();
    let words: Vec<CString> = command.script.words().map(CStr::to_owned).collect();
    spawn::start(&Program {
        words: &words,
        environment: &environment,
        identity: identity.as_ref(),
        input: input.as_ref().map(|input| input.as_fd()),
    })
}

/// The daemon's own, but for what scripts do not get.
fn inherited_environment() -> Vec<CString> {
    std::env::vars_os()
        .filter(|(name, _)| !NOT_INHERITED.contains(&name.as_encoded_bytes()))
        .filter_map(|(name, value)| {
            let mut entry = name.into_vec();
            entry.push(b'=');
            entry.extend(value.into_vec());
            CString::new(entry).ok()
        })
        .collect()
}
