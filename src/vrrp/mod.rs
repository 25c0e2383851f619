//! ENGINE: one virtual router. Events and time in, actions out; no I/O.
//!
//! Standards: RFC 9568 (VRRP version 3), RFC 3768 (version 2), RFC 2338 (authentication of version 2).
//!
//! ```text
//!                 start                    master-down timer, granted
//!   Initialize ----------> Backup -----------------------------------> Master
//!       |                  |  ^  <----------------------------------- |
//!       | a fault          |  | last fault ends    better master heard |
//!       v                  v  |                                        |
//!     Fault <--------------+--+----------------------------------------+
//! ```

mod abstention;
mod action;
mod actions;
mod address_list;
mod announce;
mod authentication;
mod authenticator;
mod backup;
mod config;
mod counters;
mod deadlines;
mod detection;
mod environment;
mod fault;
mod fault_reason;
mod group;
mod initialize;
mod master;
mod membership;
mod ownership;
mod peers;
mod priority;
mod receive;
mod report_limit;
mod rivals;
mod router;
mod router_core;
mod routing;
mod sending;
mod switch_over;
mod sync_group;
#[cfg(test)]
mod tests;
mod timing;
mod tracked;
mod transitions;
mod transmit;
mod verdicts;

pub use action::{Cause, Datagram, Report, ReportKind, SendObstacle, State, Transition, Transmission};
pub use actions::{Actions, Driver, News, SocketRequest};
pub use address_list::AddressDifference;
pub use announce::AnnouncementQueue;
pub use authentication::{AntiReplay, HmacConfig, HmacMode, Reservation};
pub use config::{
    AnnounceSettings, Destinations, ExtraAnnouncements, InitialState, OldChecksum, RouterConfig,
    RouterIdentity, RouterInterfaces, UnicastPeer, VirtualAddress, default_group,
};
pub use counters::Counters;
pub use environment::{Environment, Interface, Listening};
pub use fault_reason::FaultReason;
pub(crate) use group::shared_paces;
pub use group::{GarpGroup, SharedPace, VirtualRoute, VirtualRule};
pub(crate) use membership::Mark;
pub use peers::{Peer, PeerTable};
pub use priority::EffectivePriority;
pub use report_limit::PacketReport;
pub use rivals::Rival;
pub use router::{Output, VirtualRouter};
pub use routing::RoutingReport;
pub(crate) use routing::request_routing;
pub use switch_over::{HandsOver, SwitchOver, Whom};
pub(crate) use sync_group::{Contender, Order, Touched, state_after_start, state_of};
pub use sync_group::{GroupTransition, SyncGroup, SyncGroupConfig, SyncGroupId};
pub use timing::{master_down_interval, skew_time, unnoticed_silence};
pub use tracked::Tracked;
pub use verdicts::Verdicts;
