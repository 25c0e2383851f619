//! Sends many messages in few system calls.
//!
//! Own code around `sendmmsg`: `nix` has it too, but with one set of control messages for all messages of a
//! call, and ours name the interface of each; and its link-layer addresses cannot be made without `unsafe`.

#![allow(unsafe_code)]

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{SockaddrIn, SockaddrIn6, SockaddrLike};

use crate::net::InterfaceIndex;
use crate::wire::ip::{IPV6_HEADER_LENGTH, TRAFFIC_CLASS};

/// Messages in one system call.
const BATCH: usize = 64;

/// A message to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    target: Target,
    interface: Option<InterfaceIndex>,
    header: [u8; IPV6_HEADER_LENGTH],
    header_length: usize,
    payload: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Ipv4 {
        destination: SockaddrIn,
        source: Ipv4Addr,
    },
    Ipv6 {
        destination: SockaddrIn6,
        source: Ipv6Addr,
    },
    /// The kernel writes the header.
    Ipv6Payload {
        destination: SockaddrIn6,
        source: Ipv6Addr,
        hop_limit: u8,
    },
    Link(libc::sockaddr_ll),
}

impl<'a> Message<'a> {
    /// A packet whose IPv4 header is ours.
    pub(super) fn ipv4(
        interface: Option<InterfaceIndex>,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        header: &[u8],
        payload: &'a [u8],
    ) -> Self {
        let target = Target::Ipv4 { destination: SocketAddrV4::new(destination, 0).into(), source };
        Self::new(target, interface, payload).with_header(header)
    }

    /// A packet whose IPv6 header is ours.
    pub(super) fn ipv6(
        interface: Option<InterfaceIndex>,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        header: &[u8],
        payload: &'a [u8],
    ) -> Self {
        let target = Target::Ipv6 { destination: scoped(destination, interface), source };
        Self::new(target, interface, payload).with_header(header)
    }

    /// The payload of an IPv6 packet, whose header the kernel writes: it sends in fragments what is longer than the
    /// interface's MTU.
    pub(super) fn ipv6_payload(
        interface: Option<InterfaceIndex>,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        hop_limit: u8,
        payload: &'a [u8],
    ) -> Self {
        let destination = scoped(destination, interface);
        Self::new(Target::Ipv6Payload { destination, source, hop_limit }, interface, payload)
    }

    /// A whole Ethernet frame.
    pub(super) fn frame(interface: InterfaceIndex, frame: &'a [u8]) -> Self {
        let mut address = [0; 8];
        if let Some(destination) = frame.get(..6) {
            address[..6].copy_from_slice(destination);
        }
        let protocol = frame.get(12..14).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
        let target = Target::Link(libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: u16::from_ne_bytes(protocol),
            sll_ifindex: i32::try_from(interface.get()).unwrap_or(0),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: address,
        });
        Self::new(target, Some(interface), frame)
    }

    fn new(target: Target, interface: Option<InterfaceIndex>, payload: &'a [u8]) -> Self {
        Self { target, interface, header: [0; IPV6_HEADER_LENGTH], header_length: 0, payload }
    }

    fn with_header(mut self, header: &[u8]) -> Self {
        self.header_length = header.len().min(self.header.len());
        self.header[..self.header_length].copy_from_slice(&header[..self.header_length]);
        self
    }
}

/// An address of a link needs the link.
fn scoped(destination: Ipv6Addr, interface: Option<InterfaceIndex>) -> SockaddrIn6 {
    SocketAddrV6::new(destination, 0, 0, interface.map_or(0, InterfaceIndex::get)).into()
}

/// Buffers for one system call, used again for each.
#[derive(Debug, Default)]
pub(super) struct SendBatch {
    slots: Vec<Slot>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: the pointers are written before each system call and not used after it.
unsafe impl Send for SendBatch {}

/// What the kernel reads of one message, beside its payload.
#[derive(Debug)]
struct Slot {
    position: usize,
    target: Target,
    header: [u8; IPV6_HEADER_LENGTH],
    parts: [libc::iovec; 2],
    control: Control,
}

/// Control messages, one behind the other.
#[derive(Debug)]
#[repr(C, align(8))]
struct Control {
    bytes: [u8; CONTROL_BYTES],
    length: usize,
}

/// Room for the three control messages of an IPv6 packet whose header the kernel writes.
const CONTROL_BYTES: usize = space::<libc::in6_pktinfo>() + 2 * space::<libc::c_int>();

/// Bytes that a control message takes with its padding.
const fn space<T>() -> usize {
    // SAFETY: computes a number.
    unsafe { libc::CMSG_SPACE(size_of::<T>() as u32) as usize }
}

impl SendBatch {
    /// Sends all messages in order, and gives the position and error of each that could not be sent. A
    /// message that could not even be made has no more than its error. Never blocks.
    pub(super) fn send<'a>(
        &mut self,
        socket: &impl AsFd,
        messages: impl IntoIterator<Item = (usize, io::Result<Message<'a>>)>,
        mut failed: impl FnMut(usize, io::Error),
    ) {
        let mut messages = messages.into_iter();
        loop {
            self.slots.clear();
            for (position, message) in messages.by_ref() {
                match message {
                    Ok(message) => self.slots.push(Slot::new(position, &message)),
                    Err(error) => failed(position, error),
                }
                if self.slots.len() == BATCH {
                    break;
                }
            }
            if self.slots.is_empty() {
                return;
            }
            self.send_slots(socket, &mut failed);
        }
    }

