//! Why a virtual router is what it is, what would change that, and what it does not believe: in sentences.

use core::fmt;

use serde::Serialize;

use super::report::{PeerStatus, RouterStatus, Status, SwitchedOver, TrackStatus, span};

/// Sentences about one virtual router.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Explanation {
    /// What it is and why.
    pub(crate) because: Vec<String>,
    /// What would change that.
    pub(crate) changes_if: Vec<String>,
    /// What it receives and does not use, and from whom; what others may not believe of it.
    pub(crate) not_used: Vec<String>,
}

/// Explains a router. `now_unix_us` is the reader's wall clock.
pub(crate) fn explain(status: &Status, router: &RouterStatus, now_unix_us: u64) -> Explanation {
    let mut explanation = Explanation::default();
    let since = span(now_unix_us.saturating_sub(router.since_unix_us));
    let cause = router.cause.as_ref().map_or_else(String::new, |cause| format!(", because: {cause}"));
    explanation.because.push(format!("{} is {} for {since}{cause}.", router.name, router.state));
    match router.state.as_str() {
        "MASTER" => master(&mut explanation, router),
        "BACKUP" => backup(&mut explanation, router),
        "MAINTENANCE" => maintenance(&mut explanation, status, now_unix_us),
        "FAULT" => fault(&mut explanation, router),
        _ => explanation.changes_if.push(
            "It begins as soon as its interface, its socket and its trackers are known, and those of all members of its \
             sync group."
                .to_owned(),
        ),
    }
    if router.state != "FAULT" && router.state != "MAINTENANCE" {
        trackers(&mut explanation, router);
    }
    if let Some(group) = &router.group {
        explanation.changes_if.push(format!(
            "It is in the sync group {group}: it is master only if all members can be, and leaves with the first that \
             leaves."
        ));
    }
    not_used(&mut explanation, status, router);
    explanation
}

fn master(explanation: &mut Explanation, router: &RouterStatus) {
    let ours = router.priority.effective;
    explanation.because.push(format!("Its priority is {}.", priority(router)));
    if router.switched_over == SwitchedOver::Waiting {
        explanation.because.push(
            "It was told to hand over, has said that it leaves, and keeps its addresses until a successor is heard."
                .to_owned(),
        );
    }
    for peer in &router.peers {
        explanation.because.push(match peer.priority {
            Some(priority) if priority > ours => format!(
                "{} had the higher priority {priority} when it was last heard, {} ago.",
                peer.address,
                span(peer.heard_before_us)
            ),
            Some(priority) => format!(
                "{} has the priority {priority}, not above ours, and was heard {} ago.",
                peer.address,
                span(peer.heard_before_us)
            ),
            None => format!("{} has sent nothing yet that could be used.", peer.address),
        });
    }
    if router.peers.is_empty() {
        explanation.because.push("No other router has been heard.".to_owned());
    }
    let tie = router.source.map_or_else(String::new, |source| {
        format!(", or of the same priority and an address above {source}")
    });
    explanation.changes_if.push(match ours {
        255 => {
            "It owns the addresses (priority 255): only a fault, its stop or maintenance ends its mastership."
                .to_owned()
        }
        _ => format!("It yields to a master of a priority above {ours}{tie}."),
    });
}

fn backup(explanation: &mut Explanation, router: &RouterStatus) {
    let ours = router.priority.effective;
    explanation.because.push(format!("Its priority is {}.", priority(router)));
    match &router.master {
        Some(master) if master.priority > ours => explanation
            .because
            .push(format!("It follows {}, whose priority {} is higher.", master.address, master.priority)),
        Some(master) if master.priority == ours => explanation.because.push(format!(
            "It follows {}, whose priority is the same: a backup takes over from a lower one only.",
            master.address
        )),
        Some(master) => {
            let why = match (router.switched_over, router.preempts) {
                (SwitchedOver::Done, _) => match router.hold_ends_us {
                    Some(us) => {
                        format!("it was told to hand over, and does not come back for another {}", span(us))
                    }
                    None => {
                        "it was told to hand over, and does not come back before `alived failback`".to_owned()
                    }
                },
                (_, false) => "nopreempt is set".to_owned(),
                (_, true) => "preempt_delay is not over, or its sync group cannot take over yet".to_owned(),
            };
            explanation.because.push(format!(
                "It follows {} although that one's priority {} is lower: {why}.",
                master.address, master.priority
            ));
        }
        None => explanation.because.push("It hears no master that it would follow.".to_owned()),
    }
    explanation.changes_if.push(format!(
        "It takes over when no master is heard for {}{}.",
        span(router.master_down_us),
        router.next_timer_us.map_or_else(String::new, |us| format!(", the next time in {}", span(us)))
    ));
    if let Some(master) = router.master.as_ref().filter(|master| master.priority >= ours) {
        let nopreempt = if router.preempts { "" } else { " and leaves out nopreempt" };
        explanation
            .changes_if
            .push(format!("It takes over as soon as its priority is above {}{nopreempt}.", master.priority));
    }
    if router.switched_over == SwitchedOver::Done {
        explanation.changes_if.push("`alived failback` has it take over at once.".to_owned());
    }
}

