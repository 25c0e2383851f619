//! How far a worker is: what it tells the supervisor, which tells the service manager.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant};

use super::tally::{Tally, Totals};
use crate::sys::channel::{Channel, Sent};
use crate::sys::readiness::Readiness;

/// The time between two words about states, however often these change.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest message, in bytes.
pub(super) const MESSAGE_BYTES: usize = 4096;

/// The longest reason of a refused reload that is passed on, in characters.
const REASON_CHARACTERS: usize = 160;

/// What the worker tells, at each change of its stage, and of its status in between.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Message {
    pub(super) stage: Stage,
    /// One line for people.
    pub(super) status: String,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Stage {
    /// Its virtual routers run.
    Serves,
    /// They run, and the configuration is read again. Told at the beginning of each reload.
    Reloads,
}

/// The worker's end.
#[derive(Debug)]
pub(super) struct Progress {
    /// `None` where nobody wants to know.
    supervisor: Option<Channel>,
    tally: Tally,
    serves: bool,
    /// Reloads that were not answered yet.
    reloads: usize,
    /// How many virtual routers are configured.
    routers: usize,
    /// How many virtual servers, in a worker that has these instead.
    servers: Option<usize>,
    /// Why the last reload was refused, if it was.
    refused: Option<String>,
    /// The supervisor did not take the last message.
    unsent: bool,
    /// When the next word about states may be said.
    next: Instant,
}

impl Progress {
    /// A worker that is starting.
    pub(super) fn new(supervisor: Option<Channel>, tally: Tally) -> Self {
        Self {
            supervisor,
            tally,
            serves: false,
            reloads: 0,
            routers: 0,
            servers: None,
            refused: None,
            unsent: false,
            next: Instant::now(),
        }
    }

    /// How many virtual routers are configured.
    pub(super) const fn routers(&self) -> usize {
        self.routers
    }

    /// So many virtual routers are configured from now on.
    pub(super) const fn set_routers(&mut self, routers: usize) {
        self.routers = routers;
    }

    /// So many virtual servers are configured from now on, and there are no virtual routers.
    pub(super) const fn set_servers(&mut self, servers: usize) {
        self.servers = Some(servers);
    }

    /// The virtual routers run.
    pub(super) fn serving(&mut self) {
        self.serves = true;
        self.tell();
    }

    /// A reload begins; [`Progress::reload_ended`] follows.
    pub(super) fn reload_begun(&mut self) {
        self.reloads += 1;
        self.tell();
    }

    /// A reload was answered, if it was refused with the reason.
    pub(super) fn reload_ended(&mut self, refused: Option<&str>) {
        self.reloads = self.reloads.saturating_sub(1);
        self.refused = refused.map(shortened);
        if self.reloads == 0 {
            self.tell();
        }
    }

    /// Waits until there is something new to [`Progress::tell`]. `tallied` watches the tally.
    pub(super) async fn changed(&self, tallied: &Readiness) -> io::Result<()> {
        if self.supervisor.is_none() || !self.serves || self.reloads > 0 {
            return std::future::pending().await;
        }
        tokio::time::sleep_until(self.next).await;
        if self.unsent { Ok(()) } else { tallied.changed().await }
    }

    /// Tells the stage and the status. Does not wait.
    pub(super) fn tell(&mut self) {
        let Some(supervisor) = self.supervisor.as_ref().filter(|_| self.serves) else { return };
        let (stage, before) = match self.reloads {
            0 => (Stage::Serves, ""),
            _ => (Stage::Reloads, "reading the configuration again; "),
        };
        let configured = match self.servers {
            Some(1) => "1 virtual server".to_owned(),
            Some(servers) => format!("{servers} virtual servers"),
            None => in_states(self.routers, self.tally.look()),
        };
        let status = status(configured, self.refused.as_deref());
        let status = format!("{before}{status}");
        let line = serde_json::to_vec(&Message { stage, status }).unwrap_or_default();
        // A supervisor that does not read just now hears it later.
        self.unsent = matches!(supervisor.send(&line, None), Ok(Sent::Full));
        self.next = Instant::now() + PAUSE;
    }
}

