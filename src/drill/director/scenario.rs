//! What can happen to a director and its real servers.

/// A fault or an operation. It befalls the first real server, or the first director, while all serve.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scenario {
    /// The real server's process is killed: connections are refused.
    Die,
    /// The process is stopped: connections are accepted, and nobody answers.
    Hang,
    /// It answers with status 500.
    Wrong,
    /// One that was dead serves again.
    Return,
    /// The operator takes it out of service (`alived drain`).
    Drain,
    /// The first director's machine dies.
    Director,
}

impl Scenario {
    /// All, in the order in which they are run.
    pub const ALL: [Self; 6] =
        [Self::Die, Self::Hang, Self::Wrong, Self::Return, Self::Drain, Self::Director];

    /// Name for options and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Die => "die",
            Self::Hang => "hang",
            Self::Wrong => "wrong",
            Self::Return => "return",
            Self::Drain => "drain",
            Self::Director => "director",
        }
    }

    /// The scenario of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.name() == name)
    }

    /// One line for the reader of a report.
    pub const fn story(self) -> &'static str {
        match self {
            Self::Die => "a real server's process dies",
            Self::Hang => "a real server accepts connections and does not answer",
            Self::Wrong => "a real server answers wrong",
            Self::Return => "a dead real server comes back",
            Self::Drain => "the operator drains a real server",
            Self::Director => "the first director's machine dies",
        }
    }

    /// Whether the first real server serves before.
    pub(super) const fn begins_complete(self) -> bool {
        !matches!(self, Self::Return)
    }

    /// Whether the first real server serves in the end.
    pub(super) const fn ends_complete(self) -> bool {
        matches!(self, Self::Return | Self::Director)
    }

    /// Whether requests may fail until the kernel's table has changed.
    pub(super) const fn costs_requests(self) -> bool {
        !matches!(self, Self::Return | Self::Drain)
    }

    /// Which director is looked at in the end.
    pub(super) const fn director(self) -> usize {
        match self {
            Self::Director => 1,
            _ => 0,
        }
    }
}
