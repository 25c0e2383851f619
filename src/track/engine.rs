//! All trackers of a node: what they found out, and what that means to those who depend on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Effect, FileReading, Owner, ProcessState, ProcessTracker, ScriptState, ScriptTracker, TrackConfig,
    TrackReference, Tracker, Verdict,
};
use crate::kernel::ScriptEnd;
use crate::net::InterfaceName;
use crate::time::Instant;
use crate::timer::TimerQueue;

/// The trackers that somebody depends on. `Dependent` is a router's identifier.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(bound(deserialize = "Dependent: Deserialize<'de> + Ord"))]
pub struct Trackers<Dependent> {
    /// Those that nobody depends on are not among them, and are not run.
    scripts: Named<ScriptTracker, ScriptState>,
    processes: Named<ProcessTracker, ProcessState>,
    files: BTreeMap<Arc<str>, File>,
    links: BTreeMap<InterfaceName, bool>,
    timers: TimerQueue<Timer>,
    dependents: BTreeMap<Tracker, BTreeSet<Dependent>>,
    references: BTreeMap<Dependent, Vec<Reference>>,
}

/// Whose time has come, by its place.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
enum Timer {
    Script(usize),
    Process(usize),
}

/// What a timer brings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Due {
    /// A script is to be run.
    Run(Arc<str>),
    /// A tracker's verdict is another one now.
    Changed(Tracker),
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct File {
    path: Arc<str>,
    /// `None` before it was read.
    reading: Option<FileReading>,
}

/// Something that is tracked, and the name that an operator knows it by: one for all who depend on it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Reference {
    tracked: TrackReference,
    label: Arc<str>,
    /// Not its sync group's.
    own: bool,
}

impl<Dependent> Default for Trackers<Dependent> {
    fn default() -> Self {
        Self {
            scripts: Named::default(),
            processes: Named::default(),
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            timers: TimerQueue::default(),
            dependents: BTreeMap::new(),
            references: BTreeMap::new(),
        }
    }
}

impl<Dependent: Copy + Ord> Trackers<Dependent> {
    /// Takes a configuration. What was found out by trackers that stay is kept; a script, a file or a process that is
    /// another one now has found out nothing yet. `find` gives whoever has that name, `usable` the state of an
    /// interface. Gives those to whom something is another thing now.
    pub fn configure(
        &mut self,
        now: Instant,
        config: &TrackConfig,
        find: impl Fn(&Owner) -> Vec<Dependent>,
        usable: impl Fn(&InterfaceName) -> bool,
    ) -> BTreeSet<Dependent> {
        self.dependents.clear();
        let before = core::mem::take(&mut self.references);
        let mut labels: BTreeMap<&Tracker, Arc<str>> = BTreeMap::new();
        for (owner, tracked) in &config.references {
            let tracker = &tracked.tracker;
            for dependent in find(owner) {
                let label = labels.entry(tracker).or_insert_with(|| tracker.to_string().into());
                let own = matches!(owner, Owner::Instance(_));
                let reference = Reference { tracked: tracked.clone(), label: Arc::clone(label), own };
                self.dependents.entry(tracker.clone()).or_default().insert(dependent);
                self.references.entry(dependent).or_default().push(reference);
            }
        }
        self.timers = TimerQueue::default();
        let mut changed = BTreeSet::new();
        self.configure_scripts(now, config, &mut changed);
        self.configure_processes(now, config, &mut changed);
        self.configure_files(config, &mut changed);
        self.configure_links(usable);
        let same = |id: &Dependent, list: &Vec<Reference>| before.get(id) == Some(list);
        let other = self.references.iter().filter(|(id, list)| !same(id, list)).map(|(id, _)| *id);
        let left = before.keys().filter(|id| !self.references.contains_key(id)).copied();
        let told = changed.iter().flat_map(|tracker| self.dependents(tracker));
        other.chain(left).chain(told).collect()
    }

    fn configure_scripts(&mut self, now: Instant, config: &TrackConfig, changed: &mut BTreeSet<Tracker>) {
        let mut before = core::mem::take(&mut self.scripts).into_map(|script| &script.name);
        for script in &config.scripts {
            let tracker = Tracker::Script(Arc::clone(&script.name));
            if !self.dependents.contains_key(&tracker) {
                continue;
            }
            let state = match before.remove(&script.name) {
                Some((old, mut state)) if old.test == script.test => {
                    state.reconfigure(script, now);
                    state
                }
                _ => {
                    changed.insert(tracker);
                    ScriptState::new(script, now)
                }
            };
            let deadline = state.deadline();
            let place = self.scripts.push(&script.name, script.clone(), state);
            self.timers.set(Timer::Script(place), Some(deadline));
        }
    }

