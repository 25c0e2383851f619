//! Where diagnostics are gathered.

use core::cell::{Cell, RefCell};

use super::{Diagnostic, Severity, Status};
use crate::config::source::SourceMap;

/// The diagnostics of one configuration, bounded: a file of nothing but faults must not fill the memory.
///
/// Stages share one sink by reference.
#[derive(Debug)]
pub struct Diagnostics {
    list: RefCell<Vec<Diagnostic>>,
    limit: usize,
    dropped: Cell<usize>,
    gravest: Cell<Option<Severity>>,
    status: Cell<Option<Status>>,
}

impl Diagnostics {
    /// Keeps at most `limit`; the rest are counted.
    pub fn new(limit: usize) -> Self {
        Self {
            list: RefCell::new(Vec::new()),
            limit,
            dropped: Cell::new(0),
            gravest: Cell::new(None),
            status: Cell::new(None),
        }
    }

    /// Adds one.
    pub fn push(&self, diagnostic: Diagnostic) {
        self.gravest.set(self.gravest.get().max(Some(diagnostic.severity)));
        self.status.set(self.status.get().max(diagnostic.status));
        let mut list = self.list.borrow_mut();
        if list.len() < self.limit {
            list.push(diagnostic);
        } else {
            self.dropped.set(self.dropped.get() + 1);
        }
    }

    /// The gravest severity so far.
    pub fn gravest(&self) -> Option<Severity> {
        self.gravest.get()
    }

    /// What `-t` exits with.
    pub fn exit_code(&self) -> u8 {
        self.status.get().map_or(0, Status::exit_code)
    }

    /// How many were beyond the limit.
    pub fn dropped(&self) -> usize {
        self.dropped.get()
    }

    /// Those kept, in the order of the files as they were read.
    pub fn into_sorted(self, sources: &SourceMap) -> Vec<Diagnostic> {
        let mut list = self.list.into_inner();
        // The order in which a reader meets the lines: an expanded line counts where it was used.
        list.sort_by_cached_key(|diagnostic| {
            diagnostic.span.map(|span| sources.uses(span).last().copied().unwrap_or(span).start)
        });
        // Those without a place come last: they judge the whole.
        let split = list.partition_point(|diagnostic| diagnostic.position().is_none());
        list.rotate_left(split);
        list
    }
}
