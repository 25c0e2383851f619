//! Whether the firewall of this network namespace lets VRRP (IP protocol 112) in and out, by its rules as `nft` and
//! `iptables-save` print them. Rules that it cannot tell about are said to be so.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Finding, Level, Subject};

/// VRRP.
const PROTOCOL: u64 = 112;

/// Jumps within jumps that are followed.
const DEPTH_MAX: usize = 16;

/// What the firewalls do to the advertisements of these virtual routers.
pub(super) fn findings(subjects: &[Subject]) -> Vec<Finding> {
    let mut found = Vec::new();
    let interfaces: Vec<&String> = subjects.iter().flat_map(|subject| &subject.interfaces).collect();
    if interfaces.is_empty() {
        return found;
    }
    if let Some(ruleset) = output("nft", &["-j", "list", "ruleset"])
        && let Ok(ruleset) = serde_json::from_str::<Value>(&ruleset)
    {
        found.extend(Ruleset::of_nft(&ruleset).findings(&interfaces));
    }
    // Empty where only nftables is used.
    for (program, command) in
        [("iptables-legacy-save", "iptables-legacy"), ("ip6tables-legacy-save", "ip6tables-legacy")]
    {
        if let Some(text) = output(program, &["-t", "filter"]) {
            found.extend(Ruleset::of_iptables(&text, command).findings(&interfaces));
        }
    }
    found
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    // Where administrators' programs are, whatever the path of who asks.
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    let output = command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a rule is for a packet of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Match {
    Yes,
    /// It depends on what is not looked at.
    Perhaps,
    No,
}

/// What a rule does with it.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Verdict {
    Accept,
    Drop,
    Jump(String),
    Return,
    /// It counts, logs, marks.
    GoOn,
}

#[derive(Clone, Debug)]
struct Rule {
    /// Of the packet: `None` = whatever.
    interface: Option<(Way, String)>,
    matches: Match,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    In,
    Out,
}

/// A chain; those with a hook begin.
#[derive(Clone, Debug, Default)]
struct Chain {
    hook: Option<Way>,
    drops: bool,
    rules: Vec<Rule>,
}

/// What rules on the way may do that depend on what is not looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Doubts {
    may_drop: bool,
    may_pass: bool,
}

/// All chains by the names of their tables and their own.
#[derive(Clone, Debug, Default)]
struct Ruleset {
    chains: BTreeMap<(String, String), Chain>,
    /// The program that changes it.
    iptables: Option<&'static str>,
}

/// What becomes of an advertisement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Passes,
    MayBeDropped,
    Dropped,
}

impl Ruleset {
    fn findings(&self, interfaces: &[&String]) -> Vec<Finding> {
        let mut found = Vec::new();
        for ((table, name), chain) in &self.chains {
            let Some(way) = chain.hook else { continue };
            for interface in interfaces {
                let (level, word) = match self.fate(table, chain, way, interface) {
                    Fate::Passes => continue,
                    Fate::MayBeDropped => (Level::Hint, "may drop"),
                    Fate::Dropped => (Level::Error, "drops"),
                };
                let (side, key) = match way {
                    Way::In => ("received", "iifname"),
                    Way::Out => ("sent", "oifname"),
                };
                let text = format!(
                    "chain {name} of table {table} {word} advertisements (IP protocol 112) {side} by {interface}"
                );
                let flag = if way == Way::In { "-i" } else { "-o" };
                let mend = match self.iptables {
                    Some(program) => format!("{program} -I {name} {flag} {interface} -p 112 -j ACCEPT"),
                    None => {
                        format!("nft insert rule {table} {name} {key} {interface} meta l4proto 112 accept")
                    }
                };
                found.push(Finding::new(level, "firewall", text, mend));
            }
        }
        found
    }

    /// What a base chain does.
    fn fate(&self, table: &str, chain: &Chain, way: Way, interface: &str) -> Fate {
        let mut doubts = Doubts::default();
        let end = self.walk(table, chain, (way, interface), &mut doubts, 0);
        match end.unwrap_or(if chain.drops { Verdict::Drop } else { Verdict::Accept }) {
            Verdict::Drop if !doubts.may_pass => Fate::Dropped,
            Verdict::Drop => Fate::MayBeDropped,
            _ if doubts.may_drop => Fate::MayBeDropped,
            _ => Fate::Passes,
        }
    }

