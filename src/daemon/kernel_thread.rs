//! The thread that talks to the kernel where that takes time: writes of addresses, chunk by chunk; opening
//! and closing receive sockets (joining a group waits for the kernel's big network lock); whole views.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;

use super::configuration::QueueSizes;
use super::descriptors;
use super::mailbox::Mailbox;
use super::record::AddressRecord;
use super::virtual_links::VirtualLinks;
use super::vrrp_thread::Message;
use crate::kernel::{
    AddressOperation, AddressReply, AddressRequest, AddressSpec, Announcement, KernelError, KernelRequest,
    LinkOperation, ReceiveSocket, Requester, RoutingOperation, RoutingReply, RoutingRequest, Verb,
    first_announcements,
};
use crate::net::{InterfaceIndex, MacAddress, Prefix};
use crate::sys::clock;
use crate::sys::netlink::{self, Interest, Ownership, RouteSocket, error_from_io};
use crate::sys::packet::{Announcer, Frame, Receiver};
use crate::sys::poll::Poller;
use crate::sys::realtime::Loan;
use crate::time::Duration;

/// Operations in the first chunk after a rest: few, so that the first address is announced soon.
const FIRST_CHUNK: usize = 8;

/// Operations in every further chunk: some milliseconds of work.
const CHUNK: usize = 128;

/// How long the thread may work in one go with the real-time scheduling that the vrrp thread lends it. A
/// takeover waits for this thread before it can announce its addresses, and on a busy machine ordinary
/// scheduling would cost it tens of milliseconds; thousands of IPv6 addresses are seconds of work, which must
/// not keep a core from others.
const LOAN_MAX: Duration = Duration::from_millis(50);

/// What the vrrp thread asks for.
#[derive(Debug)]
pub(super) enum Request {
    /// Change addresses, routes or rules.
    Change(KernelRequest),
    /// Let no address of this interface take others along.
    Promote(InterfaceIndex),
    /// Create and remove interfaces of our own, behind the changes of addresses that were asked for before.
    Links(Vec<LinkOperation>),
    /// Open a receive socket.
    Open(ReceiveSocket),
    /// Close one: leaving its group takes the kernel's lock too.
    Close(Receiver),
    /// Read the whole state.
    View(Ownership, Interest),
    /// These addresses are not held, and not ours if they appear.
    Forget(Vec<(InterfaceIndex, Prefix)>),
    /// End, after all that was asked for before and with the record saved.
    End,
    /// The same, and leave everything to the next process.
    Leave,
}

/// What is to be changed in the kernel.
#[derive(Debug)]
enum Change {
    Addresses(Requester, VecDeque<AddressOperation>),
    Routing(Requester, VecDeque<RoutingOperation>),
    Links(Vec<LinkOperation>),
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct KernelThread {
    requests: Mailbox<Request>,
    replies: Mailbox<Message>,
    socket: RouteSocket,
    /// Changes not carried out yet, in order.
    waiting: VecDeque<Change>,
    links: VirtualLinks,
    /// Everything else that was asked for.
    errands: VecDeque<Request>,
    announcer: Announcer,
    /// Where the kernel does not know whose an address is.
    record: Option<AddressRecord>,
    /// Its failure was told.
    record_failed: bool,
    poller: Poller,
    /// What the vrrp thread lends.
    loan: Loan,
    /// Room for what waits to be read, where more than usual is asked for.
    queues: QueueSizes,
    ending: bool,
}

impl KernelThread {
    /// Opens what the thread needs, in the calling thread's network namespace.
    pub(super) fn new(
        requests: Mailbox<Request>,
        replies: Mailbox<Message>,
        record: Option<AddressRecord>,
        links: VirtualLinks,
        loan: Loan,
        queues: QueueSizes,
    ) -> io::Result<Self> {
        let socket = RouteSocket::open().map_err(|error| io::Error::from_raw_os_error(error.errno))?;
        socket.hold_at_least(queues.commands)?;
        let poller = Poller::new()?;
        poller.add(&requests, 0)?;
        let mut thread = Self {
            requests,
            replies,
            socket,
            waiting: VecDeque::new(),
            links,
            errands: VecDeque::new(),
            announcer: Announcer::open()?,
            record,
            record_failed: false,
            poller,
            loan,
            queues,
            ending: false,
        };
        thread.rehearse()?;
        Ok(thread)
    }

