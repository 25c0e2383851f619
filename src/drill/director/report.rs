//! The outcome for people (a timeline and the kernel's table) and for programs (JSON).

use core::fmt::Write;

use serde_json::{Value, json};

use super::DirectorPlan;
use super::stage::{Measures, Outcome};
use crate::drill::report::{
    COLUMNS, Cell, Columns, Paint, Style, excess, headline, list, ms, router, say_what_is_wrong, show,
    signed_ms,
};

/// What is about to be drilled, in one line.
pub fn heading(plan: &DirectorPlan) -> String {
    let kinds: Vec<&str> = plan.routers.programs.iter().map(|program| program.kind.name()).collect();
    let service = &plan.service;
    format!(
        "{} directors ({}), {} real servers by direct routing, checked each {} ms (HTTP_GET, timeout {} ms, {} retries \
         after {} ms), {} requests a second\n",
        kinds.len(),
        kinds.join(", "),
        service.real_servers,
        service.delay_loop.as_millis(),
        service.connect_timeout.as_millis(),
        service.retry,
        service.delay_before_retry.as_millis(),
        plan.rate
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
    let mut lines = outcome.marks.clone();
    let changes = outcome.tables.windows(2).filter_map(|pair| match pair {
        [before, after] => Some((after.time, change(&before.lines, &after.lines))),
        _ => None,
    });
    let serving = router(outcome.scenario.director());
    let changes = changes.filter(|(time, _)| *time >= outcome.window.0);
    lines.extend(changes.map(|(time, change)| (time, format!("{serving}'s table: {change}"))));
    if let Some((first, failure)) = outcome.measures.failures.first() {
        lines.push((*first, format!("first request that fails: {failure}")));
    }
    lines.sort_by_key(|(time, _)| *time);
    for (time, line) in lines {
        let _ = writeln!(text, "  {:>10}  {line}", signed_ms(outcome.window.0, time));
    }
    let _ = writeln!(text, "  {}", paint.bold(&figures(outcome)));
    let _ = writeln!(text, "  {serving}'s table in the end:");
    for line in outcome.table() {
        let _ = writeln!(text, "    {line}");
    }
    if !outcome.measures.stalled.is_zero() {
        let stalled = show(outcome.measures.stalled);
        let _ =
            writeln!(text, "  {}", paint.dim(&format!("this machine did not run the drill for {stalled}")));
    }
    say_what_is_wrong(&mut text, paint, &outcome.failures, &outcome.logs);
    text
}

/// All scenarios for programs: a list of objects. Times are in milliseconds; what was not measured is null.
pub fn json(plan: &DirectorPlan, outcomes: &[Outcome]) -> String {
    list(outcomes.iter().map(|outcome| object(plan, outcome)))
}

fn object(plan: &DirectorPlan, outcome: &Outcome) -> Value {
    let Measures { bound, detection, backup_detection, removal, requests, .. } = outcome.measures;
    let Measures { failures, slowest, stalled, held, broken, answered_after, .. } = &outcome.measures;
    let measured = outcome.skipped.is_none();
    json!({
        "scenario": outcome.scenario.name(),
        "ok": outcome.ok(),
        "skipped": outcome.skipped,
        "failures": outcome.failures,
        "directors": outcome.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
        "interval_ms": ms(plan.routers.interval.duration()),
        "delay_loop_ms": ms(plan.service.delay_loop),
        "connect_timeout_ms": ms(plan.service.connect_timeout),
        "retry": plan.service.retry,
        "delay_before_retry_ms": ms(plan.service.delay_before_retry),
        "rate": plan.rate,
        "bound_ms": bound.map(ms),
        "detection_ms": detection.map(ms),
        "backup_detection_ms": backup_detection.map(ms),
        "removal_ms": removal.map(ms),
        "requests": measured.then_some(requests),
        "requests_failed": measured.then_some(failures.len()),
        "answered_after": measured.then_some(answered_after),
        "slowest_ms": measured.then(|| ms(*slowest)),
        "stalled_ms": measured.then(|| ms(*stalled)),
        "connections_kept": measured.then_some(held),
        "connections_broken": measured.then_some(broken),
        "table": measured.then(|| outcome.table()),
    })
}

/// The figures an operator asks for.
fn figures(outcome: &Outcome) -> String {
    let Measures { bound, detection, backup_detection, removal, requests, .. } = outcome.measures;
    let Measures { failures, slowest, held, broken, .. } = &outcome.measures;
    let noticed = match (detection, bound) {
        (Some(time), Some(bound)) => {
            format!("bound {}, noticed after {} ({})", show(bound), show(time), excess(time, bound))
        }
        (Some(time), None) => format!("no new connections after {}", show(time)),
        (None, Some(bound)) => format!("bound {}, never noticed", show(bound)),
        (None, None) => "without effect".to_owned(),
    };
    let backup = backup_detection.map_or_else(String::new, |time| format!(", by r2 after {}", show(time)));
    let removal = removal.map_or_else(String::new, |time| format!(", out of the table after {}", show(time)));
    format!(
        "{noticed}{backup}{removal}; {} of {requests} requests failed, slowest answer {}; {} of {held} kept \
         connections broke",
        failures.len(),
        show(*slowest),
        broken.iter().sum::<usize>()
    )
}

/// What changed, in the words of `ipvsadm`.
fn change(before: &[String], after: &[String]) -> String {
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| format!("- {line}"));
    let new = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}"));
    gone.chain(new).collect::<Vec<_>>().join(", ")
}

