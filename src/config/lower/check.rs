//! Health checks, with the times they inherit.

use core::net::IpAddr;
use core::num::NonZeroU16;
use std::collections::HashSet;
use std::sync::Arc;

use super::fields::{Names, boolean, duration, number, text};
use super::http;
use super::order::Defined;
use super::pattern::Patterns;
use super::script::Scripts;
use crate::check::{
    Checker, CheckerKind, Connection, DnsCheck, DnsType, ExpectedReply, FileCheck, MiscCheck, SmtpCheck,
    Timing, UdpCheck,
};
use crate::config::diagnostics::Diagnostic;
use crate::config::model::{self, RealServer, VirtualServer};
use crate::config::source::Position;
use crate::config::values::{self, At, Reading};
use crate::net::Family;
use crate::time::Duration;

/// What checks share while they are read.
#[derive(Debug, Default)]
pub(super) struct Checks {
    known: HashSet<Arc<Checker>>,
    last: Option<Arc<Checker>>,
    /// Texts kept once.
    pub(super) names: Names,
    patterns: Patterns,
    /// Programs.
    pub(super) scripts: Scripts,
}

/// What a check inherits from its real server and virtual server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inherited<'a> {
    delay_loop: Option<Duration>,
    retry: Option<u32>,
    delay_before_retry: Option<Duration>,
    warmup: Option<Duration>,
    pub(super) connect_timeout: Duration,
    alpha: bool,
    /// Host of HTTP requests.
    pub(super) virtualhost: Option<&'a str>,
    /// Address of the real server.
    pub(super) address: IpAddr,
    /// Where the real server stands.
    pub(super) place: Position,
}

impl<'a> Inherited<'a> {
    /// What the blocks of a real server and of its virtual server say.
    pub(super) fn new(outer: &'a VirtualServer, server: &'a RealServer) -> Self {
        Self {
            delay_loop: duration(server.delay_loop.as_ref()).or_else(|| duration(outer.delay_loop.as_ref())),
            retry: number(server.retry.as_ref()).or_else(|| number(outer.retry.as_ref())),
            delay_before_retry: duration(server.delay_before_retry.as_ref())
                .or_else(|| duration(outer.delay_before_retry.as_ref())),
            warmup: duration(server.warmup.as_ref()).or_else(|| duration(outer.warmup.as_ref())),
            connect_timeout: duration(server.connect_timeout.as_ref())
                .or_else(|| duration(outer.connect_timeout.as_ref()))
                .unwrap_or(Connection::DEFAULT_TIMEOUT),
            alpha: boolean(server.alpha.as_ref()).unwrap_or_else(|| outer.alpha.is_some()),
            virtualhost: text(server.virtualhost.as_ref()).or_else(|| text(outer.virtualhost.as_ref())),
            address: server.header.value.address,
            place: server.header.at,
        }
    }

    /// Without anything set: keepalived's defaults for a kind of check.
    fn timing(&self, own: OwnTiming, defaults: KindDefaults) -> Timing {
        let delay_loop = own.delay_loop.or(self.delay_loop).unwrap_or(Duration::from_secs(60));
        let delay_before_retry = own.delay_before_retry.or(self.delay_before_retry);
        Timing {
            delay_loop,
            retry: own.retry.or(self.retry).unwrap_or(defaults.retry),
            delay_before_retry: delay_before_retry.or(defaults.delay_before_retry).unwrap_or(delay_loop),
            warmup: own.warmup.or(self.warmup).unwrap_or(delay_loop),
            alpha: own.alpha.unwrap_or(self.alpha),
            log_all_failures: own.log_all_failures,
        }
    }
}

/// What a checker says about its times.
#[derive(Clone, Copy, Debug, Default)]
struct OwnTiming {
    delay_loop: Option<Duration>,
    retry: Option<u32>,
    delay_before_retry: Option<Duration>,
    warmup: Option<Duration>,
    alpha: Option<bool>,
    log_all_failures: Option<bool>,
}

