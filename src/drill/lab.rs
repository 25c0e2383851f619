//! The laboratory: a switch, routers, a client in front of them and a server behind them.
//!
//! ```text
//!  client ─┐                        ┌─ server
//!          ├─ front ─┬─ r1 ─┬─ back ┤
//!          │  eth0   ├─ r2 ─┤ back0 │
//!          │         └─ rN ─┘       │
//! ```
//!
//! Both segments are bridges in one switch namespace, whose ports carry the names of what is plugged in. All
//! is held by descriptors of this process: nothing has a name on the machine, and all ends with it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeMap;
use std::io;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::daemon::{Daemon, Ground, Program};
use super::folder::Folder;
use super::interruption::pause;
use crate::kernel::KernelError;
use crate::net::{Family, InterfaceIndex, InterfaceName, MacAddress, Prefix};
use crate::sys::namespace::Namespace;
use crate::sys::netlink::{Network, VethEnd};
use crate::sys::pid_namespace::PidNamespace;

/// How long IPv6 may take to become usable on a new interface.
const IPV6_READY: Duration = Duration::from_secs(10);

/// What to build.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Layout {
    /// Family of everything.
    pub family: Family,
    /// Routers, 1 to 100.
    pub routers: u8,
    /// Front segments, 1 to 16: each router has `eth0`, `eth1` and so on. The client is on the first.
    pub fronts: u8,
    /// Real servers on the first front segment, 0 to 80: each holds the client's gateway on its loopback interface and
    /// does not answer for it, as direct routing wants it. IPv4 only.
    pub real_servers: u8,
}

impl Layout {
    /// Address of router `router` (from 0) on front segment `front`.
    pub fn router_address(self, router: usize, front: u8) -> IpAddr {
        self.address(front, octet(router + 2))
    }

    /// The address that the client uses as its gateway: virtual.
    pub fn gateway(self) -> IpAddr {
        match self.family {
            Family::Ipv4 => self.address(0, 254),
            // A router's address is link-local in IPv6 (RFC 9568 §5.2.9: the first one of the list is).
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x5e, 1)),
        }
    }

    /// A virtual address of the second front segment, where there is one.
    pub fn second_gateway(self) -> IpAddr {
        match self.family {
            Family::Ipv4 => self.address(1, 254),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x5e, 2)),
        }
    }

    /// Address of a real server (from 0).
    pub fn real_server(self, number: usize) -> IpAddr {
        self.address(0, octet(number + 11))
    }

    /// The server behind the routers.
    pub fn server(self) -> IpAddr {
        self.address(BACK, 100)
    }

    /// The setting of the kernel by which a router forwards, below `/proc/sys/net`.
    pub(super) const fn forwarding(self) -> &'static str {
        match self.family {
            Family::Ipv4 => "ipv4/ip_forward",
            Family::Ipv6 => "ipv6/conf/all/forwarding",
        }
    }

    fn address(self, segment: u8, host: u8) -> IpAddr {
        match self.family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(198, 18, segment, host)),
            Family::Ipv6 => {
                IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, u16::from(segment), 0, 0, 0, host.into()))
            }
        }
    }

    fn prefix_length(self) -> u8 {
        match self.family {
            Family::Ipv4 => 24,
            Family::Ipv6 => 64,
        }
    }
}

/// No interface of the laboratory has it.
const NOBODY: MacAddress = MacAddress([0x02, 0xff, 0xff, 0xff, 0xff, 0xff]);

/// Number of the segment behind the routers, beyond every front segment.
const BACK: u8 = 200;

/// A machine of the laboratory.
#[derive(Debug)]
pub struct Site {
    /// `r1`, `client` …
    pub name: String,
    /// Its network.
    pub namespace: Namespace,
    /// For looking at its network and changing it.
    pub socket: Network,
    /// Hardware address of each front interface.
    pub macs: Vec<MacAddress>,
}

/// The laboratory.
#[derive(Debug)]
pub struct Lab {
    /// What it was built from.
    pub layout: Layout,
    /// The routers.
    pub routers: Vec<Site>,
    /// In front of the routers.
    pub client: Site,
    /// Behind them.
    pub server: Site,
    /// Beside them.
    pub real_servers: Vec<Site>,
    daemons: Vec<Option<Daemon>>,
    switch: Site,
    bridges: BTreeMap<u8, InterfaceIndex>,
    ports: BTreeMap<InterfaceIndex, (usize, u8)>,
    folder: Folder,
    processes: PidNamespace,
}