    /// Serves requests until [`Request::End`].
    pub(super) fn run(mut self) {
        self.loan.borrow_here();
        loop {
            if self.poller.wait(None).map(Iterator::count).is_err() {
                return;
            }
            self.requests.acknowledge();
            let mut chunk = FIRST_CHUNK;
            let started = clock::now().instant;
            let mut overdrawn = false;
            loop {
                self.take_requests();
                self.run_errands();
                if self.waiting.is_empty() {
                    break;
                }
                self.change_links();
                self.change_routing(chunk);
                self.change_addresses(chunk);
                chunk = CHUNK;
                if !overdrawn && clock::now().instant.saturating_since(started) > LOAN_MAX {
                    overdrawn = true;
                    self.loan.go_on_without();
                }
            }
            self.loan.give_back();
            let saved = self.record.as_mut().map(AddressRecord::save);
            self.note_saved(saved);
            if self.ending {
                return;
            }
        }
    }

    /// Says once that the record cannot be written.
    fn note_saved(&mut self, saved: Option<io::Result<()>>) {
        let Some(saved) = saved else { return };
        let told = std::mem::replace(&mut self.record_failed, saved.is_err());
        if let (Err(error), false) = (saved, told) {
            tracing::error!(
                "cannot write the record of our addresses: {error}; should this daemon be killed, its successor takes \
                 them for somebody else's"
            );
        }
    }

    fn take_requests(&mut self) {
        while let Some(request) = self.requests.take() {
            match request {
                Request::Change(KernelRequest::Addresses(AddressRequest { requester, operations })) => {
                    self.waiting.push_back(Change::Addresses(requester, operations.into()));
                }
                Request::Change(KernelRequest::Routing(RoutingRequest { requester, operations })) => {
                    self.waiting.push_back(Change::Routing(requester, operations.into()));
                }
                Request::Links(operations) => self.waiting.push_back(Change::Links(operations)),
                other => self.errands.push_back(other),
            }
        }
    }

    fn run_errands(&mut self) {
        while let Some(request) = self.errands.pop_front() {
            match request {
                Request::Change(_) | Request::Links(_) => {}
                Request::Open(key) => self.replies.send(match self.open(key) {
                    Ok(receiver) => Message::Opened(receiver),
                    Err(error) => Message::Refused(key, error),
                }),
                Request::Close(receiver) => drop(receiver),
                Request::View(ownership, interest) => {
                    self.replies.send(Message::View(netlink::view(&ownership, &interest)));
                }
                Request::Forget(keys) => {
                    if let Some(record) = &mut self.record {
                        record.forget(&keys);
                    }
                }
                Request::Promote(link) => self.links.promote(&mut self.socket, link),
                Request::End => {
                    self.links.end_promotions(&mut self.socket);
                    self.ending = true;
                }
                Request::Leave => self.ending = true,
            }
        }
    }

    fn open(&self, key: ReceiveSocket) -> Result<Receiver, KernelError> {
        descriptors::spare_for_socket(&self.poller)?;
        let receiver = Receiver::open(key)?;
        receiver.hold_at_least(self.queues.advertisements).map_err(|error| error_from_io(&error))?;
        Ok(receiver)
    }

    /// Those that are first in the queue.
    fn change_links(&mut self) {
        while let Some(Change::Links(_)) = self.waiting.front() {
            let Some(Change::Links(operations)) = self.waiting.pop_front() else { return };
            let outcomes = self.links.carry_out(&mut self.socket, &operations);
            self.replies.send(Message::Links(outcomes));
        }
    }

    /// One chunk of one requester's routes and rules, if these are first in the queue.
    fn change_routing(&mut self, limit: usize) {
        let Some(Change::Routing(requester, waiting)) = self.waiting.front_mut() else { return };
        let requester = *requester;
        let operations: Vec<RoutingOperation> = waiting.drain(..waiting.len().min(limit)).collect();
        if waiting.is_empty() {
            self.waiting.pop_front();
        }
        let outcomes = netlink::apply_routing(&mut self.socket, &operations);
        self.replies.send(Message::Routing(RoutingReply { requester, outcomes }));
    }

