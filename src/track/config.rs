//! Configuration of trackers: `vrrp_script`, `track_file`, `vrrp_track_process`, and the `track_*` blocks of
//! instances and sync groups that refer to them.

use core::fmt;
use core::num::NonZeroU32;
use std::ffi::CString;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::kernel::{IdRange, Script};
use crate::net::InterfaceName;
use crate::secret::pseudonym;
use crate::time::Duration;

/// All trackers of one daemon and who depends on them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct TrackConfig {
    /// `vrrp_script`, each name once.
    pub scripts: Vec<ScriptTracker>,
    /// `track_file`, each name once.
    pub files: Vec<FileTracker>,
    /// `vrrp_track_process`, each name once.
    pub processes: Vec<ProcessTracker>,
    /// `interface_up_down_delays`, each interface once.
    pub interface_delays: Vec<InterfaceDelay>,
    /// `linkbeat_interfaces`, each interface once.
    pub link_polling: Vec<LinkPolling>,
    /// The `track_*` blocks, in the order of the file.
    pub references: Vec<(Owner, TrackReference)>,
}

/// Who depends on a tracker.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Owner {
    /// A `vrrp_instance` by name.
    Instance(Arc<str>),
    /// A `vrrp_sync_group` by name: all its members.
    SyncGroup(Arc<str>),
}

/// One line of a `track_*` block.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TrackReference {
    /// What is tracked.
    pub tracker: Tracker,
    /// What it does to the priority: the line's own, else the tracker's.
    pub weight: Weight,
}

/// Something that can be tracked.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Tracker {
    /// `track_interface`.
    Interface(InterfaceName),
    /// `track_script`: name of a [`ScriptTracker`].
    Script(Arc<str>),
    /// `track_file`: name of a [`FileTracker`].
    File(Arc<str>),
    /// `track_process`: name of a [`ProcessTracker`].
    Process(Arc<str>),
    /// `track_bfd`: name of a BFD session.
    Bfd(Arc<str>),
}

impl fmt::Display for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(name) => write!(f, "interface {name}"),
            Self::Script(name) => write!(f, "script {name}"),
            Self::File(name) => write!(f, "file {name}"),
            Self::Process(name) => write!(f, "process {name}"),
            Self::Bfd(name) => write!(f, "bfd {name}"),
        }
    }
}

/// What a tracker does to the priority of a router (`weight`).
///
/// 0: failure is a fault. Above 0: added while all is well. Below 0: added while it fails. A file's value is
/// multiplied by it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Weight {
    value: i16,
    reverse: bool,
}

impl Weight {
    /// Failure is a fault.
    pub const FAULT: Self = Self { value: 0, reverse: false };

    /// `None` outside of −254 to 254.
    pub const fn new(value: i16, reverse: bool) -> Option<Self> {
        if value < -254 || value > 254 { None } else { Some(Self { value, reverse }) }
    }

    /// The number.
    pub const fn value(self) -> i16 {
        self.value
    }

    /// `reverse`: success and failure change places.
    pub const fn is_reversed(self) -> bool {
        self.reverse
    }
}

/// `vrrp_script`: a program run again and again.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ScriptTracker {
    /// Name in `track_script`.
    pub name: Arc<str>,
    /// `script`, `user`.
    pub test: ScriptTest,
    /// `interval`: pause from the start of one run to the start of the next; 1 ms resolution, above 0.
    pub interval: Duration,
    /// `timeout`: a run longer than this has failed; the interval unless set.
    pub timeout: Duration,
    /// `weight`.
    pub weight: Weight,
    /// `rise`: successes in a row that end a failure.
    pub rise: NonZeroU32,
    /// `fall`: failures in a row that make one.
    pub fall: NonZeroU32,
    /// `init_fail`: counts as failed until the first success.
    pub starts_failed: bool,
}

/// What a `vrrp_script` does.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ScriptTest {
    /// Runs a program: exit status 0 is success.
    Run(#[serde(serialize_with = "without_arguments")] Script),
    /// `script "< PATH"`: opens a file for reading.
    Open(CString),
    /// Fails for this reason: the script cannot be run.
    Never(Arc<str>),
}

/// Arguments can be passwords: only whether they are the same is anybody's business.
fn without_arguments<S: Serializer>(script: &Script, serializer: S) -> Result<S::Ok, S::Error> {
    let stand_in = |argument: &CString| {
        let digits = u64::from_be_bytes(pseudonym(argument.to_bytes()));
        CString::new(format!("{digits:016x}")).unwrap_or_default()
    };
    let arguments = script.arguments.iter().map(stand_in).collect();
    Script { arguments, ..script.clone() }.serialize(serializer)
}

