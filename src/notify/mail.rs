//! ENGINE: mail (`smtp_alert`): what it says, which of it is sent next, when it is tried again. keepalived tries once.

use core::fmt;
use std::collections::VecDeque;
use std::sync::Arc;

use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as AddressField;
use mail_builder::headers::date::Date;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;

use super::event::{Event, Object, Word};
use crate::time::{Duration, Instant};

/// Letters that wait at most; of more the oldest are left out.
const WAITING_MAX: usize = 256;

/// Pause after the first failure; each time it is doubled.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What is not delivered by then is given up.
const OLDEST: Duration = Duration::from_secs(24 * 3600);

/// Where mail goes, and from whom (`smtp_server`, `notification_email` and the like).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct MailConfig {
    /// Address or name of the mail server.
    pub server: Box<str>,
    /// Its port.
    pub port: u16,
    /// `smtp_connect_timeout`.
    pub connect_timeout: Duration,
    /// `smtp_helo_name`, else the name of the host.
    pub hello: Box<str>,
    /// `notification_email_from`.
    pub from: MailAddress,
    /// `notification_email`: at least one.
    pub to: Vec<MailAddress>,
    /// `router_id`, else the name of the host.
    pub router_id: Box<str>,
    /// Not with `no_email_faults`: FAULT is told, too.
    pub faults: bool,
}

/// Somebody's address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct MailAddress {
    name: Option<Box<str>>,
    address: Box<str>,
}

impl MailAddress {
    /// `ADDRESS` or `NAME <ADDRESS>`. `None` where the address is none that SMTP can carry.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
            Some((name, address)) => (Some(name.trim().trim_matches('"')), address.trim()),
            None => (None, text),
        };
        let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>');
        let address = Some(address).filter(|address| !address.is_empty() && address.chars().all(fits))?;
        Some(Self { name: name.filter(|name| !name.is_empty()).map(Box::from), address: address.into() })
    }

    /// Without the name.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    fn field(&self) -> AddressField<'_> {
        AddressField::new_address(self.name.as_deref(), &*self.address)
    }
}

/// A mail that tells of an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Letter {
    event: Arc<Event>,
    /// Number of the letter in this process.
    number: u64,
    since: Instant,
    failures: u32,
}

impl Letter {
    /// `[ROUTER_ID] VRRP Instance NAME - Entering MASTER state`.
    fn subject(&self, router_id: &str) -> String {
        let Event { object, word, .. } = &*self.event;
        let name = object.name();
        match object {
            Object::Instance(_) => format!("[{router_id}] VRRP Instance {name} - Entering {word} state"),
            Object::Group(_) => format!("[{router_id}] VRRP Group {name} - Entering {word} state"),
            Object::VirtualServer(_) => format!("[{router_id}] Virtualserver {name} - {word}"),
            Object::RealServer(_, of) => {
                format!("[{router_id}] Realserver {name} of virtual server {of} - {word}")
            }
        }
    }

    fn body(&self) -> String {
        let Event { object, word, .. } = &*self.event;
        match (object, word) {
            (Object::VirtualServer(_) | Object::RealServer(..), _) => {
                format!("=> {} <=", self.event.cause.as_deref().unwrap_or_default())
            }
            (Object::Group(_), word) => format!("=> All VRRP group instances are now in {word} state <="),
            (_, Word::Master) => "=> VRRP Instance is now owning VRRP VIPs <=".to_owned(),
            _ => "=> VRRP Instance is no longer owning VRRP VIPs <=".to_owned(),
        }
    }

