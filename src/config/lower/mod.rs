//! From what the file says to what the engines and the daemon are told.

mod addresses;
mod balancer;
mod bfd;
mod check;
mod fields;
mod groups;
mod http;
mod instance_rules;
mod interfaces;
mod notifications;
mod order;
mod pattern;
mod reachability;
mod script;
mod script_security;
mod server;
mod services;
mod settings;
mod statics;
#[cfg(test)]
mod tests;
mod track;
mod unsupported;
mod vrrp;

pub(super) use services::Reader;
pub use services::{InstanceServices, Services};
pub use settings::{ProcessSettings, Settings};
pub(super) use unsupported::report_unsupported;

use super::model::Config;
use super::values::Cx;
use crate::node::NodeConfig;

/// Derives the configuration of the core and of the daemon.
pub(super) fn lower(cx: &Cx<'_>, config: &Config, reader: Reader) -> (NodeConfig, Settings, Services) {
    let settings = settings::settings(cx, config);
    let routers = vrrp::routers(cx, config);
    let node = NodeConfig { routers, startup_delay: settings.startup_delay, keep_addresses_on_stop: false };
    let services = reader.finish(cx, config, &node.routers);
    (node, settings, services)
}
