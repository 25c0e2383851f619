//! `authentication` and `auth_hmac` of an instance.

use super::instance_rules::Rules;
use crate::config::diagnostics::{Diagnostic, Status};
use crate::config::model::AuthHmac;
use crate::config::source::Position;
use crate::config::values::AuthType;
use crate::net::Family;
use crate::secret::Secret;
use crate::time::Duration;
use crate::vrrp::{HmacConfig, HmacMode, InitialState};
use crate::wire::vrrp::{AdvertisementInterval, AuthenticationData, HmacKey, Version};

/// The shortest default of `time_window`, and the longest, in seconds.
const WINDOW_S: (u64, u64) = (5, 300);

impl Rules<'_> {
    /// What the last 8 bytes of an advertisement carry. Reports what is wrong with the block.
    pub(super) fn authentication(&self) -> AuthenticationData {
        let Some(block) = &self.instance.authentication else { return AuthenticationData::None };
        let at = block.auth_type.as_ref().map_or(block.header.at, |entry| entry.at);
        if self.strict() {
            return AuthenticationData::None;
        }
        if self.instance.auth_hmac.is_some() {
            self.error(
                "authentication",
                at,
                "authentication is ignored beside auth_hmac",
                "remove one of them",
            );
            return AuthenticationData::None;
        }
        if self.version == Version::V3 {
            self.error(
                "authentication",
                at,
                "version 3 has no authentication: it is ignored",
                "remove it; auth_hmac authenticates version 3, as an extension of keepalived",
            );
            return AuthenticationData::None;
        }
        let password = block.auth_pass.as_ref();
        if let Some(entry) = password.filter(|entry| entry.value.0.expose().len() > 8) {
            let length = entry.value.0.expose().len();
            self.error(
                "password-too-long",
                entry.at,
                format!("auth_pass has {length} characters, only the first 8 are used"),
                "shorten it on all routers to what is used, so that nobody believes it to be longer",
            );
        }
        match (block.auth_type.as_ref().map(|entry| entry.value), password) {
            (Some(AuthType::Pass), Some(entry)) => {
                AuthenticationData::SimplePassword(first_bytes(entry.value.0.expose()))
            }
            (Some(AuthType::Ah), Some(entry)) => {
                if self.family == Family::Ipv6 {
                    self.error("authentication", at, "AH is not for IPv6: it is ignored", "");
                    return AuthenticationData::None;
                }
                let wish = self.instance.state.as_ref().filter(|entry| entry.value == InitialState::Master);
                let owner = self.is_owner();
                if let Some(state) = wish.filter(|_| !owner) {
                    self.error(
                        "authentication",
                        state.at,
                        "state MASTER does not go with AH: BACKUP is used",
                        "write state BACKUP, the priority decides",
                    );
                }
                AuthenticationData::AuthenticationHeader(first_bytes(entry.value.0.expose()))
            }
            (Some(_), None) => {
                self.error(
                    "authentication",
                    at,
                    "the authentication has no auth_pass and is ignored",
                    "write auth_pass",
                );
                AuthenticationData::None
            }
            (None, _) => AuthenticationData::None,
        }
    }

    /// What is signed and how that is judged. Reports what is wrong with the block; without a key to sign with the start
    /// is refused, since nobody would know that advertisements are not authenticated.
    pub(super) fn hmac(&self, interval: AdvertisementInterval) -> Option<Box<HmacConfig>> {
        let block = self.instance.auth_hmac.as_ref()?;
        let keys = self.keys(block);
        let active = self.active_key(block)?;
        let mode = block.mode.as_ref().map(|entry| entry.value).unwrap_or_default();
        let window = block.time_window.as_ref().map(|entry| u64::from(entry.value.0));
        let default = (interval.duration().as_secs() * 3).clamp(WINDOW_S.0, WINDOW_S.1);
        let hmac = HmacConfig {
            keys: keys.into(),
            active,
            anti_replay: block.anti_replay.as_ref().map(|entry| entry.value).unwrap_or_default(),
            window: Duration::from_secs(window.unwrap_or(default)),
            mode: if self.strict() { HmacMode::Enforce } else { mode },
        };
        // A key file that is not there where the text is judged without its host.
        hmac.key(active)?;
        Some(Box::new(hmac))
    }

    /// The first of each identifier.
    fn keys(&self, block: &AuthHmac) -> Vec<(u8, HmacKey)> {
        let mut keys: Vec<(u8, HmacKey)> = Vec::new();
        let mut seen = std::collections::BTreeMap::new();
        for entry in &block.keys {
            let id = entry.value.id;
            if let Some(first) = seen.get(&id) {
                let message = format!("`{}`: key {id} of auth_hmac is there twice", self.name);
                self.reading.diagnostics.push(
                    Diagnostic::error("duplicate-key", message)
                        .at(self.place(entry.at))
                        .label("ignored")
                        .related(self.place(*first), "first here")
                        .help("give each key an identifier of its own"),
                );
                continue;
            }
            seen.insert(id, entry.at);
            keys.extend(entry.value.key.clone().map(|key| (id, key)));
        }
        keys
    }

    fn active_key(&self, block: &AuthHmac) -> Option<u8> {
        let known = || {
            let ids: Vec<String> = block.keys.iter().map(|entry| entry.value.id.to_string()).collect();
            match ids.as_slice() {
                [] => "write key ID SECRET with a secret of 32 to 64 bytes, and active_key ID".to_owned(),
                ids => format!("write active_key with one of the keys that there are: {}", ids.join(", ")),
            }
        };
        let Some(entry) = &block.active_key else {
            self.without_key(block.header.at, "auth_hmac has no active_key", &known());
            return None;
        };
        let id = u8::try_from(entry.value.0).ok()?;
        if !block.keys.iter().any(|key| key.value.id == id) {
            self.without_key(entry.at, &format!("active_key {id} names no key that can be used"), &known());
            return None;
        }
        Some(id)
    }

    fn without_key(&self, at: Position, what: &str, help: &str) {
        self.reading.diagnostics.push(
            Diagnostic::fatal("auth-hmac", format!("`{}`: {what}", self.name))
                .status(Status::Fault)
                .at(self.place(at))
                .label("advertisements would not be authenticated")
                .note("start and reload are refused; keepalived starts without auth_hmac")
                .help(help),
        );
    }
}

/// What of a password is used: 8 bytes, padded with zeros.
fn first_bytes(password: &str) -> Secret<[u8; 8]> {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(password.bytes()) {
        *to = from;
    }
    Secret::new(bytes)
}
