//! The life of checks, driven by hand.

use super::*;
use crate::check::action::{Action, Open, OutcomeKind, ProgramEnd, WeightAdvice};
use crate::check::{Connection, FileCheck, HttpCheck, HttpVersion, MiscCheck, SmtpCheck, Timing, UrlCheck};
use crate::kernel::Script;

const SECOND: Duration = Duration::from_secs(1);

fn timing() -> Timing {
    Timing {
        delay_loop: 10 * SECOND,
        retry: 2,
        delay_before_retry: SECOND,
        warmup: 10 * SECOND,
        alpha: false,
        log_all_failures: None,
    }
}

fn tcp(timing: Timing) -> Arc<Checker> {
    Arc::new(Checker { timing, kind: CheckerKind::Tcp(Connection::default()) })
}

fn target(last: u8) -> Target {
    Target { address: [192, 0, 2, last].into(), port: core::num::NonZeroU16::new(80) }
}

fn check(key: u32, last: u8, checker: &Arc<Checker>) -> TargetedCheck<u32> {
    TargetedCheck { key, target: target(last), checker: Arc::clone(checker) }
}

/// Checks and the time.
struct Bench {
    checks: Checks<u32>,
    now: Instant,
    /// Of the tries that are open.
    open: BTreeMap<Attempt, Open>,
    outcomes: Vec<(u32, OutcomeKind, bool)>,
    /// When each try began.
    began: Vec<Instant>,
}

impl Bench {
    fn new(checks: Vec<TargetedCheck<u32>>) -> Self {
        let mut bench = Self {
            checks: Checks::new(7),
            now: Instant::from_micros(5_000_000),
            open: BTreeMap::new(),
            outcomes: Vec::new(),
            began: Vec::new(),
        };
        bench.act(|engine, now, actions| engine.configure(now, checks, actions));
        bench
    }

    fn act(&mut self, act: impl FnOnce(&mut Checks<u32>, Instant, &mut CheckActions<u32>)) {
        let mut actions = CheckActions::default();
        act(&mut self.checks, self.now, &mut actions);
        for (attempt, action) in actions.io {
            match action {
                Action::Open(open) => {
                    assert!(self.open.insert(attempt, open).is_none(), "never used twice");
                    self.began.push(self.now);
                }
                Action::Send(_) => assert!(self.open.contains_key(&attempt)),
                Action::Close => assert!(self.open.remove(&attempt).is_some(), "closed once"),
            }
        }
        let outcomes = actions.outcomes.into_iter();
        self.outcomes.extend(outcomes.map(|outcome| (outcome.key, outcome.kind, outcome.up)));
    }

    /// Goes on to the next deadline.
    fn step(&mut self) -> Instant {
        self.now = self.checks.poll_timeout().unwrap().max(self.now);
        self.act(|engine, now, actions| engine.handle_timeout(now, actions));
        self.now
    }

    /// Goes on until a try is open.
    fn attempt(&mut self) -> Attempt {
        while self.open.is_empty() {
            self.step();
        }
        *self.open.keys().next().unwrap()
    }

    fn event(&mut self, attempt: Attempt, event: &Event<'_>) {
        self.act(|engine, now, actions| engine.handle(now, attempt, event, actions));
    }

    fn connected(&mut self) {
        let attempt = self.attempt();
        self.event(attempt, &Event::Connected { certificate_expires: None });
    }

    fn refused(&mut self) {
        let attempt = self.attempt();
        self.event(attempt, &Event::Failed("connection refused".into()));
    }

    fn told(&mut self) -> Vec<(u32, OutcomeKind, bool)> {
        core::mem::take(&mut self.outcomes)
    }
}

fn forgiven(failures: u32) -> OutcomeKind {
    OutcomeKind::Forgiven { failures, retry: 2 }
}

