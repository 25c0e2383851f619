//! Master (RFC 9568 §6.4.3, RFC 3768 §6.4.3), and the switch-over, by which a master hands on without a gap.

use core::net::IpAddr;

use super::router::{Output, Phase, VirtualRouter};
use super::timing::skew_time;
use super::{AnnounceSettings, Cause, ReportKind, State};
use crate::kernel::Announcement;
use crate::net::{Family, LinkKey, Prefix};
use crate::time::{Duration, Instant, Now};
use crate::wire::vrrp::{Advertisement, Priority};

/// Answers to rivals and to routers that leave, in one interval.
const ANSWERS: u32 = 10;

/// What a master keeps in mind.
#[derive(Clone, Debug)]
pub(super) struct Mastership {
    /// `Adver_Timer`.
    pub(super) next_advert: Instant,
    /// Second block of announcements.
    second_block: Option<SecondBlock>,
    /// Periodic announcements.
    refresh: Option<Instant>,
    /// Rivals and routers that leave are answered with an advertisement this often at most.
    answer_not_before: Instant,
    /// One of them came too early for that and waits for its answer.
    answer_due: Option<Instant>,
    /// A beaten rival is answered with announcements once in an interval, however often it sends.
    rival_quiet_until: Instant,
    /// Until then the last word of the master before us is no news.
    settled_at: Instant,
    /// A rival sent within that interval: hosts may have believed it since, and it may say no more.
    rival_due: Option<Instant>,
    /// A switch-over is under way: priority 0 is sent, no successor heard yet, give up at this time.
    pub(super) handover: Option<Instant>,
    /// After a stall: a router that does not preempt yields to any master heard until then.
    listening_until: Option<Instant>,
}

/// A block of announcements that is planned.
#[derive(Clone, Copy, Debug)]
struct SecondBlock {
    at: Instant,
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

impl Mastership {
    /// Delays of announcements were changed while they run.
    pub(super) fn retime(&mut self, now: Now, before: &AnnounceSettings, settings: &AnnounceSettings) {
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

    pub(super) fn poll_timeout(&self) -> Instant {
        // A master that hands over neither advertises nor announces until it knows the outcome.
        if let Some(give_up) = self.handover {
            return give_up;
        }
        let second_block = self.second_block.map(|block| block.at);
        let others = [second_block, self.refresh, self.rival_due, self.answer_due];
        others.into_iter().flatten().fold(self.next_advert, Instant::min)
    }
}

impl VirtualRouter {
    /// Grants the wish to become master (RFC 9568 §6.4.1 (110 to 140), §6.4.2 (345 to 375)). What is done first is
    /// the order of [`Actions::carry_out`](super::Actions::carry_out).
    pub fn grant_master(&mut self, now: Now, cause: Cause, out: &mut Output<'_>) {
        if !matches!(self.phase, Phase::Backup(_)) {
            return;
        }
        self.send_advertisement(out);
        if self.sending.is_unproven() {
            return self.sending.await_proof(cause);
        }
        self.take_mastership(now, cause, out);
    }

    /// Becomes master; the first advertisement is sent.
    pub(super) fn take_mastership(&mut self, now: Now, cause: Cause, out: &mut Output<'_>) {
        self.master_interval = self.config.interval;
        self.yielded = false;
        self.counters.became_master += 1;
        let mut changes = Vec::new();
        let (present, leftovers) = self.addresses.want(&mut changes);
        self.request_addresses(changes, out);
        let settings = self.config.announce;
        let mastership = Mastership {
            next_advert: now.instant + self.config.interval.duration(),
            second_block: SecondBlock::after(now, settings.delay, settings.repeat, Why::Election),
            refresh: later(now, settings.refresh),
            answer_not_before: now.instant,
            answer_due: None,
            rival_quiet_until: now.instant,
            settled_at: now.instant + self.config.interval.duration(),
            rival_due: None,
            handover: None,
            listening_until: None,
        };
        self.transition(now, Phase::Master(mastership), cause, out);
        self.announce(present, settings.repeat.max(1), out);
        if leftovers > 0 {
            self.report(ReportKind::LeftoverAdopted { count: leftovers }, out);
        }
    }

    /// RFC 9568 §6.4.3: an advertisement is received.
    pub(super) fn hear_as_master(
        &mut self,
        now: Now,
        from: IpAddr,
        advertisement: &Advertisement,
        out: &mut Output<'_>,
    ) {
        let Phase::Master(mastership) = &self.phase else { return };
        let (handover, listening) = (mastership.handover, mastership.listening_until);
        let priority = advertisement.priority;
        if priority.is_leaving() {
            // (720) A router that left: tell the others at once that there is a master.
            if handover.is_none() {
                self.answer(now, out);
                // Only a master leaves: hosts may have believed it.
                self.announce_over_rival(now, out);
            }
            return;
        }
        if handover.is_some() {
            self.yielded = true;
            return self.yield_to(now, from, advertisement, Cause::SwitchOver { successor: from }, out);
        }
        if self.loses_to(from, priority) {
            // (740) One last advertisement tells the better master of us, so that it announces again.
            if self.config.higher_prio_send_advert {
                self.send_advertisement(out);
            }
            return self.yield_to(now, from, advertisement, Cause::BetterMaster { from, priority }, out);
        }
        if listening.is_some_and(|until| now.instant < until) && !self.config.preempt {
            // It keeps its mastership, and our leaving makes it announce again.
            self.send_leaving(out);
            return self.yield_to(now, from, advertisement, Cause::BetterMaster { from, priority }, out);
        }
        self.beat_rival(now, from, priority, out);
    }

