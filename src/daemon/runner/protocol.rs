//! What a worker and its runner say to each other: one JSON text to a message. Both are the same program, so
//! there are no versions.

use core::fmt;
use std::ffi::CString;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::kernel::Script;
use crate::sys::channel::MESSAGE_BYTES;
use crate::sys::process::Ended;
use crate::sys::spawn::StartError;
use crate::time::Duration;

/// Number of a run, from its requester, who never uses one twice.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

/// What is to be run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Command {
    /// The command line and its user. `ScriptUser::Default` is the daemon's own user here: `script_user` is
    /// for the requester to put in.
    pub script: Script,
    /// `NAME=VALUE`, set besides what the daemon's own environment has.
    pub environment: Vec<CString>,
    /// What it may read from its standard input, which is empty otherwise.
    #[serde(skip)]
    pub input: Vec<u8>,
    /// How long it may run; then its process group gets TERM.
    pub deadline: Option<Duration>,
    /// How long after TERM its process group gets KILL.
    pub grace: Duration,
}

impl Command {
    /// keepalived's time between TERM and KILL.
    pub const GRACE: Duration = Duration::from_secs(2);

    /// A command without input or deadline.
    pub const fn new(script: Script) -> Self {
        Self { script, environment: Vec::new(), input: Vec::new(), deadline: None, grace: Self::GRACE }
    }
}

/// What a worker asks for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Request {
    /// Run it when its turn comes.
    Run {
        id: RunId,
        command: Box<Command>,
        /// Whether the descriptor of a file with its input goes with the message.
        input: bool,
    },
    /// End it, or strike it out. It is reported all the same.
    Cancel(RunId),
    /// So many at a time, from now on.
    Limit(u32),
}

/// What a runner answers: one to each run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Reply {
    pub(super) id: RunId,
    pub(super) outcome: Outcome,
}

/// What became of a run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Outcome {
    /// It ran.
    Ended {
        /// Its exit status or the signal that ended it.
        how: Ended,
        /// From its start to its end.
        duration: Duration,
        /// Why it was ended; `None` = by itself.
        cut: Option<Cut>,
    },
    /// It did not, for this reason.
    NotStarted(StartError),
    /// It did not, because this request is too long or too many wait already.
    Refused(Refusal),
    /// It was cancelled before its turn.
    Cancelled,
}

/// Why a run was ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Cut {
    /// At its deadline.
    Deadline,
    /// The requester cancelled it.
    Cancelled,
}

/// Why a run is not even tried.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Refusal {
    /// Command line and environment are longer than a message.
    TooLong,
    /// Too many wait.
    TooMany,
    /// The system has no memory for its input or its message.
    NoMemory,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { how, duration, cut } => {
                match how {
                    Ended::Exited(status) => write!(f, "ended with status {status}")?,
                    Ended::Killed(signal) => write!(f, "was ended by signal {signal}")?,
                }
                write!(f, " after {}.{:03} s", duration.as_secs(), duration.subsec_millis())?;
                match cut {
                    Some(Cut::Deadline) => f.write_str(", which is longer than it may take"),
                    Some(Cut::Cancelled) => f.write_str(", because it is not wanted any more"),
                    None => Ok(()),
                }
            }
            Self::NotStarted(why) => write!(f, "was not started: {why}"),
            Self::Refused(Refusal::TooLong) => f.write_str("was not started: its command line is too long"),
            Self::Refused(Refusal::TooMany) => f.write_str("was not started: too many commands wait already"),
            Self::Refused(Refusal::NoMemory) => f.write_str("was not started: there is no memory for it"),
            Self::Cancelled => f.write_str("was not started: it is not wanted any more"),
        }
    }
}

/// The bytes of a message. `None` if they are more than one may have.
pub(super) fn encode(message: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(message).ok().filter(|bytes| bytes.len() <= MESSAGE_BYTES)
}

/// The message of these bytes. `None` if they are none.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{NamedUser, ScriptUser};
    use crate::prng::Prng;
    use crate::sys::spawn::Step;

    fn command() -> Command {
        let c = |bytes: &[u8]| CString::new(bytes).unwrap();
        let mut script = Script::new(c(b"/bin/\xff\xfe"));
        script.arguments = vec![c(b""), c(b"a b\"\\\n"), c(b"\x01")];
        let user = NamedUser { user: "nobody".into(), group: Some("7".into()), supplementary_groups: true };
        script.user = ScriptUser::Named(user);
        Command {
            environment: vec![c(b"A=\xff")],
            deadline: Some(Duration::from_millis(1500)),
            grace: Duration::MAX,
            ..Command::new(script)
        }
    }

    fn requests() -> Vec<Request> {
        vec![
            Request::Run { id: RunId(u64::MAX), command: Box::new(command()), input: true },
            Request::Run {
                id: RunId(0),
                command: Box::new(Command::new(Script::new(c"x".into()))),
                input: false,
            },
            Request::Cancel(RunId(3)),
            Request::Limit(u32::MAX),
        ]
    }

    #[test]
    fn messages_mean_the_same_at_the_other_end() {
        for request in requests() {
            assert_eq!(decode::<Request>(&encode(&request).unwrap()), Some(request));
        }
        for outcome in [
            Outcome::Ended { how: Ended::Exited(255), duration: Duration::from_nanos(1), cut: None },
            Outcome::Ended { how: Ended::Killed(9), duration: Duration::MAX, cut: Some(Cut::Deadline) },
            Outcome::NotStarted(StartError::NoSuchUser("\"\u{fffd}".to_owned())),
            Outcome::NotStarted(StartError::Step(Step::Execute, libc::ENOENT)),
            Outcome::Refused(Refusal::TooMany),
            Outcome::Cancelled,
        ] {
            let reply = Reply { id: RunId(1), outcome };
            assert_eq!(decode::<Reply>(&encode(&reply).unwrap()), Some(reply));
        }
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        let mut long = command();
        long.environment = vec![CString::new(vec![b'x'; MESSAGE_BYTES]).unwrap()];
        assert_eq!(encode(&Request::Run { id: RunId(0), command: Box::new(long), input: false }), None);
    }

    #[test]
    fn any_bytes_are_survived() {
        let texts: Vec<Vec<u8>> = requests().iter().map(|request| encode(request).unwrap()).collect();
        let mut prng = Prng::new(1);
        for round in 0..20_000 {
            let mut bytes = texts[round % texts.len()].clone();
            for _ in 0..=prng.below(3) {
                let at = usize::try_from(prng.below(bytes.len() as u64)).unwrap();
                match prng.below(3) {
                    0 => bytes.truncate(at.max(1)),
                    1 => bytes[at] = u8::try_from(prng.below(256)).unwrap(),
                    _ => bytes.insert(at, b"[]{}\":,0-9e"[usize::try_from(prng.below(11)).unwrap()]),
                }
            }
            if let Some(request) = decode::<Request>(&bytes) {
                assert!(encode(&request).is_some());
            }
            let _ = decode::<Reply>(&bytes);
        }
        let deep = "[".repeat(MESSAGE_BYTES);
        assert_eq!(decode::<Request>(deep.as_bytes()), None);
        // A byte that ends a C string cannot be smuggled into one.
        assert_eq!(decode::<CString>(b"[97,0,98]"), None);
    }
}
