//! Connections and requests: how many, how long, how large, for whom and what for.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONNECTION, HOST, HeaderValue};
use hyper::http::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::host_policy::HostPolicy;
use super::live::Live;
use super::metrics::Metrics;
use super::page::{self, State};
use super::response::{Content, JSON, METRICS, TEXT, answer, follow, refuse};
use super::workers::Workers;

/// Connections served at a time; further ones wait.
const CONNECTIONS: usize = 1024;

/// How long a connection may take for the headers of a request, and be idle before.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// How long a connection lives, whatever it does.
const CONNECTION_TIME: Duration = Duration::from_secs(60);

/// The same for one that follows events, after that. Its browser comes again.
const FOLLOWING_TIME: Duration = Duration::from_secs(3600);

/// How long what was sent may wait for the client to take it.
const UNTAKEN_TIME: Duration = Duration::from_secs(30);

/// The longest line of a request with all its headers.
const HEADER_BYTES: usize = 8 * 1024;

/// How many headers a request may have.
const HEADERS: usize = 64;

/// Serves HTTP.
#[derive(Debug)]
pub(super) struct Server {
    listener: tokio::net::TcpListener,
    site: Arc<Site>,
}

/// What is served.
#[derive(Debug)]
struct Site {
    hosts: HostPolicy,
    metrics: Metrics,
    state: State,
    live: Arc<Live>,
}

impl Server {
    /// To be called within a runtime.
    pub(super) fn new(listener: TcpListener, hosts: &[String], workers: Workers) -> io::Result<Self> {
        let site = Site {
            hosts: HostPolicy::new(hosts),
            metrics: Metrics::new(workers.clone()),
            state: State::new(workers.clone()),
            live: Live::new(workers),
        };
        Ok(Self { listener: tokio::net::TcpListener::from_std(listener)?, site: Arc::new(site) })
    }

    /// Never ends.
    pub(super) async fn serve(&self) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        // The semaphore is never closed.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of descriptors, for example: later there may be one.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let site = Arc::clone(&self.site);
            tokio::spawn(async move {
                converse(stream, site).await;
                drop(place);
            });
        }
    }
}

/// Serves the requests of one connection.
async fn converse(stream: TcpStream, site: Arc<Site>) {
    let Ok(local) = stream.local_addr() else { return };
    // Without it, who stops reading is waited for longer, not for ever.
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(UNTAKEN_TIME));
    let follows = AtomicBool::new(false);
    let service = service_fn(|request| {
        let (site, follows) = (Arc::clone(&site), &follows);
        async move {
            let response = site.respond(&request, local.ip()).await;
            if matches!(response.body(), Content::Events(_)) {
                follows.store(true, Ordering::Relaxed);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // A broken connection is the client's affair.
    if timeout(CONNECTION_TIME, &mut connection).await.is_err() && follows.load(Ordering::Relaxed) {
        let _ = timeout(FOLLOWING_TIME, connection).await;
    }
}

impl Site {
    async fn respond(&self, request: &Request<Incoming>, local: IpAddr) -> Response<Content> {
        let mut response = match self.refusal(request, local) {
            Some(refusal) => refusal,
            None => match request.uri().path() {
                "/metrics" => answer(StatusCode::OK, METRICS, self.metrics.text().await),
                "/status.json" => answer(StatusCode::OK, JSON, self.state.text().await),
                "/events" => self.follow(request.method()),
                "/healthz" => answer(StatusCode::OK, TEXT, "the web process serves\n"),
                path => match page::file(path) {
                    Some((media, text)) => answer(StatusCode::OK, media, text),
                    None => refuse(
                        StatusCode::NOT_FOUND,
                        "there is nothing here; / has the status page, /metrics the metrics",
                    ),
                },
            },
        };
        if !request.body().is_end_stream() {
            // Nobody reads it.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Events as they happen.
    fn follow(&self, method: &Method) -> Response<Content> {
        if *method == Method::HEAD {
            return answer(StatusCode::OK, TEXT, "");
        }
        match self.live.follow() {
            Some(follower) => follow(follower),
            None => refuse(StatusCode::SERVICE_UNAVAILABLE, "too many others follow the events"),
        }
    }

    /// Why a request is not looked at, if it is not.
    fn refusal(&self, request: &Request<Incoming>, local: IpAddr) -> Option<Response<Content>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal =
                refuse(StatusCode::METHOD_NOT_ALLOWED, "this can be looked at only: use GET or HEAD");
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(refusal);
        }
        if !request.body().is_end_stream() {
            return Some(refuse(StatusCode::BAD_REQUEST, "a request has no body here"));
        }
        let mut named = request.headers().get_all(HOST).iter();
        let (host, another) = (named.next(), named.next());
        let is_old = request.version() < hyper::Version::HTTP_11;
        if another.is_some() || host.is_none() && !is_old {
            return Some(refuse(StatusCode::BAD_REQUEST, "a request has one Host header (RFC 9112, 3.2)"));
        }
        // The target may name a host too; then that one counts, and both have to be ours.
        let of_target = request.uri().authority().map(|authority| authority.as_str());
        let allowed = |host: &str| self.hosts.allows(host, local);
        let ours = host.is_none_or(|host| host.to_str().is_ok_and(allowed)) && of_target.is_none_or(allowed);
        (!ours).then(|| {
            refuse(
                StatusCode::MISDIRECTED_REQUEST,
                "this name is not answered here; add it to hosts in [http] of alived.toml",
            )
        })
    }
}
