//! Drops packets to and from virtual addresses whose routers do not accept them (`no_accept`, strict mode; Accept_Mode of
//! RFC 9568 §6.1). An nftables table of our own for each family, changed in one piece, and gone at the stop.
//!
//! The addresses are in it for as long as their routers are configured, and not only while they are masters, as in
//! keepalived: on a backup nothing matches, and no takeover waits for a table or has an address without its rule.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::FilterSettings;
use crate::kernel::KernelError;
use crate::net::Family;
use crate::node::NodeConfig;
use crate::sys::netlink::nftables::{
    DataType, Expression, Header, Hook, NftablesSocket, Register, Transaction,
};

/// The set of addresses, and the chains.
const SET: &str = "vips";
const CHAINS: [(&str, Hook); 2] = [("in", Hook::Input), ("out", Hook::Output)];

/// Neighbour solicitations and advertisements, without which no host would find the address.
const NEIGHBOUR_DISCOVERY: [u8; 2] = [135, 136];

/// The tables of one daemon.
#[derive(Debug)]
pub(super) struct Acceptance {
    table: String,
    priority: i32,
    counters: bool,
    /// Says in the tables' comments whose they are.
    mark: String,
    socket: Option<NftablesSocket>,
    dropped: BTreeSet<IpAddr>,
}

/// The addresses that the routers of a configuration do not accept packets to.
pub(super) fn not_accepted(config: &NodeConfig) -> BTreeSet<IpAddr> {
    let routers = config.routers.iter().filter(|router| !router.accept && !router.priority.is_owner());
    let addresses = routers.flat_map(|router| router.addresses.iter().chain(&router.excluded));
    addresses.map(|address| address.spec.prefix.address()).collect()
}

/// Their name.
pub(super) fn table_name(settings: &FilterSettings) -> String {
    format!("{}_no_accept", settings.table)
}

impl Acceptance {
    /// With tables beside those of this name, built when they are needed.
    pub(super) fn new(settings: &FilterSettings, mark: String) -> Self {
        Self {
            table: table_name(settings),
            mark,
            priority: settings.priority,
            counters: settings.counters,
            socket: None,
            dropped: BTreeSet::new(),
        }
    }

    /// From now on packets to and from exactly these addresses are dropped.
    pub(super) fn set(&mut self, dropped: BTreeSet<IpAddr>) {
        if dropped == self.dropped {
            return;
        }
        for family in [Family::Ipv4, Family::Ipv6] {
            let of = |all: &BTreeSet<IpAddr>| -> Vec<IpAddr> {
                all.iter().filter(|address| Family::of(address) == family).copied().collect()
            };
            let (before, after) = (of(&self.dropped), of(&dropped));
            if before == after {
                continue;
            }
            if let Err(error) = self.replace(family, &after) {
                tracing::error!(
                    "cannot keep packets from {} virtual {family} addresses (no_accept, strict mode): {error}; they are \
                     taken; use a kernel with nf_tables",
                    after.len()
                );
            }
        }
        self.dropped = dropped;
    }

    /// Adds to what is dropped.
    pub(super) fn extend(&mut self, dropped: &BTreeSet<IpAddr>) {
        let both = self.dropped.union(dropped).copied().collect();
        self.set(both);
    }

    /// Removes the tables.
    pub(super) fn end(&mut self) {
        self.set(BTreeSet::new());
    }

    /// Another table in place of the one that there is, also of one that a predecessor has left.
    fn replace(&mut self, family: Family, addresses: &[IpAddr]) -> Result<(), KernelError> {
        let table = self.table.as_str();
        let mut transaction = Transaction::default();
        transaction.table(family, table);
        transaction.delete_table(family, table);
        if !addresses.is_empty() {
            self.build(&mut transaction, family, addresses);
        }
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => none.insert(NftablesSocket::open()?),
        };
        socket.commit(transaction)
    }

    fn build(&self, transaction: &mut Transaction, family: Family, addresses: &[IpAddr]) {
        let Self { table, priority, counters, mark, .. } = self;
        transaction.marked_table(family, table, mark);
        transaction.set(family, table, SET, DataType::Address(family), None);
        for address in addresses {
            let key = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            transaction.add(family, table, SET, &key, None);
        }
        let register = Register(0);
        let (source, destination, length) = match family {
            Family::Ipv4 => (12, 16, 4),
            Family::Ipv6 => (8, 24, 16),
        };
        for (chain, hook) in CHAINS {
            transaction.chain(family, table, chain, hook, *priority);
            if family == Family::Ipv6 {
                for kind in NEIGHBOUR_DISCOVERY {
                    let kind = [kind];
                    let mut steps = Expression::icmpv6(register, &kind).to_vec();
                    steps.push(Expression::Accept);
                    transaction.rule(family, table, chain, &steps, *counters);
                }
            }
            let offset = if hook == Hook::Input { destination } else { source };
            let steps = [
                Expression::Payload(Header::Network, offset, length, register),
                Expression::In(SET, register),
                Expression::Drop,
            ];
            transaction.rule(family, table, chain, &steps, *counters);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::AddressSpec;
    use crate::net::Prefix;
    use crate::vrrp::{RouterConfig, VirtualAddress};
    use crate::wire::vrrp::{Priority, Vrid};

    #[test]
    fn addresses_of_routers_that_do_not_accept_are_dropped_unless_they_own_them() {
        let router = |number: u8, accept, priority| {
            let name = "eth0".parse().unwrap();
            let address = |last| VirtualAddress {
                spec: AddressSpec::new(Prefix::host([192, 0, number, last].into())),
                interface: None,
                track: true,
            };
            RouterConfig {
                accept,
                priority: Priority(priority),
                addresses: vec![address(1)],
                excluded: vec![address(2)],
                ..RouterConfig::new("VI_1", Vrid::new(number).unwrap(), Family::Ipv4, name)
            }
        };
        let routers = vec![router(1, false, 100), router(2, true, 100), router(3, false, 255)];
        let config = NodeConfig { routers, ..NodeConfig::default() };
        let expected: [IpAddr; 2] = [[192, 0, 1, 1].into(), [192, 0, 1, 2].into()];
        assert_eq!(not_accepted(&config), expected.into());
    }
}
