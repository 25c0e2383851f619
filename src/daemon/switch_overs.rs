//! Switch-overs as the daemon remembers them: in a file beside the worker's pid file, so that a worker that replaces
//! another does not take back what the operator has handed over. A daemon that starts anew knows of none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files;
use super::vrrp_thread::SwitchedOver;
use crate::time::Instant;

/// Longest file that is read, in bytes: some ten thousand virtual routers.
const LONGEST: u64 = 4 << 20;

/// The routers that handed over: until when, in µs of the clock that counts from the boot, if there is an end.
type Held = BTreeMap<String, Option<u64>>;

/// The file, and what is in it.
#[derive(Debug)]
pub(super) struct SwitchOverRecord {
    path: PathBuf,
    held: Held,
    /// Something may change: an order is under way or holds.
    watching: bool,
    /// The vrrp thread was asked, and has not answered.
    asked: bool,
}

impl SwitchOverRecord {
    /// What is remembered; nothing by the first worker of a daemon.
    pub(super) fn read(pid_file: &Path, is_first: bool) -> Self {
        let path = pid_file.with_extension("switchover");
        let text = files::read_own(&path, LONGEST).unwrap_or_default();
        let held: Held = match is_first {
            true => Held::default(),
            false => serde_json::from_str(&text).unwrap_or_default(),
        };
        if held.is_empty() {
            // Gone already is just as well.
            let _ = std::fs::remove_file(&path);
        }
        Self { path, watching: !held.is_empty(), held, asked: false }
    }

    /// The same as the protocol core has it.
    pub(super) fn held(&self) -> BTreeMap<Arc<str>, Option<Instant>> {
        let held =
            |(name, until): (&String, &Option<u64>)| (name.as_str().into(), until.map(Instant::from_micros));
        self.held.iter().map(held).collect()
    }

    /// An order was given.
    pub(super) const fn watch(&mut self) {
        self.watching = true;
    }

    /// Something happened: whether the vrrp thread is to be asked.
    pub(super) const fn asks(&mut self) -> bool {
        let asks = self.watching && !self.asked;
        self.asked |= asks;
        asks
    }

    /// The vrrp thread has answered.
    pub(super) fn note(&mut self, answer: SwitchedOver) {
        self.asked = false;
        let until = |until: Option<Instant>| until.map(Instant::as_micros);
        let held: Held = answer.held.into_iter().map(|(name, end)| (name.to_string(), until(end))).collect();
        self.watching = answer.under_way || !held.is_empty();
        if held == self.held {
            return;
        }
        self.held = held;
        if let Err(error) = self.write() {
            tracing::warn!(
                "cannot write {}: {error}; a worker that replaces this one will not know of the switch-over",
                self.path.display()
            );
        }
    }

    fn write(&self) -> std::io::Result<()> {
        if self.held.is_empty() {
            return std::fs::remove_file(&self.path);
        }
        let text = serde_json::to_string(&self.held).unwrap_or_default();
        files::write_own(&self.path, &text)
    }

    /// A stop: the next daemon starts without.
    pub(super) fn forget(&mut self) {
        self.held.clear();
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switch_overs_outlive_workers_and_not_daemons() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("vrrp.pid");
        let read = |is_first| SwitchOverRecord::read(&pid_file, is_first);
        let answer = |held: &[(&str, Option<Instant>)], under_way| SwitchedOver {
            held: held.iter().map(|(name, until)| (Arc::from(*name), *until)).collect(),
            under_way,
        };
        let mut record = read(true);
        assert!(!record.asks(), "nothing was ordered");
        record.watch();
        assert!(record.asks() && !record.asks(), "asked once");
        record.note(answer(&[], true));
        assert!(record.asks(), "it is under way");
        let held = [("VI_1", Some(Instant::from_micros(7))), ("VI 2", None)];
        record.note(answer(&held, false));
        let expected: BTreeMap<Arc<str>, _> =
            held.iter().map(|(name, end)| (Arc::from(*name), *end)).collect();
        let mut next = read(false);
        assert_eq!(next.held(), expected);
        assert!(next.asks());
        next.note(answer(&[], false));
        assert!(!next.asks() && read(false).held().is_empty(), "it is over");
        record.write().unwrap();
        assert!(read(true).held().is_empty() && read(false).held().is_empty(), "forgotten for good");
        std::fs::write(pid_file.with_extension("switchover"), "[").unwrap();
        assert!(read(false).held().is_empty());
    }
}
