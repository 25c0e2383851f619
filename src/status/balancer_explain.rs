//! Why a virtual server serves what it serves: in sentences.

use super::balancer::{RealServerStatus, StateChange, VirtualServerStatus};
use super::explain::Explanation;
use super::report::span;

/// Explains a virtual server. `now_unix_us` is the reader's wall clock.
pub(crate) fn explain(server: &VirtualServerStatus, now_unix_us: u64) -> Explanation {
    let mut explanation = Explanation::default();
    explanation.because.push(headline(server));
    explanation.because.push(quorum(server, now_unix_us));
    if server.suspended {
        explanation.because.push(
            "Its checks rest, because its address is not on this host (ha_suspend): what they found last holds."
                .to_owned(),
        );
    }
    for real in &server.real_servers {
        explanation.because.push(real_server(server, real, now_unix_us));
    }
    for leaving in &server.leaving {
        let limit = span(leaving.limit_unix_us.saturating_sub(now_unix_us));
        explanation.because.push(format!(
            "{} is not in the configuration any more and gets no new connections: {} are waited for, for at most another \
             {limit}.",
            leaving.name, leaving.connections
        ));
    }
    changes(&mut explanation, server);
    explanation
}

/// Whether new connections reach a real server.
const fn serves(real: &RealServerStatus) -> bool {
    real.up && real.in_table && real.weight > 0
}

fn headline(server: &VirtualServerStatus) -> String {
    let VirtualServerStatus { name, real_servers, .. } = server;
    let all = real_servers.len();
    match (&server.sorry_server, real_servers.iter().filter(|real| serves(real)).count()) {
        (Some(sorry), _) if server.sorry => format!("{name} serves by its sorry server {sorry} alone."),
        (_, 0) => format!("{name} serves nobody: none of its {all} real servers gets new connections."),
        (_, count) => format!("{name} serves by {count} of its {all} real servers."),
    }
}

/// ` for 5s, because: connection refused`, as far as it is known.
fn since(changed: Option<&StateChange>, now_unix_us: u64) -> String {
    changed.map_or_else(String::new, |StateChange { since_unix_us, cause }| {
        let time = span(now_unix_us.saturating_sub(*since_unix_us));
        let cause = if cause.is_empty() { String::new() } else { format!(", because: {cause}") };
        format!(" for {time}{cause}")
    })
}

fn quorum(server: &VirtualServerStatus, now_unix_us: u64) -> String {
    let live: Vec<String> = server
        .real_servers
        .iter()
        .filter(|real| real.up)
        .map(|real| format!("{} of {}", real.weight, real.name))
        .collect();
    let sum = if live.is_empty() { String::new() } else { format!(" ({})", live.join(" + ")) };
    let VirtualServerStatus { live_weight, needed_weight, hysteresis, .. } = server;
    let since = since(server.changed.as_ref(), now_unix_us);
    let parts = |word: &str| match (server.quorum, hysteresis) {
        (0, _) => String::new(),
        (quorum, 0) => format!(" (quorum {quorum})"),
        (quorum, hysteresis) => format!(" (quorum {quorum} {word} hysteresis {hysteresis})"),
    };
    if server.up {
        format!(
            "It has its quorum{since}. The live weight is {live_weight}{sum}; at least {needed_weight} keeps it{}.",
            parts("less")
        )
    } else {
        let rest = match &server.sorry_server {
            Some(_) => "",
            None => " It has no sorry server, so that what lives serves all the same.",
        };
        format!(
            "It lacks its quorum{since}. The live weight is {live_weight}{sum}; at least {needed_weight} gains it{}.{rest}",
            parts("plus")
        )
    }
}

/// `5 (configured 1 + 4 MISC_CHECK)`.
fn weight(real: &RealServerStatus) -> String {
    let mut text = real.weight.to_string();
    let parts = &real.weight_parts;
    if parts.len() > 1 || parts.iter().any(|part| part.what != "configured") {
        let mut words = String::new();
        for (at, part) in parts.iter().enumerate() {
            words += &match at {
                0 => format!("{} {}", part.what, part.weight),
                _ => {
                    let sign = if part.weight < 0 { '-' } else { '+' };
                    format!(" {sign} {} {}", part.weight.unsigned_abs(), part.what)
                }
            };
        }
        text += &format!(" ({words})");
    }
    text
}

fn real_server(server: &VirtualServerStatus, real: &RealServerStatus, now_unix_us: u64) -> String {
    let name = &real.name;
    if !real.up {
        let stays =
            if real.inhibits { " It stays in the table with weight 0 (inhibit_on_failure)." } else { "" };
        let since = since(real.changed.as_ref(), now_unix_us);
        return format!("{name} is out{since}{}.{stays}", failed(real, now_unix_us));
    }
    if let Some(order) = &real.order {
        return format!("{name} is up: {}.", order.text(now_unix_us));
    }
    if server.sorry {
        return format!(
            "{name} is up, weight {}, and out, because the sorry server stands in for all.",
            weight(real)
        );
    }
    match (real.in_table, real.weight) {
        (false, _) => format!(
            "{name} is up, and the kernel's table lacks it: it is about to be written, another virtual server has the \
             service, or the kernel refuses it (see the log)."
        ),
        (true, 0) => {
            format!("{name} is up and gets no new connections, its weight is {}.", weight(real))
        }
        (true, _) => format!("{name} is in, weight {}.", weight(real)),
    }
}

