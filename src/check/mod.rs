//! ENGINE: health checks of real servers: when to try, what to say, what the answer means.

mod config;
mod http;
mod probe;

pub use config::{CheckAssignment, Checker, CheckerKind, Timing, TlsClient};
pub use http::{
    BodyDigest, HttpCheck, HttpVersion, RegexMatch, RegexOption, ServerName, StatusCodes, TlsCheck, UrlCheck,
};
pub use probe::{
    Connection, DnsCheck, DnsType, ExpectedReply, FileCheck, MiscCheck, SmtpCheck, UdpCheck, WildcardByte,
};
