//! From what the file says to what the engines and the daemon are told.

mod addresses;
mod settings;
mod unsupported;
mod vrrp;

pub use settings::{ProcessSettings, Settings};
pub(super) use unsupported::report_unsupported;

use super::model::Config;
use super::values::Cx;
use crate::node::NodeConfig;

/// Derives the configuration of the core and of the daemon.
pub(super) fn lower(cx: &Cx<'_>, config: &Config) -> (NodeConfig, Settings) {
    let settings = settings::settings(cx, config);
    let routers = vrrp::routers(cx, config);
    let node = NodeConfig { routers, startup_delay: settings.startup_delay, keep_addresses_on_stop: false };
    (node, settings)
}
