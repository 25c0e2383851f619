//! Master (RFC 9568 §6.4.3, RFC 3768 §6.4.3).

use core::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rivals::Rivals;
use super::router_core::Core;
use super::switch_over::Handover;
use super::{AnnounceSettings, Cause, News, Output, ReportKind};
use crate::time::{Duration, Instant, Now};
use crate::wire::vrrp::{Message, Priority};

/// Answers to rivals and to routers that leave, in one interval.
const ANSWERS: u32 = 10;

/// How many intervals an owner of the addresses waits for another one to yield, as a ratio.
const OWNER_PATIENCE: (u32, u32) = (12, 5);

/// What a master keeps in mind.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Mastership {
    /// `Adver_Timer`.
    pub(super) next_advert: Instant,
    /// Second block of announcements.
    pub(super) second_block: Option<SecondBlock>,
    /// Periodic announcements.
    pub(super) refresh: Option<Instant>,
    /// Those of addresses on other interfaces.
    pub(super) extra: Option<Instant>,
    /// Rivals and routers that leave are answered with an advertisement this often at most.
    answer_not_before: Instant,
    /// One of them came too early for that and waits for its answer.
    pub(super) answer_due: Option<Instant>,
    /// A beaten rival is answered with announcements once in an interval, however often it sends.
    rival_quiet_until: Instant,
    /// One interval after the election. Until then an advertisement of the lower master that was preempted may be on
    /// its way still: it is answered, and not reported as a rival.
    predecessor_silent_from: Instant,
    /// Hooks hear of beaten rivals twice in an interval at most.
    rival_untold_until: Instant,
    /// A rival sent within that interval: hosts may have believed it since, and it may say no more.
    pub(super) rival_due: Option<Instant>,
    /// A switch-over is under way.
    pub(super) handover: Option<Handover>,
    /// After a stall: a router that does not preempt yields to any master heard until then.
    listening_until: Option<Instant>,
    /// Other masters that lose to us.
    pub(super) rivals: Rivals,
    /// Another owner of the addresses (255), which should yield to us.
    owner: Option<OtherOwner>,
}

/// Two routers believe to own the addresses: an error that only an operator can mend.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct OtherOwner {
    from: IpAddr,
    /// Until when it may still find out that it has to yield.
    patience_until: Instant,
}

/// A block of announcements that is planned.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct SecondBlock {
    pub(super) at: Instant,
    rounds: u32,
    why: Why,
}

/// What a second block of announcements follows.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Why {
    /// An election: `garp_master_delay`.
    Election,
    /// A beaten rival: `garp_lower_prio_delay`.
    Rival,
    /// A pause of this process: no setting.
    Stall,
}

impl SecondBlock {
    /// After `delay`; zero means never.
    fn after(now: Now, delay: Duration, rounds: u32, why: Why) -> Option<Self> {
        later(now, delay).map(|at| Self { at, rounds, why })
    }
}

/// What a master makes of an advertisement.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Verdict {
    /// It stays master.
    Stays,
    /// It yields to the sender, who knows that it is the better one.
    Yields(Cause),
    /// It leaves to the sender, who has to be told.
    StepsDown(Cause),
}

impl Mastership {
    /// A mastership that begins now. The first advertisement is sent.
    pub(super) fn new(core: &Core, now: Now) -> Self {
        let interval = core.config.interval.duration();
        let settings = &core.config.announce;
        Self {
            next_advert: now.instant + interval,
            second_block: SecondBlock::after(now, settings.delay, settings.repeat, Why::Election),
            refresh: later(now, settings.refresh),
            extra: settings.extra_period().map(|period| now.instant + period),
            answer_not_before: now.instant,
            answer_due: None,
            rival_quiet_until: now.instant,
            predecessor_silent_from: now.instant + interval,
            rival_untold_until: now.instant,
            rival_due: None,
            handover: None,
            listening_until: None,
            rivals: Rivals::default(),
            owner: None,
        }
    }

    /// RFC 9568 §6.4.3: an advertisement is received.
    pub(super) fn hear(
        &mut self,
        core: &mut Core,
        now: Now,
        from: IpAddr,
        advertisement: &Message<'_>,
        out: &mut Output<'_>,
    ) -> Verdict {
        let priority = advertisement.priority;
        if priority.is_leaving() {
            self.rivals.leave(now.instant, from);
            // (720) A router that left: tell the others at once that there is a master.
            if !self.hands_over() {
                self.answer(core, now, out);
                // Only a master leaves: hosts may have believed it.
                self.announce_over_rival(core, now, out);
            }
            return Verdict::Stays;
        }
        if let Some(handover) = self.handover {
            return Verdict::Yields(self.hear_successor(handover, core, now, from, out));
        }
        if !core.ignores_others() {
            if self.loses_as_owner(core, now, from, advertisement, out) || core.loses_to(from, priority) {
                // (740) One last advertisement tells the better master of us, so that it announces again.
                if core.config.higher_prio_send_advert {
                    core.send_advertisement(now, out);
                }
                return Verdict::Yields(core.better_master(from, priority));
            }
            if self.listening_until.is_some_and(|until| now.instant < until) && !core.config.preempt {
                // It keeps its mastership, and our leaving makes it announce again.
                return Verdict::StepsDown(core.better_master(from, priority));
            }
        }
        self.beat_rival(core, now, from, advertisement, out);
        Verdict::Stays
    }

