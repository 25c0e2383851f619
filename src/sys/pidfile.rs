//! Pid files: a decimal number and a line feed, locked while the process lives.

#![allow(unsafe_code)]

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::exec;

/// Why a pid file could not be taken.
#[derive(Debug)]
pub enum PidFileError {
    /// Another process holds its lock: the daemon is running already.
    Locked,
    /// The file could not be written.
    Io(io::Error),
    /// Something stands in its place that must not be written to; says what.
    InTheWay(&'static str),
}

/// How often a file that was replaced while it was being locked is opened anew.
const ATTEMPTS: usize = 8;

/// A locked pid file. It is removed by [`PidFile::remove`] only: a process that is a copy of the owner must
/// not do it by chance.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
    /// Its folder was made for it.
    made_folder: bool,
}

impl PidFile {
    /// Creates or takes over the file and locks it, without a number in it yet. The lock belongs to the open
    /// file and thus to the processes forked from here too, until all have closed it.
    ///
    /// # Errors
    /// See [`PidFileError`].
    pub fn lock(path: &Path) -> Result<Self, PidFileError> {
        let made_folder = path.parent().is_some_and(make_folder);
        let mut file = Err(PidFileError::Locked);
        for _ in 0..ATTEMPTS {
            let opened = open(path)?;
            set_lock(&opened)?;
            // Whoever held it before may have removed it meanwhile: then this is the lock of a file that nobody
            // finds any more.
            if is_at(&opened, path) {
                file = Ok(opened);
                break;
            }
        }
        let file = file?;
        // Whatever the umask: others look there for the process, as they do with keepalived's.
        let _ = file.set_permissions(Permissions::from_mode(0o644));
        // keepalived before 2.3.2 does not lock its file.
        let holder = io::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
        if holder.is_some_and(runs_a_router_daemon) {
            return Err(PidFileError::Locked);
        }
        Ok(Self { path: path.to_owned(), file, made_folder })
    }

    /// Whether the process whose number is in the file lives; true where there is none.
    pub fn writer_lives(path: &Path) -> bool {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.trim().parse::<u32>().ok().is_none_or(|pid| Path::new(&format!("/proc/{pid}")).exists())
    }

    /// The same locked file, for a process that is forked from here.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn share(&self) -> io::Result<Self> {
        Ok(Self { path: self.path.clone(), file: self.file.try_clone()?, made_folder: false })
    }

    /// The number of its descriptor, by which [`PidFile::adopt`] finds it in a program that is executed in place of this
    /// one if it is to stay open (`keep`): then the file stays locked. And whether its folder was made for it.
    ///
    /// # Errors
    /// None in practice.
    pub fn hand_on(&self, keep: bool) -> io::Result<(i32, bool)> {
        exec::keep_open(&self.file, keep)?;
        Ok((exec::number(&self.file), self.made_folder))
    }

    /// The locked file that the program before has left open. `None` where there is none, or another one has its name.
    pub fn adopt(path: &Path, (number, made_folder): (i32, bool)) -> Option<Self> {
        let file = exec::take(number)?;
        is_at(&file, path).then(|| Self { path: path.to_owned(), file, made_folder })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the number of a process.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&mut self, pid: u32) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(format!("{pid}\n").as_bytes())
    }

    /// Removes the file, and the folder that was made for it if nothing else is in it.
    pub fn remove(self) {
        // It may be gone already, or the folder may have become read-only; neither is worth a failure at stop.
        // Another daemon's file in its place is not ours to remove.
        if is_at(&self.file, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
        if let Some(folder) = self.path.parent().filter(|_| self.made_folder) {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Opens a regular file that has no other name and is ours or root's, or creates it.
fn open(path: &Path) -> Result<File, PidFileError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // A FIFO would wait for its other end.
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ENXIO) => PidFileError::InTheWay("a FIFO, socket or device"),
            _ => PidFileError::Io(error),
        })?;
    let metadata = file.metadata().map_err(PidFileError::Io)?;
    let owners = [0, nix::unistd::geteuid().as_raw()];
    if !metadata.is_file() {
        return Err(PidFileError::InTheWay("a FIFO, socket or device"));
    }
    // Of a file that is removed at this moment there is none left.
    if metadata.nlink() > 1 {
        return Err(PidFileError::InTheWay("a file with other names too (hard links)"));
    }
    if !owners.contains(&metadata.uid()) {
        return Err(PidFileError::InTheWay("a file of another user"));
    }
    Ok(file)
}

