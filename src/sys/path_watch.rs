//! Following a file by its path, whatever becomes of the names that the path is made of: each folder and each symbolic
//! link on the way is watched, so that a file that is created, replaced or removed, and a folder that comes later, are
//! noticed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::statfs::{FsType, fstatfs, statfs};

/// Symbolic links on the way of one path, as the kernel allows.
const LINKS_MAX: usize = 40;

/// Reads of notifications in one go: several hundred each.
const READS_MAX: usize = 64;

/// File systems whose changes nobody tells of, or not those of other hosts, by their numbers and names.
const SILENT: &[(i64, &str)] = &[
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0xf97c_ff8c, "selinuxfs"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0x6969, "NFS"),
    (0x6573_5546, "FUSE"),
    (0xff53_4d42, "CIFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x7375_7245, "Coda"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x564c, "NCP"),
    (0x0bd0_0bd0, "Lustre"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x4750_4653, "GPFS"),
];

/// Why a file cannot be followed or read.
#[derive(Debug)]
pub enum Obstacle {
    /// It is on a file system of this name, which does not tell of changes.
    Silent(&'static str),
    /// It is a folder, a pipe, a device.
    NoFile,
    /// The system refuses something: it may not the next time.
    System(&'static str, io::Error),
}

impl fmt::Display for Obstacle {
    /// The end of a sentence that begins with the path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(name) => {
                write!(
                    f,
                    "is on {name}, a file system that does not tell when a file changes; track a file elsewhere, or run a script"
                )
            }
            Self::NoFile => f.write_str("is no regular file"),
            Self::System(what, error) => {
                let hint = match error.raw_os_error() {
                    Some(libc::ENOSPC) => "; raise fs.inotify.max_user_watches",
                    _ => "",
                };
                write!(f, "cannot be {what}: {error}{hint}")
            }
        }
    }
}

/// Follows files. Its descriptor is readable when something happened to one of them.
#[derive(Debug)]
pub struct PathWatch {
    inotify: Inotify,
    /// The names on the way of each file.
    trails: BTreeMap<usize, Vec<Step>>,
    /// The files that have a name on their way.
    interest: BTreeMap<Step, BTreeSet<usize>>,
}

/// A name in a folder.
type Step = (WatchDescriptor, OsString);

