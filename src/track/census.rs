//! How many processes each `vrrp_track_process` has, kept up by what the kernel tells of processes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ProcessTracker;

/// What can be seen of processes, by their numbers.
pub trait ProcessTable {
    /// The short name; `None` where there is no such process, or it has ended and was not waited for.
    fn short_name(&self, pid: u32) -> Option<Vec<u8>>;

    /// The first bytes of the command line, at most `limit`.
    fn command_line(&self, pid: u32, limit: usize) -> Option<Vec<u8>>;

    /// All processes.
    fn all(&self) -> Vec<u32>;
}

/// Something that happened to a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProcessChange {
    /// It was made by another one, whose name and command line it has.
    Forked {
        /// The other one.
        parent: u32,
        /// It.
        child: u32,
    },
    /// It runs another program.
    Executed(u32),
    /// It has another short name.
    Renamed(u32),
    /// It has ended.
    Ended(u32),
}

/// Who counts for which trackers. Only processes that count are kept.
#[derive(Clone, Debug, Default)]
pub struct Census {
    trackers: Vec<ProcessTracker>,
    /// How much of a command line has to be read; 0 where no tracker goes by it.
    line_bytes: usize,
    members: BTreeMap<u32, Vec<usize>>,
    counts: Vec<u32>,
    changed: BTreeSet<usize>,
}

impl Census {
    /// Of these trackers; counts nobody before [`Census::take`].
    pub fn new(trackers: Vec<ProcessTracker>) -> Self {
        let by_line = trackers.iter().filter(|tracker| tracker.goes_by_command_line());
        let line_bytes = by_line.map(ProcessTracker::command_line_bytes).max().unwrap_or(0);
        let counts = vec![0; trackers.len()];
        let changed = (0..trackers.len()).collect();
        Self { trackers, line_bytes, members: BTreeMap::new(), counts, changed }
    }

    /// Looks at all processes.
    pub fn take(&mut self, table: &impl ProcessTable) {
        let all: BTreeSet<u32> = table.all().into_iter().collect();
        let gone: Vec<u32> = self.members.keys().filter(|pid| !all.contains(pid)).copied().collect();
        gone.into_iter().for_each(|pid| self.set(pid, Vec::new()));
        all.into_iter().for_each(|pid| self.look(pid, table));
    }

    /// Notes what happened.
    pub fn note(&mut self, change: ProcessChange, table: &impl ProcessTable) {
        match change {
            ProcessChange::Forked { parent, child } => {
                let same = self.members.get(&parent).cloned().unwrap_or_default();
                self.set(child, same);
            }
            ProcessChange::Executed(pid) | ProcessChange::Renamed(pid) => self.look(pid, table),
            ProcessChange::Ended(pid) => self.set(pid, Vec::new()),
        }
    }

    /// The processes that count.
    pub fn members(&self) -> impl Iterator<Item = u32> {
        self.members.keys().copied()
    }

    /// The trackers whose number of processes is another one than the last time, with that number.
    pub fn take_changed(&mut self) -> Vec<(Arc<str>, u32)> {
        let changed = core::mem::take(&mut self.changed).into_iter();
        let of = |place: usize| Some((Arc::clone(&self.trackers.get(place)?.name), *self.counts.get(place)?));
        changed.filter_map(of).collect()
    }

