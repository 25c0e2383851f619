//! Values of virtual servers, real servers and checkers with a grammar of their own.

use core::net::{IpAddr, Ipv4Addr};

use super::address::address;
use super::number::in_range;
use super::words::{Args, Argument, Printed};
use super::{Script, choices, parse};
use crate::config::schema::Context;
use crate::net::InterfaceName;
#[cfg(test)]
use crate::prng::Prng;

choices! {
    /// IPVS scheduler.
    Scheduler { /// Round robin.
        Rr = "rr", /// Weighted round robin.
        Wrr = "wrr", /// Least connections.
        Lc = "lc", /// Weighted least connections.
        Wlc = "wlc", /// Locality-based least connections.
        Lblc = "lblc", /// The same with replication.
        Lblcr = "lblcr", /// Source hashing.
        Sh = "sh", /// Maglev hashing.
        Mh = "mh", /// Destination hashing.
        Dh = "dh", /// Shortest expected delay.
        Sed = "sed", /// Never queue.
        Nq = "nq", /// Weighted fail-over.
        Fo = "fo", /// Weighted overflow.
        Ovf = "ovf", /// Power of two choices.
        Twos = "twos" }
    /// Forwarding method.
    ForwardingMethod { /// Address translation.
        Nat = "NAT", /// Direct routing.
        Dr = "DR", /// Tunnelling.
        Tun = "TUN" }
    /// Kind of tunnel.
    TunnelType { /// IP in IP.
        Ipip = "ipip", /// GRE.
        Gre = "gre", /// Generic UDP encapsulation.
        Gue = "gue" }
    /// Checksum of a tunnel.
    TunnelChecksum { /// None.
        NoCsum = "nocsum", /// Checksum.
        Csum = "csum", /// Remote checksum offload.
        RemCsum = "remcsum" }
    /// Transport protocol of a virtual server.
    LvsProtocol { /// TCP.
        Tcp = "TCP" | "tcp" | "Tcp", /// UDP.
        Udp = "UDP" | "udp" | "Udp", /// SCTP.
        Sctp = "SCTP" | "sctp" | "Sctp" }
}

/// A tunnel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tunnel {
    /// Its kind.
    pub kind: TunnelType,
    /// UDP port (`gue` only).
    pub port: Option<u16>,
    /// Its checksum.
    pub checksum: TunnelChecksum,
}

/// `lvs_method`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LvsMethod {
    /// The method.
    pub method: ForwardingMethod,
    /// How to tunnel.
    pub tunnel: Option<Tunnel>,
}

impl Argument for LvsMethod {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let method = ForwardingMethod::parse(args)?;
        if method != ForwardingMethod::Tun || args.peek().is_none() {
            return Some(Self { method, tunnel: None });
        }
        let place = args.place();
        let mut tunnel = Tunnel { kind: TunnelType::Ipip, port: None, checksum: TunnelChecksum::NoCsum };
        while let Some(word) = args.next() {
            args.note_inline(Context::MethodWords, word);
            if word.0 == "type" {
                tunnel.kind = TunnelType::parse(args)?;
            } else if word.0 == "port" {
                let number = args.option_value("port")?;
                tunnel.port = u16::try_from(in_range(args, number, 1, 65535, "port")?).ok();
            } else if let Some(checksum) = TunnelChecksum::from_word(word.0) {
                tunnel.checksum = checksum;
            } else {
                args.reject_inline(word, Context::MethodWords);
                return None;
            }
        }
        let fault = match (tunnel.kind, tunnel.port, tunnel.checksum) {
            (TunnelType::Gue, None, _) => Some("a gue tunnel needs a port"),
            (TunnelType::Ipip | TunnelType::Gre, Some(_), _) => Some("only a gue tunnel has a port"),
            (TunnelType::Ipip, _, TunnelChecksum::Csum | TunnelChecksum::RemCsum) => {
                Some("an ipip tunnel has no checksum")
            }
            (TunnelType::Gre, _, TunnelChecksum::RemCsum) => Some("a gre tunnel has no remcsum"),
            _ => None,
        };
        if let Some(fault) = fault {
            args.reject(place, fault);
            return None;
        }
        Some(Self { method, tunnel: Some(tunnel) })
    }

    fn print(&self, out: &mut Printed) {
        self.method.print(out);
        if let Some(tunnel) = self.tunnel {
            out.option("type", tunnel.kind.word());
            if let Some(port) = tunnel.port {
                out.option("port", port);
            }
            out.value(tunnel.checksum.word());
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let method = ForwardingMethod::sample(random);
        let tunnel = (method == ForwardingMethod::Tun && random.chance(1, 2)).then_some(Tunnel {
            kind: TunnelType::Gue,
            port: Some(4000),
            checksum: TunnelChecksum::RemCsum,
        });
        Self { method, tunnel }
    }
}

/// `ADDRESS [PORT]`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port, if one was written that is not 0.
    pub port: Option<u16>,
}

impl Argument for Endpoint {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        let address = address(args, word)?;
        let port = match args.next() {
            Some((text, _)) if text.bytes().all(|b| b == b'0') => None,
            Some(word) => Some(u16::try_from(in_range(args, word, 1, 65535, "port")?).ok()?),
            None => None,
        };
        Some(Self { address, port })
    }

    fn print(&self, out: &mut Printed) {
        out.value(self.address);
        if let Some(port) = self.port {
            out.value(port);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self { address: super::Address::sample(random).0, port: random.chance(1, 2).then_some(80) }
    }
}

