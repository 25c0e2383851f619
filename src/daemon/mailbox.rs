//! Messages between threads, without locks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crossbeam_queue::SegQueue;

use crate::sys::poll::Waker;

/// A queue that wakes its reader. Copies share one queue; one of them reads.
#[derive(Debug)]
pub(super) struct Mailbox<T> {
    queue: Arc<SegQueue<T>>,
    waker: Waker,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue), waker: self.waker.clone() }
    }
}

impl<T> Mailbox<T> {
    /// An empty one.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { queue: Arc::new(SegQueue::new()), waker: Waker::new()? })
    }

    /// Puts a message in and wakes the reader. Never blocks.
    pub(super) fn send(&self, message: T) {
        self.queue.push(message);
        self.waker.wake();
    }

    /// For the reader, before [`Mailbox::take`] and after the descriptor became readable.
    pub(super) fn acknowledge(&self) {
        self.waker.acknowledge();
    }

    /// The oldest message.
    pub(super) fn take(&self) -> Option<T> {
        self.queue.pop()
    }
}

impl<T> AsFd for Mailbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}
