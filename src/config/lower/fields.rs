//! Reading the fields of the model.

use std::collections::HashSet;
use std::sync::Arc;

use crate::config::source::Position;
use crate::config::values::{At, Bool, Micros, Natural, Text};
use crate::time::Duration;

/// The number of a keyword, if it was written.
pub(super) fn number<const LOW: u32, const HIGH: u32>(field: Option<&At<Natural<LOW, HIGH>>>) -> Option<u32> {
    field.map(|entry| entry.value.0)
}

/// The time of a keyword, if it was written.
pub(super) fn duration<const LOW: u64, const HIGH: u64, const PLACES: u32>(
    field: Option<&At<Micros<LOW, HIGH, PLACES>>>,
) -> Option<Duration> {
    field.map(|entry| entry.value.duration())
}

/// Whether a keyword says on or off, if it was written.
pub(super) fn boolean(field: Option<&At<Bool>>) -> Option<bool> {
    field.map(|entry| entry.value.0)
}

/// The text of a keyword, if it was written.
pub(super) fn text(field: Option<&At<Text>>) -> Option<&str> {
    field.map(|entry| &*entry.value.0)
}

/// Where a keyword was written, or else its block.
pub(super) fn position<T>(field: Option<&At<T>>, block: Position) -> Position {
    field.map_or(block, |entry| entry.at)
}

/// Texts that occur often, each kept once.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<Arc<str>>);

impl Names {
    /// The shared copy of a text.
    pub(super) fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let name: Arc<str> = text.into();
        self.0.insert(Arc::clone(&name));
        name
    }
}
