//! The private key that is shown to servers.

use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// The first private key in a PEM file: PKCS#8, encrypted with the password or not, PKCS#1 or SEC1.
///
/// # Errors
/// In words, with the file.
pub(super) fn load(file: &str, password: Option<&str>) -> Result<PrivateKeyDer<'static>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
    text.and_then(|text| read(&text, password))
        .map_err(|why| format!("no private key can be read from {file}: {why}"))
}

fn read(text: &str, password: Option<&str>) -> Result<PrivateKeyDer<'static>, String> {
    if text.contains("\nProc-Type: 4,ENCRYPTED") {
        return Err(
            "it is encrypted in a way of before PKCS#8; `openssl pkcs8 -topk8` writes it anew".to_owned()
        );
    }
    match encrypted_section(text) {
        Some(section) => decrypt(section, password),
        None => PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| error.to_string()),
    }
}

/// The first encrypted key in PKCS#8 (RFC 7468 §11).
fn encrypted_section(text: &str) -> Option<&str> {
    const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let section = text.get(text.find(BEGIN)?..)?;
    section.get(..section.find(END)? + END.len())
}

fn decrypt(section: &str, password: Option<&str>) -> Result<PrivateKeyDer<'static>, String> {
    let password = password.ok_or("it is encrypted, and there is no password in SSL")?;
    let (_, document) = SecretDocument::from_pem(section).map_err(|error| error.to_string())?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| format!("its encryption is not understood: {error}"))?;
    let key = encrypted
        .decrypt(password)
        .map_err(|error| format!("it cannot be decrypted with the password in SSL: {error}"))?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}
