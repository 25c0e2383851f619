//! `[http]` of alived.toml and `--http`: where metrics and the status page are served, as whom, and for which names.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// Where the web process listens.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub enum HttpAddress {
    /// Nowhere: there is no web process.
    #[default]
    Off,
    /// At this address and port.
    At(SocketAddr),
}

impl FromStr for HttpAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<SocketAddr>()) {
            ("off", _) => Ok(Self::Off),
            (_, Ok(address)) if address.port() != 0 => Ok(Self::At(address)),
            _ => Err(format!(
                "'{text}' is no address to serve HTTP at: use ADDRESS:PORT such as 127.0.0.1:9165 or [::1]:9165, or off"
            )),
        }
    }
}

impl TryFrom<String> for HttpAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// As it is read.
impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl Serialize for HttpAddress {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// The web process.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpSettings {
    /// `address`: where it listens.
    pub address: HttpAddress,
    /// `hosts`: names of this host that requests may be addressed to (`Host`), beside `localhost` and the address that
    /// they arrive at. Others are refused, so that a web page from elsewhere cannot have a browser read what is here
    /// under a name of its own.
    pub hosts: Vec<String>,
    /// `user`: as whom it runs.
    pub user: String,
}

impl HttpSettings {
    pub(super) const NAMES: [&'static str; 3] = ["address", "hosts", "user"];
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { address: HttpAddress::Off, hosts: Vec::new(), user: "nobody".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_or_is_off() {
        assert_eq!("off".parse(), Ok(HttpAddress::Off));
        for text in ["127.0.0.1:9165", "[::1]:80", "0.0.0.0:1"] {
            assert_eq!(text.parse::<HttpAddress>().unwrap().to_string(), text);
        }
        for text in ["", "on", "9165", ":9165", "127.0.0.1", "127.0.0.1:0", "localhost:9165", "::1:80:"] {
            assert!(text.parse::<HttpAddress>().unwrap_err().contains("127.0.0.1:9165"), "{text}");
        }
    }
}
