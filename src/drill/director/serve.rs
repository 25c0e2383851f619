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

/// Serves until it is killed. The status is what `status_file` holds at that moment.
///
/// # Errors
/// When the address cannot be listened at.
pub fn serve(address: SocketAddr, name: &str, status_file: &Path) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (name, status_file): (Arc<str>, Arc<Path>) = (name.into(), status_file.into());
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
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

fn response(name: &str, status_file: &Path) -> Response<String> {
    let number = std::fs::read_to_string(status_file).ok().and_then(|text| text.trim().parse().ok());
    let status = number.and_then(|number| StatusCode::from_u16(number).ok());
    let mut response = Response::new(name.to_owned());
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}