/// What holds for a kind of check when nothing is set; no delay = that of the period.
#[derive(Clone, Copy, Debug)]
struct KindDefaults {
    retry: u32,
    delay_before_retry: Option<Duration>,
}

const GENERAL: KindDefaults = KindDefaults { retry: 1, delay_before_retry: Some(Duration::from_secs(1)) };
const HTTP: KindDefaults = KindDefaults { retry: 1, delay_before_retry: Some(Duration::from_secs(3)) };
const DNS: KindDefaults = KindDefaults { retry: 3, delay_before_retry: None };
const MISC: KindDefaults = KindDefaults { retry: 0, delay_before_retry: Some(Duration::from_secs(1)) };

/// The timing keywords, which seven kinds of check have under the same names.
macro_rules! own_timing {
    ($check:expr) => {
        OwnTiming {
            delay_loop: duration($check.delay_loop.as_ref()),
            retry: number($check.retry.as_ref()),
            delay_before_retry: duration($check.delay_before_retry.as_ref()),
            warmup: duration($check.warmup.as_ref()),
            alpha: boolean($check.alpha.as_ref()),
            log_all_failures: boolean($check.log_all_failures.as_ref()),
        }
    };
}

/// The connection keywords, which seven kinds of check have under the same names.
macro_rules! connection {
    ($reading:expr, $check:expr, $address:expr, $timeout:expr) => {{
        let address = $check.connect_ip.as_ref().map(|entry| entry.value.0);
        Connection {
            address,
            port: port(number($check.connect_port.as_ref())),
            source: source($reading, $check.bindto.as_ref(), address.unwrap_or($address)),
            source_port: port(number($check.bind_port.as_ref())),
            interface: $check.bind_if.as_ref().map(|entry| entry.value.0.clone()),
            timeout: duration($check.connect_timeout.as_ref()).unwrap_or($timeout),
            mark: number($check.fwmark.as_ref()).unwrap_or(0),
        }
    }};
}

fn port(number: Option<u32>) -> Option<NonZeroU16> {
    number.and_then(|number| u16::try_from(number).ok()).and_then(NonZeroU16::new)
}

/// `bindto`, which must be of the family of the address checked.
fn source(reading: &Reading<'_>, bindto: Option<&At<values::Address>>, target: IpAddr) -> Option<IpAddr> {
    let entry = bindto?;
    let source = entry.value.0;
    if Family::of(&source) == Family::of(&target) {
        return Some(source);
    }
    reading.diagnostics.push(
        Diagnostic::error(
            "source-family",
            format!("{source} cannot be the source of a connection to {target}"),
        )
        .at(reading.sources.word_at(entry.at))
        .label(format!("not {}", Family::of(&target)))
        .note("`bindto` is ignored"),
    );
    None
}

impl Checks {
    /// The shared copy of a checker.
    fn share(&mut self, checker: Checker) -> Arc<Checker> {
        // Neighbours mostly say the same.
        if let Some(last) = self.last.as_ref().filter(|last| ***last == checker) {
            return Arc::clone(last);
        }
        let shared = match self.known.get(&checker) {
            Some(known) => Arc::clone(known),
            None => {
                let new = Arc::new(checker);
                self.known.insert(Arc::clone(&new));
                new
            }
        };
        self.last = Some(Arc::clone(&shared));
        shared
    }

