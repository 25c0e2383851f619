//! `keepalived.data`: for people, and for programs that look for keepalived's lines in it. These come first in each
//! block, in keepalived's words and order as far as there is such a thing here; what only this daemon knows follows.

use core::fmt::{self, Write as _};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::keepalived_json::Told;
use super::keepalived_lines;
use super::snapshot::{FileSnapshot, GroupSnapshot, RouterSnapshot, Snapshot};
use crate::kernel::{Script, ScriptUser};
use crate::notify::{InstanceNotifications, StateScripts};
use crate::time::{Duration, Instant, WallTime, micros};
use crate::track::{
    FileReading, ParameterMatch, ProcessState, ProcessTracker, ScriptState, ScriptTracker, TrackReference,
    Tracker, Verdict,
};
use crate::vrrp::{Destinations, State, UnicastPeer};
use crate::wire::vrrp::{AuthenticationData, HopLimits, RejectionKind, Version};

/// One of the settings: `Router ID`, `R1`.
pub(crate) type Definition = (&'static str, String);

/// Writes times of the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// When the snapshot was taken.
    pub(crate) now: WallTime,
    /// A time in the zone of the host: `Fri Nov 27 17:32:13 2026`.
    pub(crate) local: fn(WallTime) -> String,
}

impl Clock {
    /// `1795800733.196821 (Fri Nov 27 17:32:13.196821 2026)`.
    fn full(&self, time: WallTime) -> String {
        let (us, local) = (time.as_unix_micros(), (self.local)(time));
        let fraction = us % 1_000_000;
        let local = match local.rsplit_once(' ') {
            Some((clock, year)) => format!("{clock}.{fraction:06} {year}"),
            None => local,
        };
        format!("{}.{fraction:06} ({local})", us / 1_000_000)
    }
}

/// The section of the settings.
pub(crate) fn definitions(definitions: &[Definition]) -> String {
    let mut text = "------< Global definitions >------\n".to_owned();
    for (name, value) in definitions {
        // Writing to a String cannot fail.
        let _ = writeln!(text, " {name} = {value}");
    }
    text
}

/// The whole file.
pub(crate) fn text(snapshot: &Snapshot, settings: &[Definition], told: Told<'_>, clock: Clock) -> String {
    let mut text = definitions(settings);
    text.push_str("------< VRRP Topology >------\n");
    for router in &snapshot.routers {
        // Writing to a String cannot fail.
        let _ = write_router(&mut text, router, snapshot, told, clock);
    }
    section(&mut text, "VRRP Sync groups", &snapshot.groups, |text, group| {
        write_group(text, group, told, clock)
    });
    let dependents = Dependents::of(snapshot);
    section(&mut text, "VRRP Scripts", &snapshot.scripts, |text, (script, state)| {
        write_script(text, script, state, &dependents)
    });
    section(&mut text, "VRRP Track files", &snapshot.files, |text, file| write_file(text, file, &dependents));
    section(&mut text, "VRRP Track processes", &snapshot.processes, |text, (process, state)| {
        write_process(text, process, *state, &dependents)
    });
    let _ = write!(
        text,
        "------< Process >------\n Messages for unknown VRIDs: {}\n Packets that could not be sent: {}\n \
         Timers served late by\n{}",
        snapshot.unknown_vrids, snapshot.send_failures, snapshot.lateness
    );
    text
}

fn section<T>(text: &mut String, title: &str, all: &[T], write: impl Fn(&mut String, &T) -> fmt::Result) {
    if all.is_empty() {
        return;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "------< {title} >------");
    for one in all {
        let _ = write(text, one);
    }
}

const fn enabled(yes: bool) -> &'static str {
    if yes { "enabled" } else { "disabled" }
}

