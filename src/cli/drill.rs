//! `alived drill`: its options, and where its report goes.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use lexopt::prelude::{Long, Short, Value, ValueExt};

use crate::drill::report::{self, Style};
use crate::drill::{self, Kind, Plan, Program, Scenario, interruption};
use crate::net::Family;
use crate::sys::namespace::{Privilege, acquire_privilege};
use crate::sys::{realtime, signals};
use crate::wire::vrrp::{AdvertisementInterval, Version};

/// A verdict failed.
const EXIT_FAILED: u8 = 1;
/// The command line is wrong.
const EXIT_USAGE: u8 = 2;
/// The drill could not be carried out.
const EXIT_BROKEN: u8 = 3;
/// This machine forbids network namespaces.
const EXIT_FORBIDDEN: u8 = 4;

const HELP: &str = "\
alived drill: rehearse failures on a network in memory, with real daemons, and measure what hosts notice

Routers, a host in front of them and a server behind them are built in network namespaces of their own; the
machine's network is not touched. Works as root, and without where user namespaces are allowed.

  --scenario NAME   kill, crash, stop, link, stall, switch; may be repeated; default: all
  --version N       VRRP version, 2 or 3; default 3
  --family FAMILY   ipv4 or ipv6; default ipv4
  --interval SECS   interval of advertisements; default 0.1, and 1 for version 2
  --routers N       2 to 9; default 2
  --addresses N     virtual addresses to hand over, 1 to 10000; default 1
  --peer keepalived run keepalived on one router (PATH is searched)
  --peer-role ROLE  which one: master or backup (the successor); default backup
  --daemon NAME     alived or keepalived: what the other routers run; default alived
  --json            a list of objects instead of the timeline
  -h, --help        this text

  kill    the machine dies: processes killed, cable cut, at one instant
  crash   the daemon is killed, its machine lives on with the addresses
  stop    an orderly stop
  link    the cable is pulled
  stall   the daemon freezes until after its successor's election, then goes on
  switch  the operator hands over (the signal of --signum=SWITCHOVER)

Measured: the protocol's bound and the successor's first announcement, both from the old master's last
advertisement; the longest run of lost probes, one sent each millisecond; the time with two masters.

Exit status: 0 all well, 1 a verdict failed, 2 wrong command line, 3 the drill broke down, 4 namespaces are
forbidden here.
";

struct Request {
    plan: Plan,
    json: bool,
}

/// Runs the drill. The process must have one thread only.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let request = match parse(arguments) {
        Ok(Some(request)) => request,
        Ok(None) => {
            print(HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            say(&format!("alived drill: {error}\nTry `alived drill --help`.\n"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match acquire_privilege() {
        Ok(Privilege::Held | Privilege::OwnUserNamespace) => {}
        Err(forbidden) => {
            say(&format!("alived drill: this machine forbids network namespaces: {}\n", forbidden.error));
            match forbidden.settings.as_slice() {
                [] => say("Run it as root, or with CAP_SYS_ADMIN and CAP_NET_ADMIN.\n"),
                settings => say(&format!(
                    "Run it as root, or allow user namespaces: sysctl -w {}\n",
                    settings.join(" ")
                )),
            }
            return ExitCode::from(EXIT_FORBIDDEN);
        }
    }
    if let Err(error) = interruption::watch() {
        say(&format!("alived drill: cannot wait for signals: {error}\n"));
        return ExitCode::from(EXIT_BROKEN);
    }
    // Asked on a thread of its own, so that this one stays as it is.
    let realtime = std::thread::spawn(|| realtime::schedule_fifo(1));
    if let Ok(Err(error)) = realtime.join() {
        say(&format!(
            "alived drill: the daemons run without real-time scheduling ({error}): on a busy machine the times \
             are longer than in service\n"
        ));
    }
    run(&request)
}

fn run(request: &Request) -> ExitCode {
    let Request { plan, json } = request;
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let style = if colours { Style::Terminal } else { Style::Plain };
    if !json {
        print(&report::heading(plan));
    }
    let mut outcomes = Vec::new();
    for &scenario in &plan.scenarios {
        match drill::run(plan, scenario) {
            Ok(outcome) => {
                if !json {
                    print(&report::text(&outcome, style));
                }
                outcomes.push(outcome);
            }
            Err(error) => {
                if let Some(signal) = interruption::caught() {
                    // All that the drill made is gone already.
                    signals::end_by(signal);
                }
                say(&format!("alived drill: {}: {error}\n", scenario.name()));
                return ExitCode::from(EXIT_BROKEN);
            }
        }
    }
    if *json {
        print(&report::json(plan, &outcomes));
    }
    if outcomes.iter().all(drill::Outcome::ok) { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) }
}

/// `None` when help is asked for.
fn parse(arguments: &[OsString]) -> Result<Option<Request>, lexopt::Error> {
    let mut version = Version::V3;
    let mut family = Family::Ipv4;
    let mut interval = None;
    let mut routers = 2usize;
    let mut addresses = 1u16;
    let mut scenarios = Vec::new();
    let (mut peer, mut peer_role, mut others) = (None, 1usize, Kind::Alived);
    let mut json = false;
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("scenario") => scenarios.push(parser.value()?.parse_with(|name| {
                Scenario::from_name(name).ok_or("expected kill, crash, stop, link, stall or switch")
            })?),
            Long("version") => {
                version = parser.value()?.parse_with(|number| match number {
                    "2" => Ok(Version::V2),
                    "3" => Ok(Version::V3),
                    _ => Err("expected 2 or 3"),
                })?;
            }
            Long("family") => {
                family = parser.value()?.parse_with(|name| match name {
                    "ipv4" | "4" => Ok(Family::Ipv4),
                    "ipv6" | "6" => Ok(Family::Ipv6),
                    _ => Err("expected ipv4 or ipv6"),
                })?;
            }
            Long("interval") => interval = Some(parser.value()?.parse_with(interval_of)?),
            Long("routers") => {
                routers = parser.value()?.parse_with(|number| {
                    number.parse().ok().filter(|n| (2..=9).contains(n)).ok_or("expected 2 to 9")
                })?;
            }
            Long("addresses") => {
                addresses = parser.value()?.parse_with(|number| {
                    number.parse().ok().filter(|n| (1..=10_000).contains(n)).ok_or("expected 1 to 10000")
                })?;
            }
            Long("peer") => {
                parser.value()?.parse_with(|name| {
                    if name == "keepalived" { Ok(()) } else { Err("expected keepalived") }
                })?;
                peer = Some(keepalived()?);
            }
            Long("peer-role") => {
                peer_role = parser.value()?.parse_with(|role| match role {
                    "master" => Ok(0),
                    "backup" => Ok(1),
                    _ => Err("expected master or backup"),
                })?;
            }
            Long("daemon") => {
                others = parser.value()?.parse_with(|name| match name {
                    "alived" => Ok(Kind::Alived),
                    "keepalived" => Ok(Kind::Keepalived),
                    _ => Err("expected alived or keepalived"),
                })?;
            }
            Long("json") => json = true,
            Short('h') | Long("help") => return Ok(None),
            Value(_) | Short(_) | Long(_) => return Err(argument.unexpected()),
        }
    }
    if version == Version::V2 && family == Family::Ipv6 {
        return Err("version 2 is for IPv4 only; use --version 3 with --family ipv6".into());
    }
    let interval = match (interval, version) {
        (Some(interval), _) => interval,
        (None, Version::V2) => AdvertisementInterval::ONE_SECOND,
        (None, Version::V3) => interval_of("0.1")?,
    };
    if version == Version::V2 && interval.centiseconds() % 100 != 0 {
        return Err("version 2 has whole seconds only; choose --interval 1 or more".into());
    }
    if scenarios.is_empty() {
        scenarios.extend(Scenario::ALL);
    }
    let other = match others {
        Kind::Alived => {
            Program::new(Kind::Alived, std::env::current_exe().map_err(|error| error.to_string())?)
        }
        Kind::Keepalived => keepalived()?,
    };
    let mut programs = vec![other; routers];
    if let Some(peer) = peer {
        programs[peer_role] = peer;
    }
    Ok(Some(Request { plan: Plan { version, family, interval, addresses, programs, scenarios }, json }))
}