impl PathWatch {
    /// Follows nothing yet.
    ///
    /// # Errors
    /// When the system has no instance or descriptor left.
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        Ok(Self { inotify, trails: BTreeMap::new(), interest: BTreeMap::new() })
    }

    /// Looks for the file and follows it from now on; to be called again for each one that [`PathWatch::changed`] names.
    ///
    /// # Errors
    /// When it cannot be followed, or only in part.
    pub fn follow(&mut self, file: usize, path: &Path) -> Result<(), Obstacle> {
        let (trail, found) = self.walk(path);
        let before = self.trails.insert(file, trail.clone()).unwrap_or_default();
        for step in &trail {
            self.interest.entry(step.clone()).or_default().insert(file);
        }
        self.leave(file, before.into_iter().filter(|step| !trail.contains(step)));
        found
    }

    /// Follows it no more.
    pub fn forget(&mut self, file: usize) {
        let trail = self.trails.remove(&file).unwrap_or_default();
        self.leave(file, trail.into_iter());
    }

    /// The files to which something may have happened.
    ///
    /// # Errors
    /// None in practice.
    pub fn changed(&mut self) -> io::Result<BTreeSet<usize>> {
        let mut changed = BTreeSet::new();
        for _ in 0..READS_MAX {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in events {
                let lost = AddWatchFlags::IN_Q_OVERFLOW;
                let folder =
                    AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_DELETE_SELF;
                if event.mask.contains(lost) {
                    changed.extend(self.trails.keys());
                } else if event.mask.intersects(folder) {
                    let names = self.interest.range((event.wd, OsString::new())..);
                    let of_folder = names.take_while(|((folder, _), _)| *folder == event.wd);
                    changed.extend(of_folder.flat_map(|(_, files)| files));
                } else if let Some(name) = event.name {
                    changed.extend(self.interest.get(&(event.wd, name)).into_iter().flatten());
                }
            }
        }
        Ok(changed)
    }

    /// The folders that are watched.
    pub fn watches(&self) -> usize {
        self.interest.keys().map(|(folder, _)| *folder).collect::<BTreeSet<_>>().len()
    }

    fn leave(&mut self, file: usize, steps: impl Iterator<Item = Step>) {
        for step in steps {
            let Some(files) = self.interest.get_mut(&step) else { continue };
            files.remove(&file);
            if files.is_empty() {
                self.interest.remove(&step);
            }
            let folder = step.0;
            let mut others = self.interest.range((folder, OsString::new())..);
            if others.next().is_none_or(|((other, _), _)| *other != folder) {
                // The folder may be gone, and the watch with it.
                let _ = self.inotify.rm_watch(folder);
            }
        }
    }

    /// Goes the way of a path, name by name, as the kernel does; each folder is watched before it is looked into, so
    /// that nothing falls between.
    fn walk(&self, path: &Path) -> (Vec<Step>, Result<(), Obstacle>) {
        let mut trail = Vec::new();
        let found = self.walk_on(path, &mut trail);
        (trail, found)
    }

    fn walk_on(&self, path: &Path, trail: &mut Vec<Step>) -> Result<(), Obstacle> {
        let mut folder = PathBuf::from("/");
        let mut names: VecDeque<OsString> = names(path).collect();
        let mut links = 0;
        while let Some(name) = names.pop_front() {
            if name == ".." {
                folder.pop();
                continue;
            }
            trail.push((self.watch(&folder, names.is_empty())?, name.clone()));
            let place = folder.join(&name);
            match place.symlink_metadata() {
                Ok(metadata) if metadata.is_symlink() => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Obstacle::System("followed", Errno::ELOOP.into()));
                    }
                    let target =
                        std::fs::read_link(&place).map_err(|error| Obstacle::System("followed", error))?;
                    if target.is_absolute() {
                        folder = PathBuf::from("/");
                    }
                    let rest = core::mem::take(&mut names);
                    names = self::names(&target).chain(rest).collect();
                }
                Ok(metadata) if metadata.is_dir() => folder = place,
                // The end of the way, or of what there is of it.
                Ok(_) | Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn watch(&self, folder: &Path, last: bool) -> Result<WatchDescriptor, Obstacle> {
        let kind = statfs(folder).map_err(|error| Obstacle::System("followed", error.into()))?;
        if let Some(name) = silent(kind.filesystem_type()) {
            return Err(Obstacle::Silent(name));
        }
        let mut flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR
            | AddWatchFlags::from_bits_retain(libc::IN_MASK_ADD);
        // Many write in folders on the way.
        flags.set(AddWatchFlags::IN_CLOSE_WRITE, last);
        let watched = self.inotify.add_watch(folder, flags);
        watched.map_err(|error| Obstacle::System("followed", error.into()))
    }
}