impl Lab {
    /// Builds it.
    pub fn build(layout: Layout) -> io::Result<Self> {
        let mut switch = site("switch".to_owned(), layout)?;
        // Where the host lets bridges pass their frames through its packet filter, that costs the senders time.
        for filter in ["iptables", "ip6tables", "arptables"] {
            match switch.namespace.set(&format!("bridge/bridge-nf-call-{filter}"), "0") {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let mut bridges = BTreeMap::new();
        for segment in (0..layout.fronts).chain([BACK]) {
            let name = interface(&format!("br{segment}"))?;
            switch.socket.create_bridge(&name).map_err(failed("creating a bridge"))?;
            let index = switch.socket.index_of(&name).map_err(failed("creating a bridge"))?;
            switch.socket.set_up(index, true).map_err(failed("setting a bridge up"))?;
            bridges.insert(segment, index);
        }
        let mut lab = Self {
            layout,
            routers: Vec::new(),
            client: site("client".to_owned(), layout)?,
            server: site("server".to_owned(), layout)?,
            real_servers: Vec::new(),
            daemons: Vec::new(),
            switch,
            bridges,
            ports: BTreeMap::new(),
            folder: Folder::create()?,
            processes: PidNamespace::create()?,
        };
        for router in 0..usize::from(layout.routers) {
            let mut site = site(format!("r{}", router + 1), layout)?;
            site.namespace.set(layout.forwarding(), "1")?;
            for front in 0..layout.fronts {
                let address = layout.router_address(router, front);
                let port = plug(
                    &mut lab.switch,
                    &mut site,
                    &format!("eth{front}"),
                    layout,
                    lab.bridges[&front],
                    address,
                )?;
                lab.ports.insert(port, (router, front));
            }
            let address = layout.address(BACK, octet(router + 2));
            plug(&mut lab.switch, &mut site, "back0", layout, lab.bridges[&BACK], address)?;
            lab.routers.push(site);
            lab.daemons.push(None);
        }
        for number in 0..usize::from(layout.real_servers) {
            let mut site = site(format!("s{}", number + 1), layout)?;
            for (setting, value) in [("arp_ignore", "1"), ("arp_announce", "2")] {
                site.namespace.set(&format!("ipv4/conf/all/{setting}"), value)?;
            }
            let address = layout.real_server(number);
            plug(&mut lab.switch, &mut site, "eth0", layout, lab.bridges[&0], address)?;
            let service = Prefix::host(layout.gateway());
            site.socket.add_address(InterfaceIndex::LOWEST, service).map_err(failed("adding an address"))?;
            lab.real_servers.push(site);
        }
        plug(&mut lab.switch, &mut lab.client, "eth0", layout, lab.bridges[&0], layout.address(0, 100))?;
        plug(&mut lab.switch, &mut lab.server, "eth0", layout, lab.bridges[&BACK], layout.server())?;
        let eth0 = lab.client.index("eth0")?;
        let network = Prefix::new(layout.server(), layout.prefix_length()).ok_or_else(bad_prefix)?;
        lab.client.socket.add_route(network, layout.gateway(), eth0).map_err(failed("routing"))?;
        lab.wait_until_ready()?;
        Ok(lab)
    }

    /// The namespace of the switch, where every frame passes.
    pub fn switch(&self) -> &Namespace {
        &self.switch.namespace
    }

    /// Which router, on which front segment, each port of the switch leads to.
    pub fn ports(&self) -> &BTreeMap<InterfaceIndex, (usize, u8)> {
        &self.ports
    }

    /// Folder for files of the laboratory.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Pulls the cables of a router's front interfaces, or plugs them in again.
    pub fn set_cable(&mut self, router: usize, plugged: bool) -> io::Result<()> {
        let ports = self.ports.iter().filter(|(_, (owner, _))| *owner == router).map(|(port, _)| *port);
        for port in ports {
            self.switch.socket.set_up(port, plugged).map_err(failed("switching a port"))?;
        }
        Ok(())
    }

    /// The same of one front interface.
    pub fn set_cable_of(&mut self, router: usize, front: u8, plugged: bool) -> io::Result<()> {
        let ports = self.ports.iter().filter(|(_, place)| **place == (router, front)).map(|(port, _)| *port);
        for port in ports {
            self.switch.socket.set_up(port, plugged).map_err(failed("switching a port"))?;
        }
        Ok(())
    }

    /// Has a router no longer hear what is sent to groups on its front segments, or hear it again. What it sends
    /// arrives all the while.
    pub fn set_deaf(&mut self, router: usize, deaf: bool) -> io::Result<()> {
        let ports = self.ports.iter().filter(|(_, (owner, _))| *owner == router).map(|(port, _)| *port);
        for port in ports {
            self.switch.socket.set_multicast_flood(port, !deaf).map_err(failed("changing a port"))?;
        }
        Ok(())
    }

    /// Has what a router sends to another one's address on the first front segment go astray, or arrive again.
    pub fn set_astray(&mut self, from: usize, to: usize, astray: bool) -> io::Result<()> {
        let address = self.layout.router_address(to, 0);
        let mac = self.routers[to].macs.first().copied().filter(|_| !astray);
        let site = &mut self.routers[from];
        let eth0 = site.index("eth0")?;
        site.socket
            .set_neighbour(eth0, address, mac.unwrap_or(NOBODY))
            .map_err(failed("changing a neighbour"))
    }

    /// Has a router forward packets, or not.
    pub fn set_forwarding(&mut self, router: usize, forwards: bool) -> io::Result<()> {
        self.routers[router].namespace.set(self.layout.forwarding(), if forwards { "1" } else { "0" })
    }

    /// Takes a router's front ports out of the switch, or puts them back: frames stop, the carrier stays.
    pub fn set_partition(&mut self, router: usize, apart: bool) -> io::Result<()> {
        for (&port, &(owner, front)) in &self.ports {
            if owner == router {
                let bridge = (!apart).then(|| self.bridges[&front]);
                self.switch.socket.set_controller(port, bridge).map_err(failed("moving a port"))?;
            }
        }
        Ok(())
    }

    /// Starts a program on a real server. It ends with the laboratory.
    pub(super) fn start_on_real_server(&self, number: usize, mut command: Command) -> io::Result<Child> {
        self.real_servers[number].namespace.contain(&mut command);
        self.processes.spawn(command)
    }

    /// Starts a daemon on a router.
    pub fn start(
        &mut self,
        router: usize,
        program: &Program,
        config: &str,
        ground: Ground,
    ) -> io::Result<&mut Daemon> {
        let site = &self.routers[router];
        let daemon = Daemon::start(program, config, ground, site, &self.folder, &self.processes)?;
        Ok(self.daemons[router].insert(daemon))
    }

    /// The daemon of a router, if one was started.
    pub fn daemon(&mut self, router: usize) -> io::Result<&mut Daemon> {
        self.daemons[router]
            .as_mut()
            .ok_or_else(|| io::Error::other(format!("no daemon runs on r{}", router + 1)))
    }

    /// Whether a router holds `address` on any interface.
    pub fn holds(&mut self, router: usize, address: IpAddr) -> io::Result<bool> {
        let site = &mut self.routers[router];
        for link in site.socket.links().map_err(failed("reading links"))? {
            let held = site.socket.addresses(link.index).map_err(failed("reading addresses"))?;
            if held.iter().any(|prefix| prefix.address() == address) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The MAC that the client's neighbour cache has for `address`.
    pub fn client_entry(&mut self, address: IpAddr) -> io::Result<Option<MacAddress>> {
        let eth0 = self.client.index("eth0")?;
        self.client.socket.neighbour(eth0, address).map_err(failed("reading neighbours"))
    }

    /// The router that frames to `mac` go to: whose it is, or for one that several have, where the switch has learnt it.
    pub fn router_of(&mut self, mac: MacAddress) -> io::Result<Option<usize>> {
        if let Some(owner) = self.routers.iter().position(|router| router.macs.first() == Some(&mac)) {
            return Ok(Some(owner));
        }
        let port = self.switch.socket.learnt_port(mac).map_err(failed("reading the switch's table"))?;
        Ok(port.and_then(|port| self.ports.get(&port)).map(|(router, _)| *router))
    }

    /// Waits until every interface carries frames, and IPv6 is usable.
    fn wait_until_ready(&mut self) -> io::Result<()> {
        let start = Instant::now();
        let family = self.layout.family;
        let sites = self.routers.iter_mut().chain(&mut self.real_servers);
        let sites = sites.chain([&mut self.client, &mut self.server]);
        for site in sites {
            while !ready(site, family).map_err(failed("reading links"))? {
                if start.elapsed() > IPV6_READY {
                    return Err(io::Error::other(format!("the network of {} did not come up", site.name)));
                }
                pause(Duration::from_millis(10))?;
            }
        }
        Ok(())
    }
}

impl Site {
    /// The number of an interface.
    pub fn index(&mut self, name: &str) -> io::Result<InterfaceIndex> {
        self.socket.index_of(&interface(name)?).map_err(failed("looking for an interface"))
    }
}

fn ready(site: &mut Site, family: Family) -> Result<bool, KernelError> {
    for link in site.socket.links()? {
        if link.name.starts_with("eth") || link.name == "back0" {
            if !link.running {
                return Ok(false);
            }
            if family == Family::Ipv6 {
                let link_local = |prefix: &Prefix| match prefix.address() {
                    IpAddr::V6(address) => address.is_unicast_link_local(),
                    IpAddr::V4(_) => false,
                };
                if !site.socket.has_multicast_route(link.index)?
                    || !site.socket.addresses(link.index)?.iter().any(link_local)
                {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

fn site(name: String, layout: Layout) -> io::Result<Site> {
    let namespace = Namespace::create()?;
    match layout.family {
        // The probes go one way only: a strict check of their source would drop them.
        Family::Ipv4 => {
            namespace.set("ipv4/conf/all/rp_filter", "0")?;
            namespace.set("ipv4/conf/default/rp_filter", "0")?;
        }
        Family::Ipv6 => {
            for scope in ["all", "default"] {
                namespace.set(&format!("ipv6/conf/{scope}/disable_ipv6"), "0")?;
                namespace.set(&format!("ipv6/conf/{scope}/accept_dad"), "0")?;
                namespace.set(&format!("ipv6/conf/{scope}/router_solicitations"), "0")?;
            }
        }
    }
    let mut socket = namespace.run(Network::open)?.map_err(failed("opening a route socket"))?;
    socket.set_up(InterfaceIndex::LOWEST, true).map_err(failed("setting loopback up"))?;
    Ok(Site { name, namespace, socket, macs: Vec::new() })
}

/// Connects an interface of `site` with a port of a bridge, and gives the port's number.
fn plug(
    switch: &mut Site,
    site: &mut Site,
    name: &str,
    layout: Layout,
    bridge: InterfaceIndex,
    address: IpAddr,
) -> io::Result<InterfaceIndex> {
    let own = interface(name)?;
    let port = interface(&format!("{}-{name}", site.name))?;
    let number = match address {
        IpAddr::V4(address) => address.octets()[2..].try_into().unwrap_or([0, 0]),
        IpAddr::V6(address) => [address.octets()[7], address.octets()[15]],
    };
    let mac = MacAddress([0x02, 0, 0, 0, number[0], number[1]]);
    let port_mac = MacAddress([0x02, 0xff, 0, 0, number[0], number[1]]);
    switch
        .socket
        .create_veth(
            VethEnd { name: &port, namespace: &switch.namespace, mac: port_mac },
            VethEnd { name: &own, namespace: &site.namespace, mac },
        )
        .map_err(failed("creating a pair of interfaces"))?;
    let port = switch.socket.index_of(&port).map_err(failed("creating a pair of interfaces"))?;
    switch.socket.set_controller(port, Some(bridge)).map_err(failed("adding a port to a bridge"))?;
    switch.socket.set_up(port, true).map_err(failed("setting a port up"))?;
    let own = site.socket.index_of(&own).map_err(failed("creating a pair of interfaces"))?;
    site.socket.set_up(own, true).map_err(failed("setting an interface up"))?;
    let prefix = Prefix::new(address, layout.prefix_length()).ok_or_else(bad_prefix)?;
    site.socket.add_address(own, prefix).map_err(failed("adding an address"))?;
    if name.starts_with("eth") {
        site.macs.push(mac);
    }
    Ok(port)
}

fn interface(name: &str) -> io::Result<InterfaceName> {
    name.parse().map_err(|error| io::Error::other(format!("{name}: {error}")))
}

fn failed(what: &'static str) -> impl Fn(KernelError) -> io::Error {
    move |error| io::Error::other(format!("{what}: {error}"))
}

fn bad_prefix() -> io::Error {
    io::Error::other("a prefix of the laboratory is out of range")
}

fn octet(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
