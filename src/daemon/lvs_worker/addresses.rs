//! Which addresses this host has, for `ha_suspend`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use crate::kernel::{KernelError, KernelEvent, KernelView};
use crate::net::InterfaceIndex;
use crate::sys::netlink::{self, Followed, Interest, Monitor, Ownership};
use crate::sys::readiness::Readiness;

/// Datagrams of notifications that are read at a time.
const DATAGRAMS: usize = 256;

/// Follows them.
#[derive(Debug)]
pub(super) struct HostAddresses {
    monitor: Monitor,
    readiness: Option<Readiness>,
    /// On how many interfaces each is.
    held: BTreeMap<IpAddr, BTreeSet<InterfaceIndex>>,
}

impl HostAddresses {
    /// Begins with those that there are.
    pub(super) fn open(queue: usize) -> Result<Self, KernelError> {
        let mut monitor = Monitor::open(Ownership::Mark)?;
        if let Err(error) = monitor.hold_at_least(queue) {
            tracing::warn!("lvs_netlink_monitor_rcv_bufs: {error}");
        }
        let view = netlink::view(&Ownership::Mark, &Interest::default())?;
        monitor.start_from(&view);
        Ok(Self { monitor, readiness: None, held: of_view(&view) })
    }

    /// All of them.
    pub(super) fn all(&self) -> BTreeSet<IpAddr> {
        self.held.keys().copied().collect()
    }

    /// Waits until one may have come or gone.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        if self.readiness.is_none() {
            self.readiness = Some(Readiness::of(&self.monitor)?);
        }
        match &self.readiness {
            Some(readiness) => readiness.changed().await,
            None => Ok(()),
        }
    }

    /// Those that have come (true) and gone.
    pub(super) fn take(&mut self) -> Result<Vec<(IpAddr, bool)>, KernelError> {
        let before = self.all();
        loop {
            let mut events = Vec::new();
            let followed = self.monitor.drain(DATAGRAMS, &mut events)?;
            let more = !events.is_empty();
            events.into_iter().for_each(|event| self.note(event));
            if followed == Followed::Lost {
                let view = netlink::view(&Ownership::Mark, &Interest::default())?;
                self.monitor.start_from(&view);
                self.held = of_view(&view);
            } else if !more {
                break;
            }
        }
        let now = self.all();
        let came = now.difference(&before).map(|address| (*address, true));
        let gone = before.difference(&now).map(|address| (*address, false));
        Ok(came.chain(gone).collect())
    }

    fn note(&mut self, event: KernelEvent) {
        match event {
            KernelEvent::AddressPresent(address) => {
                self.held.entry(address.prefix.address()).or_default().insert(address.link);
            }
            KernelEvent::AddressGone { link, prefix } => self.forget(prefix.address(), link),
            KernelEvent::LinkGone(link) => {
                let addresses: Vec<IpAddr> = self.held.keys().copied().collect();
                addresses.into_iter().for_each(|address| self.forget(address, link));
            }
            _ => {}
        }
    }

    fn forget(&mut self, address: IpAddr, link: InterfaceIndex) {
        if let Some(links) = self.held.get_mut(&address) {
            links.remove(&link);
            if links.is_empty() {
                self.held.remove(&address);
            }
        }
    }
}

fn of_view(view: &KernelView) -> BTreeMap<IpAddr, BTreeSet<InterfaceIndex>> {
    let mut held: BTreeMap<IpAddr, BTreeSet<InterfaceIndex>> = BTreeMap::new();
    for address in &view.addresses {
        held.entry(address.prefix.address()).or_default().insert(address.link);
    }
    held
}
