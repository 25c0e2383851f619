//! The words of an engine: states, causes and reports, what is received and what is sent.

use core::fmt;
use core::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fault_reason::On;
use super::{AddressDifference, EffectivePriority, FaultReason, PacketReport, RoutingReport, Verdicts};
use crate::kernel::{KernelError, ReceiveSocket, RouterId, VirtualLink};
use crate::net::{Family, InterfaceIndex, InterfaceName, Prefix};
use crate::time::{Duration, WallTime};
use crate::wire::ah::{self, AH_PROTOCOL};
use crate::wire::ip::IpFields;
use crate::wire::vrrp::{AdvertisementInterval, Priority, Rejection, Version, Vrid};

/// State of a virtual router (RFC 9568 §6.4; `Fault` is keepalived's).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum State {
    /// Not started, or stopped.
    Initialize,
    /// Listens to a master.
    Backup,
    /// Advertises and holds the addresses.
    Master,
    /// Cannot take part; see [`FaultReason`].
    Fault,
}

impl fmt::Display for State {
    /// As keepalived writes it: `MASTER`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Initialize => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
            Self::Fault => "FAULT",
        })
    }
}

/// What keeps advertisements from being sent, by the kernel's error number.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct SendObstacle {
    /// Positive `errno`.
    pub errno: i32,
}

impl SendObstacle {
    /// The packet is larger than the interface's MTU (EMSGSIZE).
    pub(super) const fn is_size(self) -> bool {
        self.errno == 90
    }
}

impl fmt::Display for SendObstacle {
    /// Says what to do, where that is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The numbers of Linux.
        f.write_str(match self.errno {
            1 | 13 => "a firewall rule of this host drops it; let protocol 112 out",
            90 => "it is larger than the interface's MTU; raise the MTU, or announce fewer addresses",
            97 => "the host does not speak its address family",
            99 => "its source address is not on this host",
            100 => "the interface is down",
            101 => "there is no route to its destination",
            105 => "the interface's queue is full",
            113 => "its destination does not answer",
            errno => return write!(f, "error number {errno}"),
        })
    }
}

/// Why a router changed its state.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Cause {
    /// The daemon started.
    Startup,
    /// Owner of the addresses: master without waiting (RFC 9568 §6.4.1).
    Owner,
    /// Goes on for a predecessor that was killed as master a moment ago.
    Succession,
    /// No advertisement for a master-down time.
    MasterDown {
        /// The master not heard any more, if one was.
        last_master: Option<IpAddr>,
    },
    /// The master announced that it leaves (priority 0).
    MasterLeft {
        /// The master that left.
        from: IpAddr,
    },
    /// The master has a lower priority than ours.
    Preempted {
        /// The master of lower priority.
        master: IpAddr,
        /// Its priority.
        priority: Priority,
        /// Ours.
        ours: EffectivePriority,
    },
    /// A master of higher priority, or equal priority and higher address, was heard.
    BetterMaster {
        /// Its address.
        from: IpAddr,
        /// Its priority.
        priority: Priority,
        /// Ours.
        ours: EffectivePriority,
    },
    /// A fault began.
    Fault(FaultReason),
    /// The last fault ended, this one.
    FaultCleared(FaultReason),
    /// It stood back for a fault of its own, and nobody took its place.
    NobodyElse,
    /// It stood still so long that another router may have taken over (`timer_expired_backup`).
    StoodStill {
        /// Since its last advertisement.
        silence: Duration,
        /// The other one's priority.
        priority: Priority,
    },
    /// The operator switched over, and the successor was heard.
    SwitchOver {
        /// The successor.
        successor: IpAddr,
    },
    /// The operator switched back.
    SwitchBack,
    /// The sync group changes its state because of another member.
    SyncGroup {
        /// The group.
        group: Arc<str>,
        /// The member.
        member: Arc<str>,
        /// Why that one did.
        cause: Box<Self>,
    },
    /// The router was removed or replaced by a reload.
    Reload,
    /// The daemon stops.
    Shutdown,
}

