//! Asking a running daemon: finding its socket, one request, its answer, and what follows.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::cli::say;
use crate::control::{Answer, Code, Command, Outcome, Refusal, Request};

/// The daemon refused, or what was named does not exist.
pub(super) const REFUSED: u8 = 1;
/// No daemon answers.
pub(super) const UNREACHABLE: u8 = 3;

/// Where the daemon listens unless its pid files are elsewhere.
const DEFAULT_SOCKET: &str = "/run/vrrp.sock";

/// Longest answer: some kilobytes for each of thousands of routers.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// How long to wait for what is at hand, and for what a configuration that may be large has to be read for.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
pub(super) const READING_PATIENCE: Duration = Duration::from_secs(120);

/// For the help of each command.
pub(super) const EXITS: &str =
    "Exit status: 0 done, 1 refused or nothing of that name, 3 no daemon answers, 64 bad command line.";

/// Which daemon is asked.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Which {
    /// Its control socket; default /run/vrrp.sock
    #[arg(long, value_name = "PATH", conflicts_with = "pid_file")]
    socket: Option<PathBuf>,
    /// The pid file that its -r names: the socket is beside it
    #[arg(short = 'r', long = "vrrp_pid", value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// The pid file that its -c names; default beside that of -r
    #[arg(short = 'c', long = "checkers_pid", value_name = "FILE")]
    checkers_pid_file: Option<PathBuf>,
}

impl Which {
    /// The vrrp worker.
    pub(super) fn vrrp(&self) -> Client {
        let beside = || self.pid_file.as_ref().map(|path| path.with_extension("sock"));
        Client { path: self.socket.clone().or_else(beside).unwrap_or_else(|| DEFAULT_SOCKET.into()) }
    }

    /// Whoever reads the configuration.
    pub(super) fn leader(&self) -> Client {
        let (vrrp, lvs) = (self.vrrp(), self.lvs());
        if vrrp.exists() || !lvs.exists() { vrrp } else { lvs }
    }

    /// All workers that there may be, at least one.
    pub(super) fn workers(&self) -> Vec<Client> {
        let leader = self.leader();
        let other = Some(self.lvs()).filter(|lvs| lvs.exists() && lvs.path != leader.path);
        [leader].into_iter().chain(other).collect()
    }

    /// The lvs worker.
    pub(super) fn lvs(&self) -> Client {
        let path = match &self.checkers_pid_file {
            Some(path) => path.with_extension("sock"),
            None => {
                let vrrp = self.vrrp().path;
                let name =
                    vrrp.file_name().map(|name| name.to_string_lossy().replacen("vrrp", "checkers", 1));
                vrrp.with_file_name(name.unwrap_or_default())
            }
        };
        Client { path }
    }
}

/// A worker that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Client {
    path: PathBuf,
}

/// Why there is no result.
#[derive(Debug)]
pub(in crate::cli) enum Failure {
    /// The daemon refused.
    Refused(Refusal),
    /// It did not answer, or not in a way that is understood.
    Unreachable(String),
}

impl Failure {
    /// Tells it, and gives the exit status.
    pub(super) fn tell(self, subcommand: &str) -> ExitCode {
        match self {
            Self::Refused(Refusal { code, message, lines }) => {
                say(&format!("alived {subcommand}: {message}\n"));
                lines.iter().for_each(|line| say(&format!("{line}\n")));
                ExitCode::from(if code == Code::Busy { UNREACHABLE } else { REFUSED })
            }
            Self::Unreachable(text) => {
                say(&format!("alived {subcommand}: {text}\n"));
                ExitCode::from(UNREACHABLE)
            }
        }
    }
}

impl Client {
    /// Whether there may be a worker: one that is not needed has no socket.
    pub(super) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Whether somebody listens.
    pub(super) fn listens(&self) -> bool {
        UnixStream::connect(&self.path).is_ok()
    }

    /// Asks, and waits so long for each piece of the answer.
    pub(super) fn ask(&self, command: Command, patience: Duration) -> Result<Value, Failure> {
        Ok(self.converse(command, Some(patience))?.result)
    }

    /// Asks for what goes on after the answer, which is waited for as long as it takes.
    pub(super) fn converse(
        &self,
        command: Command,
        patience: Option<Duration>,
    ) -> Result<Conversation, Failure> {
        let failed = |error| self.failed(&error);
        let mut stream = UnixStream::connect(&self.path).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.set_read_timeout(patience.or(Some(PATIENCE))).map_err(failed)?;
        let mut line = serde_json::to_vec(&Request::new(command)).unwrap_or_default();
        line.push(b'\n');
        stream.write_all(&line).map_err(failed)?;
        let mut lines = BufReader::new(stream);
        let result = match self.read(&mut lines)? {
            Outcome::Result(result) | Outcome::Event(result) => result,
            Outcome::Error(refusal) => return Err(Failure::Refused(refusal)),
        };
        if patience.is_none() {
            lines.get_ref().set_read_timeout(None).map_err(failed)?;
        }
        Ok(Conversation { client: self.clone(), result, lines })
    }

    fn read(&self, lines: &mut BufReader<UnixStream>) -> Result<Outcome, Failure> {
        let mut line = Vec::new();
        lines.take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line).map_err(|error| self.failed(&error))?;
        if line.is_empty() {
            let path = self.path.display();
            return Err(Failure::Unreachable(format!("the daemon at {path} has ended")));
        }
        let answer: Answer = serde_json::from_slice(&line).map_err(|error| {
            Failure::Unreachable(format!("the daemon's answer is not understood: {error}"))
        })?;
        Ok(answer.outcome)
    }

    fn failed(&self, error: &io::Error) -> Failure {
        let advice = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "is the daemon running? Name its socket with --socket, or its pid file with -r"
            }
            io::ErrorKind::PermissionDenied => "only root may ask",
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it does not answer in time",
            _ => "see its log",
        };
        Failure::Unreachable(format!("cannot ask the daemon at {}: {error}; {advice}", self.path.display()))
    }
}

/// A request that was granted, and whose answer goes on.
#[derive(Debug)]
pub(super) struct Conversation {
    client: Client,
    /// The answer.
    pub(super) result: Value,
    lines: BufReader<UnixStream>,
}

impl Conversation {
    /// What happened next.
    pub(super) fn next(&mut self) -> Result<Value, Failure> {
        match self.client.read(&mut self.lines)? {
            Outcome::Result(value) | Outcome::Event(value) => Ok(value),
            Outcome::Error(refusal) => Err(Failure::Refused(refusal)),
        }
    }
}
