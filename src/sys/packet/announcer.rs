//! Sends Ethernet frames: gratuitous ARP and neighbour advertisements.

use std::io;
use std::net::IpAddr;

use socket2::{Domain, Socket};

use super::batch::{Message, SendBatch};
use crate::kernel::Announcement;
use crate::net::InterfaceIndex;
use crate::sys::socket;
use crate::wire::arp::ArpFrame;
use crate::wire::ndisc::{self, NeighbourAdvertisement};

/// Bursts of some thousand frames fit.
const SEND_QUEUE_BYTES: usize = 4 << 20;

/// A frame that announces an address.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    link: InterfaceIndex,
    bytes: [u8; ndisc::FRAME_LENGTH],
    length: usize,
}

impl Frame {
    /// The gratuitous ARP or the neighbour advertisement.
    pub fn announcement(announcement: &Announcement) -> Self {
        let Announcement { link, mac, address, is_router, is_reply } = *announcement;
        let mut frame = Self { link, bytes: [0; ndisc::FRAME_LENGTH], length: 0 };
        match address {
            IpAddr::V4(address) if is_reply => {
                frame.fill(&ArpFrame::gratuitous_reply(mac, address).encode());
            }
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
    socket: Socket,
    batch: SendBatch,
}

impl Announcer {
    /// Opens the socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// EPERM without `CAP_NET_RAW`.
    pub fn open() -> io::Result<Self> {
        // Protocol 0: nothing is received.
        let socket = socket::open_raw(Domain::PACKET, 0)?;
        socket::set_send_queue(&socket, SEND_QUEUE_BYTES)?;
        Ok(Self { socket, batch: SendBatch::default() })
    }

    /// Sends all frames in order and gives position and error of each that could not be sent. Never blocks.
    pub fn send(&mut self, frames: &[Frame], failed: impl FnMut(usize, io::Error)) {
        let messages = frames.iter().map(|frame| {
            let bytes = frame.bytes.get(..frame.length).unwrap_or_default();
            Ok(Message::frame(frame.link, bytes))
        });
        self.batch.send(&self.socket, messages.enumerate(), failed);
    }
}
