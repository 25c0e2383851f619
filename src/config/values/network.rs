//! Values of `vrrp_instance` and `global_defs` with a grammar of their own.

use super::number::in_range;
use super::text::interface;
use super::words::{Args, Argument, Printed};
use super::{choices, parse, words_of};
use crate::check::{DnsType, HttpVersion, WildcardByte};
use crate::config::diagnostics::Diagnostic;
use crate::config::schema::Context;
use crate::net::{InterfaceName, Prefix};
#[cfg(test)]
use crate::prng::Prng;
use crate::track::ParameterMatch;
use crate::vrrp::{AntiReplay, HmacMode, InitialState};

/// A MAC address of 6 bytes, or of 5 to which the virtual router identifier is added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MacPattern {
    /// The bytes.
    pub bytes: [u8; 6],
    /// Whether the last is to be replaced by the virtual router identifier.
    pub add_vrid: bool,
}

/// Arguments of `use_vmac`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct VmacSettings {
    /// Name of the interface.
    pub name: Option<InterfaceName>,
    /// Its MAC.
    pub mac: Option<MacPattern>,
    /// `netlink_notify_msg`.
    pub netlink_notify: bool,
    /// `group`.
    pub group: Option<Box<str>>,
}

fn mac(args: &Args<'_>, (text, at): super::words::Word<'_>) -> Option<MacPattern> {
    let bytes = parse::hardware_bytes(text).filter(|bytes| matches!(bytes.len(), 5 | 6));
    let Some(bytes) = bytes else {
        args.reject(
            at,
            format!("`{text}` is no MAC address: write 6 bytes, or 5 to which the VRID is added"),
        );
        return None;
    };
    if bytes.first().is_some_and(|first| first & 1 == 1) {
        args.reject(at, format!("`{text}` is a multicast MAC address"));
        return None;
    }
    let mut pattern = MacPattern { bytes: [0; 6], add_vrid: bytes.len() == 5 };
    for (to, from) in pattern.bytes.iter_mut().zip(bytes) {
        *to = from;
    }
    Some(pattern)
}

impl Argument for VmacSettings {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let mut settings = Self::default();
        while let Some(word) = args.next() {
            args.note_inline(Context::VmacWords, word);
            match word.0 {
                "name" => {
                    let word = args.option_value("name")?;
                    settings.name = Some(interface(args, word)?);
                }
                "group" => settings.group = Some(args.option_value("group")?.0.into()),
                "netlink_notify_msg" => settings.netlink_notify = true,
                text if text.contains(':') => settings.mac = Some(mac(args, word)?),
                _ if settings.name.is_none() => settings.name = Some(interface(args, word)?),
                _ => {
                    args.reject_choice(word, &["name", "netlink_notify_msg", "group"]);
                    return None;
                }
            }
        }
        Some(settings)
    }

    fn print(&self, out: &mut Printed) {
        if let Some(name) = &self.name {
            out.option("name", name);
        }
        if let Some(MacPattern { bytes: [a, b, c, d, e, f], add_vrid }) = self.mac {
            out.value(format_args!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}"));
            if !add_vrid {
                // One word: the last byte goes without a blank.
                *out = core::mem::take(out).join(&format!(":{f:02x}"));
            }
        }
        if self.netlink_notify {
            out.value("netlink_notify_msg");
        }
        if let Some(group) = &self.group {
            out.value("group");
            out.word(group);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let mut coin = || random.chance(1, 2);
        let add_vrid = coin();
        Self {
            name: coin().then(|| "vrrp.51".parse().unwrap()),
            mac: coin()
                .then_some(MacPattern { bytes: [2, 0, 0x5e, 0, 1, if add_vrid { 0 } else { 9 }], add_vrid }),
            netlink_notify: coin(),
            group: coin().then(|| "5".into()),
        }
    }
}

choices! {
    /// Flags of an ipvlan interface.
    IpvlanMode { /// Members see each other.
        Bridge = "bridge", /// Members do not see each other.
        Private = "private", /// The switch decides.
        Vepa = "vepa" }
    /// `auth_type`.
    AuthType { /// Plain-text password.
        Pass = "PASS", /// IPsec authentication header.
        Ah = "AH" }
}

