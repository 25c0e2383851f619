//! What must be known to tidy up after those who were killed: the virtual addresses, and when other routers may take them
//! over; the static ones, which nobody takes over; the routes and rules of both; interfaces and filters of our own.
//!
//! The worker writes them into memory that it shares with the supervisor, at its start and at each reload; the supervisor
//! reads them only when there is to be no next worker, or not soon. For the next daemon they are in a file too.

mod file;
mod routing;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::filter::Filter;
use super::interface_settings::InterfaceSettings;
use super::left_filters::{self, LeftFilters};
use super::record::{self, AddressRecord, parse_prefix};
use super::shared_text::SharedText;
use super::virtual_links::VirtualLinks;
use crate::config::FilterSettings;
use crate::kernel::{AddressOperation, AddressSpec, KernelError, Verb};
use crate::net::{InterfaceName, Prefix};
use crate::node::{Bequest, NodeConfig};
use crate::sys::netlink::{self, Interest, Ownership, RouteSocket};
use crate::time::{Duration, micros};
use crate::vrrp::{RouterConfig, master_down_interval, unnoticed_silence};
use file::ListFile;

/// What a router can be silent for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Patience {
    /// After its end nobody is master in its place for so long.
    unnoticed: Duration,
    /// Its own master-down time.
    master_down: Duration,
}

impl Patience {
    /// Of static addresses.
    const ENDLESS: Self =
        Self { unnoticed: Duration::from_micros(u64::MAX), master_down: Duration::from_micros(u64::MAX) };

    fn of(router: &RouterConfig) -> Self {
        let RouterConfig { version, priority, interval, down_timer_adverts, .. } = *router;
        Self {
            unnoticed: unnoticed_silence(interval, down_timer_adverts),
            master_down: master_down_interval(version, priority, interval, down_timer_adverts),
        }
    }

    /// The shorter of each.
    fn min(self, other: Self) -> Self {
        Self {
            unnoticed: self.unnoticed.min(other.unnoticed),
            master_down: self.master_down.min(other.master_down),
        }
    }

    /// When its addresses have to go, if no worker runs for `pause`: never, where it may be back before another router
    /// takes over.
    fn end(self, pause: Duration) -> Option<Duration> {
        (self.master_down < pause).then_some(self.unnoticed)
    }
}

/// The list.
#[derive(Debug)]
pub(super) struct Leftovers {
    text: SharedText,
    /// Bytes of the newest configuration's list, at the beginning.
    newest: usize,
    /// In the worker.
    file: Option<ListFile>,
}

