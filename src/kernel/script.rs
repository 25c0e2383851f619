//! Programs that the daemon runs for the operator: notify scripts, tracked scripts, checks.

use core::fmt;
use std::ffi::{CStr, CString};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A program, its arguments and whose rights it gets. No shell stands between.
///
/// Arguments are bytes without NUL, not text: `\xff` in a configuration is that byte.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Script {
    /// The program: a path, or a bare name to be looked up in `PATH`.
    pub program: CString,
    /// What follows it on the command line.
    pub arguments: Vec<CString>,
    /// As whom it runs.
    pub user: ScriptUser,
}

impl Script {
    /// A program without arguments, run as `script_user`.
    pub const fn new(program: CString) -> Self {
        Self { program, arguments: Vec::new(), user: ScriptUser::Default }
    }

    /// The words of the command line, program first.
    pub fn words(&self) -> impl Iterator<Item = &CStr> {
        std::iter::once(self.program.as_c_str()).chain(self.arguments.iter().map(CString::as_c_str))
    }
}

/// The command line as an operator reads it, every word quoted as keepalived's JSON does.
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "'{}'", String::from_utf8_lossy(word.to_bytes()))?;
        }
        Ok(())
    }
}

/// How the run of a tracked script ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum ScriptEnd {
    /// With status 0, within its time.
    Success,
    /// Otherwise, or it could not be run.
    Failure,
    /// Nobody knows: whoever ran it died.
    Lost,
}

/// As whom a script runs: the words after its command, or the keyword `user`.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum ScriptUser {
    /// `script_user` of `global_defs`.
    #[default]
    Default,
    /// The user that the script names.
    Named(NamedUser),
}

impl ScriptUser {
    /// The user that the script names, if it does.
    pub(crate) const fn named(&self) -> Option<&NamedUser> {
        match self {
            Self::Named(user) => Some(user),
            Self::Default => None,
        }
    }
}

/// A user that a script names. The names are looked up when the daemon loads the configuration.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct NamedUser {
    /// Name of the user, or a number.
    pub user: Arc<str>,
    /// Name of the group; `None` = the user's primary group.
    pub group: Option<Arc<str>>,
    /// `USER :` or `USER :GROUP`: the user's supplementary groups are set too.
    pub supplementary_groups: bool,
}
