//! What is asked about an answer, whichever version of HTTP brings it: its status, the digest of its body, what is in it.

use md5::{Digest as _, Md5};

use super::chunks::Chunks;
use super::head::Framing;
use crate::check::dialogue::Verdict;
use crate::check::pattern::{Patterns, Search};
use crate::check::{BodyDigest, PageDigests, StatusCodes, UrlCheck};
use crate::time::Duration;

/// Of a body that nothing is asked about, so much is read for the server's sake; then it is enough.
const ENOUGH: u64 = 1024 * 1024;

/// An answer while it comes in.
#[derive(Debug)]
pub(in crate::check::dialogue) struct Answer {
    accepted: StatusCodes,
    body: Body,
    /// The status, once the head is whole.
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

impl Answer {
    /// `Err` = its pattern cannot be used.
    pub(in crate::check::dialogue) fn new(url: &UrlCheck, patterns: &mut Patterns) -> Result<Self, String> {
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
            accepted: url.status,
            body: Body { framing: Framing::None, chunks: Chunks::new(), length: 0, digest, search },
            status: None,
            must_not_match: url.regex.as_ref().is_some_and(|regex| regex.must_not_match),
            told: None,
        })
    }

    /// Asks for the digests, whatever the status is.
    pub(super) fn ask_for_digests(&mut self) {
        self.accepted = StatusCodes::NONE;
        self.accepted.insert(200..=StatusCodes::LAST);
        self.body.digest = Some(Digests::new(None));
    }

    /// What was asked for by [`Self::ask_for_digests`], once the verdict is good.
    pub(super) const fn told(&self) -> Option<PageDigests> {
        self.told
    }

    /// Whether the head is whole.
    pub(in crate::check::dialogue) const fn has_begun(&self) -> bool {
        self.status.is_some()
    }

    /// Takes the head: its status, which `line` tells people. An interim answer counts for nothing unless it is what is
    /// accepted.
    pub(in crate::check::dialogue) fn begin(
        &mut self,
        status: u16,
        line: String,
        framing: Framing,
    ) -> Option<Verdict> {
        if self.accepted.contains(status) {
            self.body.framing = framing;
            self.status = Some(line);
        } else if !matches!(status, 100 | 102..=199) {
            return Some(Verdict::Bad(format!("status {line}").into()));
        }
        None
    }

    /// Takes the next bytes of the body.
    pub(in crate::check::dialogue) fn take(&mut self, bytes: &[u8]) -> Result<Option<Verdict>, String> {
        let is_over = self.body.take(bytes)?;
        if self.body.gave_up() {
            return Err("the pattern takes too long for this page".to_owned());
        }
        let found = self.body.search.as_ref().is_some_and(Search::found);
        let enough = !self.body.is_asked_about() && self.body.length >= ENOUGH;
        let decided = found && (self.must_not_match || self.body.digest.is_none());
        Ok((is_over || enough || decided).then(|| self.end()))
    }

    /// Nothing more comes: the connection is closed.
    pub(in crate::check::dialogue) fn closed(&mut self) -> Verdict {
        match (&self.status, self.body.framing) {
            (None, _) => Verdict::bad("closed before the head of the answer"),
            (Some(_), Framing::Length(_) | Framing::Chunked | Framing::Stream)
                if self.body.is_asked_about() =>
            {
                self.closed_early()
            }
            (Some(_), _) => self.end(),
        }
    }

    /// The time is over.
    pub(in crate::check::dialogue) fn timed_out(&mut self, after: Duration) -> Verdict {
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
    pub(in crate::check::dialogue) fn end(&mut self) -> Verdict {
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
            Framing::Connection | Framing::Stream => {
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
