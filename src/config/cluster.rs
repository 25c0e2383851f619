//! Several configurations judged as one cluster: routers that should meet must agree.

mod priorities;

use core::fmt::Write as _;
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Loaded;
use super::diagnostics::Severity;
use super::model::VrrpInstance;
use super::values::AuthKey;
use crate::net::Family;
use crate::node::NodeConfig;
use crate::secret::Secret;
use crate::vrrp::{AntiReplay, RouterConfig};
use crate::wire::vrrp::Version;

/// Something to say about routers that should meet.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ClusterFinding {
    /// `error`, `warning` or `hint`.
    #[serde(serialize_with = "severity_word")]
    pub severity: Severity,
    /// Virtual router identifier; `None` when the file does not say it.
    pub vrid: Option<u8>,
    /// `IPv4` or `IPv6`; `None` when the file does not say it.
    pub family: Option<String>,
    /// A stable name of the kind of finding.
    pub code: &'static str,
    /// What it is.
    pub message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn severity_word<S: serde::Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(severity.word())
}

impl core::fmt::Display for ClusterFinding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}[{}]: ", self.severity.word(), self.code)?;
        match (self.vrid, &self.family) {
            (Some(vrid), Some(family)) => write!(f, "VRID {vrid} ({family}): ")?,
            (Some(vrid), None) => write!(f, "VRID {vrid}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.message)
    }
}

/// One router of the cluster.
struct Member<'a> {
    file: &'a str,
    node: &'a NodeConfig,
    router: &'a RouterConfig,
    instance: &'a VrrpInstance,
}

/// Judges the files as one cluster. Routers of the same VRID and family in different files should meet.
pub fn lint(files: &[(&str, &Loaded)]) -> Vec<ClusterFinding> {
    let mut groups: BTreeMap<(u8, Family), Vec<Member<'_>>> = BTreeMap::new();
    let mut findings = Vec::new();
    // What a file with errors lacks cannot be told apart from what is not in it.
    let faulty: Vec<&str> = files
        .iter()
        .filter(|(_, loaded)| loaded.gravest >= Some(Severity::Error))
        .map(|(file, _)| *file)
        .collect();
    for (file, loaded) in files {
        let mut instances: BTreeMap<&str, &VrrpInstance> = BTreeMap::new();
        for instance in &loaded.config.instances {
            // The first of a name counts.
            instances.entry(&instance.header.value.0).or_insert(instance);
        }
        for router in &loaded.node.routers {
            let Some(instance) = instances.remove(&*router.name) else { continue };
            let key = (router.vrid.get(), router.family);
            groups.entry(key).or_default().push(Member { file, node: &loaded.node, router, instance });
        }
        findings.extend(instances.into_iter().map(|(name, instance)| ClusterFinding {
            severity: Severity::Warning,
            vrid: instance.virtual_router_id.as_ref().and_then(|entry| u8::try_from(entry.value.0).ok()),
            family: None,
            code: "not-compared",
            message: format!("{file}: `{name}` has errors and is not compared: correct them first"),
        }));
        if !loaded.usable && loaded.config.instances.is_empty() {
            findings.push(ClusterFinding {
                severity: Severity::Warning,
                vrid: None,
                family: None,
                code: "not-compared",
                message: format!("{file} has errors and no virtual router that could be compared"),
            });
        }
    }
    for ((vrid, family), members) in &groups {
        let mut group =
            Group { vrid: *vrid, family: *family, members, faulty: &faulty, findings: &mut findings };
        group.lint(files.len());
    }
    findings
}

struct Group<'a> {
    vrid: u8,
    family: Family,
    members: &'a [Member<'a>],
    /// Files with errors.
    faulty: &'a [&'a str],
    findings: &'a mut Vec<ClusterFinding>,
}