/// The command line as an operator reads it.
impl fmt::Display for ScriptTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(script) => script.fmt(f),
            Self::Open(path) => write!(f, "< '{}'", path.to_string_lossy()),
            Self::Never(why) => write!(f, "({why})"),
        }
    }
}

/// `track_file`: a file that holds a number.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FileTracker {
    /// Name in `track_file` blocks and `FILE_CHECK`.
    pub name: Arc<str>,
    /// `file`: path; a file that does not exist counts 0.
    pub path: Arc<str>,
    /// `weight`: the file's number is multiplied by it.
    pub weight: Weight,
    /// `init_file`: written at start.
    pub initial: Option<InitialContent>,
}

/// `init_file [VALUE] [overwrite]`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct InitialContent {
    /// The number to write.
    pub value: i32,
    /// Also when the file exists.
    pub overwrite: bool,
}

/// `vrrp_track_process`: processes counted by the kernel's process connector.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ProcessTracker {
    /// Name in `track_process`.
    pub name: Arc<str>,
    /// `process`: name of the command.
    pub process: CString,
    /// Words after it: arguments that a process must have to count.
    pub parameters: Vec<CString>,
    /// `param_match`, or exact when parameters are given.
    pub parameter_match: ParameterMatch,
    /// `weight`.
    pub weight: Weight,
    /// `quorum`, `quorum_max`: how many must run.
    pub quorum: Quorum,
    /// `delay`, `terminate_delay`, `fork_delay`.
    pub timing: ProcessTrackerTiming,
    /// `full_command`: the whole of `argv[0]` is compared, not the 15 bytes of the short name.
    pub full_command: bool,
}

impl ProcessTracker {
    /// Whether the command line of a process is looked at, not its short name alone: keepalived's `full_command`.
    pub const fn reads_command_line(&self) -> bool {
        self.full_command || !self.parameters.is_empty()
    }

    /// Whether the same processes count for both.
    pub fn counts_the_same(&self, other: &Self) -> bool {
        let what = |tracker: &Self| (tracker.parameter_match, tracker.full_command);
        self.process == other.process && self.parameters == other.parameters && what(self) == what(other)
    }
}

/// How many processes must run.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Quorum {
    /// At least so many: 1 to 65535.
    AtLeast(core::num::NonZeroU16),
    /// So many, both ends included.
    Between(IdRange<u16>),
    /// `quorum_max 0`: none.
    None,
}

impl Quorum {
    /// The fewest and the most that may run, as the keywords have them.
    pub const fn bounds(self) -> (u16, Option<u16>) {
        match self {
            Self::AtLeast(least) => (least.get(), None),
            Self::Between(range) => (range.first(), Some(range.last())),
            Self::None => (0, Some(0)),
        }
    }
}

/// How parameters of a process are compared.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum ParameterMatch {
    /// Not at all.
    #[default]
    Ignored,
    /// The process has these and no others.
    Exact,
    /// `initial`: the process' first ones are these, of which the last may go on longer.
    Initial,
    /// `partial`: the process' first ones are these.
    Partial,
}

/// How long a count must last before it matters: up to one hour each.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct ProcessTrackerTiming {
    /// `terminate_delay`: wait after the quorum was lost.
    pub terminate_delay: Duration,
    /// `fork_delay`: wait after the quorum was gained.
    pub fork_delay: Duration,
}

/// A line of `interface_up_down_delays`: how long a change must last before it counts, 0 to 255 s.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct InterfaceDelay {
    /// The interface.
    pub interface: InterfaceName,
    /// Before it counts as down.
    pub down: Duration,
    /// Before it counts as up.
    pub up: Duration,
}

/// A line of `linkbeat_interfaces`: the carrier is polled, not awaited from netlink.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LinkPolling {
    /// The interface.
    pub interface: InterfaceName,
    /// How; `None` = the first that works of MII, ethtool, `SIOCGIFFLAGS`.
    pub method: Option<LinkPollingMethod>,
}

/// How a carrier is polled.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum LinkPollingMethod {
    /// `MII`: the status register of the transceiver.
    Mii,
    /// `ETHTOOL`.
    Ethtool,
    /// `IOCTL`: the flag `IFF_RUNNING`.
    Flags,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_has_a_range() {
        assert_eq!(Weight::new(-254, true).map(Weight::value), Some(-254));
        assert_eq!(Weight::new(255, false), None);
        assert_eq!(Weight::new(-255, false), None);
        assert_eq!(Weight::FAULT, Weight::default());
    }
}
