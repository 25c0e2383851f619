//! `alived drill`: its options, and where its report goes.

mod director;

use std::io::{IsTerminal, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use self::director::Directors;
pub(super) use self::director::{INIT, Init, Server, init, serve};
use crate::config::decimal;
use crate::drill::report::{self, Style};
use crate::drill::{self, Authentication, Kind, Plan, Program, Scenario, interruption};
use crate::net::Family;
use crate::sys::namespace::{Privilege, acquire_privilege};
use crate::sys::{realtime, signals};
use crate::wire::vrrp::{AdvertisementInterval, Version};

/// A verdict failed.
const EXIT_FAILED: u8 = 1;
/// The command line is wrong.
pub(super) const EXIT_USAGE: u8 = 2;
/// The drill could not be carried out.
const EXIT_BROKEN: u8 = 3;
/// This machine forbids network namespaces, or has no IPVS and no second kernel.
const EXIT_FORBIDDEN: u8 = 4;

const AFTER: &str = "\
Scenarios:
  kill    the machine dies: processes killed, cable cut, at one instant
  crash   the daemon is killed, its machine lives on with the addresses
  stop    an orderly stop
  link    the cable is pulled
  stall   the daemon freezes until after its successor's election, then goes on
  switch  the operator hands over (the signal of --signum=SWITCHOVER)
  check   a tracked script of the master's fails, and later succeeds again
  cut     the successor no longer hears the master, which hears it, and later does again

Scenarios of --director, all with a client that asks steadily and keeps six connections:
  die       a real server's process is killed
  hang      it accepts connections and does not answer
  wrong     it answers with status 500
  return    a dead one comes back
  drain     the operator takes it out of service (alived drain)
  director  the first director's machine dies; the second has its connections (lvs_sync_daemon)

Measured: the protocol's bound and the successor's first announcement, both from the old master's last
advertisement; the longest run of lost probes, one sent each millisecond; the time with two masters. With --director:
what the checks' settings promise and when the kernel's table changed, from the cause; failed requests and broken
connections; the table as `ipvsadm -S -n` writes it.

Exit status: 0 all well, 1 a verdict failed, 2 wrong command line, 3 the drill broke down, 4 namespaces are
forbidden here, or --director finds neither IPVS nor user-mode-linux.";

/// Build routers in network namespaces, break them, and measure the failover
///
/// Rehearses failures on a network in memory, with real daemons, and measures what hosts notice. Routers, a host in
/// front of them and a server behind them are built in network namespaces of their own; the machine's network is not
/// touched. Works as root, and without where user namespaces are allowed.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    /// What happens; may be repeated; default: all
    #[arg(long = "scenario", value_name = "NAME", value_parser = scenario())]
    scenarios: Vec<Named>,
    /// VRRP version; default 3, and 2 for --auth pass and ah
    #[arg(long, value_name = "N", value_parser = one_of(VERSIONS))]
    version: Option<Version>,
    /// Family of the addresses
    #[arg(long, value_name = "FAMILY", default_value = "ipv4", value_parser = one_of(FAMILIES))]
    family: Family,
    /// Interval of advertisements, 0.01 to 40.95; default 0.1, and 1 for version 2
    #[arg(long, value_name = "SECS", value_parser = interval_of)]
    interval: Option<AdvertisementInterval>,
    /// Number of routers
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(2..=9))]
    routers: u16,
    /// Virtual addresses to hand over
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    addresses: u16,
    /// Authentication of advertisements; pass and ah are for version 2
    #[arg(long, value_name = "TYPE", default_value = "none", value_parser = one_of(AUTHENTICATIONS))]
    auth: Authentication,
    /// Advertise to the other routers' addresses instead of the multicast group
    #[arg(long)]
    unicast: bool,
    /// Give the virtual addresses the virtual MAC (use_vmac): hosts need not learn another one at a failover
    #[arg(long)]
    vmac: bool,
    /// Run keepalived on one router (PATH is searched)
    #[arg(long, value_name = "NAME", value_parser = one_of(PEERS))]
    peer: Option<Kind>,
    /// Which one: master or backup (the successor)
    #[arg(long, value_name = "ROLE", default_value = "backup", value_parser = one_of(ROLES))]
    peer_role: usize,
    /// What the other routers run
    #[arg(long, value_name = "NAME", default_value = "alived", value_parser = one_of(DAEMONS))]
    daemon: Kind,
    /// Record what reaches each of our routers, to files in FOLDER/SCENARIO/ROUTER for `alived replay`
    #[arg(long, value_name = "FOLDER")]
    record: Option<PathBuf>,
    /// A list of objects instead of the timeline
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    directors: Directors,
}

