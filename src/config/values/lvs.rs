//! Values of virtual servers, real servers and checkers with a grammar of their own.

use core::net::IpAddr;
#[cfg(test)]
use core::net::Ipv4Addr;
use core::num::{NonZeroU8, NonZeroU16, NonZeroU32};

use super::address::address;
use super::number::in_range;
use super::words::{Args, Argument, Printed};
use super::{parse, words_of};
use crate::check::{BodyDigest, StatusCodes};
use crate::config::schema::Context;
use crate::kernel::Script;
use crate::kernel::ipvs::{
    ForwardingMethod, GueChecksum, HostPort, PersistenceGranularity, Protocol, Scheduler, Timeouts, Tunnel,
};
use crate::net::InterfaceName;
#[cfg(test)]
use crate::prng::Prng;
use crate::track::InitialContent;

words_of! {
    Protocol {
        Tcp = "TCP" | "tcp" | "Tcp",
        Udp = "UDP" | "udp" | "Udp",
        Sctp = "SCTP" | "sctp" | "Sctp",
    }
}

impl Argument for Scheduler {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        let scheduler = Self::from_name(word.0);
        if scheduler.is_none() {
            args.reject_choice(word, &Self::ALL.map(Self::name));
        }
        scheduler
    }

    fn print(&self, out: &mut Printed) {
        out.value(self.name());
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self::ALL[random.below(Self::ALL.len() as u64) as usize]
    }
}

/// `NAT`, `DR`, or `TUN` with the options of the tunnel.
impl Argument for ForwardingMethod {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        match one_of(args, &["NAT", "DR", "TUN"])? {
            "NAT" => Some(Self::Nat),
            "DR" => Some(Self::DirectRouting),
            _ => tunnel(args).map(Self::Tunnel),
        }
    }

    fn print(&self, out: &mut Printed) {
        match self {
            Self::Nat => out.value("NAT"),
            Self::DirectRouting => out.value("DR"),
            Self::Tunnel(Tunnel::Ipip) => out.value("TUN"),
            Self::Tunnel(Tunnel::Gre { checksum }) => {
                out.option("TUN", "type gre");
                out.value(if *checksum { "csum" } else { "nocsum" });
            }
            Self::Tunnel(Tunnel::Gue { port, checksum }) => {
                out.option("TUN", "type gue");
                out.option("port", port);
                out.value(match checksum {
                    GueChecksum::None => "nocsum",
                    GueChecksum::Full => "csum",
                    GueChecksum::Remote => "remcsum",
                });
            }
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let port = NonZeroU16::new(4000).unwrap();
        let tunnels = [
            Tunnel::Ipip,
            Tunnel::Gre { checksum: random.chance(1, 2) },
            Tunnel::Gue { port, checksum: GueChecksum::Remote },
        ];
        match random.below(3) {
            0 => Self::Nat,
            1 => Self::DirectRouting,
            _ => Self::Tunnel(tunnels[random.below(3) as usize]),
        }
    }
}

/// The next word, which must be one of these.
fn one_of<'a>(args: &mut Args<'a>, words: &[&str]) -> Option<&'a str> {
    let word = args.required()?;
    if words.contains(&word.0) {
        return Some(word.0);
    }
    args.reject_choice(word, words);
    None
}

/// The options after `TUN`.
fn tunnel(args: &mut Args<'_>) -> Option<Tunnel> {
    let place = args.place();
    let (mut kind, mut port, mut checksum) = ("ipip", None, GueChecksum::None);
    while let Some(word) = args.next() {
        args.note_inline(Context::MethodWords, word);
        match word.0 {
            "type" => kind = one_of(args, &["ipip", "gre", "gue"])?,
            "port" => {
                let number = args.option_value("port")?;
                let number = in_range(args, number, 1, 65535, "port")?;
                port = u16::try_from(number).ok().and_then(NonZeroU16::new);
            }
            "nocsum" => checksum = GueChecksum::None,
            "csum" => checksum = GueChecksum::Full,
            "remcsum" => checksum = GueChecksum::Remote,
            _ => {
                args.reject_inline(word, Context::MethodWords);
                return None;
            }
        }
    }
    let fault = match (kind, port, checksum) {
        ("gue", Some(port), _) => return Some(Tunnel::Gue { port, checksum }),
        ("gue", None, _) => "a gue tunnel needs a port",
        (_, Some(_), _) => "only a gue tunnel has a port",
        ("gre", None, GueChecksum::Remote) => "a gre tunnel has no remcsum",
        ("gre", None, _) => return Some(Tunnel::Gre { checksum: checksum == GueChecksum::Full }),
        (_, None, GueChecksum::None) => return Some(Tunnel::Ipip),
        _ => "an ipip tunnel has no checksum",
    };
    args.reject(place, fault);
    None
}

