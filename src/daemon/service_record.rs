//! Which services of the kernel's IPVS are ours: it carries no mark of who added what.
//!
//! The record is a file beside the lvs worker's pid file: the number of its configuration, then a service in each line.
//! A service is written down before it is added and struck out after it was removed, so that whoever comes after a killed
//! worker knows what it may take over or remove.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};

use super::files;
use crate::kernel::ipvs::{FirewallMark, HostPort, IpvsKey, IpvsOperation, Protocol, ServiceKey};
use crate::net::Family;
use crate::node::BalancerConfig;
use crate::sys::netlink::ipvs::IpvsSocket;

/// Longest file that is read, in bytes: a million services.
const LONGEST: u64 = 64 << 20;

/// The record's file and what was written last.
#[derive(Debug)]
pub(super) struct ServiceRecord {
    path: PathBuf,
    /// Of the configuration.
    fingerprint: u64,
    services: BTreeSet<ServiceKey>,
}

/// What a predecessor recorded.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Recorded {
    /// Of its configuration.
    pub(super) fingerprint: Option<u64>,
    pub(super) services: BTreeSet<ServiceKey>,
}

impl ServiceRecord {
    /// Reads what there is, and goes on with it.
    pub(super) fn open(pid_file: &Path) -> (Self, Recorded) {
        let path = path(pid_file);
        let recorded = Recorded::read(&path);
        let services = recorded.services.clone();
        let fingerprint = recorded.fingerprint.unwrap_or_default();
        (Self { path, fingerprint, services }, recorded)
    }

    /// Another configuration is in force.
    pub(super) fn set_configuration(&mut self, fingerprint: u64) -> io::Result<()> {
        if self.fingerprint == fingerprint {
            return Ok(());
        }
        self.fingerprint = fingerprint;
        self.write()
    }

    /// These are ours from now on.
    pub(super) fn set_services(&mut self, services: BTreeSet<ServiceKey>) -> io::Result<()> {
        self.services = services;
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        if self.services.is_empty() {
            return match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let mut text = format!("configuration {:016x}\n", self.fingerprint);
        for service in &self.services {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{service}");
        }
        files::write_own(&self.path, &text)
    }
}

impl Recorded {
    /// Nothing where there is no file, or one of somebody else.
    fn read(path: &Path) -> Self {
        let text = files::read_own(path, LONGEST).unwrap_or_default();
        let mut lines = text.lines();
        let fingerprint = lines.next().and_then(|line| line.strip_prefix("configuration "));
        Self {
            fingerprint: fingerprint.and_then(|number| u64::from_str_radix(number, 16).ok()),
            services: lines.filter_map(parse).collect(),
        }
    }
}

/// A number that tells configurations of virtual servers apart.
pub(super) fn fingerprint(config: &BalancerConfig) -> u64 {
    struct Sink(DefaultHasher);
    impl fmt::Write for Sink {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut sink = Sink(DefaultHasher::new());
    // The sink takes everything.
    let _ = write!(sink, "{config:?}");
    sink.0.finish()
}

/// Removes from the kernel what the record beside this pid file has, where there is to be no next worker.
pub(super) fn remove_recorded(pid_file: &Path) {
    let path = path(pid_file);
    let services = Recorded::read(&path).services;
    if services.is_empty() {
        return;
    }
    let remove =
        |service: &ServiceKey| IpvsOperation::Remove(IpvsKey { service: *service, destination: None });
    let operations: Vec<IpvsOperation> = services.iter().map(remove).collect();
    match IpvsSocket::open() {
        Ok(mut socket) => {
            let failed = socket.apply(&operations).into_iter().filter_map(Result::err).inspect(|refusal| {
                tracing::error!("{refusal}");
            });
            let failed = failed.count();
            tracing::warn!("removed {} virtual servers that the worker left behind", services.len() - failed);
        }
        Err(error) => tracing::error!("cannot remove what the lvs worker left behind: {error}"),
    }
    // Gone already is just as well.
    let _ = std::fs::remove_file(path);
}

fn path(pid_file: &Path) -> PathBuf {
    pid_file.with_extension("services")
}

/// A line, as [`ServiceKey`] is displayed.
fn parse(line: &str) -> Option<ServiceKey> {
    let (kind, rest) = line.split_once(' ')?;
    let mark = |family| {
        let mark: NonZeroU32 = rest.parse().ok()?;
        Some(ServiceKey::FirewallMark(FirewallMark { mark, family }))
    };
    let protocol = match kind {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        "FWM" => return mark(Family::Ipv4),
        "FWM6" => return mark(Family::Ipv6),
        _ => return None,
    };
    let (address, port) = rest.strip_prefix('[')?.split_once("]:")?;
    let address: IpAddr = address.parse().ok()?;
    let port = NonZeroU16::new(port.parse().ok()?);
    Some(ServiceKey::Address(HostPort { address, port }, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services() -> BTreeSet<ServiceKey> {
        let target =
            |address: &str, port| HostPort { address: address.parse().unwrap(), port: NonZeroU16::new(port) };
        let mark = |mark, family| {
            ServiceKey::FirewallMark(FirewallMark { mark: NonZeroU32::new(mark).unwrap(), family })
        };
        BTreeSet::from([
            ServiceKey::Address(target("192.0.2.1", 80), Protocol::Tcp),
            ServiceKey::Address(target("192.0.2.1", 0), Protocol::Sctp),
            ServiceKey::Address(target("2001:db8::1", 53), Protocol::Udp),
            mark(7, Family::Ipv4),
            mark(u32::MAX, Family::Ipv6),
        ])
    }

    #[test]
    fn the_record_outlives_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("checkers.pid");
        let (mut record, before) = ServiceRecord::open(&pid_file);
        assert_eq!(before, Recorded::default());
        record.set_configuration(7).unwrap();
        record.set_services(services()).unwrap();
        drop(record);
        let (mut record, before) = ServiceRecord::open(&pid_file);
        assert_eq!(before, Recorded { fingerprint: Some(7), services: services() });
        record.set_configuration(8).unwrap();
        assert_eq!(ServiceRecord::open(&pid_file).1.fingerprint, Some(8));
        record.set_services(BTreeSet::new()).unwrap();
        assert!(!folder.path().join("checkers.services").exists());
    }

    #[test]
    fn what_is_no_record_is_passed_over() {
        for line in
            ["", "TCP", "TCP 192.0.2.1:80", "TCP [192.0.2.1]:x", "FWM 0", "ICMP [192.0.2.1]:0", "FWM6 -1"]
        {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