const fn yes(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn write_router(
    text: &mut String,
    router: &RouterSnapshot,
    snapshot: &Snapshot,
    told: Told<'_>,
    clock: Clock,
) -> fmt::Result {
    let config = &router.config;
    writeln!(text, " VRRP Instance = {}", config.name)?;
    writeln!(text, "   VRRP Version = {}", config.version.number())?;
    if let Some(group) = &router.group {
        writeln!(text, "   Sync group = {group}")?;
    }
    if config.family == crate::net::Family::Ipv6 {
        writeln!(text, "   Using Native IPv6")?;
    }
    writeln!(text, "   State = {}", router.state)?;
    if let Some((address, priority)) = router.master.filter(|_| router.state == State::Backup) {
        writeln!(text, "   Master router = {address}\n   Master priority = {priority}")?;
    }
    writeln!(text, "   Wantstate = {}", router.state)?;
    writeln!(text, "   Number of interface and track script faults = {}", router.faults.len())?;
    writeln!(text, "   Last transition = {}", clock.full(router.last_transition))?;
    let after = |at: Instant| clock.now + at.saturating_since(snapshot.taken_at);
    let timeout = router.next_timer.map(|at| clock.full(after(at)));
    writeln!(text, "   Read timeout = {}", timeout.as_deref().unwrap_or("DISABLED"))?;
    writeln!(text, "   Master down timer = {} usecs", micros(router.master_down))?;
    write_channel(text, router)?;
    write_announcements(text, router)?;
    writeln!(text, "   Virtual Router ID = {}", config.vrid)?;
    writeln!(text, "   Priority = {}\n   Effective priority = {}", config.priority, router.priority)?;
    let total: i32 = router.contributions.iter().map(|(_, weight)| *weight).sum();
    writeln!(text, "   Total priority = {}", i32::from(config.priority.0) + total)?;
    match config.version {
        Version::V2 => writeln!(text, "   Advert interval = {} sec", config.interval)?,
        Version::V3 => {
            writeln!(text, "   Advert interval = {} milli-sec", micros(config.interval.duration()) / 1000)?;
        }
    }
    writeln!(text, "   Accept = {}\n   Preempt = {}", enabled(config.accept), enabled(config.preempt))?;
    if config.preempt_delay > Duration::ZERO {
        writeln!(text, "   Preempt delay = {} secs", config.preempt_delay.as_secs_f64())?;
    }
    writeln!(text, "   Promote_secondaries = {}", enabled(config.promote_secondaries))?;
    if config.version == Version::V2 {
        let kind = match config.authentication {
            AuthenticationData::None => "none",
            AuthenticationData::SimplePassword(_) => "SIMPLE_PASSWORD",
            AuthenticationData::AuthenticationHeader(_) => "IPSEC_AH",
        };
        writeln!(text, "   Authentication type = {kind}")?;
    }
    write_objects(text, router)?;
    write_tracked(text, &router.tracked)?;
    write_notifications(text, router, told)?;
    write_further(text, router)
}

fn write_channel(text: &mut String, router: &RouterSnapshot) -> fmt::Result {
    let config = &router.config;
    match (router.own_interface(), &config.interfaces.base, router.working_interface()) {
        (Some(own), Some(base), _) => {
            let by_base = config.interfaces.transmit.as_ref() == Some(base);
            writeln!(text, "   Use VMAC, i/f name {own}, xmit_base = {by_base}")?;
            let by_base = if by_base { ", xmit base i/f" } else { "" };
            writeln!(text, "   Interface = {own}, vmac on {base}{by_base}")?;
        }
        (_, _, Some(interface)) => writeln!(text, "   Interface = {interface}")?,
        (_, _, None) => {}
    }
    if !config.track_primary {
        writeln!(text, "   VRRP interface tracking disabled")?;
    }
    if config.strict {
        writeln!(text, "   Enforcing strict VRRP compliance")?;
    }
    if let Some(source) = router.source {
        let configured = if config.source == Some(source) { " (from configuration)" } else { "" };
        writeln!(text, "   Using src_ip = {source}{configured}")?;
    }
    if let Destinations::Multicast(group) = &config.destinations {
        writeln!(text, "   Multicast address {group}")?;
    }
    Ok(())
}

fn write_announcements(text: &mut String, router: &RouterSnapshot) -> fmt::Result {
    let config = &router.config;
    let announce = &config.announce;
    writeln!(text, "   Gratuitous ARP delay = {}", announce.delay.as_secs())?;
    writeln!(text, "   Gratuitous ARP repeat = {}", announce.repeat)?;
    writeln!(text, "   Gratuitous ARP refresh = {}", announce.refresh.as_secs())?;
    writeln!(text, "   Gratuitous ARP refresh repeat = {}", announce.refresh_repeat)?;
    writeln!(text, "   Gratuitous ARP lower priority delay = {}", announce.lower_prio_delay.as_secs())?;
    writeln!(text, "   Gratuitous ARP lower priority repeat = {}", announce.lower_prio_repeat)?;
    writeln!(text, "   Down timer adverts = {}", config.down_timer_adverts)?;
    let answers = !config.lower_prio_no_advert;
    writeln!(text, "   Send advert after receive lower priority advert = {answers}")?;
    let last = config.higher_prio_send_advert;
    writeln!(text, "   Send advert after receive higher priority advert = {last}")
}

fn write_objects(text: &mut String, router: &RouterSnapshot) -> fmt::Result {
    let config = &router.config;
    let lists = [
        (format!("Virtual IP ({})", config.addresses.len()), router.address_lines(&config.addresses)),
        ("Virtual IP Excluded ".to_owned(), router.address_lines(&config.excluded)),
        ("Virtual Routes ".to_owned(), config.routes.iter().map(keepalived_lines::route).collect()),
        ("Virtual Rules ".to_owned(), config.rules.iter().map(keepalived_lines::rule).collect()),
    ];
    for (title, lines) in lists {
        write_list(text, &title, &lines)?;
    }
    let Destinations::Unicast(peers) = &config.destinations else { return Ok(()) };
    writeln!(text, "   Unicast TTL = {}", config.hop_limit)?;
    writeln!(text, "   Check unicast src : {}", yes(config.check_source))?;
    writeln!(text, "   Unicast Peer :")?;
    for UnicastPeer { address, hop_limits: HopLimits { least, most } } in peers {
        writeln!(text, "     {address} min_ttl {least} max_ttl {most}")?;
    }
    Ok(())
}

/// A title and lines below it, if there are any.
fn write_list(text: &mut String, title: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(text, "   {title}:")?;
    lines.iter().try_for_each(|line| writeln!(text, "     {line}"))
}

/// What an instance tracks itself.
fn write_tracked(text: &mut String, tracked: &[(TrackReference, bool)]) -> fmt::Result {
    let mut lists: [(&str, Vec<String>); 4] = [
        ("Tracked interfaces ", Vec::new()),
        ("Tracked scripts ", Vec::new()),
        ("Tracked files ", Vec::new()),
        ("Tracked processes ", Vec::new()),
    ];
    for (TrackReference { tracker, weight }, _) in tracked.iter().filter(|(_, own)| *own) {
        let reverse = if weight.is_reversed() { " reverse" } else { "" };
        let weight = format!("weight {}{reverse}", weight.value());
        let (list, line) = match tracker {
            Tracker::Interface(name) => (0, format!("{name} {weight}")),
            Tracker::Script(name) => (1, format!("{name} {weight}")),
            Tracker::File(name) => (2, format!("{name}, {weight}")),
            Tracker::Process(name) => (3, format!("{name}, {weight}")),
            Tracker::Bfd(_) => continue,
        };
        lists[list].1.push(line);
    }
    lists.iter().try_for_each(|(title, lines)| write_list(text, title, lines))
}

fn write_notifications(text: &mut String, router: &RouterSnapshot, told: Told<'_>) -> fmt::Result {
    let nothing = InstanceNotifications::default();
    let of = told.notifications.instances.get(&router.config.name).unwrap_or(&nothing);
    writeln!(text, "   Using smtp notification = {}", yes(of.mail.unwrap_or(told.mail)))?;
    writeln!(text, "   Notify deleted = {}", if of.deleted.is_some() { "Deleted" } else { "Fault" })?;
    write_state_scripts(text, &of.states)?;
    write_command(text, "Deleted state transition", of.deleted.as_ref().and_then(Option::as_ref))?;
    write_command(text, "Master rx lower pri state transition", of.lower_priority_received.as_ref())
}

fn write_state_scripts(text: &mut String, scripts: &StateScripts) -> fmt::Result {
    for (what, script) in [
        ("Backup state transition", &scripts.backup),
        ("Master state transition", &scripts.master),
        ("Fault state transition", &scripts.fault),
        ("Stop state transition", &scripts.stop),
        ("Generic state transition", &scripts.any),
    ] {
        write_command(text, what, script.as_ref())?;
    }
    Ok(())
}

fn write_command(text: &mut String, what: &str, script: Option<&Arc<Script>>) -> fmt::Result {
    let Some(script) = script else { return Ok(()) };
    let user = match &script.user {
        ScriptUser::Default => String::new(),
        ScriptUser::Named(named) => format!(", user {}", named.user),
    };
    writeln!(text, "   {what} script = {script}{user}")
}

/// What keepalived does not know.
fn write_further(text: &mut String, router: &RouterSnapshot) -> fmt::Result {
    if let Some(cause) = &router.cause {
        writeln!(text, "   Cause = {cause}")?;
    }
    for fault in &router.faults {
        writeln!(text, "   Fault: {fault}")?;
    }
    if router.switching_over || router.yielded {
        let word = if router.yielded { "yes" } else { "waiting for a successor" };
        writeln!(text, "   Switched over = {word}")?;
    }
    for (address, peer) in &router.peers {
        writeln!(text, "   Heard {address}: {peer}")?;
    }
    let counters = &router.counters;
    writeln!(
        text,
        "   Counters: sent {}, not sent {}, received {}, repaired addresses {}, routes and rules {}, beaten rivals {}, stalls {}",
        counters.advertisements_sent,
        counters.send_failures,
        counters.advertisements_received,
        counters.addresses_repaired,
        counters.routing_repaired,
        counters.rivals_beaten,
        counters.stalls
    )?;
    let rejected = RejectionKind::ALL.iter().filter(|kind| counters.rejected(**kind) > 0);
    for kind in rejected {
        writeln!(text, "   Rejected, {kind:?}: {}", counters.rejected(*kind))?;
    }
    Ok(())
}

fn write_group(text: &mut String, group: &GroupSnapshot, told: Told<'_>, clock: Clock) -> fmt::Result {
    let faults = group.members.iter().filter(|(_, fault)| *fault).count();
    writeln!(text, " VRRP Sync Group = {}, {}", group.name, group.state)?;
    writeln!(text, "   Num member fault {faults}")?;
    writeln!(text, "   VRRP member instances :")?;
    group.members.iter().try_for_each(|(name, _)| writeln!(text, "     {name}"))?;
    let of = told.notifications.groups.get(&*group.name);
    let mail = of.and_then(|of| of.mail).unwrap_or(told.mail);
    writeln!(text, "   Using smtp notification = {}", yes(mail))?;
    if let Some(of) = of {
        write_state_scripts(text, &of.states)?;
    }
    if let Some(cause) = &group.cause {
        writeln!(text, "   Cause = {cause}")?;
    }
    let at = clock.full(group.last_transition);
    writeln!(text, "   Last transition = {at}, {} in all", group.transitions)
}

/// Who depends on what.
struct Dependents<'a>(BTreeMap<&'a Tracker, Vec<String>>);

