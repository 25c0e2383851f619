//! What happens to the director, what it asks for and what it tells.

use core::fmt;
use core::net::IpAddr;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::{GroupMember, OrderNews, OrderedServer, Service, VirtualServer, VirtualServerGroup};
use crate::kernel::Script;
use crate::kernel::ipvs::{HostPort, IpvsKey, IpvsOperation, IpvsRefusal, IpvsTable, Protocol, ServiceKey};
use crate::time::Duration;

/// What the director is told to do.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct DirectorConfig {
    /// `virtual_server`, each service once.
    pub virtual_servers: Vec<VirtualServer>,
    /// `virtual_server_group`, each name once.
    pub groups: Vec<VirtualServerGroup>,
    /// Which check decides about which real server, in the order of the file.
    pub checks: Vec<CheckedServer>,
    /// How things are done.
    pub conduct: Conduct,
}

/// How a director does things, whoever its servers are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Conduct {
    /// `rs_init_notifies`: that a real server is up is told when its first checks have succeeded, too.
    pub rs_init_notifies: bool,
    /// How long a live real server that leaves the configuration may keep its connections; `None` = it is removed at
    /// once.
    pub leaving_limit: Option<Duration>,
}

/// A check, and one of the real servers that it decides about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CheckedServer {
    /// Index of the virtual server.
    pub virtual_server: u32,
    /// Index among its real servers.
    pub real_server: u32,
    /// The check.
    pub check: CheckId,
    /// `alpha`: it has failed until it succeeds.
    pub alpha: bool,
}

/// A check's number: the same for all that say the same of the same target, and over reloads.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct CheckId(pub u32);

/// A virtual server's number, stable over its life; never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct VirtualServerId(pub u32);

/// What a director finds when it begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beginning {
    /// The kernel's table.
    pub table: IpvsTable,
    /// The services that a predecessor recorded as its own ([`Actions::record`]), and did not remove.
    pub recorded: BTreeSet<ServiceKey>,
    /// That predecessor had this very configuration: the table tells which real servers it found alive.
    pub same_configuration: bool,
    /// Addresses of this host.
    pub addresses: BTreeSet<IpAddr>,
    /// `lvs_flush`: nothing of the table is left.
    pub flush: bool,
    /// What a predecessor was ordered ([`Actions::orders`]).
    pub orders: Vec<OrderedServer>,
}

/// How a director ends.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Ending {
    /// All that is ours is removed.
    #[default]
    Remove,
    /// `lvs_flush_on_stop`: all is removed, whoever added it.
    Flush,
    /// `--dont-release-ipvs`: all stays as it is.
    Keep,
}

/// What happens to the director, other than time.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The answers to as many [`Actions::kernel`], in their order.
    Answers(Vec<Result<(), IpvsRefusal>>),
    /// The answer to [`Actions::read_table`].
    Table {
        /// What the kernel holds after all earlier changes were answered, and before any later one is.
        table: IpvsTable,
        /// How long reading it took: it is read the less often.
        took: Duration,
    },
    /// A check counts as successful or failed.
    Check {
        /// Which.
        check: CheckId,
        /// What it found.
        verdict: Verdict,
        /// Why, in words.
        reason: Arc<str>,
    },
    /// This host got an address, or lost it.
    Address {
        /// The address.
        address: IpAddr,
        /// Got it.
        present: bool,
    },
}

/// What a check found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Alive, with what follows for the real server's weight.
    Up(Advice),
    /// Not.
    Down,
}

/// What a check says of a real server's weight.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Advice {
    /// Nothing.
    #[default]
    Keep,
    /// `misc_dynamic`: this in place of the configured one.
    Set(u32),
    /// `FILE_CHECK`: this in addition to it.
    Add(i64),
}

/// What the director asks for and tells, in the order of carrying out.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    /// Services that are ours, or will be, or are not removed yet: to be recorded before anything else.
    pub record: Option<BTreeSet<ServiceKey>>,
    /// Remove all services. Not answered.
    pub flush: bool,
    /// Changes, to be carried out in this order and after all earlier ones. Each has to be answered.
    pub kernel: Vec<IpvsOperation>,
    /// Read the whole table after these changes.
    pub read_table: bool,
    /// Checks that rest from now on, or go on (`ha_suspend`).
    pub checks: Vec<CheckSwitch>,
    /// All orders in force, where these are others than before: to be remembered for a successor.
    pub orders: Option<Vec<OrderedServer>>,
    /// What others want to know.
    pub news: Vec<News>,
    /// The director has ended.
    pub stopped: bool,
}

