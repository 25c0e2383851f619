//! The real servers' processes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::PORT;
use super::serve::{SINCE, write_whole};
use crate::drill::lab::Lab;
use crate::sys::process::signal;
use crate::time::WallTime;

/// The hidden subcommand that is a real server.
pub const SUBCOMMAND: &str = "drill-server";

/// A real server.
#[derive(Debug)]
pub(super) struct RealServer {
    number: usize,
    status_file: PathBuf,
    process: Option<Child>,
}

impl RealServer {
    /// One that does not run yet.
    pub(super) fn new(lab: &Lab, number: usize) -> io::Result<Self> {
        let status_file = lab.folder().path().join(format!("{}.status", lab.real_servers[number].name));
        let server = Self { number, status_file, process: None };
        server.answer("200")?;
        Ok(server)
    }

    /// Starts it.
    pub(super) fn start(&mut self, lab: &Lab) -> io::Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        // At its own address, for checks, and at the virtual one.
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        command.args([SUBCOMMAND, &address.to_string(), &lab.real_servers[self.number].name]);
        command.arg(&self.status_file).stdin(Stdio::null()).stdout(Stdio::null());
        self.process = Some(lab.start_on_real_server(self.number, command)?);
        Ok(())
    }

    /// Has it answer with this status from now on.
    pub(super) fn answer(&self, status: &str) -> io::Result<()> {
        write_whole(&self.status_file, status)
    }

    /// Since when it serves; `None` while it does not yet.
    pub(super) fn since(&self) -> Option<WallTime> {
        let text = std::fs::read_to_string(self.status_file.with_extension(SINCE)).ok()?;
        text.parse().ok().map(WallTime::from_unix_micros)
    }

    /// Stops it in its tracks.
    pub(super) fn hang(&self) {
        if let Some(process) = &self.process {
            signal(process.id(), libc::SIGSTOP);
        }
    }

    /// Kills it.
    pub(super) fn die(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        self.die();
    }
}
