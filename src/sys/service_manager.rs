//! The service manager that started the daemon (systemd): telling it how far the daemon is (`sd_notify(3)`).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

pub use sd_notify::NotifyState;

/// Names the manager's socket in the environment.
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// How often the manager wants to hear that the service is alive, and of which process.
pub const WATCHDOG_VARIABLES: [&str; 2] = ["WATCHDOG_USEC", "WATCHDOG_PID"];

/// How long the manager waits for a sign of life (`WatchdogSec`), if it does. To be called in the process that it
/// started.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The way to the manager.
///
/// The socket is opened once and not connected: names that begin with `@` belong to the network namespace in which
/// the *sender's* socket was opened, and a manager that opens its socket anew is found again.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl NotifySocket {
    /// To the manager that the environment names, if it names one. To be called in the network namespace that the
    /// process was started in.
    ///
    /// # Errors
    /// When the name is neither a path nor begins with `@`, or the system has no descriptor left.
    pub fn from_environment() -> io::Result<Option<Self>> {
        match std::env::var_os(NOTIFY_SOCKET) {
            Some(name) if !name.is_empty() => Self::open(&name).map(Some),
            _ => Ok(None),
        }
    }

    fn open(name: &OsStr) -> io::Result<Self> {
        let manager = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => {
                let text = format!("{} is neither a path nor begins with @", name.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, manager })
    }

    /// Sends a message made by [`message`]. Does not wait.
    ///
    /// # Errors
    /// `WouldBlock` while the manager does not read; others when it is not there.
    pub fn send(&self, message: &str) -> io::Result<()> {
        self.socket.send_to_addr(message.as_bytes(), &self.manager).map(drop)
    }
}

/// These states as one message.
pub fn message(states: &[NotifyState<'_>]) -> String {
    states.iter().map(|state| format!("{state}\n")).collect()
}

/// The time that goes with [`NotifyState::Reloading`], of now.
pub fn reload_time() -> Option<NotifyState<'static>> {
    // The clock is there since Linux 2.6.
    NotifyState::monotonic_usec_now().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_names_are_understood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let word = format!("alived-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&word).unwrap();
        for (name, manager) in [
            (path.to_str().unwrap().to_owned(), UnixDatagram::bind(&path).unwrap()),
            (format!("@{word}"), UnixDatagram::bind_addr(&abstract_name).unwrap()),
        ] {
            let socket = NotifySocket::open(name.as_ref()).unwrap();
            let text = message(&[NotifyState::Ready, NotifyState::Status("good")]);
            socket.send(&text).unwrap();
            let mut buffer = [0; 64];
            let length = manager.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1\nSTATUS=good\n");
            // The manager does not read: nothing waits.
            manager.set_nonblocking(true).unwrap();
            let mut sent = 0;
            let error = loop {
                match socket.send(&text) {
                    Ok(()) => sent += 1,
                    Err(error) => break error,
                }
                assert!(sent < 1_000_000);
            };
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            drop(manager);
            assert_ne!(socket.send(&text).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
        assert!(NotifySocket::open("vsock:2:1234".as_ref()).is_err());
        assert!(NotifySocket::open("relative".as_ref()).is_err());
    }
}
