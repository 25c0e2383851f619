//! What a router remembers to tell fresh advertisements from recorded ones, of itself and of the other senders.
//!
//! Only what was signed or sealed by somebody who knows a key gets a sender remembered, so that nobody else can have
//! one forgotten.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{AntiReplay, Datagram, HmacConfig, HmacMode, Reservation};
use crate::time::{Duration, Instant, Now, WallTime, micros};
use crate::wire::ah::{AhPassword, AuthenticatedPacket};
use crate::wire::vrrp::{Framed, Rejection, Stamp, Trailer};

/// Senders remembered; the one not heard for longest is forgotten. All peers of a unicast router fit.
const SENDERS_MAX: usize = 256;

/// The quarter of a second, since 1970, that sequence numbers of authentication headers count from: 2024 began. They
/// fit for 34 years.
const SEQUENCES_BEGIN: u64 = 1_704_067_200 * 4;

/// A router's memory of stamps and sequence numbers.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Authenticator {
    reservation: Option<Reservation>,
    /// The last stamp of our own.
    last: Option<Stamp>,
    /// The highest sequence number of an authentication header that was sent or heard. As in keepalived all routers
    /// count together: each goes on from where it heard the others be.
    highest: u32,
    senders: Vec<Sender>,
}

/// Somebody who knows a key.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Sender {
    address: IpAddr,
    /// When it was last heard.
    heard: Instant,
    /// When its last fresh advertisement came.
    fresh: Option<Instant>,
    /// Its latest stamp.
    stamp: Option<Stamp>,
    /// Its highest sequence number.
    sequence: u32,
    outside: Option<Outside>,
}

/// A sender whose clock differs from ours by more than the window.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Outside {
    since: Instant,
    last: Instant,
    ahead_us: i64,
}

/// What a trailer has shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shown {
    /// Nothing new.
    Nothing,
    /// The sender's clock was outside of the window for so long, and agrees with ours again.
    Agrees(Duration),
}

impl Authenticator {
    /// Stamps are set aside up to here; a router that has not sent yet begins with the first of them.
    pub(super) fn reserve(&mut self, reservation: Reservation) {
        let from = self.reservation.map_or(reservation.from, |first| first.from);
        self.reservation = Some(Reservation { from, ..reservation });
    }

    /// The stamp of our next advertisement: the clock's, or the next one after our last. A clock that was set back by
    /// more than the window is followed: what is signed ahead of it is of no use to anybody.
    pub(super) fn next_stamp(&mut self, wall: WallTime, hmac: &HmacConfig) -> Stamp {
        let stamp = match hmac.anti_replay {
            AntiReplay::Time => {
                let clock = Stamp::of(wall);
                let useful = self.last.filter(|last| within(*last, wall, hmac.window));
                useful.map_or(clock, |last| clock.or_later(last.next()))
            }
            AntiReplay::Monotonic => {
                let (clock, from) = self.followed(wall);
                let next = self.last.map_or(from, |last| last.next().or_later(from));
                clock.or_later(next)
            }
        };
        self.last = Some(stamp);
        stamp
    }

    /// The sequence number of our next authentication header. It follows the clock like a stamp, so that it does not
    /// begin again with the process.
    pub(super) fn next_sequence(&mut self, wall: WallTime) -> u32 {
        let (clock, from) = self.followed(wall);
        let of = |stamp: Stamp| {
            let quarters = (stamp.bits() >> 30).saturating_sub(SEQUENCES_BEGIN);
            u32::try_from(quarters).unwrap_or(u32::MAX)
        };
        self.highest = self.highest.saturating_add(1).max(of(clock)).max(of(from));
        self.highest
    }

    /// The clock as far as it may be followed, and what no stamp may be before.
    fn followed(&self, wall: WallTime) -> (Stamp, Stamp) {
        let clock = Stamp::of(wall);
        match self.reservation {
            Some(Reservation { from, until }) if clock.is_after(until) => (until, from),
            Some(Reservation { from, .. }) => (clock, from),
            None => (clock, clock),
        }
    }

    /// Verifies the authentication header of a received packet, and that it is fresh.
    pub(super) fn check_header(
        &mut self,
        now: Now,
        datagram: &Datagram<'_>,
        packet: &AuthenticatedPacket<'_>,
        password: &AhPassword,
    ) -> Result<(), Rejection> {
        let source = datagram.source;
        if IpAddr::V4(packet.spi()) != source {
            return Err(Rejection::HeaderMalformed);
        }
        if !verified(datagram, || packet.is_authentic(password, datagram.header)) {
            return Err(Rejection::HeaderNotAuthentic);
        }
        let received = packet.sequence;
        // Whom we know counts on from what it said itself: what both of two masters send at the same time has the same
        // number. Who is new goes on from where all are.
        let last = match self.position(source) {
            Some(position) => self.senders[position].sequence,
            None => self.highest,
        };
        if received <= last {
            return Err(Rejection::HeaderReplayed { received, last });
        }
        self.highest = self.highest.max(received);
        let sender = self.sender(now.instant, source);
        sender.sequence = received;
        Ok(())
    }