    /// What another process has found out about scripts, whether all is well, counts until they are run here.
    pub(crate) fn presume(&mut self, scripts: &BTreeMap<Arc<str>, bool>) {
        for (name, good) in scripts {
            if let Some((_, state)) = self.scripts.get_mut(name) {
                state.presume(if *good { Verdict::Good } else { Verdict::Bad });
            }
        }
    }

    fn configure_processes(&mut self, now: Instant, config: &TrackConfig, changed: &mut BTreeSet<Tracker>) {
        let mut before = core::mem::take(&mut self.processes).into_map(|process| &process.name);
        for process in &config.processes {
            let tracker = Tracker::Process(Arc::clone(&process.name));
            if !self.dependents.contains_key(&tracker) {
                continue;
            }
            let (state, news) = match before.remove(&process.name) {
                Some((old, mut state)) if old.counts_the_same(process) => {
                    let news = state.reconfigure(now, &old, process);
                    (state, news)
                }
                _ => (ProcessState::default(), true),
            };
            if news {
                changed.insert(tracker);
            }
            let place = self.processes.push(&process.name, process.clone(), state);
            self.timers.set(Timer::Process(place), state.deadline());
        }
    }

    fn configure_files(&mut self, config: &TrackConfig, changed: &mut BTreeSet<Tracker>) {
        let before = core::mem::take(&mut self.files);
        for file in &config.files {
            let tracker = Tracker::File(Arc::clone(&file.name));
            if !self.dependents.contains_key(&tracker) {
                continue;
            }
            let known = before.get(&file.name).filter(|known| known.path == file.path);
            if known.is_none() {
                changed.insert(tracker);
            }
            let reading = known.and_then(|known| known.reading);
            self.files.insert(Arc::clone(&file.name), File { path: Arc::clone(&file.path), reading });
        }
    }

    fn configure_links(&mut self, usable: impl Fn(&InterfaceName) -> bool) {
        let before = core::mem::take(&mut self.links);
        for tracker in self.dependents.keys() {
            if let Tracker::Interface(name) = tracker {
                let up = before.get(name).copied().unwrap_or_else(|| usable(name));
                self.links.insert(name.clone(), up);
            }
        }
    }

    /// Gives what is due.
    pub fn handle_timeout(&mut self, now: Instant, due: &mut impl FnMut(Due)) {
        while let Some((_, timer)) = self.timers.pop_due(now) {
            let next = match timer {
                Timer::Script(place) => {
                    let Some((config, state)) = self.scripts.list.get_mut(place) else { continue };
                    if state.handle_timeout(config, now) {
                        due(Due::Run(Arc::clone(&config.name)));
                    }
                    Some(state.deadline())
                }
                Timer::Process(place) => {
                    let Some((config, state)) = self.processes.list.get_mut(place) else { continue };
                    if state.handle_timeout(now) {
                        due(Due::Changed(Tracker::Process(Arc::clone(&config.name))));
                    }
                    state.deadline()
                }
            };
            self.timers.set(timer, next);
        }
    }

    /// When [`Trackers::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// A script has ended. Gives the tracker if that changes its verdict.
    pub fn note_script(&mut self, name: &Arc<str>, end: ScriptEnd) -> Option<Tracker> {
        let (config, state) = self.scripts.get_mut(name)?;
        state.ended(config, end).then(|| Tracker::Script(Arc::clone(name)))
    }

    /// A file was read. Gives the tracker if it holds something else.
    pub fn note_file(&mut self, name: &Arc<str>, reading: FileReading) -> Option<Tracker> {
        let file = self.files.get_mut(name)?;
        (file.reading.replace(reading) != Some(reading)).then(|| Tracker::File(Arc::clone(name)))
    }

    /// So many processes run. Gives the tracker if that changes its verdict now.
    pub fn note_processes(&mut self, now: Instant, name: &Arc<str>, count: u32) -> Option<Tracker> {
        let place = self.processes.place(name)?;
        let (config, state) = self.processes.list.get_mut(place)?;
        let changed = state.note(now, config, count);
        self.timers.set(Timer::Process(place), state.deadline());
        changed.then(|| Tracker::Process(Arc::clone(name)))
    }

