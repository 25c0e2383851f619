//! `[[checks.http]]` of alived.toml, put into the checks that it means.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::check::{CheckAssignment, Checker, CheckerKind, HttpCheck, UrlCheck};
use crate::config::diagnostics::{Diagnostic, Diagnostics};
use crate::config::http_checks::{HttpCheckRule, NamePattern, RulePart, RuleSource};
use crate::config::schema::nearest;
use crate::kernel::ipvs::HostPort;
use crate::lvs::{RealServer, Service, VirtualServer};
use crate::node::BalancerConfig;
use crate::notify::{service_name, target_name};

/// How many names are looked through for one that is near.
const NAMES_MAX: usize = 10_000;

/// Puts the rules into the checks; of those that mean a page, the first one. What is wrong with one is said at its
/// `source`, or not at all where there is none: then it was said before.
pub(super) fn apply(
    balancer: &mut BalancerConfig,
    rules: &[HttpCheckRule],
    source: Option<RuleSource<'_>>,
    diagnostics: &Diagnostics,
) {
    if rules.is_empty() {
        return;
    }
    let reach: Vec<Vec<Vec<bool>>> = rules.iter().map(|rule| reach(balancer, rule)).collect();
    let mut used = BTreeSet::new();
    let mut futile: BTreeMap<usize, &'static str> = BTreeMap::new();
    // Checks that say the same go on sharing one value.
    let mut known: BTreeMap<(usize, Vec<Option<usize>>), Arc<Checker>> = BTreeMap::new();
    for CheckAssignment { server, checker } in &mut balancer.checks {
        let CheckerKind::Http(http) = &checker.kind else { continue };
        let (of, real) = (server.virtual_server as usize, server.real_server as usize);
        let holds = |url: &UrlCheck| {
            let mut rules = rules.iter().zip(&reach);
            rules.position(|(rule, reach)| {
                let reaches = reach.get(of).and_then(|of| of.get(real)).is_some_and(|reaches| *reaches);
                reaches && rule.url.as_ref().is_none_or(|pattern| pattern.matches(&url.path))
            })
        };
        let held: Vec<Option<usize>> = http.urls.iter().map(holds).collect();
        if held.iter().all(Option::is_none) {
            continue;
        }
        for (at, url) in held.iter().zip(&http.urls).filter_map(|(at, url)| Some(((*at)?, url))) {
            used.insert(at);
            if let Some(why) = rules.get(at).and_then(|rule| in_vain(rule, url)) {
                futile.entry(at).or_insert(why);
            }
        }
        let key = (Arc::as_ptr(checker) as usize, held);
        let with_rules = known.entry(key).or_insert_with_key(|(_, held)| {
            let urls = http.urls.iter().zip(held).map(|(url, at)| UrlCheck {
                request: at.and_then(|at| rules.get(at)).map(|rule| Arc::clone(&rule.request)),
                ..url.clone()
            });
            let http = HttpCheck { urls: urls.collect(), ..HttpCheck::clone(http) };
            Arc::new(Checker { timing: checker.timing, kind: CheckerKind::Http(Box::new(http)) })
        });
        *checker = Arc::clone(with_rules);
    }
    let Some(source) = source else { return };
    for (at, rule) in rules.iter().enumerate() {
        let said = match (used.contains(&at), futile.get(&at)) {
            (true, None) => continue,
            (true, Some(why)) => (RulePart::Whole, Diagnostic::warning("request-in-vain", (*why).to_owned())),
            (false, _) => unused(balancer, rule, reach.get(at).map_or(&[], Vec::as_slice)),
        };
        let (part, diagnostic) = said;
        diagnostics.push(match source.place(at, part) {
            Some(place) => diagnostic.at(place),
            None => diagnostic,
        });
    }
}

/// For each virtual server whether a rule means each of its real servers.
fn reach(balancer: &BalancerConfig, rule: &HttpCheckRule) -> Vec<Vec<bool>> {
    let of = |server: &VirtualServer| {
        if rule.virtual_server.as_ref().is_some_and(|pattern| !is_service(pattern, server)) {
            return Vec::new();
        }
        let is_meant = |real: &RealServer| {
            rule.real_server.as_ref().is_none_or(|pattern| is_real(pattern, &server.service, real))
        };
        server.real_servers.iter().map(is_meant).collect()
    };
    balancer.virtual_servers.iter().map(of).collect()
}

fn is_service(pattern: &NamePattern, server: &VirtualServer) -> bool {
    service_names(server).iter().any(|name| pattern.matches(name))
}

fn is_real(pattern: &NamePattern, service: &Service, real: &RealServer) -> bool {
    real_names(service, real).iter().any(|name| pattern.matches(name))
}