impl AsFd for PathWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// The names of a path, without those that stay where they are.
fn names(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[allow(clippy::unnecessary_cast, reason = "the type differs between architectures")]
fn silent(kind: FsType) -> Option<&'static str> {
    // Numbers above 31 bits are negative on some.
    let kind = kind.0 as i64 & 0xffff_ffff;
    SILENT.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

/// The first bytes of a regular file, at most `limit`; `None` where there is no file.
///
/// # Errors
/// When it cannot be read, or its changes would go unnoticed.
pub fn read_start(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Obstacle> {
    let unreadable = |error| Obstacle::System("read", error);
    // A pipe must not be waited for.
    let opened = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    check_file(&file)?;
    let mut start = Vec::new();
    file.take(limit).read_to_end(&mut start).map_err(unreadable)?;
    Ok(Some(start))
}

fn check_file(file: &File) -> Result<(), Obstacle> {
    let unreadable = |error| Obstacle::System("read", error);
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(Obstacle::NoFile);
    }
    let kind = fstatfs(file).map_err(|error| unreadable(error.into()))?;
    silent(kind.filesystem_type()).map_or(Ok(()), |name| Err(Obstacle::Silent(name)))
}

/// Writes `text` into a file that does not exist, or also into one that does. Returns whether it was written.
///
/// # Errors
/// When it cannot be written.
pub fn write_start(path: &Path, text: &str, overwrite: bool) -> Result<bool, Obstacle> {
    use std::io::Write;
    let unwritable = |error| Obstacle::System("written", error);
    let mut options = File::options();
    options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY);
    let opened = match overwrite {
        true => options.create(true).truncate(false).open(path),
        false => options.create_new(true).open(path),
    };
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if !overwrite && error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(unwritable(error)),
    };
    check_file(&file)?;
    file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(unwritable)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the watch says of the only file, after what happened.
    fn noticed(watch: &mut PathWatch, path: &Path) -> bool {
        let changed = watch.changed().unwrap();
        if changed.contains(&0) {
            watch.follow(0, path).unwrap();
        }
        changed.contains(&0)
    }

    fn read(path: &Path) -> Option<String> {
        read_start(path, 100).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_file_is_followed_through_everything() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let path = base.join("a/b/file");
        let mut watch = PathWatch::new().unwrap();
        watch.follow(0, &path).unwrap();
        assert!(!noticed(&mut watch, &path) && read(&path).is_none());

        std::fs::create_dir(base.join("a")).unwrap();
        assert!(noticed(&mut watch, &path), "the first folder comes");
        std::fs::write(base.join("a/other"), "").unwrap();
        assert!(!noticed(&mut watch, &path), "something else");
        std::fs::create_dir(base.join("a/b")).unwrap();
        assert!(noticed(&mut watch, &path));
        std::fs::write(&path, "1").unwrap();
        assert!(noticed(&mut watch, &path) && read(&path).as_deref() == Some("1"));
        std::fs::write(&path, "2").unwrap();
        assert!(noticed(&mut watch, &path), "written");
        std::fs::write(base.join("new"), "3").unwrap();
        std::fs::rename(base.join("new"), &path).unwrap();
        assert!(noticed(&mut watch, &path) && read(&path).as_deref() == Some("3"), "replaced");
        std::fs::write(&path, "4").unwrap();
        assert!(noticed(&mut watch, &path), "the new one is followed");
        std::fs::remove_file(&path).unwrap();
        assert!(noticed(&mut watch, &path) && read(&path).is_none());
        std::fs::rename(base.join("a"), base.join("old")).unwrap();
        assert!(noticed(&mut watch, &path), "a folder on the way is gone");
        std::fs::write(base.join("old/b/file"), "").unwrap();
        assert!(!noticed(&mut watch, &path), "and has nothing to do with it any more");
        std::fs::create_dir_all(base.join("a/b")).unwrap();
        std::fs::write(&path, "5").unwrap();
        assert!(noticed(&mut watch, &path) && read(&path).as_deref() == Some("5"));

        let watches = watch.watches();
        std::fs::remove_dir_all(base.join("a")).unwrap();
        assert!(noticed(&mut watch, &path) && watch.watches() < watches);
        watch.forget(0);
        assert_eq!(watch.watches(), 0);
    }

    #[test]
    fn symbolic_links_are_followed_to_their_ends() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        // As Kubernetes publishes settings: one link is replaced for a whole folder.
        for (version, text) in [("v1", "1"), ("v2", "2")] {
            std::fs::create_dir(base.join(version)).unwrap();
            std::fs::write(base.join(version).join("value"), text).unwrap();
        }
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, base.join(name)).unwrap();
        link("v1", "data");
        link("data/value", "value");
        let path = base.join("value");
        let mut watch = PathWatch::new().unwrap();
        watch.follow(0, &path).unwrap();
        assert_eq!(read(&path).as_deref(), Some("1"));
        link("v2", "data.new");
        std::fs::rename(base.join("data.new"), base.join("data")).unwrap();
        assert!(noticed(&mut watch, &path) && read(&path).as_deref() == Some("2"));
        std::fs::write(base.join("v2/value"), "3").unwrap();
        assert!(noticed(&mut watch, &path));
        std::fs::write(base.join("v1/value"), "4").unwrap();
        assert!(!noticed(&mut watch, &path));
        link("loop", "loop");
        assert!(matches!(watch.follow(1, &base.join("loop")), Err(Obstacle::System(..))));
    }

    #[test]
    fn what_tells_of_no_change_is_refused() {
        let mut watch = PathWatch::new().unwrap();
        let refused = watch.follow(0, Path::new("/proc/sys/kernel/pid_max"));
        assert!(matches!(refused, Err(Obstacle::Silent("proc"))), "{refused:?}");
        let read = read_start(Path::new("/proc/sys/kernel/pid_max"), 10);
        assert!(matches!(read, Err(Obstacle::Silent("proc"))), "{read:?}");
        assert!(matches!(read_start(Path::new("/dev/null"), 10), Err(Obstacle::NoFile)));
        assert!(matches!(read_start(Path::new("/"), 10), Err(Obstacle::NoFile)));
        assert!(read_start(Path::new("/etc/passwd/x"), 10).unwrap().is_none());
    }

    #[test]
    fn a_file_is_begun_once_or_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(write_start(&path, "1\n", false).unwrap());
        assert!(!write_start(&path, "2\n", false).unwrap());
        assert_eq!(read(&path).as_deref(), Some("1\n"));
        std::fs::write(&path, "a long text").unwrap();
        assert!(write_start(&path, "3\n", true).unwrap());
        assert_eq!(read(&path).as_deref(), Some("3\n"));
        assert!(matches!(write_start(folder.path(), "", true), Err(Obstacle::System(..))));
    }
}
