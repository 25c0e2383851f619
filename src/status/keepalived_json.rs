//! `keepalived.json`, in the very form of keepalived: one line, its order of fields, `/` written `\/`.

use std::io;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;
use serde_json::value::RawValue;

use super::keepalived_lines;
use super::snapshot::{RouterSnapshot, Snapshot};
use crate::kernel::Script;
use crate::notify::{InstanceNotifications, Notifications};
use crate::time::{Duration, WallTime};
use crate::track::{ParameterMatch, ProcessState, ProcessTracker, Quorum, Tracker, Verdict};
use crate::vrrp::{Counters, State};
use crate::wire::vrrp::{AdvertisementInterval, AuthenticationData, Priority, RejectionKind};

/// What the settings say of instances and not of their routers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    /// Whom each instance tells of itself.
    pub(crate) notifications: &'a Notifications,
    /// `smtp_alert_vrrp`, `smtp_alert` of `global_defs`.
    pub(crate) mail: bool,
}

/// The whole file in the layout of `json_version` 1 or 2; `None` without virtual routers, when keepalived
/// writes none.
pub(crate) fn text(snapshot: &Snapshot, told: Told<'_>, version: u8) -> Option<String> {
    #[derive(Serialize)]
    struct Named {
        vrrp: Vec<Router>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        track_process: Vec<Process>,
    }
    if snapshot.routers.is_empty() {
        return None;
    }
    let routers = snapshot.routers.iter().map(|router| Router::of(router, snapshot, told)).collect();
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, EscapedSlashes);
    let written = match version {
        2 => {
            let track_process = snapshot.processes.iter().map(Process::of).collect();
            Named { vrrp: routers, track_process }.serialize(&mut serializer)
        }
        _ => routers.serialize(&mut serializer),
    };
    written.ok()?;
    bytes.push(b'\n');
    String::from_utf8(bytes).ok()
}

#[derive(Serialize)]
struct Router {
    data: Data,
    stats: Stats,
}

impl Router {
    fn of(router: &RouterSnapshot, snapshot: &Snapshot, told: Told<'_>) -> Self {
        Self { data: Data::of(router, snapshot, told), stats: Stats::of(&router.counters) }
    }
}

/// In the order of keepalived.
#[derive(Serialize)]
struct Data {
    iname: String,
    dont_track_primary: u8,
    skip_check_adv_addr: u8,
    strict_mode: u8,
    vmac_ifname: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ifp_ifname: Option<String>,
    master_priority: u8,
    #[serde(serialize_with = "wall_time")]
    last_transition: WallTime,
    garp_delay: u64,
    garp_refresh: u64,
    garp_rep: u32,
    garp_refresh_rep: u32,
    garp_lower_prio_delay: u64,
    garp_lower_prio_rep: u32,
    lower_prio_no_advert: u8,
    higher_prio_send_advert: u8,
    vrid: u8,
    base_priority: u8,
    effective_priority: u8,
    vipset: bool,
    promote_secondaries: bool,
    #[serde(serialize_with = "interval")]
    adver_int: AdvertisementInterval,
    #[serde(serialize_with = "interval")]
    master_adver_int: AdvertisementInterval,
    accept: u8,
    nopreempt: bool,
    preempt_delay: u64,
    state: u8,
    wantstate: u8,
    version: u8,
    smtp_alert: bool,
    notify_deleted: bool,
    #[serde(flatten)]
    scripts: ScriptLines,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vroutes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vrules: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_ifp: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_script: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_process: Vec<String>,
    auth_type: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_data: Option<&'static str>,
}

/// The commands of an instance that tells of itself, as it is configured.
#[derive(Serialize)]
struct ScriptLines {
    #[serde(skip_serializing_if = "Option::is_none")]
    script_backup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_master: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_fault: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_stop: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_deleted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_master_rx_lower_pri: Option<String>,
}

impl ScriptLines {
    fn of(told: &InstanceNotifications) -> Self {
        let line = |script: &Option<Arc<Script>>| script.as_ref().map(ToString::to_string);
        let states = &told.states;
        Self {
            script_backup: line(&states.backup),
            script_master: line(&states.master),
            script_fault: line(&states.fault),
            script_stop: line(&states.stop),
            script_deleted: told.deleted.as_ref().and_then(line),
            script: line(&states.any),
            script_master_rx_lower_pri: line(&told.lower_priority_received),
        }
    }
}

