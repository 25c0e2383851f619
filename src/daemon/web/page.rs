//! The status page: its files, which are part of the program, and the state that it shows.

use std::io;

use hyper::body::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::seat::Part;
use super::shared::Shared;
use super::workers::{Workers, name};
use crate::sys::clock;

/// How many of the last events the page begins with.
const EVENTS: u32 = 200;

/// The kind and the text of a file of the page.
pub(super) fn file(path: &str) -> Option<(&'static str, &'static str)> {
    Some(match path {
        "/" => ("text/html; charset=utf-8", include_str!("page/index.html")),
        "/style.css" => ("text/css; charset=utf-8", include_str!("page/style.css")),
        "/script.js" => ("text/javascript; charset=utf-8", include_str!("page/script.js")),
        "/icon.svg" => ("image/svg+xml", include_str!("page/icon.svg")),
        _ => return None,
    })
}

/// `/status.json`, made once for all who ask at a time.
#[derive(Debug)]
pub(super) struct State {
    workers: Workers,
    text: Shared<Bytes>,
}

/// What it says: the answers of the workers as they are.
#[derive(Debug, Serialize)]
struct Shown {
    /// Of this host's clock.
    time_unix_us: u64,
    /// Whether each worker that is to be there answers.
    workers: std::collections::BTreeMap<&'static str, bool>,
    /// Of `status`.
    vrrp: Option<Box<RawValue>>,
    lvs: Option<Box<RawValue>>,
    /// The last ones, the oldest first.
    events: Option<Box<RawValue>>,
}

impl State {
    pub(super) fn new(workers: Workers) -> Self {
        Self { workers, text: Shared::default() }
    }

    /// The whole text. A worker that does not answer costs its part.
    pub(super) async fn text(&self) -> Bytes {
        self.text
            .get(async {
                let (vrrp, lvs, events) = tokio::join!(
                    self.workers.status(Part::Vrrp),
                    self.workers.status(Part::Lvs),
                    self.workers.latest_events(EVENTS)
                );
                let answers = [(Part::Vrrp, &vrrp), (Part::Lvs, &lvs)].into_iter();
                let is_up = |(part, answer): (Part, &Option<io::Result<Box<RawValue>>>)| {
                    Some((name(part), answer.as_ref()?.is_ok()))
                };
                let shown = Shown {
                    time_unix_us: clock::wall().as_unix_micros(),
                    workers: answers.filter_map(is_up).collect(),
                    vrrp: vrrp.and_then(Result::ok),
                    lvs: lvs.and_then(Result::ok),
                    events: events.ok(),
                };
                // Nothing in it can fail.
                Bytes::from(serde_json::to_vec(&shown).unwrap_or_default())
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        for path in ["/", "/style.css", "/script.js", "/icon.svg"] {
            let (_, text) = file(path).unwrap();
            for part in text.split('"').chain(text.split('(')) {
                let own = part.starts_with("http://www.w3.org/");
                assert!(own || !(part.starts_with("http") || part.starts_with("//")), "{path}: {part}");
            }
            assert!(!text.contains("innerHTML") && !text.contains("eval("), "{path}");
            assert!(!text.contains(" style=") && !text.contains(" onclick"), "{path}: what CSP forbids");
        }
        assert_eq!(file("/nothing"), None);
    }
}
