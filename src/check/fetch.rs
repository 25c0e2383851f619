//! A page by itself, for the digest that a check of it is to be configured with (keepalived's `genhash`).

use super::action::{Attempt, Event, Open};
use super::dialogue::{PageDialogue, Target, Verdict};
use super::{BodyDigest, HttpCheck};
use crate::time::Duration;

/// One page that is fetched.
#[derive(Debug)]
pub struct PageFetch {
    dialogue: Box<PageDialogue>,
}

/// What a check is to open first, and how long all of it may take.
#[derive(Debug)]
pub struct Begun {
    /// The only one there is.
    pub attempt: Attempt,
    /// What to open.
    pub open: Open,
    /// `connect_timeout` of the check.
    pub timeout: Duration,
}

/// The digests of a page's body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PageDigests {
    /// Over what is meant.
    pub content: BodyDigest,
    /// Over all that comes, with the sizes of chunks, as keepalived takes it; either one will do in a check.
    pub raw: BodyDigest,
}

impl PageFetch {
    /// Begins to fetch the first page of a check, whatever its status is.
    ///
    /// # Errors
    /// In words, when there is no page or no port.
    pub fn begin(check: &HttpCheck, target: Target) -> Result<(Self, Begun), String> {
        let (open, dialogue) = PageDialogue::fetching(check, target)?;
        let attempt = Attempt { probe: 0, serial: 0 };
        Ok((Self { dialogue }, Begun { attempt, open, timeout: check.connection.timeout }))
    }

    /// Takes an event; what is to be sent is pushed to `send`. With a result it is over.
    pub fn handle(
        &mut self,
        event: &Event<'_>,
        send: &mut Vec<Vec<u8>>,
    ) -> Option<Result<PageDigests, String>> {
        if let Event::Failed(why) | Event::NotTried(why) = event {
            return Some(Err(why.clone().into_owned()));
        }
        let verdict = self.dialogue.handle(event, send)?;
        Some(match (verdict, self.dialogue.told()) {
            (Verdict::Good { .. }, Some(digests)) => Ok(digests),
            (Verdict::Good { reason, .. } | Verdict::Bad(reason) | Verdict::Unknown(reason), _) => {
                Err(reason.into_owned())
            }
        })
    }

    /// What it means that the time is over.
    pub fn timed_out(&mut self, after: Duration) -> String {
        match self.dialogue.timed_out(after) {
            Verdict::Good { reason, .. } | Verdict::Bad(reason) | Verdict::Unknown(reason) => {
                reason.into_owned()
            }
        }
    }
}
