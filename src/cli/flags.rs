//! keepalived's command line: which flags there are, and what they set.
//!
//! Shapes of arguments are those of `getopt_long`: `-f FILE`, `-fFILE`, `--use-file FILE`, `--use-file=FILE`,
//! optional arguments only attached, long names shortened as long as they are unambiguous.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use super::commands;
use crate::config::Realtime;
use crate::daemon::{self, LogFormat, Options};

/// What the command line asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Request {
    /// Run the daemon.
    Run(Box<Options>),
    /// `-t`: judge the configuration, with messages to this file or to standard error.
    ConfigTest(Box<Options>, Option<PathBuf>),
    /// A subcommand of ours and its arguments.
    Subcommand(Vec<OsString>),
    /// `--signum=NAME`.
    SignalNumber(String),
    /// `-v`.
    Version,
    /// `-h`.
    Help,
}

/// Why a command line is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UsageError(pub String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A flag's argument.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Argument {
    None,
    Required(&'static str),
    Optional(&'static str),
}

/// One flag: its names, its argument and what it is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    pub(super) short: Option<char>,
    pub(super) long: &'static str,
    pub(super) argument: Argument,
    pub(super) help: &'static str,
}

impl Flag {
    /// As it is written most shortly.
    fn name(&self) -> String {
        self.short.map_or_else(|| format!("--{}", self.long), |short| format!("-{short}"))
    }
}

const fn flag(short: char, long: &'static str, argument: Argument, help: &'static str) -> Flag {
    Flag { short: Some(short), long, argument, help }
}

const fn long(long: &'static str, argument: Argument, help: &'static str) -> Flag {
    Flag { short: None, long, argument, help }
}

use Argument::{None as No, Optional, Required};

/// All flags, in the order of `--help`.
pub(super) const FLAGS: &[Flag] = &[
    flag(
        'f',
        "use-file",
        Required("FILE"),
        "configuration file or glob, default /etc/keepalived/keepalived.conf",
    ),
    flag(
        't',
        "config-test",
        Optional("LOG"),
        "judge the configuration and exit; messages go to LOG or stderr",
    ),
    flag('n', "dont-fork", No, "stay in the foreground"),
    flag('l', "log-console", No, "log to standard error too"),
    flag('D', "log-detail", No, "details in the log; they are always there"),
    flag(
        'S',
        "log-facility",
        Required("0-7|localN|user|daemon"),
        "facility of the system log, default daemon",
    ),
    flag('G', "no-syslog", No, "do not log to the system log"),
    flag(
        'g',
        "log-file",
        Optional("FILE"),
        "log to FILE, workers with _vrrp or _healthcheckers before its last dot; default keepalived.log in $TMPDIR or \
         /tmp",
    ),
    long("flush-log-file", No, "flush the log file after each line; it always is"),
    long("log-format", Required("text|json"), "of lines on standard error and in files, default text"),
    flag('p', "pid", Required("FILE"), "pid file of the supervisor, default /run/keepalived.pid"),
    flag('r', "vrrp_pid", Required("FILE"), "pid file of the vrrp worker, default /run/vrrp.pid"),
    flag('c', "checkers_pid", Required("FILE"), "pid file of the lvs worker, default /run/checkers.pid"),
    flag('b', "bfd_pid", Required("FILE"), "pid file for BFD"),
    flag('P', "vrrp", No, "virtual routers only, no virtual servers"),
    flag('C', "check", No, "virtual servers only, no virtual routers"),
    flag('B', "no_bfd", No, "no BFD"),
    long("all", No, "start every part even without configuration for it"),
    flag('V', "dont-release-vrrp", No, "leave virtual addresses in place at stop"),
    flag('I', "dont-release-ipvs", No, "leave the IPVS table in place at stop"),
    flag('X', "release-vips", No, "remove virtual addresses on the transition that a signal causes"),
    flag('R', "dont-respawn", No, "end when a worker dies instead of starting a new one"),
    flag('s', "namespace", Required("NAME"), "run in this network namespace (ip netns)"),
    flag(
        'i',
        "config-id",
        Required("ID"),
        "which @ID lines of the configuration count, default the host name",
    ),
    flag('e', "all-config", No, "all checks of included files: one that is missing is an error"),
    long(
        "limit",
        Required("NAME=N"),
        "raise a limit on what the configuration may cost; see alived check --help",
    ),
    flag('u', "umask", Required("MASK"), "umask for files that are created"),
    flag('d', "dump-conf", No, "write the configuration as understood to the log"),
    flag('a', "address-monitoring", No, "log every change of an address on this host"),
    flag('m', "core-dump", No, "leave a core file after a crash"),
    flag(
        'M',
        "core-dump-pattern",
        Optional("PATTERN"),
        "and set the kernel's core_pattern, default core, until the end",
    ),
    flag('x', "snmp", No, "SNMP"),
    flag('A', "snmp-agent-socket", Required("SOCKET"), "SNMP master agent"),
    long(
        "settings",
        Required("FILE"),
        "settings that keepalived does not have, default alived.toml beside -f",
    ),
    long("realtime", Required("off|1-99"), "real-time scheduling of the thread that sends advertisements"),
    long(
        "http",
        Required("ADDRESS:PORT|off"),
        "serve metrics and the status page there; wins over alived.toml",
    ),
    long("ignore-sigint", No, "ignore INT"),
    long("signum", Required("NAME"), "print the number of a signal and exit"),
    long("config-fd", Required("N"), "internal in keepalived"),
    long("no-mem-check", No, "debugging of keepalived"),
    long("debug", Optional("WHAT"), "debugging of keepalived"),
    long("perf", Optional("WHAT"), "debugging of keepalived"),
    flag('L', "mem-check-log", No, "debugging of keepalived"),
    flag('O', "openssl-mem-check", No, "debugging of keepalived"),
    flag('T', "genhash", No, "act as genhash"),
    flag('v', "version", No, "print name and version and exit"),
    flag('h', "help", No, "print this help and exit"),
];

