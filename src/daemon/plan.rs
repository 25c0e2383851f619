//! What a reload with another file would change: read, judged and compared, with nothing done.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::configuration::{self, Configuration, Refusal, Tolerance};
use super::options::Options;
use super::shared_text::SharedText;
use crate::check::{Checker, Timing};
use crate::config::settings_file_beside;
use crate::control::{self, Code, Planned, PlannedChange, PlannedObject};
use crate::kernel::ipvs::HostPort;
use crate::lvs::{RealServer, RealServerDetails, Service, VirtualServer};
use crate::node::{BalancerConfig, Change, Changes, HaNode, ObjectChange};
use crate::notify::{Notifications, service_name, target_name};
use crate::status::check_keyword;
use crate::time::Duration;

/// A file that was read in place of the daemon's, and what is in force.
pub(super) struct Comparison {
    pub(super) before: Configuration,
    pub(super) after: Configuration,
}

/// It is judged, and this is why it would not be taken.
pub(super) fn refused(file: &str, lines: Vec<String>) -> control::Refusal {
    let message = format!("{file} would be refused; nothing was done");
    control::Refusal { code: Code::Refused, message, lines }
}

impl Comparison {
    /// Reads both.
    pub(super) fn read(
        options: &Options,
        file: &str,
        tolerance: Tolerance<'_>,
        kept: &SharedText,
    ) -> Result<Self, control::Refusal> {
        let refusal = |code, message| control::Refusal { code, message, lines: Vec::new() };
        if !file.starts_with('/') {
            return Err(refusal(Code::BadRequest, format!("`{file}` is no absolute path")));
        }
        let after = configuration::load(&with_file(options, file), tolerance)
            .map_err(|Refusal { lines, .. }| refused(file, lines))?;
        let kept = kept.read().unwrap_or_default();
        let before = configuration::load_kept(options, &kept).map_err(|Refusal { lines, .. }| {
            let message = "the configuration in force cannot be read again".to_owned();
            control::Refusal { code: Code::Refused, message, lines }
        })?;
        Ok(Self { before, after })
    }

    /// The plan.
    pub(super) fn planned(self, needs_restart: Vec<String>) -> Planned {
        let changes = self.changes();
        let objects = changes.objects.iter().map(|object| {
            let (change, what) = match &object.change {
                Change::Added => (PlannedChange::Added, Vec::new()),
                Change::Removed => (PlannedChange::Removed, Vec::new()),
                Change::Changed(what) => (PlannedChange::Changed, what.clone()),
            };
            PlannedObject { kind: object.kind.to_owned(), name: object.name.clone(), change, what }
        });
        Planned {
            lines: changes.lines(),
            objects: objects.collect(),
            unchanged: changes.unchanged,
            needs_restart,
            warnings: self.after.warnings,
        }
    }

    /// The difference, whatever the daemon does at this moment.
    fn changes(&self) -> Changes {
        let Self { before, after } = self;
        let mut changes = HaNode::new(before.node.clone()).plan(after.node.clone()).take_changes();
        compare_balancers(&before.balancer, &after.balancer, &mut changes);
        changes.note_other("notifications", tells_otherwise(&before.notifications, &after.notifications));
        changes.note_other("settings of the daemon", before.settings != after.settings);
        changes
    }
}

