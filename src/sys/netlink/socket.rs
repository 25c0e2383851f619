//! A synchronous route socket: one system call carries many requests, errors come back by request, with the
//! kernel's own explanation.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

use crate::kernel::KernelError;

/// Largest datagram the kernel sends on a route socket (`NLMSG_GOODSIZE`, 32 KiB for dumps), doubled.
const RECEIVE_BYTES: usize = 65_536;

/// Receive buffer asked for. The answers to 500 refused requests and a burst of notifications fit.
const RECEIVE_QUEUE_BYTES: usize = 4 << 20;

/// Send buffer asked for: a batch has to fit in one piece.
const SEND_QUEUE_BYTES: usize = 8 << 20;

/// How often a dump that changed under our hands is started again.
const DUMP_ATTEMPTS: u32 = 10;

/// What the kernel tells a monitor of (`enum rtnetlink_groups`).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Group {
    /// Interfaces.
    Link,
    /// IPv4 addresses.
    Ipv4Address,
    /// IPv6 addresses.
    Ipv6Address,
    /// IPv4 routes.
    Ipv4Route,
    /// IPv6 routes.
    Ipv6Route,
}

impl Group {
    const fn number(self) -> u32 {
        match self {
            Self::Link => 1,
            Self::Ipv4Address => 5,
            Self::Ipv4Route => 7,
            Self::Ipv6Address => 9,
            Self::Ipv6Route => 11,
        }
    }
}

/// How many answers a batch asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Acknowledge {
    /// One for the last request; errors are told for every request anyhow. The cheapest.
    Last,
    /// One for each request.
    All,
}

/// Whether a [`RouteSocket::drain`] is complete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Drained {
    /// Nothing more waits.
    All,
    /// More may wait: the bound on messages was reached.
    Partly,
    /// The kernel dropped notifications (`ENOBUFS`): read the whole state again.
    Overrun,
}

/// Requests that leave in one system call and are carried out in order.
#[derive(Debug, Default)]
pub struct Batch {
    messages: Vec<(RouteNetlinkMessage, u16)>,
}

impl Batch {
    /// Appends a request with `NLM_F_*` flags besides `NLM_F_REQUEST` and `NLM_F_ACK`.
    pub fn push(&mut self, message: RouteNetlinkMessage, flags: u16) {
        self.messages.push((message, flags));
    }

    /// Requests so far.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there is no request.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

/// A `NETLINK_ROUTE` socket of the namespace it was opened in; it stays there wherever the thread goes.
#[derive(Debug)]
pub struct RouteSocket {
    socket: Socket,
    sequence: u32,
    receive: Vec<u8>,
}

impl RouteSocket {
    /// A blocking socket for requests, in the calling thread's network namespace.
    pub fn open() -> Result<Self, KernelError> {
        Self::new().map_err(|error| error_from_io(&error))
    }

    /// A non-blocking socket that is told of changes; read it with [`RouteSocket::drain`].
    ///
    /// Open it before the dump whose state the changes apply to, so that none falls between.
    pub fn monitor(groups: &[Group]) -> Result<Self, KernelError> {
        let open = || -> io::Result<Self> {
            let monitor = Self::new()?;
            for group in groups {
                monitor.socket.add_membership(group.number())?;
            }
            monitor.socket.set_non_blocking(true)?;
            Ok(monitor)
        };
        open().map_err(|error| error_from_io(&error))
    }

    fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Both since Linux 4.12: the refused request itself is left out, so that the explanation follows its
        // header at a known place.
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        // Privileged; without the privilege the system's limits apply.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_QUEUE_BYTES).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_QUEUE_BYTES)?;
        }
        if setsockopt(&socket, sockopt::SndBufForce, &SEND_QUEUE_BYTES).is_err() {
            setsockopt(&socket, sockopt::SndBuf, &SEND_QUEUE_BYTES)?;
        }
        Ok(Self { socket, sequence: 0, receive: Vec::with_capacity(RECEIVE_BYTES) })
    }

    /// One request, and the kernel's answer to it.
    pub fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), KernelError> {
        let mut batch = Batch::default();
        batch.push(message, flags);
        self.send(batch, Acknowledge::Last)?.pop().unwrap_or(Ok(()))
    }

    /// Sends all requests in one system call and gives one result for each, in order. The kernel carries
    /// them out before the call returns: about 10 µs an IPv4 address, more where thousands are there already,
    /// so keep batches at 64 to 500.
    ///
    /// # Errors
    /// The outer error means that the batch was not sent, or that its answers were lost (`ENOBUFS`): read
    /// the state again.
    pub fn send(
        &mut self,
        batch: Batch,
        acknowledge: Acknowledge,
    ) -> Result<Vec<Result<(), KernelError>>, KernelError> {
        let count = batch.messages.len();
        let Some(last) = count.checked_sub(1) else { return Ok(Vec::new()) };
        let first_sequence = self.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(count * 96);
        for (position, (message, flags)) in batch.messages.into_iter().enumerate() {
            let ack = if position == last || acknowledge == Acknowledge::All { NLM_F_ACK } else { 0 };
            self.append(&mut bytes, message, flags | NLM_F_REQUEST | ack);
        }
        let last_sequence = self.sequence;
        self.socket.send(&bytes, 0).map_err(|error| error_from_io(&error))?;

        let mut refused = BTreeMap::new();
        loop {
            self.receive_datagram().map_err(|error| error_from_io(&error))?;
            for (header, error) in answers(&self.receive) {
                let position = header.sequence_number.wrapping_sub(first_sequence);
                if position as usize >= count {
                    continue;
                }
                if let Some(error) = error {
                    refused.insert(position as usize, error);
                }
                if header.sequence_number == last_sequence {
                    return Ok((0..count).map(|i| refused.remove(&i).map_or(Ok(()), Err)).collect());
                }
            }
        }
    }

    /// All objects that `message` (a `Get…` request) asks for.
    pub fn dump(&mut self, message: &RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, KernelError> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(objects) = self.dump_once(message.clone())? {
                return Ok(objects);
            }
        }
        Err(error_from_errno(Errno::EINTR))
    }

    /// All interfaces.
    pub fn dump_links(&mut self) -> Result<Vec<LinkMessage>, KernelError> {
        let objects = self.dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        Ok(objects
            .into_iter()
            .filter_map(|object| match object {
                RouteNetlinkMessage::NewLink(link) => Some(link),
                _ => None,
            })
            .collect())
    }

    /// All addresses of both families.
    pub fn dump_addresses(&mut self) -> Result<Vec<AddressMessage>, KernelError> {
        let objects = self.dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
        Ok(objects
            .into_iter()
            .filter_map(|object| match object {
                RouteNetlinkMessage::NewAddress(address) => Some(address),
                _ => None,
            })
            .collect())
    }

    /// Takes the notifications that wait on a [`RouteSocket::monitor`], at most `bound` datagrams. Never
    /// blocks there.
    pub fn drain(
        &mut self,
        bound: usize,
        changes: &mut Vec<RouteNetlinkMessage>,
    ) -> Result<Drained, KernelError> {
        for _ in 0..bound {
            match self.receive_datagram() {
                Ok(()) => {
                    for message in messages(&self.receive) {
                        match message.payload {
                            NetlinkPayload::InnerMessage(change) => changes.push(change),
                            NetlinkPayload::Overrun(_) => return Ok(Drained::Overrun),
                            _ => {}
                        }
                    }
                }
                Err(error) => {
                    return match error.raw_os_error() {
                        Some(libc::EAGAIN) => Ok(Drained::All),
                        Some(libc::ENOBUFS) => Ok(Drained::Overrun),
                        _ => Err(error_from_io(&error)),
                    };
                }
            }
        }
        Ok(Drained::Partly)
    }

    /// `None` when the state changed during the dump.
    fn dump_once(
        &mut self,
        message: RouteNetlinkMessage,
    ) -> Result<Option<Vec<RouteNetlinkMessage>>, KernelError> {
        let mut bytes = Vec::new();
        self.append(&mut bytes, message, NLM_F_REQUEST | NLM_F_DUMP);
        let sequence = self.sequence;
        self.socket.send(&bytes, 0).map_err(|error| error_from_io(&error))?;
        let mut objects = Vec::new();
        let mut consistent = true;
        loop {
            self.receive_datagram().map_err(|error| error_from_io(&error))?;
            for message in messages(&self.receive) {
                if message.header.sequence_number != sequence {
                    continue;
                }
                consistent &= message.header.flags & NLM_F_DUMP_INTR == 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(object) => objects.push(object),
                    NetlinkPayload::Done(_) => return Ok(consistent.then_some(objects)),
                    NetlinkPayload::Error(error) => {
                        return match refusal(&error) {
                            Some(error) => Err(error),
                            None => Ok(consistent.then_some(objects)),
                        };
                    }
                    _ => {}
                }
            }
        }
    }

    fn append(&mut self, bytes: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let start = bytes.len();
        let length = message.buffer_len();
        bytes.resize(start + length.next_multiple_of(4), 0);
        message.serialize(&mut bytes[start..start + length]);
    }

    fn receive_datagram(&mut self) -> io::Result<()> {
        loop {
            self.receive.clear();
            match self.socket.recv(&mut self.receive, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map(|_| ()),
            }
        }
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// An error of a system call in the kernel's words.
pub fn error_from_io(error: &io::Error) -> KernelError {
    match error.raw_os_error() {
        Some(errno) => error_from_errno(Errno::from_raw(errno)),
        None => KernelError { errno: libc::EIO, message: error.to_string() },
    }
}

fn error_from_errno(errno: Errno) -> KernelError {
    KernelError { errno: errno as i32, message: errno.desc().to_owned() }
}

/// The messages of a datagram; one that a newer kernel writes in a way we cannot read is left out.
fn messages(datagram: &[u8]) -> impl Iterator<Item = NetlinkMessage<RouteNetlinkMessage>> {
    pieces(datagram).filter_map(|piece| NetlinkMessage::deserialize(piece).ok())
}

/// Acknowledgements (`None`) and refusals, each with the header that names its request by sequence number.
fn answers(datagram: &[u8]) -> impl Iterator<Item = (NetlinkHeader, Option<KernelError>)> {
    messages(datagram).filter_map(|message| match message.payload {
        NetlinkPayload::Error(error) => Some((message.header, refusal(&error))),
        _ => None,
    })
}

fn pieces(mut datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let length = u32::from_ne_bytes(datagram.get(..4)?.try_into().ok()?) as usize;
        if length < 16 {
            return None;
        }
        let piece = datagram.get(..length)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(piece)
    })
}

