//! The client: requests over new connections at a steady rate, and a few connections that it keeps.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::REAL_SERVERS;
use crate::drill::lab::Lab;
use crate::sys::clock;
use crate::time::WallTime;

/// How long a request may take, the connection included: a segment that is lost is sent again after a second.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Connections that are kept, as many to each real server.
pub(super) const HELD: usize = 2 * REAL_SERVERS as usize;

/// From one request over a kept connection to the next.
const HELD_PERIOD: Duration = Duration::from_millis(100);

/// Requests over new connections in one run.
const REQUESTS_MAX: usize = 1_000_000;

/// A longer answer is none of ours.
const ANSWER_MAX: usize = 4096;

/// How often a connection is opened again because another real server answers.
const SEARCHES: usize = 50;

/// A request and what became of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// When it was begun.
    pub sent: WallTime,
    /// Until it was answered, or failed.
    pub time: Duration,
    /// Whether it went over a connection that is kept.
    pub held: bool,
    /// The real server, from 0; of a request that failed, the one that the connection led to, if that is known.
    pub server: Option<usize>,
    /// Why it failed.
    pub failure: Option<String>,
}

/// Clients at work, until [`Clients::finish`].
#[derive(Debug)]
pub(super) struct Clients {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    requests: Mutex<Vec<Request>>,
    /// The client's ports of the connections that are kept now.
    held: Mutex<BTreeSet<u16>>,
    /// Real servers to which none shall be kept any more.
    left: Mutex<BTreeSet<usize>>,
    /// Whether something has happened.
    struck: AtomicBool,
    stop: AtomicBool,
}

impl Shared {
    fn note(&self, request: Request) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    }

    fn is_left(&self, server: usize) -> bool {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).contains(&server)
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Clients {
    /// Starts asking `rate` times a second.
    pub(super) fn start(lab: &Lab, to: SocketAddr, rate: u16) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let work = Arc::clone(&shared);
        let period = Duration::from_secs(1) / u32::from(rate.max(1));
        let (ready, outcome) = std::sync::mpsc::channel();
        let namespace = lab.client.namespace.try_clone()?;
        let thread = std::thread::Builder::new().name("client".to_owned()).spawn(move || {
            let build = || tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match namespace.enter().and_then(|()| build()) {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let _ = ready.send(Ok(()));
            runtime.block_on(ask(work, to, period));
        })?;
        let clients = Self { shared, thread: Some(thread) };
        outcome.recv().unwrap_or_else(|_| Err(io::Error::other("the client ended early")))?;
        Ok(clients)
    }

    /// Whether the last so many requests over new connections were answered.
    pub(super) fn are_answered(&self, last: usize) -> bool {
        let requests = self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let new = requests.iter().rev().filter(|request| !request.held).take(last);
        new.filter(|request| request.failure.is_none()).count() == last
    }

    /// Something happens now: broken connections are not opened again.
    pub(super) fn strike(&self) {
        self.shared.struck.store(true, Ordering::Relaxed);
    }

    /// How far it is, in words.
    pub(super) fn tally(&self) -> String {
        let requests = self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let last = requests.iter().rev().find_map(|request| request.failure.as_deref());
        let answered = requests.iter().filter(|request| request.failure.is_none()).count();
        let (all, held, last) = (requests.len(), self.held().len(), last.unwrap_or("none"));
        format!("{answered} of {all} requests answered, {held} connections kept, last failure: {last}")
    }

    /// The client's ports of the connections that are kept now.
    pub(super) fn held(&self) -> BTreeSet<u16> {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the connections to a real server that are kept, each after its request.
    pub(super) fn leave(&self, server: usize) {
        self.shared.left.lock().unwrap_or_else(PoisonError::into_inner).insert(server);
    }

    /// Stops, waits for the last answers, and tells what became of each request, in order of their beginning.
    pub(super) fn finish(mut self) -> Vec<Request> {
        self.end();
        let mut requests =
            std::mem::take(&mut *self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner));
        requests.sort_by_key(|request| request.sent);
        requests
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.end();
    }
}

