//! The readable record of a run.

use core::fmt;

use crate::time::Instant;

/// What kind of entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EntryKind {
    /// Something was done to the LAN.
    Fault,
    /// A router changed its state.
    Transition,
    /// A message to an operator.
    Report,
    /// An advertisement that tells more than that all is as before.
    Advertisement,
    /// A kernel's address or interface.
    Kernel,
    /// A host's cache.
    Host,
    /// A rule was broken.
    Violation,
    /// The run itself.
    Phase,
}

impl EntryKind {
    /// One word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Transition => "transition",
            Self::Report => "report",
            Self::Advertisement => "advertisement",
            Self::Kernel => "kernel",
            Self::Host => "host",
            Self::Violation => "violation",
            Self::Phase => "phase",
        }
    }
}

/// One line of a [`Timeline`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// When.
    pub at: Instant,
    /// Where: `r1`, `host2`, `lan0`, or empty.
    pub actor: String,
    /// What kind.
    pub kind: EntryKind,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, us) = (self.at.as_micros() / 1_000_000, self.at.as_micros() % 1_000_000);
        let sign = match self.kind {
            EntryKind::Fault => "!",
            EntryKind::Transition => "*",
            EntryKind::Violation => "X",
            EntryKind::Phase => "=",
            _ => " ",
        };
        write!(f, "{seconds:>5}.{us:06} {sign} {:<6} {}", self.actor, self.text)
    }
}

/// Everything of note in a run, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Timeline {
    entries: Vec<Entry>,
}

impl Timeline {
    /// Adds an entry.
    pub fn record(
        &mut self,
        at: Instant,
        kind: EntryKind,
        actor: impl fmt::Display,
        text: impl fmt::Display,
    ) {
        self.entries.push(Entry { at, actor: actor.to_string(), kind, text: text.to_string() });
    }

    /// All entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}