    /// The verdict on the way, if there is one.
    fn walk(
        &self,
        table: &str,
        chain: &Chain,
        packet: (Way, &str),
        doubts: &mut Doubts,
        depth: usize,
    ) -> Option<Verdict> {
        for rule in &chain.rules {
            let elsewhere = rule
                .interface
                .as_ref()
                .is_some_and(|(way, name)| *way != packet.0 || !is_named(name, packet.1));
            if elsewhere || rule.matches == Match::No {
                continue;
            }
            let verdict = match &rule.verdict {
                Verdict::GoOn => continue,
                Verdict::Jump(name) => {
                    let target = self.chains.get(&(table.to_owned(), name.clone()));
                    match target.filter(|_| depth < DEPTH_MAX) {
                        Some(target) => self.walk(table, target, packet, doubts, depth + 1),
                        None => None,
                    }
                }
                Verdict::Return if rule.matches == Match::Yes => return None,
                verdict => Some(verdict.clone()),
            };
            match (verdict, rule.matches) {
                (Some(verdict @ (Verdict::Accept | Verdict::Drop)), Match::Yes) => return Some(verdict),
                (Some(Verdict::Drop), _) => doubts.may_drop = true,
                (Some(Verdict::Accept), _) => doubts.may_pass = true,
                _ => {}
            }
        }
        None
    }

    /// `nft -j list ruleset`.
    fn of_nft(ruleset: &Value) -> Self {
        let mut chains: BTreeMap<(String, String), Chain> = BTreeMap::new();
        let text = |object: &Value, key: &str| object[key].as_str().unwrap_or_default().to_owned();
        let key = |object: &Value, chain: &str| {
            (format!("{} {}", text(object, "family"), text(object, "table")), text(object, chain))
        };
        for object in ruleset["nftables"].as_array().into_iter().flatten() {
            let of_daemon = |kind: &str| text(&object[kind], "table").contains("alived");
            if of_daemon("chain") || of_daemon("rule") {
                // Ours, or keepalived's: they are for the virtual addresses.
                continue;
            }
            if let Some(chain) = object.get("chain") {
                let hook = match chain["hook"].as_str() {
                    Some("input") => Some(Way::In),
                    Some("output") => Some(Way::Out),
                    _ => None,
                };
                let drops = chain["policy"] == "drop";
                chains.insert(key(chain, "name"), Chain { hook, drops, rules: Vec::new() });
            } else if let Some(rule) = object.get("rule") {
                let expressions = rule["expr"].as_array().map_or(&[][..], Vec::as_slice);
                chains.entry(key(rule, "chain")).or_default().rules.push(nft_rule(expressions));
            }
        }
        Self { chains, iptables: None }
    }

    /// `iptables-save -t filter`.
    fn of_iptables(text: &str, program: &'static str) -> Self {
        let mut chains: BTreeMap<(String, String), Chain> = BTreeMap::new();
        let key = |name: &str| ("filter".to_owned(), name.to_owned());
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [first, policy, ..] if first.starts_with(':') => {
                    let name = &first[1..];
                    let hook = match name {
                        "INPUT" => Some(Way::In),
                        "OUTPUT" => Some(Way::Out),
                        _ => None,
                    };
                    chains.insert(key(name), Chain { hook, drops: *policy == "DROP", rules: Vec::new() });
                }
                ["-A", name, rest @ ..] => {
                    chains.entry(key(name)).or_default().rules.push(iptables_rule(rest));
                }
                _ => {}
            }
        }
        Self { chains, iptables: Some(program) }
    }
}

/// Whether a pattern of a rule, with a `*` or `+` at its end perhaps, names the interface.
fn is_named(pattern: &str, interface: &str) -> bool {
    match pattern.strip_suffix(['*', '+']) {
        Some(prefix) => interface.starts_with(prefix),
        None => pattern == interface,
    }
}

fn nft_rule(expressions: &[Value]) -> Rule {
    let mut rule = Rule { interface: None, matches: Match::Yes, verdict: Verdict::GoOn };
    for expression in expressions {
        let Some((word, argument)) = expression.as_object().and_then(|object| object.iter().next()) else {
            continue;
        };
        match word.as_str() {
            "match" => nft_match(argument, &mut rule),
            "accept" => rule.verdict = Verdict::Accept,
            "drop" | "reject" => rule.verdict = Verdict::Drop,
            "return" => rule.verdict = Verdict::Return,
            "jump" | "goto" => {
                rule.verdict = Verdict::Jump(argument["target"].as_str().unwrap_or_default().to_owned());
            }
            "counter" | "log" | "mangle" | "comment" => {}
            // A verdict map, a limit, a set, an extension of iptables.
            _ => weaken(&mut rule, Match::Perhaps),
        }
    }
    rule
}

