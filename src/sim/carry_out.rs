//! What a daemon wants done, done to the LAN: the driver of the simulator.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cluster::{Cluster, Happening};
use super::frame::{Frame, Glance, Origin, Packet};
use super::freshness::Mark;
use super::invariants::{Rule, Violation};
use super::machine::MachineId;
use super::network::PortId;
use super::process::{Change, Wakeup, is_group};
use super::timeline::EntryKind;
use crate::kernel::{AddressRequest, Announcement, KernelRequest, LinkOperation, RoutingRequest, ScriptEnd};
use crate::net::{InterfaceIndex, MacAddress};
use crate::node::Event;
use crate::vrrp::{Actions, AntiReplay, Driver, News, SendObstacle, SocketRequest, Transmission};

impl Cluster {
    pub(super) fn carry_out(&mut self, id: MachineId, mut wakeup: Wakeup) {
        for event in &wakeup.events {
            if let Event::Reconfigure(config) = event {
                self.learn(id, config);
                self.changed = true;
            }
        }
        let mut carry_out = CarryOut { cluster: self, id, follow_up: Actions::default() };
        wakeup.actions.carry_out(&mut carry_out);
        let follow_up = carry_out.follow_up;
        if !follow_up.is_empty() {
            let wakeup = Wakeup { actions: follow_up, ..Wakeup::default() };
            self.judge(id, &wakeup);
            self.carry_out(id, wakeup);
        }
    }

    /// Whether it left.
    pub(super) fn announce(&mut self, id: MachineId, announcement: &Announcement) -> bool {
        let Some(port) = self.usable_port(id, announcement.link) else { return false };
        let (address, mac) = (announcement.address, announcement.mac);
        self.machines[id.0].sent.announcements += 1;
        self.carry(port, None, &Frame::Announcement { address, mac, port });
        true
    }

    fn usable_port(&self, id: MachineId, link: InterfaceIndex) -> Option<PortId> {
        let kernel = &self.machines[id.0].kernel;
        kernel.link(link).filter(|link| link.usable())?;
        kernel.port(link)
    }

    /// Gives the kernel's refusal.
    fn transmit(&mut self, id: MachineId, sent: &Transmission) -> Option<SendObstacle> {
        self.judge_mark(id, sent);
        let size = u32::try_from(sent.payload.len()).unwrap_or(u32::MAX).saturating_add(IPV4_HEADER);
        let kernel = &self.machines[id.0].kernel;
        let way = sent.link.or_else(|| kernel.way_to(&sent.destination));
        let obstacle = match way.and_then(|way| kernel.link(way)) {
            _ if way.is_none() => Some(SendObstacle { errno: ENETUNREACH }),
            Some(link) if link.admin_up && self.machines[id.0].sending_forbidden => {
                Some(SendObstacle { errno: EPERM })
            }
            Some(link) if link.admin_up && (size <= link.mtu || sent.source.is_ipv6()) => None,
            Some(link) if link.admin_up => Some(SendObstacle { errno: EMSGSIZE }),
            _ => Some(SendObstacle { errno: ENETDOWN }),
        };
        let port = way.and_then(|way| self.usable_port(id, way));
        let Some(port) = port.filter(|_| obstacle.is_none()) else {
            if let Some(process) = self.machines[id.0].process.as_mut() {
                process.ledger.note_unsent(sent.router, self.now);
            }
            return obstacle;
        };
        self.machines[id.0].sent.advertisements += 1;
        let mac = way.and_then(|way| self.machines[id.0].kernel.link(way)).and_then(|link| link.mac);
        self.put_on_wire(id, port, mac, sent);
        None
    }

    /// What grows from one advertisement to the next must not go back, also over a restart.
    fn judge_mark(&mut self, id: MachineId, sent: &Transmission) {
        let Transmission { source, destination, ip, ref payload, .. } = *sent;
        let Some(mark) = Mark::within(source, ip.protocol, payload) else { return };
        let machine = &mut self.machines[id.0];
        let Some(process) = machine.process.as_mut() else { return };
        process.note_mark(sent, mark);
        let name = process.ledger.routers.get(&sent.router).map(|standing| &standing.name);
        let Some(config) = name.and_then(|name| process.ledger.router_config(name)) else { return };
        let monotonic = config.hmac.as_ref().is_some_and(|hmac| hmac.anti_replay == AntiReplay::Monotonic);
        if !monotonic && !matches!(mark, Mark::Sequence(_)) {
            return;
        }
        // Sequence numbers go on from those heard, which a successor may not have heard yet.
        let generation = if monotonic { 0 } else { process.generation };
        let key = (Arc::clone(&config.name), destination, generation);
        let before = machine.marks.insert(key, mark);
        if let Some(before) = before.filter(|before| !mark.is_after(*before)) {
            let detail = format!("sent {mark:?} after {before:?}");
            self.report(Violation { at: self.now, rule: Rule::StampGoesBack, machine: Some(id), detail });
        }
    }