    /// The whole message, with keepalived's header fields and those that mail must have today.
    pub(crate) fn message(&self, config: &MailConfig) -> Vec<u8> {
        let us = self.event.at.as_unix_micros();
        let domain =
            config.hello.replace(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-'), "");
        let message = MessageBuilder::new()
            .date(Date::new(i64::try_from(us / 1_000_000).unwrap_or(i64::MAX)))
            .from(config.from.field())
            .subject(Text::new(self.subject(&config.router_id)))
            .header("X-Mailer", Raw::new("Keepalived"))
            .to(AddressField::new_list(config.to.iter().map(MailAddress::field).collect()))
            .message_id(format!("{us}.{}@{domain}", self.number))
            .text_body(format!("{}\r\n", self.body()));
        // Writing into memory does not fail.
        message.write_to_vec().unwrap_or_default()
    }
}

/// `of MASTER of vrrp_instance VI_1`.
impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.event.word, self.event.object)
    }
}

/// What becomes of a letter that could not be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It is tried again after this time.
    Again(Letter, Duration),
    /// It is given up.
    GivenUp(Letter),
}

/// The letters that wait, and the one that is being sent.
#[derive(Debug, Default)]
pub(crate) struct MailQueue {
    waiting: VecDeque<Letter>,
    sending: Option<Letter>,
    /// After a failure.
    not_before: Option<Instant>,
    numbers: u64,
    left_out: u64,
}

