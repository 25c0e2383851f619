//! Sockets of checks that send and receive one packet at a time: UDP and ICMP echo.

use core::net::{IpAddr, SocketAddr};
use std::io::{self, Read as _};

use etherparse::checksum::Sum16BitWords;
use socket2::Socket;

use super::Step;
use crate::sys::check_socket::{self, EchoSocket, OpenError, Source};
use crate::sys::edges::Edges;

/// The length of an ICMP header.
const ICMP_HEADER: usize = 8;

/// A connected socket.
#[derive(Debug)]
pub(super) struct Datagrams {
    socket: Socket,
    raw: Option<RawEcho>,
}

/// What the kernel leaves to us on a raw ICMP socket.
#[derive(Debug)]
struct RawEcho {
    is_v4: bool,
    /// Ours: of the same peer's answers, each socket gets all.
    identifier: [u8; 2],
}

impl Datagrams {
    pub(super) fn udp(to: SocketAddr, from: &Source<'_>) -> Result<Self, OpenError> {
        Ok(Self { socket: check_socket::datagrams(to, from)?, raw: None })
    }

    pub(super) fn echo(to: IpAddr, from: &Source<'_>, identifier: u16) -> Result<Self, OpenError> {
        let EchoSocket { socket, raw } = check_socket::echo(to, from)?;
        let identifier = identifier.to_be_bytes();
        Ok(Self { socket, raw: raw.then_some(RawEcho { is_v4: to.is_ipv4(), identifier }) })
    }

    pub(super) const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Reads one datagram, or the error that came back.
    pub(super) fn step(&mut self, edges: &mut Edges, buffer: &mut [u8]) -> Step {
        if !edges.readable && !edges.broken {
            return Step::Nothing;
        }
        edges.readable = true;
        match (&self.socket).read(buffer) {
            Ok(length) => match &self.raw {
                None => Step::Received(length),
                Some(raw) => raw.strip(buffer, length).map_or(Step::Nothing, Step::Received),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                *edges = Edges::default();
                Step::Nothing
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Step::Nothing,
            Err(error) => Step::Failed(check_socket::io_reason(&error).into()),
        }
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// In words, when it cannot be sent, or an error came back before.
    pub(super) fn send(&self, mut bytes: Vec<u8>) -> Result<(), &'static str> {
        if let Some(raw) = &self.raw {
            raw.complete(&mut bytes);
        }
        match self.socket.send_with_flags(&bytes, libc::MSG_NOSIGNAL) {
            // What there is no room for is lost, as datagrams are.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(check_socket::io_reason(&error)),
            Ok(_) => Ok(()),
        }
    }
}

impl RawEcho {
    /// Fills in the identifier and, where the kernel does not, the checksum (RFC 792).
    fn complete(&self, packet: &mut [u8]) {
        let Some(header) = packet.first_chunk_mut::<ICMP_HEADER>() else { return };
        header[2..4].fill(0);
        header[4..6].copy_from_slice(&self.identifier);
        if self.is_v4 {
            let checksum = Sum16BitWords::new().add_slice(packet).ones_complement().to_ne_bytes();
            packet[2..4].copy_from_slice(&checksum);
        }
    }

    /// Moves what follows the IP header to the front. How long it is, if it is for this socket.
    fn strip(&self, buffer: &mut [u8], length: usize) -> Option<usize> {
        let header = if self.is_v4 { usize::from(buffer.first()? & 0x0f) * 4 } else { 0 };
        let packet = buffer.get(header..length)?;
        if packet.get(4..6)? != self.identifier {
            return None;
        }
        buffer.copy_within(header..length, 0);
        Some(length - header)
    }
}
