//! ENGINE: health checks of real servers: when to try, what to say, what the answer means.
//!
//! [`Checks`] holds all of them and does no input or output. Whoever drives it
//! - calls [`Checks::configure`] with the checks that there shall be, at the start and at each reload;
//! - carries out [`CheckActions::io`] in order. [`Action::Open`] begins an [`Attempt`], [`Action::Send`] follows
//!   [`Event::Connected`], [`Action::Close`] comes exactly once for each attempt and frees all it has;
//! - gives back what happens as [`Event`]s with the attempt, by [`Checks::handle`]: bytes as they come, in any portions.
//!   It reads no more of an attempt while it hands over, so that whoever sends endlessly costs one buffer;
//! - sleeps until [`Checks::poll_timeout`], then reads what has arrived, then calls [`Checks::handle_timeout`]. No
//!   deadline of its own is needed: each try has one, from its beginning to its end, and is closed by it;
//! - hands over numbers of tracked files ([`Checks::file`]), states of BFD sessions ([`Checks::session`]) and who rests
//!   ([`Checks::suspend`]);
//! - passes on [`CheckActions::outcomes`] to the director. A server is up when all its checks are; before the first
//!   outcome of a check it is up unless [`Timing::alpha`].
//!
//! A try holds a bounded amount of memory, whatever a server sends.
//!
//! Unlike keepalived: `connect_timeout` limits the whole try, not each of its steps, so that a server that answers drop by
//! drop is found; checks keep their place in the period instead of waiting for it after each result, and start
//! spread evenly over `warmup`; the digest of a page in chunks may be that of its content; a page that is asked for
//! nothing but its status is read up to 1 MiB.

mod action;
mod config;
mod dialogue;
mod engine;
pub mod expiry;
mod fetch;
mod http;
mod pattern;
mod probe;
mod request;

pub use action::{
    Action, Attempt, CheckActions, Event, LastResult, Local, Open, Outcome, OutcomeKind, ProgramEnd, TlsOpen,
    WeightAdvice,
};
pub(crate) use config::CheckAssignment;
pub use config::{Checker, CheckerKind, Timing, TlsClient};
pub use dialogue::Target;
pub use engine::{CheckStatus, Checks, TargetedCheck};
pub use fetch::{Begun, PageDigests, PageFetch};
pub use http::{
    BodyDigest, HttpCheck, HttpVersion, RegexMatch, RegexOption, ServerName, StatusCodes, TlsCheck, UrlCheck,
};
pub use pattern::{InvalidPattern, judge_pattern};
pub use probe::{
    Connection, DnsCheck, DnsType, ExpectedReply, FileCheck, MiscCheck, SmtpCheck, UdpCheck, WildcardByte,
};
pub use request::{FieldName, FieldValue, Method, RequestSettings};
