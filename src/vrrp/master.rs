//! Master (RFC 9568 §6.4.3, RFC 3768 §6.4.3).

use core::net::IpAddr;

use super::router_core::Core;
use super::{AnnounceSettings, Cause, Output, ReportKind};
use crate::time::{Duration, Instant, Now};
use crate::wire::vrrp::{Message, Priority};

/// Answers to rivals and to routers that leave, in one interval.
const ANSWERS: u32 = 10;

/// What a master keeps in mind.
#[derive(Clone, Debug)]
pub(super) struct Mastership {
    /// `Adver_Timer`.
    pub(super) next_advert: Instant,
    /// Second block of announcements.
    pub(super) second_block: Option<SecondBlock>,
    /// Periodic announcements.
    pub(super) refresh: Option<Instant>,
    /// Rivals and routers that leave are answered with an advertisement this often at most.
    answer_not_before: Instant,
    /// One of them came too early for that and waits for its answer.
    pub(super) answer_due: Option<Instant>,
    /// A beaten rival is answered with announcements once in an interval, however often it sends.
    rival_quiet_until: Instant,
    /// One interval after the election. Until then an advertisement of the lower master that was preempted may be on
    /// its way still: it is answered, and not reported as a rival.
    predecessor_silent_from: Instant,
    /// A rival sent within that interval: hosts may have believed it since, and it may say no more.
    pub(super) rival_due: Option<Instant>,
    /// A switch-over is under way: priority 0 is sent, no successor heard yet, give up at this time.
    pub(super) handover: Option<Instant>,
    /// After a stall: a router that does not preempt yields to any master heard until then.
    listening_until: Option<Instant>,
}

/// A block of announcements that is planned.
#[derive(Clone, Copy, Debug)]
pub(super) struct SecondBlock {
    pub(super) at: Instant,
    rounds: u32,
    why: Why,
}

/// What a second block of announcements follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
#[derive(Clone, Debug)]
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
            answer_not_before: now.instant,
            answer_due: None,
            rival_quiet_until: now.instant,
            predecessor_silent_from: now.instant + interval,
            rival_due: None,
            handover: None,
            listening_until: None,
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
            // (720) A router that left: tell the others at once that there is a master.
            if !self.hands_over() {
                self.answer(core, now, out);
                // Only a master leaves: hosts may have believed it.
                self.announce_over_rival(core, now, out);
            }
            return Verdict::Stays;
        }
        if self.hands_over() {
            core.yielded = true;
            return Verdict::Yields(Cause::SwitchOver { successor: from });
        }
        if core.loses_to(from, priority) {
            // (740) One last advertisement tells the better master of us, so that it announces again.
            if core.config.higher_prio_send_advert {
                core.send_advertisement(now, out);
            }
            return Verdict::Yields(Cause::BetterMaster { from, priority });
        }
        if self.listening_until.is_some_and(|until| now.instant < until) && !core.config.preempt {
            // It keeps its mastership, and our leaving makes it announce again.
            return Verdict::StepsDown(Cause::BetterMaster { from, priority });
        }
        self.beat_rival(core, now, from, priority, out);
        Verdict::Stays
    }

    /// RFC 9568 §6.4.3 (750): a rival that loses is answered, and because hosts may have learned its MAC, the
    /// addresses are announced again.
    fn beat_rival(
        &mut self,
        core: &mut Core,
        now: Now,
        from: IpAddr,
        priority: Priority,
        out: &mut Output<'_>,
    ) {
        core.counters.rivals_beaten += 1;
        if !core.config.lower_prio_no_advert {
            self.answer(core, now, out);
        }
        let is_news = self.predecessor_silent_from <= now.instant;
        if self.announce_over_rival(core, now, out) && is_news {
            core.report_packet(now, ReportKind::RivalBeaten { from, priority }, out);
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
    pub(super) fn announce_over_rival(&mut self, core: &mut Core, now: Now, out: &mut Output<'_>) -> bool {
        let settings = core.config.announce;
        if now.instant < self.rival_quiet_until {
            self.rival_due = Some(self.rival_quiet_until);
            return false;
        }
        self.rival_due = None;
        self.rival_quiet_until = now.instant + core.config.interval.duration();
        let block =
            SecondBlock::after(now, settings.lower_prio_delay, settings.lower_prio_repeat, Why::Rival);
        if let Some(block) = block.filter(|block| block.rounds > 0) {
            self.second_block = Some(block);
        }
        core.announce(core.addresses.held(), settings.lower_prio_repeat, out);
        true
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
        self.refresh = match (self.refresh, later(now, settings.refresh)) {
            (Some(at), Some(_)) => Some((at - before.refresh) + settings.refresh),
            (_, next) => next,
        };
    }
}

impl Core {
    /// RFC 9568 §6.4.3 (735): a higher priority wins, and with equal priorities the higher address.
    fn loses_to(&self, from: IpAddr, priority: Priority) -> bool {
        let own = self.priority.get();
        priority > own || (priority == own && self.environment.source.is_some_and(|source| from > source))
    }
}

/// The time after a configured delay, where zero means never.
fn later(now: Now, delay: Duration) -> Option<Instant> {
    (!delay.is_zero()).then(|| now.instant + delay)
}
