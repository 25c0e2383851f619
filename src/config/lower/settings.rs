//! What the daemon is told, apart from the routers.

use core::num::{NonZeroU8, NonZeroU16};
use std::sync::Arc;

use super::script::ProcessScripts;
use crate::config::diagnostics::Diagnostic;
use crate::config::model::{Config, GlobalDefs, U32_MAX, VrrpInstance};
use crate::config::values::{At, BufferPolicy, Interface, Natural, Reading, Seconds, Words};
use crate::config::{
    CheckSettings, DrainSettings, HttpSettings, LoadOptions, Realtime, RecordSettings, ReloadSettings,
    Scripts,
};
use crate::kernel::Script;
use crate::kernel::ipvs::{SyncSettings, Timeouts};
use crate::notify::HookSettings;
use crate::time::Duration;

/// keepalived's limit of `startup_script` and `shutdown_script`.
const SCRIPT_SECONDS: u32 = 10;

/// What keepalived.conf, alived.toml and the flags say to the daemon besides its virtual routers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// `router_id`; `None` = the node's name.
    pub router_id: Option<String>,
    /// `net_namespace`: the network namespace to work in, unless `-s` names one.
    pub namespace: Option<String>,
    /// `instance`: part of the names of pid files and of the log identity.
    pub instance: Option<String>,
    /// `use_pid_dir`: pid files go to `/run/keepalived/`.
    pub use_pid_dir: bool,
    /// `SCHED_FIFO` priority of the vrrp thread, 1 to 99; `None` = ordinary scheduling.
    pub realtime_priority: Option<u8>,
    /// `max_auto_priority` and `min_auto_priority_delay`: what becomes of the vrrp thread's priority when its timers run
    /// late. `None` = nothing.
    pub auto_priority: Option<AutoPriority>,
    /// `vrrp_…`: the process of the vrrp worker.
    pub vrrp: ProcessSettings,
    /// `checker_…`: the process of the lvs worker.
    pub checker: ProcessSettings,
    /// `checker_rt_priority`: `SCHED_FIFO` priority of the lvs worker, 1 to 99; `None` = ordinary scheduling.
    pub checker_realtime_priority: Option<u8>,
    /// What the lvs worker does besides its virtual servers.
    pub lvs: LvsSettings,
    /// `umask`; `None` = keepalived's 0177.
    pub umask: Option<u32>,
    /// `process_name` or `process_names`: of the supervisor.
    pub supervisor_name: Option<String>,
    /// `child_wait_time`: how long to wait for the worker to end.
    pub child_wait_time: Duration,
    /// `smtp_alert_vrrp`, else `smtp_alert`: what holds for instances and sync groups that do not say it themselves.
    pub mail_on_changes: bool,
    /// `data_use_instance`: the names of namespace and instance in the names of `.data` dumps.
    pub data_use_instance: bool,
    /// `state_dump_file`: pattern of the path of `.data` dumps.
    pub state_dump_file: Option<String>,
    /// `json_version`: layout of keepalived.json, 1 or 2.
    pub json_version: u8,
    /// `reload_file`: the path that is there while the configuration is read; `Some(None)` = beside the pid files.
    pub reload_file: Option<Option<String>>,
    /// `reload_check_config`: where it is said why a configuration was refused.
    pub reload_log: Option<String>,
    /// `reload_time_file`: says when the configuration is read again.
    pub reload_time_file: Option<String>,
    /// `reload_repeat`: that file stays, and its time comes each day.
    pub reload_repeat: bool,
    /// `config_save_dir`: where what reloads change is kept.
    pub save_folder: Option<String>,
    /// `disable_local_igmp`: this host reports no membership in groups of the link.
    pub no_local_reports: bool,
    /// How much may wait to be read, where that is more than usual.
    pub queues: QueueSizes,
    /// The tables of filters.
    pub filters: FilterSettings,
    /// `startup_script`: run before the worker is started.
    pub startup_script: Option<ProcessScript>,
    /// `shutdown_script`: run after the worker has ended.
    pub shutdown_script: Option<ProcessScript>,
    /// `[scripts]` of alived.toml.
    pub scripts: Scripts,
    /// `[hooks]` of alived.toml.
    pub hooks: HookSettings,
    /// `sandbox` of alived.toml.
    pub sandbox: bool,
    /// `[checks]` of alived.toml.
    pub checks: CheckSettings,
    /// `[drain]` of alived.toml.
    pub drain: DrainSettings,
    /// `[record]` of alived.toml.
    pub record: RecordSettings,
    /// `[reload]` of alived.toml.
    pub reload: ReloadSettings,
    /// `[http]` of alived.toml, with the address of `--http` where that is given.
    pub http: HttpSettings,
}