/// A scenario of the routers' or of the directors' drill.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Named {
    Router(Scenario),
    Director(drill::director::Scenario),
}

impl Named {
    fn all() -> impl Iterator<Item = (&'static str, Self)> {
        let routers = Scenario::ALL.into_iter().map(|scenario| (scenario.name(), Self::Router(scenario)));
        let directors = drill::director::Scenario::ALL.into_iter();
        routers.chain(directors.map(|scenario| (scenario.name(), Self::Director(scenario))))
    }
}

/// Words and what they mean.
type Words<T> = &'static [(&'static str, T)];

const VERSIONS: Words<Version> = &[("2", Version::V2), ("3", Version::V3)];
const FAMILIES: Words<Family> =
    &[("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6), ("4", Family::Ipv4), ("6", Family::Ipv6)];
const AUTHENTICATIONS: Words<Authentication> = &[
    ("none", Authentication::None),
    ("pass", Authentication::Pass),
    ("ah", Authentication::Ah),
    ("hmac", Authentication::Hmac),
];
const PEERS: Words<Kind> = &[("keepalived", Kind::Keepalived)];
const ROLES: Words<usize> = &[("master", 0), ("backup", 1)];
const DAEMONS: Words<Kind> = &[("alived", Kind::Alived), ("keepalived", Kind::Keepalived)];

/// Reads one of these words.
fn one_of<T: Copy + Send + Sync + 'static>(words: Words<T>) -> impl TypedValueParser<Value = T> {
    let meaning = move |word: String| words.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    PossibleValuesParser::new(words.iter().map(|(name, _)| *name))
        .try_map(move |word| meaning(word).ok_or("not one of the words"))
}

fn scenario() -> impl TypedValueParser<Value = Named> {
    let meaning = |word: &str| Named::all().find(|(name, _)| *name == word).map(|(_, scenario)| scenario);
    PossibleValuesParser::new(Named::all().map(|(name, _)| name))
        .try_map(move |name| meaning(&name).ok_or("not one of the scenarios"))
}

/// Runs the drill. The process must have one thread only.
pub(super) fn main(arguments: &Arguments) -> ExitCode {
    let plans = arguments.plan().and_then(|plan| match arguments.directors.director {
        true => arguments
            .directors
            .plan(plan.clone(), &arguments.scenarios)
            .map(|directors| (plan, Some(directors))),
        false => Ok((plan, None)),
    });
    let (plan, directors) = match plans {
        Ok(plans) => plans,
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
    match directors {
        Some(plan) => director::main(&plan, arguments.json),
        None => run(&plan, arguments.record.as_deref(), arguments.json),
    }
}

fn style() -> Style {
    let terminal = std::io::stdout().is_terminal() || director::writes_for_terminal();
    if terminal && std::env::var_os("NO_COLOR").is_none() { Style::Terminal } else { Style::Plain }
}

fn run(plan: &Plan, record: Option<&Path>, json: bool) -> ExitCode {
    let style = style();
    if !json {
        print(&report::heading(plan));
    }
    let outcomes = each(&plan.scenarios, |scenario| {
        let recorded = record.map(|folder| recorded(plan, scenario, folder)).transpose();
        let recorded = recorded.map_err(|error| format!("cannot make a folder for recordings: {error}"))?;
        let outcome = drill::run(recorded.as_ref().unwrap_or(plan), scenario);
        let outcome = outcome.map_err(|error| format!("{}: {error}", scenario.name()))?;
        if !json {
            print(&report::text(&outcome, style));
        }
        Ok(outcome)
    });
    let outcomes = match outcomes {
        Ok(outcomes) => outcomes,
        Err(status) => return status,
    };
    if json {
        print(&report::json(plan, &outcomes));
    }
    if outcomes.iter().all(drill::Outcome::ok) { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) }
}

/// Runs one scenario after the other, until one cannot be run: then the reason is said, and this is the exit status.
fn each<S: Copy, O>(scenarios: &[S], run: impl Fn(S) -> Result<O, String>) -> Result<Vec<O>, ExitCode> {
    let outcomes: Result<_, String> = scenarios.iter().map(|scenario| run(*scenario)).collect();
    outcomes.map_err(|error| {
        if let Some(signal) = interruption::caught() {
            // All that the drill made is gone already.
            signals::end_by(signal);
        }
        say(&format!("alived drill: {error}\n"));
        ExitCode::from(EXIT_BROKEN)
    })
}

/// The plan with daemons that record.
fn recorded(plan: &Plan, scenario: Scenario, folder: &Path) -> std::io::Result<Plan> {
    let mut plan = plan.clone();
    let folder = std::path::absolute(folder)?.join(scenario.name());
    for (number, program) in plan.programs.iter_mut().enumerate().filter(|(_, p)| p.kind == Kind::Alived) {
        let place = folder.join(format!("r{}", number + 1));
        let settings = place.with_extension("toml");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&place)?;
        // The text of a path may hold anything: a literal of JSON is one of TOML too.
        let literal = serde_json::to_string(&place.to_string_lossy()).map_err(std::io::Error::other)?;
        std::fs::write(&settings, format!("[record]\nalways = true\nfolder = {literal}\n"))?;
        program.arguments.extend(["--settings".to_owned(), settings.to_string_lossy().into_owned()]);
    }
    Ok(plan)
}

