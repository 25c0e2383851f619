//! The thread that may never wait: it runs the virtual routers.
//!
//! Each wake-up in this order: messages from the LAN, changes in the kernel, messages of other threads, timers;
//! then what follows from them, advertisements first. No file, log, name service, fork, lock or call that
//! takes the kernel's big network lock happens here: all that is asked of other threads through queues.

mod actions;
mod message;

pub(super) use self::actions::packet;
pub(super) use self::message::{Before, Channels, LateLimit, Message, Notice, SwitchedOver};

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use tracing::Level;

use super::kernel_thread::{Request, view_failed};
use super::log::Entry;
use super::receive_pace::{Change, ReceivePace};
use super::send_failures::SendFailures;
use super::watchdog::Pulse;
use crate::kernel::{KernelError, KernelEvent, KernelView, ReceiveSocket, SocketEvent};
use crate::node::recording::{Tape, Taped};
use crate::node::{Changes, Event, HaNode, Legacy, NodeConfig, StaticConfig};
use crate::status::{Lateness, Snapshot};
use crate::sys::clock::{self, Alarm};
use crate::sys::netlink::{Followed, Interest, Monitor};
use crate::sys::packet::{Announcer, ReceiveBatch, Receiver, Sender};
use crate::sys::poll::Poller;
use crate::time::{Duration, Now};
use crate::vrrp::{Actions, Datagram, VirtualRouter};

/// Batches taken from one receive socket in one wake-up: 4096 packets, two seconds of the busiest LAN. All
/// that waits must be read before a timer is served, or a delay of ours would look like a dead master.
const RECEIVE_BATCHES: usize = 128;

/// Notifications taken from the kernel in one wake-up.
const MONITOR_DATAGRAMS: usize = 1024;

const ALARM: u64 = 0;
const MONITOR: u64 = 1;
const INBOX: u64 = 2;
const RECEIVERS: u64 = 3;
const PULSE: u64 = 4;

/// The thread's state.
#[derive(Debug)]
pub(super) struct VrrpThread {
    node: Taped,
    channels: Channels,
    poller: Poller,
    /// The receive sockets; part of `poller` except while they are left alone.
    receive_poller: Poller,
    pace: ReceivePace,
    alarm: Alarm,
    monitor: Monitor,
    sender: Sender,
    announcer: Announcer,
    receivers: BTreeMap<u64, Receiver>,
    next_receiver: u64,
    /// Closed by the node before they were open.
    unwanted: Vec<ReceiveSocket>,
    /// Changes in the kernel that came after something was lost, kept until the whole state was read again.
    held_back: Option<Vec<KernelEvent>>,
    /// Receive sockets and interfaces asked for and not answered yet, until all are for the first time.
    starting: Option<usize>,
    /// Requests for interfaces answered in this wake-up.
    answered: usize,
    /// What the configurations changed that were taken in this wake-up.
    reconfigured: Vec<Changes>,
    actions: Actions,
    failures: SendFailures,
    report_addresses: bool,
    lateness: Lateness,
    /// Where the supervisor asks whether this thread goes on.
    pulse: Option<Pulse>,
    /// It is about to leave to the next process.
    legacy: Option<Legacy>,
}

impl VrrpThread {
    /// Opens what the thread needs, in the calling thread's network namespace. `report_addresses` logs every
    /// change of an address of the host.
    pub(super) fn new(
        monitor: Monitor,
        channels: Channels,
        report_addresses: bool,
        pulse: Option<Pulse>,
    ) -> io::Result<Self> {
        let poller = Poller::new()?;
        let alarm = Alarm::new()?;
        poller.add(&alarm, ALARM)?;
        poller.add(&monitor, MONITOR)?;
        poller.add(&channels.inbox, INBOX)?;
        if let Some(pulse) = &pulse {
            pulse.watch(&poller, PULSE)?;
        }
        let receive_poller = Poller::new()?;
        poller.add(&receive_poller, RECEIVERS)?;
        Ok(Self {
            node: Taped::new(HaNode::new(NodeConfig::default())),
            channels,
            poller,
            receive_poller,
            pace: ReceivePace::default(),
            alarm,
            monitor,
            sender: Sender::open()?,
            announcer: Announcer::open()?,
            receivers: BTreeMap::new(),
            next_receiver: 0,
            unwanted: Vec::new(),
            held_back: None,
            starting: Some(0),
            answered: 0,
            reconfigured: Vec::new(),
            actions: Actions::default(),
            failures: SendFailures::default(),
            report_addresses,
            lateness: Lateness::default(),
            pulse,
            legacy: None,
        })
    }

