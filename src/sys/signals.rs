//! Signals: their numbers, and a descriptor that receives them.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// A signal that the daemon reacts to: keepalived's, whose numbers `--signum` gives, and the two switch signals.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Signal {
    /// TERM: orderly stop.
    Stop,
    /// INT: as TERM.
    Interrupt,
    /// HUP: read the configuration again.
    Reload,
    /// USR1: write the state to files.
    Data,
    /// USR2: write the counters to a file.
    Stats,
    /// SIGRTMAX-1: write the counters, then set them to 0.
    StatsClear,
    /// SIGRTMIN+2: write the state as JSON.
    Json,
    /// SIGRTMAX: keepalived's thread dump.
    ThreadDump,
    /// SIGRTMIN+3: every master hands over.
    SwitchOver,
    /// SIGRTMIN+4: ends a switch-over.
    SwitchBack,
    /// SIGRTMIN+5: from the supervisor alone: the worker leaves to the next one, and gives nothing up.
    Leave,
    /// CHLD: a child ended.
    Child,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Stop,
        Self::Interrupt,
        Self::Reload,
        Self::Data,
        Self::Stats,
        Self::StatsClear,
        Self::Json,
        Self::ThreadDump,
        Self::SwitchOver,
        Self::SwitchBack,
        Self::Leave,
        Self::Child,
    ];

    /// The number to pass to `kill`.
    pub fn number(self) -> i32 {
        match self {
            Self::Stop => libc::SIGTERM,
            Self::Interrupt => libc::SIGINT,
            Self::Reload => libc::SIGHUP,
            Self::Data => libc::SIGUSR1,
            Self::Stats => libc::SIGUSR2,
            Self::StatsClear => libc::SIGRTMAX() - 1,
            Self::Json => libc::SIGRTMIN() + 2,
            Self::ThreadDump => libc::SIGRTMAX(),
            Self::SwitchOver => libc::SIGRTMIN() + 3,
            Self::SwitchBack => libc::SIGRTMIN() + 4,
            Self::Leave => libc::SIGRTMIN() + 5,
            Self::Child => libc::SIGCHLD,
        }
    }

    /// The signal of a number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.number() == number)
    }

    /// Name as `--signum` takes it; `None` for signals that nobody sends by hand.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Stop => "STOP",
            Self::Reload => "RELOAD",
            Self::Data => "DATA",
            Self::Stats => "STATS",
            Self::StatsClear => "STATS_CLEAR",
            Self::Json => "JSON",
            Self::ThreadDump => "TDUMP",
            Self::SwitchOver => "SWITCHOVER",
            Self::SwitchBack => "SWITCHBACK",
            Self::Interrupt | Self::Leave | Self::Child => return None,
        })
    }

    /// The signal that `--signum=NAME` asks for.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == Some(name))
    }
}

/// A descriptor from which signals are read; they are blocked for the calling thread and all threads and
/// processes that it starts.
#[derive(Debug)]
pub struct SignalQueue {
    descriptor: OwnedFd,
}

impl SignalQueue {
    /// Blocks the signals of [`Signal::ALL`] and opens the descriptor. PIPE is ignored from then on.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn open() -> io::Result<Self> {
        Self::open_for(&Signal::ALL)
    }

    /// The same for these signals alone.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn open_for(signals: &[Signal]) -> io::Result<Self> {
        let set = set_of(signals);
        // SAFETY: `set` is initialised; blocking signals and ignoring SIGPIPE touch no memory of ours.
        let descriptor = unsafe {
            if libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and ours alone.
        Ok(Self { descriptor: unsafe { OwnedFd::from_raw_fd(descriptor) } })
    }

    /// The next signal that waits, without blocking. Repeats of one signal may arrive as one.
    pub fn next(&self) -> Option<Signal> {
        loop {
            let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
            let size = size_of::<libc::signalfd_siginfo>();
            // SAFETY: the buffer has `size` bytes and is written by the kernel only.
            let got = unsafe { libc::read(self.descriptor.as_raw_fd(), info.as_mut_ptr().cast(), size) };
            if usize::try_from(got) != Ok(size) {
                return None;
            }
            // SAFETY: the kernel wrote all of it.
            let number = unsafe { info.assume_init() }.ssi_signo;
            if let Some(signal) = i32::try_from(number).ok().and_then(Signal::from_number) {
                return Some(signal);
            }
        }
    }

    /// Waits for the next signal, at most `timeout`.
    pub fn wait(&self, timeout: Option<Duration>) -> Option<Signal> {
        if let Some(signal) = self.next() {
            return Some(signal);
        }
        let mut poll = libc::pollfd { fd: self.descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let millis = timeout.map_or(-1, |timeout| {
            // Rounded up: never early.
            i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
        });
        // SAFETY: one pollfd, which lives through the call.
        unsafe { libc::poll(&mut poll, 1, millis) };
        self.next()
    }
}

impl AsFd for SignalQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Keeps signals back for the calling thread and all that it starts, until a [`SignalQueue`] is opened for
/// them.
pub fn hold_back(signals: &[Signal]) {
    let set = set_of(signals);
    // SAFETY: `set` is initialised; no memory of ours is touched.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
}

/// Lets a child process that will run another program receive signals again.
pub fn unblock_all() {
    let set = set_of(&Signal::ALL);
    // SAFETY: `set` is initialised; no memory of ours is touched.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut()) };
}

/// Whether whoever started this process had it ignore the signal (`nohup`, a shell's background job).
pub fn is_ignored(signal: Signal) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zero is a valid `sigaction`; the call only writes into it.
    unsafe {
        libc::sigaction(signal.number(), std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Ends the calling process by a signal, as if it had never been held back.
pub fn end_by(signal: Signal) -> ! {
    unblock_all();
    // SAFETY: sends a signal to the calling thread.
    unsafe { libc::raise(signal.number()) };
    // It is one that does not end a process.
    std::process::exit(128 + signal.number())
}

fn set_of(signals: &[Signal]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the whole set; the numbers added are valid signals.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal.number());
        }
        set.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_keepalived_s_and_all_differ() {
        let numbers: Vec<i32> = Signal::ALL.iter().map(|signal| signal.number()).collect();
        assert_eq!(&numbers[..9], &[15, 2, 1, 10, 12, 63, 36, 64, 37]);
        for (index, number) in numbers.iter().enumerate() {
            assert!(!numbers[..index].contains(number));
            assert_eq!(Signal::from_number(*number), Some(Signal::ALL[index]));
        }
        assert_eq!(Signal::named("SWITCHBACK"), Some(Signal::SwitchBack));
        assert_eq!(Signal::named("CHLD"), None);
    }
}
