//! `alived drill --director`: its options, and the kernel that it runs in.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Args;

use super::{EXIT_BROKEN, EXIT_FAILED, EXIT_FORBIDDEN, Named, each, print, say, style};
use crate::config::decimal;
use crate::drill::director::{self, DirectorPlan, Outcome, REAL_SERVERS, Scenario, Service, report};
use crate::drill::second_kernel::{SecondKernel, inside};
use crate::drill::{Plan, interruption};
use crate::sys::netlink::ipvs::IpvsSocket;
use crate::sys::signals;

/// In the second kernel: the words of this command line, with commas between them. None has one.
const WORDS: &str = "ALIVED_DRILL_WORDS";

/// Set where the drill itself runs in the second kernel.
const INSIDE: &str = "ALIVED_DRILL_INSIDE";

/// The hidden subcommand that is the second kernel's first process. A word for the kernel: without a dot.
pub(in crate::cli) const INIT: &str = "drill-kernel";

/// Longer than any scenario takes; ends a second kernel that hangs.
const SCENARIO_LIMIT: Duration = Duration::from_secs(600);

/// Between two looks at what the second kernel's drill has written.
const LOOK: Duration = Duration::from_millis(50);

/// What `--director` takes.
#[derive(Debug, Args)]
pub(super) struct Directors {
    /// Drill directors of a virtual server with three real servers; needs IPVS, or the package user-mode-linux for a kernel
    /// of its own that has it
    #[arg(long, conflicts_with_all = ["version", "family", "routers", "addresses", "auth", "unicast", "vmac", "record"])]
    pub(super) director: bool,
    /// With --director: from one check to the next, 0.1 to 60
    #[arg(long, value_name = "SECS", default_value = "1", value_parser = at_least_100_ms, requires = "director")]
    delay_loop: Duration,
    /// With --director: how long a check waits for an answer, 0.1 to 60
    #[arg(long, value_name = "SECS", default_value = "1", value_parser = at_least_100_ms, requires = "director")]
    connect_timeout: Duration,
    /// With --director: failures that are forgiven
    #[arg(long, value_name = "N", default_value_t = 1, requires = "director",
        value_parser = clap::value_parser!(u32).range(0..=10))]
    retry: u32,
    /// With --director: from a forgiven failure to the next try, 0 to 60
    #[arg(long, value_name = "SECS", default_value = "0.5", value_parser = seconds, requires = "director")]
    delay_before_retry: Duration,
    /// With --director: requests of the client in a second
    #[arg(long, value_name = "N", default_value_t = 50, requires = "director",
        value_parser = clap::value_parser!(u16).range(1..=1000))]
    rate: u16,
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let exact = decimal(text, 3).filter(|(_, rounded)| !rounded);
    let ms = exact.and_then(|(ms, _)| u64::try_from(ms).ok()).filter(|ms| *ms <= 60_000);
    ms.map(Duration::from_millis).ok_or("expected seconds up to 60, in steps of 0.001")
}

fn at_least_100_ms(text: &str) -> Result<Duration, &'static str> {
    seconds(text)
        .ok()
        .filter(|time| time.as_millis() >= 100)
        .ok_or("expected seconds from 0.1 to 60, in steps of 0.001")
}

impl Directors {
    /// The plan for directors that are these routers.
    pub(super) fn plan(&self, routers: Plan, scenarios: &[Named]) -> Result<DirectorPlan, String> {
        let chosen = scenarios.iter().map(|named| match named {
            Named::Director(scenario) => Ok(*scenario),
            Named::Router(scenario) => {
                Err(format!("{} happens to routers; leave out --director", scenario.name()))
            }
        });
        let mut scenarios = chosen.collect::<Result<Vec<_>, _>>()?;
        if scenarios.is_empty() {
            scenarios = Scenario::ALL.to_vec();
        }
        let service = Service {
            real_servers: REAL_SERVERS,
            delay_loop: self.delay_loop,
            connect_timeout: self.connect_timeout,
            retry: self.retry,
            delay_before_retry: self.delay_before_retry,
        };
        let routers = Plan { service: Some(service), scenarios: Vec::new(), ..routers };
        Ok(DirectorPlan { routers, service, rate: self.rate, scenarios })
    }
}

/// Runs the drill in a kernel that has IPVS: this one, or one of its own.
pub(super) fn main(plan: &DirectorPlan, json: bool) -> ExitCode {
    let Err(lacking) = IpvsSocket::open().and_then(|mut socket| socket.table()) else {
        return run(plan, json);
    };
    if std::env::var_os(INSIDE).is_some() {
        say(&format!("alived drill: the second kernel has no IPVS: {lacking}\n"));
        return ExitCode::from(EXIT_BROKEN);
    }
    match in_second_kernel(plan.scenarios.len()) {
        Ok(status) => status,
        Err(Broken::Lacking(reason)) => {
            say(&format!(
                "alived drill: IPVS cannot be used here ({lacking}), and neither can a kernel that has it: {reason}\n\
                 Load it (modprobe ip_vs), or install User Mode Linux, in which the drill then runs: apt-get install \
                 user-mode-linux kmod\n"
            ));
            ExitCode::from(EXIT_FORBIDDEN)
        }
        Err(Broken::Ended(reason)) => {
            if let Some(signal) = interruption::caught() {
                signals::end_by(signal);
            }
            say(&format!("alived drill: the second kernel: {reason}\n"));
            ExitCode::from(EXIT_BROKEN)
        }
    }
}

