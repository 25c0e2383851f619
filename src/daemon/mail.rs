//! Sending mail: one letter after the other, in tasks of the main thread, so that nobody waits for a mail server. What
//! it says and when it is tried again is the engine's affair ([`MailQueue`]).

use std::sync::Arc;

use async_smtp::{EmailAddress, Envelope, SendableEmail, SmtpClient, SmtpTransport};
use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::notify::{Event, Fate, Letter, MailConfig, MailQueue};
use crate::sys::clock;
use crate::time::Duration;

/// How long a server may take for a letter once it is connected.
const DIALOGUE: Duration = Duration::from_secs(120);

/// What a server may say meanwhile, in bytes.
const WORDS: u64 = 1 << 16;

/// How long a stop waits for what is still to be sent.
const LAST_LETTERS: Duration = Duration::from_secs(3);

/// The mail of the worker.
#[derive(Debug)]
pub(super) struct Mail {
    queue: MailQueue,
    /// What came of the letter that was sent.
    results: Results,
    result: Option<Result<(), Failure>>,
    leaving_until: Option<Instant>,
    /// It fails: said once, until it works again.
    failing: bool,
}

/// Both ends of the way back from the task that sends.
type Results = (mpsc::Sender<Result<(), Failure>>, mpsc::Receiver<Result<(), Failure>>);

/// Why a letter was not sent.
#[derive(Debug)]
struct Failure {
    /// The server does not want it now or later.
    for_good: bool,
    why: String,
}

impl Failure {
    fn later(why: &impl ToString) -> Self {
        Self { for_good: false, why: why.to_string() }
    }
}

impl From<async_smtp::error::Error> for Failure {
    fn from(error: async_smtp::error::Error) -> Self {
        Self { for_good: matches!(error, async_smtp::error::Error::Permanent(_)), why: error.to_string() }
    }
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            queue: MailQueue::default(),
            results: mpsc::channel(1),
            result: None,
            leaving_until: None,
            failing: false,
        }
    }
}

impl Mail {
    /// The longest that [`Mail::leave`] takes.
    pub(super) const LEAVING: Duration = LAST_LETTERS;

    /// An event to tell.
    pub(super) fn push(&mut self, event: &Arc<Event>, config: &MailConfig) {
        self.queue.push(clock::now().instant, event, config);
    }

    /// Waits until there is something for [`Mail::serve`].
    pub(super) async fn due(&mut self) {
        let now = clock::now().instant;
        let again = self.queue.poll_timeout().map(|at| Instant::now() + at.saturating_since(now));
        let time = async {
            match again.into_iter().chain(self.leaving_until).min() {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time => {}
            // Its other end is here, too.
            Some(result) = self.results.1.recv() => self.result = Some(result),
        }
    }

    /// Sends what is to be sent. Within a runtime.
    pub(super) fn serve(&mut self, config: Option<&MailConfig>) {
        if let Some(result) = self.result.take() {
            self.take(result);
        }
        let Some(config) = config else { return };
        if let Some(letter) = self.queue.next(clock::now().instant) {
            let (config, results) = (config.clone(), self.results.0.clone());
            tokio::spawn(async move {
                let result = send(&config, &letter).await;
                // Nobody listens once the daemon has ended.
                let _ = results.send(result).await;
            });
        }
        let left_out = self.queue.take_left_out();
        if left_out > 0 {
            tracing::warn!("{left_out} mails were left out: too many wait for the mail server");
        }
    }

    fn take(&mut self, result: Result<(), Failure>) {
        let now = clock::now().instant;
        match result {
            Ok(()) => {
                self.failing = false;
                if let Some(letter) = self.queue.sent() {
                    tracing::info!("mail sent: {letter}");
                }
            }
            Err(Failure { for_good, why }) => match self.queue.failed(now, for_good) {
                Some(Fate::GivenUp(letter)) => tracing::error!("the mail {letter} is given up: {why}"),
                Some(Fate::Again(letter, pause)) if !self.failing => {
                    self.failing = true;
                    let seconds = pause.as_secs();
                    tracing::warn!("cannot send the mail {letter}: {why}; trying again from {seconds} s on");
                }
                Some(Fate::Again(..)) | None => {}
            },
        }
    }

    /// To be called again and again at a stop. True when nothing waits any more, or for too long.
    pub(super) fn leave(&mut self) -> bool {
        let now = Instant::now();
        let until = *self.leaving_until.get_or_insert(now + LAST_LETTERS);
        let waiting = self.queue.len();
        if waiting > 0 && until <= now {
            tracing::warn!("{waiting} mails are not sent: the daemon stops");
        }
        waiting == 0 || until <= now
    }
}

/// Sends a letter to all; if the server refuses it so, to each alone, since one recipient that it does not know is no
/// reason to tell nobody.
async fn send(config: &MailConfig, letter: &Letter) -> Result<(), Failure> {
    let message = letter.message(config);
    let all: Vec<&str> = config.to.iter().map(|to| to.address()).collect();
    match send_to(config, &all, message.clone()).await {
        Err(failure) if failure.for_good && all.len() > 1 => {}
        result => return result,
    }
    let (mut sent, mut failures) = (false, Vec::new());
    for to in all {
        match send_to(config, &[to], message.clone()).await {
            Ok(()) => sent = true,
            Err(failure) => failures.push(format!("{to}: {}", failure.why)),
        }
    }
    let why = failures.join("; ");
    if sent {
        tracing::warn!("the mail {letter} did not reach everybody: {why}");
        return Ok(());
    }
    Err(Failure { for_good: true, why })
}

async fn send_to(config: &MailConfig, to: &[&str], message: Vec<u8>) -> Result<(), Failure> {
    let address = |text: &str| EmailAddress::new(text.to_owned()).map_err(|error| Failure::later(&error));
    let to = to.iter().map(|to| address(to)).collect::<Result<_, _>>()?;
    let envelope =
        Envelope::new(Some(address(config.from.address())?), to).map_err(|error| Failure::later(&error))?;
    let stream = connect(config).await?;
    let dialogue = async {
        let (read, write) = stream.into_split();
        let stream = tokio::io::join(BufReader::new(read.take(WORDS)), write);
        let client = SmtpClient::new().hello_name(client_id(&config.hello)).pipelining(false);
        let mut transport = SmtpTransport::new(client, stream).await?;
        transport.send(SendableEmail::new(envelope, message)).await?;
        // It has the letter, whatever it says now.
        let _ = transport.quit().await;
        Ok(())
    };
    timeout(DIALOGUE, dialogue)
        .await
        .unwrap_or_else(|_| Err(Failure::later(&format!("{} does not answer", config.server))))
}

fn client_id(hello: &str) -> async_smtp::extension::ClientId {
    async_smtp::extension::ClientId::new(hello.to_owned())
}

async fn connect(config: &MailConfig) -> Result<TcpStream, Failure> {
    let MailConfig { server, port, .. } = config;
    let connecting = async {
        let addresses = tokio::net::lookup_host((&**server, *port)).await;
        let addresses = addresses.map_err(|error| Failure::later(&format!("{server}: {error}")))?;
        let mut failure = Failure::later(&format!("{server} has no address"));
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = Failure::later(&format!("{server} ({address}): {error}")),
            }
        }
        Err(failure)
    };
    timeout(config.connect_timeout, connecting)
        .await
        .unwrap_or_else(|_| Err(Failure::later(&format!("{server} port {port}: no connection in time"))))
}
