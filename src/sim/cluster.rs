//! The whole LAN in one thread: machines, hosts, network, virtual time, and a queue of what happens next in
//! an order that depends on nothing but the seed.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::agenda::Agenda;
use super::fault::Fault;
use super::frame::Frame;
use super::host::{self, Host, HostId};
use super::invariants::{
    Batch, Bounds, GroupKey, Pace, Returns, Rule, Service, Settling, Survey, Unity, Violation, step,
};
use super::machine::{Machine, MachineId, MachineSpec, Sent};
use super::network::{Arrival, Network, PortId, SegmentId};
use super::process::{Sabotage, Wakeup, arriving, is_group};
use super::reel::Reel;
use super::timeline::{EntryKind, Timeline};
use crate::kernel::{KernelEvent, Link, ReceiveSocket, SocketEvent};
use crate::net::{InterfaceIndex, MacAddress, Prefix};
use crate::node::Event;
use crate::prng::Prng;
use crate::time::{Duration, Instant, WallTime, micros};
use crate::vrrp::{Reservation, State};

/// Changes are looked at when they happen; the pause between looks at what should have changed by now.
const SURVEY_PERIOD: Duration = Duration::from_millis(500);
/// How long duplicate address detection takes.
pub(super) const DETECTION: Duration = Duration::from_secs(1);
/// How far clocks are apart that are meant to agree.
const CLOCKS_US: u64 = 500_000;
/// The right time at the beginning of each run, in microseconds since 1970.
const WALL_US: u64 = 1_800_000_000_000_000;
/// A daemon that wakes up more often in a row without a reason does not sleep at all.
const SPINS: u32 = 5;