fn maintenance(explanation: &mut Explanation, status: &Status, now_unix_us: u64) {
    let until = status.daemon.maintenance.as_ref().and_then(|maintenance| maintenance.until_unix_us);
    explanation.because.push(
        "The operator keeps all virtual routers of this host out of the election, whatever happens to the others."
            .to_owned(),
    );
    let time = until
        .map_or_else(String::new, |until| format!(", or in {}", span(until.saturating_sub(now_unix_us))));
    explanation.changes_if.push(format!("It takes part again after `alived maintenance off`{time}."));
}

fn fault(explanation: &mut Explanation, router: &RouterStatus) {
    for fault in &router.faults {
        explanation.because.push(format!("It cannot take part: {fault}."));
    }
    explanation.changes_if.push("It takes part again as soon as none of these holds.".to_owned());
}

fn trackers(explanation: &mut Explanation, router: &RouterStatus) {
    for TrackStatus { name, weight, of_group } in &router.tracks {
        let through = if *of_group { " (of its sync group)" } else { "" };
        explanation.changes_if.push(match weight {
            0 => format!("If {name}{through} fails, it goes to fault."),
            _ => format!("{name}{through} changes its priority, by the weight {weight}."),
        });
    }
}

fn not_used(explanation: &mut Explanation, status: &Status, router: &RouterStatus) {
    let texts = &mut explanation.not_used;
    for rival in &router.second_masters {
        texts.push(format!(
            "{} with priority {} believes to be master too, for {}: it does not hear us, or does not understand us.",
            rival.address,
            rival.priority,
            span(rival.heard_for_us)
        ));
    }
    for peer in &router.outside_window {
        let side = if peer.ahead_us < 0 { "behind" } else { "ahead of" };
        let seconds = peer.ahead_us.unsigned_abs() as f64 / 1e6;
        texts.push(format!(
            "Advertisements of {} are dropped, because its clock is {seconds:.1} s {side} ours: set the clocks.",
            peer.address
        ));
    }
    for PeerStatus { address, rejected, rejections, last_rejection, address_list, .. } in &router.peers {
        if *rejected > 0 {
            let kinds: Vec<String> =
                rejections.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            let last =
                last_rejection.as_ref().map_or_else(String::new, |last| format!("; the last one: {last}"));
            texts
                .push(format!("{rejected} packets of {address} were not used ({}){last}.", kinds.join(", ")));
        }
        if let Some(difference) = address_list {
            texts.push(format!("{address}: its {difference}."));
        }
    }
    if status.node.unknown_vrids > 0 {
        texts.push(format!(
            "{} advertisements were for virtual routers that are not configured here.",
            status.node.unknown_vrids
        ));
    }
}

/// `100 + 10 script a = 110`.
fn priority(router: &RouterStatus) -> String {
    let priority = &router.priority;
    let mut text = priority.base.to_string();
    for part in &priority.contributions {
        let sign = if part.weight < 0 { '-' } else { '+' };
        text += &format!(" {sign} {} {}", part.weight.unsigned_abs(), part.name);
    }
    if !priority.contributions.is_empty() {
        text += &format!(" = {}", priority.effective);
    }
    text
}

/// For people.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("", &self.because),
            ("What would change it:\n", &self.changes_if),
            ("What it does not use:\n", &self.not_used),
        ];
        for (title, sentences) in parts.into_iter().filter(|(_, sentences)| !sentences.is_empty()) {
            f.write_str(title)?;
            let indent = if title.is_empty() { "" } else { "  " };
            sentences.iter().try_for_each(|sentence| writeln!(f, "{indent}{sentence}"))?;
        }
        Ok(())
    }
}