    /// Runs `config` from the kernel's state `view` on, until all routers have left.
    pub(super) fn run(
        mut self,
        config: NodeConfig,
        before: Before,
        view: KernelView,
        tape: Option<Box<Tape>>,
    ) {
        // The memory that other threads allocated is theirs to reuse.
        let mut node = HaNode::new(config.detached());
        drop(config);
        node.inherit(before.bequest);
        node.start_switched_over(before.switched_over);
        if let Some(silent_since) = before.silent_since {
            node.succeed(silent_since);
        }
        if let Some(legacy) = before.legacy {
            node.take_up(legacy);
        }
        if let Some(reservation) = before.reservation {
            node.reserve_stamps(reservation);
        }
        if let Some(until) = before.maintenance {
            node.start_under_maintenance(until);
        }
        self.node = Taped::new(node);
        self.node.record(tape);
        if let Err(error) = self.serve(view) {
            self.channels.notices.send(Notice::Failed(format!("the vrrp thread cannot go on: {error}")));
        }
    }

    fn serve(&mut self, view: KernelView) -> io::Result<()> {
        let now = clock::now();
        self.start_from(&view);
        self.node.handle(now, Event::Kernel(KernelEvent::View(view)), &mut self.actions);
        if self.act(now)? {
            return Ok(());
        }
        self.announce_readiness();
        let mut before = now.instant;
        let mut batch = ReceiveBatch::default();
        loop {
            let deadline = self.node.poll_timeout();
            self.alarm.arm(deadline)?;
            let (mut alarm, mut monitor, mut inbox, mut received, mut asked) =
                (false, false, false, false, false);
            for token in self.poller.wait(self.pace.pause())? {
                match token {
                    ALARM => alarm = true,
                    MONITOR => monitor = true,
                    INBOX => inbox = true,
                    PULSE => asked = true,
                    _ => received = true,
                }
            }
            let now = clock::now();
            if alarm {
                self.alarm.fired();
            }
            // A time that had passed already says nothing of the timer.
            if let Some(deadline) = deadline.filter(|deadline| *deadline > before && *deadline <= now.instant)
            {
                let late = now.instant.saturating_since(deadline);
                self.lateness.note(late);
                if self.channels.late.is_exceeded(late) {
                    self.channels.notices.send(Notice::Late(late));
                }
            }
            // Before a timer is served, all that has arrived must be known. It may be due without the alarm: the
            // process can stand still between its wake-up and the reading of the clock.
            let due = self.node.poll_timeout().is_some_and(|deadline| deadline <= now.instant);
            if received || due || self.pace.pause().is_some() {
                self.receive_all(now, &mut batch)?;
            }
            // Taken before the kernel is followed: what an answer speaks of has been notified by then.
            let messages = if inbox { self.take_messages() } else { Vec::new() };
            if monitor || !messages.is_empty() {
                self.follow_kernel(now)?;
            }
            for message in messages {
                self.take(now, message)?;
            }
            if let Some(deadline) = self.node.poll_timeout()
                && deadline <= now.instant
            {
                self.node.handle_timeout(now, &mut self.actions);
            }
            let stopped = self.act(now)?;
            for changes in self.reconfigured.drain(..) {
                self.channels.notices.send(Notice::Reconfigured(changes));
            }
            if stopped {
                return Ok(());
            }
            if let Some(legacy) = self.legacy.take() {
                self.channels.notices.send(Notice::Left(legacy));
                return Ok(());
            }
            for _ in 0..core::mem::take(&mut self.answered) {
                self.one_answered();
            }
            if let Some(retired) = self.node.take_retired() {
                self.channels.notices.send(Notice::Retired(retired));
            }
            if asked && let Some(pulse) = &self.pulse {
                pulse.answer();
            }
            before = now.instant;
        }
    }

    fn receive_all(&mut self, now: Now, batch: &mut ReceiveBatch) -> io::Result<()> {
        let Self { receive_poller, receivers, node, actions, .. } = self;
        let mut packets = 0;
        for token in receive_poller.wait(Some(Duration::ZERO))? {
            if let Some(receiver) = receivers.get(&token) {
                packets += receive(now, receiver, batch, node, actions);
            }
        }
        match self.pace.note(now.instant, packets) {
            Some(Change::LeaveAlone) => self.poller.remove(&self.receive_poller),
            Some(Change::Watch) => self.poller.add(&self.receive_poller, RECEIVERS)?,
            None => {}
        }
        Ok(())
    }

