//! What a running daemon knows, and what it is allowed.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{Finding, Level};
use crate::cli::flags::{self, Request};
use crate::status::{RouterStatus, Status};

/// Bits of `CapEff`.
const RIGHTS: [(u32, &str, bool); 4] = [
    (12, "CAP_NET_ADMIN", true),
    (13, "CAP_NET_RAW", true),
    (23, SYS_NICE, false),
    (14, "CAP_IPC_LOCK", false),
];

/// Without it, real-time scheduling takes `RLIMIT_RTPRIO`.
const SYS_NICE: &str = "CAP_SYS_NICE";

/// Timers later than this endanger a mastership at short intervals.
const LATE_US: u64 = 100_000;

/// All that it tells.
pub(super) fn findings(status: &Status) -> Vec<Finding> {
    let mut found = of_process(status.daemon.pid);
    if let Some(reload) = status.daemon.last_reload.as_ref().filter(|reload| !reload.taken) {
        let text = format!("the last reload was refused: {}", reload.lines.join("; "));
        found.push(Finding::new(Level::Warning, "daemon", text, "correct the file, then `alived reload`"));
    }
    if status.daemon.maintenance.is_some() {
        let text = "maintenance keeps all virtual routers out of the election";
        found.push(Finding::new(Level::Warning, "daemon", text, "alived maintenance off"));
    }
    let node = &status.node;
    if node.timers_latest_us > LATE_US {
        let text = format!(
            "a timer was served {} ms late: backups may have taken over",
            node.timers_latest_us / 1000
        );
        let mend =
            "give it real-time scheduling (realtime in alived.toml), or look for what keeps the machine busy";
        found.push(Finding::new(Level::Hint, "daemon", text, mend));
    }
    if node.unknown_vrids > 0 {
        let text = format!(
            "{} advertisements were for virtual routers that are not configured here: another one's, or a VRID differs \
             between the routers of a pair",
            node.unknown_vrids
        );
        let mend =
            "write log_unknown_vrids in global_defs, reload, and see who sends them in `alived events`";
        found.push(Finding::new(Level::Hint, "daemon", text, mend));
    }
    status.routers.iter().for_each(|router| of_router(router, &mut found));
    found
}

fn of_router(router: &RouterStatus, found: &mut Vec<Finding>) {
    let mut add =
        |level, text: String, mend: String| found.push(Finding::new(level, &router.name, text, mend));
    let explain = format!("alived explain {}", router.name);
    if router.state == "FAULT" {
        for fault in &router.faults {
            add(Level::Error, format!("it is in fault: {fault}"), explain.clone());
        }
    }
    for rival in &router.second_masters {
        let way = match rival.priority < router.priority.effective {
            true => format!(
                "two masters: {} has the lower priority {} and does not yield, so that it does not hear us: a path in one \
                 direction only, or it drops what we send",
                rival.address, rival.priority
            ),
            false => format!("two masters: {} with priority {} is master too", rival.address, rival.priority),
        };
        let mend = format!(
            "on {} look for packets of {}: tcpdump -ni any ip proto 112; then at the firewalls and the switch between \
             (IGMP snooping), and run `alived doctor` there",
            rival.address,
            router.source.map_or_else(|| "this host".to_owned(), |source| source.to_string())
        );
        add(Level::Error, way, mend);
    }
    for peer in &router.outside_window {
        let text = format!(
            "the clock of {} differs by {} ms: what it sends is dropped",
            peer.address,
            peer.ahead_us / 1000
        );
        add(Level::Error, text, "set the clocks of both by NTP".to_owned());
    }
    for address in router.addresses.iter().filter(|address| address.duplicate) {
        let text = format!("another host has {}", address.address);
        add(
            Level::Error,
            text,
            "find it (ip neighbour, the switch's table), and take the address from it".to_owned(),
        );
    }
    for peer in &router.peers {
        if let Some(difference) = &peer.address_list {
            let text = format!(
                "{}: its {difference}: the same VRID is used for something else, or one of both was not reloaded",
                peer.address
            );
            let mend = "make virtual_ipaddress equal on both, or give one of them another virtual_router_id";
            add(Level::Warning, text, mend.to_owned());
        }
        if peer.rejected > 0 {
            let last = peer.last_rejection.as_deref().unwrap_or("see `alived status`");
            let text = format!(
                "{} packets of {} were not used, the last one because: {last}{}",
                peer.rejected,
                peer.address,
                if peer.accepted == 0 { "; none was used, so that neither counts for the other" } else { "" }
            );
            let level = if peer.accepted == 0 { Level::Error } else { Level::Warning };
            add(level, text, format!("compare both: alived check THIS.conf THAT.conf; {explain}"));
        }
    }
    if router.counters.send_failures > 0 {
        let text = format!("{} advertisements could not be sent", router.counters.send_failures);
        add(Level::Warning, text, format!("see why in `alived events {}`", router.name));
    }
}

