//! The kernel's routing netlink (`rtnetlink(7)`): links, addresses, routes.

use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;

use super::datagram::Header;
use super::transport::{Acknowledge, Batch, NetlinkSocket, Options};
use crate::kernel::KernelError;

/// The answers to 500 refused requests fit.
const RECEIVE_QUEUE_BYTES: usize = 4 << 20;

/// A batch of some thousand requests fits.
const SEND_QUEUE_BYTES: usize = 8 << 20;

/// A blocking `NETLINK_ROUTE` socket for requests.
#[derive(Debug)]
pub struct RouteSocket(NetlinkSocket);

impl RouteSocket {
    /// Opens it in the calling thread's network namespace, where it stays.
    ///
    /// # Errors
    /// In the kernel's words.
    pub fn open() -> Result<Self, KernelError> {
        let options = Options {
            protocol: NETLINK_ROUTE,
            groups: &[],
            receive_queue: RECEIVE_QUEUE_BYTES,
            send_queue: SEND_QUEUE_BYTES,
        };
        NetlinkSocket::open(options).map(Self)
    }

    /// One request with `NLM_F_*` flags, and the kernel's answer to it.
    pub fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), KernelError> {
        let mut batch = Batch::default();
        batch.push(message, flags);
        self.send(batch, Acknowledge::Last)?.pop().unwrap_or(Ok(()))
    }

    /// As [`NetlinkSocket::send`]. About 10 µs an IPv4 address, more where thousands are there already, so keep
    /// batches at 64 to 500.
    pub(crate) fn send(
        &mut self,
        batch: Batch,
        acknowledge: Acknowledge,
    ) -> Result<Vec<Result<(), KernelError>>, KernelError> {
        self.0.send(batch, acknowledge)
    }

    /// All objects that `request` (a `Get…`) asks for. One that a newer kernel writes in a way that cannot be read
    /// is left out.
    pub fn dump(&mut self, request: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, KernelError> {
        self.0.dump(request, object)
    }

    /// All interfaces.
    pub fn dump_links(&mut self) -> Result<Vec<LinkMessage>, KernelError> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.0.dump(request, |header, body| match object(header, body)? {
            RouteNetlinkMessage::NewLink(link) => Some(link),
            _ => None,
        })
    }

    /// All addresses of both families.
    pub fn dump_addresses(&mut self) -> Result<Vec<AddressMessage>, KernelError> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.0.dump(request, |header, body| match object(header, body)? {
            RouteNetlinkMessage::NewAddress(address) => Some(address),
            _ => None,
        })
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn object(header: Header, body: &[u8]) -> Option<RouteNetlinkMessage> {
    let mut whole = NetlinkHeader::default();
    whole.message_type = header.kind;
    RouteNetlinkMessage::deserialize(&whole, body).ok()
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
            let results = socket.send(batch.clone(), acknowledge).unwrap();
            assert_eq!(results.len(), 2);
            for result in results {
                assert_eq!(result.unwrap_err().errno, libc::ENODEV);
            }
        }
    }
}
