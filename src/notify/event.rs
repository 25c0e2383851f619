//! What happened, in the words that hooks and readers of FIFOs know from keepalived.

use core::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::time::WallTime;

/// Whom something happened to.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Object {
    /// The `vrrp_instance` of this name.
    Instance(Arc<str>),
    /// The `vrrp_sync_group` of this name.
    Group(Arc<str>),
}

impl Object {
    /// keepalived's word for its kind: first argument of `notify`, first word of a FIFO's line.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Instance(_) => "INSTANCE",
            Self::Group(_) => "GROUP",
        }
    }

    /// Its name in the configuration.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Instance(name) | Self::Group(name) => name,
        }
    }
}

/// `vrrp_instance VI_1`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keyword = match self {
            Self::Instance(_) => "vrrp_instance",
            Self::Group(_) => "vrrp_sync_group",
        };
        write!(f, "{keyword} {}", self.name())
    }
}

/// keepalived's word for what happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Word {
    Master,
    Backup,
    Fault,
    /// The daemon stops.
    Stop,
    /// A reload has removed it (`notify_deleted`).
    Deleted,
    /// A master has heard one of lower priority.
    LowerPriorityReceived,
    /// The priority of a master is another one.
    MasterPriority,
    /// The priority of a backup, or of one in fault, is another one.
    BackupPriority,
}

impl Word {
    /// Whether it is a state, which holds until the next one.
    pub(crate) const fn is_state(self) -> bool {
        match self {
            Self::Master | Self::Backup | Self::Fault | Self::Stop | Self::Deleted => true,
            Self::LowerPriorityReceived | Self::MasterPriority | Self::BackupPriority => false,
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
            Self::Deleted => "DELETED",
            Self::LowerPriorityReceived => "MASTER_RX_LOWER_PRI",
            Self::MasterPriority => "MASTER_PRIORITY",
            Self::BackupPriority => "BACKUP_PRIORITY",
        })
    }
}

/// Something that happened to an instance or a group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Event {
    pub(crate) object: Object,
    pub(crate) word: Word,
    /// Effective priority of an instance, 0 of a group.
    pub(crate) priority: u8,
    /// The state before, where it is another one now: `INIT`, `BACKUP`, `MASTER` or `FAULT`.
    pub(crate) from: Option<String>,
    /// Why, for people.
    pub(crate) cause: Option<String>,
    /// When.
    pub(crate) at: WallTime,
    /// Whether it is the last one of its object.
    pub(crate) is_last: bool,
}

/// The event as a hook reads it from its standard input. Members may be added, so that readers should pass over what
/// they do not know; `version` counts changes of other kinds.
#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    kind: &'a str,
    name: &'a str,
    state: String,
    priority: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    time_unix_us: u64,
}

impl Event {
    /// The line for a FIFO: `INSTANCE "VI_1" MASTER 100`.
    pub(crate) fn to_line(&self) -> String {
        let Self { object, word, priority, .. } = self;
        format!("{} \"{}\" {word} {priority}\n", object.kind(), object.name())
    }

    /// One JSON object, in a line.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let json = Json {
            version: 1,
            kind: self.object.kind(),
            name: self.object.name(),
            state: self.word.to_string(),
            priority: self.priority,
            from: self.from.as_deref(),
            cause: self.cause.as_deref(),
            time_unix_us: self.at.as_unix_micros(),
        };
        // Nothing in it can fail.
        let mut line = serde_json::to_vec(&json).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_json() {
        let event = Event {
            object: Object::Instance("V \"1\"\n".into()),
            word: Word::Master,
            priority: 100,
            from: Some("BACKUP".to_owned()),
            cause: None,
            at: WallTime::from_unix_micros(7),
            is_last: false,
        };
        let text = String::from_utf8(event.to_json()).unwrap();
        assert_eq!(
            text,
            "{\"version\":1,\"kind\":\"INSTANCE\",\"name\":\"V \\\"1\\\"\\n\",\"state\":\"MASTER\",\"priority\":100,\
             \"from\":\"BACKUP\",\"time_unix_us\":7}\n"
        );
    }
}
