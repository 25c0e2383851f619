//! Receives packets: one socket for each interface, protocol and group or address, many packets in one system call.

use core::net::Ipv6Addr;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg,
    setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use socket2::{Domain, InterfaceIndexOrAddress, Socket};

use crate::kernel::{KernelError, ReceiveSocket};
use crate::net::InterfaceIndex;
use crate::sys::netlink::error_from_io;
use crate::sys::socket;
use crate::time::WallTime;
use crate::wire::ip::parse_ipv4;

/// Packets in one system call.
const BATCH: usize = 32;

/// The longest packet that can be an advertisement: IPv6, 255 addresses and a trailer are 4116 bytes; IPv4
/// with the longest header 1116. Longer ones are cut and then dropped by the length check.
const PACKET_BYTES: usize = 4352;

/// Two seconds of advertisements of 250 virtual routers, each 0.1 s.
const RECEIVE_QUEUE_BYTES: usize = 4 << 20;

/// A socket that receives on one interface what is sent to one group or address in one protocol.
#[derive(Debug)]
pub struct Receiver {
    socket: Socket,
    key: ReceiveSocket,
}

impl Receiver {
    /// Opens it in the calling thread's network namespace. Takes the kernel's big network lock.
    ///
    /// # Errors
    /// In the kernel's words, for example EPERM without `CAP_NET_RAW` or ENODEV when the interface is gone.
    pub fn open(key: ReceiveSocket) -> Result<Self, KernelError> {
        let socket = open(key).map_err(|error| error_from_io(&error))?;
        Ok(Self { socket, key })
    }

    /// Lets at least so many bytes wait to be read; as many as usual where that is more.
    ///
    /// # Errors
    /// None in practice.
    pub fn hold_at_least(&self, bytes: usize) -> io::Result<()> {
        socket::hold_at_least(&self.socket, RECEIVE_QUEUE_BYTES, bytes)
    }

    /// What it was opened for.
    pub const fn key(&self) -> ReceiveSocket {
        self.key
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn open(key: ReceiveSocket) -> io::Result<Socket> {
    let index = key.link.map_or(0, InterfaceIndex::get);
    let protocol = i32::from(key.protocol);
    let device = core::num::NonZeroU32::new(index);
    let socket = match key.address {
        IpAddr::V4(address) => {
            let socket = socket::open_raw(Domain::IPV4, protocol)?;
            if device.is_some() {
                socket.bind_device_by_index_v4(device)?;
            }
            prepare(&socket)?;
            if address.is_multicast() {
                socket.set_multicast_all_v4(false)?;
                socket.join_multicast_v4_n(&address, &InterfaceIndexOrAddress::Index(index))?;
            } else {
                socket.set_freebind_v4(true)?;
                socket.bind(&SocketAddr::from((address, 0)).into())?;
            }
            socket
        }
        IpAddr::V6(address) => {
            let socket = socket::open_raw(Domain::IPV6, protocol)?;
            if device.is_some() {
                socket.bind_device_by_index_v6(device)?;
            }
            prepare(&socket)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            socket.set_recv_hoplimit_v6(true)?;
            if address.is_multicast() {
                // Since Linux 4.20; without it the socket gets what other sockets joined, and the node sorts it
                // out.
                let _ = socket.set_multicast_all_v6(false);
                socket.join_multicast_v6(&address, index)?;
            } else {
                socket.set_freebind_v6(true)?;
                socket.bind(&SocketAddr::from(SocketAddrV6::new(address, 0, 0, index)).into())?;
            }
            socket
        }
    };
    // What arrived on other interfaces or for other addresses before the socket was bound to its own.
    socket::discard_waiting(&socket);
    Ok(socket)
}

fn prepare(socket: &Socket) -> io::Result<()> {
    socket::set_receive_queue(socket, RECEIVE_QUEUE_BYTES)?;
    setsockopt(socket, sockopt::ReceiveTimestampns, &true)?;
    Ok(())
}

/// A received packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Received<'a> {
    /// Sender.
    pub source: IpAddr,
    /// Group or address it was sent to.
    pub destination: IpAddr,
    /// TTL or hop limit; `None` where the kernel did not tell it.
    pub hop_limit: Option<u8>,
    /// The IP header of an IPv4 packet; of an IPv6 one the kernel does not hand it out.
    pub header: &'a [u8],
    /// What follows it.
    pub payload: &'a [u8],
    /// When the kernel got it, where it tells.
    pub arrived: Option<WallTime>,
}

/// Buffers for one system call, used again for each.
#[derive(Debug)]
pub struct ReceiveBatch {
    /// Their pages cost memory only once so many packets came at once.
    packets: Box<[[u8; PACKET_BYTES]; BATCH]>,
    ipv4: MultiHeaders<SockaddrIn>,
    ipv6: MultiHeaders<SockaddrIn6>,
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self { packets: zeroed(), ipv4: ipv4_headers(), ipv6: ipv6_headers() }
    }
}

