//! nftables tables that a daemon that was killed has left and this one does not build: removed soon after the start.
//!
//! Each table of ours says in its comment whose it is, by the pid file: one of another daemon, or of keepalived with the
//! same name, is left alone.

use std::collections::BTreeSet;
use std::path::Path;

use super::acceptance;
use crate::config::FilterSettings;
use crate::kernel::{KernelError, VirtualLinkKind};
use crate::net::Family;
use crate::node::NodeConfig;
use crate::sys::netlink::nftables::{HeldTable, NftablesSocket, Transaction};

/// What the tables of the daemon with this pid file have as a comment.
pub(super) fn mark(pid_file: &Path) -> String {
    format!("alived {}", pid_file.display())
}

/// What is to be removed, until that is done.
#[derive(Debug)]
pub(super) struct LeftFilters {
    mark: String,
    /// A predecessor had tables.
    pending: bool,
    /// Tables that the configuration in force needs.
    needed: BTreeSet<(Family, String)>,
}

impl LeftFilters {
    /// `pending`: whether a predecessor may have left tables.
    pub(super) fn new(pid_file: &Path, pending: bool) -> Self {
        Self { mark: mark(pid_file), pending, needed: BTreeSet::new() }
    }

    /// Another configuration is in force. Whether it needs tables.
    pub(super) fn configure(&mut self, node: &NodeConfig, settings: &FilterSettings) -> bool {
        self.needed = needed(node, settings);
        !self.needed.is_empty()
    }

    /// Removes what a predecessor has left: once, behind its interfaces, which must not speak without their filter.
    pub(super) fn remove(&mut self) {
        if !std::mem::take(&mut self.pending) {
            return;
        }
        match self.try_to_remove() {
            Ok(tables) => {
                for HeldTable { name, .. } in tables {
                    tracing::info!("removed the nftables table {name} that a predecessor left");
                }
            }
            Err(error) => tracing::warn!("cannot look for nftables tables that a predecessor left: {error}"),
        }
    }

    fn try_to_remove(&self) -> Result<Vec<HeldTable>, KernelError> {
        let mut socket = NftablesSocket::open()?;
        let mut tables = socket.tables()?;
        tables.retain(|table| self.is_left(table));
        if !tables.is_empty() {
            let mut transaction = Transaction::default();
            tables.iter().for_each(|table| transaction.delete_table(table.family, &table.name));
            socket.commit(transaction)?;
        }
        Ok(tables)
    }

    fn is_left(&self, table: &HeldTable) -> bool {
        table.is_marked(&self.mark) && !self.needed.contains(&(table.family, table.name.clone()))
    }
}

fn needed(node: &NodeConfig, settings: &FilterSettings) -> BTreeSet<(Family, String)> {
    let has_macs = node.links.iter().any(|link| matches!(link.kind, VirtualLinkKind::Macvlan(_)));
    let of_macs = [Family::Ipv4, Family::Ipv6].into_iter().filter(|_| has_macs);
    let mut needed: BTreeSet<_> = of_macs.map(|family| (family, settings.table.clone())).collect();
    let refused = acceptance::not_accepted(node);
    needed.extend(refused.iter().map(|address| (Family::of(address), acceptance::table_name(settings))));
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ones_own_tables_that_nobody_needs_are_left() {
        let mut filters = LeftFilters::new(Path::new("/run/vrrp.pid"), true);
        filters.needed.insert((Family::Ipv4, "b".to_owned()));
        let is_left = |family, name: &str, mark: &str| {
            filters.is_left(&HeldTable { family, name: name.to_owned(), mark: mark.to_owned() })
        };
        let ours = "alived /run/vrrp.pid";
        assert!(is_left(Family::Ipv4, "a", ours) && is_left(Family::Ipv6, "b", ours));
        assert!(!is_left(Family::Ipv4, "b", ours), "it is built anew");
        for other in ["", "alived /run/vrrp_2.pid", "mine"] {
            assert!(!is_left(Family::Ipv4, "a", other), "{other}");
        }
    }
}
