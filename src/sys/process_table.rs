//! What `/proc` tells of processes, and waiting for their ends.

#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// More than `/proc/PID/stat` has before its fourth word.
const STAT_BYTES: u64 = 128;

/// The numbers of all processes.
pub(crate) fn all() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The short name of a process; `None` where there is none of that number, or it has ended and was not waited for.
pub(crate) fn short_name(pid: u32) -> Option<Vec<u8>> {
    let stat = read(pid, "stat", STAT_BYTES)?;
    let (name, state) = name_and_state(&stat)?;
    (!matches!(state, b'Z' | b'X' | b'x')).then(|| name.to_vec())
}

/// The first bytes of its command line.
pub(crate) fn command_line(pid: u32, limit: usize) -> Option<Vec<u8>> {
    read(pid, "cmdline", limit as u64)
}

/// `PID (NAME) STATE …`, where the name may have any bytes.
fn name_and_state(stat: &[u8]) -> Option<(&[u8], u8)> {
    let begin = stat.iter().position(|byte| *byte == b'(')? + 1;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    Some((stat.get(begin..end)?, *stat.get(end + 2)?))
}

fn read(pid: u32, file: &str, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/{file}")).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A process; the descriptor becomes readable when it ends.
#[derive(Debug)]
pub(crate) struct ProcessEnd(OwnedFd);

impl ProcessEnd {
    /// Of the process that has this number now.
    ///
    /// # Errors
    /// When there is none, and before Linux 5.3.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        // SAFETY: takes two numbers and touches no memory.
        let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let number = i32::try_from(number).ok().filter(|number| *number >= 0);
        let number = number.ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the kernel just gave it to us, and nobody else has it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(number) }))
    }
}

impl AsFd for ProcessEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll::Poller;

    #[test]
    fn names_have_any_bytes() {
        assert_eq!(name_and_state(b"7 (a b) c) S 1 "), Some((&b"a b) c"[..], b'S')));
        assert_eq!(name_and_state(b"7 (").map(|(name, _)| name), None);
        assert_eq!(name_and_state(b"7 (a)"), None);
    }

    #[test]
    fn a_process_is_seen_until_it_ends() {
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        assert!(all().contains(&pid));
        let end = ProcessEnd::of(pid).unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(&end, 1).unwrap();
        // It has another name until it runs its program, and a little later its command line.
        while command_line(pid, 100).as_deref() != Some(b"/bin/sleep\x0060\0") {}
        assert_eq!(short_name(pid).as_deref(), Some(&b"sleep"[..]));
        assert_eq!(command_line(pid, 4).as_deref(), Some(&b"/bin"[..]));
        child.kill().unwrap();
        assert_eq!(poller.wait(None).unwrap().collect::<Vec<_>>(), [1]);
        assert_eq!(short_name(pid), None, "it was not waited for");
        child.wait().unwrap();
        assert!(ProcessEnd::of(pid).is_err());
    }
}
