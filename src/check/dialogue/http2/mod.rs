//! `HTTP_GET`, `SSL_GET` in HTTP/2 (RFC 9113): one page, or the health of a service of gRPC.
//!
//! The frames, their order and the compression of their heads are the library's (`h2`). It is driven as all dialogues
//! are: its connection is a pair of buffers, and it is polled after each event. Whatever a server sends, it holds what
//! the windows and limits below leave; a server that makes it answer, or sends frames that carry nothing, has bounds too.

mod health;
mod pipe;
#[cfg(test)]
mod tests;

use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use std::borrow::Cow;
use std::sync::Arc;
use std::task::Wake;

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};

use self::health::Health;
use self::pipe::Pipe;
use super::Verdict;
use super::page::{Answer, Framing};
use crate::check::action::Event;
use crate::check::pattern::Patterns;
use crate::check::{HttpCheck, RequestSettings, UrlCheck};
use crate::time::Duration;
use crate::wire::grpc_health::encode_request;

/// What the server may send of a page before it is told that it was read.
const WINDOW: u32 = 64 * 1024;
/// Longest head, in bytes as it is after its compression.
const HEAD: u32 = 64 * 1024;
/// Handed to the library at a time, so that it never holds many small frames.
const PORTION: usize = 4 * 1024;
/// Bytes of frames that carry nothing of the page: heads, settings, pings, padding. As many more as the page is long.
const FRAMES_MAX: u64 = 256 * 1024;
/// Bytes that the server may have us answer, beside one in 256 of the page, for its windows.
const ANSWERS_MAX: u64 = 64 * 1024;
/// How often the library is polled for one portion at most.
const POLLS_MAX: usize = 4096;

/// One try.
#[derive(Debug)]
pub(in crate::check) struct Http2Dialogue {
    /// Until it is sent.
    request: Option<(Request<()>, Bytes)>,
    link: Option<Link>,
    asked: Asked,
    /// The first bytes that came, which tell HTTP/1 from HTTP/2.
    opening: Vec<u8>,
    received: u64,
    /// Of these, bytes of the page.
    content: u64,
    sent: u64,
    /// More is not sent, beside what a long page takes.
    may_send: u64,
}

/// What is asked about the answer.
#[derive(Debug)]
enum Asked {
    Page(Box<Answer>),
    Health(Health),
}

/// A connection.
#[derive(Debug)]
struct Link {
    pipe: Pipe,
    connection: Connection<Pipe, Bytes>,
    /// Nothing more is to be expected of it.
    is_over: bool,
    /// Kept until the end: without it the library begins to close.
    sender: SendRequest<Bytes>,
    response: Response,
    woken: Arc<Woken>,
}

#[derive(Debug)]
enum Response {
    Head(ResponseFuture),
    Body(RecvStream),
}

