//! A restart without failover: the program that is on the disk now is executed in place of the supervisor's, in the same
//! process, while the workers go on. So whoever knows the supervisor's number (the service manager, a pid file, a
//! container) sees no other process. What the new program needs it finds in a file in memory ([`Estate`]).
//!
//! ```text
//! supervisor  judges the program and the configuration ([`Judging`]): a child executes the program for that
//!             forks a guardian, which removes everything should nobody go on
//!             executes the program                                      the old workers serve meanwhile
//!   new one   reads the configuration, takes pid files over
//!             tells the old workers to leave: each says once more that it is there, and gives nothing up
//!             starts its own ones, which adopt what is there and are masters again at once
//! ```
//!
//! The supervisor is not confined as its workers are (no seccomp filter, no Landlock, no `no_new_privs`), so that the new
//! program has all rights of the old one. Should it end before its time, the old workers are told to stop in order, as
//! after any death of a supervisor.

mod judge;
mod legacy_file;

pub(super) use judge::{Judging, Testimony, judge};
pub(super) use legacy_file::LegacyFile;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::PidPaths;
use super::leftovers::Leftovers;
use super::shared_text::SharedText;
use crate::sys::pidfile::PidFile;
use crate::sys::{exec, process};

/// The variable of the environment that tells a program what it is executed for: `judge` and the descriptors of the
/// configuration in force, or `go-on` and the descriptor of an [`Estate`].
const VARIABLE: &str = "ALIVED_RESTART";

const JUDGE: &str = "judge";
const GO_ON: &str = "go-on";

/// The form of an [`Estate`], and of what old workers are told. A program says which one it understands.
pub(super) const FORMAT: u32 = 1;

/// What comes of an operator's wish.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Verdict {
    /// This version follows.
    Follows(String),
    /// Nothing happens.
    Refused {
        why: String,
        /// More to say.
        lines: Vec<String>,
    },
}

impl Verdict {
    /// With nothing more to say.
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self::Refused { why: why.into(), lines: Vec::new() }
    }
}

/// How this program was started, before it changes its folder.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Origin {
    /// Its file, by the name that the next one will have, too.
    pub(super) program: PathBuf,
    /// Where its arguments are understood.
    pub(super) folder: PathBuf,
}

impl Origin {
    /// That of the calling process, which was started by this word. The name is kept rather than the file, which an
    /// upgrade replaces, or which a symbolic link leads to.
    pub(super) fn of(word: Option<&OsString>) -> Self {
        let own = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
        let is_own = |path: &Path| {
            let identity = |path: &Path| std::fs::metadata(path).map(|of| (of.dev(), of.ino())).ok();
            identity(path).is_some_and(|there| Some(there) == identity(Path::new("/proc/self/exe")))
        };
        let word = word.map_or_else(|| Path::new(""), Path::new);
        let named = match word.components().count() {
            0 => None,
            1 if !word.as_os_str().as_encoded_bytes().contains(&b'/') => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                std::env::split_paths(&path).map(|folder| folder.join(word)).find(|path| is_own(path))
            }
            _ => std::path::absolute(word).ok().filter(|path| is_own(path)),
        };
        let folder = std::env::current_dir().unwrap_or_else(|_| "/".into());
        Self { program: named.unwrap_or(own), folder }
    }
}

/// A worker of the program before.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct OldWorker {
    pub(super) pid: u32,
    pub(super) runner: Option<u32>,
    /// See [`PidFile::adopt`].
    pub(super) pid_file: (i32, bool),
}

/// What a program leaves to the one that is executed in its place.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Estate {
    pub(super) format: u32,
    /// Of the program that leaves.
    pub(super) version: String,
    pub(super) origin: Origin,
    /// See [`PidFile::adopt`].
    pub(super) pid_file: (i32, bool),
    pub(super) vrrp: Option<OldWorker>,
    pub(super) lvs: Option<OldWorker>,
    pub(super) web: Option<u32>,
    /// See [`Leftovers::adopt`].
    pub(super) leftovers: [i32; 3],
    /// The configuration in force, should the one in the files not be good any more. See [`SharedText::adopt`].
    pub(super) kept: [i32; 3],
    /// Where the guardian is told.
    pub(super) guardian: i32,
}

