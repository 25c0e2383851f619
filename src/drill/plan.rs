//! What to drill, and the configuration files that follow from it.

use core::fmt::Write;
use core::net::IpAddr;
use std::time::Duration;

use super::daemon::Program;
use super::director::Service;
use super::lab::Layout;
use super::scenario::Scenario;
use crate::net::{Family, MacAddress};
use crate::vrrp::{master_down_interval, skew_time};
use crate::wire::vrrp::{AdvertisementInterval, Priority, Version};

/// Virtual router identifier of the drill.
pub const DEFAULT_VRID: u8 = 51;

/// Name of the check that the first router forwards packets.
const CHECK: &str = "forwards";

/// How often it is made.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What to drill.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Protocol version.
    pub version: Version,
    /// Address family.
    pub family: Family,
    /// Interval of advertisements.
    pub interval: AdvertisementInterval,
    /// Virtual addresses that the routers hand over, 1 to 10,000.
    pub addresses: u16,
    /// Whether the routers have a second segment, with a virtual router of its own in a sync group with the first.
    pub sync_group: bool,
    /// How the routers tell their own from a stranger.
    pub authentication: Authentication,
    /// Whether they speak to each other's addresses instead of a group.
    pub unicast: bool,
    /// Whether the virtual addresses have the virtual MAC (`use_vmac`).
    pub virtual_mac: bool,
    /// What runs on each router, 2 to 9 of them, in falling order of priority.
    pub programs: Vec<Program>,
    /// The virtual server that they are directors of, if they are; IPv4 only.
    pub service: Option<Service>,
    /// What to do to them, in this order.
    pub scenarios: Vec<Scenario>,
}

/// How the routers authenticate each other.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Authentication {
    /// Not at all.
    #[default]
    None,
    /// `auth_type PASS`, version 2 alone.
    Pass,
    /// `auth_type AH`, version 2 alone.
    Ah,
    /// `auth_hmac`, with stamps that follow the clock.
    Hmac,
}

impl Authentication {
    /// What it is called in a report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "PASS",
            Self::Ah => "AH",
            Self::Hmac => "auth_hmac",
        }
    }

    /// The block of an instance; empty for none.
    const fn block(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Pass => "    authentication {\n        auth_type PASS\n        auth_pass drill\n    }\n",
            Self::Ah => "    authentication {\n        auth_type AH\n        auth_pass drill\n    }\n",
            Self::Hmac => {
                "    auth_hmac {\n        key 1 \"a key that only a drill may have\"\n        active_key 1\n    }\n"
            }
        }
    }
}

impl Plan {
    /// The laboratory that the plan needs.
    pub fn layout(&self) -> Layout {
        let routers = u8::try_from(self.programs.len()).unwrap_or(u8::MAX);
        Layout {
            family: self.family,
            routers,
            fronts: if self.sync_group { 2 } else { 1 },
            real_servers: self.service.map_or(0, |service| service.real_servers),
        }
    }

    /// The virtual MAC of the drill's virtual router (RFC 9568 §7.3), if it has one.
    pub fn virtual_mac(&self) -> Option<MacAddress> {
        let kind = match self.family {
            Family::Ipv4 => 1,
            Family::Ipv6 => 2,
        };
        self.virtual_mac.then_some(MacAddress([0, 0, 0x5e, 0, kind, DEFAULT_VRID]))
    }

    /// Priority of a router (from 0): 200, 190 …
    pub fn priority(&self, router: usize) -> Priority {
        Priority(200u8.saturating_sub(u8::try_from(router).unwrap_or(u8::MAX).saturating_mul(10)))
    }