#[test]
fn a_server_goes_down_after_its_retries_and_up_at_once() {
    let mut bench = Bench::new(vec![check(1, 1, &tcp(timing()))]);
    bench.connected();
    let first = bench.began[0];
    assert_eq!(bench.told(), [(1, OutcomeKind::First, true)]);
    bench.connected();
    assert_eq!(bench.told(), []);
    assert_eq!(bench.began[1], first + 10 * SECOND);
    for _ in 0..3 {
        bench.refused();
    }
    assert_eq!(
        bench.told(),
        [(1, forgiven(1), true), (1, forgiven(2), true), (1, OutcomeKind::Changed, false)]
    );
    assert_eq!(bench.began[2..], [first + 20 * SECOND, first + 21 * SECOND, first + 22 * SECOND]);
    bench.refused();
    assert_eq!(bench.told(), []);
    bench.connected();
    assert_eq!(bench.told(), [(1, OutcomeKind::Changed, true)]);
    assert_eq!(bench.began[5..], [first + 32 * SECOND, first + 42 * SECOND]);
    let status = bench.checks.statuses().next().unwrap();
    assert_eq!((status.up, status.last.unwrap().reason.as_ref()), (Some(true), "connected"));
}

#[test]
fn the_first_result_counts_at_once() {
    let mut bench = Bench::new(vec![check(1, 1, &tcp(timing()))]);
    bench.refused();
    assert_eq!(bench.told(), [(1, OutcomeKind::First, false)]);
}

#[test]
fn a_try_has_an_end_and_what_comes_later_is_ignored() {
    let mut bench = Bench::new(vec![check(1, 1, &tcp(timing()))]);
    let attempt = bench.attempt();
    let began = bench.now;
    bench.step();
    assert_eq!(bench.now, began + Connection::DEFAULT_TIMEOUT);
    assert_eq!(bench.told(), [(1, OutcomeKind::First, false)]);
    assert!(bench.open.is_empty());
    bench.event(attempt, &Event::Connected { certificate_expires: None });
    assert_eq!(bench.told(), []);
}

#[test]
fn after_a_stall_there_is_time_to_read_what_came() {
    let mut bench = Bench::new(vec![check(1, 1, &tcp(timing()))]);
    let attempt = bench.attempt();
    bench.now += 60 * SECOND;
    bench.act(|engine, now, actions| engine.handle_timeout(now, actions));
    assert_eq!(bench.told(), []);
    bench.event(attempt, &Event::Connected { certificate_expires: None });
    assert_eq!(bench.told(), [(1, OutcomeKind::First, true)]);
    // Once only, and the next one keeps its place.
    let attempt = bench.attempt();
    assert_eq!((crate::time::micros(bench.began[1].saturating_since(bench.began[0]))) % 10_000_000, 0);
    bench.now += 60 * SECOND;
    bench.act(|engine, now, actions| engine.handle_timeout(now, actions));
    assert!(bench.open.contains_key(&attempt));
    bench.step();
    assert!(bench.open.is_empty());
}

#[test]
fn starts_are_spread_evenly() {
    let checker = tcp(timing());
    let checks = (0..200).map(|key| check(key, u8::try_from(key).unwrap(), &checker)).collect();
    let mut bench = Bench::new(checks);
    let from = bench.now;
    while bench.began.len() < 200 {
        bench.step();
    }
    let mut parts = [0; 10];
    for began in &bench.began {
        parts[usize::try_from(crate::time::micros(began.saturating_since(from)) / 1_000_000)
            .unwrap()
            .min(9)] += 1;
    }
    assert!(parts.iter().all(|part| (18..=22).contains(part)), "{parts:?}");
}

#[test]
fn equal_checks_are_one_probe_with_many_readers() {
    let checker = tcp(timing());
    let mut bench =
        Bench::new(vec![check(1, 1, &checker), check(2, 1, &tcp(timing())), check(3, 2, &checker)]);
    assert_eq!(bench.checks.probes(), 2);
    for _ in 0..2 {
        bench.connected();
    }
    let mut told = bench.told();
    told.sort_by_key(|(key, ..)| *key);
    assert_eq!(told, [1, 2, 3].map(|key| (key, OutcomeKind::First, true)));
}

