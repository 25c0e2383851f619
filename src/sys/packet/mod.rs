//! Raw sockets: advertisements out and in, announcements out. Many packets cost one system call.
//!
//! Sending never needs the kernel's big network lock, so that it may happen while another thread writes
//! addresses; opening and closing a receiver does and belongs to another thread than the one that sends.

mod announcer;
mod batch;
mod receiver;
mod sender;
#[cfg(test)]
mod tests;

pub use announcer::{Announcer, Frame};
pub use receiver::{ReceiveBatch, Received, Receiver};
pub use sender::{Packet, Sender};