impl<'a> Dependents<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let mut dependents: BTreeMap<&Tracker, Vec<String>> = BTreeMap::new();
        for router in &snapshot.routers {
            for (reference, _) in &router.tracked {
                let line = format!("{}, weight {}", router.config.name, reference.weight.value());
                dependents.entry(&reference.tracker).or_default().push(line);
            }
        }
        Self(dependents)
    }

    fn write(&self, text: &mut String, tracker: &Tracker) -> fmt::Result {
        self.0.get(tracker).map_or(Ok(()), |lines| write_list(text, "Tracking instances ", lines))
    }
}

fn write_script(
    text: &mut String,
    script: &ScriptTracker,
    state: &ScriptState,
    dependents: &Dependents<'_>,
) -> fmt::Result {
    writeln!(text, " VRRP Script = {}", script.name)?;
    writeln!(text, "   Command = {}", script.test)?;
    writeln!(text, "   Interval = {} sec", script.interval.as_secs_f64())?;
    writeln!(text, "   Timeout = {} sec", script.timeout.as_secs_f64())?;
    writeln!(text, "   Weight = {}", script.weight.value())?;
    writeln!(text, "   Rise = {}\n   Fall = {}", script.rise, script.fall)?;
    writeln!(text, "   Init state = {}", if script.starts_failed { "failed" } else { "unknown" })?;
    let status = match state.verdict() {
        Verdict::Unknown => "INIT",
        Verdict::Good => "GOOD",
        Verdict::Bad => "BAD",
    };
    writeln!(text, "   Status = {status}")?;
    dependents.write(text, &Tracker::Script(Arc::clone(&script.name)))?;
    writeln!(text, "   State = {}", if state.is_running() { "running" } else { "idle" })?;
    writeln!(text, "   Runs left out = {}", state.overruns())
}

