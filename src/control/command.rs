//! What can be asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kernel's largest weight of a real server.
pub(crate) const WEIGHT_MAX: u32 = i32::MAX as u32;

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// The worker's whole state.
    Status {},
    /// What happened lately, the oldest first; then, if asked for, each further event in a line of its own as it happens.
    /// Who follows says nothing more; who reads too slowly is told so and cut off.
    Events {
        /// Only those of the virtual router or sync group of this name; of the lvs worker, of the virtual server or real
        /// server.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<String>,
        /// At most so many, the latest ones; all that are kept, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<u32>,
        /// Whether to go on with what happens from now on.
        #[serde(default)]
        follow: bool,
    },
    /// What a reload with this file in place of the daemon's would change. Nothing is done.
    Plan {
        /// Absolute path.
        file: String,
    },
    /// Masters hand over to their successors without a gap; answered when that is done, or is not.
    Failover {
        /// A virtual router with all of its sync group, or a sync group; all virtual routers, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<String>,
        /// How long they shall not come back, unless the successor fails; until they are told to, if absent. Seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u32>,
    },
    /// Those that handed over take back at once what they would be master of.
    Failback {
        /// As of `failover`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<String>,
    },
    /// Whether maintenance keeps all virtual routers out of the election, after a change if one is asked for. What hands
    /// over is waited for.
    Maintenance {
        /// What to change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<MaintenanceChange>,
    },
    /// Real servers get no new connections, and leave the kernel's table when those that they have are over. Answered
    /// at once; `orders` tells how far it is.
    Drain {
        /// Real servers: a name (`[10.0.0.1]:tcp:80`), an address with port, an `snmp_name`, an address for all ports of it,
        /// or a virtual server's name for all of that.
        real_server: String,
        /// Only those of the virtual server of this name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        virtual_server: Option<String>,
        /// How long it holds; until it is ended, if absent. Seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u32>,
        /// When connections that are left are cut; `limit` of alived.toml, if absent. Seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    },
    /// Real servers have another weight than the configuration and checks say. Answered at once.
    Weight {
        /// Real servers: a name (`[10.0.0.1]:tcp:80`), an address with port, an `snmp_name`, an address for all ports of it,
        /// or a virtual server's name for all of that.
        real_server: String,
        /// Only those of the virtual server of this name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        virtual_server: Option<String>,
        /// 0 to 2,147,483,647.
        #[schemars(range(max = WEIGHT_MAX))]
        weight: u32,
        /// How long it holds; until it is ended, if absent. Seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u32>,
    },
    /// What `drain` and `weight` ordered of real servers ends. Answered at once.
    Restore {
        /// Real servers: a name (`[10.0.0.1]:tcp:80`), an address with port, an `snmp_name`, an address for all ports of it,
        /// or a virtual server's name for all of that, or `all`.
        real_server: String,
        /// Only those of the virtual server of this name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        virtual_server: Option<String>,
    },
    /// What `drain` and `weight` have ordered, and how far it is.
    Orders {},
    /// What reaches the virtual routers is recorded to files, or no longer is. Without a change, how it goes.
    Record {
        /// What to change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<RecordChange>,
    },
    /// Read the configuration again; answered when it is in force or refused.
    Reload {},
    /// Go on as another process, of the program that is on the disk now and with the configuration that is in its files now;
    /// answered when both were judged. If they are good it follows, and other routers and hosts do not notice.
    Restart {},
    /// The levels from which on the worker logs, after a change if one is asked for. The change ends with the worker.
    LogLevel {
        /// What to change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<LevelChange>,
    },
}

impl Command {
    /// Whether it only looks.
    pub const fn is_read_only(&self) -> bool {
        match self {
            Self::Status {}
            | Self::Events { .. }
            | Self::Plan { .. }
            | Self::Maintenance { change: None }
            | Self::Orders {}
            | Self::Record { change: None }
            | Self::LogLevel { change: None } => true,
            Self::Failover { .. }
            | Self::Failback { .. }
            | Self::Maintenance { change: Some(_) }
            | Self::Drain { .. }
            | Self::Weight { .. }
            | Self::Restore { .. }
            | Self::Record { change: Some(_) }
            | Self::Reload {}
            | Self::Restart {}
            | Self::LogLevel { change: Some(_) } => false,
        }
    }
}

/// A change of maintenance.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceChange {
    /// Whether it shall hold.
    pub on: bool,
    /// How long; until it is ended, if absent. Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// Whether it shall hold on when the daemon is stopped and started.
    #[serde(default)]
    pub persists: bool,
}

/// A change of the recording.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordChange {
    /// Whether there shall be one.
    pub on: bool,
    /// How long; until it is ended, if absent. Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// Absolute path of the folder of its files; that of alived.toml, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Size of all of them together in MiB, 4 to 1,048,576; that of alived.toml, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4, max = 1_048_576))]
    pub megabytes: Option<u32>,
}

/// A change of what is logged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LevelChange {
    /// Of which part.
    pub target: LogTarget,
    /// From which level on.
    pub level: LogLevel,
}

/// A part of the worker that logs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogTarget {
    /// All of them.
    All,
    /// What the virtual routers do.
    Vrrp,
    /// Start, reload, stop, and what is not of another part.
    Daemon,
    /// Requests at the control socket.
    Control,
    /// Commands that are run.
    Runner,
}

impl LogTarget {
    /// Each part.
    pub const PARTS: [Self; 4] = [Self::Vrrp, Self::Daemon, Self::Control, Self::Runner];
}

/// From which level on events are logged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Nothing is.
    Off,
    /// The daemon cannot do its work.
    Error,
    /// Something should be looked at.
    Warn,
    /// What happens.
    Info,
    /// Details for a search for a fault.
    Debug,
}
