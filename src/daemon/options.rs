//! What the command line tells the daemon.

use std::ffi::OsString;
use std::path::PathBuf;

use super::log::LogFormat;
use crate::config::{self, HttpAddress, LimitOverrides, LoadOptions, OwnSettings, Realtime};

/// Default configuration file.
pub const DEFAULT_CONFIGURATION: &str = "/etc/keepalived/keepalived.conf";

/// Where log lines go and how many there are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogOptions {
    /// `-l`: to standard error, with the time in front.
    pub console: bool,
    /// Not `-G`: to the system log.
    pub syslog: bool,
    /// `-S`: facility number of syslog, 3 = daemon.
    pub facility: u8,
    /// `-g`: to this file, other processes than the supervisor to one beside it.
    pub file: Option<PathBuf>,
    /// `--log-format`: of standard error and the files.
    pub format: LogFormat,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { console: false, syslog: true, facility: 3, file: None, format: LogFormat::Text }
    }
}

/// Everything the daemon is told at its start, besides its configuration file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// Name and arguments, for the log.
    pub command_line: Vec<OsString>,
    /// `-f`.
    pub configuration: PathBuf,
    /// `--settings`: used instead of an `alived.toml` beside the configuration.
    pub settings: Option<PathBuf>,
    /// Not `-n`.
    pub background: bool,
    /// Where log lines go.
    pub log: LogOptions,
    /// Not `-C`: run virtual routers.
    pub vrrp: bool,
    /// Not `-P`: run virtual servers.
    pub checkers: bool,
    /// `--all`: start every worker, also without configuration for it.
    pub all: bool,
    /// `-p`: pid file of the supervisor.
    pub pid_file: Option<PathBuf>,
    /// `-r`: pid file of the vrrp worker.
    pub vrrp_pid_file: Option<PathBuf>,
    /// `-c`: pid file of the lvs worker.
    pub checkers_pid_file: Option<PathBuf>,
    /// `-d`: write the configuration to the log.
    pub dump_configuration: bool,
    /// `-i`: which `@id` lines of the configuration count.
    pub config_id: Option<String>,
    /// `-e`: a missing configuration file is an error.
    pub all_config: bool,
    /// `--limit`: what reading the configuration may cost.
    pub limits: LimitOverrides,
    /// `-u`: for files that are created; keepalived's default lets only the owner read them.
    pub umask: Option<u32>,
    /// `-V`: leave addresses in place at stop.
    pub keep_addresses: bool,
    /// `-I`: leave the IPVS table in place at stop.
    pub keep_ipvs: bool,
    /// Not `-R`: start a new worker when one dies.
    pub respawn: bool,
    /// `-s`: network namespace to work in.
    pub namespace: Option<String>,
    /// `-a`: report every address change.
    pub address_monitoring: bool,
    /// `-m`: leave a core file after a crash.
    pub core_dump: bool,
    /// `-M`: what the kernel calls core files while the daemon runs.
    pub core_pattern: Option<String>,
    /// `--ignore-sigint`.
    pub ignore_interrupt: bool,
    /// `--realtime`: wins over `alived.toml` and `vrrp_rt_priority`.
    pub realtime: Realtime,
    /// `--http`: wins over `alived.toml`.
    pub http: Option<HttpAddress>,
    /// Said in the log at each start: what was asked for and is not done.
    pub warnings: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            command_line: Vec::new(),
            configuration: DEFAULT_CONFIGURATION.into(),
            settings: None,
            background: true,
            log: LogOptions::default(),
            vrrp: true,
            checkers: true,
            all: false,
            pid_file: None,
            vrrp_pid_file: None,
            checkers_pid_file: None,
            dump_configuration: false,
            config_id: None,
            all_config: false,
            limits: LimitOverrides::default(),
            umask: None,
            keep_addresses: false,
            keep_ipvs: false,
            respawn: true,
            namespace: None,
            address_monitoring: false,
            core_dump: false,
            core_pattern: None,
            ignore_interrupt: false,
            realtime: Realtime::Default,
            http: None,
            warnings: Vec::new(),
        }
    }
}

impl Options {
    /// Where the settings of our own are, if there are any.
    pub fn settings_path(&self) -> PathBuf {
        let beside = || config::settings_file_beside(&self.configuration.to_string_lossy()).into();
        self.settings.clone().unwrap_or_else(beside)
    }

    /// How to load the configuration with these settings.
    pub fn load_options(&self, own: OwnSettings) -> LoadOptions {
        LoadOptions {
            config_id: self.config_id.clone(),
            all_include_checks: self.all_config,
            limits: self.limits.over(own.limits),
            // They are kept for the lvs worker.
            drop_virtual_servers: !self.checkers && !self.dump_configuration,
            own,
            realtime: self.realtime,
            http: self.http,
            without_routers: !self.vrrp,
            without_virtual_servers: !self.checkers,
            keep_addresses_on_stop: self.keep_addresses,
        }
    }
}
