//! How a line is written.

use std::time::Duration;

use serde::Serialize;

use super::record::{FieldValue, Record};
use crate::sys::clock::{local_date, utc_time};

/// How lines are written to standard error and to log files.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// As keepalived writes them.
    #[default]
    Text,
    /// One JSON object each.
    Json,
}

/// Whose lines these are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    /// keepalived's name of the process.
    pub(super) name: String,
    pub(super) pid: u32,
}

/// A line with its end, for a reader who has nothing but the lines.
pub(super) fn line(format: LogFormat, identity: &Identity, record: &Record) -> String {
    match format {
        LogFormat::Text => {
            format!("{}: {}\n", local_date(record.wall), record.message)
        }
        LogFormat::Json => json(identity, record),
    }
}

#[derive(Serialize)]
struct JsonLine<'a> {
    /// RFC 3339, in UTC.
    time: String,
    level: &'static str,
    target: &'static str,
    process: &'a str,
    pid: u32,
    message: &'a str,
    #[serde(flatten)]
    fields: std::collections::BTreeMap<&'static str, &'a FieldValue>,
}

fn json(identity: &Identity, record: &Record) -> String {
    let fraction = Duration::from_micros(record.wall.as_unix_micros()).subsec_micros();
    let object = JsonLine {
        time: format!("{}.{fraction:06}Z", utc_time(record.wall, c"%Y-%m-%dT%H:%M:%S")),
        level: record.level.as_str(),
        target: record.target,
        process: &identity.name,
        pid: identity.pid,
        message: &record.message,
        fields: record.fields.iter().map(|(name, value)| (*name, value)).collect(),
    };
    // Only maps with keys that are no strings cannot be written, and there are none.
    let mut line = serde_json::to_string(&object).unwrap_or_default();
    line.push('\n');
    line
}