    fn take_messages(&self) -> Vec<Message> {
        self.channels.inbox.acknowledge();
        std::iter::from_fn(|| self.channels.inbox.take()).collect()
    }

    fn follow_kernel(&mut self, now: Now) -> io::Result<()> {
        let mut events = Vec::new();
        let followed = self.monitor.drain(MONITOR_DATAGRAMS, &mut events).map_err(|error| to_io(&error))?;
        self.forget_struck_out();
        if self.report_addresses {
            events.iter().for_each(|event| self.report_address(now, event));
        }
        match &mut self.held_back {
            Some(held_back) => held_back.extend(events),
            None => {
                for event in events {
                    self.node.handle(now, Event::Kernel(event), &mut self.actions);
                }
            }
        }
        if followed == Followed::Lost {
            // What comes from here on may be older or newer than the view: it is applied after it.
            self.say(now, Level::WARN, "the kernel dropped notifications: reading its whole state again");
            self.held_back = Some(Vec::new());
            self.request_view();
        }
        Ok(())
    }

    /// `-a`, in keepalived's words.
    fn report_address(&self, now: Now, event: &KernelEvent) {
        let (verb, link, prefix) = match event {
            KernelEvent::AddressPresent(held) => ("added to", held.link, held.prefix),
            KernelEvent::AddressGone { link, prefix } => ("removed from", *link, *prefix),
            _ => return,
        };
        let name = self.node.kernel().link(link).map_or("unknown", |link| link.name.as_str());
        let text = format!("Netlink reflector reports IP {} {verb} {name}", prefix.address());
        self.say(now, Level::INFO, &text);
    }

    fn request_view(&mut self) {
        let (ownership, interest) = (self.monitor.ownership().clone(), self.monitor.interest().clone());
        self.channels.kernel.send(Request::View(ownership, interest));
    }

    fn start_from(&mut self, view: &KernelView) {
        self.monitor.start_from(view);
        self.forget_struck_out();
    }

    /// What is off the record goes off its file too.
    fn forget_struck_out(&mut self) {
        let struck_out = self.monitor.take_struck_out();
        if !struck_out.is_empty() {
            self.channels.kernel.send(Request::Forget(struck_out));
        }
    }

    fn take(&mut self, now: Now, message: Message) -> io::Result<()> {
        let event = match message {
            Message::View(Ok(view)) => {
                self.start_from(&view);
                self.node.handle(now, Event::Kernel(KernelEvent::View(view)), &mut self.actions);
                for event in self.held_back.take().unwrap_or_default() {
                    self.node.handle(now, Event::Kernel(event), &mut self.actions);
                }
                return Ok(());
            }
            Message::View(Err(error)) => {
                self.say(now, Level::ERROR, &view_failed(&error));
                self.request_view();
                return Ok(());
            }
            Message::Addresses(reply) => {
                if let Some(record) = self.monitor.record() {
                    reply.outcomes.iter().for_each(|outcome| record.note_answered(outcome));
                }
                Event::Addresses(reply)
            }
            Message::Routing(reply) => Event::Routing(reply),
            Message::Links(outcomes) => {
                // Counted once what listens on them has been asked for.
                self.answered += 1;
                Event::Links(outcomes)
            }
            Message::Opened(receiver) => {
                let key = receiver.key();
                if self.no_longer_wanted(key) {
                    self.channels.kernel.send(Request::Close(receiver));
                    return Ok(());
                }
                let token = self.next_receiver;
                self.next_receiver += 1;
                self.receive_poller.add(&receiver.as_fd(), token)?;
                self.receivers.insert(token, receiver);
                self.one_answered();
                Event::Socket(SocketEvent::Opened(key))
            }
            Message::Refused(key, error) => {
                if self.no_longer_wanted(key) {
                    return Ok(());
                }
                self.one_answered();
                Event::Socket(SocketEvent::Failed(key, error))
            }
            Message::Reconfigure(config) => {
                // What is to go is followed until it is gone, and longer.
                let interest = interest(&config).and(self.monitor.interest());
                self.monitor.follow(interest).map_err(|error| to_io(&error))?;
                let changes = self.node.reconfigure(now, config, &mut self.actions);
                self.reconfigured.push(changes);
                return Ok(());
            }
            Message::Script { name, end, ending } => Event::Script { name, end, ending },
            Message::File { name, reading } => Event::File { name, reading },
            Message::Processes { name, count } => Event::Processes { name, count },
            Message::Carrier { interface, carrier } => Event::Carrier { interface, carrier },
            Message::SwitchedOver => {
                let routers = self.node.routers();
                let held = routers.filter(|router| router.has_yielded());
                let held = held.map(|router| (Arc::clone(&router.config().name), router.yields_until()));
                let held = held.collect();
                let under_way = self.node.routers().any(VirtualRouter::is_switching_over);
                self.channels.notices.send(Notice::SwitchedOver(SwitchedOver { held, under_way }));
                return Ok(());
            }
            Message::SwitchOver(order) => {
                let answers = self.node.order_switch_over(now, &order, &mut self.actions);
                self.channels.notices.send(Notice::HandsOver(answers));
                return Ok(());
            }
            Message::SwitchBack(whom) => {
                let answers = self.node.take_back(now, &whom, &mut self.actions);
                self.channels.notices.send(Notice::TakesBack(answers));
                return Ok(());
            }
            Message::Maintain(span) => {
                let answers = self.node.maintain(now, span, &mut self.actions);
                self.channels.notices.send(Notice::HandsOver(answers));
                return Ok(());
            }
            Message::Record(tape) => {
                let before = self.node.record(tape);
                self.channels.notices.send(Notice::Recorded(before));
                return Ok(());
            }
            Message::EndMaintenance => Event::EndMaintenance,
            Message::Leave => {
                self.legacy = Some(self.node.leave_to_next(now, &mut self.actions));
                return Ok(());
            }
            Message::Stop => Event::Stop,
            Message::Snapshot => {
                let snapshot = Snapshot::of(now.instant, &self.node, &self.lateness, self.failures.total());
                self.channels.notices.send(Notice::Snapshot(Box::new(snapshot)));
                return Ok(());
            }
            Message::Reserved(reservation) => {
                self.node.reserve_stamps(now, reservation, &mut self.actions);
                return Ok(());
            }
            Message::ClearCounters => {
                self.node.clear_counters(now, &mut self.actions);
                return Ok(());
            }
        };
        self.node.handle(now, event, &mut self.actions);
        Ok(())
    }

