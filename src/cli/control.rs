//! `alived status`, `alived reload` and `alived log-level`: clients of a running daemon's control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::control::{self, Answer, Command, LevelChange, LogTarget, Outcome, Refusal, Request};
use crate::status::{Status as Report, text};
use crate::sys::clock;

/// The daemon refused, or a virtual router of that name does not exist.
const REFUSED: u8 = 1;
/// No daemon answers.
const UNREACHABLE: u8 = 3;

/// Where the daemon listens unless its pid files are elsewhere.
const DEFAULT_SOCKET: &str = "/run/vrrp.sock";

/// Longest answer: some kilobytes for each of thousands of routers.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// How long to wait for the state, and for a configuration that may be large.
const STATUS_PATIENCE: Duration = Duration::from_secs(10);
const RELOAD_PATIENCE: Duration = Duration::from_secs(120);

const EXITS: &str =
    "Exit status: 0 done, 1 refused or no such virtual router, 3 no daemon answers, 64 bad command line.";

/// Which daemon is asked.
#[derive(Clone, Debug, Args)]
struct Which {
    /// Its control socket; default /run/vrrp.sock
    #[arg(long, value_name = "PATH", conflicts_with = "pid_file")]
    socket: Option<PathBuf>,
    /// The pid file that its -r names: the socket is beside it
    #[arg(short = 'r', long = "vrrp_pid", value_name = "FILE")]
    pid_file: Option<PathBuf>,
}

/// Show what a running daemon does and why
///
/// Shows each virtual router: its state, since when and why, its priority with its parts, its addresses, the other
/// routers heard, and what it does next.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(super) struct Status {
    /// Only this virtual router, with all that is known of it
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The whole answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// Have a running daemon read its configuration again
///
/// Says what the new configuration changed, or why it was refused; then the daemon goes on with the one before.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(super) struct Reload {
    #[command(flatten)]
    which: Which,
}

/// Show or change what a running daemon logs
///
/// Shows from which level on each part of the worker logs. A change holds until the worker ends.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(super) struct LogLevel {
    /// What to change: all, vrrp, daemon, control or runner
    #[arg(value_parser = word::<LogTarget>, requires = "level")]
    target: Option<LogTarget>,
    /// From which level on it logs: off, error, warn, info or debug
    #[arg(value_parser = word::<control::LogLevel>)]
    level: Option<control::LogLevel>,
    #[command(flatten)]
    which: Which,
}

/// A word of the protocol.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::from(text)).map_err(|error| error.to_string())
}

/// Runs `status`.
pub(super) fn status(arguments: &Status) -> ExitCode {
    let result = match ask(&arguments.which, Command::Status {}, STATUS_PATIENCE) {
        Ok(result) => result,
        Err(failure) => return failure.tell("status"),
    };
    let report = match serde_json::from_value::<Report>(result.clone()) {
        Ok(report) => report,
        Err(error) => {
            return Failure::Unreachable(format!("the answer is not understood: {error}")).tell("status");
        }
    };
    let unknown =
        arguments.name.as_ref().filter(|name| report.routers.iter().all(|router| router.name != **name));
    if let Some(name) = unknown {
        let names: Vec<&str> = report.routers.iter().map(|router| &*router.name).collect();
        super::say(&format!(
            "alived status: there is no virtual router {name}; there are: {}\n",
            names.join(" ")
        ));
        return ExitCode::from(REFUSED);
    }
    if arguments.json {
        super::print(&format!("{result}\n"));
    } else {
        super::print(&text::text(&report, clock::wall().as_unix_micros(), arguments.name.as_deref()));
    }
    ExitCode::SUCCESS
}

/// Runs `reload`.
pub(super) fn reload(arguments: &Reload) -> ExitCode {
    match ask(&arguments.which, Command::Reload {}, RELOAD_PATIENCE) {
        Ok(result) => {
            let lines = result.get("lines").and_then(Value::as_array).into_iter().flatten();
            for line in lines.filter_map(Value::as_str) {
                super::print(&format!("{line}\n"));
            }
            ExitCode::SUCCESS
        }
        Err(failure) => failure.tell("reload"),
    }
}

/// Runs `log-level`.
pub(super) fn log_level(arguments: &LogLevel) -> ExitCode {
    let change = arguments.target.zip(arguments.level).map(|(target, level)| LevelChange { target, level });
    match ask(&arguments.which, Command::LogLevel { change }, STATUS_PATIENCE) {
        Ok(result) => {
            let levels = result.get("levels").and_then(Value::as_object).into_iter().flatten();
            for (part, level) in levels {
                super::print(&format!("{part} {}\n", level.as_str().unwrap_or("?")));
            }
            ExitCode::SUCCESS
        }
        Err(failure) => failure.tell("log-level"),
    }
}

/// Why there is no result.
enum Failure {
    Refused(Refusal),
    Unreachable(String),
}

impl Failure {
    fn tell(self, subcommand: &str) -> ExitCode {
        match self {
            Self::Refused(Refusal { message, lines, .. }) => {
                super::say(&format!("alived {subcommand}: {message}\n"));
                lines.iter().for_each(|line| super::say(&format!("{line}\n")));
                ExitCode::from(REFUSED)
            }
            Self::Unreachable(text) => {
                super::say(&format!("alived {subcommand}: {text}\n"));
                ExitCode::from(UNREACHABLE)
            }
        }
    }
}

fn ask(which: &Which, command: Command, patience: Duration) -> Result<Value, Failure> {
    let beside = || which.pid_file.as_ref().map(|path| path.with_extension("sock"));
    let path = which.socket.clone().or_else(beside).unwrap_or_else(|| DEFAULT_SOCKET.into());
    let failed = |error: io::Error| {
        let advice = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "is the daemon running? Name its socket with --socket, or its pid file with -r"
            }
            io::ErrorKind::PermissionDenied => "only root may ask",
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it does not answer in time",
            _ => "see its log",
        };
        Failure::Unreachable(format!("cannot ask the daemon at {}: {error}; {advice}", path.display()))
    };
    let mut stream = UnixStream::connect(&path).map_err(failed)?;
    stream.set_read_timeout(Some(patience)).map_err(failed)?;
    stream.set_write_timeout(Some(patience)).map_err(failed)?;
    let mut line = serde_json::to_vec(&Request::new(command)).unwrap_or_default();
    line.push(b'\n');
    stream.write_all(&line).map_err(failed)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_until(b'\n', &mut answer).map_err(failed)?;
    let answer: Answer = serde_json::from_slice(&answer)
        .map_err(|error| Failure::Unreachable(format!("the daemon's answer is not understood: {error}")))?;
    match answer.outcome {
        Outcome::Result(result) => Ok(result),
        Outcome::Error(refusal) => Err(Failure::Refused(refusal)),
    }
}