/// How a LAN is made.
#[derive(Clone, Debug)]
pub struct ClusterSpec {
    /// Where all randomness comes from.
    pub seed: u64,
    /// How many segments; each machine is on all of them.
    pub segments: u32,
    /// The machines.
    pub machines: Vec<MachineSpec>,
    /// The hosts: where, and whether they correct their caches by themselves.
    pub hosts: Vec<(SegmentId, bool)>,
    /// How quick the machines are.
    pub pace: Pace,
    /// Whether the machines' wall clocks agree to half a second; otherwise to days.
    pub clocks_agree: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Happening {
    Arrival { port: PortId, frame: Frame, damage: Option<u64> },
    Wake(MachineId),
    Tell { machine: MachineId, generation: u64, event: Box<Event> },
    Ready { machine: MachineId, generation: u64 },
    Work { machine: MachineId, generation: u64 },
    Open { machine: MachineId, generation: u64, socket: ReceiveSocket },
    Detected { machine: MachineId, link: InterfaceIndex, prefix: Prefix },
    Look(HostId),
    Forge { host: HostId, number: u64 },
    Replay { host: HostId, number: usize },
    Renew { machine: MachineId, generation: u64 },
    Hearing(MachineId),
    Survey,
    Fault(Box<Fault>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Machine(MachineId),
    Host(HostId),
    Gateway,
}

/// A LAN that runs.
#[derive(Debug)]
pub struct Cluster {
    pub(super) now: Instant,
    agenda: Agenda<Happening>,
    /// Room for the arrivals of one frame.
    arrivals: Vec<Arrival>,
    pub(super) pace: Pace,
    pub(super) prng: Prng,
    pub(super) network: Network,
    pub(super) machines: Vec<Machine>,
    pub(super) hosts: Vec<Host>,
    pub(super) owners: Vec<Owner>,
    /// Ports of the router between the segments, if there is one.
    pub(super) gateway: Vec<PortId>,
    pub(super) timeline: Timeline,
    pub(super) violations: Vec<Violation>,
    pub(super) bounds: BTreeMap<GroupKey, Bounds>,
    pub(super) most_addresses: usize,
    pub(super) service: Service,
    pub(super) returns: Returns,
    pub(super) unity: Unity,
    pub(super) settling: Option<Settling>,
    /// What was seen last, unless the bounds have changed since.
    pub(super) last_survey: Option<Survey>,
    /// Masters whose clocks differ, since when.
    pub(super) apart: BTreeMap<(MachineId, MachineId, Arc<str>), Instant>,
    pub(super) changed: bool,
    pub(super) steps: u64,
    /// Addresses that a host has taken for itself.
    pub(super) taken: BTreeSet<IpAddr>,
    /// Of all daemons, if they are recorded.
    pub(super) reels: Option<Vec<Reel>>,
}

impl Cluster {
    /// All machines switched on, no daemon started.
    pub fn new(spec: ClusterSpec) -> Self {
        let mut prng = Prng::new(spec.seed);
        let mut cluster = Self {
            now: Instant::ZERO,
            agenda: Agenda::new(),
            arrivals: Vec::new(),
            pace: spec.pace,
            network: Network::new(prng.fork()),
            prng,
            machines: Vec::new(),
            hosts: Vec::new(),
            owners: Vec::new(),
            gateway: Vec::new(),
            timeline: Timeline::default(),
            violations: Vec::new(),
            bounds: BTreeMap::new(),
            most_addresses: 0,
            service: Service::default(),
            returns: Returns::default(),
            unity: Unity::default(),
            settling: None,
            last_survey: None,
            apart: BTreeMap::new(),
            changed: false,
            steps: 0,
            taken: BTreeSet::new(),
            reels: None,
        };
        let segments: Vec<SegmentId> = (0..spec.segments).map(|_| cluster.network.add_segment()).collect();
        for (index, machine) in spec.machines.into_iter().enumerate() {
            let id = MachineId(index);
            let ports =
                segments.iter().map(|segment| cluster.add_port(*segment, Owner::Machine(id))).collect();
            // No two clocks agree, and none starts at 0.
            let clock_offset = Duration::from_micros(cluster.prng.between(1, 1 << 40));
            let mut ahead_us = cluster.prng.below(1 << 40);
            if spec.clocks_agree {
                ahead_us %= CLOCKS_US;
            }
            let wall_us = WALL_US + ahead_us;
            cluster.machines.push(Machine::new(id, machine, ports, clock_offset, wall_us));
            cluster.machines[index].boot();
        }
        for (index, (segment, patient)) in spec.hosts.into_iter().enumerate() {
            let port = cluster.add_port(segment, Owner::Host(HostId(index)));
            cluster.hosts.push(Host::new(port, patient, Vec::new()));
            let first = Duration::from_micros(cluster.prng.below(micros(host::TICK)));
            cluster.schedule(cluster.now + first, Happening::Look(HostId(index)));
        }
        for id in cluster.machine_ids() {
            let config = cluster.machines[id.0].spec.config.clone();
            cluster.learn(id, &config);
        }
        cluster.schedule(cluster.now, Happening::Survey);
        cluster
    }

    fn add_port(&mut self, segment: SegmentId, owner: Owner) -> PortId {
        self.owners.push(owner);
        self.network.add_port(segment)
    }

    /// Connects all segments by a router that is none of the machines: what is sent from one to an address on another
    /// arrives there with a lower TTL.
    pub fn add_gateway(&mut self) {
        let segments = (0..self.network.segment_count()).map(SegmentId);
        self.gateway = segments.map(|segment| self.add_port(segment, Owner::Gateway)).collect();
    }

    /// Runs for a time.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Runs until a moment; everything that happens then has happened.
    pub fn run_until(&mut self, end: Instant) {
        while let Some((at, happening)) = self.agenda.next_until(end) {
            self.now = at;
            self.steps += 1;
            self.step(happening);
            if core::mem::take(&mut self.changed) {
                self.observe();
            }
        }
        self.now = end;
    }

    /// Something is done to the LAN at a later moment.
    pub fn schedule_fault(&mut self, at: Instant, fault: Fault) {
        self.schedule(at, Happening::Fault(Box::new(fault)));
    }

    /// Breaks a machine's daemon on purpose.
    pub fn sabotage(&mut self, machine: MachineId, sabotage: Box<dyn Sabotage>) {
        self.machines[machine.0].sabotage = Some(sabotage);
    }

    /// Virtual time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// All machines.
    pub fn machine_ids(&self) -> impl Iterator<Item = MachineId> + use<> {
        (0..self.machines.len()).map(MachineId)
    }

    /// A machine's port on a segment.
    pub fn machine_port(&self, machine: MachineId, segment: SegmentId) -> PortId {
        self.machines[machine.0].ports[segment.0 as usize]
    }

    /// A host's port.
    pub fn host_port(&self, host: HostId) -> PortId {
        self.hosts[host.0].port()
    }

    /// Rules broken so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The record so far.
    pub const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The record, at the end.
    pub fn into_timeline(self) -> Timeline {
        self.timeline
    }

    /// How many things have happened.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// State of a router on a machine; `None` without a daemon that runs it.
    pub fn state(&self, machine: MachineId, router: &str) -> Option<State> {
        let process = self.machines[machine.0].process.as_ref()?;
        process.ledger.standing(router).map(|standing| standing.state)
    }

    /// The machines where a router is master.
    pub fn masters(&self, router: &str) -> BTreeSet<MachineId> {
        self.machine_ids().filter(|id| self.state(*id, router) == Some(State::Master)).collect()
    }

    /// How much a machine has sent.
    pub fn sent(&self, machine: MachineId) -> Sent {
        self.machines[machine.0].sent
    }

    /// Whether a machine's kernel holds an address.
    pub fn holds(&self, machine: MachineId, address: &IpAddr) -> bool {
        self.machines[machine.0].kernel.addresses().iter().any(|a| a.prefix.address() == *address)
    }

    /// A machine's kernel.
    pub fn kernel(&self, machine: MachineId) -> &super::kernel::Kernel {
        &self.machines[machine.0].kernel
    }

    /// The machine that a host sends packets for an address to.
    pub fn route(&self, host: HostId, address: &IpAddr) -> Option<MachineId> {
        let host = &self.hosts[host.0];
        host.route(address).and_then(|mac| self.machine_reached(host, mac))
    }

    /// The MAC that a host sends packets for an address to.
    pub fn mac(&self, host: HostId, address: &IpAddr) -> Option<MacAddress> {
        self.hosts[host.0].route(address)
    }

    pub(super) fn schedule(&mut self, at: Instant, happening: Happening) {
        self.agenda.schedule(at, happening);
    }

    pub(super) fn record(
        &mut self,
        kind: EntryKind,
        actor: impl core::fmt::Display,
        text: impl core::fmt::Display,
    ) {
        self.timeline.record(self.now, kind, actor, text);
    }

    /// A rule was broken; told once for each rule and machine.
    pub(super) fn report(&mut self, violation: Violation) {
        if self.violations.iter().any(|v| (v.rule, v.machine) == (violation.rule, violation.machine)) {
            return;
        }
        self.timeline.record(self.now, EntryKind::Violation, "", &violation);
        self.violations.push(violation);
    }

    /// The machine that a host's frames to a MAC go to.
    pub(super) fn machine_reached(&self, host: &Host, mac: MacAddress) -> Option<MachineId> {
        if !host::is_virtual(mac) {
            return self.machine_of(mac);
        }
        match self.owners[host.port_of(mac)?.0 as usize] {
            Owner::Machine(machine) => Some(machine),
            Owner::Host(_) | Owner::Gateway => None,
        }
    }

    fn machine_of(&self, mac: MacAddress) -> Option<MachineId> {
        let has = |machine: &&Machine| {
            machine
                .ports
                .iter()
                .any(|port| machine.kernel.by_port(*port).is_some_and(|link| link.mac == Some(mac)))
        };
        self.machines.iter().find(has).map(|machine| machine.id)
    }

    /// The right time, which no machine's clock needs to have.
    const fn wall(&self) -> WallTime {
        WallTime::from_unix_micros(WALL_US + self.now.as_micros())
    }

    /// A time of at most `longest`, never zero.
    pub(super) fn draw(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.prng.between(1, micros(longest).max(1)))
    }

    fn step(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival { port, frame, damage } => match self.owners[port.0 as usize] {
                Owner::Machine(machine) => self.arrive_at_machine(machine, port, frame, damage),
                Owner::Host(host) => self.arrive_at_host(host, &frame),
                Owner::Gateway => self.pass_on(port, &frame, damage),
            },
            Happening::Wake(machine) => self.wake(machine),
            Happening::Tell { machine, generation, event } => {
                let (now, pace) = (self.now, self.pace);
                if let Some(process) = self.process(machine, generation) {
                    process.tell(now, *event, &pace);
                    self.wake_soon(machine);
                }
            }
            Happening::Ready { machine, generation } => {
                let view = Event::Kernel(KernelEvent::View(self.machines[machine.0].kernel.view()));
                if let Some(process) = self.process(machine, generation) {
                    process.begin(view);
                    self.wake_soon(machine);
                    self.tell_of_trackers(machine);
                    self.changed = true;
                }
            }
            Happening::Work { machine, generation } => self.work(machine, generation),
            Happening::Open { machine, generation, socket } => {
                if let Some(process) = self.process(machine, generation)
                    && let Some(open) = process.sockets.get_mut(&socket)
                {
                    *open = true;
                    self.tell_soon(machine, Event::Socket(SocketEvent::Opened(socket)));
                }
            }
            Happening::Detected { machine, link, prefix } => {
                let failed = self.is_duplicate(machine, link, prefix.address());
                self.machines[machine.0].kernel.conclude(link, prefix, failed);
                self.flush_kernel(machine);
            }
            Happening::Look(host) => self.look(host),
            Happening::Forge { host, number } => self.forge(host, number),
            Happening::Replay { host, number } => self.replay(host, number),
            Happening::Renew { machine, generation } => self.renew(machine, generation),
            Happening::Hearing(machine) => {
                self.touch(machine);
                self.wake_soon(machine);
            }
            Happening::Survey => {
                self.changed = true;
                self.schedule(self.now + SURVEY_PERIOD, Happening::Survey);
            }
            Happening::Fault(fault) => self.apply(&fault),
        }
    }

