//! Does what the node wants, or has it done.

use std::io;
use std::os::fd::AsFd;

use super::super::kernel_thread::Request;
use super::super::log::Entry;
use super::{Notice, VrrpThread};
use crate::kernel::{AddressRequest, AddressVerb, Announcement, Link, ReceiveSocket};
use crate::sys::packet::{Frame, Packet};
use crate::sys::syslog::Severity;
use crate::time::Now;
use crate::vrrp::{Driver, News, SocketRequest, Transmission};

impl VrrpThread {
    /// Does what the node wants. True when the node has stopped.
    pub(super) fn act(&mut self, now: Now) -> io::Result<bool> {
        if self.actions.is_empty() {
            return Ok(false);
        }
        let mut actions = core::mem::take(&mut self.actions);
        let mut act = Act { thread: self, now, stopped: false };
        actions.carry_out(&mut act);
        let stopped = act.stopped;
        self.actions = actions;
        if let Some(line) = self.failures.due(now.instant) {
            self.say(now, Severity::Warning, &line);
        }
        if stopped {
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
    fn request(&mut self, request: AddressRequest) {
        let thread = &mut *self.thread;
        if let Some(record) = thread.monitor.record() {
            let added = request.operations.iter().filter(|o| o.verb == AddressVerb::Add);
            record.extend(added.map(|operation| (operation.link, operation.spec.prefix)));
        }
        thread.channels.loan.lend();
        thread.channels.kernel.send(Request::Addresses(request));
    }

    fn transmit(&mut self, transmissions: &[Transmission]) {
        let packets: Vec<Packet<'_>> = transmissions.iter().map(packet).collect();
        let VrrpThread { node, failures, sender, .. } = &mut *self.thread;
        sender.send(&packets, |position, error| {
            let Some(transmission) = transmissions.get(position) else { return };
            node.count_send_failure(transmission.router);
            // Nobody wonders about a packet that does not leave through a pulled cable.
            if !node.kernel().link(transmission.link).is_some_and(Link::usable) {
                return;
            }
            let name = node.router(transmission.router).map_or("", |router| &router.config().name);
            failures.note("advertisement", name, &error);
        });
    }

    fn announce(&mut self, announcements: &[Announcement]) {
        let frames: Vec<Frame> = announcements.iter().map(Frame::announcement).collect();
        let VrrpThread { failures, announcer, .. } = &mut *self.thread;
        announcer.send(&frames, |_, error| failures.note("announcement", "", &error));
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

    fn news(&mut self, news: News) {
        let entry = match news {
            News::Transition(transition) => Entry::Transition(transition),
            News::Report(report) => Entry::Report(report),
        };
        self.thread.channels.log.entry(self.now.wall, entry);
    }

    fn stopped(&mut self) {
        self.stopped = true;
    }
}

fn packet(transmission: &Transmission) -> Packet<'_> {
    Packet {
        link: transmission.link,
        source: transmission.source,
        destination: transmission.destination,
        hop_limit: transmission.hop_limit,
        payload: &transmission.payload,
    }
}
