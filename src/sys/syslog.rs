//! The system log: datagrams to `/dev/log` in the form of RFC 3164, never waiting for long.

#![allow(unsafe_code)]

use std::fmt::Write;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use super::poll;
use crate::time::WallTime;

/// How long to wait for a log daemon whose queue is full; once, until it takes lines again.
const PATIENCE: Duration = Duration::from_millis(200);

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
    /// Lines that nobody took since the last one that was.
    lost: u64,
}

impl Syslog {
    /// The log at `/dev/log`; `facility` is 0 to 23.
    pub fn new(facility: u8) -> Self {
        Self::at("/dev/log".into(), facility)
    }

    const fn at(path: PathBuf, facility: u8) -> Self {
        Self { path, facility, socket: None, line: String::new(), lost: 0 }
    }

    /// Sends one line. False when nobody takes it: no log daemon runs, or its queue stays full. Such lines are
    /// counted, and the number is sent when lines are taken again.
    pub fn send(&mut self, severity: Severity, wall: WallTime, identity: &str, pid: u32, text: &str) -> bool {
        if self.lost > 0 {
            let text = format!(
                "log lines lost before this, because the system log did not take them: {}",
                self.lost
            );
            if !self.send_line(Severity::Warning, wall, identity, pid, &text) {
                self.lost += 1;
                return false;
            }
            self.lost = 0;
        }
        let sent = self.send_line(severity, wall, identity, pid, text);
        self.lost += u64::from(!sent);
        sent
    }

    fn send_line(
        &mut self,
        severity: Severity,
        wall: WallTime,
        identity: &str,
        pid: u32,
        text: &str,
    ) -> bool {
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
            let mut sent = socket.send(self.line.as_bytes());
            // A burst of lines fills the queue of a log daemon that is only slow.
            if self.lost == 0
                && sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
                && poll::is_writable(socket, PATIENCE)
            {
                sent = socket.send(self.line.as_bytes());
            }
            match sent {
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
    fn lines_that_a_full_log_does_not_take_are_counted() {
        let path = std::env::temp_dir().join(format!("alived-syslog-full-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let server = UnixDatagram::bind(&path).unwrap();
        server.set_nonblocking(true).unwrap();
        let mut log = Syslog::at(path.clone(), 3);
        let wall = WallTime::from_unix_micros(1_795_456_766_000_000);
        let mut send = || log.send(Severity::Info, wall, "Keepalived", 7, "(VI_1) hello");
        while send() {}
        assert!(!send() && !send());
        let mut buffer = [0; 200];
        while server.recv(&mut buffer).is_ok() {}
        assert!(send());
        for words in ["did not take them: 3", "(VI_1) hello"] {
            let length = server.recv(&mut buffer).unwrap();
            let line = std::str::from_utf8(&buffer[..length]).unwrap();
            assert!(line.contains(words), "{line}");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_line_reaches_a_log_that_was_restarted() {
        let path = std::env::temp_dir().join(format!("alived-syslog-{}", std::process::id()));
        let mut log = Syslog::at(path.clone(), 3);
        let wall = WallTime::from_unix_micros(1_795_456_766_000_000);
        assert!(!log.send(Severity::Info, wall, "Keepalived", 7, "nobody listens"));
        for lost in [true, false] {
            let _ = std::fs::remove_file(&path);
            let server = UnixDatagram::bind(&path).unwrap();
            assert!(log.send(Severity::Warning, wall, "Keepalived_vrrp", 7, "(VI_1) hello"));
            let mut buffer = [0; 200];
            if lost {
                server.recv(&mut buffer).unwrap();
            }
            let length = server.recv(&mut buffer).unwrap();
            let line = std::str::from_utf8(&buffer[..length]).unwrap();
            assert!(line.starts_with("<28>"), "{line}");
            assert!(line.ends_with(" Keepalived_vrrp[7]: (VI_1) hello"), "{line}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
