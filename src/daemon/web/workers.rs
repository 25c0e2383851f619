//! The workers as the web process sees them: clients' questions, within a time.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::super::door::Key;
use super::super::seat::Part;
use crate::control::{Command, Request};
use crate::sys::channel::{Channel, Received};
use crate::sys::readiness::Readiness;

/// How long a worker may take to answer: much less than the 10 s that Prometheus waits.
const PATIENCE: Duration = Duration::from_secs(3);

/// The longest answer that is read: 100,000 servers.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// What the supervisor says beside a key: which worker it is of, or that there is to be none.
pub(in crate::daemon) const fn word(part: Part, is_there: bool) -> &'static [u8] {
    match (part, is_there) {
        (Part::Vrrp, true) => b"vrrp",
        (Part::Vrrp, false) => b"no vrrp",
        (Part::Lvs, true) => b"lvs",
        (Part::Lvs, false) => b"no lvs",
    }
}

/// The keys to all workers that there are to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Workers {
    keys: Arc<Mutex<BTreeMap<&'static str, Arc<Key>>>>,
}

/// Of a worker, in metrics and on the page.
pub(super) const fn name(part: Part) -> &'static str {
    match part {
        Part::Vrrp => "vrrp",
        Part::Lvs => "lvs",
    }
}

impl Workers {
    /// Takes keys from the supervisor, as long as there is one.
    ///
    /// # Errors
    /// When the runtime ends.
    pub(super) async fn follow(&self, supervisor: &Channel) -> io::Result<()> {
        let ready = Readiness::of(supervisor)?;
        loop {
            let mut buffer = [0; 64];
            match supervisor.receive(&mut buffer) {
                Ok(Received::Message(message, key)) => self.take(message, key.map(Key::new)),
                Ok(Received::Nothing) => ready.changed().await?,
                Ok(Received::Closed) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&self, message: &[u8], key: Option<Key>) {
        let parts = [Part::Vrrp, Part::Lvs];
        let Some(part) = parts.into_iter().find(|part| message == word(*part, key.is_some())) else { return };
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match key {
            Some(key) => drop(keys.insert(name(part), Arc::new(key))),
            None => drop(keys.remove(name(part))),
        }
    }

    /// A worker's key; `None` where there is to be no such worker.
    fn key(&self, part: Part) -> Option<Arc<Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(name(part)).cloned()
    }

    /// A worker's answer to `status`. `None` where there is to be no such worker, an error where it does not answer.
    pub(super) async fn status<T: DeserializeOwned>(&self, part: Part) -> Option<io::Result<T>> {
        let key = self.key(part)?;
        let asked = in_time(async {
            let mut lines = ask(&key, &Command::Status {}).await?;
            next(&mut lines).await
        });
        Some(asked.await)
    }

    /// The last events of the vrrp worker, the oldest first.
    ///
    /// # Errors
    /// Where it does not answer, or there is none.
    pub(super) async fn latest_events(&self, last: u32) -> io::Result<Box<RawValue>> {
        #[derive(serde::Deserialize)]
        struct Kept {
            events: Box<RawValue>,
        }
        let key = self.key(Part::Vrrp).ok_or(io::ErrorKind::NotFound)?;
        let kept = in_time(async {
            let command = Command::Events { of: None, last: Some(last), follow: false };
            let mut lines = ask(&key, &command).await?;
            next::<Kept>(&mut lines).await
        });
        Ok(kept.await?.events)
    }

    /// Those that happen from now on.
    ///
    /// # Errors
    /// As above.
    pub(super) async fn follow_events(&self) -> io::Result<Events> {
        let key = self.key(Part::Vrrp).ok_or(io::ErrorKind::NotFound)?;
        let events = in_time(async {
            let command = Command::Events { of: None, last: Some(0), follow: true };
            let mut lines = ask(&key, &command).await?;
            next::<Box<RawValue>>(&mut lines).await?;
            Ok(Events(lines.lines()))
        });
        events.await
    }
}

/// Events as they happen.
#[derive(Debug)]
pub(super) struct Events(Lines<BufReader<UnixStream>>);

impl Events {
    /// The next one; `None` when there will be no more. What is waited for may be given up and waited for again.
    pub(super) async fn next(&mut self) -> Option<Box<RawValue>> {
        #[derive(serde::Deserialize)]
        struct Happened {
            event: Box<RawValue>,
        }
        let line = self.0.next_line().await.ok()??;
        serde_json::from_str::<Happened>(&line).ok().map(|happened| happened.event)
    }
}

/// An answer, unless it takes longer than a worker may.
async fn in_time<T>(answer: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Sends a request, and gives where the answer comes from.
async fn ask(key: &Key, command: &Command) -> io::Result<BufReader<UnixStream>> {
    let mut stream = key.connect()?;
    let mut line = serde_json::to_vec(&Request::new(command.clone()))?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    Ok(BufReader::new(stream))
}

/// The next answer.
async fn next<T: DeserializeOwned>(lines: &mut BufReader<UnixStream>) -> io::Result<T> {
    /// An answer of which the result is wanted alone.
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Answered<T> {
        #[serde(alias = "event")]
        result: Option<T>,
        error: Option<crate::control::Refusal>,
    }
    let mut line = Vec::new();
    lines.take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let answered: Answered<T> = serde_json::from_slice(&line)?;
    match answered {
        Answered { result: Some(result), .. } => Ok(result),
        Answered { error: Some(refusal), .. } => Err(io::Error::other(refusal.message)),
        Answered { .. } => Err(io::ErrorKind::InvalidData.into()),
    }
}