    /// Verifies the trailer of a received message, in keepalived's order, so that what has several faults is counted
    /// under the same name. `silence`: after how long a sender that is not heard is taken for gone. `whole`: whether the
    /// message passes all other checks. The checksum is not signed: who changes it alone makes no advertisement that
    /// the right one would be a recording of.
    pub(super) fn check_trailer(
        &mut self,
        now: Now,
        datagram: &Datagram<'_>,
        framed: &Framed<'_>,
        hmac: &HmacConfig,
        silence: Duration,
        whole: bool,
    ) -> Result<Shown, Rejection> {
        let Some(trailer) = framed.trailer() else {
            return match hmac.mode {
                HmacMode::Enforce => Err(Rejection::TrailerMissing),
                HmacMode::Permissive | HmacMode::ReceiveOnly => Ok(Shown::Nothing),
            };
        };
        let Trailer { key: id, stamp } = Trailer::parse(trailer).ok_or(Rejection::TrailerMalformed)?;
        let (key, source) = (hmac.key(id), datagram.source);
        let verified =
            || key.is_some_and(|key| verified(datagram, || key.verifies(source, framed.body(), trailer)));
        let timed = hmac.anti_replay == AntiReplay::Time;
        if timed && !within(stamp, now.wall, hmac.window) {
            let authentic = verified();
            let ahead_us = stamp.ahead_of_us(now.wall);
            if authentic {
                self.note_outside(now.instant, source, ahead_us, silence);
            }
            return Err(Rejection::TrailerStale { ahead_us, window: hmac.window, authentic });
        }
        if key.is_none() {
            return Err(Rejection::UnknownKey { id });
        }
        if !verified() {
            return Err(Rejection::InvalidHmac);
        }
        let known = self.position(source).and_then(|position| self.senders[position].stamp);
        // A stamp that is outside of the window now is one of a clock that was set right since.
        let known = known.filter(|known| !timed || within(*known, now.wall, hmac.window));
        if known.is_some_and(|known| !stamp.is_after(known)) {
            return Err(Rejection::TrailerReplayed);
        }
        if !whole {
            return Ok(Shown::Nothing);
        }
        let sender = self.sender(now.instant, source);
        sender.stamp = Some(stamp);
        sender.fresh = Some(now.instant);
        let ended = sender.outside.take();
        Ok(ended.map_or(Shown::Nothing, |outside| Shown::Agrees(now.instant.saturating_since(outside.since))))
    }

    /// A sender that knows a key says another time than we do. Who is heard with the right time as well is somebody's
    /// recording.
    fn note_outside(&mut self, now: Instant, source: IpAddr, ahead_us: i64, silence: Duration) {
        let sender = self.sender(now, source);
        if sender.fresh.is_some_and(|fresh| now.saturating_since(fresh) < silence) {
            return;
        }
        let lasting = sender.outside.filter(|outside| now.saturating_since(outside.last) < silence);
        let since = lasting.map_or(now, |outside| outside.since);
        sender.outside = Some(Outside { since, last: now, ahead_us });
    }

    /// Whether a sender has just been found outside of the window.
    pub(super) fn has_left(&self, now: Instant, source: IpAddr) -> bool {
        let sender = self.position(source).map(|position| &self.senders[position]);
        sender.and_then(|sender| sender.outside).is_some_and(|outside| outside.since == now)
    }

    /// Senders that were heard within `silence` and say another time than we do, with how far they are ahead, in
    /// microseconds.
    pub(super) fn outside(&self, now: Instant, silence: Duration) -> impl Iterator<Item = (IpAddr, i64)> {
        self.senders.iter().filter_map(move |sender| {
            let outside = sender.outside?;
            (now.saturating_since(outside.last) < silence).then_some((sender.address, outside.ahead_us))
        })
    }

    fn position(&self, source: IpAddr) -> Option<usize> {
        self.senders.iter().position(|sender| sender.address == source)
    }

    fn sender(&mut self, now: Instant, source: IpAddr) -> &mut Sender {
        let position = self.position(source).unwrap_or_else(|| {
            if self.senders.len() >= SENDERS_MAX {
                let by_age = self.senders.iter().enumerate().min_by_key(|(_, sender)| sender.heard);
                if let Some((oldest, _)) = by_age {
                    self.senders.swap_remove(oldest);
                }
            }
            // Normally there is a single one: no room is set aside.
            self.senders.reserve_exact(1);
            self.senders.push(Sender {
                address: source,
                heard: now,
                fresh: None,
                stamp: None,
                sequence: 0,
                outside: None,
            });
            self.senders.len() - 1
        });
        let sender = &mut self.senders[position];
        sender.heard = now;
        sender
    }
}

/// What its code shows, or what a recording says that it showed.
fn verified(datagram: &Datagram<'_>, judge: impl FnOnce() -> bool) -> bool {
    match datagram.verdicts {
        Some(verdicts) => verdicts.next(judge),
        None => judge(),
    }
}

fn within(stamp: Stamp, wall: WallTime, window: Duration) -> bool {
    stamp.ahead_of_us(wall).unsigned_abs() <= micros(window)
}

#[cfg(test)]
mod tests;
