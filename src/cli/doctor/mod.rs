//! `alived doctor`: what this host lacks, or sets against its virtual routers, with the command that mends it.

mod firewall;
mod host;
mod running;

use std::collections::BTreeSet;
use std::fmt;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::arguments::Loading;
use super::control::{Which, status_of};
use crate::config::{OwnSettings, load, load_settings};
use crate::daemon::{DEFAULT_CONFIGURATION, RealHost};
use crate::net::Family;
use crate::vrrp::RouterConfig;

/// Nothing was found.
const HEALTHY: u8 = 0;
/// Something was.
const FINDINGS: u8 = 1;

const EXITS: &str = "Exit status: 0 nothing to mend, 1 something found, 64 bad command line.";

/// Find what keeps virtual routers from working on this host
///
/// Looks at the kernel, the network namespace it is run in, the firewall, and, if it runs, the daemon: its rights, what
/// it hears and cannot use, who does not hear it. Names for each finding what mends it. Changes nothing.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(super) struct Arguments {
    /// The configuration to look at; default: that of the running daemon
    #[arg(short = 'f', long = "use-file", value_name = "FILE")]
    file: Option<String>,
    /// The findings as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    loading: Loading,
    #[command(flatten)]
    which: Which,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    /// It does not work.
    Error,
    /// It may not work, or not always.
    Warning,
    /// It works, and could work better.
    Hint,
}

/// Something to mend.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
struct Finding {
    level: Level,
    /// What it is about: a virtual router, an interface, `kernel`, `firewall` …
    about: String,
    /// What is wrong, and what comes of it.
    text: String,
    /// What mends it: a command, or what to do.
    mend: String,
}

impl Finding {
    fn new(level: Level, about: impl Into<String>, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level, about: about.into(), text: text.into(), mend: mend.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Hint => "hint",
        };
        writeln!(f, "{level}: {}: {}", self.about, self.text)?;
        writeln!(f, "    mend it: {}", self.mend)
    }
}

/// What is to be known of one virtual router.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Subject {
    name: String,
    /// Those that it sends, receives or holds addresses on and that are not its own.
    interfaces: BTreeSet<String>,
    family: Family,
    unicast: bool,
    /// `use_vmac`, `use_ipvlan`: the kind of interface of its own.
    own_interface: Option<&'static str>,
}

impl Subject {
    fn of(config: &RouterConfig) -> Self {
        let interfaces = &config.interfaces;
        let base = interfaces.base.as_ref().unwrap_or(&interfaces.addresses);
        let others = interfaces.hears_by().into_iter().chain(interfaces.sends_by());
        let kept = others.filter(|name| interfaces.base.is_none() || **name != interfaces.addresses);
        Self {
            name: config.name.to_string(),
            interfaces: kept.chain([base]).map(ToString::to_string).collect(),
            family: config.family,
            unicast: config.destinations.is_unicast(),
            own_interface: interfaces.base.is_some().then_some(if interfaces.virtual_mac.is_some() {
                "macvlan"
            } else {
                "ipvlan"
            }),
        }
    }
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let status = status_of(&arguments.which);
    let running = status.as_ref().ok();
    let file = arguments.file.clone().or_else(|| running.map(|status| status.daemon.configuration.clone()));
    let file = file.unwrap_or_else(|| DEFAULT_CONFIGURATION.to_owned());
    let mut loading = arguments.loading.clone();
    if let Some(status) = running {
        loading.complete(running::flags_of(status.daemon.pid));
    }
    let host = RealHost::default();
    let mut findings = BTreeSet::new();
    let own = load_settings(&host, loading.settings.as_deref(), &file).unwrap_or_else(|fault| {
        let text = format!("alived.toml has errors: {fault}");
        findings.insert(Finding::new(Level::Error, file.clone(), text, format!("alived check {file}")));
        OwnSettings::default()
    });
    let loaded = load(&host, &file, &loading.options(&own));
    let subjects: Vec<Subject> = loaded.node.routers.iter().map(Subject::of).collect();

    if !loaded.usable {
        findings.insert(Finding::new(
            Level::Error,
            file.clone(),
            "the configuration has errors",
            format!("alived check {file}"),
        ));
    }
    findings.extend(host::findings(&subjects));
    findings.extend(firewall::findings(&subjects));
    match running {
        Some(status) => findings.extend(running::findings(status)),
        None => {
            findings.extend(host::rights_to_start());
        }
    }
    if arguments.json {
        let found: Vec<&Finding> = findings.iter().collect();
        super::print(&format!("{}\n", json!({ "running": running.is_some(), "findings": found })));
    } else {
        findings.iter().for_each(|finding| super::print(&finding.to_string()));
        super::print(&summary(&file, subjects.len(), running.is_some(), findings.len()));
    }
    ExitCode::from(if findings.is_empty() { HEALTHY } else { FINDINGS })
}

fn summary(file: &str, routers: usize, running: bool, findings: usize) -> String {
    let daemon = if running { "the running daemon" } else { "no daemon (none answers)" };
    let routers = match routers {
        1 => "the virtual router".to_owned(),
        count => format!("the {count} virtual routers"),
    };
    let found = match findings {
        0 => "nothing to mend".to_owned(),
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    format!("looked at this host, {daemon} and {routers} of {file}: {found}\n")
}
