//! The outcome for people (a timeline) and for programs (JSON).

use core::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::measure::Measures;
use super::plan::{Authentication, Plan};
use super::probe::ProbeRun;
use super::record::What;
use super::stage::Outcome;
use crate::time::WallTime;
use crate::wire::vrrp::Priority;

/// Width of the bars in characters.
pub(super) const COLUMNS: usize = 72;

/// How a report is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Style {
    /// ASCII only.
    Plain,
    /// Colours and box characters of a terminal.
    Terminal,
}

/// What is about to be drilled, in one line.
pub fn heading(plan: &Plan) -> String {
    let kinds: Vec<&str> = plan.programs.iter().map(|program| program.kind.name()).collect();
    let authentication = match plan.authentication {
        Authentication::None => String::new(),
        other => format!(", authentication {}", other.name()),
    };
    let unicast = if plan.unicast { ", unicast" } else { "" };
    let virtual_mac = plan.virtual_mac().map_or_else(String::new, |mac| format!(", virtual MAC {mac}"));
    format!(
        "{} routers ({}), version {}, {}{unicast}, advertisements each {} s{authentication}{virtual_mac}\n",
        kinds.len(),
        kinds.join(", "),
        plan.version.number(),
        plan.family,
        plan.interval
    )
}

/// One scenario for people.
pub fn text(outcome: &Outcome, style: Style) -> String {
    let paint = Paint { style };
    let (name, story) = (outcome.scenario.name(), outcome.scenario.story());
    let mut text = headline(paint, name, story, outcome.skipped.as_deref(), outcome.ok());
    if outcome.skipped.is_some() {
        return text;
    }
    bars(&mut text, outcome, paint);
    for (time, line) in timeline(outcome) {
        let _ = writeln!(text, "  {:>10}  {line}", signed_ms(outcome.window.0, time));
    }
    let _ = writeln!(text, "  {}", paint.bold(&figures(outcome)));
    say_what_is_wrong(&mut text, paint, &outcome.failures, &outcome.logs);
    text
}

/// The scenario, and what became of it, in one line.
pub(super) fn headline(paint: Paint, name: &str, story: &str, skipped: Option<&str>, ok: bool) -> String {
    let verdict = match skipped {
        Some(reason) => paint.dim(&format!("not run, {reason}")),
        None if ok => paint.good("ok"),
        None => paint.bad("FAILED"),
    };
    format!("\n{}  {story}: {verdict}\n", paint.bold(name))
}

/// What is wrong, and the last of what the daemons said.
pub(super) fn say_what_is_wrong(
    text: &mut String,
    paint: Paint,
    failures: &[String],
    logs: &[(String, String)],
) {
    for failure in failures {
        let _ = writeln!(text, "  {} {failure}", paint.bad("wrong:"));
    }
    for (name, log) in logs {
        let _ = writeln!(text, "  --- {name} said ---");
        for line in last_lines(log, 20) {
            let _ = writeln!(text, "  {}", paint.dim(line));
        }
    }
}

/// All scenarios for programs: a list of objects. Times are in milliseconds; what was not measured is null.
pub fn json(plan: &Plan, outcomes: &[Outcome]) -> String {
    list(outcomes.iter().map(|outcome| object(plan, outcome)))
}

/// A list of objects.
pub(super) fn list(objects: impl Iterator<Item = Value>) -> String {
    let mut text = serde_json::to_string_pretty(&objects.collect::<Vec<_>>()).unwrap_or_default();
    text.push('\n');
    text
}

