//! What a worker gives up for ever once it has begun, and the words about it: a hole in what reads packets, replies and
//! files must not become the host's.

use std::path::{Path, PathBuf};

use super::configuration::Configuration;
use super::files;
use super::options::Options;
use crate::sys::readiness::Readiness;
use crate::sys::sandbox::calls::{self, FORBIDDEN_WORDS, Refusals};
use crate::sys::sandbox::files::{self as landlock, Folders};

/// Folders of data that changes, by the hierarchy standard; a later configuration may name files in them. `/proc` has the
/// settings of interfaces, and `/dev` what leads to nowhere.
const ALWAYS: [&str; 7] = ["/run", "/tmp", "/var/tmp", "/var/lib", "/var/log", "/dev", "/proc"];

/// How to have it otherwise.
const WAY_OUT: &str = "sandbox = false in alived.toml says that this is wanted";

/// What was given up.
#[derive(Debug, Default)]
pub(super) struct Confinement {
    refusals: Option<(Refusals, Option<Readiness>)>,
    folders: Option<Folders>,
}

impl Confinement {
    /// Gives up what is never done. To be called before there is another thread, because each has rights of its own.
    pub(super) fn enter(options: &Options, configuration: &Configuration, pid_file: &Path) -> Self {
        let mut confinement = Self::default();
        if !configuration.settings.sandbox {
            return confinement;
        }
        let wanted = written(options, configuration, pid_file);
        let folders = ALWAYS.iter().map(Path::new).chain(wanted.iter().filter_map(|path| path.parent()));
        match landlock::confine(folders) {
            Ok(folders) => confinement.folders = Some(folders),
            Err(error) => tracing::info!(
                "this kernel does not keep processes to folders, the worker could write everywhere: {error}"
            ),
        }
        match calls::forbid() {
            Ok(refusals) => {
                tracing::info!("given up for ever: {FORBIDDEN_WORDS}");
                confinement.refusals = Some((refusals, None));
            }
            Err(error) => {
                tracing::warn!("not given up, though never done: {FORBIDDEN_WORDS}: {error} ({WAY_OUT})");
            }
        }
        confinement
    }

    /// Within a runtime, before [`Confinement::refused`].
    pub(super) fn watch(&mut self) {
        if let Some((refusals, readiness)) = &mut self.refusals {
            *readiness = Readiness::of(refusals).ok();
        }
    }

    /// Waits until a call was refused.
    pub(super) async fn refused(&self) {
        match &self.refusals {
            Some((_, Some(readiness))) if readiness.changed().await.is_ok() => {}
            _ => std::future::pending().await,
        }
    }

    /// Names the calls that were refused.
    pub(super) fn tell(&self) {
        let calls = self.refusals.iter().flat_map(|(refusals, _)| refusals.take());
        for call in calls {
            tracing::warn!(
                "the sandbox refused a call of {call}, which this process never makes by itself: please report it \
                 ({WAY_OUT})"
            );
        }
    }

    /// Names the files of a later configuration that cannot be written before a restart.
    pub(super) fn judge(&self, options: &Options, configuration: &Configuration, pid_file: &Path) {
        let Some(folders) = &self.folders else { return };
        for path in written(options, configuration, pid_file).iter().filter(|path| !folders.hold(path)) {
            tracing::warn!(
                "{} cannot be written before a restart: the sandbox keeps this process to the folders that it knew \
                 of when it started ({WAY_OUT})",
                path.display()
            );
        }
    }
}

/// The files that a worker makes, changes or removes.
fn written(options: &Options, configuration: &Configuration, pid_file: &Path) -> Vec<PathBuf> {
    let Configuration { node, notifications, settings, .. } = configuration;
    let beside = |folder: PathBuf| folder.join("file");
    let (dumps, name) = files::data_dump(options, settings, "");
    let mut paths = vec![pid_file.to_owned(), dumps.join(name), beside(files::dump_folder())];
    paths.push(beside(PathBuf::from(&settings.record.folder)));
    paths.extend(options.log.file.clone());
    paths.extend(settings.save_folder.as_ref().map(|folder| beside(folder.into())));
    let named = [&settings.reload_log, settings.reload_file.as_ref().unwrap_or(&None)];
    paths.extend(named.into_iter().flatten().map(PathBuf::from));
    let fifos = notifications.fifos.iter().chain(&notifications.balancer_fifos);
    paths.extend(fifos.map(|fifo| PathBuf::from(&*fifo.path)));
    paths.extend(node.tracking.files.iter().map(|file| PathBuf::from(&*file.path)));
    paths
}