/// `ADDRESS [PORT]`; no port where 0 is written.
impl Argument for HostPort {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        let address = address(args, word)?;
        let port = match args.next() {
            Some((text, _)) if text.bytes().all(|b| b == b'0') => None,
            Some(word) => Some(u16::try_from(in_range(args, word, 1, 65535, "port")?).ok()?),
            None => None,
        };
        Some(Self { address, port: port.and_then(NonZeroU16::new) })
    }

    fn print(&self, out: &mut Printed) {
        out.value(self.address);
        if let Some(port) = self.port {
            out.value(port);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let port = random.chance(1, 2).then(|| NonZeroU16::new(80).unwrap());
        Self { address: super::Address::sample(random).0, port }
    }
}

/// What a virtual server serves.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum VirtualServerKey {
    /// An address and perhaps a port.
    Endpoint(HostPort),
    /// A firewall mark.
    Mark(NonZeroU32),
    /// A `virtual_server_group`.
    Group(Box<str>),
}

impl Argument for VirtualServerKey {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        match args.peek() {
            Some(("fwmark", _)) => {
                args.next();
                let word = args.option_value("fwmark")?;
                let mark = in_range(args, word, 1, u32::MAX.into(), "fwmark")?;
                u32::try_from(mark).ok().and_then(NonZeroU32::new).map(Self::Mark)
            }
            Some(("group", _)) => {
                args.next();
                Some(Self::Group(args.option_value("group")?.0.into()))
            }
            _ => HostPort::parse(args).map(Self::Endpoint),
        }
    }

    fn print(&self, out: &mut Printed) {
        match self {
            Self::Endpoint(endpoint) => endpoint.print(out),
            Self::Mark(mark) => out.option("fwmark", mark),
            Self::Group(name) => {
                out.value("group");
                out.word(name);
            }
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        match random.below(3) {
            0 => Self::Endpoint(HostPort::sample(random)),
            1 => Self::Mark(NonZeroU32::new(random.between(1, 1000) as u32).unwrap()),
            _ => Self::Group("web".into()),
        }
    }
}

/// An IPv4 mask or an IPv6 prefix length.
impl Argument for PersistenceGranularity {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let (text, at) = args.required()?;
        let value = match parse::address(text) {
            // Any mask: the kernel compares the bits that are set.
            Some(IpAddr::V4(mask)) => Some(Self::Ipv4(mask)),
            Some(_) => None,
            None => parse::integer(text)
                .and_then(|length| u8::try_from(length).ok())
                .filter(|length| *length <= 128)
                .and_then(NonZeroU8::new)
                .map(Self::Ipv6),
        };
        if value.is_none() {
            args.reject(
                at,
                format!("`{text}` is no IPv4 mask (255.255.255.0) and no IPv6 length (1 to 128)"),
            );
        }
        value
    }

    fn print(&self, out: &mut Printed) {
        match self {
            Self::Ipv4(mask) => out.value(mask),
            Self::Ipv6(length) => out.value(length),
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        if random.chance(1, 2) {
            Self::Ipv4(Ipv4Addr::new(255, 255, 255, 0))
        } else {
            Self::Ipv6(NonZeroU8::new(64).unwrap())
        }
    }
}

/// Codes and ranges of codes; without any, the default.
impl Argument for StatusCodes {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        if args.peek().is_none() {
            return Some(Self::success());
        }
        let mut codes = Self::NONE;
        while let Some((text, at)) = args.next() {
            let range = parse::number_range(text).or_else(|| parse::integer(text).map(|code| (code, code)));
            let (first, last) = (i64::from(Self::FIRST), i64::from(Self::LAST));
            let valid = range
                .filter(|(low, high)| (first..=last).contains(low) && (*low..=last).contains(high))
                .and_then(|(low, high)| Some((u16::try_from(low).ok()?, u16::try_from(high).ok()?)));
            let Some((low, high)) = valid else {
                args.reject(at, format!("`{text}` is no status code or range within {first} to {last}"));
                return None;
            };
            codes.insert(low..=high);
        }
        Some(codes)
    }

    fn print(&self, out: &mut Printed) {
        for range in self.ranges() {
            match (range.start(), range.end()) {
                (low, high) if low == high => out.value(low),
                (low, high) => out.value(format_args!("{low}-{high}")),
            }
        }
    }

    #[cfg(test)]
    fn sample(_: &mut Prng) -> Self {
        let mut codes = Self::success();
        codes.insert(301..=301);
        codes
    }
}

/// `lvs_timeouts`.
impl Argument for Timeouts {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let mut timeouts = Self::default();
        let mut next = Some(args.required()?);
        while let Some(word) = next {
            args.note_inline(Context::TimeoutWords, word);
            let field = match word.0 {
                "tcp" => &mut timeouts.tcp,
                "tcpfin" => &mut timeouts.tcp_fin,
                "udp" => &mut timeouts.udp,
                _ => {
                    args.reject_inline(word, Context::TimeoutWords);
                    return None;
                }
            };
            let number = args.option_value(word.0)?;
            *field = u32::try_from(in_range(args, number, 1, 2_678_400, word.0)?).ok();
            next = args.next();
        }
        Some(timeouts)
    }

    fn print(&self, out: &mut Printed) {
        for (name, value) in [("tcp", self.tcp), ("tcpfin", self.tcp_fin), ("udp", self.udp)] {
            if let Some(value) = value {
                out.option(name, value);
            }
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self { tcp: Some(900), tcp_fin: random.chance(1, 2).then_some(120), udp: None }
    }
}

