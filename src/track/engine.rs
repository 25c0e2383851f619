//! All trackers of a node: what they found out, and what that means to those who depend on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{
    Effect, Lasting, Owner, ScriptState, ScriptTracker, TrackConfig, TrackReference, Tracker, Verdict,
};
use crate::kernel::ScriptEnd;
use crate::net::InterfaceName;
use crate::time::{Duration, Instant};
use crate::timer::TimerQueue;

/// The trackers that somebody depends on. `Dependent` is a router's identifier.
#[derive(Clone, Debug)]
pub struct Trackers<Dependent> {
    /// Those that nobody depends on are not among them, and are not run.
    scripts: Vec<(ScriptTracker, ScriptState)>,
    /// Places in `scripts`.
    places: BTreeMap<Arc<str>, usize>,
    /// Numbers that were read so far.
    files: BTreeMap<Arc<str>, i32>,
    links: BTreeMap<InterfaceName, Lasting>,
    /// Of scripts, by their places.
    timers: TimerQueue<usize>,
    dependents: BTreeMap<Tracker, BTreeSet<Dependent>>,
    references: BTreeMap<Dependent, Vec<TrackReference>>,
}

impl<Dependent> Default for Trackers<Dependent> {
    fn default() -> Self {
        Self {
            scripts: Vec::new(),
            places: BTreeMap::new(),
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            timers: TimerQueue::default(),
            dependents: BTreeMap::new(),
            references: BTreeMap::new(),
        }
    }
}

impl<Dependent: Copy + Ord> Trackers<Dependent> {
    /// Takes a configuration. What was found out by trackers that stay is kept; a script that is another one now has
    /// found out nothing yet. `find` gives whoever has that name.
    pub fn configure(
        &mut self,
        now: Instant,
        config: &TrackConfig,
        find: impl Fn(&Owner) -> Vec<Dependent>,
        usable: impl Fn(&InterfaceName) -> bool,
    ) {
        self.dependents.clear();
        self.references.clear();
        for (owner, reference) in &config.references {
            for dependent in find(owner) {
                self.dependents.entry(reference.tracker.clone()).or_default().insert(dependent);
                self.references.entry(dependent).or_default().push(reference.clone());
            }
        }
        self.configure_scripts(now, config);
        let dependents = &self.dependents;
        self.files.retain(|name, _| dependents.contains_key(&Tracker::File(Arc::clone(name))));
        self.links = dependents
            .keys()
            .filter_map(|tracker| match tracker {
                Tracker::Interface(name) => {
                    let known = self.links.get(name).copied();
                    Some((name.clone(), known.unwrap_or_else(|| Lasting::new(usable(name)))))
                }
                _ => None,
            })
            .collect();
    }

    fn configure_scripts(&mut self, now: Instant, config: &TrackConfig) {
        let before: BTreeMap<Arc<str>, _> = core::mem::take(&mut self.scripts)
            .into_iter()
            .map(|(config, state)| (Arc::clone(&config.name), (config, state)))
            .collect();
        self.timers = TimerQueue::default();
        self.places.clear();
        for script in &config.scripts {
            if !self.dependents.contains_key(&Tracker::Script(Arc::clone(&script.name))) {
                continue;
            }
            let state = match before.get(&script.name) {
                Some((old, state)) if old.test == script.test => {
                    let mut state = state.clone();
                    state.reconfigure(script, now);
                    state
                }
                _ => ScriptState::new(script, now),
            };
            let place = self.scripts.len();
            self.timers.set(place, Some(state.deadline()));
            self.scripts.push((script.clone(), state));
            self.places.insert(Arc::clone(&script.name), place);
        }
    }

    /// Gives the scripts to run now by name.
    pub fn handle_timeout(&mut self, now: Instant, run: &mut impl FnMut(&Arc<str>)) {
        while let Some((_, place)) = self.timers.pop_due(now) {
            let Some((config, state)) = self.scripts.get_mut(place) else { continue };
            if state.handle_timeout(config, now) {
                run(&config.name);
            }
            self.timers.set(place, Some(state.deadline()));
        }
    }

