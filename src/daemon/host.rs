//! The real host, as the configuration asks for it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use crate::config::{Host, HostInterface, Lookup, PathKind, PathMetadata, ReadError, User};
use crate::kernel::Link;
use crate::net::{InterfaceIndex, Prefix};
use crate::sys::netlink::{Interest, Ownership, view};
use crate::sys::process;

/// How often files are read that change while they are read.
const ATTEMPTS: u32 = 5;

/// How much longer than the one before each pause between two attempts is.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// The machine this process runs on.
#[derive(Clone, Debug, Default)]
pub struct RealHost {
    /// Judge the text alone: nothing is known of interfaces, users and paths.
    pub text_only: bool,
    /// The network namespace is not the one the configuration is for: nothing is known of interfaces.
    pub foreign_namespace: bool,
    /// The files that were read, as they were before.
    pub(crate) seen: RefCell<BTreeMap<String, FileIdentity>>,
}

/// What changes with a file's contents.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FileIdentity {
    /// Device and inode: another file under the name.
    file: (u64, u64),
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl FileIdentity {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl RealHost {
    /// Has `read` read files through this host, again if one of them changed meanwhile: it may have been half written,
    /// or not fit the others.
    ///
    /// # Errors
    /// With the name of a file that goes on changing.
    pub(crate) fn read_unchanged<T>(&self, mut read: impl FnMut(&Self) -> T) -> Result<T, String> {
        let mut attempt = 0;
        loop {
            self.seen.borrow_mut().clear();
            let result = read(self);
            attempt += 1;
            match self.changed() {
                None => return Ok(result),
                Some(path) if attempt == ATTEMPTS => return Err(path),
                Some(_) => std::thread::sleep(PAUSE * attempt),
            }
        }
    }

    /// A file that is not any more as it was before it was read.
    fn changed(&self) -> Option<String> {
        let seen = self.seen.borrow();
        let now = |path: &String| fs::metadata(path).ok().map(|metadata| FileIdentity::of(&metadata));
        seen.iter().find(|(path, before)| now(path) != Some(**before)).map(|(path, _)| path.clone())
    }
}

impl Host for RealHost {
    fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        let other = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => ReadError::NotFound,
            _ => ReadError::Other(error.to_string()),
        };
        let metadata = fs::metadata(path).map_err(other)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Err(ReadError::NotRegular("a directory"));
        }
        if !kind.is_file() {
            // Opening a FIFO would wait for its writer.
            return Err(ReadError::NotRegular("a FIFO, socket or device"));
        }
        if metadata.mode() & 0o111 != 0 {
            return Err(ReadError::Executable);
        }
        if metadata.len() > limit {
            return Err(ReadError::TooLarge(metadata.len()));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
        // It may have become something else meanwhile, which must not make us wait; nor may files of /proc.
        let file = fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(other)?;
        let metadata = file.metadata().map_err(other)?;
        if !metadata.is_file() {
            return Err(ReadError::NotRegular("no longer a regular file"));
        }
        // Of a file that is read twice the first look counts.
        self.seen.borrow_mut().entry(path.to_owned()).or_insert_with(|| FileIdentity::of(&metadata));
        // It may grow while it is read.
        file.take(limit + 1).read_to_end(&mut bytes).map_err(other)?;
        if bytes.len() as u64 > limit {
            return Err(ReadError::TooLarge(bytes.len() as u64));
        }
        Ok(bytes)
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, String> {
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let paths = glob::glob_with(pattern, options).map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        for path in paths {
            let path = path.map_err(|error| error.to_string())?;
            found.push(path.to_string_lossy().into_owned());
        }
        Ok(found)
    }

    fn canonical_path(&self, path: &str) -> String {
        fs::canonicalize(path).map_or_else(|_| path.to_owned(), |path| path.to_string_lossy().into_owned())
    }

    fn environment(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn node_name(&self) -> String {
        process::node_name()
    }

    fn random_seed(&self) -> u64 {
        let now = crate::sys::clock::wall();
        now.as_unix_micros() ^ u64::from(std::process::id()).rotate_left(32)
    }

    fn uptime_us(&self) -> u64 {
        crate::sys::clock::now().instant.as_micros()
    }

    fn interfaces(&self) -> Option<Vec<HostInterface>> {
        if self.text_only || self.foreign_namespace {
            return None;
        }
        let view = view(&Ownership::Mark, &Interest::default()).ok()?;
        let mut addresses: BTreeMap<InterfaceIndex, Vec<Prefix>> = BTreeMap::new();
        for held in &view.addresses {
            addresses.entry(held.link).or_default().push(held.prefix);
        }
        let interface = |link: &Link| HostInterface {
            name: link.name.clone(),
            mtu: link.mtu,
            multicast: !link.loopback,
            loopback: link.loopback,
            ethernet: link.mac.is_some(),
            virtual_link: link.stacked.is_some(),
            addresses: addresses.remove(&link.key).unwrap_or_default(),
        };
        Some(view.links.iter().map(interface).collect())
    }

    fn user(&self, name: &str) -> Option<Lookup<User>> {
        if self.text_only {
            return None;
        }
        let user = nix::unistd::User::from_name(name).ok()?;
        Some(user.map_or(Lookup::Missing, |user| {
            Lookup::Found(User { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
        }))
    }

    fn group(&self, name: &str) -> Option<Lookup<u32>> {
        if self.text_only {
            return None;
        }
        let group = nix::unistd::Group::from_name(name).ok()?;
        Some(group.map_or(Lookup::Missing, |group| Lookup::Found(group.gid.as_raw())))
    }

    fn path(&self, path: &str) -> Option<Lookup<PathMetadata>> {
        if self.text_only {
            return None;
        }
        let Ok(metadata) = fs::symlink_metadata(path) else { return Some(Lookup::Missing) };
        let kind = metadata.file_type();
        let kind = if kind.is_symlink() {
            let target = fs::read_link(path).map(|target| target.to_string_lossy().into_owned());
            PathKind::SymbolicLink(target.unwrap_or_default())
        } else if kind.is_dir() {
            PathKind::Directory
        } else if kind.is_file() {
            PathKind::File
        } else {
            PathKind::Other
        };
        Some(Lookup::Found(PathMetadata {
            kind,
            uid: metadata.uid(),
            gid: metadata.gid(),
            mode: metadata.mode() & 0o7777,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_change_while_they_are_read_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let (main, included) = (path("main"), path("included"));
        let changes: [&dyn Fn(); 4] = [
            &|| fs::write(&included, "longer").unwrap(),
            &|| {
                // Of the same size. The kernel's clock for files ticks each 10 ms at least.
                std::thread::sleep(std::time::Duration::from_millis(20));
                fs::write(&included, "shor2").unwrap();
            },
            &|| {
                fs::write(path("new"), "short").unwrap();
                fs::rename(path("new"), &included).unwrap();
            },
            &|| fs::remove_file(&included).unwrap(),
        ];
        for change in changes {
            fs::write(&main, "main").unwrap();
            fs::write(&included, "short").unwrap();
            let host = RealHost::default();
            let mut reads = 0;
            let read = host.read_unchanged(|host| {
                reads += 1;
                let _ = host.read_file(&main, 100).unwrap();
                let text = host.read_file(&included, 100).ok();
                if reads < 3 {
                    // The last of the changes can be made once only.
                    if text.is_some() {
                        change();
                    }
                }
                text
            });
            assert_eq!(read.unwrap(), fs::read(&included).ok());
            assert!(reads > 1);
        }
        fs::write(&included, "").unwrap();
        let mut reads = 0;
        let read = RealHost::default().read_unchanged(|host| {
            reads += 1;
            let _ = host.read_file(&included, 100).unwrap();
            fs::write(&included, "x".repeat(reads)).unwrap();
        });
        assert_eq!((read.unwrap_err(), reads), (included, ATTEMPTS as usize));
    }
}