#[test]
fn a_reload_disturbs_nothing_that_stays() {
    let checker = tcp(timing());
    let list = || vec![check(1, 1, &checker), check(2, 2, &checker)];
    let mut bench = Bench::new(list());
    bench.refused();
    bench.refused();
    bench.told();
    let attempt = bench.attempt();
    let next = bench.checks.poll_timeout();
    bench.act(|engine, now, actions| {
        engine.configure(now, list(), actions);
        assert_eq!(*actions, CheckActions::default(), "an equal configuration is no change");
    });
    assert_eq!(bench.checks.poll_timeout(), next);
    // Other times: the result stays, the try is begun anew.
    let faster = tcp(Timing { delay_loop: SECOND, warmup: SECOND, ..timing() });
    let changed = vec![check(1, 1, &faster), check(2, 2, &faster), check(3, 1, &faster)];
    bench.act(|engine, now, actions| engine.configure(now, changed, actions));
    assert!(!bench.open.contains_key(&attempt));
    assert_eq!(bench.told(), [(3, OutcomeKind::First, false)], "a failed check stays failed");
    assert_eq!(bench.checks.probes(), 2);
    bench.connected();
    bench.connected();
    assert!(bench.told().iter().all(|(_, kind, up)| *kind == OutcomeKind::Changed && *up));
    let attempt = bench.attempt();
    bench.act(|engine, now, actions| engine.configure(now, Vec::new(), actions));
    assert!(!bench.open.contains_key(&attempt) && bench.checks.poll_timeout().is_none());
    assert_eq!((bench.told(), bench.checks.probes()), (Vec::new(), 0));
}

#[test]
fn a_check_rests_when_all_that_depend_on_it_do() {
    let checker = tcp(timing());
    let mut bench = Bench::new(vec![check(1, 1, &checker), check(2, 1, &checker)]);
    bench.connected();
    bench.told();
    bench.act(|engine, now, actions| engine.suspend(now, &1, true, actions));
    for _ in 0..3 {
        bench.refused();
    }
    assert!(bench.told().iter().all(|(key, ..)| *key == 2));
    bench.attempt();
    bench.act(|engine, now, actions| engine.suspend(now, &2, true, actions));
    assert!(bench.open.is_empty() && bench.checks.poll_timeout().is_none());
    assert_eq!(bench.checks.statuses().filter(|status| status.suspended).count(), 2);
    bench.act(|engine, now, actions| engine.suspend(now, &1, false, actions));
    assert_eq!(bench.told(), [(1, OutcomeKind::Changed, false)], "what it missed");
    bench.connected();
    assert_eq!(bench.told(), [(1, OutcomeKind::Changed, true)]);
}

#[test]
fn all_hosts_of_an_smtp_check_must_answer() {
    let host = |last: u8| Connection { address: Some([192, 0, 2, last].into()), ..Connection::default() };
    let kind = CheckerKind::Smtp(Box::new(SmtpCheck { hosts: vec![host(8), host(9)], helo_name: None }));
    let mut bench = Bench::new(vec![check(1, 1, &Arc::new(Checker { timing: timing(), kind }))]);
    for last in [8, 9] {
        assert_eq!(bench.told(), []);
        let attempt = bench.attempt();
        let Open::Stream { to, .. } = &bench.open[&attempt] else { panic!("{:?}", bench.open) };
        assert_eq!(to.to_string(), format!("192.0.2.{last}:80"));
        bench.event(attempt, &Event::Connected { certificate_expires: None });
        bench.event(attempt, &Event::Received(b"220 a\r\n"));
        bench.event(attempt, &Event::Received(b"250 a\r\n"));
    }
    assert_eq!(bench.told(), [(1, OutcomeKind::First, true)]);
}

/// Two pages, and how long it is from the end of the first to the start of the second.
#[test]
fn pages_come_one_after_the_other() {
    let checker = |fast_recovery| {
        let http = HttpCheck {
            connection: Connection::default(),
            tls: None,
            version: HttpVersion::V1_0,
            fast_recovery,
            urls: vec![UrlCheck::new("/a"), UrlCheck::new("/b")],
        };
        Arc::new(Checker { timing: timing(), kind: CheckerKind::Http(Box::new(http)) })
    };
    for (fast, pause) in [(false, 10 * SECOND), (true, Duration::ZERO)] {
        let mut bench = Bench::new(vec![check(1, 1, &checker(fast))]);
        let mut page = |answer: &str| {
            let attempt = bench.attempt();
            bench.event(attempt, &Event::Connected { certificate_expires: None });
            bench.event(attempt, &Event::Received(answer.as_bytes()));
            bench.told()
        };
        let (good, bad) = ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.0 500 No\r\n\r\n");
        assert_eq!(page(good), []);
        assert_eq!(page(good), [(1, OutcomeKind::First, true)]);
        assert_eq!(page(good), []);
        assert_eq!(page(bad), [(1, forgiven(1), true)]);
        assert_eq!(page(bad), [(1, forgiven(2), true)], "the same page again");
        assert_eq!(page(bad), [(1, OutcomeKind::Changed, false)]);
        assert_eq!(page(good), []);
        assert_eq!(page(good), [(1, OutcomeKind::Changed, true)], "all pages");
        let between = |at: usize| bench.began[at + 1].saturating_since(bench.began[at]);
        // New; alive; coming back.
        assert_eq!([between(0), between(2), between(6)], [pause, 10 * SECOND, pause]);
    }
}

