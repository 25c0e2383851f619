//! What is said in one try of a check, from the first byte to the verdict.
//!
//! A dialogue holds a bounded amount of memory, whatever the other side sends, and ends by its verdict; its time is
//! limited by whoever drives it.

mod dns;
mod http2;
mod page;
mod ping;
mod program;
mod smtp;
mod udp;

use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU16;
use std::borrow::Cow;

use self::dns::DnsDialogue;
use self::http2::Http2Dialogue;
pub(super) use self::page::PageDialogue;
use self::ping::PingDialogue;
use self::smtp::SmtpDialogue;
use self::udp::UdpDialogue;
use super::action::{Event, Local, Open, WeightAdvice};
use super::pattern::Patterns;
use super::{CheckerKind, Connection};
use crate::prng::Prng;
use crate::time::Duration;

/// The real server that a check is for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Target {
    /// Its address.
    pub address: IpAddr,
    /// Its port, if it has one of its own or of its virtual server.
    pub port: Option<NonZeroU16>,
}

/// How a try ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// As it should be.
    Good {
        reason: Cow<'static, str>,
        weight: Option<WeightAdvice>,
    },
    Bad(Cow<'static, str>),
    /// It says nothing about the server.
    Unknown(Cow<'static, str>),
}

impl Verdict {
    fn good(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Good { reason: reason.into(), weight: None }
    }

    fn bad(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Bad(reason.into())
    }
}

/// A try that has begun.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) open: Open,
    pub(super) dialogue: Dialogue,
    /// Limit of the whole try.
    pub(super) timeout: Duration,
}

/// Where a try stands.
#[derive(Debug)]
pub(super) enum Dialogue {
    Tcp,
    Page(Box<PageDialogue>),
    Http2(Box<Http2Dialogue>),
    Smtp(SmtpDialogue),
    Dns(DnsDialogue),
    Udp(UdpDialogue),
    Ping(PingDialogue),
    Program { dynamic: bool },
}

/// How many tries make one check: one after the other, all must be good.
pub(super) fn stages(kind: &CheckerKind) -> usize {
    match kind {
        CheckerKind::Smtp(smtp) => smtp.hosts.len().max(1),
        CheckerKind::Http(http) => http.urls.len().max(1),
        _ => 1,
    }
}