impl Arguments {
    fn plan(&self) -> Result<Plan, String> {
        let Self { family, addresses, auth: authentication, unicast, daemon, .. } = *self;
        let virtual_mac = self.vmac;
        let has_password = matches!(authentication, Authentication::Pass | Authentication::Ah);
        let version = self.version.unwrap_or(if has_password { Version::V2 } else { Version::V3 });
        if version == Version::V2 && family == Family::Ipv6 {
            let instead = if has_password { "--auth hmac" } else { "--version 3" };
            return Err(format!("version 2 is for IPv4 only; use {instead} with --family ipv6"));
        }
        if has_password && version == Version::V3 {
            return Err(
                "version 3 has no passwords; use --version 2 with --auth pass and --auth ah, or --auth hmac"
                    .to_owned(),
            );
        }
        let interval = match (self.interval, version) {
            (Some(interval), _) => interval,
            (None, Version::V2) => AdvertisementInterval::ONE_SECOND,
            (None, Version::V3) => interval_of("0.1")?,
        };
        if version == Version::V2 && interval.centiseconds() % 100 != 0 {
            return Err("version 2 has whole seconds only; choose --interval 1 or more".to_owned());
        }
        let mut scenarios = Vec::new();
        for named in self.scenarios.iter().filter(|_| !self.directors.director) {
            match named {
                Named::Router(scenario) => scenarios.push(*scenario),
                Named::Director(scenario) => {
                    return Err(format!("{} happens to directors; add --director", scenario.name()));
                }
            }
        }
        if scenarios.is_empty() {
            scenarios = Scenario::ALL.to_vec();
        }
        let mut programs = vec![program(daemon)?; usize::from(self.routers)];
        if let Some(peer) = self.peer {
            programs[self.peer_role] = program(peer)?;
        }
        Ok(Plan {
            version,
            family,
            interval,
            addresses,
            sync_group: false,
            authentication,
            unicast,
            virtual_mac,
            programs,
            service: None,
            scenarios,
        })
    }
}

fn program(kind: Kind) -> Result<Program, String> {
    match kind {
        Kind::Alived => {
            std::env::current_exe().map(|path| Program::new(kind, path)).map_err(|error| error.to_string())
        }
        Kind::Keepalived => Program::keepalived()
            .ok_or_else(|| "keepalived is not installed: not found in PATH or /usr/sbin".to_owned()),
    }
}