    fn put_on_wire(&mut self, id: MachineId, port: PortId, mac: Option<MacAddress>, sent: &Transmission) {
        if let Some(glance) =
            Glance::within(sent.ip.protocol, &sent.payload).filter(|glance| glance.priority == 0)
        {
            self.record(EntryKind::Advertisement, id, glance);
        }
        let only = if is_group(&sent.destination) {
            None
        } else {
            let segment = self.network.segment(port);
            let here = self.holder(segment, &sent.destination).filter(|holder| *holder != port);
            match here.or_else(|| self.gateway.get(segment.0 as usize).copied()) {
                Some(to) => Some(to),
                None => return,
            }
        };
        let packet = Packet {
            frame: mac.map(|mac| (mac, port)),
            source: sent.source,
            destination: sent.destination,
            ip: sent.ip,
            payload: sent.payload.clone(),
            origin: Origin::Router,
        };
        self.carry(port, only, &Frame::Advertisement(Arc::new(packet)));
    }
}

/// Bytes of an IPv4 header without options.
const IPV4_HEADER: u32 = 20;
/// The kernel's error numbers: a packet filter, a packet larger than the MTU, an interface that is down, no route.
const EPERM: i32 = 1;
const EMSGSIZE: i32 = 90;
const ENETDOWN: i32 = 100;
const ENETUNREACH: i32 = 101;

/// A machine's daemon at work on one wake-up's actions.
struct CarryOut<'a> {
    cluster: &'a mut Cluster,
    id: MachineId,
    /// What the node wants done when it knows what became of its advertisements.
    follow_up: Actions,
}

impl Driver for CarryOut<'_> {
    fn request(&mut self, request: KernelRequest) {
        let Some(process) = self.cluster.machines[self.id.0].process.as_mut() else { return };
        match request {
            KernelRequest::Addresses(AddressRequest { requester, operations }) => {
                let changes = operations.into_iter().map(|operation| Change::Address(requester, operation));
                process.operations.extend(changes);
            }
            KernelRequest::Routing(RoutingRequest { requester, operations }) => {
                let changes = operations.into_iter().map(|operation| Change::Routing(requester, operation));
                process.operations.extend(changes);
            }
        }
        self.cluster.work_soon(self.id);
    }

    fn links(&mut self, operations: Vec<LinkOperation>) {
        let Some(process) = self.cluster.machines[self.id.0].process.as_mut() else { return };
        process.operations.extend(operations.into_iter().map(Change::Link));
        self.cluster.work_soon(self.id);
    }

    fn transmit(&mut self, transmissions: &[Transmission]) {
        let refused = |(position, sent)| Some((position, self.cluster.transmit(self.id, sent)?));
        let failed: BTreeMap<usize, SendObstacle> =
            transmissions.iter().enumerate().filter_map(refused).collect();
        let now = self.cluster.machines[self.id.0].now(self.cluster.now);
        if let Some(process) = self.cluster.machines[self.id.0].process.as_mut() {
            self.follow_up = process.note_sent(now, transmissions, &failed);
        }
    }

    fn announce(&mut self, announcements: &[Announcement]) {
        for announcement in announcements {
            if !self.cluster.announce(self.id, announcement) {
                let now = self.cluster.machines[self.id.0].now(self.cluster.now);
                if let Some(process) = self.cluster.machines[self.id.0].process.as_mut() {
                    process.note_unannounced(now, announcement.link);
                }
            }
        }
    }

    fn promote(&mut self, _: InterfaceIndex) {
        self.cluster.machines[self.id.0].kernel.promote_secondaries();
    }

    fn socket(&mut self, request: SocketRequest) {
        let Self { cluster, id, .. } = self;
        let id = *id;
        let Some(process) = cluster.machines[id.0].process.as_mut() else { return };
        match request {
            SocketRequest::Open(socket) => {
                process.sockets.insert(socket, false);
                let generation = process.generation;
                let at = cluster.now + cluster.draw(cluster.pace.socket);
                cluster.schedule(at, Happening::Open { machine: id, generation, socket });
            }
            SocketRequest::Close(socket) => process.close(&socket),
        }
    }

    fn run_script(&mut self, name: Arc<str>) {
        let fails = self.cluster.machines[self.id.0].failing_scripts.contains(&name);
        let end = if fails { ScriptEnd::Failure } else { ScriptEnd::Success };
        self.cluster.tell_soon(self.id, Event::Script { name, end, ending: "ended".to_owned() });
    }

    fn news(&mut self, news: News) {
        match news {
            News::Transition(t) => {
                let text = format_args!("({}) {} -> {}: {} [{}]", t.name, t.from, t.to, t.cause, t.priority);
                self.cluster.record(EntryKind::Transition, self.id, text);
                self.cluster.changed = true;
            }
            News::GroupTransition(t) => {
                let text = format_args!("group {}: {} -> {}: {}", t.name, t.from, t.to, t.cause);
                self.cluster.record(EntryKind::Transition, self.id, text);
            }
            // Of a rival a report tells, too.
            News::LowerPriorityReceived { .. } => {}
            News::Report(report) => {
                let text = format_args!("({}) {}", report.router, report.kind);
                self.cluster.record(EntryKind::Report, self.id, text);
            }
        }
    }

    fn stopped(&mut self) {
        self.cluster.daemon_ended(self.id);
    }
}
