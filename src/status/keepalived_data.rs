//! `keepalived.data`: for people, in no fixed form.

use core::fmt::{self, Write as _};

use super::snapshot::{GroupSnapshot, RouterSnapshot, Snapshot};
use crate::time::{WallTime, micros};
use crate::vrrp::{Destinations, UnicastPeer};
use crate::wire::vrrp::{HopLimits, RejectionKind};

/// The whole file. `local_time` writes a time in the zone of the host.
pub(crate) fn text(snapshot: &Snapshot, local_time: impl Fn(WallTime) -> String) -> String {
    let mut text = "------< VRRP Topology >------\n".to_owned();
    for router in &snapshot.routers {
        // Writing to a String cannot fail.
        let _ = write_data(&mut text, router, &local_time(router.last_transition));
    }
    if !snapshot.groups.is_empty() {
        text.push_str("------< VRRP Sync groups >------\n");
        for group in &snapshot.groups {
            let _ = write_group(&mut text, group, &local_time(group.last_transition));
        }
    }
    if !snapshot.trackers.is_empty() {
        text.push_str("------< VRRP Trackers >------\n");
        for tracker in &snapshot.trackers {
            let _ = writeln!(text, " {tracker}");
        }
    }
    let _ = write!(
        text,
        "------< Process >------\n Messages for unknown VRIDs: {}\n Packets that could not be sent: {}\n \
         Timers served late by\n{}",
        snapshot.unknown_vrids, snapshot.send_failures, snapshot.lateness
    );
    text
}

fn write_group(text: &mut String, group: &GroupSnapshot, last_transition: &str) -> fmt::Result {
    let faults = group.members.iter().filter(|(_, fault)| *fault).count();
    writeln!(text, " VRRP Sync Group = {}, {}", group.name, group.state)?;
    writeln!(text, "   Num member fault {faults}")?;
    if let Some(cause) = &group.cause {
        writeln!(text, "   Cause = {cause}")?;
    }
    writeln!(text, "   Last transition = {last_transition}, {} in all", group.transitions)?;
    writeln!(text, "   VRRP member instances :")?;
    group.members.iter().try_for_each(|(name, _)| writeln!(text, "     {name}"))
}

fn write_data(text: &mut String, router: &RouterSnapshot, last_transition: &str) -> fmt::Result {
    let config = &router.config;
    let RouterSnapshot { counters, .. } = router;
    writeln!(text, " VRRP Instance = {}", config.name)?;
    if let Some(group) = &router.group {
        writeln!(text, "   Sync group = {group}")?;
    }
    writeln!(text, "   State = {}", router.state)?;
    for fault in &router.faults {
        writeln!(text, "   Fault: {fault}")?;
    }
    if let Some((address, priority)) = router.master {
        writeln!(text, "   Master router = {address}\n   Master priority = {priority}")?;
    }
    if router.switching_over || router.yielded {
        writeln!(
            text,
            "   Switched over = {}",
            if router.yielded { "yes" } else { "waiting for a successor" }
        )?;
    }
    writeln!(text, "   Last transition = {last_transition}")?;
    if let Some(name) = config.interfaces.hears_by() {
        writeln!(text, "   Interface = {name}")?;
    }
    if let Some(source) = router.source {
        writeln!(text, "   Using src_ip = {source}")?;
    }
    if let Destinations::Unicast(peers) = &config.destinations {
        writeln!(text, "   Unicast TTL = {}", config.hop_limit)?;
        writeln!(text, "   Check unicast src : {}", if config.check_source { "yes" } else { "no" })?;
        writeln!(text, "   Unicast Peer :")?;
        for UnicastPeer { address, hop_limits: HopLimits { least, most } } in peers {
            writeln!(text, "     {address} min_ttl {least} max_ttl {most}")?;
        }
    }
    writeln!(text, "   Virtual Router ID = {}", config.vrid)?;
    writeln!(text, "   Priority = {}\n   Effective priority = {}", config.priority, router.priority)?;
    writeln!(text, "   Version = {}, {}", config.version.number(), config.family)?;
    writeln!(
        text,
        "   Advert interval = {} sec, master's = {} sec",
        config.interval, router.master_interval
    )?;
    writeln!(text, "   Master down timer = {} us", micros(router.master_down))?;
    writeln!(text, "   Preempt = {}", if config.preempt { "enabled" } else { "disabled" })?;
    let held = if router.holds_addresses { "set" } else { "not set" };
    for (title, addresses) in [("Virtual IP", &config.addresses), ("Virtual IP Excluded", &config.excluded)] {
        if addresses.is_empty() {
            continue;
        }
        writeln!(text, "   {title} ({}): {held}", addresses.len())?;
        for address in addresses {
            let interface = address.interface.as_ref().unwrap_or(&config.interfaces.addresses);
            writeln!(text, "     {} dev {interface}", address.spec.prefix)?;
        }
    }
    for (address, peer) in &router.peers {
        writeln!(text, "   Heard {address}: {peer}")?;
    }
    writeln!(
        text,
        "   Counters: sent {}, not sent {}, received {}, repaired addresses {}, beaten rivals {}, stalls {}",
        counters.advertisements_sent,
        counters.send_failures,
        counters.advertisements_received,
        counters.addresses_repaired,
        counters.rivals_beaten,
        counters.stalls
    )?;
    let rejected = RejectionKind::ALL.iter().filter(|kind| counters.rejected(**kind) > 0);
    for kind in rejected {
        writeln!(text, "   Rejected, {kind:?}: {}", counters.rejected(*kind))?;
    }
    Ok(())
}
