//! Trackers and what refers to them.
#![allow(clippy::result_large_err, reason = "a diagnostic is made once for each script at most")]

use core::num::{NonZeroU16, NonZeroU32};
use std::collections::BTreeSet;
use std::ffi::CString;

use super::fields::{duration, number};
use super::interfaces::Interfaces;
use super::order::{Defined, duplicate};
use super::script::Scripts;
use crate::config::diagnostics::{Diagnostic, Status};
use crate::config::model::{self, Config};
use crate::config::source::Position;
use crate::config::values::{self, At, Reading, TrackedName};
use crate::kernel::{IdRange, Script};
use crate::net::InterfaceName;
use crate::time::Duration;
use crate::track::{
    FileTracker, LinkPolling, Owner, ParameterMatch, ProcessTracker, ProcessTrackerTiming, Quorum,
    ScriptTest, ScriptTracker, TrackConfig, TrackReference, Tracker, Weight,
};
use crate::vrrp::RouterConfig;

/// Trackers while they are read.
#[derive(Debug, Default)]
pub(super) struct Tracking {
    /// What was read.
    pub(super) config: TrackConfig,
}

/// The `track_*` blocks of an instance or a group.
pub(super) struct Lists<'a> {
    pub(super) interfaces: &'a [At<TrackedName<253>>],
    pub(super) scripts: &'a [At<TrackedName<253>>],
    pub(super) files: &'a [At<TrackedName<254>>],
    pub(super) processes: &'a [At<TrackedName<254>>],
    pub(super) bfd: &'a [At<TrackedName<253>>],
}

/// The lists of a block that has them all under the same names.
macro_rules! lists {
    ($block:expr) => {
        Lists {
            interfaces: &$block.track_interface,
            scripts: &$block.track_script,
            files: &$block.track_file,
            processes: &$block.track_process,
            bfd: &$block.track_bfd,
        }
    };
}
pub(super) use lists;

impl Tracking {
    /// Takes a `vrrp_script`.
    pub(super) fn script(
        &mut self,
        reading: &Reading<'_>,
        defined: &mut Defined,
        scripts: &mut Scripts,
        block: &model::VrrpScript,
    ) {
        let (name, at) = (&*block.header.value.0, block.header.at);
        if let Some(first) = defined.scripts.first(name) {
            duplicate(reading, "vrrp_script", name, at, first, false);
            return;
        }
        let Some(entry) = &block.script else {
            no_target(reading, "vrrp_script", name, at, "script");
            return;
        };
        let test = match script_test(reading, scripts, entry, block) {
            Some(Ok(test)) => test,
            Some(Err(fault)) => {
                let why = fault.message.as_str().into();
                defined.unfit_scripts.insert(name.into(), fault);
                ScriptTest::Never(why)
            }
            None => return,
        };
        let second = Duration::from_secs(1);
        let positive = |field: &Option<At<values::Seconds<0, { model::TIMER_MAX }>>>, keyword: &str| {
            let entry = field.as_ref()?;
            // Runs are timed in milliseconds.
            let milliseconds = entry.value.0.div_ceil(1000);
            if milliseconds == 0 {
                reading.diagnostics.push(
                    Diagnostic::error("invalid-value", format!("`{keyword}` must be above 0"))
                        .at(reading.sources.word_at(entry.at))
                        .note("1 second is used"),
                );
                return Some(second);
            }
            Some(Duration::from_millis(milliseconds))
        };
        let interval = positive(&block.interval, "interval").unwrap_or(second);
        let weight = weight(block.weight.as_ref());
        let count = |number: Option<u32>| number.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        defined.scripts.define(name, at, weight);
        self.config.scripts.push(ScriptTracker {
            name: name.into(),
            test,
            interval,
            timeout: positive(&block.timeout, "timeout").unwrap_or(interval),
            weight,
            rise: count(number(block.rise.as_ref())),
            fall: count(number(block.fall.as_ref())),
            starts_failed: block.init_fail.is_some(),
        });
    }

    /// Takes a `track_file`.
    pub(super) fn file(&mut self, reading: &Reading<'_>, defined: &mut Defined, block: &model::TrackFile) {
        let (name, at) = (&*block.header.value.0, block.header.at);
        if let Some(first) = defined.files.first(name) {
            duplicate(reading, "track_file", name, at, first, false);
            return;
        }
        let Some(path) = &block.file else {
            no_target(reading, "track_file", name, at, "file");
            return;
        };
        // A file's number counts once unless it says otherwise.
        let weight = match &block.weight {
            Some(weight) => weight.value.0,
            None => Weight::new(1, false).unwrap_or_default(),
        };
        defined.files.define(name, at, weight);
        self.config.files.push(FileTracker {
            name: name.into(),
            path: (&*path.value.0).into(),
            weight,
            initial: block.init_file.as_ref().map(|entry| entry.value),
        });
    }