    /// Whether another machine on the segment, or a host, has an address.
    fn is_duplicate(&self, id: MachineId, link: InterfaceIndex, address: IpAddr) -> bool {
        if self.taken.contains(&address) {
            return true;
        }
        let Some(port) = self.machines[id.0].kernel.port(link) else { return false };
        let segment = self.network.segment(port);
        self.machines.iter().any(|machine| {
            machine.id != id && machine.link(segment).is_some_and(|key| machine.kernel.answers(key, &address))
        })
    }

    pub(super) fn process(
        &mut self,
        machine: MachineId,
        generation: u64,
    ) -> Option<&mut super::process::Process> {
        self.machines[machine.0].process.as_mut().filter(|process| process.generation == generation)
    }

    pub(super) fn carry(&mut self, from: PortId, only: Option<PortId>, frame: &Frame) {
        let mut arrivals = core::mem::take(&mut self.arrivals);
        self.network.carry(self.now, from, only, &mut arrivals);
        for Arrival { at, port, damage } in arrivals.drain(..) {
            // Machines take no notice of what is for hosts, which is most of all frames.
            let for_hosts = matches!(frame, Frame::Announcement { .. });
            if for_hosts && matches!(self.owners[port.0 as usize], Owner::Machine(_)) {
                continue;
            }
            self.schedule(at, Happening::Arrival { port, frame: frame.clone(), damage });
        }
        self.arrivals = arrivals;
    }