impl MailQueue {
    /// An event to tell. Only states are.
    pub(crate) fn push(&mut self, now: Instant, event: &Arc<Event>, config: &MailConfig) {
        match event.word {
            Word::Master | Word::Backup | Word::Deleted | Word::Up | Word::Down => {}
            Word::Fault if config.faults => {}
            _ => return,
        }
        self.numbers += 1;
        let event = Arc::clone(event);
        self.waiting.push_back(Letter { event, number: self.numbers, since: now, failures: 0 });
        if self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
            self.left_out += 1;
        }
    }

    /// The letter to send now, unless one is being sent.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Letter> {
        if self.sending.is_some() || self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        self.sending = self.waiting.pop_front();
        self.sending.clone()
    }

    /// When [`MailQueue::next`] has one after a failure.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.not_before.filter(|_| self.sending.is_none() && !self.waiting.is_empty())
    }

    /// The letter was sent.
    pub(crate) fn sent(&mut self) -> Option<Letter> {
        self.not_before = None;
        self.sending.take()
    }

    /// It was not; `for_good`: nor will it ever be.
    pub(crate) fn failed(&mut self, now: Instant, for_good: bool) -> Option<Fate> {
        let mut letter = self.sending.take()?;
        if for_good || now.saturating_since(letter.since) > OLDEST {
            self.not_before = None;
            return Some(Fate::GivenUp(letter));
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << letter.failures.min(10)).min(LONGEST_PAUSE);
        letter.failures += 1;
        self.not_before = Some(now + pause);
        self.waiting.push_front(letter.clone());
        Some(Fate::Again(letter, pause))
    }

    /// How many letters wait or are being sent.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.sending.is_some())
    }

    /// How many were left out since the last call.
    pub(crate) const fn take_left_out(&mut self) -> u64 {
        core::mem::replace(&mut self.left_out, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::WallTime;

    fn address(text: &str) -> MailAddress {
        MailAddress::parse(text).unwrap()
    }

    fn config() -> MailConfig {
        MailConfig {
            server: "mail".into(),
            port: 25,
            connect_timeout: Duration::from_secs(30),
            hello: "host.example".into(),
            from: address("Alive D <alived@example.com>"),
            to: vec![address("root@localhost"), address("\"Müller, A\" <a@example.com>")],
            router_id: "R1".into(),
            faults: false,
        }
    }

    fn event(object: Object, word: Word) -> Arc<Event> {
        let at = WallTime::from_unix_micros(1_700_000_000_000_000);
        Arc::new(Event { object, word, priority: 1, from: None, cause: None, at, is_last: false })
    }

    fn instance(name: &str, word: Word) -> Arc<Event> {
        event(Object::Instance(name.into()), word)
    }

    fn at(s: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(s)
    }

    #[test]
    fn letters_have_keepalived_words() {
        let mut queue = MailQueue::default();
        for event in [
            instance("VI_1", Word::Master),
            instance("VI_1", Word::Backup),
            event(Object::Group("G".into()), Word::Backup),
        ] {
            queue.push(at(0), &event, &config());
        }
        let mut told = Vec::new();
        while let Some(letter) = queue.next(at(0)) {
            told.push(format!("{} {}", letter.subject("R1"), letter.body()));
            queue.sent();
        }
        assert_eq!(
            told,
            [
                "[R1] VRRP Instance VI_1 - Entering MASTER state => VRRP Instance is now owning VRRP VIPs <=",
                "[R1] VRRP Instance VI_1 - Entering BACKUP state => VRRP Instance is no longer owning VRRP VIPs <=",
                "[R1] VRRP Group G - Entering BACKUP state => All VRRP group instances are now in BACKUP state <=",
            ]
        );
    }

    #[test]
    fn a_message_is_mail_whatever_the_names_are() {
        let mut queue = MailQueue::default();
        queue.push(at(0), &instance("Ä\r\nBcc: x@y", Word::Master), &config());
        let text = String::from_utf8(queue.next(at(0)).unwrap().message(&config())).unwrap();
        assert!(text.is_ascii(), "{text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        for field in ["Date: Tue, 14 Nov 2023 22:13:20 +0000", "X-Mailer: Keepalived"] {
            assert!(head.lines().any(|line| line == field), "{head}");
        }
        assert!(head.contains("<a@example.com>") && head.contains("root@localhost"), "{head}");
        assert!(head.contains("Message-ID: <1700000000000000.1@host.example>"), "{head}");
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        assert!(body.contains("now owning VRRP VIPs"), "{body}");
    }

    #[test]
    fn addresses_may_have_names() {
        assert_eq!(address("a@b"), MailAddress { name: None, address: "a@b".into() });
        assert_eq!(address("<a@b>").address(), "a@b");
        assert_eq!(address("A B <a@b>"), MailAddress { name: Some("A B".into()), address: "a@b".into() });
        for wrong in ["", "A B", "a@b\r\nx", "A <a b@c>", "ä@b"] {
            assert_eq!(MailAddress::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn faults_are_told_on_demand_and_what_is_no_state_never() {
        let mut queue = MailQueue::default();
        for word in [Word::Fault, Word::Stop, Word::MasterPriority, Word::LowerPriorityReceived] {
            queue.push(at(0), &instance("A", word), &config());
        }
        assert_eq!(queue.len(), 0);
        queue.push(at(0), &instance("A", Word::Fault), &MailConfig { faults: true, ..config() });
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn what_fails_is_tried_again_in_order_with_longer_and_longer_pauses() {
        let mut queue = MailQueue::default();
        queue.push(at(0), &instance("A", Word::Backup), &config());
        queue.push(at(0), &instance("A", Word::Master), &config());
        let mut now = at(0);
        for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(queue.next(now).unwrap().event.word, Word::Backup);
            assert_eq!(queue.next(now), None, "one at a time");
            let Some(Fate::Again(_, wait)) = queue.failed(now, false) else { panic!("given up") };
            assert_eq!(wait, Duration::from_secs(pause));
            assert_eq!(queue.next(now), None);
            assert_eq!(queue.poll_timeout(), Some(now + wait));
            now += wait;
        }
        queue.next(now).unwrap();
        assert!(matches!(queue.failed(now, true), Some(Fate::GivenUp(_))));
        assert_eq!(queue.next(now).unwrap().event.word, Word::Master);
        assert!(queue.sent().is_some() && queue.len() == 0);
    }

    #[test]
    fn what_cannot_be_delivered_for_a_day_is_given_up_and_of_too_many_the_oldest_go() {
        let mut queue = MailQueue::default();
        for _ in 0..WAITING_MAX + 3 {
            queue.push(at(0), &instance("A", Word::Master), &config());
        }
        assert_eq!((queue.len(), queue.take_left_out(), queue.take_left_out()), (WAITING_MAX, 3, 0));
        let late = at(24 * 3600 + 1);
        queue.next(late).unwrap();
        assert!(matches!(queue.failed(late, false), Some(Fate::GivenUp(_))));
    }
}
