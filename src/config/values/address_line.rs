//! Lines of `virtual_ipaddress`, `virtual_ipaddress_excluded` and `static_ipaddress`.

use core::net::{IpAddr, Ipv4Addr};

use super::address::full_prefix;
use super::parse::{self, PrefixFault};
use super::text::interface;
use super::words::{Args, Argument, Printed};
use crate::config::iproute;
use crate::config::schema::{Context, schema};
use crate::kernel::{self, AddressSpec};
use crate::net::{Family, InterfaceName, Prefix};
#[cfg(test)]
use crate::prng::Prng;

/// One address with its options.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AddressLine {
    /// The address, of full length when none was written, and what the kernel is told with it.
    pub spec: AddressSpec,
    /// `dev`.
    pub interface: Option<InterfaceName>,
    /// `no_track`.
    pub no_track: bool,
    /// `use_vmac`.
    pub use_vmac: bool,
    /// `track_group`.
    pub track_group: Option<Box<str>>,
}

/// What becomes of the address where an option is left out.
const STAYS: &str = "the address stays";

/// `preferred_lft`: `None` = not written, then seconds, or `None` = forever.
type Lifetime = Option<Option<u32>>;

impl AddressLine {
    /// An address without options.
    pub(crate) fn new(prefix: Prefix) -> Self {
        Self {
            spec: AddressSpec::new(prefix),
            interface: None,
            no_track: false,
            use_vmac: false,
            track_group: None,
        }
    }

    /// Reads an option. `None`: the whole line is dropped, as keepalived does where a value is missing, for what
    /// the address would be wrong without (`dev`, `brd`) and for a label that is too long. Any other option that
    /// cannot be used is left out.
    fn option(
        &mut self,
        args: &mut Args<'_>,
        option: super::words::Word<'_>,
        lifetime: &mut Lifetime,
    ) -> Option<()> {
        args.note_inline(Context::AddressLine, option);
        let (name, at) = option;
        let ipv4 = self.spec.prefix.family() == Family::Ipv4;
        let only_ipv4 = |args: &Args<'_>| {
            if !ipv4 {
                args.reject(at, format!("`{name}` is for IPv4 addresses only"));
            }
            ipv4.then_some(())
        };
        let left_out = |args: &Args<'_>, at, message: String| {
            args.reading.diagnostics.push(args.rejection(at, message).label("left out").note(STAYS));
        };
        let no_loss = |args: &Args<'_>, at| {
            let mut diagnostic = args.rejection(at, format!("`{name}` is for IPv4 addresses only"));
            diagnostic.code = "only-ipv4";
            args.reading.diagnostics.push(diagnostic.label("left out").note(STAYS));
        };
        match name {
            "dev" => {
                let word = args.option_value(name)?;
                self.interface = Some(interface(args, word)?);
            }
            "scope" => {
                let word = args.option_value(name)?;
                let number = iproute::lookup(args.reading.host, iproute::Table::Scopes, word.0);
                match number.and_then(|number| u8::try_from(number).ok()) {
                    _ if !ipv4 => no_loss(args, at),
                    Some(number) => self.spec.scope = number,
                    None => left_out(
                        args,
                        word.1,
                        format!("`{}` is no scope: host, link, global or a number", word.0),
                    ),
                }
            }
            "brd" | "broadcast" => {
                let word = args.option_value(name)?;
                only_ipv4(args)?;
                self.spec.broadcast = Some(self.broadcast_address(args, word)?);
            }
            "label" => {
                let (text, at) = args.option_value(name)?;
                if !ipv4 {
                    no_loss(args, option.1);
                } else if text.len() > 15 {
                    args.reject(at, format!("the label `{text}` is too long: at most 15 characters"));
                    return None;
                } else {
                    self.spec.label = Some(text.into());
                }
            }
            "peer" => {
                let word = args.option_value(name)?;
                match parse::address(word.0) {
                    Some(peer) if Family::of(&peer) == self.spec.prefix.family() => {
                        self.spec.peer = Some(Prefix::host(peer));
                    }
                    Some(_) => left_out(
                        args,
                        word.1,
                        format!("the peer must be of the same family as {}", self.spec.prefix),
                    ),
                    None => left_out(args, word.1, format!("`{}` is no address of a peer", word.0)),
                }
            }
            "home" => self.spec.flags.home = true,
            "-nodad" => self.spec.flags.duplicate_address_detection = true,
            "mngtmpaddr" => self.spec.flags.manage_temporary = true,
            "noprefixroute" => self.spec.flags.no_prefix_route = true,
            "autojoin" => self.spec.flags.auto_join = true,
            "preferred_lft" => {
                let word = args.option_value(name)?;
                if word.0 == "forever" {
                    *lifetime = Some(None);
                } else {
                    match parse::integer(word.0).and_then(|seconds| u32::try_from(seconds).ok()) {
                        Some(seconds) => *lifetime = Some(Some(seconds)),
                        None => left_out(
                            args,
                            word.1,
                            format!("`{}` is no lifetime: forever or a number of seconds", word.0),
                        ),
                    }
                }
            }
            "no_track" => self.no_track = true,
            "use_vmac" => self.use_vmac = true,
            "track_group" => self.track_group = Some(args.option_value(name)?.0.into()),
            _ => {
                if parse::prefix(name).is_ok() {
                    args.reading.diagnostics.push(
                        args.rejection(at, format!("`{name}` is another address on the same line"))
                            .help("write one address on a line"),
                    );
                } else {
                    let known: Vec<&str> = schema().names(Context::AddressLine).collect();
                    args.reject_choice(option, &known);
                }
            }
        }
        Some(())
    }

    fn broadcast_address(&self, args: &Args<'_>, (text, at): super::words::Word<'_>) -> Option<Ipv4Addr> {
        let host_bits = u32::MAX.checked_shr(self.spec.prefix.length().into()).unwrap_or(0);
        let (IpAddr::V4(address), sign) = (self.spec.prefix.address(), text) else { return None };
        match sign {
            "+" => Some(Ipv4Addr::from_bits(address.to_bits() | host_bits)),
            "-" => Some(Ipv4Addr::from_bits(address.to_bits() & !host_bits)),
            _ => match parse::address(text) {
                Some(IpAddr::V4(broadcast)) => Some(broadcast),
                _ => {
                    args.reject(
                        at,
                        format!("`{text}` is no broadcast address: write an IPv4 address, + or -"),
                    );
                    None
                }
            },
        }
    }
}