/// Takes the lock of the whole file, without waiting.
fn set_lock(file: &File) -> Result<(), PidFileError> {
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open and `lock` lives through the call.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => PidFileError::Locked,
        _ => PidFileError::Io(error),
    })
}

/// Whether the open file is the one that has this path.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(opened), Ok(there)) => identity(opened) == identity(there),
        _ => false,
    }
}

/// Makes a folder and those above it, whatever the umask: a folder without the right to enter it is of no use
/// even to its owner. False if it was there, or cannot be made: then the file's own error will tell.
fn make_folder(folder: &Path) -> bool {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return false;
    }
    folder.parent().map(make_folder);
    std::fs::create_dir(folder).is_ok()
        && std::fs::set_permissions(folder, Permissions::from_mode(0o755)).is_ok()
}

/// Whether this is a living process, other than the calling one, that is called `keepalived`. The number alone
/// says nothing: after a crash another process may have got it.
fn runs_a_router_daemon(pid: u32) -> bool {
    pid != std::process::id()
        && std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name.trim_end() == "keepalived")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_and_the_number_replaced() {
        let folder = std::env::temp_dir().join(format!("alived-pidfile-{}", std::process::id()));
        let path = folder.join("deeper/a.pid");
        let mut first = PidFile::lock(&path).unwrap();
        first.write(1_234_567).unwrap();
        first.write(42).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "42\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert!(matches!(PidFile::lock(&path), Err(PidFileError::Locked)));
        first.remove();
        assert!(!path.exists() && !folder.join("deeper").exists() && folder.exists());
        PidFile::lock(&path).unwrap().remove();
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_lock_is_that_of_the_file_with_the_name() {
        let folder = std::env::temp_dir().join(format!("alived-pidfile-names-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.pid");
        let first = open(&path).unwrap();
        set_lock(&first).unwrap();
        assert!(is_at(&first, &path));
        std::fs::remove_file(&path).unwrap();
        assert!(!is_at(&first, &path));
        std::fs::write(&path, "").unwrap();
        assert!(!is_at(&first, &path), "another file of that name");

        // Its file is another's by now, and stays.
        let old = PidFile::lock(&path).unwrap();
        std::fs::rename(&path, folder.join("b.pid")).unwrap();
        let new = PidFile::lock(&path).unwrap();
        old.remove();
        assert!(path.exists());
        assert!(matches!(PidFile::lock(&path), Err(PidFileError::Locked)));
        new.remove();
        assert!(!path.exists());

        // Two that replace it all the time never both hold it.
        let holders = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let Ok(held) = PidFile::lock(&path) else { continue };
                        let others = holders.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert_eq!(others, 0, "two hold the pid file");
                        holders.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        held.remove();
                    }
                });
            }
        });
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_stands_in_the_way_is_not_opened_and_not_written_to() {
        let folder = std::env::temp_dir().join(format!("alived-pidfile-way-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, other) = (folder.join("a.pid"), folder.join("other"));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
        assert!(matches!(PidFile::lock(&path), Err(PidFileError::InTheWay(_))));
        std::fs::remove_file(&path).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(PidFile::lock(&path), Err(PidFileError::InTheWay(_))));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&other, "untouched").unwrap();
        std::fs::hard_link(&other, &path).unwrap();
        assert!(matches!(PidFile::lock(&path), Err(PidFileError::InTheWay(_))));
        std::fs::remove_file(&path).unwrap();
        if std::os::unix::fs::chown(&other, Some(65_534), None).is_ok() {
            std::fs::rename(&other, &path).unwrap();
            assert!(matches!(PidFile::lock(&path), Err(PidFileError::InTheWay(_))));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "untouched");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
