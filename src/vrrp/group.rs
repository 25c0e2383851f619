//! Configuration of interfaces that share a pace of announcements (`garp_group`), and of the routes and rules that go
//! with mastership.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kernel::{Route, Rule};
use crate::net::InterfaceName;
use crate::time::Duration;

/// `garp_group`: interfaces on which announcements share one pace.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GarpGroup {
    /// `interface`, `interfaces`: at least one, none in two groups.
    pub interfaces: Vec<InterfaceName>,
    /// `garp_interval`: pause between gratuitous ARPs; `None` = `vrrp_garp_interval`.
    pub arp_interval: Option<Duration>,
    /// `gna_interval`: pause between neighbour advertisements; `None` = `vrrp_gna_interval`.
    pub ndisc_interval: Option<Duration>,
}

/// The pace of announcements that an interface shares with the others of its `garp_group`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SharedPace {
    /// Number of the group.
    pub group: u32,
    /// Its `garp_interval`.
    pub arp_interval: Option<Duration>,
    /// Its `gna_interval`.
    pub ndisc_interval: Option<Duration>,
}

/// The pace of each interface that is in a group.
pub(crate) fn shared_paces(groups: &[GarpGroup]) -> BTreeMap<InterfaceName, SharedPace> {
    let mut paces = BTreeMap::new();
    for (group, number) in groups.iter().zip(0..) {
        let GarpGroup { interfaces, arp_interval, ndisc_interval } = group;
        let pace = SharedPace { group: number, arp_interval: *arp_interval, ndisc_interval: *ndisc_interval };
        paces.extend(interfaces.iter().map(|name| (name.clone(), pace)));
    }
    paces
}

/// A line of `virtual_routes`: there while the router is master.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct VirtualRoute {
    /// The route.
    pub route: Route,
    /// Not `no_track`: its loss ends mastership.
    pub track: bool,
}

/// A line of `virtual_rules`: there while the router is master.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct VirtualRule {
    /// The rule.
    pub rule: Rule,
    /// Not `no_track`: its loss ends mastership.
    pub track: bool,
}
