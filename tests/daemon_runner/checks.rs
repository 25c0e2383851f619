//! Programs of health checks (`MISC_CHECK`): run by the runner, judged by the engine.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alived::check::{
    CheckActions, Checker, CheckerKind, Checks, MiscCheck, Target, TargetedCheck, Timing, WeightAdvice,
};
use alived::daemon::checks::CheckIo;
use alived::daemon::runner::Runner;
use alived::sys::clock;
use alived::sys::signals::{Signal, SignalQueue};

use crate::Test;
use crate::daemon::{Daemon, ROLE, command};

/// Set for a daemon whose worker checks instead of being steered.
pub(crate) const CHECKS: &str = "ALIVED_TEST_CHECKS";

pub(crate) const TESTS: &[Test] = crate::tests![programs_are_run_and_judged];

/// Each program, whether its status is a weight, and how long it may take.
const PROGRAMS: [(&str, bool, Duration); 6] = [
    ("exit 0", false, Duration::from_secs(50)),
    ("exit 1", false, Duration::from_secs(50)),
    ("exit 7", true, Duration::from_secs(50)),
    ("kill -9 $$", false, Duration::from_secs(50)),
    ("echo $$ > sleeper; sleep 1000", false, Duration::from_millis(300)),
    ("", false, Duration::from_secs(50)),
];

fn check(folder: &Path, key: usize) -> TargetedCheck<usize> {
    let (text, dynamic, timeout) = PROGRAMS[key];
    let shell = format!("cd {} && {text}", folder.display());
    let words = if text.is_empty() { vec!["/nonexistent/program"] } else { vec!["/bin/sh", "-c", &shell] };
    let timing = Timing {
        delay_loop: Duration::from_secs(1000),
        retry: 0,
        delay_before_retry: Duration::from_secs(1),
        warmup: Duration::ZERO,
        alpha: false,
        log_all_failures: None,
    };
    let kind =
        CheckerKind::Misc(Box::new(MiscCheck { script: Arc::new(command(&words).script), timeout, dynamic }));
    let target = Target { address: Ipv4Addr::LOCALHOST.into(), port: None };
    TargetedCheck { key, target, checker: Arc::new(Checker { timing, kind }) }
}

/// The worker: tells each outcome in a line, to whoever asks first.
pub(crate) fn worker(mut runner: Runner) -> u8 {
    let folder = std::env::var_os(ROLE).unwrap();
    let folder = Path::new(&folder);
    let signals = SignalQueue::open().unwrap();
    let listener = UnixListener::bind(folder.join("steer")).unwrap();
    let (mut told, _): (UnixStream, _) = listener.accept().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
    let mut io = runtime.block_on(async { CheckIo::new() }).unwrap();
    let mut checks = Checks::new(7);
    let mut actions = CheckActions::default();
    let all = (0..PROGRAMS.len()).map(|key| check(folder, key));
    checks.configure(clock::now().instant, all, &mut actions);
    while signals.next() != Some(Signal::Stop) {
        runtime.block_on(async {
            tokio::select! {
                () = io.ready() => {}
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        });
        runner.handle();
        while let Some(event) = runner.next_event() {
            assert!(io.finish(&event), "all commands are of checks");
        }
        let now = clock::now().instant;
        while let Some((attempt, event)) = io.next() {
            checks.handle(now, attempt, &event, &mut actions);
            actions.io.drain(..).for_each(|(attempt, action)| io.carry_out(attempt, action, &mut runner));
        }
        checks.handle_timeout(now, &mut actions);
        actions.io.drain(..).for_each(|(attempt, action)| io.carry_out(attempt, action, &mut runner));
        for outcome in actions.outcomes.drain(..) {
            let weight = match outcome.weight {
                Some(WeightAdvice::Set(weight)) => format!(" weight {weight}"),
                _ => String::new(),
            };
            let up = if outcome.up { "up" } else { "down" };
            writeln!(told, "{} {up}: {}{weight}", outcome.key, outcome.reason).unwrap();
        }
    }
    0
}

fn programs_are_run_and_judged() {
    let mut daemon = Daemon::start_with(|command| {
        command.env(CHECKS, "yes");
    });
    let stream: BufReader<UnixStream> = daemon.steering();
    let mut lines: Vec<String> = stream.lines().take(PROGRAMS.len()).map(Result::unwrap).collect();
    lines.sort();
    assert_eq!(
        lines[..5],
        [
            "0 up: exit status 0",
            "1 down: exit status 1",
            "2 up: exit status 7 weight 5",
            "3 down: ended by signal 9",
            "4 down: no result within 300ms",
        ]
    );
    assert!(lines[5].starts_with("5 down: was not started: "), "{}", lines[5]);
    // With its whole process group.
    let sleeper = daemon.read("sleeper");
    daemon
        .wait("the end of what took too long", |_| !Path::new(&format!("/proc/{}", sleeper.trim())).exists());
}