/// A process: `vrrp_…` or `checker_…`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProcessSettings {
    /// `…_process_name` or `process_names`.
    pub name: Option<String>,
    /// `…_priority`: its nice value.
    pub nice: Option<i32>,
    /// `…_rlimit_rttime`, in microseconds.
    pub realtime_limit_us: Option<u64>,
    /// `…_cpu_affinity`: its processors; none = all.
    pub processors: Vec<u32>,
    /// `…_no_swap`: lock the memory even where a limit may make it fail.
    pub no_swap: bool,
}

/// What holds for all virtual servers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LvsSettings {
    /// `lvs_flush`: what the kernel's table holds at the start is removed.
    pub flush: bool,
    /// `lvs_flush_on_stop` without `VS`: at the stop all of the table is removed, whoever added it.
    pub flush_on_stop: bool,
    /// `lvs_timeouts`: of the kernel's connections.
    pub timeouts: Timeouts,
    /// `lvs_sync_daemon`: the kernel's threads that tell other directors of connections.
    pub sync_daemon: Option<SyncDaemonSettings>,
    /// `rs_init_notifies`: that a real server is up is told when its first checks have succeeded, too.
    pub rs_init_notifies: bool,
    /// `smtp_alert_checker`, else `smtp_alert`: what holds for virtual and real servers that do not say it themselves.
    pub mail: Option<bool>,
    /// `checker_log_all_failures`: forgiven failures of checks are logged.
    pub log_all_failures: bool,
    /// `lvs_netlink_cmd_rcv_bufs`: what the kernel's answers may take at least, in bytes; 0 = as much as usual.
    pub command_queue: usize,
    /// `lvs_netlink_monitor_rcv_bufs`: the same of what the kernel tells of addresses.
    pub monitor_queue: usize,
}

/// `lvs_sync_daemon`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SyncDaemonSettings {
    /// The instance whose state the threads follow; `None` = both run.
    pub instance: Option<String>,
    /// How they run.
    pub settings: SyncSettings,
}

/// How the tables of filters are made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FilterSettings {
    /// `nftables`: their name.
    pub table: String,
    /// `nftables_priority`: the place of their chains among others at the same hook; 0 is that of ordinary filters.
    pub priority: i32,
    /// `nftables_counters`: each rule counts the packets that it drops.
    pub counters: bool,
}

impl Default for FilterSettings {
    fn default() -> Self {
        Self { table: "keepalived".to_owned(), priority: -1, counters: false }
    }
}

/// What receive queues hold at least, in bytes; 0 = as much as usual.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct QueueSizes {
    /// `vrrp_rx_bufs_policy`, `kernel_rx_buf_size`: of each socket that hears advertisements.
    pub advertisements: usize,
    /// `vrrp_netlink_monitor_rcv_bufs`: of what the kernel tells of interfaces and addresses.
    pub monitor: usize,
    /// `vrrp_netlink_cmd_rcv_bufs`: of the kernel's answers.
    pub commands: usize,
    /// `process_monitor_rcv_bufs`: of what the kernel tells of processes.
    pub processes: usize,
}

/// A script of the daemon itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProcessScript {
    /// The script.
    pub script: Arc<Script>,
    /// How long it may take, 1 s to 1,000 s; then it is ended.
    pub limit: Duration,
}

/// Each timer that is served late by so much raises the priority by one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AutoPriority {
    /// Up to this, 1 to 99.
    pub max: u8,
    /// Late by this at least, 1 us to 10 s.
    pub late_us: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            router_id: None,
            namespace: None,
            instance: None,
            use_pid_dir: false,
            realtime_priority: None,
            auto_priority: None,
            vrrp: ProcessSettings::default(),
            checker: ProcessSettings::default(),
            checker_realtime_priority: None,
            lvs: LvsSettings::default(),
            umask: None,
            supervisor_name: None,
            child_wait_time: Duration::from_secs(5),
            mail_on_changes: false,
            data_use_instance: false,
            state_dump_file: None,
            json_version: 1,
            reload_file: None,
            reload_log: None,
            reload_time_file: None,
            reload_repeat: false,
            save_folder: None,
            no_local_reports: false,
            queues: QueueSizes::default(),
            filters: FilterSettings::default(),
            startup_script: None,
            shutdown_script: None,
            scripts: Scripts::default(),
            hooks: HookSettings::default(),
            sandbox: true,
            checks: CheckSettings::default(),
            drain: DrainSettings::default(),
            record: RecordSettings::default(),
            reload: ReloadSettings::default(),
            http: HttpSettings::default(),
        }
    }
}

