//! How hooks are run, as alived.toml says.

use core::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// `[hooks]` of alived.toml: how scripts are told of events.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HookSettings {
    /// `limit`: seconds that one may take, 1 to 86,400; then it is ended, as the next one waits for it.
    #[serde(deserialize_with = "within::<_, 1, 86_400>")]
    pub limit: u32,
    /// `waiting`: events of one object that may wait for its hooks, 2 to 1,000; the oldest are left out then.
    #[serde(deserialize_with = "within::<_, 2, 1_000>")]
    pub waiting: u32,
    /// `at-stop`: seconds that a stop waits for the last hooks and for the readers of FIFOs, 0 to 600.
    #[serde(deserialize_with = "within::<_, 0, 600>")]
    pub at_stop: u32,
    /// `json`: a hook finds the event in its standard input, as a JSON object.
    pub json: bool,
}

impl HookSettings {
    /// Of all settings.
    pub const NAMES: [&'static str; 4] = ["limit", "waiting", "at-stop", "json"];

    /// [`HookSettings::limit`].
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.limit.into())
    }

    /// [`HookSettings::at_stop`].
    pub(crate) fn at_stop(&self) -> Duration {
        Duration::from_secs(self.at_stop.into())
    }
}

impl Default for HookSettings {
    fn default() -> Self {
        Self { limit: 60, waiting: 16, at_stop: 10, json: false }
    }
}

fn within<'de, D: Deserializer<'de>, const LOW: u32, const HIGH: u32>(from: D) -> Result<u32, D::Error> {
    let number = i64::deserialize(from)?;
    u32::try_from(number)
        .ok()
        .filter(|number| (LOW..=HIGH).contains(number))
        .ok_or_else(|| D::Error::custom(format!("this takes a number from {LOW} to {HIGH}, not {number}")))
}
