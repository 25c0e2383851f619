//! Servers for checks, and the network they are in.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use alived::net::InterfaceName;
use alived::sys::namespace::Namespace;
use alived::sys::netlink::Network;

use crate::skip;

/// Runs a test in a network namespace of its own, with its loopback interface up. Where that is forbidden, the test is
/// skipped.
pub(crate) fn in_namespace(test: impl FnOnce() + Send) {
    let namespace = match Namespace::create() {
        Ok(namespace) => namespace,
        Err(error) => {
            let name = thread::current().name().unwrap_or("a test").to_owned();
            return skip::skip(
                &name,
                &format!("no right to create network namespaces ({error}), run as root"),
            );
        }
    };
    let body = || {
        let mut network = Network::open().unwrap();
        let lo: InterfaceName = "lo".parse().unwrap();
        let lo = network.index_of(&lo).unwrap();
        network.set_up(lo, true).unwrap();
        test();
    };
    namespace.run(body).unwrap();
}

/// Serves each connection by `serve`, in a thread, until the test ends. Gives the port.
pub(crate) fn tcp(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// Takes connections and does nothing with them: the kernel answers.
pub(crate) fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Reads the head of a request of HTTP.
pub(crate) fn request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|length| length == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Answers one request with this, and closes.
pub(crate) fn http(answer: &'static str) -> u16 {
    tcp(move |mut stream| {
        request(&mut stream);
        let _ = stream.write_all(answer.as_bytes());
    })
}

/// Bytes of memory that this process has.
pub(crate) fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
