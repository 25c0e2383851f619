//! The routes and rules of a router (`virtual_routes`, `virtual_rules`): wanted while it is master, added behind the
//! addresses, removed before them.
//!
//! As with addresses, all the work is done in [`crate::wanted`].

use core::fmt;
use std::sync::Arc;

use super::environment::Environment;
use super::router_core::Core;
use super::{Output, Report, ReportKind, RouterConfig, State, VirtualRouter};
use crate::kernel::{
    KernelError, KernelRequest, Requester, Route, RoutingKey, RoutingObject, RoutingOperation, RoutingReply,
    RoutingRequest, Rule,
};
use crate::net::{InterfaceIndex, InterfaceName};
use crate::time::Now;
use crate::wanted::{RouteLink, RoutingLeftovers, RoutingSets};

/// What the kernel is known to hold.
pub(super) type KnownRouting<'a> = &'a dyn Fn(RoutingKey) -> Option<bool>;

/// The routes and rules of a configuration, and whether the loss of each counts against the router (not `no_track`).
pub(super) type RoutingWishes = (Vec<(Arc<Route>, bool)>, Vec<(Arc<Rule>, bool)>);

pub(super) fn routing_wishes(config: &RouterConfig) -> RoutingWishes {
    let routes = config.routes.iter().map(|line| (Arc::new(line.route.clone()), line.track));
    let rules = config.rules.iter().map(|line| (Arc::new(line.rule.clone()), line.track));
    (routes.collect(), rules.collect())
}

fn links(environment: &Environment) -> impl Fn(&InterfaceName) -> Option<RouteLink> {
    |name| {
        let interface = environment.interface(name)?;
        let (admin_up, vrf_table) = (interface.admin_up, interface.vrf_table);
        Some(RouteLink { key: interface.key, admin_up, vrf_table })
    }
}

impl Core {
    pub(super) fn new_routing(config: &RouterConfig) -> RoutingSets {
        let (routes, rules) = routing_wishes(config);
        RoutingSets::new(routes, rules)
    }

    /// A master wants its routes and rules, behind its addresses.
    pub(super) fn claim_routing(&mut self, out: &mut Output<'_>) {
        let (leftovers, operations) = self.routing.want();
        self.request_routing(operations, out);
        let RoutingLeftovers { routes, rules } = leftovers;
        if routes + rules > 0 {
            self.report(ReportKind::Routing(RoutingReport::Adopted { routes, rules }), out);
        }
    }

    /// Gives them up, before the addresses.
    pub(super) fn release_routing(&mut self, out: &mut Output<'_>) {
        let (leftovers, operations) = self.routing.release();
        let RoutingLeftovers { routes, rules } = leftovers;
        if routes + rules > 0 {
            self.report(ReportKind::Routing(RoutingReport::Removed { routes, rules }), out);
        }
        self.request_routing(operations, out);
    }

    /// Gives up what a predecessor left, addresses too.
    pub(super) fn release_leftovers(&mut self, out: &mut Output<'_>) {
        if self.routing.has_leftovers() {
            self.release_routing(out);
        }
        if self.addresses.has_leftovers() {
            self.release_addresses(out);
        }
    }

    /// Puts back what somebody removed, and removes what should not be there.
    pub(super) fn judge_routing(&mut self, now: Now, out: &mut Output<'_>) {
        let (repaired, operations) = self.routing.judge(now.instant);
        for (object, times) in repaired {
            self.counters.routing_repaired += 1;
            self.report(ReportKind::Routing(RoutingReport::Repaired { object, times }), out);
        }
        self.request_routing(operations, out);
    }

    pub(super) fn request_routing(&self, operations: Vec<RoutingOperation>, out: &mut Output<'_>) {
        request_routing(Requester::Router(self.id), operations, out.actions);
    }
}

/// Asks for changes.
pub(crate) fn request_routing(
    requester: Requester,
    operations: Vec<RoutingOperation>,
    actions: &mut super::Actions,
) {
    if !operations.is_empty() {
        actions.kernel.push(KernelRequest::Routing(RoutingRequest { requester, operations }));
    }
}

