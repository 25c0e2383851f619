//! From what the file says to what the engines and the daemon are told.
//!
//! A block can only refer to what stands above it, and a large file shall not have all its virtual servers twice in
//! memory: so each block is taken as soon as it is read. What depends on the whole file (the defaults of
//! `global_defs`, the members of groups) follows at its end.

mod authentication;
#[cfg(test)]
mod authentication_tests;
mod balancer;
mod bfd;
mod check;
mod fields;
mod group_tracking;
mod groups;
mod http;
mod instance_rules;
mod interfaces;
mod notifications;
mod order;
mod own_requests;
mod pattern;
mod reachability;
mod script;
mod script_security;
mod server;
mod settings;
mod statics;
#[cfg(test)]
mod tests;
mod track;
mod unsupported;
mod vrrp;

pub use settings::{
    FilterSettings, LvsSettings, ProcessScript, ProcessSettings, QueueSizes, Settings, SyncDaemonSettings,
};
pub(super) use unsupported::report_unsupported;

use std::collections::BTreeSet;
use std::sync::Arc;

use self::balancer::Balancer;
use self::bfd::Sessions;
use self::interfaces::Interfaces;
use self::order::Defined;
use self::statics::Statics;
use self::track::{Lists, Tracking, lists};
use super::http_checks::RuleSource;
use super::model::Config;
use super::values::Reading;
use super::{LoadOptions, lints};
use crate::node::{BalancerConfig, NodeConfig};
use crate::notify::{InstanceNotifications, Notifications};
use crate::track::Owner;
use crate::vrrp::{RouterConfig, VirtualRoute, VirtualRule};

/// What all parts of the daemon are told.
#[derive(Debug)]
pub(super) struct Lowered {
    pub(super) node: NodeConfig,
    pub(super) balancer: BalancerConfig,
    pub(super) notifications: Notifications,
    pub(super) settings: Settings,
}

/// How much of each list was taken.
#[derive(Debug, Default)]
struct Taken {
    scripts: usize,
    files: usize,
    processes: usize,
    sessions: usize,
    track_groups: usize,
    addresses: usize,
    routes: usize,
    rules: usize,
    instances: usize,
    groups: usize,
    virtual_servers: usize,
}

/// A configuration while it is read.
#[derive(Debug, Default)]
pub(super) struct Lowering {
    taken: Taken,
    interfaces: Option<Interfaces>,
    defined: Defined,
    tracking: Tracking,
    sessions: Sessions,
    statics: Statics,
    balancer: Balancer,
    /// Of each instance of the model, in its order.
    instances: Vec<InstanceParts>,
    instance_names: BTreeSet<Arc<str>>,
}

/// What an instance says that depends on what stands above it.
#[derive(Debug, Default)]
struct InstanceParts {
    routes: Vec<VirtualRoute>,
    rules: Vec<VirtualRule>,
    notifications: InstanceNotifications,
}

/// The elements after the first `taken`, which are then taken.
fn fresh<'a, T>(list: &'a [T], taken: &mut usize) -> &'a [T] {
    let new = list.get(*taken..).unwrap_or(&[]);
    *taken = list.len();
    new
}

impl Lowering {
    /// Takes what was added to the model since the last call. `keep`: virtual servers stay in the model, for
    /// printing.
    pub(super) fn take(&mut self, reading: &Reading<'_>, config: &mut Config, keep: bool) {
        self.balancer.checks.scripts.know(config.global.as_deref());
        for block in fresh(&config.virtual_servers, &mut self.taken.virtual_servers) {
            self.balancer.add(reading, &self.defined, block);
        }
        if !keep {
            config.virtual_servers.clear();
            self.taken.virtual_servers = 0;
        }
        let dynamic = config.global.as_ref().is_some_and(|global| global.dynamic_interfaces.is_some());
        let interfaces = self.interfaces.get_or_insert_with(|| Interfaces::new(reading));
        interfaces.dynamic = dynamic;
        let (defined, scripts) = (&mut self.defined, &mut self.balancer.checks.scripts);
        for block in fresh(&config.scripts, &mut self.taken.scripts) {
            self.tracking.script(reading, defined, scripts, block);
        }
        for block in fresh(&config.files, &mut self.taken.files) {
            self.tracking.file(reading, defined, block);
        }
        for block in fresh(&config.processes, &mut self.taken.processes) {
            self.tracking.process(reading, defined, block);
        }
        for block in fresh(&config.bfd_instances, &mut self.taken.sessions) {
            self.sessions.add(reading, defined, block);
        }
        for block in fresh(&config.track_groups, &mut self.taken.track_groups) {
            self.statics.config.track_groups.extend(groups::track_group(reading, defined, block));
        }
        for entry in fresh(&config.static_addresses, &mut self.taken.addresses) {
            self.statics.address(reading, defined, interfaces, entry);
        }
        for entry in fresh(&config.static_routes, &mut self.taken.routes) {
            self.statics.route(reading, defined, interfaces, entry);
        }
        for entry in fresh(&config.static_rules, &mut self.taken.rules) {
            self.statics.rule(reading, defined, interfaces, entry);
        }
        for block in fresh(&config.instances, &mut self.taken.instances) {
            let name: Arc<str> = (&*block.header.value.0).into();
            if !self.instance_names.insert(Arc::clone(&name)) {
                // The second of a name is reported and dropped with the routers.
                self.instances.push(InstanceParts::default());
                continue;
            }
            let own = block.interface.as_ref().map(|entry| &entry.value.0);
            let owner = Owner::Instance(name);
            self.tracking.references(reading, defined, interfaces, &owner, own, &lists!(block));
            let (routes, rules) = self.statics.of_instance(reading, interfaces, block);
            let notifications = notifications::of_instance(reading, scripts, block);
            self.instances.push(InstanceParts { routes, rules, notifications });
        }
        for block in fresh(&config.sync_groups, &mut self.taken.groups) {
            let owner = Owner::SyncGroup((&*block.header.value.0).into());
            self.tracking.references(reading, defined, interfaces, &owner, None, &lists!(block));
        }
    }