/// By what a virtual server may be called: as keepalived.conf writes it, and as `alived status` does.
fn service_names(server: &VirtualServer) -> Vec<String> {
    let mut names = match &server.service {
        Service::Address(target, _) => endpoint_names(*target),
        Service::FirewallMark(mark) => vec![format!("fwmark {}", mark.mark)],
        Service::Group(name, _) => vec![name.to_string(), format!("group {name}")],
    };
    names.push(service_name(&server.service).to_string());
    names.extend(server.snmp_name.as_deref().map(str::to_owned));
    names
}

fn real_names(service: &Service, real: &RealServer) -> Vec<String> {
    let mut names = endpoint_names(real.target);
    names.push(target_name(service, real.target).to_string());
    let label = real.details.as_ref().and_then(|details| details.snmp_name.as_deref());
    names.extend(label.map(str::to_owned));
    names
}

fn endpoint_names(HostPort { address, port }: HostPort) -> Vec<String> {
    let Some(port) = port else { return vec![address.to_string()] };
    let endpoint = core::net::SocketAddr::new(address, port.get());
    vec![endpoint.to_string(), format!("{address} {port}"), address.to_string()]
}

/// Why a rule makes a part of a check futile.
fn in_vain(rule: &HttpCheckRule, url: &UrlCheck) -> Option<&'static str> {
    let looks_inside = url.digest.is_some() || url.regex.is_some();
    if rule.request.grpc_service.is_some() && looks_inside {
        return Some(
            "a digest or regex of keepalived.conf says nothing of a gRPC health check: only SERVING counts",
        );
    }
    if rule.request.method() == "HEAD" && looks_inside {
        return Some(
            "the answer to HEAD has no page, so that a digest or regex of keepalived.conf cannot be met",
        );
    }
    None
}

