//! The web process: metrics and a status page over HTTP. It runs as an unprivileged user, is a client of the workers that
//! may only look, and has no file and no network but the socket that it listens at.

mod host_policy;
mod live;
mod metrics;
mod page;
mod response;
mod server;
mod shared;
mod workers;

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};
use tracing::dispatcher;

pub(super) use self::workers::word;

use self::server::Server;
use self::workers::Workers;
use super::configuration::{self, Settings};
use super::log::{Levels, Logger};
use super::options::Options;
use super::status::FATAL;
use crate::config::{HttpAddress, HttpSettings};
use crate::sys::capabilities;
use crate::sys::channel::Channel;
use crate::sys::process;
use crate::sys::readiness::Readiness;
use crate::sys::sandbox::{calls, seal};
use crate::sys::signals::{Signal, SignalQueue};

/// Identity in the system log.
const IDENTITY: &str = "Keepalived_web";

/// Of the process.
const NAME: &str = "alived-web";

/// Connections that were made and are not accepted yet.
const BACKLOG: i32 = 1024;

/// Runs in the calling process, which was forked by the supervisor of this number and has one thread, and gives its exit
/// status. Keys come through `supervisor`; all other descriptors are closed.
pub(super) fn run(options: &Options, settings: &Settings, supervisor: &Channel, parent: u32) -> u8 {
    process::close_all_but(supervisor);
    process::name_thread(NAME);
    let logger = Logger::new(&options.log, configuration::log_identity(settings, IDENTITY, options), "_web");
    dispatcher::with_default(&logger.direct(&mut Levels::default()), || {
        logger.started();
        run_logged(options, settings, supervisor, parent).unwrap_or_else(|text| {
            tracing::error!("{text}");
            FATAL
        })
    })
}

fn run_logged(
    options: &Options,
    settings: &Settings,
    supervisor: &Channel,
    parent: u32,
) -> Result<u8, String> {
    let HttpSettings { address, hosts, user } = &settings.http;
    let HttpAddress::At(address) = *address else { return Ok(0) };
    let listener = listen(address).map_err(|error| format!("cannot serve HTTP at {address}: {error}"))?;
    process::become_user(user).map_err(|error| {
        format!("cannot serve HTTP as user {user}: {error}; name one that exists with user in [http] of alived.toml")
    })?;
    // Not before, since another user means another parent's word.
    if !process::end_with_parent(parent) {
        return Ok(0);
    }
    capabilities::keep_only(&[]).map_err(|error| format!("cannot give up rights: {error}"))?;
    tracing::info!("serving the status page at http://{address}/ and metrics at /metrics, as user {user}");
    if settings.sandbox {
        give_up();
    }
    let signals = SignalQueue::open().map_err(|error| format!("cannot wait for signals: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let served = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let workers = Workers::default();
            let server = Server::new(listener, hosts, workers.clone())?;
            tokio::select! {
                followed = workers.follow(supervisor) => followed,
                stopped = stop(&signals, options.ignore_interrupt) => stopped,
                () = server.serve() => Ok(()),
            }
        })
    });
    served.map(|()| 0).map_err(|error| format!("cannot serve HTTP: {error}"))
}

/// At an address that may come later, as a virtual one does.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Everything that it does not need any more.
fn give_up() {
    if let Err(error) = seal::seal() {
        tracing::info!("this kernel does not keep the web process from files and networks: {error}");
    }
    if let Err(error) = calls::forbid() {
        tracing::warn!("the web process goes on with system calls that it never makes: {error}");
    }
}

/// Waits until it is told to stop.
async fn stop(signals: &SignalQueue, ignore_interrupt: bool) -> io::Result<()> {
    let signalled = Readiness::of(signals)?;
    loop {
        while let Some(signal) = signals.next() {
            if signal == Signal::Stop || signal == Signal::Interrupt && !ignore_interrupt {
                return Ok(());
            }
        }
        signalled.changed().await?;
    }
}
