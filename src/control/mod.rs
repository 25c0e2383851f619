//! The control protocol: what is asked of a worker through its socket, and what it answers.
//!
//! One JSON object a line in each direction, at most [`REQUEST_BYTES_MAX`] long towards the worker:
//!
//! ```text
//! -> {"version":1,"command":{"name":"status"}}
//! <- {"version":1,"result":{...}}
//! -> {"version":1,"id":7,"command":{"name":"reload"}}
//! <- {"version":1,"id":7,"error":{"code":"refused","message":"...","lines":["..."]}}
//! -> {"version":1,"id":8,"command":{"name":"events","last":10,"follow":true}}
//! <- {"version":1,"id":8,"result":{"events":[...]}}
//! <- {"version":1,"id":8,"event":{...}}
//! ```
//!
//! Answers come in the order of the requests. An unknown field is an error: a wish that is not understood must not look
//! as if it had been granted. New commands and new fields of results do not change the version.

mod command;
mod result;

pub(crate) use command::WEIGHT_MAX;
pub use command::{Command, LevelChange, LogLevel, LogTarget, MaintenanceChange, RecordChange};
pub use result::{
    LogLevels, OrderOutcome, Ordered, Planned, PlannedChange, PlannedObject, Recorded, Recording, Reloaded,
    Restarted, RouterOrdered,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version that is spoken.
pub const VERSION: u32 = 1;

/// The longest line that is read as a request.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// Comes back with the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What is asked for.
    pub command: Command,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// [`VERSION`].
    pub version: u32,
    /// The request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done. The form depends on the command.
    Result(Value),
    /// It was done before, and this has happened since: for who follows events.
    Event(Value),
    /// It was not.
    Error(Refusal),
}

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people.
    pub message: String,
    /// More for people, for example each error of a configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

/// Kinds of [`Refusal`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The line is no request.
    BadRequest,
    /// Another version is spoken here.
    UnknownVersion,
    /// The sender may not ask for this.
    NotAllowed,
    /// The worker stops, or has too much to do.
    Busy,
    /// It was judged and refused; nothing has changed.
    Refused,
    /// Who follows events does not read them as fast as they happen, and gets no more.
    TooSlow,
}

impl Request {
    /// A request for `command`.
    pub const fn new(command: Command) -> Self {
        Self { version: VERSION, id: None, command }
    }
}

impl Answer {
    /// The request was granted.
    pub const fn result(id: Option<u64>, result: Value) -> Self {
        Self { version: VERSION, id, outcome: Outcome::Result(result) }
    }

    /// Something has happened.
    pub const fn event(id: Option<u64>, event: Value) -> Self {
        Self { version: VERSION, id, outcome: Outcome::Event(event) }
    }

    /// It was not.
    pub const fn error(id: Option<u64>, code: Code, message: String) -> Self {
        Self::refusal(id, Refusal { code, message, lines: Vec::new() })
    }

    /// It was not, and there is more to say.
    pub const fn refusal(id: Option<u64>, refusal: Refusal) -> Self {
        Self { version: VERSION, id, outcome: Outcome::Error(refusal) }
    }

    /// As it is sent, with its end of line.
    pub fn to_line(&self) -> Vec<u8> {
        // Only maps with keys that are no strings cannot be written, and there are none.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// Reads one line.
///
/// # Errors
/// The answer to give instead.
pub fn parse(line: &[u8]) -> Result<Request, Box<Answer>> {
    let refuse = |id, code, message| Err(Box::new(Answer::error(id, code, message)));
    let value: Value = match serde_json::from_slice(line) {
        Ok(value) => value,
        Err(error) => return refuse(None, Code::BadRequest, format!("this is no JSON object: {error}")),
    };
    let id = value.get("id").and_then(Value::as_u64);
    match value.get("version").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => {
            let message = format!("version {version} is not spoken here; use version {VERSION}");
            return refuse(id, Code::UnknownVersion, message);
        }
        None => {
            let message = format!("the request names no version; use version {VERSION}");
            return refuse(id, Code::BadRequest, message);
        }
    }
    serde_json::from_value(value)
        .or_else(|error| refuse(id, Code::BadRequest, format!("this request is not understood: {error}")))
}

/// Who sent a request, by the kernel's word (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sender {
    /// Effective user.
    pub user: u32,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// The user that the worker runs as.
    pub own_user: u32,
    /// A group may use the socket: then its mode lets nobody else through, and whoever comes is a member.
    pub group: bool,
    /// Whoever comes may look at the state and at events, and nothing else: the web process.
    pub looks_only: bool,
}