/// Not `Box::new`, which would build the array on the stack and write to all of its pages.
fn zeroed() -> Box<[[u8; PACKET_BYTES]; BATCH]> {
    match vec![[0; PACKET_BYTES]; BATCH].into_boxed_slice().try_into() {
        Ok(packets) => packets,
        Err(_) => unreachable!("a vector of that length"),
    }
}

fn ipv4_headers() -> MultiHeaders<SockaddrIn> {
    MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(TimeSpec)))
}

fn ipv6_headers() -> MultiHeaders<SockaddrIn6> {
    MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(TimeSpec, libc::in6_pktinfo, libc::c_int)))
}

impl ReceiveBatch {
    /// Packets that one [`ReceiveBatch::receive`] takes at most.
    pub const CAPACITY: usize = BATCH;

    /// Takes the packets that wait on a socket, at most [`ReceiveBatch::CAPACITY`], hands over those that are
    /// whole IP packets, and gives the number of all. Never blocks.
    ///
    /// # Errors
    /// A pending error of the socket, for example ENETDOWN after the interface went down: said once by the
    /// kernel, the socket remains usable.
    pub fn receive(&mut self, receiver: &Receiver, mut each: impl FnMut(Received<'_>)) -> io::Result<usize> {
        // The kernel cuts the room that a header names for control messages down to what it used, and
        // `recvmmsg` does not restore it. That does no harm while each packet of a family brings the same ones;
        // after one that did not, new headers are needed.
        let mut whole = true;
        let count = if receiver.key.address.is_ipv4() {
            let count = fill(receiver, &mut self.packets, &mut self.ipv4, |message, packet| {
                let beside = Beside::of(message);
                whole &= beside.arrived.is_some();
                let packet = parse_ipv4(packet).ok()?;
                each(Received {
                    arrived: beside.arrived,
                    source: packet.source,
                    destination: packet.destination,
                    hop_limit: Some(packet.hop_limit),
                    header: packet.header,
                    payload: packet.payload,
                });
                Some(())
            })?;
            if !whole {
                self.ipv4 = ipv4_headers();
            }
            count
        } else {
            let count = fill(receiver, &mut self.packets, &mut self.ipv6, |message, packet| {
                let Beside { destination, hop_limit, arrived } = Beside::of(message);
                whole &= destination.is_some() && hop_limit.is_some() && arrived.is_some();
                each(Received {
                    arrived,
                    source: message.address?.ip().into(),
                    destination: destination?.into(),
                    hop_limit,
                    header: &[],
                    payload: packet,
                });
                Some(())
            })?;
            if !whole {
                self.ipv6 = ipv6_headers();
            }
            count
        };
        Ok(count)
    }
}

/// One system call. `each` is given what was not cut, and gives `None` for what is of no use.
fn fill<S: SockaddrLike + Copy>(
    receiver: &Receiver,
    packets: &mut [[u8; PACKET_BYTES]; BATCH],
    headers: &mut MultiHeaders<S>,
    mut each: impl FnMut(&RecvMsg<'_, '_, S>, &[u8]) -> Option<()>,
) -> io::Result<usize> {
    let mut parts = packets.each_mut().map(|packet| [IoSliceMut::new(packet)]);
    let messages =
        match recvmmsg(receiver.socket.as_raw_fd(), headers, &mut parts, MsgFlags::MSG_DONTWAIT, None) {
            Ok(messages) => messages,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
    let mut count = 0;
    for message in messages {
        count += 1;
        if !message.flags.contains(MsgFlags::MSG_TRUNC) {
            each(&message, message.iovs().next().unwrap_or_default());
        }
    }
    Ok(count)
}

/// What the kernel tells beside a packet.
#[derive(Default)]
struct Beside {
    /// IPv6 only.
    destination: Option<Ipv6Addr>,
    /// IPv6 only.
    hop_limit: Option<u8>,
    arrived: Option<WallTime>,
}

impl Beside {
    /// Nothing where the kernel lacked room to tell all.
    fn of<S>(message: &RecvMsg<'_, '_, S>) -> Self {
        let mut beside = Self::default();
        for control in message.cmsgs().into_iter().flatten() {
            match control {
                ControlMessageOwned::Ipv6PacketInfo(information) => {
                    beside.destination = Some(information.ipi6_addr.s6_addr.into());
                }
                ControlMessageOwned::Ipv6HopLimit(value) => beside.hop_limit = u8::try_from(value).ok(),
                ControlMessageOwned::ScmTimestampns(time) => beside.arrived = wall_time(time),
                _ => {}
            }
        }
        beside
    }
}

fn wall_time(time: TimeSpec) -> Option<WallTime> {
    let seconds = u64::try_from(time.tv_sec()).ok()?;
    let nanos = u64::try_from(time.tv_nsec()).ok()?;
    Some(WallTime::from_unix_micros(seconds.checked_mul(1_000_000)?.checked_add(nanos / 1000)?))
}