fn object(plan: &Plan, outcome: &Outcome) -> Value {
    let Measures { first_announcement, last_announcement, takeover, blackout, dual_master, .. } =
        outcome.measures;
    let elections: Vec<Value> = outcome
        .measures
        .elections
        .iter()
        .map(
            |e| json!({ "router": router(e.router), "at_ms": ms(e.time.saturating_since(outcome.window.0)) }),
        )
        .collect();
    let measured = outcome.skipped.is_none();
    json!({
        "scenario": outcome.scenario.name(),
        "ok": outcome.ok(),
        "skipped": outcome.skipped,
        "failures": outcome.failures,
        "version": plan.version.number(),
        "family": plan.family.to_string(),
        "interval_ms": ms(outcome.scenario.interval(plan.interval).duration()),
        "addresses": plan.addresses,
        "authentication": plan.authentication.name(),
        "unicast": plan.unicast,
        "virtual_mac": plan.virtual_mac().map(|mac| mac.to_string()),
        "client_entries": outcome.ending.client_entries.map(|entry| entry.map(|mac| mac.to_string())),
        "routers": outcome.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
        "bound_ms": (!outcome.scenario.overlaps() && !outcome.scenario.is_unnoticed()).then(|| ms(outcome.bound)),
        "takeover_ms": takeover.map(ms),
        "first_announcement_ms": first_announcement.map(ms),
        "last_announcement_ms": last_announcement.map(ms),
        "blackout_ms": measured.then(|| ms(blackout.map_or(Duration::ZERO, |(_, length)| length))),
        "probes_sent": outcome.measures.probes_sent,
        "probes_lost": outcome.measures.probes_lost,
        "dual_master_ms": measured.then(|| ms(dual_master)),
        "elections": elections,
        "senders": outcome.ending.senders.iter().map(|&r| router(r)).collect::<Vec<_>>(),
    })
}

/// The first letters are the figures an operator asks for.
fn figures(outcome: &Outcome) -> String {
    let measures = &outcome.measures;
    let elected = measures.elections.first().map(|election| election.time.saturating_since(outcome.window.0));
    let succession = match (measures.first_announcement, elected) {
        // The old master's last advertisement before it says nothing.
        (Some(_), Some(elected)) if outcome.scenario.overlaps() => format!("elected after {}", show(elected)),
        (Some(time), _) => {
            let (bound, excess) = (show(outcome.bound), excess(time, outcome.bound));
            format!("bound {bound}, announced {} ({excess})", show(time))
        }
        (None, _) if outcome.scenario.is_unnoticed() && elected.is_none() => "nobody was elected".to_owned(),
        (None, _) => format!("bound {}, announced never", show(outcome.bound)),
    };
    let blackout = measures.blackout.map_or(Duration::ZERO, |(_, length)| length);
    format!(
        "{succession}, hosts lost {} ({} probes), two masters {}",
        show(blackout),
        measures.probes_lost,
        show(measures.dual_master)
    )
}

fn timeline(outcome: &Outcome) -> Vec<(WallTime, String)> {
    let mut lines = outcome.marks.clone();
    let Measures { last_advertisement, ref elections, blackout, .. } = outcome.measures;
    if let (Some(last), Some(first)) = (last_advertisement, elections.first())
        && !outcome.scenario.overlaps()
    {
        let who = outcome.sightings.iter().rfind(|s| {
            s.time == last && s.router != first.router && matches!(s.what, What::Advertisement { .. })
        });
        let goodbye = who.is_some_and(
            |s| matches!(s.what, What::Advertisement { priority, .. } if priority == Priority(0)),
        );
        let who = who.map_or(String::new(), |s| format!("{}'s ", router(s.router)));
        let what = if goodbye { "goodbye (priority 0)" } else { "last advertisement" };
        lines.push((last, format!("{who}{what}")));
    }
    for election in elections {
        lines.push((election.time, format!("{} advertises as master", router(election.router))));
        let announced = outcome.sightings.iter().find(|s| {
            s.router == election.router
                && s.time >= election.time
                && matches!(s.what, What::Announcement { .. })
        });
        if let Some(announced) = announced
            && let What::Announcement { address, .. } = announced.what
        {
            lines.push((announced.time, format!("{} announces {address}", router(announced.router))));
        }
    }
    if let Some((start, length)) = blackout {
        lines.push((start, "first probe lost".to_owned()));
        let end = WallTime::from_unix_micros(start.as_unix_micros() + crate::time::micros(length));
        lines.push((end, "probes arrive again".to_owned()));
    }
    lines.sort_by_key(|(time, _)| *time);
    lines
}

