//! Surveys of the LAN, and the rules that look at all of it.

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::cluster::{Cluster, DETECTION};
use super::host::HostId;
use super::invariants::service::ROUNDS;
use super::invariants::settled::Deadlines;
use super::invariants::{
    Bounds, GroupKey, HeldOnLan, HostRoute, Member, Pace, Settling, Survey, Switch, SyncGroupLook,
};
use super::machine::{Machine, MachineId, meeting_place, segment_of_own};
use super::network::{Conditions, SegmentId};
use super::process::Process;
use super::routing;
use super::timeline::EntryKind;
use super::trackers;
use crate::kernel::{HeldAddress, Link};
use crate::net::Family;
use crate::node::NodeConfig;
use crate::time::{Duration, Instant};
use crate::vrrp::{HmacMode, RouterConfig, State};
use crate::wire::vrrp::{AuthenticationData, Version};

impl Cluster {
    /// Everything at this moment.
    pub fn survey(&self) -> Survey {
        let segments = (0..self.network.segment_count()).map(SegmentId);
        let mut survey = Survey::new(self.now);
        survey.segments = segments
            .clone()
            .map(|segment| {
                let conditions = self.network.conditions(segment);
                (segment, !conditions.lossless(), conditions.longest())
            })
            .collect();
        for machine in &self.machines {
            let daemon = machine.process.as_ref().filter(|p| p.stopping.is_none());
            survey.held.extend(machine.kernel.addresses().iter().map(|a| HeldOnLan {
                machine: machine.id,
                live: daemon.is_some_and(|p| p.ledger.charge.contains(&(a.link, a.prefix.address()))),
                address: a.prefix.address(),
                ours: a.ours,
                is_static: daemon.is_some_and(|p| p.ledger.is_static(a.link, a.prefix.address())),
            }));
            survey.missing.extend(
                daemon.filter(|_| !machine.stands_still()).into_iter().flat_map(|p| missing(machine, p)),
            );
            if let Some(process) = daemon.filter(|_| !machine.stands_still()) {
                routing::look(machine, process, &mut survey);
            }
            if daemon.is_none() {
                survey.leavers.insert(machine.id, machine.touched);
            }
            if let Some(process) = &machine.process {
                if self.now < process.deaf_until {
                    survey.deaf.insert(machine.id);
                }
                for ((interface, source, family, vrid), at) in &process.ledger.removed {
                    if let Some(segment) = machine.segment_for(interface.as_ref(), *source) {
                        let group = GroupKey { segment, family: *family, vrid: *vrid };
                        survey.removed.insert((machine.id, group), *at);
                    }
                }
                if let Some(since) = process.stopping {
                    survey.stopping.push((machine.id, since));
                } else {
                    let routers = process.ledger.config.routers.iter();
                    let mut members = Vec::with_capacity(routers.len());
                    members.extend(routers.filter_map(|config| self.member(machine, config)));
                    tie(machine, process, &mut members, &mut survey);
                    survey.members.append(&mut members);
                }
            }
            for other in self.machines.iter().filter(|other| other.id != machine.id) {
                for segment in segments.clone() {
                    let (from, to) = (machine.ports[segment.0 as usize], other.ports[segment.0 as usize]);
                    if self.network.reaches(from, to) {
                        survey.hearing.push((machine.id, other.id, segment));
                    }
                }
            }
        }
        self.compare_clocks(&mut survey);
        for (index, host) in self.hosts.iter().enumerate() {
            survey.routes.extend(host.routes().map(|(address, mac)| HostRoute {
                host: HostId(index),
                segment: self.network.segment(host.port()),
                patient: host.patient(),
                address,
                machine: self.machine_reached(host, mac),
            }));
        }
        survey
    }

