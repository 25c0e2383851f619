//! Lines of lists: tracked objects with weights, peers, delays, members.

use core::net::IpAddr;
use core::num::{NonZeroU16, NonZeroU32};

use super::address::address;
use super::number::in_range;
use super::text::interface;
use super::words::{Args, Argument, Printed};
use super::{parse, words_of};
use crate::config::schema::Context;
use crate::kernel::ipvs::{FirewallMark, HostPort};
use crate::lvs::GroupMember;
use crate::net::{Family, Prefix};
#[cfg(test)]
use crate::prng::Prng;
use crate::time::Duration;
use crate::track::{InterfaceDelay, LinkPolling, LinkPollingMethod, Weight};

/// `NUMBER [reverse]`, from `-LIMIT` to `LIMIT`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TrackerWeight<const LIMIT: i16>(pub Weight);

impl<const LIMIT: i16> Argument for TrackerWeight<LIMIT> {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let ServerWeight { value, reverse } = weight(args, LIMIT.into())?;
        Weight::new(i16::try_from(value).ok()?, reverse).map(Self)
    }

    fn print(&self, out: &mut Printed) {
        ServerWeight { value: self.0.value().into(), reverse: self.0.is_reversed() }.print(out);
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let value = random.below(2 * LIMIT as u64 + 1) as i16 - LIMIT;
        Self(Weight::new(value, random.chance(1, 2)).unwrap())
    }
}

/// `NUMBER [reverse|noreverse]`: what a `FILE_CHECK` does to the weight of its real server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ServerWeight {
    /// What the number in the file is multiplied by.
    pub value: i32,
    /// Whether the sense is turned round.
    pub reverse: bool,
}

impl Argument for ServerWeight {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        weight(args, i32::MAX)
    }

    fn print(&self, out: &mut Printed) {
        out.value(self.value);
        if self.reverse {
            out.value("reverse");
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self { value: random.below(2001) as i32 - 1000, reverse: random.chance(1, 2) }
    }
}

fn weight(args: &mut Args<'_>, limit: i32) -> Option<ServerWeight> {
    let word = args.required()?;
    let value = in_range(args, word, (-limit).into(), limit.into(), "weight")?;
    let reverse = args.accept("reverse");
    // Only `FILE_CHECK` has a weight above it that may be reversed.
    let found = reverse || args.keyword.arguments.contains("noreverse") && args.accept("noreverse");
    if let (false, Some(word)) = (found, args.next()) {
        args.reject_choice(word, &["reverse"]);
    }
    Some(ServerWeight { value: i32::try_from(value).ok()?, reverse })
}

/// `NAME [weight N [reverse|noreverse]]`, a line of `track_script` and the like.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct TrackedName<const LIMIT: i32> {
    /// What is tracked.
    pub name: Box<str>,
    /// Its own weight; `None` = that of its definition.
    pub weight: Option<TrackedWeight>,
}

/// `weight N [reverse|noreverse]` of a [`TrackedName`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TrackedWeight {
    /// What is added to the priority; 0 = the router faults.
    pub value: i16,
    /// Whether the sense is turned round; `None` = as in the definition.
    pub reverse: Option<bool>,
}

impl<const LIMIT: i32> Argument for TrackedName<LIMIT> {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let (name, _) = args.required()?;
        let mut tracked = Self { name: name.into(), weight: None };
        while let Some(word) = args.next() {
            args.note_inline(Context::TrackLine, word);
            match (word.0, &mut tracked.weight) {
                ("weight", _) => {
                    let number = args.option_value("weight")?;
                    let value = in_range(args, number, (-LIMIT).into(), LIMIT.into(), "weight")?;
                    tracked.weight = Some(TrackedWeight { value: i16::try_from(value).ok()?, reverse: None });
                }
                ("reverse", Some(weight)) => weight.reverse = Some(true),
                // An interface has no definition whose sense could be turned back.
                ("noreverse", Some(weight)) if args.name() != "track_interface" => {
                    weight.reverse = Some(false);
                }
                _ => {
                    args.reject_choice(word, &["weight", "reverse", "noreverse"]);
                    break;
                }
            }
        }
        args.skip_rest();
        Some(tracked)
    }

    fn print(&self, out: &mut Printed) {
        out.word(&self.name);
        if let Some(weight) = self.weight {
            out.option("weight", weight.value);
            match weight.reverse {
                Some(true) => out.value("reverse"),
                Some(false) => out.value("noreverse"),
                None => {}
            }
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let weight = TrackedWeight {
            value: i16::try_from(random.below(400)).unwrap() - 200,
            // `noreverse` is not for interfaces.
            reverse: random.chance(1, 2).then_some(true),
        };
        Self {
            name: format!("eth{}", random.below(100)).into(),
            weight: random.chance(1, 2).then_some(weight),
        }
    }
}

