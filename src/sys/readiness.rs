//! Waiting in an asynchronous runtime for descriptors that are read elsewhere.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Tells when a descriptor became readable.
#[derive(Debug)]
pub(crate) struct Readiness {
    descriptor: AsyncFd<OwnedFd>,
    interest: Interest,
}

impl Readiness {
    /// Of a copy of the descriptor; to be called within a runtime.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub(crate) fn of(descriptor: &impl AsFd) -> io::Result<Self> {
        Self::with(descriptor, Interest::READABLE)
    }

    /// The same for the writing end of a pipe: tells when there is room again, or when nobody reads any more.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub(crate) fn of_writer(descriptor: &impl AsFd) -> io::Result<Self> {
        Self::with(descriptor, Interest::WRITABLE)
    }

    fn with(descriptor: &impl AsFd, interest: Interest) -> io::Result<Self> {
        let copy = descriptor.as_fd().try_clone_to_owned()?;
        // SAFETY: the copy is owned, so that it is open and the same until it is dropped here.
        let descriptor = unsafe { AsyncFd::register_with_interest(copy, interest) }?;
        Ok(Self { descriptor, interest })
    }

    /// Waits until the descriptor became readable since the last call. All that can be read must be read then: what is
    /// left is not told of again.
    ///
    /// # Errors
    /// When the runtime ends.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        self.descriptor.ready(self.interest).await?.clear_ready();
        Ok(())
    }
}