/// The daemon's options, with this file in place of its configuration, and the same alived.toml.
fn with_file(options: &Options, file: &str) -> Options {
    let beside = || PathBuf::from(settings_file_beside(&options.configuration.to_string_lossy()));
    let settings = options.settings.clone().or_else(|| Some(beside()).filter(|path| path.exists()));
    Options { configuration: file.into(), settings, ..options.clone() }
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

/// Groups, virtual servers, their real servers and the checks of these, each by its identity over reloads.
fn compare_balancers(before: &BalancerConfig, after: &BalancerConfig, changes: &mut Changes) {
    let groups = |config: &BalancerConfig| -> BTreeMap<_, _> {
        config.groups.iter().map(|group| (group.name.to_string(), group.members.clone())).collect()
    };
    compare(
        changes,
        &groups(before),
        &groups(after),
        |name| ("virtual_server_group", name.clone()),
        |_, _| vec!["members".to_owned()],
    );
    compare(
        changes,
        &virtual_servers(before),
        &virtual_servers(after),
        |service| ("virtual_server", service_name(service).to_string()),
        of_virtual_server,
    );
    compare(
        changes,
        &real_servers(before),
        &real_servers(after),
        |(service, target)| ("real_server", name_of(service, *target)),
        |before, after| of_real_server(before, after),
    );
    compare(
        changes,
        &checks(before),
        &checks(after),
        |(service, target, kind, _)| (kind, name_of(service, *target)),
        |before, after| of_check(before, after),
    );
    changes.note_other("SSL", before.tls != after.tls);
}

/// `[10.0.0.1]:tcp:80 of [192.0.2.1]:tcp:80`.
fn name_of(service: &Service, target: HostPort) -> String {
    format!("{} of {}", target_name(service, target), service_name(service))
}

/// What comes, goes and changes, in this order.
fn compare<K: Ord, T: PartialEq>(
    changes: &mut Changes,
    before: &BTreeMap<K, T>,
    after: &BTreeMap<K, T>,
    name: impl Fn(&K) -> (&'static str, String),
    differences: impl Fn(&T, &T) -> Vec<String>,
) {
    let object = |key, change| {
        let (kind, name) = name(key);
        ObjectChange { kind, name, change }
    };
    let (mut added, mut changed) = (Vec::new(), Vec::new());
    for (key, new) in after {
        match before.get(key) {
            None => added.push(object(key, Change::Added)),
            Some(old) if old == new => changes.unchanged += 1,
            Some(old) => changed.push(object(key, Change::Changed(differences(old, new)))),
        }
    }
    let removed =
        before.keys().filter(|key| !after.contains_key(key)).map(|key| object(key, Change::Removed));
    let removed: Vec<_> = removed.collect();
    changes.objects.extend(added.into_iter().chain(removed).chain(changed));
}

/// Without their real servers, which are objects of their own.
fn virtual_servers(config: &BalancerConfig) -> BTreeMap<&Service, VirtualServer> {
    let alone = |server: &VirtualServer| VirtualServer {
        service: server.service.clone(),
        scheduler: server.scheduler,
        scheduler_flags: server.scheduler_flags,
        one_packet: server.one_packet,
        method: server.method,
        persistence: server.persistence.clone(),
        quorum: server.quorum,
        sorry_server: server.sorry_server,
        ha_suspend: server.ha_suspend,
        alpha: server.alpha,
        omega: server.omega,
        smtp_alert: server.smtp_alert,
        notifications: server.notifications.clone(),
        snmp_name: server.snmp_name.clone(),
        real_servers: Vec::new(),
    };
    config.virtual_servers.iter().map(|server| (&server.service, alone(server))).collect()
}

fn real_servers(config: &BalancerConfig) -> BTreeMap<(&Service, HostPort), &RealServer> {
    let mut all = BTreeMap::new();
    for server in &config.virtual_servers {
        all.extend(server.real_servers.iter().map(|real| ((&server.service, real.target), real)));
    }
    all
}

/// Of several checks of one kind of a real server the first is the first one again.
fn checks(config: &BalancerConfig) -> BTreeMap<(&Service, HostPort, &'static str, usize), &Arc<Checker>> {
    let mut checks = BTreeMap::new();
    for assignment in &config.checks {
        let server = config.virtual_servers.get(assignment.server.virtual_server as usize);
        let real = server.and_then(|server| server.real_servers.get(assignment.server.real_server as usize));
        let (Some(server), Some(real)) = (server, real) else { continue };
        let mut key = (&server.service, real.target, check_keyword(&assignment.checker.kind), 0);
        while checks.contains_key(&key) {
            key.3 += 1;
        }
        checks.insert(key, &assignment.checker);
    }
    checks
}

/// The keywords of what differs; `other settings` where none is known.
fn words(found: &[(&str, bool)]) -> Vec<String> {
    let mut words: Vec<String> =
        found.iter().filter(|(_, differs)| *differs).map(|(keyword, _)| (*keyword).to_owned()).collect();
    if words.is_empty() {
        words.push("other settings".to_owned());
    }
    words
}

fn of_virtual_server(old: &VirtualServer, new: &VirtualServer) -> Vec<String> {
    let scheduler = format!("lvs_sched {} -> {}", old.scheduler.name(), new.scheduler.name());
    let (weight, hysteresis) = (old.quorum.weight(), old.quorum.hysteresis());
    let quorum = format!("quorum {weight} -> {}", new.quorum.weight());
    let kept = format!("hysteresis {hysteresis} -> {}", new.quorum.hysteresis());
    words(&[
        (&scheduler, old.scheduler != new.scheduler),
        ("flags of the scheduler", old.scheduler_flags != new.scheduler_flags),
        ("ops", old.one_packet != new.one_packet),
        ("lvs_method", old.method != new.method),
        ("persistence", old.persistence != new.persistence),
        (&quorum, weight != new.quorum.weight()),
        (&kept, hysteresis != new.quorum.hysteresis()),
        ("sorry_server", old.sorry_server != new.sorry_server),
        ("ha_suspend", old.ha_suspend != new.ha_suspend),
        ("alpha", old.alpha != new.alpha),
        ("omega", old.omega != new.omega),
        ("smtp_alert", old.smtp_alert != new.smtp_alert),
        ("quorum_up", old.notifications.up != new.notifications.up),
        ("quorum_down", old.notifications.down != new.notifications.down),
        ("snmp_name", old.snmp_name != new.snmp_name),
    ])
}

fn of_real_server(old: &RealServer, new: &RealServer) -> Vec<String> {
    let none = RealServerDetails::default();
    let details = [old, new].map(|real| real.details.as_deref().unwrap_or(&none));
    let differs = |of: fn(&RealServerDetails, &RealServerDetails) -> bool| of(details[0], details[1]);
    words(&[
        (&format!("weight {} -> {}", old.weight, new.weight), old.weight != new.weight),
        ("lvs_method", old.method != new.method),
        ("inhibit_on_failure", old.inhibit_on_failure != new.inhibit_on_failure),
        ("smtp_alert", old.smtp_alert != new.smtp_alert),
        ("uthreshold", differs(|old, new| old.upper_threshold != new.upper_threshold)),
        ("lthreshold", differs(|old, new| old.lower_threshold != new.lower_threshold)),
        ("notify_up", differs(|old, new| old.notify_up != new.notify_up)),
        ("notify_down", differs(|old, new| old.notify_down != new.notify_down)),
        ("snmp_name", differs(|old, new| old.snmp_name != new.snmp_name)),
    ])
}

fn of_check(old: &Checker, new: &Checker) -> Vec<String> {
    let time = |keyword: &str, of: fn(&Timing) -> Duration| {
        let (old, new) = (of(&old.timing).as_secs_f64(), of(&new.timing).as_secs_f64());
        format!("{keyword} {old} -> {new}")
    };
    let (before, after) = (&old.timing, &new.timing);
    words(&[
        ("what is checked", old.kind != new.kind),
        (&time("delay_loop", |of| of.delay_loop), before.delay_loop != after.delay_loop),
        (&format!("retry {} -> {}", before.retry, after.retry), before.retry != after.retry),
        (
            &time("delay_before_retry", |of| of.delay_before_retry),
            before.delay_before_retry != after.delay_before_retry,
        ),
        (&time("warmup", |of| of.warmup), before.warmup != after.warmup),
        ("alpha", before.alpha != after.alpha),
        ("log_all_failures", before.log_all_failures != after.log_all_failures),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "virtual_server 192.0.2.1 80 {\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\n\
                        real_server 10.0.0.1 80 {\nweight 1\nTCP_CHECK {\nconnect_timeout 3\n}\n}\n\
                        real_server 10.0.0.2 80 {\nweight 1\nTCP_CHECK {\nconnect_timeout 3\n}\n}\n}\n";

    fn lines(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            let configuration = folder.path().join("keepalived.conf");
            std::fs::write(&configuration, text).unwrap();
            let options = Options { configuration, checkers: true, vrrp: true, ..Options::default() };
            configuration::load(&options, Tolerance::Lenient).unwrap()
        };
        Comparison { before: read(TEXT), after: read(text) }.changes().lines()
    }

    #[test]
    fn virtual_servers_real_servers_and_checks_are_compared_one_by_one() {
        assert_eq!(lines(TEXT), ["nothing is changed"]);
        let text = TEXT
            .replace("lvs_sched rr\n", "lvs_sched wrr\nquorum 2\n")
            .replacen("weight 1", "weight 7", 1)
            .replacen("connect_timeout 3", "connect_timeout 3\nretry 5", 1)
            .replacen("connect_timeout 3\n}", "connect_timeout 4\n}", 1);
        assert_eq!(
            lines(&text),
            [
                "virtual_server [192.0.2.1]:tcp:80: lvs_sched rr -> wrr, quorum 1 -> 2",
                "real_server [10.0.0.1]:tcp:80 of [192.0.2.1]:tcp:80: weight 1 -> 7",
                "TCP_CHECK [10.0.0.1]:tcp:80 of [192.0.2.1]:tcp:80: retry 1 -> 5",
                "TCP_CHECK [10.0.0.2]:tcp:80 of [192.0.2.1]:tcp:80: what is checked",
            ]
        );
    }

    #[test]
    fn what_comes_and_goes_is_named_with_its_parts() {
        let text = TEXT.replace("real_server 10.0.0.2", "real_server 10.0.0.3");
        let at = |real: &str| format!("[10.0.0.{real}]:tcp:80 of [192.0.2.1]:tcp:80");
        assert_eq!(
            lines(&text),
            [
                format!("real_server {} is new", at("3")),
                format!("real_server {} is removed", at("2")),
                format!("TCP_CHECK {} is new", at("3")),
                format!("TCP_CHECK {} is removed", at("2")),
            ]
        );
    }
}
