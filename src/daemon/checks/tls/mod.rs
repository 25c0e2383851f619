//! TLS of checks (`SSL_GET`): what is shown to servers and what is believed of them.

mod key;
mod session;
mod verifier;

use core::cell::OnceCell;
use core::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

pub(super) use self::session::Session;
use self::verifier::BelievesAll;
use crate::check::{TlsClient, TlsOpen};

/// What all connections with TLS have in common, or why there can be none.
#[derive(Debug, Default)]
pub(super) struct Tls {
    /// `None` = nothing was said; it is read when it is first needed.
    setup: OnceCell<Result<Setup, String>>,
}

impl Tls {
    /// See [`super::CheckIo::set_tls`].
    pub(super) fn set(&mut self, client: &TlsClient, verify: bool) -> Result<(), String> {
        let setup = Setup::load(client, verify);
        let result = setup.as_ref().map(|_| ()).map_err(Clone::clone);
        self.setup = OnceCell::from(setup);
        result
    }

    /// Begins a session with a server of this address.
    ///
    /// # Errors
    /// In words, when nothing is wrong with the server, but here.
    pub(super) fn begin(&self, open: &TlsOpen, to: IpAddr) -> Result<Session, String> {
        let setup = self.setup.get_or_init(|| Setup::load(&TlsClient::default(), false));
        let (config, name) = setup.as_ref().map_err(Clone::clone)?.client(open, to)?;
        let connection = ClientConnection::new(Arc::clone(config), name)
            .map_err(|error| format!("TLS cannot be begun: {error}"))?;
        Ok(Session::new(connection, open.close_notify, open.http2))
    }
}

#[derive(Debug)]
struct Setup {
    http1: Configs,
    /// Asks for HTTP/2 by ALPN.
    http2: Configs,
}

#[derive(Debug)]
struct Configs {
    naming: Arc<ClientConfig>,
    /// Tells servers no name.
    nameless: Arc<ClientConfig>,
}

impl From<ClientConfig> for Configs {
    fn from(config: ClientConfig) -> Self {
        let mut nameless = config.clone();
        nameless.enable_sni = false;
        Self { naming: Arc::new(config), nameless: Arc::new(nameless) }
    }
}

/// HTTP/2 in ALPN (RFC 9113 §3.2).
const H2: &[u8] = b"h2";

impl Setup {
    /// Reads the files that are named. Where none are, nothing is shown to servers. Unless `verify`, everything is
    /// believed of them.
    ///
    /// # Errors
    /// In words, with the file.
    fn load(client: &TlsClient, verify: bool) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = verifier(client, verify, &provider)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &client.certificate {
            None => config.with_no_client_auth(),
            Some(file) => {
                let chain = certificates(file)?;
                let key_file = client.key.as_ref().unwrap_or(file);
                let password = client.password.as_ref().map(|password| &**password.expose());
                let key = key::load(key_file, password)?;
                config.with_client_auth_cert(chain, key).map_err(|error| {
                    format!("the certificate {file} cannot be used with the key {key_file}: {error}")
                })?
            }
        };
        // Each check is to see the whole handshake, and the certificate that is served now.
        config.resumption = Resumption::disabled();
        let mut http2 = config.clone();
        http2.alpn_protocols = vec![H2.to_vec()];
        Ok(Self { http1: config.into(), http2: http2.into() })
    }

    /// What a connection is opened with: its settings, and the name that the server is asked for by, or its certificate
    /// is compared with.
    fn client(
        &self,
        open: &TlsOpen,
        to: IpAddr,
    ) -> Result<(&Arc<ClientConfig>, ServerName<'static>), String> {
        let named = |name: &Arc<str>| {
            ServerName::try_from(name.to_string())
                .map_err(|_| format!("TLS cannot ask for the name {name:?}"))
        };
        let Configs { naming, nameless } = if open.http2 { &self.http2 } else { &self.http1 };
        match (&open.server_name, &open.certificate_name) {
            (Some(name), _) => Ok((naming, named(name)?)),
            (None, Some(name)) => Ok((nameless, named(name)?)),
            (None, None) => Ok((nameless, ServerName::from(to))),
        }
    }
}

fn verifier(
    client: &TlsClient,
    verify: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    // As in keepalived, a file that cannot be loaded is a fault, also where nothing is verified.
    let authorities = client.authorities.as_ref().map(|file| certificates(file)).transpose()?;
    if !verify {
        return Ok(BelievesAll::verifier());
    }
    let mut roots = RootCertStore::empty();
    let whose = match (&client.authorities, authorities) {
        (Some(file), Some(authorities)) => {
            roots.add_parsable_certificates(authorities);
            format!("{file} (ca of SSL)")
        }
        _ => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            "this host's certificates of authorities".to_owned()
        }
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    verifier
        .map(|verifier| verifier as Arc<_>)
        .map_err(|error| format!("nothing can be verified by {whose}: {error}"))
}

/// The certificates in a PEM file, at least one.
fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let refused = |why: String| format!("certificates cannot be read from {file}: {why}");
    let text = std::fs::read(file).map_err(|error| refused(error.to_string()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(refused("there is none in it".to_owned())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(refused(error.to_string())),
    }
}
