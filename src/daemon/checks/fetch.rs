//! One page fetched by itself, with the input and output that checks have.

use std::io;
use std::time::Instant;

use super::CheckIo;
use crate::check::{Action, Event, HttpCheck, PageDigests, PageFetch, Target};
use crate::daemon::runner::Runner;
use crate::daemon::runner::supply;

/// Fetches the first page of a check, and hands on what comes, as it comes.
///
/// # Errors
/// In words.
pub(crate) fn fetch(
    check: &HttpCheck,
    target: Target,
    mut hand_on: impl FnMut(&[u8]),
) -> Result<PageDigests, String> {
    let lack = |error: io::Error| error.to_string();
    let (mut page, begun) = PageFetch::begin(check, target)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(lack)?;
    runtime.block_on(async {
        let mut checks = CheckIo::new().map_err(lack)?;
        // No program is run.
        let (_demand, supply) = supply().map_err(lack)?;
        let mut runner = Runner::new(supply).map_err(lack)?;
        let deadline = Instant::now() + begun.timeout;
        checks.carry_out(begun.attempt, Action::Open(begun.open), &mut runner);
        let mut send = Vec::new();
        loop {
            if tokio::time::timeout_at(deadline.into(), checks.ready()).await.is_err() {
                return Err(page.timed_out(begun.timeout));
            }
            while let Some((attempt, event)) = checks.next() {
                if let Event::Received(bytes) = event {
                    hand_on(bytes);
                }
                if let Some(result) = page.handle(&event, &mut send) {
                    checks.carry_out(attempt, Action::Close, &mut runner);
                    return result;
                }
                for bytes in send.drain(..) {
                    checks.carry_out(attempt, Action::Send(bytes), &mut runner);
                }
            }
        }
    })
}
