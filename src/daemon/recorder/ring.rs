//! The files: each begins with a state, and the oldest go when all together are too large.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use super::{Place, Progress};
use crate::daemon::files;
use crate::node::recording::Piece;
use crate::recording::{Head, frame_of, start_of};

/// A file has so much of the ring, so that little is lost when the oldest goes.
const FILES: u64 = 8;
/// And this at least, whatever the size of a state.
const FILE_MIN: u64 = 256 * 1024;
/// Files that others lead to may be read by others; these by their owner alone.
const FILE_MODE: Mode = Mode::from_bits_truncate(0o600);
const SUFFIX: &str = ".rec";

/// The ring.
#[derive(Debug)]
pub(super) struct Ring {
    place: Place,
    /// Names in it are looked up here, whatever becomes of the path.
    folder: File,
    start: Vec<u8>,
    current: Option<Current>,
    /// Name and bytes of the others, the oldest first.
    sealed: Vec<(String, u64)>,
    /// Time in the name of the last file.
    last: u64,
    buffer: Vec<u8>,
    fault: Option<String>,
}

/// The file that is written.
#[derive(Debug)]
struct Current {
    file: File,
    name: String,
    bytes: u64,
}

/// Opens the folder, or makes it where only it is missing.
///
/// # Errors
/// Where others could put something in it, or it is a link or no folder.
fn check_folder(path: &Path) -> io::Result<File> {
    files::make_folder(path)?;
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let folder = File::options().read(true).custom_flags(flags).open(path)?;
    let metadata = folder.metadata()?;
    let owners = [0, geteuid().as_raw()];
    if !owners.contains(&metadata.uid()) || metadata.mode() & 0o022 != 0 {
        let text = "others can put files in that folder: a folder for recordings belongs to root and only its owner may \
                    write to it (chmod go-w)";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(folder)
}

impl Ring {
    /// The files of earlier recordings are a part of it.
    pub(super) fn open(place: &Place, head: &Head) -> io::Result<Self> {
        let folder = check_folder(&place.folder)?;
        let mut ring = Self {
            place: place.clone(),
            folder,
            start: start_of(head),
            current: None,
            sealed: Vec::new(),
            last: 0,
            buffer: Vec::new(),
            fault: None,
        };
        ring.look()?;
        Ok(ring)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.place.folder
    }

    fn look(&mut self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.place.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let Some(time) = self.time_of(&name) else { continue };
            let Ok(found) = fstatat(&self.folder, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else {
                continue;
            };
            if SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFREG {
                self.last = self.last.max(time);
                self.sealed.push((name, u64::try_from(found.st_size).unwrap_or(0)));
            }
        }
        self.sealed.sort();
        Ok(())
    }

    /// The time in the name of a file of ours.
    fn time_of(&self, name: &str) -> Option<u64> {
        let digits = name.strip_prefix(&*self.place.prefix)?.strip_prefix('-')?.strip_suffix(SUFFIX)?;
        (digits.len() == 16).then(|| digits.parse().ok()).flatten()
    }

    /// Writes a piece; false where there is no file for it: only a state begins one. `lost`: inputs before it that were
    /// not written.
    pub(super) fn put(&mut self, piece: &Piece, lost: u64) -> io::Result<bool> {
        let begins = self.current.is_none() || self.is_full();
        if piece.is_state && begins {
            self.begin(piece)?;
        }
        let Some(current) = &mut self.current else { return Ok(false) };
        frame_of(piece, lost, &mut self.buffer);
        match current.file.write_all(&self.buffer) {
            Ok(()) => {
                current.bytes += self.buffer.len() as u64;
                self.fault = None;
                self.prune();
                Ok(true)
            }
            Err(error) => {
                // What is whole stays.
                let _ = current.file.set_len(current.bytes);
                self.close();
                // The oldest may be what fills the disk.
                Err(error)
            }
        }
    }

    fn begin(&mut self, piece: &Piece) -> io::Result<()> {
        self.close();
        self.prune();
        // A clock that was set back makes no file that would be taken for an older one.
        self.last = piece.begun.wall.as_unix_micros().max(self.last + 1).min(9_999_999_999_999_999);
        let name = format!("{}-{:016}{SUFFIX}", self.place.prefix, self.last);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut file = File::from(openat(&self.folder, name.as_str(), flags, FILE_MODE)?);
        if let Err(error) = file.write_all(&self.start) {
            // Nothing in it is of any use.
            let _ = unlinkat(&self.folder, name.as_str(), UnlinkatFlags::NoRemoveDir);
            return Err(error);
        }
        self.current = Some(Current { file, name, bytes: self.start.len() as u64 });
        Ok(())
    }

    /// Whether the file is large enough, so that the next state begins another one.
    pub(super) fn is_full(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.bytes >= self.file_size())
    }

    fn file_size(&self) -> u64 {
        (self.place.size / FILES).max(FILE_MIN)
    }

    /// Removes the oldest files, so that the one that is written has its room.
    fn prune(&mut self) {
        let current = self.current.as_ref().map_or(0, |current| current.bytes.max(self.file_size()));
        let mut total: u64 = self.sealed.iter().map(|(_, bytes)| bytes).sum::<u64>() + current;
        while total > self.place.size && !self.sealed.is_empty() {
            let (name, bytes) = self.sealed.remove(0);
            // Somebody may have taken it away.
            let _ = unlinkat(&self.folder, name.as_str(), UnlinkatFlags::NoRemoveDir);
            total -= bytes;
        }
    }

    /// The file that is written gets no more.
    pub(super) fn close(&mut self) {
        if let Some(Current { name, bytes, .. }) = self.current.take() {
            self.sealed.push((name, bytes));
        }
    }

    /// Nothing could be written. True when that is news.
    pub(super) fn note_fault(&mut self, error: &io::Error) -> bool {
        let text = error.to_string();
        let news = self.fault.as_ref() != Some(&text);
        self.fault = Some(text);
        news
    }

    pub(super) fn progress(&self, lost: u64) -> Progress {
        let current = self.current.iter().map(|current| current.bytes);
        let sizes = self.sealed.iter().map(|(_, bytes)| *bytes).chain(current);
        Progress { files: sizes.clone().count() as u64, bytes: sizes.sum(), lost, fault: self.fault.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::recording::Reader;
    use crate::time::{Instant, Now, WallTime};

    fn place(folder: &Path) -> Place {
        Place { folder: folder.to_owned(), size: 8 * FILE_MIN, prefix: "vrrp".to_owned() }
    }

    fn piece(is_state: bool, seed: u64, bytes: usize, at: u64) -> Piece {
        // Nothing that could be packed.
        let mut prng = crate::prng::Prng::new(seed);
        let bytes = (0..bytes).map(|_| prng.below(256) as u8).collect();
        let begun = Now { instant: Instant::ZERO, wall: WallTime::from_unix_micros(at) };
        Piece { bytes, is_state, lost: 0, begun }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_files_go_and_what_is_not_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recordings");
        let mut ring = Ring::open(&place(&path), &Head::default()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(path.join("vrrp-notes.rec"), "theirs").unwrap();
        symlink("/etc/hostname", path.join("vrrp-0000000000000001.rec")).unwrap();
        assert!(!ring.put(&piece(false, 0, 10, 0), 0).unwrap(), "inputs begin no file");
        for number in 0..40_u64 {
            assert!(ring.put(&piece(true, number, 100, 1_000_000 - number), number).unwrap());
            while !ring.is_full() {
                assert!(ring.put(&piece(false, number, 60_000, 0), 0).unwrap());
            }
        }
        ring.close();
        let all = names(&path);
        let ours: Vec<_> = all.iter().filter(|name| name.starts_with("vrrp-00000000010")).collect();
        assert!((5..=8).contains(&ours.len()), "{all:?}");
        assert_eq!(all.len(), ours.len() + 2, "{all:?}");
        let sizes = ours.iter().map(|name| std::fs::metadata(path.join(name)).unwrap());
        let mut total = 0;
        for found in sizes {
            assert_eq!(found.permissions().mode() & 0o777, 0o600);
            total += found.len();
        }
        assert!(total <= 8 * FILE_MIN + 100_000, "{total}");
        for name in &ours {
            let reader = Reader::new(File::open(path.join(name)).unwrap()).unwrap();
            let frames: Vec<_> = reader.map(Result::unwrap).collect();
            assert!(frames[0].state.is_some() && frames[1..].iter().all(|frame| frame.state.is_none()));
        }
        // The next recording is a part of the same ring, and its files come after these.
        let mut next = Ring::open(&place(&path), &Head::default()).unwrap();
        assert!(next.put(&piece(true, 99, 100, 5), 0).unwrap());
        let after = names(&path);
        assert!(
            after.iter().position(|name| !all.contains(name)) > after.iter().position(|name| name == ours[0])
        );
    }

    #[test]
    fn a_disk_that_refuses_costs_the_recording_until_it_takes_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recordings");
        let mut ring = Ring::open(&place(&path), &Head::default()).unwrap();
        assert!(ring.put(&piece(true, 1, 100, 1), 0).unwrap());
        assert!(ring.put(&piece(false, 2, 100, 1), 0).unwrap());
        let name = names(&path).remove(0);
        let whole = std::fs::read(path.join(&name)).unwrap();
        // A descriptor that cannot be written to.
        let current = ring.current.as_mut().unwrap();
        current.file = File::open(path.join(&name)).unwrap();
        let error = ring.put(&piece(false, 3, 100, 1), 0).unwrap_err();
        assert!(ring.note_fault(&error) && !ring.note_fault(&error), "said once");
        assert!(ring.progress(0).fault.is_some());
        assert!(!ring.put(&piece(false, 4, 100, 1), 0).unwrap(), "there is nothing to go on with");
        assert!(ring.put(&piece(true, 5, 100, 2), 7).unwrap());
        assert_eq!(ring.progress(0).fault, None);
        assert_eq!(names(&path).len(), 2);
        assert_eq!(std::fs::read(path.join(&name)).unwrap(), whole, "what was whole stays");
        let second = names(&path).remove(1);
        let reader = Reader::new(File::open(path.join(second)).unwrap()).unwrap();
        assert_eq!(reader.map(Result::unwrap).map(|frame| frame.state).collect::<Vec<_>>(), [Some(7)]);
    }

    #[test]
    fn folders_that_others_could_fill_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
        let refused = check_folder(&open).unwrap_err().to_string();
        assert!(refused.contains("chmod go-w"), "{refused}");
        let link = folder.path().join("link");
        symlink(folder.path(), &link).unwrap();
        assert!(check_folder(&link).is_err(), "a link");
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(check_folder(&folder.path().join("file")).is_err(), "a file");
        assert!(check_folder(&folder.path().join("not/there")).is_err(), "its parent is missing");
    }
}
