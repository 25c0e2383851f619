//! What the daemon keeps in the kernel for as long as it lives: `static_ipaddress`, `static_routes`,
//! `static_rules`, and the `track_group`s that depend on them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::kernel::{AddressSpec, Route, Rule};
use crate::net::InterfaceName;

/// Everything static. Each item is put back when it is lost.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct StaticConfig {
    /// `static_ipaddress`, in the order of the file.
    pub addresses: Vec<StaticAddress>,
    /// `static_routes`, in the order of the file.
    pub routes: Vec<StaticRoute>,
    /// `static_rules`, in the order of the file.
    pub rules: Vec<StaticRule>,
    /// `track_group`, each name once.
    pub track_groups: Vec<TrackGroup>,
}

/// A line of `static_ipaddress`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StaticAddress {
    /// Address and attributes.
    pub spec: AddressSpec,
    /// `dev`, or else `default_interface`.
    pub interface: InterfaceName,
    /// `track_group`: name of a [`TrackGroup`] that faults while the address cannot be kept.
    pub track_group: Option<Arc<str>>,
}

/// A line of `static_routes`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StaticRoute {
    /// The route.
    pub route: Route,
    /// `track_group`, only for a route that names an interface.
    pub track_group: Option<Arc<str>>,
}

/// A line of `static_rules`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StaticRule {
    /// The rule.
    pub rule: Rule,
    /// `track_group`, only for a rule that names an input interface.
    pub track_group: Option<Arc<str>>,
}

/// `track_group`: instances that fault together.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TrackGroup {
    /// Its name.
    pub name: Arc<str>,
    /// `group`: names of instances, at least one; an instance is in one track group at most.
    pub members: Vec<Arc<str>>,
}