impl Data {
    fn of(router: &RouterSnapshot, snapshot: &Snapshot, told: Told<'_>) -> Self {
        let config = &router.config;
        let announce = &config.announce;
        let state = match router.state {
            State::Initialize => 0,
            State::Backup => 1,
            State::Master => 2,
            State::Fault => 3,
        };
        let auth_type = match config.authentication {
            AuthenticationData::None => 0,
            AuthenticationData::SimplePassword(_) => 1,
            AuthenticationData::AuthenticationHeader(_) => 2,
        };
        let nothing = InstanceNotifications::default();
        let notifications = told.notifications.instances.get(&config.name).unwrap_or(&nothing);
        let tracked = Tracked::of(router, snapshot);
        Self {
            iname: config.name.to_string(),
            dont_track_primary: (!config.track_primary).into(),
            skip_check_adv_addr: config.skip_check_adv_addr.into(),
            strict_mode: config.strict.into(),
            vmac_ifname: router.own_interface().map(ToString::to_string).unwrap_or_default(),
            ifp_ifname: router.working_interface().map(ToString::to_string),
            master_priority: router.master.map_or(0, |(_, Priority(priority))| priority),
            last_transition: router.last_transition,
            garp_delay: announce.delay.as_secs(),
            garp_refresh: announce.refresh.as_secs(),
            garp_rep: announce.repeat,
            garp_refresh_rep: announce.refresh_repeat,
            garp_lower_prio_delay: announce.lower_prio_delay.as_secs(),
            garp_lower_prio_rep: announce.lower_prio_repeat,
            lower_prio_no_advert: config.lower_prio_no_advert.into(),
            higher_prio_send_advert: config.higher_prio_send_advert.into(),
            vrid: config.vrid.get(),
            base_priority: config.priority.0,
            effective_priority: router.priority.0,
            vipset: router.holds_addresses,
            promote_secondaries: config.promote_secondaries && router.own_interface().is_none(),
            adver_int: config.interval,
            master_adver_int: router.master_interval,
            accept: config.accept.into(),
            nopreempt: !config.preempt,
            preempt_delay: config.preempt_delay.as_secs(),
            state,
            wantstate: state,
            version: config.version.number(),
            smtp_alert: notifications.mail.unwrap_or(told.mail),
            notify_deleted: notifications.deleted.is_some(),
            scripts: ScriptLines::of(notifications),
            vips: router.address_lines(&config.addresses),
            evips: router.address_lines(&config.excluded),
            vroutes: config.routes.iter().map(keepalived_lines::route).collect(),
            vrules: config.rules.iter().map(keepalived_lines::rule).collect(),
            track_ifp: tracked.interfaces,
            track_script: tracked.scripts,
            track_process: tracked.processes,
            auth_type,
            auth_data: (auth_type != 0).then_some("********"),
        }
    }
}

/// What the instance itself tracks; what its sync group does is not here, as in keepalived.
#[derive(Default)]
struct Tracked {
    interfaces: Vec<String>,
    scripts: Vec<String>,
    processes: Vec<String>,
}

impl Tracked {
    fn of(router: &RouterSnapshot, snapshot: &Snapshot) -> Self {
        let mut tracked = Self::default();
        for (reference, _) in router.tracked.iter().filter(|(_, own)| *own) {
            match &reference.tracker {
                Tracker::Interface(name) => tracked.interfaces.push(name.to_string()),
                Tracker::Script(name) => {
                    let script = snapshot.scripts.iter().find(|(script, _)| script.name == *name);
                    tracked.scripts.extend(script.map(|(script, _)| script.test.to_string()));
                }
                Tracker::Process(name) => tracked.processes.push(name.to_string()),
                Tracker::File(_) | Tracker::Bfd(_) => {}
            }
        }
        tracked
    }
}