    /// The virtual addresses, the client's gateway first.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let further = (1..self.addresses).map(|number| {
            let [high, low] = number.to_be_bytes();
            match self.family {
                Family::Ipv4 => IpAddr::from([198, 19, high, low]),
                Family::Ipv6 => IpAddr::from([0x2001, 0xdb8, 0, 0x5e, 0, 0, 0, number]),
            }
        });
        [self.layout().gateway()].into_iter().chain(further).collect()
    }

    /// Whether the first router checks itself.
    fn is_checked(&self) -> bool {
        self.scenarios.contains(&Scenario::Check)
    }

    /// The configuration of a router. As many addresses are advertised as fit in a packet; the others are
    /// handed over all the same.
    pub fn config(&self, router: usize) -> String {
        let mut addresses = self.addresses();
        let excluded = addresses.split_off(addresses.len().min(match self.family {
            Family::Ipv4 => 250,
            Family::Ipv6 => 80,
        }));
        let tracked_script = (router == 0 && self.is_checked()).then_some(CHECK);
        let script = tracked_script.map_or_else(String::new, |name| {
            let path = self.layout().forwarding();
            format!(
                "vrrp_script {name} {{\n    script \"/bin/grep -q 1 /proc/sys/net/{path}\"\n    interval {}\n    \
                 user root\n    weight -50\n}}\n",
                CHECK_INTERVAL.as_secs()
            )
        });
        let first = RouterText {
            name: "VI_1".to_owned(),
            interface: "eth0".to_owned(),
            version: self.version,
            vrid: DEFAULT_VRID,
            priority: self.priority(router),
            interval: self.interval,
            authentication: self.authentication,
            unicast: self.unicast.then(|| self.unicast(router, 0)),
            virtual_mac: self.virtual_mac,
            addresses,
            excluded,
            tracked_script,
        };
        if let Some(service) = &self.service {
            return format!("{}{first}{}", service.settings(&first), service.text(self.layout()));
        }
        if !self.sync_group {
            return format!("{script}{first}");
        }
        let second = RouterText {
            name: "VI_2".to_owned(),
            interface: "eth1".to_owned(),
            vrid: DEFAULT_VRID + 1,
            unicast: self.unicast.then(|| self.unicast(router, 1)),
            addresses: vec![self.layout().second_gateway()],
            excluded: Vec::new(),
            tracked_script: None,
            ..first.clone()
        };
        let group = "vrrp_sync_group G {\n    group {\n        VI_1\n        VI_2\n    }\n}\n";
        format!("{script}{group}{first}{second}")
    }

    fn unicast(&self, router: usize, front: u8) -> Unicast {
        let address = |router| self.layout().router_address(router, front);
        let others = (0..self.programs.len()).filter(|other| *other != router);
        Unicast { source: address(router), peers: others.map(address).collect() }
    }

    /// Time after which a router takes over from a master that fell silent.
    pub fn master_down(&self, router: usize) -> Duration {
        master_down_interval(self.version, self.priority(router), self.interval, 3)
    }

    /// Time after which a router takes over from a master that left (priority 0).
    pub fn skew(&self, router: usize) -> Duration {
        skew_time(self.version, self.priority(router), self.interval)
    }
}

/// Who speaks to whom.
#[derive(Clone, Debug)]
pub struct Unicast {
    /// `unicast_src_ip`.
    pub source: IpAddr,
    /// `unicast_peer`.
    pub peers: Vec<IpAddr>,
}

/// One `vrrp_instance` block.
#[derive(Clone, Debug)]
pub struct RouterText {
    /// Its name.
    pub name: String,
    /// Its interface.
    pub interface: String,
    /// Protocol version.
    pub version: Version,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Priority.
    pub priority: Priority,
    /// Interval.
    pub interval: AdvertisementInterval,
    /// Authentication, with a password of its own making.
    pub authentication: Authentication,
    /// Its peers; `None` = it speaks to a group.
    pub unicast: Option<Unicast>,
    /// Whether it has a virtual MAC.
    pub virtual_mac: bool,
    /// Advertised addresses.
    pub addresses: Vec<IpAddr>,
    /// Further addresses.
    pub excluded: Vec<IpAddr>,
    /// A `vrrp_script` that it tracks.
    pub tracked_script: Option<&'static str>,
}

impl core::fmt::Display for RouterText {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        writeln!(f, "vrrp_instance {} {{", self.name)?;
        writeln!(f, "    interface {}", self.interface)?;
        writeln!(f, "    state BACKUP")?;
        writeln!(f, "    version {}", self.version.number())?;
        writeln!(f, "    virtual_router_id {}", self.vrid)?;
        writeln!(f, "    priority {}", self.priority.0)?;
        writeln!(f, "    advert_int {}", self.interval)?;
        if self.virtual_mac {
            writeln!(f, "    use_vmac")?;
            if self.unicast.is_some() {
                writeln!(f, "    vmac_xmit_base")?;
            }
        }
        f.write_str(self.authentication.block())?;
        if let Some(Unicast { source, peers }) = &self.unicast {
            writeln!(f, "    unicast_src_ip {source}")?;
            writeln!(f, "    check_unicast_src")?;
            writeln!(f, "    unicast_peer {{")?;
            for peer in peers {
                writeln!(f, "        {peer}")?;
            }
            writeln!(f, "    }}")?;
        }
        if let Some(name) = self.tracked_script {
            writeln!(f, "    track_script {{\n        {name}\n    }}")?;
        }
        for (keyword, addresses) in
            [("virtual_ipaddress", &self.addresses), ("virtual_ipaddress_excluded", &self.excluded)]
        {
            if addresses.is_empty() {
                continue;
            }
            writeln!(f, "    {keyword} {{")?;
            for address in addresses {
                let mut line = String::new();
                write!(line, "        {address}")?;
                if address.is_ipv6() {
                    // Without it the address is deprecated (keepalived does so to each IPv6 /128), which the hosts need not care
                    // about, and 64 bits are what a link-local address has.
                    line.push_str("/64");
                }
                writeln!(f, "{line}")?;
            }
            writeln!(f, "    }}")?;
        }
        writeln!(f, "}}")
    }
}
