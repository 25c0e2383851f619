//! The real host with the configuration that the daemon runs with in place of its files, for a worker that replaces a
//! killed one: what is in the files now may be half written, and nobody has asked for it.

use super::host::RealHost;
use crate::config::{Host, HostInterface, Lookup, PathMetadata, ReadError, User};

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
