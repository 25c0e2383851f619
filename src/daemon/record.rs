//! Which addresses are ours, where the kernel cannot tell: before Linux 5.18 an address carries no mark.
//!
//! The record is a file beside the worker's pid file, one `INDEX ADDRESS/LENGTH` a line. An address is written
//! down before it is added and struck out after it was removed, so that a killed daemon never leaves one that
//! its successor takes for somebody else's. What the kernel does not hold is struck out at the start and whenever
//! it says so: an address that somebody adds later is theirs. The last change is written before the process ends.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::files;
use crate::kernel::{AddressOperation, AddressOutcome, Verb};
use crate::net::{InterfaceIndex, Prefix};
use crate::sys::netlink::Ownership;
use crate::sys::process;

/// Set to `record` or `mark`, overrides the choice that the kernel's version makes.
const OVERRIDE: &str = "ALIVED_ADDRESS_OWNERSHIP";

/// Longest file that is read, in bytes: a million addresses.
const LONGEST: u64 = 64 << 20;

/// The record's file and what is in it.
#[derive(Debug)]
pub(super) struct AddressRecord {
    path: PathBuf,
    addresses: BTreeSet<(InterfaceIndex, Prefix)>,
    changed: bool,
}

/// How this process knows its own addresses: by their mark, or by the record beside this pid file.
pub(super) fn ownership(pid_file: &Path) -> (Ownership, Option<AddressRecord>) {
    let by_mark = match std::env::var(OVERRIDE).as_deref() {
        Ok("record") => false,
        Ok("mark") => true,
        _ => kernel_marks_addresses(&process::kernel_release()),
    };
    if by_mark {
        return (Ownership::Mark, None);
    }
    let record = AddressRecord::read(pid_file.with_extension("addresses"));
    (Ownership::Record(record.addresses.iter().copied().collect()), Some(record))
}

/// Whether a kernel of this release has `IFA_PROTO` (5.18). A release that cannot be read counts as new.
fn kernel_marks_addresses(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5, 18),
        _ => true,
    }
}

impl AddressRecord {
    /// Nothing where there is no file, or one of somebody else.
    fn read(path: PathBuf) -> Self {
        let text = files::read_own(&path, LONGEST).unwrap_or_default();
        Self { path, addresses: text.lines().filter_map(parse).collect(), changed: false }
    }

    /// Writes down what is about to be added.
    ///
    /// # Errors
    /// As [`AddressRecord::save`].
    pub(super) fn before(&mut self, operations: &[AddressOperation]) -> io::Result<()> {
        for operation in operations.iter().filter(|operation| operation.verb == Verb::Add) {
            self.changed |= self.addresses.insert((operation.link, operation.spec.prefix));
        }
        self.save()
    }

    /// Strikes out what the kernel does not hold.
    pub(super) fn forget(&mut self, keys: &[(InterfaceIndex, Prefix)]) {
        for key in keys {
            self.changed |= self.addresses.remove(key);
        }
    }

    /// Strikes out what was removed, or could not be added.
    pub(super) fn after(&mut self, outcomes: &[AddressOutcome]) {
        for outcome in outcomes {
            let gone = match outcome.verb {
                Verb::Add => outcome.error.is_some(),
                Verb::Remove => outcome.error.is_none(),
            };
            if gone {
                self.changed |= self.addresses.remove(&(outcome.link, outcome.prefix));
            }
        }
    }

    /// Writes the file if anything changed.
    ///
    /// # Errors
    /// When the file system refuses: the next start would read an older record. It is tried again each time.
    pub(super) fn save(&mut self) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        let mut text = String::new();
        for (link, prefix) in &self.addresses {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} {prefix}", link.get());
        }
        files::write_own(&self.path, &text)?;
        self.changed = false;
        Ok(())
    }
}

fn parse(line: &str) -> Option<(InterfaceIndex, Prefix)> {
    let (index, prefix) = line.split_once(' ')?;
    let index = InterfaceIndex::new(index.parse().ok()?)?;
    Some((index, parse_prefix(prefix)?))
}

/// `ADDRESS/LENGTH`.
pub(super) fn parse_prefix(text: &str) -> Option<Prefix> {
    let (address, length) = text.split_once('/')?;
    Prefix::new(address.parse().ok()?, length.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::AddressSpec;

    #[test]
    fn kernels_from_5_18_on_mark_addresses() {
        for (release, marks) in
            [("5.17.9-amd64", false), ("5.18.0", true), ("6.1.0-13", true), ("4.19", false), ("odd", true)]
        {
            assert_eq!(kernel_marks_addresses(release), marks, "{release}");
        }
    }

    #[test]
    fn the_record_outlives_its_writer() {
        let folder = std::env::temp_dir().join(format!("alived-record-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("vrrp.addresses");
        let link = InterfaceIndex::new(3).unwrap();
        let prefixes = ["192.0.2.1/24", "2001:db8::1/128"].map(|text| parse_prefix(text).unwrap());
        let operations =
            prefixes.map(|prefix| AddressOperation::new(Verb::Add, link, AddressSpec::new(prefix)));
        let mut record = AddressRecord::read(path.clone());
        record.before(&operations).unwrap();
        let removal = AddressOperation::new(Verb::Remove, link, AddressSpec::new(prefixes[0]));
        record.after(&[AddressOutcome::of(&removal, None)]);
        // Killed before it is saved: the removed address is still written down, the other one too.
        assert_eq!(AddressRecord::read(path.clone()).addresses.len(), 2);
        record.save().unwrap();
        assert_eq!(AddressRecord::read(path).addresses, BTreeSet::from([(link, prefixes[1])]));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
