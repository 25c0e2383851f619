//! What the vrrp thread and the others tell each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::kernel_thread::Request;
use super::super::log::Log;
use super::super::mailbox::Mailbox;
use super::super::tally::Tally;
use super::super::tracked_files::FileNews;
use crate::kernel::{
    AddressReply, KernelError, KernelView, LinkOutcome, ReceiveSocket, RoutingReply, ScriptEnd,
};
use crate::net::InterfaceName;
use crate::node::recording::Tape;
use crate::node::{Bequest, Changes, Legacy, NodeConfig, Retired};
use crate::status::Snapshot;
use crate::sys::packet::Receiver;
use crate::sys::realtime::Loan;
use crate::time::{Duration, Instant, WallTime};
use crate::track::FileReading;
use crate::vrrp::{HandsOver, News, Reservation, SwitchOver, Whom};

/// What other threads tell the vrrp thread.
#[derive(Debug)]
pub(in crate::daemon) enum Message {
    /// The whole state of the kernel, or why it could not be read.
    View(Result<KernelView, KernelError>),
    /// A chunk of address changes was carried out.
    Addresses(AddressReply),
    /// A chunk of changes of routes and rules was carried out.
    Routing(RoutingReply),
    /// Interfaces of our own were created or removed, or could not be.
    Links(Vec<LinkOutcome>),
    /// A receive socket is open.
    Opened(Receiver),
    /// A receive socket could not be opened.
    Refused(ReceiveSocket, KernelError),
    /// A tracked script was run, or could not be.
    Script { name: Arc<str>, end: ScriptEnd, ending: String },
    /// A tracked file was read.
    File { name: Arc<str>, reading: FileReading },
    /// Tracked processes were counted.
    Processes { name: Arc<str>, count: u32 },
    /// An interface was asked for its carrier.
    Carrier { interface: InterfaceName, carrier: Option<bool> },
    /// A new configuration.
    Reconfigure(NodeConfig),
    /// Stamps are set aside for authentication.
    Reserved(Reservation),
    /// Tell who has handed over; answered by [`Notice::SwitchedOver`].
    SwitchedOver,
    /// Masters hand over; answered by [`Notice::HandsOver`].
    SwitchOver(SwitchOver),
    /// Ends that; answered by [`Notice::TakesBack`].
    SwitchBack(Whom),
    /// All leave the election, for so long if there is an end; answered by [`Notice::HandsOver`].
    Maintain(Option<Duration>),
    /// All take part again.
    EndMaintenance,
    /// What reaches the virtual routers goes to this tape from now on, or to none; answered by [`Notice::Recorded`].
    Record(Option<Box<Tape>>),
    /// Leave to the next process; answered by [`Notice::Left`], the last one.
    Leave,
    /// Leave.
    Stop,
    /// Describe yourself.
    Snapshot,
    /// Set all counters to 0.
    ClearCounters,
}

impl From<FileNews> for Message {
    fn from(FileNews { name, reading }: FileNews) -> Self {
        Self::File { name, reading }
    }
}

/// What the thread begins with, of those that were before it.
#[derive(Clone, Debug, Default)]
pub(in crate::daemon) struct Before {
    /// What a predecessor that was killed may have left.
    pub(in crate::daemon) bequest: Bequest,
    /// Since when a predecessor that was killed has not advertised any more.
    pub(in crate::daemon) silent_since: Option<Instant>,
    /// What it has said, if it left in order.
    pub(in crate::daemon) legacy: Option<Legacy>,
    /// Stamps that none has used.
    pub(in crate::daemon) reservation: Option<Reservation>,
    /// Maintenance holds, until then if there is an end.
    pub(in crate::daemon) maintenance: Option<Option<Instant>>,
    /// Routers that the operator has switched over, until then if there is an end.
    pub(in crate::daemon) switched_over: BTreeMap<Arc<str>, Option<Instant>>,
}

/// What the operator's switch-overs have come to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::daemon) struct SwitchedOver {
    /// Whose higher priority does not count, until then if there is an end.
    pub(in crate::daemon) held: BTreeMap<Arc<str>, Option<Instant>>,
    /// Somebody waits for a successor.
    pub(in crate::daemon) under_way: bool,
}

/// What the vrrp thread tells the main thread.
#[derive(Debug)]
pub(in crate::daemon) enum Notice {
    /// Every receive socket was opened or refused: the daemon serves.
    Ready,
    /// The answer to [`Message::Snapshot`].
    Snapshot(Box<Snapshot>),
    /// The answer to [`Message::Reconfigure`], behind its news: it is in force, and this is what it changed.
    Reconfigured(Changes),
    /// The answer to [`Message::SwitchedOver`].
    SwitchedOver(SwitchedOver),
    /// What each router makes of an order to hand over, before its news.
    HandsOver(Vec<(Arc<str>, HandsOver)>),
    /// Which routers an order to switch back was for, and whether they had switched over.
    TakesBack(Vec<(Arc<str>, bool)>),
    /// What happened, for those who are told.
    News(WallTime, News),
    /// What a reload has left over, for the main thread to free.
    Retired(Retired),
    /// A timer was served later than [`Channels::late`] allows, by so much.
    Late(Duration),
    /// A tracked script is to be run; answered by [`Message::Script`].
    RunScript(Arc<str>),
    /// The tape before, of which the thread has no more use.
    Recorded(Option<Box<Tape>>),
    /// The thread has ended and given nothing up: for the next process.
    Left(Legacy),
    /// All routers have left.
    Stopped,
    /// The thread cannot go on.
    Failed(String),
}

/// How late a timer may be served without a word to the main thread, which sets it.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct LateLimit(Arc<AtomicU64>);

impl LateLimit {
    /// In microseconds; `None` = as late as it likes.
    pub(in crate::daemon) fn new(us: Option<u64>) -> Self {
        Self(Arc::new(AtomicU64::new(us.unwrap_or(u64::MAX))))
    }

    /// Sets another one.
    pub(in crate::daemon) fn set(&self, us: Option<u64>) {
        self.0.store(us.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether that is too late.
    pub(super) fn is_exceeded(&self, late: Duration) -> bool {
        u64::try_from(late.as_micros()).is_ok_and(|us| us >= self.0.load(Ordering::Relaxed))
    }
}

/// The queues to and from the other threads.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Channels {
    pub(in crate::daemon) inbox: Mailbox<Message>,
    pub(in crate::daemon) kernel: Mailbox<Request>,
    /// For the kernel thread, while an election waits for its addresses.
    pub(in crate::daemon) loan: Loan,
    pub(in crate::daemon) notices: Mailbox<Notice>,
    /// For the main thread.
    pub(in crate::daemon) tally: Tally,
    pub(in crate::daemon) late: LateLimit,
    pub(in crate::daemon) log: Log,
}
