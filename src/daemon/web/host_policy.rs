//! Which names a request may be addressed to. A page from elsewhere can point a name of its own at this host, and a browser
//! would let it read what is answered under that name (DNS rebinding): only names that are ours are answered.

use std::net::IpAddr;

/// The names that are answered.
#[derive(Clone, Debug)]
pub(super) struct HostPolicy {
    /// In lower case.
    names: Vec<String>,
}

impl HostPolicy {
    /// Of `hosts` in the settings.
    pub(super) fn new(hosts: &[String]) -> Self {
        Self { names: hosts.iter().map(|host| plain(host)).collect() }
    }

    /// Whether a request that arrived at `local` may name `host`, with or without a port, which may be that of whoever
    /// passes it on.
    pub(super) fn allows(&self, host: &str, local: IpAddr) -> bool {
        let Some(name) = without_port(host) else { return false };
        // An address as the name cannot be made to point here.
        if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return address.to_canonical() == local.to_canonical() || address.is_loopback();
        }
        let name = plain(name);
        name == "localhost" || self.names.contains(&name)
    }
}

/// In lower case, without the dot of an absolute name.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// RFC 3986 §3.2: `host [":" port]`; `None` where it is neither.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = match host.rfind(']') {
        Some(end) if host.starts_with('[') => host.split_at(end + 1),
        Some(_) => return None,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    (fits && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_ours_are_answered() {
        let policy = HostPolicy::new(&["HA1.example.org.".to_owned()]);
        let local = "192.0.2.7".parse().unwrap();
        for host in [
            "localhost",
            "LOCALHOST:9165",
            "127.0.0.1:9165",
            "127.9.9.9",
            "[::1]:80",
            "[::1]",
            "192.0.2.7:9165",
            "ha1.example.org",
            "ha1.EXAMPLE.org.:443",
        ] {
            assert!(policy.allows(host, local), "{host}");
        }
        for host in [
            "",
            ":9165",
            "evil.example",
            "ha1.example.org.evil.example",
            "192.0.2.8",
            "192.0.2.7:x",
            "localhost:1:2",
            "x]localhost",
            "[::1]x",
            "[::2]",
            "user@localhost",
        ] {
            assert!(!policy.allows(host, local), "{host}");
        }
    }
}
