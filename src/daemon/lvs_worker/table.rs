//! The kernel's IPVS table: a thread of its own writes and reads it, so that no check waits while ten thousand entries
//! are written.

use std::io;
use std::thread::JoinHandle;

use super::super::mailbox::Mailbox;
use super::super::spawn;
use crate::kernel::KernelError;
use crate::kernel::ipvs::{IpvsOperation, IpvsRefusal, IpvsTable, SyncDaemon, SyncRole, Timeouts};
use crate::sys::clock;
use crate::sys::netlink::ipvs::IpvsSocket;
use crate::sys::poll::Poller;
use crate::time::Duration;

/// Changes that are answered at a time.
const CHUNK: usize = 1024;

/// What the thread is asked for, in order.
#[derive(Debug)]
pub(super) enum Request {
    /// Changes; each is answered.
    Change(Vec<IpvsOperation>),
    /// Remove all.
    Flush,
    /// Read all.
    Read,
    /// The kernel's timeouts.
    Timeouts(Timeouts),
    /// Start these threads of the kernel, and stop those of other roles.
    SyncDaemons(Vec<SyncDaemon>),
    /// Finish.
    End,
}

/// What it says.
#[derive(Debug)]
pub(super) enum Reply {
    /// To as many changes.
    Answers(Vec<Result<(), IpvsRefusal>>),
    /// The table, and how long reading it took.
    Table(IpvsTable, Duration),
    /// The table could not be read.
    Unread(KernelError),
}

/// The main thread's end.
#[derive(Debug)]
pub(super) struct TableThread {
    requests: Mailbox<Request>,
    thread: Option<JoinHandle<()>>,
}

impl TableThread {
    /// Starts it.
    pub(super) fn start(socket: IpvsSocket, replies: Mailbox<Reply>) -> io::Result<Self> {
        let requests = Mailbox::new()?;
        let poller = Poller::new()?;
        poller.add(&requests, 0)?;
        let served = Served { socket, requests: requests.clone(), replies, poller };
        let thread = spawn("ipvs", move || served.run())?;
        Ok(Self { requests, thread: Some(thread) })
    }

    /// Asks for something. Never waits.
    pub(super) fn ask(&self, request: Request) {
        self.requests.send(request);
    }
}

impl Drop for TableThread {
    /// Waits until all is done that was asked for.
    fn drop(&mut self) {
        self.requests.send(Request::End);
        if let Some(thread) = self.thread.take() {
            // A panic in it has ended the process.
            let _ = thread.join();
        }
    }
}

struct Served {
    socket: IpvsSocket,
    requests: Mailbox<Request>,
    replies: Mailbox<Reply>,
    poller: Poller,
}

impl Served {
    fn run(mut self) {
        loop {
            if self.poller.wait(None).map(Iterator::count).is_err() {
                return;
            }
            self.requests.acknowledge();
            while let Some(request) = self.requests.take() {
                if matches!(request, Request::End) {
                    return;
                }
                self.serve(request);
            }
        }
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Change(operations) => {
                for chunk in operations.chunks(CHUNK) {
                    self.replies.send(Reply::Answers(self.socket.apply(chunk)));
                }
            }
            Request::Flush => {
                if let Err(error) = self.socket.flush() {
                    tracing::error!("cannot flush the IPVS table: {error}");
                }
            }
            Request::Read => {
                let started = clock::now().instant;
                self.replies.send(match self.socket.table() {
                    Ok(table) => Reply::Table(table, clock::now().instant.saturating_since(started)),
                    Err(error) => Reply::Unread(error),
                });
            }
            Request::Timeouts(timeouts) => {
                if let Err(error) = self.socket.set_timeouts(&timeouts) {
                    tracing::error!("cannot set lvs_timeouts: {error}");
                }
            }
            Request::SyncDaemons(daemons) => set_sync_daemons(&mut self.socket, &daemons),
            Request::End => {}
        }
    }
}

/// Has these synchronisation threads run, and no others.
pub(in crate::daemon) fn set_sync_daemons(socket: &mut IpvsSocket, daemons: &[SyncDaemon]) {
    let running = match socket.sync_daemons() {
        Ok(running) => running,
        Err(error) => return tracing::error!("cannot see which IPVS sync daemons run: {error}"),
    };
    // Those that are to go first: two are one too many for an interface's group.
    for role in [SyncRole::Master, SyncRole::Backup] {
        let is = |daemon: &&SyncDaemon| daemon.role == role;
        let (now, wanted) = (running.iter().find(is), daemons.iter().find(is));
        if now.is_some()
            && !wanted.is_some_and(|wanted| now.is_some_and(|now| runs_as_wanted(now, wanted)))
            && let Err(error) = socket.stop_sync_daemon(role)
        {
            tracing::error!("{error}");
        }
    }
    for wanted in daemons {
        if running.iter().any(|now| now.role == wanted.role && runs_as_wanted(now, wanted)) {
            continue;
        }
        match socket.start_sync_daemon(wanted) {
            Ok(()) => tracing::info!(
                "IPVS sync daemon ({}) runs on {}, id {}",
                wanted.role,
                wanted.settings.interface,
                wanted.settings.id
            ),
            Err(error) => tracing::error!("{error}"),
        }
    }
}

/// Whether a thread is as it shall be, apart from what is the kernel's choice.
fn runs_as_wanted(now: &SyncDaemon, wanted: &SyncDaemon) -> bool {
    let (now, wanted) = (&now.settings, &wanted.settings);
    now.interface == wanted.interface
        && now.id == wanted.id
        && (wanted.max_length.is_none() || now.max_length == wanted.max_length)
        && (wanted.group.is_none() || now.group == wanted.group)
        && (wanted.port.is_none() || now.port == wanted.port)
        && (wanted.ttl.is_none() || now.ttl == wanted.ttl)
}
