//! A reload: another configuration, read from its files where this worker leads, else the one that the vrrp worker has
//! read and kept.

use super::super::configuration::{self, Configuration, Settings, Tolerance};
use super::super::control::Asked;
use super::super::ipvs_module;
use super::super::plan::{Comparison, refused};
use super::super::reload_files::{self, ReadingMarker};
use super::super::service_record::{self, Recorded};
use super::super::worker_start::{self, apply_to_runner};
use super::LvsWorker;
use super::start::{conduct, of_checks};
use crate::control::Code;
use crate::lvs::{Conduct, Event, Planned, Service};
use crate::node::BalancerConfig;
use crate::notify::service_name;
use crate::status::{Happening, ReloadStatus};
use crate::sys::clock;

/// Why a configuration without a virtual server is not taken.
const STOPS_ALL: &str = "the new configuration has no virtual server, and would stop all that are served: it was not \
                         reloaded; if that is wanted, write allow-empty = true under [reload] in alived.toml, or stop \
                         the daemon";

impl LvsWorker<'_> {
    /// Takes another configuration, if it is good.
    pub(super) fn reload(&mut self, asked: Option<Asked>) {
        tracing::info!("Reloading");
        self.progress.reload_begun();
        let configuration = if self.leads { self.read_again() } else { self.follow() };
        let (taken, lines) = match configuration.and_then(|configuration| self.take(configuration)) {
            Ok(lines) => (true, lines),
            Err(lines) => (false, lines),
        };
        for line in &lines {
            if taken { tracing::info!("{line}") } else { tracing::error!("{line}") }
        }
        if taken {
            tracing::info!("Reloaded");
        } else {
            tracing::error!("the configuration was not reloaded, the daemon goes on with the one before");
            reload_files::explain(&self.settings, &lines);
        }
        self.note_reload(taken, lines, asked);
    }

    fn note_reload(&mut self, taken: bool, lines: Vec<String>, asked: Option<Asked>) {
        let at = clock::wall();
        let reload = ReloadStatus { at_unix_us: at.as_unix_micros(), taken, lines };
        // Whoever leads says that nothing is changed.
        if self.leads || !taken || !reload.lines.is_empty() {
            self.events.note(at, Happening::Reload(reload.clone()));
        }
        self.last_reload = Some(reload.clone());
        let why = reload.lines.first().map_or("", String::as_str);
        self.progress.reload_ended((!taken).then_some(why));
        if let Some(asked) = asked {
            asked.answer_reload(reload);
        }
    }

    /// What is in the files.
    fn read_again(&self) -> Result<Configuration, Vec<String>> {
        let reading = ReadingMarker::begin(&self.settings, &self.control);
        let configuration = configuration::load(self.options, Tolerance::Strict(&self.faults));
        drop(reading);
        let configuration = configuration.map_err(|refusal| refusal.lines)?;
        if self.would_stop_all(&configuration) {
            return Err(vec![STOPS_ALL.to_owned()]);
        }
        Ok(configuration)
    }

    /// Whether it has no virtual server, and nobody has said that this is wanted.
    const fn would_stop_all(&self, configuration: &Configuration) -> bool {
        configuration.balancer.virtual_servers.is_empty()
            && !self.config.virtual_servers.is_empty()
            && !configuration.settings.reload.allow_empty
    }

    /// Answers with what a reload with another file would change.
    pub(super) fn plan_file(&self, file: &str, asked: Asked) {
        if !self.leads {
            return asked.refuse(Code::BadRequest, "the vrrp worker answers this");
        }
        let tolerance = Tolerance::Strict(&self.faults);
        let comparison = match Comparison::read(self.options, file, tolerance, &self.kept) {
            Ok(comparison) => comparison,
            Err(refusal) => return asked.refuse_with(refusal),
        };
        if self.would_stop_all(&comparison.after) {
            return asked.refuse_with(refused(file, vec![STOPS_ALL.to_owned()]));
        }
        let fixed = fixed_settings(&self.settings, &comparison.after.settings).map(str::to_owned).collect();
        asked.grant_with(&comparison.planned(fixed));
    }

    /// What the vrrp worker has read.
    fn follow(&self) -> Result<Configuration, Vec<String>> {
        worker_start::load_kept(self.options, &self.kept).map_err(|(_, text)| vec![text])
    }

    /// Gives what it changed, or why it cannot be.
    fn take(&mut self, configuration: Configuration) -> Result<Vec<String>, Vec<String>> {
        self.confinement.judge(self.options, &configuration, &self.control);
        let Configuration { node, balancer, settings, notifications, faults, hash, kept, warnings, .. } =
            configuration;
        let begins = self.table.is_none() && !balancer.virtual_servers.is_empty();
        if begins && let Err(error) = ipvs_module::wait(|| self.handover.ask_for_module()) {
            return Err(vec![format!("virtual servers cannot be served: {error}")]);
        }
        if self.leads {
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            self.keepsakes.next(&settings);
            self.keepsakes.keep_configuration(&kept);
            if let Err(error) = self.kept.write(&kept) {
                tracing::warn!("cannot keep the configuration for a later worker: {error}");
            }
            self.schedule.configure(settings.reload_time_file.as_deref(), settings.reload_repeat);
        }
        self.faults = faults;
        self.configuration_hash = hash;
        let conduct = conduct(&settings);
        self.take_settings(settings);
        self.mail = notifications.mail;
        self.fifos = notifications.balancer_fifos;
        self.progress.set_servers(balancer.virtual_servers.len());
        let planned = if begins {
            let planned = self.node.plan(&balancer, conduct);
            self.take_up(balancer, &node.tracking, Recorded::default(), false)
                .map_err(|(_, text)| vec![text])?;
            planned
        } else {
            let planned = self.apply(balancer, conduct);
            self.expire_dead();
            self.files.configure(of_checks(&node.tracking, &self.config));
            planned
        };
        self.carry_out();
        let known = self.objects();
        self.account.retain(|object| known.contains(object));
        self.delivery.open(&self.fifos, self.account.states(), &mut self.runner);
        Ok(planned.iter().map(in_words).collect())
    }

    fn apply(&mut self, balancer: BalancerConfig, conduct: Conduct) -> Vec<(Service, Planned)> {
        let now = clock::now().instant;
        let before = self.addresses.is_some();
        self.follow_addresses(&balancer);
        if let (false, Some(addresses)) = (before, &self.addresses) {
            for address in addresses.all() {
                let event = Event::Address { address, present: true };
                self.node.handle(now, event, &mut self.actions);
            }
        }
        let planned = self.node.apply(now, &balancer, conduct, &mut self.actions);
        // Before anything that takes its time.
        self.change_table();
        if let Err(error) = self.record.set_configuration(service_record::fingerprint(&balancer)) {
            tracing::warn!("cannot write the record of our virtual servers: {error}");
        }
        self.set_config(balancer);
        planned
    }

    fn take_settings(&mut self, new: Settings) {
        let old = &self.settings;
        for name in fixed_settings(old, &new) {
            tracing::warn!("{name} cannot change on a reload: restart for that");
        }
        if new.lvs.timeouts != old.lvs.timeouts || new.lvs.sync_daemon != old.lvs.sync_daemon {
            self.configure_kernel(&new.lvs);
        }
        self.account.set_mail(new.lvs.mail);
        self.settings.router_id = new.router_id;
        self.settings.reload_file = new.reload_file;
        self.settings.reload_log = new.reload_log;
        self.settings.reload_time_file = new.reload_time_file;
        self.settings.reload_repeat = new.reload_repeat;
        self.settings.save_folder = new.save_folder;
        self.settings.data_use_instance = new.data_use_instance;
        self.settings.state_dump_file = new.state_dump_file;
        self.settings.hooks = new.hooks;
        self.delivery.set(new.hooks);
        self.settings.checks = new.checks;
        self.settings.drain = new.drain;
        self.settings.scripts = new.scripts;
        apply_to_runner(new.scripts, &mut self.runner);
        self.settings.lvs = new.lvs;
    }
}

/// What a reload changes.
fn in_words((service, planned): &(Service, Planned)) -> String {
    let name = service_name(service);
    match planned {
        Planned::Added => format!("virtual_server {name} is new"),
        Planned::Removed => format!("virtual_server {name} is removed"),
        Planned::Changed => format!("virtual_server {name} is changed"),
    }
}

/// Settings of this worker that differ and cannot change on a reload.
pub(in crate::daemon) fn fixed_settings(
    old: &Settings,
    new: &Settings,
) -> impl Iterator<Item = &'static str> {
    let all = [
        ("checker_priority", old.checker.nice != new.checker.nice),
        ("checker_rlimit_rttime", old.checker.realtime_limit_us != new.checker.realtime_limit_us),
        ("checker_cpu_affinity", old.checker.processors != new.checker.processors),
        ("checker_no_swap", old.checker.no_swap != new.checker.no_swap),
        ("checker_process_name", old.checker.name != new.checker.name),
        ("checker_rt_priority", old.checker_realtime_priority != new.checker_realtime_priority),
        ("lvs_netlink_cmd_rcv_bufs", old.lvs.command_queue != new.lvs.command_queue),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name)
}
