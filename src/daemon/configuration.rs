//! The configuration as the daemon needs it.

use std::io::IsTerminal;

use super::host::RealHost;
use super::last_good::HostWithText;
use super::options::Options;
use crate::config::diagnostics::{Severity, Style};
use crate::config::{
    self, Loaded, OwnSettings, PrintOptions, Realtime, ReloadSettings, Scripts, SettingsFault,
};
use crate::node::NodeConfig;
use crate::time::Duration;

/// What the configuration files and the flags say to the daemon besides its virtual routers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Settings {
    /// `net_namespace`.
    pub(super) namespace: Option<String>,
    /// `instance`.
    pub(super) instance: Option<String>,
    /// `use_pid_dir`.
    pub(super) use_pid_dir: bool,
    /// `SCHED_FIFO` priority of the vrrp thread, 1 to 99; `None` = ordinary scheduling.
    pub(super) realtime_priority: Option<u8>,
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
    /// `data_use_instance`.
    pub(super) data_use_instance: bool,
    /// `state_dump_file`.
    pub(super) state_dump_file: Option<String>,
    /// `json_version`.
    pub(super) json_version: u8,
    /// `[scripts]` of alived.toml.
    pub(super) scripts: Scripts,
    /// `[reload]` of alived.toml.
    pub(super) reload: ReloadSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: None,
            instance: None,
            use_pid_dir: false,
            realtime_priority: None,
            nice: None,
            realtime_limit_us: None,
            processors: Vec::new(),
            no_swap: false,
            umask: None,
            supervisor_name: None,
            worker_name: None,
            child_wait_time: Duration::from_secs(5),
            data_use_instance: false,
            state_dump_file: None,
            json_version: 1,
            scripts: Scripts::default(),
            reload: ReloadSettings::default(),
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
    /// `-d`: all of keepalived.conf as it was understood.
    pub(super) dump: Option<String>,
    /// For [`load_kept`]: what alived.toml and flags say, in a line, then all of keepalived.conf.
    pub(super) kept: String,
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

/// What a configuration with errors is good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tolerance {
    /// A start: statements with errors are dropped, as keepalived does, unless they are fatal.
    Lenient,
    /// In place of one that runs: half a file, just being written, must not cost what runs.
    Strict,
}

/// Reads alived.toml and the configuration that the options name.
pub(super) fn load(options: &Options, tolerance: Tolerance) -> Result<Configuration, Refusal> {
    let own = load_own(options);
    let load_options = options.load_options(own.as_ref().copied().unwrap_or_default());
    let file = options.configuration.to_string_lossy();
    let mut loaded = config::load(&RealHost::default(), &file, &load_options);
    if options.namespace.is_none() && loaded.settings.net_namespace.is_some() {
        // The interfaces it is for are in a namespace not entered yet.
        let host = RealHost { foreign_namespace: true, ..RealHost::default() };
        loaded = config::load(&host, &file, &load_options);
    }
    if tolerance == Tolerance::Strict && loaded.gravest >= Some(Severity::Error) {
        loaded.usable = false;
    }
    take(options, own, loaded)
}

/// Understands [`Configuration::kept`] of a configuration that was good, in place of what is on the disk.
pub(super) fn load_kept(options: &Options, kept: &str) -> Result<Configuration, Refusal> {
    let (own, text) = kept.split_once('\n').unwrap_or_default();
    let mut own = own.split(' ');
    let host = HostWithText { host: RealHost::default(), text: text.to_owned() };
    let loaded =
        config::load(&host, "the last good configuration", &options.load_options(OwnSettings::default()));
    let mut configuration = take(options, Ok(OwnSettings::default()), loaded)?;
    let settings = &mut configuration.settings;
    settings.realtime_priority = own.next().and_then(|word| word.parse().ok());
    if let (Some(at_once), Some(prepare)) = (own.next(), own.next()) {
        let at_once = at_once.parse().unwrap_or(settings.scripts.at_once);
        settings.scripts = Scripts { at_once, prepare: prepare == "true" };
    }
    Ok(configuration)
}

fn take(
    options: &Options,
    own: Result<OwnSettings, SettingsFault>,
    mut loaded: Loaded,
) -> Result<Configuration, Refusal> {
    let lines: Vec<String> = loaded.log_lines().map(|(_, line)| line).collect();
    let own = match own {
        Ok(own) if loaded.usable => own,
        own => return Err(refuse(own.err().as_ref(), &loaded, lines)),
    };
    let settings = &loaded.settings;
    let named = |name: Option<&String>, otherwise: &str| {
        name.cloned().or_else(|| settings.process_names.then(|| otherwise.to_owned()))
    };
    loaded.node.keep_addresses_on_stop |= options.keep_addresses;
    if !options.vrrp {
        loaded.node.routers.clear();
    }
    let keyword = settings.vrrp.realtime_priority.map_or(Realtime::Default, Realtime::Priority);
    let realtime_priority = options.realtime.or(own.realtime).or(keyword).priority();
    let everything = PrintOptions { show_secrets: true, defaults: false };
    let kept = format!(
        "{} {} {}\n{}",
        realtime_priority.map_or_else(|| "-".to_owned(), |priority| priority.to_string()),
        own.scripts.at_once,
        own.scripts.prepare,
        config::print(&loaded.config, everything)
    );
    let dump = options.dump_configuration.then(|| config::print(&loaded.config, PrintOptions::default()));
    Ok(Configuration {
        settings: Settings {
            namespace: settings.net_namespace.clone(),
            instance: settings.instance.clone(),
            use_pid_dir: settings.use_pid_dir,
            realtime_priority,
            nice: settings.vrrp.nice,
            realtime_limit_us: settings.vrrp.rttime_limit_us,
            processors: settings.vrrp.cpu_affinity.clone(),
            no_swap: settings.vrrp.no_swap,
            umask: settings.umask,
            supervisor_name: named(settings.process_name.as_ref(), "keepalived"),
            worker_name: named(settings.vrrp_process_name.as_ref(), "keepalived_vrrp"),
            child_wait_time: settings.child_wait_time,
            data_use_instance: settings.data_use_instance,
            state_dump_file: settings.state_dump_file.clone(),
            json_version: settings.json_version,
            scripts: own.scripts,
            reload: own.reload,
        },
        node: loaded.node,
        warnings: lines,
        dump,
        kept,
    })
}

fn load_own(options: &Options) -> Result<OwnSettings, SettingsFault> {
    let named = options.settings.as_ref().map(|path| path.to_string_lossy());
    config::load_settings(&RealHost::default(), named.as_deref(), &options.configuration.to_string_lossy())
}

/// All that is wrong in both files.
fn refuse(own: Option<&SettingsFault>, loaded: &Loaded, mut lines: Vec<String>) -> Refusal {
    let style = Style { colour: std::io::stderr().is_terminal() && no_color_unset(), show_secrets: false };
    let mut rendered = loaded.render(style);
    if let Some(fault) = own {
        rendered.insert_str(0, &format!("{}\n", fault.render(style)));
        lines.push(fault.to_string());
    }
    Refusal { status: super::status::CONFIGURATION, rendered, lines }
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
