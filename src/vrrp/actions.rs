//! What an engine wants done, and the one order in which it is carried out.

use std::sync::Arc;

use crate::kernel::{Announcement, KernelRequest, LinkOperation, ReceiveSocket};
use crate::net::InterfaceIndex;

use super::{GroupTransition, Report, Transition, Transmission};
use crate::wire::vrrp::Priority;

/// Room that each bucket keeps from one wake-up to the next: the many of a start or of a takeover are not to be
/// paid for ever after.
const KEPT: usize = 256;

/// What the driver shall do, a bucket for each kind. Within a bucket the order is binding;
/// [`Actions::carry_out`] has the order of the buckets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Actions {
    /// Changes of addresses, routes and rules, off the vrrp thread; answered by [`crate::kernel::AddressReply`]s and
    /// [`crate::kernel::RoutingReply`]s.
    pub kernel: Vec<KernelRequest>,
    /// Advertisements to send.
    pub transmit: Vec<Transmission>,
    /// Announcements to send.
    pub announce: Vec<Announcement>,
    /// Interfaces of our own to create or remove, off the vrrp thread, in order behind the changes of addresses;
    /// answered by [`Event::Links`](crate::node::Event::Links).
    pub links: Vec<LinkOperation>,
    /// Interfaces on which no address shall take others along (`promote_secondaries`), off the vrrp thread.
    pub promote: Vec<InterfaceIndex>,
    /// Receive sockets to open or to close, off the vrrp thread.
    pub sockets: Vec<SocketRequest>,
    /// Tracked scripts to run, by name; answered by [`Event::Script`](crate::node::Event::Script)s.
    pub scripts: Vec<Arc<str>>,
    /// What happened: for hooks, status, metrics and the log. None of it may be dropped, except by the log.
    pub news: Vec<News>,
    /// All routers have left and their addresses are gone: the driver may end.
    pub stopped: bool,
}

/// A change of the receive sockets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SocketRequest {
    /// Open it; answered by [`crate::kernel::SocketEvent`].
    Open(ReceiveSocket),
    /// Close it.
    Close(ReceiveSocket),
}

/// Something that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum News {
    /// A router changed its state.
    Transition(Transition),
    /// A sync group changed its state: behind the transitions of its members, at the start before them.
    GroupTransition(GroupTransition),
    /// While master, a router heard another master of lower priority (`notify_master_rx_lower_pri`); however often that one
    /// sends, twice in an interval at most.
    LowerPriorityReceived {
        /// Name of the router.
        router: Arc<str>,
        /// Its effective priority.
        priority: Priority,
    },
    /// Something an operator wants to read.
    Report(Report),
}

impl News {
    /// The transitions among some news.
    pub fn transitions(news: &[Self]) -> impl Iterator<Item = &Transition> {
        news.iter().filter_map(|news| match news {
            Self::Transition(transition) => Some(transition),
            Self::GroupTransition(_) | Self::LowerPriorityReceived { .. } | Self::Report(_) => None,
        })
    }
}

/// Who carries out [`Actions`]: the daemon, the simulator.
pub trait Driver {
    /// Hands over changes to whoever carries them out.
    fn request(&mut self, request: KernelRequest);
    /// Sends advertisements, all that are due together.
    fn transmit(&mut self, transmissions: &[Transmission]);
    /// Sends announcements, all that are due together.
    fn announce(&mut self, announcements: &[Announcement]);
    /// Has interfaces of our own created or removed.
    fn links(&mut self, operations: Vec<LinkOperation>);
    /// Has an address of an interface take no others along.
    fn promote(&mut self, link: InterfaceIndex);
    /// Has a receive socket opened or closed.
    fn socket(&mut self, request: SocketRequest);
    /// Has a tracked script run.
    fn run_script(&mut self, name: Arc<str>);
    /// Passes on what happened.
    fn news(&mut self, news: News);
    /// Everything is done: nothing follows.
    fn stopped(&mut self);
}

impl Actions {
    /// Carries everything out. In this order:
    /// 1. Changes of addresses, routes and rules are on their way first: whoever makes them wakes up meanwhile, which takes as long as
    ///    an advertisement.
    /// 2. Advertisements.
    /// 3. Announcements, which may be many.
    /// 4. Interfaces of our own: one that goes has carried our last word by then.
    /// 5. Sockets, scripts, then news: nobody on the LAN waits for these.
    pub fn carry_out(&mut self, driver: &mut impl Driver) {
        self.kernel.drain(..).for_each(|request| driver.request(request));
        if !self.transmit.is_empty() {
            driver.transmit(&self.transmit);
            self.transmit.clear();
        }
        if !self.announce.is_empty() {
            driver.announce(&self.announce);
            self.announce.clear();
        }
        if !self.links.is_empty() {
            driver.links(core::mem::take(&mut self.links));
        }
        self.promote.drain(..).for_each(|link| driver.promote(link));
        self.sockets.drain(..).for_each(|request| driver.socket(request));
        self.scripts.drain(..).for_each(|name| driver.run_script(name));
        self.news.drain(..).for_each(|news| driver.news(news));
        if core::mem::take(&mut self.stopped) {
            driver.stopped();
        }
        self.kernel.shrink_to(KEPT);
        self.transmit.shrink_to(KEPT);
        self.announce.shrink_to(KEPT);
        self.sockets.shrink_to(KEPT);
        self.scripts.shrink_to(KEPT);
        self.news.shrink_to(KEPT);
    }

    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0 && !self.stopped
    }

    /// How many things there are to do.
    pub const fn len(&self) -> usize {
        let Self { kernel, transmit, announce, links, sockets, promote, scripts, news, stopped: _ } = self;
        let others = links.len() + sockets.len() + promote.len() + scripts.len() + news.len();
        kernel.len() + transmit.len() + announce.len() + others
    }

    /// Adds a transition to the news.
    pub fn transition(&mut self, transition: Transition) {
        self.news.push(News::Transition(transition));
    }

    /// Adds a group's transition to the news.
    pub fn group_transition(&mut self, transition: GroupTransition) {
        self.news.push(News::GroupTransition(transition));
    }

    /// Adds a report to the news.
    pub fn report(&mut self, report: Report) {
        self.news.push(News::Report(report));
    }

    /// The transitions among the news.
    pub fn transitions(&self) -> impl Iterator<Item = &Transition> {
        News::transitions(&self.news)
    }

    /// The reports among the news.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.news.iter().filter_map(|news| match news {
            News::Report(report) => Some(report),
            News::Transition(_) | News::GroupTransition(_) | News::LowerPriorityReceived { .. } => None,
        })
    }
}
