//! The configuration as the daemon needs it.

use std::io::IsTerminal;

use super::host::RealHost;
use super::options::{Options, Realtime};
use crate::config::diagnostics::Style;
use crate::config::{self, LoadOptions};
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
    let load_options = LoadOptions {
        config_id: options.config_id.clone(),
        all_include_checks: options.all_config,
        ..LoadOptions::default()
    };
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
    loaded.node.keep_addresses_on_stop |= options.keep_addresses;
    Ok(Configuration {
        settings: Settings {
            namespace: settings.net_namespace.clone(),
            instance: settings.instance.clone(),
            use_pid_dir: settings.use_pid_dir,
            realtime: settings.vrrp.realtime_priority.map_or(Realtime::Default, Realtime::Priority),
            child_wait_time: settings.child_wait_time,
        },
        node: loaded.node,
        warnings: lines,
    })
}

fn no_color_unset() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