    /// The whole, once everything is read.
    pub(super) fn finish(
        mut self,
        reading: &Reading<'_>,
        config: &Config,
        options: &LoadOptions,
        rules: Option<RuleSource<'_>>,
    ) -> Lowered {
        let mut settings = settings::settings(config, options);
        settings::report_sync_interfaces(reading, config);
        let mut notifications = Notifications::default();
        let (routers, vrrp::OwnLinks { links, addresses }) =
            self.routers(reading, config, &mut notifications);
        let interfaces = self.interfaces.take().unwrap_or_else(|| Interfaces::new(reading));
        let (mut balancer, mut checks) = self.balancer.finish(reading, config);
        own_requests::apply(&mut balancer, &options.own.checks.http, rules, reading.diagnostics);
        let sync_groups = groups::sync_groups(reading, config, &routers);
        for block in &config.sync_groups {
            let name: Arc<str> = (&*block.header.value.0).into();
            if sync_groups.iter().any(|group| group.name == name) && !notifications.groups.contains_key(&name)
            {
                let told = notifications::of_group(reading, &mut checks.scripts, block);
                notifications.groups.insert(name, told);
            }
        }
        self.tracking.interface_lists(reading, &interfaces, config, &routers);
        let garp_groups = groups::garp_groups(reading, &interfaces, config);
        let mut statics = self.statics.finish(reading, config, &interfaces, &routers);
        statics.addresses.extend(addresses);
        self.defined.report_missing(reading);
        self.defined.report_unfit(reading);
        self.defined.report_unused(reading);
        script::report_user(reading, config);
        let balances = !balancer.virtual_servers.is_empty() && !options.without_virtual_servers;
        let of_processes = script::of_processes(reading, config, balances, &mut checks.scripts);
        settings.of_scripts(config, &of_processes);
        notifications.balancer_fifos = of_processes.balancer_fifos;
        notifications::of_all(reading, config, &sync_groups, of_processes.fifos, &mut notifications);
        script::report_security(reading, config, &checks.scripts);

        // Nothing depends on behalf of an instance or group that is not served.
        let mut tracking = self.tracking.config;
        tracking.references.retain(|(owner, _)| match owner {
            Owner::Instance(name) => notifications.instances.contains_key(name),
            Owner::SyncGroup(name) => notifications.groups.contains_key(name),
        });
        group_tracking::settle(reading, config, &sync_groups, &routers, &mut tracking.references);
        let node = NodeConfig {
            routers: if options.without_routers { Vec::new() } else { routers },
            sync_groups,
            tracking: Box::new(tracking),
            bfd: self.sessions.finish(),
            garp_groups,
            links: if options.without_routers { Vec::new() } else { links },
            statics: Box::new(statics),
            startup_delay: settings::startup_delay(reading, config),
            log_unknown_vrids: config
                .global
                .as_ref()
                .is_some_and(|global| global.log_unknown_vrids.is_some()),
            keep_addresses_on_stop: options.keep_addresses_on_stop,
        };
        lints::weights(reading, &node, |owner, tracker| group_tracking::place(config, owner, tracker));
        lints::owners(reading, config, &node.routers);
        lints::own_peers(reading, config, &node.routers);
        lints::mail(reading, config, !balancer.virtual_servers.is_empty());
        Lowered { node, balancer, notifications, settings }
    }

    /// The routers in the order of the file.
    fn routers(
        &mut self,
        reading: &Reading<'_>,
        config: &Config,
        notifications: &mut Notifications,
    ) -> (Vec<RouterConfig>, vrrp::OwnLinks) {
        let (routers, links) = vrrp::routers(reading, config);
        let parts = core::mem::take(&mut self.instances);
        let whole = |(router, parts): (Option<RouterConfig>, InstanceParts)| {
            let mut router = router?;
            router.routes = parts.routes;
            router.rules = parts.rules;
            notifications.instances.insert(Arc::clone(&router.name), parts.notifications);
            Some(router)
        };
        (routers.into_iter().zip(parts).filter_map(whole).collect(), links)
    }
}