impl Settings {
    /// Takes the scripts of the daemon itself.
    pub(super) fn of_scripts(&mut self, config: &Config, scripts: &ProcessScripts) {
        let Some(global) = config.global.as_deref() else { return };
        let process_script = |script: &Option<Arc<Script>>, limit: Option<u32>| {
            let limit = Duration::from_secs(limit.unwrap_or(SCRIPT_SECONDS).into());
            script.clone().map(|script| ProcessScript { script, limit })
        };
        self.startup_script = process_script(&scripts.startup, natural(&global.startup_script_timeout));
        self.shutdown_script = process_script(&scripts.shutdown, natural(&global.shutdown_script_timeout));
    }
}

fn natural<const LOW: u32, const HIGH: u32>(field: &Option<At<Natural<LOW, HIGH>>>) -> Option<u32> {
    field.as_ref().map(|entry| entry.value.0)
}

fn seconds<const LOW: u64, const HIGH: u64>(field: &Option<At<Seconds<LOW, HIGH>>>) -> Duration {
    field.as_ref().map_or(Duration::ZERO, |entry| entry.value.duration())
}

/// Derives the settings.
pub(super) fn settings(config: &Config, options: &LoadOptions) -> Settings {
    let text = |name: &str| Some(name.to_owned());
    let mut settings = Settings {
        namespace: config.net_namespace.as_ref().and_then(|e| text(&e.value.0)),
        instance: config.instance.as_ref().and_then(|e| text(&e.value.0)),
        use_pid_dir: config.use_pid_dir.is_some(),
        scripts: options.own.scripts,
        hooks: options.own.hooks,
        reload: options.own.reload,
        sandbox: options.own.sandbox.0,
        checks: options.own.checks.clone(),
        http: HttpSettings {
            address: options.http.unwrap_or(options.own.http.address),
            ..options.own.http.clone()
        },
        drain: options.own.drain,
        record: options.own.record.clone(),
        ..Settings::default()
    };
    if let Some(wait) = natural(&config.child_wait_time) {
        settings.child_wait_time = Duration::from_secs(wait.into());
    }
    let mut keyword = Realtime::Default;
    if let Some(global) = config.global.as_deref() {
        of_global(global, &mut settings);
        let priority = natural(&global.vrrp_rt_priority).and_then(|priority| u8::try_from(priority).ok());
        keyword = priority.map_or(keyword, Realtime::Priority);
    }
    settings.lvs.sync_daemon = sync_daemon(config);
    let of_instances = config.instances.iter().filter_map(|instance| natural(&instance.kernel_rx_buf_size));
    let of_instances = of_instances.map(bytes).max().unwrap_or_default();
    settings.queues.advertisements = settings.queues.advertisements.max(of_instances);
    settings.realtime_priority = options.realtime.or(options.own.realtime).or(keyword).priority();
    if options.realtime.or(options.own.realtime) == Realtime::Off {
        settings.auto_priority = None;
    }
    settings
}