/// `lvs_sync_daemon`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SyncDaemon {
    /// The interface.
    pub interface: InterfaceName,
    /// The instance whose state it follows.
    pub instance: Option<Box<str>>,
    /// `id`.
    pub id: Option<u8>,
    /// `maxlen`.
    pub max_length: Option<u16>,
    /// `port`.
    pub port: Option<u16>,
    /// `ttl`.
    pub ttl: Option<u8>,
    /// `group`.
    pub group: Option<IpAddr>,
}

impl Argument for SyncDaemon {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        let interface = super::text::interface(args, word)?;
        let mut daemon = Self {
            interface,
            instance: None,
            id: None,
            max_length: None,
            port: None,
            ttl: None,
            group: None,
        };
        while let Some(word) = args.next() {
            args.note_inline(Context::SyncDaemonWords, word);
            match word.0 {
                "inst" => daemon.instance = Some(args.option_value("inst")?.0.into()),
                "id" | "maxlen" | "port" | "ttl" => {
                    let number = args.option_value(word.0)?;
                    let (low, high) = match word.0 {
                        "id" => (0, 255),
                        "maxlen" => (1, 65507),
                        "port" => (1, 65535),
                        _ => (1, 255),
                    };
                    let value = in_range(args, number, low, high, word.0)?;
                    match word.0 {
                        "id" => daemon.id = u8::try_from(value).ok(),
                        "maxlen" => daemon.max_length = u16::try_from(value).ok(),
                        "port" => daemon.port = u16::try_from(value).ok(),
                        _ => daemon.ttl = u8::try_from(value).ok(),
                    }
                }
                "group" => {
                    let word = args.option_value("group")?;
                    let group = address(args, word)?;
                    if !group.is_multicast() {
                        args.reject(word.1, format!("{group} is no multicast group"));
                        return None;
                    }
                    daemon.group = Some(group);
                }
                // The old form: IF INSTANCE [ID].
                name if daemon.instance.is_none() => daemon.instance = Some(name.into()),
                _ if daemon.id.is_none() => {
                    daemon.id = u8::try_from(in_range(args, word, 0, 255, "id")?).ok();
                }
                _ => {
                    args.reject_inline(word, Context::SyncDaemonWords);
                    return None;
                }
            }
        }
        Some(daemon)
    }

    fn print(&self, out: &mut Printed) {
        out.word(self.interface.as_str());
        if let Some(instance) = &self.instance {
            out.value("inst");
            out.word(instance);
        }
        if let Some(id) = self.id {
            out.option("id", id);
        }
        if let Some(length) = self.max_length {
            out.option("maxlen", length);
        }
        if let Some(port) = self.port {
            out.option("port", port);
        }
        if let Some(ttl) = self.ttl {
            out.option("ttl", ttl);
        }
        if let Some(group) = self.group {
            out.option("group", group);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let mut coin = || random.chance(1, 2);
        Self {
            interface: "eth0".parse().unwrap(),
            instance: coin().then(|| "VI_1".into()),
            id: coin().then_some(7),
            max_length: coin().then_some(1400),
            port: coin().then_some(8848),
            ttl: coin().then_some(1),
            group: coin().then_some(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81))),
        }
    }
}

/// 32 hexadecimal digits.
impl Argument for BodyDigest {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let (text, at) = args.required()?;
        let digest = parse::md5_sum(text);
        if digest.is_none() {
            args.reject(at, format!("`{text}` is no MD5 sum: it has 32 hexadecimal digits"));
        }
        digest.map(Self)
    }

    fn print(&self, out: &mut Printed) {
        out.value(self);
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(core::array::from_fn(|_| u8::try_from(random.below(256)).unwrap()))
    }
}

/// `[VALUE] [overwrite]`.
impl Argument for InitialContent {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let mut content = Self { value: 0, overwrite: false };
        while let Some(word) = args.next() {
            if word.0 == "overwrite" {
                content.overwrite = true;
            } else {
                let value = in_range(args, word, i32::MIN.into(), i32::MAX.into(), "init_file")?;
                content.value = i32::try_from(value).ok()?;
            }
        }
        Some(content)
    }

    fn print(&self, out: &mut Printed) {
        out.value(self.value);
        if self.overwrite {
            out.value("overwrite");
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self { value: if random.chance(1, 2) { -3 } else { 0 }, overwrite: random.chance(1, 2) }
    }
}

/// A value that may be left out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Optional<T>(pub Option<T>);

/// A script that may be left out.
pub(crate) type OptionalScript = Optional<Script>;

impl<T: Argument> Argument for Optional<T> {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        match args.peek() {
            None => Some(Self(None)),
            Some(_) => T::parse(args).map(|value| Self(Some(value))),
        }
    }

    fn print(&self, out: &mut Printed) {
        if let Some(value) = &self.0 {
            value.print(out);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(random.chance(1, 2).then(|| T::sample(random)))
    }
}
