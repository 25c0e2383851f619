//! Settings of this host that virtual MACs need changed, and what they were before.
//!
//! What was found is written down in a file beside the worker's pid file before it is changed, so that also a successor
//! of a killed daemon puts it back at the end. Only what still is as it was set is put back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::files;
use crate::kernel::KernelError;
use crate::net::InterfaceName;
use crate::sys::netlink::{LinkDetails, LinkRequests, RouteSocket, Setting, Target, error_from_io};

/// Longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

const ALL: &str = "all";
const DEFAULT: &str = "default";

/// What a parent of virtual MACs must have: it answers for its own addresses only.
const OF_PARENTS: [Setting; 2] = [Setting::ArpIgnore, Setting::ArpFilter];

/// A setting that was changed.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Changed {
    before: u32,
    set: u32,
}

/// Which: the interface's number and name (0 for those of all interfaces), and the setting.
type Key = (u32, String, Setting);

/// Everything that was changed and not put back yet.
#[derive(Debug)]
pub(super) struct InterfaceSettings {
    path: PathBuf,
    changed: BTreeMap<Key, Changed>,
}

impl InterfaceSettings {
    /// What a predecessor of the worker with this pid file has changed.
    pub(super) fn open(pid_file: &Path) -> Self {
        let path = pid_file.with_extension("settings");
        let text = files::read_own(&path, LONGEST).unwrap_or_default();
        Self { path, changed: text.lines().filter_map(parse).collect() }
    }

    /// Has a parent answer for its own addresses only, unless it does.
    pub(super) fn prepare_parent(
        &mut self,
        socket: &mut RouteSocket,
        parent: &LinkDetails,
    ) -> Result<(), KernelError> {
        let lacks = |setting: &Setting| parent.setting(*setting) == Some(0);
        let wanted: Vec<(Setting, u32)> =
            OF_PARENTS.into_iter().filter(lacks).map(|setting| (setting, 1)).collect();
        self.change(socket, parent, &wanted)
    }

    /// Source validation for all interfaces would hold for virtual MACs too, which have no routes: it becomes a setting
    /// of each other interface.
    ///
    /// # Errors
    /// When it is on and cannot be turned off: advertisements would be thrown away.
    pub(super) fn validate_each(
        &mut self,
        socket: &mut RouteSocket,
        links: &[&LinkDetails],
    ) -> Result<(), KernelError> {
        let all = read(ALL, Setting::RpFilter).unwrap_or_default();
        if all == 0 {
            return Ok(());
        }
        // Before anything is changed: whether it may be.
        write(ALL, Setting::RpFilter, all).map_err(|error| KernelError {
            message: format!(
                "net.ipv4.conf.all.rp_filter is {all} and cannot be changed ({error}), so that advertisements to a \
                 virtual MAC would be thrown away; set it to 0 before alived starts, and the interfaces' own to {all}"
            ),
            ..error_from_io(&error)
        })?;
        for link in links {
            let own = link.setting(Setting::RpFilter).unwrap_or_default();
            if own < all {
                self.change(socket, link, &[(Setting::RpFilter, all)])?;
            }
        }
        let default = read(DEFAULT, Setting::RpFilter).unwrap_or_default();
        let host_wide = [(DEFAULT, default, default.max(all)), (ALL, all, 0)];
        for (name, before, set) in host_wide.into_iter().filter(|(_, before, set)| before != set) {
            self.note((0, name.to_owned(), Setting::RpFilter), Changed { before, set });
        }
        self.save();
        for (name, _, set) in host_wide {
            write(name, Setting::RpFilter, set).map_err(|error| error_from_io(&error))?;
        }
        tracing::info!(
            "net.ipv4.conf.all.rp_filter was {all}: now 0 for virtual MACs, and {all} on each other interface"
        );
        Ok(())
    }

    /// Puts back what was changed on a parent that has no virtual MAC any more.
    pub(super) fn put_back(&mut self, socket: &mut RouteSocket, parent: &LinkDetails) {
        let of_parent = |key: &Key| key.0 == parent.index().get() && OF_PARENTS.contains(&key.2);
        self.put_back_those(socket, &[parent], of_parent);
    }

    /// Puts back everything: there is no virtual MAC any more.
    pub(super) fn put_back_all(&mut self, socket: &mut RouteSocket, links: &[&LinkDetails]) {
        let promotion = |key: &Key| key.2 == Setting::PromoteSecondaries;
        if self.changed.keys().all(promotion) {
            return;
        }
        for name in [ALL, DEFAULT] {
            let key = (0, name.to_owned(), Setting::RpFilter);
            if let Some(Changed { before, set }) = self.changed.remove(&key)
                && read(name, Setting::RpFilter) == Some(set)
                && let Err(error) = write(name, Setting::RpFilter, before)
            {
                tracing::warn!("cannot put net.ipv4.conf.{name}.rp_filter back to {before}: {error}");
            }
        }
        self.put_back_those(socket, links, |key| !promotion(key));
        // What is left was of interfaces that are gone.
        self.changed.retain(|key, _| promotion(key));
        self.save();
    }

    /// Has an address of an interface take no others along (`promote_secondaries`), until the stop.
    pub(super) fn promote(
        &mut self,
        socket: &mut RouteSocket,
        link: &LinkDetails,
    ) -> Result<(), KernelError> {
        let lacks = link.setting(Setting::PromoteSecondaries) == Some(0);
        let wanted: &[(Setting, u32)] = if lacks { &[(Setting::PromoteSecondaries, 1)] } else { &[] };
        self.change(socket, link, wanted)
    }

