//! What this host must not send by itself from a virtual MAC: packets of the kernel's own that would teach switches and
//! hosts a wrong way. nftables rules in tables of our own, gone at the stop and built anew at the start.
//!
//! - Reports of multicast membership (IGMP, MLD) leave by the parent instead, with its MAC: a switch that took the virtual
//!   MAC of a backup from them would send it what is meant for the master.
//! - Router solicitations are dropped, and so are neighbour advertisements of the parent's link-local address, which the
//!   interface with the virtual MAC has too.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use crate::config::FilterSettings;
use crate::kernel::KernelError;
use crate::net::{Family, InterfaceIndex};
use crate::sys::netlink::nftables::{
    DataType, Expression, Header, Hook, NftablesSocket, Register, Transaction, interface_key,
};

/// Interface to the parent that reports leave by.
const PARENTS: &str = "vmac_map";
/// Interfaces with a virtual MAC.
const VIRTUAL: &str = "vmac_set";
/// Such an interface, and the link-local address that it shares with its parent.
const LOCALS: &str = "vmac_nd";
const OUT: &str = "out";

const IGMP: u8 = 2;
const ROUTER_SOLICITATION: u8 = 133;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Reports and the end of membership of MLD, and reports of MLD version 2.
const MLD: [(u8, &str); 3] =
    [(131, "mld-listener-report"), (132, "mld-listener-done"), (143, "mld2-listener-report")];

/// The tables of one daemon.
#[derive(Debug)]
pub(super) struct Filter {
    settings: FilterSettings,
    /// Says in the tables' comments whose they are.
    mark: String,
    /// Until it is needed.
    socket: Option<NftablesSocket>,
    /// The tables that were built; `Some(false)` where the kernel refused, which was told.
    built: BTreeMap<Family, bool>,
    /// Interfaces with a virtual MAC, and what is in the sets for each.
    interfaces: BTreeMap<InterfaceIndex, Entry>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Entry {
    parent: InterfaceIndex,
    local: Option<Ipv6Addr>,
}

impl Filter {
    /// With tables that are built when they are needed.
    pub(super) const fn new(settings: FilterSettings, mark: String) -> Self {
        Self { settings, mark, socket: None, built: BTreeMap::new(), interfaces: BTreeMap::new() }
    }

    /// An interface has a virtual MAC. To be called before the interface is up.
    pub(super) fn guard(&mut self, interface: InterfaceIndex, parent: InterfaceIndex) {
        let local = self.interfaces.get(&interface).and_then(|entry| entry.local);
        self.set(interface, Entry { parent, local });
    }

    /// An interface with a virtual MAC shares this link-local address with its parent, or none any more.
    pub(super) fn share(&mut self, interface: InterfaceIndex, local: Option<Ipv6Addr>) {
        if let Some(entry) = self.interfaces.get(&interface) {
            self.set(interface, Entry { local, ..*entry });
        }
    }

    fn set(&mut self, interface: InterfaceIndex, entry: Entry) {
        let before = self.interfaces.insert(interface, entry);
        if before == Some(entry) {
            return;
        }
        for family in [Family::Ipv4, Family::Ipv6] {
            if self.build(family) {
                let mut transaction = Transaction::default();
                let table = self.settings.table.as_str();
                if let Some(before) = before {
                    take_out(&mut transaction, table, family, interface, before);
                }
                put_in(&mut transaction, table, family, interface, entry);
                self.commit(transaction, "extend");
            }
        }
    }

    /// An interface has none any more, or is gone.
    pub(super) fn release(&mut self, interface: InterfaceIndex) {
        let Some(entry) = self.interfaces.remove(&interface) else { return };
        for family in [Family::Ipv4, Family::Ipv6] {
            if self.built.get(&family) == Some(&true) {
                let mut transaction = Transaction::default();
                take_out(&mut transaction, &self.settings.table, family, interface, entry);
                self.commit(transaction, "shorten");
            }
        }
    }

    /// Removes the tables.
    pub(super) fn end(&mut self) {
        for (family, built) in std::mem::take(&mut self.built) {
            if built {
                let mut transaction = Transaction::default();
                transaction.delete_table(family, &self.settings.table);
                self.commit(transaction, "remove");
            }
        }
    }

    /// Builds the table of a family, unless that has been tried. Whether it is there.
    fn build(&mut self, family: Family) -> bool {
        if let Some(built) = self.built.get(&family) {
            return *built;
        }
        let built = self.try_to_build(family);
        self.built.insert(family, built.is_ok());
        let name = table_name(family, &self.settings.table);
        match built {
            Ok(rules) => {
                for rule in rules {
                    tracing::info!("nftables {name}: {rule}");
                }
                true
            }
            Err(error) => {
                tracing::error!(
                    "cannot build the nftables {name}: {error}; this host may send IGMP, MLD and router solicitations \
                     from virtual MACs, and switches may learn them at the wrong port; use a kernel with nf_tables and \
                     nft_dup_ipv4, nft_dup_ipv6"
                );
                false
            }
        }
    }

