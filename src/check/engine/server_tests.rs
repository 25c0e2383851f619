//! Servers that die, hang, lie and drip, at random seeds.

use super::*;
use crate::check::action::{Action, Open};
use crate::check::{BodyDigest, Connection, HttpCheck, HttpVersion, RegexMatch, SmtpCheck, Timing, UrlCheck};

const SECOND: Duration = Duration::from_secs(1);

fn timing(random: &mut Prng) -> Timing {
    Timing {
        delay_loop: Duration::from_millis(random.between(500, 10_000)),
        retry: random.below(4) as u32,
        delay_before_retry: Duration::from_millis(random.between(1, 3000)),
        warmup: Duration::from_millis(random.between(0, 5000)),
        alpha: false,
        log_all_failures: None,
    }
}

fn page(digest: bool, pattern: Option<&str>) -> CheckerKind {
    let url = UrlCheck {
        digest: digest.then_some(BodyDigest([7; 16])),
        regex: pattern.map(RegexMatch::new).map(Box::new),
        ..UrlCheck::new("/")
    };
    CheckerKind::Http(Box::new(HttpCheck {
        connection: Connection::default(),
        tls: None,
        version: HttpVersion::V1_1,
        fast_recovery: false,
        urls: vec![url],
    }))
}

fn target(last: u8) -> Target {
    Target { address: [192, 0, 2, last].into(), port: core::num::NonZeroU16::new(80) }
}

/// What one try of a check comes to, with a server that says this in portions.
fn verdict(kind: &CheckerKind, said: &[u8], mut portion: impl FnMut() -> usize) -> (bool, String) {
    let timing = Timing { warmup: Duration::ZERO, ..timing(&mut Prng::new(1)) };
    let checker = Arc::new(Checker { timing, kind: kind.clone() });
    let mut checks = Checks::new(1);
    let mut actions = CheckActions::default();
    checks.configure(Instant::ZERO, [TargetedCheck { key: (), target: target(1), checker }], &mut actions);
    checks.handle_timeout(Instant::ZERO, &mut actions);
    let (attempt, _) = actions.io[0];
    checks.handle(Instant::ZERO, attempt, &Event::Connected { certificate_expires: None }, &mut actions);
    let mut rest = said;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(portion().clamp(1, rest.len()));
        checks.handle(Instant::ZERO, attempt, &Event::Received(now), &mut actions);
        rest = later;
    }
    checks.handle(Instant::ZERO, attempt, &Event::Closed, &mut actions);
    let deadline = checks.poll_timeout().unwrap();
    checks.handle_timeout(deadline, &mut actions);
    let closed = actions.io.iter().filter(|(of, action)| *of == attempt && *action == Action::Close);
    assert_eq!(closed.count(), 1);
    let outcome = &actions.outcomes[0];
    assert!(outcome.reason.len() < 300 && !outcome.reason.contains(char::is_control), "{:?}", outcome.reason);
    (outcome.up, outcome.reason.to_string())
}

/// Answers of servers with bytes changed, cut out and put in: the same in any portions, and never a panic.
#[test]
fn what_a_server_says_means_the_same_in_any_portions() {
    let smtp = CheckerKind::Smtp(Box::new(SmtpCheck { hosts: vec![Connection::default()], helo_name: None }));
    let answers: [&[u8]; 6] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\nServer: x\r\n\r\nall is up and ready\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6;x\r\nall is\r\n00a\r\n up\r\nready\r\n0\r\nA: b\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200\n\nup\n",
        b"HTTP/1.1 503 Service Unavailable\r\n\r\nbusy",
        b"220-mail\r\n220 mail\r\n250-mail\r\n250 HELP\r\n221 bye\r\n",
        b"220 mail\r\n",
    ];
    let kinds =
        [page(false, None), page(true, None), page(false, Some("up$")), page(false, Some("is.*up")), smtp];
    let mut random = Prng::new(11);
    for _ in 0..1500 {
        let mut said = answers[random.below(6) as usize].to_vec();
        for _ in 0..random.below(4) {
            let at = random.below(said.len() as u64) as usize;
            match random.below(4) {
                0 => said[at] = random.below(256) as u8,
                1 => said.truncate(at.max(1)),
                2 => drop(said.drain(at..(at + 3).min(said.len()))),
                _ => said
                    .splice(at..at, b"\r\n-: 0f;".iter().copied().take(random.below(9) as usize))
                    .for_each(drop),
            }
            if said.is_empty() {
                said.push(b'H');
            }
        }
        let kind = &kinds[random.below(5) as usize];
        let whole = verdict(kind, &said, || usize::MAX);
        let parts = verdict(kind, &said, || random.between(1, 9) as usize);
        assert_eq!(parts, whole, "{}", String::from_utf8_lossy(&said));
        assert_eq!(verdict(kind, &said, || 1), whole, "{}", String::from_utf8_lossy(&said));
    }
}

