//! A synchronous netlink socket of any protocol: one system call carries many requests, errors come back by
//! request, with the kernel's own explanation.
//!
//! Own code over `netlink-sys`: `netlink-proto`, the library's connection, sends each request by a system call of
//! its own, which costs 2.7 to 4 times as much per address.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

use super::datagram::{self, Header, Message};
use crate::kernel::KernelError;
use crate::sys::socket;

/// Largest datagram that the kernel sends (`NLMSG_GOODSIZE`, 32 KiB for dumps), doubled.
const DATAGRAM_BYTES: usize = 65_536;

/// How often a dump that changed under our hands is started again.
const DUMP_ATTEMPTS: u32 = 10;

/// What a socket is opened for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    /// `NETLINK_ROUTE`, `NETLINK_GENERIC`, `NETLINK_NETFILTER` …
    pub(crate) protocol: isize,
    /// Multicast groups whose notifications are wanted. With any, reading does not block.
    pub(crate) groups: &'a [u32],
    /// Room in bytes for answers and notifications, as far as the system allows.
    pub(crate) receive_queue: usize,
    /// Room in bytes for what is sent: a batch has to fit in one piece.
    pub(crate) send_queue: usize,
}

/// How many answers a batch asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Acknowledge {
    /// One for the last request; errors are told for every request anyhow. The cheapest.
    Last,
    /// One for each request.
    All,
    /// One for each request but the first and the last, which are the brackets of a transaction.
    Inner,
}

/// Whether a [`NetlinkSocket::drain`] is complete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Drained {
    /// Nothing more waits.
    All,
    /// More may wait: the bound on datagrams was reached.
    Partly,
    /// The kernel dropped notifications (`ENOBUFS`): read the whole state again.
    Overrun,
}

/// Requests that leave in one system call and are carried out in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    /// Message after message; their sequence numbers and `NLM_F_ACK` are filled in when they are sent.
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Batch {
    /// Appends a request with `NLM_F_*` flags besides `NLM_F_REQUEST` and `NLM_F_ACK`.
    pub(crate) fn push(&mut self, message: impl NetlinkSerializable, flags: u16) {
        let mut header = NetlinkHeader::default();
        header.flags = flags | NLM_F_REQUEST;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let start = self.bytes.len();
        let length = message.buffer_len();
        self.bytes.resize(start + length.next_multiple_of(4), 0);
        message.serialize(&mut self.bytes[start..start + length]);
        self.starts.push(start);
    }

    /// Requests so far.
    fn len(&self) -> usize {
        self.starts.len()
    }

    /// Numbers the requests from `first` on.
    fn number(&mut self, first: u32, acknowledge: Acknowledge) {
        const FLAGS: usize = 6;
        const SEQUENCE: usize = 8;
        let last = self.starts.last().copied();
        let mut sequence = first;
        for &start in &self.starts {
            let Some(header) = self.bytes.get_mut(start..start + datagram::HEADER_BYTES) else { return };
            header[SEQUENCE..SEQUENCE + 4].copy_from_slice(&sequence.to_ne_bytes());
            sequence = sequence.wrapping_add(1);
            let is_last = Some(start) == last;
            let is_inner = start != 0 && !is_last;
            if acknowledge == Acknowledge::All
                || acknowledge == Acknowledge::Last && is_last
                || acknowledge == Acknowledge::Inner && is_inner
            {
                let flags = u16::from_ne_bytes([header[FLAGS], header[FLAGS + 1]]) | NLM_F_ACK;
                header[FLAGS..FLAGS + 2].copy_from_slice(&flags.to_ne_bytes());
            }
        }
    }
}

/// A message of which only the type and the body's bytes are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawMessage<'a> {
    /// `nlmsg_type`.
    pub(crate) kind: u16,
    /// What follows the header.
    pub(crate) body: &'a [u8],
}

impl NetlinkSerializable for RawMessage<'_> {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.body.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(self.body);
    }
}