async fn ask(shared: Arc<Shared>, to: SocketAddr, period: Duration) {
    let mut tasks = JoinSet::new();
    for number in 0..HELD {
        tasks.spawn(keep(Arc::clone(&shared), to, number % usize::from(REAL_SERVERS)));
    }
    let mut ticks = interval(period);
    // What was not asked because the machine was busy says nothing of the directors.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..REQUESTS_MAX {
        ticks.tick().await;
        if shared.stops() {
            break;
        }
        while tasks.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            let (sent, start) = (clock::wall(), Instant::now());
            let outcome = timeout(PATIENCE, async { exchange(&mut connect(to).await?).await }).await;
            shared.note(request(sent, start, false, None, flat(outcome)));
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Keeps a connection to a real server. Once something has happened, one that broke is not opened again: that would take
/// its turn among the real servers away from a request.
async fn keep(shared: Arc<Shared>, to: SocketAddr, wanted: usize) {
    while !shared.stops() && !shared.struck.load(Ordering::Relaxed) {
        let Some((mut stream, server, port)) = find(&shared, to, wanted).await else { return };
        shared.held.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
        while !shared.stops() && !shared.is_left(server) {
            sleep(HELD_PERIOD).await;
            let (sent, start) = (clock::wall(), Instant::now());
            let outcome = flat(timeout(PATIENCE, exchange(&mut stream)).await);
            let failed = outcome.is_err();
            shared.note(request(sent, start, true, Some(server), outcome));
            if failed {
                break;
            }
        }
        shared.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&port);
    }
}

/// A connection to a certain real server, or after many trials to another one; with the client's port.
async fn find(shared: &Shared, to: SocketAddr, wanted: usize) -> Option<(TcpStream, usize, u16)> {
    let mut searches = 0;
    while !shared.stops() {
        let opened = timeout(PATIENCE, async {
            let mut stream = connect(to).await?;
            let (server, port) = (exchange(&mut stream).await?, stream.local_addr()?.port());
            Ok::<_, io::Error>((stream, server, port))
        });
        // Those over new connections tell how that goes.
        match opened.await {
            Ok(Ok((stream, server, port))) if server == wanted || searches >= SEARCHES => {
                return Some((stream, server, port));
            }
            Ok(Ok(_)) => sleep(HELD_PERIOD / 10).await,
            _ => sleep(HELD_PERIOD).await,
        }
        searches += 1;
    }
    None
}

async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One request; which real server answers.
async fn exchange(stream: &mut TcpStream) -> io::Result<usize> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: drill\r\n\r\n").await?;
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => answer.extend_from_slice(buffer.get(..bytes).unwrap_or_default()),
        }
        if let Some(server) = understand(&answer)? {
            return Ok(server);
        }
        if answer.len() > ANSWER_MAX {
            return Err(io::Error::other("an endless answer"));
        }
    }
}

/// The real server in an answer; `None` while it is not complete.
fn understand(answer: &[u8]) -> io::Result<Option<usize>> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(None) };
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(io::Error::other(format!("status {status}")));
    }
    // The names are of two letters.
    if body.len() < 2 {
        return Ok(None);
    }
    let number: Option<usize> = body.strip_prefix('s').and_then(|number| number.parse().ok());
    match number.and_then(|number| number.checked_sub(1)) {
        Some(server) if server < usize::from(REAL_SERVERS) => Ok(Some(server)),
        _ => Err(io::Error::other("an answer of somebody else")),
    }
}

fn flat<T>(outcome: Result<io::Result<T>, tokio::time::error::Elapsed>) -> Result<T, String> {
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(match error.kind() {
            io::ErrorKind::ConnectionRefused => "refused".to_owned(),
            io::ErrorKind::ConnectionReset => "reset".to_owned(),
            io::ErrorKind::UnexpectedEof => "closed".to_owned(),
            _ => error.to_string(),
        }),
        Err(_) => Err("no answer".to_owned()),
    }
}

fn request(
    sent: WallTime,
    start: Instant,
    held: bool,
    server: Option<usize>,
    outcome: Result<usize, String>,
) -> Request {
    let (server, failure) = match outcome {
        Ok(server) => (Some(server), None),
        Err(failure) => (server, Some(failure)),
    };
    Request { sent, time: start.elapsed(), held, server, failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_its_real_server() {
        let answer = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{body}");
        assert_eq!(understand(answer("s2").as_bytes()).unwrap(), Some(1));
        assert_eq!(understand(answer("s").as_bytes()).unwrap(), None);
        assert_eq!(understand(b"HTTP/1.1 200 OK\r\n").unwrap(), None);
        for wrong in ["s0", "s9", "xx", "s2s2"] {
            assert!(understand(answer(wrong).as_bytes()).is_err(), "{wrong}");
        }
        let refused = understand(b"HTTP/1.1 500 Internal Server Error\r\n\r\ns1").unwrap_err();
        assert_eq!(refused.to_string(), "status 500");
    }
}
