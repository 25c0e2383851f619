//! What can happen to a LAN: by the network, by machines, by kernels, by operators.

use core::fmt;
use core::net::IpAddr;
use std::sync::Arc;

use super::MachineId;
use super::flood::Flood;
use super::host::HostId;
use super::network::{Conditions, PortId, SegmentId};
use crate::net::Prefix;
use crate::node::{Event, NodeConfig};
use crate::time::{Duration, micros};
use crate::vrrp::{SwitchOver, Whom};

/// One thing that happens at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// A segment gets these conditions.
    Conditions(SegmentId, Conditions),
    /// Frames from the first port no longer reach the second; the other way stays open.
    Cut(PortId, PortId),
    /// The ports named on the segment reach only each other, all others of the segment only each other.
    Partition(SegmentId, Vec<PortId>),
    /// A host begins to forge advertisements.
    Flooded(HostId, Flood),
    /// … and ends.
    FloodEnded(HostId),
    /// A host sends the last advertisements with authentication that it recorded again, with this pause between two, so
    /// often.
    Replayed(HostId, Duration, u32),
    /// Cuts, partitions and bad conditions end.
    HealNetwork,
    /// A host takes an address for itself, as duplicate address detection finds, or gives it back.
    AddressTaken(IpAddr, bool),
    /// A cable is pulled: no carrier.
    CablePulled(MachineId, SegmentId),
    /// … and plugged in again.
    CablePlugged(MachineId, SegmentId),
    /// `ip link set down`.
    AdminDown(MachineId, SegmentId),
    /// `ip link set up`.
    AdminUp(MachineId, SegmentId),
    /// A packet filter of the machine drops what it sends, or does so no more.
    SendingForbidden(MachineId, bool),
    /// A tracked script begins to fail, or does so no more.
    ScriptFails(MachineId, Arc<str>, bool),
    /// Somebody writes a number into a tracked file.
    FileWritten(MachineId, Arc<str>, i32),
    /// From now on so many processes run that a tracker counts.
    ProcessesRun(MachineId, Arc<str>, u32),
    /// `ip link set mtu`, in bytes.
    MtuChanged(MachineId, SegmentId, u32),
    /// An interface is deleted, notified in full or tersely.
    InterfaceDeleted(MachineId, SegmentId, bool),
    /// … and created again under another index, with its own addresses.
    InterfaceCreated(MachineId, SegmentId),
    /// Somebody deletes the virtual MACs on top of an interface.
    VirtualMacsDeleted(MachineId, SegmentId),
    /// An interface gets another name.
    InterfaceRenamed(MachineId, SegmentId),
    /// … and its old one back.
    InterfaceNameRestored(MachineId, SegmentId),
    /// Somebody removes the machine's own address of an interface.
    OwnAddressRemoved(MachineId, SegmentId),
    /// … and adds it again.
    OwnAddressRestored(MachineId, SegmentId),
    /// Somebody removes an address by hand.
    AddressRemoved(MachineId, Prefix),
    /// `ip route flush` and `ip rule flush` of all that daemons made.
    RoutingFlushed(MachineId),
    /// Somebody adds an address by hand, without our mark.
    AddressAdded(MachineId, SegmentId, Prefix),
    /// The kernel's notifications get lost for a time.
    NotificationsLost(MachineId, Duration),
    /// The daemon starts.
    Started(MachineId),
    /// The daemon is killed; its addresses stay.
    Crashed(MachineId),
    /// Its daemon's process leaves to the next one, which [`Fault::Respawned`] starts.
    LeftToNext(MachineId),
    /// Another one takes the place of the killed one, and knows when that was.
    Respawned(MachineId),
    /// The machine dies, with everything in its kernel.
    PowerLost(MachineId),
    /// The machine boots; the daemon is not started yet.
    Booted(MachineId),
    /// SIGSTOP.
    Frozen(MachineId),
    /// SIGCONT.
    Thawed(MachineId),
    /// For so long other programs take the processor away, again and again, for up to 50 ms each.
    Starved(MachineId, Duration),
    /// The whole machine stands still, as a virtual one whose host pauses it: nothing arrives, nobody is answered.
    Paused(MachineId),
    /// … and goes on; its clocks have gone on all the while.
    Resumed(MachineId),
    /// The daemon is told to stop.
    Stopped(MachineId),
    /// The daemon is told to switch over.
    SwitchOver(MachineId),
    /// The daemon is told to switch back.
    SwitchBack(MachineId),
    /// The operator gives an order of another kind.
    Ordered(MachineId, Order),
    /// The daemon gets another configuration.
    Reloaded(MachineId, NodeConfig),
    /// The machine's wall clock jumps, forwards or backwards, by so many microseconds.
    WallClockJumped(MachineId, i64),
}

