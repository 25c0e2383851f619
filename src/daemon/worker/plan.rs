//! What a reload with another file would change: read, judged and compared, with nothing done.

use std::path::PathBuf;

use super::super::configuration::{self, Configuration, Refusal, Tolerance};
use super::super::control::Asked;
use super::super::options::Options;
use super::Worker;
use super::reload::fixed_settings;
use crate::config::settings_file_beside;
use crate::control::{self, Code, Planned, PlannedChange, PlannedObject};
use crate::node::{Change, Changes, HaNode};
use crate::notify::Notifications;

impl Worker<'_> {
    /// Answers with the plan.
    pub(super) fn plan(&self, file: &str, asked: Asked) {
        if !file.starts_with('/') {
            return asked.refuse(Code::BadRequest, format!("`{file}` is no absolute path"));
        }
        let refused = |what: &str, lines| {
            let message = format!("{what} would be refused; nothing was done");
            control::Refusal { code: Code::Refused, message, lines }
        };
        let after = match configuration::load(&self.options_with(file), Tolerance::Strict(&self.faults)) {
            Ok(after) => after,
            Err(Refusal { lines, .. }) => return asked.refuse_with(refused(file, lines)),
        };
        if self.would_stop_all(&after) {
            let lines = vec![super::reload::STOPS_ALL.to_owned()];
            return asked.refuse_with(refused(file, lines));
        }
        let kept = self.kept.read().unwrap_or_default();
        let before = match configuration::load_kept(self.options, &kept) {
            Ok(before) => before,
            Err(Refusal { lines, .. }) => {
                let message = "the configuration in force cannot be read again".to_owned();
                return asked.refuse_with(control::Refusal { code: Code::Refused, message, lines });
            }
        };
        let changes = compare(&before, &after);
        let objects = changes.objects.iter().map(|object| {
            let (change, what) = match &object.change {
                Change::Added => (PlannedChange::Added, Vec::new()),
                Change::Removed => (PlannedChange::Removed, Vec::new()),
                Change::Changed(what) => (PlannedChange::Changed, what.clone()),
            };
            PlannedObject { kind: object.kind.to_owned(), name: object.name.clone(), change, what }
        });
        asked.grant_with(&Planned {
            lines: changes.lines(),
            objects: objects.collect(),
            unchanged: changes.unchanged,
            needs_restart: fixed_settings(&self.settings, &after.settings).map(str::to_owned).collect(),
            warnings: after.warnings,
        });
    }

    /// Those of the daemon, with this file in place of its configuration, and the same alived.toml.
    fn options_with(&self, file: &str) -> Options {
        let beside = || PathBuf::from(settings_file_beside(&self.options.configuration.to_string_lossy()));
        let settings = self.options.settings.clone().or_else(|| Some(beside()).filter(|path| path.exists()));
        Options { configuration: file.into(), settings, ..self.options.clone() }
    }
}

/// The difference, whatever the daemon does at this moment.
fn compare(before: &Configuration, after: &Configuration) -> Changes {
    let mut changes = HaNode::new(before.node.clone()).plan(after.node.clone()).take_changes();
    changes.note_other("notifications", tells_otherwise(&before.notifications, &after.notifications));
    changes.note_other("settings of the daemon", before.settings != after.settings);
    changes
}

/// Whether anybody is told otherwise who was told anything: instances and groups that come or go are said already.
fn tells_otherwise(before: &Notifications, after: &Notifications) -> bool {
    let Notifications { instances, groups, fifos, balancer_fifos, mail, repeat_on_reload } = before;
    let instance = |(name, now): (_, _)| instances.get(name).is_some_and(|then| then != now);
    let group = |(name, now): (_, _)| groups.get(name).is_some_and(|then| then != now);
    after.instances.iter().any(instance)
        || after.groups.iter().any(group)
        || (fifos, balancer_fifos) != (&after.fifos, &after.balancer_fifos)
        || (mail, repeat_on_reload) != (&after.mail, &after.repeat_on_reload)
}
