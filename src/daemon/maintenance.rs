//! Maintenance as the daemon remembers it: in a file beside the worker's pid file, so that a worker that replaces
//! another knows of it, and the next daemon too where the operator wants that.

use std::path::{Path, PathBuf};

use super::files;
use crate::status::MaintenanceStatus;
use crate::time::{Duration, Instant, Now, WallTime};

/// Longest file that is read, in bytes.
const LONGEST: u64 = 4096;

/// The file, and what is in it.
#[derive(Debug)]
pub(super) struct MaintenanceRecord {
    path: PathBuf,
    current: Option<MaintenanceStatus>,
}

impl MaintenanceRecord {
    /// What is remembered. A daemon that starts anew forgets what was not to outlive the one before.
    pub(super) fn read(pid_file: &Path, is_first: bool, now: WallTime) -> Self {
        let path = pid_file.with_extension("maintenance");
        let text = files::read_own(&path, LONGEST).unwrap_or_default();
        let known = serde_json::from_str::<MaintenanceStatus>(&text).ok();
        let holds = |known: &MaintenanceStatus| {
            (known.persists || !is_first)
                && known.until_unix_us.is_none_or(|until| until > now.as_unix_micros())
        };
        let mut record = Self { path, current: None };
        match known.filter(holds) {
            Some(known) => record.current = Some(known),
            None => record.end(),
        }
        record
    }

    /// What holds.
    pub(super) const fn current(&self) -> Option<&MaintenanceStatus> {
        self.current.as_ref()
    }

    /// The same as the protocol core counts time: until when, if there is an end.
    pub(super) fn until(&self, now: Now) -> Option<Option<Instant>> {
        let left = |until: u64| {
            let left = until.saturating_sub(now.wall.as_unix_micros());
            now.instant + Duration::from_micros(left)
        };
        self.current.as_ref().map(|current| current.until_unix_us.map(left))
    }

    /// It begins, or goes on with another end.
    ///
    /// # Errors
    /// The file cannot be written; nothing begins.
    pub(super) fn begin(
        &mut self,
        now: WallTime,
        span: Option<Duration>,
        persists: bool,
    ) -> std::io::Result<()> {
        let since =
            self.current.as_ref().map_or_else(|| now.as_unix_micros(), |current| current.since_unix_us);
        let until_unix_us = span.map(|span| (now + span).as_unix_micros());
        let current = MaintenanceStatus { since_unix_us: since, until_unix_us, persists };
        let text = serde_json::to_string(&current).unwrap_or_default();
        files::write_own(&self.path, &text)?;
        self.current = Some(current);
        Ok(())
    }

    /// It is over.
    pub(super) fn end(&mut self) {
        self.current = None;
        // Gone already is just as well.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maintenance_outlives_workers_and_daemons_only_as_it_was_asked() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("vrrp.pid");
        let at = |seconds: u64| WallTime::from_unix_micros(seconds * 1_000_000);
        let read = |is_first, now| MaintenanceRecord::read(&pid_file, is_first, at(now)).current().cloned();
        assert_eq!(read(true, 10), None);
        let mut record = MaintenanceRecord::read(&pid_file, true, at(10));
        record.begin(at(10), Some(Duration::from_secs(60)), true).unwrap();
        let held = record.current().cloned();
        assert_eq!((read(false, 69), read(true, 69)), (held.clone(), held));
        assert_eq!(read(true, 70), None, "its time is over");
        record.begin(at(20), None, false).unwrap();
        let held = record.current().cloned();
        assert_eq!(held.as_ref().map(|held| held.since_unix_us), Some(10_000_000), "it goes on");
        assert_eq!(read(false, 1_000), held);
        assert_eq!(read(true, 1_000), None, "it was not to outlive the daemon");
        assert_eq!(read(false, 1_000), None, "and is forgotten for good");
        std::fs::write(pid_file.with_extension("maintenance"), "{").unwrap();
        assert_eq!(read(false, 1), None);
    }
}
