//! One probe: what is asked of one target, for all that depend on the answer.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Told;
use super::life::{Failure, Life};
use crate::check::action::{
    Action, Attempt, CheckActions, Event, LastResult, Outcome, OutcomeKind, WeightAdvice,
};
use crate::check::dialogue::{Dialogue, Started, Verdict, stages};
use crate::check::pattern::Patterns;
use crate::check::{Checker, CheckerKind, FileCheck, Target};
use crate::prng::Prng;
use crate::time::{Duration, Instant, WallTime};

/// A deadline that is served this late finds answers that came in time and were not read: the process stood still.
const STALL: Duration = Duration::from_millis(200);
/// So long it may then still read them.
const GRACE: Duration = Duration::from_millis(500);
/// The shortest time from one try to the next: less is work without end for nobody's good.
const SHORTEST: Duration = Duration::from_millis(1);
/// The largest weight of IPVS; the negative of it, from a file, is a failure.
const WEIGHT_MAX: i64 = i32::MAX as i64;

#[derive(Debug)]
pub(super) struct Probe<K> {
    pub(super) target: Target,
    pub(super) checker: Arc<Checker>,
    pub(super) readers: BTreeMap<K, Reader>,
    pub(super) life: Life,
    /// The try that is next, of those that make one check.
    stage: usize,
    weight: Option<WeightAdvice>,
    pub(super) last: Option<LastResult>,
    /// Why the last try could not be made.
    pub(super) obstacle: Option<Cow<'static, str>>,
    /// When the next try is due, or the running one was.
    pub(super) due: Instant,
    running: Option<Running>,
}

/// One that depends on a probe.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reader {
    pub(super) suspended: bool,
    told: Option<Told>,
}

#[derive(Debug)]
struct Running {
    attempt: Attempt,
    dialogue: Dialogue,
    started: Instant,
    timeout: Duration,
    deadline: Instant,
    /// More time was given after a stall.
    extended: bool,
    certificate_expires: Option<WallTime>,
}

impl<K: Clone + Ord> Probe<K> {
    pub(super) fn new(target: Target, checker: Arc<Checker>) -> Self {
        Self {
            target,
            checker,
            readers: BTreeMap::new(),
            life: Life::default(),
            stage: 0,
            weight: None,
            last: None,
            obstacle: None,
            due: Instant::ZERO,
            running: None,
        }
    }

    /// Whether another one asks the same of the same target, perhaps at other times.
    pub(super) fn asks_the_same(&self, other: &Self) -> bool {
        self.target == other.target && self.checker.kind == other.checker.kind
    }

    /// Goes on from the results of another one.
    pub(super) fn inherit(&mut self, before: &Self) {
        self.life = before.life;
        self.weight = before.weight;
        self.last.clone_from(&before.last);
    }

    /// Whether nobody waits for its results.
    pub(super) fn rests(&self) -> bool {
        self.readers.values().all(|reader| reader.suspended)
    }

