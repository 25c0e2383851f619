//! The life of a virtual router that does not exist, from its start over a takeover to its stop, on an interface that
//! does not exist either, so that the kernel refuses all that comes of it.
//!
//! When memory is locked, pages are in memory from their first use on. After this the first takeover does not wait for
//! code that has to be read from the disk.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use super::vrrp_thread::packet;
use crate::kernel::{
    AddressOutcome, AddressReply, AddressSpec, Announcement, Detection, Forwarding, HeldAddress, KernelEvent,
    KernelRequest, KernelView, Link, LinkOperation, SocketEvent,
};
use crate::net::{Family, InterfaceIndex, InterfaceName, MacAddress, Prefix};
use crate::node::{Event, HaNode, NodeConfig};
use crate::sys::netlink::{self, RouteSocket};
use crate::sys::packet::{Announcer, Frame, Packet, Sender};
use crate::time::{Duration, Instant, Now, WallTime};
use crate::vrrp::{Actions, Driver, News, RouterConfig, SocketRequest, Transmission, VirtualAddress};
use crate::wire::vrrp::{Version, Vrid};

/// Timers that are served: until it is master, and some advertisements.
const TIMERS: usize = 8;

/// Goes through it.
///
/// # Errors
/// When the system has no descriptor left, or the calling process no right to send.
pub(super) fn rehearse() -> io::Result<()> {
    for version in [Version::V2, Version::V3] {
        Stage::new()?.play(version);
    }
    Ok(())
}

/// What stands in for the other threads and the kernel.
struct Stage {
    sender: Sender,
    announcer: Announcer,
    socket: RouteSocket,
    /// What the router is told of its requests: they were granted.
    answers: Vec<Event>,
    sent: usize,
    stopped: bool,
}

impl Stage {
    fn new() -> io::Result<Self> {
        Ok(Self {
            sender: Sender::open()?,
            announcer: Announcer::open()?,
            socket: RouteSocket::open().map_err(|error| io::Error::from_raw_os_error(error.errno))?,
            answers: Vec::new(),
            sent: 0,
            stopped: false,
        })
    }

    fn play(&mut self, version: Version) {
        let Some((config, view)) = setting(version) else { return };
        let mut node = HaNode::new(config);
        let mut actions = Actions::default();
        let mut now = Now { instant: Instant::ZERO, wall: WallTime::default() };
        self.tell(&mut node, now, Event::Kernel(KernelEvent::View(view)), &mut actions);
        for _ in 0..TIMERS {
            now.instant =
                now.instant.max(node.poll_timeout().unwrap_or(now.instant + Duration::from_secs(1)));
            node.handle_timeout(now, &mut actions);
            self.carry_out(&mut node, now, &mut actions);
        }
        self.tell(&mut node, now, Event::Stop, &mut actions);
    }

    fn tell(&mut self, node: &mut HaNode, now: Now, event: Event, actions: &mut Actions) {
        node.handle(now, event, actions);
        self.carry_out(node, now, actions);
    }

    fn carry_out(&mut self, node: &mut HaNode, now: Now, actions: &mut Actions) {
        for _ in 0..TIMERS {
            actions.carry_out(self);
            if self.answers.is_empty() {
                break;
            }
            for answer in std::mem::take(&mut self.answers) {
                node.handle(now, answer, actions);
            }
        }
    }
}

impl Driver for Stage {
    fn request(&mut self, request: KernelRequest) {
        // It has no routes.
        let KernelRequest::Addresses(request) = request else { return };
        // Refused, for want of the interface.
        netlink::apply(&mut self.socket, &request.operations);
        let outcomes =
            request.operations.iter().map(|operation| AddressOutcome::of(operation, None)).collect();
        self.answers.push(Event::Addresses(AddressReply { requester: request.requester, outcomes }));
    }

    fn links(&mut self, _: Vec<LinkOperation>) {}

    fn transmit(&mut self, transmissions: &[Transmission]) {
        let packets: Vec<Packet<'_>> = transmissions.iter().map(packet).collect();
        self.sender.send(&packets, |_, _| {});
        self.sent += packets.len();
    }

    fn announce(&mut self, announcements: &[Announcement]) {
        let frames: Vec<Frame> = announcements.iter().map(Frame::announcement).collect();
        self.announcer.send(&frames, |_, _| {});
    }

    fn promote(&mut self, _: InterfaceIndex) {}

    fn socket(&mut self, request: SocketRequest) {
        if let SocketRequest::Open(key) = request {
            self.answers.push(Event::Socket(SocketEvent::Opened(key)));
        }
    }

    /// It has none.
    fn run_script(&mut self, _: Arc<str>) {}

    fn news(&mut self, _: News) {}

    fn stopped(&mut self) {
        self.stopped = true;
    }
}

/// A router with an address, and the only interface of its host.
fn setting(version: Version) -> Option<(NodeConfig, KernelView)> {
    let name: InterfaceName = "rehearsal".parse().ok()?;
    // As high as an index can be: no kernel has come so far.
    let key = InterfaceIndex::new(i32::MAX as u32)?;
    let prefix = |last| Prefix::new(IpAddr::from([192, 0, 2, last]), 24);
    let mut router = RouterConfig::new("rehearsal", Vrid::new(1)?, Family::Ipv4, name);
    router.version = version;
    router.addresses =
        vec![VirtualAddress { spec: AddressSpec::new(prefix(2)?), interface: None, track: true }];
    let link = Link {
        key,
        name: "rehearsal".parse().ok()?,
        mac: Some(MacAddress([2, 0, 0, 0, 0, 1])),
        mtu: 1500,
        admin_up: true,
        running: true,
        loopback: false,
        forwarding: Forwarding::default(),
        stacked: None,
        vrf_table: None,
    };
    let detection = Detection::Done;
    let own = HeldAddress { link: key, prefix: prefix(1)?, ours: false, secondary: false, detection };
    let config = NodeConfig { routers: vec![router], ..NodeConfig::default() };
    Some((config, KernelView { links: vec![link], addresses: vec![own], ..KernelView::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_whole_life() {
        for version in [Version::V2, Version::V3] {
            let Ok(mut stage) = Stage::new() else {
                return crate::skip::skip("it_is_a_whole_life", "no right to send, run as root");
            };
            stage.play(version);
            // Advertisements, and at last priority 0.
            assert!(stage.stopped && stage.sent >= 3, "{version:?}: {} sent", stage.sent);
        }
    }
}