    pub(super) fn member(&self, machine: &Machine, config: &RouterConfig) -> Option<Member> {
        let process = machine.process.as_ref()?;
        let segment = machine.segment_for(config.interfaces.hears_by(), meeting_place(config))?;
        let standing = process.ledger.standing(&config.name);
        let up = |link: &Link| link.usable() && process.ledger.counts_as_up(&link.name);
        let usable = |name| machine.kernel.by_name(name).filter(|link| up(link) || !config.track_primary);
        let interfaces = &config.interfaces;
        let needed = interfaces.base.iter().chain(interfaces.hears_by()).chain([&interfaces.addresses]);
        let listens = needed.into_iter().all(|name| usable(name).is_some());
        let addresses = config.addresses.iter().chain(&config.excluded).filter(|address| address.track);
        let tracked = addresses
            .filter_map(|address| address.interface.as_ref())
            .chain(config.tracked_by_routing())
            .all(|name| machine.kernel.by_name(name).is_some_and(up));
        let out = match config.interfaces.source_by().or_else(|| config.interfaces.sends_by()) {
            Some(name) => usable(name),
            None => {
                let on = config.source.and_then(|source| segment_of_own(&source));
                on.and_then(|on| machine.link(on)).and_then(|key| machine.kernel.link(key))
            }
        };
        let source = out.and_then(|link| match config.source {
            Some(source) => machine.kernel.answers(link.key, &source).then_some(source),
            None => machine.kernel.source(link.key, config.family),
        });
        let fits = out.is_none_or(|link| packet_size(config) <= link.mtu);
        let addresses = config.addresses.iter().chain(&config.excluded).map(|address| {
            let name = address.interface.as_ref().unwrap_or(&config.interfaces.addresses);
            let there = machine.kernel.by_name(name).filter(|link| link.usable());
            (address.spec.prefix.address(), there.and_then(|_| machine.segment_of(name)))
        });
        let standard = process.ledger.standard(config);
        Some(Member {
            machine: machine.id,
            group: GroupKey { segment, family: config.family, vrid: config.vrid },
            name: config.name.clone(),
            priority: standard.priority.0,
            preempt: config.preempt,
            source,
            able: listens
                && source.is_some()
                && tracked
                && fits
                && !machine.sending_forbidden
                && !standard.fault
                && !standard.pending
                && process.ledger.maintenance.is_none()
                && config.destinations.addresses().next().is_some()
                && !machine.stands_still(),
            returned: process.stood_still,
            unit: None,
            state: standing.map_or(State::Initialize, |s| s.state),
            switch: standing.map_or(Switch::Off, |s| s.switch),
            elected: standing.and_then(|s| s.elected),
            rival: standing.and_then(|s| s.rival),
            yielded: standing.and_then(|s| s.yielded),
            touched: machine.touched.max(process.ledger.verdicts.changed),
            addresses: addresses.collect(),
        })
    }

    /// Takes a configuration into the bounds, and its addresses into the hosts' interests.
    pub(super) fn learn(&mut self, id: MachineId, config: &NodeConfig) {
        // Other bounds.
        self.last_survey = None;
        let machine = &self.machines[id.0];
        let mut count = config.statics.addresses.len();
        let startup_delay = config.startup_delay + trackers::latency(&config.tracking);
        for router in &config.routers {
            let hears_by = router.interfaces.hears_by();
            let Some(segment) = machine.segment_for(hears_by, meeting_place(router)) else { continue };
            let group = GroupKey { segment, family: router.family, vrid: router.vrid };
            self.bounds.entry(group).or_default().include(router, startup_delay);
            for address in router.addresses.iter().chain(&router.excluded) {
                count += 1 + router.routes.len() + router.rules.len();
                let name = address.interface.as_ref().unwrap_or(&router.interfaces.addresses);
                let Some(segment) = machine.segment_of(name) else { continue };
                for host in self.hosts.iter_mut().filter(|h| self.network.segment(h.port()) == segment) {
                    host.talk_to(address.spec.prefix.address());
                }
            }
        }
        self.most_addresses = self.most_addresses.max(count);
    }

    /// From now on nothing happens from outside: what must hold after settling is judged.
    pub fn begin_quiet(&mut self) {
        self.record(EntryKind::Phase, "", "quiet begins");
        self.settling = Some(Settling::new(self.now));
        self.changed = true;
    }

    /// The quiet ends with the next fault.
    pub(super) fn end_quiet(&mut self) {
        self.settling = None;
    }

    /// The kernel took an address along with the primary of its subnet. The machine's own one is nobody's to put
    /// back: like a fault, in a quiet period too. A virtual one that a router still wants is put back at once.
    pub(super) fn lose_along(&mut self, id: MachineId, held: &HeldAddress) {
        let Some(process) = &self.machines[id.0].process else { return };
        let wants = |(_, link, prefix): &_| (*link, *prefix) == (held.link, held.prefix);
        if held.ours && !process.ledger.wanted.iter().any(wants) {
            return;
        }
        self.record(EntryKind::Kernel, id, format_args!("-{} with the primary of its subnet", held.prefix));
        if held.ours {
            self.changed = true;
            return;
        }
        self.touch(id);
        if let Some(settling) = &mut self.settling {
            settling.disturb(self.now);
        }
    }

    /// Quiet until everything must have settled, and a few intervals more. Gives the number of rules broken
    /// by then since the start of the run.
    pub fn settle(&mut self) -> usize {
        self.begin_quiet();
        let mut calm = None;
        while let Some(rest) = self.settling.as_ref().map(Settling::rest).filter(|rest| Some(*rest) != calm) {
            calm = Some(rest);
            let longest = self.deadlines().into_iter().map(|(_, due)| due.caches).max().unwrap_or_default();
            let survey = self.survey();
            let contested =
                survey.components().iter().any(|of| survey.is_contested(&of.keys, &BTreeSet::new()));
            let contest = if contested { self.election_bound() * ROUNDS } else { Duration::ZERO };
            self.run_until(rest + longest + contest + Duration::from_secs(1));
        }
        self.observe();
        self.violations.len()
    }

    /// The time by which every group must have a master when all is whole.
    pub fn election_bound(&self) -> Duration {
        self.deadlines().into_iter().map(|(_, due)| due.election).max().unwrap_or_default()
    }

    /// The time by which the permitted master alone must be master when all is whole.
    pub fn settlement_bound(&self) -> Duration {
        self.deadlines().into_iter().map(|(_, due)| due.settlement).max().unwrap_or_default()
    }