impl Group<'_> {
    fn say(&mut self, severity: Severity, code: &'static str, message: String) {
        let (vrid, family) = (Some(self.vrid), Some(self.family.to_string()));
        self.findings.push(ClusterFinding { severity, vrid, family, code, message });
    }

    /// The members by what `view` sees in them, in words.
    fn by<T: Ord>(&self, view: impl Fn(&Member<'_>) -> T) -> BTreeMap<T, Vec<&str>> {
        let mut map: BTreeMap<T, Vec<&str>> = BTreeMap::new();
        for member in self.members {
            map.entry(view(member)).or_default().push(member.file);
        }
        map
    }

    fn lint(&mut self, files: usize) {
        let distinct: BTreeSet<&str> = self.members.iter().map(|member| member.file).collect();
        if distinct.len() == 1 && files > 1 {
            let file = distinct.first().copied().unwrap_or("");
            let others: Vec<&str> = self.faulty.iter().copied().filter(|other| *other != file).collect();
            let unless = match others.as_slice() {
                [] => String::new(),
                others => format!(", unless the errors in {} hide it", others.join(", ")),
            };
            let message = format!("only {file} has it: nobody takes over from it{unless}");
            self.say(Severity::Warning, "alone", message);
            return;
        }
        self.differing(
            "version",
            Severity::Error,
            |member| member.router.version.number(),
            "run different versions and drop each other's advertisements: both become master",
        );
        let second = self.members.iter().any(|member| member.router.version == Version::V2);
        if second {
            self.differing(
                "interval",
                Severity::Error,
                |member| member.router.interval.to_string(),
                "have different advert_int, which version 2 does not allow: both become master",
            );
        } else {
            self.differing(
                "interval",
                Severity::Warning,
                |member| member.router.interval.to_string(),
                "have different advert_int: backups follow the master's, so fail-over takes as long as the master says",
            );
        }
        self.differing(
            "addresses",
            Severity::Error,
            |member| {
                let addresses: BTreeSet<String> = member
                    .router
                    .addresses
                    .iter()
                    .map(|address| address.spec.prefix.address().to_string())
                    .collect();
                addresses.into_iter().collect::<Vec<_>>().join(" ")
            },
            "have different virtual_ipaddress: which of them are served depends on who is master",
        );
        self.authentication();
        self.channel();
        self.peers();
        self.priorities();
    }

    fn differing<T: Ord + core::fmt::Display>(
        &mut self,
        code: &'static str,
        severity: Severity,
        view: impl Fn(&Member<'_>) -> T,
        consequence: &str,
    ) {
        let by = self.by(view);
        if by.len() > 1 {
            let mut message = String::new();
            for (index, (value, files)) in by.iter().enumerate() {
                let _ = write!(
                    message,
                    "{}{} ({value})",
                    if index == 0 { "" } else { " and " },
                    files.join(", ")
                );
            }
            let message = format!("{message} {consequence}");
            self.say(severity, code, message);
        }
    }

    /// The secrets are compared, never shown.
    fn authentication(&mut self) {
        // Where a file is not there to be read, its name has to do.
        let key = |key: &AuthKey| match &key.key {
            Some(key) => key.secret().clone(),
            None => Secret::new(key.secret.expose().as_bytes().into()),
        };
        let view = |member: &Member<'_>| {
            let old = member.instance.authentication.as_ref().map(|block| {
                let kind = block.auth_type.as_ref().map_or("", |entry| entry.value.word());
                let secret = block.auth_pass.as_ref().map_or("", |entry| entry.value.0.expose());
                // Only 8 bytes count.
                (kind.to_owned(), secret.as_bytes().iter().take(8).copied().collect::<Vec<u8>>())
            });
            let new = member.instance.auth_hmac.as_ref().map(|block| {
                let mut keys: Vec<_> =
                    block.keys.iter().map(|entry| (entry.value.id, key(&entry.value))).collect();
                keys.sort();
                let freshness = block.anti_replay.as_ref().map(|entry| entry.value).unwrap_or_default();
                (keys, freshness == AntiReplay::Monotonic)
            });
            (old, new)
        };
        let by = self.by(view);
        if by.len() > 1 {
            let sides: Vec<String> = by.values().map(|files| files.join(", ")).collect();
            let message = format!(
                "{} have different authentication and drop each other's advertisements: both become master",
                sides.join(" and ")
            );
            self.say(Severity::Error, "authentication", message);
        }
    }

    fn channel(&mut self) {
        self.differing(
            "channel",
            Severity::Error,
            |member| match (&member.instance.unicast_peer.is_empty(), &member.router.destinations) {
                (false, _) => "unicast".to_owned(),
                (true, crate::vrrp::Destinations::Multicast(group)) => format!("group {group}"),
                (true, crate::vrrp::Destinations::Unicast(_)) => "unicast".to_owned(),
            },
            "send to different places and do not hear each other: both become master",
        );
    }

    /// Each should be named as a peer by all others, by the address it sends from.
    fn peers(&mut self) {
        let unicast: Vec<&Member<'_>> =
            self.members.iter().filter(|member| !member.instance.unicast_peer.is_empty()).collect();
        let mut findings = Vec::new();
        for member in &unicast {
            let source: Option<IpAddr> = member.instance.unicast_src_ip.as_ref().map(|entry| entry.value.0);
            let Some(source) = source else {
                findings.push((
                    Severity::Warning,
                    format!(
                        "{} has no unicast_src_ip: whether the others name it as a peer cannot be told",
                        member.file
                    ),
                ));
                continue;
            };
            for other in unicast.iter().filter(|other| other.file != member.file) {
                if !other.instance.unicast_peer.iter().any(|peer| peer.value.address == source) {
                    findings.push((
                        Severity::Error,
                        format!(
                            "{} sends from {source}, which is no unicast_peer of {}",
                            member.file, other.file
                        ),
                    ));
                }
            }
        }
        for (severity, message) in findings {
            self.say(severity, "peers", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FakeHost, LoadOptions, load};
    use super::*;

    fn findings(a: &str, b: &str) -> Vec<(&'static str, Severity)> {
        let text =
            |body: &str| format!("vrrp_instance V {{ interface eth0\n virtual_router_id 7\n {body}\n }}");
        let host = FakeHost::with_file("a", text(a)).and_file("b", text(b));
        let options = LoadOptions::default();
        let (a, b) = (load(&host, "a", &options), load(&host, "b", &options));
        lint(&[("a", &a), ("b", &b)]).into_iter().map(|finding| (finding.code, finding.severity)).collect()
    }

    #[test]
    fn routers_that_agree_give_only_the_winner() {
        let addresses = "virtual_ipaddress {\n 192.0.2.7\n }";
        let found = findings(&format!("priority 150\n{addresses}"), &format!("priority 100\n{addresses}"));
        assert_eq!(found, [("winner", Severity::Hint)]);
    }

    #[test]
    fn what_keeps_routers_apart_is_an_error() {
        let found = findings(
            "version 3\nvirtual_ipaddress {\n 192.0.2.7\n }",
            "version 2\nadvert_int 2\nvirtual_ipaddress {\n 192.0.2.8\n }",
        );
        for code in ["version", "interval", "addresses"] {
            assert!(found.contains(&(code, Severity::Error)), "{code} in {found:?}");
        }
        assert!(found.contains(&("priority", Severity::Warning)));
        let found = findings("authentication {\n auth_type PASS\n auth_pass a\n }", "");
        assert!(found.contains(&("authentication", Severity::Error)));
    }

    #[test]
    fn routers_with_errors_are_named_instead_of_passed_over() {
        let good = "vrrp_instance V {\n interface eth0\n virtual_router_id 7\n virtual_ipaddress {\n 192.0.2.7\n }\n}\n";
        let find = |bad: &str| {
            let host = FakeHost::with_file("a", good).and_file("b", bad);
            let options = LoadOptions::default();
            let (a, b) = (load(&host, "a", &options), load(&host, "b", &options));
            lint(&[("a", &a), ("b", &b)]).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let alone = "warning[alone]: VRID 7 (IPv4): only a has it: nobody takes over from it, unless the errors in b hide it";
        assert_eq!(
            find(&good.replace("interface eth0", "")),
            [
                "warning[not-compared]: VRID 7: b: `V` has errors and is not compared: correct them first",
                alone
            ]
        );
        assert_eq!(
            find(&good.replace("virtual_router_id 7", "")),
            ["warning[not-compared]: b: `V` has errors and is not compared: correct them first", alone]
        );
        // A block that is not closed is not there at all.
        assert_eq!(find(good.trim_end().trim_end_matches('}')), [alone]);
        let host = FakeHost::with_file("a", good);
        let options = LoadOptions::default();
        let (a, b) = (load(&host, "a", &options), load(&host, "b", &options));
        let found: Vec<&str> = lint(&[("a", &a), ("b", &b)]).iter().map(|finding| finding.code).collect();
        assert_eq!(found, ["not-compared", "alone"]);
    }

    #[test]
    fn peers_must_name_each_other() {
        let body = |own: &str, peer: &str| format!("unicast_src_ip {own}\nunicast_peer {{\n {peer}\n }}");
        let found = findings(&body("192.0.2.1", "192.0.2.2"), &body("192.0.2.2", "192.0.2.9"));
        assert_eq!(found.iter().filter(|(code, _)| *code == "peers").count(), 1);
    }
}
