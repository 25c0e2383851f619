//! The limit of open files: how many of them the routers' sockets may take, so that some are left for reloads, dumps and
//! clients, and what to say where there are too few.

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use crate::kernel::KernelError;
use crate::node::NodeConfig;
use crate::sys::process;
use crate::vrrp::{RouterConfig, RouterIdentity};

/// Open in a worker besides its routers' sockets, with some to spare: queues, timers, files, netlink.
const OWN: u64 = 96;

/// Kept free of routers' sockets: for clients, for what a reload reads and a dump writes, for runners.
const RESERVE: u64 = 96;

/// Refuses a socket for a router where it would be one of the reserve. `any` is any open descriptor.
pub(super) fn spare_for_socket(any: &impl AsFd) -> Result<(), KernelError> {
    let limit = process::descriptor_limit();
    let bound = limit - RESERVE.min(limit / 4);
    match process::lowest_free_descriptor(any) {
        Ok(next) if next < bound => Ok(()),
        // Also where there is none at all.
        _ => Err(KernelError {
            errno: libc::EMFILE,
            message: format!("the limit of {limit} open files leaves none for it"),
        }),
    }
}

/// What to say where the sockets of all routers and the reserve do not fit the limit.
pub(super) fn too_few(node: &NodeConfig) -> Option<String> {
    let needed = needed(node.routers.iter());
    let limit = process::descriptor_limit();
    (limit < needed).then(|| {
        format!(
            "the limit of open files is {limit}, and {needed} are needed: routers whose sockets do not fit will be in \
             FAULT; raise it (LimitNOFILE= in the systemd unit, ulimit -Hn) and start again"
        )
    })
}

fn needed<'a>(routers: impl Iterator<Item = &'a RouterConfig>) -> u64 {
    let sockets: BTreeSet<_> = routers
        .map(|router| {
            let RouterIdentity { receive, family, channel, .. } = router.identity();
            (receive, family, channel)
        })
        .collect();
    sockets.len() as u64 + OWN + RESERVE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Family;
    use crate::wire::vrrp::Vrid;

    #[test]
    fn routers_on_one_interface_share_a_socket() {
        let router = |vrid, family, interface: &str| {
            RouterConfig::new("A", Vrid::new(vrid).unwrap(), family, interface.parse().unwrap())
        };
        let routers = [
            router(1, Family::Ipv4, "eth0"),
            router(2, Family::Ipv4, "eth0"),
            router(1, Family::Ipv6, "eth0"),
            router(1, Family::Ipv4, "eth1"),
        ];
        assert_eq!(needed(routers.iter()), 3 + OWN + RESERVE);
    }
}