impl Cause {
    /// A word for its kind, for programs: that of what happened where it began.
    pub fn kind(&self) -> &'static str {
        match self.root() {
            Self::Startup => "startup",
            Self::Owner => "owner",
            Self::Succession => "succession",
            Self::MasterDown { .. } => "master-down",
            Self::MasterLeft { .. } => "master-left",
            Self::Preempted { .. } => "preempted",
            Self::BetterMaster { .. } => "better-master",
            Self::Fault(_) => "fault",
            Self::FaultCleared(_) => "fault-cleared",
            Self::NobodyElse => "nobody-else",
            Self::StoodStill { .. } => "stood-still",
            Self::SwitchOver { .. } => "switch-over",
            Self::SwitchBack => "switch-back",
            // Never a root.
            Self::SyncGroup { .. } => "sync-group",
            Self::Reload => "reload",
            Self::Shutdown => "shutdown",
        }
    }

    /// What happened to the member of the sync group where it began; itself without a group.
    pub fn root(&self) -> &Self {
        match self {
            Self::SyncGroup { cause, .. } => cause.root(),
            cause => cause,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Startup => f.write_str("started"),
            Self::Owner => f.write_str("owner of the addresses (priority 255)"),
            Self::Succession => f.write_str("going on for a process that was killed"),
            Self::MasterDown { last_master: Some(master) } => {
                write!(f, "master {master} not heard for a master-down time")
            }
            Self::MasterDown { last_master: None } => f.write_str("no master heard for a master-down time"),
            Self::MasterLeft { from } => write!(f, "master {from} left (priority 0)"),
            Self::Preempted { master, priority, ours } => {
                write!(f, "preempting master {master}, whose priority {priority} is lower than ours, {ours}")
            }
            Self::BetterMaster { from, priority, ours } => {
                write!(f, "master {from} with priority {priority} heard, ours is {ours}")
            }
            Self::Fault(reason) => reason.fmt(f),
            Self::FaultCleared(FaultReason::Maintenance) => f.write_str("maintenance ended"),
            Self::FaultCleared(last) => write!(f, "last fault cleared, which was: {last}"),
            Self::NobodyElse => f.write_str("nobody else took over: trying again"),
            Self::StoodStill { silence, priority } => write!(
                f,
                "stood still, silent for {} ms: a router of priority {priority} may have taken over",
                silence.as_millis()
            ),
            Self::SwitchOver { successor } => write!(f, "switched over to {successor}"),
            Self::SwitchBack => f.write_str("switched back"),
            Self::SyncGroup { group, member, cause } => {
                write!(f, "sync group {group}: member {member}: {cause}")
            }
            Self::Reload => f.write_str("configuration reloaded"),
            Self::Shutdown => f.write_str("stopping"),
        }
    }
}

/// A change of state.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Transition {
    /// Which router.
    pub router: RouterId,
    /// Its name.
    pub name: Arc<str>,
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// Effective priority at that moment.
    pub priority: Priority,
}

/// A received message, as the driver hands it over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Datagram<'a> {
    /// The socket it came by, which tells the interface and the protocol. Several sockets may each get the same packet.
    pub socket: ReceiveSocket,
    /// Sender.
    pub source: IpAddr,
    /// Group or address it was sent to.
    pub destination: IpAddr,
    /// TTL or hop limit; `None` where the driver could not learn it.
    pub hop_limit: Option<u8>,
    /// The IP header of an IPv4 packet as it was received; empty where the driver could not learn it.
    pub header: &'a [u8],
    /// What follows the IP header.
    pub payload: &'a [u8],
    /// Where to note what is found of its authentication, or where to learn it; `None` where nobody wants to know.
    pub verdicts: Option<&'a Verdicts>,
}

impl<'a> Datagram<'a> {
    /// The VRRP message: what follows an authentication header where the socket is for such packets.
    pub fn message(&self) -> Option<&'a [u8]> {
        match self.socket.protocol {
            AH_PROTOCOL => ah::parse(self.payload).map(|packet| packet.message),
            _ => Some(self.payload),
        }
    }
}

/// An advertisement to send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transmission {
    /// Who sends, for counting failures.
    pub router: RouterId,
    /// Through this interface; `None` = the one that the routing table says.
    pub link: Option<InterfaceIndex>,
    /// Source address of the IP header.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// The rest of the IP header.
    pub ip: IpFields,
    /// What follows the IP header.
    pub payload: Arc<[u8]>,
}

