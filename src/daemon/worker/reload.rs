//! A reload: reading the configuration again, judging it, and handing it to all that run by it.

use super::super::acceptance;
use super::super::configuration::{self, Configuration, Settings, Tolerance};
use super::super::control::Asked;
use super::super::descriptors;
use super::super::ipvs_module;
use super::super::reload_files::{self, ReadingMarker};
use super::super::tracked_files;
use super::super::vrrp_thread::Message;
use super::super::worker_start::apply_to_runner;
use super::Worker;
use crate::node::Changes;
use crate::status::{Happening, ReloadStatus};
use crate::sys::clock;

/// Why a configuration without a virtual router is not taken.
pub(super) const STOPS_ALL: &str = "the new configuration has no virtual router, and would stop all that run: it was \
                                    not reloaded; if that is wanted, write allow-empty = true under [reload] in \
                                    alived.toml, or stop the daemon";

impl Worker<'_> {
    /// A reload came to its end.
    fn note_reload(&mut self, taken: bool, lines: Vec<String>, asked: Option<Asked>) {
        let at = clock::wall();
        let reload = ReloadStatus { at_unix_us: at.as_unix_micros(), taken, lines };
        self.last_reload = Some(reload.clone());
        self.events.note(at, Happening::Reload(reload.clone()));
        self.memory.left_over();
        let why = reload.lines.first().map_or("", String::as_str);
        self.progress.reload_ended((!taken).then_some(why));
        if let Some(asked) = asked {
            asked.answer_reload(reload);
        }
    }

    /// A configuration without faults is not taken all the same.
    fn refuse_reload(&mut self, text: &str, asked: Option<Asked>) {
        tracing::error!("{text}");
        let lines = vec![text.to_owned()];
        reload_files::explain(&self.settings, &lines);
        self.note_reload(false, lines, asked);
    }

    /// The vrrp thread has taken a configuration.
    pub(super) fn finish_reload(&mut self, changes: &Changes) {
        let lines = changes.lines();
        for line in &lines {
            tracing::info!("{line}");
        }
        tracing::info!("Reloaded");
        self.hooks.reconfigured(&mut self.runner);
        let asked = self.reloads.pop_front().flatten();
        if self.reloads.is_empty() {
            self.acceptance.set(self.not_accepted.clone());
        }
        self.note_reload(true, lines, asked);
    }

    /// Reads the configuration again. A bad one changes nothing. The answer follows when the vrrp thread has taken it.
    pub(super) fn reload(&mut self, asked: Option<Asked>) {
        tracing::info!("Reloading");
        self.progress.reload_begun();
        let reading = ReadingMarker::begin(&self.settings, &self.control);
        let configuration = configuration::load(self.options, Tolerance::Strict(&self.faults));
        drop(reading);
        let configuration = match configuration {
            Ok(configuration) => configuration,
            Err(refusal) => {
                reload_files::explain(&self.settings, &refusal.lines);
                for line in &refusal.lines {
                    tracing::error!("{line}");
                }
                tracing::error!(
                    "the configuration was not reloaded, the daemon goes on with the one before; correct the \
                     file and send HUP again"
                );
                self.note_reload(false, refusal.lines, asked);
                return;
            }
        };
        if self.would_stop_all(&configuration) {
            return self.refuse_reload(STOPS_ALL, asked);
        }
        let balances = self.options.checkers && !configuration.balancer.virtual_servers.is_empty();
        if balances
            && !self.balances
            && let Err(error) = ipvs_module::wait(|| self.handover.ask_for_module())
        {
            let text = format!(
                "the new configuration has virtual servers, which cannot be served: {error}; it was not reloaded"
            );
            return self.refuse_reload(&text, asked);
        }
        self.balances = balances;
        self.has_routers = !configuration.node.routers.is_empty();
        self.progress.set_routers(configuration.node.routers.len());
        for warning in &configuration.warnings {
            tracing::warn!("{warning}");
        }
        if let Some(text) = descriptors::too_few(&configuration.node) {
            tracing::error!("{text}");
        }
        self.confinement.judge(self.options, &configuration, &self.control);
        let number = self.keepsakes.next(&configuration.settings);
        self.keepsakes.keep_configuration(&configuration.kept);
        self.ask_for_keepsake(number, "pre");
        self.faults = configuration.faults;
        self.configuration_hash = configuration.hash;
        self.keep_settings(&configuration.settings);
        self.take_settings(configuration.settings);
        let filters = self.left_filters.configure(&configuration.node, &self.settings.filters);
        if let Err(error) = self.leftovers.write(&configuration.node, filters) {
            tracing::warn!("cannot note the addresses for the supervisor: {error}");
        }
        if let Err(error) = self.kept.write(&configuration.kept) {
            tracing::warn!("cannot keep the configuration for a later worker: {error}");
        }
        // The lvs worker follows.
        self.handover.note_taken(balances);
        self.reloads.push_back(asked);
        self.hooks.configure(configuration.notifications);
        self.tracked_scripts.configure(&configuration.node.tracking, &mut self.runner);
        // What is not to be accepted is not from now on, what is to be once nobody thinks otherwise.
        self.not_accepted = acceptance::not_accepted(&configuration.node);
        self.acceptance.extend(&self.not_accepted);
        if let Some(reservation) = self.stamps.configure(&configuration.node) {
            self.inbox.send(Message::Reserved(reservation));
        }
        // Strewn over all that reading it took, it would keep that from being given back.
        self.inbox.send(Message::Reconfigure(configuration.node.detached()));
        self.ask_for_keepsake(number, "post");
        self.tracked_files.configure(tracked_files::of_routers(&configuration.node.tracking));
        self.tracked_processes.configure(&configuration.node.tracking);
        self.polled_links.configure(&configuration.node.tracking.link_polling);
    }

    /// Whether it has no virtual router, and nobody has said that this is wanted.
    pub(super) const fn would_stop_all(&self, configuration: &Configuration) -> bool {
        configuration.node.routers.is_empty()
            && self.has_routers
            && !configuration.settings.reload.allow_empty
    }

    /// Says which settings need a restart.
    fn keep_settings(&self, new: &Settings) {
        for name in fixed_settings(&self.settings, new) {
            tracing::warn!("{name} cannot change on a reload: restart for that");
        }
    }

    /// Changes the settings that can change while the daemon runs.
    fn take_settings(&mut self, new: Settings) {
        self.settings.router_id = new.router_id;
        self.settings.mail_on_changes = new.mail_on_changes;
        self.settings.reload_file = new.reload_file;
        self.settings.reload_log = new.reload_log;
        self.settings.reload_time_file = new.reload_time_file;
        self.settings.reload_repeat = new.reload_repeat;
        self.settings.save_folder = new.save_folder;
        self.schedule.configure(self.settings.reload_time_file.as_deref(), self.settings.reload_repeat);
        self.settings.data_use_instance = new.data_use_instance;
        self.settings.state_dump_file = new.state_dump_file;
        self.settings.json_version = new.json_version;
        let hooks = &self.hooks;
        self.sync_daemons.configure(&new.lvs, |instance| hooks.state_of(instance));
        self.settings.lvs = new.lvs;
        self.settings.hooks = new.hooks;
        self.hooks.set(new.hooks);
        self.settings.record = new.record;
        self.settings.scripts = new.scripts;
        apply_to_runner(new.scripts, &mut self.runner);
        self.settings.auto_priority = new.auto_priority;
        self.late.set(new.auto_priority.map(|auto| auto.late_us));
        if self.settings.realtime_priority == new.realtime_priority {
            return;
        }
        let priority = new.realtime_priority;
        if self.scheduling.set(priority) {
            self.settings.realtime_priority = priority;
            let what = priority
                .map_or_else(|| "ordinary".to_owned(), |priority| format!("real-time (priority {priority})"));
            tracing::info!("the thread that sends advertisements has {what} scheduling now");
        }
    }
}

