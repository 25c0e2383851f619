//! What the daemon is told, apart from the routers.

use crate::config::model::Config;
use crate::config::values::{At, Cx, Natural, Seconds};
use crate::time::Duration;

/// Settings of `global_defs` and of the outermost level that concern the process.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `router_id`; `None` = the node's name.
    pub router_id: Option<String>,
    /// `instance`: part of the names of pid files and of the log identity.
    pub instance: Option<String>,
    /// `net_namespace`: the network namespace to work in, unless `-s` names one.
    pub net_namespace: Option<String>,
    /// `use_pid_dir`: pid files go to `/run/keepalived/`.
    pub use_pid_dir: bool,
    /// `child_wait_time`: how long to wait for the worker to end.
    pub child_wait_time: Duration,
    /// `dynamic_interfaces`: interfaces may come and go.
    pub dynamic_interfaces: bool,
    /// `vrrp_startup_delay`, or what is left of `vrrp_delay_after_boot`, whichever is longer.
    pub startup_delay: Duration,
    /// `umask`; `None` = keepalived's 0177.
    pub umask: Option<u32>,
    /// `log_unknown_vrids`.
    pub log_unknown_vrids: bool,
    /// `process_name`: of the supervisor.
    pub process_name: Option<String>,
    /// `vrrp_process_name`: of the worker.
    pub vrrp_process_name: Option<String>,
    /// `process_names`: `keepalived` and `keepalived_vrrp`, unless named one by one.
    pub process_names: bool,
    /// `data_use_instance`: the names of namespace and instance in the names of `.data` dumps.
    pub data_use_instance: bool,
    /// `state_dump_file`: pattern of the path of `.data` dumps.
    pub state_dump_file: Option<String>,
    /// `json_version`: layout of keepalived.json, 1 or 2.
    pub json_version: u8,
    /// Scheduling of the vrrp thread.
    pub vrrp: ProcessSettings,
    /// Scheduling of the checker thread.
    pub checker: ProcessSettings,
}

/// `vrrp_rt_priority` and its kin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessSettings {
    /// `…_priority`: nice value.
    pub nice: Option<i32>,
    /// `…_rt_priority`: 1 to 99.
    pub realtime_priority: Option<u8>,
    /// `…_no_swap`: lock the memory.
    pub no_swap: bool,
    /// `…_rlimit_rttime`, in microseconds.
    pub rttime_limit_us: Option<u64>,
    /// `…_cpu_affinity`.
    pub cpu_affinity: Vec<u32>,
}

fn natural<const LOW: u32, const HIGH: u32>(field: &Option<At<Natural<LOW, HIGH>>>) -> Option<u32> {
    field.as_ref().map(|entry| entry.value.0)
}

fn seconds<const LOW: u64, const HIGH: u64>(field: &Option<At<Seconds<LOW, HIGH>>>) -> Duration {
    field.as_ref().map_or(Duration::ZERO, |entry| entry.value.duration())
}

/// Derives the settings.
pub(super) fn settings(cx: &Cx<'_>, config: &Config) -> Settings {
    let global = config.global.as_deref();
    let text = |name: &str| Some(name.to_owned());
    let after_boot = global.map_or(Duration::ZERO, |g| seconds(&g.vrrp_delay_after_boot));
    let left_of_boot = after_boot.saturating_sub(Duration::from_micros(cx.host.uptime_us()));
    let startup_delay = global.map_or(Duration::ZERO, |g| seconds(&g.vrrp_startup_delay)).max(left_of_boot);
    let affinity = |words: &[Box<str>]| words.iter().filter_map(|cpu| cpu.parse().ok()).collect();
    Settings {
        router_id: global.and_then(|g| g.router_id.as_ref()).and_then(|e| text(&e.value.0)),
        instance: config.instance.as_ref().and_then(|e| text(&e.value.0)),
        net_namespace: config.net_namespace.as_ref().and_then(|e| text(&e.value.0)),
        use_pid_dir: config.use_pid_dir.is_some(),
        child_wait_time: Duration::from_secs(natural(&config.child_wait_time).unwrap_or(5).into()),
        dynamic_interfaces: global.is_some_and(|g| g.dynamic_interfaces.is_some()),
        startup_delay,
        umask: global.and_then(|g| g.umask.as_ref()).map(|e| e.value.0),
        log_unknown_vrids: global.is_some_and(|g| g.log_unknown_vrids.is_some()),
        process_name: global.and_then(|g| g.process_name.as_ref()).and_then(|e| text(&e.value.0)),
        vrrp_process_name: global.and_then(|g| g.vrrp_process_name.as_ref()).and_then(|e| text(&e.value.0)),
        process_names: global.is_some_and(|g| g.process_names.is_some()),
        data_use_instance: global.and_then(|g| g.data_use_instance.as_ref()).is_some_and(|e| e.value.0),
        state_dump_file: global.and_then(|g| g.state_dump_file.as_ref()).and_then(|e| text(&e.value.0)),
        json_version: global
            .and_then(|g| natural(&g.json_version))
            .map_or(1, |version| u8::try_from(version).unwrap_or(1)),
        vrrp: global.map_or_else(ProcessSettings::default, |g| ProcessSettings {
            nice: g.vrrp_priority.as_ref().map(|e| e.value.0),
            realtime_priority: natural(&g.vrrp_rt_priority).and_then(|n| u8::try_from(n).ok()),
            no_swap: g.vrrp_no_swap.is_some(),
            rttime_limit_us: natural(&g.vrrp_rlimit_rttime).map(u64::from),
            cpu_affinity: g.vrrp_cpu_affinity.as_ref().map(|e| affinity(&e.value.0)).unwrap_or_default(),
        }),
        checker: global.map_or_else(ProcessSettings::default, |g| ProcessSettings {
            nice: g.checker_priority.as_ref().map(|e| e.value.0),
            realtime_priority: natural(&g.checker_rt_priority).and_then(|n| u8::try_from(n).ok()),
            no_swap: g.checker_no_swap.is_some(),
            rttime_limit_us: natural(&g.checker_rlimit_rttime).map(u64::from),
            cpu_affinity: g.checker_cpu_affinity.as_ref().map(|e| affinity(&e.value.0)).unwrap_or_default(),
        }),
    }
}