    /// Puts that back.
    pub(super) fn end_promotions(&mut self, socket: &mut RouteSocket, links: &[&LinkDetails]) {
        if self.changed.keys().any(|key| key.2 == Setting::PromoteSecondaries) {
            self.put_back_those(socket, links, |key| key.2 == Setting::PromoteSecondaries);
        }
    }

    fn put_back_those(
        &mut self,
        socket: &mut RouteSocket,
        links: &[&LinkDetails],
        which: impl Fn(&Key) -> bool,
    ) {
        let mut requests = LinkRequests::default();
        let mut any = false;
        self.changed.retain(|key, changed| {
            if !which(key) {
                return true;
            }
            let same = |link: &&&LinkDetails| link.index().get() == key.0 && link.name().as_str() == key.1;
            if let Some(link) = links.iter().find(same)
                && link.setting(key.2) == Some(changed.set)
            {
                any = true;
                requests.settings(Target::Index(link.index()), &[(key.2, changed.before)]);
            }
            false
        });
        if any && let Err(error) = requests.send(socket) {
            tracing::warn!("cannot put settings of interfaces back: {error}");
        }
        self.save();
    }

    fn change(
        &mut self,
        socket: &mut RouteSocket,
        link: &LinkDetails,
        wanted: &[(Setting, u32)],
    ) -> Result<(), KernelError> {
        if wanted.is_empty() {
            return Ok(());
        }
        for (setting, set) in wanted {
            let before = link.setting(*setting).unwrap_or_default();
            let key = (link.index().get(), link.name().to_string(), *setting);
            self.note(key, Changed { before, set: *set });
        }
        self.save();
        let mut requests = LinkRequests::default();
        requests.settings(Target::Index(link.index()), wanted);
        requests.send(socket)?.into_iter().collect()
    }

    /// What was found first counts.
    fn note(&mut self, key: Key, changed: Changed) {
        let set = changed.set;
        self.changed.entry(key).or_insert(changed).set = set;
    }

    fn save(&self) {
        let mut text = String::new();
        for ((index, name, setting), Changed { before, set }) in &self.changed {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{index} {name} {} {before} {set}", setting.name());
        }
        let saved = if text.is_empty() {
            std::fs::remove_file(&self.path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })
        } else {
            files::write_own(&self.path, &text)
        };
        if let Err(error) = saved {
            tracing::warn!(
                "cannot write down the settings of interfaces: {error}; should this daemon be killed, they stay changed"
            );
        }
    }
}

/// Has an interface take part in IPv6, or not: what the kernel would send by itself, it would send with the virtual MAC.
///
/// # Errors
/// When IPv6 is as it should not be and `/proc/sys` cannot be written.
pub(super) fn take_part_in_ipv6(name: &InterfaceName, takes_part: bool) -> io::Result<()> {
    let path = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
    let wanted = if takes_part { "0" } else { "1" };
    match std::fs::read_to_string(&path) {
        Ok(now) if now.trim() == wanted => Ok(()),
        Ok(_) => std::fs::write(&path, wanted),
        // A host without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !takes_part => Ok(()),
        Err(error) => Err(error),
    }
}

fn path(name: &str, setting: Setting) -> String {
    format!("/proc/sys/net/ipv4/conf/{name}/{}", setting.name())
}

fn read(name: &str, setting: Setting) -> Option<u32> {
    std::fs::read_to_string(path(name, setting)).ok()?.trim().parse().ok()
}

fn write(name: &str, setting: Setting, value: u32) -> io::Result<()> {
    std::fs::write(path(name, setting), value.to_string())
}

fn parse(line: &str) -> Option<(Key, Changed)> {
    let mut words = line.split(' ');
    let index = words.next()?.parse().ok()?;
    let name = words.next()?.to_owned();
    let setting = words.next()?;
    let setting = Setting::ALL.into_iter().find(|known| known.name() == setting)?;
    let mut number = || words.next()?.parse().ok();
    Some(((index, name, setting), Changed { before: number()?, set: number()? }))
}

/// The setting of an interface that is not as it should be.
pub(super) fn differing(link: &LinkDetails, wanted: &[(Setting, u32)]) -> Option<(Setting, u32, u32)> {
    let found = |(setting, value): &(Setting, u32)| Some((*setting, link.setting(*setting)?, *value));
    wanted.iter().filter_map(found).find(|(_, found, wanted)| found != wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_first_is_what_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("vrrp.pid");
        let key = || (7, "eth0".to_owned(), Setting::ArpIgnore);
        let mut settings = InterfaceSettings::open(&pid_file);
        settings.note(key(), Changed { before: 0, set: 1 });
        settings.note(key(), Changed { before: 1, set: 1 });
        settings.save();
        let read = InterfaceSettings::open(&pid_file);
        assert_eq!(read.changed, BTreeMap::from([(key(), Changed { before: 0, set: 1 })]));
        settings.changed.clear();
        settings.save();
        assert!(!folder.path().join("vrrp.settings").exists());
        settings.save();
        assert_eq!(parse("7 eth0 arp_ignore 0"), None);
        assert_eq!(parse("7 eth0 forwarding 0 1"), None);
    }

    /// The number of an interface, or of a setting, may be that of another one after a restart of the host.
    #[test]
    fn names_of_settings_are_those_of_linux() {
        for setting in Setting::ALL {
            assert!(Path::new(&path(ALL, setting)).exists(), "{setting:?}");
        }
    }
}
