//! What goes over the wire, and where: groups, sources, announcements, what tells routers apart.

use core::net::IpAddr;

use super::{Whole, boolean, number, value};
use crate::config::diagnostics::{Diagnostic, Status};
use crate::config::model::VrrpInstance;
use crate::net::Family;
use crate::time::Duration;
use crate::vrrp::{AnnounceSettings, Destinations, ExtraAnnouncements, RouterConfig, default_group};
use crate::wire::vrrp::{ChecksumMode, Version};

impl<'a> Whole<'a> {
    pub(super) fn announce(&self, instance: &VrrpInstance) -> AnnounceSettings {
        let g = self.global;
        let seconds = |count: u32| Duration::from_secs(count.into());
        let least = boolean(g.vrrp_min_garp.as_ref(), None);
        let (repeat, delay, refresh_repeat) = if least { (1, 0, 0) } else { (5, 5, 1) };
        // What an instance says of itself as a new master does not hold when it answers a rival.
        let delay = value(g.vrrp_garp_master_delay.as_ref()).unwrap_or(delay);
        let repeat = value(g.vrrp_garp_master_repeat.as_ref()).map_or(repeat, |count| count.max(1));
        AnnounceSettings {
            repeat: value(instance.garp_master_repeat.as_ref()).unwrap_or(repeat),
            delay: seconds(value(instance.garp_master_delay.as_ref()).unwrap_or(delay)),
            refresh: seconds(number(
                instance.garp_master_refresh.as_ref(),
                value(g.vrrp_garp_master_refresh.as_ref()),
                0,
            )),
            refresh_repeat: number(
                instance.garp_master_refresh_repeat.as_ref(),
                value(g.vrrp_garp_master_refresh_repeat.as_ref()),
                refresh_repeat,
            )
            .max(1),
            lower_prio_delay: seconds(number(
                instance.garp_lower_prio_delay.as_ref(),
                value(g.vrrp_garp_lower_prio_delay.as_ref()),
                delay,
            )),
            lower_prio_repeat: number(
                instance.garp_lower_prio_repeat.as_ref(),
                value(g.vrrp_garp_lower_prio_repeat.as_ref()),
                repeat,
            ),
            arp_interval: g.vrrp_garp_interval.as_ref().map_or(Duration::ZERO, |e| e.value.duration()),
            ndisc_interval: g.vrrp_gna_interval.as_ref().map_or(Duration::ZERO, |e| e.value.duration()),
            // 0 switches off what holds for all.
            extra: match (&instance.garp_extra_if, &g.vrrp_garp_extra_if) {
                (Some(own), _) => Some((own.value.seconds, own.value.all)),
                (None, Some(all)) => Some((all.value.seconds, all.value.all)),
                (None, None) => None,
            }
            .filter(|(period, _)| *period > 0)
            .map(|(period, all)| ExtraAnnouncements { period: seconds(period), all }),
        }
    }

    pub(super) fn destination(&self, instance: &VrrpInstance, router: &mut RouterConfig, name: &str) {
        let mut group = match router.family {
            Family::Ipv4 => self.global.vrrp_mcast_group4.as_ref().map(|e| IpAddr::V4(e.value.0)),
            Family::Ipv6 => self.global.vrrp_mcast_group6.as_ref().map(|e| IpAddr::V6(e.value.0)),
        }
        .unwrap_or_else(|| default_group(router.family));
        if let Some(entry) = &instance.mcast_dst_ip {
            let own = entry.value.0;
            let fits = own.is_multicast()
                && Family::of(&own) == router.family
                // Link-local scope, any flags.
                && match own {
                    IpAddr::V4(_) => true,
                    IpAddr::V6(group) => group.segments()[0] & 0xff0f == 0xff02,
                };
            if fits {
                group = own;
            } else {
                self.push(
                    Diagnostic::error(
                        "invalid-group",
                        format!(
                            "`{name}`: {own} cannot be the group of an {} router: {group} is used",
                            router.family
                        ),
                    )
                    .at(self.place(entry.at))
                    .help("IPv4 groups are 224.0.0.0/4, IPv6 groups must be of link-local scope (ffX2::)"),
                );
            }
        }
        router.destinations = Destinations::Multicast(group);
        self.source(instance, router, name);
    }