/// What is wrong with a rule that no check follows.
fn unused(balancer: &BalancerConfig, rule: &HttpCheckRule, reach: &[Vec<bool>]) -> (RulePart, Diagnostic) {
    let unmatched = |part, what: &str, pattern: &NamePattern, names: BTreeSet<String>| {
        let word = pattern.as_str();
        let text = format!("no {what} is called `{word}`: this changes nothing");
        let diagnostic = Diagnostic::warning("unused-request", text);
        let help = match nearest(word, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => match names.first() {
                Some(first) => format!("there is `{first}`, say; a * stands for any characters"),
                None => format!("keepalived.conf has no {what} with an HTTP_GET or SSL_GET here"),
            },
        };
        (part, diagnostic.help(help))
    };
    let servers = || balancer.virtual_servers.iter();
    if let Some(pattern) = &rule.virtual_server
        && !servers().any(|server| is_service(pattern, server))
    {
        let names = servers().take(NAMES_MAX).flat_map(service_names).collect();
        return unmatched(RulePart::VirtualServer, "virtual server", pattern, names);
    }
    if let Some(pattern) = &rule.real_server
        && !reach.iter().flatten().any(|reaches| *reaches)
    {
        let real = servers().zip(reach).filter(|(_, reach)| !reach.is_empty());
        let names = real.flat_map(|(server, _)| {
            server.real_servers.iter().flat_map(|real| real_names(&server.service, real))
        });
        let names = names.take(NAMES_MAX).collect();
        return unmatched(RulePart::RealServer, "real server", pattern, names);
    }
    let reached = balancer.checks.iter().filter(|check| {
        let of = reach.get(check.server.virtual_server as usize);
        of.and_then(|of| of.get(check.server.real_server as usize)) == Some(&true)
    });
    let pages = reached.filter_map(|check| match &check.checker.kind {
        CheckerKind::Http(http) => Some(http),
        _ => None,
    });
    let paths = pages.flat_map(|http| http.urls.iter().map(|url| url.path.to_string()));
    let paths: BTreeSet<String> = paths.take(NAMES_MAX).collect();
    if paths.is_empty() {
        let text =
            "none of the real servers that this means has an HTTP_GET or SSL_GET: this changes nothing";
        let help = "write such a check in keepalived.conf; this says only how it asks";
        return (RulePart::Whole, Diagnostic::warning("unused-request", text).help(help));
    }
    match &rule.url {
        Some(pattern) if !paths.iter().any(|path| pattern.matches(path)) => {
            unmatched(RulePart::Url, "url path", pattern, paths)
        }
        _ => {
            let text =
                "another [[checks.http]] above holds for all checks that this means: this changes nothing";
            let help = "the first one that means a page holds: write those of more checks below";
            (RulePart::Whole, Diagnostic::warning("unused-request", text).help(help))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FakeHost, LoadOptions, Loaded, load, load_settings};

    const CONFIGURATION: &str = "
        virtual_server 192.0.2.1 443 {
            protocol TCP
            real_server 10.0.0.1 443 { SSL_GET { url { path /a } url { path /b digest 0123456789abcdef0123456789abcdef } } }
            real_server 10.0.0.2 443 { SSL_GET { url { path /a } url { path /b digest 0123456789abcdef0123456789abcdef } } }
            real_server 10.0.0.3 443 { TCP_CHECK { } }
        }
        virtual_server fwmark 7 {
            protocol TCP
            real_server 10.0.0.4 80 { HTTP_GET { url { path /a } } }
        }
        virtual_server 2001:db8::1 80 {
            protocol TCP
            real_server 2001:db8::2 80 { HTTP_GET { url { path /a } } }
        }";

    fn loaded(rules: &str) -> Loaded {
        let host = FakeHost::with_file("/alived.toml", rules);
        let own = load_settings(&host, None, "/k.conf").unwrap();
        let lines = CONFIGURATION.replace(" { ", " {\n").replace(" } ", "\n}\n").replace(" }", "\n}\n");
        let lines = lines.replace("digest", "\ndigest");
        let host = FakeHost::with_file("/k.conf", lines);
        load(&host, "/k.conf", &LoadOptions { own, ..LoadOptions::default() })
    }

    /// The method of each page, in the order of the file.
    fn methods(loaded: &Loaded) -> Vec<&str> {
        let pages = loaded.balancer.checks.iter().filter_map(|check| match &check.checker.kind {
            CheckerKind::Http(http) => Some(&http.urls),
            _ => None,
        });
        pages.flatten().map(|url| url.request.as_ref().map_or("-", |request| request.method())).collect()
    }

    fn remarks(loaded: &Loaded) -> Vec<String> {
        let of_settings = loaded.log_lines().map(|(_, line)| line);
        of_settings.filter(|line| line.starts_with("/alived.toml")).collect()
    }

    #[test]
    fn each_page_follows_the_first_rule_that_means_it() {
        for (rules, expected) in [
            ("method = 'A'", ["A", "A", "A", "A", "A", "A"]),
            ("url = '/a'\nmethod = 'A'", ["A", "-", "A", "-", "A", "A"]),
            ("virtual-server = '192.0.2.1:443'\nmethod = 'A'", ["A", "A", "A", "A", "-", "-"]),
            (
                "virtual-server = '[192.0.2.1]:tcp:443'\nurl = '/b'\nmethod = 'A'",
                ["-", "A", "-", "A", "-", "-"],
            ),
            ("virtual-server = 'fwmark 7'\nmethod = 'A'", ["-", "-", "-", "-", "A", "-"]),
            ("virtual-server = '[2001:db8::1]:80'\nmethod = 'A'", ["-", "-", "-", "-", "-", "A"]),
            (
                "real-server = '10.0.0.2'\nmethod = 'A'\n[[checks.http]]\nmethod = 'B'",
                ["B", "B", "A", "A", "B", "B"],
            ),
            ("real-server = '10.0.0.*:443'\nurl = '/b'\nmethod = 'A'", ["-", "A", "-", "A", "-", "-"]),
        ] {
            let loaded = loaded(&format!("[[checks.http]]\n{rules}\n"));
            assert_eq!(methods(&loaded), expected, "{rules}");
            assert_eq!(remarks(&loaded), [""; 0], "{rules}");
        }
        // Equal checks are still one value, for one probe.
        let checks = loaded("[[checks.http]]\nmethod = 'A'").balancer.checks;
        assert!(Arc::ptr_eq(&checks[0].checker, &checks[1].checker));
    }

    #[test]
    fn what_means_nothing_is_told_with_its_place() {
        for (rules, place, words) in [
            ("virtual-server = '192.0.2.1:80'", "2:18: ", "no virtual server is called `192.0.2.1:80`"),
            ("virtual-server = '192.0.2.2:443'", "2:18: ", "did you mean `192.0.2.1:443`?"),
            ("real-server = '10.0.0.9'", "2:15: ", "no real server is called `10.0.0.9`"),
            ("real-server = '10.0.0.3'", "1:1: ", "has an HTTP_GET or SSL_GET"),
            ("url = '/c'", "2:7: ", "no url path is called `/c`"),
        ] {
            let loaded = loaded(&format!("[[checks.http]]\n{rules}\nmethod = 'A'\n"));
            let remarks = remarks(&loaded);
            assert_eq!((remarks.len(), loaded.usable), (1, true), "{remarks:?}");
            let said = &remarks[0];
            let place = format!("/alived.toml:{place}warning[unused-request]");
            assert!(said.starts_with(&place) && said.contains(words), "{said}");
        }
        let second = loaded("[[checks.http]]\nmethod = 'A'\n[[checks.http]]\nmethod = 'B'\n");
        assert!(remarks(&second)[0].starts_with("/alived.toml:3:1: "), "{:?}", remarks(&second));
        for vain in ["grpc-service = ''", "method = 'HEAD'"] {
            let loaded = loaded(&format!("[[checks.http]]\n{vain}\n"));
            assert!(remarks(&loaded)[0].contains("digest or regex"), "{:?}", remarks(&loaded));
            let loaded = self::loaded(&format!("[[checks.http]]\nurl = '/a'\n{vain}\n"));
            assert_eq!(remarks(&loaded), [""; 0]);
        }
    }
}
