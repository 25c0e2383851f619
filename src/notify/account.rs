//! Who is told of what: from the news of the protocol core to events, and to the scripts that are to hear of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::config::{InstanceNotifications, Notifications, StateScripts};
use super::event::{Event, Object, Word};
use super::fifo;
use crate::kernel::Script;
use crate::time::WallTime;
use crate::vrrp::{Cause, GroupTransition, News, Report, ReportKind, State, Transition};

/// A script that is to be told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Hook {
    /// The keyword that names it.
    pub(crate) keyword: &'static str,
    /// The script, without the arguments that the event adds.
    pub(crate) script: Arc<Script>,
}

/// An event, and who is to be told of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Told {
    pub(crate) event: Arc<Event>,
    /// In keepalived's order: the one of the state, then `notify`.
    pub(crate) hooks: Vec<Hook>,
    /// Whether FIFOs have a line for it.
    pub(crate) has_line: bool,
    /// Whether mail tells of it.
    pub(crate) has_mail: bool,
}

/// Turns news into events.
///
/// After a reload the news of it come first, from routers that are removed and from new ones, then the word that it is
/// in force ([`Account::reconfigured`]): so both configurations are at hand meanwhile.
#[derive(Debug)]
pub(crate) struct Account {
    current: Notifications,
    /// Handed to the protocol core, and perhaps not in force yet.
    pending: VecDeque<Notifications>,
    /// The last state of each object, with its priority by now.
    states: BTreeMap<Object, Event>,
}

impl Account {
    /// At the start.
    pub(crate) const fn new(notifications: Notifications) -> Self {
        Self { current: notifications, pending: VecDeque::new(), states: BTreeMap::new() }
    }

    /// What is in force.
    pub(crate) const fn notifications(&self) -> &Notifications {
        &self.current
    }

    /// The protocol core is about to be given another configuration.
    pub(crate) fn reconfigure(&mut self, notifications: Notifications) {
        self.pending.push_back(notifications);
    }

    /// It has taken the one that it was given first.
    pub(crate) fn reconfigured(&mut self) {
        if let Some(notifications) = self.pending.pop_front() {
            self.current = notifications;
        }
    }

    /// What each object is, as far as it was told.
    pub(crate) const fn states(&self) -> &BTreeMap<Object, Event> {
        &self.states
    }

    /// The event that it is, if anybody may hear of it.
    pub(crate) fn take(&mut self, at: WallTime, news: &News) -> Option<Told> {
        let told = self.event(at, news)?;
        fifo::note(&mut self.states, &told.event);
        Some(told)
    }

    fn event(&self, at: WallTime, news: &News) -> Option<Told> {
        match news {
            News::Transition(transition) => self.transition(at, transition),
            News::GroupTransition(transition) => self.group_transition(at, transition),
            News::LowerPriorityReceived { router, priority } => {
                let notifications = self.instance(router, false)?;
                let event = Event {
                    object: Object::Instance(Arc::clone(router)),
                    word: Word::LowerPriorityReceived,
                    priority: priority.0,
                    from: None,
                    cause: None,
                    at,
                    is_last: false,
                };
                let script = notifications.lower_priority_received.as_ref();
                let hooks = hook("notify_master_rx_lower_pri", script).into_iter().collect();
                Some(Told { event: Arc::new(event), hooks, has_line: true, has_mail: false })
            }
            News::Report(Report { router, kind: ReportKind::PriorityChanged { to, .. } }) => {
                let object = Object::Instance(Arc::clone(router));
                let master = self.states.get(&object).is_some_and(|state| state.word == Word::Master);
                let notifications = self.instance(router, !self.states.contains_key(&object));
                let has_line = notifications?.priority_changes == Some(true);
                let event = Event {
                    object,
                    word: if master { Word::MasterPriority } else { Word::BackupPriority },
                    priority: to.0,
                    from: None,
                    cause: None,
                    at,
                    is_last: false,
                };
                Some(Told { event: Arc::new(event), hooks: Vec::new(), has_line, has_mail: false })
            }
            News::Report(_) => None,
        }
    }

    fn transition(&self, at: WallTime, transition: &Transition) -> Option<Told> {
        let Transition { name, from, to, cause, priority, router: _ } = transition;
        // Who did not start was never told of.
        let removed = match (from, to, cause.root()) {
            (State::Initialize, State::Initialize, _) => return None,
            (_, State::Initialize, Cause::Reload) => true,
            _ => false,
        };
        let notifications = self.instance(name, matches!(cause.root(), Cause::Startup))?;
        let scripts = &notifications.states;
        let (word, own) = match (removed, &notifications.deleted) {
            (true, Some(script)) => (Word::Deleted, hook("notify_deleted", script.as_ref())),
            (true, None) => (Word::Fault, of_state(scripts, Word::Fault)),
            (false, _) => {
                let word = word_of(*to);
                (word, of_state(scripts, word))
            }
        };
        let has_mail = notifications.mail == Some(true);
        let hooks = own.into_iter().chain(hook("notify", scripts.any.as_ref())).collect();
        let event = Event {
            object: Object::Instance(Arc::clone(name)),
            word,
            priority: priority.0,
            from: Some(from.to_string()),
            cause: Some(cause.to_string()),
            at,
            is_last: *to == State::Initialize,
        };
        Some(Told { event: Arc::new(event), hooks, has_line: true, has_mail })
    }

