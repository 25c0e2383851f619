//! What must hold in every run, judged from outside: from bytes on the wire, from what the driver was asked
//! to do and from what it had told before, never from the engine's own variables.
//!
//! - [`step`]: after every wake-up of a daemon, from its [`Ledger`] and the [`Batch`] of that wake-up.
//! - [`returns`]: during faults, who stood still does not dispute what happened meanwhile.
//! - [`unity`]: always, the members of a sync group are in the same state.
//! - [`service`]: during faults, each group whose members all hear each other has a master in time.
//! - [`settled`]: after quiet for a [`Bounds`], exactly the permitted master, addresses and caches there.

pub mod bounds;
pub mod election;
pub mod ledger;
mod passing;
pub mod returns;
pub mod service;
pub mod settled;
pub mod standing;
pub mod step;
pub mod survey;
pub mod tracking;
pub mod unity;

pub use bounds::{Bounds, Pace};
pub use ledger::Ledger;
pub use returns::{Contest, Returns, Standstill};
pub use service::Service;
pub use settled::Settling;
pub use standing::{Standing, Switch};
pub use survey::{Component, GroupKey, HeldOnLan, HostRoute, Member, Survey};
pub use unity::{SyncGroupLook, Unity};

use core::fmt;
use core::net::IpAddr;

use super::MachineId;
use super::frame::Glance;
use crate::net::InterfaceIndex;
use crate::node::Event;
use crate::time::Instant;
use crate::vrrp::Actions;

/// An intact advertisement that was handed to a daemon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Heard {
    /// The interface it arrived on.
    pub link: InterfaceIndex,
    /// Sender.
    pub source: IpAddr,
    /// Group or address it was sent to.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// Its fields.
    pub glance: Glance,
    /// Whether its receiver believes it for certain.
    pub certain: bool,
}

/// One wake-up of a daemon: what it was told and what it did.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The simulator's time.
    pub at: Instant,
    /// The machine's clock.
    pub local: Instant,
    /// Intact advertisements, in the order they were handed over.
    pub heard: &'a [Heard],
    /// Events, in the order they were handed over.
    pub events: &'a [Event],
    /// Everything the node wanted done.
    pub actions: &'a Actions,
}

/// A rule that every run obeys.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Rule {
    /// Every step: never a master in Fault.
    MasterInFault,
    /// Every step: never a master beside a member of its sync group that is in Fault.
    MasterBesideFault,
    /// Always: the members of a sync group are in the same state.
    GroupDivided,
    /// Every step: no advertisement from a router that is not master, except the priority 0 of one that leaves.
    AdvertisesWithoutMastership,
    /// Every step: advertisements go to the configured destinations alone.
    SentAstray,
    /// Every step: no address of ours wanted by a router that is not master.
    AddressWithoutMastership,
    /// Every step: an address that was there without our mark is never removed.
    ForeignAddressRemoved,
    /// Every step: nobody becomes master before the time that the advertisements heard allow.
    ElectedTooEarly,
    /// Every step: a daemon that has done its work sleeps.
    BusyLoop,
    /// Every step: a daemon that stopped leaves no address of ours behind.
    LeftBehind,
    /// During faults: a group whose members all hear each other has a master in time.
    NoMasterInTime,
    /// During faults: whoever stood still while a successor was elected is not master beside it.
    StaleMaster,
    /// Settled: exactly one master.
    NotOneMaster,
    /// Settled: the master is one that preemption, `nopreempt` and switch-over allow.
    WrongMaster,
    /// Settled: the master holds all its addresses.
    AddressMissing,
    /// Settled: a daemon holds its static addresses.
    StaticMissing,
    /// Settled: no address of ours anywhere else.
    AddressElsewhere,
    /// Every step: no route or rule is asked for by a router that is not master.
    RoutingWithoutMastership,
    /// Every step: who leaves gives up rules and routes before the addresses, who becomes master adds them behind.
    RoutingOutOfOrder,
    /// Settled: a master holds its routes and rules, a daemon its static ones.
    RoutingMissing,
    /// Settled: no route or rule of ours anywhere else.
    RoutingElsewhere,
    /// Settled: every host's cache is at the master.
    HostMisled,
    /// Settled: a daemon told to stop has stopped.
    StopUnfinished,
    /// Every step: a daemon leaves an interface of its own in place, whoever made it, while it is configured with it.
    OwnLinkRemoved,
    /// Every step: what belongs on a virtual MAC is asked for there alone.
    WrongInterface,
    /// Every step: nobody yields to a recorded advertisement.
    ReplayBelieved,
    /// Every step: what must grow from one advertisement to the next does, also over a restart.
    StampGoesBack,
    /// During faults: a master that gets advertisements of another one whose clock differs too much names it.
    SkewUnnamed,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MasterInFault => "a router in fault must not be master",
            Self::MasterBesideFault => "who is in a sync group with a router in fault must not be master",
            Self::GroupDivided => "the members of a sync group are in the same state",
            Self::AdvertisesWithoutMastership => "only a master advertises",
            Self::SentAstray => "advertisements go where the configuration says",
            Self::AddressWithoutMastership => "only a master wants its addresses",
            Self::ForeignAddressRemoved => "an address without our mark is never removed",
            Self::ElectedTooEarly => "nobody becomes master before the advertisements heard allow it",
            Self::BusyLoop => "a daemon with nothing due sleeps",
            Self::LeftBehind => "a daemon that stopped leaves no address behind",
            Self::NoMasterInTime => "routers that hear each other have a master in time",
            Self::StaleMaster => "who stood still is not master beside its successor",
            Self::NotOneMaster => "exactly one master after settling",
            Self::WrongMaster => "after settling, a permitted master",
            Self::AddressMissing => "after settling, the master holds its addresses",
            Self::StaticMissing => "after settling, a daemon holds its static addresses",
            Self::AddressElsewhere => "after settling, addresses are at their master alone",
            Self::RoutingWithoutMastership => "only a master asks for its routes and rules",
            Self::RoutingOutOfOrder => "routes and rules come behind the addresses and go before them",
            Self::RoutingMissing => "after settling, the master holds its routes and rules",
            Self::RoutingElsewhere => "after settling, routes and rules are at their master alone",
            Self::HostMisled => "after settling, every host's cache points to the master",
            Self::StopUnfinished => "a stop ends",
            Self::OwnLinkRemoved => "an interface of its own stays while a daemon is configured with it",
            Self::WrongInterface => "an address is where it is configured to be",
            Self::ReplayBelieved => "nobody yields to a recorded advertisement",
            Self::StampGoesBack => "sequence numbers and stamps do not go back",
            Self::SkewUnnamed => "a second master with another time is named",
        })
    }
}

/// A rule that was broken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// When it was seen.
    pub at: Instant,
    /// Which rule.
    pub rule: Rule,
    /// Whose fault, where one machine's.
    pub machine: Option<MachineId>,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}: {}: ", self.at, self.rule)?;
        if let Some(machine) = self.machine {
            write!(f, "{machine}: ")?;
        }
        f.write_str(&self.detail)
    }
}