/// Reads a command line. `program` is the name it was started under, without folder; under the name
/// `keepalived` there are no subcommands.
///
/// # Errors
/// An unknown flag, a missing or superfluous argument, a value out of range.
pub fn parse(program: &OsStr, arguments: Vec<OsString>) -> Result<Request, UsageError> {
    if program != "keepalived"
        && let Some(first) = arguments.first().and_then(|first| first.to_str())
        && commands::exists(first)
    {
        return Ok(Request::Subcommand(arguments));
    }
    if let Some((first, rest)) = arguments.split_first()
        && (first == "-T" || first == "--genhash")
    {
        let words = core::iter::once("genhash".into()).chain(rest.iter().cloned());
        return Ok(Request::Subcommand(words.collect()));
    }
    let mut command_line = vec![program.to_owned()];
    command_line.extend(arguments.iter().cloned());
    let mut reading = Reading {
        options: Options { command_line, ..Options::default() },
        test: None,
        answer: None,
        surplus: Vec::new(),
    };
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(|error| UsageError(error.to_string()))? {
        let flag = match argument {
            lexopt::Arg::Short(letter) => FLAGS
                .iter()
                .find(|flag| flag.short == Some(letter))
                .ok_or_else(|| UsageError(format!("unknown flag -{letter}")))?,
            lexopt::Arg::Long(name) => by_long_name(name)?,
            lexopt::Arg::Value(word) => {
                reading.surplus.push(word.to_string_lossy().into_owned());
                continue;
            }
        };
        let value = match flag.argument {
            No => None,
            Optional(_) => parser.optional_value(),
            Required(what) => Some(
                parser
                    .value()
                    .map_err(|_| UsageError(format!("--{} needs an argument: {what}", flag.long)))?,
            ),
        };
        reading.apply(flag, value.as_ref())?;
    }
    Ok(reading.finish())
}

/// The flag of this long name or of an unambiguous beginning of it.
fn by_long_name(name: &str) -> Result<&'static Flag, UsageError> {
    let mut candidates = FLAGS.iter().filter(|flag| flag.long.starts_with(name));
    match (FLAGS.iter().find(|flag| flag.long == name), candidates.next(), candidates.next()) {
        (Some(exact), _, _) | (None, Some(exact), None) => Ok(exact),
        (None, None, _) => Err(UsageError(format!("unknown flag --{name}"))),
        (None, Some(one), Some(other)) => {
            Err(UsageError(format!("--{name} is ambiguous: it could be --{} or --{}", one.long, other.long)))
        }
    }
}

struct Reading {
    options: Options,
    test: Option<Option<PathBuf>>,
    /// The first of the flags that print something and exit.
    answer: Option<Request>,
    surplus: Vec<String>,
}

