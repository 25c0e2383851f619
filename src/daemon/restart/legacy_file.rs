//! What a vrrp worker that leaves in order tells the next one: in a file beside its pid file, which the next one removes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::files;
use crate::node::Legacy;
use crate::notify::{Object, Resumed};
use crate::vrrp::State;

/// Longest file that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// The file.
#[derive(Debug)]
pub(in crate::daemon) struct LegacyFile(PathBuf);

#[derive(Debug, Default, Deserialize, Serialize)]
struct Content {
    /// Who was master.
    masters: Vec<String>,
    /// What tracked scripts had found out.
    scripts: BTreeMap<String, bool>,
    /// What others were told of instances and groups last.
    instances: BTreeMap<String, String>,
    groups: BTreeMap<String, String>,
}

impl LegacyFile {
    /// That of a worker with this pid file.
    pub(in crate::daemon) fn beside(pid_file: &Path) -> Self {
        Self(pid_file.with_extension("legacy"))
    }

    /// Writes it. `told`: what others were told last.
    pub(in crate::daemon) fn write(&self, legacy: &Legacy, told: &Resumed) -> io::Result<()> {
        let mut content = Content {
            masters: legacy.masters.iter().map(ToString::to_string).collect(),
            scripts: legacy.scripts.iter().map(|(name, good)| (name.to_string(), *good)).collect(),
            ..Content::default()
        };
        for (object, state) in told {
            let of = match object {
                Object::Instance(_) => &mut content.instances,
                Object::Group(_) => &mut content.groups,
                Object::VirtualServer(_) | Object::RealServer(..) => continue,
            };
            of.insert(object.name().to_owned(), state.to_string());
        }
        files::write_own(&self.0, &serde_json::to_string(&content)?)
    }

    /// Reads it, once. Nothing where there is none, or one of somebody else.
    pub(in crate::daemon) fn take(&self, is_first: bool) -> Option<(Legacy, Resumed)> {
        let text = files::read_own(&self.0, LONGEST);
        // Gone already is just as well.
        let _ = std::fs::remove_file(&self.0);
        let content: Content = serde_json::from_str(&text.ok()?).ok()?;
        if is_first {
            return None;
        }
        let legacy = Legacy {
            masters: content.masters.into_iter().map(Into::into).collect(),
            scripts: content.scripts.into_iter().map(|(name, good)| (name.into(), good)).collect(),
        };
        let instances =
            content.instances.into_iter().map(|(name, word)| (Object::Instance(name.into()), word));
        let groups = content.groups.into_iter().map(|(name, word)| (Object::Group(name.into()), word));
        let told = instances.chain(groups).filter_map(|(object, word)| Some((object, state(&word)?)));
        Some((legacy, told.collect()))
    }
}

fn state(word: &str) -> Option<State> {
    [State::Backup, State::Master, State::Fault].into_iter().find(|state| state.to_string() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_worker_reads_it_once_and_who_starts_anew_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = LegacyFile::beside(&folder.path().join("vrrp.pid"));
        assert!(file.take(false).is_none());
        let legacy = Legacy {
            masters: ["VI 1".into()].into(),
            scripts: [("check".into(), true), ("other".into(), false)].into(),
        };
        let told: Resumed =
            [(Object::Instance("VI 1".into()), State::Master), (Object::Group("G".into()), State::Fault)]
                .into();
        file.write(&legacy, &told).unwrap();
        assert_eq!(file.take(false), Some((legacy.clone(), told.clone())));
        assert!(file.take(false).is_none());
        file.write(&legacy, &told).unwrap();
        assert!(file.take(true).is_none() && file.take(false).is_none());
        std::fs::write(folder.path().join("vrrp.legacy"), "{").unwrap();
        assert!(file.take(false).is_none());
    }
}
