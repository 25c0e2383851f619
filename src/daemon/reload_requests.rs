//! Reloads that were asked for by a signal: none is lost with a worker that dies before it begins.
//!
//! Two numbers in memory that supervisor and workers hold. A worker that dies *of* a reload leaves it to nobody, or the
//! next one would die of it too.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::sys::process;

const ASKED: u64 = 0;
const BEGUN: u64 = 8;

/// How many were asked for, and how many of these a worker has begun.
#[derive(Debug)]
pub(super) struct ReloadRequests {
    file: File,
}

impl ReloadRequests {
    /// None was asked for.
    pub(super) fn new() -> io::Result<Self> {
        let file = process::memory_file("alived-reloads")?;
        file.write_all_at(&[0; 16], 0)?;
        Ok(Self { file })
    }

    /// The same numbers, for a worker.
    pub(super) fn share(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()? })
    }

    /// For the supervisor: one more is asked for.
    pub(super) fn ask(&self) {
        self.set(ASKED, self.number(ASKED).wrapping_add(1));
    }

    /// For the supervisor: whether no worker has begun the last one.
    pub(super) fn is_due(&self) -> bool {
        self.number(ASKED) != self.number(BEGUN)
    }

    /// For the worker: begins all that were asked for.
    pub(super) fn begin(&self) {
        self.set(BEGUN, self.number(ASKED));
    }

    // The memory is there since `new`: neither can fail.

    fn set(&self, which: u64, number: u64) {
        let _ = self.file.write_all_at(&number.to_ne_bytes(), which);
    }

    fn number(&self, which: u64) -> u64 {
        let mut bytes = [0; 8];
        let _ = self.file.read_exact_at(&mut bytes, which);
        u64::from_ne_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_due_until_it_is_begun() {
        let ours = ReloadRequests::new().unwrap();
        let theirs = ours.share().unwrap();
        assert!(!ours.is_due());
        for _ in 0..2 {
            ours.ask();
            ours.ask();
            assert!(ours.is_due());
            theirs.begin();
            assert!(!ours.is_due());
        }
    }
}
