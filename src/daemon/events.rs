//! What has happened in this worker: the last thousands of events are kept, and who follows them is told of each.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::control::Asked;
use crate::control::Code;
use crate::status::{EventRecord, Happening};
use crate::time::{Duration, WallTime};

/// Events that are kept.
const KEPT: usize = 4096;

/// How many events a follower may be behind: those of a takeover of thousands of routers, which come at once.
const BEHIND: usize = 16 * 1024;

/// Followers served at a time.
const FOLLOWERS: usize = 32;

/// How long the end of the worker may wait for followers.
const LAST_MOMENT: Duration = Duration::from_millis(200);

/// The events.
#[derive(Debug, Default)]
pub(super) struct Events {
    kept: VecDeque<Kept>,
    /// Number of the last one.
    last: u64,
    /// While somebody follows.
    followers: Option<broadcast::Sender<Arc<Told>>>,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    at: WallTime,
    happening: Happening,
}

/// What a follower gets.
#[derive(Debug)]
enum Told {
    Event {
        /// Whom it concerns.
        names: [Option<Arc<str>>; 2],
        record: Value,
    },
    /// There will be no more.
    End,
}

/// A follower's end.
#[derive(Debug)]
pub(super) struct Subscription {
    told: broadcast::Receiver<Arc<Told>>,
    of: Option<String>,
}

/// Why a follower gets no more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// It is too far behind.
    TooSlow,
    /// The worker stops.
    Stopped,
}

impl Events {
    /// Something has happened.
    pub(super) fn note(&mut self, at: WallTime, happening: Happening) {
        self.last += 1;
        let number = self.last;
        if let Some(followers) = &self.followers {
            let names = happening_names(&happening).map(Option::<&Arc<str>>::cloned);
            let record = value(&EventRecord::of(number, at, &happening));
            // It fails when all are gone.
            if followers.send(Arc::new(Told::Event { names, record })).is_err() {
                self.followers = None;
            }
        }
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept { number, at, happening });
    }

    /// The latest ones, at most `last` of them, the oldest first: all, or those of one name.
    pub(super) fn latest(&self, of: Option<&str>, last: Option<u32>) -> Value {
        let concerned = |kept: &&Kept| is_of(of, happening_names(&kept.happening));
        let last = last.and_then(|last| usize::try_from(last).ok()).unwrap_or(KEPT);
        let records = self.kept.iter().rev().filter(concerned).take(last);
        let mut records: Vec<Value> = records
            .map(|Kept { number, at, happening }| value(&EventRecord::of(*number, *at, happening)))
            .collect();
        records.reverse();
        Value::Array(records)
    }

    /// Answers a client that asks for them.
    pub(super) fn answer(&mut self, asked: Asked, of: Option<String>, last: Option<u32>, follow: bool) {
        let result = serde_json::json!({ "events": self.latest(of.as_deref(), last) });
        match follow.then(|| self.follow(of)) {
            None => asked.grant(result),
            Some(Some(subscription)) => asked.grant_and_follow(result, subscription),
            Some(None) => asked.refuse(Code::Busy, "too many others follow the events"),
        }
    }

    /// The worker ends: gives followers a moment to hear the rest.
    pub(super) async fn end(&mut self) {
        let Some(followers) = self.followers.take() else { return };
        if followers.send(Arc::new(Told::End)).is_ok() {
            // Who has not heard it by then never will.
            let _ = tokio::time::timeout(LAST_MOMENT, followers.closed()).await;
        }
    }

    /// For somebody who wants to know of each further one; `None` if there are too many who do.
    pub(super) fn follow(&mut self, of: Option<String>) -> Option<Subscription> {
        let followers = self.followers.get_or_insert_with(|| broadcast::channel(BEHIND).0);
        let has_room = followers.receiver_count() < FOLLOWERS;
        has_room.then(|| Subscription { told: followers.subscribe(), of })
    }
}

impl Subscription {
    /// The next event.
    pub(super) async fn next(&mut self) -> Result<Value, Ended> {
        loop {
            match self.told.recv().await {
                Ok(told) => match &*told {
                    Told::Event { names, record }
                        if is_of(self.of.as_deref(), names.each_ref().map(Option::as_ref)) =>
                    {
                        return Ok(record.clone());
                    }
                    Told::Event { .. } => {}
                    Told::End => return Err(Ended::Stopped),
                },
                Err(RecvError::Lagged(_)) => return Err(Ended::TooSlow),
                Err(RecvError::Closed) => return Err(Ended::Stopped),
            }
        }
    }
}

/// Whom it concerns.
fn happening_names(happening: &Happening) -> [Option<&Arc<str>>; 2] {
    [happening.name(), happening.real_server()]
}

/// Whether an event that concerns these is among those that are asked for.
fn is_of(asked: Option<&str>, names: [Option<&Arc<str>>; 2]) -> bool {
    asked.is_none_or(|asked| names.into_iter().flatten().any(|name| **name == *asked))
}

fn value(record: &EventRecord) -> Value {
    // Nothing in it can fail.
    serde_json::to_value(record).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::{News, Report, ReportKind};

    fn begun(name: &str) -> Happening {
        Happening::News(News::Report(Report { router: name.into(), kind: ReportKind::SwitchOverBegun }))
    }

    fn numbers(events: &Value) -> Vec<u64> {
        events.as_array().unwrap().iter().map(|event| event["number"].as_u64().unwrap()).collect()
    }

    #[test]
    fn the_latest_are_kept_and_chosen_by_name() {
        let mut events = Events::default();
        for number in 0..KEPT + 10 {
            events.note(WallTime::default(), begun(["A", "B"][number % 2]));
        }
        let all = numbers(&events.latest(None, None));
        assert_eq!((all.len(), all[0]), (KEPT, 11));
        let last = KEPT as u64 + 10;
        assert_eq!(numbers(&events.latest(None, Some(2))), [last - 1, last]);
        assert_eq!(numbers(&events.latest(Some("A"), Some(2))), [last - 3, last - 1]);
        assert_eq!(events.latest(Some("C"), None), Value::Array(Vec::new()));
    }

    #[tokio::test]
    async fn who_follows_gets_each_and_who_is_too_far_behind_is_cut_off() {
        let mut events = Events::default();
        let mut quick = events.follow(Some("A".to_owned())).unwrap();
        let mut slow = events.follow(None).unwrap();
        events.note(WallTime::default(), begun("B"));
        events.note(WallTime::default(), begun("A"));
        assert_eq!(quick.next().await.unwrap()["number"], 2);
        drop(quick);
        for _ in 0..BEHIND {
            events.note(WallTime::default(), begun("A"));
        }
        assert_eq!(slow.next().await, Err(Ended::TooSlow));
        drop(slow);
        events.note(WallTime::default(), begun("A"));
        assert!(events.followers.is_none(), "nobody follows: nothing is held for anybody");
        let all: Vec<_> = (0..FOLLOWERS).map(|_| events.follow(None).unwrap()).collect();
        assert!(events.follow(None).is_none());
        let mut first = all.into_iter().next().unwrap();
        drop(events);
        assert_eq!(first.next().await, Err(Ended::Stopped));
    }
}
