//! What the supervisor must know to tidy up after a worker that was killed: the virtual addresses.
//!
//! The worker writes them into a file in memory that both processes hold, at its start and at each reload; the
//! supervisor reads it only when there is to be no next worker.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::record::{AddressRecord, parse_prefix};
use crate::kernel::{AddressOperation, AddressSpec, Verb};
use crate::net::{NamespaceId, Prefix};
use crate::node::NodeConfig;
use crate::sys::netlink::{self, Ownership, RouteSocket};
use crate::sys::process;

/// The file in memory.
#[derive(Debug)]
pub(super) struct Leftovers {
    file: File,
    /// Bytes of the newest configuration's list, at the beginning.
    newest: usize,
}

impl Leftovers {
    /// An empty one.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { file: process::memory_file("alived-addresses")?, newest: 0 })
    }

    /// The same file, for the worker.
    pub(super) fn share(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()?, newest: self.newest })
    }

    /// Replaces the list by all addresses of a configuration. Those of the configuration before stay on it
    /// too: they may not have been removed yet.
    pub(super) fn write(&mut self, config: &NodeConfig) -> io::Result<()> {
        let mut text = String::new();
        for router in &config.routers {
            for address in router.addresses.iter().chain(&router.excluded) {
                let interface = address.interface.as_ref().unwrap_or(&router.interfaces.addresses);
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{interface} {}", address.spec.prefix);
            }
        }
        let mut before = self.text()?;
        before.truncate(self.newest);
        self.newest = text.len();
        text.push_str(&before);
        self.file.set_len(0)?;
        self.file.write_all_at(text.as_bytes(), 0)
    }

    /// Removes the listed addresses that are there and ours, and gives their number.
    pub(super) fn remove(&self, ownership: &Ownership, record: Option<AddressRecord>) -> io::Result<usize> {
        let listed = self.read()?;
        if listed.is_empty() {
            return Ok(0);
        }
        let to_io = |errno| io::Error::from_raw_os_error(errno);
        let view = netlink::view(NamespaceId(0), ownership).map_err(|error| to_io(error.errno))?;
        let name = |link| view.links.iter().find(|l| l.key == link).map(|l| l.name.as_str().to_owned());
        let operations: Vec<AddressOperation> = view
            .addresses
            .iter()
            // Secondaries first: with the first address of a subnet the kernel would remove them all.
            .filter(|held| held.secondary)
            .chain(view.addresses.iter().filter(|held| !held.secondary))
            .filter(|held| held.ours)
            .filter(|held| name(held.link).is_some_and(|name| listed.contains(&(name, held.prefix))))
            .map(|held| AddressOperation::new(Verb::Remove, held.link, AddressSpec::new(held.prefix)))
            .collect();
        let mut socket = RouteSocket::open().map_err(|error| to_io(error.errno))?;
        let mut record = record;
        for chunk in operations.chunks(128) {
            let outcomes = netlink::apply(&mut socket, chunk);
            if let Some(record) = &mut record {
                record.after(&outcomes);
            }
        }
        if let Some(record) = &mut record {
            record.save()?;
        }
        Ok(operations.len())
    }

    fn read(&self) -> io::Result<BTreeSet<(String, Prefix)>> {
        let parse = |line: &str| {
            let (name, prefix) = line.split_once(' ')?;
            Some((name.to_owned(), parse_prefix(prefix)?))
        };
        Ok(self.text()?.lines().filter_map(parse).collect())
    }

    fn text(&self) -> io::Result<String> {
        let length = usize::try_from(self.file.metadata()?.len()).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, 0)?;
        String::from_utf8(bytes).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Family;
    use crate::vrrp::{RouterConfig, VirtualAddress};
    use crate::wire::vrrp::Vrid;

    fn config(address: &str) -> NodeConfig {
        let mut router = RouterConfig::new("a", Vrid::new(1).unwrap(), Family::Ipv4, "eth0".parse().unwrap());
        let spec = AddressSpec::new(parse_prefix(address).unwrap());
        router.addresses.push(VirtualAddress { spec, interface: None, track: true });
        NodeConfig { routers: vec![router], ..NodeConfig::default() }
    }

    #[test]
    fn the_other_process_reads_what_was_written_last() {
        let ours = Leftovers::new().unwrap();
        let mut theirs = ours.share().unwrap();
        assert!(ours.read().unwrap().is_empty());
        let listed = |addresses: &[&str]| -> BTreeSet<(String, Prefix)> {
            addresses.iter().map(|text| ("eth0".to_owned(), parse_prefix(text).unwrap())).collect()
        };
        let [first, second, third] = ["192.0.2.1/24", "192.0.2.2/24", "2001:db8::3/128"];
        theirs.write(&config(first)).unwrap();
        assert_eq!(ours.read().unwrap(), listed(&[first]));
        theirs.write(&config(second)).unwrap();
        assert_eq!(ours.read().unwrap(), listed(&[first, second]));
        theirs.write(&config(third)).unwrap();
        assert_eq!(ours.read().unwrap(), listed(&[second, third]));
    }
}