/// A netlink socket of the namespace it was opened in; it stays there wherever the thread goes.
#[derive(Debug)]
pub(crate) struct NetlinkSocket {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl NetlinkSocket {
    /// Opens it in the calling thread's network namespace. Where it is to be told of changes, open it before the
    /// dump whose state they apply to, so that none falls between.
    ///
    /// # Errors
    /// In the kernel's words.
    pub(crate) fn open(options: Options<'_>) -> Result<Self, KernelError> {
        let open = || -> io::Result<Self> {
            let mut socket = Socket::new(options.protocol)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            datagram::ask_for_explanations(&socket)?;
            socket::set_receive_queue(&socket, options.receive_queue)?;
            socket::set_send_queue(&socket, options.send_queue)?;
            for group in options.groups {
                socket.add_membership(*group)?;
            }
            socket.set_non_blocking(!options.groups.is_empty())?;
            Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(DATAGRAM_BYTES) })
        };
        open().map_err(|error| error_from_io(&error))
    }

    /// Has the kernel take what a dump's request says for what is wanted (`NETLINK_GET_STRICT_CHK`), where it can.
    pub(crate) fn be_strict(&mut self) {
        // An older kernel gives more than was asked for.
        let _ = self.socket.set_netlink_get_strict_chk(true);
    }

    /// Is told of these groups too.
    pub(crate) fn join(&mut self, groups: impl Iterator<Item = u32>) -> Result<(), KernelError> {
        for group in groups {
            self.socket.add_membership(group).map_err(|error| error_from_io(&error))?;
        }
        Ok(())
    }

    /// Is told of these groups no more.
    pub(crate) fn leave(&mut self, groups: impl Iterator<Item = u32>) -> Result<(), KernelError> {
        for group in groups {
            self.socket.drop_membership(group).map_err(|error| error_from_io(&error))?;
        }
        Ok(())
    }

    /// Sends all requests in one system call and gives one result for each, in order. The kernel carries them out
    /// before the call returns.
    ///
    /// # Errors
    /// The outer error means that the batch was not sent, or that its answers were lost (`ENOBUFS`) or not all given
    /// (`EINTR`): read the state again.
    pub(crate) fn send(
        &mut self,
        mut batch: Batch,
        acknowledge: Acknowledge,
    ) -> Result<Vec<Result<(), KernelError>>, KernelError> {
        let count = batch.len();
        let Some(last) = count.checked_sub(1) else { return Ok(Vec::new()) };
        let first = self.transmit(&mut batch, acknowledge)?;
        let mut refused = BTreeMap::new();
        loop {
            // All has been carried out and answered by now, but for a request that was interrupted: the kernel
            // leaves such a one without an answer.
            self.receive_with(libc::MSG_DONTWAIT).map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => error_from_errno(Errno::EINTR),
                _ => error_from_io(&error),
            })?;
            for (header, body) in datagram::messages(&self.buffer) {
                let position = header.sequence.wrapping_sub(first) as usize;
                let Message::Answer(answer) = datagram::classify(header, body) else { continue };
                if position > last {
                    continue;
                }
                if let Err(error) = answer {
                    refused.insert(position, error);
                }
                if position == last {
                    return Ok((0..count).map(|at| refused.remove(&at).map_or(Ok(()), Err)).collect());
                }
            }
        }
    }

    /// Sends requests that are carried out together or not at all, between the brackets of a netfilter transaction.
    ///
    /// # Errors
    /// The first refusal.
    pub(crate) fn transact(&mut self, mut batch: Batch) -> Result<(), KernelError> {
        let wanted = batch.len().saturating_sub(2);
        let first = self.transmit(&mut batch, Acknowledge::Inner)?;
        let (mut answered, mut refused) = (0, BTreeMap::new());
        // All has been carried out and answered by now. A refusal of the whole is told of the first bracket.
        while answered < wanted && !refused.contains_key(&0) {
            self.receive_with(libc::MSG_DONTWAIT).map_err(|error| error_from_io(&error))?;
            for (header, body) in datagram::messages(&self.buffer) {
                let position = header.sequence.wrapping_sub(first) as usize;
                let Message::Answer(answer) = datagram::classify(header, body) else { continue };
                if position > wanted + 1 {
                    continue;
                }
                answered += 1;
                if let Err(error) = answer {
                    refused.insert(position, error);
                }
            }
        }
        refused.pop_first().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// What `read` makes of each object that `request` (a `GET`) asks for, without those it makes nothing of.
    /// It is called anew for all of them when the state changed meanwhile.
    ///
    /// # Errors
    /// In the kernel's words; EINTR when the state never stood still.
    pub(crate) fn dump<T>(
        &mut self,
        request: impl NetlinkSerializable,
        mut read: impl FnMut(Header, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, KernelError> {
        let mut batch = Batch::default();
        batch.push(request, NLM_F_DUMP);
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(objects) = self.objects(batch.clone(), &mut read)? {
                return Ok(objects);
            }
        }
        Err(error_from_errno(Errno::EINTR))
    }

    /// What `read` makes of each object that comes before the answer to `request`.
    ///
    /// # Errors
    /// In the kernel's words.
    pub(crate) fn query<T>(
        &mut self,
        request: impl NetlinkSerializable,
        mut read: impl FnMut(Header, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, KernelError> {
        let mut batch = Batch::default();
        batch.push(request, 0);
        Ok(self.objects(batch, &mut read)?.unwrap_or_default())
    }

    /// `None` when the state changed during the dump.
    fn objects<T>(
        &mut self,
        mut batch: Batch,
        read: &mut impl FnMut(Header, &[u8]) -> Option<T>,
    ) -> Result<Option<Vec<T>>, KernelError> {
        let sequence = self.transmit(&mut batch, Acknowledge::Last)?;
        let (mut objects, mut consistent) = (Vec::new(), true);
        loop {
            self.receive().map_err(|error| error_from_io(&error))?;
            for (header, body) in datagram::messages(&self.buffer) {
                if header.sequence != sequence {
                    continue;
                }
                consistent &= header.flags & NLM_F_DUMP_INTR == 0;
                match datagram::classify(header, body) {
                    Message::Object(body) => objects.extend(read(header, body)),
                    Message::Done(end) | Message::Answer(end) => {
                        return end.map(|()| consistent.then_some(objects));
                    }
                    Message::Overrun | Message::Nothing => {}
                }
            }
        }
    }

    /// Hands over the notifications that wait, at most `bound` datagrams. Never blocks on a socket with groups.
    ///
    /// # Errors
    /// In the kernel's words; the socket is of no use any more.
    pub(crate) fn drain(
        &mut self,
        bound: usize,
        mut each: impl FnMut(Header, &[u8]),
    ) -> Result<Drained, KernelError> {
        for _ in 0..bound {
            match self.receive() {
                Ok(()) => {}
                Err(error) => {
                    return match error.raw_os_error() {
                        Some(libc::EAGAIN) => Ok(Drained::All),
                        Some(libc::ENOBUFS) => Ok(Drained::Overrun),
                        _ => Err(error_from_io(&error)),
                    };
                }
            }
            for (header, body) in datagram::messages(&self.buffer) {
                match datagram::classify(header, body) {
                    Message::Object(body) => each(header, body),
                    Message::Overrun => return Ok(Drained::Overrun),
                    _ => {}
                }
            }
        }
        Ok(Drained::Partly)
    }

    /// Gives the sequence number of the first request.
    fn transmit(&mut self, batch: &mut Batch, acknowledge: Acknowledge) -> Result<u32, KernelError> {
        let first = self.sequence.wrapping_add(1);
        batch.number(first, acknowledge);
        self.sequence = self.sequence.wrapping_add(batch.len() as u32);
        self.socket.send(&batch.bytes, 0).map_err(|error| error_from_io(&error))?;
        Ok(first)
    }

    fn receive(&mut self) -> io::Result<()> {
        self.receive_with(0)
    }

    fn receive_with(&mut self, flags: i32) -> io::Result<()> {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, flags) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map(|_| ()),
            }
        }
    }
}