    fn group_transition(&self, at: WallTime, transition: &GroupTransition) -> Option<Told> {
        let GroupTransition { name, from, to, cause } = transition;
        // As with keepalived nobody is told of a group that a reload removes.
        if *to == State::Initialize && (*from == State::Initialize || *cause.root() == Cause::Reload) {
            return None;
        }
        let newest_first = matches!(cause.root(), Cause::Startup);
        let notifications = self.find(newest_first, |one| one.groups.get(name))?;
        let (scripts, has_mail) = (&notifications.states, notifications.mail == Some(true));
        let word = word_of(*to);
        let hooks = of_state(scripts, word).into_iter().chain(hook("notify", scripts.any.as_ref())).collect();
        let event = Event {
            object: Object::Group(Arc::clone(name)),
            word,
            priority: 0,
            from: Some(from.to_string()),
            cause: Some(cause.to_string()),
            at,
            is_last: *to == State::Initialize,
        };
        Some(Told { event: Arc::new(event), hooks, has_line: true, has_mail })
    }

    /// Who starts is new: of the newest configuration that has it.
    fn instance(&self, name: &str, starts: bool) -> Option<&InstanceNotifications> {
        self.find(starts, |one| one.instances.get(name))
    }

    fn find<'a, T>(
        &'a self,
        newest_first: bool,
        get: impl Fn(&'a Notifications) -> Option<&'a T>,
    ) -> Option<&'a T> {
        let mut oldest_first = std::iter::once(&self.current).chain(&self.pending);
        if newest_first { oldest_first.rev().find_map(get) } else { oldest_first.find_map(get) }
    }
}

const fn word_of(state: State) -> Word {
    match state {
        State::Initialize => Word::Stop,
        State::Backup => Word::Backup,
        State::Master => Word::Master,
        State::Fault => Word::Fault,
    }
}

fn of_state(scripts: &StateScripts, word: Word) -> Option<Hook> {
    match word {
        Word::Master => hook("notify_master", scripts.master.as_ref()),
        Word::Backup => hook("notify_backup", scripts.backup.as_ref()),
        Word::Fault => hook("notify_fault", scripts.fault.as_ref()),
        Word::Stop => hook("notify_stop", scripts.stop.as_ref()),
        Word::Deleted
        | Word::LowerPriorityReceived
        | Word::MasterPriority
        | Word::BackupPriority
        | Word::Up
        | Word::Down => None,
    }
}

pub(super) fn hook(keyword: &'static str, script: Option<&Arc<Script>>) -> Option<Hook> {
    script.map(|script| Hook { keyword, script: Arc::clone(script) })
}

