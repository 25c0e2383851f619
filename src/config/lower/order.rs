//! What is defined so far: a block can only refer to what stands above it.

use core::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::config::diagnostics::{Diagnostic, Severity};
use crate::config::schema::nearest;
use crate::config::source::Position;
use crate::config::values::Reading;
use crate::track::Weight;

/// Names by kind. Trackers come with their own weight.
#[derive(Debug)]
pub(super) struct Defined {
    /// `vrrp_script`.
    pub(super) scripts: Kind<Weight>,
    /// `vrrp_script` whose program may not be run, and why; said where it is used.
    pub(super) unfit_scripts: BTreeMap<Box<str>, Diagnostic>,
    /// `track_file`.
    pub(super) files: Kind<Weight>,
    /// `vrrp_track_process`.
    pub(super) processes: Kind<Weight>,
    /// `bfd_instance`.
    pub(super) bfd: Kind<Weight>,
    /// `track_group`.
    pub(super) track_groups: Kind<()>,
}

impl Default for Defined {
    fn default() -> Self {
        Self {
            scripts: Kind::new("vrrp_script"),
            unfit_scripts: BTreeMap::new(),
            files: Kind::new("track_file"),
            processes: Kind::new("vrrp_track_process"),
            bfd: Kind::new("bfd_instance"),
            track_groups: Kind::new("track_group"),
        }
    }
}

impl Defined {
    /// Says of scripts that may not be run and that nobody uses, that it does not matter yet.
    pub(super) fn report_unfit(&mut self, reading: &Reading<'_>) {
        for (_, mut fault) in core::mem::take(&mut self.unfit_scripts) {
            fault.severity = Severity::Warning;
            fault.status = None;
            reading.diagnostics.push(fault.note("nobody tracks it"));
        }
    }

    /// Remarks on trackers that nothing tracks, once everything is read.
    pub(super) fn report_unused(&self, reading: &Reading<'_>) {
        for kind in [&self.scripts, &self.files, &self.processes] {
            kind.report_unused(reading);
        }
    }

    /// Reports all references that led nowhere, once everything is read.
    pub(super) fn report_missing(&self, reading: &Reading<'_>) {
        for kind in [&self.scripts, &self.files, &self.processes, &self.bfd] {
            kind.report_missing(reading);
        }
        self.track_groups.report_missing(reading);
    }
}

/// Definitions of one kind.
#[derive(Debug)]
pub(super) struct Kind<T> {
    keyword: &'static str,
    by_name: BTreeMap<Box<str>, (T, Position)>,
    used: RefCell<BTreeSet<Box<str>>>,
    missing: RefCell<Vec<(Box<str>, Position)>>,
}

impl<T: Copy> Kind<T> {
    const fn new(keyword: &'static str) -> Self {
        Self {
            keyword,
            by_name: BTreeMap::new(),
            used: RefCell::new(BTreeSet::new()),
            missing: RefCell::new(Vec::new()),
        }
    }

    /// Where a name was defined.
    pub(super) fn first(&self, name: &str) -> Option<Position> {
        self.by_name.get(name).map(|(_, at)| *at)
    }

    /// Notes a definition.
    pub(super) fn define(&mut self, name: &str, at: Position, value: T) {
        self.by_name.insert(name.into(), (value, at));
    }

    /// The definition that a block refers to. One that is missing is reported at the end, when it is known
    /// whether it comes too late.
    pub(super) fn find(&self, name: &str, at: Position) -> Option<T> {
        let found = self.by_name.get(name).map(|(value, _)| *value);
        // One that is used too early is used: what is wrong with it is said.
        self.used.borrow_mut().insert(name.into());
        if found.is_none() {
            self.missing.borrow_mut().push((name.into(), at));
        }
        found
    }

    /// Remarks on definitions that nothing refers to.
    fn report_unused(&self, reading: &Reading<'_>) {
        let keyword = self.keyword;
        let used = self.used.borrow();
        let mut unused: Vec<_> = self.by_name.iter().filter(|(name, _)| !used.contains(*name)).collect();
        unused.sort_by_key(|(_, (_, at))| *at);
        for (name, (_, at)) in unused {
            reading.lints.note("never-tracked", || {
                Diagnostic::warning("never-tracked", format!("nothing tracks the {keyword} `{name}`"))
                    .at(reading.sources.word_at(*at))
                    .label("never looked at")
                    .help("track it in the instances or groups that depend on it, or remove it")
            });
        }
    }

    fn report_missing(&self, reading: &Reading<'_>) {
        let keyword = self.keyword;
        for (name, at) in self.missing.borrow().iter() {
            let place = reading.sources.word_at(*at);
            let diagnostic = match self.by_name.get(name) {
                Some((_, later)) => Diagnostic::error(
                    "defined-too-late",
                    format!("the {keyword} `{name}` is defined after it is used here"),
                )
                .at(place)
                .related(reading.sources.word_at(*later), "defined here")
                .help(format!("move the {keyword} above")),
                None => {
                    let diagnostic =
                        Diagnostic::error("no-such-name", format!("there is no {keyword} named `{name}`"))
                            .at(place)
                            .label("not defined");
                    match nearest(name, self.by_name.keys().map(|name| &**name)) {
                        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                        None => diagnostic.help(format!("define it above: {keyword} {name} {{ … }}")),
                    }
                }
            };
            reading.diagnostics.push(diagnostic.note("the reference is ignored"));
        }
    }
}

/// Reports a second definition of a name, which is dropped. `refuses` = keepalived calls it a fault.
pub(super) fn duplicate(
    reading: &Reading<'_>,
    keyword: &str,
    name: &str,
    at: Position,
    first: Position,
    refuses: bool,
) {
    let message = format!("there are two {keyword} blocks named `{name}`");
    let diagnostic = if refuses {
        Diagnostic::error("duplicate-name", message)
    } else {
        Diagnostic::warning("duplicate-name", message)
    };
    reading.diagnostics.push(
        diagnostic
            .at(reading.sources.word_at(at))
            .label("ignored")
            .related(reading.sources.word_at(first), "first defined here")
            .help(format!("give each {keyword} a name of its own")),
    );
}