impl Leftovers {
    /// An empty one.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { text: SharedText::new("alived-addresses")?, newest: 0, file: None })
    }

    /// The same list, for the worker.
    pub(super) fn share(&self) -> io::Result<Self> {
        Ok(Self { text: self.text.share()?, newest: self.newest, file: None })
    }

    /// See [`SharedText::hand_on`].
    pub(super) fn hand_on(&self, keep: bool) -> io::Result<[i32; 3]> {
        self.text.hand_on(keep)
    }

    /// The list that the program before has left.
    pub(super) fn adopt(numbers: [i32; 3]) -> Option<Self> {
        let text = SharedText::adopt(numbers)?;
        // All of it stays until the next worker has written its own twice.
        let newest = text.read().map_or(0, |text| text.len());
        Some(Self { text, newest, file: None })
    }

    /// Goes on with the file beside this pid file, and gives what a daemon that was killed may have left.
    pub(super) fn take_over(&mut self, pid_file: &Path) -> (Bequest, bool) {
        let file = self.file.insert(ListFile::open(pid_file));
        (file.bequest(), file.has_filters())
    }

    /// Replaces the list by everything that a configuration has. What was on it before stays there too, until
    /// [`Leftovers::prune`]: it may not have been removed yet. `filters`: whether it needs nftables tables.
    pub(super) fn write(&mut self, config: &NodeConfig, filters: bool) -> io::Result<()> {
        let mut text = String::new();
        let mut list = |interface: &InterfaceName, prefix: Prefix, patience: Patience| {
            let (unnoticed, master_down) = (micros(patience.unnoticed), micros(patience.master_down));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{interface} {prefix} {unnoticed} {master_down}");
        };
        for router in &config.routers {
            for address in router.addresses.iter().chain(&router.excluded) {
                let interface = address.interface.as_ref().unwrap_or(&router.interfaces.addresses);
                list(interface, address.spec.prefix, Patience::of(router));
            }
        }
        for address in &config.statics.addresses {
            list(&address.interface, address.spec.prefix, Patience::ENDLESS);
        }
        routing::list(config, &mut text);
        for link in &config.links {
            file::list_link(link, &mut text);
        }
        if filters {
            text.push_str(file::FILTERS);
        }
        if let Some(file) = &mut self.file {
            file.write(&text);
        }
        let mut before = self.text.read()?;
        before.truncate(self.newest);
        self.newest = text.len();
        text.push_str(&before);
        self.text.write(&text)
    }

    /// Waits until [`Leftovers::prune`] has something to do.
    pub(super) async fn due(&self) {
        match self.file.as_ref().and_then(ListFile::prune_at) {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// What the newest configuration does not have has been removed by now.
    pub(super) fn prune(&mut self) {
        if let Some(file) = &mut self.file {
            file.prune();
        }
    }

    /// An ordered stop leaves nothing.
    pub(super) fn end(&mut self) {
        if let Some(file) = &mut self.file {
            file.end();
        }
    }

    /// When something has to be removed next, if no worker runs for `pause`: after how long without one, later than
    /// `passed`.
    pub(super) fn next_removal(&self, pause: Duration, passed: Option<Duration>) -> Option<Duration> {
        let listed = self.read().ok()?;
        let routing = routing::Listed::read(&self.text.read().ok()?);
        let all = listed.values().chain(routing.patience());
        all.filter_map(|patience| patience.end(pause)).filter(|end| Some(*end) > passed).min()
    }

    /// Between two workers: removes what has to go when none has run for `passed` of a `pause`. Gives its number.
    pub(super) fn remove_due(&self, pid_file: &Path, passed: Duration, pause: Duration) -> io::Result<usize> {
        let (ownership, record) = record::ownership(pid_file);
        self.remove(Some((passed, pause)), &ownership, record)
    }

    /// Removes what is listed, there and ours, and gives its number. Between two workers, those alone
    /// that have to go when none has run for `passed` of a `pause`.
    fn remove(
        &self,
        between: Option<(Duration, Duration)>,
        ownership: &Ownership,
        record: Option<AddressRecord>,
    ) -> io::Result<usize> {
        let mut listed = self.read()?;
        if let Some((passed, pause)) = between {
            listed.retain(|_, patience| patience.end(pause).is_some_and(|end| end <= passed));
        }
        let due = |patience: &Patience| {
            between.is_none_or(|(passed, pause)| patience.end(pause).is_some_and(|end| end <= passed))
        };
        // Rules and routes first, as they are given up.
        let routing = routing::Listed::read(&self.text.read()?).remove(due)?;
        if listed.is_empty() {
            return Ok(routing);
        }
        let to_io = |errno| io::Error::from_raw_os_error(errno);
        let view = netlink::view(ownership, &Interest::default()).map_err(|error| to_io(error.errno))?;
        let name = |link| view.links.iter().find(|l| l.key == link).map(|l| l.name.as_str().to_owned());
        let operations: Vec<AddressOperation> = view
            .addresses
            .iter()
            // Secondaries first: with the first address of a subnet the kernel would remove them all.
            .filter(|held| held.secondary)
            .chain(view.addresses.iter().filter(|held| !held.secondary))
            .filter(|held| held.ours)
            .filter(|held| name(held.link).is_some_and(|name| listed.contains_key(&(name, held.prefix))))
            .map(|held| AddressOperation::new(Verb::Remove, held.link, AddressSpec::new(held.prefix)))
            .collect();
        let mut socket = RouteSocket::open().map_err(|error| to_io(error.errno))?;
        let mut record = record;
        for chunk in operations.chunks(128) {
            let outcomes = netlink::apply(&mut socket, chunk);
            if let Some(record) = &mut record {
                record.after(&outcomes);
            }
        }
        if let Some(record) = &mut record {
            record.save()?;
        }
        Ok(routing + operations.len())
    }

    /// Removes all that is listed, with interfaces and nftables tables, and the file. Gives the number of addresses, routes
    /// and rules.
    pub(super) fn remove_everything(&self, pid_file: &Path) -> io::Result<usize> {
        let (ownership, record) = record::ownership(pid_file);
        let removed = self.remove(None, &ownership, record);
        let mut file = ListFile::open(pid_file);
        remove_links(&file.bequest(), &ownership, pid_file)?;
        LeftFilters::new(pid_file, file.has_filters()).remove();
        file.end();
        removed
    }

    fn read(&self) -> io::Result<BTreeMap<(String, Prefix), Patience>> {
        let parse = |line: &str| {
            let mut words = line.split(' ');
            let (name, prefix) = (words.next()?.to_owned(), parse_prefix(words.next()?)?);
            let mut time = || Some(Duration::from_micros(words.next()?.parse().ok()?));
            Some(((name, prefix), Patience { unnoticed: time()?, master_down: time()? }))
        };
        let mut listed: BTreeMap<(String, Prefix), Patience> = BTreeMap::new();
        for (address, patience) in self.text.read()?.lines().filter_map(parse) {
            listed.entry(address).and_modify(|known| *known = known.min(patience)).or_insert(patience);
        }
        Ok(listed)
    }
}

/// Removes the interfaces, and puts settings back that they needed.
fn remove_links(bequest: &Bequest, ownership: &Ownership, pid_file: &Path) -> io::Result<()> {
    if bequest.links.is_empty() {
        return Ok(());
    }
    let to_io = |error: KernelError| io::Error::from_raw_os_error(error.errno);
    let view = netlink::view(ownership, &Interest::default()).map_err(to_io)?;
    let operations = bequest.link_removals(&view);
    let filter = Filter::new(FilterSettings::default(), left_filters::mark(pid_file));
    let mut links = VirtualLinks::new(InterfaceSettings::open(pid_file), filter);
    let mut socket = RouteSocket::open().map_err(to_io)?;
    let outcomes = links.carry_out(&mut socket, &operations);
    let removed = outcomes.iter().filter(|outcome| outcome.error.is_none()).count();
    if removed > 0 {
        tracing::warn!("removed {removed} interfaces of our own that the worker left behind");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Family;
    use crate::node::StaticAddress;
    use crate::vrrp::VirtualAddress;
    use crate::wire::vrrp::{AdvertisementInterval, Version, Vrid};

    fn config(address: &str, interval_ms: u64) -> NodeConfig {
        let mut router = RouterConfig::new("a", Vrid::new(1).unwrap(), Family::Ipv4, "eth0".parse().unwrap());
        let spec = AddressSpec::new(parse_prefix(address).unwrap());
        router.addresses.push(VirtualAddress { spec, interface: None, track: true });
        router.version = Version::V3;
        router.interval = AdvertisementInterval::from_centiseconds(interval_ms as u16 / 10).unwrap();
        NodeConfig { routers: vec![router], ..NodeConfig::default() }
    }

    #[test]
    fn the_other_process_reads_what_was_written_last() {
        let ours = Leftovers::new().unwrap();
        let mut theirs = ours.share().unwrap();
        let read = || -> Vec<(String, Prefix)> { ours.read().unwrap().into_keys().collect() };
        assert!(read().is_empty());
        let listed = |addresses: &[&str]| -> Vec<(String, Prefix)> {
            addresses.iter().map(|text| ("eth0".to_owned(), parse_prefix(text).unwrap())).collect()
        };
        let [first, second, third] = ["192.0.2.1/24", "192.0.2.2/24", "2001:db8::3/128"];
        theirs.write(&config(first, 1_000), false).unwrap();
        assert_eq!(read(), listed(&[first]));
        theirs.write(&config(second, 1_000), false).unwrap();
        assert_eq!(read(), listed(&[first, second]));
        theirs.write(&config(third, 1_000), false).unwrap();
        assert_eq!(read(), listed(&[second, third]));
    }

    #[test]
    fn addresses_go_before_others_take_them_and_stay_in_a_shorter_pause() {
        let ours = Leftovers::new().unwrap();
        let mut theirs = ours.share().unwrap();
        let mut both = config("192.0.2.1/24", 1_000);
        both.routers.extend(config("192.0.2.2/24", 5_000).routers);
        theirs.write(&both, false).unwrap();
        let next = |pause_s, passed| ours.next_removal(Duration::from_secs(pause_s), passed);
        let [two, ten] = [2, 10].map(Duration::from_secs);
        assert_eq!(next(3, None), None, "the master-down time is 3.6 s");
        assert_eq!((next(4, None), next(4, Some(two))), (Some(two), None));
        assert_eq!((next(60, Some(two)), next(60, Some(ten))), (Some(ten), None));
        // A reload that makes it more patient leaves the address with the others' patience of before.
        theirs.write(&config("192.0.2.1/24", 40_000), false).unwrap();
        assert_eq!(next(4, None), Some(two));
    }

    #[test]
    fn static_addresses_are_listed_and_stay_in_any_pause() {
        let ours = Leftovers::new().unwrap();
        let spec = AddressSpec::new(parse_prefix("192.0.2.9/24").unwrap());
        let mut config = config("192.0.2.1/24", 1_000);
        let interface = "eth1".parse().unwrap();
        config.statics.addresses.push(StaticAddress { spec, interface, track_group: None });
        ours.share().unwrap().write(&config, false).unwrap();
        assert!(
            ours.read().unwrap().contains_key(&("eth1".to_owned(), parse_prefix("192.0.2.9/24").unwrap()))
        );
        let (hour, two) = (Duration::from_secs(3_600), Duration::from_secs(2));
        assert_eq!((ours.next_removal(hour, None), ours.next_removal(hour, Some(two))), (Some(two), None));
    }
}
