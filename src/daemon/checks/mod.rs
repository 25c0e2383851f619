//! Input and output of health checks: what the engine ([`crate::check`]) asks for is done here, by one thread and
//! without waiting, and what happens is handed back.
//!
//! ```text
//! loop {
//!     tokio::select! {
//!         () = io.ready() => {}
//!         () = sleep_until(checks.poll_timeout()) => {}
//!         // …and the runner, whose events `CheckIo::finish` takes.
//!     }
//!     while let Some((attempt, event)) = io.next() {
//!         checks.handle(now, attempt, &event, &mut actions);
//!         actions.io.drain(..).for_each(|(attempt, action)| io.carry_out(attempt, action, &mut runner));
//!     }
//!     checks.handle_timeout(now, &mut actions);
//!     actions.io.drain(..).for_each(|(attempt, action)| io.carry_out(attempt, action, &mut runner));
//! }
//! ```
//!
//! There is no task for each check: all sockets are in one set, and one buffer takes what is received. A round tells of
//! each attempt at most once, so that whoever sends endlessly gets one turn among all others.

mod datagrams;
mod fetch;
mod lacks;
mod programs;
mod stream;
pub mod tls;

pub(crate) use self::fetch::fetch;

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::io;

use self::datagrams::Datagrams;
use self::lacks::Lacks;
use self::programs::Programs;
use self::stream::Stream;
use self::tls::Tls;
use super::runner::{self, Runner};
use crate::check::{Action, Attempt, Event, Local, Open, TlsClient};
use crate::sys::check_socket::{OpenError, Source};
use crate::sys::edges::{EdgePoller, Edges};
use crate::sys::process;
use crate::sys::readiness::Readiness;
use crate::time::WallTime;

/// Takes what is received, of a stream or as one datagram, whose longest it holds.
const BUFFER: usize = 64 * 1024;

/// Descriptors that are left to the rest of the process.
const RESERVE: u64 = 160;

/// Carries out what the engine of health checks asks for.
#[derive(Debug)]
pub struct CheckIo {
    poller: EdgePoller,
    readiness: Readiness,
    /// Something may have happened that was not collected yet.
    woken: bool,
    slots: Vec<Slot>,
    /// Slots without an attempt.
    free: Vec<u32>,
    attempts: HashMap<Attempt, u32>,
    programs: Programs,
    /// What is known without asking a socket.
    news: VecDeque<(Attempt, Event<'static>)>,
    /// Slots whose turn it is in this round, and in the next one.
    turns: VecDeque<u32>,
    later: Vec<u32>,
    in_round: bool,
    /// Sockets that are open, and how many may be.
    sockets: u64,
    sockets_max: u64,
    tls: Tls,
    lacks: Lacks,
    buffer: Box<[u8]>,
}

#[derive(Debug)]
struct Slot {
    /// Tells what the poller says of this attempt from what it said of the one before in the same slot.
    generation: u32,
    attempt: Option<Attempt>,
    socket: Option<CheckSocket>,
    edges: Edges,
    /// It is in one of the queues.
    queued: bool,
}

#[derive(Debug)]
enum CheckSocket {
    Stream(Stream),
    Datagrams(Datagrams),
}

/// What came of an attempt's turn. Bytes are in the buffer.
#[derive(Debug)]
enum Step {
    Nothing,
    Connected(Option<WallTime>),
    Received(usize),
    Closed,
    Failed(Cow<'static, str>),
    NotTried(String),
}

impl CheckIo {
    /// Without any attempt; to be called within a runtime. As many sockets at a time as the limit of open files allows
    /// now, less some that others need.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let poller = EdgePoller::new()?;
        let limit = process::descriptor_limit();
        Ok(Self {
            readiness: Readiness::of(&poller)?,
            poller,
            woken: false,
            slots: Vec::new(),
            free: Vec::new(),
            attempts: HashMap::new(),
            programs: Programs::default(),
            news: VecDeque::new(),
            turns: VecDeque::new(),
            later: Vec::new(),
            in_round: false,
            sockets: 0,
            sockets_max: limit - RESERVE.min(limit / 2),
            tls: Tls::default(),
            lacks: Lacks::default(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
        })
    }