impl Dialogue {
    /// Begins try `stage` of a check. `Err` = it cannot begin, which counts as a failure. Files and BFD sessions have
    /// no dialogue.
    pub(super) fn start(
        kind: &CheckerKind,
        stage: usize,
        target: Target,
        random: &mut Prng,
        patterns: &mut Patterns,
    ) -> Result<Started, Cow<'static, str>> {
        let started = match kind {
            CheckerKind::Tcp(connection) => stream(connection, target, Self::Tcp)?,
            CheckerKind::Http(http) => {
                let url = http.urls.get(stage).ok_or("there is no page to ask for")?;
                let to = address(&http.connection, target)?;
                let dialogue = match url.request.as_deref().filter(|request| request.http2()) {
                    Some(request) => {
                        Self::Http2(Box::new(Http2Dialogue::new(http, url, request, to, patterns)?))
                    }
                    None => Self::Page(Box::new(PageDialogue::new(http, url, to, patterns)?)),
                };
                let from = Local::of(&http.connection);
                Started {
                    open: Open::Stream { to, from, tls: page::tls(http, url) },
                    dialogue,
                    timeout: http.connection.timeout,
                }
            }
            CheckerKind::Smtp(smtp) => {
                let connection = smtp.hosts.get(stage).ok_or("there is no such host")?;
                stream(connection, target, Self::Smtp(SmtpDialogue::new(smtp.helo_name.clone())))?
            }
            CheckerKind::Dns(dns) => {
                let dialogue = Self::Dns(DnsDialogue::new(dns, random));
                datagrams(&dns.connection, target, dialogue)?
            }
            CheckerKind::Udp(udp) => {
                let dialogue = Self::Udp(UdpDialogue::new(udp, random));
                datagrams(&udp.connection, target, dialogue)?
            }
            CheckerKind::Ping(connection) => {
                let to = connection.address.unwrap_or(target.address);
                Started {
                    open: Open::Echo { to, from: Local::of(connection) },
                    dialogue: Self::Ping(PingDialogue::new(to, random)),
                    timeout: connection.timeout,
                }
            }
            CheckerKind::Misc(misc) => Started {
                open: Open::Program { script: misc.script.clone(), timeout: misc.timeout },
                dialogue: Self::Program { dynamic: misc.dynamic },
                timeout: misc.timeout,
            },
            CheckerKind::File(_) | CheckerKind::Bfd(_) => {
                return Err("this check has no dialogue".into());
            }
        };
        Ok(started)
    }

    /// Takes an event; what is to be sent is pushed to `send`. With the verdict it is over.
    pub(super) fn handle(&mut self, event: &Event<'_>, send: &mut Vec<Vec<u8>>) -> Option<Verdict> {
        if let Event::Failed(why) = event {
            return Some(Verdict::Bad(why.clone()));
        }
        if let Event::NotTried(why) = event {
            return Some(Verdict::Unknown(why.clone()));
        }
        match self {
            Self::Tcp => match event {
                Event::Connected { .. } => Some(Verdict::good("connected")),
                _ => None,
            },
            Self::Page(page) => page.handle(event, send),
            Self::Http2(page) => page.handle(event, send),
            Self::Smtp(smtp) => smtp.handle(event, send),
            Self::Dns(dns) => dns.handle(event, send),
            Self::Udp(udp) => udp.handle(event, send),
            Self::Ping(ping) => ping.handle(event, send),
            Self::Program { dynamic } => match event {
                Event::Ended(end) => Some(program::verdict(end, *dynamic)),
                _ => None,
            },
        }
    }

    /// What it means that the time is over.
    pub(super) fn timed_out(&mut self, after: Duration) -> Verdict {
        match self {
            Self::Udp(udp) => udp.timed_out(after),
            Self::Tcp => Verdict::Bad(format!("no connection within {after:?}").into()),
            Self::Page(page) => page.timed_out(after),
            Self::Http2(page) => page.timed_out(after),
            Self::Smtp(smtp) => smtp.timed_out(after),
            Self::Program { .. } => Verdict::Bad(format!("no result within {after:?}").into()),
            Self::Dns(_) | Self::Ping(_) => Verdict::Bad(format!("no answer within {after:?}").into()),
        }
    }
}

/// Where a check connects to.
fn address(connection: &Connection, target: Target) -> Result<SocketAddr, Cow<'static, str>> {
    let port = connection
        .port
        .or(target.port)
        .ok_or("there is no port: neither connect_port nor the server has one")?;
    Ok(SocketAddr::new(connection.address.unwrap_or(target.address), port.get()))
}

fn stream(connection: &Connection, target: Target, dialogue: Dialogue) -> Result<Started, Cow<'static, str>> {
    let to = address(connection, target)?;
    let open = Open::Stream { to, from: Local::of(connection), tls: None };
    Ok(Started { open, dialogue, timeout: connection.timeout })
}

fn datagrams(
    connection: &Connection,
    target: Target,
    dialogue: Dialogue,
) -> Result<Started, Cow<'static, str>> {
    let to = address(connection, target)?;
    let open = Open::Datagrams { to, from: Local::of(connection) };
    Ok(Started { open, dialogue, timeout: connection.timeout })
}

/// Bytes of a stranger as people may read them: a few printable ones.
fn quoted(bytes: &[u8]) -> String {
    const MOST: usize = 60;
    let mut text: String = bytes
        .iter()
        .take(MOST)
        .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '?' })
        .collect();
    if bytes.len() > MOST {
        text.push('…');
    }
    format!("`{}`", text.trim_end())
}
