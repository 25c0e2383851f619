//! Everything beside the routers, read in the order of the file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::balancer::Balancer;
use super::bfd::Sessions;
use super::groups;
use super::interfaces::Interfaces;
use super::notifications;
use super::order::Defined;
use super::script;
use super::statics::Statics;
use super::track::{Lists, Tracking, lists};
use crate::bfd::SessionConfig;
use crate::config::model::Config;
use crate::config::values::Cx;
use crate::node::{BalancerConfig, StaticConfig};
use crate::notify::{InstanceNotifications, SyncGroupNotifications};
use crate::track::{Owner, TrackConfig};
use crate::vrrp::{GarpGroup, RouterConfig, SyncGroupConfig, VirtualRoute, VirtualRule};

/// What a configuration says beside its routers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Services {
    /// `vrrp_sync_group`.
    pub sync_groups: Vec<SyncGroupConfig>,
    /// Trackers, and which instances and groups depend on them.
    pub tracking: TrackConfig,
    /// `bfd_instance`.
    pub bfd: Vec<SessionConfig>,
    /// `garp_group`.
    pub garp_groups: Vec<GarpGroup>,
    /// Static addresses, routes and rules.
    pub statics: StaticConfig,
    /// What goes with each instance, by its name.
    pub instances: BTreeMap<Arc<str>, InstanceServices>,
    /// What each sync group tells, by its name.
    pub group_notifications: BTreeMap<Arc<str>, SyncGroupNotifications>,
    /// Virtual servers and their checks.
    pub balancer: BalancerConfig,
}

/// What goes with an instance beside its addresses.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct InstanceServices {
    /// `virtual_routes`.
    pub routes: Vec<VirtualRoute>,
    /// `virtual_rules`.
    pub rules: Vec<VirtualRule>,
    /// `notify_*`, `smtp_alert`.
    pub notifications: InstanceNotifications,
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

/// Services while the file is read. A block can only refer to what stands above it, so each is taken as soon
/// as it is read.
#[derive(Debug, Default)]
pub(in crate::config) struct Reader {
    taken: Taken,
    interfaces: Option<Interfaces>,
    defined: Defined,
    tracking: Tracking,
    sessions: Sessions,
    statics: Statics,
    balancer: Balancer,
    instances: BTreeMap<Arc<str>, InstanceServices>,
}

/// The elements after the first `taken`, which are then taken.
fn fresh<'a, T>(list: &'a [T], taken: &mut usize) -> &'a [T] {
    let new = list.get(*taken..).unwrap_or(&[]);
    *taken = list.len();
    new
}

impl Reader {
    /// Takes what was added to the model since the last call. `keep`: virtual servers stay in the model, for
    /// printing.
    pub(in crate::config) fn take(&mut self, cx: &Cx<'_>, config: &mut Config, keep: bool) {
        self.balancer.checks.scripts.know(config.global.as_deref());
        for block in fresh(&config.virtual_servers, &mut self.taken.virtual_servers) {
            self.balancer.add(cx, &self.defined, block);
        }
        if !keep {
            config.virtual_servers.clear();
            self.taken.virtual_servers = 0;
        }
        let dynamic = config.global.as_ref().is_some_and(|global| global.dynamic_interfaces.is_some());
        let interfaces = self.interfaces.get_or_insert_with(|| Interfaces::new(cx));
        interfaces.dynamic = dynamic;
        let (defined, scripts) = (&mut self.defined, &mut self.balancer.checks.scripts);
        for block in fresh(&config.scripts, &mut self.taken.scripts) {
            self.tracking.script(cx, defined, scripts, block);
        }
        for block in fresh(&config.files, &mut self.taken.files) {
            self.tracking.file(cx, defined, block);
        }
        for block in fresh(&config.processes, &mut self.taken.processes) {
            self.tracking.process(cx, defined, block);
        }
        for block in fresh(&config.bfd_instances, &mut self.taken.sessions) {
            self.sessions.add(cx, defined, block);
        }
        for block in fresh(&config.track_groups, &mut self.taken.track_groups) {
            self.statics.config.track_groups.extend(groups::track_group(cx, defined, block));
        }
        for entry in fresh(&config.static_addresses, &mut self.taken.addresses) {
            self.statics.address(cx, defined, interfaces, entry);
        }
        for entry in fresh(&config.static_routes, &mut self.taken.routes) {
            self.statics.route(cx, defined, interfaces, entry);
        }
        for entry in fresh(&config.static_rules, &mut self.taken.rules) {
            self.statics.rule(cx, defined, interfaces, entry);
        }
        for block in fresh(&config.instances, &mut self.taken.instances) {
            let name: Arc<str> = (&*block.header.value.0).into();
            if self.instances.contains_key(&name) {
                // The second of a name is reported and dropped with the routers.
                continue;
            }
            let own = block.interface.as_ref().map(|entry| &entry.value.0);
            let owner = Owner::Instance(Arc::clone(&name));
            self.tracking.references(cx, defined, interfaces, &owner, own, &lists!(block));
            let (routes, rules) = self.statics.of_instance(cx, interfaces, block);
            let notifications = notifications::of_instance(cx, scripts, block);
            self.instances.insert(name, InstanceServices { routes, rules, notifications });
        }
        for block in fresh(&config.sync_groups, &mut self.taken.groups) {
            let owner = Owner::SyncGroup((&*block.header.value.0).into());
            self.tracking.references(cx, defined, interfaces, &owner, None, &lists!(block));
        }
    }

    /// The whole, once everything is read and the routers are known.
    pub(in crate::config) fn finish(
        mut self,
        cx: &Cx<'_>,
        config: &Config,
        routers: &[RouterConfig],
    ) -> Services {
        let interfaces = self.interfaces.take().unwrap_or_else(|| Interfaces::new(cx));
        let (balancer, mut checks) = self.balancer.finish(cx, config);
        let sync_groups = groups::sync_groups(cx, config, routers);
        let mut group_notifications = BTreeMap::new();
        for block in &config.sync_groups {
            let name: Arc<str> = (&*block.header.value.0).into();
            if sync_groups.iter().any(|group| group.name == name) && !group_notifications.contains_key(&name)
            {
                let notifications = notifications::of_group(cx, &mut checks.scripts, block);
                group_notifications.insert(name, notifications);
            }
        }
        self.tracking.interface_lists(cx, &interfaces, config);
        let garp_groups = groups::garp_groups(cx, &interfaces, config);
        let statics = self.statics.finish(cx, config, &interfaces, routers);
        self.defined.report_missing(cx);
        self.defined.report_unfit(cx);
        script::report_user(cx, config);
        script::of_process(cx, config, &mut checks.scripts);
        script::report_security(cx, config, &checks.scripts);

        // Nothing depends on behalf of an instance or group that is not served.
        let names: BTreeSet<&str> = routers.iter().map(|router| &*router.name).collect();
        let mut tracking = self.tracking.config;
        tracking.references.retain(|(owner, _)| match owner {
            Owner::Instance(name) => names.contains(&**name),
            Owner::SyncGroup(name) => group_notifications.contains_key(name),
        });
        self.instances.retain(|name, _| names.contains(&**name));
        Services {
            sync_groups,
            tracking,
            bfd: self.sessions.finish(),
            garp_groups,
            statics,
            instances: self.instances,
            group_notifications,
            balancer,
        }
    }
}
