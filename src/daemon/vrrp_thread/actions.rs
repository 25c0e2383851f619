//! Does what the node wants, or has it done.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use tracing::Level;

use super::super::kernel_thread::Request;
use super::super::log::Entry;
use super::{Notice, VrrpThread};
use crate::kernel::{Announcement, KernelRequest, LinkOperation, ReceiveSocket, Verb};
use crate::net::InterfaceIndex;
use crate::node::HaNode;
use crate::sys::packet::{Frame, Packet};
use crate::time::Now;
use crate::vrrp::{Driver, News, SendObstacle, SocketRequest, Transmission, VirtualRouter};

/// How often in one wake-up what came of sending may lead to sending again: the proof that a router can send makes it
/// a master, and a failure makes it leave. What would come after that waits for the next wake-up.
const ROUNDS: usize = 4;

impl VrrpThread {
    /// Does what the node wants. True when the node has stopped.
    pub(super) fn act(&mut self, now: Now) -> io::Result<bool> {
        if self.actions.is_empty() {
            return Ok(false);
        }
        let mut stopped = false;
        for _ in 0..ROUNDS {
            if self.actions.is_empty() {
                break;
            }
            let mut actions = core::mem::take(&mut self.actions);
            let mut act = Act { thread: self, now, stopped };
            actions.carry_out(&mut act);
            stopped = act.stopped;
            // What came of sending may be news, or the end of a mastership.
            if self.actions.is_empty() {
                self.actions = actions;
                break;
            }
        }
        if let Some(line) = self.failures.due(now.instant) {
            self.say(now, Level::WARN, &line);
        }
        if stopped {
            // The recorder is about to end, too.
            self.channels.notices.send(Notice::Recorded(self.node.record(None)));
            self.channels.notices.send(Notice::Stopped);
        }
        Ok(stopped)
    }

    fn close(&mut self, key: ReceiveSocket) {
        let Some(token) = self.receivers.iter().find(|(_, receiver)| receiver.key() == key).map(|(t, _)| *t)
        else {
            // Asked for and not answered yet.
            self.unwanted.push(key);
            return;
        };
        if let Some(receiver) = self.receivers.remove(&token) {
            self.receive_poller.remove(&receiver.as_fd());
            self.channels.kernel.send(Request::Close(receiver));
        }
    }
}

/// The thread at work on one wake-up's actions.
struct Act<'a> {
    thread: &'a mut VrrpThread,
    now: Now,
    stopped: bool,
}

impl Driver for Act<'_> {
    fn request(&mut self, request: KernelRequest) {
        let thread = &mut *self.thread;
        if let (Some(record), Some(request)) = (thread.monitor.record(), request.addresses()) {
            let added = request.operations.iter().filter(|o| o.verb == Verb::Add);
            added.for_each(|operation| record.note_asked((operation.link, operation.spec.prefix)));
        }
        thread.channels.loan.lend();
        thread.channels.kernel.send(Request::Change(request));
    }

    fn transmit(&mut self, transmissions: &[Transmission]) {
        let packets: Vec<Packet<'_>> = transmissions.iter().map(packet).collect();
        let VrrpThread { node, failures, sender, actions, .. } = &mut *self.thread;
        let mut failed = BTreeMap::new();
        sender.send(&packets, |position, error| {
            failures.count();
            failed.insert(position, SendObstacle { errno: error.raw_os_error().unwrap_or_default() });
        });
        node.note_sent(self.now, transmissions, &failed, actions);
    }

    fn announce(&mut self, announcements: &[Announcement]) {
        let frames: Vec<Frame> = announcements.iter().map(Frame::announcement).collect();
        let VrrpThread { failures, announcer, node, .. } = &mut *self.thread;
        let mut failed = BTreeSet::new();
        announcer.send(&frames, |position, error| {
            let what = || announcements.get(position).map_or_else(String::new, |of| words(node, of));
            failures.note(what, &error);
            failed.extend(announcements.get(position).map(|of| of.link));
        });
        failed.into_iter().for_each(|link| node.note_unannounced(self.now, link));
    }

    fn links(&mut self, operations: Vec<LinkOperation>) {
        if let Some(count) = &mut self.thread.starting {
            *count += 1;
        }
        self.thread.channels.kernel.send(Request::Links(operations));
    }

    fn promote(&mut self, link: InterfaceIndex) {
        self.thread.channels.kernel.send(Request::Promote(link));
    }

    fn socket(&mut self, request: SocketRequest) {
        match request {
            SocketRequest::Open(key) => {
                if let Some(count) = &mut self.thread.starting {
                    *count += 1;
                }
                self.thread.channels.kernel.send(Request::Open(key));
            }
            SocketRequest::Close(key) => self.thread.close(key),
        }
    }

    fn run_script(&mut self, name: Arc<str>) {
        self.thread.channels.notices.send(Notice::RunScript(name));
    }

    fn news(&mut self, news: News) {
        self.thread.channels.notices.send(Notice::News(self.now.wall, news.clone()));
        let entry = match news {
            News::Transition(transition) => {
                self.thread.channels.tally.note(transition.from, transition.to);
                Entry::Transition(transition)
            }
            News::GroupTransition(transition) => Entry::GroupTransition(transition),
            // Of a rival a report tells, too.
            News::LowerPriorityReceived { .. } => return,
            News::Report(report) => Entry::Report(report),
        };
        self.thread.channels.log.entry(self.now.wall, entry);
    }

    fn stopped(&mut self) {
        self.stopped = true;
    }
}

/// `(VI_1) 192.0.2.51 on eth0`.
fn words(node: &HaNode, announcement: &Announcement) -> String {
    let Announcement { link, address, .. } = announcement;
    let holds = |router: &&VirtualRouter| {
        router.address_keys().any(|(key, prefix)| key == *link && prefix.address() == *address)
    };
    let router = node.routers().find(holds).map_or("?", |router| &router.config().name);
    let interface = node.kernel().link(*link).map_or("?", |link| link.name.as_str());
    format!("({router}) {address} on {interface}")
}

pub(in crate::daemon) fn packet(transmission: &Transmission) -> Packet<'_> {
    Packet {
        link: transmission.link,
        source: transmission.source,
        destination: transmission.destination,
        ip: transmission.ip,
        payload: &transmission.payload,
    }
}
