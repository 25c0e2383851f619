//! Server-sent events: everybody who looks at the page hears of what happens at once, and now and then that time has
//! passed. The vrrp worker is followed once for all of them, and only while there is somebody.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::workers::{Events, Workers};

/// Followers at a time.
const FOLLOWERS: usize = 64;

/// Messages that a follower may be behind; then it is cut off, and its browser comes again.
const BEHIND: usize = 1024;

/// How often it is told that time has passed: figures change without anything happening.
const TICK: Duration = Duration::from_secs(5);

/// What the first message says: how long a browser waits before it comes again, in milliseconds.
const HELLO: &[u8] = b"retry: 2000\n\n";

/// A message without data would not be told to the page.
const TICK_MESSAGE: &[u8] = b"event: tick\ndata: 0\n\n";

/// Tells all of them.
#[derive(Debug)]
pub(super) struct Live {
    workers: Workers,
    followers: Mutex<Followers>,
}

#[derive(Debug, Default)]
struct Followers {
    all: Vec<mpsc::Sender<Bytes>>,
    /// A task tells them.
    are_told: bool,
}

/// One who follows.
#[derive(Debug)]
pub(super) struct Follower(mpsc::Receiver<Bytes>);

impl Follower {
    /// The next message; `None` when there will be no more.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        Pin::new(&mut self.0).poll_recv(context)
    }
}

impl Live {
    pub(super) fn new(workers: Workers) -> Arc<Self> {
        Arc::new(Self { workers, followers: Mutex::default() })
    }

    /// One more; `None` if there are too many. To be called within a runtime.
    pub(super) fn follow(self: &Arc<Self>) -> Option<Follower> {
        let mut followers = self.followers();
        followers.all.retain(|follower| !follower.is_closed());
        if followers.all.len() >= FOLLOWERS {
            return None;
        }
        let (sender, receiver) = mpsc::channel(BEHIND);
        // An empty queue takes it.
        let _ = sender.try_send(Bytes::from_static(HELLO));
        followers.all.push(sender);
        if !core::mem::replace(&mut followers.are_told, true) {
            tokio::spawn(Arc::clone(self).tell_all());
        }
        Some(Follower(receiver))
    }

    async fn tell_all(self: Arc<Self>) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut events = None;
        loop {
            tokio::select! {
                event = next(&mut events) => match event {
                    Some(event) => drop(self.tell(&message(&event))),
                    // The worker ended, or cut us off.
                    None => events = None,
                },
                _ = tick.tick() => {
                    if events.is_none() {
                        events = self.workers.follow_events().await.ok();
                    }
                    if !self.tell(&Bytes::from_static(TICK_MESSAGE)) {
                        return;
                    }
                }
            }
        }
    }

    /// Gives each the message, and forgets who is gone or does not keep up. False when nobody is left.
    fn tell(&self, message: &Bytes) -> bool {
        let mut followers = self.followers();
        followers.all.retain(|follower| follower.try_send(message.clone()).is_ok());
        followers.are_told = !followers.all.is_empty();
        followers.are_told
    }

    fn followers(&self) -> MutexGuard<'_, Followers> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next event; never, where nobody tells of any.
async fn next(events: &mut Option<Events>) -> Option<Box<RawValue>> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

/// JSON has no line ends of its own.
fn message(event: &RawValue) -> Bytes {
    Bytes::from(format!("event: happened\ndata: {}\n\n", event.get().replace(['\n', '\r'], " ")))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn followers_are_bounded_and_the_slow_ones_are_cut_off() {
        let live = Live::new(Workers::default());
        let mut all: Vec<Follower> = (0..FOLLOWERS).map(|_| live.follow().unwrap()).collect();
        assert!(live.follow().is_none());
        all.truncate(1);
        assert!(live.follow().is_some(), "who has left makes room");
        let event = RawValue::from_string("{\"text\":\n\"x\"}".to_owned()).unwrap();
        for _ in 0..BEHIND * 2 {
            live.tell(&message(&event));
        }
        let mut received = Vec::new();
        while let Some(message) = poll_fn(|context| all[0].poll(context)).await {
            received.push(message);
        }
        assert_eq!(received.len(), BEHIND);
        assert_eq!(&*received[0], HELLO);
        assert_eq!(&*received[1], b"event: happened\ndata: {\"text\": \"x\"}\n\n");
    }
}
