//! What the kernel shall hold against what it holds: one mechanism for every kind of object.
//!
//! A *requester* (a virtual router, the daemon's static part) has a [`WantedSet`] for each [`Kind`] of object. The
//! set is told what is wished for, whether that is wanted now ([`WantedSet::want`], [`WantedSet::release`]), what the
//! kernel tells ([`WantedSet::on_present`], [`WantedSet::on_gone`]), what it answers ([`WantedSet::on_answer`]) and
//! what time it is ([`WantedSet::judge`]). It gives [`Change`]s: the difference alone, in the order in which they
//! have to be carried out. The requester sends them, and sends its own changes in the order in which it got them.
//!
//! From that follows, for every kind:
//! - **Whose it is.** *Ours* carries our mark; *foreign* was there before us without it, and is used but never
//!   removed; *left over* is ours from a predecessor that was killed, and is kept until the requester decides: it is
//!   adopted when it is wanted, removed when it is not.
//! - **Drift.** An object is judged only while none of its changes is unanswered, and a moment after the kernel told
//!   of it: so what we did ourselves, and what the kernel tells late, is not taken for somebody else's doing. What
//!   somebody removed is put back, the first time after 10 ms, then after pauses of up to a second; what the kernel
//!   refuses is tried again after pauses of up to a minute. A watched object that goes missing for too long all the
//!   same counts against its requester ([`WantedSet::take_lacking`]).
//! - **Collateral.** Of some kinds the kernel removes others along with one. What is wanted of these is asked for
//!   again in the same batch: within a set by [`WantedSet::reconfigure`], between requesters by [`Collateral`].
//!
//! A kind adds the rules that are its own: what tells its objects apart, what one consists of, and which go together.
//! Addresses are the first, links (virtual MACs) the second: their key is the name with the parent and the MAC, so that
//! an interface of our name that is otherwise made is none of ours; an addition also brings into shape what is there
//! ([`Kind::SHAPES`]). A removal takes addresses along: their model forgets them with the link, and their wishes have no
//! place without it. The others fit like this:
//! - **Routes** and **rules** ([`RoutingSets`]): their key holds the protocol, which is our mark, so that what carries
//!   another one is another object and nothing is foreign; of routes it is the place in the table and the ways as far as
//!   the configuration names them, of rules everything. A route has a place while its interfaces are up. When one goes
//!   down, or loses its last address or the one that a route prefers, Linux drops IPv4 routes without a word: their model
//!   of the kernel works that out. What the kernel refuses for want of an address is asked for again when there is a new
//!   one ([`WantedSet::retry`]).
//! - **nftables rules.** The table is ours alone, so that nothing in it is foreign; the key is set and element.
//!   Changes go in one transaction, and are answered together.
//! - **IPVS entries.** A requester is a virtual server, its wishes are services with their destinations; an addition edits
//!   what is there. The kernel never tells of them, and there is no mark: the whole table is read again and again, and
//!   compared while all changes are answered ([`WantedSet::is_settled`], [`WantedSet::resynchronise`]); what was changed
//!   by hand counts as gone. A destination needs its service ([`WantedSet::hasten`]).

mod address;
mod collateral;
mod ipvs;
mod item;
mod link;
mod places;
mod routing;
mod set;
#[cfg(test)]
mod tests;

use core::fmt::Debug;

pub(crate) use address::{AddressWish, Addresses, distinct};
pub(crate) use collateral::Collateral;
pub(crate) use ipvs::IpvsEntries;
pub(crate) use link::Links;
pub(crate) use routing::{RouteLink, RoutingLeftovers, RoutingSets};
pub(crate) use set::WantedSet;

use crate::kernel::Verb;

/// A kind of object that the kernel holds for us.
pub(crate) trait Kind: Clone + Debug {
    /// What tells its objects apart in the kernel.
    type Key: Copy + Debug + Ord;
    /// An object as it is wanted: where, and all that the kernel is told when it is added. Another wish is another
    /// object, also if it has the same key: one is removed, the other added.
    type Wish: Clone + Debug + Ord;
    /// What objects have in common of which one takes the others along when it is removed.
    type Kin: Debug + Ord;

    /// An addition makes of an object that is there what is wished for: what is adopted is asked for too, and of two
    /// wishes with one key the second takes over the object of the first.
    const SHAPES: bool = false;

    /// Wishes that differ may come to one key, when interfaces are renamed: the first one counts.
    const COINCIDE: bool = false;

    /// The kin of an object whose removal may take others along; `None` if it goes alone, as most do.
    fn kin(_key: Self::Key) -> Option<Self::Kin> {
        None
    }
}

/// What the kernel is known to hold: whether an object is there, and then whether it carries our mark.
pub(crate) type Known<'a, K> = &'a dyn Fn(<K as Kind>::Key) -> Option<bool>;

/// Something to ask the kernel for. Each one has to be answered, once, by [`WantedSet::on_answer`].
#[derive(Clone, Debug)]
pub(crate) struct Change<K: Kind> {
    /// Add or remove.
    pub(crate) verb: Verb,
    /// Which object.
    pub(crate) key: K::Key,
    /// The object as it is, or was, wanted.
    pub(crate) wish: K::Wish,
}

/// What the answer to a change means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// Nothing more.
    Done,
    /// The object is there, and wanted.
    There,
    /// The kernel refused the change.
    Refused,
}

/// An object that somebody else removed and that is put back.
#[derive(Clone, Debug)]
pub(crate) struct Repair<K: Kind> {
    /// Which object.
    pub(crate) key: K::Key,
    /// How often since it became wanted, or since it was last left in peace.
    pub(crate) times: u32,
}
