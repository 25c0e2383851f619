//! `alived check FILE…`: judges configurations, several as one cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use clap::Args;

use super::arguments::Loading;
use super::config_test::colour_wanted;
use crate::config::cluster::{ClusterFinding, lint};
use crate::config::diagnostics::{Severity, Style, to_json};
use crate::config::lints::{explain, explained};
use crate::config::{Loaded, OwnSettings, SettingsFault, load, load_settings, settings_file_beside};
use crate::daemon::{DEFAULT_CONFIGURATION, RealHost};

const CLEAN: u8 = 0;
const WARNINGS: u8 = 1;
const ERRORS: u8 = 2;
/// As for a bad command line.
const UNKNOWN: u8 = 64;

const EXITS: &str = "Exit status: 0 clean, 1 warnings (with --strict), 2 errors, 64 bad command line.";

/// Judge configuration files, several as one cluster
///
/// Judges keepalived.conf files. With two or more files, judges them as one cluster too: the files of the routers
/// that back each other up.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(super) struct Arguments {
    /// Files to judge; default /etc/keepalived/keepalived.conf
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// One more file, as the daemon is given it
    #[arg(id = "more", short = 'f', long = "use-file", value_name = "FILE")]
    more: Vec<String>,
    /// Look at this host: interfaces, users, scripts (as -t does)
    #[arg(long)]
    here: bool,
    /// Exit with 1 for warnings
    #[arg(long)]
    strict: bool,
    /// For editors and pipelines
    #[arg(long)]
    json: bool,
    /// Tell more of a remark, by the word in its brackets
    #[arg(long, value_name = "CODE", conflicts_with_all = ["files", "more"])]
    explain: Option<String>,
    /// Show passwords and keys in source lines
    #[arg(long)]
    show_secrets: bool,
    #[command(flatten)]
    loading: Loading,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    if let Some(code) = &arguments.explain {
        return tell(code);
    }
    let mut named: Vec<&str> = arguments.files.iter().chain(&arguments.more).map(String::as_str).collect();
    if named.is_empty() {
        named.push(DEFAULT_CONFIGURATION);
    }
    let host = RealHost { text_only: !arguments.here, ..RealHost::default() };
    let mut settings = SettingsFiles::default();
    let loaded: Vec<Loaded> =
        named.iter().map(|file| settings.load(&host, &arguments.loading, file)).collect();
    let files: Vec<(&str, &Loaded)> = named.into_iter().zip(loaded.iter()).collect();
    let cluster = if files.len() > 1 { lint(&files) } else { Vec::new() };

    if arguments.json {
        super::print(&json(&files, &settings, &cluster));
    } else {
        let style = Style { colour: colour_wanted(), show_secrets: arguments.show_secrets };
        for fault in settings.faults() {
            super::say(&format!("{}\n", fault.1.render(style)));
        }
        for (file, loaded) in &files {
            let text = loaded.render(style);
            if text.is_empty() {
                super::print(&format!("{file}: {}\n", summary(loaded)));
            } else {
                super::say(&text);
            }
        }
        for finding in &cluster {
            super::print(&format!("{finding}\n"));
        }
        super::say(&explanations(&loaded, &cluster));
    }
    let status = status(&loaded, &cluster, arguments.strict);
    ExitCode::from(if settings.faults().next().is_some() { ERRORS } else { status })
}

/// `--explain`.
fn tell(code: &str) -> ExitCode {
    if let Some(text) = explain(code) {
        super::print(&format!("{text}\n"));
        return ExitCode::from(CLEAN);
    }
    let codes: Vec<&str> = explained().collect();
    super::say(&format!(
        "no more is to be told of `{code}` than its message does; there is of: {}\n",
        codes.join(" ")
    ));
    ExitCode::from(UNKNOWN)
}

/// The line that says of what more is to be told.
fn explanations(loaded: &[Loaded], cluster: &[ClusterFinding]) -> String {
    let codes = loaded.iter().flat_map(|loaded| loaded.diagnostics.iter().map(|diagnostic| diagnostic.code));
    let wrong = cluster.iter().filter(|finding| finding.code != "winner").map(|finding| finding.code);
    let codes: BTreeSet<&str> = codes.chain(wrong).filter(|code| explain(code).is_some()).collect();
    if codes.is_empty() {
        return String::new();
    }
    let codes: Vec<&str> = codes.into_iter().collect();
    format!("`alived check --explain CODE` tells more of: {}\n", codes.join(" "))
}

/// The settings beside the configurations, each read once.
#[derive(Default)]
struct SettingsFiles {
    files: BTreeMap<String, Result<OwnSettings, SettingsFault>>,
}

impl SettingsFiles {
    /// Loads a configuration with its settings; with the defaults where they are faulty.
    fn load(&mut self, host: &RealHost, loading: &Loading, file: &str) -> Loaded {
        let named = loading.settings.as_deref();
        let path = named.map_or_else(|| settings_file_beside(file), str::to_owned);
        let own = self.files.entry(path).or_insert_with(|| load_settings(host, named, file));
        let own = own.as_ref().cloned().unwrap_or_default();
        load(host, file, &loading.options(&own))
    }

    fn faults(&self) -> impl Iterator<Item = (&str, &SettingsFault)> {
        self.files.iter().filter_map(|(path, own)| Some((path.as_str(), own.as_ref().err()?)))
    }
}

fn summary(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let count = |number: usize, what: &str| match number {
        0 => None,
        1 => Some(format!("1 {what}")),
        more => Some(format!("{more} {what}s")),
    };
    let parts: Vec<String> = [
        count(config.instances.len(), "virtual router"),
        count(config.sync_groups.len(), "sync group"),
        count(config.virtual_servers.len(), "virtual server"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() {
        "nothing wrong, nothing to do".to_owned()
    } else {
        format!("good: {}", parts.join(", "))
    }
}

fn status(loaded: &[Loaded], cluster: &[ClusterFinding], strict: bool) -> u8 {
    let gravest = loaded
        .iter()
        .filter_map(|loaded| loaded.gravest)
        .chain(cluster.iter().map(|finding| finding.severity))
        .max();
    match gravest {
        Some(Severity::Error | Severity::Fatal) => ERRORS,
        Some(Severity::Warning) if strict => WARNINGS,
        _ => CLEAN,
    }
}

fn json(files: &[(&str, &Loaded)], settings: &SettingsFiles, cluster: &[ClusterFinding]) -> String {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    let files: Vec<serde_json::Value> = files
        .iter()
        .map(|(file, loaded)| {
            serde_json::json!({
                "file": file,
                "config_test_status": loaded.exit_code,
                "usable": loaded.usable,
                "diagnostics": value(&to_json(&loaded.diagnostics, &loaded.sources)),
                "more_diagnostics": loaded.dropped_diagnostics.total(),
            })
        })
        .chain(settings.faults().map(|(file, fault)| {
            serde_json::json!({
                "file": file,
                "config_test_status": fault.exit_code(),
                "usable": false,
                "diagnostics": value(&fault.to_json()),
                "more_diagnostics": 0,
            })
        }))
        .collect();
    let whole = serde_json::json!({ "files": files, "cluster": cluster });
    let mut text = serde_json::to_string_pretty(&whole).unwrap_or_default();
    text.push('\n');
    text
}
