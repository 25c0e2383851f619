//! Routes and rules of a simulated kernel. As Linux it refuses what leads nowhere, and drops IPv4 routes without a word
//! when their interface goes down or loses its last address, or the address that they prefer.

use super::kernel::Kernel;
use crate::kernel::{
    HeldRoute, HeldWay, KernelError, KernelEvent, Route, RouteKey, RoutingKey, RoutingObject,
    RoutingOperation, RoutingOutcome, Rule, RuleKey, Verb,
};
use crate::net::{Family, InterfaceIndex, Prefix};

const ENETUNREACH: i32 = 101;
const ENETDOWN: i32 = 100;
const ENODEV: i32 = 19;

/// What a kernel holds of routes and rules.
#[derive(Clone, Debug, Default)]
pub(super) struct Routing {
    pub(super) routes: Vec<HeldRoute>,
    pub(super) rules: Vec<Rule>,
}

fn refusal(errno: i32, message: &str) -> KernelError {
    KernelError { errno, message: message.to_owned() }
}

impl Kernel {
    /// Carries out one operation of the daemon.
    pub fn carry_out_routing(&mut self, operation: &RoutingOperation) -> RoutingOutcome {
        let error = match (operation.verb, &operation.object, operation.key) {
            (Verb::Add, RoutingObject::Route(route, legs), RoutingKey::Route(key)) => {
                self.add_route(route, key, legs).err()
            }
            (Verb::Remove, _, RoutingKey::Route(key)) => {
                self.remove_routes(|route| key.is(route), true);
                None
            }
            (Verb::Add, RoutingObject::Rule(rule), RoutingKey::Rule(_)) => {
                if !self.routing().rules.iter().any(|held| RuleKey::of_held(held) == RuleKey::of_held(rule)) {
                    self.routing_mut().rules.push(Rule::clone(rule));
                    self.notify(KernelEvent::RulePresent(Rule::clone(rule)));
                }
                None
            }
            (Verb::Remove, _, RoutingKey::Rule(key)) => {
                self.remove_rules(|rule| RuleKey::of_held(rule) == key);
                None
            }
            _ => None,
        };
        RoutingOutcome::of(operation, error)
    }

    fn add_route(
        &mut self,
        route: &Route,
        key: RouteKey,
        legs: &[Option<InterfaceIndex>],
    ) -> Result<(), KernelError> {
        let ways = self.ways_of(route, legs)?;
        let held = HeldRoute {
            place: key.place,
            kind: route.kind,
            protocol: route.protocol,
            preferred_source: route.preferred_source,
            ways,
        };
        debug_assert!(key.is(&held), "{key:?} is not {held:?}");
        if !self.routing().routes.contains(&held) {
            self.routing_mut().routes.push(held.clone());
            self.notify(KernelEvent::RoutePresent { route: held, replaces: false });
        }
        Ok(())
    }

    /// Where a route leads.
    ///
    /// # Errors
    /// Why the kernel does not take it.
    pub(super) fn ways_of(
        &self,
        route: &Route,
        legs: &[Option<InterfaceIndex>],
    ) -> Result<Vec<HeldWay>, KernelError> {
        let mut ways = Vec::new();
        for (hop, leg) in route.next.hops().zip(legs) {
            let through = match (leg, hop.gateway) {
                (Some(link), _) => Some(*link),
                (None, Some(gateway)) => self.way_to(&gateway),
                (None, None) => None,
            };
            let unreachable = || refusal(ENETUNREACH, "Network is unreachable");
            let link = through.ok_or_else(unreachable)?;
            let up = self.link(link).ok_or_else(|| refusal(ENODEV, "No such device"))?.admin_up;
            if !up {
                return Err(refusal(ENETDOWN, "Network is down"));
            }
            let near = |gateway| {
                self.addresses().iter().any(|held| held.link == link && held.prefix.contains(gateway))
            };
            if hop.gateway.as_ref().is_some_and(|gateway| !near(gateway)) {
                return Err(unreachable());
            }
            ways.push(HeldWay { gateway: hop.gateway, link: Some(link), weight_minus_one: 0 });
        }
        if let Some(source) = route.preferred_source
            && !self.addresses().iter().any(|held| held.prefix.address() == source)
        {
            return Err(refusal(22, "Invalid prefsrc address"));
        }
        Ok(ways)
    }