/// A check rests or goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CheckSwitch {
    /// Which.
    pub check: CheckId,
    /// It goes on.
    pub active: bool,
}

/// What others want to know.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// A real server is up or down.
    RealServer {
        /// Of this virtual server.
        service: Service,
        /// Its address and port.
        target: HostPort,
        /// It is up.
        up: bool,
        /// Why.
        reason: Arc<str>,
        /// `notify_up`, `notify_down`.
        script: Option<Arc<Script>>,
        /// `smtp_alert`.
        mail: Option<bool>,
    },
    /// The weight of a live real server is another one.
    Weight {
        /// Of this virtual server.
        service: Service,
        /// Its address and port.
        target: HostPort,
        /// Before.
        from: u32,
        /// From now on.
        to: u32,
    },
    /// An order for a real server is given, obeyed or over.
    Order {
        /// Of this virtual server.
        service: Service,
        /// Its address and port.
        target: HostPort,
        /// What becomes of it.
        what: OrderNews,
    },
    /// An entry that is not wished for any more may keep its connections for so long.
    Leaving {
        /// Which.
        key: IpvsKey,
        /// The longest.
        limit: Duration,
    },
    /// It is removed.
    Left {
        /// Which.
        key: IpvsKey,
        /// How many connections are cut.
        cut: u64,
        /// After so long.
        after: Duration,
    },
    /// A virtual server has its quorum, or has it no more.
    Quorum {
        /// The virtual server.
        service: Service,
        /// It has it.
        up: bool,
        /// The weight of all live real servers.
        live: u64,
        /// What is needed to gain, or at least had to be kept not to lose it.
        needed: u64,
        /// Why.
        reason: Arc<str>,
        /// `quorum_up`, `quorum_down`.
        script: Option<Arc<Script>>,
        /// `smtp_alert`.
        mail: Option<bool>,
    },
    /// Checks of a virtual server rest, or go on, because of its address (`ha_suspend`).
    Suspended {
        /// The virtual server.
        service: Service,
        /// They rest.
        suspended: bool,
    },
    /// An entry that somebody removed or changed is put right.
    Repaired {
        /// Which.
        key: IpvsKey,
        /// How often since it was last left in peace.
        times: u32,
    },
    /// The kernel refuses a change; it is asked again later.
    Refused(IpvsRefusal),
    /// Two virtual servers are for one service of the kernel.
    AlreadyServed {
        /// The one that comes later in the file, and does without.
        service: Service,
        /// What it does without.
        key: ServiceKey,
    },
    /// Entries that a predecessor left and that nobody wants are removed.
    LeftOver(usize),
}

/// As keepalived writes it to its FIFO and log: `[192.0.2.1]:tcp:80`, `FWM 7`, or the group's name.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(HostPort { address, port }, protocol) => {
                let protocol = match protocol {
                    Protocol::Tcp => "tcp",
                    Protocol::Udp => "udp",
                    Protocol::Sctp => "sctp",
                };
                write!(f, "[{address}]:{protocol}:{}", port.map_or(0, core::num::NonZeroU16::get))
            }
            Self::FirewallMark(mark) => ServiceKey::FirewallMark(*mark).fmt(f),
            Self::Group(name, _) => f.write_str(name),
        }
    }
}

impl GroupMember {
    /// The services of the kernel that it stands for; `protocol` is that of its addresses.
    pub(super) fn services(&self, protocol: Protocol) -> impl Iterator<Item = ServiceKey> {
        let (first, last, mark) = match *self {
            Self::Addresses { first, further } => (Some(first), further, None),
            Self::FirewallMark(mark) => (None, 0, Some(ServiceKey::FirewallMark(mark))),
        };
        let nth = move |first: HostPort, further: u32| {
            let address = match first.address {
                IpAddr::V4(address) => address.to_bits().checked_add(further)?.to_be_bytes().into(),
                IpAddr::V6(address) => address.to_bits().checked_add(further.into())?.to_be_bytes().into(),
            };
            Some(ServiceKey::Address(HostPort { address, ..first }, protocol))
        };
        let addresses = (0..=last).filter_map(move |further| nth(first?, further));
        mark.into_iter().chain(addresses)
    }
}