fn run(plan: &DirectorPlan, json: bool) -> ExitCode {
    if !json {
        print(&report::heading(plan));
    }
    let outcomes = each(&plan.scenarios, |scenario| {
        let outcome = director::run(plan, scenario);
        let outcome = outcome.map_err(|error| format!("{}: {error}", scenario.name()))?;
        if !json {
            print(&report::text(&outcome, style()));
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
    if outcomes.iter().all(Outcome::ok) { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) }
}

/// Why the second kernel has no result.
enum Broken {
    /// It cannot be had.
    Lacking(String),
    /// It ended early.
    Ended(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Ended(error.to_string())
    }
}

/// Runs this very command line in a kernel of its own, and passes on what it writes.
fn in_second_kernel(scenarios: usize) -> Result<ExitCode, Broken> {
    // The first two are the program and `drill`.
    let words: Vec<String> =
        std::env::args_os().skip(2).map(|word| word.to_string_lossy().into_owned()).collect();
    let mut environment = vec![(WORDS, words.join(","))];
    if matches!(style(), crate::drill::report::Style::Terminal) {
        environment.push((COLOURS, "1".to_owned()));
    }
    let program = std::env::current_exe()?;
    let mut kernel = SecondKernel::boot(&program, &[INIT], &environment).map_err(Broken::Lacking)?;
    let limit = SCENARIO_LIMIT * u32::try_from(scenarios).unwrap_or(u32::MAX);
    let start = Instant::now();
    let (mut output, mut errors) = (Follower::new(kernel.output()), Follower::new(kernel.errors()));
    loop {
        let runs = kernel.runs()?;
        output.pass_on(&mut io::stdout())?;
        errors.pass_on(&mut io::stderr())?;
        if !runs {
            break;
        }
        if start.elapsed() > limit {
            return Err(Broken::Ended(format!("not finished within {} s", limit.as_secs())));
        }
        interruption::pause(LOOK)?;
    }
    match kernel.status() {
        Some(status) => Ok(ExitCode::from(u8::try_from(status).unwrap_or(EXIT_BROKEN))),
        None if !kernel.has_booted() => Err(Broken::Lacking(kernel.last_words())),
        None => Err(Broken::Ended(format!("it ended before the drill:\n{}", kernel.console()))),
    }
}

/// A file that grows.
struct Follower {
    path: PathBuf,
    offset: u64,
}

impl Follower {
    const fn new(path: PathBuf) -> Self {
        Self { path, offset: 0 }
    }

    fn pass_on(&mut self, to: &mut impl Write) -> io::Result<()> {
        // It is there once the drill runs.
        let Ok(mut file) = File::open(&self.path) else { return Ok(()) };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        self.offset += file.read_to_end(&mut bytes)? as u64;
        // A closed pipe is no error of ours.
        let _ = to.write_all(&bytes).and_then(|()| to.flush());
        Ok(())
    }
}

/// Set where the outer drill writes to a terminal.
const COLOURS: &str = "CLICOLOR_FORCE";

/// For the drill itself to write for a terminal that it does not see.
pub(super) fn writes_for_terminal() -> bool {
    is_inside() && std::env::var_os(COLOURS).is_some()
}

/// Whether this is in the second kernel.
pub(super) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// The first process of the drill's second kernel
#[derive(Debug, Args)]
pub(in crate::cli) struct Init {}

/// Runs it. Never returns.
pub(in crate::cli) fn init() -> ExitCode {
    if std::process::id() != 1 {
        say("alived drill-kernel: only for the second kernel of `alived drill --director`\n");
        return ExitCode::from(super::EXIT_USAGE);
    }
    inside::main(|| {
        inside::load(&["ip_vs"])?;
        let mut command = Command::new(std::env::current_exe()?);
        let words = std::env::var(WORDS).map_err(io::Error::other)?;
        command.arg("drill").args(words.split(',')).current_dir("/").env(INSIDE, "1");
        Ok(command)
    })
}

/// A real server of the drill
#[derive(Debug, Args)]
pub(in crate::cli) struct Server {
    /// Where it listens: address and port
    address: std::net::SocketAddr,
    /// What it answers
    name: String,
    /// A file with the status of its answers
    status_file: PathBuf,
}

/// Runs it.
pub(in crate::cli) fn serve(arguments: &Server) -> ExitCode {
    let Server { address, name, status_file } = arguments;
    let status_file: &Path = status_file;
    if let Err(error) = director::serve::serve(*address, name, status_file) {
        say(&format!("alived {}: {address}: {error}\n", director::SERVER_SUBCOMMAND));
    }
    ExitCode::from(EXIT_BROKEN)
}
