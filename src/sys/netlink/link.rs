//! Building networks: interfaces, their addresses and routes.

use core::future::Future;
use core::net::IpAddr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use futures_util::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_sys::AsyncSocket;
use rtnetlink::Handle;
use tokio::runtime::{self, Runtime};

use super::{datagram, error_from_io};
use crate::kernel::KernelError;
use crate::net::{Family, InterfaceIndex, InterfaceName, MacAddress, Prefix};
use crate::sys::namespace::Namespace;

/// One end of a pair of virtual Ethernet interfaces.
#[derive(Clone, Copy, Debug)]
pub struct VethEnd<'a> {
    /// Its name.
    pub name: &'a InterfaceName,
    /// The namespace it is created in.
    pub namespace: &'a Namespace,
    /// Its hardware address.
    pub mac: MacAddress,
}

/// An interface as the laboratory needs to know it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkState {
    /// Its number.
    pub index: InterfaceIndex,
    /// Its name.
    pub name: String,
    /// Up and with a carrier.
    pub running: bool,
}

/// Builds the network of one namespace by `rtnetlink`, request by request. Not for a thread that may not wait.
#[derive(Debug)]
pub struct Network {
    runtime: Runtime,
    handle: Handle,
}

impl Network {
    /// For the calling thread's network namespace, where it stays.
    ///
    /// # Errors
    /// In the kernel's words.
    pub fn open() -> Result<Self, KernelError> {
        let open = || -> io::Result<Self> {
            let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
            let entered = runtime.enter();
            let (mut connection, handle, _) = rtnetlink::new_connection()?;
            datagram::ask_for_explanations(connection.socket_mut().socket_mut())?;
            // It makes progress while a request is waited for.
            runtime.spawn(connection);
            drop(entered);
            Ok(Self { runtime, handle })
        };
        open().map_err(|error| error_from_io(&error))
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, rtnetlink::Error>>) -> Result<T, KernelError> {
        self.runtime.block_on(work).map_err(|error| kernel_error(&error))
    }

    /// All interfaces.
    pub fn dump_links(&mut self) -> Result<Vec<LinkMessage>, KernelError> {
        self.wait(self.handle.link().get().execute().try_collect())
    }

    /// All addresses of both families.
    pub fn dump_addresses(&mut self) -> Result<Vec<AddressMessage>, KernelError> {
        self.wait(self.handle.address().get().execute().try_collect())
    }

    /// Creates a pair of interfaces, each in its namespace, both down.
    pub fn create_veth(&mut self, near: VethEnd<'_>, far: VethEnd<'_>) -> Result<(), KernelError> {
        let mut peer = LinkMessage::default();
        peer.attributes = veth_attributes(far);
        let mut link = LinkMessage::default();
        link.attributes = veth_attributes(near);
        link.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.create(link)
    }

