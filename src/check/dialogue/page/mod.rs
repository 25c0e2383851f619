//! `HTTP_GET`, `SSL_GET`: one page, from the request to the end of what matters of its answer.

mod chunks;
mod head;
#[cfg(test)]
mod tests;

use core::net::SocketAddr;
use std::sync::Arc;

use md5::{Digest as _, Md5};

use self::chunks::Chunks;
use self::head::{Framing, HeadReader};
use super::{Target, Verdict, address};
use crate::check::action::{Event, Local, Open, TlsOpen};
use crate::check::pattern::{Patterns, Search};
use crate::check::{BodyDigest, HttpCheck, HttpVersion, PageDigests, ServerName, StatusCodes, UrlCheck};
use crate::time::Duration;

/// Of a body that nothing is asked about, so much is read for the server's sake; then it is enough.
const ENOUGH: u64 = 1024 * 1024;

/// One page.
#[derive(Debug)]
pub(in crate::check) struct PageDialogue {
    request: Vec<u8>,
    accepted: StatusCodes,
    head: HeadReader,
    body: Body,
    /// The status of the answer, once its head is whole.
    status: Option<String>,
    must_not_match: bool,
    /// The digests of the whole page, where they are asked for.
    told: Option<PageDigests>,
}

/// A body while it comes in.
#[derive(Debug)]
struct Body {
    framing: Framing,
    chunks: Chunks,
    /// Bytes so far, as they came.
    length: u64,
    digest: Option<Digests>,
    search: Option<Search>,
}

/// keepalived takes the digest of a body in chunks over all that comes, with the sizes of the chunks; it is unlike what
/// is meant. Either one will do.
#[derive(Debug)]
struct Digests {
    /// `None` = they are asked for.
    wanted: Option<BodyDigest>,
    content: Md5,
    raw: Md5,
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
        let search = match url.regex.as_deref() {
            Some(regex) => {
                let pattern =
                    patterns.get(regex).map_err(|why| format!("the pattern is of no use: {why}"))?;
                Some(Search::new(regex, pattern))
            }
            None => None,
        };
        let digest = url.digest.map(|wanted| Digests::new(Some(wanted)));
        Ok(Self {
            request: request(check.version, url, to),
            accepted: url.status,
            head: HeadReader::default(),
            body: Body { framing: Framing::None, chunks: Chunks::new(), length: 0, digest, search },
            status: None,
            must_not_match: url.regex.as_ref().is_some_and(|regex| regex.must_not_match),
            told: None,
        })
    }

    /// For the digests of the first page of a check, whatever its status is: what to open, and the dialogue.
    pub(in crate::check) fn fetching(check: &HttpCheck, target: Target) -> Result<(Open, Box<Self>), String> {
        let url = check.urls.first().ok_or("there is no page to ask for")?;
        let to = address(&check.connection, target)?;
        let mut page = Self::new(check, url, to, &mut Patterns::default())?;
        page.accepted = StatusCodes::NONE;
        page.accepted.insert(200..=StatusCodes::LAST);
        page.body.digest = Some(Digests::new(None));
        let from = Local::of(&check.connection);
        Ok((Open::Stream { to, from, tls: tls(check, url) }, Box::new(page)))
    }

    /// What was asked for by [`Self::fetching`], once the verdict is good.
    pub(in crate::check) const fn told(&self) -> Option<PageDigests> {
        self.told
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
            Event::Closed => Some(match (&self.status, self.body.framing) {
                (None, _) => Verdict::bad("closed before the head of the answer"),
                (Some(_), Framing::Length(_) | Framing::Chunked) if self.body.is_asked_about() => {
                    self.closed_early()
                }
                (Some(_), _) => self.end(),
            }),
            _ => None,
        }
    }

    pub(in crate::check) fn timed_out(&mut self, after: Duration) -> Verdict {
        // Some servers say all and do not close.
        if let (Some(search), None) = (&mut self.body.search, &self.body.digest) {
            search.finish();
            if search.found() && !self.must_not_match {
                return self.end();
            }
        }
        let what = if self.status.is_some() { "end of the page" } else { "answer" };
        Verdict::Bad(format!("no {what} within {after:?}").into())
    }

    fn receive(&mut self, mut bytes: &[u8]) -> Result<Option<Verdict>, String> {
        while self.status.is_none() {
            let Some((head, used)) = self.head.take(bytes)? else { return Ok(None) };
            bytes = bytes.get(used..).unwrap_or(&[]);
            if self.accepted.contains(head.status) {
                self.body.framing = head.framing;
                self.status = Some(head.line);
            } else if !matches!(head.status, 100 | 102..=199) {
                return Ok(Some(Verdict::Bad(format!("status {}", head.line).into())));
            }
        }
        let is_over = self.body.take(bytes)?;
        if self.body.gave_up() {
            return Err("the pattern takes too long for this page".to_owned());
        }
        let found = self.body.search.as_ref().is_some_and(Search::found);
        let enough = !self.body.is_asked_about() && self.body.length >= ENOUGH;
        let decided = found && (self.must_not_match || self.body.digest.is_none());
        Ok((is_over || enough || decided).then(|| self.end()))
    }

    /// The answer ended before its own end.
    fn closed_early(&mut self) -> Verdict {
        // What was to be found may have been in what came.
        if self.body.digest.is_none()
            && !self.must_not_match
            && let good @ Verdict::Good { .. } = self.end()
        {
            return good;
        }
        Verdict::Bad(format!("closed after {} bytes of the page, before its end", self.body.length).into())
    }

    /// What the whole page means.
    fn end(&mut self) -> Verdict {
        let status = self.status.as_deref().unwrap_or_default();
        let mut reason = format!("status {status}");
        if let Some(search) = &mut self.body.search {
            search.finish();
            match (search.found(), self.must_not_match) {
                (true, false) => reason.push_str(", the page matches"),
                (false, true) => reason.push_str(", the page does not match"),
                (false, false) => {
                    return Verdict::Bad(format!("{reason}, but the page does not match").into());
                }
                (true, true) => return Verdict::Bad(format!("{reason}, but the page matches").into()),
            }
        }
        if let Some(digests) = self.body.digest.take() {
            let is_chunked = self.body.framing == Framing::Chunked;
            let content = BodyDigest(digests.content.finalize().into());
            let raw = BodyDigest(digests.raw.finalize().into());
            self.told = Some(PageDigests { content, raw: if is_chunked { raw } else { content } });
            let Some(wanted) = digests.wanted else {
                return Verdict::Good { reason: reason.into(), weight: None };
            };
            if content != wanted && !(is_chunked && raw == wanted) {
                return Verdict::Bad(format!("{reason}, but the digest is {content}").into());
            }
            reason.push_str(", the digest is right");
        }
        Verdict::Good { reason: reason.into(), weight: None }
    }
}

