//! Sockets of health checks: opened, bound and connected without waiting.

use core::fmt;
use core::net::{IpAddr, SocketAddr, SocketAddrV6};
use core::time::Duration;
use std::io;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// From where to connect.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Source<'a> {
    /// Of this address.
    pub(crate) address: Option<IpAddr>,
    /// Of this port; 0 = any.
    pub(crate) port: u16,
    /// Through this interface alone, which is the scope of link-local addresses, too.
    pub(crate) interface: Option<&'a str>,
    /// Mark of the packets; 0 = none.
    pub(crate) mark: u32,
}

/// Why a socket could not be opened.
#[derive(Debug)]
pub(crate) struct OpenError {
    step: Step,
    errno: Errno,
}

/// What was being done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Open,
    Interface,
    Mark,
    Bind,
    Connect,
}

impl OpenError {
    /// Whether it is for want of something on this host, and says nothing about the peer: keepalived, too, goes on as
    /// before where it cannot bind.
    pub(crate) fn is_lack(&self) -> bool {
        match self.errno {
            Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => true,
            // No port is free.
            Errno::EADDRNOTAVAIL | Errno::EADDRINUSE | Errno::EAGAIN => true,
            _ => self.step != Step::Connect,
        }
    }

    /// Whether this process may not do it.
    fn is_forbidden(&self) -> bool {
        matches!(self.errno, Errno::EPERM | Errno::EACCES)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = match (self.step, self.errno) {
            (_, Errno::EMFILE | Errno::ENFILE) => {
                "no file descriptor is left (LimitNOFILE= in the systemd unit or ulimit -Hn allows more)"
            }
            (_, Errno::ENOBUFS | Errno::ENOMEM) => "the kernel has no memory left",
            (Step::Connect, Errno::EADDRNOTAVAIL | Errno::EAGAIN) => "no local port is free",
            (Step::Bind, Errno::EADDRINUSE) => "its local port is in use",
            (Step::Bind, Errno::EADDRNOTAVAIL) => "its source address is not on this host",
            (Step::Interface, Errno::ENODEV | Errno::ENXIO) => "its interface does not exist",
            (Step::Open, errno) => return write!(f, "cannot open a socket: {}", reason(errno)),
            (Step::Interface, errno) => return write!(f, "cannot bind to its interface: {}", reason(errno)),
            (Step::Mark, errno) => return write!(f, "cannot set its mark: {}", reason(errno)),
            (Step::Bind, errno) => return write!(f, "cannot bind to its source address: {}", reason(errno)),
            (Step::Connect, errno) => reason(errno),
        };
        f.write_str(said)
    }
}

/// An error of a connection, in words.
pub(crate) fn reason(errno: Errno) -> &'static str {
    match errno {
        Errno::ECONNREFUSED => "connection refused",
        Errno::ECONNRESET => "connection reset",
        Errno::EPIPE => "connection closed",
        Errno::ETIMEDOUT => "connection timed out",
        Errno::EHOSTUNREACH => "no route to the host",
        Errno::ENETUNREACH => "no route to the network",
        Errno::EHOSTDOWN => "the host is down",
        Errno::EPERM | Errno::EACCES => "forbidden by this host",
        other => other.desc(),
    }
}

/// The error of a failed call, in words.
pub(crate) fn io_reason(error: &io::Error) -> &'static str {
    error.raw_os_error().map_or("it failed", |number| reason(Errno::from_raw(number)))
}

/// A TCP connection that is being made.
///
/// # Errors
/// When it cannot even be begun, or is refused at once.
pub(crate) fn stream(to: SocketAddr, from: &Source<'_>) -> Result<Socket, OpenError> {
    let socket = open(Domain::for_address(to), Type::STREAM, Protocol::TCP)?;
    prepare(&socket, to, from)?;
    connect(&socket, to, from)?;
    Ok(socket)
}

/// A UDP socket that hears one peer, and the errors that come back from the way to it.
///
/// # Errors
/// When it cannot be opened, or there is no way to the peer.
pub(crate) fn datagrams(to: SocketAddr, from: &Source<'_>) -> Result<Socket, OpenError> {
    let socket = open(Domain::for_address(to), Type::DGRAM, Protocol::UDP)?;
    hear_errors(&socket, to.ip());
    prepare(&socket, to, from)?;
    connect(&socket, to, from)?;
    Ok(socket)
}