    /// Creates a switch: a bridge that forwards at once and does not look into multicast.
    pub fn create_bridge(&mut self, name: &InterfaceName) -> Result<(), KernelError> {
        let mut link = LinkMessage::default();
        link.attributes = vec![
            LinkAttribute::IfName(name.as_str().to_owned()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Bridge),
                LinkInfo::Data(InfoData::Bridge(vec![
                    InfoBridge::ForwardDelay(0),
                    InfoBridge::MulticastSnooping(false),
                ])),
            ]),
        ];
        self.create(link)
    }

    /// Creates an interface as described.
    pub fn create(&mut self, link: LinkMessage) -> Result<(), KernelError> {
        self.wait(self.handle.link().add(link).execute())
    }

    /// All interfaces of the namespace.
    pub fn links(&mut self) -> Result<Vec<LinkState>, KernelError> {
        Ok(self.dump_links()?.iter().filter_map(link_state).collect())
    }

    /// The number of the interface with this name.
    ///
    /// # Errors
    /// `ENODEV` where there is none.
    pub fn index_of(&mut self, name: &InterfaceName) -> Result<InterfaceIndex, KernelError> {
        self.links()?.into_iter().find(|link| link.name == name.as_str()).map(|link| link.index).ok_or_else(
            || KernelError { errno: libc::ENODEV, message: format!("there is no interface {name}") },
        )
    }

    /// Sets an interface up or down.
    pub fn set_up(&mut self, link: InterfaceIndex, up: bool) -> Result<(), KernelError> {
        self.change(link, Vec::new(), if up { LinkFlags::Up } else { LinkFlags::empty() }, LinkFlags::Up)
    }

    /// Makes an interface a port of a bridge, bond or VRF; `None` takes it out. To enter a bond it must be down.
    pub fn set_controller(
        &mut self,
        link: InterfaceIndex,
        controller: Option<InterfaceIndex>,
    ) -> Result<(), KernelError> {
        let controller = LinkAttribute::Controller(controller.map_or(0, InterfaceIndex::get));
        self.change(link, vec![controller], LinkFlags::empty(), LinkFlags::empty())
    }

    /// Whether a port of a bridge gets what is sent to groups.
    pub fn set_multicast_flood(&mut self, port: InterfaceIndex, flood: bool) -> Result<(), KernelError> {
        let port_data = InfoPortData::BridgePort(vec![InfoBridgePort::MulticastFlood(flood)]);
        let info = vec![LinkInfo::PortKind(InfoPortKind::Bridge), LinkInfo::PortData(port_data)];
        let mut message = LinkMessage::default();
        message.header.index = port.get();
        message.attributes = vec![LinkAttribute::LinkInfo(info)];
        // Not `RTM_SETLINK`, which leaves out what a controller has to say of its port.
        self.wait(self.handle.link().set_port(message).execute())
    }

    /// Has the kernel send what is for a neighbour to this hardware address, without asking for it.
    pub fn set_neighbour(
        &mut self,
        link: InterfaceIndex,
        address: IpAddr,
        mac: MacAddress,
    ) -> Result<(), KernelError> {
        let request = self.handle.neighbours().add(link.get(), address).link_layer_address(&mac.0);
        self.wait(request.state(NeighbourState::Permanent).replace().execute())
    }

    /// Renames an interface, up or down (Linux 6.2; before that it must be down).
    pub fn rename(&mut self, link: InterfaceIndex, name: &InterfaceName) -> Result<(), KernelError> {
        let name = LinkAttribute::IfName(name.as_str().to_owned());
        self.change(link, vec![name], LinkFlags::empty(), LinkFlags::empty())
    }

    /// Gives an interface another hardware address.
    pub fn set_mac(&mut self, link: InterfaceIndex, mac: MacAddress) -> Result<(), KernelError> {
        let mac = LinkAttribute::Address(mac.0.to_vec());
        self.change(link, vec![mac], LinkFlags::empty(), LinkFlags::empty())
    }

    /// Sets the largest packet in bytes that an interface sends.
    pub fn set_mtu(&mut self, link: InterfaceIndex, mtu: u32) -> Result<(), KernelError> {
        self.change(link, vec![LinkAttribute::Mtu(mtu)], LinkFlags::empty(), LinkFlags::empty())
    }

    /// Moves an interface to another namespace.
    pub fn move_to(&mut self, link: InterfaceIndex, namespace: &Namespace) -> Result<(), KernelError> {
        let namespace = LinkAttribute::NetNsFd(namespace.as_fd().as_raw_fd());
        self.change(link, vec![namespace], LinkFlags::empty(), LinkFlags::empty())
    }

    /// Deletes an interface, and its peer with it.
    pub fn delete(&mut self, link: InterfaceIndex) -> Result<(), KernelError> {
        self.wait(self.handle.link().del(link.get()).execute())
    }

    /// Adds an address, without duplicate address detection.
    pub fn add_address(&mut self, link: InterfaceIndex, prefix: Prefix) -> Result<(), KernelError> {
        let mut request = self.handle.address().add(link.get(), prefix.address(), prefix.length());
        // Without the broadcast address that the library adds.
        *request.message_mut() = address_message(link, prefix);
        self.wait(request.execute())
    }

    /// Removes an address.
    pub fn remove_address(&mut self, link: InterfaceIndex, prefix: Prefix) -> Result<(), KernelError> {
        self.wait(self.handle.address().del(address_message(link, prefix)).execute())
    }

    /// The addresses of an interface.
    pub fn addresses(&mut self, link: InterfaceIndex) -> Result<Vec<Prefix>, KernelError> {
        let addresses = self.dump_addresses()?;
        Ok(addresses.iter().filter(|a| a.header.index == link.get()).filter_map(prefix_of).collect())
    }

    /// Routes `destination` through `gateway`.
    pub fn add_route(
        &mut self,
        destination: Prefix,
        gateway: IpAddr,
        link: InterfaceIndex,
    ) -> Result<(), KernelError> {
        let mut route = RouteMessage::default();
        route.header = RouteHeader {
            address_family: address_family(destination.family()),
            destination_prefix_length: destination.length(),
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Static,
            scope: RouteScope::Universe,
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        route.attributes = vec![
            RouteAttribute::Destination(RouteAddress::from(destination.network())),
            RouteAttribute::Gateway(RouteAddress::from(gateway)),
            RouteAttribute::Oif(link.get()),
        ];
        self.wait(self.handle.route().add(route).replace().execute())
    }

    /// Whether IPv6 multicast can be received on an interface: its `ff00::/8` route is there. The kernel adds
    /// it some time after the carrier.
    pub fn has_multicast_route(&mut self, link: InterfaceIndex) -> Result<bool, KernelError> {
        let mut request = RouteMessage::default();
        request.header.address_family = AddressFamily::Inet6;
        let routes: Vec<RouteMessage> =
            self.wait(self.handle.route().get(request).execute().try_collect())?;
        Ok(routes.iter().any(|route| {
            route.header.destination_prefix_length == 8
                && route.attributes.contains(&RouteAttribute::Oif(link.get()))
                && route.attributes.iter().any(|attribute| {
                    matches!(attribute, RouteAttribute::Destination(RouteAddress::Inet6(to)) if to.is_multicast())
                })
        }))
    }

    /// The hardware address that the neighbour cache has for `address`.
    pub fn neighbour(
        &mut self,
        link: InterfaceIndex,
        address: IpAddr,
    ) -> Result<Option<MacAddress>, KernelError> {
        let neighbours: Vec<NeighbourMessage> =
            self.wait(self.handle.neighbours().get().execute().try_collect())?;
        Ok(neighbours.iter().find_map(|neighbour| {
            if neighbour.header.ifindex != link.get() {
                return None;
            }
            let wanted = neighbour.attributes.iter().any(|attribute| match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(to)) => address == IpAddr::V4(*to),
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(to)) => address == IpAddr::V6(*to),
                _ => false,
            });
            neighbour.attributes.iter().filter(|_| wanted).find_map(|attribute| match attribute {
                NeighbourAttribute::LinkLayerAddress(mac) => {
                    <[u8; 6]>::try_from(mac.as_slice()).ok().map(MacAddress)
                }
                _ => None,
            })
        }))
    }

    /// The port at which a bridge of the namespace has learnt a hardware address.
    pub fn learnt_port(&mut self, mac: MacAddress) -> Result<Option<InterfaceIndex>, KernelError> {
        let request = self.handle.neighbours().get().set_address_family(AddressFamily::Bridge);
        let entries: Vec<NeighbourMessage> = self.wait(request.execute().try_collect())?;
        let address = NeighbourAttribute::LinkLayerAddress(mac.0.to_vec());
        let of_mac = entries.iter().find(|entry| entry.attributes.contains(&address));
        Ok(of_mac.and_then(|entry| InterfaceIndex::new(entry.header.ifindex)))
    }

    fn change(
        &mut self,
        link: InterfaceIndex,
        attributes: Vec<LinkAttribute>,
        flags: LinkFlags,
        mask: LinkFlags,
    ) -> Result<(), KernelError> {
        let mut message = LinkMessage::default();
        message.header.index = link.get();
        message.header.flags = flags;
        message.header.change_mask = mask;
        message.attributes = attributes;
        self.wait(self.handle.link().set(message).execute())
    }
}