    /// The checkers of a real server, by kind and then in the order of the file.
    pub(super) fn of_server(
        &mut self,
        reading: &Reading<'_>,
        defined: &Defined,
        server: &RealServer,
        from: &Inherited<'_>,
        mut add: impl FnMut(Arc<Checker>),
    ) {
        for check in &server.tcp_checks {
            let connection = connection!(reading, check, from.address, from.connect_timeout);
            let timing = from.timing(own_timing!(check), GENERAL);
            add(self.share(Checker { timing, kind: CheckerKind::Tcp(connection) }));
        }
        for check in &server.ping_checks {
            let connection = connection!(reading, check, from.address, from.connect_timeout);
            let timing = from.timing(own_timing!(check), GENERAL);
            add(self.share(Checker { timing, kind: CheckerKind::Ping(connection) }));
        }
        for check in &server.http_checks {
            let connection = connection!(reading, check, from.address, from.connect_timeout);
            let timing = from.timing(own_timing!(check), HTTP);
            if let Some(http) =
                http::plain(reading, &mut self.names, &mut self.patterns, check, connection, from)
            {
                add(self.share(Checker { timing, kind: CheckerKind::Http(Box::new(http)) }));
            }
        }
        for check in &server.ssl_checks {
            let connection = connection!(reading, check, from.address, from.connect_timeout);
            let timing = from.timing(own_timing!(check), HTTP);
            if let Some(http) =
                http::secure(reading, &mut self.names, &mut self.patterns, check, connection, from)
            {
                add(self.share(Checker { timing, kind: CheckerKind::Http(Box::new(http)) }));
            }
        }
        for check in &server.udp_checks {
            let connection = connection!(reading, check, from.address, from.connect_timeout);
            let timing = from.timing(own_timing!(check), GENERAL);
            let udp = udp(reading, check, connection);
            add(self.share(Checker { timing, kind: CheckerKind::Udp(Box::new(udp)) }));
        }
        for check in &server.dns_checks {
            let connection = connection!(reading, check, from.address, from.connect_timeout);
            let timing = from.timing(own_timing!(check), DNS);
            let query_type = check.query_type.as_ref().map_or(DnsType::Soa, |entry| entry.value);
            let labels = labels(reading, check);
            let dns = DnsCheck { connection, query_type, labels };
            add(self.share(Checker { timing, kind: CheckerKind::Dns(Box::new(dns)) }));
        }
        for check in &server.smtp_checks {
            let own = connection!(reading, check, from.address, from.connect_timeout);
            let timing = from.timing(own_timing!(check), GENERAL);
            let timeout = own.timeout;
            let address = own.address.unwrap_or(from.address);
            let mut hosts = vec![own];
            hosts.extend(check.hosts.iter().map(|host| connection!(reading, host, address, timeout)));
            let helo_name = text(check.helo_name.as_ref()).map(|name| self.names.share(name));
            let smtp = SmtpCheck { hosts, helo_name };
            add(self.share(Checker { timing, kind: CheckerKind::Smtp(Box::new(smtp)) }));
        }
        for check in &server.misc_checks {
            let timing = from.timing(own_timing!(check), MISC);
            if let Some(misc) = self.misc(reading, check, timing, server.header.at) {
                add(self.share(Checker { timing, kind: CheckerKind::Misc(Box::new(misc)) }));
            }
        }
        for check in &server.file_checks {
            if let Some(file) = file(reading, defined, &mut self.names, check, server.header.at) {
                let timing = from.timing(OwnTiming::default(), GENERAL);
                add(self.share(Checker { timing, kind: CheckerKind::File(file) }));
            }
        }
        for check in &server.bfd_checks {
            let own = OwnTiming { alpha: boolean(check.alpha.as_ref()), ..OwnTiming::default() };
            if let Some(session) = bfd(reading, defined, check, server.header.at) {
                add(self
                    .share(Checker { timing: from.timing(own, GENERAL), kind: CheckerKind::Bfd(session) }));
            }
        }
    }

    fn misc(
        &mut self,
        reading: &Reading<'_>,
        check: &model::MiscCheck,
        timing: Timing,
        server: Position,
    ) -> Option<MiscCheck> {
        let Some(path) = &check.misc_path else {
            incomplete(reading, server, "MISC_CHECK", "misc_path");
            return None;
        };
        Some(MiscCheck {
            script: self.scripts.read_as(reading, path, check.user.as_ref())?,
            timeout: match number(check.misc_timeout.as_ref()) {
                Some(seconds) if seconds > 0 => Duration::from_secs(seconds.into()),
                _ => timing.delay_loop,
            },
            dynamic: check.misc_dynamic.is_some(),
        })
    }
}

