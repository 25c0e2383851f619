//! Configuration of health checks. Times a checker does not set are resolved: real server, virtual server,
//! default. Checkers that say the same share one value.

use std::sync::Arc;

use super::http::HttpCheck;
use super::probe::{Connection, DnsCheck, FileCheck, MiscCheck, SmtpCheck, UdpCheck};
use crate::secret::Secret;
use crate::time::Duration;

/// A health check.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Checker {
    /// When it runs.
    pub timing: Timing,
    /// What it does.
    pub kind: CheckerKind,
}

/// Which real server a checker is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CheckAssignment<Key> {
    /// The real server.
    pub server: Key,
    /// The checker, shared with all that say the same.
    pub checker: Arc<Checker>,
}

/// When a check runs and when its result counts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Timing {
    /// `delay_loop`: from one check to the next, at least 1 µs; default 60 s.
    pub delay_loop: Duration,
    /// `retry`: failures of a live server that are forgiven; default 1, DNS 3, program 0.
    pub retry: u32,
    /// `delay_before_retry`: from a forgiven failure to the next try; default 1 s, HTTP 3 s, DNS
    /// `delay_loop`.
    pub delay_before_retry: Duration,
    /// `warmup`: the first check comes at random within this; default `delay_loop`.
    pub warmup: Duration,
    /// `alpha`: the server is down until the first success.
    pub alpha: bool,
    /// `log_all_failures`: forgiven failures are logged; `None` = `checker_log_all_failures`.
    pub log_all_failures: Option<bool>,
}

/// What a check does.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum CheckerKind {
    /// `TCP_CHECK`: connects.
    Tcp(Connection),
    /// `HTTP_GET`, `SSL_GET`: fetches pages.
    Http(Box<HttpCheck>),
    /// `SMTP_CHECK`: banner, HELO, QUIT.
    Smtp(Box<SmtpCheck>),
    /// `DNS_CHECK`: asks a question.
    Dns(Box<DnsCheck>),
    /// `PING_CHECK`: ICMP echo.
    Ping(Connection),
    /// `UDP_CHECK`: sends a datagram.
    Udp(Box<UdpCheck>),
    /// `MISC_CHECK`: runs a program.
    Misc(Box<MiscCheck>),
    /// `FILE_CHECK`: takes the number in a file.
    File(FileCheck),
    /// `BFD_CHECK`: the state of the BFD session of this name.
    Bfd(Arc<str>),
}

/// `SSL`: what the daemon shows when it connects with TLS.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsClient {
    /// `ca`: file of certificates.
    pub authorities: Option<Arc<str>>,
    /// `certificate`: file of our certificate.
    pub certificate: Option<Arc<str>>,
    /// `key`: file of its private key.
    pub key: Option<Arc<str>>,
    /// `password` of the private key.
    pub password: Option<Secret<Box<str>>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_stays_out_of_logs() {
        let client = TlsClient { password: Some(Secret::new("hunter2".into())), ..TlsClient::default() };
        assert!(!format!("{client:?}").contains("hunter2"));
    }
}
