//! Sends many messages in few system calls.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// Sends all messages in order, and gives the position and error of each that could not be sent. Never blocks.
///
/// # Safety
/// Everything that the headers point to must live through the call. The kernel reads it and writes only
/// `msg_len`.
pub(super) unsafe fn send_all(
    socket: &OwnedFd,
    headers: &mut [libc::mmsghdr],
    mut failed: impl FnMut(usize, io::Error),
) {
    let mut done = 0;
    while done < headers.len() {
        let rest = &mut headers[done..];
        // SAFETY: the slice is whole, and the caller vouches for what its elements point to.
        let sent = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, libc::MSG_DONTWAIT as _)
        };
        match usize::try_from(sent) {
            Ok(sent) if sent > 0 => done += sent,
            _ => {
                let error = io::Error::last_os_error();
                if error.raw_os_error() != Some(libc::EINTR) {
                    failed(done, error);
                    done += 1;
                }
            }
        }
    }
}
