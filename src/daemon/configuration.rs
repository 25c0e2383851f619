//! The configuration as the daemon needs it.

use super::options::{Options, Realtime};
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
    let line = format!("cannot read {}: this version has no reader yet", options.configuration.display());
    Err(Refusal { status: super::status::CONFIGURATION, rendered: format!("{line}\n"), lines: vec![line] })
}
