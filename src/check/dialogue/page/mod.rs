//! `HTTP_GET`, `SSL_GET`: one page, from the request to the end of what matters of its answer.

mod answer;
mod chunks;
mod head;
mod request;
#[cfg(test)]
mod tests;

use core::net::SocketAddr;
use std::sync::Arc;

pub(super) use self::answer::Answer;
pub(super) use self::head::Framing;
use self::head::HeadReader;
use self::request::request;
use super::{Target, Verdict, address};
use crate::check::action::{Event, Local, Open, TlsOpen};
use crate::check::pattern::Patterns;
use crate::check::{HttpCheck, PageDigests, ServerName, UrlCheck};
use crate::time::Duration;

/// One page.
#[derive(Debug)]
pub(in crate::check) struct PageDialogue {
    request: Vec<u8>,
    head: HeadReader,
    /// The method is HEAD, whose answer has no body (RFC 9110 §9.3.2).
    bodiless: bool,
    answer: Answer,
}

/// The TLS of a page's connection.
pub(super) fn tls(check: &HttpCheck, url: &UrlCheck) -> Option<TlsOpen> {
    let tls = check.tls.as_ref()?;
    let named = match &tls.server_name {
        ServerName::None => None,
        ServerName::VirtualHost => url.host.as_deref(),
        ServerName::Name(name) => Some(&**name),
    };
    Some(TlsOpen {
        server_name: named.and_then(host_name),
        certificate_name: url.host.as_deref().and_then(host_name),
        close_notify: url.close_notify,
        http2: url.request.as_ref().is_some_and(|request| request.http2()),
    })
}

/// The name in a Host, without its port. Addresses are no names (RFC 6066 §3).
fn host_name(host: &str) -> Option<Arc<str>> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is_address = name.starts_with('[') || name.parse::<core::net::IpAddr>().is_ok() || name.contains(':');
    (!is_address && !name.is_empty()).then(|| name.into())
}

impl PageDialogue {
    /// `Err` = its pattern cannot be used.
    pub(super) fn new(
        check: &HttpCheck,
        url: &UrlCheck,
        to: SocketAddr,
        patterns: &mut Patterns,
    ) -> Result<Self, String> {
        let own = url.request.as_deref();
        Ok(Self {
            request: request(check.version, url, to),
            head: HeadReader::default(),
            bodiless: own.is_some_and(|own| own.method() == "HEAD"),
            answer: Answer::new(url, patterns)?,
        })
    }

    /// For the digests of the first page of a check, whatever its status is: what to open, and the dialogue.
    pub(in crate::check) fn fetching(check: &HttpCheck, target: Target) -> Result<(Open, Box<Self>), String> {
        let url = check.urls.first().ok_or("there is no page to ask for")?;
        let to = address(&check.connection, target)?;
        let mut page = Self::new(check, url, to, &mut Patterns::default())?;
        page.answer.ask_for_digests();
        let from = Local::of(&check.connection);
        Ok((Open::Stream { to, from, tls: tls(check, url) }, Box::new(page)))
    }

    /// What was asked for by [`Self::fetching`], once the verdict is good.
    pub(in crate::check) const fn told(&self) -> Option<PageDigests> {
        self.answer.told()
    }

    pub(in crate::check) fn handle(&mut self, event: &Event<'_>, send: &mut Vec<Vec<u8>>) -> Option<Verdict> {
        match event {
            Event::Connected { .. } => {
                send.push(core::mem::take(&mut self.request));
                None
            }
            Event::Received(bytes) => {
                self.receive(bytes).unwrap_or_else(|why| Some(Verdict::Bad(why.into())))
            }
            Event::Closed => Some(self.answer.closed()),
            _ => None,
        }
    }

    pub(in crate::check) fn timed_out(&mut self, after: Duration) -> Verdict {
        self.answer.timed_out(after)
    }

    fn receive(&mut self, mut bytes: &[u8]) -> Result<Option<Verdict>, String> {
        while !self.answer.has_begun() {
            let Some((head, used)) = self.head.take(bytes)? else { return Ok(None) };
            bytes = bytes.get(used..).unwrap_or(&[]);
            let framing = if self.bodiless { Framing::None } else { head.framing };
            if let Some(verdict) = self.answer.begin(head.status, head.line, framing) {
                return Ok(Some(verdict));
            }
        }
        self.answer.take(bytes)
    }
}