/// How a server is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Good,
    Refuses,
    Hangs,
}

/// One server and what is known of it.
struct Server {
    state: State,
    since: Instant,
    checker: Arc<Checker>,
    told: bool,
}

impl Server {
    /// After so long in its state it has to be known.
    fn bound(&self) -> Duration {
        let Timing { delay_loop, retry, delay_before_retry, warmup, .. } = self.checker.timing;
        let timeout = Connection::DEFAULT_TIMEOUT;
        // A try that hangs from before, then one in the next period.
        let next = warmup.max(timeout + delay_loop);
        match self.state {
            State::Good => next + SECOND,
            State::Refuses | State::Hangs => next + timeout + (timeout + delay_before_retry) * retry,
        }
    }
}

/// Servers that die, hang and come back; the checks are reloaded and the process stands still meanwhile.
fn run(seed: u64) {
    let mut random = Prng::new(seed);
    let mut checks: Checks<u8> = Checks::new(seed);
    let mut servers: BTreeMap<u8, Server> = (1..=12)
        .map(|last| {
            let kind = if random.chance(1, 2) {
                CheckerKind::Tcp(Connection::default())
            } else {
                page(false, Some("up"))
            };
            let checker = Arc::new(Checker { timing: timing(&mut random), kind });
            (last, Server { state: State::Good, since: Instant::ZERO, checker, told: true })
        })
        .collect();
    let list = |servers: &BTreeMap<u8, Server>| -> Vec<TargetedCheck<u8>> {
        let check = |(&key, server): (&u8, &Server)| TargetedCheck {
            key,
            target: target(key),
            checker: Arc::clone(&server.checker),
        };
        servers.iter().map(check).collect()
    };
    let mut now = Instant::ZERO;
    let mut actions = CheckActions::default();
    checks.configure(now, list(&servers), &mut actions);
    let mut next_change = now + SECOND;
    // Answers on their way.
    let mut answers: BTreeMap<(Instant, Attempt), bool> = BTreeMap::new();
    let mut opened = 0;
    while now < Instant::ZERO + Duration::from_secs(600) {
        for (attempt, action) in core::mem::take(&mut actions.io) {
            let Action::Open(Open::Stream { to, .. }) = action else { continue };
            opened += 1;
            let core::net::IpAddr::V4(address) = to.ip() else { panic!("{to}") };
            let latency = Duration::from_millis(random.between(1, 900));
            match servers[&address.octets()[3]].state {
                State::Good => drop(answers.insert((now + latency, attempt), true)),
                State::Refuses => drop(answers.insert((now + Duration::from_millis(1), attempt), false)),
                State::Hangs => {}
            }
        }
        for outcome in actions.outcomes.drain(..) {
            servers.get_mut(&outcome.key).unwrap().told = outcome.up;
        }
        for (key, server) in &servers {
            let (is_good, waited) = (server.state == State::Good, now.saturating_since(server.since));
            assert!(
                server.told == is_good || waited <= server.bound(),
                "seed {seed}: {key} is {:?} since {waited:?}, of at most {:?}",
                server.state,
                server.bound()
            );
        }
        let due = [checks.poll_timeout(), answers.keys().next().map(|(at, _)| *at), Some(next_change)];
        now = due.into_iter().flatten().min().unwrap().max(now);
        while let Some(entry) = answers.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, attempt), good) = entry.remove_entry();
            let answer = b"HTTP/1.0 200 OK\r\n\r\nI am up";
            let events = match good {
                true => vec![Event::Connected { certificate_expires: None }, Event::Received(answer)],
                false => vec![Event::Failed("connection refused".into())],
            };
            for event in events {
                checks.handle(now, attempt, &event, &mut actions);
            }
        }
        if now >= next_change {
            let server = servers.get_mut(&(random.between(1, 12) as u8)).unwrap();
            let state = [State::Good, State::Refuses, State::Hangs][random.below(3) as usize];
            if state != server.state {
                (server.state, server.since) = (state, now);
            }
            if random.chance(1, 5) {
                checks.configure(now, list(&servers), &mut actions);
            }
            next_change = now + Duration::from_millis(random.between(100, 20_000));
        }
        checks.handle_timeout(now, &mut actions);
    }
    assert!(opened > 500, "seed {seed}: {opened} tries");
}

#[test]
fn a_server_is_known_for_what_it_is_within_its_bound() {
    for seed in 0..20 {
        run(seed);
    }
}
