//! The system log: datagrams to `/dev/log` in the form of RFC 3164, never blocking.

#![allow(unsafe_code)]

use std::fmt::Write;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use crate::time::WallTime;

/// Severities of the system log (RFC 5424 §6.2.1).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Severity {
    /// The daemon cannot do its work.
    Error = 3,
    /// Something should be looked at.
    Warning = 4,
    /// Normal, but worth noting.
    Notice = 5,
    /// What happens.
    Info = 6,
    /// Details for a search for a fault.
    Debug = 7,
}

/// A connection to the system log that is made anew when the log is restarted.
#[derive(Debug)]
pub struct Syslog {
    path: PathBuf,
    facility: u8,
    socket: Option<UnixDatagram>,
    line: String,
}

impl Syslog {
    /// The log at `/dev/log`; `facility` is 0 to 23.
    pub fn new(facility: u8) -> Self {
        Self::at("/dev/log".into(), facility)
    }

    const fn at(path: PathBuf, facility: u8) -> Self {
        Self { path, facility, socket: None, line: String::new() }
    }

    /// Sends one line. False when nobody takes it: no log daemon runs, or its queue is full.
    pub fn send(&mut self, severity: Severity, wall: WallTime, identity: &str, pid: u32, text: &str) -> bool {
        let priority = u32::from(self.facility) * 8 + severity as u32;
        self.line.clear();
        // Writing to a String cannot fail.
        let _ = write!(
            self.line,
            "<{priority}>{} {identity}[{pid}]: {text}",
            local_time(wall, c"%b %e %H:%M:%S")
        );
        // Once on the connection there is, once on a new one: the log daemon may have been restarted.
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = self.connect().ok();
            }
            let Some(socket) = &self.socket else { return false };
            match socket.send(self.line.as_bytes()) {
                Ok(_) => return true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => self.socket = None,
            }
        }
        false
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(&self.path)?;
        Ok(socket)
    }
}

/// Local time in a format of `strftime`; empty when there is none.
pub fn local_time(wall: WallTime, format: &std::ffi::CStr) -> String {
    let Ok(seconds) = libc::time_t::try_from(wall.as_unix_micros() / 1_000_000) else { return String::new() };
    let mut text = [0u8; 64];
    // SAFETY: all zero is a valid `tm`; the calls write into it and into `text` within its length, and read a
    // format that ends with a zero byte.
    let length = unsafe {
        let mut broken: libc::tm = core::mem::zeroed();
        if libc::localtime_r(&raw const seconds, &raw mut broken).is_null() {
            return String::new();
        }
        libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), &raw const broken)
    };
    String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reaches_a_log_that_was_restarted() {
        let path = std::env::temp_dir().join(format!("alived-syslog-{}", std::process::id()));
        let mut log = Syslog::at(path.clone(), 3);
        let wall = WallTime::from_unix_micros(1_795_456_766_000_000);
        assert!(!log.send(Severity::Info, wall, "Keepalived", 7, "nobody listens"));
        for _ in 0..2 {
            let _ = std::fs::remove_file(&path);
            let server = UnixDatagram::bind(&path).unwrap();
            assert!(log.send(Severity::Warning, wall, "Keepalived_vrrp", 7, "(VI_1) hello"));
            let mut buffer = [0; 200];
            let length = server.recv(&mut buffer).unwrap();
            let line = std::str::from_utf8(&buffer[..length]).unwrap();
            assert!(line.starts_with("<28>"), "{line}");
            assert!(line.ends_with(" Keepalived_vrrp[7]: (VI_1) hello"), "{line}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