/// `ADDRESS [min_ttl N] [max_ttl N]`, a line of `unicast_peer`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct UnicastPeer {
    /// The peer.
    pub address: IpAddr,
    /// Lowest TTL accepted from it.
    pub min_ttl: Option<u8>,
    /// Highest TTL accepted from it.
    pub max_ttl: Option<u8>,
}

impl Argument for UnicastPeer {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        let mut peer = Self { address: address(args, word)?, min_ttl: None, max_ttl: None };
        while let Some(option) = args.next() {
            args.note_inline(Context::PeerLine, option);
            if !matches!(option.0, "min_ttl" | "max_ttl") {
                args.reject_choice(option, &["min_ttl", "max_ttl"]);
                return None;
            }
            let number = args.option_value(option.0)?;
            let ttl = u8::try_from(in_range(args, number, 0, 255, option.0)?).ok();
            if option.0 == "min_ttl" { peer.min_ttl = ttl } else { peer.max_ttl = ttl }
        }
        Some(peer)
    }

    fn print(&self, out: &mut Printed) {
        out.value(self.address);
        if let Some(ttl) = self.min_ttl {
            out.option("min_ttl", ttl);
        }
        if let Some(ttl) = self.max_ttl {
            out.option("max_ttl", ttl);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self {
            address: super::Address::sample(random).0,
            min_ttl: random.chance(1, 2).then_some(254),
            max_ttl: random.chance(1, 2).then_some(255),
        }
    }
}

words_of! {
    LinkPollingMethod { Mii = "MII", Ethtool = "ETHTOOL", Flags = "IOCTL" }
}

/// `IFNAME [MII|ETHTOOL|IOCTL]`, a line of `linkbeat_interfaces`.
impl Argument for LinkPolling {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        let interface = interface(args, word)?;
        let method = match args.peek() {
            Some(_) => Some(LinkPollingMethod::parse(args)?),
            None => None,
        };
        Some(Self { interface, method })
    }

    fn print(&self, out: &mut Printed) {
        out.word(self.interface.as_str());
        if let Some(method) = self.method {
            method.print(out);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self {
            interface: super::Interface::sample(random).0,
            method: random.chance(1, 2).then(|| LinkPollingMethod::sample(random)),
        }
    }
}

/// `IFNAME DOWN [UP]`, a line of `interface_up_down_delays`.
impl Argument for InterfaceDelay {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        let interface = interface(args, word)?;
        if args.peek().is_none() {
            // keepalived passes over it in silence.
            args.reading.diagnostics.push(
                crate::config::diagnostics::Diagnostic::warning(
                    "no-delay",
                    format!("this line sets no delay for {interface}"),
                )
                .at(word.1)
                .label("ignored")
                .help("write the seconds before a loss counts, then those before a return counts"),
            );
            return None;
        }
        let down = Delay::parse(args)?.duration();
        let up = match args.peek() {
            Some(_) => Delay::parse(args)?.duration(),
            None => Duration::ZERO,
        };
        Some(Self { interface, down, up })
    }

    fn print(&self, out: &mut Printed) {
        out.word(self.interface.as_str());
        Delay::of(self.down).print(out);
        if !self.up.is_zero() {
            Delay::of(self.up).print(out);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self {
            interface: super::Interface::sample(random).0,
            down: Delay::sample(random).duration(),
            up: if random.chance(1, 2) { Duration::from_millis(1500) } else { Duration::ZERO },
        }
    }
}

