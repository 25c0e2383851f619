//! The whole LAN at one moment, as plain data, for the rules that look at all machines at once.

use core::cell::OnceCell;
use core::fmt;
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Standstill, Switch, SyncGroupLook};
use crate::net::Family;
use crate::sim::MachineId;
use crate::sim::host::HostId;
use crate::sim::network::SegmentId;
use crate::time::{Duration, Instant};
use crate::vrrp::State;
use crate::wire::vrrp::Vrid;

/// The routers that elect one master among them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct GroupKey {
    /// Where they advertise.
    pub segment: SegmentId,
    /// Family.
    pub family: Family,
    /// Virtual router identifier.
    pub vrid: Vrid,
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} vrid {}", self.segment, self.family, self.vrid)
    }
}

/// A router as configured on a machine with a live daemon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// The machine.
    pub machine: MachineId,
    /// Its group.
    pub group: GroupKey,
    /// Its name.
    pub name: Arc<str>,
    /// Configured priority.
    pub priority: u8,
    /// Not `nopreempt`.
    pub preempt: bool,
    /// Where it sends from, if it can.
    pub source: Option<IpAddr>,
    /// Its sync group.
    pub unit: Option<Arc<str>>,
    /// Whether it and all members of its sync group can take part: daemon running, not stopping, interface usable, source address there, and the
    /// advertisement no larger than the MTU.
    pub able: bool,
    /// Its state.
    pub state: State,
    /// Switch-over.
    pub switch: Switch,
    /// When it last became master.
    pub elected: Option<Instant>,
    /// When it last beat a rival.
    pub rival: Option<Instant>,
    /// To which better master it last yielded, and when.
    pub yielded: Option<(IpAddr, Instant)>,
    /// When it last stood still and went on.
    pub returned: Option<Standstill>,
    /// Last change of its machine by a fault.
    pub touched: Instant,
    /// Addresses it must hold as master and where: segment of the interface, if that exists and is usable.
    pub addresses: Vec<(IpAddr, Option<SegmentId>)>,
}

#[cfg(test)]
impl Member {
    /// A backup of the default priority that nothing has happened to.
    pub(super) fn backup(machine: usize, group: GroupKey) -> Self {
        Self {
            machine: MachineId(machine),
            group,
            name: "VI_1".into(),
            priority: 100,
            preempt: true,
            source: Some([10, 0, 0, machine as u8 + 1].into()),
            unit: None,
            able: true,
            state: State::Backup,
            switch: Switch::Off,
            elected: None,
            rival: None,
            yielded: None,
            returned: None,
            touched: Instant::ZERO,
            addresses: Vec::new(),
        }
    }
}

/// An address that a kernel holds on a segment.
#[derive(Clone, Debug)]
pub struct HeldOnLan {
    /// The machine.
    pub machine: MachineId,
    /// Whether a daemon runs there, not about to stop, that is or was configured with the address there.
    pub live: bool,
    /// The address.
    pub address: IpAddr,
    /// Its mark.
    pub ours: bool,
    /// Whether that daemon shall have it there for as long as it lives.
    pub is_static: bool,
}

/// A host's cache entry.
#[derive(Clone, Debug)]
pub struct HostRoute {
    /// The host.
    pub host: HostId,
    /// Its segment.
    pub segment: SegmentId,
    /// Whether it corrects its cache by itself.
    pub patient: bool,
    /// The address.
    pub address: IpAddr,
    /// The machine that the entry points to; `None` for a MAC that is nobody's any more.
    pub machine: Option<MachineId>,
}

/// Groups that depend on one another by the sync groups of their members; a group alone without such.
#[derive(Clone, Debug)]
pub struct Component {
    /// The groups.
    pub keys: BTreeSet<GroupKey>,
    /// Whether all who take part in one of them take part in all of them, in one sync group. Where some do and others do
    /// not, there may be no state that all of them leave as it is.
    pub uniform: bool,
}

/// Everything at one moment.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// When.
    pub at: Instant,
    /// All routers of live daemons.
    pub members: Vec<Member>,
    /// All sync groups of live daemons that do not stand still.
    pub sync_groups: Vec<SyncGroupLook>,
    /// Where the members of each sync group advertise.
    pub units: Vec<Arc<BTreeSet<GroupKey>>>,
    /// All addresses.
    pub held: Vec<HeldOnLan>,
    /// Static addresses of live daemons that their kernels do not hold, though the interface is there.
    pub missing: Vec<(MachineId, IpAddr)>,
    /// Routes and rules of live daemons that their kernels do not hold and would take.
    pub unrouted: BTreeSet<(MachineId, String)>,
    /// Routes and rules that kernels hold though their daemons, which live, are to have given them up.
    pub misrouted: BTreeSet<(MachineId, String)>,
    /// All cache entries of all hosts.
    pub routes: Vec<HostRoute>,
    /// Who hears whom: sender, receiver; in order.
    pub hearing: Vec<(MachineId, MachineId, SegmentId)>,
    /// Who hears whom and does not believe it, for the time that its clock has: sender, receiver.
    pub apart: BTreeSet<(MachineId, MachineId, GroupKey)>,
    /// Segments where frames get lost, and the longest way on each.
    pub segments: Vec<(SegmentId, bool, Duration)>,
    /// Machines whose kernel's notifications are being lost, or whose clock was set a moment ago, so that some of the
    /// others may believe them and some may not: what they do is nobody's guide.
    pub deaf: BTreeSet<MachineId>,
    /// Machines whose daemon was told to stop and still runs, since when.
    pub stopping: Vec<(MachineId, Instant)>,
    /// Machines whose daemon is no member any more, told to stop or ended: when something last happened to them.
    pub leavers: BTreeMap<MachineId, Instant>,
    /// Machines whose daemon was a member of a group until a reload removed the router, and when that was.
    pub removed: BTreeMap<(MachineId, GroupKey), Instant>,
    components: OnceCell<Vec<Component>>,
}

