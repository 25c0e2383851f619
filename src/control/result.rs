//! The form of answers, beside the worker's state and its events.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LogLevel, LogTarget};

/// Of `reload`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// What it changed, a line for each object.
    pub lines: Vec<String>,
}

/// Of `record`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recorded {
    /// The recording; that which has ended, after its end. Absent if there is none.
    pub recording: Option<Recording>,
}

/// How a recording goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recording {
    /// Where its files are.
    pub folder: String,
    /// Bytes that all of them may have together.
    pub size: u64,
    /// When it began, in microseconds since 1970.
    pub since_unix_us: u64,
    /// When it ends by itself, if it does.
    pub until_unix_us: Option<u64>,
    /// Files there, with those of earlier recordings.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Inputs that were left out, because the disk was too slow or full.
    pub lost: u64,
    /// Why nothing is written now.
    pub fault: Option<String>,
}

/// Of `restart`: what was judged good. The worker of this process ends soon, and another one answers in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Restarted {
    /// Version of the program that goes on.
    pub version: String,
    /// Version of the one that answers.
    pub before: String,
    /// The number of the worker's process.
    pub pid: u32,
}

/// Of `log-level`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogLevels {
    /// From which level on each part logs.
    pub levels: BTreeMap<LogTarget, LogLevel>,
}

/// Of `plan`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Planned {
    /// What would change, a line for each object.
    pub lines: Vec<String>,
    /// The same for programs.
    pub objects: Vec<PlannedObject>,
    /// How many objects would stay as they are.
    pub unchanged: usize,
    /// Settings that differ and would change with a restart only.
    pub needs_restart: Vec<String>,
    /// What is to be said of the file though it is good.
    pub warnings: Vec<String>,
}

/// What would become of one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedObject {
    /// `virtual router`, or the keyword of its block.
    pub kind: String,
    /// Its name in the configuration.
    pub name: String,
    /// What becomes of it.
    pub change: PlannedChange,
    /// What of it changes, in words.
    pub what: Vec<String>,
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedChange {
    /// It comes.
    Added,
    /// It goes.
    Removed,
    /// It stays, and something of it changes.
    Changed,
}

/// Of `failover`, `failback`, and of `maintenance` where that begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ordered {
    /// Each virtual router that the order was for.
    pub routers: Vec<RouterOrdered>,
}

/// What came of an order at one virtual router.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouterOrdered {
    /// Its name.
    pub name: String,
    /// For programs.
    pub outcome: OrderOutcome,
    /// For people.
    pub text: String,
    /// Who took over, if it heard that.
    #[serde(default)]
    pub successor: Option<String>,
    /// How long after priority 0 was sent, in microseconds.
    #[serde(default)]
    pub after_us: Option<u64>,
}

/// What came of an order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OrderOutcome {
    /// It was obeyed.
    Done,
    /// Nobody took over: it stays master.
    Nobody,
    /// Nobody took over, and it left all the same, for maintenance.
    Left,
    /// It was no master, and had nothing to hand over.
    NotMaster,
    /// It owns the addresses, or somebody in its sync group does.
    Refused,
    /// It was told to take back before a successor was heard.
    Ended,
    /// There was nothing to take back.
    Nothing,
}
