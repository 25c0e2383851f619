//! ENGINE: virtual servers. From configuration and the state of real servers follows the table that the
//! kernel's IPVS ought to hold.
//!
//! The [`Director`] is told what checks found, what the kernel's table holds and what it answers, and which addresses this
//! host has, and what an operator orders of real servers ([`Order`]). It tells what is to be written, and news: real
//! servers that go up and down, quorums gained and lost. Each virtual server is a requester of its own
//! ([`crate::wanted`]): its set of wishes is the services of the kernel that it stands for and those of its real servers
//! that shall serve. Whom a service belongs to, the configuration says: what it names is ours, what it does not name is
//! left alone, unless a predecessor recorded it.

mod action;
mod config;
mod director;
mod drain;
#[cfg(test)]
mod drain_tests;
mod order;
mod reload;
mod server;
#[cfg(test)]
mod simulator;
mod table;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use action::{
    Actions, Advice, Beginning, CheckId, CheckedServer, Conduct, DirectorConfig, Ending, Event, News, Verdict,
};
pub(crate) use config::{
    GroupMember, Quorum, QuorumNotifications, RealServer, RealServerDetails, RealServerKey, Service,
    SorryServer, VirtualServer, VirtualServerGroup,
};
pub(crate) use director::Director;
pub(crate) use drain::Leaving;
pub(crate) use order::{Order, OrderNews, OrderState, Ordered, OrderedServer};
pub(crate) use reload::Planned;
pub(crate) use view::{RealServerView, ServerView};
