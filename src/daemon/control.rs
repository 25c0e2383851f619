//! The worker's control socket: takes requests of many clients, one line each, and hands them to the main thread.
//!
//! A client that is slow, silent or gone costs its own connection and nothing else.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt};
use serde::Serialize;
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::door::Door;
use super::events::{Ended, Subscription};
use crate::control::{self, Answer, Code, Policy, Refusal, Reloaded, Request, Sender};
use crate::status::ReloadStatus;

/// Clients served at a time; further ones wait.
const CLIENTS: usize = 64;

/// Clients served at a time that came through a door.
const LOOKERS: usize = 8;

/// Requests that wait for the main thread.
const REQUESTS: usize = 64;

/// How long a client may be silent, or not read its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Clients that have connected and are not accepted yet.
const BACKLOG: i32 = 64;

/// Why there is no answer any more.
pub(super) const STOPPING: &str = "the daemon is stopping";

/// A request and where its answer goes.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    answer: oneshot::Sender<Reply>,
}

/// An answer, and what follows it.
#[derive(Debug)]
struct Reply {
    answer: Answer,
    follow: Option<Subscription>,
}

impl Asked {
    /// The request was granted.
    pub(super) fn grant(self, result: Value) {
        let answer = Answer::result(self.request.id, result);
        self.reply(Reply { answer, follow: None });
    }

    /// The same, of a form that is written down.
    pub(super) fn grant_with(self, result: &impl Serialize) {
        // Only maps with keys that are no strings cannot be written, and there are none.
        self.grant(serde_json::to_value(result).unwrap_or_default());
    }

    /// A reload came to its end.
    pub(super) fn answer_reload(self, reload: ReloadStatus) {
        if reload.taken {
            return self.grant_with(&Reloaded { lines: reload.lines });
        }
        let message = "the configuration was not reloaded, the daemon goes on with the one before".to_owned();
        self.refuse_with(Refusal { code: Code::Refused, message, lines: reload.lines });
    }

    /// It was granted, and what happens from now on follows.
    pub(super) fn grant_and_follow(self, result: Value, follow: Subscription) {
        let answer = Answer::result(self.request.id, result);
        self.reply(Reply { answer, follow: Some(follow) });
    }

    /// It was not granted.
    pub(super) fn refuse(self, code: Code, message: impl Into<String>) {
        self.refuse_with(Refusal { code, message: message.into(), lines: Vec::new() });
    }

    /// The same, with more to say.
    pub(super) fn refuse_with(self, refusal: Refusal) {
        let answer = Answer::refusal(self.request.id, refusal);
        self.reply(Reply { answer, follow: None });
    }

    fn reply(self, reply: Reply) {
        // Who does not wait any more needs no answer.
        let _ = self.answer.send(reply);
    }
}

/// The socket. Its file goes with it.
#[derive(Debug)]
pub(super) struct ControlSocket {
    path: PathBuf,
    requests: mpsc::Receiver<Asked>,
    /// Where they come from.
    sender: mpsc::Sender<Asked>,
}

impl ControlSocket {
    /// Listens at `path`, which only the own user may use; to be called within a runtime. A file that a dead daemon left
    /// there is replaced.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // Before the first client can connect.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        socket.listen(BACKLOG)?;
        let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(
            std::os::fd::OwnedFd::from(socket),
        ))?;
        let (sender, requests) = mpsc::channel(REQUESTS);
        let policy = Policy { own_user: own_user(), group: false, looks_only: false };
        tokio::spawn(accept(listener, policy, sender.clone()));
        Ok(Self { path: path.to_owned(), requests, sender })
    }

    /// Also serves those who come through a door, and may only look.
    pub(super) fn open_door(&self, door: Door) {
        let policy = Policy { own_user: own_user(), group: false, looks_only: true };
        tokio::spawn(welcome(door, policy, self.sender.clone()));
    }

    /// The next request.
    pub(super) async fn next(&mut self) -> Option<Asked> {
        self.requests.recv().await
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Gone already is just as well.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Removes a socket that nobody listens at any more, and nothing else.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {
            // Without waiting: who listens may not accept.
            let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            probe.set_nonblocking(true)?;
            match probe.connect(&SockAddr::unix(path)?) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => std::fs::remove_file(path),
                _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
            }
        }
        _ => Ok(()),
    }
}

