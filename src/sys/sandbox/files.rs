//! Files that are given up (`landlock(7)`): nothing is executed, and nothing is made, changed or removed outside of some
//! folders. Reading is not limited: a later configuration may name any file.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    Scope,
};

/// With devices' ioctls (Linux 6.10) and signals (6.12); older kernels limit what they can.
const NEWEST: ABI = ABI::V6;

/// The folders that are left.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Folders(Vec<PathBuf>);

impl Folders {
    /// Whether a path is in one of them. Both are compared without the links on their way.
    pub fn hold(&self, path: &Path) -> bool {
        existing(path).is_some_and(|path| self.0.iter().any(|folder| path.starts_with(folder)))
    }
}

/// Leaves the calling thread, and those that it starts from then on, nothing to write to but what is in the folders, or,
/// where one does not exist yet, in the one that it would be made in (but not in `/`). Gives those that are left.
///
/// # Errors
/// When the kernel has no landlock, or refuses.
pub fn confine<'a>(folders: impl IntoIterator<Item = &'a Path>) -> io::Result<Folders> {
    let mut left: Vec<PathBuf> = folders.into_iter().filter_map(existing).collect();
    left.retain(|folder| folder != Path::new("/"));
    left.sort();
    left.dedup();
    let confined = || -> Result<_, landlock::RulesetError> {
        let mut rules = Ruleset::default().handle_access(limited())?.scope(Scope::Signal)?.create()?;
        for folder in &left {
            // One that cannot be opened cannot be written to either.
            if let Ok(opened) = PathFd::new(folder) {
                rules = rules.add_rule(PathBeneath::new(opened, writing()))?;
            }
        }
        rules.restrict_self()
    };
    match confined().map_err(io::Error::other)?.ruleset {
        RulesetStatus::NotEnforced => Err(io::ErrorKind::Unsupported.into()),
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(Folders(left)),
    }
}

/// What is given up elsewhere. Devices are not made anywhere, nor programs executed.
fn limited() -> BitFlags<AccessFs> {
    AccessFs::from_write(NEWEST) | AccessFs::Execute
}

fn writing() -> BitFlags<AccessFs> {
    AccessFs::from_write(NEWEST) & !(AccessFs::MakeChar | AccessFs::MakeBlock)
}

/// The path, or the nearest folder above it that exists, without links.
fn existing(path: &Path) -> Option<PathBuf> {
    path.ancestors().find_map(|path| path.canonicalize().ok())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn only_the_folders_are_written_to() {
        let (mine, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(other.path().join("old"), "old").unwrap();
        let later = mine.path().join("later/still");
        let folders = [mine.path().to_owned(), later.clone(), PathBuf::from("/nowhere/at/all")];
        let foreign = other.path().to_owned();
        let own = mine.path().to_owned();
        // Landlock is a thread's own affair.
        let thread = std::thread::spawn(move || {
            let left = match confine(folders.iter().map(PathBuf::as_path)) {
                Ok(left) => left,
                Err(error) => {
                    crate::skip::skip("only_the_folders_are_written_to", &format!("no landlock: {error}"));
                    return;
                }
            };
            assert!(
                left.hold(&own.join("x")) && left.hold(&later) && !left.hold(&foreign.join("x")),
                "{left:?}"
            );
            assert!(!left.hold(Path::new("/")) && !left.hold(Path::new("/nowhere/x")));
            fs::create_dir_all(&later).unwrap();
            fs::write(later.join("new"), "new").unwrap();
            fs::rename(later.join("new"), later.join("newer")).unwrap();
            fs::remove_file(later.join("newer")).unwrap();
            let old = foreign.join("old");
            assert_eq!(fs::read_to_string(&old).unwrap(), "old", "reading goes on");
            for refused in [
                fs::write(&old, "new"),
                fs::remove_file(&old),
                fs::write(foreign.join("new"), "new"),
                fs::create_dir(foreign.join("folder")),
            ] {
                assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
            }
        });
        thread.join().unwrap();
        fs::write(other.path().join("new"), "the others may").unwrap();
    }
}
