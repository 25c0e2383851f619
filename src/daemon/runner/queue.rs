//! Which command runs when, and how it is ended: the runner without its processes. Time and events go in,
//! actions come out.

use std::collections::{BTreeMap, VecDeque};

use super::protocol::{Cut, Outcome, Refusal, RunId};
use crate::sys::process::Ended;
use crate::sys::spawn::StartError;
use crate::time::{Duration, Instant};

/// Commands that wait; further ones are refused.
const WAITING_MAX: usize = 10_000;

/// What happened. `J` is what it takes to start a command.
#[derive(Debug)]
pub(super) enum Event<J> {
    /// A command is to be run.
    Run { id: RunId, job: J, deadline: Option<Duration>, grace: Duration },
    /// It is not wanted any more.
    Cancel(RunId),
    /// So many at a time, at least one.
    Limit(usize),
    /// What [`Action::Start`] asked for could not be done.
    NotStarted(RunId, StartError),
    /// The process of a command ended; of its process group there is a rest, or not.
    Ended { id: RunId, how: Ended, rest: bool },
    /// There is no rest of the process group any more.
    RestGone(RunId),
    /// There is no requester any more.
    HungUp,
}

/// What is to be done.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Action<J> {
    /// Start the command.
    Start(RunId, J),
    /// Send this signal to the command's process group.
    Signal(RunId, i32),
    /// Tell the requester. Nothing more comes of this run.
    Report(RunId, Outcome),
}

/// The commands that wait, in order, and those that run.
#[derive(Debug)]
pub(super) struct Queue<J> {
    limit: usize,
    waiting: VecDeque<Waiting<J>>,
    running: BTreeMap<RunId, Running>,
    hung_up: bool,
}

#[derive(Debug)]
struct Waiting<J> {
    id: RunId,
    job: J,
    deadline: Option<Duration>,
    grace: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    started: Instant,
    grace: Duration,
    stage: Stage,
    /// How its process ended, while there is a rest of its group that was told to end.
    ended: Option<(Ended, Duration)>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// It may run, until then.
    Free(Option<Instant>),
    /// Its group has got TERM, and gets KILL then.
    Terminated(Instant, Cut),
    /// Its group has got KILL.
    Killed(Cut),
}

impl<J> Queue<J> {
    /// An empty one, which runs so many commands at a time.
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, waiting: VecDeque::new(), running: BTreeMap::new(), hung_up: false }
    }

    /// Whether the requester is gone, and all that it asked for has ended.
    pub(super) fn is_over(&self) -> bool {
        self.hung_up && self.running.is_empty()
    }

    /// When [`Queue::handle_timeout`] is to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.running.values().filter_map(Running::timeout).min()
    }

    /// Ends what has run for too long.
    pub(super) fn handle_timeout(&mut self, now: Instant, actions: &mut Vec<Action<J>>) {
        let due = |running: &Running| running.timeout().is_some_and(|at| at <= now);
        let due: Vec<RunId> =
            self.running.iter().filter(|(_, running)| due(running)).map(|(id, _)| *id).collect();
        for id in due {
            let Some(running) = self.running.get_mut(&id) else { continue };
            match running.stage {
                Stage::Free(_) => running.terminate(now, id, Cut::Deadline, actions),
                Stage::Terminated(_, cut) => {
                    actions.push(Action::Signal(id, libc::SIGKILL));
                    running.stage = Stage::Killed(cut);
                    if let Some((how, duration)) = running.ended {
                        // What is left of its group ends now.
                        self.report(id, Outcome::Ended { how, duration, cut: Some(cut) }, actions);
                    }
                }
                Stage::Killed(_) => {}
            }
        }
        self.start_next(now, actions);
    }

    /// Takes an event in.
    pub(super) fn handle(&mut self, now: Instant, event: Event<J>, actions: &mut Vec<Action<J>>) {
        match event {
            Event::Run { .. } if self.hung_up => {}
            Event::Run { id, .. } if self.waiting.len() >= WAITING_MAX => {
                actions.push(Action::Report(id, Outcome::Refused(Refusal::TooMany)));
            }
            Event::Run { id, job, deadline, grace } => {
                self.waiting.push_back(Waiting { id, job, deadline, grace });
            }
            Event::Cancel(id) => self.cancel(now, id, actions),
            Event::Limit(limit) => self.limit = limit.max(1),
            Event::NotStarted(id, why) => self.report(id, Outcome::NotStarted(why), actions),
            Event::Ended { id, how, rest } => self.ended(now, id, how, rest, actions),
            Event::RestGone(id) => {
                if let Some(Running { ended: Some((how, duration)), stage, .. }) = self.running.get(&id) {
                    let outcome = Outcome::Ended { how: *how, duration: *duration, cut: stage.cut() };
                    self.report(id, outcome, actions);
                }
            }
            Event::HungUp => {
                self.hung_up = true;
                self.waiting.clear();
                for (id, running) in &mut self.running {
                    running.terminate(now, *id, Cut::Cancelled, actions);
                }
            }
        }
        self.start_next(now, actions);
    }

    fn cancel(&mut self, now: Instant, id: RunId, actions: &mut Vec<Action<J>>) {
        if let Some(running) = self.running.get_mut(&id) {
            running.terminate(now, id, Cut::Cancelled, actions);
        } else if let Some(position) = self.waiting.iter().position(|waiting| waiting.id == id) {
            self.waiting.remove(position);
            actions.push(Action::Report(id, Outcome::Cancelled));
        }
        // Else it has just been reported.
    }

    fn ended(&mut self, now: Instant, id: RunId, how: Ended, rest: bool, actions: &mut Vec<Action<J>>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let duration = now.saturating_since(running.started);
        if rest && let Stage::Terminated(..) = running.stage {
            running.ended = Some((how, duration));
            return;
        }
        // What a command that ends by itself leaves running in the background is its own affair.
        let cut = running.stage.cut();
        self.report(id, Outcome::Ended { how, duration, cut }, actions);
    }

    fn report(&mut self, id: RunId, outcome: Outcome, actions: &mut Vec<Action<J>>) {
        if self.running.remove(&id).is_some() {
            actions.push(Action::Report(id, outcome));
        }
    }

    fn start_next(&mut self, now: Instant, actions: &mut Vec<Action<J>>) {
        while self.running.len() < self.limit
            && let Some(Waiting { id, job, deadline, grace }) = self.waiting.pop_front()
        {
            let stage = Stage::Free(deadline.map(|deadline| now + deadline));
            self.running.insert(id, Running { started: now, grace, stage, ended: None });
            actions.push(Action::Start(id, job));
        }
    }
}