    /// When [`Trackers::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// A script has ended. Gives the tracker if that changes its verdict.
    pub fn note_script(&mut self, name: &Arc<str>, end: ScriptEnd) -> Option<Tracker> {
        let (config, state) = self.scripts.get_mut(*self.places.get(name)?)?;
        state.ended(config, end).then(|| Tracker::Script(Arc::clone(name)))
    }

    /// A file was read. Gives the tracker if it holds another number.
    pub fn note_file(&mut self, name: &Arc<str>, number: i32) -> Option<Tracker> {
        let tracker = Tracker::File(Arc::clone(name));
        if !self.dependents.contains_key(&tracker) {
            return None;
        }
        (self.files.insert(Arc::clone(name), number) != Some(number)).then_some(tracker)
    }

    /// An interface was seen. Gives the tracker if that counts.
    pub fn note_link(&mut self, now: Instant, name: &InterfaceName, usable: bool) -> Option<Tracker> {
        let link = self.links.get_mut(name)?;
        link.see(now, usable, Duration::ZERO).then(|| Tracker::Interface(name.clone()))
    }

    /// The tracked interfaces.
    pub fn links(&self) -> impl Iterator<Item = &InterfaceName> {
        self.links.keys()
    }

    /// Who depends on it.
    pub fn dependents(&self, tracker: &Tracker) -> impl Iterator<Item = Dependent> {
        self.dependents.get(tracker).into_iter().flatten().copied()
    }

    /// What each tracker that it depends on does to it, in the order of the file.
    pub fn effects(&self, dependent: Dependent) -> impl Iterator<Item = (&Tracker, Effect)> {
        let references = self.references.get(&dependent).map_or(&[][..], Vec::as_slice);
        references.iter().map(|reference| (&reference.tracker, self.effect(reference)))
    }

    fn effect(&self, TrackReference { tracker, weight }: &TrackReference) -> Effect {
        match tracker {
            Tracker::Script(name) => weight.effect(self.script_verdict(name)),
            Tracker::File(name) => match self.files.get(name) {
                Some(number) => weight.effect_of_number(*number),
                // Read at the start, before anything else can happen.
                None => weight.effect(Verdict::Unknown),
            },
            Tracker::Interface(name) => {
                let up = self.links.get(name).is_some_and(|link| link.get());
                weight.effect(if up { Verdict::Good } else { Verdict::Bad })
            }
            // Refused by the configuration.
            Tracker::Process(_) | Tracker::Bfd(_) => Effect::Weight(0),
        }
    }

