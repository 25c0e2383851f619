//! The kernel's IPVS by generic netlink (family `IPVS`, `linux/ip_vs.h`): its table, counters, timeouts and
//! synchronisation threads.
//!
//! Own code on the project's netlink socket: no library of a fitting licence speaks this family.

mod decode;
mod encode;
mod explain;
#[cfg(test)]
mod tests;
mod uapi;

use std::collections::BTreeSet;

use netlink_packet_generic::GenlMessage;
use netlink_sys::protocols::NETLINK_GENERIC;

pub use decode::{destination, information, service, sync_daemon, timeouts};
use encode::Request;
use uapi::Command;

use super::generic;
use super::transport::{Acknowledge, Batch, NetlinkSocket, Options};
use crate::kernel::KernelError;
use crate::kernel::ipvs::{
    HeldDestination, HeldService, IpvsEntry, IpvsInformation, IpvsOperation, IpvsRefusal, IpvsTable,
    ServiceKey, SyncDaemon, SyncRole, Timeouts,
};

/// Requests that leave in one system call.
const CHUNK: usize = 256;

/// The answers to a chunk of which every request is refused fit several times.
const RECEIVE_QUEUE_BYTES: usize = 2 << 20;

/// A chunk of the longest requests, of about 300 bytes, fits.
const SEND_QUEUE_BYTES: usize = 1 << 20;

/// The attributes by which the kernel is told of an entry: those by which it tells of it, without what it counts.
pub fn attributes(entry: &IpvsEntry) -> Vec<u8> {
    Request::add(entry).into_attributes()
}

/// A blocking socket for the IPVS of a network namespace; `CAP_NET_ADMIN`.
#[derive(Debug)]
pub struct IpvsSocket {
    socket: NetlinkSocket,
    family: u16,
}

impl IpvsSocket {
    /// Opens it in the calling thread's network namespace, where it stays. The kernel may load its module meanwhile.
    ///
    /// # Errors
    /// A kernel without IPVS: the message names the module. Otherwise in the kernel's words.
    pub fn open() -> Result<Self, KernelError> {
        let options = Options {
            protocol: NETLINK_GENERIC,
            groups: &[],
            receive_queue: RECEIVE_QUEUE_BYTES,
            send_queue: SEND_QUEUE_BYTES,
        };
        let mut socket = NetlinkSocket::open(options)?;
        let family = generic::family_number::<Request>(&mut socket).map_err(explain::unavailable)?;
        Ok(Self { socket, family })
    }

    /// Lets at least so many bytes of answers wait to be read; as many as usual where that is more.
    ///
    /// # Errors
    /// None in practice.
    pub fn hold_at_least(&self, bytes: usize) -> std::io::Result<()> {
        crate::sys::socket::hold_at_least(&self.socket, RECEIVE_QUEUE_BYTES, bytes)
    }

    /// Carries out the changes in order, many in one system call, and gives one result for each. It goes on after a
    /// refusal.
    pub fn apply(&mut self, operations: &[IpvsOperation]) -> Vec<Result<(), IpvsRefusal>> {
        let mut results = Vec::with_capacity(operations.len());
        for chunk in operations.chunks(CHUNK) {
            let asked: Vec<(&IpvsOperation, Way)> =
                chunk.iter().map(|operation| (operation, Way::of(operation))).collect();
            let mut answers = self.ask(&asked);
            // What is there already is changed instead, what is not there is added.
            let (mut again, mut services) = (Vec::new(), BTreeSet::new());
            for (position, ((operation, way), answer)) in asked.iter().zip(&answers).enumerate() {
                let Err(error) = answer else { continue };
                let key = operation.key();
                if let Some(other) = way.instead(operation, error, &services) {
                    if key.destination.is_none() {
                        services.insert(key.service);
                    }
                    again.push((position, other));
                }
            }
            let asked_again: Vec<_> =
                again.iter().map(|(position, way)| (asked[*position].0, *way)).collect();
            for ((position, _), answer) in again.iter().zip(self.ask(&asked_again)) {
                answers[*position] = answer;
            }
            let explained =
                chunk.iter().zip(answers).map(|(operation, answer)| explain::result(operation, answer));
            results.extend(explained);
        }
        results
    }

    /// One answer for each request.
    fn ask(&mut self, requests: &[(&IpvsOperation, Way)]) -> Vec<Result<(), KernelError>> {
        let mut batch = Batch::default();
        for (operation, way) in requests {
            let request = match (operation, way) {
                (IpvsOperation::Remove(key), _) => Request::remove(*key),
                (IpvsOperation::Add(entry) | IpvsOperation::Edit(entry), Way::Edit) => Request::edit(entry),
                (IpvsOperation::Add(entry) | IpvsOperation::Edit(entry), _) => Request::add(entry),
            };
            batch.push(self.message(request), 0);
        }
        // What was carried out of a batch without an answer is not known; reading the table tells.
        self.socket.send(batch, Acknowledge::Last).unwrap_or_else(|error| vec![Err(error); requests.len()])
    }

    /// The whole table, with what it counts. What changes meanwhile may be missing.
    ///
    /// # Errors
    /// In the kernel's words.
    pub fn table(&mut self) -> Result<IpvsTable, KernelError> {
        let services = self.services()?;
        let mut destinations = Vec::new();
        for service in &services {
            destinations.extend(self.destinations(service.key)?);
        }
        Ok(IpvsTable { services, destinations })
    }

