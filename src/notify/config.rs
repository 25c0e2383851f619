//! What an instance or a sync group tells others (`notify_*`, `smtp_alert`, `notify_priority_changes`).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::kernel::Script;

/// What all instances and sync groups tell.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Notifications {
    /// By name of the instance.
    pub instances: BTreeMap<Arc<str>, InstanceNotifications>,
    /// By name of the sync group.
    pub groups: BTreeMap<Arc<str>, SyncGroupNotifications>,
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
    /// `notify_priority_changes`: FIFO lines for changes of priority; `None` = the global default, else off.
    pub priority_changes: Option<bool>,
}

/// What a `vrrp_sync_group` tells.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct SyncGroupNotifications {
    /// By state.
    pub states: StateScripts,
    /// `smtp_alert`: mail on changes; `None` = the global default, else off.
    pub mail: Option<bool>,
    /// `notify_priority_changes`: FIFO lines for changes of priority; `None` = the global default, else off.
    pub priority_changes: Option<bool>,
}
