//! ENGINE: health checks of real servers: when to try, what to say, what the answer means.

mod config;
mod http;
mod probe;

pub(crate) use config::{CheckAssignment, Checker, CheckerKind, Timing, TlsClient};
pub(crate) use http::{
    BodyDigest, HttpCheck, HttpVersion, RegexMatch, RegexOption, ServerName, StatusCodes, TlsCheck, UrlCheck,
};
pub(crate) use probe::{
    Connection, DnsCheck, DnsType, ExpectedReply, FileCheck, MiscCheck, SmtpCheck, UdpCheck, WildcardByte,
};