    /// When there is something to do; files and sessions tell by themselves.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        let asks = !matches!(self.checker.kind, CheckerKind::File(_) | CheckerKind::Bfd(_));
        let at = self.running.as_ref().map_or(self.due, |running| running.deadline);
        (asks && !self.rests()).then_some(at)
    }

    /// Ends the try that runs, without a result.
    pub(super) fn stop(&mut self, id: u32, actions: &mut CheckActions<K>) {
        if let Some(running) = self.running.take() {
            debug_assert_eq!(running.attempt.probe, id);
            actions.io.push((running.attempt, Action::Close));
        }
        self.stage = 0;
    }

    /// Ends the running try, whose time is over, or begins the next one as `attempt`.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        attempt: Attempt,
        random: &mut Prng,
        patterns: &mut Patterns,
        actions: &mut CheckActions<K>,
    ) {
        let Some(running) = &mut self.running else {
            return self.start(now, attempt, random, patterns, actions);
        };
        if now < running.deadline {
            return;
        }
        if !running.extended && now.saturating_since(running.deadline) > STALL {
            running.extended = true;
            running.deadline = now + GRACE;
            return;
        }
        let verdict = running.dialogue.timed_out(running.timeout);
        self.conclude(now, verdict, actions);
    }

    fn start(
        &mut self,
        now: Instant,
        attempt: Attempt,
        random: &mut Prng,
        patterns: &mut Patterns,
        actions: &mut CheckActions<K>,
    ) {
        match Dialogue::start(&self.checker.kind, self.stage, self.target, random, patterns) {
            Ok(Started { open, dialogue, timeout }) => {
                actions.io.push((attempt, Action::Open(open)));
                self.running = Some(Running {
                    attempt,
                    dialogue,
                    started: now,
                    timeout,
                    deadline: now + timeout,
                    extended: false,
                    certificate_expires: None,
                });
            }
            Err(why) => self.conclude(now, Verdict::Bad(why), actions),
        }
    }

    /// Whether it was the running try's, so that the timer is to be set anew.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        attempt: Attempt,
        event: &Event<'_>,
        actions: &mut CheckActions<K>,
    ) -> bool {
        let Some(running) = self.running.as_mut().filter(|running| running.attempt == attempt) else {
            return false;
        };
        if let Event::Connected { certificate_expires } = event {
            running.certificate_expires = *certificate_expires;
        }
        let mut send = Vec::new();
        let verdict = running.dialogue.handle(event, &mut send);
        actions.io.extend(send.into_iter().map(|bytes| (attempt, Action::Send(bytes))));
        if let Some(verdict) = verdict {
            self.conclude(now, verdict, actions);
        }
        true
    }

    /// Takes the verdict on a try and plans the next one.
    fn conclude(&mut self, now: Instant, verdict: Verdict, actions: &mut CheckActions<K>) {
        let running = self.running.take();
        let latency =
            running.as_ref().map_or(Duration::ZERO, |running| now.saturating_since(running.started));
        let certificate_expires = running.as_ref().and_then(|running| running.certificate_expires);
        if let Some(running) = running {
            actions.io.push((running.attempt, Action::Close));
        }
        let checker = Arc::clone(&self.checker);
        let timing = checker.timing;
        let mut forgiven = None;
        let (good, reason) = match verdict {
            Verdict::Good { reason, weight } => {
                self.stage += 1;
                if self.stage < stages(&checker.kind) {
                    self.life.part_passed();
                    self.due = self.next_part(now);
                } else {
                    self.stage = 0;
                    self.life.passed();
                    self.weight = weight;
                    self.due = next_in_step(self.due, timing.delay_loop, now);
                }
                (true, reason)
            }
            Verdict::Bad(reason) => {
                match self.life.failed(timing.retry) {
                    Failure::Forgiven(failures) => {
                        self.due = now + timing.delay_before_retry.max(SHORTEST);
                        forgiven = Some(failures);
                    }
                    Failure::Counts => {
                        self.stage = 0;
                        self.due = next_in_step(self.due, timing.delay_loop, now);
                    }
                }
                (false, reason)
            }
            Verdict::Unknown(why) => {
                self.obstacle = Some(why);
                self.due = now + timing.delay_before_retry.max(Duration::from_secs(1));
                return;
            }
        };
        self.last = Some(LastResult { at: now, good, reason, latency, certificate_expires });
        self.obstacle = None;
        let awake = self.readers.iter().filter(|(_, reader)| !reader.suspended);
        actions.tries.extend(awake.map(|(key, _)| (key.clone(), latency)));
        match forgiven {
            Some(failures) => self.tell_forgiven(failures, actions),
            None => self.tell(actions),
        }
    }

    /// When the next of several tries begins that make one check.
    fn next_part(&self, now: Instant) -> Instant {
        match &self.checker.kind {
            CheckerKind::Http(http) if !http.fast_recovery || self.life.up() == Some(true) => {
                next_in_step(self.due, self.checker.timing.delay_loop, now)
            }
            _ => now,
        }
    }

    /// The number in the tracked file of a `FILE_CHECK`.
    pub(super) fn take_number(&mut self, now: Instant, number: Option<i64>, actions: &mut CheckActions<K>) {
        let checker = Arc::clone(&self.checker);
        let CheckerKind::File(file) = &checker.kind else { return };
        let (good, reason) = match judge_number(file, number) {
            Ok(weight) => {
                self.life.passed();
                self.weight = weight.map(WeightAdvice::Add);
                (
                    true,
                    number.map_or_else(
                        || "the file holds no number".into(),
                        |number| format!("the file holds {number}").into(),
                    ),
                )
            }
            Err(why) => {
                self.life.failed(0);
                (false, why)
            }
        };
        self.learn(now, good, reason, actions);
    }

    /// The state of the session of a `BFD_CHECK`.
    pub(super) fn take_session(&mut self, now: Instant, up: bool, actions: &mut CheckActions<K>) {
        if up {
            self.life.passed();
        } else {
            self.life.failed(0);
        }
        self.learn(now, up, if up { "the session is up" } else { "the session is down" }.into(), actions);
    }

    fn learn(&mut self, at: Instant, good: bool, reason: Cow<'static, str>, actions: &mut CheckActions<K>) {
        self.last = Some(LastResult { at, good, reason, latency: Duration::ZERO, certificate_expires: None });
        self.tell(actions);
    }

    /// Tells each reader what it does not know yet.
    pub(super) fn tell(&mut self, actions: &mut CheckActions<K>) {
        let (Some(up), Some(last)) = (self.life.up(), &self.last) else { return };
        let now = Told { up, weight: self.weight };
        for (key, reader) in self.readers.iter_mut().filter(|(_, reader)| !reader.suspended) {
            let kind = match reader.told {
                None => OutcomeKind::First,
                Some(told) if told.up != up => OutcomeKind::Changed,
                Some(told) if up && told.weight != self.weight => OutcomeKind::Weight,
                Some(_) => continue,
            };
            reader.told = Some(now);
            actions.outcomes.push(Outcome {
                key: key.clone(),
                checker: Arc::clone(&self.checker),
                kind,
                up,
                weight: self.weight,
                reason: last.reason.clone(),
                latency: last.latency,
            });
        }
    }

    /// Tells each reader that a failure is forgiven.
    fn tell_forgiven(&self, failures: u32, actions: &mut CheckActions<K>) {
        let Some(last) = &self.last else { return };
        for (key, _) in self.readers.iter().filter(|(_, reader)| !reader.suspended) {
            actions.outcomes.push(Outcome {
                key: key.clone(),
                checker: Arc::clone(&self.checker),
                kind: OutcomeKind::Forgiven { failures, retry: self.checker.timing.retry },
                up: true,
                weight: self.weight,
                reason: last.reason.clone(),
                latency: last.latency,
            });
        }
    }
}

/// What is added to the weight, or why it is a failure.
fn judge_number(file: &FileCheck, number: Option<i64>) -> Result<Option<i64>, Cow<'static, str>> {
    if file.weight == 0 {
        return match number {
            None => Err("the file cannot be read".into()),
            Some(number) if (number != 0) != file.reverse => Err(format!("the file holds {number}").into()),
            Some(_) => Ok(None),
        };
    }
    let sign = if file.reverse { -1 } else { 1 };
    let sum = number.unwrap_or(0).saturating_mul(file.weight.into()).saturating_mul(sign);
    if sum <= -WEIGHT_MAX {
        return Err(format!("the file holds {}, which leaves no weight", number.unwrap_or(0)).into());
    }
    Ok(Some(sum.min(WEIGHT_MAX)))
}

/// The first of the times after `now` that are whole steps from `from`: a check keeps its place among the others.
fn next_in_step(from: Instant, step: Duration, now: Instant) -> Instant {
    let step_us = crate::time::micros(step.max(SHORTEST));
    let steps = crate::time::micros(now.saturating_since(from)) / step_us + 1;
    from + Duration::from_micros(step_us.saturating_mul(steps))
}
