//! TCP connections of checks.

use core::net::SocketAddr;
use std::io::{self, Read as _};

use nix::errno::Errno;
use socket2::Socket;

use super::Step;
use crate::sys::check_socket::{self, OpenError, Source};
use crate::sys::edges::Edges;

/// One connection.
#[derive(Debug)]
pub(super) struct Stream {
    socket: Socket,
    state: State,
    /// What the kernel has no room for yet.
    unsent: Vec<u8>,
    /// Something was sent.
    said: bool,
    /// It has a port that the next one needs, too.
    keeps_port: bool,
    /// Why nothing can be sent any more. What the peer has said before is read first.
    deaf: Option<Errno>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Connecting,
    Open,
    Over,
}

impl Stream {
    /// Begins to connect.
    pub(super) fn connect(to: SocketAddr, from: &Source<'_>) -> Result<Self, OpenError> {
        Ok(Self {
            socket: check_socket::stream(to, from)?,
            state: State::Connecting,
            unsent: Vec::new(),
            said: false,
            keeps_port: from.port != 0,
            deaf: None,
        })
    }

    pub(super) const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Does what can be done, up to one event.
    pub(super) fn step(&mut self, edges: &mut Edges, buffer: &mut [u8]) -> Step {
        match self.state {
            State::Connecting => self.connected(edges),
            State::Open => {
                if core::mem::take(&mut edges.writable) {
                    self.flush();
                }
                if edges.readable { self.read(edges, buffer) } else { Step::Nothing }
            }
            State::Over => Step::Nothing,
        }
    }

    fn connected(&mut self, edges: &mut Edges) -> Step {
        if edges.broken {
            return match self.socket.take_error() {
                Ok(Some(error)) | Err(error) => self.fail(check_socket::io_reason(&error)),
                Ok(None) => self.fail("connection closed"),
            };
        }
        if !core::mem::take(&mut edges.writable) {
            return Step::Nothing;
        }
        self.state = State::Open;
        Step::Connected(None)
    }

    fn read(&mut self, edges: &mut Edges, buffer: &mut [u8]) -> Step {
        match (&self.socket).read(buffer) {
            Ok(0) => match self.deaf {
                Some(errno) => self.fail(check_socket::reason(errno)),
                None => {
                    self.state = State::Over;
                    Step::Closed
                }
            },
            Ok(length) => {
                // Less than there is room for is all there was; behind it may be the end.
                edges.readable = length == buffer.len() || edges.ended;
                Step::Received(length)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                edges.readable = false;
                Step::Nothing
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Step::Nothing,
            Err(error) => self.fail(check_socket::io_reason(&error)),
        }
    }

    fn fail(&mut self, why: &'static str) -> Step {
        self.state = State::Over;
        Step::Failed(why.into())
    }

    /// Sends it, now or when the kernel has room.
    pub(super) fn send(&mut self, bytes: Vec<u8>) {
        self.said = true;
        if self.unsent.is_empty() {
            self.unsent = bytes;
        } else {
            self.unsent.extend_from_slice(&bytes);
        }
        self.flush();
    }

    fn flush(&mut self) {
        while !self.unsent.is_empty() && self.deaf.is_none() {
            match self.socket.send_with_flags(&self.unsent, libc::MSG_NOSIGNAL) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.deaf = Some(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)));
                    self.unsent = Vec::new();
                }
            }
        }
    }

    /// Ends it without waiting. One that only showed that the server takes connections leaves nothing behind, as with
    /// keepalived; one in which something was said ends in order.
    pub(super) fn close(self) {
        if self.state == State::Open && (self.keeps_port || !self.said) {
            check_socket::abort(self.socket);
        }
    }
}
