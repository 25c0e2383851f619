//! Opening raw sockets, and what they have in common. Options are `socket2`'s, and `nix`' where it has none.

use core::mem::MaybeUninit;
use std::io;
use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

/// A raw socket that never blocks and is closed when another program is executed.
pub(crate) fn open_raw(domain: Domain, protocol: i32) -> io::Result<Socket> {
    Socket::new(domain, Type::RAW.nonblocking(), Some(Protocol::from(protocol)))
}

/// Room in bytes for what waits to be read. With privilege beyond the system's limit, else as far as that goes.
pub(crate) fn set_receive_queue(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    let forced = setsockopt(socket, sockopt::RcvBufForce, &bytes);
    Ok(forced.or_else(|_| setsockopt(socket, sockopt::RcvBuf, &bytes))?)
}

/// Makes room for so many bytes that wait to be read, unless there is more already.
pub(crate) fn hold_at_least(socket: &impl AsFd, usual: usize, bytes: usize) -> io::Result<()> {
    if bytes > usual { set_receive_queue(socket, bytes) } else { Ok(()) }
}

/// Room in bytes for what waits to be sent, likewise.
pub(crate) fn set_send_queue(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    let forced = setsockopt(socket, sockopt::SndBufForce, &bytes);
    Ok(forced.or_else(|_| setsockopt(socket, sockopt::SndBuf, &bytes))?)
}

/// Makes a socket that only sends drop everything that arrives.
pub(crate) fn receive_nothing(socket: &Socket) -> io::Result<()> {
    // BPF_RET | BPF_K with 0: keep no byte.
    socket.attach_filter(&[SockFilter::new(0x06, 0, 0, 0)])
}

/// Forgets what arrived before a non-blocking socket was bound or filtered.
pub(crate) fn discard_waiting(socket: &Socket) {
    let mut byte = [MaybeUninit::uninit()];
    // Bounded, should packets arrive faster than they are read.
    for _ in 0..10_000 {
        if socket.recv(&mut byte).is_err() {
            return;
        }
    }
}
