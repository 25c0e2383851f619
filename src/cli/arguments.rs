//! Flags that the subcommands on configuration files share.

use clap::Args;

use crate::config::{LimitOverrides, LoadOptions, OwnSettings};

/// How configuration files are loaded.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Loading {
    /// Which @ID lines count, default the host name
    #[arg(short = 'i', long = "config-id", value_name = "ID")]
    config_id: Option<String>,
    /// A missing include is an error
    #[arg(short = 'e', long = "all-config")]
    all_include_checks: bool,
    /// Settings that keepalived does not have; default: alived.toml beside the file
    #[arg(long, value_name = "FILE")]
    pub(super) settings: Option<String>,
    /// Raise a limit: file-bytes total-bytes include-depth files expanded-lines expanded-bytes expansion-depth
    /// block-depth block-lines diagnostics errors
    #[arg(long = "limit", value_name = "NAME=N", value_parser = limit)]
    limits: Vec<String>,
}

impl Loading {
    /// What is not said takes these: the flags of a daemon that runs.
    pub(super) fn complete(&mut self, (config_id, settings): (Option<String>, Option<String>)) {
        self.config_id = self.config_id.take().or(config_id);
        self.settings = self.settings.take().or(settings);
    }

    /// How to load: the limits given here win over those of the settings.
    pub(super) fn options(&self, own: &OwnSettings) -> LoadOptions {
        let mut limits = LimitOverrides::default();
        for limit in &self.limits {
            // What is wrong with one was said when it was read.
            let _ = limits.add(limit.clone());
        }
        LoadOptions {
            config_id: self.config_id.clone(),
            all_include_checks: self.all_include_checks,
            limits: limits.over(own.limits),
            own: own.clone(),
            ..LoadOptions::default()
        }
    }
}

fn limit(text: &str) -> Result<String, String> {
    LimitOverrides::default().add(text.to_owned()).map(|()| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::commands::tests::read;
    use super::*;

    #[test]
    fn limits_are_judged_when_they_are_read() {
        let loading: Loading = read(&["--limit", "files=7", "-e", "-i", "left"]).unwrap();
        let options = loading.options(&OwnSettings::default());
        assert!(options.all_include_checks);
        assert_eq!((options.limits.files, options.config_id.as_deref()), (7, Some("left")));
        let refused = read::<Loading>(&["--limit=nonsense=1"]).unwrap_err();
        assert!(refused.contains("there is no limit named `nonsense`"), "{refused}");
    }
}