/// Something to tell the operator, as data; `Display` gives the line without the router's name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// Name of the router, empty if none is concerned.
    pub router: Arc<str>,
    /// What happened.
    pub kind: ReportKind,
}

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ReportKind {
    /// A received packet failed a check; said once until the reason changes (RFC 9568 §7.1).
    Rejected {
        /// Sender.
        from: IpAddr,
        /// Why.
        rejection: Rejection,
        /// The version that was expected.
        version: Version,
    },
    /// `auth_hmac`, anti-replay `time`: somebody with a key of ours has a clock that differs from ours.
    ClockDiffers {
        /// Sender.
        from: IpAddr,
        /// How far its clock is ahead, in microseconds; negative where it is behind.
        ahead_us: i64,
        /// What `time_window` allows.
        window: Duration,
    },
    /// … and agrees with ours again.
    ClockAgrees {
        /// Sender.
        from: IpAddr,
        /// For how long it did not.
        after: Duration,
    },
    /// Another router of this virtual router, of which nothing has been used before.
    PeerHeard {
        /// Sender.
        from: IpAddr,
        /// What it advertises.
        priority: Priority,
    },
    /// The address list of a used advertisement differs from ours.
    AddressListMismatch {
        /// Sender.
        from: IpAddr,
        /// In what.
        difference: AddressDifference,
    },
    /// An advertisement for a virtual router that is not configured here (`log_unknown_vrids`).
    UnknownVrid {
        /// Which.
        vrid: Vrid,
        /// Of which family.
        family: Family,
        /// Sender.
        from: IpAddr,
        /// Where it was heard, if on one interface.
        interface: Option<InterfaceName>,
    },
    /// A version 3 backup follows its master's interval.
    IntervalLearned {
        /// Sender.
        from: IpAddr,
        /// The master's interval.
        interval: AdvertisementInterval,
    },
    /// While master, another master was heard that loses to us; addresses are announced again.
    RivalBeaten {
        /// Sender.
        from: IpAddr,
        /// Its priority.
        priority: Priority,
        /// Ours.
        ours: Priority,
    },
    /// While master, another master that loses to us goes on advertising.
    RivalStays {
        /// Its address.
        from: IpAddr,
        /// Its priority.
        priority: Priority,
        /// Since it was heard first.
        lasting: Duration,
    },
    /// While master, another master that was heard has fallen silent.
    RivalGone {
        /// Its address.
        from: IpAddr,
        /// Since it was heard first.
        lasting: Duration,
    },
    /// Another owner of the addresses (255) does not yield though its address is lower: we do.
    OwnerLowered {
        /// Its address.
        from: IpAddr,
    },
    /// A fault began or ended without a change of state, because others remain.
    FaultsChanged {
        /// All that remain.
        remaining: Vec<FaultReason>,
    },
    /// Trackers changed the effective priority.
    PriorityChanged {
        /// Before.
        from: Priority,
        /// After.
        to: Priority,
    },
    /// A tracked script is judged otherwise than before.
    ScriptVerdict {
        /// Its name.
        name: Arc<str>,
        /// Whether it succeeds.
        success: bool,
        /// How its last run ended.
        ending: String,
    },
    /// As many tracked processes run as should, or no longer.
    QuorumChanged {
        /// Name of their tracker.
        name: Arc<str>,
        /// Whether as many run as should.
        met: bool,
        /// How many run.
        count: u32,
    },
    /// A virtual address disappeared and is put back.
    AddressRepaired {
        /// The address.
        prefix: Prefix,
        /// How often for this address since it became wanted.
        times: u32,
    },
    /// Another host has a virtual address: the kernel does not use it.
    AddressDuplicate {
        /// The address.
        prefix: Prefix,
        /// Where.
        interface: InterfaceName,
    },
    /// Another host had a virtual address, and has it no more.
    AddressUnique {
        /// The address.
        prefix: Prefix,
    },
    /// The kernel refused an address.
    AddressRefused {
        /// The address.
        prefix: Prefix,
        /// The kernel's words.
        error: KernelError,
    },
    /// A left-over of a predecessor is adopted by our election.
    LeftoverAdopted {
        /// How many addresses.
        count: usize,
    },
    /// A left-over of a predecessor is removed: another router is master, or we cannot be.
    LeftoverRemoved {
        /// How many addresses.
        count: usize,
    },
    /// What a predecessor has left and the configuration does not name any more is removed.
    BequestRemoved {
        /// How many addresses, besides those that go along with their interface.
        addresses: usize,
        /// How many routes.
        routes: usize,
        /// How many rules.
        rules: usize,
        /// How many interfaces of our own.
        links: usize,
    },
    /// The kernel does not remove something of that.
    BequestStays {
        /// What, in words.
        object: String,
        /// Why.
        error: KernelError,
    },
    /// The interface holds one of our addresses without our mark: it is left alone.
    ForeignAddress {
        /// The address.
        prefix: Prefix,
        /// Where.
        interface: InterfaceName,
    },
    /// The interface holds a static address without our mark: it is left alone, also at the end.
    StaticAddressForeign {
        /// The address.
        prefix: Prefix,
        /// Where.
        interface: InterfaceName,
    },
    /// An interface of ours was created.
    LinkCreated {
        /// Which.
        link: VirtualLink,
    },
    /// An interface of ours was there already, and is used.
    LinkAdopted {
        /// Which.
        link: VirtualLink,
    },
    /// An interface of ours could not be created or removed.
    LinkRefused {
        /// Which.
        link: VirtualLink,
        /// Why.
        error: KernelError,
    },
    /// An interface of ours disappeared or was changed, and is put back.
    LinkRepaired {
        /// Which.
        link: VirtualLink,
        /// How often since it became wanted.
        times: u32,
    },
    /// Something about routes and rules.
    Routing(RoutingReport),
    /// A switch-over has begun: priority 0 sent, addresses kept until the successor is heard.
    SwitchOverBegun,
    /// The successor is heard.
    SwitchedOver {
        /// Its address.
        successor: IpAddr,
        /// Since priority 0 was sent.
        after: Duration,
    },
    /// No successor was heard, and it leaves all the same, for maintenance.
    NobodyTookOver,
    /// The time is over for which the operator switched over: it preempts again.
    HoldEnded,
    /// No virtual router takes part from now on.
    MaintenanceBegun {
        /// How long, if there is an end.
        span: Option<Duration>,
    },
    /// All take part again.
    MaintenanceEnded {
        /// Because its time was over, not because the operator said so.
        timed: bool,
    },
    /// No successor was heard: mastership resumed.
    SwitchOverAbandoned,
    /// The operator switched back before a successor was heard.
    SwitchOverEnded,
    /// The owner of the addresses (255) does not switch over.
    SwitchOverRefused,
    /// The process stood still longer than a master-down time.
    Stalled {
        /// How long.
        pause: Duration,
    },
    /// Several reports of one kind, which packets cause, were left out.
    LeftOut {
        /// Which kind.
        what: PacketReport,
        /// How many.
        count: u64,
    },
    /// A master of lower priority is heard, and `preempt_delay` begins.
    PreemptDelayed {
        /// The master.
        master: IpAddr,
        /// How long.
        delay: Duration,
        /// Its end.
        until: WallTime,
    },
    /// `vrrp_startup_delay` begins.
    StartupDelayed {
        /// How long.
        delay: Duration,
        /// Its end.
        until: WallTime,
    },
    /// From now on advertisements cannot be sent.
    SendFailing {
        /// Through this interface, where one is given.
        interface: Option<InterfaceName>,
        /// Why.
        obstacle: SendObstacle,
    },
    /// Advertisements can be sent again.
    SendWorks {
        /// Through this interface, where one is given.
        interface: Option<InterfaceName>,
        /// How long they could not.
        after: Duration,
        /// How many could not.
        failed: u64,
    },
    /// A receive socket could not be opened.
    SocketFailed {
        /// On this interface, where one is given.
        interface: Option<InterfaceName>,
        /// The kernel's words.
        error: KernelError,
    },
    /// A unicast peer sums otherwise than assumed so far, and is sent advertisements summed as its own.
    ChecksumOfPeer {
        /// The peer.
        peer: IpAddr,
        /// As keepalived did until 1.3.6.
        old: bool,
    },
}

