//! What the library of HTTP/2 takes for its connection: two buffers, which whoever drives the check fills and empties.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One end is the library's, the other its driver's. No task waits: the driver polls after each change.
#[derive(Clone, Debug, Default)]
pub(super) struct Pipe(Arc<Mutex<Buffers>>);

#[derive(Debug, Default)]
struct Buffers {
    /// From the server; the first `read` bytes of it were taken.
    incoming: Vec<u8>,
    read: usize,
    /// To the server.
    outgoing: Vec<u8>,
}

impl Pipe {
    /// Bytes that came from the server.
    pub(super) fn feed(&self, bytes: &[u8]) {
        self.buffers().incoming.extend_from_slice(bytes);
    }

    /// Bytes that are to go there.
    pub(super) fn drain(&self) -> Vec<u8> {
        core::mem::take(&mut self.buffers().outgoing)
    }

    fn buffers(&self) -> MutexGuard<'_, Buffers> {
        // Nothing panics while it is held, and bytes are bytes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut buffers = self.buffers();
        let fresh = buffers.incoming.get(buffers.read..).unwrap_or(&[]);
        if fresh.is_empty() {
            buffers.incoming.clear();
            buffers.read = 0;
            return Poll::Pending;
        }
        let length = fresh.len().min(into.remaining());
        into.put_slice(fresh.get(..length).unwrap_or(&[]));
        buffers.read += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.buffers().outgoing.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
