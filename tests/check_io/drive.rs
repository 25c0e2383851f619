//! The engine of checks and its input and output, as the daemon has them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use alived::check::{
    CheckActions, Checker, CheckerKind, Checks, Connection, HttpCheck, HttpVersion, LastResult, Outcome,
    Target, TargetedCheck, Timing, UrlCheck,
};
use alived::daemon::checks::CheckIo;
use alived::daemon::runner::{Runner, Supply};
use alived::sys::clock;
use alived::time::Duration;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use tokio::runtime::Runtime;

/// Far beyond what anything here takes, so that a busy machine is no failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Some checks that run.
pub(crate) struct Drive {
    pub(crate) checks: Checks<u32>,
    pub(crate) io: CheckIo,
    pub(crate) outcomes: Vec<Outcome<u32>>,
    runner: Runner,
    /// The supervisor's end, where nobody forks runners.
    _demand: OwnedFd,
    runtime: Runtime,
}

impl Drive {
    pub(crate) fn new(checks: impl IntoIterator<Item = TargetedCheck<u32>>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
        let (demand, supply) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let io = runtime.block_on(async { CheckIo::new() }).unwrap();
        let runner = Runner::new(Supply::from(supply)).unwrap();
        let mut drive =
            Self { checks: Checks::new(7), io, outcomes: Vec::new(), runner, _demand: demand, runtime };
        drive.configure(checks);
        drive
    }

    pub(crate) fn configure(&mut self, checks: impl IntoIterator<Item = TargetedCheck<u32>>) {
        let mut actions = CheckActions::default();
        self.checks.configure(clock::now().instant, checks, &mut actions);
        self.carry_out(&mut actions);
    }

    fn carry_out(&mut self, actions: &mut CheckActions<u32>) {
        for (attempt, action) in actions.io.drain(..) {
            self.io.carry_out(attempt, action, &mut self.runner);
        }
        self.outcomes.append(&mut actions.outcomes);
    }

    /// Lets the checks run until something is the case. Panics when that takes too long.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = clock::now().instant + PATIENCE;
        while !done(self) {
            assert!(clock::now().instant < deadline, "not {what}: {:?}", self.outcomes);
            self.turn();
        }
    }

    /// Lets the checks run for so long.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = clock::now().instant + time;
        self.until("over", |_| clock::now().instant >= end);
    }

    fn turn(&mut self) {
        let now = clock::now().instant;
        let limit = Duration::from_millis(100);
        let pause = self.checks.poll_timeout().map_or(limit, |at| at.saturating_since(now).min(limit));
        self.runtime.block_on(async {
            tokio::select! {
                () = self.io.ready() => {}
                () = tokio::time::sleep(pause) => {}
            }
        });
        let mut actions = CheckActions::default();
        while let Some((attempt, event)) = self.io.next() {
            self.checks.handle(clock::now().instant, attempt, &event, &mut actions);
            self.carry_out(&mut actions);
        }
        self.checks.handle_timeout(clock::now().instant, &mut actions);
        self.carry_out(&mut actions);
    }

    /// The last result of each check once all have one.
    #[track_caller]
    pub(crate) fn results(&mut self) -> BTreeMap<u32, LastResult> {
        self.until("all tried", |drive| drive.checks.statuses().all(|status| status.last.is_some()));
        self.checks.statuses().map(|status| (*status.key, status.last.cloned().unwrap())).collect()
    }
}

/// What one try of one check says: whether it is good, and why.
#[track_caller]
pub(crate) fn once(address: &str, port: u16, kind: CheckerKind) -> (bool, String) {
    let mut drive = Drive::new([check(1, address, port, kind)]);
    let result = drive.results().remove(&1).unwrap();
    (result.good, result.reason.into_owned())
}

/// Why one check cannot be tried, while nothing is told of it.
#[track_caller]
pub(crate) fn obstacle(port: u16, kind: CheckerKind) -> String {
    let mut drive = Drive::new([check(1, "127.0.0.1", port, kind)]);
    let mut why = None;
    drive.until("not tried", |drive| {
        why = drive.checks.statuses().find_map(|status| status.obstacle.map(str::to_owned));
        why.is_some()
    });
    assert!(drive.outcomes.is_empty());
    why.unwrap()
}

/// A check that is tried at once and then each minute.
pub(crate) fn check(key: u32, address: &str, port: u16, kind: CheckerKind) -> TargetedCheck<u32> {
    let address: IpAddr = address.parse().unwrap();
    let checker = Arc::new(Checker { timing: timing(Duration::from_secs(60)), kind });
    TargetedCheck { key, target: Target { address, port: NonZeroU16::new(port) }, checker }
}

pub(crate) fn timing(delay_loop: Duration) -> Timing {
    Timing {
        delay_loop,
        retry: 0,
        delay_before_retry: Duration::from_millis(10),
        warmup: Duration::ZERO,
        alpha: false,
        log_all_failures: None,
    }
}

pub(crate) fn within(timeout: Duration) -> Connection {
    Connection { timeout, ..Connection::default() }
}

pub(crate) fn http(connection: Connection, url: UrlCheck) -> CheckerKind {
    CheckerKind::Http(Box::new(HttpCheck {
        connection,
        tls: None,
        version: HttpVersion::V1_0,
        fast_recovery: false,
        urls: vec![url],
    }))
}