    /// The payloads that the slots point to are borrowed by [`SendBatch::send`], which calls this.
    fn send_slots(&mut self, socket: &impl AsFd, failed: &mut impl FnMut(usize, io::Error)) {
        self.headers.clear();
        // The slots stay where they are from here on.
        self.headers.extend(self.slots.iter_mut().map(Slot::point));
        let mut done = 0;
        while done < self.headers.len() {
            let rest = &mut self.headers[done..];
            // SAFETY: each header points into its slot, and each slot to a payload that is borrowed during the
            // call. The kernel reads all of it and writes `msg_len` alone.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_fd().as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as u32,
                    libc::MSG_DONTWAIT as _,
                )
            };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => done += sent,
                _ => {
                    let error = io::Error::last_os_error();
                    if error.raw_os_error() != Some(libc::EINTR) {
                        failed(self.slots[done].position, error);
                        done += 1;
                    }
                }
            }
        }
    }
}

impl Slot {
    fn new(position: usize, message: &Message<'_>) -> Self {
        let Message { target, interface, header, header_length, payload } = *message;
        let mut control = Control::default();
        match target {
            Target::Ipv4 { source, .. } => {
                // The header has the source. The routing table is told of it where it decides alone: it may have rules
                // for it.
                let source = if interface.is_some() { Ipv4Addr::UNSPECIFIED } else { source };
                let information = libc::in_pktinfo {
                    ipi_ifindex: interface.and_then(|link| i32::try_from(link.get()).ok()).unwrap_or(0),
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from(source).to_be() },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, information);
            }
            Target::Ipv6 { source, .. } => {
                let source = if interface.is_some() { Ipv6Addr::UNSPECIFIED } else { source };
                control.push_ipv6_information(interface, source);
            }
            Target::Ipv6Payload { source, hop_limit, .. } => {
                control.push_ipv6_information(interface, source);
                control.push(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, libc::c_int::from(hop_limit));
                control.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, libc::c_int::from(TRAFFIC_CLASS));
            }
            Target::Link(_) => {}
        }
        let parts = [
            libc::iovec { iov_base: core::ptr::null_mut(), iov_len: header_length },
            // The kernel does not write through it: sending only reads.
            libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() },
        ];
        Self { position, target, header, parts, control }
    }

    /// A header that points into this slot; of use while the slot stays where it is.
    fn point(&mut self) -> libc::mmsghdr {
        self.parts[0].iov_base = self.header.as_mut_ptr().cast();
        let (name, length): (*const libc::c_void, _) = match &self.target {
            Target::Ipv4 { destination: name, .. } => (name.as_ptr().cast(), name.len()),
            Target::Ipv6 { destination: name, .. } | Target::Ipv6Payload { destination: name, .. } => {
                (name.as_ptr().cast(), name.len())
            }
            Target::Link(name) => {
                let name: *const libc::sockaddr_ll = name;
                (name.cast(), size_of::<libc::sockaddr_ll>() as libc::socklen_t)
            }
        };
        // SAFETY: all zero is a valid mmsghdr.
        let mut header: libc::mmsghdr = unsafe { core::mem::zeroed() };
        header.msg_hdr.msg_name = name.cast_mut();
        header.msg_hdr.msg_namelen = length;
        header.msg_hdr.msg_iov = self.parts.as_mut_ptr();
        header.msg_hdr.msg_iovlen = 2;
        header.msg_hdr.msg_control = self.control.bytes.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = self.control.length as _;
        header
    }
}

impl Default for Control {
    fn default() -> Self {
        Self { bytes: [0; CONTROL_BYTES], length: 0 }
    }
}

impl Control {
    /// Through which interface, and from which address; unspecified where the header tells.
    fn push_ipv6_information(&mut self, interface: Option<InterfaceIndex>, source: Ipv6Addr) {
        let information = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
            ipi6_ifindex: interface.map_or(0, InterfaceIndex::get),
        };
        self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, information);
    }

    /// Adds a control message.
    fn push<T: Copy>(&mut self, level: i32, kind: i32, value: T) {
        let end = self.length + space::<T>();
        assert!(end <= self.bytes.len(), "no packet has more control messages");
        let header: *mut libc::cmsghdr = self.bytes[self.length..].as_mut_ptr().cast();
        // SAFETY: the buffer and each length are aligned for a cmsghdr and, by the assertion, there is room for it
        // and the value.
        unsafe {
            (*header).cmsg_len = libc::CMSG_LEN(size_of::<T>() as u32) as _;
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            core::ptr::write_unaligned(libc::CMSG_DATA(header).cast(), value);
        }
        self.length = end;
    }
}
