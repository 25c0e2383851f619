//! The kernel's process connector: it tells of each process that is made, runs another program, changes its name or
//! ends.
//!
//! Only who is in the first user, process and network namespace is told, and may ask for it: elsewhere, as in a
//! container, [`ProcessEvents::listen`] fails.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

use crate::sys::socket;

/// `NETLINK_CONNECTOR`.
const CONNECTOR: isize = 11;
/// `CN_IDX_PROC`, `CN_VAL_PROC`, of `linux/connector.h`: who speaks, and the group of those who listen.
const PROCESSES: [u32; 2] = [1, 1];
/// `PROC_CN_MCAST_LISTEN` and `PROC_CN_MCAST_IGNORE`, of `linux/cn_proc.h`.
const LISTEN: u32 = 1;
const IGNORE: u32 = 2;
/// `NLMSG_DONE`, the type of all messages of connectors.
const DONE: u16 = 3;

/// Bytes of `struct nlmsghdr` and of `struct cn_msg`.
const NETLINK_HEADER: usize = 16;
const CONNECTOR_HEADER: usize = 20;
/// Bytes of `struct proc_event` before the data of the event: what, processor, time.
const EVENT_HEADER: usize = 16;
/// More than fits into any queue of [`ProcessEvents::listen`].
const BACKLOG: usize = 1 << 16;
/// Longer than any message of the kernel.
const MESSAGE_BYTES: usize = 512;

/// Something that happened to a process. What happens to a thread besides its first one is left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProcessEvent {
    /// The answer to a request: 0 or an error number.
    Answer(u32),
    /// A process was made.
    Forked {
        /// By this one.
        parent: u32,
        /// It.
        child: u32,
    },
    /// It runs another program.
    Executed(u32),
    /// It changed its short name.
    Renamed(u32),
    /// It has ended.
    Ended(u32),
}

/// Understands one message of the kernel; `None` for what says nothing of a process.
pub fn parse(message: &[u8]) -> Option<ProcessEvent> {
    let length = usize::try_from(word(message, 0)?).ok()?;
    let message = message.get(..length)?;
    let kind = message.get(4..6)?;
    let body = message.get(NETLINK_HEADER..)?;
    if kind != DONE.to_ne_bytes() || [word(body, 0)?, word(body, 4)?] != PROCESSES {
        return None;
    }
    let event = body.get(CONNECTOR_HEADER..)?;
    let what = word(event, 0)?;
    let data = event.get(EVENT_HEADER..)?;
    let number = |place: usize| word(data, place * 4);
    // Each process and thread by the number of the thread, then that of the process: equal for its first thread.
    let first = |place: usize| {
        let process = number(place + 1)?;
        (number(place)? == process).then_some(process)
    };
    match what {
        0 => Some(ProcessEvent::Answer(number(0)?)),
        1 => Some(ProcessEvent::Forked { parent: number(1)?, child: first(2)? }),
        // A thread that runs another program becomes the first one.
        2 => Some(ProcessEvent::Executed(number(1)?)),
        0x200 => Some(ProcessEvent::Renamed(first(0)?)),
        0x8000_0000 => Some(ProcessEvent::Ended(first(0)?)),
        _ => None,
    }
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

/// Whether a [`ProcessEvents::drain`] is complete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Drained {
    /// Nothing more waits.
    All,
    /// More may wait: the bound was reached.
    Partly,
    /// The kernel dropped events: look at all processes again.
    Lost,
}

/// A socket by which the kernel can tell of processes, and does not yet. It belongs to the network namespace in which
/// it was opened, and can be used in every other one.
#[derive(Clone, Debug)]
pub struct ProcessSocket(Arc<Socket>);

impl ProcessSocket {
    /// In the network namespace of the calling thread.
    ///
    /// # Errors
    /// Where the kernel has no process connector.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(CONNECTOR)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        Ok(Self(Arc::new(socket)))
    }
}

/// Hears of processes until it is dropped.
#[derive(Debug)]
pub struct ProcessEvents {
    socket: Arc<Socket>,
}

impl Drop for ProcessEvents {
    fn drop(&mut self) {
        // Others may have the socket still; if this fails nobody reads it, and the kernel drops what it would tell.
        let _ = self.socket.send_to(&request(IGNORE), &SocketAddr::new(0, 0), 0);
        let _ = self.socket.drop_membership(PROCESSES[0]);
    }
}

impl ProcessEvents {
    /// Hears from now on, with room in bytes for so many events that wait.
    ///
    /// # Errors
    /// Where the kernel does not let this process hear of others.
    pub fn listen(socket: ProcessSocket, queue: usize) -> io::Result<Self> {
        let ProcessSocket(socket) = socket;
        socket::set_receive_queue(&*socket, queue)?;
        socket.add_membership(PROCESSES[0])?;
        let mut events = Self { socket };
        // What a predecessor did not read any more; the bound is for what comes meanwhile.
        let _ = events.drain(BACKLOG, |_| {})?;
        events.socket.send_to(&request(LISTEN), &SocketAddr::new(0, 0), 0)?;
        // The answer was put into the queue while the request was sent, after what others had asked for.
        let mut answer = None;
        while answer.is_none() {
            let drained = events.drain(1, |event| {
                if let ProcessEvent::Answer(error) = event {
                    answer = Some(error);
                }
            })?;
            if drained == Drained::All {
                break;
            }
        }
        match answer {
            Some(0) => Ok(events),
            Some(error) => Err(io::Error::from_raw_os_error(error.try_into().unwrap_or(libc::EPERM))),
            None => Err(io::Error::other("the kernel tells only the first user and process namespace")),
        }
    }