/// In the order of keepalived.
#[derive(Serialize)]
struct Process {
    process: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<String>,
    param_match: &'static str,
    min_processes: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_processes: Option<u16>,
    current_processes: u32,
    have_quorum: bool,
    weight: i16,
    #[serde(serialize_with = "seconds")]
    terminate_delay: Duration,
    #[serde(serialize_with = "seconds")]
    fork_delay: Duration,
    fork_delay_timer_running: bool,
    terminate_delay_timer_running: bool,
    full_command: bool,
}

impl Process {
    fn of((process, state): &(ProcessTracker, ProcessState)) -> Self {
        let text = |text: &std::ffi::CString| text.to_string_lossy().into_owned();
        let parameters: Vec<String> = process.parameters.iter().map(text).collect();
        let (min_processes, max_processes) = process.quorum.bounds();
        let waits = state.deadline().is_some();
        let met = state.count().is_some_and(|count| process.quorum.is_met(count));
        // A quorum that is met and not counted yet waits for `fork_delay` where more processes are better.
        let for_fork = match process.quorum {
            Quorum::AtLeast(_) => met,
            Quorum::Between(_) | Quorum::None => {
                state.count().is_some_and(|count| count > min_processes.into())
            }
        };
        Self {
            process: text(&process.process),
            parameters: (!parameters.is_empty()).then(|| parameters.join(" ")),
            param_match: match process.parameter_match {
                ParameterMatch::Ignored => "none",
                ParameterMatch::Exact => "exact",
                ParameterMatch::Initial => "initial",
                ParameterMatch::Partial => "partial",
            },
            min_processes,
            max_processes,
            current_processes: state.count().unwrap_or_default(),
            have_quorum: state.verdict() == Verdict::Good,
            weight: process.weight.value(),
            terminate_delay: process.timing.terminate_delay,
            fork_delay: process.timing.fork_delay,
            fork_delay_timer_running: waits && for_fork,
            terminate_delay_timer_running: waits && !for_fork,
            full_command: process.reads_command_line(),
        }
    }
}

/// In the order of keepalived.
#[derive(Serialize)]
struct Stats {
    advert_rcvd: u64,
    advert_sent: u64,
    become_master: u64,
    release_master: u64,
    packet_len_err: u64,
    advert_interval_err: u64,
    ip_ttl_err: u64,
    invalid_type_rcvd: u64,
    addr_list_err: u64,
    invalid_authtype: u64,
    authtype_mismatch: u64,
    auth_failure: u64,
    auth_ext_missing: u64,
    auth_ext_malformed: u64,
    auth_ext_unknown_key: u64,
    auth_ext_invalid_hmac: u64,
    auth_ext_stale: u64,
    auth_ext_replay: u64,
    pri_zero_rcvd: u64,
    pri_zero_sent: u64,
}

impl Stats {
    fn of(counters: &Counters) -> Self {
        let rejected = |kind| counters.rejected(kind);
        Self {
            advert_rcvd: counters.advertisements_received,
            advert_sent: counters.advertisements_sent,
            become_master: counters.became_master,
            release_master: counters.released_master,
            packet_len_err: rejected(RejectionKind::Length),
            advert_interval_err: rejected(RejectionKind::IntervalMismatch)
                + rejected(RejectionKind::IntervalZero),
            ip_ttl_err: rejected(RejectionKind::HopLimit),
            invalid_type_rcvd: rejected(RejectionKind::Type),
            addr_list_err: counters.address_list_mismatches,
            invalid_authtype: rejected(RejectionKind::AuthenticationType),
            authtype_mismatch: rejected(RejectionKind::AuthenticationMismatch),
            auth_failure: counters.authentication_failures(),
            auth_ext_missing: rejected(RejectionKind::TrailerMissing),
            auth_ext_malformed: rejected(RejectionKind::TrailerMalformed),
            auth_ext_unknown_key: rejected(RejectionKind::UnknownKey),
            auth_ext_invalid_hmac: rejected(RejectionKind::InvalidHmac),
            auth_ext_stale: rejected(RejectionKind::TrailerStale),
            auth_ext_replay: rejected(RejectionKind::TrailerReplayed),
            pri_zero_rcvd: counters.priority_zero_received,
            pri_zero_sent: counters.priority_zero_sent,
        }
    }
}

