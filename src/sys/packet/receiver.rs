//! Receives VRRP packets: one socket for each interface and group, many packets in one system call.

#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::option;
use crate::kernel::{KernelError, ReceiveSocket};
use crate::sys::netlink::error_from_io;
use crate::time::WallTime;
use crate::wire::ip::{VRRP_PROTOCOL, parse_ipv4};

/// Packets in one system call.
const BATCH: usize = 32;

/// The longest packet that can be an advertisement: IPv6, 255 addresses and a trailer are 4116 bytes; IPv4
/// with the longest header 1116. Longer ones are cut and then dropped by the length check.
const PACKET_BYTES: usize = 4352;

/// Two seconds of advertisements of 250 virtual routers, each 0.1 s.
const RECEIVE_QUEUE_BYTES: i32 = 4 << 20;

/// Room for packet information, hop limit and time of arrival.
const CONTROL_BYTES: usize = 128;

/// A socket that receives on one interface what is sent to one group or address.
#[derive(Debug)]
pub struct Receiver {
    socket: OwnedFd,
    key: ReceiveSocket,
}

impl Receiver {
    /// Opens it in the calling thread's network namespace. Takes the kernel's big network lock.
    ///
    /// # Errors
    /// In the kernel's words, for example EPERM without `CAP_NET_RAW` or ENODEV when the interface is gone.
    pub fn open(key: ReceiveSocket) -> Result<Self, KernelError> {
        let open = match key.address {
            IpAddr::V4(address) => open_ipv4(key, address),
            IpAddr::V6(address) => open_ipv6(key, address),
        };
        let socket = open.map_err(|error| error_from_io(&error))?;
        Ok(Self { socket, key })
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

fn open_ipv4(key: ReceiveSocket, address: Ipv4Addr) -> io::Result<OwnedFd> {
    let socket = option::open(libc::AF_INET, i32::from(VRRP_PROTOCOL))?;
    let index = bind_to_link(&socket, key)?;
    if address.is_multicast() {
        option::set(&socket, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, &0i32)?;
        let membership = libc::ip_mreqn {
            imr_multiaddr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
            imr_address: libc::in_addr { s_addr: 0 },
            imr_ifindex: index,
        };
        option::set(&socket, libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, &membership)?;
    } else {
        option::set(&socket, libc::IPPROTO_IP, libc::IP_FREEBIND, &1i32)?;
        let name = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
            sin_zero: [0; 8],
        };
        bind(&socket, &name)?;
    }
    Ok(socket)
}

fn open_ipv6(key: ReceiveSocket, address: Ipv6Addr) -> io::Result<OwnedFd> {
    let socket = option::open(libc::AF_INET6, i32::from(VRRP_PROTOCOL))?;
    let index = bind_to_link(&socket, key)?;
    option::set(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, &1i32)?;
    option::set(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, &1i32)?;
    if address.is_multicast() {
        // Since Linux 4.20; without it the socket gets what other sockets joined, and the node sorts it out.
        let _ = option::set(&socket, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_ALL, &0i32);
        let membership = libc::ipv6_mreq {
            ipv6mr_multiaddr: libc::in6_addr { s6_addr: address.octets() },
            ipv6mr_interface: u32::try_from(index).unwrap_or(0),
        };
        option::set(&socket, libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP, &membership)?;
    } else {
        option::set(&socket, libc::IPPROTO_IPV6, libc::IPV6_FREEBIND, &1i32)?;
        let name = libc::sockaddr_in6 {
            sin6_family: libc::AF_INET6 as libc::sa_family_t,
            sin6_port: 0,
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: address.octets() },
            sin6_scope_id: u32::try_from(index).unwrap_or(0),
        };
        bind(&socket, &name)?;
    }
    Ok(socket)
}

fn bind_to_link(socket: &OwnedFd, key: ReceiveSocket) -> io::Result<i32> {
    let index = i32::try_from(key.link.index.get()).map_err(io::Error::other)?;
    option::set(socket, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, &index)?;
    option::set_buffer(socket, true, RECEIVE_QUEUE_BYTES)?;
    option::set(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1i32)?;
    discard_waiting(socket);
    Ok(index)
}

/// Forgets what arrived on other interfaces before the socket was bound to its own.
fn discard_waiting(socket: &OwnedFd) {
    let mut byte = [0u8; 1];
    // Bounded, should packets arrive faster than they are read.
    for _ in 0..10_000 {
        // SAFETY: writes at most one byte into `byte`.
        let got = unsafe { libc::recv(socket.as_raw_fd(), byte.as_mut_ptr().cast(), 1, libc::MSG_DONTWAIT) };
        if got < 0 {
            return;
        }
    }
}

fn bind<T>(socket: &OwnedFd, name: &T) -> io::Result<()> {
    // SAFETY: `name` is a socket address of that many bytes, which lives through the call.
    match unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const *name).cast(), size_of::<T>() as libc::socklen_t)
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
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
    /// The VRRP message, without IP header.
    pub payload: &'a [u8],
    /// When the kernel got it, where it tells.
    pub arrived: Option<WallTime>,
}

/// Buffers for one system call, used again for each.
#[derive(Debug)]
pub struct ReceiveBatch {
    /// One packet after the other. Its pages cost memory only once so many packets came at once.
    packets: Vec<u8>,
    slots: Vec<Slot>,
    headers: Vec<libc::mmsghdr>,
    filled: usize,
}

