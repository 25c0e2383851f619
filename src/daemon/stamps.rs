//! Stamps of authentication are set aside in a file beside the worker's pid file before they are used: whoever comes
//! after this process, however it ends, begins where they end. One decimal number. The file stays when the daemon stops.

use std::io;
use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::files;
use crate::node::NodeConfig;
use crate::sys::clock;
use crate::vrrp::{Reservation, RouterConfig};
use crate::wire::vrrp::Stamp;

/// Longest file that is read, in bytes.
const LONGEST: u64 = 32;

/// What is set aside, and where that is written down.
#[derive(Debug)]
pub(super) struct Stamps {
    path: PathBuf,
    reservation: Option<Reservation>,
    /// While a router needs them.
    renew_at: Option<Instant>,
    failing: bool,
}

impl Stamps {
    /// Nothing is set aside yet. The file is beside this pid file.
    pub(super) fn new(pid_file: &Path) -> Self {
        let path = pid_file.with_extension("stamps");
        Self { path, reservation: None, renew_at: None, failing: false }
    }

    /// Sets aside what the routers of a configuration need before they get it; gives it if there is something new.
    pub(super) fn configure(&mut self, node: &NodeConfig) -> Option<Reservation> {
        if !node.routers.iter().any(RouterConfig::counts_over_restarts) {
            self.renew_at = None;
            return None;
        }
        if self.reservation.is_some() {
            return self.renew();
        }
        let reservation = Reservation::begin(self.read(), clock::wall());
        self.reservation = Some(reservation);
        self.keep(&reservation);
        Some(reservation)
    }

    /// Waits until it has to be renewed.
    pub(super) async fn due(&self) {
        match self.renew_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Sets more aside; gives it if there is something new.
    pub(super) fn renew(&mut self) -> Option<Reservation> {
        self.renew_at = Some(Instant::now() + Reservation::RENEWAL);
        let mut reservation = self.reservation?;
        if !reservation.renew(clock::wall()) {
            return None;
        }
        self.reservation = Some(reservation);
        self.keep(&reservation);
        Some(reservation)
    }

    /// Where nothing can be written down the routers go on all the same: a restart may then count from before.
    fn keep(&mut self, reservation: &Reservation) {
        self.renew_at = Some(Instant::now() + Reservation::RENEWAL);
        let written = self.write(reservation.to_keep());
        if let Err(error) = &written
            && !self.failing
        {
            tracing::warn!(
                "cannot write {}: {error}; if the clock is set back and the daemon restarted, its peers drop its \
                 advertisements",
                self.path.display()
            );
        }
        self.failing = written.is_err();
    }

    /// Nothing where there is no file, or one of somebody else.
    fn read(&self) -> Option<Stamp> {
        let text = files::read_own(&self.path, LONGEST).ok()?;
        text.trim_end().parse().ok().map(Stamp::from_bits)
    }

    fn write(&self, stamp: Stamp) -> io::Result<()> {
        files::write_own(&self.path, &format!("{}\n", stamp.bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Family;
    use crate::secret::Secret;
    use crate::wire::vrrp::{AuthenticationData, Vrid};

    #[test]
    fn a_successor_goes_on_where_its_predecessor_ended() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("vrrp.pid");
        let mut router = RouterConfig::new("R", Vrid::new(1).unwrap(), Family::Ipv4, "eth0".parse().unwrap());
        let none = NodeConfig { routers: vec![router.clone()], ..NodeConfig::default() };
        let mut first = Stamps::new(&pid_file);
        assert_eq!(first.configure(&none), None);
        assert!(!first.path.exists(), "nobody needs it");
        router.authentication = AuthenticationData::AuthenticationHeader(Secret::new([1; 8]));
        let node = NodeConfig { routers: vec![router], ..NodeConfig::default() };
        let before = first.configure(&node).unwrap();
        let after = Stamps::new(&pid_file).configure(&node).unwrap();
        assert_eq!(after.from, before.to_keep());
        std::fs::write(&first.path, "rubbish").unwrap();
        let from = Stamps::new(&pid_file).configure(&node).unwrap().from;
        assert!(before.until.is_after(from), "the clock alone counts");
    }
}