    fn deadlines(&self) -> Vec<(GroupKey, Deadlines)> {
        self.bounds
            .iter()
            .map(|(group, bounds)| (*group, deadlines(bounds, &self.pace, self.most_addresses)))
            .collect()
    }

    pub(super) fn observe(&mut self) {
        let mut survey = self.survey();
        let unchanged = self.last_survey.take().is_some_and(|before| survey.resembles(before));
        let (pace, most) = (self.pace, self.most_addresses);
        // A daemon without virtual routers takes its time to give up addresses and to stop, too.
        let alone = deadlines(&Bounds::default(), &pace, most);
        let stop =
            self.deadlines().into_iter().map(|(_, due)| due.addresses).fold(alone.addresses, Duration::max);
        let bounds = &self.bounds;
        let bound = |group: GroupKey| bounds.get(&group).copied().unwrap_or_default();
        let mut broken = self.unity.observe(&survey, |group| bound(group).election(&pace, Duration::ZERO));
        let service =
            self.service.observe(&survey, unchanged, |group, delay| bound(group).election(&pace, delay));
        broken.extend(service);
        broken.extend(self.returns.observe(&survey, |group, delay| bound(group).contest(&pace, delay)));
        if let Some(settling) = &mut self.settling {
            broken.extend(settling.observe(
                &survey,
                |group| deadlines(&bound(group), &pace, most),
                alone,
                stop,
            ));
        }
        broken.into_iter().for_each(|violation| self.report(violation));
        self.observe_clocks();
        self.last_survey = Some(survey);
    }

    /// A fault has changed a machine.
    pub(super) fn touch(&mut self, id: MachineId) {
        self.machines[id.0].touched = self.now;
        self.changed = true;
    }

    /// When a machine was last changed by a fault.
    pub fn touched(&self, id: MachineId) -> Instant {
        self.machines[id.0].touched
    }
}

/// Ties the members of each sync group of a daemon together.
fn tie(machine: &Machine, process: &Process, members: &mut [Member], survey: &mut Survey) {
    for group in &process.ledger.config.sync_groups {
        let names: BTreeSet<&str> = group.members.iter().map(|name| &**name).collect();
        let mut tied: Vec<&mut Member> =
            members.iter_mut().filter(|member| names.contains(&*member.name)).collect();
        let keys: Arc<BTreeSet<GroupKey>> = Arc::new(tied.iter().map(|member| member.group).collect());
        let able = tied.len() == names.len() && tied.iter().all(|member| member.able);
        for member in &mut tied {
            member.unit = Some(group.name.clone());
            member.able = able;
        }
        if !machine.stands_still() {
            survey.sync_groups.push(SyncGroupLook {
                machine: machine.id,
                name: group.name.clone(),
                states: tied.iter().map(|member| (member.name.clone(), member.state)).collect(),
                keys: Arc::clone(&keys),
                joined: process.ledger.joined.get(&group.name).copied(),
                touched: tied.iter().map(|member| member.touched).max().unwrap_or_default(),
            });
        }
        survey.units.push(keys);
    }
}

/// The static addresses that a machine shall have and has not.
fn missing(machine: &Machine, process: &Process) -> Vec<(MachineId, IpAddr)> {
    let statics = process.ledger.config.statics.addresses.iter();
    let absent = statics.filter(|entry| {
        let link = machine.kernel.by_name(&entry.interface);
        link.is_some_and(|link| !machine.kernel.holds(link.key, entry.spec.prefix))
    });
    absent.map(|entry| (machine.id, entry.spec.prefix.address())).collect()
}

/// Longest pause before an address is put back that somebody removed.
const REPAIR: Duration = Duration::from_secs(1);

/// The bytes that must fit into one packet to advertise: IPv6 sends what is larger in fragments.
fn packet_size(config: &RouterConfig) -> u32 {
    const IPV4_HEADER: usize = 20;
    const VRRP_HEADER: usize = 8;
    let authentication = match config.version {
        Version::V2 => 8,
        Version::V3 => 0,
    };
    let more = match (&config.hmac, config.authentication) {
        (Some(hmac), _) if hmac.mode != HmacMode::ReceiveOnly => 28,
        (None, AuthenticationData::AuthenticationHeader(_)) => 24,
        (_, _) => 0,
    };
    match config.family {
        Family::Ipv6 => 0,
        Family::Ipv4 => {
            (IPV4_HEADER + VRRP_HEADER + 4 * config.addresses.len() + authentication + more) as u32
        }
    }
}

fn deadlines(bounds: &Bounds, pace: &Pace, most_addresses: usize) -> Deadlines {
    let delay = Conditions::HEALTHY.longest();
    // An interface that just came up first makes sure that its own addresses are nobody else's.
    Deadlines {
        election: DETECTION + bounds.election(pace, delay),
        settlement: DETECTION + bounds.settlement(pace, delay),
        addresses: DETECTION + REPAIR + bounds.addresses(pace, delay, most_addresses),
        caches: DETECTION + REPAIR + bounds.caches(pace, delay, most_addresses),
        restoration: Bounds::restoration(pace, most_addresses),
    }
}