    /// Takes a `vrrp_track_process`.
    pub(super) fn process(
        &mut self,
        reading: &Reading<'_>,
        defined: &mut Defined,
        block: &model::TrackProcess,
    ) {
        let (name, at) = (&*block.header.value.0, block.header.at);
        if let Some(first) = defined.processes.first(name) {
            duplicate(reading, "vrrp_track_process", name, at, first, false);
            return;
        }
        let words = block.process.as_ref().and_then(|entry| {
            entry.value.0.iter().map(|word| CString::new(word.as_bytes()).ok()).collect::<Option<Vec<_>>>()
        });
        let Some((process, parameters)) = words.as_deref().and_then(<[CString]>::split_first) else {
            no_target(reading, "vrrp_track_process", name, at, "process");
            return;
        };
        let parameter_match = match &block.param_match {
            Some(entry) => entry.value,
            None if parameters.is_empty() => ParameterMatch::Ignored,
            None => ParameterMatch::Exact,
        };
        let delay = duration(block.delay.as_ref()).unwrap_or_default();
        let weight = weight(block.weight.as_ref());
        defined.processes.define(name, at, weight);
        let tracker = ProcessTracker {
            name: name.into(),
            process: process.clone(),
            parameters: parameters.to_vec(),
            parameter_match,
            weight,
            quorum: quorum(reading, block),
            timing: ProcessTrackerTiming {
                terminate_delay: duration(block.terminate_delay.as_ref()).unwrap_or(delay),
                fork_delay: duration(block.fork_delay.as_ref()).unwrap_or(delay),
            },
            full_command: block.full_command.is_some(),
        };
        if !tracker.goes_by_command_line()
            && tracker.process.to_bytes().contains(&b'/')
            && let Some(entry) = &block.process
        {
            reading.diagnostics.push(
                Diagnostic::warning("never-matches", "no process has a short name with a `/` in it")
                    .at(reading.sources.word_at(entry.at))
                    .label("compared with the short name, which is that of the program without its folder")
                    .help("write the name alone, or `full_command` to compare the path it was started by"),
            );
        }
        self.config.processes.push(tracker);
    }

    /// Takes the `track_*` blocks of an instance or a group. `own` is the instance's interface.
    pub(super) fn references(
        &mut self,
        reading: &Reading<'_>,
        defined: &mut Defined,
        interfaces: &Interfaces,
        owner: &Owner,
        own: Option<&InterfaceName>,
        lists: &Lists<'_>,
    ) {
        let mut seen = BTreeSet::new();
        let list = &mut self.config.references;
        let mut add = |tracker: Tracker, at: Position, weight: Weight| {
            if seen.insert(tracker.clone()) {
                list.push((owner.clone(), TrackReference { tracker, weight }));
            } else {
                ignored(reading, at, "this is tracked twice");
            }
        };
        for entry in lists.interfaces {
            let Ok(name) = entry.value.name.parse::<InterfaceName>() else {
                ignored(reading, entry.at, &format!("`{}` cannot be an interface", entry.value.name));
                continue;
            };
            if own == Some(&name) {
                ignored(reading, entry.at, "an instance tracks its own interface anyway");
            } else if interfaces.check(reading, &name, entry.at) {
                let weight = reference_weight(entry.value.weight, Weight::FAULT);
                add(Tracker::Interface(name), entry.at, weight);
            }
        }
        for entry in lists.scripts {
            if let Some(fault) = defined.unfit_scripts.remove(&entry.value.name) {
                let place = reading.sources.word_at(entry.at);
                reading.diagnostics.push(fault.related(place, "tracked here, where it counts as failed"));
            }
            if let Some(weight) = defined.scripts.find(&entry.value.name, entry.at) {
                let tracker = Tracker::Script((&*entry.value.name).into());
                add(tracker, entry.at, reference_weight(entry.value.weight, weight));
            }
        }
        for entry in lists.files {
            if let Some(weight) = defined.files.find(&entry.value.name, entry.at) {
                let tracker = Tracker::File((&*entry.value.name).into());
                add(tracker, entry.at, reference_weight(entry.value.weight, weight));
            }
        }
        for entry in lists.processes {
            if let Some(weight) = defined.processes.find(&entry.value.name, entry.at) {
                let tracker = Tracker::Process((&*entry.value.name).into());
                add(tracker, entry.at, reference_weight(entry.value.weight, weight));
            }
        }
        for entry in lists.bfd {
            if let Some(weight) = defined.bfd.find(&entry.value.name, entry.at) {
                let tracker = Tracker::Bfd((&*entry.value.name).into());
                add(tracker, entry.at, reference_weight(entry.value.weight, weight));
            }
        }
    }

