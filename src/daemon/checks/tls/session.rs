//! TLS on a connection of a check.

use std::borrow::Cow;
use std::io::{self, Read as _, Write as _};

use rustls::{AlertDescription, CertificateError, ClientConnection, Error};
use socket2::Socket;

use super::super::Step;
use crate::check::expiry;
use crate::sys::check_socket;
use crate::sys::edges::Edges;

/// Taken from the network at a time: one longest record. The library holds no more than that before it is read, and may have
/// the beginning of another one already; so what is in it is read as it comes, into the room behind.
const PORTION: usize = 16 * 1024;

/// One session, from the beginning of its handshake.
#[derive(Debug)]
pub(in crate::daemon::checks) struct Session {
    connection: ClientConnection,
    handshaking: bool,
    /// The peer has ended the session or the connection below.
    ended: bool,
    close_notify: bool,
    /// The server must have chosen HTTP/2.
    http2: bool,
}

impl Session {
    /// Begins; nothing is sent before the first [`Session::flush`].
    pub(super) const fn new(connection: ClientConnection, close_notify: bool, http2: bool) -> Self {
        Self { connection, handshaking: true, ended: false, close_notify, http2 }
    }

    /// Does what can be done, up to one event.
    pub(in crate::daemon::checks) fn step(
        &mut self,
        socket: &Socket,
        edges: &mut Edges,
        buffer: &mut [u8],
    ) -> Step {
        if core::mem::take(&mut edges.writable)
            && let Err(why) = self.flush(socket)
        {
            return Step::Failed(why.into());
        }
        if !edges.readable {
            return Step::Nothing;
        }
        if !self.ended {
            match self.take(socket, edges, buffer) {
                Ok(0) => {}
                Ok(length) => {
                    // The end is for the next turn.
                    edges.readable |= self.ended;
                    return Step::Received(length);
                }
                Err(why) => return Step::Failed(why),
            }
        }
        self.event(edges, buffer)
    }

    /// Takes a portion from the network, and gives how much is in it, which is then at the beginning of the buffer. What
    /// comes with the end of the handshake stays with the library.
    fn take(
        &mut self,
        mut socket: &Socket,
        edges: &mut Edges,
        buffer: &mut [u8],
    ) -> Result<usize, Cow<'static, str>> {
        let room = buffer.len().min(PORTION);
        let Some((portion, plain)) = buffer.split_at_mut_checked(room) else { return Ok(0) };
        let length = match socket.read(portion) {
            Ok(0) => {
                self.ended = true;
                return Ok(0);
            }
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                edges.readable = false;
                return Ok(0);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            Err(error) => return Err(check_socket::io_reason(&error).into()),
        };
        // Less than there is room for is all there was; behind it may be the end.
        edges.readable = length == room || edges.ended;
        let mut rest = portion.get(..length).unwrap_or(&[]);
        let mut filled = 0;
        while !rest.is_empty() {
            // After `close_notify` it takes nothing more.
            match self.connection.read_tls(&mut rest) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(format!("TLS: {error}").into()),
            }
            match self.connection.process_new_packets() {
                Ok(state) => self.ended |= state.peer_has_closed(),
                Err(error) => {
                    // The peer is told what is wrong, as far as that goes.
                    let _ = self.flush(socket);
                    return Err(reason(&error));
                }
            }
            if !self.handshaking
                && let Some(room) = plain.get_mut(filled..)
            {
                // Nothing there and the end are seen by whoever reads next.
                filled += self.connection.reader().read(room).unwrap_or(0);
            }
        }
        buffer.copy_within(room..room + filled, 0);
        self.flush(socket).map_err(Cow::Borrowed)?;
        Ok(filled)
    }

    /// What is there to be told.
    fn event(&mut self, edges: &mut Edges, buffer: &mut [u8]) -> Step {
        if self.handshaking {
            if self.connection.is_handshaking() {
                return match self.ended {
                    true => Step::Failed("closed within the handshake of TLS".into()),
                    false => Step::Nothing,
                };
            }
            self.handshaking = false;
            if self.http2 && self.connection.alpn_protocol() != Some(super::H2) {
                return Step::Failed("TLS: the server does not offer HTTP/2 (ALPN h2)".into());
            }
            // What came with the end of the handshake is for the next turn.
            edges.readable = true;
            let certificate = self.connection.peer_certificates().and_then(<[_]>::first);
            return Step::Connected(certificate.and_then(|certificate| expiry::of(certificate)));
        }
        match self.connection.reader().read(buffer) {
            Ok(0) => Step::Closed,
            Ok(length) => {
                // The end is for the next turn.
                edges.readable |= self.ended;
                Step::Received(length)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.ended => Step::Nothing,
            // Many servers end without `close_notify`.
            Err(_) => Step::Closed,
        }
    }

    /// Sends what is to be sent, as far as there is room.
    ///
    /// # Errors
    /// In words, when nothing can be sent any more.
    pub(in crate::daemon::checks) fn flush(&mut self, mut socket: &Socket) -> Result<(), &'static str> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(check_socket::io_reason(&error)),
            }
        }
        Ok(())
    }

    /// Sends it, now or when the kernel has room.
    pub(in crate::daemon::checks) fn send(&mut self, bytes: &[u8], socket: &Socket) {
        // What is said in a check is far less than it holds back, and why it does not arrive is found by reading.
        let _ = self.connection.writer().write_all(bytes);
        let _ = self.flush(socket);
    }

    /// The end: `close_notify` where that is asked for.
    pub(in crate::daemon::checks) fn close(&mut self, socket: &Socket) {
        if self.close_notify {
            self.connection.send_close_notify();
            // It goes as far as it goes.
            let _ = self.flush(socket);
        }
    }
}

/// What is wrong, in words.
fn reason(error: &Error) -> Cow<'static, str> {
    use CertificateError as C;
    match error {
        Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
            "TLS: its certificate has expired".into()
        }
        Error::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
            "TLS: its certificate is not valid yet".into()
        }
        Error::InvalidCertificate(C::UnknownIssuer) => {
            "TLS: its certificate is of an authority that is not trusted".into()
        }
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "TLS: the server does not offer HTTP/2 (ALPN h2)".into()
        }
        Error::AlertReceived(alert) => format!("TLS: the server refuses: {alert:?}").into(),
        other => format!("TLS: {other}").into(),
    }
}
