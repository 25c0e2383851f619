//! `lvs_sync_daemon` with an instance: the kernel's synchronisation thread is that of its state. A thread of its own
//! tells the kernel, which may take its time.

use super::configuration::LvsSettings;
use super::mailbox::Mailbox;
use super::spawn;
use crate::config::SyncDaemonSettings;
use crate::kernel::ipvs::{SyncDaemon, SyncRole};
use crate::sys::netlink::ipvs::IpvsSocket;
use crate::sys::poll::Poller;
use crate::vrrp::{News, State};

/// The main thread's end.
#[derive(Debug, Default)]
pub(super) struct SyncDaemons {
    wanted: Option<SyncDaemonSettings>,
    /// Of the instance.
    state: Option<State>,
    /// Once there is something to tell the kernel.
    thread: Option<(Mailbox<Request>, std::thread::JoinHandle<()>)>,
}

#[derive(Debug)]
enum Request {
    Run(Vec<SyncDaemon>),
    End,
}

impl SyncDaemons {
    /// Takes settings in place of those before. `state`: of an instance by its name, as far as it is known.
    pub(super) fn configure(&mut self, settings: &LvsSettings, state: impl Fn(&str) -> Option<State>) {
        let wanted = settings.sync_daemon.clone().filter(|daemon| daemon.instance.is_some());
        if wanted == self.wanted {
            return;
        }
        let before = self.wanted.take();
        let name = wanted.as_ref().and_then(|daemon| daemon.instance.as_deref());
        self.state = name.and_then(state);
        let ends = wanted.is_none() && before.is_some();
        self.wanted = wanted;
        if ends {
            self.ask(Vec::new());
        } else {
            self.follow();
        }
    }

    /// Something happened to the virtual routers.
    pub(super) fn tell(&mut self, news: &News) {
        let News::Transition(transition) = news else { return };
        let Some(daemon) = &self.wanted else { return };
        if daemon.instance.as_deref() == Some(&*transition.name) {
            self.state = Some(transition.to);
            self.follow();
        }
    }

    fn follow(&mut self) {
        let Some(SyncDaemonSettings { settings, .. }) = &self.wanted else { return };
        let role = match self.state {
            None => return,
            Some(State::Master) => Some(SyncRole::Master),
            Some(State::Backup | State::Fault) => Some(SyncRole::Backup),
            Some(State::Initialize) => None,
        };
        let daemons = role.map(|role| SyncDaemon { role, settings: settings.clone() });
        self.ask(daemons.into_iter().collect());
    }

    fn ask(&mut self, daemons: Vec<SyncDaemon>) {
        if self.thread.is_none() {
            let started = Mailbox::new().and_then(|requests| {
                let (poller, inbox) = (Poller::new()?, requests.clone());
                poller.add(&inbox, 0)?;
                Ok((requests, spawn("sync", move || run(poller, &inbox))?))
            });
            match started {
                Ok(started) => self.thread = Some(started),
                Err(error) => return tracing::error!("lvs_sync_daemon: cannot start a thread: {error}"),
            }
        }
        if let Some((requests, _)) = &self.thread {
            requests.send(Request::Run(daemons));
        }
    }
}

impl Drop for SyncDaemons {
    /// Waits until the kernel's threads are as they are to be.
    fn drop(&mut self) {
        if let Some((requests, thread)) = self.thread.take() {
            requests.send(Request::End);
            // A panic in it has ended the process.
            let _ = thread.join();
        }
    }
}

fn run(mut poller: Poller, requests: &Mailbox<Request>) {
    let mut socket = None;
    loop {
        if poller.wait(None).map(Iterator::count).is_err() {
            return;
        }
        requests.acknowledge();
        let (mut newest, mut ends) = (None, false);
        while let Some(request) = requests.take() {
            match request {
                Request::Run(daemons) => newest = Some(daemons),
                Request::End => ends = true,
            }
        }
        if let Some(daemons) = newest {
            if socket.is_none() {
                match IpvsSocket::open() {
                    Ok(opened) => socket = Some(opened),
                    Err(error) => tracing::error!("lvs_sync_daemon: {error}"),
                }
            }
            if let Some(socket) = &mut socket {
                super::lvs_worker::set_sync_daemons(socket, &daemons);
            }
        }
        if ends {
            return;
        }
    }
}