fn write_file(text: &mut String, file: &FileSnapshot, dependents: &Dependents<'_>) -> fmt::Result {
    writeln!(text, " Track file = {}\n   File = {}", file.name, file.path)?;
    match file.reading {
        None => writeln!(text, "   Status = not read yet")?,
        Some(FileReading::Number(number)) => writeln!(text, "   Status = {number}")?,
        Some(FileReading::Unreadable) => writeln!(text, "   Status = cannot be read")?,
    }
    dependents.write(text, &Tracker::File(Arc::clone(&file.name)))
}

fn write_process(
    text: &mut String,
    process: &ProcessTracker,
    state: ProcessState,
    dependents: &Dependents<'_>,
) -> fmt::Result {
    writeln!(text, " VRRP Track process = {}", process.name)?;
    writeln!(text, "   Process = {}", process.process.to_string_lossy())?;
    if !process.parameters.is_empty() {
        let parameters: Vec<_> = process.parameters.iter().map(|word| word.to_string_lossy()).collect();
        writeln!(text, "   Parameters = {}", parameters.join(" "))?;
        let how = match process.parameter_match {
            ParameterMatch::Ignored => " = none",
            ParameterMatch::Exact => "",
            ParameterMatch::Initial => " = initial",
            ParameterMatch::Partial => " = partial",
        };
        writeln!(text, "   Param match{how}")?;
    }
    let (least, most) = process.quorum.bounds();
    writeln!(text, "   Min processes = {least}")?;
    if let Some(most) = most {
        writeln!(text, "   Max processes = {most}")?;
    }
    writeln!(text, "   Current processes = {}", state.count().unwrap_or_default())?;
    writeln!(text, "   Have quorum = {}", state.verdict() == Verdict::Good)?;
    writeln!(text, "   Weight = {}", process.weight.value())?;
    let seconds = |delay: Duration| format!("{}.{:06}s", delay.as_secs(), delay.subsec_micros());
    writeln!(text, "   Terminate delay = {}", seconds(process.timing.terminate_delay))?;
    writeln!(text, "   Fork delay = {}", seconds(process.timing.fork_delay))?;
    writeln!(text, "   Full command = {}", process.reads_command_line())?;
    dependents.write(text, &Tracker::Process(Arc::clone(&process.name)))
}
