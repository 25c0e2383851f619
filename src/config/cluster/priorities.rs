//! Who becomes master, and whose failure makes another one master.

use super::{Group, Member};
use crate::config::diagnostics::Severity;
use crate::config::lints::Standing;
use crate::track::Tracker;
use crate::wire::vrrp::Priority;

/// A member with what its trackers make of its priority.
struct Ranked<'m> {
    member: &'m Member<'m>,
    standing: Standing,
    /// While nothing fails.
    well: Priority,
}

impl Ranked<'_> {
    fn name(&self) -> String {
        let router = self.member.router;
        let (file, base, well) = (self.member.file, router.priority, self.well);
        if base == well {
            format!("{file} ({}, priority {base})", router.name)
        } else {
            format!("{file} ({}, priority {base}, with its weights {well})", router.name)
        }
    }
}

impl Group<'_> {
    pub(super) fn priorities(&mut self) {
        let members = self.members;
        let mut order: Vec<Ranked<'_>> = members
            .iter()
            .map(|member| {
                let standing = Standing::new(member.node, member.router);
                let well = standing.well();
                Ranked { member, standing, well }
            })
            .collect();
        order.sort_by_key(|ranked| core::cmp::Reverse(ranked.well));
        let [first, rest @ ..] = order.as_slice() else { return };
        if rest.is_empty() {
            return;
        }
        for pair in order.windows(2) {
            let [higher, lower] = pair else { continue };
            let names = format!("{} and {}", higher.name(), lower.name());
            if higher.well.is_owner() && lower.well.is_owner() {
                self.say(
                    Severity::Error,
                    "owners",
                    format!("{names} are both owner (255): there can be one"),
                );
            } else if higher.well == lower.well {
                let message = format!("{names} have the same priority: the higher source address wins");
                self.say(Severity::Warning, "priority", message);
            }
        }
        let names: Vec<String> = rest.iter().map(Ranked::name).collect();
        let holds = if first.member.router.preempt {
            "becomes master"
        } else {
            "becomes master unless another already is (nopreempt)"
        };
        self.say(
            Severity::Hint,
            "winner",
            format!("{} {holds}, after it {}", first.name(), names.join(", then ")),
        );
        for (index, ranked) in order.iter().enumerate() {
            self.weights(ranked, order.get(index + 1..).unwrap_or(&[]));
        }
    }

    /// Looks for trackers of one member whose failure leaves it above all `others`, the next first.
    fn weights(&mut self, ranked: &Ranked<'_>, others: &[Ranked<'_>]) {
        let Some(next) = others.first() else { return };
        // What cannot matter in any cluster is said of the file.
        if ranked.standing.worst() == ranked.well {
            return;
        }
        let above = |left: Priority| others.iter().filter(move |other| other.well > left);
        let takes_over = |left: Priority| above(left).any(|other| other.member.router.preempt);
        let stuck: Vec<(&Tracker, Priority)> =
            ranked.standing.failures().filter(|(_, left)| !takes_over(*left)).collect();
        let Some(&(_, left)) = stuck.iter().min_by_key(|(_, left)| *left) else { return };
        let trackers: Vec<String> =
            stuck.iter().map(|(tracker, left)| format!("{tracker} ({left} is left)")).collect();
        let fails = if stuck.len() == 1 { "the failure" } else { "the failure of one" };
        let (name, trackers) = (ranked.name(), trackers.join(", "));
        let message = if above(left).next().is_some() {
            format!("{name}: {fails} of {trackers} moves nothing: who has more then has nopreempt")
        } else {
            let (other, well) = (next.member.file, next.well);
            format!("{name}: {fails} of {trackers} moves nothing: {other} has {well}, which is not more")
        };
        // Some are meant to count together.
        let together = takes_over(ranked.standing.worst());
        let (severity, ending) = if together {
            (Severity::Hint, "; only together with others it does")
        } else {
            (Severity::Warning, "; a larger weight, or weight 0, would move it")
        };
        self.say(severity, "weight-too-small", format!("{message}{ending}"));
    }
}