impl Running {
    const fn timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Free(at) => at,
            Stage::Terminated(at, _) => Some(at),
            Stage::Killed(_) => None,
        }
    }

    fn terminate<J>(&mut self, now: Instant, id: RunId, cut: Cut, actions: &mut Vec<Action<J>>) {
        if matches!(self.stage, Stage::Free(_)) {
            self.stage = Stage::Terminated(now + self.grace, cut);
            actions.push(Action::Signal(id, libc::SIGTERM));
        }
    }
}

impl Stage {
    const fn cut(self) -> Option<Cut> {
        match self {
            Self::Free(_) => None,
            Self::Terminated(_, cut) | Self::Killed(cut) => Some(cut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(2);
    const OK: Ended = Ended::Exited(0);

    struct Bench {
        queue: Queue<()>,
        actions: Vec<Action<()>>,
    }

    impl Bench {
        fn new(limit: usize) -> Self {
            Self { queue: Queue::new(limit), actions: Vec::new() }
        }

        fn at(&mut self, s: u64, event: Event<()>) -> Vec<Action<()>> {
            self.queue.handle(time(s), event, &mut self.actions);
            std::mem::take(&mut self.actions)
        }

        fn run(&mut self, s: u64, id: u64, deadline_s: Option<u64>) -> Vec<Action<()>> {
            let deadline = deadline_s.map(Duration::from_secs);
            self.at(s, Event::Run { id: RunId(id), job: (), deadline, grace: GRACE })
        }

        fn timeout(&mut self, s: u64) -> Vec<Action<()>> {
            assert_eq!(self.queue.poll_timeout(), Some(time(s)));
            self.queue.handle_timeout(time(s), &mut self.actions);
            std::mem::take(&mut self.actions)
        }
    }

    fn time(s: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(s)
    }

    fn ended(id: u64, how: Ended, rest: bool) -> Event<()> {
        Event::Ended { id: RunId(id), how, rest }
    }

    fn report(id: u64, how: Ended, s: u64, cut: Option<Cut>) -> Action<()> {
        Action::Report(RunId(id), Outcome::Ended { how, duration: Duration::from_secs(s), cut })
    }

    fn start(id: u64) -> Action<()> {
        Action::Start(RunId(id), ())
    }

    fn signal(id: u64, number: i32) -> Action<()> {
        Action::Signal(RunId(id), number)
    }

    #[test]
    fn what_is_beyond_the_limit_waits_in_order() {
        let mut bench = Bench::new(2);
        assert_eq!(bench.run(0, 1, None), [start(1)]);
        assert_eq!(bench.run(0, 2, None), [start(2)]);
        for id in 3..=5 {
            assert_eq!(bench.run(1, id, Some(1)), []);
        }
        assert_eq!(bench.queue.poll_timeout(), None, "who waits does not run out of time");
        assert_eq!(bench.at(9, ended(2, OK, false)), [report(2, OK, 9, None), start(3)]);
        assert_eq!(bench.at(9, Event::Limit(3)), [start(4)]);
        assert_eq!(bench.at(9, Event::Limit(0)), [], "one at least, but none is ended for it");
        let killed = Ended::Killed(15);
        assert_eq!(bench.at(9, ended(1, OK, false)), [report(1, OK, 9, None)]);
        assert_eq!(bench.timeout(10), [signal(3, 15), signal(4, 15)]);
        assert_eq!(bench.at(10, ended(3, killed, false)), [report(3, killed, 1, Some(Cut::Deadline))]);
        assert_eq!(
            bench.at(10, ended(4, killed, false)),
            [report(4, killed, 1, Some(Cut::Deadline)), start(5)]
        );
    }

    #[test]
    fn what_cannot_be_started_makes_room() {
        let mut bench = Bench::new(1);
        bench.run(0, 1, None);
        bench.run(0, 2, None);
        let why = StartError::NoSuchUser("x".to_owned());
        assert_eq!(
            bench.at(0, Event::NotStarted(RunId(1), why.clone())),
            [Action::Report(RunId(1), Outcome::NotStarted(why)), start(2)]
        );
    }

    #[test]
    fn who_ignores_term_is_killed_after_the_grace() {
        let mut bench = Bench::new(1);
        bench.run(0, 1, Some(5));
        assert_eq!(bench.timeout(5), [signal(1, 15)]);
        assert_eq!(bench.timeout(7), [signal(1, 9)]);
        assert_eq!(bench.queue.poll_timeout(), None);
        let killed = Ended::Killed(9);
        assert_eq!(bench.at(8, ended(1, killed, true)), [report(1, killed, 8, Some(Cut::Deadline))]);
    }

    #[test]
    fn the_rest_of_a_group_has_its_grace_too() {
        for gone in [true, false] {
            let mut bench = Bench::new(1);
            bench.run(0, 1, Some(5));
            bench.run(0, 2, None);
            assert_eq!(bench.timeout(5), [signal(1, 15)]);
            assert_eq!(bench.at(5, ended(1, Ended::Killed(15), true)), []);
            let told = [report(1, Ended::Killed(15), 5, Some(Cut::Deadline)), start(2)];
            if gone {
                assert_eq!(bench.at(6, Event::RestGone(RunId(1))), told);
            } else {
                let [first, second] = told;
                assert_eq!(bench.timeout(7), [signal(1, 9), first, second]);
            }
            assert_eq!(bench.at(8, Event::RestGone(RunId(1))), []);
        }
    }

    #[test]
    fn what_stays_in_the_background_of_a_command_that_ends_by_itself_is_left_alone() {
        let mut bench = Bench::new(1);
        bench.run(0, 1, Some(5));
        assert_eq!(bench.at(1, ended(1, OK, true)), [report(1, OK, 1, None)]);
        assert_eq!(bench.queue.poll_timeout(), None);
    }

    #[test]
    fn each_run_is_reported_once_however_it_is_cancelled() {
        let mut bench = Bench::new(1);
        bench.run(0, 1, Some(5));
        bench.run(0, 2, None);
        assert_eq!(bench.at(1, Event::Cancel(RunId(2))), [Action::Report(RunId(2), Outcome::Cancelled)]);
        assert_eq!(bench.at(1, Event::Cancel(RunId(2))), []);
        assert_eq!(bench.at(1, Event::Cancel(RunId(1))), [signal(1, 15)]);
        assert_eq!(bench.at(2, Event::Cancel(RunId(1))), [], "the grace is not begun anew");
        assert_eq!(bench.timeout(3), [signal(1, 9)]);
        let killed = Ended::Killed(9);
        assert_eq!(bench.at(3, ended(1, killed, false)), [report(1, killed, 3, Some(Cut::Cancelled))]);
        assert_eq!(bench.at(3, Event::Cancel(RunId(1))), []);
    }

    #[test]
    fn without_its_requester_it_ends_everything() {
        let mut bench = Bench::new(1);
        bench.run(0, 1, None);
        bench.run(0, 2, None);
        assert_eq!(bench.at(1, Event::HungUp), [signal(1, 15)]);
        assert!(!bench.queue.is_over());
        assert_eq!(bench.run(1, 3, None), []);
        assert_eq!(bench.timeout(3), [signal(1, 9)]);
        bench.at(3, ended(1, Ended::Killed(9), false));
        assert!(bench.queue.is_over());
    }

    #[test]
    fn a_flood_is_refused_and_not_kept() {
        let mut bench = Bench::new(1);
        let full = u64::try_from(WAITING_MAX).unwrap() + 1;
        for id in 0..full {
            assert!(bench.run(0, id, None).len() <= 1);
        }
        assert_eq!(
            bench.run(0, full, None),
            [Action::Report(RunId(full), Outcome::Refused(Refusal::TooMany))]
        );
    }
}
