//! A real server of the drill as a program: it answers each request with its name.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::sys::clock;

/// The ending of the file beside that of the status which tells since when it serves, in microseconds since the Unix epoch.
pub(super) const SINCE: &str = "since";

/// Serves until it is killed. The status is what `status_file` holds at that moment.
///
/// # Errors
/// When the address cannot be listened at, or that not be told.
pub fn serve(address: SocketAddr, name: &str, status_file: &Path) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (name, status_file): (Arc<str>, Arc<Path>) = (name.into(), status_file.into());
    runtime.block_on(async {
        let since = clock::wall().as_unix_micros();
        let listener = TcpListener::bind(address).await?;
        write_whole(&status_file.with_extension(SINCE), &since.to_string())?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (name, status_file) = (Arc::clone(&name), Arc::clone(&status_file));
            tokio::spawn(async move {
                let answer = service_fn(|_| {
                    let response = response(&name, &status_file);
                    async move { Ok::<_, Infallible>(response) }
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    })
}

/// Writes a file of which nobody reads a half.
pub(super) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, path)
}

fn response(name: &str, status_file: &Path) -> Response<String> {
    let number = std::fs::read_to_string(status_file).ok().and_then(|text| text.trim().parse().ok());
    let status = number.and_then(|number| StatusCode::from_u16(number).ok());
    let mut response = Response::new(name.to_owned());
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}