/// Seconds since 1970 with six places.
fn wall_time<S: Serializer>(time: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
    let us = time.as_unix_micros();
    number(format!("{}.{:06}", us / 1_000_000, us % 1_000_000), serializer)
}

/// Seconds with as many places as it takes.
fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let digits = format!("{}.{:06}", duration.as_secs(), duration.subsec_micros());
    number(digits.trim_end_matches('0').trim_end_matches('.').to_owned(), serializer)
}

/// Seconds with as many places as it takes.
fn interval<S: Serializer>(interval: &AdvertisementInterval, serializer: S) -> Result<S::Ok, S::Error> {
    number(interval.to_string(), serializer)
}

/// A number, written to the digit.
fn number<S: Serializer>(digits: String, serializer: S) -> Result<S::Ok, S::Error> {
    RawValue::from_string(digits).map_err(serde::ser::Error::custom)?.serialize(serializer)
}

/// Compact, with `/` written `\/`.
struct EscapedSlashes;

impl Formatter for EscapedSlashes {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        writer.write_all(fragment.replace('/', "\\/").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Lateness;
    use super::*;
    use crate::kernel::AddressSpec;
    use crate::net::Family;
    use crate::node::{Event, HaNode, NodeConfig};
    use crate::time::Now;
    use crate::vrrp::{Actions, RouterConfig, VirtualAddress};
    use crate::wire::vrrp::Vrid;

    /// Written by keepalived 2.2.7 for the configuration below, up to `vips` and with what a router that has
    /// not started differs in.
    const DATA: &str = r#"[{"data":{"iname":"VI_1","dont_track_primary":0,"skip_check_adv_addr":0,"strict_mode":0,"vmac_ifname":"","ifp_ifname":"v0","master_priority":0,"last_transition":0.000000,"garp_delay":5,"garp_refresh":0,"garp_rep":5,"garp_refresh_rep":1,"garp_lower_prio_delay":5,"garp_lower_prio_rep":5,"lower_prio_no_advert":0,"higher_prio_send_advert":0,"vrid":51,"base_priority":255,"effective_priority":255,"vipset":false,"promote_secondaries":false,"adver_int":1,"master_adver_int":1,"accept":1,"nopreempt":false,"preempt_delay":0,"state":0,"wantstate":0,"version":2,"smtp_alert":false,"notify_deleted":false,"vips":["192.0.2.50\/24 dev v0 scope global label v0:1"],"auth_type":0},"stats":{"advert_rcvd":0,"#;

    fn prefix(address: &str, length: u8) -> crate::net::Prefix {
        crate::net::Prefix::new(address.parse().unwrap(), length).unwrap()
    }

    #[test]
    fn data_are_keepalived_s() {
        let notifications = Notifications::default();
        let told = Told { notifications: &notifications, mail: false };
        let mut config =
            RouterConfig::new("VI_1", Vrid::new(51).unwrap(), Family::Ipv4, "v0".parse().unwrap());
        config.priority = Priority::OWNER;
        config.higher_prio_send_advert = false;
        let spec = AddressSpec { label: Some("v0:1".into()), ..AddressSpec::new(prefix("192.0.2.50", 24)) };
        config.addresses.push(VirtualAddress { spec, interface: None, track: true });
        let mut node = HaNode::new(NodeConfig { routers: vec![config], ..NodeConfig::default() });
        assert_eq!(
            text(&Snapshot::of(Now::default().instant, &node, &Lateness::default(), 0), told, 1),
            None
        );
        let view = crate::kernel::KernelEvent::View(crate::kernel::KernelView::default());
        let mut actions = Actions::default();
        node.handle(Now::default(), Event::Kernel(view), &mut actions);
        let text =
            text(&Snapshot::of(Now::default().instant, &node, &Lateness::default(), 0), told, 1).unwrap();
        let text = text.replace("\"state\":3,\"wantstate\":3", "\"state\":0,\"wantstate\":0");
        assert!(text.starts_with(DATA), "{text}");
        assert!(text.ends_with("\"pri_zero_rcvd\":0,\"pri_zero_sent\":0}}]\n"), "{text}");
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed[0]["data"]["vips"][0], "192.0.2.50/24 dev v0 scope global label v0:1");
    }
}
