//! TCP connections of checks.

use core::net::{IpAddr, SocketAddr};
use std::io::{self, Read as _};

use nix::errno::Errno;
use socket2::Socket;

use super::Step;
use super::tls::{Session, Tls};
use crate::check::TlsOpen;
use crate::sys::check_socket::{self, OpenError, Source};
use crate::sys::edges::Edges;

/// One connection.
#[derive(Debug)]
pub(super) struct Stream {
    socket: Socket,
    state: State,
    layer: Layer,
    /// Something was sent.
    said: bool,
    /// It has a port that the next one needs, too.
    keeps_port: bool,
    /// Why nothing can be sent any more. What the peer has said before is read first.
    deaf: Option<Errno>,
}

/// What is spoken on it.
#[derive(Debug)]
enum Layer {
    Plain {
        /// What the kernel has no room for yet.
        unsent: Vec<u8>,
    },
    /// TLS begins once it is connected.
    Secret {
        open: TlsOpen,
        to: IpAddr,
    },
    Tls(Box<Session>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Connecting,
    Open,
    Over,
}

impl Stream {
    /// Begins to connect.
    pub(super) fn connect(
        to: SocketAddr,
        from: &Source<'_>,
        tls: Option<&TlsOpen>,
    ) -> Result<Self, OpenError> {
        let layer = match tls {
            Some(open) => Layer::Secret { open: open.clone(), to: to.ip() },
            None => Layer::Plain { unsent: Vec::new() },
        };
        Ok(Self {
            socket: check_socket::stream(to, from)?,
            state: State::Connecting,
            layer,
            said: false,
            keeps_port: from.port != 0,
            deaf: None,
        })
    }

    pub(super) const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Does what can be done, up to one event.
    pub(super) fn step(&mut self, edges: &mut Edges, buffer: &mut [u8], tls: &Tls) -> Step {
        match self.state {
            State::Connecting => match self.connected(edges) {
                Step::Connected(_) => self.begin(tls),
                step => step,
            },
            State::Open => match &mut self.layer {
                Layer::Tls(session) => {
                    let step = session.step(&self.socket, edges, buffer);
                    if matches!(step, Step::Closed | Step::Failed(_)) {
                        self.state = State::Over;
                    }
                    step
                }
                _ => {
                    if core::mem::take(&mut edges.writable) {
                        self.flush();
                    }
                    if edges.readable { self.read(edges, buffer) } else { Step::Nothing }
                }
            },
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

    /// The connection is there. With TLS its handshake begins.
    fn begin(&mut self, tls: &Tls) -> Step {
        let Layer::Secret { open, to } = &self.layer else { return Step::Connected(None) };
        self.said = true;
        let begun = tls.begin(open, *to);
        match begun {
            Ok(mut session) => match session.flush(&self.socket) {
                Ok(()) => {
                    self.layer = Layer::Tls(Box::new(session));
                    Step::Nothing
                }
                Err(why) => self.fail(why),
            },
            Err(why) => {
                self.state = State::Over;
                Step::NotTried(why)
            }
        }
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
        match &mut self.layer {
            Layer::Plain { unsent } if unsent.is_empty() => *unsent = bytes,
            Layer::Plain { unsent } => unsent.extend_from_slice(&bytes),
            Layer::Tls(session) => session.send(&bytes, &self.socket),
            Layer::Secret { .. } => {}
        }
        self.flush();
    }

    fn flush(&mut self) {
        let Layer::Plain { unsent } = &mut self.layer else { return };
        while !unsent.is_empty() && self.deaf.is_none() {
            match self.socket.send_with_flags(unsent, libc::MSG_NOSIGNAL) {
                Ok(length) => drop(unsent.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.deaf = Some(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)));
                    *unsent = Vec::new();
                }
            }
        }
    }

    /// Ends it without waiting. One that only showed that the server takes connections leaves nothing behind, as with
    /// keepalived; one in which something was said ends in order.
    pub(super) fn close(mut self) {
        if let (State::Open, Layer::Tls(session)) = (self.state, &mut self.layer) {
            session.close(&self.socket);
        }
        if self.state == State::Open && (self.keeps_port || !self.said) {
            check_socket::abort(self.socket);
        }
    }
}