fn bars(text: &mut String, outcome: &Outcome, paint: Paint) {
    let Columns { start, width, strike } = Columns::of(outcome.window);
    let column = |number: usize| {
        let from = start + number as u64 * width;
        (from, from + width)
    };
    for (index, kind) in outcome.kinds.iter().enumerate() {
        let cells = (0..COLUMNS).map(|number| {
            let (from, to) = column(number);
            let reigns = outcome.measures.reigns.iter().filter(|reign| reign.router == index);
            let mut covering =
                reigns.filter(|r| r.first.as_unix_micros() < to && r.last.as_unix_micros() >= from);
            if covering.next().is_some() { Cell::Reigns } else { Cell::Idle }
        });
        let cells = paint.cells(cells.collect(), Some(strike));
        let _ = writeln!(text, "  {:<7} {cells} {}", router(index), paint.dim(kind.name()));
    }
    let cells = (0..COLUMNS).map(|number| {
        let (from, to) = column(number);
        match lost(&outcome.probes, from, to) {
            None => Cell::Idle,
            Some(false) => Cell::Arrives,
            Some(true) => Cell::Lost,
        }
    });
    let _ = writeln!(text, "  {:<7} {}", "traffic", paint.cells(cells.collect(), None));
}

/// What the columns of bars stand for, in microseconds since 1970: some of the time before a scenario struck, and all of
/// that which was observed.
pub(super) struct Columns {
    pub(super) start: u64,
    /// Of each of [`COLUMNS`].
    pub(super) width: u64,
    /// In which one it struck.
    pub(super) strike: usize,
}

impl Columns {
    pub(super) fn of((struck, end): (WallTime, WallTime)) -> Self {
        let (struck, end) = (struck.as_unix_micros(), end.as_unix_micros());
        let start = struck.saturating_sub(end.saturating_sub(struck) / 5);
        let width = (end.saturating_sub(start) / COLUMNS as u64).max(1);
        let strike = usize::try_from(struck.saturating_sub(start) / width).unwrap_or(0);
        Self { start, width, strike }
    }
}