    /// Whether [`Census::take_changed`] has something to give.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    fn look(&mut self, pid: u32, table: &impl ProcessTable) {
        let Some(name) = table.short_name(pid) else { return self.set(pid, Vec::new()) };
        let line = match self.line_bytes {
            0 => Vec::new(),
            limit => table.command_line(pid, limit).unwrap_or_default(),
        };
        let counts = |tracker: &ProcessTracker| {
            tracker.matches_short_name(&name) || tracker.matches_command_line(&line)
        };
        let places = self.trackers.iter().enumerate().filter(|(_, tracker)| counts(tracker));
        let places = places.map(|(place, _)| place).collect();
        self.set(pid, places);
    }

    fn set(&mut self, pid: u32, places: Vec<usize>) {
        let before = if places.is_empty() {
            self.members.remove(&pid).unwrap_or_default()
        } else {
            self.members.insert(pid, places.clone()).unwrap_or_default()
        };
        if before == places {
            return;
        }
        for place in before.iter().filter(|place| !places.contains(place)) {
            self.counts[*place] = self.counts[*place].saturating_sub(1);
            self.changed.insert(*place);
        }
        for place in places.into_iter().filter(|place| !before.contains(place)) {
            self.counts[place] = self.counts[place].saturating_add(1);
            self.changed.insert(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU16;
    use std::ffi::CString;

    use super::*;
    use crate::track::{ParameterMatch, ProcessTrackerTiming, Quorum, Weight};

    #[derive(Default)]
    struct Table(BTreeMap<u32, (&'static str, &'static str)>);

    impl ProcessTable for Table {
        fn short_name(&self, pid: u32) -> Option<Vec<u8>> {
            self.0.get(&pid).map(|(name, _)| name.as_bytes().to_vec())
        }

        fn command_line(&self, pid: u32, limit: usize) -> Option<Vec<u8>> {
            let (_, line) = self.0.get(&pid)?;
            Some(line.bytes().take(limit).collect())
        }

        fn all(&self) -> Vec<u32> {
            self.0.keys().copied().collect()
        }
    }

    fn tracker(name: &str, parameters: &[&str]) -> ProcessTracker {
        let parameters: Vec<CString> = parameters.iter().map(|word| CString::new(*word).unwrap()).collect();
        ProcessTracker {
            name: format!("{name}{}", parameters.len()).into(),
            process: CString::new(name).unwrap(),
            parameter_match: match parameters.is_empty() {
                true => ParameterMatch::Ignored,
                false => ParameterMatch::Exact,
            },
            parameters,
            weight: Weight::FAULT,
            quorum: Quorum::AtLeast(NonZeroU16::MIN),
            timing: ProcessTrackerTiming::default(),
            full_command: false,
        }
    }

    fn changed(census: &mut Census) -> Vec<(String, u32)> {
        census.take_changed().into_iter().map(|(name, count)| (name.to_string(), count)).collect()
    }

    fn of(list: &[(&str, u32)]) -> Vec<(String, u32)> {
        list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn processes_are_followed_through_their_lives() {
        let mut table = Table::default();
        table.0.insert(1, ("init", "init\0"));
        table.0.insert(7, ("web", "web\0-f\0"));
        let mut census = Census::new(vec![tracker("web", &[]), tracker("web", &["-f"])]);
        census.take(&table);
        assert_eq!(changed(&mut census), of(&[("web0", 1), ("web1", 1)]));
        assert!(!census.has_changed());

        // A fork looks like its parent until it runs something else.
        table.0.insert(8, ("web", "web\0-f\0"));
        census.note(ProcessChange::Forked { parent: 7, child: 8 }, &table);
        assert_eq!(changed(&mut census), of(&[("web0", 2), ("web1", 2)]));
        table.0.insert(8, ("sh", "sh\0"));
        census.note(ProcessChange::Executed(8), &table);
        assert_eq!(changed(&mut census), of(&[("web0", 1), ("web1", 1)]));
        census.note(ProcessChange::Forked { parent: 1, child: 9 }, &table);
        assert_eq!(census.members().collect::<Vec<_>>(), [7], "whoever does not count is not kept");

        table.0.insert(7, ("renamed", "web\0-f\0"));
        census.note(ProcessChange::Renamed(7), &table);
        assert_eq!(changed(&mut census), of(&[("web0", 0)]));
        table.0.remove(&7);
        census.note(ProcessChange::Ended(7), &table);
        census.note(ProcessChange::Ended(7), &table);
        assert_eq!(changed(&mut census), of(&[("web1", 0)]));
        census.note(ProcessChange::Executed(10), &table);
        assert!(!census.has_changed() && census.members().next().is_none());
    }

    #[test]
    fn what_was_missed_is_made_up_for() {
        let mut table = Table::default();
        let mut census = Census::new(vec![tracker("web", &[])]);
        table.0.extend([(5, ("web", "")), (6, ("web", "")), (7, ("x", ""))]);
        census.take(&table);
        assert_eq!(changed(&mut census), of(&[("web0", 2)]));
        table.0.remove(&5);
        table.0.insert(6, ("y", ""));
        table.0.insert(7, ("web", ""));
        census.take(&table);
        assert_eq!(changed(&mut census), of(&[("web0", 1)]));
        assert_eq!(census.members().collect::<Vec<_>>(), [7]);
        census.take(&table);
        assert!(!census.has_changed());
    }
}