    /// One chunk, of one or several requesters' operations in the order they were asked for. What is added is
    /// announced from here: the vrrp thread may be in the midst of its advertisements.
    fn change_addresses(&mut self, limit: usize) {
        let (requesters, operations) = next_chunk(&mut self.waiting, limit);
        if requesters.is_empty() {
            return;
        }
        let saved = self.record.as_mut().map(|record| record.before(&operations));
        self.note_saved(saved);
        self.links.before(&requesters, &operations);
        let mut outcomes = netlink::apply(&mut self.socket, &operations);
        self.links.after(&requesters, &operations);
        // A router that has yielded meanwhile has asked for the removal, and announces nothing any more.
        self.take_requests();
        let later = self.waiting.iter().flat_map(Change::addresses);
        let announcements = first_announcements(&operations, &outcomes, later);
        let frames: Vec<Frame> = announcements.iter().map(|(_, a)| Frame::announcement(a)).collect();
        announcements.iter().for_each(|(position, _)| outcomes[*position].announced = true);
        // The vrrp thread tries again, and tells of the failure.
        self.announcer.send(&frames, |frame, _| outcomes[announcements[frame].0].announced = false);
        let mut outcomes = outcomes.into_iter();
        for (requester, count) in requesters {
            let outcomes: Vec<_> = outcomes.by_ref().take(count).collect();
            if let Some(record) = &mut self.record {
                record.after(&outcomes);
            }
            self.replies.send(Message::Addresses(AddressReply { requester, outcomes }));
        }
    }

    /// Does once, without effect, what every takeover does: adds an address and announces it, on an interface that
    /// does not exist, so that the kernel refuses both. The first takeover then does not wait for code that has to be
    /// read from the disk; and a missing privilege, which the kernel looks at first, shows at the start.
    fn rehearse(&mut self) -> io::Result<()> {
        let Some(link) = InterfaceIndex::new(i32::MAX as u32) else { return Ok(()) };
        let address = IpAddr::from([0, 0, 0, 0]);
        let operation = AddressOperation::new(Verb::Add, link, AddressSpec::new(Prefix::host(address)));
        let outcomes = netlink::apply(&mut self.socket, &[operation]);
        let announcement =
            Announcement { link, mac: MacAddress([0; 6]), address, is_router: false, is_reply: false };
        self.announcer.send(&[Frame::announcement(&announcement)], |_, _| {});
        let mut errors = outcomes.iter().filter_map(|outcome| outcome.error.as_ref());
        match errors.find(|error| error.errno == libc::EPERM) {
            Some(error) => Err(io::Error::from_raw_os_error(error.errno)),
            None => Ok(()),
        }
    }
}

impl Change {
    fn addresses(&self) -> impl Iterator<Item = &AddressOperation> {
        match self {
            Self::Addresses(_, operations) => Some(operations),
            Self::Links(_) | Self::Routing(..) => None,
        }
        .into_iter()
        .flatten()
    }
}

/// Takes up to `limit` operations off the front, with the number for each requester. One that asked for nothing
/// gets its empty answer.
fn next_chunk(
    waiting: &mut VecDeque<Change>,
    limit: usize,
) -> (Vec<(Requester, usize)>, Vec<AddressOperation>) {
    let (mut requesters, mut operations) = (Vec::new(), Vec::new());
    while let Some(Change::Addresses(requester, rest)) = waiting.front_mut() {
        let count = rest.len().min(limit - operations.len());
        requesters.push((*requester, count));
        operations.extend(rest.drain(..count));
        if !rest.is_empty() {
            break;
        }
        waiting.pop_front();
        if operations.len() == limit {
            break;
        }
    }
    (requesters, operations)
}

/// The error of a view, for the log.
pub(super) fn view_failed(error: &KernelError) -> String {
    format!("cannot read the interfaces and addresses of this host: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::RouterId;

    fn operations(count: u8) -> VecDeque<AddressOperation> {
        let link = InterfaceIndex::new(1).unwrap();
        (0..count)
            .map(|number| {
                let spec = AddressSpec::new(Prefix::host([192, 0, 2, number].into()));
                AddressOperation::new(Verb::Add, link, spec)
            })
            .collect()
    }

    #[test]
    fn chunks_keep_the_order_and_say_whose_they_are() {
        let router = |number| Requester::Router(RouterId(number));
        let all = [(router(1), 3), (Requester::Static, 0), (router(1), 4), (router(3), 1)];
        let mut waiting: VecDeque<_> =
            all.map(|(requester, count)| Change::Addresses(requester, operations(count))).into();
        let mut seen = Vec::new();
        while !waiting.is_empty() {
            let (requesters, operations) = next_chunk(&mut waiting, 5);
            assert_eq!(requesters.iter().map(|(_, count)| count).sum::<usize>(), operations.len());
            assert!(operations.len() <= 5);
            seen.push(requesters);
        }
        assert_eq!(
            seen,
            [
                vec![(router(1), 3), (Requester::Static, 0), (router(1), 2)],
                vec![(router(1), 2), (router(3), 1)],
            ]
        );
    }
}