words_of! {
    InitialState { Master = "MASTER", Backup = "BACKUP" }
    AntiReplay { Time = "time", Monotonic = "monotonic" }
    HmacMode { Enforce = "enforce", Permissive = "permissive", ReceiveOnly = "receive-only" }
    DnsType {
        A = "A" | "a",
        Ns = "NS" | "ns",
        Cname = "CNAME" | "cname",
        Soa = "SOA" | "soa",
        Mx = "MX" | "mx",
        Txt = "TXT" | "txt",
        Aaaa = "AAAA" | "aaaa",
        Rrsig = "RRSIG" | "rrsig",
        Dnskey = "DNSKEY" | "dnskey",
    }
    HttpVersion { V1_0 = "1.0", V1_0Close = "1.0C" | "1.0c", V1_1 = "1.1" }
}

/// `initial`, `partial`; without a word they must be the same.
impl Argument for ParameterMatch {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        match args.next() {
            None => Some(Self::Exact),
            Some(("initial", _)) => Some(Self::Initial),
            Some(("partial", _)) => Some(Self::Partial),
            Some(word) => {
                args.reject_choice(word, &["initial", "partial"]);
                None
            }
        }
    }

    fn print(&self, out: &mut Printed) {
        match self {
            Self::Initial => out.value("initial"),
            Self::Partial => out.value("partial"),
            Self::Exact | Self::Ignored => {}
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        [Self::Exact, Self::Initial, Self::Partial][random.below(3) as usize]
    }
}

/// Arguments of `use_ipvlan`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct IpvlanSettings {
    /// Name of the interface.
    pub name: Option<InterfaceName>,
    /// Its address.
    pub address: Option<Prefix>,
    /// Its flags.
    pub mode: Option<IpvlanMode>,
    /// `group`.
    pub group: Option<Box<str>>,
}

impl Argument for IpvlanSettings {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let mut settings = Self::default();
        while let Some(word) = args.next() {
            args.note_inline(Context::IpvlanWords, word);
            if let Some(mode) = IpvlanMode::from_word(word.0) {
                settings.mode = Some(mode);
            } else if let Some(prefix) = parse::full_prefix(word.0) {
                settings.address = Some(prefix);
            } else if word.0 == "group" {
                settings.group = Some(args.option_value("group")?.0.into());
            } else {
                let word = if word.0 == "name" { args.option_value("name")? } else { word };
                settings.name = Some(interface(args, word)?);
            }
        }
        Some(settings)
    }

    fn print(&self, out: &mut Printed) {
        if let Some(name) = &self.name {
            out.option("name", name);
        }
        if let Some(address) = self.address {
            out.value(address);
        }
        if let Some(mode) = self.mode {
            mode.print(out);
        }
        if let Some(group) = &self.group {
            out.value("group");
            out.word(group);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self {
            name: random.chance(1, 2).then(|| "ipvl0".parse().unwrap()),
            address: random.chance(1, 2).then(|| super::address::sample_prefix(random)),
            mode: random.chance(1, 2).then(|| IpvlanMode::sample(random)),
            group: random.chance(1, 2).then(|| "5".into()),
        }
    }
}

/// `[all] NUMBER`, at most `MAX`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct OptionalAll<const MIN: u32, const MAX: u32> {
    /// `all`.
    pub all: bool,
    /// Seconds.
    pub seconds: u32,
}

impl<const MIN: u32, const MAX: u32> Argument for OptionalAll<MIN, MAX> {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let all = args.accept("all");
        let seconds = super::Natural::<MIN, MAX>::parse(args)?.0;
        Some(Self { all, seconds })
    }

    fn print(&self, out: &mut Printed) {
        if self.all {
            out.value("all");
        }
        out.value(self.seconds);
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self { all: random.chance(1, 2), seconds: super::Natural::<MIN, MAX>::sample(random).0 }
    }
}

/// `HOST [PORT]`, the mail relay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SmtpServer {
    /// Address or name.
    pub host: Box<str>,
    /// Port, if not 25.
    pub port: Option<u16>,
}