/// An operator's order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// To hand over.
    SwitchOver(SwitchOver),
    /// To take back.
    SwitchBack(Whom),
    /// Maintenance, for so long or until it is ended.
    Maintain(Option<Duration>),
    /// Its end.
    EndMaintenance,
}

impl Order {
    pub(super) fn event(&self) -> Event {
        match self {
            Self::SwitchOver(order) => Event::SwitchOver(order.clone()),
            Self::SwitchBack(whom) => Event::SwitchBack(whom.clone()),
            Self::Maintain(span) => Event::BeginMaintenance(*span),
            Self::EndMaintenance => Event::EndMaintenance,
        }
    }
}

impl Fault {
    /// The machine concerned, if it is one machine's own fault.
    pub const fn machine(&self) -> Option<MachineId> {
        match self {
            Self::Conditions(..)
            | Self::Cut(..)
            | Self::Partition(..)
            | Self::HealNetwork
            | Self::AddressTaken(..)
            | Self::Flooded(..)
            | Self::FloodEnded(_)
            | Self::Replayed(..) => None,
            Self::CablePulled(machine, _)
            | Self::CablePlugged(machine, _)
            | Self::AdminDown(machine, _)
            | Self::AdminUp(machine, _)
            | Self::SendingForbidden(machine, _)
            | Self::ScriptFails(machine, _, _)
            | Self::FileWritten(machine, _, _)
            | Self::ProcessesRun(machine, _, _)
            | Self::MtuChanged(machine, _, _)
            | Self::InterfaceDeleted(machine, _, _)
            | Self::InterfaceCreated(machine, _)
            | Self::VirtualMacsDeleted(machine, _)
            | Self::InterfaceRenamed(machine, _)
            | Self::InterfaceNameRestored(machine, _)
            | Self::OwnAddressRemoved(machine, _)
            | Self::OwnAddressRestored(machine, _)
            | Self::AddressRemoved(machine, _)
            | Self::RoutingFlushed(machine)
            | Self::AddressAdded(machine, _, _)
            | Self::NotificationsLost(machine, _)
            | Self::Started(machine)
            | Self::Crashed(machine)
            | Self::LeftToNext(machine)
            | Self::Respawned(machine)
            | Self::PowerLost(machine)
            | Self::Booted(machine)
            | Self::Frozen(machine)
            | Self::Thawed(machine)
            | Self::Paused(machine)
            | Self::Starved(machine, _)
            | Self::Resumed(machine)
            | Self::Stopped(machine)
            | Self::SwitchOver(machine)
            | Self::SwitchBack(machine)
            | Self::Ordered(machine, _)
            | Self::Reloaded(machine, _)
            | Self::WallClockJumped(machine, _) => Some(*machine),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conditions(segment, conditions) => write!(f, "{segment}: {conditions}"),
            Self::Cut(from, to) => write!(f, "port {} no longer reaches port {}", from.0, to.0),
            Self::Partition(segment, ports) => {
                write!(f, "{segment}: split off ports")?;
                ports.iter().try_for_each(|port| write!(f, " {}", port.0))
            }
            Self::Flooded(host, flood) => write!(f, "{host} {flood}"),
            Self::Replayed(host, pause, rounds) => {
                write!(
                    f,
                    "{host} sends {rounds} times what it recorded, one packet every {} µs",
                    micros(*pause)
                )
            }
            Self::FloodEnded(host) => write!(f, "{host} ends its flood"),
            Self::HealNetwork => f.write_str("network healed"),
            Self::AddressTaken(address, true) => write!(f, "a host has {address}"),
            Self::AddressTaken(address, false) => write!(f, "no host has {address} any more"),
            Self::CablePulled(_, segment) => write!(f, "cable to {segment} pulled"),
            Self::CablePlugged(_, segment) => write!(f, "cable to {segment} plugged in"),
            Self::AdminDown(_, segment) => write!(f, "interface on {segment} set down"),
            Self::AdminUp(_, segment) => write!(f, "interface on {segment} set up"),
            Self::ScriptFails(_, name, true) => write!(f, "script {name} fails from now on"),
            Self::ScriptFails(_, name, false) => write!(f, "script {name} succeeds from now on"),
            Self::FileWritten(_, name, number) => write!(f, "{number} written into file {name}"),
            Self::ProcessesRun(_, name, count) => write!(f, "{count} processes {name} run"),
            Self::SendingForbidden(_, true) => f.write_str("packet filter drops advertisements"),
            Self::SendingForbidden(_, false) => f.write_str("packet filter passes advertisements"),
            Self::MtuChanged(_, segment, mtu) => write!(f, "interface on {segment} takes {mtu} bytes"),
            Self::InterfaceDeleted(_, segment, _) => write!(f, "interface on {segment} deleted"),
            Self::InterfaceCreated(_, segment) => write!(f, "interface on {segment} created"),
            Self::VirtualMacsDeleted(_, segment) => write!(f, "virtual MACs on {segment} deleted"),
            Self::InterfaceRenamed(_, segment) => write!(f, "interface on {segment} renamed"),
            Self::InterfaceNameRestored(_, segment) => write!(f, "interface on {segment} has its name back"),
            Self::OwnAddressRemoved(_, segment) => write!(f, "own address on {segment} removed"),
            Self::OwnAddressRestored(_, segment) => write!(f, "own address on {segment} restored"),
            Self::AddressRemoved(_, prefix) => write!(f, "{prefix} removed by hand"),
            Self::RoutingFlushed(_) => f.write_str("routes and rules flushed"),
            Self::AddressAdded(_, segment, prefix) => write!(f, "{prefix} added by hand on {segment}"),
            Self::NotificationsLost(_, time) => {
                write!(f, "kernel notifications lost for {} ms", time.as_millis())
            }
            Self::Started(_) => f.write_str("daemon started"),
            Self::Crashed(_) => f.write_str("daemon killed"),
            Self::LeftToNext(_) => f.write_str("daemon's process leaves to the next one"),
            Self::Respawned(_) => f.write_str("daemon started in place of the killed one"),
            Self::PowerLost(_) => f.write_str("power lost"),
            Self::Booted(_) => f.write_str("machine booted"),
            Self::Frozen(_) => f.write_str("daemon frozen"),
            Self::Thawed(_) => f.write_str("daemon thawed"),
            Self::Starved(_, time) => write!(f, "daemon starved for {} ms", time.as_millis()),
            Self::Paused(_) => f.write_str("machine paused"),
            Self::Resumed(_) => f.write_str("machine resumed"),
            Self::Stopped(_) => f.write_str("daemon told to stop"),
            Self::SwitchOver(_) => f.write_str("daemon told to switch over"),
            Self::SwitchBack(_) => f.write_str("daemon told to switch back"),
            Self::Ordered(_, order) => write!(f, "daemon told: {order:?}"),
            Self::Reloaded(_, config) => {
                write!(f, "configuration loaded:")?;
                config
                    .routers
                    .iter()
                    .try_for_each(|router| write!(f, " {} priority {}", router.name, router.priority))
            }
            Self::WallClockJumped(_, us) => write!(f, "wall clock jumps by {} ms", us / 1_000),
        }?;
        if let Self::Conditions(_, conditions) = self
            && !conditions.reordering.is_never()
        {
            write!(f, " by up to {} µs", micros(conditions.reordering_delay))?;
        }
        Ok(())
    }
}
