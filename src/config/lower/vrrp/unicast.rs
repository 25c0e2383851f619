//! `unicast_peer` and what belongs to it.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeMap;

use super::{Whole, on};
use crate::config::diagnostics::{Diagnostic, Status};
use crate::config::model::VrrpInstance;
use crate::config::source::{Position, Span};
use crate::net::Family;
use crate::vrrp::{Destinations, OldChecksum, RouterConfig, RouterInterfaces, UnicastPeer, default_group};
use crate::wire::vrrp::{HopLimits, Version};

/// TTL of advertisements by unicast over IPv4, as by multicast.
const TTL: u8 = 255;
/// Hop limit of those over IPv6: the kernel's default, as keepalived has it.
const HOP_LIMIT: u8 = 64;

impl Whole<'_> {
    /// The interfaces of an instance without `interface`. Unicast takes whatever way the routes say; what is left to
    /// know is where the addresses go.
    pub(super) fn routed(
        &self,
        instance: &VrrpInstance,
        name: &str,
        place: Span,
    ) -> Option<RouterInterfaces> {
        let missing = |message: &str, help: &str| {
            self.push(
                Diagnostic::fatal("missing-interface", format!("the instance `{name}` {message}"))
                    .status(Status::Fault)
                    .at(place)
                    .help(help),
            );
            None
        };
        if !is_unicast(instance) {
            return missing(
                "has no interface",
                "write interface with the name of the network interface it runs on",
            );
        }
        let is_link_local = |address: &IpAddr| matches!(address, IpAddr::V6(a) if a.is_unicast_link_local());
        let source = instance.unicast_src_ip.as_ref().or(instance.mcast_src_ip.as_ref());
        if source.is_none_or(|entry| is_link_local(&entry.value.0)) {
            return missing(
                "has neither an interface nor a unicast_src_ip that says where it is",
                "write interface, or unicast_src_ip with an address that is not link-local",
            );
        }
        if let Some(at) = instance
            .use_vmac
            .as_ref()
            .map(|entry| entry.at)
            .or_else(|| instance.use_ipvlan.as_ref().map(|entry| entry.at))
        {
            self.push(
                Diagnostic::error("unicast-on-vmac", format!("`{name}`: a virtual MAC needs an interface"))
                    .at(self.place(at))
                    .label("ignored")
                    .help("write interface"),
            );
        }
        let default = self.global.default_interface.as_ref().map(|entry| &entry.value.0);
        let all = instance.virtual_ipaddress.iter().chain(&instance.virtual_ipaddress_excluded);
        let first = all.into_iter().find_map(|entry| entry.value.interface.as_ref());
        let Some(addresses) = default.or(first) else {
            return missing(
                "has no interface, and nothing says which one its addresses are for",
                "write interface, or dev after each address, or default_interface in global_defs",
            );
        };
        let vrf = instance.vrf.as_ref().map(|entry| {
            self.exists(&entry.value.0, self.place(entry.at));
            entry.value.0.clone()
        });
        Some(RouterInterfaces::routed(addresses.clone(), vrf))
    }

    /// What makes a router one that speaks to its peers, and reports what is wrong with it.
    pub(super) fn unicast(&self, instance: &VrrpInstance, router: &mut RouterConfig, name: &str) {
        if !is_unicast(instance) {
            return self.without_peers(instance, name);
        }
        if let Some(entry) = &instance.mcast_dst_ip {
            self.ignored("mcast_dst_ip", entry.at, name, "mcast_dst_ip has no sense with unicast");
        }
        if let (Some(at), None) = (
            instance
                .use_vmac
                .as_ref()
                .map(|entry| entry.at)
                .or_else(|| instance.use_ipvlan.as_ref().map(|entry| entry.at)),
            &instance.vmac_xmit_base,
        ) {
            self.push(
                Diagnostic::error(
                    "unicast-on-vmac",
                    format!("`{name}`: unicast on a virtual MAC needs vmac_xmit_base, which is assumed"),
                )
                .at(self.place(at))
                .help("write vmac_xmit_base"),
            );
        }
        let peers = self.peers(instance, router, name);
        let limited = peers.iter().any(|peer| peer.hop_limits != HopLimits::ANY);
        router.destinations = Destinations::Unicast(peers);
        router.check_source = limited
            || on(instance.check_unicast_src.as_ref())
            || on(self.global.vrrp_check_unicast_src.as_ref());
        let default = match router.family {
            Family::Ipv4 => TTL,
            Family::Ipv6 => HOP_LIMIT,
        };
        router.hop_limit =
            instance.unicast_ttl.as_ref().and_then(|e| u8::try_from(e.value.0).ok()).unwrap_or(default);
        router.old_checksum = self.old_checksum(instance, router, name);
    }

    /// The peers that can be ones.
    fn peers(&self, instance: &VrrpInstance, router: &RouterConfig, name: &str) -> Vec<UnicastPeer> {
        let mut seen: BTreeMap<IpAddr, Position> = BTreeMap::new();
        let mut peers = Vec::new();
        for entry in &instance.unicast_peer {
            let crate::config::values::UnicastPeer { address, min_ttl, max_ttl } = entry.value;
            if Family::of(&address) != router.family {
                let message = format!("the peer {address} is not of the family of the addresses");
                self.ignored("peer-family", entry.at, name, &message);
                continue;
            }
            if let Some(&first) = seen.get(&address) {
                self.push(
                    Diagnostic::error(
                        "duplicate-peer",
                        format!("`{name}`: the peer {address} is named twice"),
                    )
                    .at(self.place(entry.at))
                    .label("ignored")
                    .related(self.place(first), "first here"),
                );
                continue;
            }
            seen.insert(address, entry.at);
            if let Some(why) = not_a_peer(&address, router) {
                // keepalived sends there without a word.
                self.push(
                    Diagnostic::warning("not-a-peer", format!("`{name}`: {address} is {why}, and no peer"))
                        .at(self.place(entry.at))
                        .label("ignored")
                        .help("write the addresses that the other routers send from"),
                );
                continue;
            }
            let hop_limits = HopLimits { least: min_ttl.unwrap_or(0), most: max_ttl.unwrap_or(255) };
            if hop_limits.least > hop_limits.most {
                self.push(
                    Diagnostic::error(
                        "ttl-range",
                        format!(
                            "`{name}`: min_ttl {} is above max_ttl {}: all packets of {address} will be discarded",
                            hop_limits.least, hop_limits.most
                        ),
                    )
                    .at(self.place(entry.at))
                    .help("exchange them, or remove one"),
                );
            }
            peers.push(UnicastPeer { address, hop_limits });
        }
        if peers.is_empty() && !instance.unicast_peer.is_empty() {
            self.push(
                Diagnostic::warning("no-peer-left", format!("`{name}`: no peer is left: it stays in FAULT"))
                    .at(self.place(instance.header.at)),
            );
        }
        peers
    }

    /// Only version 3 over IPv4 had another checksum.
    fn old_checksum(&self, instance: &VrrpInstance, router: &RouterConfig, name: &str) -> OldChecksum {
        let group = self.global.vrrp_mcast_group4.as_ref().map(|entry| entry.value.0);
        let group = group.unwrap_or_else(|| match default_group(Family::Ipv4) {
            IpAddr::V4(group) => group,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        });
        let chosen = match &instance.old_unicast_checksum {
            None => OldChecksum::Detect(group),
            Some(entry) => match entry.value.0.first().map(|word| &**word) {
                None => OldChecksum::Always(group),
                Some("never") => OldChecksum::Never,
                Some(other) => {
                    self.push(
                        Diagnostic::error(
                            "old-checksum",
                            format!("`{name}`: old_unicast_checksum has no mode `{other}`"),
                        )
                        .at(self.place(entry.at))
                        .label("ignored")
                        .help("write never, or nothing"),
                    );
                    OldChecksum::Detect(group)
                }
            },
        };
        match (router.version, router.family) {
            (Version::V3, Family::Ipv4) => chosen,
            _ => OldChecksum::Never,
        }
    }

    /// Reports unicast settings without `unicast_peer`.
    fn without_peers(&self, instance: &VrrpInstance, name: &str) {
        let lonely = [
            (instance.unicast_src_ip.as_ref().map(|entry| entry.at), "unicast_src_ip"),
            (instance.old_unicast_checksum.as_ref().map(|entry| entry.at), "old_unicast_checksum"),
            (instance.check_unicast_src.as_ref().map(|entry| entry.at), "check_unicast_src"),
            (instance.unicast_ttl.as_ref().map(|entry| entry.at), "unicast_ttl"),
        ];
        if let Some((at, keyword)) = lonely.iter().find_map(|(at, keyword)| at.map(|at| (at, *keyword))) {
            self.push(
                Diagnostic::error(
                    "unicast-without-peers",
                    format!("`{name}`: {keyword} without any unicast_peer: multicast is used"),
                )
                .at(self.place(at))
                .note("this usage is deprecated")
                .help("write unicast_peer { … }, or unicast_fault_no_peer if it shall fault without peers"),
            );
        }
    }

    fn ignored(&self, code: &'static str, at: Position, name: &str, message: &str) {
        self.push(
            Diagnostic::error(code, format!("`{name}`: {message}")).at(self.place(at)).label("ignored"),
        );
    }
}

/// Whether the instance speaks to peers, or shall do nothing without them.
pub(super) fn is_unicast(instance: &VrrpInstance) -> bool {
    !instance.unicast_peer.is_empty() || instance.unicast_fault_no_peer.is_some()
}

fn not_a_peer(address: &IpAddr, router: &RouterConfig) -> Option<&'static str> {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if router.source == Some(*address) {
        return Some("this router itself");
    }
    (address.is_multicast() || address.is_unspecified() || broadcast).then_some("no host's address")
}
