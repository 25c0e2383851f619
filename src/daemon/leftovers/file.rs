//! The list for the next daemon: a file beside the worker's pid file, of the same lines. It is gone after a stop.
//!
//! It tells whose an object is where that has no mark, as an interface, and whose a route is that another daemon may have
//! marked with the same number. The first line says of which network namespace and boot it speaks: elsewhere, equal names
//! are other things.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::super::files;
use super::super::record::parse_prefix;
use super::routing::Listed;
use crate::kernel::{IpvlanSharing, VirtualLink, VirtualLinkKind};
use crate::net::{InterfaceName, MacAddress};
use crate::node::Bequest;

/// Longest file that is read, in bytes: a million addresses.
const LONGEST: u64 = 64 << 20;

/// After so long the kernel has done what a start or a reload asked for.
const SETTLED: Duration = Duration::from_secs(5);

/// The line that says that there are nftables tables.
pub(super) const FILTERS: &str = "@filters\n";

/// The file.
#[derive(Debug)]
pub(super) struct ListFile {
    path: PathBuf,
    /// Its first line.
    head: String,
    /// Of the newest configuration.
    newest: String,
    /// Of those before, as far as they may not have been removed yet.
    older: String,
    prune_at: Option<Instant>,
    failing: bool,
}

impl ListFile {
    /// What there is. Nothing where there is no file, one of somebody else, or one of another namespace.
    pub(super) fn open(pid_file: &Path) -> Self {
        let path = pid_file.with_extension("leftovers");
        let text = files::read_own(&path, LONGEST).unwrap_or_default();
        let head = here();
        let older = text.strip_prefix(&head).unwrap_or_default().to_owned();
        Self { path, head, newest: String::new(), older, prune_at: None, failing: false }
    }

    /// What a daemon before may have left.
    pub(super) fn bequest(&self) -> Bequest {
        let mut bequest = Bequest::default();
        for line in self.older.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["@link", rest @ ..] => bequest.links.extend(link(rest)),
                [interface, prefix, ..] if !interface.starts_with('@') => {
                    let address = || Some((interface.parse().ok()?, parse_prefix(prefix)?));
                    bequest.addresses.extend(address());
                }
                _ => {}
            }
        }
        Listed::read(&self.older).bequeath(&mut bequest);
        bequest
    }

    /// Whether a daemon before may have left nftables tables.
    pub(super) fn has_filters(&self) -> bool {
        self.older.contains(FILTERS)
    }

    /// Another configuration is in force.
    pub(super) fn write(&mut self, text: &str) {
        self.older.push_str(&self.newest);
        text.clone_into(&mut self.newest);
        self.prune_at = Some(Instant::now() + SETTLED);
        self.save();
    }

    pub(super) const fn prune_at(&self) -> Option<Instant> {
        self.prune_at
    }

    /// Strikes out what the newest configuration does not have.
    pub(super) fn prune(&mut self) {
        self.prune_at = None;
        if !std::mem::take(&mut self.older).is_empty() {
            self.save();
        }
    }

    /// Removes it.
    pub(super) fn end(&mut self) {
        self.prune_at = None;
        // Gone already is just as well.
        let _ = std::fs::remove_file(&self.path);
    }

    fn save(&mut self) {
        let Self { path, head, newest, older, .. } = self;
        let saved = files::write_own(path, &format!("{head}{newest}{older}"));
        let told = std::mem::replace(&mut self.failing, saved.is_err());
        if let (Err(error), false) = (saved, told) {
            tracing::warn!(
                "cannot write {}: {error}; should this daemon be killed, what the next configuration does not name stays",
                self.path.display()
            );
        }
    }
}

/// The first line.
fn here() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::metadata("/proc/thread-self/ns/net").map_or((0, 0), |of| (of.dev(), of.ino()));
    format!("namespace {} {} boot {}\n", namespace.0, namespace.1, boot.trim())
}

/// Appends an interface of our own.
pub(super) fn list_link(link: &VirtualLink, text: &mut String) {
    let VirtualLink { name, parent, kind, .. } = link;
    let kind = match kind {
        VirtualLinkKind::Macvlan(mac) => format!("macvlan {mac}"),
        VirtualLinkKind::Ipvlan(IpvlanSharing::Bridge) => "ipvlan bridge".to_owned(),
        VirtualLinkKind::Ipvlan(IpvlanSharing::Private) => "ipvlan private".to_owned(),
        VirtualLinkKind::Ipvlan(IpvlanSharing::Vepa) => "ipvlan vepa".to_owned(),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "@link {name} {parent} {kind}");
}

