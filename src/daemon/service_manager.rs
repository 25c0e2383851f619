//! What the supervisor tells the service manager (systemd, `Type=notify`): that the daemon serves, and as which
//! process; that it reloads and has done so; that it stops; and its status in words.

use std::collections::VecDeque;
use std::io;

use super::progress::{MESSAGE_BYTES, Message, Stage};
use crate::sys::channel::{Channel, Received};
use crate::sys::poll::Poller;
use crate::sys::process;
use crate::sys::service_manager::{self, NotifySocket, NotifyState, message, reload_time};
use crate::time::{Duration, Instant};

/// Messages kept for a manager that does not read: of more the oldest are lost.
const WAITING: usize = 32;

/// When a message that the manager did not take is sent again.
const RETRY: Duration = Duration::from_millis(100);

/// The longest status, in characters.
const STATUS_CHARACTERS: usize = 300;

/// Messages of a worker that are read at a time.
const MESSAGES: usize = 64;

/// The manager, if there is one, and what it was told.
#[derive(Debug, Default)]
pub(super) struct ServiceManager {
    socket: Option<NotifySocket>,
    /// How long it waits for a sign of life.
    watchdog: Option<Duration>,
    /// What it did not take yet.
    waiting: VecDeque<String>,
    retry_at: Option<Instant>,
    /// It could not be told something, which the log says once.
    unreachable: bool,
    /// Where the worker tells how far it is.
    worker: Option<Channel>,
    worker_serves: bool,
    stage: Told,
    /// The last one it was told.
    status: String,
}

/// What the manager knows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Told {
    #[default]
    Nothing,
    Ready,
    Reloading,
    Stopping,
}

impl ServiceManager {
    /// The one that the environment names, if it names one. To be called in the network namespace in which the
    /// daemon was started.
    pub(super) fn from_environment() -> io::Result<Self> {
        let socket = NotifySocket::from_environment()?;
        Ok(Self { socket, watchdog: service_manager::watchdog(), ..Self::default() })
    }

    /// How long it waits for [`ServiceManager::alive`], if it does.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.socket.is_some())
    }

    /// The daemon is alive. Of no worth later: not kept for a manager that does not read.
    pub(super) fn alive(&self) {
        if let (Some(socket), true) = (&self.socket, self.waiting.is_empty()) {
            // The next one follows soon.
            let _ = socket.send(&message(&[NotifyState::Watchdog]));
        }
    }

    /// Another process, with this number, is the daemon and tells all the rest. What goes wrong here is said there,
    /// where it goes wrong too.
    pub(super) fn hand_over(&self, daemon: u32) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(&message(&[NotifyState::MainPid(daemon)]));
        }
    }

    /// There will be no daemon, because of this; the text goes to standard error too.
    pub(super) fn refused(&self, text: &str) {
        let why = text.lines().find(|line| !line.trim().is_empty());
        if let (Some(socket), Some(why)) = (&self.socket, why) {
            let _ = socket.send(&message(&[NotifyState::Status(&plain(why))]));
        }
    }

    /// A worker is about to be started: gives what it gets, and watches the other end.
    pub(super) fn expect_worker(&mut self, poller: &Poller, token: u64) -> io::Result<Option<Channel>> {
        self.forget_worker(poller);
        if self.socket.is_none() {
            return Ok(None);
        }
        let (near, far) = Channel::pair()?;
        poller.add(&near, token)?;
        self.worker = Some(near);
        self.worker_serves = false;
        Ok(Some(far))
    }

    /// In a process that is not the supervisor.
    pub(super) fn leave(&mut self) {
        *self = Self::default();
    }

    /// Takes what the worker has told, and tries again what the manager did not take.
    pub(super) fn serve(&mut self, now: Instant, poller: &Poller) {
        let mut buffer = [0; MESSAGE_BYTES];
        for _ in 0..MESSAGES {
            let Some(worker) = &self.worker else { break };
            match worker.receive(&mut buffer) {
                Ok(Received::Message(line, _)) => {
                    if let Ok(message) = serde_json::from_slice(line) {
                        self.follow(now, &message);
                    }
                }
                Ok(Received::Nothing) => break,
                // Its end as a process follows.
                Ok(Received::Closed) | Err(_) => self.forget_worker(poller),
            }
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.send(now);
        }
    }

    /// When [`ServiceManager::serve`] is to be called though no descriptor is readable.
    pub(super) const fn timeout(&self) -> Option<Instant> {
        self.retry_at
    }

    /// There is no worker just now, and why, or one that does not serve yet.
    pub(super) fn wait(&mut self, now: Instant, status: &str) {
        if self.stage != Told::Stopping {
            self.tell(now, &[], status);
        }
    }

    /// A reload was asked for: tells it in place of a worker that cannot tell it yet, and will serve when it is done.
    pub(super) fn reload_asked(&mut self, now: Instant) {
        if self.stage != Told::Stopping && !(self.worker_serves && self.worker.is_some()) {
            self.reloading(now, "a reload waits for the next worker");
        }
    }

    /// Another program is about to be executed in place of this one, and says when all is served again.
    pub(super) fn restarting(&mut self, now: Instant) {
        if self.stage != Told::Stopping {
            self.reloading(now, "restarting without failover");
        }
    }

    /// The daemon is about to end.
    pub(super) fn stopping(&mut self, now: Instant, status: &str) {
        if self.stage != Told::Stopping {
            self.stage = Told::Stopping;
            self.tell(now, &[NotifyState::Stopping], status);
        }
    }

    fn follow(&mut self, now: Instant, message: &Message) {
        let Message { stage, status } = message;
        self.worker_serves = true;
        match (self.stage, stage) {
            (Told::Stopping, _) => {}
            (Told::Ready, Stage::Serves) => self.tell(now, &[], status),
            (_, Stage::Serves) => {
                self.stage = Told::Ready;
                let pid = NotifyState::MainPid(process::own_pid());
                self.tell(now, &[NotifyState::Ready, pid], status);
            }
            (_, Stage::Reloads) => self.reloading(now, status),
        }
    }

    fn reloading(&mut self, now: Instant, status: &str) {
        self.stage = Told::Reloading;
        let states: Vec<_> = [NotifyState::Reloading].into_iter().chain(reload_time()).collect();
        self.tell(now, &states, status);
    }

    fn forget_worker(&mut self, poller: &Poller) {
        if let Some(worker) = self.worker.take() {
            poller.remove(&worker);
        }
    }

    fn tell(&mut self, now: Instant, states: &[NotifyState<'_>], status: &str) {
        if self.socket.is_none() {
            return;
        }
        let status = plain(status);
        if states.is_empty() && status == self.status {
            return;
        }
        let text = message(states) + &message(&[NotifyState::Status(&status)]);
        self.status = status;
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(text);
        self.send(now);
    }

    fn send(&mut self, now: Instant) {
        self.retry_at = None;
        let Some(socket) = &self.socket else { return };
        while let Some(text) = self.waiting.front() {
            match socket.send(text) {
                Ok(()) => self.unreachable = false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.retry_at = Some(now + RETRY);
                    return;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.unreachable, true) {
                        tracing::warn!("the service manager (NOTIFY_SOCKET) cannot be told: {error}");
                    }
                }
            }
            self.waiting.pop_front();
        }
    }
}

/// As one short line: another one would be a state of its own.
fn plain(status: &str) -> String {
    status.chars().take(STATUS_CHARACTERS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
