//! `keepalived.conf`: from text to what the daemon is told.
//!
//! text → [`source`] map → `expand` (includes, conditions, definitions, sequences) → `tree` of statements
//! → `schema` of keywords → typed `model` → `lower` → [`NodeConfig`], [`Settings`] and
//! [`diagnostics`]. Places survive every step. The host is reached through [`Host`] alone.
//!
//! `alived.toml`, for what keepalived does not have, is [`OwnSettings`].

pub mod cluster;
#[cfg(test)]
mod compatibility_tests;
pub mod diagnostics;
mod expand;
mod fake;
mod host;
mod http_checks;
mod http_settings;
mod iproute;
mod limits;
pub mod lints;
mod long_line;
mod lower;
pub(crate) mod model;
mod own_settings;
mod print;
pub(crate) mod schema;
pub mod source;
#[cfg(test)]
mod tests;
mod tree;
mod values;
#[cfg(test)]
mod verdict_tests;

pub use fake::FakeHost;
pub use host::{Host, HostInterface, Lookup, PathKind, PathMetadata, ReadError, User};
pub use http_checks::{HttpCheckRule, NamePattern};
pub use http_settings::{HttpAddress, HttpSettings};
pub use limits::{LimitOverrides, Limits};
pub use lower::{
    FilterSettings, LvsSettings, ProcessScript, ProcessSettings, QueueSizes, Settings, SyncDaemonSettings,
};
pub use own_settings::{
    CheckSettings, DrainSettings, OwnSettings, Realtime, RecordSettings, ReloadSettings, SETTINGS_FILE,
    Scripts, SettingsFault, load_settings, settings_file_beside,
};
pub use print::PrintOptions;
pub(crate) use print::{print, print_without_secrets, spell_out_keys};
pub(crate) use values::parse::decimal;

use core::cell::{Cell, OnceCell, RefCell};

pub use crate::notify::HookSettings;

use crate::node::{BalancerConfig, NodeConfig};
use crate::notify::Notifications;
use diagnostics::{Diagnostic, Diagnostics, Dropped, Severity, Style};
use lints::Lints;
use model::Config;
use source::SourceMap;

/// How to load.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// `-i`: what `@ID` lines are compared with; `None` = the node's name up to the first dot.
    pub config_id: Option<String>,
    /// `-e`: every include must be found and readable.
    pub all_include_checks: bool,
    /// Bounds on what it may cost.
    pub limits: Limits,
    /// `Loaded::config` is not printed: virtual servers are left out of it, which saves much memory.
    pub drop_virtual_servers: bool,
    /// What `alived.toml` says.
    pub own: OwnSettings,
    /// `--realtime`: wins over `alived.toml` and keepalived.conf.
    pub realtime: Realtime,
    /// `--http`: wins over `alived.toml`.
    pub http: Option<HttpAddress>,
    /// `-C`: [`NodeConfig::routers`] is left empty.
    pub without_routers: bool,
    /// `-P`: [`NodeConfig`] alone is acted on.
    pub without_virtual_servers: bool,
    /// `-V`: see [`NodeConfig::keep_addresses_on_stop`].
    pub keep_addresses_on_stop: bool,
}

/// A configuration that was read.
#[derive(Debug)]
pub struct Loaded {
    /// What the file says.
    pub(crate) config: Config,
    /// What the protocol core is told.
    pub node: NodeConfig,
    /// What the load balancer is told.
    pub(crate) balancer: BalancerConfig,
    /// What instances and sync groups tell others.
    pub(crate) notifications: Notifications,
    /// What the daemon is told.
    pub settings: Settings,
    /// Everything that is wrong, in file order.
    pub diagnostics: Vec<Diagnostic>,
    /// How many more there were ([`Limits::diagnostics`]).
    pub dropped_diagnostics: Dropped,
    /// The gravest severity of all.
    pub gravest: Option<Severity>,
    /// The texts, for rendering.
    pub sources: SourceMap,
    /// What `-t` exits with: 0, 2, 4, 5 or 6.
    pub exit_code: u8,
    /// Whether the daemon may start with it, or a reload take it.
    pub usable: bool,
}

impl Loaded {
    /// The configuration as it was understood, in canonical form: one order of keywords, everything expanded. Reading
    /// it gives the same configuration, and printing that the same text.
    pub fn print(&self, options: PrintOptions) -> String {
        print(&self.config, options)
    }

    /// Whether both files say the same.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.config == other.config
    }

    /// All diagnostics in full, for people.
    pub fn render(&self, style: Style) -> String {
        diagnostics::render_all(&self.diagnostics, self.dropped_diagnostics, &self.sources, style)
    }

    /// One line for each diagnostic with its severity, for a log.
    pub fn log_lines(&self) -> impl Iterator<Item = (Severity, String)> {
        self.diagnostics
            .iter()
            .map(|diagnostic| (diagnostic.severity, diagnostics::one_line(diagnostic, &self.sources)))
    }
}

/// Reads a configuration. Never fails: what is wrong is in [`Loaded::diagnostics`], and [`Loaded::usable`]
/// says whether to go on.
pub fn load(host: &dyn Host, main_file: &str, options: &LoadOptions) -> Loaded {
    let diagnostics = Diagnostics::new(options.limits.diagnostics, options.limits.errors);
    let unsupported = RefCell::new(values::Unsupported::default());
    let headless = Cell::new(false);
    let interfaces = OnceCell::new();
    let lints = Lints::default();
    let mut config = Config::default();
    let mut lowering = lower::Lowering::default();

    let expander = expand::Expander::new(host, options, &diagnostics, main_file);
    let mut parser = tree::Parser::new(expander, &diagnostics, options.limits);
    while let Some((batch, sources)) = parser.next_batch() {
        let reading = values::Reading {
            sources,
            diagnostics: &diagnostics,
            host,
            interfaces: &interfaces,
            unsupported: &unsupported,
            lints: &lints,
            headless: &headless,
        };
        for statement in batch.statements() {
            model::block::read_statement(&reading, &mut config, statement);
            lowering.take(&reading, &mut config, !options.drop_virtual_servers);
        }
    }
    diagnostics.forget_misplaced(parser.strays());
    let mut sources = parser.expander.sources;
    let rules = options.own.rule_text.as_deref().and_then(|text| text.add_to(&mut sources));

    lower::report_unsupported(&diagnostics, &unsupported.borrow());
    let reading = values::Reading {
        sources: &sources,
        diagnostics: &diagnostics,
        host,
        interfaces: &interfaces,
        unsupported: &unsupported,
        lints: &lints,
        headless: &headless,
    };
    let lower::Lowered { node, balancer, notifications, settings } =
        lowering.finish(&reading, &config, options, rules);
    lints.report(&diagnostics);

    let gravest = diagnostics.gravest();
    let exit_code = diagnostics.exit_code();
    let dropped_diagnostics = diagnostics.dropped();
    Loaded {
        config,
        node,
        balancer,
        notifications,
        settings,
        diagnostics: diagnostics.into_sorted(&sources),
        dropped_diagnostics,
        gravest,
        sources,
        exit_code,
        usable: gravest != Some(Severity::Fatal),
    }
}