fn bars(text: &mut String, outcome: &Outcome, paint: Paint) {
    let Columns { start, width, strike } = Columns::of(outcome.window);
    let column = |number: usize| start + number as u64 * width;
    for (server, address) in outcome.real_servers.iter().enumerate() {
        let real = format!("-r {address}:");
        let cells = (0..COLUMNS).map(|number| {
            let versions = outcome.tables.iter();
            let version = versions.rev().find(|version| version.time.as_unix_micros() < column(number + 1));
            let line = version.and_then(|version| version.lines.iter().find(|line| line.contains(&real)));
            match line {
                Some(line) if !line.ends_with(" -w 0") => Cell::Reigns,
                _ => Cell::Idle,
            }
        });
        let cells = paint.cells(cells.collect(), Some(strike));
        let _ = writeln!(text, "  {:<8} {cells} {}", format!("s{}", server + 1), paint.dim("in the table"));
    }
    let cells = (0..COLUMNS).map(|number| {
        let of_column = column(number)..column(number + 1);
        let within =
            outcome.requests.iter().filter(|request| of_column.contains(&request.sent.as_unix_micros()));
        let failed: Vec<bool> = within.map(|request| request.failure.is_some()).collect();
        match failed.as_slice() {
            [] => Cell::Idle,
            failed if failed.contains(&true) => Cell::Lost,
            _ => Cell::Arrives,
        }
    });
    let _ = writeln!(text, "  {:<8} {}", "requests", paint.cells(cells.collect(), None));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::drill::daemon::Kind;
    use crate::drill::director::Scenario;
    use crate::drill::director::client::Request;
    use crate::drill::director::table::Version;
    use crate::time::WallTime;

    fn at(ms: u64) -> WallTime {
        WallTime::from_unix_micros(1_000_000_000 + ms * 1000)
    }

    fn outcome() -> Outcome {
        let line = |last: u8| format!("-a -t 198.18.0.254:80 -r 198.18.0.{last}:80 -g -w 1");
        let request = |number: u64| Request {
            sent: at(number * 20),
            time: Duration::from_millis(2),
            held: false,
            server: Some(1),
            failure: (500..900).contains(&(number * 20)).then(|| "refused".to_owned()),
        };
        Outcome {
            scenario: Scenario::Die,
            skipped: None,
            failures: Vec::new(),
            measures: Measures {
                bound: Some(Duration::from_millis(750)),
                detection: Some(Duration::from_micros(400_200)),
                backup_detection: Some(Duration::from_millis(500)),
                requests: 75,
                failures: vec![(at(505), "refused".to_owned())],
                answered_after: [0, 25, 25],
                held: 6,
                broken: [2, 0, 0],
                ..Measures::default()
            },
            tables: vec![
                Version { time: at(0), lines: vec![line(11), line(12)] },
                Version { time: at(900), lines: vec![line(12)] },
            ],
            real_servers: vec!["198.18.0.11".parse().unwrap(), "198.18.0.12".parse().unwrap()],
            marks: vec![(at(500), "s1's process is killed".to_owned())],
            requests: (0..100).map(request).collect(),
            window: (at(500), at(2000)),
            kinds: vec![Kind::Alived, Kind::Keepalived],
            logs: Vec::new(),
        }
    }

    #[test]
    fn a_pipe_gets_plain_ascii_with_the_table() {
        let text = text(&outcome(), Style::Plain);
        assert!(text.is_ascii(), "{text}");
        assert!(
            text.contains("bound 750.0 ms, noticed after 400.2 ms (-349.8 ms), by r2 after 500.0 ms"),
            "{text}"
        );
        assert!(
            text.contains("1 of 75 requests failed") && text.contains("2 of 6 kept connections broke"),
            "{text}"
        );
        assert!(
            text.contains("+400.0 ms  r1's table: - -a -t 198.18.0.254:80 -r 198.18.0.11:80 -g -w 1"),
            "{text}"
        );
        let bar =
            |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap().to_owned();
        assert!(
            bar("s1").contains("==") && bar("s1").trim_end_matches(" in the table").ends_with("  "),
            "{text}"
        );
        assert!(bar("s2").contains("== in the table"), "{text}");
        assert!(bar("requests").contains("++") && bar("requests").contains(".."), "{text}");
    }

    #[test]
    fn failures_are_said_with_the_daemons_last_words() {
        let mut outcome = outcome();
        outcome.failures = vec!["s1 goes on getting new connections from r1".to_owned()];
        outcome.logs = vec![("r1".to_owned(), "HTTP_GET succeeded\n".to_owned())];
        let text = text(&outcome, Style::Plain);
        assert!(
            text.contains("FAILED") && text.contains("goes on getting") && text.contains("HTTP_GET"),
            "{text}"
        );
        outcome.skipped = Some("keepalived has no drain".to_owned());
        assert!(super::text(&outcome, Style::Plain).ends_with("not run, keepalived has no drain\n"));
    }
}
