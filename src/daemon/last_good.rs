//! The configuration that the daemon runs with, for a worker that replaces a killed one while the file on disk
//! is being edited.
//!
//! A file in memory that supervisor and workers hold: written at the start and at each reload, read only when
//! the file on disk cannot be used.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::host::RealHost;
use crate::config::{Host, HostInterface, Lookup, PathMetadata, ReadError, User};
use crate::sys::process;

/// Bytes of the length at the beginning of the file.
const HEADER: usize = size_of::<u64>();

/// The file in memory.
#[derive(Debug)]
pub(super) struct LastGood {
    file: File,
}

impl LastGood {
    /// Nothing was good yet.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { file: process::memory_file("alived-configuration")? })
    }

    /// The same file, for the worker.
    pub(super) fn share(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()? })
    }

    /// Replaces what is kept.
    pub(super) fn write(&self, text: &str) -> io::Result<()> {
        // The length comes last: whoever is killed in between leaves nothing, rather than half of it.
        self.file.set_len(0)?;
        self.file.write_all_at(text.as_bytes(), HEADER as u64)?;
        self.file.write_all_at(&(text.len() as u64).to_be_bytes(), 0)
    }

    /// What is kept, if anything is.
    pub(super) fn read(&self) -> Option<String> {
        let whole = usize::try_from(self.file.metadata().ok()?.len()).ok()?;
        let mut bytes = vec![0; whole];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let (header, text) = bytes.split_first_chunk::<HEADER>()?;
        (text.len() as u64 == u64::from_be_bytes(*header) && !text.is_empty())
            .then(|| String::from_utf8(text.to_vec()).ok())?
    }
}

/// The real host, with one text in place of all files.
#[derive(Debug)]
pub(super) struct HostWithText {
    pub(super) host: RealHost,
    pub(super) text: String,
}

impl Host for HostWithText {
    fn read_file(&self, _path: &str, _limit: u64) -> Result<Vec<u8>, ReadError> {
        Ok(self.text.clone().into_bytes())
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, String> {
        Ok(vec![pattern.to_owned()])
    }

    fn canonical_path(&self, path: &str) -> String {
        path.to_owned()
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.host.environment(name)
    }

    fn node_name(&self) -> String {
        self.host.node_name()
    }

    fn random_seed(&self) -> u64 {
        self.host.random_seed()
    }

    fn uptime_us(&self) -> u64 {
        self.host.uptime_us()
    }

    /// Not looked at: an interface that is gone for the moment is a fault of its routers, not the end of all.
    fn interfaces(&self) -> Option<Vec<HostInterface>> {
        None
    }

    fn user(&self, name: &str) -> Option<Lookup<User>> {
        self.host.user(name)
    }

    fn group(&self, name: &str) -> Option<Lookup<u32>> {
        self.host.group(name)
    }

    fn path(&self, path: &str) -> Option<Lookup<PathMetadata>> {
        self.host.path(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_text_counts_as_none() {
        let ours = LastGood::new().unwrap();
        assert_eq!(ours.read(), None);
        let theirs = ours.share().unwrap();
        theirs.write("a longer text").unwrap();
        theirs.write("text").unwrap();
        assert_eq!(ours.read().as_deref(), Some("text"));
        theirs.file.set_len(HEADER as u64 + 2).unwrap();
        assert_eq!(ours.read(), None);
    }
}