fn of_global(global: &GlobalDefs, settings: &mut Settings) {
    let text = |name: &str| Some(name.to_owned());
    settings.router_id = global.router_id.as_ref().and_then(|e| text(&e.value.0));
    settings.auto_priority = global.max_auto_priority.as_ref().and_then(|entry| {
        // Without a number up to the highest that there is; -1 is another word for 0.
        let max = u8::try_from(entry.value.0.unwrap_or(99)).ok().filter(|max| *max > 0)?;
        let late_us = natural(&global.min_auto_priority_delay).map_or(1_000_000, u64::from);
        Some(AutoPriority { max, late_us })
    });
    settings.umask = global.umask.as_ref().map(|e| e.value.0);
    let named = |otherwise: &str| global.process_names.as_ref().map(|_| otherwise.to_owned());
    settings.supervisor_name =
        global.process_name.as_ref().and_then(|e| text(&e.value.0)).or_else(|| named("keepalived"));
    let processors = |entry: &Option<At<Words<1, 1024>>>| -> Vec<u32> {
        let words = entry.iter().flat_map(|entry| &entry.value.0);
        words.filter_map(|cpu| cpu.parse().ok()).collect()
    };
    settings.vrrp = ProcessSettings {
        name: global
            .vrrp_process_name
            .as_ref()
            .and_then(|e| text(&e.value.0))
            .or_else(|| named("keepalived_vrrp")),
        nice: global.vrrp_priority.as_ref().map(|e| e.value.0),
        realtime_limit_us: natural(&global.vrrp_rlimit_rttime).map(u64::from),
        processors: processors(&global.vrrp_cpu_affinity),
        no_swap: global.vrrp_no_swap.is_some(),
    };
    settings.checker = ProcessSettings {
        name: global
            .checker_process_name
            .as_ref()
            .and_then(|e| text(&e.value.0))
            .or_else(|| named("keepalived_lvs")),
        nice: global.checker_priority.as_ref().map(|e| e.value.0),
        realtime_limit_us: natural(&global.checker_rlimit_rttime).map(u64::from),
        processors: processors(&global.checker_cpu_affinity),
        no_swap: global.checker_no_swap.is_some(),
    };
    settings.checker_realtime_priority =
        natural(&global.checker_rt_priority).and_then(|priority| u8::try_from(priority).ok());
    settings.lvs = lvs(global);
    settings.reload_file =
        global.reload_file.as_ref().map(|e| e.value.0.as_ref().map(|path| path.to_string()));
    settings.reload_log =
        global.reload_check_config.as_ref().and_then(|e| e.value.0.as_deref().and_then(text));
    settings.reload_time_file = global.reload_time_file.as_ref().and_then(|e| text(&e.value.0));
    settings.reload_repeat = global.reload_repeat.is_some();
    settings.save_folder = global.config_save_dir.as_ref().and_then(|e| text(&e.value.0));
    settings.no_local_reports = global.disable_local_igmp.is_some();
    settings.queues = queues(global);
    if let Some(table) = global.nftables.as_ref().and_then(|entry| entry.value.0.as_ref()) {
        settings.filters.table = table.to_string();
    }
    if let Some(entry) = &global.nftables_priority {
        settings.filters.priority = entry.value.0;
    }
    settings.filters.counters = global.nftables_counters.is_some();
    let mail = global.smtp_alert_vrrp.as_ref().or(global.smtp_alert.as_ref());
    settings.mail_on_changes = mail.is_some_and(|entry| entry.value.0);
    settings.data_use_instance = global.data_use_instance.as_ref().is_some_and(|e| e.value.0);
    settings.state_dump_file = global.state_dump_file.as_ref().and_then(|e| text(&e.value.0));
    settings.json_version =
        natural(&global.json_version).and_then(|version| u8::try_from(version).ok()).unwrap_or(1);
}

fn lvs(global: &GlobalDefs) -> LvsSettings {
    let queue = |field: &Option<At<Natural<0, U32_MAX>>>| natural(field).map(bytes).unwrap_or_default();
    LvsSettings {
        flush: global.lvs_flush.is_some(),
        flush_on_stop: global.lvs_flush_on_stop.as_ref().is_some_and(|entry| entry.value.0.is_empty()),
        timeouts: global.lvs_timeouts.as_ref().map(|entry| entry.value).unwrap_or_default(),
        sync_daemon: None,
        rs_init_notifies: global.rs_init_notifies.is_some(),
        mail: global.smtp_alert_checker.as_ref().or(global.smtp_alert.as_ref()).map(|entry| entry.value.0),
        log_all_failures: global.checker_log_all_failures.as_ref().is_some_and(|entry| entry.value.0),
        command_queue: queue(&global.lvs_netlink_cmd_rcv_bufs),
        monitor_queue: queue(&global.lvs_netlink_monitor_rcv_bufs),
    }
}