fn link(words: &[&str]) -> Option<VirtualLink> {
    let &[name, parent, kind, detail] = words else { return None };
    let kind = match (kind, detail) {
        ("macvlan", address) => VirtualLinkKind::Macvlan(mac(address)?),
        ("ipvlan", "bridge") => VirtualLinkKind::Ipvlan(IpvlanSharing::Bridge),
        ("ipvlan", "private") => VirtualLinkKind::Ipvlan(IpvlanSharing::Private),
        ("ipvlan", "vepa") => VirtualLinkKind::Ipvlan(IpvlanSharing::Vepa),
        _ => return None,
    };
    let [name, parent]: [InterfaceName; 2] = [name.parse().ok()?, parent.parse().ok()?];
    Some(VirtualLink { name, parent, kind, group: None, ipv4: true, ipv6: true })
}

fn mac(text: &str) -> Option<MacAddress> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    Some(MacAddress(bytes?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::Leftovers;
    use super::*;
    use crate::kernel::{AddressSpec, Route, RouteTable, Rule};
    use crate::net::{Family, Prefix};
    use crate::node::{NodeConfig, StaticAddress, StaticRoute, StaticRule};

    fn link(name: &str, kind: VirtualLinkKind) -> VirtualLink {
        let [name, parent] = [name, "eth0"].map(|text| text.parse().unwrap());
        VirtualLink { name, parent, kind, group: None, ipv4: true, ipv6: true }
    }

    /// With a static address, a route, one in the table of a VRF, a rule and two interfaces.
    fn config(last: u8) -> NodeConfig {
        let mut config = NodeConfig::default();
        let prefix = Prefix::new([192, 0, 2, last].into(), 24).unwrap();
        let interface = "eth1".parse().unwrap();
        let spec = AddressSpec::new(prefix);
        config.statics.addresses.push(StaticAddress { spec, interface, track_group: None });
        let route = Route { protocol: 4, ..Route::new(Prefix::new([10, last, 0, 0].into(), 16).unwrap()) };
        let of_vrf = Route { table: RouteTable::OfVrf("red".parse().unwrap()), ..route.clone() };
        let routes = [route, of_vrf].map(|route| StaticRoute { route, track_group: None });
        config.statics.routes.extend(routes);
        let rule = Rule { priority: Some(u32::from(last)), ..Rule::new(Family::Ipv6) };
        config.statics.rules.push(StaticRule { rule, track_group: None });
        let mac = MacAddress([0, 0, 0x5e, 0, 1, last]);
        config.links.push(link("vrrp.1", VirtualLinkKind::Macvlan(mac)));
        config.links.push(link("ipv.1", VirtualLinkKind::Ipvlan(IpvlanSharing::Vepa)));
        config
    }

    #[test]
    fn the_next_daemon_learns_what_may_be_there_still_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("vrrp.pid");
        let daemon = || {
            let mut leftovers = Leftovers::new().unwrap();
            let (bequest, filters) = leftovers.take_over(&pid_file);
            (leftovers, bequest, filters)
        };
        let (mut first, bequest, filters) = daemon();
        assert!(bequest.is_empty() && !filters);
        first.write(&config(1), true).unwrap();
        assert_eq!(daemon().1, Bequest::of(&config(1)));
        first.write(&config(2), false).unwrap();
        let mut both = Bequest::of(&config(1));
        both.extend(Bequest::of(&config(2)));
        let (_, bequest, filters) = daemon();
        assert_eq!((bequest, filters), (both, true));
        first.prune();
        let (mut second, bequest, filters) = daemon();
        assert_eq!((bequest, filters), (Bequest::of(&config(2)), false));
        // Killed before it has removed them: the third one still knows.
        second.write(&NodeConfig::default(), false).unwrap();
        assert_eq!(daemon().1, Bequest::of(&config(2)));
        second.end();
        assert!(daemon().1.is_empty());
    }

    #[test]
    fn a_list_of_another_network_namespace_is_of_other_things() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vrrp.leftovers");
        let list = |first: &str| {
            std::fs::write(&path, format!("{first}eth1 192.0.2.1/24 1 2\n")).unwrap();
            ListFile::open(&folder.path().join("vrrp.pid")).bequest().addresses.len()
        };
        assert_eq!((list(&here()), list("namespace 4 7 boot x\n"), list("")), (1, 0, 0));
    }

    #[test]
    fn rubbish_is_passed_over() {
        for line in [
            "",
            "@link a eth0 macvlan 1:2",
            "@link a eth0 bond x",
            "@vrf red 10.0.0.0/8",
            "eth0 x",
            "@rule 4",
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("vrrp.leftovers"), format!("{}{line}\n", here())).unwrap();
            assert!(ListFile::open(&folder.path().join("vrrp.pid")).bequest().is_empty(), "{line}");
        }
    }
}