    /// The lists of interfaces outside of all blocks.
    pub(super) fn interface_lists(
        &mut self,
        reading: &Reading<'_>,
        interfaces: &Interfaces,
        config: &Config,
        routers: &[RouterConfig],
    ) {
        let mut seen = BTreeSet::new();
        for entry in &config.interface_delays {
            let line = &entry.value;
            if !interfaces.check_as(reading, &line.interface, entry.at, Status::Refused) {
                continue;
            }
            if !seen.insert(&line.interface) {
                // keepalived takes the later one in silence.
                reading.diagnostics.push(
                    Diagnostic::hint("set-twice", format!("the delays of {} are set twice", line.interface))
                        .at(reading.sources.word_at(entry.at))
                        .note("the last ones count"),
                );
                self.config.interface_delays.retain(|other| other.interface != line.interface);
            }
            self.config.interface_delays.push(line.clone());
        }
        let mut seen = BTreeSet::new();
        for entry in &config.linkbeat_interfaces {
            let interface = &entry.value.interface;
            if interfaces.check(reading, interface, entry.at) && seen.insert(interface.clone()) {
                self.config.link_polling.push(entry.value.clone());
            }
        }
        for interface in self.polled_in_old_ways(config, routers) {
            if seen.insert(interface.clone()) {
                self.config.link_polling.push(LinkPolling { interface, method: None });
            }
        }
    }

    /// `linkbeat_use_polling`, of an instance for its own interface, or for all interfaces that instances use.
    fn polled_in_old_ways(&self, config: &Config, routers: &[RouterConfig]) -> BTreeSet<InterfaceName> {
        let asking = config.instances.iter().filter(|block| block.linkbeat_use_polling.is_some());
        let mut polled: BTreeSet<InterfaceName> =
            asking.filter_map(|block| Some(block.interface.as_ref()?.value.0.clone())).collect();
        if config.linkbeat_use_polling.is_some() {
            polled.extend(routers.iter().flat_map(RouterConfig::interface_names).cloned());
            polled.extend(self.config.references.iter().filter_map(
                |(_, reference)| match &reference.tracker {
                    Tracker::Interface(name) => Some(name.clone()),
                    _ => None,
                },
            ));
        }
        polled
    }
}

/// What a script does: `"< PATH"` only opens a file.
fn script_test(
    reading: &Reading<'_>,
    scripts: &mut Scripts,
    entry: &At<Script>,
    block: &model::VrrpScript,
) -> Option<Result<ScriptTest, Diagnostic>> {
    let Script { program, arguments, .. } = &entry.value;
    let path = match program.to_bytes().strip_prefix(b"<") {
        Some(b"") => arguments.first().cloned(),
        Some(path) => CString::new(path).ok(),
        None => {
            let script = scripts.read_tracked(reading, entry, block.user.as_ref());
            return Some(script.map(|script| ScriptTest::Run((*script).clone())));
        }
    };
    path.map(|path| Ok(ScriptTest::Open(path)))
}

fn weight<const LIMIT: i16>(field: Option<&At<values::TrackerWeight<LIMIT>>>) -> Weight {
    field.map(|entry| entry.value.0).unwrap_or_default()
}

/// The weight of a reference: its own, else the tracker's; without `reverse` or `noreverse` in the tracker's
/// sense.
fn reference_weight(own: Option<values::TrackedWeight>, tracker: Weight) -> Weight {
    own.and_then(|own| Weight::new(own.value, own.reverse.unwrap_or_else(|| tracker.is_reversed())))
        .unwrap_or(tracker)
}

fn quorum(reading: &Reading<'_>, block: &model::TrackProcess) -> Quorum {
    let count = |number: Option<u32>| number.and_then(|number| u16::try_from(number).ok());
    let least = count(number(block.quorum.as_ref())).and_then(NonZeroU16::new);
    let most = count(number(block.quorum_max.as_ref()));
    let at_least = Quorum::AtLeast(least.unwrap_or(NonZeroU16::MIN));
    match (least, most) {
        (_, None) => at_least,
        (None, Some(0)) => Quorum::None,
        (_, Some(most)) => match IdRange::new(least.unwrap_or(NonZeroU16::MIN).get(), most) {
            Some(range) => Quorum::Between(range),
            None => {
                if let Some(entry) = &block.quorum_max {
                    reading.diagnostics.push(
                        Diagnostic::error("quorum", format!("quorum_max {most} is below quorum"))
                            .at(reading.sources.word_at(entry.at))
                            .note("`quorum_max` is ignored"),
                    );
                }
                at_least
            }
        },
    }
}

fn no_target(reading: &Reading<'_>, keyword: &str, name: &str, at: Position, missing: &str) {
    reading.diagnostics.push(
        Diagnostic::error("incomplete-tracker", format!("the {keyword} `{name}` has no `{missing}`"))
            .at(reading.sources.word_at(at))
            .note("it is ignored")
            .help(format!("write `{missing}` in it")),
    );
}

fn ignored(reading: &Reading<'_>, at: Position, message: &str) {
    reading
        .diagnostics
        .push(Diagnostic::error("tracked-twice", message).at(reading.sources.word_at(at)).label("ignored"));
}