    /// An interface counts as up, or does not. Gives the tracker if that is another thing than before.
    pub fn note_link(&mut self, name: &InterfaceName, up: bool) -> Option<Tracker> {
        let link = self.links.get_mut(name)?;
        (core::mem::replace(link, up) != up).then(|| Tracker::Interface(name.clone()))
    }

    /// The tracked interfaces, and whether they count as up.
    pub fn links(&self) -> impl Iterator<Item = (&InterfaceName, bool)> {
        self.links.iter().map(|(name, up)| (name, *up))
    }

    /// The tracked scripts.
    pub fn scripts(&self) -> impl Iterator<Item = (&ScriptTracker, &ScriptState)> {
        self.scripts.list.iter().map(|(config, state)| (config, state))
    }

    /// The tracked processes.
    pub fn processes(&self) -> impl Iterator<Item = (&ProcessTracker, &ProcessState)> {
        self.processes.list.iter().map(|(config, state)| (config, state))
    }

    /// A tracked process.
    pub fn process(&self, name: &Arc<str>) -> Option<&ProcessState> {
        self.processes.get(name)
    }

    /// The tracked files by name, their paths, and what was read from them, if they were read yet.
    pub fn files(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>, Option<FileReading>)> {
        self.files.iter().map(|(name, file)| (name, &file.path, file.reading))
    }

    /// Everything that it depends on, in the order of the file, and whether that is its own or of its sync group.
    pub fn tracked(&self, dependent: Dependent) -> impl Iterator<Item = (&TrackReference, bool)> {
        let references = self.references.get(&dependent).map_or(&[][..], Vec::as_slice);
        references.iter().map(|reference| (&reference.tracked, reference.own))
    }

    /// Who depends on it.
    pub fn dependents(&self, tracker: &Tracker) -> impl Iterator<Item = Dependent> {
        self.dependents.get(tracker).into_iter().flatten().copied()
    }

    /// What each tracker that it depends on does to it, in the order of the file, by its name.
    pub fn effects(&self, dependent: Dependent) -> impl Iterator<Item = (&Arc<str>, Effect)> {
        let references = self.references.get(&dependent).map_or(&[][..], Vec::as_slice);
        references.iter().map(|reference| (&reference.label, self.effect(&reference.tracked)))
    }

    fn effect(&self, TrackReference { tracker, weight }: &TrackReference) -> Effect {
        match tracker {
            Tracker::Script(name) => {
                let state = self.scripts.get(name);
                weight.effect(state.map_or(Verdict::Unknown, ScriptState::verdict))
            }
            Tracker::File(name) => {
                weight.effect_of_reading(self.files.get(name).and_then(|file| file.reading))
            }
            Tracker::Process(name) => {
                let state = self.processes.get(name);
                weight.effect_of_quorum(state.map_or(Verdict::Unknown, ProcessState::verdict))
            }
            Tracker::Interface(name) => {
                let up = self.links.get(name).copied().unwrap_or_default();
                weight.effect(if up { Verdict::Good } else { Verdict::Bad })
            }
            // Refused by the configuration.
            Tracker::Bfd(_) => Effect::Weight(0),
        }
    }
}

/// Trackers of a kind: in the order of the file, and found by their names.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Named<Config, State> {
    list: Vec<(Config, State)>,
    places: BTreeMap<Arc<str>, usize>,
}

impl<Config, State> Default for Named<Config, State> {
    fn default() -> Self {
        Self { list: Vec::new(), places: BTreeMap::new() }
    }
}

impl<Config, State> Named<Config, State> {
    fn push(&mut self, name: &Arc<str>, config: Config, state: State) -> usize {
        let place = self.list.len();
        self.list.push((config, state));
        self.places.insert(Arc::clone(name), place);
        place
    }

    fn place(&self, name: &Arc<str>) -> Option<usize> {
        self.places.get(name).copied()
    }

    fn get(&self, name: &Arc<str>) -> Option<&State> {
        self.list.get(self.place(name)?).map(|(_, state)| state)
    }

    fn get_mut(&mut self, name: &Arc<str>) -> Option<&mut (Config, State)> {
        let place = self.place(name)?;
        self.list.get_mut(place)
    }

    fn into_map(self, name: impl Fn(&Config) -> &Arc<str>) -> BTreeMap<Arc<str>, (Config, State)> {
        self.list.into_iter().map(|(config, state)| (Arc::clone(name(&config)), (config, state))).collect()
    }
}

#[cfg(test)]
mod tests;
