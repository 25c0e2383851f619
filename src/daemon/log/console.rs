//! Standard error. A reader who does not read (a full pipe, a stopped terminal) loses lines, instead of holding up a
//! daemon that must hand over its addresses.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::Level;

use super::form::{Identity, LogFormat, line};
use super::record::Record;
use super::sink::Outlet;
use crate::sys::poll;

/// What a pipe takes at once when it takes anything (`PIPE_BUF`).
const WRITE_BYTES: usize = 4096;

/// All lines with `-l`; without it errors until the daemon serves, for whoever started it.
#[derive(Debug)]
pub(super) struct Console {
    pub(super) all: bool,
    pub(super) format: LogFormat,
    pub(super) identity: Identity,
    /// The daemon does not serve yet.
    pub(super) starting: Arc<AtomicBool>,
}

impl Outlet for Console {
    fn put(&mut self, record: &Record, patience: Duration) -> bool {
        if self.all {
            write_in_time(&line(self.format, &self.identity, record), patience)
        } else if record.level == Level::ERROR && self.starting.load(Ordering::Relaxed) {
            write_in_time(&format!("alived: {}\n", record.message), patience)
        } else {
            true
        }
    }

    fn why_lost(&self) -> &'static str {
        "nobody read them"
    }
}

/// Writes to standard error, but for what it does not take in time. False if that was the case.
fn write_in_time(text: &str, patience: Duration) -> bool {
    let mut stream = io::stderr();
    for chunk in text.as_bytes().chunks(WRITE_BYTES) {
        if !poll::is_writable(&stream, patience) {
            return false;
        }
        // A closed terminal is no reason to stop.
        let _ = stream.write_all(chunk);
    }
    true
}