/// Settings that differ and cannot change on a reload.
pub(super) fn fixed_settings(old: &Settings, new: &Settings) -> impl Iterator<Item = &'static str> {
    let all = [
        ("net_namespace", old.namespace != new.namespace),
        ("instance", old.instance != new.instance),
        ("use_pid_dir", old.use_pid_dir != new.use_pid_dir),
        ("vrrp_priority", old.vrrp.nice != new.vrrp.nice),
        ("vrrp_rlimit_rttime", old.vrrp.realtime_limit_us != new.vrrp.realtime_limit_us),
        ("vrrp_cpu_affinity", old.vrrp.processors != new.vrrp.processors),
        ("vrrp_no_swap", old.vrrp.no_swap != new.vrrp.no_swap),
        ("umask", old.umask != new.umask),
        ("sandbox", old.sandbox != new.sandbox),
        ("[http] of alived.toml", old.http != new.http),
        ("disable_local_igmp", old.no_local_reports != new.no_local_reports),
        ("the size of receive queues", old.queues != new.queues),
        ("nftables, its priority and counters", old.filters != new.filters),
        ("process_name", old.supervisor_name != new.supervisor_name),
        ("vrrp_process_name", old.vrrp.name != new.vrrp.name),
        ("shutdown_script", old.shutdown_script != new.shutdown_script),
        ("child_wait_time", old.child_wait_time != new.child_wait_time),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name)
}