    /// Either keyword is for either kind of destination in keepalived; of both, the last one counts.
    fn source(&self, instance: &VrrpInstance, router: &mut RouterConfig, name: &str) {
        router.track_source = instance.track_src_ip.is_some();
        let mut entries = [
            instance.mcast_src_ip.as_ref().map(|entry| (entry, "mcast_src_ip")),
            instance.unicast_src_ip.as_ref().map(|entry| (entry, "unicast_src_ip")),
        ];
        entries.sort_by_key(|entry| entry.map(|(entry, _)| entry.at));
        for (entry, keyword) in entries.into_iter().flatten() {
            let address = entry.value.0;
            if Family::of(&address) == router.family {
                router.source = Some(address);
                continue;
            }
            self.push(
                Diagnostic::error(
                    "source-family",
                    format!("`{name}`: {keyword} {address} is not of the family of the addresses"),
                )
                .at(self.place(entry.at))
                .note("the interface's own address is used"),
            );
        }
    }

    pub(super) fn switches(&self, instance: &VrrpInstance, router: &mut RouterConfig) {
        let g = self.global;
        let as_version_2 = boolean(instance.v3_checksum_as_v2.as_ref(), g.v3_checksum_as_v2.as_ref());
        if as_version_2 && router.version == Version::V3 && router.family == Family::Ipv4 {
            router.checksum = ChecksumMode::AsVersion2;
        }
        router.promote_secondaries = instance.promote_secondaries.is_some();
        // The last of both words counts.
        let refused = instance.no_accept.as_ref().map(|entry| entry.at);
        router.accept = refused.is_none_or(|no| instance.accept.as_ref().is_some_and(|yes| yes.at > no));
        router.lower_prio_no_advert =
            boolean(instance.lower_prio_no_advert.as_ref(), g.vrrp_lower_prio_no_advert.as_ref());
        let last_advert = instance.higher_prio_send_advert.as_ref();
        if let Some(entry) = last_advert.or(g.vrrp_higher_prio_send_advert.as_ref()) {
            router.higher_prio_send_advert = entry.value.0;
        }
        router.skip_check_adv_addr =
            boolean(instance.skip_check_adv_addr.as_ref(), g.vrrp_skip_check_adv_addr.as_ref());
        router.owner_ignore_adverts =
            boolean(instance.owner_ignore_adverts.as_ref(), g.vrrp_owner_ignore_adverts.as_ref());
    }

    pub(super) fn unique(&mut self, router: &RouterConfig, name: &'a str, instance: &'a VrrpInstance) {
        let interfaces = &router.interfaces;
        let receive = interfaces.base.as_ref().or_else(|| interfaces.hears_by()).cloned();
        let place = receive.as_ref().map_or_else(String::new, |name| format!(" on interface {name}"));
        let vrid = router.vrid.get();
        let at = instance.virtual_router_id.as_ref().map_or(instance.header.at, |entry| entry.at);
        let first = match &router.destinations {
            Destinations::Multicast(group) => {
                let key = (receive, router.family, vrid, *group);
                let first = self.identities.get(&key).copied();
                self.identities.entry(key).or_insert((name, at));
                first
            }
            // Unicast instances are told apart by who talks to whom.
            Destinations::Unicast(_) => {
                let peers = router.destinations.addresses().collect();
                let key = (receive, router.family, vrid, router.source, peers);
                let first = self.unicast.get(&key).copied();
                self.unicast.entry(key).or_insert((name, at));
                first
            }
        };
        if let Some((other, first)) = first {
            self.push(
                Diagnostic::fatal(
                    "vrid-clash",
                    format!("{other} and {name} both use VRID {} with {}{place}", router.vrid, router.family),
                )
                .status(Status::Fault)
                .at(self.place(at))
                .related(self.place(first), format!("first used by `{other}`"))
                .help("give one of them another virtual_router_id, the same on all routers of its group"),
            );
        }
    }
}
