//! The supervisor's web process: started after the workers and again when it dies, given the key to each of them.

use std::io;

use super::{Child, Fork, Supervisor};
use crate::config::{HttpAddress, HttpSettings};
use crate::daemon::door::{self, Door, Key};
use crate::daemon::seat::{self, Part};
use crate::daemon::web;
use crate::sys::channel::Channel;
use crate::sys::clock;
use crate::sys::process::{self, Ended};
use crate::sys::signals::Signal;
use crate::time::{Duration, Instant};

/// How long it may take to stop: it has nothing to leave in order.
pub(super) const STOP_TIME: Duration = Duration::from_secs(2);

/// Its place.
#[derive(Debug)]
pub(super) struct Web {
    pub(super) child: Child,
    /// Where the process is told of workers.
    channel: Option<Channel>,
    /// The one that runs is of the program before: the first one of this program follows.
    predecessor: bool,
    /// Of those that there are to be.
    keys: Vec<(Part, Key)>,
}

impl Web {
    /// `None` where there is to be no web process.
    pub(super) fn of(settings: &HttpSettings) -> Option<Self> {
        let wanted = settings.address != HttpAddress::Off;
        wanted.then(|| Self {
            child: Child::new("web process"),
            channel: None,
            predecessor: false,
            keys: Vec::new(),
        })
    }

    /// The process of the program before, which holds the address until it ends.
    pub(super) fn take_over(&mut self, pid: u32, now: Instant) {
        self.child.started(pid, now);
        self.predecessor = true;
    }

    /// The next worker of this kind is about to start: gives its side, and the other one to the process.
    pub(super) fn make_door(&mut self, part: Part) -> io::Result<Door> {
        let (key, door) = door::pair()?;
        self.keys.retain(|(of, _)| *of != part);
        self.keys.push((part, key));
        self.tell(part);
        Ok(door)
    }

    /// There is to be no worker of this kind.
    pub(super) fn forget(&mut self, part: Part) {
        self.keys.retain(|(of, _)| *of != part);
        self.tell(part);
    }

    fn tell(&self, part: Part) {
        let key = self.keys.iter().find(|(of, _)| *of == part).map(|(_, key)| key);
        if let Some(channel) = &self.channel {
            use std::os::fd::AsFd as _;
            // If it is about to die, the next one is told.
            let _ = channel.send(web::word(part, key.is_some()), key.map(Key::as_fd));
        }
    }
}

impl Supervisor<'_> {
    /// Starts it, if there is to be one.
    pub(super) fn start_web(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        let Some(web) = &mut self.web else { return };
        let now = clock::now().instant;
        let own_pid = process::own_pid();
        match Channel::pair().and_then(|pair| Ok((pair, process::fork()?))) {
            Ok(((_, far), Fork::Child)) => {
                self.manager.leave();
                self.going_on = None;
                let status = web::run(self.options, &self.settings, &far, own_pid);
                std::process::exit(i32::from(status))
            }
            Ok(((near, far), Fork::Parent(pid))) => {
                drop(far);
                web.child.started(pid, now);
                web.channel = Some(near);
                web.keys.iter().for_each(|(part, _)| web.tell(*part));
                tracing::info!("Starting {} child process, pid={pid}", web.child.name());
            }
            Err(error) => {
                let when = seat::in_seconds(web.child.respawn_later(now, Duration::ZERO));
                tracing::error!("cannot start the web process: {error}; the next attempt is made{when}");
            }
        }
    }

    /// Has it stop.
    pub(super) fn stop_web(&mut self, now: Instant) {
        let Some(web) = &mut self.web else { return };
        web.child.stay_dead();
        if web.child.runs() {
            web.child.signal(Signal::Stop.number());
            web.child.kill_at(now + STOP_TIME);
        }
    }

    /// Whether it was the one of this number that ended. Another one follows, also with `-R`: no router depends on it.
    pub(super) fn web_ended(&mut self, pid: u32, ended: Ended) -> bool {
        let Some(web) = &mut self.web else { return false };
        let Some(lived) = web.child.ended(pid) else { return false };
        web.channel = None;
        if std::mem::take(&mut web.predecessor) {
            self.start_web();
            return true;
        }
        if self.stopping.is_none() {
            let when = seat::in_seconds(web.child.respawn_later(clock::now().instant, lived));
            tracing::error!("Web child process({pid}) died: Respawning{when} (it {})", seat::words(ended));
        }
        true
    }
}