    /// Hands over what waits, at most `limit` messages.
    ///
    /// # Errors
    /// None in practice.
    pub fn drain(&mut self, limit: usize, mut take: impl FnMut(ProcessEvent)) -> io::Result<Drained> {
        let mut buffer = [0_u8; MESSAGE_BYTES];
        for _ in 0..limit {
            let (bytes, sender) = match self.socket.recv_from(&mut buffer.as_mut_slice(), 0) {
                Ok((bytes, sender)) => (bytes, sender),
                Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::EAGAIN) => return Ok(Drained::All),
                    Some(Errno::ENOBUFS) => return Ok(Drained::Lost),
                    Some(Errno::EINTR) => continue,
                    _ => return Err(error),
                },
            };
            // Other processes may speak to the group, too.
            if sender.port_number() == 0
                && let Some(event) = buffer.get(..bytes).and_then(parse)
            {
                take(event);
            }
        }
        Ok(Drained::Partly)
    }
}

impl AsFd for ProcessEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The wish to hear, or to hear no more.
fn request(what: u32) -> Vec<u8> {
    const DATA: usize = 4;
    let mut bytes = Vec::with_capacity(NETLINK_HEADER + CONNECTOR_HEADER + DATA);
    let length = (NETLINK_HEADER + CONNECTOR_HEADER + DATA) as u32;
    bytes.extend(length.to_ne_bytes());
    bytes.extend(DONE.to_ne_bytes());
    // Flags, sequence number, sender.
    bytes.extend([0; 10]);
    bytes.extend(PROCESSES.iter().flat_map(|word| word.to_ne_bytes()));
    // Sequence number, acknowledgement.
    bytes.extend([0; 8]);
    bytes.extend((DATA as u16).to_ne_bytes());
    // Flags.
    bytes.extend([0; 2]);
    bytes.extend(what.to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(what: u32, data: &[u32]) -> Vec<u8> {
        let mut event = Vec::new();
        event.extend(what.to_ne_bytes());
        event.extend([0; 12]);
        event.extend(data.iter().flat_map(|word| word.to_ne_bytes()));
        event.resize(40, 0);
        let mut bytes = Vec::new();
        bytes.extend(76_u32.to_ne_bytes());
        bytes.extend(DONE.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(PROCESSES.iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend([0; 8]);
        bytes.extend(40_u16.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(event);
        bytes
    }

    #[test]
    fn events_of_processes_are_understood_and_those_of_threads_left_out() {
        for (what, data, event) in [
            (0, &[0][..], Some(ProcessEvent::Answer(0))),
            (0, &[1], Some(ProcessEvent::Answer(1))),
            (1, &[5, 4, 9, 9], Some(ProcessEvent::Forked { parent: 4, child: 9 })),
            (1, &[4, 4, 9, 4], None),
            (2, &[7, 7], Some(ProcessEvent::Executed(7))),
            (0x200, &[7, 7], Some(ProcessEvent::Renamed(7))),
            (0x200, &[8, 7], None),
            (0x8000_0000, &[7, 7, 256], Some(ProcessEvent::Ended(7))),
            (0x8000_0000, &[8, 7, 0], None),
            (4, &[7, 7], None),
            (0x4000_0000, &[7, 7], None),
        ] {
            assert_eq!(parse(&message(what, data)), event, "{what:#x} {data:?}");
        }
    }

    #[test]
    fn whatever_is_cut_off_or_foreign_is_no_event() {
        let whole = message(2, &[7, 7]);
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
        let mut foreign = whole.clone();
        foreign[NETLINK_HEADER] = 2;
        assert_eq!(parse(&foreign), None);
        let mut short = whole;
        short[0] = 59;
        assert_eq!(parse(&short), None);
    }

    #[test]
    fn the_kernel_tells_of_a_process_from_its_beginning_to_its_end() {
        let mut events = match ProcessSocket::open().and_then(|socket| ProcessEvents::listen(socket, 1 << 20))
        {
            Ok(events) => events,
            Err(error) => {
                let why = format!("the kernel tells this process nothing of others: {error}");
                return crate::skip::skip(
                    "the_kernel_tells_of_a_process_from_its_beginning_to_its_end",
                    &why,
                );
            }
        };
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let mut heard = Vec::new();
        while events.drain(1000, |event| heard.push(event)).unwrap() != Drained::All {}
        let of_child = heard.into_iter().filter(|event| match event {
            ProcessEvent::Forked { child, .. } => *child == pid,
            ProcessEvent::Executed(process) | ProcessEvent::Ended(process) => *process == pid,
            ProcessEvent::Renamed(_) | ProcessEvent::Answer(_) => false,
        });
        let of_child: Vec<_> = of_child.collect();
        assert!(
            matches!(
                of_child[..],
                [ProcessEvent::Forked { .. }, ProcessEvent::Executed(_), ProcessEvent::Ended(_)]
            ),
            "{of_child:?}"
        );
    }
}
