//! Frames as they arrive on the interfaces of a namespace, with the kernel's time of arrival.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt};
use socket2::{Domain, SockFilter, Socket};

use crate::net::InterfaceIndex;
use crate::sys::socket;
use crate::time::WallTime;

/// Receive queue asked for: several seconds of advertisements and announcements.
const RECEIVE_QUEUE_BYTES: usize = 32 << 20;

/// A captured frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// When the kernel received it.
    pub time: WallTime,
    /// The interface it arrived on.
    pub interface: InterfaceIndex,
    /// The frame from its Ethernet header on.
    pub bytes: Vec<u8>,
}

/// A socket that sees what arrives on every interface of its namespace, filtered in the kernel to VRRP, ARP
/// and neighbour discovery. Frames that the namespace itself sends are left out.
#[derive(Debug)]
pub struct Capture {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Capture {
    /// Opens it in the calling thread's namespace; `CAP_NET_RAW`. Reads never block.
    pub fn open() -> io::Result<Self> {
        let every_protocol = i32::from((libc::ETH_P_ALL as u16).to_be());
        let socket = socket::open_raw(Domain::PACKET, every_protocol)?;
        socket.attach_filter(&FILTER)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        socket::set_receive_queue(&socket, RECEIVE_QUEUE_BYTES)?;
        let mut capture = Self { socket, buffer: vec![0; 2048] };
        // What arrived before the filter was attached.
        while capture.read()?.is_some() {}
        Ok(capture)
    }

    /// The next frame that waits, if any.
    pub fn read(&mut self) -> io::Result<Option<Frame>> {
        let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
        let mut pieces = [IoSliceMut::new(&mut self.buffer)];
        let received = match recvmsg::<LinkAddr>(
            self.socket.as_raw_fd(),
            &mut pieces,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(received) => received,
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut time = WallTime::default();
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmTimestampns(stamp) = message {
                let us = stamp.tv_sec() * 1_000_000 + stamp.tv_nsec() / 1000;
                time = WallTime::from_unix_micros(us.unsigned_abs());
            }
        }
        let (length, address) = (received.bytes, received.address);
        let interface = address
            .and_then(|address| u32::try_from(address.ifindex()).ok())
            .and_then(InterfaceIndex::new)
            .ok_or_else(|| io::Error::other("a captured frame names no interface"))?;
        Ok(Some(Frame { time, interface, bytes: self.buffer[..length.min(self.buffer.len())].to_vec() }))
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Accepts ARP, IP protocol 112 (51 too over IPv4), and ICMPv6, unless outgoing.
static FILTER: [SockFilter; 14] = [
    // Type of packet (SKF_AD_PKTTYPE): drop PACKET_OUTGOING.
    load(LOAD_WORD, 0xffff_f000 + 4),
    jump(4, 11, 0),
    // EtherType.
    load(LOAD_HALF, 12),
    jump(0x0806, 8, 0),
    jump(0x0800, 0, 3),
    // Protocol of IPv4.
    load(LOAD_BYTE, 23),
    jump(112, 5, 0),
    jump(51, 4, 5),
    jump(0x86dd, 0, 4),
    // Next header of IPv6.
    load(LOAD_BYTE, 20),
    jump(112, 1, 0),
    jump(58, 0, 1),
    give(0xffff),
    give(0),
];

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;

const fn load(code: u16, offset: u32) -> SockFilter {
    SockFilter::new(code, 0, 0, offset)
}

const fn jump(value: u32, if_equal: u8, otherwise: u8) -> SockFilter {
    SockFilter::new(0x15, if_equal, otherwise, value)
}

const fn give(length: u32) -> SockFilter {
    SockFilter::new(0x06, 0, 0, length)
}
