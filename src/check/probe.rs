//! What checks other than HTTP do.

use core::net::IpAddr;
use core::num::NonZeroU16;
use std::sync::Arc;

use crate::kernel::Script;
use crate::net::InterfaceName;
use crate::time::Duration;

/// Where a check connects to, from where, and how long it waits.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Connection {
    /// `connect_ip`; `None` = the real server's address.
    pub address: Option<IpAddr>,
    /// `connect_port`; `None` = the real server's port.
    pub port: Option<NonZeroU16>,
    /// `bindto`: source address.
    pub source: Option<IpAddr>,
    /// `bind_port`: source port.
    pub source_port: Option<NonZeroU16>,
    /// `bind_if`: only through this interface.
    pub interface: Option<InterfaceName>,
    /// `connect_timeout`: limit of one try, at least 1 µs; default 5 s.
    pub timeout: Duration,
    /// `fwmark`: mark of the packets; 0 = none.
    pub mark: u32,
}

impl Connection {
    /// keepalived's limit of one try.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
}

impl Default for Connection {
    /// To the real server, from anywhere.
    fn default() -> Self {
        Self {
            address: None,
            port: None,
            source: None,
            source_port: None,
            interface: None,
            timeout: Self::DEFAULT_TIMEOUT,
            mark: 0,
        }
    }
}

/// `SMTP_CHECK`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct SmtpCheck {
    /// The check's own connection, then one for each `host`; all must answer. Never empty.
    pub hosts: Vec<Connection>,
    /// `helo_name`; `None` = `smtpchecker.keepalived.org`.
    pub helo_name: Option<Arc<str>>,
}

/// `DNS_CHECK`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct DnsCheck {
    /// Where the question goes.
    pub connection: Connection,
    /// `type`.
    pub query_type: DnsType,
    /// `name`: labels of the name asked for, without the root's; empty = the root.
    pub labels: Vec<Box<str>>,
}

/// Type of a DNS question.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum DnsType {
    /// An IPv4 address.
    A,
    /// Name servers.
    Ns,
    /// An alias.
    Cname,
    /// Start of authority; the default.
    #[default]
    Soa,
    /// Mail servers.
    Mx,
    /// Text.
    Txt,
    /// An IPv6 address.
    Aaaa,
    /// Signatures.
    Rrsig,
    /// Keys.
    Dnskey,
}

/// `UDP_CHECK`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct UdpCheck {
    /// Where the datagram goes.
    pub connection: Connection,
    /// `payload`; `None` = random bytes.
    pub payload: Option<Box<[u8]>>,
    /// `require_reply`, `min_reply_length`, `max_reply_length`; `None` = silence is success, as long as no
    /// ICMP error comes.
    pub reply: Option<ExpectedReply>,
}

/// What must come back.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ExpectedReply {
    /// Shortest accepted, in bytes.
    pub minimum_length: u16,
    /// Longest accepted, in bytes; at least the shortest.
    pub maximum_length: u16,
    /// How it begins; compared up to the shorter of the two lengths.
    pub pattern: Vec<WildcardByte>,
}

/// A byte of which some bits do not matter (`x` in a hex string).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct WildcardByte {
    /// The value; bits outside of the mask are 0.
    pub value: u8,
    /// Bits that are compared.
    pub mask: u8,
}

/// `MISC_CHECK`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct MiscCheck {
    /// `misc_path`, `user`: exit status 0 is success.
    pub script: Arc<Script>,
    /// `misc_timeout`: a run longer than this has failed; `delay_loop` unless set.
    pub timeout: Duration,
    /// `misc_dynamic`: exit status 2 to 255 is success and gives the weight plus 2.
    pub dynamic: bool,
}

/// `FILE_CHECK`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct FileCheck {
    /// `track_file`: name of the file tracker.
    pub tracker: Arc<str>,
    /// `weight`: the file's number is multiplied by it and added to the real server's weight; 0: a number
    /// other than 0 is a failure.
    pub weight: i32,
    /// `reverse`.
    pub reverse: bool,
}
