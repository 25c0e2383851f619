//! A private temporary folder.

use std::io;
use std::path::{Path, PathBuf};

/// A folder that only this user can read, removed when dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A new one in the system's temporary folder.
    pub fn create() -> io::Result<Self> {
        let path = nix::unistd::mkdtemp(&std::env::temp_dir().join("alived-drill-XXXXXX"))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