fn refusal(error: &ErrorMessage) -> Option<KernelError> {
    let errno = error.code?.get().saturating_abs();
    let message = explanation(&error.header);
    Some(KernelError { errno, message: message.unwrap_or_else(|| Errno::from_raw(errno).desc().to_owned()) })
}

/// `NLMSGERR_ATTR_MSG` of an extended acknowledgement. With `NETLINK_CAP_ACK` the attributes follow the
/// 16 bytes of the request's header.
fn explanation(answer: &[u8]) -> Option<String> {
    const MESSAGE: u16 = 1;
    const TYPE_MASK: u16 = 0x3fff;
    let mut rest = answer.get(16..)?;
    loop {
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?) & TYPE_MASK;
        let value = rest.get(4..length)?;
        if kind == MESSAGE {
            return Some(String::from_utf8_lossy(value).trim_end_matches('\0').to_owned());
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_the_links() {
        let mut socket = RouteSocket::open().unwrap();
        let links = socket.dump_links().unwrap();
        assert!(links.iter().any(|link| link.header.index == 1));
    }

    #[test]
    fn a_refused_request_is_named_and_explained() {
        let mut socket = RouteSocket::open().unwrap();
        let mut absent = LinkMessage::default();
        absent.header.index = 0x7fff_fff0;
        let mut batch = Batch::default();
        batch.push(RouteNetlinkMessage::GetLink(absent.clone()), 0);
        batch.push(RouteNetlinkMessage::GetLink(absent), 0);
        for acknowledge in [Acknowledge::Last, Acknowledge::All] {
            let batch = Batch { messages: batch.messages.clone() };
            let results = socket.send(batch, acknowledge).unwrap();
            assert_eq!(results.len(), 2);
            for result in results {
                assert_eq!(result.unwrap_err().errno, libc::ENODEV);
            }
        }
    }

    #[test]
    fn an_extended_acknowledgement_is_read() {
        let mut answer = vec![0u8; 16];
        answer.extend([8, 0, 2, 0, 0, 0, 0, 0]);
        answer.extend([7, 0, 1, 0, b'n', b'o', 0, 0]);
        assert_eq!(explanation(&answer).as_deref(), Some("no"));
        // Truncated or malformed attributes end the search.
        assert_eq!(explanation(&answer[..26]), None);
        answer[16] = 0;
        assert_eq!(explanation(&answer), None);
    }

    #[test]
    fn a_monitor_with_nothing_to_say_does_not_block() {
        let mut monitor = RouteSocket::monitor(&[Group::Ipv6Route]).unwrap();
        let mut changes = Vec::new();
        assert_eq!(monitor.drain(1000, &mut changes).unwrap(), Drained::All);
    }
}