/// A socket for ICMP echo.
#[derive(Debug)]
pub(crate) struct EchoSocket {
    /// Connected to the peer.
    pub(crate) socket: Socket,
    /// It is a raw one: checksums and identifiers are for the caller.
    pub(crate) raw: bool,
}

/// An ICMP datagram socket; where `net.ipv4.ping_group_range` does not let this process have one, a raw one.
///
/// # Errors
/// When it cannot be opened, or there is no way to the peer.
pub(crate) fn echo(to: IpAddr, from: &Source<'_>) -> Result<EchoSocket, OpenError> {
    let (domain, protocol) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let (socket, raw) = match open(domain, Type::DGRAM, protocol) {
        Err(error) if error.is_forbidden() => (open(domain, Type::RAW, protocol)?, true),
        other => (other?, false),
    };
    hear_errors(&socket, to);
    let to = SocketAddr::new(to, 0);
    let from = Source { port: 0, ..*from };
    prepare(&socket, to, &from)?;
    connect(&socket, to, &from)?;
    Ok(EchoSocket { socket, raw })
}

/// Closes a connection with a reset, so that nothing of it stays: no port waits for a minute.
pub(crate) fn abort(socket: Socket) {
    // Without it the connection is closed in the ordinary way.
    let _ = socket.set_linger(Some(Duration::ZERO));
    drop(socket);
}

fn open(domain: Domain, kind: Type, protocol: Protocol) -> Result<Socket, OpenError> {
    Socket::new(domain, kind.nonblocking(), Some(protocol)).map_err(at(Step::Open))
}

fn prepare(socket: &Socket, to: SocketAddr, from: &Source<'_>) -> Result<(), OpenError> {
    if let Some(interface) = from.interface {
        socket.bind_device(Some(interface.as_bytes())).map_err(at(Step::Interface))?;
    }
    if from.mark != 0 {
        socket.set_mark(from.mark).map_err(at(Step::Mark))?;
    }
    if from.address.is_none() && from.port == 0 {
        return Ok(());
    }
    let address = from.address.unwrap_or_else(|| match to {
        SocketAddr::V4(_) => core::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => core::net::Ipv6Addr::UNSPECIFIED.into(),
    });
    if from.port == 0 {
        // The port is chosen with the peer known: as many connections as there are ports for each peer, not in all.
        // Sockets without ports do not have the option.
        let _ = setsockopt(socket, sockopt::IpBindAddressNoPort, &true);
    } else {
        socket.set_reuse_address(true).map_err(at(Step::Bind))?;
    }
    let local = scoped(SocketAddr::new(address, from.port), from)?;
    socket.bind(&local).map_err(at(Step::Bind))
}

fn connect(socket: &Socket, to: SocketAddr, from: &Source<'_>) -> Result<(), OpenError> {
    match socket.connect(&scoped(to, from)?) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(at(Step::Connect)(error)),
        _ => Ok(()),
    }
}

/// With the interface as the scope of a link-local address.
fn scoped(address: SocketAddr, from: &Source<'_>) -> Result<SockAddr, OpenError> {
    if let (SocketAddr::V6(v6), Some(interface)) = (address, from.interface)
        && v6.ip().is_unicast_link_local()
    {
        let index = nix::net::if_::if_nametoindex(interface)
            .map_err(|errno| OpenError { step: Step::Interface, errno })?;
        return Ok(SocketAddrV6::new(*v6.ip(), v6.port(), 0, index).into());
    }
    Ok(address.into())
}

/// Has every ICMP error about what was sent reported, not those alone that are beyond hope.
fn hear_errors(socket: &Socket, to: IpAddr) {
    // Without it fewer of them are reported.
    let _ = match to {
        IpAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvErr, &true),
        IpAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvErr, &true),
    };
}

fn at(step: Step) -> impl Fn(io::Error) -> OpenError {
    move |error| OpenError { step, errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)) }
}
