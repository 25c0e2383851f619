//! Messages between two processes, which may carry a descriptor: a pair of sockets that keep the bounds of
//! what is sent (`SOCK_SEQPACKET`).

#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};

/// The longest message, in bytes: what the kernel takes at once with its default buffers (`wmem_default`,
/// 208 KiB), and some room.
pub const MESSAGE_BYTES: usize = 128 * 1024;

/// One end. Nothing here blocks.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sent {
    /// It waits for the other end, or was received.
    Done,
    /// Not sent: the other end does not keep up. The descriptor becomes writable when it does.
    Full,
    /// Not sent: there is no other end any more.
    Closed,
}

/// What was waiting.
#[derive(Debug)]
pub enum Received<'a> {
    /// A message, and a descriptor if it carried one and this process may have another.
    Message(&'a [u8], Option<OwnedFd>),
    /// Nothing yet.
    Nothing,
    /// There is no other end any more, and all that it sent was received.
    Closed,
}

impl Channel {
    /// Both ends. They are closed when another program is executed.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let (near, far) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Self { socket: near }, Self { socket: far }))
    }

    /// An end that was received as a descriptor.
    pub const fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Sends a message of 1 to [`MESSAGE_BYTES`] bytes, with a copy of a descriptor.
    ///
    /// # Errors
    /// EMSGSIZE for a longer message; ENOMEM, ETOOMANYREFS and the like when the system is at its limits.
    pub fn send(&self, message: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<Sent> {
        let raw: Option<[RawFd; 1]> = descriptor.map(|descriptor| [descriptor.as_raw_fd()]);
        let rights = raw.as_ref().map(|raw| ControlMessage::ScmRights(raw));
        let data = [IoSlice::new(message)];
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        loop {
            match sendmsg::<()>(self.socket.as_raw_fd(), &data, rights.as_slice(), flags, None) {
                Ok(_) => return Ok(Sent::Done),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(Sent::Full),
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(Sent::Closed),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The oldest message; `buffer` should have [`MESSAGE_BYTES`].
    ///
    /// # Errors
    /// `InvalidData` for a message longer than the buffer, which is lost then.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Received<'a>> {
        let (length, descriptor) = loop {
            let mut data = [IoSliceMut::new(buffer)];
            let mut control = cmsg_space!([RawFd; 1]);
            let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut data, Some(&mut control), flags) {
                Ok(message) => {
                    // Refused when the descriptor was cut off.
                    let mut descriptors =
                        message.cmsgs().into_iter().flatten().filter_map(|control| match control {
                            ControlMessageOwned::ScmRights(raw) => raw.first().copied(),
                            _ => None,
                        });
                    // SAFETY: the kernel has just made this descriptor for us alone.
                    let descriptor = descriptors.next().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) });
                    if message.flags.contains(MsgFlags::MSG_TRUNC) {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "message too long"));
                    }
                    break (message.bytes, descriptor);
                }
                // Told once when the other end was closed with messages unread; what it sent comes after it.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Err(Errno::EAGAIN) => return Ok(Received::Nothing),
                Err(error) => return Err(error.into()),
            }
        };
        match buffer.get(..length) {
            None | Some([]) => Ok(Received::Closed),
            Some(message) => Ok(Received::Message(message, descriptor)),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.socket
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Seek as _, Write as _};

    #[test]
    fn messages_keep_their_bounds_and_carry_descriptors() {
        let (near, far) = Channel::pair().unwrap();
        let mut buffer = vec![0; MESSAGE_BYTES];
        assert!(matches!(far.receive(&mut buffer).unwrap(), Received::Nothing));
        let mut file = crate::sys::process::memory_file("test").unwrap();
        file.write_all(b"in the file").unwrap();
        file.rewind().unwrap();
        assert_eq!(near.send(b"one", None).unwrap(), Sent::Done);
        assert_eq!(near.send(b"two", Some(file.as_fd())).unwrap(), Sent::Done);
        assert_eq!(near.send(&vec![7; MESSAGE_BYTES], None).unwrap(), Sent::Done);
        assert!(matches!(far.receive(&mut buffer).unwrap(), Received::Message(b"one", None)));
        let Received::Message(b"two", Some(descriptor)) = far.receive(&mut buffer).unwrap() else { panic!() };
        let mut text = String::new();
        std::fs::File::from(descriptor).read_to_string(&mut text).unwrap();
        assert_eq!(text, "in the file");
        let Received::Message(long, None) = far.receive(&mut buffer).unwrap() else { panic!() };
        assert_eq!(long.len(), MESSAGE_BYTES);
    }

    #[test]
    fn what_was_sent_before_the_end_is_received() {
        let (near, far) = Channel::pair().unwrap();
        let mut buffer = vec![0; 16];
        near.send(b"never read", None).unwrap();
        far.send(b"last words", None).unwrap();
        drop(far);
        assert!(matches!(near.receive(&mut buffer).unwrap(), Received::Message(b"last words", None)));
        assert!(matches!(near.receive(&mut buffer).unwrap(), Received::Closed));
        assert_eq!(near.send(b"x", None).unwrap(), Sent::Closed);
    }

    #[test]
    fn a_receiver_that_does_not_read_is_told_of() {
        let (near, far) = Channel::pair().unwrap();
        let mut sent = 0;
        while near.send(&[1; 1000], None).unwrap() == Sent::Done {
            sent += 1;
            assert!(sent < 100_000);
        }
        let mut buffer = vec![0; 1000];
        for _ in 0..sent {
            assert!(matches!(far.receive(&mut buffer).unwrap(), Received::Message(_, None)));
        }
        assert_eq!(near.send(&[1; 1000], None).unwrap(), Sent::Done);
        assert!(far.receive(&mut buffer[..10]).is_err(), "longer than the buffer");
        assert!(matches!(far.receive(&mut buffer).unwrap(), Received::Nothing));
    }
}