    fn script_verdict(&self, name: &Arc<str>) -> Verdict {
        let script = self.places.get(name).and_then(|place| self.scripts.get(*place));
        script.map_or(Verdict::Unknown, |(_, state)| state.verdict())
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU32;

    use super::*;
    use crate::kernel::Script;
    use crate::track::{ScriptTest, Weight};

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn script(name: &str, seconds: u64) -> ScriptTracker {
        ScriptTracker {
            name: name.into(),
            test: ScriptTest::Run(Script::new(c"/bin/check".to_owned())),
            interval: Duration::from_secs(seconds),
            timeout: Duration::from_secs(seconds),
            weight: Weight::FAULT,
            rise: NonZeroU32::MIN,
            fall: NonZeroU32::MIN,
            starts_failed: false,
        }
    }

    fn reference(owner: &str, tracker: Tracker, weight: i16) -> (Owner, TrackReference) {
        let weight = Weight::new(weight, false).unwrap();
        (Owner::Instance(owner.into()), TrackReference { tracker, weight })
    }

    /// Routers 1 and 2 are named so.
    fn configure(trackers: &mut Trackers<u8>, now: Instant, config: &TrackConfig) {
        let find = |owner: &Owner| match owner {
            Owner::Instance(name) => name.parse().into_iter().collect(),
            Owner::SyncGroup(_) => vec![1, 2],
        };
        trackers.configure(now, config, find, |_| true);
    }

    fn due(trackers: &mut Trackers<u8>, now: Instant) -> Vec<String> {
        let mut names = Vec::new();
        trackers.handle_timeout(now, &mut |name| names.push(name.to_string()));
        names
    }

    fn effects(trackers: &Trackers<u8>, router: u8) -> Vec<Effect> {
        trackers.effects(router).map(|(_, effect)| effect).collect()
    }

    fn config() -> TrackConfig {
        TrackConfig {
            scripts: vec![script("a", 2), script("b", 3), script("unused", 1)],
            references: vec![
                reference("1", Tracker::Script("a".into()), 0),
                reference("1", Tracker::Script("b".into()), 20),
                (
                    Owner::SyncGroup("g".into()),
                    TrackReference { tracker: Tracker::Script("b".into()), weight: Weight::FAULT },
                ),
            ],
            ..TrackConfig::default()
        }
    }

    #[test]
    fn verdicts_reach_those_who_depend_on_them() {
        let mut trackers = Trackers::default();
        configure(&mut trackers, at(0), &config());
        assert_eq!(effects(&trackers, 1), [Effect::Pending, Effect::Weight(0), Effect::Pending]);
        assert_eq!(due(&mut trackers, at(0)), ["a", "b"], "what nobody depends on is not run");
        assert_eq!(trackers.note_script(&"unused".into(), ScriptEnd::Success), None);
        assert_eq!(trackers.note_script(&"unknown".into(), ScriptEnd::Success), None);

        let b = trackers.note_script(&"b".into(), ScriptEnd::Success).unwrap();
        assert_eq!(trackers.dependents(&b).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(effects(&trackers, 1), [Effect::Pending, Effect::Weight(20), Effect::Weight(0)]);
        assert_eq!(effects(&trackers, 2), [Effect::Weight(0)]);
        assert!(trackers.note_script(&"a".into(), ScriptEnd::Failure).is_some());
        assert_eq!(effects(&trackers, 1)[0], Effect::Fault);

        assert_eq!(trackers.poll_timeout(), Some(at(2)));
        assert_eq!(due(&mut trackers, at(2)), ["a"]);
        assert_eq!(due(&mut trackers, at(3)), ["b"]);
        assert_eq!(trackers.note_script(&"b".into(), ScriptEnd::Success), None, "no news");
    }

    #[test]
    fn a_reload_keeps_what_was_found_out() {
        let mut trackers = Trackers::default();
        let before = config();
        configure(&mut trackers, at(0), &before);
        assert_eq!(due(&mut trackers, at(0)).len(), 2);
        assert!(trackers.note_script(&"a".into(), ScriptEnd::Failure).is_some());
        assert!(trackers.note_script(&"b".into(), ScriptEnd::Success).is_some());

        // In another order, the first one with another weight, the second one another program.
        let mut after = before;
        after.scripts.reverse();
        after.references[0].1.weight = Weight::new(-30, false).unwrap();
        after.scripts[1].test = ScriptTest::Run(Script::new(c"/bin/other".to_owned()));
        configure(&mut trackers, at(1), &after);
        assert_eq!(effects(&trackers, 1), [Effect::Weight(-30), Effect::Weight(0), Effect::Pending]);
        assert_eq!(due(&mut trackers, at(1)), ["b"]);
        assert_eq!(due(&mut trackers, at(2)), ["a"]);

        configure(&mut trackers, at(3), &TrackConfig::default());
        assert_eq!((trackers.poll_timeout(), effects(&trackers, 1)), (None, vec![]));
    }

    #[test]
    fn interfaces_and_files_are_tracked() {
        let (eth1, file) = (Tracker::Interface("eth1".parse().unwrap()), Tracker::File("f".into()));
        let config = TrackConfig {
            references: vec![reference("1", eth1.clone(), -10), reference("1", file.clone(), 2)],
            ..TrackConfig::default()
        };
        let mut trackers = Trackers::default();
        configure(&mut trackers, at(0), &config);
        assert_eq!(effects(&trackers, 1), [Effect::Weight(0), Effect::Weight(0)]);
        assert_eq!(trackers.note_link(at(1), &"eth1".parse().unwrap(), false), Some(eth1));
        assert_eq!(trackers.note_link(at(1), &"eth1".parse().unwrap(), false), None);
        assert_eq!(trackers.note_link(at(1), &"eth2".parse().unwrap(), false), None);
        assert_eq!(trackers.note_file(&"f".into(), 7), Some(file));
        assert_eq!(trackers.note_file(&"f".into(), 7), None);
        assert_eq!(trackers.note_file(&"g".into(), 7), None);
        assert_eq!(effects(&trackers, 1), [Effect::Weight(-10), Effect::Weight(14)]);
    }
}
