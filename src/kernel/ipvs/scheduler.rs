//! `lvs_sched`, `lb_algo`: how IPVS spreads connections over real servers.

/// An IPVS scheduler of the kernel.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Scheduler {
    /// `rr`: in turn.
    RoundRobin,
    /// `wrr`: in turn, by weight.
    WeightedRoundRobin,
    /// `lc`: fewest connections.
    LeastConnection,
    /// `wlc`: fewest connections by weight; the default.
    #[default]
    WeightedLeastConnection,
    /// `lblc`: one server for each destination, fewest connections.
    LocalityLeastConnection,
    /// `lblcr`: as `lblc` with a set of servers.
    LocalityLeastConnectionReplication,
    /// `sh`: by hash of the source.
    SourceHash,
    /// `mh`: by Maglev hash of the source.
    MaglevHash,
    /// `dh`: by hash of the destination.
    DestinationHash,
    /// `sed`: shortest expected delay.
    ShortestExpectedDelay,
    /// `nq`: an idle server, else shortest expected delay.
    NeverQueue,
    /// `fo`: the server with the highest weight.
    Failover,
    /// `ovf`: the server with the highest weight until it has as many connections as its weight.
    Overflow,
    /// `twos`: the better of two drawn by weight.
    PowerOfTwo,
}

impl Scheduler {
    /// All, in the order of the manual.
    pub const ALL: [Self; 14] = [
        Self::RoundRobin,
        Self::WeightedRoundRobin,
        Self::LeastConnection,
        Self::WeightedLeastConnection,
        Self::LocalityLeastConnection,
        Self::LocalityLeastConnectionReplication,
        Self::SourceHash,
        Self::MaglevHash,
        Self::DestinationHash,
        Self::ShortestExpectedDelay,
        Self::NeverQueue,
        Self::Failover,
        Self::Overflow,
        Self::PowerOfTwo,
    ];

    /// The kernel's name and the keyword.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "rr",
            Self::WeightedRoundRobin => "wrr",
            Self::LeastConnection => "lc",
            Self::WeightedLeastConnection => "wlc",
            Self::LocalityLeastConnection => "lblc",
            Self::LocalityLeastConnectionReplication => "lblcr",
            Self::SourceHash => "sh",
            Self::MaglevHash => "mh",
            Self::DestinationHash => "dh",
            Self::ShortestExpectedDelay => "sed",
            Self::NeverQueue => "nq",
            Self::Failover => "fo",
            Self::Overflow => "ovf",
            Self::PowerOfTwo => "twos",
        }
    }

    /// The scheduler of a keyword.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheduler| scheduler.name() == name)
    }
}

/// `flag-1` to `flag-3`; the kernel gives them a meaning for each scheduler (`IP_VS_SVC_F_SCHED1` …).
///
/// For `sh` and `mh`, `sh-fallback` and `mh-fallback` are the first, `sh-port` and `mh-port` the second.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SchedulerFlags {
    /// `flag-1`, `sh-fallback`, `mh-fallback`: another server when the hashed one is not available.
    pub first: bool,
    /// `flag-2`, `sh-port`, `mh-port`: the source port counts too.
    pub second: bool,
    /// `flag-3`.
    pub third: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_again() {
        for scheduler in Scheduler::ALL {
            assert_eq!(Scheduler::from_name(scheduler.name()), Some(scheduler));
        }
        assert_eq!(Scheduler::from_name("WLC"), None);
    }
}
