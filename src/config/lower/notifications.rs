//! What instances and sync groups tell others.

use super::fields::boolean;
use super::script::Scripts;
use crate::config::model::{SyncGroup, VrrpInstance};
use crate::config::values::Reading;
use crate::notify::{InstanceNotifications, StateScripts, SyncGroupNotifications};

/// The scripts of a block that has them all under the same names.
macro_rules! states {
    ($reading:expr, $scripts:expr, $block:expr) => {{
        let mut script = |field: &Option<_>| field.as_ref().and_then(|entry| $scripts.read($reading, entry));
        StateScripts {
            master: script(&$block.notify_master),
            backup: script(&$block.notify_backup),
            fault: script(&$block.notify_fault),
            stop: script(&$block.notify_stop),
            any: script(&$block.notify),
        }
    }};
}

/// What an instance tells.
pub(super) fn of_instance(
    reading: &Reading<'_>,
    scripts: &mut Scripts,
    block: &VrrpInstance,
) -> InstanceNotifications {
    InstanceNotifications {
        states: states!(reading, scripts, block),
        deleted: block.notify_deleted.as_ref().map(|entry| {
            let script = entry.value.0.clone()?;
            scripts.read(reading, &crate::config::values::At { value: script, at: entry.at })
        }),
        lower_priority_received: block
            .notify_master_rx_lower_pri
            .as_ref()
            .and_then(|entry| scripts.read(reading, entry)),
        mail: boolean(block.smtp_alert.as_ref()),
        priority_changes: boolean(block.notify_priority_changes.as_ref()),
    }
}

/// What a sync group tells.
pub(super) fn of_group(
    reading: &Reading<'_>,
    scripts: &mut Scripts,
    block: &SyncGroup,
) -> SyncGroupNotifications {
    SyncGroupNotifications {
        states: states!(reading, scripts, block),
        mail: boolean(block.smtp_alert.as_ref()),
        priority_changes: boolean(block.notify_priority_changes.as_ref()),
    }
}
