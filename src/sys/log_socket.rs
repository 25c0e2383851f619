//! A connection to a log daemon: datagrams to its Unix socket, never waiting for long.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use super::poll;

/// A connection that is made anew when the log daemon is restarted.
#[derive(Debug)]
pub(crate) struct LogSocket {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl LogSocket {
    /// To the daemon at this socket, which need not be there yet.
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path, socket: None }
    }

    /// Sends one datagram, waiting at most `patience` where the daemon's queue is full. False when nobody takes it: no
    /// daemon runs, or its queue stays full.
    pub(crate) fn send(&mut self, datagram: &[u8], patience: Duration) -> bool {
        // Once on the connection there is, once on a new one: the log daemon may have been restarted.
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = self.connect().ok();
            }
            let Some(socket) = &self.socket else { return false };
            let mut sent = socket.send(datagram);
            // A burst of lines fills the queue of a log daemon that is only slow.
            if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
                && !patience.is_zero()
                && poll::is_writable(socket, patience)
            {
                sent = socket.send(datagram);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_reaches_a_log_that_was_restarted() {
        let path = std::env::temp_dir().join(format!("alived-log-socket-{}", std::process::id()));
        let mut log = LogSocket::new(path.clone());
        assert!(!log.send(b"nobody listens", Duration::ZERO));
        for _ in 0..2 {
            let _ = std::fs::remove_file(&path);
            let server = UnixDatagram::bind(&path).unwrap();
            assert!(log.send(b"hello", Duration::ZERO));
            let mut buffer = [0; 200];
            let length = server.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"hello");
        }
        std::fs::remove_file(path).unwrap();
    }
}
