//! Waiting for thousands of sockets that come and go: each costs one system call, which tells once of everything that
//! happens to it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// How many sockets one system call tells of.
const EVENTS: usize = 1024;

/// What happened to a socket since it was told of last.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Edges {
    /// There is something to read, or the peer ended the stream.
    pub(crate) readable: bool,
    /// There is room to write.
    pub(crate) writable: bool,
    /// It has an error, or is closed on both sides.
    pub(crate) broken: bool,
    /// The peer has ended the stream: behind what there is to read comes the end.
    pub(crate) ended: bool,
}

impl Edges {
    fn of(flags: EpollFlags) -> Self {
        let broken = flags.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        let ended = flags.intersects(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP);
        Self {
            readable: flags.contains(EpollFlags::EPOLLIN) || ended,
            writable: flags.contains(EpollFlags::EPOLLOUT),
            broken,
            ended,
        }
    }

    /// Takes what happened since.
    pub(crate) const fn add(&mut self, more: Self) {
        self.readable |= more.readable;
        self.writable |= more.writable;
        self.broken |= more.broken;
        self.ended |= more.ended;
    }
}

/// A set of sockets, each under a number of the caller's. A socket leaves it by being closed.
#[derive(Debug)]
pub(crate) struct EdgePoller {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl EdgePoller {
    /// An empty set.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: vec![EpollEvent::empty(); EVENTS],
        })
    }

    /// Adds a socket. What is the case already is told of at the next [`EdgePoller::collect`].
    ///
    /// # Errors
    /// When the kernel is out of memory or the user watches too many descriptors.
    pub(crate) fn add(&self, socket: &impl AsFd, token: u64) -> io::Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        Ok(self.epoll.add(socket, EpollEvent::new(flags, token))?)
    }

    /// Tells what happened since the last time, without waiting.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn collect(&mut self, mut tell: impl FnMut(u64, Edges)) -> io::Result<()> {
        // Bounded, should it go on happening faster than it is told of.
        for _ in 0..64 {
            let count = match self.epoll.wait(&mut self.events, EpollTimeout::ZERO) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => return Err(error.into()),
            };
            self.events.iter().take(count).for_each(|event| tell(event.data(), Edges::of(event.events())));
            if count < EVENTS {
                break;
            }
        }
        Ok(())
    }
}

impl AsFd for EdgePoller {
    /// Becomes readable whenever there is something to tell.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}