/// An address whose length is full if it has none, or none that can be used.
fn lenient_prefix(args: &Args<'_>, word: super::words::Word<'_>) -> Option<Prefix> {
    let (text, at) = word;
    let Err(PrefixFault::Length(address)) = parse::prefix(text) else { return full_prefix(args, word) };
    let family = Family::of(&address);
    let bits = family.bits();
    args.reading.diagnostics.push(
        args.rejection(at, format!("the prefix length of `{text}` must be from 0 to {bits} for {family}"))
            .label(format!("{bits} is used")),
    );
    Prefix::new(address, bits)
}

impl Argument for AddressLine {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        // An address may also be written after the word "dev" and so on: the address comes first here.
        let mut line = Self::new(lenient_prefix(args, word)?);
        let mut lifetime = None;
        while let Some(option) = args.next() {
            line.option(args, option, &mut lifetime)?;
        }
        if line.spec.peer.is_some() && word.0.contains('/') {
            let address = line.spec.prefix.address();
            args.reading.diagnostics.push(
                args.rejection(word.1, "an address with a peer has no prefix length")
                    .label(format!("{address} is used")),
            );
            line.spec.prefix = Prefix::host(address);
        }
        let default = AddressSpec::new(line.spec.prefix).preferred_lifetime_s;
        line.spec.preferred_lifetime_s = lifetime.unwrap_or(default);
        Some(line)
    }

    fn print(&self, out: &mut Printed) {
        let Self { spec, .. } = self;
        match spec.peer {
            Some(_) => out.value(spec.prefix.address()),
            None => out.value(spec.prefix),
        }
        if let Some(interface) = &self.interface {
            out.option("dev", interface);
        }
        if spec.scope != 0 {
            out.option("scope", kernel::scope_name(spec.scope));
        }
        if let Some(broadcast) = spec.broadcast {
            out.option("brd", broadcast);
        }
        if let Some(label) = &spec.label {
            out.value("label");
            out.word(label);
        }
        if let Some(peer) = spec.peer {
            out.option("peer", peer.address());
        }
        for (set, name) in [
            (spec.flags.home, "home"),
            (spec.flags.duplicate_address_detection, "-nodad"),
            (spec.flags.manage_temporary, "mngtmpaddr"),
            (spec.flags.no_prefix_route, "noprefixroute"),
            (spec.flags.auto_join, "autojoin"),
            (self.no_track, "no_track"),
            (self.use_vmac, "use_vmac"),
        ] {
            if set {
                out.value(name);
            }
        }
        if spec.preferred_lifetime_s != AddressSpec::new(spec.prefix).preferred_lifetime_s {
            match spec.preferred_lifetime_s {
                None => out.option("preferred_lft", "forever"),
                Some(seconds) => out.option("preferred_lft", seconds),
            }
        }
        if let Some(group) = &self.track_group {
            out.value("track_group");
            out.word(group);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let mut prefix = super::address::sample_prefix(random);
        let mut coin = || random.chance(1, 4);
        let peer = coin();
        if peer {
            prefix = Prefix::host(prefix.address());
        }
        let mut spec = AddressSpec::new(prefix);
        spec.peer = peer.then_some(prefix);
        if spec.prefix.family() == Family::Ipv4 {
            spec.scope = if coin() { 253 } else { 0 };
            spec.broadcast = coin().then_some(Ipv4Addr::new(192, 0, 2, 255));
            spec.label = coin().then(|| "eth0:1".into());
        }
        spec.flags.home = coin();
        spec.flags.duplicate_address_detection = coin();
        if coin() {
            spec.preferred_lifetime_s = if coin() { None } else { Some(7) };
        }
        let mut line = Self { spec, ..Self::new(prefix) };
        if coin() {
            line.interface = "eth1".parse().ok();
        }
        line.no_track = coin();
        line.track_group = coin().then(|| "tg".into());
        line
    }
}
