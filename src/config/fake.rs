//! A host made of data, for tests and fuzzing.

use std::collections::BTreeMap;

use super::host::{Host, HostInterface, Lookup, PathMetadata, ReadError, User};

/// A host made of data.
#[derive(Clone, Debug, Default)]
pub struct FakeHost {
    /// Files by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The interfaces; `None` = unknown.
    pub interfaces: Option<Vec<HostInterface>>,
    /// The users; `None` = unknown.
    pub users: Option<BTreeMap<String, User>>,
    /// The groups; `None` = unknown.
    pub groups: Option<BTreeMap<String, u32>>,
    /// Paths; `None` = unknown.
    pub paths: Option<BTreeMap<String, PathMetadata>>,
    /// The node's name.
    pub node_name: String,
}

impl FakeHost {
    /// A host with one file and nothing known about anything else.
    pub fn with_file(path: &str, text: impl Into<Vec<u8>>) -> Self {
        Self { node_name: "node".into(), ..Self::default() }.and_file(path, text)
    }

    /// The same with one file more.
    pub fn and_file(mut self, path: &str, text: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), text.into());
        self
    }

    /// The same with Ethernet interfaces of these names, as far as interfaces can have them.
    pub fn and_interfaces(mut self, names: &[&str]) -> Self {
        let interface = |name: &&str| {
            Some(HostInterface {
                name: name.parse().ok()?,
                mtu: 1500,
                multicast: true,
                loopback: *name == "lo",
                ethernet: *name != "lo" && !name.starts_with("tun"),
                virtual_link: name.starts_with("vrrp"),
                addresses: Vec::new(),
            })
        };
        self.interfaces = Some(names.iter().filter_map(interface).collect());
        self
    }
}

fn found<T>(value: Option<T>) -> Lookup<T> {
    value.map_or(Lookup::Missing, Lookup::Found)
}

impl Host for FakeHost {
    fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        match self.files.get(path) {
            Some(bytes) if bytes.len() as u64 > limit => Err(ReadError::TooLarge(bytes.len() as u64)),
            Some(bytes) => Ok(bytes.clone()),
            None => Err(ReadError::NotFound),
        }
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, String> {
        let pattern = glob::Pattern::new(pattern).map_err(|error| error.to_string())?;
        let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
        Ok(self.files.keys().filter(|path| pattern.matches_with(path, options)).cloned().collect())
    }

    fn canonical_path(&self, path: &str) -> String {
        path.to_owned()
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.environment.get(name).cloned()
    }

    fn node_name(&self) -> String {
        self.node_name.clone()
    }

    fn random_seed(&self) -> u64 {
        7
    }

    fn uptime_us(&self) -> u64 {
        0
    }

    fn interfaces(&self) -> Option<Vec<HostInterface>> {
        self.interfaces.clone()
    }

    fn user(&self, name: &str) -> Option<Lookup<User>> {
        self.users.as_ref().map(|users| found(users.get(name).copied()))
    }

    fn group(&self, name: &str) -> Option<Lookup<u32>> {
        self.groups.as_ref().map(|groups| found(groups.get(name).copied()))
    }

    fn path(&self, path: &str) -> Option<Lookup<PathMetadata>> {
        self.paths.as_ref().map(|paths| found(paths.get(path).cloned()))
    }
}
