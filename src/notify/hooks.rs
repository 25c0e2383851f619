//! ENGINE: which hook runs when. keepalived starts them as things happen, so that an old one may overtake a new one.
//! Here the events of one object are told one after the other, in order: the scripts of the next event start when those
//! of the one before have ended. Objects do not wait for each other.
//!
//! Whose hooks are slower than what happens is told the newest: of the events that wait the oldest are left out beyond
//! [`HookSettings::waiting`]. At a stop that is all but the last state, and what still runs when half the time for it
//! is over is ended, so that the last one has its turn.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::account::{Hook, Told};
use super::event::{Event, Object};
use super::settings::HookSettings;
use crate::time::Instant;

/// Number of a run, never used twice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct CallId(pub(crate) u64);

/// Runs handed over at a time, of all objects.
const OPEN_MAX: usize = 256;

/// How often a run is tried whose end nobody knows.
const ATTEMPTS: u32 = 3;

/// A hook to run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Run {
    pub(crate) hook: Hook,
    pub(crate) event: Arc<Event>,
    attempt: u32,
}

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Run it, and tell how it went by [`Hooks::ended`] or [`Hooks::lost`].
    Run(CallId, Run),
    /// End it; that it has ended is told all the same.
    Cancel(CallId),
    /// Say that the hooks of an object take longer than what happens: events are left out from now on.
    SayBehind(Object),
    /// Say how many were, now that it is told of the newest.
    SayLeftOut(Object, u64),
    /// Say that the stop has not waited for this.
    SayAbandoned(Run),
}

/// The hooks of all objects.
#[derive(Debug)]
pub(crate) struct Hooks {
    settings: HookSettings,
    objects: BTreeMap<Object, Queue>,
    /// Those whose next event may be told, each once.
    ready: VecDeque<Object>,
    open: BTreeMap<CallId, Run>,
    next: u64,
    leaving: Option<Leaving>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Told>,
    /// Of the event that is told.
    running: Vec<CallId>,
    left_out: u64,
}

/// A stop.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    /// When what runs is ended, where something waits for it; `None` = it was.
    cut_at: Option<Instant>,
    /// When nothing is waited for any more.
    over_at: Instant,
    over: bool,
}

impl Hooks {
    /// Nothing has happened yet.
    pub(crate) const fn new(settings: HookSettings) -> Self {
        Self {
            settings,
            objects: BTreeMap::new(),
            ready: VecDeque::new(),
            open: BTreeMap::new(),
            next: 0,
            leaving: None,
        }
    }

    /// Other settings, from now on.
    pub(crate) const fn configure(&mut self, settings: HookSettings) {
        self.settings = settings;
    }

    /// An event is to be told.
    pub(crate) fn push(&mut self, told: Told, actions: &mut Vec<Action>) {
        if told.hooks.is_empty() {
            return;
        }
        let object = told.event.object.clone();
        let max = usize::try_from(self.settings.waiting).unwrap_or(usize::MAX);
        let queue = self.objects.entry(object.clone()).or_default();
        // Of what is no state one waits at most.
        let repeats = |last: &Told| last.event.word == told.event.word && !told.event.word.is_state();
        if queue.waiting.back().is_some_and(repeats) {
            queue.waiting.pop_back();
        }
        queue.waiting.push_back(told);
        if queue.waiting.len() > max {
            queue.waiting.pop_front();
            queue.left_out += 1;
            if queue.left_out == 1 {
                actions.push(Action::SayBehind(object.clone()));
            }
        }
        if queue.running.is_empty() && queue.waiting.len() == 1 {
            self.ready.push_back(object);
        }
        if self.leaving.is_some() {
            self.keep_last_state();
        }
        self.start(actions);
    }

    /// A run has ended, or cannot be begun. Gives what it was.
    pub(crate) fn ended(&mut self, id: CallId, actions: &mut Vec<Action>) -> Option<Run> {
        let run = self.open.remove(&id)?;
        self.settle(id, &run.event.object, actions);
        Some(run)
    }