    /// How many sockets may be open at a time; what is beyond is not tried, and counts against nobody.
    pub const fn sockets_max(&self) -> u64 {
        self.sockets_max
    }

    /// Sets how many sockets may be open at a time.
    pub const fn set_sockets_max(&mut self, sockets_max: u64) {
        self.sockets_max = sockets_max;
    }

    /// What is shown to servers with TLS, and whether their certificates are verified: up to the `ca` of `client`, or
    /// to the authorities of this host where it has none. Counts for connections that are opened from now on.
    ///
    /// # Errors
    /// In words, when a file cannot be used. Until the next call checks with TLS are not tried then, which counts
    /// against nobody.
    pub fn set_tls(&mut self, client: &TlsClient, verify: bool) -> Result<(), String> {
        self.tls.set(client, verify)
    }

    /// Does what the engine asks for. Programs are run by `runner`, whose events [`CheckIo::finish`] takes.
    pub fn carry_out(&mut self, attempt: Attempt, action: Action, runner: &mut Runner) {
        match action {
            Action::Open(Open::Program { script, timeout }) => {
                self.programs.start(attempt, &script, timeout, runner);
            }
            Action::Open(open) => self.open(attempt, &open),
            Action::Send(bytes) => self.send(attempt, bytes),
            Action::Close => {
                self.close(attempt);
                self.programs.close(attempt, runner);
            }
        }
    }

    /// Takes an event of the runner. Whether it was of a check.
    pub fn finish(&mut self, event: &runner::Event) -> bool {
        let (was_of_a_check, news) = self.programs.finish(event);
        self.news.extend(news);
        was_of_a_check
    }

    /// Waits until there is something for [`CheckIo::next`]. Nothing is lost when the wait is given up.
    pub async fn ready(&mut self) {
        if self.woken || self.in_round || !self.news.is_empty() || !self.later.is_empty() {
            return;
        }
        // An error comes at the end of the runtime alone.
        if self.readiness.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.woken = true;
    }

    /// The next event of this round; `None` at its end. What it causes is to be carried out before the next call.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<(Attempt, Event<'_>)> {
        if !self.in_round {
            self.begin_round();
        }
        if let Some((attempt, event)) = self.next_news() {
            return Some((attempt, event));
        }
        let Some((attempt, step)) = self.next_step() else {
            self.in_round = false;
            return None;
        };
        let event = match step {
            Step::Connected(certificate_expires) => Event::Connected { certificate_expires },
            Step::Received(length) => Event::Received(self.buffer.get(..length).unwrap_or(&[])),
            Step::Closed | Step::Nothing => Event::Closed,
            Step::Failed(why) => Event::Failed(why),
            Step::NotTried(why) => {
                self.lacks.note(&why);
                Event::NotTried(why.into())
            }
        };
        Some((attempt, event))
    }

    fn begin_round(&mut self) {
        self.in_round = true;
        self.woken = false;
        self.turns.extend(self.later.drain(..));
        let Self { poller, slots, turns, .. } = self;
        let collected = poller.collect(|token, edges| {
            let index = token as u32;
            let Some(slot) = slots.get_mut(index as usize) else { return };
            if slot.generation != (token >> 32) as u32 {
                return;
            }
            slot.edges.add(edges);
            if !core::mem::replace(&mut slot.queued, true) {
                turns.push_back(index);
            }
        });
        if let Err(error) = collected {
            tracing::error!("cannot ask for what happened to the sockets of checks: {error}");
        }
        self.lacks.report();
    }

    fn next_news(&mut self) -> Option<(Attempt, Event<'static>)> {
        while let Some((attempt, event)) = self.news.pop_front() {
            if self.attempts.contains_key(&attempt) || self.programs.has(attempt) {
                return Some((attempt, event));
            }
        }
        None
    }

    fn next_step(&mut self) -> Option<(Attempt, Step)> {
        while let Some(index) = self.turns.pop_front() {
            let Some(slot) = self.slots.get_mut(index as usize) else { continue };
            slot.queued = false;
            let (Some(attempt), Some(socket)) = (slot.attempt, &mut slot.socket) else { continue };
            let step = match socket {
                CheckSocket::Stream(stream) => stream.step(&mut slot.edges, &mut self.buffer, &self.tls),
                CheckSocket::Datagrams(datagrams) => datagrams.step(&mut slot.edges, &mut self.buffer),
            };
            let over = matches!(step, Step::Closed | Step::Failed(_) | Step::NotTried(_));
            if slot.edges.readable && !over {
                slot.queued = true;
                self.later.push(index);
            }
            if !matches!(step, Step::Nothing) {
                return Some((attempt, step));
            }
        }
        None
    }