    fn arrive_at_machine(&mut self, id: MachineId, port: PortId, frame: Frame, damage: Option<u64>) {
        let machine = &mut self.machines[id.0];
        let is_up = |link: &Link| link.usable() && machine.paused.is_none();
        if machine.kernel.by_port(port).is_none_or(|link| !is_up(link)) {
            return;
        }
        let now = machine.now(self.now);
        match frame {
            Frame::Advertisement(packet) => {
                // Linux hands a frame from the MAC of a private macvlan to that macvlan alone.
                let from = packet.frame.map(|(mac, _)| mac);
                let links = || machine.kernel.on_port(port).filter(|link| link.usable());
                let own = |link: &&Link| link.stacked.is_some() && link.mac == from;
                let private = links().any(|link| own(&link));
                let mut wakes = false;
                for key in links().filter(|link| !private || own(link)).map(|link| link.key) {
                    let destination = &packet.destination;
                    let local = is_group(destination) || machine.kernel.answers(key, destination);
                    let Some(process) = machine.process.as_mut().filter(|_| local) else { continue };
                    let arrived = arriving(&packet, damage);
                    wakes |= process.receive(now, key, &arrived, damage.is_some(), &self.pace);
                }
                if wakes {
                    self.wake_soon(id);
                }
            }
            Frame::Question { address, asker } => {
                // Each interface answers for its own addresses only.
                let kernel = &machine.kernel;
                let answers = |link: &&Link| link.usable() && kernel.answers(link.key, &address);
                let mac = kernel.on_port(port).find(answers).and_then(|link| link.mac);
                if let Some(mac) = mac {
                    self.carry(port, Some(asker), &Frame::Answer { address, mac, port });
                }
            }
            Frame::Announcement { .. } | Frame::Answer { .. } => {}
        }
    }

