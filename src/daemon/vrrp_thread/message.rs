//! What the vrrp thread and the others tell each other.

use std::sync::Arc;

use super::super::kernel_thread::Request;
use super::super::log::Log;
use super::super::mailbox::Mailbox;
use super::super::tally::Tally;
use crate::kernel::{AddressReply, KernelError, KernelView, ReceiveSocket, ScriptEnd};
use crate::node::{Changes, NodeConfig, Retired};
use crate::status::Snapshot;
use crate::sys::packet::Receiver;
use crate::sys::realtime::Loan;

/// What other threads tell the vrrp thread.
#[derive(Debug)]
pub(in crate::daemon) enum Message {
    /// The whole state of the kernel, or why it could not be read.
    View(Result<KernelView, KernelError>),
    /// A chunk of address changes was carried out.
    Addresses(AddressReply),
    /// A receive socket is open.
    Opened(Receiver),
    /// A receive socket could not be opened.
    Refused(ReceiveSocket, KernelError),
    /// A tracked script was run, or could not be.
    Script { name: Arc<str>, end: ScriptEnd, ending: String },
    /// A new configuration.
    Reconfigure(NodeConfig),
    /// Every master hands over.
    SwitchOver,
    /// Ends that.
    SwitchBack,
    /// Leave.
    Stop,
    /// Describe yourself.
    Snapshot,
    /// Set all counters to 0.
    ClearCounters,
}

/// What the vrrp thread tells the main thread.
#[derive(Debug)]
pub(in crate::daemon) enum Notice {
    /// Every receive socket was opened or refused: the daemon serves.
    Ready,
    /// The answer to [`Message::Snapshot`].
    Snapshot(Box<Snapshot>),
    /// The answer to [`Message::Reconfigure`]: it is in force, and this is what it changed.
    Reconfigured(Changes),
    /// What a reload has left over, for the main thread to free.
    Retired(Retired),
    /// A tracked script is to be run; answered by [`Message::Script`].
    RunScript(Arc<str>),
    /// All routers have left.
    Stopped,
    /// The thread cannot go on.
    Failed(String),
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
    pub(in crate::daemon) log: Log,
}
