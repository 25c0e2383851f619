//! Flags that the subcommands on configuration files share.

use std::ffi::OsString;

use lexopt::{Arg, ValueExt};

use crate::config::{LimitOverrides, LoadOptions, OwnSettings};

/// Flags and files of `check`, `print` and `keywords`.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// The files.
    pub(super) files: Vec<String>,
    /// How to load them, but for the limits.
    load: LoadOptions,
    /// `--limit`.
    limits: LimitOverrides,
    /// `--settings`.
    pub(super) settings: Option<String>,
    /// `--here`.
    pub(super) here: bool,
    /// `--strict`.
    pub(super) strict: bool,
    /// `--json`.
    pub(super) json: bool,
    /// `--markdown`.
    pub(super) markdown: bool,
    /// `--defaults`.
    pub(super) defaults: bool,
    /// `--show-secrets`.
    pub(super) show_secrets: bool,
    /// `--context`.
    pub(super) context: Option<String>,
    /// `-h`.
    pub(super) help: bool,
}

impl Arguments {
    /// Reads the words after the subcommand; `known` are the long flags it takes.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) fn parse(words: &[OsString], known: &[&str]) -> Result<Self, String> {
        let mut arguments = Self::default();
        let mut parser = lexopt::Parser::from_args(words.iter().cloned());
        while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
            let name = match &argument {
                Arg::Short('h') => "help",
                Arg::Short('i') => "config-id",
                Arg::Short('e') => "all-config",
                Arg::Short('f') => "use-file",
                Arg::Short(letter) => return Err(format!("unknown flag -{letter}")),
                Arg::Long(name) => name,
                Arg::Value(value) => {
                    arguments.files.push(value.to_string_lossy().into_owned());
                    continue;
                }
            };
            let name = name.to_owned();
            if name != "help" && !known.contains(&name.as_str()) {
                return Err(format!("unknown flag --{name}"));
            }
            let mut value = || {
                parser.value().and_then(|value| value.string()).map_err(|error| format!("--{name}: {error}"))
            };
            match name.as_str() {
                "help" => arguments.help = true,
                "config-id" => arguments.load.config_id = Some(value()?),
                "all-config" => arguments.load.all_include_checks = true,
                "use-file" => arguments.files.push(value()?),
                "limit" => arguments.limits.add(value()?)?,
                "settings" => arguments.settings = Some(value()?),
                "context" => arguments.context = Some(value()?),
                "here" => arguments.here = true,
                "strict" => arguments.strict = true,
                "json" => arguments.json = true,
                "markdown" => arguments.markdown = true,
                "defaults" => arguments.defaults = true,
                "show-secrets" => arguments.show_secrets = true,
                _ => return Err(format!("unknown flag --{name}")),
            }
        }
        Ok(arguments)
    }

    /// How to load: the limits given here win over those of the settings.
    pub(super) fn load_options(&self, own: OwnSettings) -> LoadOptions {
        LoadOptions { limits: self.limits.over(own.limits), ..self.load.clone() }
    }
}

/// Flags of all that loads files.
pub(super) const LOADING: &str = "  -i, --config-id ID     which @ID lines count, default the host name
  -e, --all-config       a missing include is an error
      --settings FILE    settings that keepalived does not have; default: alived.toml beside the file
      --limit NAME=N     raise a limit: file-bytes total-bytes include-depth files expanded-lines
                         expanded-bytes expansion-depth block-depth block-lines diagnostics errors
";