async fn accept(listener: UnixListener, policy: Policy, requests: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(CLIENTS));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, for example: later there may be one.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let requests = requests.clone();
        tokio::spawn(async move {
            // A broken connection is the client's affair.
            let _ = serve(stream, policy, &requests).await;
            drop(place);
        });
    }
}

async fn welcome(door: Door, policy: Policy, requests: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(LOOKERS));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Some(stream) = door.next().await else { return };
        let requests = requests.clone();
        tokio::spawn(async move {
            // A broken connection is the client's affair.
            let _ = serve(stream, policy, &requests).await;
            drop(place);
        });
    }
}

fn own_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

async fn serve(mut stream: UnixStream, policy: Policy, requests: &mpsc::Sender<Asked>) -> io::Result<()> {
    let credentials = getsockopt(&stream.as_fd(), sockopt::PeerCredentials)?;
    let sender = Sender { user: credentials.uid() };
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let bound = control::REQUEST_BYTES_MAX as u64;
        let count = timeout(PATIENCE, (&mut read).take(bound).read_until(b'\n', &mut line)).await??;
        if count == 0 {
            return Ok(());
        }
        let whole = line.last() == Some(&b'\n');
        let reply = match whole {
            true => answer(&line, sender, policy, requests).await,
            false if count < control::REQUEST_BYTES_MAX => return Ok(()),
            false => {
                let message = format!("the request is longer than {bound} bytes");
                Answer::error(None, Code::BadRequest, message).into()
            }
        };
        let Reply { answer, follow: follows } = reply;
        timeout(PATIENCE, write.write_all(&answer.to_line())).await??;
        if let Some(subscription) = follows {
            return follow(&mut read, &mut write, answer.id, subscription).await;
        }
        if !whole {
            return Ok(());
        }
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self { answer, follow: None }
    }
}

/// Tells a follower what happens until it goes away, says something or is too slow.
async fn follow(
    read: &mut (impl AsyncReadExt + Unpin),
    write: &mut (impl AsyncWriteExt + Unpin),
    id: Option<u64>,
    mut subscription: Subscription,
) -> io::Result<()> {
    loop {
        let next = tokio::select! {
            _ = read.read_u8() => return Ok(()),
            next = subscription.next() => next,
        };
        let (answer, ended) = match next {
            Ok(event) => (Answer::event(id, event), false),
            Err(Ended::TooSlow) => {
                let message =
                    "events are not read as fast as they happen; ask again, for those that are kept, too";
                (Answer::error(id, Code::TooSlow, message.to_owned()), true)
            }
            Err(Ended::Stopped) => (Answer::error(id, Code::Busy, STOPPING.to_owned()), true),
        };
        timeout(PATIENCE, write.write_all(&answer.to_line())).await??;
        if ended {
            return Ok(());
        }
    }
}

async fn answer(line: &[u8], sender: Sender, policy: Policy, requests: &mpsc::Sender<Asked>) -> Reply {
    let request = match control::parse(line) {
        Ok(request) => request,
        Err(refusal) => return (*refusal).into(),
    };
    let id = request.id;
    if !policy.allows(sender, &request.command) {
        let message = format!("user {} may not ask for this; ask as root", sender.user);
        return Answer::error(id, Code::NotAllowed, message).into();
    }
    tracing::debug!(user = sender.user, "user {} asks for {:?}", sender.user, request.command);
    let busy = || Answer::error(id, Code::Busy, STOPPING.to_owned()).into();
    let (answer, answered) = oneshot::channel();
    if requests.send(Asked { request, answer }).await.is_err() {
        return busy();
    }
    answered.await.unwrap_or_else(|_| busy())
}