fn kernel_error(error: &rtnetlink::Error) -> KernelError {
    match error {
        rtnetlink::Error::NetlinkError(refusal) => {
            datagram::refusal(refusal.raw_code().saturating_abs(), &refusal.header)
        }
        other => KernelError { errno: libc::EIO, message: other.to_string() },
    }
}

fn veth_attributes(end: VethEnd<'_>) -> Vec<LinkAttribute> {
    vec![
        LinkAttribute::IfName(end.name.as_str().to_owned()),
        LinkAttribute::NetNsFd(end.namespace.as_fd().as_raw_fd()),
        LinkAttribute::Address(end.mac.0.to_vec()),
    ]
}

fn link_state(link: &LinkMessage) -> Option<LinkState> {
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })?;
    Some(LinkState {
        index: InterfaceIndex::new(link.header.index)?,
        name,
        running: link.header.flags.contains(LinkFlags::Up | LinkFlags::Running),
    })
}

fn address_message(link: InterfaceIndex, prefix: Prefix) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = address_family(prefix.family());
    message.header.prefix_len = prefix.length();
    message.header.index = link.get();
    if prefix.family() == Family::Ipv6 {
        message.header.flags = AddressHeaderFlags::Nodad;
    }
    message.attributes =
        vec![AddressAttribute::Local(prefix.address()), AddressAttribute::Address(prefix.address())];
    message
}

fn prefix_of(address: &AddressMessage) -> Option<Prefix> {
    let own = address.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(own) => Some(*own),
        _ => None,
    });
    let other = address.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(other) => Some(*other),
        _ => None,
    });
    Prefix::new(own.or(other)?, address.header.prefix_len)
}

const fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}
