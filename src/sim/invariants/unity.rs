//! The members of a sync group are in the same state, at every moment.
//!
//! Only a reload may put routers of different states into one group. Then a backup may stand beside masters for as long
//! as an election takes: by then it has become master, or has heard a master to follow and made backups of all. Who has
//! not started yet may stand beside anybody for the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{GroupKey, Rule, Survey, Violation};
use crate::sim::MachineId;
use crate::time::{Duration, Instant};
use crate::vrrp::State;

/// A sync group of a daemon that runs.
#[derive(Clone, Debug)]
pub struct SyncGroupLook {
    /// The machine.
    pub machine: MachineId,
    /// Its name.
    pub name: Arc<str>,
    /// Its members and their states.
    pub states: Vec<(Arc<str>, State)>,
    /// Where its members advertise.
    pub keys: Arc<BTreeSet<GroupKey>>,
    /// When a reload last changed who its members are.
    pub joined: Option<Instant>,
    /// When something last happened to the machine.
    pub touched: Instant,
}

impl SyncGroupLook {
    /// Whether these are states of which one may still have to follow the others.
    fn may_join(&self) -> bool {
        let any = |state| self.states.iter().any(|(_, other)| *other == state);
        !any(State::Fault) || !(any(State::Master) || any(State::Backup))
    }
}

/// Follows which groups have been of one mind since they are what they are.
#[derive(Clone, Debug, Default)]
pub struct Unity {
    united: BTreeMap<(MachineId, Arc<str>), Instant>,
}

impl Unity {
    /// Judges all groups of all machines at a moment. `joining` is how long members may be joining.
    pub fn observe(&mut self, survey: &Survey, joining: impl Fn(GroupKey) -> Duration) -> Vec<Violation> {
        let mut broken = Vec::new();
        for look in &survey.sync_groups {
            let key = (look.machine, Arc::clone(&look.name));
            let states: BTreeSet<State> = look.states.iter().map(|(_, state)| *state).collect();
            if states.len() < 2 {
                self.united.insert(key, survey.at);
                continue;
            }
            let longest = look.keys.iter().map(|key| joining(*key)).max().unwrap_or_default();
            let united = self.united.get(&key).copied();
            let joining = look.joined.filter(|joined| united.is_none_or(|united| united <= *joined));
            if look.may_join()
                && joining.is_some_and(|joined| survey.at <= joined.max(look.touched) + longest)
            {
                continue;
            }
            let states: Vec<String> =
                look.states.iter().map(|(name, state)| format!("{name} {state}")).collect();
            broken.push(Violation {
                at: survey.at,
                rule: Rule::GroupDivided,
                machine: Some(look.machine),
                detail: format!("sync group {}: {}", look.name, states.join(", ")),
            });
        }
        broken
    }
}
