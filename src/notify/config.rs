//! What an instance or a sync group tells others (`notify_*`, `smtp_alert`, `notify_priority_changes`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::mail::MailConfig;
use crate::kernel::{Script, ScriptUser};

/// What all instances and sync groups tell.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Notifications {
    /// By name of the instance.
    pub instances: BTreeMap<Arc<str>, InstanceNotifications>,
    /// By name of the sync group.
    pub groups: BTreeMap<Arc<str>, SyncGroupNotifications>,
    /// `vrrp_notify_fifo` and `notify_fifo`: two at most, of different paths.
    pub fifos: Vec<FifoConfig>,
    /// `lvs_notify_fifo` and `notify_fifo`, which tell of virtual and real servers.
    pub balancer_fifos: Vec<FifoConfig>,
    /// Where mail goes, if any.
    pub mail: Option<Box<MailConfig>>,
    /// `fifo_write_vrrp_states_on_reload`: FIFOs get all states again after a reload.
    pub repeat_on_reload: bool,
}

/// A FIFO.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct FifoConfig {
    /// Its path.
    pub path: Box<str>,
    /// Whom it belongs to.
    pub owner: ScriptUser,
    /// `notify_fifo_script`, `vrrp_notify_fifo_script`: its reader, which gets the path as its last argument.
    pub script: Option<Arc<Script>>,
    /// Another worker writes to it, too.
    pub shared: bool,
}

/// Scripts for the states of an instance or a group.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct StateScripts {
    /// `notify_master`.
    pub master: Option<Arc<Script>>,
    /// `notify_backup`.
    pub backup: Option<Arc<Script>>,
    /// `notify_fault`.
    pub fault: Option<Arc<Script>>,
    /// `notify_stop`: at the end of the daemon.
    pub stop: Option<Arc<Script>>,
    /// `notify`: on any change, with kind, name, state and priority as further arguments.
    pub any: Option<Arc<Script>>,
}

/// What a `vrrp_instance` tells.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct InstanceNotifications {
    /// By state.
    pub states: StateScripts,
    /// `notify_deleted`: a reload that removes the instance is told as DELETED, not as FAULT; perhaps by a
    /// script.
    pub deleted: Option<Option<Arc<Script>>>,
    /// `notify_master_rx_lower_pri`: a master heard an advertisement of lower priority.
    pub lower_priority_received: Option<Arc<Script>>,
    /// `smtp_alert`: mail on changes; `None` = the global default, else off.
    pub mail: Option<bool>,
    /// `notify_priority_changes`: FIFO lines for changes of priority; `None` = the sync group's, else the global default,
    /// else off.
    pub priority_changes: Option<bool>,
}

/// What a `vrrp_sync_group` tells.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct SyncGroupNotifications {
    /// By state.
    pub states: StateScripts,
    /// `smtp_alert`: mail on changes; `None` = the global default, else off.
    pub mail: Option<bool>,
    /// `notify_priority_changes`: FIFO lines for changes of its members' priorities; `None` = each member's own.
    pub priority_changes: Option<bool>,
}