// SAFETY: the pointers are written before each system call and not used after it.
unsafe impl Send for ReceiveBatch {}

#[repr(C, align(8))]
struct Slot {
    control: [u8; CONTROL_BYTES],
    name: libc::sockaddr_in6,
    part: libc::iovec,
}

impl core::fmt::Debug for Slot {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        // SAFETY: all zero is valid for these plain C types.
        let slots = (0..BATCH).map(|_| unsafe { core::mem::zeroed() }).collect();
        Self { packets: vec![0; BATCH * PACKET_BYTES], slots, headers: Vec::with_capacity(BATCH), filled: 0 }
    }
}

impl ReceiveBatch {
    /// Packets that one [`ReceiveBatch::fill`] takes at most.
    pub const CAPACITY: usize = BATCH;

    /// Takes the packets that wait on a socket, at most [`ReceiveBatch::CAPACITY`], and gives their number.
    /// Never blocks.
    ///
    /// # Errors
    /// A pending error of the socket, for example ENETDOWN after the interface went down: said once by the
    /// kernel, the socket remains usable.
    pub fn fill(&mut self, receiver: &Receiver) -> io::Result<usize> {
        self.filled = 0;
        self.headers.clear();
        for (slot, packet) in self.slots.iter_mut().zip(self.packets.chunks_exact_mut(PACKET_BYTES)) {
            slot.part = libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: packet.len() };
            // SAFETY: all zero is a valid mmsghdr.
            let mut header: libc::mmsghdr = unsafe { core::mem::zeroed() };
            header.msg_hdr.msg_name = (&raw mut slot.name).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            header.msg_hdr.msg_iov = &raw mut slot.part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = slot.control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_BYTES as _;
            self.headers.push(header);
        }
        // SAFETY: each header points to buffers of the given lengths that nothing else uses during the call.
        let received = unsafe {
            libc::recvmmsg(
                receiver.socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as u32,
                libc::MSG_DONTWAIT as _,
                core::ptr::null_mut(),
            )
        };
        match usize::try_from(received) {
            Ok(received) => {
                self.filled = received;
                Ok(received)
            }
            Err(_) => match io::Error::last_os_error() {
                error if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => Ok(0),
                error => Err(error),
            },
        }
    }

    /// The packets of the last [`ReceiveBatch::fill`], without those that are no whole IP packet.
    pub fn packets(&self) -> impl Iterator<Item = Received<'_>> {
        let packets = self.packets.chunks_exact(PACKET_BYTES);
        self.headers.iter().take(self.filled).zip(packets).filter_map(|(header, packet)| {
            let packet = packet.get(..header.msg_len as usize)?;
            if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
                return None;
            }
            // SAFETY: the name buffer holds a sockaddr_in6, and all bit patterns are valid for it.
            let name: libc::sockaddr_in6 = unsafe { core::ptr::read(header.msg_hdr.msg_name.cast()) };
            match i32::from(name.sin6_family) {
                libc::AF_INET => {
                    let packet = parse_ipv4(packet).ok()?;
                    Some(Received {
                        arrived: control(&header.msg_hdr).arrived,
                        source: packet.source,
                        destination: packet.destination,
                        hop_limit: Some(packet.hop_limit),
                        payload: packet.payload,
                    })
                }
                libc::AF_INET6 => {
                    let Control { destination, hop_limit, arrived } = control(&header.msg_hdr);
                    Some(Received {
                        arrived,
                        source: Ipv6Addr::from(name.sin6_addr.s6_addr).into(),
                        destination: destination?.into(),
                        hop_limit,
                        payload: packet,
                    })
                }
                _ => None,
            }
        })
    }
}

/// What the kernel tells beside a packet.
#[derive(Default)]
struct Control {
    /// IPv6 only.
    destination: Option<Ipv6Addr>,
    /// IPv6 only.
    hop_limit: Option<u8>,
    arrived: Option<WallTime>,
}

fn control(header: &libc::msghdr) -> Control {
    let mut control = Control::default();
    // SAFETY: the kernel wrote `msg_controllen` bytes of control messages into our buffer; the macros stay
    // within them, and `value` reads unaligned after the length was checked.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let information = value::<libc::in6_pktinfo>(message);
                    control.destination = information.map(|value| value.ipi6_addr.s6_addr.into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                    control.hop_limit = value::<i32>(message).and_then(|value| u8::try_from(value).ok());
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    control.arrived = value::<libc::timespec>(message).and_then(|time| {
                        let seconds = u64::try_from(time.tv_sec).ok()?;
                        let nanos = u64::try_from(time.tv_nsec).ok()?;
                        Some(WallTime::from_unix_micros(seconds.checked_mul(1_000_000)? + nanos / 1000))
                    });
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    control
}

/// The content of a control message, if it is that long.
///
/// # Safety
/// `message` must point to a control message within its buffer, and `T` be a plain C type.
unsafe fn value<T: Copy>(message: *const libc::cmsghdr) -> Option<T> {
    // SAFETY: as the caller promises; the length covers the value.
    unsafe {
        let length: usize = (*message).cmsg_len as _;
        let whole = length >= libc::CMSG_LEN(size_of::<T>() as u32) as usize;
        whole.then(|| core::ptr::read_unaligned(libc::CMSG_DATA(message).cast()))
    }
}