/// What a virtual server serves.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum VirtualServerKey {
    /// An address and perhaps a port.
    Endpoint(Endpoint),
    /// A firewall mark.
    Mark(u32),
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
                u32::try_from(mark).ok().map(Self::Mark)
            }
            Some(("group", _)) => {
                args.next();
                Some(Self::Group(args.option_value("group")?.0.into()))
            }
            _ => Endpoint::parse(args).map(Self::Endpoint),
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
            0 => Self::Endpoint(Endpoint::sample(random)),
            1 => Self::Mark(u32::try_from(random.between(1, 1000)).unwrap()),
            _ => Self::Group("web".into()),
        }
    }
}

/// `persistence_granularity`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Granularity {
    /// IPv4 mask.
    Mask(Ipv4Addr),
    /// IPv6 prefix length.
    Length(u8),
}

impl Argument for Granularity {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let (text, at) = args.required()?;
        let value = match parse::address(text) {
            // Any mask: the kernel compares the bits that are set.
            Some(IpAddr::V4(mask)) => Some(Self::Mask(mask)),
            Some(_) => None,
            None => parse::integer(text)
                .and_then(|length| u8::try_from(length).ok())
                .filter(|length| (1..=128).contains(length))
                .map(Self::Length),
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
            Self::Mask(mask) => out.value(mask),
            Self::Length(length) => out.value(length),
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        if random.chance(1, 2) { Self::Mask(Ipv4Addr::new(255, 255, 255, 0)) } else { Self::Length(64) }
    }
}

/// Ranges of HTTP status codes, both ends included.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatusCodes(pub Box<[(u16, u16)]>);

impl Argument for StatusCodes {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let mut ranges = Vec::new();
        let mut next = args.next();
        while let Some((text, at)) = next {
            let range = parse::number_range(text).or_else(|| parse::integer(text).map(|code| (code, code)));
            let valid = range
                .filter(|(low, high)| (100..=599).contains(low) && (*low..=599).contains(high))
                .and_then(|(low, high)| Some((u16::try_from(low).ok()?, u16::try_from(high).ok()?)));
            let Some(range) = valid else {
                args.reject(at, format!("`{text}` is no status code or range within 100 to 599"));
                return None;
            };
            ranges.push(range);
            next = args.next();
        }
        Some(Self(ranges.into()))
    }

    fn print(&self, out: &mut Printed) {
        for (low, high) in &self.0 {
            if low == high { out.value(low) } else { out.value(format_args!("{low}-{high}")) }
        }
    }

    #[cfg(test)]
    fn sample(_: &mut Prng) -> Self {
        Self([(200, 299), (301, 301)].into())
    }
}

/// `lvs_timeouts`, in seconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LvsTimeouts {
    /// `tcp`.
    pub tcp: Option<u32>,
    /// `tcpfin`.
    pub tcpfin: Option<u32>,
    /// `udp`.
    pub udp: Option<u32>,
}

impl Argument for LvsTimeouts {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let mut timeouts = Self::default();
        let mut next = Some(args.required()?);
        while let Some(word) = next {
            args.note_inline(Context::TimeoutWords, word);
            let field = match word.0 {
                "tcp" => &mut timeouts.tcp,
                "tcpfin" => &mut timeouts.tcpfin,
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
        for (name, value) in [("tcp", self.tcp), ("tcpfin", self.tcpfin), ("udp", self.udp)] {
            if let Some(value) = value {
                out.option(name, value);
            }
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self { tcp: Some(900), tcpfin: random.chance(1, 2).then_some(120), udp: None }
    }
}

/// `lvs_sync_daemon`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SyncDaemon {
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

/// `digest`: an MD5 sum.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Digest(pub [u8; 16]);

impl Argument for Digest {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let (text, at) = args.required()?;
        let digest = parse::md5_sum(text);
        if digest.is_none() {
            args.reject(at, format!("`{text}` is no MD5 sum: it has 32 hexadecimal digits"));
        }
        digest.map(Self)
    }

    fn print(&self, out: &mut Printed) {
        let text: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        out.value(text);
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(core::array::from_fn(|_| u8::try_from(random.below(256)).unwrap()))
    }
}

/// `init_file`: `[VALUE] [overwrite]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InitFile {
    /// The value to write.
    pub value: Option<i32>,
    /// Even if the file exists.
    pub overwrite: bool,
}

impl Argument for InitFile {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let mut file = Self { value: None, overwrite: false };
        while let Some(word) = args.next() {
            if word.0 == "overwrite" {
                file.overwrite = true;
            } else {
                let value = in_range(args, word, i32::MIN.into(), i32::MAX.into(), "init_file")?;
                file.value = i32::try_from(value).ok();
            }
        }
        Some(file)
    }

    fn print(&self, out: &mut Printed) {
        if let Some(value) = self.value {
            out.value(value);
        }
        if self.overwrite {
            out.value("overwrite");
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self { value: random.chance(1, 2).then_some(-3), overwrite: random.chance(1, 2) }
    }
}

/// A value that may be left out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Optional<T>(pub Option<T>);

/// A way to match parameters, which may be left out.
pub type OptionalMatch = Optional<super::ParameterMatch>;

/// A script that may be left out.
pub type OptionalScript = Optional<Script>;

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
