//! The kernel's threads that tell other directors of connections.

use core::fmt;
use core::net::IpAddr;
use core::num::{NonZeroU8, NonZeroU16};

use crate::net::InterfaceName;

/// What a thread does.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum SyncRole {
    /// Sends what this director knows.
    Master,
    /// Hears what others send.
    Backup,
}

impl fmt::Display for SyncRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Master => "master",
            Self::Backup => "backup",
        })
    }
}

/// A thread that runs, or shall. There is one for each role at most.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SyncDaemon {
    /// What it does.
    pub role: SyncRole,
    /// How.
    pub settings: SyncSettings,
}

/// `lvs_sync_daemon`: what `None` leaves open is the kernel's choice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SyncSettings {
    /// Where it sends and listens.
    pub interface: InterfaceName,
    /// `id`: only what carries it is heard; 0 = all.
    pub id: u8,
    /// `maxlen`: bytes of a message without its headers, 1 to 65,507; fitted to the interface's MTU by default.
    pub max_length: Option<NonZeroU16>,
    /// `group`: 224.0.0.81 by default.
    pub group: Option<IpAddr>,
    /// `port`: 8848 by default.
    pub port: Option<NonZeroU16>,
    /// `ttl`: 1 by default.
    pub ttl: Option<NonZeroU8>,
}