    /// Of two owners the one with the higher address stays, as of any two masters of one priority. If the other one
    /// does not know that, or does not hear, somebody has to give in, or the addresses are in two places for good: after
    /// [`OWNER_PATIENCE`] of the longer of both intervals we lower our priority to 254, as keepalived does, and yield.
    fn loses_as_owner(
        &mut self,
        core: &mut Core,
        now: Now,
        from: IpAddr,
        advertisement: &Message<'_>,
        out: &mut Output<'_>,
    ) -> bool {
        let both_own = advertisement.priority.is_owner() && core.priority.get().is_owner();
        if !both_own || core.loses_to(from, advertisement.priority) {
            return false;
        }
        match self.owner.filter(|owner| owner.from == from) {
            None => {
                let longer = core.config.interval.duration().max(advertisement.interval.duration());
                let patience_until = now.instant + longer * OWNER_PATIENCE.0 / OWNER_PATIENCE.1;
                self.owner = Some(OtherOwner { from, patience_until });
                false
            }
            Some(owner) if now.instant < owner.patience_until => false,
            Some(_) => {
                core.priority.set_lowered(true);
                core.report(ReportKind::OwnerLowered { from }, out);
                true
            }
        }
    }

    /// RFC 9568 §6.4.3 (750): a rival that loses is answered, and because hosts may have learned its MAC, the
    /// addresses are announced again.
    fn beat_rival(
        &mut self,
        core: &mut Core,
        now: Now,
        from: IpAddr,
        advertisement: &Message<'_>,
        out: &mut Output<'_>,
    ) {
        let priority = advertisement.priority;
        core.counters.rivals_beaten += 1;
        if !core.config.lower_prio_no_advert {
            self.answer(core, now, out);
        }
        self.announce_over_rival(core, now, out);
        if self.rival_untold_until <= now.instant {
            self.rival_untold_until = now.instant + core.config.interval.duration() / 2;
            let (router, priority) = (Arc::clone(&core.config.name), core.priority.get());
            out.actions.news.push(News::LowerPriorityReceived { router, priority });
        }
        if self.predecessor_silent_from <= now.instant {
            let silence = core.master_down_interval_at(advertisement.interval);
            if self.rivals.hear(now.instant, from, priority, silence) {
                let ours = core.priority.get();
                core.report_packet(now, ReportKind::RivalBeaten { from, priority, ours }, out);
            }
        }
    }

    /// Tells of the other masters that still are there, or are not any more.
    pub(super) fn tell_rivals(&mut self, core: &mut Core, now: Now, out: &mut Output<'_>) {
        for kind in self.rivals.take_due(now.instant) {
            core.report_packet(now, kind, out);
        }
    }

    /// `Adver_Timer` fires (RFC 9568 §6.4.3 (700)).
    pub(super) fn advertise(&mut self, core: &mut Core, now: Now, out: &mut Output<'_>) {
        let interval = core.config.interval.duration();
        // Periods follow each other without drift, but what is overdue by a period starts anew.
        let next = self.next_advert + interval;
        self.next_advert = if next <= now.instant { now.instant + interval } else { next };
        // It is an answer, too, to whoever waits for one that is due.
        self.answer_due = None;
        core.send_advertisement(now, out);
    }

    /// Tells a router that believes to be master, or that leaves, of us. Whoever sends often is answered all the same
    /// [`ANSWERS`] times in an interval at most: an answer tells everybody.
    pub(super) fn answer(&mut self, core: &mut Core, now: Now, out: &mut Output<'_>) {
        if now.instant < self.answer_not_before {
            self.answer_due = Some(self.answer_not_before);
            return;
        }
        self.answer_due = None;
        self.answer_not_before = now.instant + core.config.interval.duration() / ANSWERS;
        self.advertise_now(core, now, out);
    }

    /// Advertises out of turn: the period begins anew.
    pub(super) fn advertise_now(&mut self, core: &mut Core, now: Now, out: &mut Output<'_>) {
        core.send_advertisement(now, out);
        self.next_advert = now.instant + core.config.interval.duration();
    }