fn keepalived() -> Result<Program, lexopt::Error> {
    Program::keepalived().ok_or_else(|| "keepalived is not installed: not found in PATH or /usr/sbin".into())
}

/// Seconds, with up to two places, exactly.
fn interval_of(text: &str) -> Result<AdvertisementInterval, &'static str> {
    const EXPECTED: &str = "expected seconds from 0.01 to 40.95, in steps of 0.01";
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    if places.len() > 2 || !places.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(EXPECTED);
    }
    let whole: u16 = whole.parse().map_err(|_| EXPECTED)?;
    let places: u16 = format!("{places:0<2}").parse().map_err(|_| EXPECTED)?;
    let centiseconds = whole.checked_mul(100).and_then(|whole| whole.checked_add(places)).ok_or(EXPECTED)?;
    AdvertisementInterval::from_centiseconds(centiseconds).ok_or(EXPECTED)
}

fn print(text: &str) {
    let mut output = std::io::stdout();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &[&str]) -> Result<Plan, String> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        match parse(&arguments) {
            Ok(Some(request)) => Ok(request.plan),
            Ok(None) => Err("help".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_default_is_two_of_ours_and_all_scenarios() {
        let plan = plan(&[]).unwrap();
        assert_eq!(plan.scenarios, Scenario::ALL);
        assert_eq!(plan.interval.centiseconds(), 10);
        assert_eq!(plan.version, Version::V3);
        assert!(plan.programs.iter().all(|program| program.kind == Kind::Alived));
        assert_eq!(plan.programs.len(), 2);
    }

    #[test]
    fn intervals_are_exact() {
        assert_eq!(plan(&["--interval", "0.07"]).unwrap().interval.centiseconds(), 7);
        assert_eq!(plan(&["--interval=1"]).unwrap().interval.centiseconds(), 100);
        for wrong in ["0", "0.001", "41", "-1", "", "x", "1.", "99999", "700"] {
            let result = plan(&["--interval", wrong]);
            assert!(result.is_err() || wrong == "1.", "{wrong}: {result:?}");
        }
    }

    #[test]
    fn version_2_is_ipv4_in_whole_seconds() {
        assert_eq!(plan(&["--version", "2"]).unwrap().interval, AdvertisementInterval::ONE_SECOND);
        assert!(plan(&["--version", "2", "--family", "ipv6"]).unwrap_err().contains("IPv4 only"));
        assert!(plan(&["--version", "2", "--interval", "0.5"]).unwrap_err().contains("whole seconds"));
    }

    #[test]
    fn wrong_options_are_refused() {
        for wrong in [
            &["--routers", "1"][..],
            &["--routers", "10"],
            &["--scenario", "x"],
            &["--peer", "frr"],
            &["x"],
            &["--what"],
        ] {
            assert!(plan(wrong).is_err(), "{wrong:?}");
        }
    }
}
