//! Hears every advertisement and announcement that a router sends, at the switch port it arrives on.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::lab::Lab;
use crate::net::InterfaceIndex;
use crate::net::MacAddress;
use crate::sys::capture::{Capture, Frame};
use crate::time::WallTime;
use crate::wire::ah::{self, AH_PROTOCOL};
use crate::wire::arp::ArpFrame;
use crate::wire::ip::{VRRP_PROTOCOL, parse_ipv4, parse_ipv6};
use crate::wire::ndisc::NeighbourAdvertisement;
use crate::wire::vrrp::{Priority, Vrid};

/// Something a router sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sighting {
    /// When it reached the switch.
    pub time: WallTime,
    /// Which router, from 0.
    pub router: usize,
    /// On which front segment.
    pub front: u8,
    /// What.
    pub what: What,
}

/// What a router sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum What {
    /// A VRRP advertisement.
    Advertisement {
        /// Virtual router.
        vrid: Vrid,
        /// Its priority, 0 when it leaves.
        priority: Priority,
    },
    /// A gratuitous ARP or unsolicited neighbour advertisement.
    Announcement {
        /// The address announced.
        address: IpAddr,
        /// The hardware address it is said to be at.
        mac: MacAddress,
    },
}

/// Records on a thread of its own until dropped.
#[derive(Debug)]
pub struct Recorder {
    sightings: Arc<Mutex<Vec<Sighting>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Starts recording.
    pub fn start(lab: &Lab) -> io::Result<Self> {
        let mut capture = lab.switch().run(Capture::open)??;
        let ports = lab.ports().clone();
        let sightings = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopping) = (Arc::clone(&sightings), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("record".to_owned()).spawn(move || {
            while !stopping.load(Ordering::Relaxed) {
                let mut wanted = [PollFd::new(capture.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut wanted, PollTimeout::from(20u8));
                while let Ok(Some(frame)) = capture.read() {
                    if let Some(sighting) = understand(&frame, &ports) {
                        shared.lock().unwrap_or_else(PoisonError::into_inner).push(sighting);
                    }
                }
            }
        })?;
        Ok(Self { sightings, stop, thread: Some(thread) })
    }

    /// Looks at what was recorded so far.
    pub fn look<T>(&self, view: impl FnOnce(&[Sighting]) -> T) -> T {
        view(&self.sightings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets what was recorded so far.
    pub fn clear(&self) {
        self.sightings.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The routers that advertised after `since`, priority 0 left out, in order of their first
    /// advertisement.
    pub fn senders(&self, since: WallTime) -> Vec<usize> {
        self.look(|sightings| {
            let mut senders = Vec::new();
            for sighting in sightings.iter().rev().take_while(|s| s.time >= since) {
                if matches!(sighting.what, What::Advertisement { priority, .. } if priority != Priority(0))
                    && !senders.contains(&sighting.router)
                {
                    senders.push(sighting.router);
                }
            }
            senders.reverse();
            senders
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn understand(frame: &Frame, ports: &BTreeMap<InterfaceIndex, (usize, u8)>) -> Option<Sighting> {
    let &(router, front) = ports.get(&frame.interface)?;
    let what = advertisement(&frame.bytes).or_else(|| announcement(&frame.bytes))?;
    Some(Sighting { time: frame.time, router, front, what })
}

/// The two fields that the drill needs, where RFC 3768 and RFC 9568 have them; whether the rest is right is
/// for the routers to check.
fn advertisement(frame: &[u8]) -> Option<What> {
    let packet = match frame.get(12..14)? {
        [0x08, 0x00] => parse_ipv4(frame.get(14..)?).ok()?,
        [0x86, 0xdd] => parse_ipv6(frame.get(14..)?).ok()?,
        _ => return None,
    };
    let message = match packet.protocol {
        VRRP_PROTOCOL => packet.payload,
        AH_PROTOCOL => ah::parse(packet.payload)?.message,
        _ => return None,
    };
    match message {
        [_, vrid, priority, ..] => {
            Some(What::Advertisement { vrid: Vrid::new(*vrid)?, priority: Priority(*priority) })
        }
        _ => None,
    }
}

fn announcement(frame: &[u8]) -> Option<What> {
    if let Some(arp) = ArpFrame::parse(frame) {
        return arp
            .is_gratuitous()
            .then_some(What::Announcement { address: IpAddr::V4(arp.sender), mac: arp.sender_mac });
    }
    let advertisement = NeighbourAdvertisement::parse(frame)?;
    let mac = advertisement.target_mac?;
    (!advertisement.is_solicited)
        .then_some(What::Announcement { address: IpAddr::V6(advertisement.target), mac })
}