    /// Announces the addresses again, now and a second time, because hosts may have learned another master's
    /// MAC; at most once in an interval. What comes too early for that is not left out but waits.
    pub(super) fn announce_over_rival(&mut self, core: &mut Core, now: Now, out: &mut Output<'_>) {
        let settings = core.config.announce;
        if now.instant < self.rival_quiet_until {
            self.rival_due = Some(self.rival_quiet_until);
            return;
        }
        self.rival_due = None;
        self.rival_quiet_until = now.instant + core.config.interval.duration();
        let block =
            SecondBlock::after(now, settings.lower_prio_delay, settings.lower_prio_repeat, Why::Rival);
        if let Some(block) = block.filter(|block| block.rounds > 0) {
            self.second_block = Some(block);
        }
        core.announce(core.addresses.held(), settings.lower_prio_repeat, out);
    }

    /// The second block of announcements, the periodic ones, or both at once.
    pub(super) fn announce_again(&mut self, core: &Core, now: Now, out: &mut Output<'_>) {
        let settings = &core.config.announce;
        let mut rounds = 0;
        if let Some(block) = self.second_block.take_if(|block| block.at <= now.instant) {
            rounds = block.rounds;
        }
        if self.refresh.is_some_and(|at| at <= now.instant) {
            self.refresh = later(now, settings.refresh);
            rounds = rounds.max(settings.refresh_repeat.max(1));
        }
        core.announce(core.addresses.held(), rounds, out);
    }

    /// Announces what is on other interfaces than the router's own.
    pub(super) fn announce_elsewhere(&mut self, core: &Core, now: Now, out: &mut Output<'_>) {
        self.extra = core.config.announce.extra_period().map(|period| now.instant + period);
        let own =
            core.environment.interface(&core.config.interfaces.addresses).map(|interface| interface.key);
        let all = core.config.announce.extra.is_some_and(|extra| extra.all);
        let on_top =
            |link| core.environment.interface_of(link).is_some_and(|(_, interface)| interface.on_top);
        let elsewhere = |&(link, _): &_| Some(link) != own && (all || on_top(link));
        core.announce(core.addresses.held().filter(elsewhere), 1, out);
    }

    /// Announces all addresses as after an election.
    pub(super) fn announce_all(&mut self, core: &Core, now: Now, out: &mut Output<'_>) {
        core.announce(core.addresses.held(), core.config.announce.repeat.max(1), out);
        self.plan_second_block(core, now);
    }

    /// Plans the second block of announcements, as after an election.
    pub(super) fn plan_second_block(&mut self, core: &Core, now: Now) {
        let settings = &core.config.announce;
        self.second_block = SecondBlock::after(now, settings.delay, settings.repeat, Why::Election);
    }

    /// The process stood still: announces again, since another master may have taken the addresses. A router
    /// that does not preempt keeps silent for an interval, to hear that master first.
    pub(super) fn listen_after_stall(&mut self, core: &Core, now: Now) {
        let begin = if core.config.preempt {
            now.instant
        } else {
            let until = now.instant + core.config.interval.duration() + core.skew_time();
            self.listening_until = Some(until);
            until
        };
        self.next_advert = begin;
        let rounds = core.config.announce.repeat;
        self.second_block = Some(SecondBlock { at: begin, rounds, why: Why::Stall });
    }

    /// The configuration was changed.
    pub(super) fn retime(&mut self, core: &Core, now: Now, before: &AnnounceSettings) {
        let settings = &core.config.announce;
        self.next_advert = self.next_advert.min(now.instant + core.config.interval.duration());
        self.second_block = self.second_block.and_then(|block| {
            let (old, new) = match block.why {
                Why::Election => (before.delay, settings.delay),
                Why::Rival => (before.lower_prio_delay, settings.lower_prio_delay),
                Why::Stall => return Some(block),
            };
            (!new.is_zero()).then(|| SecondBlock { at: (block.at - old) + new, ..block })
        });
        self.extra = match (self.extra, settings.extra_period()) {
            (Some(at), Some(period)) => Some(at.min(now.instant + period)),
            (_, period) => period.map(|period| now.instant + period),
        };
        self.refresh = match (self.refresh, later(now, settings.refresh)) {
            (Some(at), Some(_)) => Some((at - before.refresh) + settings.refresh),
            (_, next) => next,
        };
    }
}

impl AnnounceSettings {
    /// `garp_extra_if`.
    fn extra_period(&self) -> Option<Duration> {
        self.extra.map(|extra| extra.period)
    }
}

impl Core {
    /// RFC 9568 §6.4.3 (735): a higher priority wins, and with equal priorities the higher address.
    fn loses_to(&self, from: IpAddr, priority: Priority) -> bool {
        let own = self.priority.get();
        priority > own || (priority == own && self.environment.source.is_some_and(|source| from > source))
    }

    /// `owner_ignore_adverts`: it yields to nobody.
    fn ignores_others(&self) -> bool {
        self.config.owner_ignore_adverts && self.priority.get().is_owner()
    }

    fn better_master(&self, from: IpAddr, priority: Priority) -> Cause {
        Cause::BetterMaster { from, priority, ours: self.priority.clone() }
    }
}

/// The time after a configured delay, where zero means never.
fn later(now: Now, delay: Duration) -> Option<Instant> {
    (!delay.is_zero()).then(|| now.instant + delay)
}