    /// RFC 9568 §6.4.3 (735): a higher priority wins, and with equal priorities the higher address.
    fn loses_to(&self, from: IpAddr, priority: Priority) -> bool {
        let own = self.priority.get();
        priority > own || (priority == own && self.environment.source.is_some_and(|source| from > source))
    }

    /// RFC 9568 §6.4.3 (750): a rival that loses is answered, and because hosts may have learned its MAC, the
    /// addresses are announced again (`behaviours` B5).
    fn beat_rival(&mut self, now: Now, from: IpAddr, priority: Priority, out: &mut Output<'_>) {
        self.counters.rivals_beaten += 1;
        if !self.config.lower_prio_no_advert {
            self.answer(now, out);
        }
        let news = matches!(&self.phase, Phase::Master(mastership) if mastership.settled_at <= now.instant);
        if self.announce_over_rival(now, out) && news {
            self.report_packet(now, ReportKind::RivalBeaten { from, priority }, out);
        }
    }

    /// Tells a router that believes to be master, or that leaves, of us. Whoever sends often is answered all the same
    /// [`ANSWERS`] times in an interval at most: an answer tells everybody.
    fn answer(&mut self, now: Now, out: &mut Output<'_>) {
        let pause = self.config.interval.duration() / ANSWERS;
        let Phase::Master(mastership) = &mut self.phase else { return };
        if now.instant < mastership.answer_not_before {
            mastership.answer_due = Some(mastership.answer_not_before);
            return;
        }
        mastership.answer_due = None;
        mastership.answer_not_before = now.instant + pause;
        self.send_advertisement(out);
        self.restart_advert_timer(now);
    }

    /// Announces the addresses again, now and a second time, because hosts may have learned another master's
    /// MAC; at most once in an interval. What comes too early for that is not left out but waits.
    fn announce_over_rival(&mut self, now: Now, out: &mut Output<'_>) -> bool {
        let settings = self.config.announce;
        let interval = self.config.interval.duration();
        let Phase::Master(mastership) = &mut self.phase else { return false };
        if now.instant < mastership.rival_quiet_until {
            mastership.rival_due = Some(mastership.rival_quiet_until);
            return false;
        }
        mastership.rival_due = None;
        mastership.rival_quiet_until = now.instant + interval;
        let block =
            SecondBlock::after(now, settings.lower_prio_delay, settings.lower_prio_repeat, Why::Rival);
        if let Some(block) = block.filter(|block| block.rounds > 0) {
            mastership.second_block = Some(block);
        }
        self.announce(self.addresses.held(), settings.lower_prio_repeat, out);
        true
    }

    /// Yields to a master that was heard, and follows it.
    fn yield_to(
        &mut self,
        now: Now,
        from: IpAddr,
        heard: &Advertisement,
        cause: Cause,
        out: &mut Output<'_>,
    ) {
        self.counters.released_master += 1;
        out.announcements.cancel(self.id);
        self.release_addresses(out);
        let wait = self.master_down_interval();
        self.enter_backup(now, wait, cause, out);
        self.hear_in_backup(now, from, heard, out);
    }

    /// Timers of a master.
    pub(super) fn handle_master_timeout(&mut self, now: Now, horizon: Instant, out: &mut Output<'_>) {
        let interval = self.config.interval.duration();
        let settings = self.config.announce;
        let Phase::Master(mastership) = &mut self.phase else { return };
        if let Some(give_up) = mastership.handover {
            if give_up <= now.instant {
                self.resume(now, ReportKind::SwitchOverAbandoned, out);
            }
            return;
        }
        let advertise = mastership.next_advert <= horizon;
        if advertise {
            // Periods follow each other without drift, but what is overdue by a period starts anew.
            let next = mastership.next_advert + interval;
            mastership.next_advert = if next <= now.instant { now.instant + interval } else { next };
        }
        let mut rounds = 0;
        if let Some(block) = mastership.second_block.take_if(|block| block.at <= now.instant) {
            rounds = block.rounds;
        }
        if mastership.refresh.is_some_and(|at| at <= now.instant) {
            mastership.refresh = later(now, settings.refresh);
            rounds = rounds.max(settings.refresh_repeat.max(1));
        }
        let answer_due = mastership.answer_due.is_some_and(|at| at <= now.instant);
        let rival_due = mastership.rival_due.is_some_and(|at| at <= now.instant);
        if advertise {
            // An answer, too.
            if let Phase::Master(mastership) = &mut self.phase {
                mastership.answer_due = None;
            }
            self.send_advertisement(out);
        } else if answer_due {
            self.answer(now, out);
        }
        if rounds > 0 {
            self.announce(self.addresses.held(), rounds, out);
        }
        if rival_due {
            self.announce_over_rival(now, out);
        }
    }

