//! The configuration as the daemon needs it.

use std::collections::BTreeSet;
use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::host::RealHost;
use super::host_with_text::HostWithText;
use super::options::Options;
use crate::config::diagnostics::Style;
use crate::config::{self, Limits, LoadOptions, Loaded, OwnSettings, PrintOptions, SettingsFault};
use crate::node::{BalancerConfig, NodeConfig};
use crate::notify::Notifications;

pub(super) use crate::config::{LvsSettings, ProcessSettings, QueueSizes, Settings};

/// A configuration that was read and found good.
#[derive(Clone, Debug, Default)]
pub(super) struct Configuration {
    pub(super) node: NodeConfig,
    /// What the lvs worker runs with.
    pub(super) balancer: BalancerConfig,
    /// What instances and sync groups tell others.
    pub(super) notifications: Notifications,
    pub(super) settings: Settings,
    /// For the log, one line each.
    pub(super) warnings: Vec<String>,
    /// `-d`: all of keepalived.conf as it was understood.
    pub(super) dump: Option<String>,
    /// Its errors, in spite of which it was taken.
    pub(super) faults: BTreeSet<String>,
    /// The beginning of the SHA-256 of all that was read, as it was understood and without secrets.
    pub(super) hash: String,
    /// For [`load_kept`]: a [`Kept`] in a line, then all of keepalived.conf.
    pub(super) kept: String,
}

/// What is kept beside the text of keepalived.conf, which has no errors any more.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Kept {
    own: OwnSettings,
    faults: BTreeSet<String>,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// Exit status of a start.
    pub(super) status: u8,
    /// For people at a terminal.
    pub(super) rendered: String,
    /// For the log, one line each.
    pub(super) lines: Vec<String>,
}

/// What a configuration with errors is good for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tolerance<'a> {
    /// A start: statements with errors are dropped, as keepalived does, unless they are fatal.
    Lenient,
    /// In place of one that runs and that had these errors: half a file, just being written, must not cost what runs.
    Strict(&'a BTreeSet<String>),
}

/// Reads alived.toml and the configuration that the options name, again if they change meanwhile.
pub(super) fn load(options: &Options, tolerance: Tolerance<'_>) -> Result<Configuration, Refusal> {
    let read = RealHost::default().read_unchanged(|host| load_once(host, options, tolerance));
    read.unwrap_or_else(|path| {
        let text = format!("`{path}` goes on changing while it is read; when it is written, try again");
        let rendered = format!("error: {text}\n");
        Err(Refusal { status: super::status::CONFIGURATION, rendered, lines: vec![text] })
    })
}

fn load_once(host: &RealHost, options: &Options, tolerance: Tolerance<'_>) -> Result<Configuration, Refusal> {
    let own = load_own(host, options);
    let load_options = options.load_options(own.as_ref().cloned().unwrap_or_default());
    let file = options.configuration.to_string_lossy();
    let mut loaded = config::load(host, &file, &load_options);
    if options.namespace.is_none() && loaded.settings.namespace.is_some() {
        // The interfaces it is for are in a namespace not entered yet.
        let host = RealHost { foreign_namespace: true, ..host.clone() };
        loaded = config::load(&host, &file, &load_options);
    }
    if let Tolerance::Strict(known) = tolerance {
        let is_new = |fault: String| !known.contains(&fault);
        // Those that are not kept are unknown.
        loaded.usable &= loaded.dropped_diagnostics.errors == 0 && !faults(&loaded).any(is_new);
    }
    let faults = faults(&loaded).collect();
    take(options, own, loaded, faults)
}

/// Understands [`Configuration::kept`] of a configuration that was good, in place of what is on the disk.
pub(super) fn load_kept(options: &Options, kept: &str) -> Result<Configuration, Refusal> {
    let (beside, text) = kept.split_once('\n').unwrap_or_default();
    // What we wrote ourselves is understood.
    let Kept { own, faults } = serde_json::from_str(beside).unwrap_or_default();
    let host = HostWithText { host: RealHost::default(), text: text.to_owned() };
    let load_options = LoadOptions { limits: Limits::NONE, ..options.load_options(own.clone()) };
    let loaded = config::load(&host, "the configuration in force", &load_options);
    take(options, Ok(own), loaded, faults)
}

