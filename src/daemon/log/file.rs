//! A log file: keepalived's `-g`.
//!
//! Each line is written at once, and goes to the file that has the name at that time: it may be renamed and a new one
//! put in its place at any time (logrotate), without a signal.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::form::{Identity, LogFormat, line};
use super::record::Record;
use super::sink::Outlet;

/// A file that is opened anew when another one has its name.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) path: PathBuf,
    pub(super) format: LogFormat,
    pub(super) identity: Identity,
    pub(super) file: Option<File>,
}

impl LogFile {
    /// The open file that has the name, and its length.
    fn current(&mut self) -> io::Result<(&mut File, u64)> {
        let named = std::fs::symlink_metadata(&self.path).ok().map(|found| (found.dev(), found.ino()));
        let is_current = |file: &File| file.metadata().is_ok_and(|own| Some((own.dev(), own.ino())) == named);
        let file = match self.file.take().filter(is_current) {
            Some(file) => file,
            None => open(&self.path)?,
        };
        let length = file.metadata()?.len();
        Ok((self.file.insert(file), length))
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        let (file, length) = self.current()?;
        file.write_all(text.as_bytes()).inspect_err(|_| {
            // The disk is full: what got through of the line would spoil the next one.
            let _ = file.set_len(length);
        })
    }
}

impl Outlet for LogFile {
    fn put(&mut self, record: &Record, _: Duration) -> bool {
        let text = line(self.format, &self.identity, record);
        self.append(&text).is_ok()
    }

    fn why_lost(&self) -> &'static str {
        "they could not be written to the log file"
    }
}

/// Opens a regular file to append to. The default folder may be one where everybody may put links and FIFOs.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        // As keepalived; its umask usually leaves the owner alone.
        .mode(0o666)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file)
}

/// The file of a process: keepalived puts `_vrrp` before the last `.` of the name.
pub(super) fn path_for(path: &Path, suffix: &str) -> PathBuf {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy()) else { return path.to_owned() };
    path.with_file_name(match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}{suffix}.{extension}"),
        None => format!("{name}{suffix}"),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tracing::Level;

    use super::*;

    fn file(path: PathBuf) -> LogFile {
        let identity = Identity { name: "Keepalived".to_owned(), pid: 7 };
        LogFile { path, format: LogFormat::Text, identity, file: None }
    }

    fn put(file: &mut LogFile, text: &str) -> bool {
        file.put(&Record::new(Level::INFO, text.to_owned()), Duration::ZERO)
    }

    #[test]
    fn lines_go_to_the_file_that_has_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keepalived.log");
        let mut log = file(path.clone());
        assert!(put(&mut log, "one") && put(&mut log, "two"));
        let rotated = folder.path().join("keepalived.log.1");
        fs::rename(&path, &rotated).unwrap();
        assert!(put(&mut log, "three"));
        assert!(fs::read_to_string(rotated).unwrap().ends_with(": two\n"));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        fs::write(&path, "").unwrap();
        assert!(put(&mut log, "four"));
        assert!(fs::read_to_string(&path).unwrap().ends_with(": four\n"));
    }

    #[test]
    fn links_and_fifos_in_its_place_are_neither_followed_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (target, path) = (folder.path().join("target"), folder.path().join("keepalived.log"));
        let mut log = file(path.clone());
        fs::write(&target, "untouched").unwrap();
        symlink(&target, &path).unwrap();
        assert!(!put(&mut log, "one"));
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
        assert!(!put(&mut log, "one"));
        let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        assert!(!put(&mut log, "one"));
        drop(reader);
        assert_eq!(fs::read_to_string(target).unwrap(), "untouched");
    }

    #[test]
    fn each_process_has_a_file_under_keepalived_s_name() {
        for (path, expected) in [
            ("/var/log/keepalived.log", "/var/log/keepalived_vrrp.log"),
            ("/var/log.d/keepalived", "/var/log.d/keepalived_vrrp"),
            ("/a/b.c.d", "/a/b.c_vrrp.d"),
        ] {
            assert_eq!(path_for(Path::new(path), "_vrrp"), Path::new(expected));
        }
        assert_eq!(path_for(Path::new("/a/b.c"), ""), Path::new("/a/b.c"));
    }
}