/// Whether the library wants to be polled once more.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Http2Dialogue {
    /// `Err` = its pattern or path cannot be used.
    pub(super) fn new(
        check: &HttpCheck,
        url: &UrlCheck,
        settings: &RequestSettings,
        to: SocketAddr,
        patterns: &mut Patterns,
    ) -> Result<Self, String> {
        let (request, body) = request(check, url, settings, to)?;
        let asked = match settings.grpc_service {
            Some(_) => Asked::Health(Health::default()),
            None => Asked::Page(Box::new(Answer::new(url, patterns)?)),
        };
        Ok(Self {
            request: Some((request, body)),
            link: None,
            asked,
            opening: Vec::new(),
            received: 0,
            content: 0,
            sent: 0,
            may_send: 0,
        })
    }

    pub(super) fn handle(&mut self, event: &Event<'_>, send: &mut Vec<Vec<u8>>) -> Option<Verdict> {
        let verdict = match event {
            Event::Connected { .. } => {
                let begun = self.begin(send);
                begun.unwrap_or_else(|why| Some(Verdict::Bad(why.into())))
            }
            Event::Received(bytes) => bytes.chunks(PORTION).find_map(|portion| self.receive(portion, send)),
            Event::Closed => Some(self.asked.closed()),
            _ => return None,
        };
        if verdict.is_some() {
            self.take_leave(send);
        }
        verdict
    }

    pub(super) fn timed_out(&mut self, after: Duration) -> Verdict {
        self.asked.timed_out(after)
    }

    /// Says what is to be said at once: the preface, our settings, the request.
    fn begin(&mut self, send: &mut Vec<Vec<u8>>) -> Result<Option<Verdict>, String> {
        let Some((request, body)) = self.request.take() else { return Ok(None) };
        let (pipe, woken) = (Pipe::default(), Arc::new(Woken::default()));
        let waker = Waker::from(Arc::clone(&woken));
        let mut builder = Builder::new();
        builder
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HEAD)
            .enable_push(false)
            .max_concurrent_reset_streams(1);
        let handshake = pin!(builder.handshake::<_, Bytes>(pipe.clone()));
        // The buffers take everything at once.
        let Poll::Ready(begun) = handshake.poll(&mut Context::from_waker(&waker)) else {
            return Err("HTTP/2 does not begin".to_owned());
        };
        let refused = |error: h2::Error| format!("HTTP/2 cannot ask for this: {error}");
        let (mut sender, connection) = begun.map_err(refused)?;
        let (response, mut stream) = sender.send_request(request, body.is_empty()).map_err(refused)?;
        let length = body.len() as u64;
        if !body.is_empty() {
            stream.send_data(body, true).map_err(refused)?;
        }
        self.link = Some(Link {
            pipe,
            connection,
            is_over: false,
            sender,
            response: Response::Head(response),
            woken,
        });
        let verdict = self.poll();
        self.may_send = u64::MAX;
        self.answer(send);
        // A long body waits for the server's windows.
        self.may_send = self.sent.saturating_add(2 * length).saturating_add(ANSWERS_MAX);
        Ok(verdict)
    }

    fn receive(&mut self, bytes: &[u8], send: &mut Vec<Vec<u8>>) -> Option<Verdict> {
        let link = self.link.as_mut()?;
        let room = HTTP1.len().saturating_sub(self.opening.len());
        self.opening.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or(&[]));
        self.received = self.received.saturating_add(bytes.len() as u64);
        link.pipe.feed(bytes);
        if let Some(verdict) = self.poll() {
            return Some(verdict);
        }
        if self.received.saturating_sub(self.content) > FRAMES_MAX.saturating_add(self.content) {
            return Some(Verdict::bad("frames without end, and nothing in them"));
        }
        self.answer(send)
    }

    /// Polls the library until it waits for the server.
    fn poll(&mut self) -> Option<Verdict> {
        let woken = Arc::clone(&self.link.as_ref()?.woken);
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        for _ in 0..POLLS_MAX {
            woken.0.store(false, Ordering::Relaxed);
            let link = self.link.as_mut()?;
            let mut failed = None;
            if !link.is_over
                && let Poll::Ready(result) = Pin::new(&mut link.connection).poll(&mut context)
            {
                link.is_over = true;
                failed = result.err();
            }
            // What came before the end of the connection counts.
            if let Some(verdict) = self.read(&mut context) {
                return Some(verdict);
            }
            if let Some(error) = failed {
                return Some(self.failed(&error));
            }
            if self.link.as_ref()?.is_over {
                return Some(self.asked.closed());
            }
            if !woken.0.load(Ordering::Relaxed) {
                return None;
            }
        }
        Some(Verdict::bad("frames without end, and nothing in them"))
    }

    /// Reads what there is of the answer.
    fn read(&mut self, context: &mut Context<'_>) -> Option<Verdict> {
        loop {
            let link = self.link.as_mut()?;
            match &mut link.response {
                Response::Head(response) => match Pin::new(response).poll(context) {
                    Poll::Pending => return None,
                    Poll::Ready(Err(error)) => return Some(self.failed(&error)),
                    Poll::Ready(Ok(response)) => {
                        let (head, body) = response.into_parts();
                        link.response = Response::Body(body);
                        if let Some(verdict) = self.asked.begin(&head) {
                            return Some(verdict);
                        }
                    }
                },
                Response::Body(body) => match body.poll_data(context) {
                    Poll::Pending => return None,
                    Poll::Ready(Some(Err(error))) => return Some(self.failed(&error)),
                    Poll::Ready(Some(Ok(bytes))) => {
                        self.content = self.content.saturating_add(bytes.len() as u64);
                        // It was received, so that it can be released.
                        let _ = body.flow_control().release_capacity(bytes.len());
                        if let Some(verdict) = self.asked.take(&bytes) {
                            return Some(verdict);
                        }
                    }
                    Poll::Ready(None) => match body.poll_trailers(context) {
                        Poll::Pending => return None,
                        Poll::Ready(Err(error)) => return Some(self.failed(&error)),
                        Poll::Ready(Ok(trailers)) => return Some(self.asked.end(trailers.as_ref())),
                    },
                },
            }
        }
    }

    /// Hands on what the library has to say.
    fn answer(&mut self, send: &mut Vec<Vec<u8>>) -> Option<Verdict> {
        let bytes = self.link.as_ref()?.pipe.drain();
        if bytes.is_empty() {
            return None;
        }
        self.sent = self.sent.saturating_add(bytes.len() as u64);
        if self.sent > self.may_send.saturating_add(self.content / 256) {
            self.link = None;
            return Some(Verdict::bad("it has us answer without end"));
        }
        send.push(bytes);
        None
    }

    /// Has the library say that this was all.
    fn take_leave(&mut self, send: &mut Vec<Vec<u8>>) {
        let Some(Link { pipe, mut connection, is_over, sender, response, woken }) = self.link.take() else {
            return;
        };
        drop((sender, response));
        if !is_over {
            let waker = Waker::from(woken);
            // Whatever comes of it, it is over.
            let _ = Pin::new(&mut connection).poll(&mut Context::from_waker(&waker));
        }
        send.extend(Some(pipe.drain()).filter(|bytes| !bytes.is_empty()));
    }

    /// The verdict on an error of the library, which is the server's.
    fn failed(&self, error: &h2::Error) -> Verdict {
        if self.opening.len() >= LENGTH && HTTP1.starts_with(&self.opening) {
            return Verdict::bad("it speaks HTTP/1, not HTTP/2");
        }
        Verdict::Bad(reason(error))
    }
}