/// Whether most of the probes sent in that time were lost; `None` if none was sent.
fn lost(run: &ProbeRun, from: u64, to: u64) -> Option<bool> {
    let first = run.probes.partition_point(|probe| probe.sent.as_unix_micros() < from);
    let last = run.probes.partition_point(|probe| probe.sent.as_unix_micros() < to);
    let probes = run.probes.get(first..last).filter(|probes| !probes.is_empty())?;
    Some(probes.iter().filter(|probe| !probe.arrived).count() * 2 > probes.len())
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Cell {
    Idle,
    /// Is master, or in service.
    Reigns,
    Arrives,
    Lost,
}

#[derive(Clone, Copy)]
pub(super) struct Paint {
    pub(super) style: Style,
}

impl Paint {
    pub(super) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.wrap("1;32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self.style {
            Style::Plain => text.to_owned(),
            Style::Terminal => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }

    /// A bar, with a stroke where the scenario struck.
    pub(super) fn cells(self, cells: Vec<Cell>, strike: Option<usize>) -> String {
        let mut bar = String::new();
        for (number, cell) in cells.into_iter().enumerate() {
            let (plain, terminal, code) = match cell {
                Cell::Idle if strike == Some(number) => ("|", "│", "33"),
                Cell::Idle => (" ", "·", "2"),
                Cell::Reigns => ("=", "━", "36"),
                Cell::Arrives => ("+", "█", "32"),
                Cell::Lost => (".", "░", "31"),
            };
            match self.style {
                Style::Plain => bar.push_str(plain),
                Style::Terminal => bar.push_str(&self.wrap(code, terminal)),
            }
        }
        bar
    }
}

fn last_lines(log: &str, count: usize) -> impl Iterator<Item = &str> {
    let lines = log.lines().count();
    log.lines().skip(lines.saturating_sub(count))
}

pub(super) fn router(number: usize) -> String {
    format!("r{}", number + 1)
}

pub(super) fn ms(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

pub(super) fn show(time: Duration) -> String {
    format!("{:.1} ms", ms(time))
}

pub(super) fn excess(time: Duration, bound: Duration) -> String {
    format!("{:+.1} ms", ms(time) - ms(bound))
}

pub(super) fn signed_ms(origin: WallTime, time: WallTime) -> String {
    let (from, to) = (origin.as_unix_micros() as f64, time.as_unix_micros() as f64);
    format!("{:+.1} ms", (to - from) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::daemon::{Kind, Program};
    use crate::drill::measure::{Election, Reign};
    use crate::drill::probe::Probe;
    use crate::drill::scenario::Scenario;
    use crate::drill::stage::Ending;
    use crate::net::Family;
    use crate::wire::vrrp::{AdvertisementInterval, Version};

    fn plan() -> Plan {
        let program = Program::new(Kind::Alived, "alived");
        Plan {
            version: Version::V3,
            family: Family::Ipv4,
            interval: AdvertisementInterval::from_centiseconds(10).unwrap(),
            addresses: 1,
            sync_group: false,
            authentication: Authentication::None,
            unicast: false,
            virtual_mac: false,
            programs: vec![program.clone(), program],
            service: None,
            scenarios: vec![Scenario::Kill],
        }
    }

    fn at(ms: u64) -> WallTime {
        WallTime::from_unix_micros(1_000_000_000 + ms * 1000)
    }

    fn outcome() -> Outcome {
        let probes = (0..1200).map(|ms| Probe { sent: at(ms), arrived: !(500..830).contains(&ms) }).collect();
        Outcome {
            scenario: Scenario::Kill,
            skipped: None,
            failures: Vec::new(),
            bound: Duration::from_micros(325_781),
            measures: Measures {
                last_advertisement: Some(at(490)),
                elections: vec![Election { router: 1, time: at(816) }],
                first_announcement: Some(Duration::from_micros(326_500)),
                blackout: Some((at(500), Duration::from_millis(330))),
                probes_lost: 330,
                reigns: vec![
                    Reign { router: 0, first: at(0), last: at(490) },
                    Reign { router: 1, first: at(816), last: at(1200) },
                ],
                ..Measures::default()
            },
            ending: Ending::default(),
            marks: vec![(at(500), "r1 dies".to_owned())],
            probes: ProbeRun { probes },
            sightings: Vec::new(),
            window: (at(500), at(1200)),
            kinds: vec![Kind::Alived, Kind::Keepalived],
            logs: Vec::new(),
        }
    }

    #[test]
    fn json_is_a_list_of_objects_with_the_promised_fields() {
        let value: Value = serde_json::from_str(&json(&plan(), &[outcome()])).unwrap();
        let object = &value[0];
        assert_eq!(object["scenario"], "kill");
        assert_eq!(object["ok"], true);
        assert_eq!(object["bound_ms"], 325.781);
        assert_eq!(object["first_announcement_ms"], 326.5);
        assert_eq!(object["blackout_ms"], 330.0);
        assert_eq!(object["dual_master_ms"], 0.0);
        assert_eq!(object["elections"][0]["router"], "r2");
    }

    #[test]
    fn a_pipe_gets_plain_ascii() {
        let text = text(&outcome(), Style::Plain);
        assert!(text.is_ascii());
        assert!(text.contains("announced 326.5 ms (+0.7 ms)"), "{text}");
        assert!(text.contains("r1 dies"));
        let traffic = text.lines().find(|line| line.contains("traffic")).unwrap();
        assert!(traffic.contains("++") && traffic.contains(".."), "{traffic}");
    }

    #[test]
    fn a_terminal_gets_colours() {
        assert!(text(&outcome(), Style::Terminal).contains("\x1b[1;32mok"));
    }

    #[test]
    fn failures_are_said_with_the_daemons_last_words() {
        let mut outcome = outcome();
        outcome.failures = vec!["nobody took over".to_owned()];
        outcome.logs = vec![("r2".to_owned(), "Entering FAULT STATE\n".to_owned())];
        let text = text(&outcome, Style::Plain);
        assert!(text.contains("FAILED") && text.contains("nobody took over") && text.contains("FAULT"));
    }
}
