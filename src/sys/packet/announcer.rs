//! Sends Ethernet frames: gratuitous ARP and neighbour advertisements.

#![allow(unsafe_code)]

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use super::{batch::send_all, option};
use crate::kernel::Announcement;
use crate::net::LinkKey;
use crate::wire::arp::ArpFrame;
use crate::wire::ndisc::{self, NeighbourAdvertisement};

/// Frames in one system call.
const BATCH: usize = 64;

/// Bursts of some thousand frames fit.
const SEND_QUEUE_BYTES: i32 = 4 << 20;

/// A frame that announces an address.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    link: LinkKey,
    bytes: [u8; ndisc::FRAME_LENGTH],
    length: usize,
}

impl Frame {
    /// The gratuitous ARP or the neighbour advertisement.
    pub fn announcement(announcement: &Announcement) -> Self {
        let Announcement { link, mac, address, is_router } = *announcement;
        let mut frame = Self { link, bytes: [0; ndisc::FRAME_LENGTH], length: 0 };
        match address {
            IpAddr::V4(address) => frame.fill(&ArpFrame::gratuitous(mac, address).encode()),
            IpAddr::V6(address) => {
                frame.fill(&NeighbourAdvertisement::unsolicited(mac, address, is_router).encode());
            }
        }
        frame
    }

    fn fill(&mut self, bytes: &[u8]) {
        let length = bytes.len().min(self.bytes.len());
        self.bytes[..length].copy_from_slice(&bytes[..length]);
        self.length = length;
    }
}

/// A send-only packet socket.
#[derive(Debug)]
pub struct Announcer {
    socket: OwnedFd,
    names: Vec<libc::sockaddr_ll>,
    parts: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: the pointers are written before each system call and not used after it.
unsafe impl Send for Announcer {}

impl Announcer {
    /// Opens the socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// EPERM without `CAP_NET_RAW`.
    pub fn open() -> io::Result<Self> {
        // Protocol 0: nothing is received.
        let socket = option::open(libc::AF_PACKET, 0)?;
        option::set_buffer(&socket, false, SEND_QUEUE_BYTES)?;
        Ok(Self { socket, names: Vec::new(), parts: Vec::new(), headers: Vec::new() })
    }

    /// Sends all frames in order and gives position and error of each that could not be sent. Never blocks.
    pub fn send(&mut self, frames: &[Frame], mut failed: impl FnMut(usize, io::Error)) {
        for (number, batch) in frames.chunks(BATCH).enumerate() {
            self.send_batch(batch, |position, error| failed(number * BATCH + position, error));
        }
    }

    fn send_batch(&mut self, frames: &[Frame], failed: impl FnMut(usize, io::Error)) {
        self.names.clear();
        self.parts.clear();
        self.headers.clear();
        for frame in frames {
            let mut address = [0; 8];
            address[..6].copy_from_slice(&frame.bytes[..6]);
            self.names.push(libc::sockaddr_ll {
                sll_family: libc::AF_PACKET as u16,
                sll_protocol: u16::from_ne_bytes([frame.bytes[12], frame.bytes[13]]),
                sll_ifindex: i32::try_from(frame.link.index.get()).unwrap_or(0),
                sll_hatype: 0,
                sll_pkttype: 0,
                sll_halen: 6,
                sll_addr: address,
            });
            self.parts.push(libc::iovec {
                // The kernel does not write through it: sending only reads.
                iov_base: frame.bytes.as_ptr().cast_mut().cast(),
                iov_len: frame.length,
            });
        }
        // Both vectors are complete: their elements stay where they are.
        for (name, part) in self.names.iter_mut().zip(&mut self.parts) {
            // SAFETY: all zero is a valid mmsghdr.
            let mut header: libc::mmsghdr = unsafe { core::mem::zeroed() };
            header.msg_hdr.msg_name = (&raw mut *name).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            self.headers.push(header);
        }
        // SAFETY: each header points to a name, a part and a frame that live through the call.
        unsafe { send_all(&self.socket, &mut self.headers, failed) };
    }
}
