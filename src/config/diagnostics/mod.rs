//! What the configuration has wrong, said so that the reader knows what to do.

mod json;
mod mask;
mod render;
mod sink;

pub use json::to_json;
pub use render::{Style, one_line, render, render_all};
pub use sink::{Diagnostics, Dropped};

use super::source::{Position, Span};

/// How grave a diagnostic is, in rising order.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// Advice. Never changes the status of `-t`.
    Hint,
    /// A note of ours: not acted on yet, probably not what was meant. Never changes the status of `-t`.
    Warning,
    /// The statement is dropped or its default used, as keepalived does; the daemon starts all the same.
    Error,
    /// The daemon does not start; on reload it keeps the running configuration.
    Fatal,
}

impl Severity {
    /// The word before the message.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Warning => "warning",
            Self::Error | Self::Fatal => "error",
        }
    }
}

/// keepalived's class of a fault, which decides the exit status of `-t`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Status {
    /// The main file is missing, an interface is missing, or the start is refused: 4.
    Refused,
    /// Any other fault, deprecations included: 5.
    Fault,
    /// An include check failed, or script security was violated: 6.
    Security,
    /// A keyword without its argument, on which keepalived stops at once: 2.
    MissingArgument,
}

impl Status {
    /// Exit status of `-t`.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Refused => 4,
            Self::Fault => 5,
            Self::Security => 6,
            Self::MissingArgument => 2,
        }
    }
}

/// One fault or remark.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// How grave.
    pub severity: Severity,
    /// What `-t` makes of it; `None` = nothing.
    pub status: Option<Status>,
    /// A short name of the kind of fault, stable for pipelines: `unknown-keyword`.
    pub code: &'static str,
    /// What is wrong, without a period at the end.
    pub message: String,
    /// The offending words.
    pub span: Option<Span>,
    /// A word or two at the offending words.
    pub label: String,
    /// Other places that matter.
    pub related: Vec<(Span, String)>,
    /// What follows from it.
    pub notes: Vec<String>,
    /// What to do about it.
    pub help: Vec<String>,
}

/// Kinds of errors about what was understood, and which a rule of keepalived's settles without a loss: nothing in them
/// is misspelt or half-written. Files that programs write have them for ever.
const SETTLED: &[&str] = &[
    "duplicate-address",
    "duplicate-peer",
    "in-two-groups",
    "interval-rounded",
    "native-ipv6",
    "only-ipv4",
    "preempt-delay-without-preempt",
    "preempt-with-master",
    "small-group",
    "timer-expired-backup",
    "too-many-addresses",
    "tracked-twice",
    "unicast-on-vmac",
    "unicast-without-peers",
    "vrf",
];

impl Diagnostic {
    /// Whether a reload may take a configuration with this error.
    pub(crate) fn is_settled(&self) -> bool {
        self.severity < Severity::Error || SETTLED.contains(&self.code)
    }

    fn new(severity: Severity, status: Option<Status>, code: &'static str, message: String) -> Self {
        Self {
            severity,
            status,
            code,
            message,
            span: None,
            label: String::new(),
            related: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Refuses start and reload; `-t` says 4 if nothing else is wrong.
    pub fn fatal(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Fatal, Some(Status::Refused), code, message.into())
    }

    /// The statement is dropped; `-t` says 5.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, Some(Status::Fault), code, message.into())
    }

    /// A note of ours.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, None, code, message.into())
    }

    /// Advice.
    pub fn hint(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Hint, None, code, message.into())
    }

    /// Sets what `-t` makes of it.
    pub fn status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    /// Sets where.
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Sets the words at the place.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds another place that matters.
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// Adds what follows from it.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    fn position(&self) -> Option<Position> {
        self.span.map(|span| span.start)
    }
}