fn shortened(reason: &str) -> String {
    match reason.char_indices().nth(REASON_CHARACTERS) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// `3 virtual routers: 1 master, 2 backup`.
fn in_states(routers: usize, totals: Totals) -> String {
    let Totals { master, backup, fault } = totals;
    let waiting = routers.saturating_sub(master + backup + fault);
    let parts = [(master, "master"), (backup, "backup"), (fault, "in fault"), (waiting, "not started")];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    match routers {
        0 => "no virtual routers".to_owned(),
        1 => format!("1 virtual router: {}", parts.join(", ")),
        _ => format!("{routers} virtual routers: {}", parts.join(", ")),
    }
}

/// The same, with what went wrong.
fn status(mut text: String, refused: Option<&str>) -> String {
    if let Some(reason) = refused {
        text.push_str("; the last reload was refused: ");
        text.push_str(reason);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::channel::Received;
    use crate::vrrp::State;

    fn told(supervisor: &Channel) -> Option<Message> {
        let mut buffer = [0; MESSAGE_BYTES];
        match supervisor.receive(&mut buffer).unwrap() {
            Received::Message(line, _) => Some(serde_json::from_slice(line).unwrap()),
            Received::Nothing | Received::Closed => None,
        }
    }

    #[test]
    fn the_status_is_in_words() {
        let words = |routers, master, backup, fault| in_states(routers, Totals { master, backup, fault });
        assert_eq!(words(0, 0, 0, 0), "no virtual routers");
        assert_eq!(words(1, 1, 0, 0), "1 virtual router: 1 master");
        assert_eq!(words(6, 1, 2, 1), "6 virtual routers: 1 master, 2 backup, 1 in fault, 2 not started");
        assert_eq!(words(1, 1, 1, 0), "1 virtual router: 1 master, 1 backup", "read while it changed");
    }

    #[test]
    fn a_reload_is_over_when_each_was_answered() {
        let (near, far) = Channel::pair().unwrap();
        let mut progress = Progress::new(Some(near), Tally::new().unwrap());
        progress.set_routers(1);
        progress.reload_begun();
        progress.reload_ended(None);
        assert_eq!(told(&far), None, "it does not serve yet");
        progress.serving();
        assert_eq!(told(&far).unwrap().stage, Stage::Serves);
        progress.reload_begun();
        progress.reload_begun();
        assert_eq!(told(&far).unwrap().stage, Stage::Reloads);
        assert_eq!(told(&far).unwrap().stage, Stage::Reloads);
        progress.reload_ended(Some(&"x".repeat(100_000)));
        assert_eq!(told(&far), None);
        progress.reload_ended(Some(&"\u{1}\u{1f600}".repeat(100_000)));
        let Message { stage, status } = told(&far).unwrap();
        assert_eq!(stage, Stage::Serves);
        assert!(status.contains("refused: \u{1}"), "{status}");
        progress.reload_begun();
        progress.reload_ended(None);
        assert_eq!(told(&far).unwrap().stage, Stage::Reloads);
        assert!(!told(&far).unwrap().status.contains("refused"));
    }

    #[tokio::test]
    async fn states_are_told_once_in_a_second() {
        let (near, far) = Channel::pair().unwrap();
        let tally = Tally::new().unwrap();
        let mut progress = Progress::new(Some(near), tally.clone());
        let tallied = Readiness::of(&tally).unwrap();
        progress.set_routers(2);
        let started = Instant::now();
        progress.serving();
        assert_eq!(told(&far).unwrap().status, "2 virtual routers: 2 not started");
        let mut words = 0;
        while words < 2 {
            tally.note(State::Initialize, State::Master);
            tally.note(State::Master, State::Initialize);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
                changed = progress.changed(&tallied) => {
                    changed.unwrap();
                    progress.tell();
                    assert!(told(&far).is_some());
                    words += 1;
                }
            }
        }
        assert!(started.elapsed() >= 2 * PAUSE);
    }
}
