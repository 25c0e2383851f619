//! Waiting for several descriptors, and being woken by another thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// How many ready descriptors one wake-up takes: more than there are, so that nothing that is ready has to
/// wait for the next one.
const EVENTS: usize = 1024;

/// A set of descriptors, each under a number of the caller's.
#[derive(Debug)]
pub struct Poller {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: vec![EpollEvent::empty(); EVENTS],
        })
    }

    /// Adds a descriptor: it is reported while it is readable or broken.
    ///
    /// # Errors
    /// When the kernel is out of memory or the descriptor cannot be waited for.
    pub fn add(&self, descriptor: &impl AsFd, token: u64) -> io::Result<()> {
        Ok(self.epoll.add(descriptor, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Whether a descriptor of the set is also reported while it takes more.
    ///
    /// # Errors
    /// When the descriptor is not in the set.
    pub fn watch_writable(&self, descriptor: &impl AsFd, token: u64, writable: bool) -> io::Result<()> {
        let mut flags = EpollFlags::EPOLLIN;
        flags.set(EpollFlags::EPOLLOUT, writable);
        Ok(self.epoll.modify(descriptor, &mut EpollEvent::new(flags, token))?)
    }

    /// Takes a descriptor out.
    pub fn remove(&self, descriptor: &impl AsFd) {
        // A descriptor that is not in the set needs no removal.
        let _ = self.epoll.delete(descriptor);
    }

    /// Waits until a descriptor is ready, or for `timeout` in whole milliseconds, and gives the numbers of those
    /// that are.
    ///
    /// # Errors
    /// None in practice; a signal only makes it return without a number.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<impl Iterator<Item = u64> + '_> {
        let timeout = timeout.map_or(EpollTimeout::NONE, |timeout| {
            u16::try_from(timeout.as_millis()).unwrap_or(u16::MAX).into()
        });
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        Ok(self.events.iter().take(count).map(EpollEvent::data))
    }
}

impl AsFd for Poller {
    /// Readable while any descriptor of the set is: a set can be part of another one.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

/// Waits until a descriptor takes more, at most `timeout` in whole milliseconds. True also when it is broken:
/// writing to it fails at once.
pub fn is_writable(descriptor: &impl AsFd, timeout: Duration) -> bool {
    let mut wanted = [PollFd::new(descriptor.as_fd(), PollFlags::POLLOUT)];
    let timeout = PollTimeout::from(u16::try_from(timeout.as_millis()).unwrap_or(u16::MAX));
    poll(&mut wanted, timeout) == Ok(1)
}

/// Wakes another process, forked from the one that made it, which waits for it.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// A bell that nobody has rung.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?.into()))
    }

    /// The same bell.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn share(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Makes the descriptor readable. Never blocks.
    pub fn ring(&self) {
        // Fails only when the counter is full, and then the descriptor is readable anyhow.
        let _ = nix::unistd::write(&self.0, &1u64.to_ne_bytes());
    }

    /// To be called by who waits *before* it looks: what is rung after this is seen again. True if it was rung.
    pub fn silence(&self) -> bool {
        nix::unistd::read(&self.0, &mut [0; 8]).is_ok()
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Wakes the thread that waits for it. Several wake-ups before that thread looks count as one, and only the
/// first costs a system call.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    event: EventFd,
    raised: AtomicBool,
}

impl Waker {
    /// A waker that nobody has called.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Self { shared: Arc::new(Shared { event, raised: AtomicBool::new(false) }) })
    }

    /// Makes the descriptor readable. Never blocks.
    pub fn wake(&self) {
        if !self.shared.raised.swap(true, Ordering::AcqRel) {
            // Fails only when the counter is full, and then the descriptor is readable anyhow.
            let _ = self.shared.event.write(1);
        }
    }

    /// To be called by the waiting thread *before* it looks for work: work put in after this wakes it again.
    pub fn acknowledge(&self) {
        let _ = self.shared.event.read();
        // A swap, not a store: it reads what `wake` wrote and so makes the work pushed before visible.
        self.shared.raised.swap(false, Ordering::AcqRel);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_is_reported_until_acknowledged() {
        let mut poller = Poller::new().unwrap();
        let waker = Waker::new().unwrap();
        poller.add(&waker, 7).unwrap();
        for _ in 0..2 {
            waker.wake();
            waker.wake();
            assert_eq!(poller.wait(None).unwrap().collect::<Vec<_>>(), [7]);
            waker.acknowledge();
        }
        assert_eq!(waker.shared.event.read(), Err(Errno::EAGAIN));
    }

    #[test]
    fn a_set_can_be_part_of_another() {
        let (inner, mut outer) = (Poller::new().unwrap(), Poller::new().unwrap());
        let waker = Waker::new().unwrap();
        inner.add(&waker, 1).unwrap();
        outer.add(&inner, 2).unwrap();
        assert_eq!(outer.wait(Some(Duration::from_millis(1))).unwrap().count(), 0);
        waker.wake();
        assert_eq!(outer.wait(None).unwrap().collect::<Vec<_>>(), [2]);
        outer.remove(&inner);
        assert_eq!(outer.wait(Some(Duration::ZERO)).unwrap().count(), 0);
    }

    #[test]
    fn no_work_is_lost_between_threads() {
        let queue = Arc::new(crossbeam_queue::SegQueue::new());
        let waker = Waker::new().unwrap();
        let (far_queue, far_waker) = (Arc::clone(&queue), waker.clone());
        let sender = std::thread::spawn(move || {
            for number in 0..20_000u32 {
                far_queue.push(number);
                far_waker.wake();
            }
        });
        let mut poller = Poller::new().unwrap();
        poller.add(&waker, 0).unwrap();
        let mut expected = 0;
        while expected < 20_000 {
            assert_eq!(poller.wait(None).unwrap().count(), 1);
            waker.acknowledge();
            while let Some(number) = queue.pop() {
                assert_eq!(number, expected);
                expected += 1;
            }
        }
        sender.join().unwrap();
    }
}
