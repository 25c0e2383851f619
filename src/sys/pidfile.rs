//! Pid files: a decimal number and a line feed, locked while the process lives.

#![allow(unsafe_code)]

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why a pid file could not be taken.
#[derive(Debug)]
pub enum PidFileError {
    /// Another process holds its lock: the daemon is running already.
    Locked,
    /// The file could not be written.
    Io(io::Error),
}

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
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(path)
            .map_err(PidFileError::Io)?;
        // Whatever the umask: others look there for the process, as they do with keepalived's.
        let _ = file.set_permissions(Permissions::from_mode(0o644));
        let lock = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        // SAFETY: the descriptor is open and `lock` lives through the call.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
        if result != 0 {
            let error = io::Error::last_os_error();
            return Err(match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EACCES) => PidFileError::Locked,
                _ => PidFileError::Io(error),
            });
        }
        // keepalived before 2.3.2 does not lock its file.
        let holder = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
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
        let _ = std::fs::remove_file(&self.path);
        if let Some(folder) = self.path.parent().filter(|_| self.made_folder) {
            let _ = std::fs::remove_dir(folder);
        }
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
}