    fn open(&mut self, attempt: Attempt, open: &Open) {
        let index = self.take_slot(attempt);
        if self.sockets >= self.sockets_max {
            let why = format!(
                "{} sockets are open already, as many as the limit of open files leaves (LimitNOFILE= in the systemd \
                 unit or ulimit -Hn allows more)",
                self.sockets
            );
            return self.not_tried(attempt, why.into());
        }
        let opened = match open {
            Open::Stream { to, from, tls } => {
                Stream::connect(*to, &source(from), tls.as_ref()).map(CheckSocket::Stream)
            }
            Open::Datagrams { to, from } => Datagrams::udp(*to, &source(from)).map(CheckSocket::Datagrams),
            Open::Echo { to, from } => {
                Datagrams::echo(*to, &source(from), index as u16).map(CheckSocket::Datagrams)
            }
            // `carry_out` has these run.
            Open::Program { .. } => return,
        };
        let socket = match opened {
            Ok(socket) => socket,
            Err(error) => return self.refuse(attempt, &error),
        };
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let token = u64::from(slot.generation) << 32 | u64::from(index);
        let watched = match &socket {
            CheckSocket::Stream(stream) => self.poller.add(stream.socket(), token),
            CheckSocket::Datagrams(datagrams) => self.poller.add(datagrams.socket(), token),
        };
        if let Err(error) = watched {
            return self.not_tried(attempt, format!("its socket cannot be watched: {error}").into());
        }
        if matches!(socket, CheckSocket::Datagrams(_)) {
            self.news.push_back((attempt, Event::Connected { certificate_expires: None }));
        }
        slot.socket = Some(socket);
        self.sockets += 1;
    }

    fn refuse(&mut self, attempt: Attempt, error: &OpenError) {
        if error.is_lack() {
            return self.not_tried(attempt, error.to_string().into());
        }
        self.news.push_back((attempt, Event::Failed(error.to_string().into())));
    }

    fn not_tried(&mut self, attempt: Attempt, why: Cow<'static, str>) {
        self.lacks.note(&why);
        self.news.push_back((attempt, Event::NotTried(why)));
    }

    fn send(&mut self, attempt: Attempt, bytes: Vec<u8>) {
        let Some(index) = self.attempts.get(&attempt) else { return };
        let Some(slot) = self.slots.get_mut(*index as usize) else { return };
        let failed = match &mut slot.socket {
            Some(CheckSocket::Stream(stream)) => {
                stream.send(bytes);
                None
            }
            Some(CheckSocket::Datagrams(datagrams)) => datagrams.send(bytes).err(),
            None => None,
        };
        if let Some(why) = failed {
            self.news.push_back((attempt, Event::Failed(why.into())));
        }
    }

    fn close(&mut self, attempt: Attempt) {
        let Some(index) = self.attempts.remove(&attempt) else { return };
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        slot.attempt = None;
        slot.generation = slot.generation.wrapping_add(1);
        if let Some(socket) = slot.socket.take() {
            self.sockets -= 1;
            if let CheckSocket::Stream(stream) = socket {
                stream.close();
            }
        }
        self.free.push(index);
    }

    fn take_slot(&mut self, attempt: Attempt) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                attempt: None,
                socket: None,
                edges: Edges::default(),
                queued: false,
            });
            // Less than 2^32 attempts are open: each has a probe of its own.
            (self.slots.len() - 1) as u32
        });
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.attempt = Some(attempt);
            slot.edges = Edges::default();
        }
        self.attempts.insert(attempt, index);
        index
    }
}

fn source(from: &Local) -> Source<'_> {
    Source {
        address: from.address,
        port: from.port.map_or(0, core::num::NonZeroU16::get),
        interface: from.interface.as_ref().map(crate::net::InterfaceName::as_str),
        mark: from.mark,
    }
}
