//! A recording replayed: what happened, as it happens again.

use core::ops::ControlFlow;
use std::io::Read;

use super::read::{Fault, Reader};
use crate::node::recording::{Inputs, Replay};
use crate::time::{Now, WallTime};
use crate::vrrp::{News, Transition};

/// What a replay has to tell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Told {
    /// It begins with a state that the recording holds; so many inputs were lost before it.
    Begins {
        /// Inputs.
        lost: u64,
    },
    /// This happened.
    News(News),
    /// The recorded daemon did something that the replayed one does not, or does otherwise: the two are not the same
    /// program, or the recording is not whole.
    Diverged {
        /// What it did.
        recorded: Transition,
        /// What the replay did instead.
        replayed: Option<Transition>,
    },
}

/// What became of a replay.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// The node at its end, if there was a state to begin with.
    pub replay: Option<Replay>,
    /// Inputs replayed.
    pub inputs: u64,
    /// It ended before the recording did.
    pub stopped: bool,
}

/// Replays a file, up to what came after `until`, or until `tell` has heard enough. A state within the recording is
/// used where inputs were lost before it; the others the replay has come to by itself.
///
/// # Errors
/// Where the recording ends before its time; what came before has been told, and is in `played`.
pub fn play<R: Read>(
    reader: &mut Reader<R>,
    until: Option<WallTime>,
    played: &mut Played,
    tell: &mut dyn FnMut(Now, Told) -> ControlFlow<()>,
) -> Result<(), Fault> {
    // A file of a ring goes on where the one before ended, unless something is missing between them.
    let mut begun = false;
    for frame in reader {
        let frame = frame?;
        let at = |fault: crate::node::recording::Fault| Fault {
            offset: frame.offset,
            what: format!("{fault}, {} bytes after the beginning of its record", fault.offset),
        };
        if let Some(lost) = frame.state {
            if !begun || lost > 0 {
                let replay = Replay::of_state(&frame.bytes).map_err(at)?;
                let now = replay.now();
                if until.is_some_and(|until| now.wall > until) && played.replay.is_some() {
                    played.stopped = true;
                    return Ok(());
                }
                played.replay = Some(replay);
                if tell(now, Told::Begins { lost }).is_break() {
                    played.stopped = true;
                    return Ok(());
                }
            }
            begun = true;
            continue;
        }
        let Some(replay) = played.replay.as_mut().filter(|_| begun) else {
            let what = "there is no state to begin with before the first inputs".to_owned();
            return Err(Fault { offset: frame.offset, what });
        };
        for input in Inputs::of(&frame.bytes) {
            let (now, input) = input.map_err(at)?;
            if until.is_some_and(|until| now.wall > until) {
                played.stopped = true;
                return Ok(());
            }
            played.inputs += 1;
            let step = replay.take(now, input);
            let diverged = step.divergence.map(|(recorded, replayed)| Told::Diverged { recorded, replayed });
            for told in step.news.into_iter().map(Told::News).chain(diverged) {
                if tell(now, told).is_break() {
                    played.stopped = true;
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
