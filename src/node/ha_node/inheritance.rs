//! What a predecessor that was killed has left and the configuration does not name any more: removed at the start, without
//! a word to the routers. What it names belongs to who wants it, and is adopted or removed there.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::HaNode;
use crate::kernel::{
    AddressReply, AddressRequest, HeldRoute, KernelRequest, KernelView, LinkKey, LinkOutcome, Requester,
    RoutingKey, RoutingReply, RoutingRequest, Verb,
};
use crate::node::NodeConfig;
use crate::node::bequest::{Bequest, Remains};
use crate::vrrp::{Actions, Report, ReportKind};

/// From the start to the first view of the kernel, and until the kernel has answered.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Inheritance {
    bequest: Bequest,
    /// Interfaces that are to be removed.
    links: BTreeSet<LinkKey>,
}

impl Inheritance {
    pub(super) const fn new(bequest: Bequest) -> Self {
        Self { bequest, links: BTreeSet::new() }
    }

    /// Once: what the kernel holds of it and the configuration does not name.
    pub(super) fn open(&mut self, view: &KernelView, config: &NodeConfig) -> Remains {
        if self.bequest.is_empty() {
            return Remains::default();
        }
        core::mem::take(&mut self.bequest).remains(view).without(config, view)
    }

    /// Takes the answers to its own requests out of others.
    pub(super) fn note_links(&mut self, outcomes: &mut Vec<LinkOutcome>, actions: &mut Actions) {
        if self.links.is_empty() {
            return;
        }
        let own = |outcome: &mut LinkOutcome| outcome.verb == Verb::Remove && self.links.remove(&outcome.key);
        for LinkOutcome { key, error, .. } in outcomes.extract_if(.., own) {
            if let Some(error) = error {
                report(
                    ReportKind::BequestStays { object: format!("interface {}", key.name), error },
                    actions,
                );
            }
        }
    }
}

impl HaNode {
    /// Before anything else that was asked for: what takes the place of a left-over, or has its MAC, finds it free.
    pub(super) fn remove_remains(&mut self, remains: &Remains, actions: &mut Actions) {
        let is_wanted = |held: &HeldRoute| {
            let in_place = self.routing.in_place_of(held);
            // One that is named and has no place yet, as its interface is not there, may come to be this one.
            in_place.iter().any(|key| key.is(held)) || in_place.is_empty() && remains.names_place(held)
        };
        let (addresses, routing) = (remains.addresses(), remains.routing(is_wanted));
        let links = remains.links();
        let rules = routing.iter().filter(|operation| matches!(operation.key, RoutingKey::Rule(_))).count();
        let removed = ReportKind::BequestRemoved {
            addresses: addresses.len(),
            routes: routing.len() - rules,
            rules,
            links: links.len(),
        };
        if addresses.len() + routing.len() + links.len() == 0 {
            return;
        }
        report(removed, actions);
        self.inheritance.links = links.iter().map(|operation| operation.key).collect();
        actions.links.splice(0..0, links);
        let requester = Requester::Predecessor;
        if !addresses.is_empty() {
            let request = AddressRequest { requester, operations: addresses };
            actions.kernel.insert(0, KernelRequest::Addresses(request));
        }
        if !routing.is_empty() {
            let request = RoutingRequest { requester, operations: routing };
            actions.kernel.insert(0, KernelRequest::Routing(request));
        }
    }
}

/// The kernel has removed addresses, or not.
pub(super) fn note_addresses(reply: &AddressReply, actions: &mut Actions) {
    for outcome in &reply.outcomes {
        if let Some(error) = outcome.error.clone() {
            report(
                ReportKind::BequestStays { object: format!("address {}", outcome.prefix), error },
                actions,
            );
        }
    }
}

/// The kernel has removed routes and rules, or not.
pub(super) fn note_routing(reply: &RoutingReply, actions: &mut Actions) {
    for outcome in &reply.outcomes {
        if let Some(error) = outcome.error.clone() {
            let object = match outcome.key {
                RoutingKey::Route(key) => format!("a route to {}", key.place.destination),
                RoutingKey::Rule(key) => format!("the rule with preference {}", key.priority),
            };
            report(ReportKind::BequestStays { object, error }, actions);
        }
    }
}

fn report(kind: ReportKind, actions: &mut Actions) {
    actions.report(Report { router: "".into(), kind });
}