    /// The process stood still: announces again, since another master may have taken the addresses. A router
    /// that does not preempt keeps silent for an interval, to hear that master first.
    pub(super) fn listen_after_stall(&mut self, now: Now) {
        let preempts = self.config.preempt;
        let settings = self.config.announce;
        let wait = self.config.interval.duration() + self.skew_time();
        let Phase::Master(mastership) = &mut self.phase else { return };
        let block = |at| Some(SecondBlock { at, rounds: settings.repeat, why: Why::Stall });
        mastership.second_block = block(now.instant);
        if preempts {
            mastership.next_advert = now.instant;
        } else {
            mastership.next_advert = now.instant + wait;
            mastership.listening_until = Some(now.instant + wait);
            mastership.second_block = block(now.instant + wait);
        }
    }

    /// The operator's switch-over: priority 0, no more advertisements, but the addresses stay until the
    /// successor is heard, at most one interval and the longest skew time. Does nothing unless master.
    pub fn switch_over(&mut self, now: Now, out: &mut Output<'_>) {
        if self.state() != State::Master {
            return;
        }
        if self.priority.get().is_owner() {
            return self.report(ReportKind::SwitchOverRefused, out);
        }
        let interval = self.config.interval;
        let longest_skew = skew_time(self.config.version, Priority(1), interval);
        let give_up = now.instant + interval.duration() + longest_skew;
        let Phase::Master(mastership) = &mut self.phase else { return };
        if mastership.handover.is_some() {
            return;
        }
        mastership.handover = Some(give_up);
        self.send_leaving(out);
        self.report(ReportKind::SwitchOverBegun, out);
    }

    /// Whether it is master and waits for a successor.
    pub(super) const fn hands_over(&self) -> bool {
        matches!(&self.phase, Phase::Master(mastership) if mastership.handover.is_some())
    }

    /// The switch-over ends without a successor: master as before.
    pub(super) fn resume(&mut self, now: Now, why: ReportKind, out: &mut Output<'_>) {
        let Phase::Master(mastership) = &mut self.phase else { return };
        mastership.handover = None;
        self.report(why, out);
        self.send_advertisement(out);
        self.restart_advert_timer(now);
    }

    /// Announces all addresses as after an election, if master.
    pub(super) fn announce_all(&mut self, now: Now, out: &mut Output<'_>) {
        if self.state() == State::Master {
            self.announce(self.addresses.held(), self.config.announce.repeat.max(1), out);
            self.plan_second_block(now);
        }
    }

    /// Plans the second block of announcements, as after an election.
    pub(super) fn plan_second_block(&mut self, now: Now) {
        let settings = self.config.announce;
        if let Phase::Master(mastership) = &mut self.phase {
            mastership.second_block = SecondBlock::after(now, settings.delay, settings.repeat, Why::Election);
        }
    }

    fn restart_advert_timer(&mut self, now: Now) {
        let interval = self.config.interval.duration();
        if let Phase::Master(mastership) = &mut self.phase {
            mastership.next_advert = now.instant + interval;
        }
    }

    /// Queues announcements of addresses, with the pace of the configuration.
    pub(super) fn announce(
        &self,
        addresses: impl IntoIterator<Item = (LinkKey, Prefix)>,
        rounds: u32,
        out: &mut Output<'_>,
    ) {
        for (link, prefix) in addresses {
            if let Some(announcement) = self.announcement(link, prefix) {
                let interval = self.announcement_interval(prefix.family());
                out.announcements.push(self.id, announcement, rounds, interval);
            }
        }
    }

    /// What tells hosts of an address; `None` where the interface has no MAC.
    pub(super) fn announcement(&self, link: LinkKey, prefix: Prefix) -> Option<Announcement> {
        let (_, interface) = self.environment.interface_of(link)?;
        Some(Announcement {
            link: interface.key,
            mac: self.config.interfaces.source_mac.or(interface.mac)?,
            address: prefix.address(),
            is_router: prefix.family() == Family::Ipv6 && interface.ipv6_forwarding,
        })
    }

    /// `garp_interval`, `gna_interval`.
    pub(super) const fn announcement_interval(&self, family: Family) -> Duration {
        match family {
            Family::Ipv4 => self.config.announce.arp_interval,
            Family::Ipv6 => self.config.announce.ndisc_interval,
        }
    }
}

/// The time after a configured delay, where zero means never.
fn later(now: Now, delay: Duration) -> Option<Instant> {
    (!delay.is_zero()).then(|| now.instant + delay)
}
