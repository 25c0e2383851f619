//! A daemon's process: the node, its inboxes and sockets, its kernel thread, and the driver's contract of
//! [`crate::node`] on each wake-up.

use core::cell::OnceCell;
use core::fmt;
use core::net::IpAddr;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::frame::{Glance, Origin, Packet};
use super::freshness::{Credit, Freshness, Mark};
use super::invariants::{Heard, Ledger, Pace, Standstill};
use super::table::Table;
use crate::kernel::{AddressOperation, LinkOperation, ReceiveSocket, Requester, RoutingOperation};
use crate::net::{Family, InterfaceIndex};
use crate::node::recording::{Tape, Taped};
use crate::node::{Bequest, Event, HaNode, Legacy, NodeConfig};
use crate::time::{Instant, Now, WallTime};
use crate::vrrp::{Actions, Datagram, Reservation, RouterConfig, SendObstacle, Transmission};

/// A driver or engine broken on purpose, to see that the rules notice. Stands between a node and its driver.
pub trait Sabotage: fmt::Debug {
    /// Whether the node gets to see an event.
    fn tell(&mut self, event: &Event) -> bool {
        let _ = event;
        true
    }

    /// Whether the node gets to see a message.
    fn hear(&mut self, glance: Option<Glance>) -> bool {
        let _ = glance;
        true
    }

    /// Whether the node is called when its time has come.
    fn serve(&mut self) -> bool {
        true
    }

    /// Exchanges the payload of a message for another one.
    fn read(&mut self, now: Now, packet: &Packet) -> Option<Arc<[u8]>> {
        let _ = (now, packet);
        None
    }

    /// Changes what the node wants done.
    fn act(&mut self, now: Now, actions: &mut Actions) {
        let _ = (now, actions);
    }
}

/// A message that waits in a receive socket.
#[derive(Clone, Debug)]
struct Received {
    socket: ReceiveSocket,
    link: InterfaceIndex,
    packet: Arc<Packet>,
    damaged: bool,
    arrived: WallTime,
}

/// What its kernel thread is to change.
#[derive(Clone, Debug)]
pub enum Change {
    /// An address.
    Address(Requester, AddressOperation),
    /// A route or a rule.
    Routing(Requester, RoutingOperation),
    /// An interface.
    Link(LinkOperation),
}

impl Change {
    /// The change of an address.
    pub const fn address(&self) -> Option<&AddressOperation> {
        match self {
            Self::Address(_, operation) => Some(operation),
            Self::Link(_) | Self::Routing(..) => None,
        }
    }
}

/// What a wake-up brought and what came of it.
#[derive(Clone, Debug, Default)]
pub struct Wakeup {
    /// Intact advertisements.
    pub heard: Vec<Heard>,
    /// Events.
    pub events: Vec<Event>,
    /// What the node wants done.
    pub actions: Actions,
    /// Whether a recording was among the messages that its receiver cannot tell from fresh ones, having heard nothing of
    /// the sender since.
    pub deceived: bool,
}

/// A node, and when it wants to be called, which is asked for again only when it has been told something.
#[derive(Debug)]
struct Node {
    node: Taped,
    timeout: OnceCell<Option<Instant>>,
}

impl Node {
    const fn new(node: Taped) -> Self {
        Self { node, timeout: OnceCell::new() }
    }

    /// To tell it something.
    fn tell(&mut self) -> &mut Taped {
        self.timeout.take();
        &mut self.node
    }

    fn poll_timeout(&self) -> Option<Instant> {
        *self.timeout.get_or_init(|| self.node.poll_timeout())
    }
}