impl Digests {
    fn new(wanted: Option<BodyDigest>) -> Self {
        Self { wanted, content: Md5::new(), raw: Md5::new() }
    }
}

impl Body {
    const fn is_asked_about(&self) -> bool {
        self.digest.is_some() || self.search.is_some()
    }

    fn gave_up(&self) -> bool {
        self.search.as_ref().is_some_and(Search::gave_up)
    }

    /// Takes the next bytes; whether that was all.
    fn take(&mut self, bytes: &[u8]) -> Result<bool, String> {
        let Self { framing, chunks, length, digest, search } = self;
        let mut content = |bytes: &[u8]| {
            if let Some(digest) = digest {
                digest.content.update(bytes);
            }
            if let Some(search) = search {
                search.push(bytes);
            }
        };
        match *framing {
            Framing::None => Ok(true),
            Framing::Connection => {
                content(bytes);
                *length = length.saturating_add(bytes.len() as u64);
                Ok(false)
            }
            Framing::Length(whole) => {
                let left = usize::try_from(whole.saturating_sub(*length)).unwrap_or(usize::MAX);
                let ours = &bytes[..bytes.len().min(left)];
                content(ours);
                *length = length.saturating_add(ours.len() as u64);
                Ok(*length == whole)
            }
            Framing::Chunked => {
                let used = chunks.take(bytes, content)?;
                if let Some(digest) = digest {
                    digest.raw.update(&bytes[..used]);
                }
                *length = length.saturating_add(used as u64);
                Ok(chunks.is_over())
            }
        }
    }
}

/// The request as keepalived sends it.
fn request(version: HttpVersion, url: &UrlCheck, to: SocketAddr) -> Vec<u8> {
    let (number, close) = match version {
        HttpVersion::V1_0 => ("1.0", ""),
        HttpVersion::V1_0Close => ("1.0", "Connection: close\r\n"),
        HttpVersion::V1_1 => ("1.1", "Connection: close\r\n"),
    };
    let path = &url.path;
    let host = url.host.as_ref().map_or_else(|| to.to_string(), ToString::to_string);
    format!("GET {path} HTTP/{number}\r\nUser-Agent: KeepAliveClient\r\n{close}Host: {host}\r\n\r\n")
        .into_bytes()
}