    /// What arrives at the router between the segments goes to the one where its destination is.
    fn pass_on(&mut self, port: PortId, frame: &Frame, damage: Option<u64>) {
        let Frame::Advertisement(packet) = frame else { return };
        let from = self.network.segment(port);
        let hop_limit = packet.ip.hop_limit.saturating_sub(1);
        let others = (0..self.network.segment_count()).map(SegmentId).filter(|segment| *segment != from);
        let found = others
            .into_iter()
            .find_map(|segment| Some((segment, self.holder(segment, &packet.destination)?)));
        let (Some((segment, to)), true) = (found, hop_limit > 0) else { return };
        let mut packet = arriving(packet, damage);
        Arc::make_mut(&mut packet).ip.hop_limit = hop_limit;
        self.carry(self.gateway[segment.0 as usize], Some(to), &Frame::Advertisement(packet));
    }

    /// The port of the machine that has an address on a segment.
    pub(super) fn holder(&self, segment: SegmentId, address: &IpAddr) -> Option<PortId> {
        let has = |machine: &&Machine| {
            machine.link(segment).is_some_and(|key| machine.kernel.answers(key, address))
        };
        self.machines.iter().find(has).map(|machine| machine.ports[segment.0 as usize])
    }

    fn arrive_at_host(&mut self, id: HostId, frame: &Frame) {
        let now = self.now;
        let host = &mut self.hosts[id.0];
        let (address, mac, changed) = match frame {
            Frame::Announcement { address, mac, port } => {
                host.learn(*mac, *port);
                (*address, *mac, host.announced(now, *address, *mac))
            }
            Frame::Answer { address, mac, port } => {
                host.learn(*mac, *port);
                (*address, *mac, host.answered(now, *address, *mac))
            }
            Frame::Advertisement(packet) => {
                host.record(packet);
                if let Some((mac, port)) = packet.frame {
                    host.learn(mac, port);
                }
                return;
            }
            Frame::Question { .. } => return,
        };
        if changed {
            let machine = self.machine_reached(&self.hosts[id.0], mac);
            let place = machine.map_or_else(|| mac.to_string(), |machine| machine.to_string());
            self.record(EntryKind::Host, id, format_args!("{address} is at {place}"));
        }
    }

    fn look(&mut self, id: HostId) {
        let port = self.hosts[id.0].port();
        for question in self.hosts[id.0].tick(self.now) {
            let only = match question.to {
                None => None,
                Some(mac) => {
                    let segment = self.network.segment(port);
                    let Some(machine) = self.machine_reached(&self.hosts[id.0], mac) else { continue };
                    Some(self.machine_port(machine, segment))
                }
            };
            self.carry(port, only, &Frame::Question { address: question.address, asker: port });
        }
        self.schedule(self.now + host::TICK, Happening::Look(id));
    }

    fn forge(&mut self, host: HostId, number: u64) {
        let Some(flood) = self.hosts[host.0].flood.as_ref() else { return };
        let (packet, next) =
            (flood.packet(number, self.wall()), self.now + flood.pause.max(Duration::from_micros(1)));
        self.carry(self.hosts[host.0].port(), None, &Frame::Advertisement(Arc::new(packet)));
        self.schedule(next, Happening::Forge { host, number: number + 1 });
    }