impl Reading {
    fn apply(&mut self, flag: &Flag, value: Option<&OsString>) -> Result<(), UsageError> {
        let options = &mut self.options;
        let path = || value.map(PathBuf::from);
        let text = || value.map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
        match flag.long {
            "use-file" => options.configuration = path().unwrap_or_default(),
            "settings" => options.settings = path(),
            "config-test" => self.test = Some(path()),
            "dont-fork" => options.background = false,
            "log-console" => options.log.console = true,
            // Every line is always logged, and written at once.
            "log-detail" | "flush-log-file" => {}
            "log-facility" => options.log.facility = facility(&text())?,
            "no-syslog" => options.log.syslog = false,
            "log-file" => options.log.file = Some(path().unwrap_or_else(daemon::default_log_file)),
            "log-format" => options.log.format = log_format(&text())?,
            "pid" => options.pid_file = path(),
            "vrrp_pid" => options.vrrp_pid_file = path(),
            "checkers_pid" => options.checkers_pid_file = path(),
            "bfd_pid" => self.no_effect_yet(flag, "BFD is not supported, so there is no such file"),
            // It does not run yet.
            "no_bfd" => {}
            "vrrp" => options.checkers = false,
            "check" => options.vrrp = false,
            "all" => options.all = true,
            "dont-release-vrrp" => options.keep_addresses = true,
            "dont-respawn" => options.respawn = false,
            "namespace" => options.namespace = Some(text()),
            "config-id" => options.config_id = Some(text()),
            "all-config" => options.all_config = true,
            "limit" => options.limits.add(text()).map_err(UsageError)?,
            "umask" => options.umask = Some(umask(&text())?),
            "address-monitoring" => options.address_monitoring = true,
            "core-dump" => options.core_dump = true,
            "ignore-sigint" => options.ignore_interrupt = true,
            "realtime" => options.realtime = realtime(&text())?,
            "http" => options.http = Some(text().parse().map_err(UsageError)?),
            "signum" => self.answer_with(Request::SignalNumber(text())),
            "version" => self.answer_with(Request::Version),
            "help" => self.answer_with(Request::Help),
            "core-dump-pattern" => {
                options.core_dump = true;
                options.core_pattern = Some(value.map_or_else(|| "core".to_owned(), |_| text()));
            }
            "genhash" => {
                return Err(UsageError("-T (--genhash) must be the first word".to_owned()));
            }
            "snmp" | "snmp-agent-socket" => self.not_supported(flag, "SNMP"),
            "dump-conf" => options.dump_configuration = true,
            "dont-release-ipvs" => options.keep_ipvs = true,
            // A stop does it anyway.
            "release-vips" => {}
            _ => self.no_meaning(flag),
        }
        Ok(())
    }

    fn answer_with(&mut self, request: Request) {
        self.answer.get_or_insert(request);
    }

    fn not_supported(&mut self, flag: &Flag, what: &str) {
        let name = flag.name();
        self.options.warnings.push(format!("option {name} ({what}) is not supported yet and has no effect"));
    }

    fn no_effect_yet(&mut self, flag: &Flag, why: &str) {
        self.options.warnings.push(format!("option {} has no effect yet: {why}", flag.name()));
    }

    fn no_meaning(&mut self, flag: &Flag) {
        self.options.warnings.push(format!("option --{} has no meaning here and no effect", flag.long));
    }

    fn finish(mut self) -> Request {
        if let Some(answer) = self.answer {
            return answer;
        }
        if !self.surplus.is_empty() {
            self.options.warnings.push(format!("unexpected arguments: {}", self.surplus.join(" ")));
        }
        if !self.options.vrrp && !self.options.checkers {
            // As in keepalived the later one would win, if there were an order.
            self.options.warnings.push("options -P and -C together leave nothing to do".to_owned());
        }
        match self.test {
            Some(log) => Request::ConfigTest(Box::new(self.options), log),
            None => Request::Run(Box::new(self.options)),
        }
    }
}

fn facility(text: &str) -> Result<u8, UsageError> {
    const LOCAL0: u8 = 16;
    let local = text.strip_prefix("local").unwrap_or(text);
    match (text, local.parse::<u8>()) {
        ("user", _) => Ok(1),
        ("daemon", _) => Ok(3),
        (_, Ok(number @ 0..=7)) => Ok(LOCAL0 + number),
        _ => Err(UsageError(format!(
            "'{text}' is no log facility: use 0 to 7, local0 to local7, user or daemon"
        ))),
    }
}

fn log_format(text: &str) -> Result<LogFormat, UsageError> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(UsageError(format!("'{text}' is no format of log lines: use text or json"))),
    }
}

fn umask(text: &str) -> Result<u32, UsageError> {
    // As strtol with base 0.
    let (digits, radix) = match text {
        _ if text.starts_with("0x") || text.starts_with("0X") => (&text[2..], 16),
        _ if text.starts_with('0') => (text, 8),
        _ => (text, 10),
    };
    match u32::from_str_radix(digits, radix) {
        Ok(mask @ 0..=0o777) => Ok(mask),
        _ => Err(UsageError(format!("'{text}' is no umask: use a number up to 0777"))),
    }
}

