//! Vocabulary of networks: families, interface names and indexes, MAC addresses, prefixes. No I/O.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU32;
use core::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// Number of VRRP among the protocols of both families (RFC 9568 §5.1.1.4, §5.1.2.4).
pub const VRRP_PROTOCOL: u8 = 112;

/// Address family of a virtual router or an address.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Family of an address.
    pub const fn of(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// Bits in an address: 32 or 128.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
        }
    }

    /// Bytes in an address: 4 or 16.
    pub const fn octets(self) -> usize {
        match self {
            Self::Ipv4 => 4,
            Self::Ipv6 => 16,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// Name of a network interface: 1 to 15 bytes, no blank, no slash (`dev_valid_name` in Linux).
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct InterfaceName(Arc<str>);

impl InterfaceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A copy that shares no memory with this one.
    pub(crate) fn detached(&self) -> Self {
        Self(Arc::from(&*self.0))
    }

    /// The same name in a value that can be copied.
    pub(crate) fn packed(&self) -> PackedName {
        let mut bytes = [0; 15];
        for (to, from) in bytes.iter_mut().zip(self.0.bytes()) {
            *to = from;
        }
        PackedName(bytes)
    }
}

/// An [`InterfaceName`] that can be copied; ordered as the names are.
#[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct PackedName([u8; 15]);

impl fmt::Display for PackedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        f.write_str(&String::from_utf8_lossy(&self.0[..end]))
    }
}

impl fmt::Debug for PackedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no [`InterfaceName`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InvalidInterfaceName {
    /// Empty, `.` or `..`.
    Empty,
    /// Longer than 15 bytes.
    TooLong,
    /// Contains a blank, a slash, a colon or a control character.
    BadCharacter,
}

impl fmt::Display for InvalidInterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an interface name cannot be empty, `.` or `..`",
            Self::TooLong => "an interface name has at most 15 characters",
            Self::BadCharacter => "an interface name has no blank, slash, colon or control character",
        })
    }
}

impl Serialize for InterfaceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = InvalidInterfaceName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for InterfaceName {
    type Err = InvalidInterfaceName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if matches!(text, "" | "." | "..") {
            return Err(InvalidInterfaceName::Empty);
        }
        if text.len() > 15 {
            return Err(InvalidInterfaceName::TooLong);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':')) {
            return Err(InvalidInterfaceName::BadCharacter);
        }
        Ok(Self(text.into()))
    }
}

/// The kernel's number of an interface, unique within its network namespace.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct InterfaceIndex(NonZeroU32);

impl InterfaceIndex {
    /// The first of all, in order.
    pub(crate) const LOWEST: Self = Self(NonZeroU32::MIN);

    /// `None` for 0, which the kernel uses for "no interface".
    pub fn new(index: u32) -> Option<Self> {
        NonZeroU32::new(index).map(Self)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// An address with the length of its network prefix, as an interface holds it (`192.0.2.7/24`).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(into = "(IpAddr, u8)", try_from = "(IpAddr, u8)")]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The first of all, in order.
    pub(crate) const LOWEST: Self = Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), length: 0 };

    /// `None` when `length` exceeds the address' bits (32 or 128).
    pub const fn new(address: IpAddr, length: u8) -> Option<Self> {
        if length > Family::of(&address).bits() { None } else { Some(Self { address, length }) }
    }

    /// The address alone, with full length.
    pub const fn host(address: IpAddr) -> Self {
        Self { address, length: Family::of(&address).bits() }
    }

    /// The address, host bits included.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Bits of the network part.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Family of the address.
    pub const fn family(&self) -> Family {
        Family::of(&self.address)
    }

    /// The network's first address.
    pub fn network(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask))
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask))
            }
        }
    }

    /// Whether `address` lies in this network.
    pub fn contains(&self, address: &IpAddr) -> bool {
        Self::new(*address, self.length)
            .is_some_and(|other| other.family() == self.family() && other.network() == self.network())
    }
}

impl From<Prefix> for (IpAddr, u8) {
    fn from(Prefix { address, length }: Prefix) -> Self {
        (address, length)
    }
}

impl TryFrom<(IpAddr, u8)> for Prefix {
    type Error = &'static str;

    fn try_from((address, length): (IpAddr, u8)) -> Result<Self, Self::Error> {
        Self::new(address, length).ok_or("a network prefix is not longer than its address")
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}
