//! A [`Status`] for people.

use core::fmt::Write as _;

use super::report::{GroupStatus, RouterStatus, Status, SwitchedOver, span};

/// The whole text. `now_unix_us` is the reader's wall clock; `only` names one virtual router, with all that is known
/// of it.
pub(crate) fn text(status: &Status, now_unix_us: u64, only: Option<&str>) -> String {
    let mut text = String::new();
    let daemon = &status.daemon;
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "alived {}, process {}, {}, running for {}",
        daemon.version,
        daemon.pid,
        routers(status.routers.len()),
        span(now_unix_us.saturating_sub(daemon.started_unix_us))
    );
    let _ = writeln!(text, "configuration {}", daemon.configuration);
    if !daemon.router_id.is_empty() {
        let _ = writeln!(text, "router ID {}", daemon.router_id);
    }
    if let Some(reload) = &daemon.last_reload {
        let ago = span(now_unix_us.saturating_sub(reload.at_unix_us));
        let word = if reload.taken { "taken" } else { "refused" };
        let _ = writeln!(text, "last reload {word} {ago} ago: {}", reload.lines.join("; "));
    }
    if let Some(maintenance) = &daemon.maintenance {
        let since = span(now_unix_us.saturating_sub(maintenance.since_unix_us));
        let left = |until: u64| format!("for another {}", span(until.saturating_sub(now_unix_us)));
        let until =
            maintenance.until_unix_us.map_or_else(|| "until `alived maintenance off`".to_owned(), left);
        let persists = if maintenance.persists { ", also over a restart" } else { "" };
        let _ = writeln!(text, "MAINTENANCE for {since}, {until}{persists}");
    }
    for group in status.groups.iter().filter(|_| only.is_none()) {
        text.push('\n');
        let _ = write_group(&mut text, group, now_unix_us);
    }
    for router in status.routers.iter().filter(|router| only.is_none_or(|name| name == router.name)) {
        text.push('\n');
        let _ = write_router(&mut text, router, now_unix_us, only.is_some());
    }
    if only.is_none() && !status.trackers.is_empty() {
        text.push('\n');
        for tracker in &status.trackers {
            let _ = writeln!(text, "{tracker}");
        }
    }
    text
}

fn routers(count: usize) -> String {
    if count == 1 { "1 virtual router".to_owned() } else { format!("{count} virtual routers") }
}

fn write_group(text: &mut String, group: &GroupStatus, now_unix_us: u64) -> core::fmt::Result {
    write!(text, "sync group {}: {}", group.name, group.state)?;
    match &group.cause {
        Some(cause) => {
            // The cause of a group begins with its name.
            let own = format!("sync group {}: ", group.name);
            let cause = cause.strip_prefix(&own).unwrap_or(cause);
            writeln!(text, " for {}: {cause}", span(now_unix_us.saturating_sub(group.since_unix_us)))?;
        }
        None => writeln!(text)?,
    }
    writeln!(text, "  members {}, {} changes of state", group.members.join(", "), group.transitions)
}

fn write_router(
    text: &mut String,
    router: &RouterStatus,
    now_unix_us: u64,
    details: bool,
) -> core::fmt::Result {
    let since = span(now_unix_us.saturating_sub(router.since_unix_us));
    write!(text, "{}: {}", router.name, router.state)?;
    match &router.cause {
        Some(cause) => writeln!(text, " for {since}: {cause}")?,
        None => writeln!(text)?,
    }
    writeln!(
        text,
        "  {} VRID {} {}, version {}, {}",
        router.family,
        router.vrid,
        match &router.interface {
            Some(interface) => format!("on {interface}"),
            None => "by the routing table".to_owned(),
        },
        router.version,
        priority(router)
    )?;
    if let Some(group) = &router.group {
        writeln!(text, "  in the sync group {group}")?;
    }
    for fault in &router.faults {
        writeln!(text, "  fault: {fault}")?;
    }
    if let Some(master) = &router.master {
        writeln!(text, "  master {}, priority {}", master.address, master.priority)?;
    }
    match router.switched_over {
        SwitchedOver::No => {}
        SwitchedOver::Waiting => writeln!(text, "  handing over, no successor heard yet")?,
        SwitchedOver::Done => match router.hold_ends_us {
            Some(us) => writeln!(text, "  handed over: does not preempt for another {}", span(us))?,
            None => writeln!(text, "  handed over: does not preempt until it is switched back")?,
        },
    }
    if let Some(us) = router.next_timer_us {
        let what = if router.is_master() { "advertises" } else { "takes over unless a master is heard" };
        writeln!(text, "  {what} in {}", span(us))?;
    }
    let held = if router.addresses.iter().any(|address| address.wanted) { "held" } else { "not held" };
    let shown = if details { usize::MAX } else { 3 };
    for address in router.addresses.iter().take(shown) {
        let excluded = if address.advertised { "" } else { ", not advertised" };
        let duplicate = if address.duplicate { ", ANOTHER HOST HAS IT" } else { "" };
        writeln!(
            text,
            "  address {} on {}, {held}{excluded}{duplicate}",
            address.address, address.interface
        )?;
    }
    if router.addresses.len() > shown {
        writeln!(text, "  and {} more addresses", router.addresses.len() - shown)?;
    }
    for rival in &router.second_masters {
        let (priority, lasting) = (rival.priority, span(rival.heard_for_us));
        writeln!(text, "  SECOND MASTER {}, priority {priority}, heard for {lasting}", rival.address)?;
    }
    for peer in &router.peers {
        write!(text, "  peer {}", peer.address)?;
        if let Some(priority) = peer.priority {
            write!(text, ", priority {priority}")?;
        }
        write!(text, ", heard {} ago", span(peer.heard_before_us))?;
        match &peer.last_rejection {
            Some(reason) => writeln!(text, ", {} packets not used: {reason}", peer.rejected)?,
            None => writeln!(text)?,
        }
        if let Some(difference) = &peer.address_list {
            writeln!(text, "    its {difference}")?;
        }
        if details {
            for (reason, count) in &peer.rejections {
                writeln!(text, "    not used: {count} {reason}")?;
            }
        }
    }
    for peer in &router.outside_window {
        let side = if peer.ahead_us < 0 { "behind" } else { "ahead of" };
        let seconds = peer.ahead_us.unsigned_abs() as f64 / 1e6;
        let second = if peer.second_master { ": a second master" } else { "" };
        writeln!(
            text,
            "  the clock of {} is {seconds:.3} s {side} ours, more than time_window{second}",
            peer.address
        )?;
    }
    if details {
        let counters = &router.counters;
        writeln!(
            text,
            "  sent {}, not sent {}, received {}, repaired addresses {}, routes and rules {}, beaten rivals {}, stalls {}",
            counters.advertisements_sent,
            counters.send_failures,
            counters.advertisements_received,
            counters.addresses_repaired,
            counters.routing_repaired,
            counters.rivals_beaten,
            counters.stalls
        )?;
    }
    Ok(())
}

/// `priority 100 + 10 chk_a - 30 eth1 = 80`.
fn priority(router: &RouterStatus) -> String {
    let priority = &router.priority;
    let mut text = format!("priority {}", priority.base);
    for part in &priority.contributions {
        let sign = if part.weight < 0 { '-' } else { '+' };
        let _ = write!(text, " {sign} {} {}", part.weight.unsigned_abs(), part.name);
    }
    if !priority.contributions.is_empty() {
        let _ = write!(text, " = {}", priority.effective);
    }
    text
}
