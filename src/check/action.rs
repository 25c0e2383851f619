//! The words exchanged with whoever does the input and output of checks.

use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU16;
use std::borrow::Cow;
use std::sync::Arc;

use super::{Checker, Connection};
use crate::kernel::Script;
use crate::net::InterfaceName;
use crate::time::{Duration, Instant, WallTime};

/// One try of one check: a connection, a socket or a run of a program. Never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Attempt {
    /// The probe.
    pub(super) probe: u32,
    /// Counts the tries of all probes.
    pub(super) serial: u64,
}

/// What is to be done for an [`Attempt`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Begins it. Answered by [`Event::Connected`], [`Event::Failed`] or [`Event::NotTried`]; a program by
    /// [`Event::Ended`].
    Open(Open),
    /// Sends all of this, as the next bytes of a stream or as one datagram. Comes after [`Event::Connected`] only.
    Send(Vec<u8>),
    /// The end, exactly once for each [`Action::Open`], also after the peer closed, failed, or the program ended. What is
    /// still to be sent is sent as far as it goes without waiting; a program that still runs is ended with its process
    /// group. Events of the attempt that come later are ignored.
    Close,
}

/// What to open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Open {
    /// A TCP connection, with TLS on it where `tls` is set.
    Stream {
        /// Where to.
        to: SocketAddr,
        /// From where.
        from: Local,
        /// The handshake follows the connection, and [`Event::Connected`] the handshake.
        tls: Option<TlsOpen>,
    },
    /// A UDP socket, connected so that it hears the peer and ICMP errors alone.
    Datagrams {
        /// Where to.
        to: SocketAddr,
        /// From where.
        from: Local,
    },
    /// An ICMP datagram socket (`SOCK_DGRAM`, `IPPROTO_ICMP` or `IPPROTO_ICMPV6`), connected. What is sent and
    /// received begins with the ICMP header; the kernel sets its identifier and checksum.
    Echo {
        /// Where to.
        to: IpAddr,
        /// From where; the port does not count.
        from: Local,
    },
    /// A run of a program.
    Program {
        /// What to run.
        script: Arc<Script>,
        /// It is ended after this; [`Action::Close`] comes then, too.
        timeout: Duration,
    },
}

/// From where a check connects.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Local {
    /// `bindto`.
    pub address: Option<IpAddr>,
    /// `bind_port`.
    pub port: Option<NonZeroU16>,
    /// `bind_if`: `SO_BINDTODEVICE`, and the scope of link-local addresses.
    pub interface: Option<InterfaceName>,
    /// `fwmark`: `SO_MARK`; 0 = none.
    pub mark: u32,
}

impl Local {
    pub(super) fn of(connection: &Connection) -> Self {
        Self {
            address: connection.source,
            port: connection.source_port,
            interface: connection.interface.clone(),
            mark: connection.mark,
        }
    }
}

/// TLS of one connection. Whether the server's certificate is verified is for whoever does it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsOpen {
    /// Name of the server to ask for (RFC 6066 §3).
    pub server_name: Option<Arc<str>>,
    /// Name that its certificate is to be for, where certificates are verified and no `server_name` says it; `None` =
    /// its address.
    pub certificate_name: Option<Arc<str>>,
    /// `tls_compliant`: the end is `close_notify`.
    pub close_notify: bool,
    /// HTTP/2 is asked for by ALPN (RFC 9113 §3.2); a server that does not choose it fails.
    pub http2: bool,
}

/// What happened to an [`Attempt`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event<'a> {
    /// It is open, with TLS after the handshake.
    Connected {
        /// When the certificate that the server showed becomes invalid.
        certificate_expires: Option<WallTime>,
    },
    /// The next bytes of a stream, any number of them, or one whole datagram.
    Received(&'a [u8]),
    /// The peer ended the stream in order; nothing more is received.
    Closed,
    /// It could not be opened, was reset, or an ICMP error came. With the reason, for people.
    Failed(Cow<'static, str>),
    /// It could not be tried for want of something of our own: descriptors, memory, ports. Counts neither for nor
    /// against the server. With what is wanting, for people.
    NotTried(Cow<'static, str>),
    /// The program ended.
    Ended(ProgramEnd),
}

/// How a program ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ProgramEnd {
    /// By itself, with this status.
    Exited(u8),
    /// By this signal.
    Signalled(i32),
    /// It ran too long and was ended.
    TimedOut,
    /// It could not be started. With the reason, for people.
    NotStarted(Cow<'static, str>),
    /// Nobody knows: whoever ran it died. Counts neither for nor against the server.
    Lost,
}

/// What a check says of the weight of its real server, beside up and down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WeightAdvice {
    /// `misc_dynamic`: the server shall have this weight, 0 to 253.
    Set(u32),
    /// `FILE_CHECK`: this is added to the server's weight.
    Add(i64),
}

/// What became of a check, for one of those that depend on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<K> {
    /// Whose check.
    pub key: K,
    /// What was checked.
    pub checker: Arc<Checker>,
    /// What it is about.
    pub kind: OutcomeKind,
    /// Whether the server is up as far as this check goes.
    pub up: bool,
    /// What the server's weight should be.
    pub weight: Option<WeightAdvice>,
    /// Why, in words.
    pub reason: Cow<'static, str>,
    /// From the start of the try to its end.
    pub latency: Duration,
}

/// Why an [`Outcome`] is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OutcomeKind {
    /// The first result, or a result that was there before the key was.
    First,
    /// It is up and was down, or the other way round.
    Changed,
    /// Up as before, with other advice on the weight.
    Weight,
    /// Up as before: this failure is forgiven. `log_all_failures` says whether it is logged.
    Forgiven {
        /// Failures in a row so far.
        failures: u32,
        /// How many are forgiven (`retry`).
        retry: u32,
    },
}

/// The last result of a check, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastResult {
    /// When.
    pub at: Instant,
    /// Whether the try was good.
    pub good: bool,
    /// Why, in words.
    pub reason: Cow<'static, str>,
    /// From the start of the try to its end.
    pub latency: Duration,
    /// When the certificate that the server showed becomes invalid.
    pub certificate_expires: Option<WallTime>,
}

/// What follows from an event, in buckets.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckActions<K> {
    /// Input and output, in this order.
    pub io: Vec<(Attempt, Action)>,
    /// What is told to those who depend on the checks, in this order.
    pub outcomes: Vec<Outcome<K>>,
    /// How long each try took that ended with a result, for everybody who depends on it.
    pub tries: Vec<(K, Duration)>,
}

impl<K> Default for CheckActions<K> {
    fn default() -> Self {
        Self { io: Vec::new(), outcomes: Vec::new(), tries: Vec::new() }
    }
}