/// Seconds, with up to two places, exactly.
fn interval_of(text: &str) -> Result<AdvertisementInterval, &'static str> {
    const EXPECTED: &str = "expected seconds from 0.01 to 40.95, in steps of 0.01";
    let exact = decimal(text, 2).filter(|(_, rounded)| !rounded);
    let centiseconds = exact.and_then(|(centiseconds, _)| u16::try_from(centiseconds).ok());
    centiseconds.and_then(AdvertisementInterval::from_centiseconds).ok_or(EXPECTED)
}

fn print(text: &str) {
    let mut output = std::io::stdout();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    if director::is_inside() {
        // For who reads the file outside.
        let _ = nix::unistd::fsync(&output);
    }
}

fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::commands::tests::read;
    use super::*;

    fn plan(words: &[&str]) -> Result<Plan, String> {
        read::<Arguments>(words)?.plan()
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
        for wrong in ["0", "0.001", "41", "-1", "", "x", "1.", ".", "99999", "700"] {
            let result = plan(&["--interval", wrong]);
            assert!(result.is_err() || wrong == "1.", "{wrong}: {result:?}");
        }
    }

    #[test]
    fn version_2_is_ipv4_in_whole_seconds() {
        assert_eq!(plan(&["--version", "2"]).unwrap().interval, AdvertisementInterval::ONE_SECOND);
        for password in ["pass", "ah"] {
            assert_eq!(plan(&["--auth", password]).unwrap().version, Version::V2);
            assert!(plan(&["--auth", password, "--version", "3"]).unwrap_err().contains("no passwords"));
            assert!(plan(&["--auth", password, "--family", "ipv6"]).unwrap_err().contains("--auth hmac"));
        }
        assert_eq!(plan(&["--auth", "hmac"]).unwrap().version, Version::V3);
        assert!(plan(&["--version", "2", "--family", "ipv6"]).unwrap_err().contains("IPv4 only"));
        assert!(plan(&["--version", "2", "--interval", "0.5"]).unwrap_err().contains("whole seconds"));
    }

    #[test]
    fn by_unicast_each_router_names_the_others() {
        let text = plan(&["--unicast", "--routers", "3"]).unwrap().config(1);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert!(lines.contains(&"unicast_src_ip 198.18.0.3"), "{text}");
        let peers: Vec<_> =
            lines.iter().skip_while(|line| **line != "unicast_peer {").skip(1).take(3).collect();
        assert_eq!(peers, [&"198.18.0.2", &"198.18.0.4", &"}"], "{text}");
        assert!(!plan(&[]).unwrap().config(1).contains("unicast"));
    }

    #[test]
    fn directors_have_scenarios_and_options_of_their_own() {
        let directors = |words: &[&str]| {
            let arguments = read::<Arguments>(words)?;
            let plan = arguments.plan()?;
            arguments.directors.plan(plan, &arguments.scenarios)
        };
        let default = directors(&["--director"]).unwrap();
        assert_eq!(default.scenarios, drill::director::Scenario::ALL);
        assert_eq!(default.rate, 50);
        let words = ["--director", "--scenario", "hang", "--delay-loop", "0.25", "--retry", "0"];
        let chosen = directors(&words).unwrap();
        assert_eq!(chosen.scenarios, [drill::director::Scenario::Hang]);
        let text = chosen.routers.config(1);
        for line in [
            "delay_loop 0.250",
            "connect_timeout 1.000",
            "retry 0",
            "lvs_sync_daemon eth0 VI_1",
            "priority 190",
        ] {
            assert!(text.lines().any(|found| found.trim() == line), "{line}: {text}");
        }
        assert!(
            directors(&["--director", "--scenario", "kill"]).unwrap_err().contains("leave out --director")
        );
        assert!(plan(&["--scenario", "die"]).unwrap_err().contains("add --director"));
        for wrong in [
            &["--director", "--routers", "3"][..],
            &["--director", "--family", "ipv6"],
            &["--rate", "5"],
            &["--director", "--rate", "0"],
            &["--director", "--delay-loop", "0.09"],
            &["--director", "--retry", "11"],
        ] {
            assert!(directors(wrong).is_err(), "{wrong:?}");
        }
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