#[test]
fn a_program_gives_weights_and_its_loss_says_nothing() {
    let script = Arc::new(Script::new(c"/bin/check".into()));
    let misc = MiscCheck { script, timeout: SECOND, dynamic: true };
    let checker = Arc::new(Checker { timing: timing(), kind: CheckerKind::Misc(Box::new(misc)) });
    let mut bench = Bench::new(vec![check(1, 1, &checker)]);
    let mut run = |end| {
        let attempt = bench.attempt();
        let mut actions = CheckActions::default();
        bench.checks.handle(bench.now, attempt, &Event::Ended(end), &mut actions);
        bench.open.clear();
        actions.outcomes.into_iter().map(|it| (it.kind, it.up, it.weight)).collect::<Vec<_>>()
    };
    assert_eq!(run(ProgramEnd::Lost), []);
    let set = |weight| Some(WeightAdvice::Set(weight));
    assert_eq!(run(ProgramEnd::Exited(12)), [(OutcomeKind::First, true, set(10))]);
    assert_eq!(run(ProgramEnd::Exited(12)), []);
    assert_eq!(run(ProgramEnd::Exited(0)), [(OutcomeKind::Weight, true, None)]);
    assert_eq!(run(ProgramEnd::Lost), []);
    assert_eq!(run(ProgramEnd::Exited(1)), [(forgiven(1), true, None)]);
}

#[test]
fn files_and_sessions_tell_by_themselves() {
    let file = |weight, reverse| {
        let kind = CheckerKind::File(FileCheck { tracker: "f".into(), weight, reverse });
        Arc::new(Checker { timing: timing(), kind })
    };
    let bfd = Arc::new(Checker { timing: timing(), kind: CheckerKind::Bfd("b".into()) });
    let list = vec![check(1, 1, &file(2, false)), check(2, 1, &file(0, false)), check(3, 1, &bfd)];
    let mut bench = Bench::new(list.clone());
    assert_eq!(bench.checks.poll_timeout(), None);
    let name: Arc<str> = "f".into();
    let mut number = |number| {
        let mut actions = CheckActions::default();
        bench.checks.file(bench.now, &name, number, &mut actions);
        actions.outcomes.into_iter().map(|it| (it.key, it.up, it.weight)).collect::<Vec<_>>()
    };
    let add = |weight| Some(WeightAdvice::Add(weight));
    assert_eq!(number(Some(5)), [(1, true, add(10)), (2, false, None)]);
    assert_eq!(number(Some(0)), [(1, true, add(0)), (2, true, None)]);
    assert_eq!(number(Some(i64::MIN)), [(1, false, add(0)), (2, false, None)]);
    assert_eq!(number(None), [(1, true, add(0))]);
    bench.act(|engine, now, actions| engine.session(now, &"b".into(), true, actions));
    assert_eq!(bench.told(), [(3, OutcomeKind::First, true)]);
    // One that is new by a reload knows what the others know.
    let more = [list, vec![check(4, 1, &file(3, true))]].concat();
    bench.act(|engine, now, actions| engine.configure(now, more, actions));
    assert_eq!(bench.told(), [(4, OutcomeKind::First, true)]);
}

#[test]
fn a_check_without_a_port_fails_and_costs_nothing() {
    let checker = tcp(Timing { retry: u32::MAX, delay_before_retry: Duration::ZERO, ..timing() });
    let mut bench =
        Bench::new(vec![TargetedCheck { key: 1, target: Target { port: None, ..target(1) }, checker }]);
    bench.step();
    assert_eq!(bench.told(), [(1, OutcomeKind::First, false)]);
    assert_eq!(bench.step(), bench.now);
    assert!(bench.began.is_empty());
}
