//! The request of HTTP/1.

use core::net::SocketAddr;
use std::fmt::Write as _;

use crate::check::{HttpVersion, UrlCheck};

/// As keepalived sends it, with what alived.toml says beyond that.
pub(super) fn request(version: HttpVersion, url: &UrlCheck, to: SocketAddr) -> Vec<u8> {
    let (number, close) = match version {
        HttpVersion::V1_0 => ("1.0", ""),
        HttpVersion::V1_0Close => ("1.0", "Connection: close\r\n"),
        HttpVersion::V1_1 => ("1.1", "Connection: close\r\n"),
    };
    let path = &url.path;
    let own = url.request.as_deref();
    let method = own.map_or("GET", |own| own.method());
    let agent = match own {
        Some(own) if own.names("user-agent") => "",
        _ => "User-Agent: KeepAliveClient\r\n",
    };
    let host = url.host.as_ref().map_or_else(|| to.to_string(), ToString::to_string);
    let mut head = format!("{method} {path} HTTP/{number}\r\n{agent}{close}Host: {host}\r\n");
    for (name, value) in own.map_or(&[][..], |own| &own.headers) {
        // Writing to a String cannot fail.
        let _ = write!(head, "{}: {}\r\n", name.as_str(), value.expose());
    }
    let body = own.and_then(|own| own.body.as_ref()).map(|body| &**body.expose());
    if let Some(body) = body {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    head.push_str("\r\n");
    head.push_str(body.unwrap_or_default());
    head.into_bytes()
}
