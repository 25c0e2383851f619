//! Netlink: one socket type for every protocol, and on it the kernel's routing netlink: requests, dumps and
//! notifications.

mod address;
mod datagram;
mod encode;
mod generic;
mod interest;
pub mod ipvs;
mod link;
mod message;
mod monitor;
pub(crate) mod nftables;
mod ownership;
mod route;
mod routing;
mod routing_message;
mod transport;
mod virtual_link;

pub use address::apply;
pub use interest::Interest;
pub use link::{LinkState, Network, VethEnd};
pub use monitor::{Followed, Monitor, view};
pub use ownership::{OwnAddresses, Ownership};
pub use route::RouteSocket;
pub use routing::apply_routing;
pub(crate) use transport::error_from_io;
use transport::{Acknowledge, Batch};
pub use virtual_link::{LinkDetails, LinkRequests, Setting, Target, details, index_by_name};
