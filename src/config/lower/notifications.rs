//! What instances and sync groups tell others.

use super::fields::{boolean, number, text};
use super::script::Scripts;
use crate::config::diagnostics::Diagnostic;
use crate::config::model::{Config, GlobalDefs, SyncGroup, VrrpInstance};
use crate::config::values::{At, Reading, SmtpServer, Text};
use crate::notify::{
    FifoConfig, InstanceNotifications, MailAddress, MailConfig, Notifications, StateScripts,
    SyncGroupNotifications,
};
use crate::time::Duration;
use crate::vrrp::SyncGroupConfig;

/// Of a mail server, unless one is written.
const SMTP_PORT: u16 = 25;

/// keepalived's time for the connection to a mail server.
const CONNECT_SECONDS: u32 = 30;

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
            scripts.read(reading, &At { value: script, at: entry.at })
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

/// Where mail goes: with `smtp_server` and `notification_email`, else nowhere.
fn mail(reading: &Reading<'_>, global: Option<&GlobalDefs>) -> Option<Box<MailConfig>> {
    let global = global?;
    let SmtpServer { host, port } = &global.smtp_server.as_ref()?.value;
    let node = reading.host.node_name();
    let address = |entry: &At<Text>| {
        let address = MailAddress::parse(&entry.value.0);
        if address.is_none() {
            reading.diagnostics.push(
                Diagnostic::warning("mail-address", format!("`{}` is no mail address", entry.value.0))
                    .at(reading.sources.word_at(entry.at))
                    .note("nothing is sent to it or from it")
                    .help("write ADDRESS, or \"NAME <ADDRESS>\" in quotes, in ASCII"),
            );
        }
        address
    };
    let to: Vec<MailAddress> = global.notification_email.iter().filter_map(address).collect();
    let from = global.notification_email_from.as_ref().and_then(address);
    let from = from.or_else(|| MailAddress::parse(&format!("keepalived@{node}")));
    let router_id = text(global.router_id.as_ref()).unwrap_or(&node);
    let seconds = number(global.smtp_connect_timeout.as_ref()).unwrap_or(CONNECT_SECONDS);
    let mail = MailConfig {
        server: host.clone(),
        port: port.unwrap_or(SMTP_PORT),
        connect_timeout: Duration::from_secs(seconds.into()),
        hello: text(global.smtp_helo_name.as_ref()).unwrap_or(&node).into(),
        from: from?,
        to,
        router_id: router_id.into(),
        faults: global.no_email_faults.is_none(),
    };
    Some(mail).filter(|mail| !mail.to.is_empty()).map(Box::new)
}

/// What concerns all: FIFOs, mail, and what instances have of their group or of `global_defs`.
pub(super) fn of_all(
    reading: &Reading<'_>,
    config: &Config,
    groups: &[SyncGroupConfig],
    fifos: Vec<FifoConfig>,
    notifications: &mut Notifications,
) {
    notifications.fifos = fifos;
    let global = config.global.as_deref();
    notifications.mail = mail(reading, global);
    let mail_by_default = global.and_then(|global| {
        boolean(global.smtp_alert_vrrp.as_ref()).or_else(|| boolean(global.smtp_alert.as_ref()))
    });
    notifications.repeat_on_reload =
        global.is_some_and(|global| global.fifo_write_vrrp_states_on_reload.is_some());
    let by_default = global.and_then(|global| boolean(global.vrrp_notify_priority_changes.as_ref()));
    for group in groups {
        let of_group = notifications.groups.get(&group.name).and_then(|group| group.priority_changes);
        for member in &group.members {
            if let Some(instance) = notifications.instances.get_mut(member) {
                instance.priority_changes = instance.priority_changes.or(of_group);
            }
        }
    }
    for instance in notifications.instances.values_mut() {
        instance.priority_changes = instance.priority_changes.or(by_default);
        instance.mail = instance.mail.or(mail_by_default);
    }
    for group in notifications.groups.values_mut() {
        group.mail = group.mail.or(mail_by_default);
    }
}