/// Errors that a rule of keepalived's does not settle, each by its kind and words, wherever in the file it is.
fn faults(loaded: &Loaded) -> impl Iterator<Item = String> {
    let unsettled = loaded.diagnostics.iter().filter(|diagnostic| !diagnostic.is_settled());
    unsettled.map(|diagnostic| format!("{}: {}", diagnostic.code, diagnostic.message))
}

fn take(
    options: &Options,
    own: Result<OwnSettings, SettingsFault>,
    loaded: Loaded,
    faults: BTreeSet<String>,
) -> Result<Configuration, Refusal> {
    let lines: Vec<String> = loaded.log_lines().map(|(_, line)| line).collect();
    let own = match own {
        Ok(own) if loaded.usable => own,
        own => return Err(refuse(own.err().as_ref(), &loaded, lines)),
    };
    let Loaded { node, balancer, notifications, settings, mut config, .. } = loaded;
    let dump = options.dump_configuration.then(|| config::print(&config, PrintOptions::default()));
    // A later worker runs with the keys that are in force, whatever is in their files then.
    config::spell_out_keys(&mut config);
    let (mut kept, hides) = config::print_without_secrets(&config);
    let hash = hash(&own, &kept);
    if hides {
        kept = config::print(&config, PrintOptions { show_secrets: true, defaults: false });
    }
    let beside = serde_json::to_string(&Kept { own, faults: faults.clone() }).unwrap_or_default();
    kept.insert_str(0, &(beside + "\n"));
    Ok(Configuration { node, balancer, notifications, settings, warnings: lines, dump, faults, hash, kept })
}

/// What others may see of a configuration: whether it is another one. A hash of its secrets would let them be guessed.
fn hash(own: &OwnSettings, text: &str) -> String {
    let digest = Sha256::new()
        .chain_update(serde_json::to_string(&own.without_secrets()).unwrap_or_default())
        .chain_update(text)
        .finalize();
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn load_own(host: &RealHost, options: &Options) -> Result<OwnSettings, SettingsFault> {
    let named = options.settings.as_ref().map(|path| path.to_string_lossy());
    config::load_settings(host, named.as_deref(), &options.configuration.to_string_lossy())
}

/// All that is wrong in both files.
fn refuse(own: Option<&SettingsFault>, loaded: &Loaded, mut lines: Vec<String>) -> Refusal {
    let style = Style { colour: std::io::stderr().is_terminal() && no_color_unset(), show_secrets: false };
    let mut rendered = loaded.render(style);
    if let Some(fault) = own {
        rendered.insert_str(0, &format!("{}\n", fault.render(style)));
        lines.push(fault.to_string());
    }
    Refusal { status: super::status::CONFIGURATION, rendered, lines }
}

/// Identity in the system log: keepalived's, with the namespace and the instance appended.
pub(super) fn log_identity(settings: &Settings, base: &str, options: &Options) -> String {
    let namespace = options.namespace.as_ref().or(settings.namespace.as_ref());
    let parts = [Some(base), namespace.map(String::as_str), settings.instance.as_deref()];
    parts.into_iter().flatten().collect::<Vec<_>>().join("_")
}

fn no_color_unset() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_understood_as_it_was_whatever_the_limits() {
        let folder = tempfile::tempdir().unwrap();
        let text = "global_defs {\ndynamic_interfaces\n}\nvrrp_instance A {\ninterface eth9\nvirtual_router_id 5\n\
                    virtual_ipaddress {\n~SEQ(N,1,99) 10.0.0.${N}/24\n}\n}\n";
        std::fs::write(folder.path().join("keepalived.conf"), text).unwrap();
        let own = "realtime = 7\n[scripts]\nat-once = 3\n[reload]\nallow-empty = true\n[limits]\nfile-bytes = 200\n";
        std::fs::write(folder.path().join("alived.toml"), own).unwrap();
        let configuration = folder.path().join("keepalived.conf");
        let mut options = Options { configuration, ..Options::default() };
        options.limits.add("total-bytes=250".to_owned()).unwrap();
        let read = load(&options, Tolerance::Lenient).unwrap();
        assert!(read.kept.len() > 1000 && read.node.routers.len() == 1, "{}", read.kept);
        let again = load_kept(&options, &read.kept).unwrap();
        assert_eq!((again.node, again.settings), (read.node, read.settings));
        assert_eq!(again.kept, read.kept);
    }
}
