//! The kernel's routing netlink: requests, batches, dumps and notifications.

mod socket;

pub use socket::{Acknowledge, Batch, Drained, Group, RouteSocket, error_from_io};
