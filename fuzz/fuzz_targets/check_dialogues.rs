//! Any server behind any check: never a panic, each try is closed once, and what a server says means the same in
//! whatever portions it comes.
//!
//! The first byte chooses the check, the second how what follows is cut; the rest is what the server sends.

#![no_main]

use std::collections::BTreeSet;
use std::sync::Arc;

use alived::check::{
    Action, Attempt, BodyDigest, CheckActions, Checker, CheckerKind, Checks, Connection, DnsCheck, DnsType,
    Event, ExpectedReply, HttpCheck, HttpVersion, MiscCheck, ProgramEnd, RegexMatch, RegexOption,
    RequestSettings, SmtpCheck, Target, TargetedCheck, Timing, UdpCheck, UrlCheck, WildcardByte,
};
use alived::kernel::Script;
use alived::time::{Duration, Instant};
use alived::wire::grpc_health::decode_response;
use libfuzzer_sys::fuzz_target;

const SECOND: Duration = Duration::from_secs(1);

fuzz_target!(|input: &[u8]| {
    let [choice, cut, rest @ ..] = input else { return };
    // What the library of HTTP/2 sees of an end before it is read depends on the portions.
    let is_stream = matches!(choice % 10, 0..=4);
    let _ = decode_response(rest);
    let portion = usize::from(*cut).max(1);
    let results: Vec<_> = [portion, usize::MAX]
        .into_iter()
        .map(|portion| Run::new(*choice, *cut).talk(rest, portion))
        .collect();
    if is_stream {
        assert_eq!(results[0], results[1], "the portions do not matter");
    }
});

fn kind(choice: u8, cut: u8) -> CheckerKind {
    let connection = Connection::default();
    let url = |digest: bool, regex: Option<&str>| UrlCheck {
        digest: digest.then_some(BodyDigest([0; 16])),
        regex: regex.map(|pattern| {
            Box::new(RegexMatch {
                options: vec![RegexOption::Caseless],
                must_not_match: cut % 2 == 0,
                maximum_offset: (cut % 3 == 0).then_some(u64::from(cut)),
                ..RegexMatch::new(pattern)
            })
        }),
        ..UrlCheck::new("/")
    };
    let http = |url| {
        CheckerKind::Http(Box::new(HttpCheck {
            connection: Connection::default(),
            tls: None,
            version: HttpVersion::V1_1,
            fast_recovery: true,
            urls: vec![url],
        }))
    };
    let version2 = |url: UrlCheck, grpc: bool| {
        let request = RequestSettings {
            version2: true,
            grpc_service: grpc.then(|| "a.B".into()),
            ..RequestSettings::default()
        };
        http(UrlCheck { request: Some(Arc::new(request)), ..url })
    };
    match choice % 10 {
        0 => http(url(false, None)),
        1 => http(url(true, None)),
        2 => http(url(false, Some("^(up|o+k)$"))),
        3 => http(url(true, Some(r"(?<!no )ready"))),
        4 => CheckerKind::Smtp(Box::new(SmtpCheck { hosts: vec![connection], helo_name: None })),
        5 => CheckerKind::Dns(Box::new(DnsCheck {
            connection,
            query_type: DnsType::A,
            labels: vec!["a".into()],
        })),
        6 => CheckerKind::Udp(Box::new(UdpCheck {
            connection,
            payload: None,
            reply: Some(ExpectedReply {
                minimum_length: 1,
                maximum_length: 100,
                pattern: vec![WildcardByte { value: 0x30, mask: 0xf0 }],
            }),
        })),
        7 => version2(url(true, Some("^(up|o+k)$")), false),
        8 => version2(url(false, None), true),
        _ => CheckerKind::Ping(connection),
    }
}

struct Run {
    checks: Checks<u8>,
    now: Instant,
    open: BTreeSet<Attempt>,
    used: BTreeSet<Attempt>,
    /// What became of it: up, and why.
    results: Vec<(bool, String)>,
}

impl Run {
    fn new(choice: u8, cut: u8) -> Self {
        let timing = Timing {
            delay_loop: 10 * SECOND,
            retry: 1,
            delay_before_retry: SECOND,
            warmup: SECOND,
            alpha: false,
            log_all_failures: None,
        };
        let mut run = Self {
            checks: Checks::new(1),
            now: Instant::ZERO,
            open: BTreeSet::new(),
            used: BTreeSet::new(),
            results: Vec::new(),
        };
        let target = Target { address: [192, 0, 2, 1].into(), port: core::num::NonZeroU16::new(80) };
        let misc = MiscCheck { script: Arc::new(Script::new(c"/x".into())), timeout: SECOND, dynamic: true };
        let kinds = [kind(choice, cut), CheckerKind::Misc(Box::new(misc))];
        let checks = (0..).zip(kinds).map(|(key, kind)| TargetedCheck {
            key,
            target,
            checker: Arc::new(Checker { timing, kind }),
        });
        run.act(|checks_now, now, actions| checks_now.configure(now, checks, actions));
        run
    }

    fn act(&mut self, act: impl FnOnce(&mut Checks<u8>, Instant, &mut CheckActions<u8>)) {
        let mut actions = CheckActions::default();
        act(&mut self.checks, self.now, &mut actions);
        for (attempt, action) in actions.io {
            match action {
                Action::Open(_) => assert!(self.used.insert(attempt) && self.open.insert(attempt)),
                Action::Send(_) => assert!(self.open.contains(&attempt)),
                Action::Close => assert!(self.open.remove(&attempt)),
            }
        }
        for outcome in actions.outcomes.into_iter().filter(|outcome| outcome.key == 0) {
            self.results.push((outcome.up, outcome.reason.into_owned()));
        }
    }

    /// Says all of it to each try, twice, in portions of this many bytes.
    fn talk(mut self, said: &[u8], portion: usize) -> Vec<(bool, String)> {
        for _ in 0..4 {
            let at = self.checks.poll_timeout().expect("there is always a next try");
            assert!(at >= self.now);
            self.now = at;
            self.act(|checks, now, actions| checks.handle_timeout(now, actions));
            for attempt in self.open.clone() {
                self.event(attempt, Event::Connected { certificate_expires: None });
                for piece in said.chunks(portion) {
                    self.event(attempt, Event::Received(piece));
                }
                let status = said.first().copied().unwrap_or(0);
                self.event(attempt, Event::Ended(ProgramEnd::Exited(status)));
                self.event(attempt, Event::Closed);
            }
        }
        self.act(|checks, now, actions| checks.configure(now, [], actions));
        assert!(self.open.is_empty() && self.checks.poll_timeout().is_none());
        self.results
    }

    fn event(&mut self, attempt: Attempt, event: Event<'_>) {
        self.act(|checks, now, actions| checks.handle(now, attempt, &event, actions));
    }
}
