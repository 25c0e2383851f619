//! The kernel's routing netlink: requests, batches, dumps and notifications.

mod address;
mod link;
mod message;
mod monitor;
mod socket;

pub use address::apply;
pub use link::{LinkState, VethEnd};
pub use monitor::{Followed, Monitor, Ownership, view};
pub use socket::{Acknowledge, Batch, Drained, Group, RouteSocket, error_from_io};
