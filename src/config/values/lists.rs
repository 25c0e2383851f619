//! Lines of lists: tracked objects with weights, peers, delays, members.

use core::net::IpAddr;

use super::address::address;
use super::number::in_range;
use super::text::interface;
use super::words::{Args, Argument, Printed};
use super::{choices, parse};
use crate::config::schema::Context;
use crate::net::{Family, InterfaceName, Prefix};
#[cfg(test)]
use crate::prng::Prng;

/// `NUMBER [reverse|noreverse]`, from `-LIMIT` to `LIMIT`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Weight<const LIMIT: i32> {
    /// What is added to the priority; 0 = the router faults.
    pub value: i32,
    /// Whether the sense is turned round.
    pub reverse: bool,
}

impl<const LIMIT: i32> Argument for Weight<LIMIT> {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        let value = in_range(args, word, (-LIMIT).into(), LIMIT.into(), "weight")?;
        let reverse = args.accept("reverse");
        // Only `FILE_CHECK` has a weight above it that may be reversed.
        let found = reverse || args.keyword.arguments.contains("noreverse") && args.accept("noreverse");
        if let (false, Some(word)) = (found, args.next()) {
            args.reject_choice(word, &["reverse"]);
        }
        Some(Self { value: i32::try_from(value).ok()?, reverse })
    }

    fn print(&self, out: &mut Printed) {
        out.value(self.value);
        if self.reverse {
            out.value("reverse");
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let span = u64::try_from(LIMIT.min(1000)).unwrap();
        let value = i32::try_from(random.below(2 * span + 1)).unwrap() - i32::try_from(span).unwrap();
        Self { value, reverse: random.chance(1, 2) }
    }
}

/// The weight of a BFD session or interface.
pub type BfdWeight = Weight<253>;

/// `NAME [weight N [reverse|noreverse]]`, a line of `track_script` and the like.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrackedName<const LIMIT: i32> {
    /// What is tracked.
    pub name: Box<str>,
    /// Its own weight; `None` = that of its definition.
    pub weight: Option<TrackedWeight>,
}

/// `weight N [reverse|noreverse]` of a [`TrackedName`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TrackedWeight {
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
pub struct UnicastPeer {
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

choices! {
    /// How a link is asked for its carrier.
    LinkbeatMethod { /// MII.
        Mii = "MII", /// ethtool.
        Ethtool = "ETHTOOL", /// The interface flags.
        Ioctl = "IOCTL" }
}

/// `IFNAME [MII|ETHTOOL|IOCTL]`, a line of `linkbeat_interfaces`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkbeatInterface {
    /// The interface.
    pub interface: InterfaceName,
    /// The method.
    pub method: Option<LinkbeatMethod>,
}

impl Argument for LinkbeatInterface {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        let interface = interface(args, word)?;
        let method = match args.peek() {
            Some(_) => Some(LinkbeatMethod::parse(args)?),
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
            method: random.chance(1, 2).then(|| LinkbeatMethod::sample(random)),
        }
    }
}

/// `IFNAME DOWN [UP]`, a line of `interface_up_down_delays`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InterfaceDelay {
    /// The interface.
    pub interface: InterfaceName,
    /// Before a loss counts, in microseconds.
    pub down_us: u64,
    /// Before a return counts, in microseconds.
    pub up_us: Option<u64>,
}

impl Argument for InterfaceDelay {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        let interface = interface(args, word)?;
        if args.peek().is_none() {
            // keepalived passes over it in silence.
            args.cx.diagnostics.push(
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
        let down_us = super::Seconds::<0, 255_000_000>::parse(args)?.0;
        let up_us = match args.peek() {
            Some(_) => Some(super::Seconds::<0, 255_000_000>::parse(args)?.0),
            None => None,
        };
        Some(Self { interface, down_us, up_us })
    }

    fn print(&self, out: &mut Printed) {
        out.word(self.interface.as_str());
        super::Micros::<0, 255_000_000, 6>(self.down_us).print(out);
        if let Some(up_us) = self.up_us {
            super::Micros::<0, 255_000_000, 6>(up_us).print(out);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self {
            interface: super::Interface::sample(random).0,
            down_us: random.below(255_000_000),
            up_us: random.chance(1, 2).then_some(1_500_000),
        }
    }
}

/// A line of `virtual_server_group`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GroupEndpoint {
    /// Addresses from the first to the last, and the port.
    Addresses {
        /// First address.
        first: IpAddr,
        /// Last address.
        last: IpAddr,
        /// Port; 0 = any.
        port: u16,
    },
    /// A firewall mark.
    Mark {
        /// The mark.
        mark: u32,
        /// `inet` or `inet6`.
        family: Option<Family>,
    },
}

impl Argument for GroupEndpoint {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        if let Some(word) = args.peek().filter(|word| word.0 == "fwmark") {
            args.next();
            args.note_inline(Context::GroupLine, word);
            let word = args.option_value("fwmark")?;
            let mark = u32::try_from(in_range(args, word, 1, u32::MAX.into(), "fwmark")?).ok()?;
            let family = match args.next() {
                None => None,
                Some(("inet", _)) => Some(Family::Ipv4),
                Some(("inet6", _)) => Some(Family::Ipv6),
                Some(word) => {
                    args.reject_choice(word, &["inet", "inet6"]);
                    return None;
                }
            };
            return Some(Self::Mark { mark, family });
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
        Some(Self::Addresses { first, last, port })
    }

    fn print(&self, out: &mut Printed) {
        match self {
            Self::Mark { mark, family } => {
                out.option("fwmark", mark);
                match family {
                    Some(Family::Ipv4) => out.value("inet"),
                    Some(Family::Ipv6) => out.value("inet6"),
                    None => {}
                }
            }
            Self::Addresses { first, last, port } => {
                if first == last {
                    out.value(first)
                } else {
                    out.value(format_args!("{first}-{last}"))
                }
                if *port != 0 {
                    out.value(port);
                }
            }
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        if random.chance(1, 3) {
            return Self::Mark { mark: 7, family: random.chance(1, 2).then_some(Family::Ipv6) };
        }
        let first = super::Address::sample(random).0;
        Self::Addresses { first, last: first, port: u16::try_from(random.below(65536)).unwrap() }
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