fn nft_match(argument: &Value, rule: &mut Rule) {
    let (left, right) = (&argument["left"], &argument["right"]);
    let equal = matches!(argument["op"].as_str(), Some("==" | "in"));
    let field = left["payload"]["field"].as_str().or_else(|| left["meta"]["key"].as_str());
    match field {
        Some("protocol" | "nexthdr" | "l4proto") => {
            let named = any(right, &|value| value.as_u64() == Some(PROTOCOL) || value == "vrrp");
            weaken(rule, if named == equal { Match::Yes } else { Match::No });
        }
        Some(key @ ("iifname" | "iif" | "oifname" | "oif")) if equal && right.is_string() => {
            let way = if key.starts_with('i') { Way::In } else { Way::Out };
            rule.interface = Some((way, right.as_str().unwrap_or_default().to_owned()));
        }
        _ if left["ct"]["key"] == "state" => {
            // The first advertisement of a router is new, and nothing is related to it.
            let new = any(right, &|value| value == "new" || value == "untracked");
            let invalid = any(right, &|value| value == "invalid");
            weaken(
                rule,
                if new {
                    Match::Perhaps
                } else if invalid || equal {
                    Match::No
                } else {
                    Match::Perhaps
                },
            );
        }
        // A port: of TCP or UDP.
        Some("dport" | "sport") => weaken(rule, Match::No),
        _ => weaken(rule, Match::Perhaps),
    }
}

/// Whether a value, or one of those in a set, is such.
fn any(value: &Value, is: &dyn Fn(&Value) -> bool) -> bool {
    match value {
        Value::Array(values) => values.iter().any(|value| any(value, is)),
        Value::Object(object) => object.get("set").is_some_and(|set| any(set, is)),
        value => is(value),
    }
}

fn weaken(rule: &mut Rule, to: Match) {
    rule.matches = match (rule.matches, to) {
        (Match::No, _) | (_, Match::No) => Match::No,
        (Match::Perhaps, _) | (_, Match::Perhaps) => Match::Perhaps,
        (Match::Yes, Match::Yes) => Match::Yes,
    };
}