impl Estate {
    /// Writes it, and gives the word for the environment, and what has to stay open until the program is executed.
    pub(super) fn write(&self) -> io::Result<((&'static str, String), File)> {
        let file = process::memory_file("alived-restart")?;
        file.write_all_at(&serde_json::to_vec(self)?, 0)?;
        exec::keep_open(&file, true)?;
        Ok(((VARIABLE, format!("{GO_ON} {}", exec::number(&file))), file))
    }

    fn read(file: &File) -> io::Result<Self> {
        let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

/// What a program is executed for.
pub(super) enum Errand {
    /// To say whether it could go on; with the configuration in force.
    Judge(Option<SharedText>),
    /// To go on for the program before.
    GoOn(Box<TakenOver>),
}

/// A daemon that goes on: its files, and whom it has to see off.
#[derive(Debug)]
pub(super) struct TakenOver {
    pub(super) estate: Estate,
    pub(super) leftovers: Leftovers,
    pub(super) kept: SharedText,
    pub(super) guardian: File,
}

impl TakenOver {
    fn of(estate: Estate) -> Option<Self> {
        let (leftovers, kept) = (Leftovers::adopt(estate.leftovers)?, SharedText::adopt(estate.kept)?);
        let guardian = exec::take(estate.guardian)?;
        Some(Self { estate, leftovers, kept, guardian })
    }

    /// The pid files, which stay locked all the time. `None` where they are not where they would be now.
    pub(super) fn pid_files(&self, paths: &PidPaths) -> Option<(PidFile, Option<PidFile>, Option<PidFile>)> {
        let adopt = |path: &Path, worker: Option<OldWorker>| match worker {
            Some(worker) => PidFile::adopt(path, worker.pid_file).map(Some),
            None => Some(None),
        };
        let Estate { vrrp, lvs, pid_file, .. } = &self.estate;
        let supervisor = PidFile::adopt(&paths.supervisor, *pid_file)?;
        Some((supervisor, adopt(&paths.vrrp, *vrrp)?, adopt(&paths.lvs, *lvs)?))
    }
}

/// What the calling process, which has one thread, is there for, unless it was started in the ordinary way.
pub(super) fn errand() -> Option<Result<Errand, String>> {
    let value = exec::take_variable(VARIABLE)?;
    let value = value.to_str().unwrap_or_default();
    let (what, rest) = value.split_once(' ').unwrap_or((value, ""));
    let mut numbers = rest.split(',').filter_map(|word| word.parse().ok());
    Some(match what {
        JUDGE => Ok(Errand::Judge(
            <[i32; 3]>::try_from(numbers.collect::<Vec<_>>()).ok().and_then(SharedText::adopt),
        )),
        GO_ON => {
            let file = numbers.next().and_then(exec::take);
            let estate =
                file.and_then(|file| Estate::read(&file).ok()).filter(|estate| estate.format == FORMAT);
            let taken = estate.and_then(TakenOver::of).map(|taken| Errand::GoOn(Box::new(taken)));
            taken.ok_or_else(|| format!("cannot go on for another process: {VARIABLE} is not understood"))
        }
        _ => Err(format!("{VARIABLE} of the environment is for the daemon itself; do not set it")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_known_by_the_name_that_it_was_started_by() {
        let own = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("alived");
        std::os::unix::fs::symlink(&own, &link).unwrap();
        let program = |word: &Path| Origin::of(Some(&word.as_os_str().to_owned())).program;
        assert_eq!(program(&link), link, "an upgrade may lead it elsewhere");
        assert_eq!(program(Path::new("/bin/sh")), own, "that is another one");
        assert_eq!(program(Path::new("no-such-program")), own);
        assert_eq!(Origin::of(None).program, own);
    }

    #[test]
    fn an_estate_is_read_as_it_was_written() {
        let worker = OldWorker { pid: 7, runner: None, pid_file: (9, true) };
        let origin = Origin { program: "/usr/sbin/alived".into(), folder: "/".into() };
        let estate = Estate {
            format: FORMAT,
            version: "1".to_owned(),
            origin,
            pid_file: (8, false),
            vrrp: Some(worker),
            lvs: None,
            web: Some(3),
            leftovers: [4, 5, 6],
            kept: [7, 8, 9],
            guardian: 10,
        };
        let ((variable, value), file) = estate.write().unwrap();
        assert!(variable == VARIABLE && value.starts_with("go-on "), "{value}");
        assert_eq!(format!("{:?}", Estate::read(&file).unwrap()), format!("{estate:?}"));
    }
}