    fn replay(&mut self, host: HostId, number: usize) {
        let host_port = self.hosts[host.0].port();
        let Some((packet, pause)) = self.hosts[host.0].recording(number) else { return };
        self.carry(host_port, None, &Frame::Advertisement(packet));
        self.schedule(self.now + pause, Happening::Replay { host, number: number + 1 });
    }

    /// The main thread sets more stamps aside.
    fn renew(&mut self, id: MachineId, generation: u64) {
        let machine = &mut self.machines[id.0];
        let (now, still) = (machine.now(self.now), machine.stands_still());
        let Some(process) = machine.process.as_mut().filter(|process| process.generation == generation)
        else {
            return;
        };
        let mut reservation = process.reservation;
        if !still && reservation.renew(now.wall) {
            machine.kept_stamp = Some(reservation.to_keep());
            process.reserve(now, reservation);
        }
        self.schedule(self.now + Reservation::RENEWAL, Happening::Renew { machine: id, generation });
    }

    pub(super) fn wake_soon(&mut self, machine: MachineId) {
        let at = self.now + self.draw(self.pace.wake);
        self.wake_at(machine, at);
    }

    fn wake_at(&mut self, id: MachineId, at: Instant) {
        let machine = &mut self.machines[id.0];
        let stands_still = machine.stands_still();
        let Some(process) = machine.process.as_mut() else { return };
        if !stands_still && process.ready && process.next_wake.is_none_or(|next| at < next) {
            process.next_wake = Some(at);
            self.schedule(at, Happening::Wake(id));
        }
    }

    /// Brings an event to the daemon, after those that are on their way.
    pub(super) fn tell_soon(&mut self, id: MachineId, event: Event) {
        let delay = self.draw(self.pace.notification);
        let at = self.now + delay;
        let Some(process) = self.machines[id.0].process.as_mut() else { return };
        let last = match event {
            Event::Addresses(_) | Event::Routing(_) | Event::Links(_) | Event::Socket(_) => {
                &mut process.last_reply
            }
            _ => &mut process.last_notification,
        };
        *last = at.max(*last);
        let (at, generation) = (*last, process.generation);
        self.schedule(at, Happening::Tell { machine: id, generation, event: Box::new(event) });
    }

    fn wake(&mut self, id: MachineId) {
        let spurious = self.prng.chance(1, 16);
        let now = self.machines[id.0].now(self.now);
        let machine = &mut self.machines[id.0];
        let stands_still = machine.stands_still();
        let Some(process) = machine.process.as_mut() else { return };
        if stands_still || process.next_wake != Some(self.now) {
            return;
        }
        process.next_wake = None;
        if process.needs_view(self.now) {
            process.catch_up(Event::Kernel(KernelEvent::View(machine.kernel.view())));
        }
        let wakeup = process.wake(now, spurious, machine.sabotage.as_mut());
        let spins = process.spins;
        if wakeup.deceived {
            // Nobody is to blame for what comes of it.
            self.touch(id);
            if let Some(settling) = &mut self.settling {
                settling.begin_anew(self.now);
            }
        }
        self.judge(id, &wakeup);
        if spins == SPINS {
            let detail = "wakes up again and again without a reason".to_owned();
            self.report(Violation { at: self.now, rule: Rule::BusyLoop, machine: Some(id), detail });
        }
        self.carry_out(id, wakeup);
        if let Some(local) = self.machines[id.0].process.as_ref().and_then(|process| process.poll_timeout()) {
            let due = self.machines[id.0].global(local).max(self.now);
            let at = due + self.draw(self.pace.wake);
            self.wake_at(id, at);
        }
    }

    pub(super) fn judge(&mut self, id: MachineId, wakeup: &Wakeup) {
        let machine = &mut self.machines[id.0];
        let local = machine.now(self.now).instant;
        let Some(process) = machine.process.as_mut() else { return };
        let Wakeup { heard, events, actions, deceived: _ } = wakeup;
        let batch = Batch { at: self.now, local, heard, events, actions };
        let broken = step::judge(id, &mut process.ledger, &batch);
        broken.into_iter().for_each(|violation| self.report(violation));
    }
}