    /// Removes the routes that something is true of, `told` or without a word.
    pub(super) fn remove_routes(&mut self, gone: impl Fn(&HeldRoute) -> bool, told: bool) -> usize {
        let removed: Vec<HeldRoute> = self.routing_mut().routes.extract_if(.., |route| gone(route)).collect();
        let count = removed.len();
        if told {
            removed.into_iter().for_each(|route| self.notify(KernelEvent::RouteGone(route)));
        }
        count
    }

    /// Removes the rules that something is true of.
    pub(super) fn remove_rules(&mut self, gone: impl Fn(&Rule) -> bool) -> usize {
        let removed: Vec<Rule> = self.routing_mut().rules.extract_if(.., |rule| gone(rule)).collect();
        let count = removed.len();
        removed.into_iter().for_each(|rule| self.notify(KernelEvent::RuleGone(rule)));
        count
    }

    /// `ip route flush` and `ip rule flush` of what has the mark of daemons. How much that was.
    pub fn flush_routing(&mut self) -> usize {
        self.remove_routes(|_| true, true) + self.remove_rules(|_| true)
    }

    /// An interface went down, or is gone.
    pub(super) fn drop_routes_of_link(&mut self, link: InterfaceIndex) {
        let is_ipv6 = |route: &HeldRoute| route.place.destination.family() == Family::Ipv6;
        self.remove_routes(|route| is_ipv6(route) && route.leads_through(link), true);
        self.remove_routes(|route| route.leads_through(link), false);
    }

    /// An address is gone.
    pub(super) fn drop_routes_of_address(&mut self, link: InterfaceIndex, prefix: Prefix) {
        if prefix.family() == Family::Ipv6 {
            return;
        }
        let source = prefix.address();
        let source_gone = !self.addresses().iter().any(|held| held.prefix.address() == source);
        let none_left =
            !self.addresses().iter().any(|held| held.link == link && held.prefix.family() == Family::Ipv4);
        let gone = |route: &HeldRoute| {
            route.place.destination.family() == Family::Ipv4
                && (source_gone && route.preferred_source == Some(source)
                    || none_left && route.leads_through(link))
        };
        self.remove_routes(gone, false);
    }

    /// The routes that somebody made, in the order in which they were added.
    pub fn routes(&self) -> &[HeldRoute] {
        &self.routing().routes
    }

    /// The rules that somebody made.
    pub fn rules(&self) -> &[Rule] {
        &self.routing().rules
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::network::PortId;
    use super::*;
    use crate::kernel::{NextHop, NextHops};
    use crate::net::MacAddress;

    #[test]
    fn ipv4_routes_go_in_silence_with_the_last_address() {
        let mut kernel = Kernel::new(true);
        let eth0 = kernel.create("eth0".parse().unwrap(), MacAddress([2, 0, 0, 0, 0, 1]), PortId(0)).unwrap();
        let prefix = |last: u8, length| Prefix::new([10, 0, 0, last].into(), length).unwrap();
        let mut route = Route::new(Prefix::new([192, 0, 2, 0].into(), 24).unwrap());
        let hop = NextHop { gateway: Some([10, 0, 0, 9].into()), ..NextHop::default() };
        route.next = NextHops::One(hop);
        let key = RouteKey::of(&route, 254, &[None]);
        let operation = RoutingOperation {
            verb: Verb::Add,
            key: RoutingKey::Route(key),
            object: RoutingObject::Route(Arc::new(route), Arc::new([None])),
        };
        assert!(kernel.carry_out_routing(&operation).error.is_some(), "there is no way to the gateway");
        kernel.add(eth0, prefix(1, 24), false, false).unwrap();
        kernel.add(eth0, prefix(2, 32), false, false).unwrap();
        assert_eq!(kernel.carry_out_routing(&operation).error, None);
        kernel.take_notifications();
        kernel.remove(eth0, prefix(1, 24));
        assert_eq!(kernel.routes().len(), 1, "it was valid when it was added");
        kernel.remove(eth0, prefix(2, 32));
        assert_eq!(kernel.routes(), []);
        assert!(
            kernel.take_notifications().iter().all(|told| matches!(told, KernelEvent::AddressGone { .. }))
        );
    }
}