    /// In place of what a predecessor has left of it. Gives the rules in words.
    fn try_to_build(&mut self, family: Family) -> Result<Vec<String>, KernelError> {
        if self.socket.is_none() {
            self.socket = Some(NftablesSocket::open()?);
        }
        let FilterSettings { table, priority, counters, .. } = &self.settings;
        let counter = if *counters { "counter " } else { "" };
        let mut transaction = Transaction::default();
        transaction.table(family, table);
        transaction.delete_table(family, table);
        transaction.marked_table(family, table, &self.mark);
        transaction.set(family, table, PARENTS, DataType::Interface, Some(DataType::Interface));
        if family == Family::Ipv6 {
            transaction.set(family, table, VIRTUAL, DataType::Interface, None);
            transaction.set(family, table, LOCALS, DataType::InterfaceAndAddress, None);
        }
        transaction.chain(family, table, OUT, Hook::Output, *priority);
        let mut words = Vec::new();
        let mut rule = |text: String, steps: &[Expression<'_>]| {
            transaction.rule(family, table, OUT, steps, *counters);
            words.push(text);
        };
        let [first, interface] = [Register(0), Register(4)];
        let by_parent = |destination: u32, length: u32| {
            [
                Expression::OutputInterface(interface),
                Expression::Map(PARENTS, interface),
                Expression::Payload(Header::Network, destination, length, first),
                Expression::Duplicate(first, interface),
                Expression::Drop,
            ]
        };
        match family {
            Family::Ipv4 => {
                let mut steps = vec![
                    Expression::Payload(Header::Network, 9, 1, first),
                    Expression::Equals(first, &[IGMP]),
                ];
                steps.extend(by_parent(16, 4));
                rule(
                    format!("ip protocol igmp {counter}dup to ip daddr device oif map @{PARENTS} drop"),
                    &steps,
                );
            }
            Family::Ipv6 => {
                let kinds = MLD.map(|(kind, name)| ([kind], name));
                for (kind, name) in &kinds {
                    let mut steps = Expression::icmpv6(first, kind).to_vec();
                    steps.extend(by_parent(24, 16));
                    let text = format!(
                        "icmpv6 type {name} {counter}dup to ip6 daddr device oif map @{PARENTS} drop"
                    );
                    rule(text, &steps);
                }
                let mut steps = Expression::icmpv6(first, &[ROUTER_SOLICITATION]).to_vec();
                steps.extend([
                    Expression::OutputInterface(first),
                    Expression::In(VIRTUAL, first),
                    Expression::Drop,
                ]);
                rule(format!("icmpv6 type nd-router-solicit oif @{VIRTUAL} {counter}drop"), &steps);
                let mut steps = Expression::icmpv6(first, &[NEIGHBOUR_ADVERTISEMENT]).to_vec();
                steps.extend([
                    Expression::OutputInterface(first),
                    Expression::Payload(Header::Transport, 8, 16, Register(1)),
                    Expression::In(LOCALS, first),
                    Expression::Drop,
                ]);
                rule(
                    format!("icmpv6 type nd-neighbor-advert oif . nd.target @{LOCALS} {counter}drop"),
                    &steps,
                );
            }
        }
        self.socket.as_mut().map_or(Ok(()), |socket| socket.commit(transaction))?;
        Ok(words)
    }

    fn commit(&mut self, transaction: Transaction, what: &str) {
        let committed = self.socket.as_mut().map_or(Ok(()), |socket| socket.commit(transaction));
        if let Err(error) = committed {
            tracing::warn!("cannot {what} the nftables table {}: {error}", self.settings.table);
        }
    }
}

fn put_in(
    transaction: &mut Transaction,
    table: &str,
    family: Family,
    interface: InterfaceIndex,
    entry: Entry,
) {
    let key = interface_key(interface);
    transaction.add(family, table, PARENTS, &key, Some(&interface_key(entry.parent)));
    if family == Family::Ipv6 {
        transaction.add(family, table, VIRTUAL, &key, None);
        if let Some(local) = entry.local {
            transaction.add(family, table, LOCALS, &local_key(interface, local), None);
        }
    }
}

fn take_out(
    transaction: &mut Transaction,
    table: &str,
    family: Family,
    interface: InterfaceIndex,
    entry: Entry,
) {
    let key = interface_key(interface);
    transaction.remove(family, table, PARENTS, &key);
    if family == Family::Ipv6 {
        transaction.remove(family, table, VIRTUAL, &key);
        if let Some(local) = entry.local {
            transaction.remove(family, table, LOCALS, &local_key(interface, local));
        }
    }
}

fn local_key(interface: InterfaceIndex, local: Ipv6Addr) -> Vec<u8> {
    interface_key(interface).into_iter().chain(local.octets()).collect()
}

fn table_name(family: Family, table: &str) -> String {
    match family {
        Family::Ipv4 => format!("table ip {table}"),
        Family::Ipv6 => format!("table ip6 {table}"),
    }
}
