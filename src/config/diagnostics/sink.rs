//! Where diagnostics are gathered.

use core::cell::{Cell, RefCell};

use super::{Diagnostic, Severity, Status};
use crate::config::source::{Position, SourceMap};

/// The diagnostics of one configuration, bounded: a file of nothing but faults must not fill the memory.
///
/// Stages share one sink by reference. Errors never lose their place to warnings.
#[derive(Debug)]
pub struct Diagnostics {
    errors: RefCell<Vec<Diagnostic>>,
    remarks: RefCell<Vec<Diagnostic>>,
    limit: usize,
    error_limit: usize,
    fatal_kept: Cell<usize>,
    error_count: Cell<usize>,
    dropped: Cell<Dropped>,
    gravest: Cell<Option<Severity>>,
    status: Cell<Option<Status>>,
}

/// Diagnostics beyond the limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Dropped {
    /// Errors.
    pub errors: usize,
    /// Warnings and hints.
    pub remarks: usize,
}

impl Dropped {
    /// All of them.
    pub const fn total(self) -> usize {
        self.errors + self.remarks
    }
}

impl Diagnostics {
    /// Keeps at most `limit` errors and as many warnings and hints; the rest are counted. After `error_limit`
    /// errors it is [`Diagnostics::exhausted`].
    pub fn new(limit: usize, error_limit: usize) -> Self {
        Self {
            errors: RefCell::default(),
            remarks: RefCell::default(),
            limit,
            error_limit,
            fatal_kept: Cell::new(0),
            error_count: Cell::new(0),
            dropped: Cell::default(),
            gravest: Cell::new(None),
            status: Cell::new(None),
        }
    }

    /// Adds one.
    pub fn push(&self, diagnostic: Diagnostic) {
        self.push_with(diagnostic.severity, diagnostic.status, || diagnostic);
    }

    /// Adds one that is dear to make: only if it is kept, it is made.
    pub fn push_with(&self, severity: Severity, status: Option<Status>, make: impl FnOnce() -> Diagnostic) {
        self.gravest.set(self.gravest.get().max(Some(severity)));
        self.status.set(self.status.get().max(status));
        let mut dropped = self.dropped.get();
        if severity < Severity::Error {
            let mut remarks = self.remarks.borrow_mut();
            if remarks.len() < self.limit {
                remarks.push(make());
            } else {
                dropped.remarks += 1;
            }
        } else {
            self.error_count.set(self.error_count.get() + 1);
            let mut errors = self.errors.borrow_mut();
            let fatal = severity == Severity::Fatal;
            if errors.len() < self.limit {
                errors.push(make());
                self.fatal_kept.set(self.fatal_kept.get() + usize::from(fatal));
            } else {
                dropped.errors += 1;
                // Why the start is refused is always told.
                if fatal
                    && self.fatal_kept.get() < self.limit
                    && let Some(place) = errors.iter_mut().rfind(|kept| kept.severity != Severity::Fatal)
                {
                    *place = make();
                    self.fatal_kept.set(self.fatal_kept.get() + 1);
                }
            }
        }
        self.dropped.set(dropped);
    }

    /// Drops the errors on keywords that a `}` too many left outside of their blocks, in these places: the
    /// `}` is reported.
    pub fn forget_misplaced(&self, places: &[(Position, Position)]) {
        if places.is_empty() {
            return;
        }
        self.errors.borrow_mut().retain(|kept| {
            let within = |at: Position| places.iter().any(|(from, to)| (*from..*to).contains(&at));
            kept.code != "misplaced-keyword" || !kept.position().is_some_and(within)
        });
    }

    /// The gravest severity so far.
    pub fn gravest(&self) -> Option<Severity> {
        self.gravest.get()
    }

    /// What `-t` exits with.
    pub fn exit_code(&self) -> u8 {
        self.status.get().map_or(0, Status::exit_code)
    }

    /// Whether there are so many errors that reading on teaches nothing.
    pub fn exhausted(&self) -> bool {
        self.error_count.get() >= self.error_limit
    }

    /// How many were beyond the limit.
    pub fn dropped(&self) -> Dropped {
        self.dropped.get()
    }

    /// Those kept, in the order of the files as they were read.
    pub fn into_sorted(self, sources: &SourceMap) -> Vec<Diagnostic> {
        let mut list = self.errors.into_inner();
        list.append(&mut self.remarks.into_inner());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_place_and_refusals_are_always_told() {
        let sink = Diagnostics::new(2, 5);
        for _ in 0..5 {
            sink.push(Diagnostic::warning("w", "w"));
        }
        for _ in 0..4 {
            sink.push(Diagnostic::error("e", "e"));
        }
        assert!(!sink.exhausted());
        sink.push(Diagnostic::fatal("f", "f"));
        assert!(sink.exhausted());
        assert_eq!(sink.dropped(), Dropped { errors: 3, remarks: 3 });
        sink.push_with(Severity::Error, None, || unreachable!("there is no room for it"));
        let codes: Vec<&str> = sink.into_sorted(&SourceMap::new()).iter().map(|kept| kept.code).collect();
        assert_eq!(codes, ["e", "f", "w", "w"]);
    }
}
