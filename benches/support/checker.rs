//! A process of its own that checks, with the engine and the input and output of the daemon, for benches:
//! `#[path = "support/checker.rs"] mod checker;`. The lvs worker itself does not run where the kernel has no IPVS.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    dead_code,
    unreachable_pub
)]

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use alived::check::{
    CheckActions, Checker, CheckerKind, Checks, Connection, HttpCheck, HttpVersion, ServerName, Target,
    TargetedCheck, Timing, TlsCheck, UrlCheck,
};
use alived::daemon::checks::CheckIo;
use alived::daemon::runner::{Runner, Supply};
use alived::sys::clock;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

/// What is checked.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// `TCP_CHECK`, `HTTP_GET` or `SSL_GET`.
    pub kind: &'static str,
    /// Of all servers.
    pub port: u16,
    /// How many, each with an address of its own.
    pub servers: u32,
    /// In how many virtual servers each one is.
    pub copies: u32,
    /// `delay_loop`.
    pub period: Duration,
}

/// A process that ends with its owner.
pub struct Started(pub Child);

impl Drop for Started {
    fn drop(&mut self) {
        alived::sys::process::signal(self.0.id(), libc::SIGTERM);
        let _ = self.0.wait();
    }
}

/// Starts it quietly.
pub fn start(command: &mut Command) -> Started {
    Started(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap())
}

/// Each server has an address of its own, in the loopback network.
pub fn address(number: u32) -> Ipv4Addr {
    let [second, third, last] = [number / 62_500 + 1, number / 250 % 250, number % 250 + 1];
    Ipv4Addr::new(127, second as u8, third as u8, last as u8)
}

const WORD: &str = "--checker";

impl Load {
    /// Starts this program once more, to check all that.
    pub fn start(&self) -> Started {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let numbers = [u32::from(self.port), self.servers, self.copies, self.period.as_millis() as u32];
        command.args([WORD, self.kind]).args(numbers.map(|number| number.to_string()));
        start(&mut command)
    }

    fn checker(&self) -> CheckerKind {
        let tls = (self.kind == "SSL_GET").then_some(TlsCheck { server_name: ServerName::None });
        if self.kind == "TCP_CHECK" {
            return CheckerKind::Tcp(Connection::default());
        }
        CheckerKind::Http(Box::new(HttpCheck {
            connection: Connection::default(),
            tls,
            version: HttpVersion::V1_0,
            fast_recovery: false,
            urls: vec![UrlCheck::new("/")],
        }))
    }
}

/// Checks until it is ended, if this process was started for that.
pub fn check_if_asked() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [word, kind, numbers @ ..] = &*words else { return };
    let numbers: Vec<u32> = numbers.iter().filter_map(|number| number.parse().ok()).collect();
    let (WORD, [port, servers, copies, period]) = (&**word, &*numbers) else { return };
    alived::sys::process::raise_descriptor_limit();
    check(&Load {
        kind: ["TCP_CHECK", "HTTP_GET", "SSL_GET"].into_iter().find(|known| known == kind).unwrap(),
        port: *port as u16,
        servers: *servers,
        copies: *copies,
        period: Duration::from_millis((*period).into()),
    })
}

fn check(load: &Load) -> ! {
    let timing = Timing {
        delay_loop: load.period,
        retry: 1,
        delay_before_retry: Duration::from_secs(1),
        warmup: load.period,
        alpha: false,
        log_all_failures: None,
    };
    let checker = Arc::new(Checker { timing, kind: load.checker() });
    let port = NonZeroU16::new(load.port);
    let targeted = (0..load.servers * load.copies).map(|key| TargetedCheck {
        key,
        target: Target { address: IpAddr::V4(address(key % load.servers)), port },
        checker: Arc::clone(&checker),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
    let (_demand, supply) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    let mut runner = Runner::new(Supply::from(supply)).unwrap();
    let mut io = runtime.block_on(async { CheckIo::new() }).unwrap();
    let mut checks = Checks::new(7);
    let mut actions = CheckActions::default();
    checks.configure(clock::now().instant, targeted, &mut actions);
    runtime.block_on(async {
        loop {
            let now = clock::now().instant;
            let pause = checks.poll_timeout().map_or(load.period, |at| at.saturating_since(now));
            tokio::select! {
                () = io.ready() => {}
                () = tokio::time::sleep(pause) => {}
            }
            let now = clock::now().instant;
            while let Some((attempt, event)) = io.next() {
                checks.handle(now, attempt, &event, &mut actions);
                for (attempt, action) in actions.io.drain(..) {
                    io.carry_out(attempt, action, &mut runner);
                }
            }
            checks.handle_timeout(now, &mut actions);
            for (attempt, action) in actions.io.drain(..) {
                io.carry_out(attempt, action, &mut runner);
            }
            for outcome in actions.outcomes.drain(..).filter(|outcome| !outcome.up) {
                eprintln!("{} of server {} is down: {}", load.kind, outcome.key, outcome.reason);
            }
            actions.tries.clear();
        }
    })
}
