//! What happened, in the words that hooks and readers of FIFOs know from keepalived.

use core::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::time::WallTime;
use crate::vrrp::State;

/// Whom something happened to.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Object {
    /// The `vrrp_instance` of this name.
    Instance(Arc<str>),
    /// The `vrrp_sync_group` of this name.
    Group(Arc<str>),
    /// A `virtual_server`, as keepalived names it in lines: `[192.0.2.1]:tcp:80`.
    VirtualServer(Arc<str>),
    /// A `real_server`, and whose it is, in the same form.
    RealServer(Arc<str>, Arc<str>),
}

impl Object {
    /// keepalived's word for its kind: first argument of `notify`, first word of a FIFO's line.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Instance(_) => "INSTANCE",
            Self::Group(_) => "GROUP",
            Self::VirtualServer(_) => "VS",
            Self::RealServer(..) => "RS",
        }
    }

    /// Its name in the configuration.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Instance(name)
            | Self::Group(name)
            | Self::VirtualServer(name)
            | Self::RealServer(name, _) => name,
        }
    }

    /// Whose it is.
    fn of(&self) -> Option<&str> {
        match self {
            Self::RealServer(_, of) => Some(of),
            Self::Instance(_) | Self::Group(_) | Self::VirtualServer(_) => None,
        }
    }
}

/// `vrrp_instance VI_1`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keyword = match self {
            Self::Instance(_) => "vrrp_instance",
            Self::Group(_) => "vrrp_sync_group",
            Self::VirtualServer(_) => "virtual_server",
            Self::RealServer(..) => "real_server",
        };
        write!(f, "{keyword} {}", self.name())?;
        self.of().map_or(Ok(()), |of| write!(f, " of {of}"))
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
    /// A real server answers its checks, or a virtual server has its quorum.
    Up,
    /// It does not.
    Down,
}

impl Word {
    /// Whether it is a state, which holds until the next one.
    pub(crate) const fn is_state(self) -> bool {
        match self {
            Self::Master
            | Self::Backup
            | Self::Fault
            | Self::Stop
            | Self::Deleted
            | Self::Up
            | Self::Down => true,
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
            Self::Up => "UP",
            Self::Down => "DOWN",
        })
    }
}

/// Something that happened to an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Event {
    pub(crate) object: Object,
    pub(crate) word: Word,
    /// Effective priority of an instance, 0 of others.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_server: Option<&'a str>,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    time_unix_us: u64,
}

impl Event {
    /// The line for a FIFO: `INSTANCE "VI_1" MASTER 100`, `VS [192.0.2.1]:tcp:80 UP`. The zero byte that keepalived 2.4
    /// writes after the latter is left out, as by 2.2.7.
    pub(crate) fn to_line(&self) -> String {
        let Self { object, word, priority, .. } = self;
        let (kind, name) = (object.kind(), object.name());
        match object {
            Object::Instance(_) | Object::Group(_) => format!("{kind} \"{name}\" {word} {priority}\n"),
            Object::VirtualServer(_) => format!("{kind} {name} {word}\n"),
            Object::RealServer(_, of) => format!("{kind} {name} {of} {word}\n"),
        }
    }

    /// The state that it tells of, if it is one of a virtual router.
    pub(crate) const fn state(&self) -> Option<State> {
        match self.word {
            Word::Master => Some(State::Master),
            Word::Backup => Some(State::Backup),
            Word::Fault => Some(State::Fault),
            Word::Stop
            | Word::Deleted
            | Word::LowerPriorityReceived
            | Word::MasterPriority
            | Word::BackupPriority
            | Word::Up
            | Word::Down => None,
        }
    }

    /// One JSON object, in a line.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let json = Json {
            version: 1,
            kind: self.object.kind(),
            name: self.object.name(),
            virtual_server: self.object.of(),
            state: self.word.to_string(),
            priority: match self.object {
                Object::Instance(_) | Object::Group(_) => Some(self.priority),
                Object::VirtualServer(_) | Object::RealServer(..) => None,
            },
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
    fn servers_have_keepalived_s_lines() {
        let event = |object| Event {
            object,
            word: Word::Up,
            priority: 0,
            from: None,
            cause: None,
            at: WallTime::default(),
            is_last: false,
        };
        let server: Arc<str> = "[192.0.2.1]:tcp:80".into();
        let virtual_server = event(Object::VirtualServer(Arc::clone(&server)));
        assert_eq!(virtual_server.to_line(), "VS [192.0.2.1]:tcp:80 UP\n");
        let real = event(Object::RealServer("[198.51.100.5]:tcp:80".into(), server));
        assert_eq!(real.to_line(), "RS [198.51.100.5]:tcp:80 [192.0.2.1]:tcp:80 UP\n");
        assert_eq!(
            String::from_utf8(real.to_json()).unwrap(),
            "{\"version\":1,\"kind\":\"RS\",\"name\":\"[198.51.100.5]:tcp:80\",\"virtual_server\":\
             \"[192.0.2.1]:tcp:80\",\"state\":\"UP\",\"time_unix_us\":0}\n"
        );
    }

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
