//! Clocks that differ: with stamps that follow the clock, two routers whose clocks are further apart than the window do
//! not hear each other, and then each says so.

use std::sync::Arc;

use super::cluster::Cluster;
use super::freshness::smallest_window;
use super::invariants::{Rule, Violation};
use super::machine::{MachineId, own_addresses};
use crate::net::Family;
use crate::time::{Duration, micros};
use crate::vrrp::{AntiReplay, HmacMode, State};

/// A router names a second master within this time: its last fresh advertisement has to be a master-down time ago.
const NAMED_WITHIN: Duration = Duration::from_secs(8);

/// How much less than the window clocks have to differ for routers to hear each other surely: packets take their time.
const MARGIN: Duration = Duration::from_secs(1);

impl Cluster {
    fn clocks_apart(&self, one: MachineId, other: MachineId) -> Duration {
        let wall = |id: MachineId| self.machines[id.0].now(self.now).wall.as_unix_micros();
        Duration::from_micros(wall(one).abs_diff(wall(other)))
    }

    /// Whether two machines' routers may take each other's advertisements for fresh, as far as clocks go.
    pub(super) fn clocks_agree(&self, one: MachineId, other: MachineId) -> bool {
        let routers = [one, other].map(|id| &self.machines[id.0].spec.config.routers);
        let window = smallest_window(routers.into_iter().flatten());
        window.is_none_or(|window| self.clocks_apart(one, other) + MARGIN < window)
    }

    /// A master that gets advertisements of another one whose clock differs names it.
    pub(super) fn observe_clocks(&mut self) {
        let mut apart = Vec::new();
        for id in self.machine_ids() {
            for config in &self.machines[id.0].spec.config.routers {
                let Some(hmac) = config.hmac.as_deref() else { continue };
                if hmac.anti_replay != AntiReplay::Time || hmac.mode != HmacMode::Enforce {
                    continue;
                }
                let others = self.machine_ids().filter(|other| *other != id);
                for other in others.filter(|other| self.clocks_apart(id, *other) > hmac.window + MARGIN) {
                    if self.both_master(id, other, &config.name) {
                        apart.push((id, other, Arc::clone(&config.name)));
                    }
                }
            }
        }
        let now = self.now;
        self.apart.retain(|key, _| apart.contains(key));
        for key in apart {
            let (id, other, name) = &key;
            let touched = self.machines[id.0].touched.max(self.machines[other.0].touched);
            let since = self.apart.entry(key.clone()).or_insert(now);
            *since = touched.max(*since);
            if now.saturating_since(*since) > NAMED_WITHIN && !self.is_named(*id, *other, name) {
                let by_ms = micros(self.clocks_apart(*id, *other)) / 1_000;
                let detail = format!("({name}) does not name {other}, whose clock differs by {by_ms} ms");
                self.report(Violation { at: now, rule: Rule::SkewUnnamed, machine: Some(*id), detail });
            }
        }
    }

    /// Whether both are masters of a router, and everything that the other one sends arrives.
    fn both_master(&self, id: MachineId, other: MachineId, name: &str) -> bool {
        let up = |id: MachineId| {
            !self.machines[id.0].stands_still() && self.state(id, name) == Some(State::Master)
        };
        let machine = &self.machines[id.0];
        let Some(config) = machine.spec.config.routers.iter().find(|config| *config.name == *name) else {
            return false;
        };
        let segment = config.interfaces.hears_by().and_then(|name| machine.segment_of(name));
        segment.is_some_and(|segment| {
            let [from, to] = [other, id].map(|id| self.machine_port(id, segment));
            self.network.conditions(segment).lossless() && self.network.reaches(from, to)
        }) && up(id)
            && up(other)
            && !self.machines[other.0].sending_forbidden
    }

    fn is_named(&self, id: MachineId, other: MachineId, name: &str) -> bool {
        let machine = &self.machines[id.0];
        let Some(process) = &machine.process else { return true };
        let Some(config) = machine.spec.config.routers.iter().find(|config| *config.name == *name) else {
            return true;
        };
        let Some(segment) = config.interfaces.hears_by().and_then(|name| machine.segment_of(name)) else {
            return true;
        };
        let own = own_addresses(other, segment);
        let source = match config.family {
            Family::Ipv4 => own[0],
            Family::Ipv6 => own[1],
        };
        let named = process.outside_window(machine.now(self.now).instant, name);
        named.contains(&source.address())
    }
}