/// The checks that keep a real server out.
fn failed(real: &RealServerStatus, now_unix_us: u64) -> String {
    let checks = real.checks.iter().filter(|check| check.up != Some(true));
    let words = checks.map(|check| match &check.last {
        None => format!("{} has no result yet", check.kind),
        Some(last) => {
            let ago = span(now_unix_us.saturating_sub(last.at_unix_us));
            format!("{} found {ago} ago: {}", check.kind, last.reason)
        }
    });
    words.map(|words| format!("; {words}")).collect()
}

fn changes(explanation: &mut Explanation, server: &VirtualServerStatus) {
    let texts = &mut explanation.changes_if;
    let needed = server.needed_weight;
    let sorry = server.sorry_server.as_deref();
    texts.push(match (server.up, sorry) {
        (true, Some(sorry)) => {
            format!("With less than {needed} of live weight it loses its quorum, and {sorry} stands in.")
        }
        (true, None) => format!("With less than {needed} of live weight it loses its quorum."),
        (false, Some(sorry)) => format!("With {needed} of live weight {sorry} goes, and what lives serves."),
        (false, None) => format!("With {needed} of live weight it gains its quorum."),
    });
    for real in server.real_servers.iter().filter(|real| !real.up) {
        let checks = real.checks.iter().filter(|check| check.up != Some(true));
        let kinds: Vec<&str> = checks.map(|check| &*check.kind).collect();
        texts.push(format!("{} comes back when {} succeeds.", real.name, kinds.join(" and ")));
    }
    for real in server.real_servers.iter().filter(|real| real.order.is_some()) {
        texts.push(format!("`alived restore {}` has it serve as configured.", real.name));
    }
}

#[cfg(test)]
mod tests {
    use super::super::balancer::{CheckReport, LastTry, WeightPart};
    use super::super::sample;
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn part(what: &str, weight: i64) -> WeightPart {
        WeightPart { what: what.to_owned(), weight }
    }

    /// Three real servers: in, dead, and without weight.
    fn server() -> VirtualServerStatus {
        let mut server = sample::balancer().virtual_servers.remove(0);
        let real = server.real_servers.remove(0);
        let named = |name: &str| RealServerStatus { name: name.to_owned(), ..real.clone() };
        let (mut first, mut dead, mut idle) = (named("A"), named("B"), named("C"));
        (first.weight, first.weight_parts) = (5, vec![part("configured", 1), part("MISC_CHECK", 4)]);
        dead.up = false;
        dead.in_table = false;
        let change =
            |at: u64, cause: &str| StateChange { since_unix_us: at * SECOND, cause: cause.to_owned() };
        dead.changed = Some(change(90, "connection refused"));
        let last = LastTry {
            at_unix_us: 97 * SECOND,
            good: false,
            reason: "connection refused".to_owned(),
            latency_us: 1,
            certificate_expires_unix_us: None,
        };
        let check = |up, last| CheckReport { kind: "TCP_CHECK".to_owned(), up, suspended: false, last };
        dead.checks = vec![check(Some(false), Some(last)), check(Some(true), None)];
        (idle.weight, idle.weight_parts) = (0, vec![part("configured", 3), part("FILE_CHECK", -3)]);
        server.real_servers = vec![first, dead, idle];
        (server.quorum, server.hysteresis) = (3, 1);
        (server.live_weight, server.needed_weight) = (5, 2);
        server
    }

    #[test]
    fn who_serves_and_who_does_not_is_explained() {
        let server = server();
        let explanation = explain(&server, 100 * SECOND);
        assert_eq!(
            explanation.because,
            [
                "[192.0.2.1]:tcp:80 serves by 1 of its 3 real servers.",
                "It has its quorum. The live weight is 5 (5 of A + 0 of C); at least 2 keeps it (quorum 3 less hysteresis \
                 1).",
                "A is in, weight 5 (configured 1 + 4 MISC_CHECK).",
                &format!(
                    "B is out for {}, because: connection refused; TCP_CHECK found {} ago: connection refused.",
                    span(10 * SECOND),
                    span(3 * SECOND)
                ),
                "C is up and gets no new connections, its weight is 0 (configured 3 - 3 FILE_CHECK).",
            ]
        );
        assert_eq!(
            explanation.changes_if,
            ["With less than 2 of live weight it loses its quorum.", "B comes back when TCP_CHECK succeeds.",]
        );
    }

    #[test]
    fn a_sorry_server_that_stands_in_is_explained() {
        let mut server = server();
        server.sorry_server = Some("S".to_owned());
        (server.up, server.sorry) = (false, true);
        (server.live_weight, server.needed_weight) = (1, 4);
        server.real_servers.truncate(1);
        (server.real_servers[0].weight, server.real_servers[0].weight_parts) =
            (1, vec![part("configured", 1)]);
        let explanation = explain(&server, 100 * SECOND);
        assert_eq!(
            explanation.because,
            [
                "[192.0.2.1]:tcp:80 serves by its sorry server S alone.",
                "It lacks its quorum. The live weight is 1 (1 of A); at least 4 gains it (quorum 3 plus hysteresis 1).",
                "A is up, weight 1, and out, because the sorry server stands in for all.",
            ]
        );
        assert_eq!(explanation.changes_if, ["With 4 of live weight S goes, and what lives serves."]);
    }
}