impl Policy {
    /// Whether a sender may ask for a command.
    pub const fn allows(&self, sender: Sender, command: &Command) -> bool {
        let own = sender.user == 0 || sender.user == self.own_user;
        if self.looks_only {
            return matches!(command, Command::Status {} | Command::Events { .. });
        }
        // A configuration is read with the worker's rights, and what is wrong with it is quoted; files are written with them.
        own || self.group && !matches!(command, Command::Plan { .. } | Command::Record { change: Some(_) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_is_written() {
        let change = LevelChange { target: LogTarget::Vrrp, level: LogLevel::Warn };
        let levels = [None, Some(change)].map(|change| Command::LogLevel { change });
        let events = Command::Events { of: Some("VI_1".to_owned()), last: Some(3), follow: true };
        let plan = Command::Plan { file: "/etc/keepalived/new.conf".to_owned() };
        let failover = Command::Failover { of: None, seconds: Some(60) };
        let failback = Command::Failback { of: Some("VI_1".to_owned()) };
        let change = Some(MaintenanceChange { on: true, seconds: None, persists: true });
        let maintenance = Command::Maintenance { change };
        let (real_server, virtual_server) = ("[10.0.0.1]:tcp:80".to_owned(), Some("FWM 7".to_owned()));
        let (one, of) = (real_server.clone(), virtual_server.clone());
        let drain = Command::Drain { real_server: one, virtual_server: of, seconds: None, limit: Some(60) };
        let (one, of) = (real_server.clone(), virtual_server.clone());
        let weight = Command::Weight { real_server: one, virtual_server: of, weight: 7, seconds: Some(1) };
        let restore = Command::Restore { real_server, virtual_server };
        let of_servers = [drain, weight, restore, Command::Orders {}];
        let others = [
            Command::Status {},
            events,
            plan,
            failover,
            failback,
            maintenance,
            Command::Reload {},
            Command::Restart {},
        ];
        for command in others.into_iter().chain(of_servers).chain(levels) {
            let request = Request { id: Some(7), ..Request::new(command) };
            let line = serde_json::to_vec(&request).unwrap();
            assert_eq!(parse(&line), Ok(request));
        }
        assert_eq!(
            parse(br#"{"version":1,"command":{"name":"status"}}"#),
            Ok(Request::new(Command::Status {}))
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_number() {
        for (line, code, id) in [
            (&b"status"[..], Code::BadRequest, None),
            (b"", Code::BadRequest, None),
            (b"[]", Code::BadRequest, None),
            (b"\xff", Code::BadRequest, None),
            (br#"{"id":3,"command":{"name":"status"}}"#, Code::BadRequest, Some(3)),
            (br#"{"version":2,"id":3,"command":{"name":"status"}}"#, Code::UnknownVersion, Some(3)),
            (br#"{"version":1,"id":3,"command":{"name":"explode"}}"#, Code::BadRequest, Some(3)),
            (br#"{"version":1,"command":{"name":"reload","dry":true}}"#, Code::BadRequest, None),
            (
                br#"{"version":1,"command":{"name":"restore","real_server":"all","dry":true}}"#,
                Code::BadRequest,
                None,
            ),
            (br#"{"version":1,"command":{"name":"weight","weight":1}}"#, Code::BadRequest, None),
            (
                br#"{"version":1,"command":{"name":"log-level","change":{"target":"vrrp","level":"loud"}}}"#,
                Code::BadRequest,
                None,
            ),
            (br#"{"version":1,"dry":true,"command":{"name":"reload"}}"#, Code::BadRequest, None),
        ] {
            let answer = parse(line).unwrap_err();
            let Outcome::Error(refusal) = &answer.outcome else { panic!("{answer:?}") };
            assert_eq!((refusal.code, answer.id), (code, id), "{answer:?}");
        }
    }

    #[test]
    fn an_answer_is_one_line() {
        let refusal =
            Refusal { code: Code::Refused, message: "a\nb".to_owned(), lines: vec!["line 1".to_owned()] };
        let line = Answer::refusal(Some(1), refusal.clone()).to_line();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let read: Answer = serde_json::from_slice(&line).unwrap();
        assert_eq!(read, Answer::refusal(Some(1), refusal));
        let text = String::from_utf8(Answer::result(None, Value::from(1)).to_line()).unwrap();
        assert_eq!(text, "{\"version\":1,\"result\":1}\n");
    }

    #[test]
    fn only_root_and_the_own_user_may_ask_unless_a_group_may() {
        let closed = Policy { own_user: 5, group: false, looks_only: false };
        let allows = |policy: Policy, user| policy.allows(Sender { user }, &Command::Status {});
        assert!(allows(closed, 0) && allows(closed, 5) && !allows(closed, 6));
        let open = Policy { group: true, ..closed };
        assert!(allows(open, 6));
        assert!(!open.allows(Sender { user: 6 }, &Command::Plan { file: "/etc/shadow".to_owned() }));
    }
}
