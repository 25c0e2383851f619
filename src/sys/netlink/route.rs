//! The kernel's routing netlink (`rtnetlink(7)`): links, addresses, routes.

use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::NetlinkSerializable;
use netlink_sys::protocols::NETLINK_ROUTE;

use super::datagram::Header;
use super::transport::{Acknowledge, Batch, NetlinkSocket, Options};
use crate::kernel::KernelError;
use crate::sys::socket;

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

    /// Lets at least so many bytes of answers wait; as many as usual where that is more.
    ///
    /// # Errors
    /// None in practice.
    pub fn hold_at_least(&self, bytes: usize) -> std::io::Result<()> {
        socket::hold_at_least(&self.0, RECEIVE_QUEUE_BYTES, bytes)
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

    /// As [`NetlinkSocket::dump`].
    pub(super) fn dump<T>(
        &mut self,
        request: impl NetlinkSerializable,
        read: impl FnMut(Header, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, KernelError> {
        self.0.dump(request, read)
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::link::LinkMessage;

    use super::*;

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