fn realtime(text: &str) -> Result<Realtime, UsageError> {
    match (text, text.parse::<u8>()) {
        ("off", _) => Ok(Realtime::Off),
        (_, Ok(priority @ 1..=99)) => Ok(Realtime::Priority(priority)),
        _ => Err(UsageError(format!("--realtime takes 'off' or a priority from 1 to 99, not '{text}'"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Request, UsageError> {
        parse(OsStr::new("alived"), words.iter().map(OsString::from).collect())
    }

    fn options(words: &[&str]) -> Options {
        match read(words) {
            Ok(Request::Run(options)) => *options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_are_read_as_getopt_long_reads_them() {
        let read =
            options(&["-nlD", "-f/a b", "-D", "--pid=/p", "--vrrp_pid", "/v", "--dont-resp", "-S", "local3"]);
        assert!(!read.background && read.log.console && !read.respawn);
        assert_eq!(read.log.facility, 19);
        assert_eq!(read.configuration, PathBuf::from("/a b"));
        assert_eq!(read.pid_file, Some("/p".into()));
        assert_eq!(read.vrrp_pid_file, Some("/v".into()));
        assert_eq!(read.warnings, Vec::<String>::new());
    }

    #[test]
    fn optional_arguments_are_only_taken_when_attached() {
        assert!(matches!(read(&["-t", "x"]), Ok(Request::ConfigTest(o, None)) if o.warnings.len() == 1));
        assert!(matches!(read(&["-t/log"]), Ok(Request::ConfigTest(_, Some(log))) if log == *"/log"));
        assert_eq!(options(&["-g/a"]).log.file, Some("/a".into()));
        assert!(options(&["-g"]).log.file.unwrap().ends_with("keepalived.log"));
        assert!(matches!(read(&["--config-test=/log"]), Ok(Request::ConfigTest(_, Some(_)))));
    }

    #[test]
    fn bad_flags_are_refused_with_what_would_be_right() {
        for (words, part) in [
            (&["-Z"][..], "unknown flag -Z"),
            (&["--nonsense"], "unknown flag --nonsense"),
            (&["--dont-release"], "ambiguous"),
            (&["-f"], "needs an argument: FILE"),
            (&["-S", "9"], "no log facility"),
            (&["--log-format=yaml"], "use text or json"),
            (&["-u", "99999"], "no umask"),
            (&["--limit=nonsense=1"], "there is no limit named `nonsense`"),
            (&["--realtime=100"], "1 to 99"),
            (&["--http=9165"], "127.0.0.1:9165"),
            (&["--dont-fork=1"], "argument"),
        ] {
            let error = read(words).unwrap_err();
            assert!(error.0.contains(part), "{words:?}: {error}");
        }
    }

    #[test]
    fn what_has_no_effect_is_said() {
        assert_eq!(options(&["-x"]).warnings, ["option -x (SNMP) is not supported yet and has no effect"]);
        assert_eq!(options(&["surplus"]).warnings, ["unexpected arguments: surplus"]);
        assert_eq!(options(&["-P", "-B", "-M"]).warnings, Vec::<String>::new());
        assert_eq!(options(&["-M"]).core_pattern.as_deref(), Some("core"));
        assert_eq!(options(&["-M/var/core.%p"]).core_pattern.as_deref(), Some("/var/core.%p"));
        let warnings = options(&["-b", "/b"]).warnings;
        assert!(matches!(&warnings[..], [one] if one.contains("-b")), "{warnings:?}");
        assert_eq!(options(&["-P", "-C"]).warnings.len(), 1);
    }

    #[test]
    fn workers_are_chosen_by_flags() {
        let chosen = |words: &[&str]| {
            let Options { vrrp, checkers, all, keep_ipvs, warnings, .. } = options(words);
            assert_eq!(warnings, Vec::<String>::new());
            (vrrp, checkers, all, keep_ipvs)
        };
        assert_eq!(chosen(&[]), (true, true, false, false));
        assert_eq!(chosen(&["-P"]), (true, false, false, false));
        assert_eq!(chosen(&["-C"]), (false, true, false, false));
        assert_eq!(chosen(&["--all", "-I"]), (true, true, true, true));
        assert_eq!(options(&["-c", "/c"]).checkers_pid_file, Some("/c".into()));
    }

    #[test]
    fn subcommands_exist_only_under_our_own_name() {
        let request = read(&["check", "--json", "a.conf"]).unwrap();
        assert_eq!(request, Request::Subcommand(vec!["check".into(), "--json".into(), "a.conf".into()]));
        let request = parse(OsStr::new("keepalived"), vec!["check".into()]).unwrap();
        assert!(matches!(request, Request::Run(_)));
    }

    #[test]
    fn umask_is_read_in_every_base() {
        assert_eq!(options(&["-u", "022"]).umask, Some(0o22));
        assert_eq!(options(&["-u", "0x12"]).umask, Some(0x12));
        assert_eq!(options(&["-u", "18"]).umask, Some(18));
    }

    #[test]
    fn no_two_flags_share_a_name() {
        for (index, flag) in FLAGS.iter().enumerate() {
            for other in &FLAGS[..index] {
                assert_ne!(flag.long, other.long);
                assert!(flag.short.is_none() || flag.short != other.short, "{}", flag.long);
            }
        }
    }
}
