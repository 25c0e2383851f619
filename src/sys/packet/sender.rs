//! Sends IP packets through a chosen interface, with a header of our own where they fit into
//! one piece.

use std::io;
use std::net::IpAddr;

use socket2::{Domain, Socket};

use super::batch::{Message, SendBatch};
use crate::net::InterfaceIndex;
use crate::sys::socket;
use crate::wire::ip::{IpFields, VRRP_PROTOCOL, ipv4_header, ipv6_header};

/// Bursts of some thousand advertisements fit.
const SEND_QUEUE_BYTES: usize = 4 << 20;

/// `SO_PRIORITY` of routing protocols (`TC_PRIO_INTERACTIVE`).
const PRIORITY: u32 = 6;

/// An IP packet in parts.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Through this interface; `None` = the one that the routing table says for these addresses.
    pub link: Option<InterfaceIndex>,
    /// Source address of the IP header; of the same family as the destination.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// The rest of it.
    pub ip: IpFields,
    /// What follows the IP header.
    pub payload: &'a [u8],
}

/// One send-only socket for each family, and one more for IPv6 packets that do not fit into an interface's MTU.
#[derive(Debug)]
pub struct Sender {
    ipv4: Socket,
    /// `None` where the host has no IPv6.
    ipv6: Option<Ipv6Sockets>,
    batch: SendBatch,
    /// Positions of the packets that were too long, used again for each call.
    too_long: Vec<usize>,
}

#[derive(Debug)]
struct Ipv6Sockets {
    /// With a header of our own, which the kernel sends in one piece or not at all.
    whole: Socket,
    /// The kernel writes the header, and fragments: IPv6 routers do not (RFC 8200 §4.5).
    fragmenting: Socket,
}

impl Ipv6Sockets {
    fn open() -> io::Result<Self> {
        let open = |protocol| {
            let socket = socket::open_raw(Domain::IPV6, protocol)?;
            socket.set_multicast_loop_v6(false)?;
            prepare(&socket)?;
            io::Result::Ok(socket)
        };
        let (whole, fragmenting) = (open(libc::IPPROTO_RAW)?, open(VRRP_PROTOCOL.into())?);
        // A source that is not (any more) an address of this host, as with a header of our own.
        fragmenting.set_freebind_v6(true)?;
        Ok(Self { whole, fragmenting })
    }
}

impl Sender {
    /// Opens the sockets in the calling thread's network namespace.
    ///
    /// # Errors
    /// EPERM without `CAP_NET_RAW`.
    pub fn open() -> io::Result<Self> {
        let ipv4 = socket::open_raw(Domain::IPV4, libc::IPPROTO_RAW)?;
        ipv4.set_multicast_loop_v4(false)?;
        prepare(&ipv4)?;
        let ipv6 = match Ipv6Sockets::open() {
            Ok(sockets) => Some(sockets),
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { ipv4, ipv6, batch: SendBatch::default(), too_long: Vec::new() })
    }

    /// Sends all packets, in order within a family but for IPv6 packets that have to be fragmented, which come last,
    /// and gives the position and error of each that could not be sent. Never blocks.
    pub fn send(&mut self, packets: &[Packet<'_>], mut failed: impl FnMut(usize, io::Error)) {
        let of_family = |ipv4| {
            let numbered = packets.iter().enumerate();
            numbered.filter(move |(_, packet)| packet.destination.is_ipv4() == ipv4)
        };
        let Self { ipv4, ipv6, batch, too_long } = self;
        batch.send(ipv4, of_family(true).map(|(at, packet)| (at, message(packet))), &mut failed);
        let Some(sockets) = ipv6 else {
            let error = || io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
            return of_family(false).for_each(|(at, _)| failed(at, error()));
        };
        too_long.clear();
        batch.send(
            &sockets.whole,
            of_family(false).map(|(at, packet)| (at, message(packet))),
            |at, error| match error.raw_os_error() {
                Some(libc::EMSGSIZE) => too_long.push(at),
                _ => failed(at, error),
            },
        );
        if !too_long.is_empty() {
            let again = too_long.iter().filter_map(|at| Some((*at, payload(packets.get(*at)?))));
            batch.send(&sockets.fragmenting, again, failed);
        }
    }
}

fn prepare(socket: &Socket) -> io::Result<()> {
    socket::receive_nothing(socket)?;
    socket.set_priority(PRIORITY)?;
    socket::set_send_queue(socket, SEND_QUEUE_BYTES)
}

/// EMSGSIZE when the payload is too long or the families differ.
fn message<'a>(packet: &Packet<'a>) -> io::Result<Message<'a>> {
    let Packet { link, source, destination, ip, payload } = *packet;
    let impossible = || io::Error::from_raw_os_error(libc::EMSGSIZE);
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = ipv4_header(source, destination, ip, payload.len()).map_err(|_| impossible())?;
            Ok(Message::ipv4(link, source, destination, &header, payload))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = ipv6_header(source, destination, ip, payload.len()).map_err(|_| impossible())?;
            Ok(Message::ipv6(link, source, destination, &header, payload))
        }
        _ => Err(impossible()),
    }
}

/// The same for the kernel to write the header of.
fn payload<'a>(packet: &Packet<'a>) -> io::Result<Message<'a>> {
    let Packet { link, source, destination, ip, payload } = *packet;
    match (source, destination) {
        // The socket's protocol is what the kernel writes.
        (IpAddr::V6(source), IpAddr::V6(destination)) if ip.protocol == VRRP_PROTOCOL => {
            Ok(Message::ipv6_payload(link, source, destination, ip.hop_limit, payload))
        }
        _ => Err(io::Error::from_raw_os_error(libc::EMSGSIZE)),
    }
}
