//! Real servers, in the network namespace of the test.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A server that runs until it is dropped.
pub(crate) struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts it where the calling thread is.
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// A text in Python, the one of Debian, whose modules there are.
    pub(crate) fn python(text: &str, arguments: &[&str]) -> Self {
        Self::start("/usr/bin/python3", &[&["-u", "-c", text], arguments].concat())
    }

    /// The next line that it says. Panics at its end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).unwrap() > 0, "the server has ended");
        line.trim_end().to_owned()
    }

    /// Waits until it says this line.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, wanted: &str) {
        while self.line() != wanted {}
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until somebody listens at this port.
#[track_caller]
pub(crate) fn wait_for_port(port: u16) {
    for _ in 0..1500 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("nobody listens at port {port}");
}

/// Serves HTTP with TLS: PORT CERTIFICATE KEY. Says of each connection the name that was asked for and how it ended.
pub(crate) const TLS_SERVER: &str = r#"
import socket, ssl, sys, threading
port, certificate, key = sys.argv[1:4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
names = {}
context.sni_callback = lambda connection, name, _: names.__setitem__(connection, name)
def serve(plain):
    try:
        connection = context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False)
        print("name", names.get(connection), flush=True)
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1000)
        if b"/endless" in head:
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            while True:
                connection.sendall(b"x" * 16384)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        if b"/closing" in head:
            connection.settimeout(1)
            connection.unwrap()
            return
        try:
            end = connection.recv(1000)
            print("end in order" if end == b"" else "more", flush=True)
        except (ssl.SSLError, OSError):
            print("end out of order", flush=True)
    except OSError:
        pass
    finally:
        plain.close()
listener = socket.create_server(("", int(port)), backlog=500)
print("listening", flush=True)
while True:
    plain, _ = listener.accept()
    threading.Thread(target=serve, args=(plain,), daemon=True).start()
"#;
