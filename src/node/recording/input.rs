//! One call of a node, as it is noted.

use core::fmt;
use core::net::IpAddr;
use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use crate::kernel::ReceiveSocket;
use crate::net::{Family, InterfaceIndex};
use crate::node::{Event, HaNode, NodeConfig};
use crate::time::{Duration, Instant, Now, WallTime};
use crate::vrrp::{Datagram, Reservation, SendObstacle, SwitchOver, Transition, Verdicts, Whom};
use crate::wire::ah;
use crate::wire::vrrp::without_secrets;

/// What reaches a node. Changing it, or any type in it, changes the format of recordings.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Input<'a> {
    /// [`HaNode::handle_datagram`].
    #[serde(borrow)]
    Datagram(Heard<'a>),
    /// [`HaNode::handle_timeout`].
    Timeout,
    /// [`HaNode::note_sent`] of all that was to be sent since the last one.
    Sent(Cow<'a, BTreeMap<usize, SendObstacle>>),
    /// [`HaNode::handle`].
    Event(Cow<'a, Event>),
    /// [`HaNode::plan`] and [`HaNode::apply`].
    Configuration(Cow<'a, NodeConfig>),
    /// [`HaNode::order_switch_over`].
    SwitchOver(Cow<'a, SwitchOver>),
    /// [`HaNode::take_back`].
    SwitchBack(Cow<'a, Whom>),
    /// [`HaNode::maintain`].
    Maintain(Option<Duration>),
    /// [`HaNode::note_unannounced`].
    Unannounced(InterfaceIndex),
    /// [`HaNode::reserve_stamps`].
    Reserved(Reservation),
    /// [`HaNode::clear_counters`].
    CountersCleared,
    /// Nothing that reaches the node: what it did, to compare.
    Did(Cow<'a, Transition>),
    /// [`HaNode::leave_to_next`].
    Left,
}

/// A received message without its secrets.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Heard<'a> {
    socket: ReceiveSocket,
    source: IpAddr,
    destination: IpAddr,
    hop_limit: Option<u8>,
    /// Pseudonyms stand for what authenticates it.
    #[serde(serialize_with = "bytes")]
    payload: &'a [u8],
    /// What was found of that, see [`Verdicts`].
    authentic: u64,
}

fn bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// The payload of a message without its secrets.
pub(super) fn clean<'a>(datagram: &Datagram<'a>) -> Cow<'a, [u8]> {
    let family = Family::of(&datagram.source);
    if datagram.socket.protocol != ah::AH_PROTOCOL {
        return without_secrets(datagram.payload, family);
    }
    let Some(message) = datagram.message() else { return Cow::Borrowed(&[]) };
    let header = datagram.payload.len().saturating_sub(message.len());
    let mut clean = datagram.payload[..header].to_vec();
    ah::forget_check_value(&mut clean);
    clean.extend_from_slice(&without_secrets(message, family));
    Cow::Owned(clean)
}

impl<'a> Heard<'a> {
    /// `payload`: what [`clean`] made of the datagram's. `verdicts`: what was found of it.
    pub(super) fn new(datagram: &Datagram<'_>, payload: &'a [u8], verdicts: &Verdicts) -> Self {
        let Datagram { socket, source, destination, hop_limit, .. } = *datagram;
        Self { socket, source, destination, hop_limit, payload, authentic: verdicts.noted() }
    }

    /// As it is handed over again. The IP header matters for what is authenticated alone, and `verdicts` tell of that.
    pub(super) fn datagram<'b>(&'b self, verdicts: &'b Verdicts) -> Datagram<'b> {
        let Self { socket, source, destination, hop_limit, payload, authentic: _ } = *self;
        Datagram { socket, source, destination, hop_limit, header: &[], payload, verdicts: Some(verdicts) }
    }

    /// What was found of its authentication.
    pub(super) const fn verdicts(&self) -> Verdicts {
        Verdicts::told(self.authentic)
    }
}

/// An input with its time: how much later than the one before it in its piece, and by how much the wall clock has moved
/// against the other one meanwhile, both in microseconds.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Noted<'a> {
    later_us: i64,
    moved_us: i64,
    #[serde(borrow)]
    input: Cow<'a, Input<'a>>,
}

impl<'a> Noted<'a> {
    pub(super) fn new(before: Now, now: Now, input: &'a Input<'a>) -> Self {
        let later = now.instant.as_micros().wrapping_sub(before.instant.as_micros());
        let moved = ahead(now).wrapping_sub(ahead(before));
        Self { later_us: later.cast_signed(), moved_us: moved.cast_signed(), input: Cow::Borrowed(input) }
    }
}

/// Microseconds that the wall clock is ahead.
const fn ahead(now: Now) -> u64 {
    now.wall.as_unix_micros().wrapping_sub(now.instant.as_micros())
}

fn after(before: Now, later_us: i64, moved_us: i64) -> Now {
    let instant = before.instant.as_micros().wrapping_add(later_us.cast_unsigned());
    let ahead = ahead(before).wrapping_add(moved_us.cast_unsigned());
    Now {
        instant: Instant::from_micros(instant),
        wall: WallTime::from_unix_micros(instant.wrapping_add(ahead)),
    }
}

/// The inputs in a piece of a recording, with their times.
#[derive(Debug)]
pub struct Inputs<'a> {
    rest: &'a [u8],
    length: usize,
    now: Now,
}

/// A piece of a recording does not hold what it should.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// At this byte of it.
    pub offset: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl<'a> Inputs<'a> {
    /// Those in the bytes of a [`Piece`](super::Piece).
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, length: bytes.len(), now: Now::default() }
    }
}

impl<'a> Iterator for Inputs<'a> {
    type Item = Result<(Now, Input<'a>), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.length - self.rest.len();
        match postcard::take_from_bytes(self.rest) {
            Ok((Noted { later_us, moved_us, input }, rest)) => {
                self.rest = rest;
                self.now = after(self.now, later_us, moved_us);
                Some(Ok((self.now, input.into_owned())))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(Fault { offset, what: format!("this is no record of an input: {error}") }))
            }
        }
    }
}

/// The state of a node at a time, which a replay begins with.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Standing<'a> {
    pub(super) instant: Instant,
    pub(super) wall: WallTime,
    pub(super) node: Cow<'a, HaNode>,
}