    /// Nobody knows whether it has run. The newest is told again.
    pub(crate) fn lost(&mut self, id: CallId, actions: &mut Vec<Action>) -> Option<Run> {
        let mut run = self.open.remove(&id)?;
        let told = run.clone();
        let object = run.event.object.clone();
        let newest = self.objects.get(&object).is_some_and(|queue| queue.waiting.is_empty());
        if newest && run.attempt < ATTEMPTS && !self.is_over() {
            run.attempt += 1;
            let again = self.open(run, actions);
            if let Some(queue) = self.objects.get_mut(&object) {
                queue.running.push(again);
            }
        }
        self.settle(id, &object, actions);
        Some(told)
    }

    /// The daemon stops; all is pushed.
    pub(crate) fn leave(&mut self, now: Instant) {
        let time = self.settings.at_stop();
        self.leaving =
            Some(Leaving { cut_at: Some(now + time / 2), over_at: now + time, over: time.is_zero() });
        self.keep_last_state();
    }

    /// Whether the daemon may end.
    pub(crate) fn is_over(&self) -> bool {
        self.leaving.is_some_and(|leaving| leaving.over || self.objects.is_empty())
    }

    /// When [`Hooks::handle_timeout`] is to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let leaving = self.leaving.filter(|leaving| !leaving.over)?;
        Some(leaving.cut_at.unwrap_or(leaving.over_at))
    }

    /// Sees to it that a stop does not wait for ever.
    pub(crate) fn handle_timeout(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Some(leaving) = &mut self.leaving else { return };
        if leaving.cut_at.take_if(|at| *at <= now).is_some() {
            let held_up = self.objects.values().filter(|queue| !queue.waiting.is_empty());
            actions.extend(held_up.flat_map(|queue| &queue.running).map(|id| Action::Cancel(*id)));
        }
        if leaving.over_at > now || leaving.over {
            return;
        }
        leaving.over = true;
        for (id, run) in core::mem::take(&mut self.open) {
            actions.push(Action::Cancel(id));
            actions.push(Action::SayAbandoned(run));
        }
        for queue in core::mem::take(&mut self.objects).into_values() {
            for Told { event, hooks, .. } in queue.waiting {
                let run = |hook| Run { hook, event: Arc::clone(&event), attempt: 1 };
                actions.extend(hooks.into_iter().map(|hook| Action::SayAbandoned(run(hook))));
            }
        }
        self.ready.clear();
    }

    /// Of what waits only the last state is told, and what came after it.
    fn keep_last_state(&mut self) {
        for queue in self.objects.values_mut() {
            let last = queue.waiting.iter().rposition(|told| told.event.word.is_state()).unwrap_or(0);
            queue.waiting.drain(..last);
            queue.left_out += u64::try_from(last).unwrap_or(u64::MAX);
        }
    }

    /// A run is over: perhaps the next event has its turn.
    fn settle(&mut self, id: CallId, object: &Object, actions: &mut Vec<Action>) {
        if let Some(queue) = self.objects.get_mut(object) {
            queue.running.retain(|running| *running != id);
            if queue.running.is_empty() {
                if queue.waiting.is_empty() {
                    self.objects.remove(object);
                } else {
                    self.ready.push_back(object.clone());
                }
            }
        }
        self.start(actions);
    }

    fn start(&mut self, actions: &mut Vec<Action>) {
        while self.open.len() < OPEN_MAX
            && let Some(object) = self.ready.pop_front()
        {
            let Some(queue) = self.objects.get_mut(&object) else { continue };
            let Some(Told { event, hooks, .. }) = queue.waiting.pop_front() else { continue };
            if queue.waiting.is_empty() && queue.left_out > 0 {
                let left_out = core::mem::take(&mut queue.left_out);
                actions.push(Action::SayLeftOut(object.clone(), left_out));
            }
            let mut running = Vec::with_capacity(hooks.len());
            for hook in hooks {
                running.push(self.open(Run { hook, event: Arc::clone(&event), attempt: 1 }, actions));
            }
            if let Some(queue) = self.objects.get_mut(&object) {
                queue.running = running;
            }
        }
    }

    fn open(&mut self, run: Run, actions: &mut Vec<Action>) -> CallId {
        let id = CallId(self.next);
        self.next += 1;
        self.open.insert(id, run.clone());
        actions.push(Action::Run(id, run));
        id
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Word;
    use super::*;
    use crate::kernel::Script;
    use crate::prng::Prng;
    use crate::time::{Duration, WallTime};

    fn object(name: &str) -> Object {
        Object::Instance(name.into())
    }

    fn told(name: &str, word: Word, number: u8, hooks: usize) -> Told {
        let event = Event {
            object: object(name),
            word,
            priority: number,
            from: None,
            cause: None,
            at: WallTime::default(),
            is_last: word == Word::Stop,
        };
        let hook = Hook { keyword: "notify", script: Arc::new(Script::new(c"/hook".into())) };
        Told { event: Arc::new(event), hooks: vec![hook; hooks], has_line: true, has_mail: false }
    }

    struct Bench {
        hooks: Hooks,
        actions: Vec<Action>,
    }

    impl Bench {
        fn new(waiting: u32) -> Self {
            let settings = HookSettings { waiting, ..HookSettings::default() };
            Self { hooks: Hooks::new(settings), actions: Vec::new() }
        }

        fn push(&mut self, told: Told) -> Vec<Action> {
            self.hooks.push(told, &mut self.actions);
            std::mem::take(&mut self.actions)
        }

        fn master(&mut self, name: &str, number: u8) -> Vec<u8> {
            numbers(&self.push(told(name, Word::Master, number, 1)))
        }

        fn ended(&mut self, id: u64) -> Vec<Action> {
            self.hooks.ended(CallId(id), &mut self.actions).unwrap();
            std::mem::take(&mut self.actions)
        }
    }

    /// The priorities of the events whose hooks start.
    fn numbers(actions: &[Action]) -> Vec<u8> {
        let number = |action: &Action| match action {
            Action::Run(_, run) => Some(run.event.priority),
            _ => None,
        };
        actions.iter().filter_map(number).collect()
    }

    #[test]
    fn one_event_of_an_object_is_told_at_a_time() {
        let mut bench = Bench::new(16);
        assert_eq!(bench.master("A", 1), [1]);
        assert!(bench.master("A", 2).is_empty());
        assert_eq!(bench.master("B", 3), [3], "objects do not wait for each other");
        assert!(bench.master("A", 4).is_empty());
        assert_eq!(numbers(&bench.ended(0)), [2]);
        assert_eq!(numbers(&bench.ended(2)), [4]);
        assert_eq!(bench.ended(3), []);
        assert_eq!(bench.ended(1), []);
        assert!(bench.hooks.objects.is_empty());
    }

    #[test]
    fn the_next_event_waits_for_all_scripts_of_the_one_before() {
        let mut bench = Bench::new(16);
        assert_eq!(numbers(&bench.push(told("A", Word::Master, 1, 2))), [1, 1]);
        assert_eq!(bench.push(told("A", Word::Backup, 2, 2)), []);
        assert_eq!(bench.ended(1), []);
        assert_eq!(numbers(&bench.ended(0)), [2, 2]);
        assert_eq!(bench.push(told("B", Word::Backup, 2, 0)), [], "nobody is to be told");
    }

    #[test]
    fn of_too_many_that_wait_the_oldest_are_left_out_and_counted() {
        let mut bench = Bench::new(2);
        bench.master("A", 1);
        for number in [2, 3] {
            bench.master("A", number);
        }
        assert_eq!(bench.push(told("A", Word::Master, 4, 1)), [Action::SayBehind(object("A"))]);
        assert!(bench.master("A", 5).is_empty());
        assert_eq!(numbers(&bench.ended(0)), [4]);
        let last = bench.ended(1);
        assert_eq!(last[0], Action::SayLeftOut(object("A"), 2));
        assert_eq!(numbers(&last), [5]);
    }

    #[test]
    fn what_is_no_state_does_not_push_states_out() {
        let mut bench = Bench::new(2);
        bench.master("A", 1);
        bench.master("A", 2);
        for number in 3..9 {
            assert_eq!(bench.push(told("A", Word::LowerPriorityReceived, number, 1)), []);
        }
        assert_eq!(numbers(&bench.ended(0)), [2]);
        assert_eq!(numbers(&bench.ended(1)), [8]);
    }

    #[test]
    fn what_was_lost_is_told_again_unless_something_newer_is() {
        let mut bench = Bench::new(16);
        bench.master("A", 1);
        for id in 0..3 {
            bench.hooks.lost(CallId(id), &mut bench.actions).unwrap();
            let again = numbers(&std::mem::take(&mut bench.actions));
            assert_eq!(again, if id < 2 { vec![1] } else { vec![] });
        }
        assert!(bench.hooks.objects.is_empty());
        bench.master("A", 2);
        bench.master("A", 3);
        bench.hooks.lost(CallId(3), &mut bench.actions).unwrap();
        assert_eq!(numbers(&bench.actions), [3]);
    }

    fn at(s: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(s)
    }

    #[test]
    fn a_stop_waits_for_the_last_state_and_for_nothing_else() {
        let mut bench = Bench::new(16);
        assert!(!bench.hooks.is_over());
        for number in 1..5 {
            bench.master("A", number);
        }
        bench.push(told("A", Word::Stop, 9, 1));
        bench.push(told("B", Word::Stop, 9, 1));
        bench.hooks.leave(at(100));
        assert!(!bench.hooks.is_over());
        assert_eq!(bench.ended(1), []);
        let next = bench.ended(0);
        assert_eq!(next[0], Action::SayLeftOut(object("A"), 3));
        assert_eq!(numbers(&next), [9]);
        bench.ended(2);
        assert!(bench.hooks.is_over());
    }

    #[test]
    fn what_hangs_at_a_stop_is_ended_in_time_for_the_last_one() {
        let mut bench = Bench::new(16);
        bench.master("A", 1);
        bench.push(told("A", Word::Stop, 2, 1));
        bench.push(told("B", Word::Stop, 3, 1));
        bench.hooks.leave(at(100));
        assert_eq!(bench.hooks.poll_timeout(), Some(at(105)));
        bench.hooks.handle_timeout(at(105), &mut bench.actions);
        assert_eq!(std::mem::take(&mut bench.actions), [Action::Cancel(CallId(0))], "nothing waits for B's");
        assert_eq!(numbers(&bench.ended(0)), [2]);
        assert_eq!(bench.hooks.poll_timeout(), Some(at(110)));
        bench.hooks.handle_timeout(at(110), &mut bench.actions);
        let abandoned = bench.actions.iter().filter(|action| matches!(action, Action::SayAbandoned(_)));
        assert_eq!(abandoned.count(), 2);
        assert!(bench.hooks.is_over() && bench.hooks.poll_timeout().is_none());
        assert_eq!(bench.hooks.ended(CallId(2), &mut Vec::new()), None);
    }

    /// Random objects, lengths of runs and losses: order is kept, no more than one event of an object runs, and the
    /// last one is told.
    #[test]
    fn whatever_happens_order_is_kept_and_the_last_is_told() {
        for seed in 0..200 {
            let mut prng = Prng::new(seed);
            let mut bench = Bench::new(2 + u32::try_from(prng.below(4)).unwrap());
            let (mut pushed, mut started) = ([0_u8; 3], [0_u8; 3]);
            let mut running: BTreeMap<CallId, usize> = BTreeMap::new();
            for step in 0..400 {
                let calms_down = step > 300;
                if !calms_down && prng.chance(1, 2) && pushed.iter().all(|count| *count < 250) {
                    let which = usize::try_from(prng.below(3)).unwrap();
                    pushed[which] += 1;
                    let hooks = 1 + usize::try_from(prng.below(2)).unwrap();
                    let told = told(["A", "B", "C"][which], Word::Master, pushed[which], hooks);
                    bench.hooks.push(told, &mut bench.actions);
                } else if let Some(id) = running.keys().next().copied() {
                    running.remove(&id);
                    if !calms_down && prng.chance(1, 8) {
                        bench.hooks.lost(id, &mut bench.actions).unwrap();
                    } else {
                        bench.hooks.ended(id, &mut bench.actions).unwrap();
                    }
                }
                for action in std::mem::take(&mut bench.actions) {
                    if let Action::Run(id, run) = action {
                        let which =
                            ["A", "B", "C"].iter().position(|n| *n == run.event.object.name()).unwrap();
                        assert!(run.event.priority >= started[which], "order");
                        let others = running.values().filter(|other| **other == which).count();
                        assert!(others == 0 || run.event.priority == started[which], "one event at a time");
                        started[which] = run.event.priority;
                        running.insert(id, which);
                    }
                }
            }
            assert_eq!(started, pushed, "seed {seed}");
            assert!(running.is_empty() && bench.hooks.objects.is_empty(), "seed {seed}");
        }
    }
}
