//! Random authentication: how the routers of a LAN know each other's advertisements, and what a stranger knows.

use super::machine::MachineId;
use crate::net::Family;
use crate::prng::Prng;
use crate::secret::Secret;
use crate::time::Duration;
use crate::vrrp::{AntiReplay, HmacConfig, HmacMode, RouterConfig};
use crate::wire::vrrp::{AuthenticationData, HmacKey, Version};

/// How the routers of a plan authenticate their advertisements.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protection {
    /// A password in each (`auth_type PASS`), or nothing.
    Password(AuthenticationData),
    /// An authentication header (`auth_type AH`).
    Header([u8; 8]),
    /// A signed trailer (`auth_hmac`).
    Trailer(Signing),
}

/// What routers that sign have in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Signing {
    anti_replay: AntiReplay,
    window: Duration,
    /// Whether nothing unsigned is accepted; otherwise each signs or does not, and all accept both.
    enforced: bool,
    /// Whether each signs with a key of its own of those that all know, as while keys are being exchanged.
    rotating: bool,
}

/// The keys that all routers have, by their identifiers; and what a stranger takes for the first.
const KEYS: [(u8, [u8; 32]); 2] = [(1, [7; 32]), (9, [11; 32])];
const WRONG_KEY: [u8; 32] = [13; 32];
const WRONG_PASSWORD: [u8; 8] = *b"guessed!";

impl Protection {
    /// Perhaps something better than a password, where there is a place for it.
    pub(super) fn draw(
        prng: &mut Prng,
        family: Family,
        version: Version,
        password: AuthenticationData,
    ) -> Self {
        let headers = family == Family::Ipv4 && version == Version::V2;
        match prng.below(8) {
            0 => Self::Trailer(Signing::draw(prng)),
            1 | 2 if headers => Self::Header(*b"secret12"),
            _ => Self::Password(password),
        }
    }

    /// Whether machines whose clocks differ do not believe each other.
    pub(super) fn follows_clocks(self) -> bool {
        matches!(self, Self::Trailer(Signing { anti_replay: AntiReplay::Time, .. }))
    }

    /// What a machine's router has of it.
    pub(super) fn apply(self, machine: MachineId, config: &mut RouterConfig) {
        config.authentication = AuthenticationData::None;
        match self {
            Self::Password(password) => config.authentication = password,
            Self::Header(password) => {
                config.authentication = AuthenticationData::AuthenticationHeader(Secret::new(password));
            }
            Self::Trailer(signing) => config.hmac = Some(Box::new(signing.of(machine))),
        }
    }
}

impl Signing {
    fn draw(prng: &mut Prng) -> Self {
        Self {
            anti_replay: if prng.chance(1, 2) { AntiReplay::Time } else { AntiReplay::Monotonic },
            window: Duration::from_secs(prng.between(3, 9)),
            enforced: prng.chance(3, 4),
            rotating: prng.chance(1, 3),
        }
    }

    fn of(self, machine: MachineId) -> HmacConfig {
        let odd = machine.0 % 2 == 1;
        let keys = KEYS.iter().filter_map(|(id, secret)| Some((*id, HmacKey::new(secret)?)));
        HmacConfig {
            keys: keys.collect(),
            active: KEYS[usize::from(self.rotating && odd)].0,
            anti_replay: self.anti_replay,
            window: self.window,
            mode: match (self.enforced, odd) {
                (true, _) => HmacMode::Enforce,
                (false, false) => HmacMode::Permissive,
                (false, true) => HmacMode::ReceiveOnly,
            },
        }
    }
}

/// Whether only who knows a secret is believed.
pub(super) fn is_protected(config: &RouterConfig) -> bool {
    config.hmac.is_some() || config.authentication != AuthenticationData::None
}

/// What somebody has who wants to be one of them and does not know the secret.
pub(super) fn of_a_stranger(config: &RouterConfig) -> RouterConfig {
    let password = Secret::new(WRONG_PASSWORD);
    let mut config = config.clone();
    config.authentication = match config.authentication {
        AuthenticationData::None => AuthenticationData::None,
        AuthenticationData::SimplePassword(_) => AuthenticationData::SimplePassword(password),
        AuthenticationData::AuthenticationHeader(_) => AuthenticationData::AuthenticationHeader(password),
    };
    if let (Some(hmac), Some(key)) = (&mut config.hmac, HmacKey::new(&WRONG_KEY)) {
        hmac.keys = [(hmac.active, key)].into();
    }
    config
}