impl Hook {
    /// The command line of its run.
    pub(crate) fn command(&self, event: &Event) -> Script {
        let mut script = Script::clone(&self.script);
        if self.keyword == "notify" {
            let Event { object, word, priority, .. } = event;
            let words =
                [object.kind().to_owned(), object.name().to_owned(), word.to_string(), priority.to_string()];
            // A name comes from the configuration, which has no NUL.
            script
                .arguments
                .extend(words.into_iter().map(|word| std::ffi::CString::new(word).unwrap_or_default()));
        }
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::RouterId;
    use crate::notify::SyncGroupNotifications;
    use crate::wire::vrrp::Priority;

    fn script(name: &str) -> Option<Arc<Script>> {
        Some(Arc::new(Script::new(std::ffi::CString::new(name).unwrap())))
    }

    fn scripts(owner: &str) -> StateScripts {
        let script = |state| script(&format!("{owner}-{state}"));
        StateScripts {
            master: script("master"),
            backup: script("backup"),
            fault: script("fault"),
            stop: script("stop"),
            any: script("any"),
        }
    }

    fn notifications(owner: &str) -> Notifications {
        let mut notifications = Notifications::default();
        let instance = InstanceNotifications {
            states: scripts(owner),
            lower_priority_received: script("lower"),
            ..InstanceNotifications::default()
        };
        notifications.instances.insert("A".into(), instance);
        let group = SyncGroupNotifications { states: scripts("group"), ..SyncGroupNotifications::default() };
        notifications.groups.insert("G".into(), group);
        notifications
    }

    fn transition(from: State, to: State, cause: Cause) -> News {
        News::Transition(Transition {
            router: RouterId(0),
            name: "A".into(),
            from,
            to,
            cause,
            priority: Priority(100),
        })
    }

    /// `MASTER: 'a-master' 'a-any' …`.
    fn told(account: &mut Account, news: &News) -> Option<String> {
        let Told { event, hooks, .. } = account.take(WallTime::from_unix_micros(0), news)?;
        let hooks: Vec<String> = hooks.iter().map(|hook| hook.command(&event).to_string()).collect();
        Some(format!("{} {}: {}", event.object.kind(), event.word, hooks.join("; ")))
    }

    #[test]
    fn each_state_has_its_script_and_the_common_one_with_arguments() {
        let mut account = Account::new(notifications("a"));
        let mut say = |from, to, cause| told(&mut account, &transition(from, to, cause));
        for (from, to, cause, words) in [
            (
                State::Initialize,
                State::Backup,
                Cause::Startup,
                "BACKUP: 'a-backup'; 'a-any' 'INSTANCE' 'A' 'BACKUP' '100'",
            ),
            (
                State::Backup,
                State::Master,
                Cause::Owner,
                "MASTER: 'a-master'; 'a-any' 'INSTANCE' 'A' 'MASTER' '100'",
            ),
            (
                State::Master,
                State::Initialize,
                Cause::Shutdown,
                "STOP: 'a-stop'; 'a-any' 'INSTANCE' 'A' 'STOP' '100'",
            ),
            (
                State::Master,
                State::Initialize,
                Cause::Reload,
                "FAULT: 'a-fault'; 'a-any' 'INSTANCE' 'A' 'FAULT' '100'",
            ),
        ] {
            assert_eq!(say(from, to, cause).unwrap(), format!("INSTANCE {words}"));
        }
        assert_eq!(say(State::Initialize, State::Initialize, Cause::Shutdown), None);
        let lower = News::LowerPriorityReceived { router: "A".into(), priority: Priority(9) };
        assert_eq!(told(&mut account, &lower).unwrap(), "INSTANCE MASTER_RX_LOWER_PRI: 'lower'");
    }

    #[test]
    fn who_is_deleted_is_told_so_on_demand() {
        let mut with = notifications("a");
        with.instances.get_mut("A").unwrap().deleted = Some(script("deleted"));
        let gone = transition(State::Backup, State::Initialize, Cause::Reload);
        let mut account = Account::new(with);
        assert_eq!(
            told(&mut account, &gone).unwrap(),
            "INSTANCE DELETED: 'deleted'; 'a-any' 'INSTANCE' 'A' 'DELETED' '100'"
        );
    }

    #[test]
    fn around_a_reload_who_goes_has_the_old_scripts_and_who_comes_the_new_ones() {
        let mut account = Account::new(notifications("old"));
        account.reconfigure(notifications("middle"));
        account.reconfigure(notifications("new"));
        let gone = told(&mut account, &transition(State::Master, State::Initialize, Cause::Reload)).unwrap();
        assert!(gone.contains("old-fault"), "{gone}");
        let come = told(&mut account, &transition(State::Initialize, State::Backup, Cause::Startup)).unwrap();
        assert!(come.contains("new-backup"), "{come}");
        account.reconfigured();
        let goes = told(&mut account, &transition(State::Backup, State::Initialize, Cause::Reload)).unwrap();
        assert!(goes.contains("middle-fault"), "{goes}");
    }

    #[test]
    fn groups_are_told_too_but_not_of_their_removal() {
        let mut account = Account::new(notifications("a"));
        let group = |to, cause| {
            News::GroupTransition(GroupTransition { name: "G".into(), from: State::Master, to, cause })
        };
        assert_eq!(
            told(&mut account, &group(State::Backup, Cause::SwitchBack)).unwrap(),
            "GROUP BACKUP: 'group-backup'; 'group-any' 'GROUP' 'G' 'BACKUP' '0'"
        );
        assert_eq!(told(&mut account, &group(State::Initialize, Cause::Reload)), None);
        assert!(told(&mut account, &group(State::Initialize, Cause::Shutdown)).unwrap().contains("STOP"));
    }

    #[test]
    fn a_change_of_priority_has_the_word_of_the_state() {
        let mut account = Account::new(notifications("a"));
        let changed = News::Report(Report {
            router: "A".into(),
            kind: ReportKind::PriorityChanged { from: Priority(1), to: Priority(2) },
        });
        assert_eq!(told(&mut account, &changed).unwrap(), "INSTANCE BACKUP_PRIORITY: ");
        told(&mut account, &transition(State::Backup, State::Master, Cause::Owner));
        assert_eq!(told(&mut account, &changed).unwrap(), "INSTANCE MASTER_PRIORITY: ");
        assert!(account.states().values().all(|state| state.to_line() == "INSTANCE \"A\" MASTER 2\n"));
    }
}
