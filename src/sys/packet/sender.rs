//! Sends IP packets of the VRRP protocol through a chosen interface, with a header of our own.

#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use super::{batch::send_all, option};
use crate::net::LinkKey;
use crate::wire::ip::{IPV6_HEADER_LENGTH, ipv4_header, ipv6_header};

/// Packets in one system call.
const BATCH: usize = 64;

/// Bursts of some thousand advertisements fit.
const SEND_QUEUE_BYTES: i32 = 4 << 20;

/// `SO_PRIORITY` of routing protocols (`TC_PRIO_INTERACTIVE`).
const PRIORITY: i32 = 6;

/// A VRRP message and the addresses around it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Through this interface.
    pub link: LinkKey,
    /// Source address of the IP header; of the same family as the destination.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// What follows the IP header.
    pub payload: &'a [u8],
}

/// One send-only socket for each family.
#[derive(Debug)]
pub struct Sender {
    ipv4: OwnedFd,
    /// `None` where the host has no IPv6.
    ipv6: Option<OwnedFd>,
    slots: Vec<Slot>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: the pointers in `slots` and `headers` are written before each system call and not used after it.
unsafe impl Send for Sender {}

#[derive(Clone, Copy)]
union Name {
    ipv4: libc::sockaddr_in,
    ipv6: libc::sockaddr_in6,
}

/// What one message of a `sendmmsg` points to.
#[repr(C)]
struct Slot {
    header: [u8; IPV6_HEADER_LENGTH],
    parts: [libc::iovec; 2],
    name: Name,
    control: Control,
}

#[repr(C, align(8))]
struct Control([u8; 48]);

impl core::fmt::Debug for Slot {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

impl Sender {
    /// Opens the sockets in the calling thread's network namespace.
    ///
    /// # Errors
    /// EPERM without `CAP_NET_RAW`.
    pub fn open() -> io::Result<Self> {
        let ipv4 = option::open(libc::AF_INET, libc::IPPROTO_RAW)?;
        option::set(&ipv4, libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP, &0i32)?;
        prepare(&ipv4)?;
        let ipv6 = match option::open(libc::AF_INET6, libc::IPPROTO_RAW) {
            Ok(socket) => {
                option::set(&socket, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP, &0i32)?;
                prepare(&socket)?;
                Some(socket)
            }
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { ipv4, ipv6, slots: Vec::new(), headers: Vec::new() })
    }

    /// Sends all packets, in order within a family, and gives the position and error of each that could not
    /// be sent. Never blocks.
    pub fn send(&mut self, packets: &[Packet<'_>], mut failed: impl FnMut(usize, io::Error)) {
        let mut positions = [0; BATCH];
        for ipv4 in [true, false] {
            let mut rest =
                packets.iter().enumerate().filter(|(_, packet)| packet.destination.is_ipv4() == ipv4);
            loop {
                self.slots.clear();
                for (position, packet) in rest.by_ref() {
                    match slot(packet) {
                        Some(slot) => {
                            positions[self.slots.len()] = position;
                            self.slots.push(slot);
                        }
                        None => failed(position, io::Error::from_raw_os_error(libc::EMSGSIZE)),
                    }
                    if self.slots.len() == BATCH {
                        break;
                    }
                }
                if self.slots.is_empty() {
                    break;
                }
                self.send_slots(ipv4, |slot, error| failed(positions[slot], error));
            }
        }
    }

    fn send_slots(&mut self, ipv4: bool, mut failed: impl FnMut(usize, io::Error)) {
        let socket = match (ipv4, &self.ipv6) {
            (true, _) => &self.ipv4,
            (false, Some(socket)) => socket,
            (false, None) => {
                for slot in 0..self.slots.len() {
                    failed(slot, io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
                }
                return;
            }
        };
        self.headers.clear();
        for slot in &mut self.slots {
            // The slots stay where they are from here on.
            slot.parts[0].iov_base = slot.header.as_mut_ptr().cast();
            let control = if ipv4 {
                // SAFETY: `CMSG_SPACE` only computes.
                unsafe { libc::CMSG_SPACE(size_of::<libc::in_pktinfo>() as u32) }
            } else {
                // SAFETY: as above.
                unsafe { libc::CMSG_SPACE(size_of::<libc::in6_pktinfo>() as u32) }
            };
            let name_length =
                if ipv4 { size_of::<libc::sockaddr_in>() } else { size_of::<libc::sockaddr_in6>() };
            // SAFETY: all zero is a valid mmsghdr.
            let mut header: libc::mmsghdr = unsafe { core::mem::zeroed() };
            header.msg_hdr.msg_name = (&raw mut slot.name).cast();
            header.msg_hdr.msg_namelen = name_length as libc::socklen_t;
            header.msg_hdr.msg_iov = slot.parts.as_mut_ptr();
            header.msg_hdr.msg_iovlen = 2;
            header.msg_hdr.msg_control = slot.control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = control as _;
            self.headers.push(header);
        }
        // SAFETY: each header points into its slot and its packet's payload, which live through the call.
        unsafe { send_all(socket, &mut self.headers, failed) };
    }
}

fn prepare(socket: &OwnedFd) -> io::Result<()> {
    option::receive_nothing(socket)?;
    option::set(socket, libc::SOL_SOCKET, libc::SO_PRIORITY, &PRIORITY)?;
    option::set_buffer(socket, false, SEND_QUEUE_BYTES)
}

/// `None` when the payload is too long or the families differ.
fn slot(packet: &Packet<'_>) -> Option<Slot> {
    let mut header = [0; IPV6_HEADER_LENGTH];
    let index = packet.link.index.get();
    let mut control = Control([0; 48]);
    let (header_length, name) = match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let bytes = ipv4_header(source, destination, packet.hop_limit, packet.payload.len()).ok()?;
            header[..bytes.len()].copy_from_slice(&bytes);
            let information = libc::in_pktinfo {
                ipi_ifindex: i32::try_from(index).ok()?,
                ipi_spec_dst: libc::in_addr { s_addr: 0 },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            write_control(&mut control, libc::IPPROTO_IP, libc::IP_PKTINFO, information);
            (bytes.len(), Name { ipv4: ipv4_name(destination) })
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            header = ipv6_header(source, destination, packet.hop_limit, packet.payload.len()).ok()?;
            let information =
                libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: [0; 16] }, ipi6_ifindex: index };
            write_control(&mut control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, information);
            (header.len(), Name { ipv6: ipv6_name(destination, index) })
        }
        _ => return None,
    };
    let parts = [
        libc::iovec { iov_base: core::ptr::null_mut(), iov_len: header_length },
        // The kernel does not write through it: sending only reads.
        libc::iovec { iov_base: packet.payload.as_ptr().cast_mut().cast(), iov_len: packet.payload.len() },
    ];
    Some(Slot { header, parts, name, control })
}

/// Writes one control message at the beginning of the buffer.
fn write_control<T: Copy>(control: &mut Control, level: i32, kind: i32, value: T) {
    const { assert!(size_of::<libc::cmsghdr>() + size_of::<T>() <= size_of::<Control>()) };
    let header: *mut libc::cmsghdr = control.0.as_mut_ptr().cast();
    // SAFETY: the buffer is aligned for a cmsghdr and, by the assertion, long enough for it and the value.
    unsafe {
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<T>() as u32) as _;
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        core::ptr::write_unaligned(libc::CMSG_DATA(header).cast(), value);
    }
}

fn ipv4_name(address: Ipv4Addr) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
        sin_zero: [0; 8],
    }
}

fn ipv6_name(address: Ipv6Addr, index: u32) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: address.octets() },
        sin6_scope_id: index,
    }
}