    /// The services.
    ///
    /// # Errors
    /// In the kernel's words.
    pub fn services(&mut self) -> Result<Vec<HeldService>, KernelError> {
        let request = self.message(Request::bare(Command::GetService));
        self.socket.dump(request, |_, body| service(generic::content(body)?))
    }

    /// The destinations of a service; none where it does not exist.
    ///
    /// # Errors
    /// In the kernel's words.
    pub fn destinations(&mut self, key: ServiceKey) -> Result<Vec<HeldDestination>, KernelError> {
        let request = self.message(Request::of_service(Command::GetDestination, key));
        self.socket.dump(request, |_, body| destination(key, generic::content(body)?))
    }

    /// Removes all services, whoever added them.
    ///
    /// # Errors
    /// In the kernel's words.
    pub fn flush(&mut self) -> Result<(), KernelError> {
        self.command(Request::bare(Command::Flush))
    }

    /// Begins to count anew: of one service and its destinations, or of all.
    ///
    /// # Errors
    /// In the kernel's words.
    pub fn zero(&mut self, key: Option<ServiceKey>) -> Result<(), KernelError> {
        self.command(match key {
            Some(key) => Request::of_service(Command::Zero, key),
            None => Request::bare(Command::Zero),
        })
    }

    /// The timeouts.
    ///
    /// # Errors
    /// In the kernel's words.
    pub fn timeouts(&mut self) -> Result<Timeouts, KernelError> {
        let request = self.message(Request::bare(Command::GetConfiguration));
        let answers = self.socket.query(request, |_, body| Some(timeouts(generic::content(body)?)))?;
        Ok(answers.first().copied().unwrap_or_default())
    }

    /// Sets those timeouts that are given.
    ///
    /// # Errors
    /// In the kernel's words.
    pub fn set_timeouts(&mut self, timeouts: &Timeouts) -> Result<(), KernelError> {
        self.command(Request::timeouts(timeouts))
    }

    /// The synchronisation threads that run.
    ///
    /// # Errors
    /// In the kernel's words.
    pub fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>, KernelError> {
        let request = self.message(Request::bare(Command::GetDaemon));
        self.socket.dump(request, |_, body| sync_daemon(generic::content(body)?))
    }

    /// Starts a synchronisation thread.
    ///
    /// # Errors
    /// In the kernel's words, with the thread's role and interface; EEXIST where one of this role runs already.
    pub fn start_sync_daemon(&mut self, daemon: &SyncDaemon) -> Result<(), KernelError> {
        self.command(Request::start(daemon))
            .map_err(|error| explain::sync_daemon("start", daemon.role, &error))
    }

    /// Stops the synchronisation thread of a role; one that does not run is success.
    ///
    /// # Errors
    /// In the kernel's words, with the thread's role.
    pub fn stop_sync_daemon(&mut self, role: SyncRole) -> Result<(), KernelError> {
        match self.command(Request::stop(role)) {
            Err(error) if error.errno == libc::ESRCH => Ok(()),
            // A thread that had not run yet is stopped without an answer.
            Err(error) if error.errno == libc::EINTR && !self.has_sync_daemon(role)? => Ok(()),
            other => other.map_err(|error| explain::sync_daemon("stop", role, &error)),
        }
    }

    fn has_sync_daemon(&mut self, role: SyncRole) -> Result<bool, KernelError> {
        Ok(self.sync_daemons()?.iter().any(|daemon| daemon.role == role))
    }

    /// What the kernel's IPVS is.
    ///
    /// # Errors
    /// In the kernel's words.
    pub fn information(&mut self) -> Result<IpvsInformation, KernelError> {
        let request = self.message(Request::bare(Command::GetInformation));
        let answers = self.socket.query(request, |_, body| information(generic::content(body)?))?;
        let none = || KernelError { errno: libc::EIO, message: "IPVS does not say what it is".to_owned() };
        answers.first().copied().ok_or_else(none)
    }

    fn command(&mut self, request: Request) -> Result<(), KernelError> {
        let mut batch = Batch::default();
        batch.push(self.message(request), 0);
        self.socket.send(batch, Acknowledge::Last)?.into_iter().collect()
    }

    fn message(&self, request: Request) -> GenlMessage<Request> {
        let mut message = GenlMessage::from_payload(request);
        message.set_resolved_family_id(self.family);
        message
    }
}

/// By which request a change is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Add,
    Edit,
    Remove,
}

impl Way {
    const fn of(operation: &IpvsOperation) -> Self {
        match operation {
            IpvsOperation::Add(_) => Self::Add,
            IpvsOperation::Edit(_) => Self::Edit,
            IpvsOperation::Remove(_) => Self::Remove,
        }
    }

    /// The other way to do it after this answer. `services` are those that will have been added by then.
    fn instead(
        self,
        operation: &IpvsOperation,
        error: &KernelError,
        services: &BTreeSet<ServiceKey>,
    ) -> Option<Self> {
        let key = operation.key();
        let is_service = key.destination.is_none();
        match (self, error.errno) {
            (Self::Add, libc::EEXIST) => Some(Self::Edit),
            (Self::Add, libc::ESRCH) if services.contains(&key.service) => Some(Self::Add),
            (Self::Edit, libc::ESRCH) if is_service || services.contains(&key.service) => Some(Self::Add),
            // For a service that means that it has no such scheduler.
            (Self::Edit, libc::ENOENT) if !is_service => Some(Self::Add),
            _ => None,
        }
    }
}
