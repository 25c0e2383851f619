//! Whether the interfaces that a configuration names exist.

use core::cell::RefCell;
use std::collections::BTreeSet;

use crate::config::diagnostics::{Diagnostic, Status};
use crate::config::schema::nearest;
use crate::config::source::Position;
use crate::config::values::Reading;
use crate::net::InterfaceName;

/// The interfaces of this host.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    /// `None` when the text is judged without a host.
    known: Option<BTreeSet<InterfaceName>>,
    /// `dynamic_interfaces`: they may come later.
    pub(super) dynamic: bool,
    reported: RefCell<BTreeSet<InterfaceName>>,
}

impl Interfaces {
    /// Asks the host.
    pub(super) fn new(reading: &Reading<'_>) -> Self {
        let known =
            reading.interfaces().map(|all| all.iter().map(|interface| interface.name.clone()).collect());
        Self { known, dynamic: false, reported: RefCell::default() }
    }

    /// Whether an interface is there or may come. If not, that is reported where it is named first.
    pub(super) fn check(&self, reading: &Reading<'_>, name: &InterfaceName, at: Position) -> bool {
        self.check_as(reading, name, at, Status::Fault)
    }

    /// Whether an interface is there or may come.
    pub(super) fn exists(&self, name: &InterfaceName) -> bool {
        self.dynamic || self.known.as_ref().is_none_or(|known| known.contains(name))
    }

    /// As [`Interfaces::check`], with what `-t` makes of it.
    pub(super) fn check_as(
        &self,
        reading: &Reading<'_>,
        name: &InterfaceName,
        at: Position,
        status: Status,
    ) -> bool {
        let Some(known) = &self.known else { return true };
        if self.exists(name) {
            return true;
        }
        if self.reported.borrow_mut().insert(name.clone()) {
            let diagnostic =
                Diagnostic::error("no-such-interface", format!("the interface {name} does not exist"))
                    .status(status)
                    .at(reading.sources.word_at(at))
                    .label("not on this host")
                    .note("what needs it is ignored");
            reading.diagnostics.push(match nearest(name.as_str(), known.iter().map(InterfaceName::as_str)) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic.help("if it appears later, write dynamic_interfaces in global_defs"),
            });
        }
        false
    }
}
