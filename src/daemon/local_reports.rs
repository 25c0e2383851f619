//! `disable_local_igmp`: this host reports no membership in groups of the link (224.0.0.0/24) by IGMP, which switches
//! flood anyway, so that none can leave with a virtual MAC. As with keepalived the setting stays after the stop.

use std::fs;

use super::configuration::Settings;

const PATH: &str = "/proc/sys/net/ipv4/igmp_link_local_mcast_reports";

/// Turns them off in the network namespace of the daemon, if that is asked for.
pub(super) fn apply(settings: &Settings) {
    if !settings.no_local_reports {
        return;
    }
    let before = fs::read_to_string(PATH).unwrap_or_default();
    if before.trim() == "0" {
        return;
    }
    match fs::write(PATH, "0\n") {
        Ok(()) => tracing::info!(
            "net.ipv4.igmp_link_local_mcast_reports was {}: now 0 (disable_local_igmp)",
            before.trim()
        ),
        Err(error) => tracing::warn!(
            "disable_local_igmp: cannot set net.ipv4.igmp_link_local_mcast_reports to 0: {error}; this host goes on \
             reporting its groups"
        ),
    }
}