/// A daemon that runs, stands still or is about to start.
#[derive(Debug)]
pub struct Process {
    node: Node,
    /// Tells its messages from those to a predecessor.
    pub generation: u64,
    /// Whether it has read the kernel's state.
    pub ready: bool,
    /// SIGSTOP: nothing of it runs since then.
    pub frozen: Option<Instant>,
    /// When it last stood still, by itself or with its machine, and went on.
    pub stood_still: Option<Standstill>,
    /// When it was told to stop.
    pub stopping: Option<Instant>,
    /// The observer's notes.
    pub ledger: Ledger,
    /// What the observer saw of authentication.
    freshness: Freshness,
    /// Stamps set aside for it.
    pub reservation: Reservation,
    /// The wake-up that is scheduled.
    pub next_wake: Option<Instant>,
    /// Changes for its kernel thread.
    pub operations: VecDeque<Change>,
    /// Whether the kernel thread is at work.
    pub working: bool,
    /// Sockets: true once open.
    pub sockets: Table<ReceiveSocket, bool>,
    /// Notifications are lost until then.
    pub deaf_until: Instant,
    /// Arrival of the last notification and reply: both channels keep their order.
    pub last_notification: Instant,
    /// See [`Process::last_notification`].
    pub last_reply: Instant,
    /// Wake-ups in a row that had no reason but an overdue timer.
    pub spins: u32,
    overrun: bool,
    /// Messages in all sockets, in the order of their arrival.
    received: Vec<Received>,
    events: VecDeque<Event>,
}

