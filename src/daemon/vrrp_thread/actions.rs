//! Does what the node wants, or has it done.

use std::io;
use std::os::fd::AsFd;

use super::super::kernel_thread::Request;
use super::super::log::Entry;
use super::{Notice, VrrpThread};
use crate::kernel::{AddressVerb, Link, ReceiveSocket};
use crate::sys::packet::{Frame, Packet};
use crate::sys::syslog::Severity;
use crate::time::Now;
use crate::vrrp::Action;

/// Room for actions that is kept from one wake-up to the next.
const ACTIONS_KEPT: usize = 256;

impl VrrpThread {
    /// Does what the node wants. True when the node has stopped.
    ///
    /// The kernel thread is woken first: that takes as long as an advertisement, which leaves meanwhile, and
    /// both go before all announcements.
    pub(super) fn act(&mut self, now: Now) -> io::Result<bool> {
        if self.actions.is_empty() {
            return Ok(false);
        }
        let mut actions = core::mem::take(&mut self.actions);
        self.request_addresses(&mut actions);
        self.transmit(&actions);
        let (mut frames, mut rest) = (Vec::new(), Vec::new());
        for action in actions.drain(..) {
            match action {
                Action::Transmit(_) => {}
                Action::Announce(announcement) => frames.push(Frame::announcement(&announcement)),
                other => rest.push(other),
            }
        }
        // The many of a start or of a takeover are not to be paid for ever after.
        actions.shrink_to(ACTIONS_KEPT);
        self.actions = actions;
        if !frames.is_empty() {
            let failures = &mut self.failures;
            self.announcer.send(&frames, |_, error| failures.note("announcement", "", &error));
        }
        let mut stopped = false;
        for action in rest {
            match action {
                Action::OpenSocket(key) => {
                    if let Some(count) = &mut self.starting {
                        *count += 1;
                    }
                    self.channels.kernel.send(Request::Open(key));
                }
                Action::CloseSocket(key) => self.close(key),
                Action::Transition(transition) => {
                    self.channels.log.entry(now.wall, Entry::Transition(transition));
                }
                Action::Report(report) => self.channels.log.entry(now.wall, Entry::Report(report)),
                Action::Stopped => stopped = true,
                Action::Transmit(_) | Action::Announce(_) | Action::Addresses(_) => {}
            }
        }
        if let Some(line) = self.failures.due(now.instant) {
            self.say(now, Severity::Warning, &line);
        }
        if stopped {
            self.channels.notices.send(Notice::Stopped);
        }
        Ok(stopped)
    }

    /// Hands the address requests among the actions to the kernel thread.
    fn request_addresses(&mut self, actions: &mut Vec<Action>) {
        for action in actions.extract_if(.., |action| matches!(action, Action::Addresses(_))) {
            let Action::Addresses(request) = action else { continue };
            if let Some(record) = self.monitor.record() {
                let added = request.operations.iter().filter(|o| o.verb == AddressVerb::Add);
                record.extend(added.map(|operation| (operation.link, operation.spec.prefix)));
            }
            self.channels.loan.lend();
            self.channels.kernel.send(Request::Addresses(request));
        }
    }

    fn transmit(&mut self, actions: &[Action]) {
        let transmissions = || {
            actions.iter().filter_map(|action| match action {
                Action::Transmit(transmission) => Some(transmission),
                _ => None,
            })
        };
        let packets: Vec<Packet<'_>> = transmissions()
            .map(|transmission| Packet {
                link: transmission.link,
                source: transmission.source,
                destination: transmission.destination,
                hop_limit: transmission.hop_limit,
                payload: &transmission.payload,
            })
            .collect();
        if packets.is_empty() {
            return;
        }
        let (node, failures) = (&mut self.node, &mut self.failures);
        self.sender.send(&packets, |position, error| {
            let Some(transmission) = transmissions().nth(position) else { return };
            node.count_send_failure(transmission.router);
            // Nobody wonders about a packet that does not leave through a pulled cable.
            if !node.kernel().link(transmission.link).is_some_and(Link::usable) {
                return;
            }
            let name = node.router(transmission.router).map_or("", |router| &router.config().name);
            failures.note("advertisement", name, &error);
        });
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
