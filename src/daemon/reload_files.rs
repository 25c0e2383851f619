//! Files about reloads: `reload_file`, `reload_check_config`, `config_save_dir`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::configuration::Settings;
use super::files;
use crate::sys::process;

/// `reload_file`: while it is there, the configuration is being read. Whoever writes the files creates it, has them
/// read, and waits until it is gone.
#[derive(Debug)]
pub(super) struct ReadingMarker(Option<PathBuf>);

impl ReadingMarker {
    /// Reading begins: the file is there and empty. What stands in its place and is no regular file stays.
    pub(super) fn begin(settings: &Settings, pid_file: &Path) -> Self {
        let Some(path) = path(settings, pid_file) else { return Self(None) };
        match create(&path) {
            Ok(()) => Self(Some(path)),
            Err(error) => {
                tracing::warn!("reload_file: cannot create {}: {error}", path.display());
                Self(None)
            }
        }
    }

    /// The start has read a configuration that names the file: it is to be gone.
    pub(super) fn end_of_start(settings: &Settings, pid_file: &Path) {
        drop(Self(path(settings, pid_file)));
    }
}

impl Drop for ReadingMarker {
    fn drop(&mut self) {
        let Some(path) = &self.0 else { return };
        let is_file = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
        if is_file && let Err(error) = fs::remove_file(path) {
            tracing::warn!("reload_file: cannot remove {}: {error}", path.display());
        }
    }
}

/// Without a name it is in the folder of the pid files.
fn path(settings: &Settings, pid_file: &Path) -> Option<PathBuf> {
    let path = settings.reload_file.as_ref()?;
    Some(match path {
        Some(path) => PathBuf::from(path),
        None => pid_file.with_file_name("keepalived.reload"),
    })
}

fn create(path: &Path) -> io::Result<()> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("there is something that is no regular file"));
    }
    file.set_len(0)
}

/// `reload_check_config`: says in the file that it names why a configuration was refused.
pub(super) fn explain(settings: &Settings, lines: &[String]) {
    let Some(path) = &settings.reload_log else { return };
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    if let Err(error) = files::append(Path::new(path), &text) {
        tracing::warn!("reload_check_config: cannot write to {path}: {error}");
    }
}

/// `config_save_dir`: keeps the configurations, and the state before and after each reload.
#[derive(Debug)]
pub(super) struct Keepsakes {
    folder: Option<PathBuf>,
    /// Reloads so far.
    reloads: u64,
}

impl Keepsakes {
    /// In the folder of the settings, if they name one.
    pub(super) fn new(settings: &Settings) -> Self {
        Self { folder: settings.save_folder.as_ref().map(PathBuf::from), reloads: 0 }
    }

    /// Another reload is taken; what follows is about it. Gives its number.
    pub(super) fn next(&mut self, settings: &Settings) -> u64 {
        self.folder = settings.save_folder.as_ref().map(PathBuf::from);
        self.reloads += 1;
        self.reloads
    }

    /// Whether anything is kept.
    pub(super) const fn are_wanted(&self) -> bool {
        self.folder.is_some()
    }

    /// Keeps a configuration, as it was understood.
    pub(super) fn keep_configuration(&self, kept: &str) {
        // The first line is what alived.toml says.
        let (_, text) = kept.split_once('\n').unwrap_or_default();
        self.write(&format!("keepalived.conf.{}.{}", process::own_pid(), self.reloads), text);
    }

    /// Keeps the state before (`pre`) or after (`post`) a reload.
    pub(super) fn keep_state(&self, reload: u64, when: &str, text: &str) {
        self.write(&format!("keepalived_vrrp.{}.{reload}.{when}", process::own_pid()), text);
    }

    fn write(&self, name: &str, text: &str) {
        let Some(folder) = &self.folder else { return };
        // The folder itself may be missing, not those above it.
        let made =
            files::make_folder(folder).and_then(|()| files::replace(folder, name, text, 0o600).map(drop));
        if let Err(error) = made {
            tracing::warn!("config_save_dir: cannot write {}: {error}", folder.join(name).display());
        }
    }
}