impl Argument for SmtpServer {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let (host, at) = args.required()?;
        // Names are resolved when there is mail to send: reading a configuration waits for no name service.
        let in_names = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let address = host.split_once('%').map_or(host, |(address, _zone)| address);
        if parse::address(address).is_none() && (host.starts_with('-') || !host.bytes().all(in_names)) {
            args.reject(at, format!("`{host}` is neither an address nor the name of a host"));
            return None;
        }
        let port = match args.next() {
            Some(word) => Some(u16::try_from(in_range(args, word, 1, 65535, "port")?).ok()?),
            None => None,
        };
        Some(Self { host: host.into(), port })
    }

    fn print(&self, out: &mut Printed) {
        out.word(&self.host);
        if let Some(port) = self.port {
            out.value(port);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self { host: "mail.example.net".into(), port: random.chance(1, 2).then_some(587) }
    }
}

/// `MTU`, `ADVERT` or bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BufferPolicy {
    /// By the interface's MTU.
    Mtu,
    /// By the size of an advertisement.
    Advert,
    /// That many bytes.
    Bytes(u32),
}

impl Argument for BufferPolicy {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        match word.0 {
            "MTU" => Some(Self::Mtu),
            "ADVERT" => Some(Self::Advert),
            text if parse::integer(text).is_some() => {
                let bytes = in_range(args, word, 1, u32::MAX.into(), args.name())?;
                u32::try_from(bytes).ok().map(Self::Bytes)
            }
            _ => {
                args.reject_choice(word, &["MTU", "ADVERT", "a number of bytes"]);
                None
            }
        }
    }

    fn print(&self, out: &mut Printed) {
        match self {
            Self::Mtu => out.value("MTU"),
            Self::Advert => out.value("ADVERT"),
            Self::Bytes(bytes) => out.value(bytes),
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        [Self::Mtu, Self::Advert, Self::Bytes(65536)][random.below(3) as usize]
    }
}

/// Bytes in hexadecimal, `x` standing for any digit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HexPattern<const WILDCARDS: bool> {
    /// The bytes.
    pub bytes: Box<[WildcardByte]>,
}

impl<const WILDCARDS: bool> Argument for HexPattern<WILDCARDS> {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let mut bytes = Vec::new();
        while let Some((text, at)) = args.next() {
            // A quoted word may hold several groups; a digit that is left over in a group is a byte.
            for group in text.split_ascii_whitespace() {
                let digits: Option<Vec<(u8, u8)>> = group
                    .chars()
                    .map(|c| match c.to_digit(16) {
                        Some(digit) => u8::try_from(digit).ok().map(|digit| (digit, 0xf)),
                        None => (WILDCARDS && matches!(c, 'x' | 'X')).then_some((0, 0)),
                    })
                    .collect();
                let Some(digits) = digits else {
                    args.reading.diagnostics.push(
                        Diagnostic::error(
                            "invalid-value",
                            format!("`{group}` is no run of hexadecimal bytes"),
                        )
                        .at(at),
                    );
                    return None;
                };
                bytes.extend(digits.chunks(2).map(|pair| match pair {
                    [high, low] => WildcardByte { value: high.0 << 4 | low.0, mask: high.1 << 4 | low.1 },
                    [single] => WildcardByte { value: single.0, mask: 0xf0 | single.1 },
                    _ => WildcardByte { value: 0, mask: 0 },
                }));
            }
        }
        Some(Self { bytes: bytes.into() })
    }

    fn print(&self, out: &mut Printed) {
        for WildcardByte { value: byte, mask } in &self.bytes {
            let nibble = |value: u8, mask: u8| match mask {
                0 => 'x',
                _ => char::from_digit(value.into(), 16).unwrap_or('0'),
            };
            let text: String =
                [nibble(byte >> 4, mask >> 4), nibble(byte & 0xf, mask & 0xf)].into_iter().collect();
            out.value(text);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let bytes = (0..random.between(1, 5)).map(|_| {
            let byte = u8::try_from(random.below(256)).unwrap();
            let mask = if WILDCARDS && random.chance(1, 3) { 0xf0 } else { 0xff };
            WildcardByte { value: byte & mask, mask }
        });
        Self { bytes: bytes.collect() }
    }
}