fn iptables_rule(words: &[&str]) -> Rule {
    let mut rule = Rule { interface: None, matches: Match::Yes, verdict: Verdict::GoOn };
    let mut words = words.iter().copied().peekable();
    let mut inverted = false;
    while let Some(word) = words.next() {
        let argument = words.peek().copied().unwrap_or_default();
        match word {
            "!" => {
                inverted = true;
                continue;
            }
            "-p" => {
                let named = matches!(argument, "112" | "vrrp" | "all");
                weaken(&mut rule, if named != inverted { Match::Yes } else { Match::No });
            }
            "-i" | "-o" if !inverted => {
                let way = if word == "-i" { Way::In } else { Way::Out };
                rule.interface = Some((way, argument.to_owned()));
            }
            "-j" | "-g" => {
                rule.verdict = match argument {
                    "ACCEPT" => Verdict::Accept,
                    "DROP" | "REJECT" => Verdict::Drop,
                    "RETURN" => Verdict::Return,
                    "LOG" | "MARK" | "NFLOG" | "CT" => Verdict::GoOn,
                    chain => Verdict::Jump(chain.to_owned()),
                };
            }
            "--ctstate" | "--state" => {
                let new = argument.split(',').any(|state| matches!(state, "NEW" | "UNTRACKED"));
                weaken(&mut rule, if new != inverted { Match::Perhaps } else { Match::No });
            }
            // Named before what they match, which says it.
            "-m" if matches!(argument, "conntrack" | "state" | "comment") => {}
            "--comment" | "--reject-with" | "--log-prefix" | "--log-level" => {}
            word if word.starts_with('-') => weaken(&mut rule, Match::Perhaps),
            _ => continue,
        }
        inverted = false;
        words.next();
    }
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(ruleset: &Ruleset) -> Vec<(Level, String)> {
        let lan = "lan0".to_owned();
        ruleset.findings(&[&lan]).into_iter().map(|finding| (finding.level, finding.mend)).collect()
    }

    fn iptables(rules: &str) -> Vec<Level> {
        let ruleset = Ruleset::of_iptables(rules, "iptables-legacy");
        fates(&ruleset).into_iter().map(|(level, _)| level).collect()
    }

    #[test]
    fn rules_of_iptables_are_followed() {
        for (rules, expected) in [
            (":INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n", &[][..]),
            (":INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n", &[Level::Error]),
            (":INPUT DROP [0:0]\n-A INPUT -p vrrp -j ACCEPT\n", &[]),
            (":INPUT DROP [0:0]\n-A INPUT ! -p 112 -j ACCEPT\n", &[Level::Error]),
            (":INPUT DROP [0:0]\n-A INPUT -i lan0 -j ACCEPT\n", &[]),
            (":INPUT DROP [0:0]\n-A INPUT -i wan0 -j ACCEPT\n", &[Level::Error]),
            (":INPUT DROP [0:0]\n-A INPUT -i lan+ -j ACCEPT\n", &[]),
            (
                ":INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n",
                &[Level::Error],
            ),
            (
                ":INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n-A INPUT -j REJECT\n",
                &[Level::Error],
            ),
            (":INPUT ACCEPT [0:0]\n-A INPUT -s 10.0.0.1/32 -p 112 -j DROP\n", &[Level::Hint]),
            (":INPUT DROP [0:0]\n-A INPUT -d 224.0.0.18/32 -j ACCEPT\n", &[Level::Hint]),
            (
                ":INPUT ACCEPT [0:0]\n:A - [0:0]\n-A INPUT -j A\n-A A -p 112 -m comment --comment \"no\" -j DROP\n",
                &[Level::Error],
            ),
            (":INPUT ACCEPT [0:0]\n:A - [0:0]\n-A INPUT -j A\n-A A -j RETURN\n-A A -j DROP\n", &[]),
            (":INPUT DROP [0:0]\n:A - [0:0]\n-A INPUT -j A\n-A A -j A\n", &[Level::Error]),
            (":OUTPUT ACCEPT [0:0]\n-A OUTPUT -o lan0 -p 112 -j DROP\n", &[Level::Error]),
        ] {
            assert_eq!(iptables(rules), expected, "{rules}");
        }
    }

    #[test]
    fn rules_of_nftables_are_followed() {
        let chain = |name: &str, hook: Option<&str>, policy: &str| {
            let chain = match hook {
                Some(hook) => {
                    serde_json::json!({ "family": "inet", "table": "f", "name": name, "hook": hook, "policy": policy })
                }
                None => serde_json::json!({ "family": "inet", "table": "f", "name": name }),
            };
            serde_json::json!({ "chain": chain })
        };
        let rule = |chain: &str, expressions: Value| serde_json::json!({ "rule": { "family": "inet", "table": "f", "chain": chain, "expr": expressions } });
        let is = |left: Value, right: Value| serde_json::json!({ "match": { "op": "==", "left": left, "right": right } });
        let protocol = || serde_json::json!({ "meta": { "key": "l4proto" } });
        let accept = || serde_json::json!({ "accept": null });
        let dropped = || serde_json::json!({ "drop": null });
        let look = |objects: Vec<Value>| fates(&Ruleset::of_nft(&serde_json::json!({ "nftables": objects })));
        let input = || chain("in", Some("input"), "drop");

        let mend = "nft insert rule inet f in iifname lan0 meta l4proto 112 accept".to_owned();
        assert_eq!(look(vec![input()]), [(Level::Error, mend)]);
        let named = rule("in", serde_json::json!([is(protocol(), 112.into()), { "counter": {} }, accept()]));
        assert_eq!(look(vec![input(), named]), []);
        let set = serde_json::json!({ "set": ["tcp", "vrrp"] });
        assert_eq!(look(vec![input(), rule("in", serde_json::json!([is(protocol(), set), accept()]))]), []);
        let other = rule("in", serde_json::json!([is(protocol(), "icmp".into()), accept()]));
        assert_eq!(look(vec![input(), other]).len(), 1);
        let state = serde_json::json!({ "ct": { "key": "state" } });
        let known = rule(
            "in",
            serde_json::json!([is(state, serde_json::json!(["established", "related"])), accept()]),
        );
        assert_eq!(look(vec![input(), known]).len(), 1);
        let jump = rule("in", serde_json::json!([{ "jump": { "target": "more" } }]));
        let more = rule(
            "more",
            serde_json::json!([
                is(serde_json::json!({ "meta": { "key": "iifname" } }), "lan0".into()),
                accept()
            ]),
        );
        assert_eq!(look(vec![input(), chain("more", None, ""), jump, more]), []);
        let address = serde_json::json!({ "payload": { "protocol": "ip", "field": "daddr" } });
        let some = rule("out", serde_json::json!([is(address, "224.0.0.18".into()), dropped()]));
        assert_eq!(look(vec![chain("out", Some("output"), "accept"), some])[0].0, Level::Hint);
    }
}
