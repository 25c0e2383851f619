//! Clocks that differ: with stamps that follow the clock, two routers whose clocks are further apart than the window do
//! not believe each other, and then each says so.

use core::net::IpAddr;
use std::sync::Arc;

use super::cluster::Cluster;
use super::invariants::{GroupKey, Member, Rule, Survey, Violation};
use super::machine::{Machine, MachineId, meeting_place};
use crate::time::{Duration, micros};
use crate::vrrp::{AntiReplay, HmacConfig, HmacMode, RouterConfig, State};

/// How much less or more than the window clocks have to differ for it to be plain whether routers believe each other:
/// packets take their time.
const MARGIN: Duration = Duration::from_secs(1);

/// What follows the clock, of a router that signs so.
fn timed(config: &RouterConfig) -> Option<&HmacConfig> {
    config.hmac.as_deref().filter(|hmac| hmac.anti_replay == AntiReplay::Time)
}

/// The group that a router is a member of.
fn group_of(machine: &Machine, config: &RouterConfig) -> Option<GroupKey> {
    let segment = machine.segment_for(config.interfaces.hears_by(), meeting_place(config))?;
    Some(GroupKey { segment, family: config.family, vrid: config.vrid })
}

impl Cluster {
    fn clocks_apart(&self, one: MachineId, other: MachineId) -> Duration {
        let wall = |id: MachineId| self.machines[id.0].now(self.now).wall.as_unix_micros();
        Duration::from_micros(wall(one).abs_diff(wall(other)))
    }

    /// Notes who does not believe whom, and who may or may not be believed: whose clock differs by about a window, or
    /// was set within the last two, so that what it signed before may be later than what it signs now.
    pub(super) fn compare_clocks(&self, survey: &mut Survey) {
        for machine in &self.machines {
            let id = machine.id;
            for config in &machine.spec.config.routers {
                let Some(hmac) = timed(config) else { continue };
                let Some(group) = group_of(machine, config) else { continue };
                for other in self.machine_ids().filter(|other| *other != id && self.signs(*other, config)) {
                    let set = self.machines[other.0].clock_set.max(machine.clock_set);
                    let recent = set.is_some_and(|set| self.now.saturating_since(set) < hmac.window * 2);
                    let apart = self.clocks_apart(id, other);
                    if apart > hmac.window + MARGIN {
                        survey.apart.insert((other, id, group));
                    } else if recent || apart + MARGIN > hmac.window {
                        survey.deaf.insert(id);
                    }
                }
            }
        }
    }

    fn signs(&self, id: MachineId, like: &RouterConfig) -> bool {
        let mut routers = self.machines[id.0].spec.config.routers.iter();
        let config = routers.find(|config| config.name == like.name);
        config.and_then(timed).is_some_and(|hmac| hmac.mode != HmacMode::ReceiveOnly)
    }

    /// A master that gets advertisements of another one whose clock differs names it.
    pub(super) fn observe_clocks(&mut self) {
        let mut apart = Vec::new();
        for machine in &self.machines {
            for config in &machine.spec.config.routers {
                let Some(hmac) = timed(config).filter(|hmac| hmac.mode == HmacMode::Enforce) else {
                    continue;
                };
                for other in self.machine_ids().filter(|other| *other != machine.id) {
                    if self.clocks_apart(machine.id, other) > hmac.window + MARGIN
                        && let Some(source) = self.second_master(machine.id, other, config)
                    {
                        apart.push(((machine.id, other, Arc::clone(&config.name)), source));
                    }
                }
            }
        }
        let now = self.now;
        self.apart.retain(|key, _| apart.iter().any(|(known, _)| known == key));
        // Its last advertisement that was believed has to be a master-down time ago.
        let within = self.election_bound() * 2;
        for (key, source) in apart {
            let (id, other, name) = &key;
            let touched = self.machines[id.0].touched.max(self.machines[other.0].touched);
            let since = self.apart.entry(key.clone()).or_insert(now);
            *since = touched.max(*since);
            if now.saturating_since(*since) > within && !self.is_named(*id, name, source) {
                let by_ms = micros(self.clocks_apart(*id, *other)) / 1_000;
                let detail = format!("({name}) does not name {other}, whose clock differs by {by_ms} ms");
                self.report(Violation { at: now, rule: Rule::SkewUnnamed, machine: Some(*id), detail });
            }
        }
    }

    /// Where another machine is master of the same router, and everything that it sends to this master arrives: the
    /// address that it sends from.
    fn second_master(&self, id: MachineId, other: MachineId, config: &RouterConfig) -> Option<IpAddr> {
        let rival = self.machines[other.0].spec.config.routers.iter().find(|r| r.name == config.name)?;
        let here = self.member(&self.machines[id.0], config)?;
        let there = self.member(&self.machines[other.0], rival)?;
        let up = |member: &Member| member.state == State::Master && member.able;
        let [from, to] = [other, id].map(|id| self.machine_port(id, here.group.segment));
        let arrives =
            self.network.conditions(here.group.segment).lossless() && self.network.reaches(from, to);
        // Who sends less often than the other one believes is taken for gone in between.
        let often = rival.interval.duration() <= config.interval.duration();
        let heard = here.group == there.group && up(&here) && up(&there) && arrives && often;
        there.source.filter(|_| heard)
    }

    fn is_named(&self, id: MachineId, name: &str, source: IpAddr) -> bool {
        let machine = &self.machines[id.0];
        let Some(process) = &machine.process else { return true };
        process.outside_window(machine.now(self.now).instant, name).contains(&source)
    }
}
