//! A FIFO to write to, without ever waiting for its readers.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

use super::spawn::Identity;

/// Permissions of a new one, before the umask.
const MODE: u32 = 0o644;

/// What a pipe holds unless the kernel says otherwise.
const PIPE_BYTES: usize = 65_536;

/// Why a FIFO cannot be used.
#[derive(Debug)]
pub(crate) enum FifoError {
    /// It is something else.
    NotAFifo(&'static str),
    /// It belongs to somebody else: user number, group number, mode.
    Foreign(u32, u32, u32),
    /// A system call failed.
    Io(io::Error),
}

impl fmt::Display for FifoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFifo(what) => write!(f, "there is {what} in its place, which is left alone"),
            Self::Foreign(user, group, mode) => write!(
                f,
                "it belongs to neither root nor its configured user (owner {user}, group {group}, mode {mode:04o})"
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for FifoError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// An open FIFO.
///
/// While nobody else reads, it holds a reader of its own: so writing does not fail, and a reader finds what was written
/// before it came. What tells that somebody reads is that the pipe has a reader without it.
#[derive(Debug)]
pub(crate) struct Fifo {
    path: PathBuf,
    writer: File,
    own_reader: Option<File>,
    created: bool,
}

impl Fifo {
    /// Opens the FIFO, or creates it for `owner`. One that is there must belong to root or to `owner`; symbolic links
    /// are not followed.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(crate) fn open(path: &Path, owner: Option<&Identity>) -> Result<Self, FifoError> {
        let name = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)?;
        let created = match nix::unistd::mkfifo(name.as_c_str(), Mode::from_bits_truncate(MODE)) {
            Ok(()) => true,
            Err(nix::errno::Errno::EEXIST) => false,
            Err(error) => return Err(io::Error::from(error).into()),
        };
        let opened = Self::open_existing(path, owner, created);
        if opened.is_err() && created {
            let _ = std::fs::remove_file(path);
        }
        opened
    }

    fn open_existing(path: &Path, owner: Option<&Identity>, created: bool) -> Result<Self, FifoError> {
        let is_fifo = |metadata: &std::fs::Metadata| {
            let kind = metadata.file_type();
            match () {
                () if kind.is_fifo() => Ok(()),
                () if kind.is_symlink() => Err(FifoError::NotAFifo("a symbolic link")),
                () if kind.is_dir() => Err(FifoError::NotAFifo("a directory")),
                () if kind.is_file() => Err(FifoError::NotAFifo("a regular file")),
                () => Err(FifoError::NotAFifo("a device or a socket")),
            }
        };
        // Opening a device may do something.
        is_fifo(&std::fs::symlink_metadata(path)?)?;
        let mut options = File::options();
        options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC);
        let reader = options.open(path)?;
        let metadata = reader.metadata()?;
        is_fifo(&metadata)?;
        let (user, group, mode) = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
        if let Some(owner) = owner {
            if created {
                std::os::unix::fs::fchown(&reader, Some(owner.user()), Some(owner.group()))?;
            } else if user != 0 && user != owner.user() {
                return Err(FifoError::Foreign(user, group, mode));
            }
        } else if user != 0 && user != nix::unistd::geteuid().as_raw() {
            return Err(FifoError::Foreign(user, group, mode));
        }
        let writer = again(&reader, File::options().write(true))?;
        Ok(Self { path: path.to_owned(), writer, own_reader: Some(reader), created })
    }

    /// How many bytes it holds.
    pub(crate) fn capacity(&self) -> usize {
        let bytes = fcntl(&self.writer, FcntlArg::F_GETPIPE_SZ).unwrap_or_default();
        usize::try_from(bytes).ok().filter(|bytes| *bytes > 0).unwrap_or(PIPE_BYTES)
    }

    /// Whether anybody reads.
    pub(crate) fn is_read(&mut self) -> bool {
        self.own_reader = None;
        let read = self.has_reader();
        if !read {
            // Without a descriptor for it what is written fails, and waits.
            self.own_reader = again(&self.writer, File::options().read(true)).ok();
        }
        read
    }

    fn has_reader(&self) -> bool {
        let mut descriptors = [PollFd::new(self.writer.as_fd(), PollFlags::POLLOUT)];
        let polled = poll(&mut descriptors, PollTimeout::ZERO);
        let error = descriptors[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR));
        polled.is_ok() && !error
    }

    /// How many bytes nobody has read yet.
    pub(crate) fn unread(&self) -> usize {
        let mut bytes: libc::c_int = 0;
        // SAFETY: FIONREAD writes one integer.
        let done = unsafe { libc::ioctl(self.writer.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
        if done == 0 { usize::try_from(bytes).unwrap_or_default() } else { 0 }
    }

    /// Reads all that is in it, while nobody else reads.
    pub(crate) fn empty(&mut self) {
        let mut buffer = [0; 4096];
        if let Some(reader) = &mut self.own_reader {
            while reader.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
        }
    }

    /// Writes what fits. `WouldBlock` when it is full, `BrokenPipe` when the last reader has just left.
    ///
    /// # Errors
    /// When nothing was written.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    /// Closes it, and removes it if it was created here. Readers find its end.
    pub(crate) fn close(self) {
        if self.created {
            // It may be another one by now: then that one's owner is to be asked, not us.
            let same = std::fs::symlink_metadata(&self.path)
                .and_then(|there| Ok((there, self.writer.metadata()?)))
                .is_ok_and(|(there, ours)| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
            if same {
                let _ = std::fs::remove_file(&self.path);
            }
        }
    }
}

impl AsFd for Fifo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }
}

/// The same pipe, opened otherwise, whatever its path is now.
fn again(file: &File, options: &mut std::fs::OpenOptions) -> io::Result<File> {
    options
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_whether_anybody_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let mut fifo = Fifo::open(&path, None).unwrap();
        assert!(!fifo.is_read());
        assert_eq!(fifo.write(b"abc").unwrap(), 3);
        assert_eq!(fifo.unread(), 3);
        let open = || File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        let mut reader = open();
        assert!(fifo.is_read());
        let mut buffer = [0; 9];
        assert_eq!(reader.read(&mut buffer).unwrap(), 3);
        drop(reader);
        assert_eq!(fifo.write(b"d").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(!fifo.is_read());
        assert_eq!(fifo.write(b"de").unwrap(), 2);
        fifo.empty();
        assert_eq!(fifo.unread(), 0);
        assert!(fifo.capacity() >= 4096);
        fifo.close();
        assert!(!path.exists());
    }

    #[test]
    fn what_is_in_its_place_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        std::fs::write(&path, "x").unwrap();
        assert!(Fifo::open(&path, None).unwrap_err().to_string().contains("a regular file"));
        let link = folder.path().join("link");
        nix::unistd::mkfifo(&folder.path().join("other"), Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("other", &link).unwrap();
        assert!(Fifo::open(&link, None).unwrap_err().to_string().contains("a symbolic link"));
        let other = Fifo::open(&folder.path().join("other"), None).unwrap();
        other.close();
        assert!(folder.path().join("other").exists(), "it was there before");
    }
}
