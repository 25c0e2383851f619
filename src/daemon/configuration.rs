//! The configuration as the daemon needs it.

use std::io::IsTerminal;

use super::host::RealHost;
use super::options::{Options, Realtime};
use crate::config;
use crate::config::diagnostics::Style;
use crate::node::NodeConfig;
use crate::time::Duration;

/// What the configuration file says to the daemon besides its virtual routers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Settings {
    /// `net_namespace`.
    pub(super) namespace: Option<String>,
    /// `instance`.
    pub(super) instance: Option<String>,
    /// `use_pid_dir`.
    pub(super) use_pid_dir: bool,
    /// `vrrp_rt_priority`.
    pub(super) realtime: Realtime,
    /// `vrrp_priority`: nice value of the worker.
    pub(super) nice: Option<i32>,
    /// `vrrp_rlimit_rttime`, in microseconds.
    pub(super) realtime_limit_us: Option<u64>,
    /// `vrrp_cpu_affinity`: processors of the worker; none = all.
    pub(super) processors: Vec<u32>,
    /// `vrrp_no_swap`: lock the memory even where a limit may make the worker fail.
    pub(super) no_swap: bool,
    /// `umask`.
    pub(super) umask: Option<u32>,
    /// `process_name` or `process_names`: of the supervisor.
    pub(super) supervisor_name: Option<String>,
    /// `vrrp_process_name` or `process_names`: of the worker.
    pub(super) worker_name: Option<String>,
    /// `child_wait_time`.
    pub(super) child_wait_time: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: None,
            instance: None,
            use_pid_dir: false,
            realtime: Realtime::Default,
            nice: None,
            realtime_limit_us: None,
            processors: Vec::new(),
            no_swap: false,
            umask: None,
            supervisor_name: None,
            worker_name: None,
            child_wait_time: Duration::from_secs(5),
        }
    }
}

/// A configuration that was read and found good.
#[derive(Clone, Debug, Default)]
pub(super) struct Configuration {
    pub(super) node: NodeConfig,
    pub(super) settings: Settings,
    /// For the log, one line each.
    pub(super) warnings: Vec<String>,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// Exit status of a start.
    pub(super) status: u8,
    /// For people at a terminal.
    pub(super) rendered: String,
    /// For the log, one line each.
    pub(super) lines: Vec<String>,
}

/// Reads the configuration that the options name.
pub(super) fn load(options: &Options) -> Result<Configuration, Refusal> {
    let load_options = options.load_options();
    let file = options.configuration.to_string_lossy();
    let mut loaded = config::load(&RealHost::default(), &file, &load_options);
    if options.namespace.is_none() && loaded.settings.net_namespace.is_some() {
        // The interfaces it is for are in a namespace not entered yet.
        let host = RealHost { foreign_namespace: true, ..RealHost::default() };
        loaded = config::load(&host, &file, &load_options);
    }
    let lines: Vec<String> = loaded.log_lines().map(|(_, line)| line).collect();
    if !loaded.usable {
        let style =
            Style { colour: std::io::stderr().is_terminal() && no_color_unset(), show_secrets: false };
        return Err(Refusal { status: super::status::CONFIGURATION, rendered: loaded.render(style), lines });
    }
    let settings = &loaded.settings;
    let named = |name: Option<&String>, otherwise: &str| {
        name.cloned().or_else(|| settings.process_names.then(|| otherwise.to_owned()))
    };
    loaded.node.keep_addresses_on_stop |= options.keep_addresses;
    Ok(Configuration {
        settings: Settings {
            namespace: settings.net_namespace.clone(),
            instance: settings.instance.clone(),
            use_pid_dir: settings.use_pid_dir,
            realtime: settings.vrrp.realtime_priority.map_or(Realtime::Default, Realtime::Priority),
            nice: settings.vrrp.nice,
            realtime_limit_us: settings.vrrp.rttime_limit_us,
            processors: settings.vrrp.cpu_affinity.clone(),
            no_swap: settings.vrrp.no_swap,
            umask: settings.umask,
            supervisor_name: named(settings.process_name.as_ref(), "keepalived"),
            worker_name: named(settings.vrrp_process_name.as_ref(), "keepalived_vrrp"),
            child_wait_time: settings.child_wait_time,
        },
        node: loaded.node,
        warnings: lines,
    })
}

impl Settings {
    /// Identity in the system log: keepalived's, with the namespace and the instance appended.
    pub(super) fn identity(&self, base: &str, options: &Options) -> String {
        let namespace = options.namespace.as_ref().or(self.namespace.as_ref());
        let parts = [Some(base), namespace.map(String::as_str), self.instance.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join("_")
    }
}

fn no_color_unset() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