impl AsFd for NetlinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// An error of a system call in the kernel's words.
pub(crate) fn error_from_io(error: &io::Error) -> KernelError {
    match error.raw_os_error() {
        Some(errno) => error_from_errno(Errno::from_raw(errno)),
        None => KernelError { errno: libc::EIO, message: error.to_string() },
    }
}

fn error_from_errno(errno: Errno) -> KernelError {
    KernelError { errno: errno as i32, message: errno.desc().to_owned() }
}

#[cfg(test)]
mod tests {
    use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_ROUTE};

    use super::*;

    fn open(protocol: isize) -> NetlinkSocket {
        let options =
            Options { protocol, groups: &[], receive_queue: DATAGRAM_BYTES, send_queue: DATAGRAM_BYTES };
        NetlinkSocket::open(options).unwrap()
    }

    /// `struct ifinfomsg` of an interface that is not there.
    fn absent_link() -> RawMessage<'static> {
        let body: &[u8] = if cfg!(target_endian = "little") {
            &[0, 0, 0, 0, 0xf0, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0]
        } else {
            &[0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0]
        };
        RawMessage { kind: libc::RTM_GETLINK, body }
    }

    #[test]
    fn each_refused_request_is_named_and_explained() {
        let mut socket = open(NETLINK_ROUTE);
        // Sequence numbers may wrap within a batch.
        for sequence in [0, u32::MAX - 1] {
            socket.sequence = sequence;
            for acknowledge in [Acknowledge::Last, Acknowledge::All] {
                let mut batch = Batch::default();
                for _ in 0..3 {
                    batch.push(absent_link(), 0);
                }
                let results = socket.send(batch, acknowledge).unwrap();
                assert_eq!(results.len(), 3);
                for result in results {
                    assert_eq!(result.unwrap_err().errno, libc::ENODEV);
                }
            }
        }
        assert!(socket.send(Batch::default(), Acknowledge::All).unwrap().is_empty());
    }

    #[test]
    fn an_answer_belongs_to_its_request_alone() {
        let mut socket = open(NETLINK_ROUTE);
        let mut batch = Batch::default();
        batch.push(RawMessage { kind: libc::RTM_GETLINK, body: &loopback() }, 0);
        batch.push(absent_link(), 0);
        batch.push(RawMessage { kind: libc::RTM_GETLINK, body: &loopback() }, 0);
        let results = socket.send(batch, Acknowledge::Last).unwrap();
        assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }

    fn loopback() -> [u8; 16] {
        let mut body = [0; 16];
        body[4..8].copy_from_slice(&1u32.to_ne_bytes());
        body
    }

    #[test]
    fn a_dump_gives_what_was_read_and_a_refused_one_says_why() {
        let mut socket = open(NETLINK_ROUTE);
        let request = RawMessage { kind: libc::RTM_GETLINK, body: &[0; 16] };
        let indexes = |header: Header, body: &[u8]| {
            assert_eq!(header.kind, libc::RTM_NEWLINK);
            datagram::u32_at(body, 4)
        };
        assert!(socket.dump(request, indexes).unwrap().contains(&1));
        // Only once the answers to the first were all read does the second find its own.
        assert!(socket.dump(request, indexes).unwrap().contains(&1));
        let unknown = RawMessage { kind: 0x3fff, body: &[0; 16] };
        assert_eq!(socket.dump(unknown, |_, _| Some(())).unwrap_err().errno, libc::EOPNOTSUPP);
    }

    #[test]
    fn other_protocols_speak_through_the_same_socket() {
        const GENL_ID_CTRL: u16 = 16;
        const CTRL_CMD_GETFAMILY: u8 = 3;
        const CTRL_ATTR_FAMILY_NAME: u16 = 2;
        let mut socket = open(NETLINK_GENERIC);
        let request = RawMessage { kind: GENL_ID_CTRL, body: &[CTRL_CMD_GETFAMILY, 1, 0, 0] };
        let names = socket
            .dump(request, |_, body| {
                let name =
                    datagram::attributes(body.get(4..)?).find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_NAME)?.1;
                Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
            })
            .unwrap();
        assert!(names.contains(&"nlctrl".to_owned()), "{names:?}");
    }

    #[test]
    fn a_socket_with_groups_and_nothing_to_say_does_not_block() {
        let options = Options {
            protocol: NETLINK_ROUTE,
            groups: &[11],
            receive_queue: DATAGRAM_BYTES,
            send_queue: DATAGRAM_BYTES,
        };
        let mut monitor = NetlinkSocket::open(options).unwrap();
        assert_eq!(monitor.drain(1000, |_, _| {}).unwrap(), Drained::All);
    }
}
