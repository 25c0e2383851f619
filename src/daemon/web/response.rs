//! What is answered: bodies and the headers that keep a browser from doing anything else with them.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Response;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::http::StatusCode;

use super::live::Follower;

/// Of the text format of Prometheus, version 0.0.4.
pub(super) const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// For programs, and the page.
pub(super) const JSON: &str = "application/json";

/// For people and scripts.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// Of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";

/// What a page of ours may load and do: what comes from here, and nothing within the page itself.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A body.
#[derive(Debug)]
pub(super) enum Content {
    /// A whole one, which many connections may share.
    Whole(Option<Bytes>),
    /// One without end.
    Events(Follower),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events(follower) => {
                follower.poll(context).map(|message| message.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.as_ref().is_none_or(Bytes::is_empty))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// An answer.
pub(super) fn answer(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Response<Content> {
    with_headers(status, media, Content::Whole(Some(body.into())))
}

/// What happens from now on.
pub(super) fn follow(follower: Follower) -> Response<Content> {
    with_headers(StatusCode::OK, EVENT_STREAM, Content::Events(follower))
}

fn with_headers(status: StatusCode, media: &'static str, content: Content) -> Response<Content> {
    let mut response = Response::new(content);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, media),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A refusal in words.
pub(super) fn refuse(status: StatusCode, words: &str) -> Response<Content> {
    answer(status, TEXT, format!("{words}\n"))
}