type Delay = super::Seconds<0, 255_000_000>;

/// A line of `virtual_server_group`.
impl Argument for GroupMember {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        if let Some(word) = args.peek().filter(|word| word.0 == "fwmark") {
            args.next();
            args.note_inline(Context::GroupLine, word);
            let word = args.option_value("fwmark")?;
            let mark = u32::try_from(in_range(args, word, 1, u32::MAX.into(), "fwmark")?).ok()?;
            let family = match args.peek() {
                None => Family::Ipv4,
                Some(_) => Family::parse(args)?,
            };
            return Some(Self::FirewallMark(FirewallMark { mark: NonZeroU32::new(mark)?, family }));
        }
        let (text, at) = args.required()?;
        let range = if text.contains('/') {
            network_range(text)
        } else if text.contains('-') {
            parse::address_range(text)
        } else {
            parse::address(text).map(|address| (address, address))
        };
        let Some((first, last)) = range else {
            args.reject(
                at,
                format!("`{text}` is no address, no range (192.0.2.1-9) and no network without host bits"),
            );
            return None;
        };
        if first > last {
            args.reject(at, format!("the range `{text}` runs backwards"));
            return None;
        }
        let port = match args.next() {
            Some(word) => u16::try_from(in_range(args, word, 0, 65535, "port")?).ok()?,
            None => 0,
        };
        let first = HostPort { address: first, port: NonZeroU16::new(port) };
        Some(Self::Addresses { first, further: distance(first.address, last) })
    }

    fn print(&self, out: &mut Printed) {
        match self {
            Self::FirewallMark(FirewallMark { mark, family }) => {
                out.option("fwmark", mark);
                if *family == Family::Ipv6 {
                    family.print(out);
                }
            }
            Self::Addresses { first: HostPort { address, port }, further } => {
                match further {
                    0 => out.value(address),
                    _ => out.value(format_args!("{address}-{}", later(*address, *further))),
                }
                if let Some(port) = port {
                    out.value(port);
                }
            }
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        if random.chance(1, 3) {
            let mark = NonZeroU32::new(7).unwrap();
            return Self::FirewallMark(FirewallMark { mark, family: Family::sample(random) });
        }
        let first = HostPort::sample(random);
        Self::Addresses { first, further: random.below(3) as u32 }
    }
}

words_of! {
    Family { Ipv4 = "inet", Ipv6 = "inet6" }
}

/// How many addresses follow the first; at most `u32::MAX`.
fn distance(first: IpAddr, last: IpAddr) -> u32 {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => last.to_bits().saturating_sub(first.to_bits()),
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            u32::try_from(last.to_bits().saturating_sub(first.to_bits())).unwrap_or(u32::MAX)
        }
        _ => 0,
    }
}

/// The address so many after the first.
fn later(first: IpAddr, further: u32) -> IpAddr {
    match first {
        IpAddr::V4(first) => IpAddr::V4(first.to_bits().saturating_add(further).into()),
        IpAddr::V6(first) => IpAddr::V6(first.to_bits().saturating_add(further.into()).into()),
    }
}

/// First and last address of a network whose host bits are zero.
fn network_range(text: &str) -> Option<(IpAddr, IpAddr)> {
    let prefix: Prefix = parse::full_prefix(text)?;
    if prefix.network() != prefix.address() {
        return None;
    }
    let last = match prefix.address() {
        IpAddr::V4(first) => {
            let host = u32::MAX.checked_shr(prefix.length().into()).unwrap_or(0);
            IpAddr::V4((first.to_bits() | host).into())
        }
        IpAddr::V6(first) => {
            let host = u128::MAX.checked_shr(prefix.length().into()).unwrap_or(0);
            IpAddr::V6((first.to_bits() | host).into())
        }
    };
    Some((prefix.address(), last))
}