/// `-i` and `--settings` of the daemon that this process is of.
pub(super) fn flags_of(pid: u32) -> (Option<String>, Option<String>) {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).map(|word| OsStr::from_bytes(word).to_owned());
    let program = words.next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or_default().to_owned();
    // What follows the last word's end is none.
    let mut words: Vec<OsString> = words.collect();
    words.pop();
    let Ok(Request::Run(options)) = flags::parse(&program, words) else { return (None, None) };
    (options.config_id.clone(), options.settings.as_ref().map(|path| path.to_string_lossy().into_owned()))
}

/// The highest real-time priority that a process may take without a right; 0 = none.
pub(super) fn realtime_limit(process: &str) -> u32 {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap_or_default();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max realtime priority"));
    let soft = limit.and_then(|line| line.split_whitespace().next());
    soft.map_or(0, |word| if word == "unlimited" { 99 } else { word.parse().unwrap_or(0) })
}

/// Rights and limits of the worker.
fn of_process(pid: u32) -> Vec<Finding> {
    let mut found = Vec::new();
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return found };
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(u64::MAX);
    for (bit, name, needed) in RIGHTS {
        if effective >> bit & 1 == 1 || (name == SYS_NICE && realtime_limit(&pid.to_string()) > 0) {
            continue;
        }
        let (level, text) = match needed {
            true => (Level::Error, format!("the daemon lacks {name}, without which it cannot work")),
            false => (Level::Hint, format!("the daemon lacks {name}: on a busy machine it may be late")),
        };
        found.push(Finding::new(
            level,
            "rights",
            text,
            match name {
                SYS_NICE => {
                    "give it CAP_SYS_NICE (container: --cap-add SYS_NICE) or RLIMIT_RTPRIO (systemd: LimitRTPRIO=50)"
                        .to_owned()
                }
                _ => format!("give it {name} (container: --cap-add {})", &name[4..]),
            },
        ));
    }
    let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/net")).ok();
    let (theirs, ours) = (namespace(&pid.to_string()), namespace("self"));
    if theirs.is_some() && theirs != ours {
        let text = "the daemon works in another network namespace than this command: what is said of interfaces, sysctls \
                    and the firewall is not about its";
        found.push(Finding::new(
            Level::Warning,
            "daemon",
            text,
            format!("nsenter -t {pid} -n alived doctor"),
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_daemon_tells_becomes_findings() {
        let status = serde_json::json!({
            "daemon": {
                "version": "0", "pid": 0, "started_unix_us": 0, "configuration": "k.conf",
                "last_reload": { "at_unix_us": 1, "taken": false, "lines": ["k.conf:1: what"] },
                "maintenance": { "since_unix_us": 1, "until_unix_us": null, "persists": false },
            },
            "routers": [],
            "trackers": [],
            "node": { "unknown_vrids": 3, "send_failures": 0, "timers_late": [], "timers_latest_us": 200_000 },
        });
        let status: Status = serde_json::from_value(status).unwrap();
        let found: Vec<String> = findings(&status).iter().map(ToString::to_string).collect();
        let all = found.concat();
        for part in ["refused: k.conf:1: what", "alived maintenance off", "3 advertisements", "200 ms late"] {
            assert!(all.contains(part), "no `{part}` in {all}");
        }
    }
}
