//! The processes: whether they answer, with what configuration, and what became of the last reload.

use super::Sources;
use super::exposition::{Exposition, Kind, Value};
use crate::status::DaemonStatus;

pub(super) fn write(to: &mut Exposition, sources: &Sources) {
    let vrrp = sources.vrrp.as_ref().map(|status| status.as_ref().map(|status| &status.daemon));
    let lvs = sources.lvs.as_ref().map(|status| status.as_ref().map(|status| &status.daemon));
    let workers = [("vrrp", vrrp), ("lvs", lvs)];
    let running = || workers.iter().filter_map(|(name, daemon)| Some((*name, (*daemon)??)));
    to.family("alived_build_info", Kind::Gauge, "The version that runs.")
        .add(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let mut up =
        to.family("alived_worker_up", Kind::Gauge, "Whether a worker that is to be there answers in time.");
    for (name, daemon) in workers {
        if let Some(daemon) = daemon {
            up.add(&[("worker", name)], daemon.is_some());
        }
    }
    let mut started =
        to.family("alived_worker_start_time_seconds", Kind::Gauge, "When the worker was started, Unix time.");
    for (name, daemon) in running() {
        started.add(&[("worker", name)], Value::Us(daemon.started_unix_us));
    }
    let mut hash = to.family(
        "alived_configuration_info",
        Kind::Gauge,
        "Hash of the configuration in force as it was understood, without secrets.",
    );
    for (name, daemon) in running() {
        hash.add(&[("worker", name), ("hash", &daemon.configuration_hash)], 1);
    }
    let reloads = || running().filter_map(|(name, daemon)| Some((name, daemon.last_reload.as_ref()?)));
    let mut success = to.family(
        "alived_last_reload_success",
        Kind::Gauge,
        "Whether the last reload was taken; absent before the first one.",
    );
    for (name, reload) in reloads() {
        success.add(&[("worker", name)], reload.taken);
    }
    let mut at = to.family(
        "alived_last_reload_timestamp_seconds",
        Kind::Gauge,
        "When the last reload was answered, Unix time.",
    );
    for (name, reload) in reloads() {
        at.add(&[("worker", name)], Value::Us(reload.at_unix_us));
    }
    let mut maintenance = to.family(
        "alived_maintenance",
        Kind::Gauge,
        "Whether maintenance keeps all virtual routers out of the election.",
    );
    let of_vrrp: Option<&DaemonStatus> = vrrp.flatten();
    if let Some(daemon) = of_vrrp {
        maintenance.add(&[], daemon.maintenance.is_some());
    }
}