impl fmt::Display for ReportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected { from, rejection, version } => rejection.describe(*from, *version, f),
            Self::ClockDiffers { from, ahead_us, window } => {
                let millis = ahead_us.unsigned_abs() / 1000;
                let side = if *ahead_us < 0 { "behind" } else { "ahead of" };
                write!(
                    f,
                    "the clock of {from} is {}.{:03} s {side} ours, time_window allows {} s: its advertisements are \
                     dropped, so that it and we may both be master; set the clocks, with NTP (or somebody sends again \
                     what it sent before)",
                    millis / 1000,
                    millis % 1000,
                    window.as_secs()
                )
            }
            Self::ClockAgrees { from, after } => {
                write!(f, "the clock of {from} agrees with ours again, after {:.1} s", after.as_secs_f64())
            }
            Self::AddressListMismatch { from, difference } => write!(
                f,
                "{from}: {difference}; its advertisements are used all the same, make virtual_ipaddress equal on all \
                 routers"
            ),
            Self::UnknownVrid { vrid, family, from, interface } => {
                write!(
                    f,
                    "received an {family} advertisement for VRID {vrid} from {from}{}, which",
                    On(interface)
                )?;
                f.write_str(" no vrrp_instance here has")
            }
            Self::PeerHeard { from, priority } => {
                write!(f, "{from} is heard for the first time, priority {priority}")
            }
            Self::IntervalLearned { from, interval } => {
                write!(f, "advertisement interval of master {from} is {interval} sec: following it")
            }
            Self::RivalBeaten { from, priority, ours } => write!(
                f,
                "Received advert from {from} with {} priority {priority}, ours {ours}: a second master, announcing \
                 again",
                if priority == ours { "equal" } else { "lower" }
            ),
            Self::RivalStays { from, priority, lasting } => write!(
                f,
                "a second master {from} with priority {priority} has been heard for {:.0} s: it does not hear us, or \
                 does not understand us",
                lasting.as_secs_f64()
            ),
            Self::RivalGone { from, lasting } => {
                write!(f, "second master {from} is not heard any more, after {:.1} s", lasting.as_secs_f64())
            }
            Self::OwnerLowered { from } => write!(
                f,
                "{from} has priority 255, too, and does not yield: ours is 254 until it is gone; only one router may \
                 own the addresses, give the other one a lower priority"
            ),
            Self::FaultsChanged { remaining } => {
                f.write_str("still in FAULT:")?;
                for (index, reason) in remaining.iter().enumerate() {
                    write!(f, "{} {reason}", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::PriorityChanged { from, to } => {
                write!(f, "Changing effective priority from {from} to {to}")
            }
            Self::ScriptVerdict { name, success: true, .. } => write!(f, "VRRP_Script({name}) succeeded"),
            Self::ScriptVerdict { name, success: false, ending } => {
                write!(f, "VRRP_Script({name}) failed: it {ending}")
            }
            Self::QuorumChanged { name, met, count } => {
                let word = if *met { "gained" } else { "lost" };
                write!(f, "Quorum {word} for tracked process {name}, {count} run")
            }
            Self::AddressRepaired { prefix, times } => {
                write!(f, "address {prefix} was removed by somebody else, putting it back (repair {times})")
            }
            Self::AddressDuplicate { prefix, interface } => write!(
                f,
                "another host on {interface} has {prefix} (duplicate address detection failed): it is neither used nor \
                 announced, and tried again; find that host, or leave out -nodad"
            ),
            Self::AddressUnique { prefix } => write!(f, "no other host has {prefix} any more: it is in use"),
            Self::AddressRefused { prefix, error } => {
                write!(f, "the kernel refuses address {prefix}: {error}")?;
                // EPERM.
                f.write_str(if error.errno == 1 { "; run alived with CAP_NET_ADMIN" } else { "" })
            }
            Self::LeftoverAdopted { count } => {
                write!(f, "adopting {count} address(es) left over by a predecessor")
            }
            Self::LeftoverRemoved { count } => {
                write!(f, "removing {count} address(es) left over by a predecessor")
            }
            Self::BequestRemoved { addresses, routes, rules, links } => write!(
                f,
                "removing {addresses} address(es), {routes} route(s), {rules} rule(s) and {links} interface(s) that a \
                 predecessor left and the configuration does not name any more"
            ),
            Self::BequestStays { object, error } => {
                write!(f, "cannot remove {object}, left by a predecessor: {error}; remove it by hand")
            }
            Self::ForeignAddress { prefix, interface } => write!(
                f,
                "address {prefix} is on {interface} without our mark: it is announced while this router is master, \
                 and never removed; if a predecessor left it behind, run `ip address del {prefix} dev {interface}`"
            ),
            Self::StaticAddressForeign { prefix, interface } => write!(
                f,
                "static address {prefix} is on {interface} without our mark: it is left there, also at the end"
            ),
            Self::LinkCreated { link } => {
                write!(f, "Success creating interface {} ({}) on {}", link.name, link.kind, link.parent)
            }
            Self::LinkAdopted { link } => write!(
                f,
                "interface {} ({}) on {}, left over by a predecessor, is used",
                link.name, link.kind, link.parent
            ),
            Self::LinkRefused { link, error } => {
                write!(f, "cannot create or remove interface {} on {}: {error}", link.name, link.parent)?;
                f.write_str(if error.errno == 1 { "; run alived with CAP_NET_ADMIN" } else { "" })
            }
            Self::LinkRepaired { link, times } => write!(
                f,
                "interface {} was removed or changed by somebody else, putting it back (repair {times})",
                link.name
            ),
            Self::Routing(report) => report.fmt(f),
            Self::SwitchOverBegun => f.write_str(
                "switching over: priority 0 sent, keeping the addresses until a successor is heard",
            ),
            Self::SwitchedOver { successor, after } => {
                write!(f, "{successor} took over {} ms after priority 0 was sent", after.as_millis())
            }
            Self::NobodyTookOver => f.write_str(
                "nobody took over within the time allowed: leaving all the same, for maintenance; nobody serves the \
                 addresses",
            ),
            Self::HoldEnded => f.write_str("the time of the switch-over is over: preempting again"),
            Self::MaintenanceBegun { span: None } => {
                f.write_str("maintenance: no virtual router takes part until it is ended")
            }
            Self::MaintenanceBegun { span: Some(span) } => {
                write!(f, "maintenance: no virtual router takes part for {} s", span.as_secs())
            }
            Self::MaintenanceEnded { timed: false } => f.write_str("maintenance ended"),
            Self::MaintenanceEnded { timed: true } => f.write_str("maintenance ended: its time is over"),
            Self::SwitchOverAbandoned => {
                f.write_str("nobody took over within the time allowed: staying master")
            }
            Self::SwitchOverEnded => {
                f.write_str("told to switch back before a successor was heard: staying master")
            }
            Self::SwitchOverRefused => f.write_str(
                "refusing to switch over: the owner of the addresses (priority 255) always is master; lower \
                 its priority first",
            ),
            Self::Stalled { pause } => write!(
                f,
                "this process stood still for {} ms, longer than a master-down time: listening before acting",
                pause.as_millis()
            ),
            Self::LeftOut { what, count } => write!(f, "{count} more {} within a second", what.words()),
            Self::PreemptDelayed { master, delay, .. } => write!(
                f,
                "master {master} has a lower priority: preempt_delay, taking over in {} s at the earliest",
                delay.as_secs_f64()
            ),
            Self::StartupDelayed { delay, .. } => {
                write!(f, "vrrp_startup_delay: all virtual routers start in {} s", delay.as_secs_f64())
            }
            Self::SendFailing { interface, obstacle } => {
                write!(f, "cannot send advertisements{}: {obstacle}", On(interface))
            }
            Self::SendWorks { interface, after, failed } => write!(
                f,
                "advertisements are sent again{}, after {:.1} s in which {failed} could not",
                On(interface),
                after.as_secs_f64()
            ),
            Self::SocketFailed { interface, error } => {
                write!(f, "cannot listen{}: {error}", On(interface))
            }
            Self::ChecksumOfPeer { peer, old: true } => write!(
                f,
                "the checksums of {peer} are those of keepalived before 1.3.7: using these with it; write \
                 old_unicast_checksum to begin with them, or update it"
            ),
            Self::ChecksumOfPeer { peer, old: false } => {
                write!(f, "the checksums of {peer} are those of the standard now: using these with it")
            }
        }
    }
}