impl VirtualRouter {
    /// Interfaces may have come, gone or changed: takes the places of the routes and rules in the environment that was
    /// told last.
    pub fn locate_routing(&mut self, known: KnownRouting<'_>, out: &mut Output<'_>) {
        let Core { routing, environment, .. } = &mut self.core;
        if routing.is_idle() {
            return;
        }
        let operations = routing.locate(&links(environment), known);
        self.core.request_routing(operations, out);
    }

    /// Another configuration is in force.
    pub fn reconfigure_routing(&mut self, known: KnownRouting<'_>, out: &mut Output<'_>) {
        let Core { routing, environment, config, .. } = &mut self.core;
        if routing.is_idle() && config.routes.is_empty() && config.rules.is_empty() {
            return;
        }
        let operations = routing.reconfigure(routing_wishes(config), &links(environment), known);
        self.core.request_routing(operations, out);
    }

    /// The kernel tells that one of our routes or rules is there, or gone.
    pub fn on_routing(&mut self, now: Now, key: RoutingKey, present: bool, out: &mut Output<'_>) {
        self.core.routing.on_change(now.instant, key, present);
        if self.state() == State::Fault && self.core.routing.has_leftovers() {
            self.core.release_routing(out);
        }
    }

    /// The kernel took a chunk of our changes.
    pub fn on_routing_reply(&mut self, now: Now, reply: &RoutingReply, out: &mut Output<'_>) {
        let (refused, operations) = self.core.routing.on_outcomes(now.instant, &reply.outcomes);
        for (object, error) in refused {
            self.core.report(ReportKind::Routing(RoutingReport::Refused { object, error }), out);
        }
        self.core.request_routing(operations, out);
    }

    /// Compares all routes and rules with the kernel's whole state.
    pub fn resynchronise_routing(&mut self, now: Now, known: KnownRouting<'_>) {
        self.core.routing.resynchronise(now.instant, known);
    }

    /// Somebody else removes some of ours: those that are wanted are asked for again.
    pub fn restore_routing(&mut self, taken: &dyn Fn(RoutingKey) -> bool, out: &mut Output<'_>) {
        let operations = self.core.routing.restore(taken);
        self.core.request_routing(operations, out);
    }

    /// The interface is up, or has a new address: routes refused for want of that are asked for again.
    pub fn retry_routes(&mut self, link: InterfaceIndex, out: &mut Output<'_>) {
        let operations = self.core.routing.retry(link);
        self.core.request_routing(operations, out);
    }

    /// Whether it wants its routes and rules: while it is master.
    pub(crate) fn wants_routing(&self) -> bool {
        self.core.routing.is_wanted()
    }

    /// What it wants or has wanted, as far as that has a place.
    pub fn routing_keys(&self) -> impl Iterator<Item = RoutingKey> {
        self.core.routing.keys()
    }
}

/// What is told of routes and rules.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RoutingReport {
    /// One disappeared and is put back.
    Repaired {
        /// Which.
        object: RoutingObject,
        /// How often since it became wanted.
        times: u32,
    },
    /// The kernel refused one.
    Refused {
        /// Which.
        object: RoutingObject,
        /// Its words.
        error: KernelError,
    },
    /// What a predecessor left is adopted.
    Adopted {
        /// How many routes.
        routes: usize,
        /// How many rules.
        rules: usize,
    },
    /// What a predecessor left is removed.
    Removed {
        /// How many routes.
        routes: usize,
        /// How many rules.
        rules: usize,
    },
}

impl RoutingReport {
    /// The same, of no router.
    pub(crate) fn of_statics(self) -> Report {
        Report { router: "".into(), kind: ReportKind::Routing(self) }
    }
}

impl fmt::Display for RoutingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repaired { object, times } => {
                write!(f, "{object} was removed by somebody else, putting it back (repair {times})")
            }
            Self::Refused { object, error } => {
                write!(f, "the kernel refuses {object}: {error}")?;
                f.write_str(if error.errno == 1 { "; run alived with CAP_NET_ADMIN" } else { "" })
            }
            Self::Adopted { routes, rules } => {
                write!(f, "adopting {routes} route(s) and {rules} rule(s) left over by a predecessor")
            }
            Self::Removed { routes, rules } => {
                write!(f, "removing {routes} route(s) and {rules} rule(s) left over by a predecessor")
            }
        }
    }
}
