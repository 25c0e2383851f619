//! The log daemon of the system: the journal where `/dev/log` is the journal's, else syslog.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use tracing::Level;

use super::form::Identity;
use super::record::Record;
use super::sink::{Outlet, Sink};
use crate::sys::clock::local_time;
use crate::sys::log_socket::LogSocket;

const SYSLOG: &str = "/dev/log";
const JOURNAL: &str = "/run/systemd/journal/socket";

/// The one that takes lines here. Whoever put something else at `/dev/log` wants that to be used.
pub(super) fn system_log(facility: u8, identity: Identity) -> Sink {
    let journal = match std::fs::read_link(SYSLOG) {
        Ok(target) => target.starts_with("/run/systemd/journal"),
        Err(_) => !Path::new(SYSLOG).exists() && Path::new(JOURNAL).exists(),
    };
    if journal {
        Sink::new(Journal { socket: LogSocket::new(JOURNAL.into()), facility, identity })
    } else {
        Sink::new(Syslog { socket: LogSocket::new(SYSLOG.into()), facility, identity })
    }
}

/// Severities of the system log (RFC 5424 §6.2.1).
const fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Lines in the form of RFC 3164.
#[derive(Debug)]
struct Syslog {
    socket: LogSocket,
    /// 0 to 23.
    facility: u8,
    identity: Identity,
}

impl Outlet for Syslog {
    fn put(&mut self, record: &Record, patience: Duration) -> bool {
        let priority = u32::from(self.facility) * 8 + u32::from(severity(record.level));
        let time = local_time(record.wall, c"%b %e %H:%M:%S");
        let Identity { name, pid } = &self.identity;
        let line = format!("<{priority}>{time} {name}[{pid}]: {}", record.message);
        self.socket.send(line.as_bytes(), patience)
    }

    fn why_lost(&self) -> &'static str {
        "the system log did not take them"
    }
}

/// Entries of systemd's journal, with fields (systemd's "Native Journal Protocol").
///
/// Own code: `tracing-journald` waits without end for a journal whose queue is full, and knows no facility.
#[derive(Debug)]
struct Journal {
    socket: LogSocket,
    facility: u8,
    identity: Identity,
}

impl Outlet for Journal {
    fn put(&mut self, record: &Record, patience: Duration) -> bool {
        self.socket.send(&journal_entry(self.facility, &self.identity, record), patience)
    }

    fn why_lost(&self) -> &'static str {
        "the journal did not take them"
    }
}

fn journal_entry(facility: u8, identity: &Identity, record: &Record) -> Vec<u8> {
    let mut entry = Vec::new();
    let mut field = |name: &str, value: &str| {
        entry.extend(name.as_bytes());
        if value.contains('\n') {
            entry.push(b'\n');
            entry.extend((value.len() as u64).to_le_bytes());
        } else {
            entry.push(b'=');
        }
        entry.extend(value.as_bytes());
        entry.push(b'\n');
    };
    field("MESSAGE", &record.message);
    field("PRIORITY", &severity(record.level).to_string());
    field("SYSLOG_FACILITY", &facility.to_string());
    field("SYSLOG_IDENTIFIER", &identity.name);
    field("SYSLOG_PID", &identity.pid.to_string());
    field("ALIVED_TARGET", record.target);
    let mut name = String::new();
    for (key, value) in &record.fields {
        name.clear();
        // Writing to a String cannot fail.
        let _ = write!(name, "ALIVED_{}", key.to_ascii_uppercase());
        field(&name, &value.to_string());
    }
    entry
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::super::record::FieldValue;
    use super::*;

    fn identity() -> Identity {
        Identity { name: "Keepalived_vrrp".to_owned(), pid: 7 }
    }

    #[test]
    fn lines_that_a_full_log_does_not_take_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        server.set_nonblocking(true).unwrap();
        let mut log = Syslog { socket: LogSocket::new(path), facility: 3, identity: identity() };
        let record = Record::new(Level::WARN, "(VI_1) hello".to_owned());
        while log.put(&record, Duration::ZERO) {}
        let sink = Sink::new(log);
        (0..3).for_each(|_| sink.write(&record));
        let mut buffer = [0; 200];
        while server.recv(&mut buffer).is_ok() {}
        sink.write(&record);
        for words in ["because the system log did not take them: 3", "(VI_1) hello"] {
            let length = server.recv(&mut buffer).unwrap();
            let line = std::str::from_utf8(&buffer[..length]).unwrap();
            assert!(line.starts_with("<28>") && line.contains(" Keepalived_vrrp[7]: "), "{line}");
            assert!(line.ends_with(words), "{line}");
        }
    }

    #[test]
    fn a_journal_entry_has_a_field_for_each_value() {
        let mut record = Record::new(Level::ERROR, "two\nlines".to_owned());
        record.fields = vec![("instance", FieldValue::Text("VI=1".to_owned()))];
        record.fields.push(("priority", FieldValue::Unsigned(100)));
        let entry = journal_entry(19, &identity(), &record);
        let message = b"MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\nPRIORITY=3\n";
        assert_eq!(&entry[..message.len()], message);
        let rest = String::from_utf8(entry[message.len()..].to_vec()).unwrap();
        assert_eq!(
            rest.lines().filter(|line| !line.starts_with("ALIVED_TARGET=")).collect::<Vec<_>>(),
            [
                "SYSLOG_FACILITY=19",
                "SYSLOG_IDENTIFIER=Keepalived_vrrp",
                "SYSLOG_PID=7",
                "ALIVED_INSTANCE=VI=1",
                "ALIVED_PRIORITY=100"
            ]
        );
    }
}