impl Process {
    /// A daemon that begins, in place of one that has been silent since then. `left`: the configurations of those that
    /// were killed before it.
    pub fn new(
        config: NodeConfig,
        generation: u64,
        silent_since: Option<Instant>,
        reservation: Reservation,
        left: &[NodeConfig],
    ) -> Self {
        let mut node = HaNode::new(config.clone());
        let mut bequest = Bequest::default();
        left.iter().for_each(|config| bequest.extend(Bequest::of(config)));
        node.inherit(bequest);
        node.reserve_stamps(reservation);
        if let Some(silent_since) = silent_since {
            node.succeed(silent_since);
        }
        Self {
            node: Node::new(Taped::new(node)),
            generation,
            ready: false,
            frozen: None,
            stood_still: None,
            stopping: None,
            ledger: Ledger::new(config, silent_since, left),
            freshness: Freshness::default(),
            reservation,
            next_wake: None,
            operations: VecDeque::new(),
            working: false,
            sockets: Table::new(),
            deaf_until: Instant::ZERO,
            last_notification: Instant::ZERO,
            last_reply: Instant::ZERO,
            spins: 0,
            overrun: false,
            received: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// The process before has left in order.
    pub fn take_up(&mut self, legacy: Legacy) {
        self.ledger.take_up(&legacy);
        self.node.tell().take_up(legacy);
    }

    /// Leaves to the next process.
    pub fn leave_to_next(&mut self, now: Now, actions: &mut Actions) -> Legacy {
        self.node.tell().leave_to_next(now, actions)
    }

    /// Puts a message into the sockets that get it. False when none does or they are full.
    pub fn receive(
        &mut self,
        now: Now,
        link: InterfaceIndex,
        packet: &Arc<Packet>,
        damaged: bool,
        pace: &Pace,
    ) -> bool {
        let mut received = false;
        for (&socket, open) in self.sockets.iter() {
            if !open || !takes(&socket, link, packet) {
                continue;
            }
            let waiting = self.received.iter().filter(|other| other.socket == socket).count();
            if waiting < pace.receive_queue {
                let (packet, arrived) = (Arc::clone(packet), now.wall);
                self.received.push(Received { socket, link, packet, damaged, arrived });
                received = true;
            }
        }
        received
    }

    /// Puts an event into the inbox. A kernel event may get lost on the way: the whole view follows then.
    pub fn tell(&mut self, now: Instant, event: Event, pace: &Pace) {
        if matches!(event, Event::Kernel(_)) {
            let waiting = self.events.iter().filter(|e| matches!(e, Event::Kernel(_))).count();
            if now < self.deaf_until || self.overrun || waiting >= pace.notification_queue {
                self.overrun = true;
                return;
            }
        }
        self.events.push_back(event);
    }

    /// The first event of all.
    pub fn begin(&mut self, view: Event) {
        self.ready = true;
        self.events.push_front(view);
    }

    /// Whether notifications were lost and can be made up for now.
    pub fn needs_view(&self, now: Instant) -> bool {
        self.overrun && now >= self.deaf_until
    }

    /// Makes up for lost notifications.
    pub fn catch_up(&mut self, view: Event) {
        self.overrun = false;
        self.events.push_back(view);
    }

    /// Whether it knows the kernel's state and listens.
    pub fn serves(&self) -> bool {
        self.ready && self.sockets.values().all(|open| *open)
    }

    /// Closes a socket; what waits in it is lost.
    pub fn close(&mut self, socket: &ReceiveSocket) {
        self.sockets.remove(socket);
        self.received.retain(|received| received.socket != *socket);
    }

    /// When the node wants to be called, on the machine's clock.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.node.poll_timeout()
    }

    /// Tells the node what became of its advertisements; gives what it wants done then.
    pub fn note_sent(
        &mut self,
        now: Now,
        sent: &[Transmission],
        failed: &BTreeMap<usize, SendObstacle>,
    ) -> Actions {
        let mut actions = Actions::default();
        self.node.tell().note_sent(now, sent, failed, &mut actions);
        actions
    }

    /// Tells the node that an announcement did not leave.
    pub fn note_unannounced(&mut self, now: Now, link: InterfaceIndex) {
        self.node.tell().note_unannounced(now, link);
    }

    /// More stamps are set aside.
    pub fn reserve(&mut self, now: Now, reservation: Reservation) {
        self.reservation = reservation;
        self.node.tell().reserve_stamps(now, reservation, &mut Actions::default());
    }

    /// Records what reaches the node from now on.
    pub fn record(&mut self, tape: Box<Tape>) {
        self.node.tell().record(Some(tape));
    }

    /// The recording is whole.
    pub fn end_recording(&mut self) {
        self.node.tell().record(None);
    }

    /// Senders that a router says have another time.
    pub fn outside_window(&self, now: Instant, router: &str) -> Vec<IpAddr> {
        let router = self.node.node.routers().find(|known| *known.config().name == *router);
        router
            .map(|router| router.outside_window(now).map(|(address, _)| address).collect())
            .unwrap_or_default()
    }

    /// The router sends this.
    pub fn note_mark(&mut self, sent: &Transmission, mark: Mark) {
        if let Some(standing) = self.ledger.routers.get(&sent.router) {
            self.freshness.note_sent(&standing.name, mark);
        }
    }

    /// Notes what is sent while a packet is handed over. Returns whether that leaves it open what its receiver made of it.
    fn note_sent_meanwhile(
        &mut self,
        sent: &[Transmission],
        packet: &Packet,
        receiver: Option<&(Arc<str>, bool)>,
    ) -> bool {
        let mut open = false;
        for sent in sent {
            let Some(mark) = Mark::within(sent.source, sent.ip.protocol, &sent.payload) else { continue };
            let name = self.ledger.routers.get(&sent.router).map(|standing| &standing.name);
            match (name, receiver) {
                (Some(name), Some((receiver, is_new))) if name == receiver => {
                    open |= self.freshness.note_sent_meanwhile(name, mark, packet, *is_new);
                }
                (Some(name), _) => self.freshness.note_sent(name, mark),
                (None, _) => {}
            }
        }
        open
    }

    /// Whether the router that a message is for may believe it. What is for none is nobody's concern.
    /// The name of that router goes with it.
    fn judge(
        &mut self,
        received: &Received,
        glance: Option<Glance>,
        wall: WallTime,
    ) -> (Credit, Option<(Arc<str>, bool)>) {
        let Some(glance) = glance else { return (Credit::Stale, None) };
        let (links, packet) = (&self.ledger.links, &received.packet);
        let concerns = |config: &&RouterConfig| {
            let by = config.interfaces.hears_by();
            config.vrid.get() == glance.vrid
                && config.version.number() == glance.version
                && config.family == Family::of(&packet.source)
                && by.is_none_or(|name| links.get(&received.link).is_some_and(|link| link.name == *name))
        };
        let Some(config) = self.ledger.config.routers.iter().find(concerns) else {
            return (Credit::Fresh, None);
        };
        let is_new = self.freshness.is_new(&config.name, packet.source);
        (self.freshness.judge(config, packet, wall), Some((Arc::clone(&config.name), is_new)))
    }

    /// One wake-up by the contract. `spurious` calls [`HaNode::handle_timeout`] with nothing due.
    pub fn wake(&mut self, now: Now, spurious: bool, mut sabotage: Option<&mut Box<dyn Sabotage>>) -> Wakeup {
        let mut wakeup = Wakeup::default();
        let Wakeup { heard, events, actions, deceived } = &mut wakeup;
        // One socket after the other.
        let mut all = core::mem::take(&mut self.received);
        all.sort_by_key(|received| received.socket);
        for received in all.drain(..) {
            let Packet { frame: _, source, destination, ip, payload, origin } = &*received.packet;
            let glance = Glance::within(ip.protocol, payload);
            let header = received.packet.ipv4_header();
            // What was sent to an address comes by the socket of a group too, and is left to the one of the address.
            let own = received.socket.address == *destination;
            let (credit, receiver) = match own && !received.damaged {
                true => self.judge(&received, glance, now.wall),
                false => (Credit::Stale, None),
            };
            *deceived |= credit != Credit::Stale && *origin == Origin::Recording;
            if let Some(glance) = glance.filter(|_| credit != Credit::Stale) {
                heard.push(Heard {
                    link: received.link,
                    source: *source,
                    destination: *destination,
                    hop_limit: ip.hop_limit,
                    glance,
                    certain: credit == Credit::Fresh,
                });
            }
            if sabotage.as_mut().is_some_and(|sabotage| !sabotage.hear(glance)) {
                continue;
            }
            let exchanged = sabotage.as_mut().and_then(|sabotage| sabotage.read(now, &received.packet));
            let datagram = Datagram {
                socket: received.socket,
                source: *source,
                destination: *destination,
                hop_limit: Some(ip.hop_limit),
                header: header.as_ref().map_or(&[], |header| header.as_slice()),
                payload: exchanged.as_deref().unwrap_or(payload),
                verdicts: None,
            };
            let before = actions.transmit.len();
            self.node.tell().handle_datagram(now.of_arrival(received.arrived), &datagram, actions);
            let receiver = receiver.as_ref().filter(|_| credit == Credit::Fresh);
            if self.note_sent_meanwhile(&actions.transmit[before..], &received.packet, receiver)
                && let Some(heard) = heard.last_mut()
            {
                heard.certain = false;
            }
        }
        self.received = all;
        for event in core::mem::take(&mut self.events) {
            if let Event::Reconfigure(config) = &event {
                self.freshness.retain(&config.routers);
            }
            events.push(event.clone());
            let seen = sabotage.as_mut().is_none_or(|sabotage| sabotage.tell(&event));
            if seen {
                self.node.tell().handle(now, event, actions);
            }
        }
        let due = self.node.poll_timeout().is_some_and(|at| at <= now.instant);
        let served = sabotage.as_mut().is_none_or(|sabotage| sabotage.serve());
        if (due || spurious) && served {
            self.node.tell().handle_timeout(now, actions);
        }
        if heard.is_empty()
            && events.is_empty()
            && self.node.poll_timeout().is_some_and(|at| at <= now.instant)
        {
            self.spins += 1;
        } else {
            self.spins = 0;
        }
        if let Some(sabotage) = sabotage.as_mut() {
            sabotage.act(now, actions);
        }
        wakeup
    }
}

/// Whether a raw socket gets a packet, as in Linux: one that has joined a group gets what is sent to the machine's
/// addresses, too.
fn takes(socket: &ReceiveSocket, link: InterfaceIndex, packet: &Packet) -> bool {
    let (address, destination) = (&socket.address, &packet.destination);
    let here = socket.link.is_none_or(|on| on == link);
    let any = is_group(address) && !is_group(destination) && address.is_ipv4() == destination.is_ipv4();
    here && socket.protocol == packet.ip.protocol && (address == destination || any)
}

/// Whether the packet is for all routers of a LAN.
pub const fn is_group(destination: &IpAddr) -> bool {
    destination.is_multicast()
}

/// The payload as sent, or with a bit inverted.
pub fn arriving(packet: &Arc<Packet>, damage: Option<u64>) -> Arc<Packet> {
    damage.map_or_else(|| Arc::clone(packet), |draw| Arc::new(packet.damaged(draw)))
}

/// Words for a socket in the timeline.
pub fn socket_text(socket: &ReceiveSocket) -> Arc<str> {
    let on =
        socket.link.map_or_else(|| "any interface".to_owned(), |link| format!("interface {}", link.get()));
    format!("{} socket of {on}", Family::of(&socket.address)).into()
}