impl Survey {
    /// Nothing seen yet.
    pub fn new(at: Instant) -> Self {
        Self { at, ..Self::default() }
    }

    /// Whether nothing is different from what it was in an earlier survey of which [`super::Service`] takes notice. Takes
    /// over what was found out from that.
    pub fn resembles(&mut self, before: Self) -> bool {
        let same = self.members == before.members
            && self.units == before.units
            && self.hearing == before.hearing
            && self.apart == before.apart
            && self.segments == before.segments
            && self.deaf == before.deaf
            && self.leavers == before.leavers
            && self.removed == before.removed;
        if same {
            self.components = before.components;
        }
        same
    }

    /// All groups.
    pub fn groups(&self) -> BTreeSet<GroupKey> {
        self.members.iter().map(|member| member.group).collect()
    }

    /// The members of a group.
    pub fn group(&self, key: GroupKey) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.group == key)
    }

    /// Whether of two machines that can take part, or of these that are heard and cannot, each beats the other in some of
    /// these groups: they may make backups of each other more than once.
    pub fn is_contested(&self, keys: &BTreeSet<GroupKey>, heard: &BTreeSet<MachineId>) -> bool {
        let mut better: BTreeSet<(MachineId, MachineId)> = BTreeSet::new();
        for key in keys.iter().filter(|_| keys.len() > 1) {
            let rivals: Vec<&Member> =
                self.group(*key).filter(|member| member.able || heard.contains(&member.machine)).collect();
            for member in &rivals {
                let beaten =
                    rivals.iter().filter(|o| (o.priority, o.source) < (member.priority, member.source));
                better.extend(beaten.map(|other| (member.machine, other.machine)));
            }
        }
        better.iter().any(|(winner, loser)| better.contains(&(*loser, *winner)))
    }

    /// Whether a group's routers on two machines hear the one the other, and believe it.
    pub fn hears(&self, from: MachineId, to: MachineId, group: GroupKey) -> bool {
        self.reaches(from, to, group.segment) && !self.apart.contains(&(from, to, group))
    }

    /// Whether what a machine sends on a segment arrives at another one.
    pub fn reaches(&self, from: MachineId, to: MachineId, segment: SegmentId) -> bool {
        self.hearing.binary_search(&(from, to, segment)).is_ok()
    }

    /// The masters of a group.
    pub fn masters(&self, key: GroupKey) -> BTreeSet<MachineId> {
        self.group(key).filter(|m| m.state == State::Master).map(|m| m.machine).collect()
    }

    /// All groups, those together that depend on one another by sync groups.
    pub fn components(&self) -> &[Component] {
        self.components.get_or_init(|| self.find_components())
    }

    fn find_components(&self) -> Vec<Component> {
        let mut components: Vec<BTreeSet<GroupKey>> = Vec::new();
        for unit in &self.units {
            let mut merged: BTreeSet<GroupKey> = (**unit).clone();
            components.retain(|other| {
                let apart = other.is_disjoint(&merged);
                if !apart {
                    merged.extend(other);
                }
                apart
            });
            components.push(merged);
        }
        let tied: BTreeSet<GroupKey> = components.iter().flatten().copied().collect();
        components.extend(self.groups().difference(&tied).map(|key| BTreeSet::from([*key])));
        let component = |keys: BTreeSet<GroupKey>| {
            let units = self.units.iter().filter(|unit| !unit.is_disjoint(&keys));
            let mut alone = self.members.iter().filter(|member| member.unit.is_none());
            let uniform = keys.len() == 1
                || (units.clone().all(|unit| **unit == keys) && !alone.any(|m| keys.contains(&m.group)));
            Component { keys, uniform }
        };
        components.into_iter().map(component).collect()
    }

    /// Whether frames get lost on a segment, and the longest way.
    pub fn segment(&self, id: SegmentId) -> (bool, Duration) {
        self.segments
            .iter()
            .find(|(segment, _, _)| *segment == id)
            .map_or((true, Duration::ZERO), |(_, lossy, delay)| (*lossy, *delay))
    }
}
