//! How the web process, which has no right to open control sockets, becomes a client of the workers: it makes a pair of
//! sockets and hands one over. What comes through the door may look, and nothing else.
//!
//! A door belongs to one worker and closes with it: then the key fails at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as BlockingStream;

use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::sys::channel::{Channel, Received, Sent};
use crate::sys::readiness::Readiness;

/// What a connection comes with.
const KNOCK: &[u8] = b"connection";

/// Both sides of a door.
///
/// # Errors
/// When the system has no descriptor left.
pub(super) fn pair() -> io::Result<(Key, Door)> {
    let (key, door) = Channel::pair()?;
    Ok((Key(key), Door(door)))
}

/// Opens a door.
#[derive(Debug)]
pub(super) struct Key(Channel);

impl Key {
    /// One that was received as a descriptor.
    pub(super) const fn new(socket: OwnedFd) -> Self {
        Self(Channel::new(socket))
    }

    /// A new connection; to be called within a runtime.
    ///
    /// # Errors
    /// When the worker has ended (`ConnectionRefused`), or does not keep up.
    pub(super) fn connect(&self) -> io::Result<UnixStream> {
        let (near, far) = BlockingStream::pair()?;
        near.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        match self.0.send(KNOCK, Some(far.as_fd()))? {
            Sent::Done => UnixStream::from_std(near),
            Sent::Full => Err(io::ErrorKind::WouldBlock.into()),
            Sent::Closed => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

impl AsFd for Key {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The worker's side.
#[derive(Debug)]
pub(super) struct Door(Channel);

impl Door {
    /// The next who comes and still is there; `None` when nobody can come any more.
    pub(super) async fn next(&self) -> Option<UnixStream> {
        let ready = Readiness::of(&self.0).ok()?;
        let mut buffer = [0; 64];
        loop {
            match self.0.receive(&mut buffer) {
                Ok(Received::Message(KNOCK, Some(socket))) => {
                    let stream = UnixStream::from_std(BlockingStream::from(socket)).ok()?;
                    // Who has waited in vain while there was no time for it is gone.
                    let state = stream.ready(Interest::READABLE | Interest::WRITABLE).await.ok()?;
                    if !state.is_write_closed() {
                        return Some(stream);
                    }
                }
                Ok(Received::Nothing) => ready.changed().await.ok()?,
                Ok(Received::Closed) | Err(_) => return None,
                Ok(Received::Message(..)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn who_has_the_key_gets_through_and_finds_out_at_once_that_nobody_is_there() {
        let (key, door) = pair().unwrap();
        let gone = key.connect().unwrap();
        drop(gone);
        let mut near = key.connect().unwrap();
        near.write_all(b"x").await.unwrap();
        let mut far = door.next().await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'x', "the one who is gone is passed over");
        drop(door);
        assert_eq!(key.connect().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