/// What an answer of HTTP/1 begins with.
const HTTP1: &[u8] = b"HTTP/1.";

/// Bytes of the length of a frame, by which the library knows that it is none.
const LENGTH: usize = 3;

impl Asked {
    fn begin(&mut self, head: &Parts) -> Option<Verdict> {
        match self {
            Self::Page(answer) => {
                let status = head.status.as_u16();
                answer.begin(status, status.to_string(), Framing::Stream)
            }
            Self::Health(_) => Health::begin(head),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Option<Verdict> {
        match self {
            Self::Page(answer) => answer.take(bytes).unwrap_or_else(|why| Some(Verdict::Bad(why.into()))),
            Self::Health(answer) => answer.take(bytes),
        }
    }

    /// The server has ended its answer.
    fn end(&mut self, trailers: Option<&HeaderMap>) -> Verdict {
        match self {
            Self::Page(answer) => answer.end(),
            Self::Health(answer) => answer.end(trailers),
        }
    }

    /// The connection is closed.
    fn closed(&mut self) -> Verdict {
        match self {
            Self::Page(answer) => answer.closed(),
            Self::Health(_) => Verdict::bad("closed before the end of the answer"),
        }
    }

    fn timed_out(&mut self, after: Duration) -> Verdict {
        match self {
            Self::Page(answer) => answer.timed_out(after),
            Self::Health(_) => Verdict::Bad(format!("no answer within {after:?}").into()),
        }
    }
}

/// What is asked, and with which body.
fn request(
    check: &HttpCheck,
    url: &UrlCheck,
    settings: &RequestSettings,
    to: SocketAddr,
) -> Result<(Request<()>, Bytes), String> {
    let service = settings.grpc_service.as_deref();
    let path = if service.is_some() { health::PATH } else { &*url.path };
    let host = url.host.as_ref().map_or_else(|| to.to_string(), ToString::to_string);
    let scheme = if check.tls.is_some() { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(host.as_str()).path_and_query(path).build();
    let uri = uri.map_err(|error| format!("HTTP/2 cannot ask {host} for {path}: {error}"))?;
    let unfit = |error: http::Error| format!("HTTP/2 cannot ask for this: {error}");
    let mut request = Request::builder().method(settings.method()).uri(uri).body(()).map_err(unfit)?;
    let fields = request.headers_mut();
    fields.insert(header::USER_AGENT, HeaderValue::from_static("KeepAliveClient"));
    for (name, value) in &settings.headers {
        let name: HeaderName =
            name.as_str().parse().map_err(|error: header::InvalidHeaderName| error.to_string())?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|error| error.to_string())?;
        value.set_sensitive(true);
        fields.insert(name, value);
    }
    let body = match service {
        Some(service) => {
            fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            fields.insert(header::TE, HeaderValue::from_static("trailers"));
            let timeout = check.connection.timeout.as_millis().min(TIMEOUT_MAX_MS);
            fields.insert(
                "grpc-timeout",
                HeaderValue::from_str(&format!("{timeout}m")).map_err(|e| e.to_string())?,
            );
            Bytes::from(encode_request(service))
        }
        None => {
            let body = settings.body.as_ref().map(|body| body.expose().as_bytes().to_vec());
            if let Some(body) = &body {
                fields.insert(header::CONTENT_LENGTH, body.len().into());
            }
            Bytes::from(body.unwrap_or_default())
        }
    };
    Ok((request, body))
}

/// Eight digits at most (gRPC over HTTP/2).
const TIMEOUT_MAX_MS: u128 = 99_999_999;

/// What is wrong, in words.
fn reason(error: &h2::Error) -> Cow<'static, str> {
    let code = error.reason().unwrap_or(Reason::INTERNAL_ERROR);
    let code = format!("{code:?}");
    if error.is_go_away() && error.is_remote() {
        return format!("the server ends the connection: {code}").into();
    }
    if error.is_reset() && error.is_remote() {
        return format!("the server resets the stream: {code}").into();
    }
    format!("an answer that breaks HTTP/2: {code}").into()
}