/// Reports a check without the keyword it needs.
pub(super) fn incomplete(reading: &Reading<'_>, server: Position, check: &str, keyword: &str) {
    reading.diagnostics.push(
        Diagnostic::error("incomplete-check", format!("a {check} of this real server has no `{keyword}`"))
            .at(reading.sources.word_at(server))
            .note("the check is ignored")
            .help(format!("write `{keyword}` in the {check}")),
    );
}

fn udp(reading: &Reading<'_>, check: &model::UdpCheck, connection: Connection) -> UdpCheck {
    let reply = check.require_reply.as_ref().map(|entry| {
        let length =
            |number: Option<u32>, default| number.and_then(|n| u16::try_from(n).ok()).unwrap_or(default);
        ExpectedReply {
            minimum_length: length(number(check.min_reply_length.as_ref()), 0),
            maximum_length: length(number(check.max_reply_length.as_ref()), 255),
            pattern: entry.value.bytes.to_vec(),
        }
    });
    if let (Some(reply), Some(entry)) = (&reply, &check.min_reply_length)
        && reply.minimum_length > reply.maximum_length
    {
        reading.diagnostics.push(
            Diagnostic::error(
                "reply-lengths",
                format!(
                    "no reply has at least {} and at most {} bytes",
                    reply.minimum_length, reply.maximum_length
                ),
            )
            .at(reading.sources.word_at(entry.at))
            .note("this check will always fail"),
        );
    }
    let payload =
        check.payload.as_ref().map(|entry| entry.value.bytes.iter().map(|byte| byte.value).collect());
    UdpCheck { connection, payload, reply }
}

/// The labels of the name a DNS check asks for.
fn labels(reading: &Reading<'_>, check: &model::DnsCheck) -> Vec<Box<str>> {
    let Some(entry) = &check.name else { return Vec::new() };
    let name = entry.value.0.strip_suffix('.').unwrap_or(&entry.value.0);
    if name.is_empty() {
        return Vec::new();
    }
    let too_long = name.len() > 253 || name.split('.').any(|label| label.len() > 63);
    let empty = name.split('.').any(str::is_empty);
    if !too_long && !empty {
        return name.split('.').map(Into::into).collect();
    }
    let diagnostic = if empty {
        Diagnostic::error("invalid-value", format!("`{name}` has an empty label"))
    } else {
        // keepalived takes it and asks something else.
        Diagnostic::warning("invalid-value", format!("`{name}` is too long: 63 bytes in a label, 253 in all"))
    };
    reading.diagnostics.push(
        diagnostic
            .at(reading.sources.word_at(entry.at))
            .note("`name` is ignored: the check asks for the root"),
    );
    Vec::new()
}

fn file(
    reading: &Reading<'_>,
    defined: &Defined,
    names: &mut Names,
    check: &model::FileCheck,
    server: Position,
) -> Option<FileCheck> {
    let Some(entry) = &check.track_file else {
        incomplete(reading, server, "FILE_CHECK", "track_file");
        return None;
    };
    let weight = defined.files.find(&entry.value.0, entry.at)?;
    let (weight, reverse) = match &check.weight {
        Some(own) => (own.value.value, own.value.reverse),
        None => (weight.value().into(), weight.is_reversed()),
    };
    Some(FileCheck { tracker: names.share(&entry.value.0), weight, reverse })
}

fn bfd(
    reading: &Reading<'_>,
    defined: &Defined,
    check: &model::BfdCheck,
    server: Position,
) -> Option<Arc<str>> {
    let Some(entry) = &check.name else {
        incomplete(reading, server, "BFD_CHECK", "name");
        return None;
    };
    defined.bfd.find(&entry.value.0, entry.at)?;
    Some((&*entry.value.0).into())
}
