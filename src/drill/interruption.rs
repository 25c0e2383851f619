//! A drill that is told to end takes its daemons, namespaces and files along: the signal ends the pause that
//! the drill makes, and everything is dropped on the way out.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use crate::sys::signals::{Signal, SignalQueue, is_ignored};

static SIGNALS: OnceLock<SignalQueue> = OnceLock::new();
static CAUGHT: OnceLock<Signal> = OnceLock::new();

/// Watches for INT, TERM and HUP, unless they are ignored. To be called before the first thread is started.
///
/// # Errors
/// When the system has no descriptor left.
pub fn watch() -> io::Result<()> {
    let mut signals = vec![Signal::Interrupt, Signal::Stop, Signal::Reload];
    signals.retain(|signal| !is_ignored(*signal));
    let queue = SignalQueue::open_for(&signals)?;
    SIGNALS.get_or_init(|| queue);
    Ok(())
}

/// The signal that came.
pub fn caught() -> Option<Signal> {
    CAUGHT.get().copied()
}

/// Sleeps.
///
/// # Errors
/// `Interrupted` when a signal came, now or before.
pub(crate) fn pause(time: Duration) -> io::Result<()> {
    let Some(signals) = SIGNALS.get() else {
        std::thread::sleep(time);
        return Ok(());
    };
    if CAUGHT.get().is_none() {
        match signals.wait(Some(time)) {
            Some(signal) => CAUGHT.get_or_init(|| signal),
            None => return Ok(()),
        };
    }
    Err(io::Error::from(io::ErrorKind::Interrupted))
}