fn sync_daemon(config: &Config) -> Option<SyncDaemonSettings> {
    let of_global = config.global.as_deref().and_then(|global| global.lvs_sync_daemon.as_ref());
    let Some(written) = of_global.map(|entry| &entry.value) else { return sync_daemon_of_instance(config) };
    let instance = written.instance.as_deref();
    // That of its instance unless it has one.
    let of_instance = config.instances.iter().find(|block| Some(&*block.header.value.0) == instance);
    let vrid = of_instance.and_then(|block| block.virtual_router_id.as_ref());
    let vrid = vrid.and_then(|entry| u8::try_from(entry.value.0).ok());
    Some(SyncDaemonSettings {
        instance: instance.map(str::to_owned),
        settings: SyncSettings {
            interface: written.interface.clone(),
            id: written.id.or(vrid).unwrap_or_default(),
            max_length: written.max_length.and_then(NonZeroU16::new),
            group: written.group,
            port: written.port.and_then(NonZeroU16::new),
            ttl: written.ttl.and_then(NonZeroU8::new),
        },
    })
}

/// `lvs_sync_daemon_interface`: the old way to say it. The first one counts.
fn sync_daemon_of_instance(config: &Config) -> Option<SyncDaemonSettings> {
    let (block, entry) = sync_interfaces(config).next()?;
    let vrid = block.virtual_router_id.as_ref().and_then(|entry| u8::try_from(entry.value.0).ok());
    Some(SyncDaemonSettings {
        instance: Some(block.header.value.0.to_string()),
        settings: SyncSettings {
            interface: entry.value.0.clone(),
            id: vrid.unwrap_or_default(),
            max_length: None,
            group: None,
            port: None,
            ttl: None,
        },
    })
}

fn sync_interfaces(config: &Config) -> impl Iterator<Item = (&VrrpInstance, &At<Interface>)> {
    config.instances.iter().filter_map(|block| Some((block, block.lvs_sync_daemon_interface.as_ref()?)))
}

/// Says which of them are not heeded: there is one sync daemon, and that of `global_defs` wins wherever it is written.
pub(super) fn report_sync_interfaces(reading: &Reading<'_>, config: &Config) {
    let of_global = config.global.as_deref().and_then(|global| global.lvs_sync_daemon.as_ref());
    let mut first = of_global.map(|entry| (entry.at, entry.value.interface.to_string()));
    for (_, entry) in sync_interfaces(config) {
        let Some((at, interface)) = &first else {
            first = Some((entry.at, entry.value.0.to_string()));
            continue;
        };
        let message = format!("the IPVS sync daemon has an interface already, {interface}");
        reading.diagnostics.push(
            Diagnostic::warning("set-twice", message)
                .at(reading.sources.word_at(entry.at))
                .label("ignored")
                .related(reading.sources.word_at(*at), "first set here"),
        );
    }
}

/// Of Ethernet, in bytes.
const LARGEST_MTU: u32 = 9216;

/// With 255 IPv6 addresses, in bytes.
const LARGEST_ADVERTISEMENT: u32 = 4160;

/// The kernel takes no more than half of what fits into 31 bits, which it doubles.
fn bytes(asked: u32) -> usize {
    usize::try_from(asked.min(1 << 29)).unwrap_or_default()
}

fn queues(global: &GlobalDefs) -> QueueSizes {
    let multiplier = natural(&global.vrrp_rx_bufs_multiplier).unwrap_or(3);
    let advertisements = global.vrrp_rx_bufs_policy.as_ref().map(|entry| match entry.value {
        BufferPolicy::Bytes(asked) => bytes(asked),
        // So many of the largest packets.
        BufferPolicy::Mtu => bytes(LARGEST_MTU.saturating_mul(multiplier)),
        BufferPolicy::Advert => bytes(LARGEST_ADVERTISEMENT.saturating_mul(multiplier)),
    });
    let of = |field: &Option<At<Natural<0, U32_MAX>>>| natural(field).map(bytes).unwrap_or_default();
    QueueSizes {
        advertisements: advertisements.unwrap_or_default(),
        monitor: of(&global.vrrp_netlink_monitor_rcv_bufs),
        commands: of(&global.vrrp_netlink_cmd_rcv_bufs),
        processes: of(&global.process_monitor_rcv_bufs),
    }
}

/// `vrrp_startup_delay`, or what is left of `vrrp_delay_after_boot`, whichever is longer.
pub(super) fn startup_delay(reading: &Reading<'_>, config: &Config) -> Duration {
    let Some(global) = config.global.as_deref() else { return Duration::ZERO };
    let uptime = Duration::from_micros(reading.host.uptime_us());
    seconds(&global.vrrp_startup_delay).max(seconds(&global.vrrp_delay_after_boot).saturating_sub(uptime))
}