    /// Whether the node has closed this socket before it was opened.
    fn no_longer_wanted(&mut self, key: ReceiveSocket) -> bool {
        let Some(position) = self.unwanted.iter().position(|unwanted| *unwanted == key) else { return false };
        self.unwanted.swap_remove(position);
        self.one_answered();
        true
    }

    fn one_answered(&mut self) {
        if let Some(count) = &mut self.starting {
            *count = count.saturating_sub(1);
        }
        self.announce_readiness();
    }

    fn announce_readiness(&mut self) {
        if self.starting == Some(0) {
            self.starting = None;
            self.channels.notices.send(Notice::Ready);
        }
    }

    fn say(&self, now: Now, level: Level, text: &str) {
        self.channels.log.entry(now.wall, Entry::Text(level, text.to_owned()));
    }
}

/// Hands over what waits on one socket, and gives the number of packets.
fn receive(
    now: Now,
    receiver: &Receiver,
    batch: &mut ReceiveBatch,
    node: &mut Taped,
    actions: &mut Actions,
) -> usize {
    let socket = receiver.key();
    let mut packets = 0;
    for _ in 0..RECEIVE_BATCHES {
        // An error is the interface's, said once (ENETDOWN); the monitor tells what happened to it.
        let received = batch.receive(receiver, |packet| {
            let now = packet.arrived.map_or(now, |arrived| now.of_arrival(arrived));
            let datagram = Datagram {
                socket,
                source: packet.source,
                destination: packet.destination,
                hop_limit: packet.hop_limit,
                header: packet.header,
                payload: packet.payload,
                verdicts: None,
            };
            node.handle_datagram(now, &datagram, actions);
        });
        let Ok(count) = received else { break };
        packets += count;
        if count < ReceiveBatch::CAPACITY {
            break;
        }
    }
    packets
}

/// What of routes and rules a configuration is interested in.
pub(in crate::daemon) fn interest(config: &NodeConfig) -> Interest {
    let routers = &config.routers;
    let routes = routers.iter().flat_map(|router| router.routes.iter().map(|line| &line.route));
    let rules = routers.iter().flat_map(|router| router.rules.iter().map(|line| &line.rule));
    let StaticConfig { routes: static_routes, rules: static_rules, .. } = &*config.statics;
    let routes = routes.chain(static_routes.iter().map(|item| &item.route));
    let rules = rules.chain(static_rules.iter().map(|item| &item.rule));
    Interest::new(routes, rules)
}

fn to_io(error: &KernelError) -> io::Error {
    io::Error::other(error.to_string())
}
