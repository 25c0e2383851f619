//! nftables by netlink (`linux/netfilter/nf_tables.h`): tables, sets, rules, changed in transactions.
//!
//! Own code: no library of a fitting licence speaks this part of netlink. Only what the daemon's own tables need.

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::Batch;
use super::datagram::attributes;
use super::encode::Attributes;
use super::transport::{NetlinkSocket, Options, RawMessage};
use crate::kernel::KernelError;
use crate::net::{Family, InterfaceIndex};

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENTS: u16 = 12;
const DELETE_ELEMENTS: u16 = 14;

const CREATE: u16 = netlink_packet_core::NLM_F_CREATE;
const APPEND: u16 = netlink_packet_core::NLM_F_APPEND;

/// For the `nft` tool: numbers of interfaces are in the order of this machine. `NFTNL_UDATA_SET_KEYBYTEORDER` and
/// `NFTNL_UDATA_SET_DATABYTEORDER`, each with its length and a number.
const BYTE_ORDERS: [u8; 12] = {
    let [a, b, c, d] = 1u32.to_ne_bytes();
    [0, 4, a, b, c, d, 1, 4, a, b, c, d]
};

/// The same of addresses.
const NETWORK_ORDER: [u8; 12] = {
    let [a, b, c, d] = 2u32.to_ne_bytes();
    [0, 4, a, b, c, d, 1, 4, a, b, c, d]
};

/// Requests and answers are small.
const QUEUE_BYTES: usize = 1 << 20;

/// Longest comment of a table, in bytes (`NFTNL_UDATA_COMMENT_MAXLEN` is 128).
const MARK_MAX: usize = 120;

/// A table that somebody has built.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HeldTable {
    pub(crate) family: Family,
    pub(crate) name: String,
    /// Its comment; empty if it has none.
    pub(crate) mark: String,
}

impl HeldTable {
    /// Whether its comment is this one, as far as that fits.
    pub(crate) fn is_marked(&self, mark: &str) -> bool {
        !self.mark.is_empty() && mark.chars().take(MARK_MAX).filter(char::is_ascii).eq(self.mark.chars())
    }

    /// Nothing of those of other families.
    fn read(body: &[u8]) -> Option<Self> {
        let (head, rest) = body.split_at_checked(4)?;
        let family = match i32::from(*head.first()?) {
            libc::NFPROTO_IPV4 => Family::Ipv4,
            libc::NFPROTO_IPV6 => Family::Ipv6,
            _ => return None,
        };
        let mut table = Self { family, name: String::new(), mark: String::new() };
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
        };
        for (kind, content) in attributes(rest) {
            match (kind, content) {
                (1, name) => table.name = text(name),
                (6, [0, _, comment @ ..]) => table.mark = text(comment),
                _ => {}
            }
        }
        Some(table)
    }
}

/// What the keys and values of a set are, with their numbers in the `nft` tool and their lengths.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DataType {
    /// The number of an interface.
    Interface,
    /// The number of an interface and an IPv6 address.
    InterfaceAndAddress,
    /// An address.
    Address(Family),
}

impl DataType {
    const fn number(self) -> u32 {
        const INTERFACE: u32 = 20;
        match self {
            Self::Interface => INTERFACE,
            Self::InterfaceAndAddress => INTERFACE << 6 | 8,
            Self::Address(Family::Ipv4) => 7,
            Self::Address(Family::Ipv6) => 8,
        }
    }

    const fn length(self) -> u32 {
        match self {
            Self::Interface => 4,
            Self::InterfaceAndAddress => 20,
            Self::Address(Family::Ipv4) => 4,
            Self::Address(Family::Ipv6) => 16,
        }
    }
}

/// One of the kernel's registers of 4 bytes, 0 to 15 (`NFT_REG32_00` …).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Register(pub(crate) u32);

impl Register {
    const fn number(self) -> u32 {
        8 + self.0
    }
}

/// A part of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Header {
    /// From the IP header on.
    Network,
    /// From what follows the IP header and its extensions on.
    Transport,
}

/// A step of a rule. One that does not apply ends the rule.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expression<'a> {
    /// The protocol that follows the IP headers, 1 byte, into a register.
    Protocol(Register),
    /// The number of the interface that the packet leaves by.
    OutputInterface(Register),
    /// Bytes of the packet: from this place, so many, into registers from this one on.
    Payload(Header, u32, u32, Register),
    /// The bytes of these registers are these.
    Equals(Register, &'a [u8]),
    /// What begins in this register is in a set.
    In(&'a str, Register),
    /// What begins in this register is a key of a map, whose value goes into it.
    Map(&'a str, Register),
    /// A copy of the packet goes to the address in the first register, by the interface in the second.
    Duplicate(Register, Register),
    /// Packets that come so far are counted.
    Count,
    /// The packet goes no further.
    Drop,
    /// The packet passes this chain.
    Accept,
}

/// `IPPROTO_ICMPV6`.
const ICMPV6: u8 = 58;

impl<'a> Expression<'a> {
    /// Whether it does something to the packet.
    const fn acts(&self) -> bool {
        matches!(self, Self::Duplicate(..) | Self::Drop | Self::Accept)
    }

    /// The steps by which a rule is for ICMPv6 messages of this type alone.
    pub(crate) const fn icmpv6(register: Register, kind: &'a [u8]) -> [Self; 4] {
        [
            Self::Protocol(register),
            Self::Equals(register, &[ICMPV6]),
            Self::Payload(Header::Transport, 0, 1, register),
            Self::Equals(register, kind),
        ]
    }
}

/// Where a chain stands (`NF_INET_*`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hook {
    /// Packets to this host.
    Input,
    /// Packets from this host.
    Output,
}

/// Changes that all happen, or none of them.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    batch: Batch,
}

impl Default for Transaction {
    fn default() -> Self {
        let mut batch = Batch::default();
        batch.push(RawMessage { kind: BATCH_BEGIN, body: &head(0, SUBSYSTEM) }, 0);
        Self { batch }
    }
}

impl Transaction {
    /// A table, if it is not there.
    pub(crate) fn table(&mut self, family: Family, name: &str) {
        self.push(family, NEW_TABLE, CREATE, |message| {
            message.text(1, name);
        });
    }

    /// The same, with a comment that says whose it is, of at most 120 bytes (`NFTA_TABLE_USERDATA`, Linux 5.10; before, there
    /// is none).
    pub(crate) fn marked_table(&mut self, family: Family, name: &str, mark: &str) {
        let kept: String = mark.chars().take(MARK_MAX).filter(char::is_ascii).collect();
        // NFTNL_UDATA_TABLE_COMMENT, with a length of one byte.
        let length = u8::try_from(kept.len() + 1).unwrap_or(0);
        let comment = [&[0, length], kept.as_bytes(), &[0]].concat();
        self.push(family, NEW_TABLE, CREATE, |message| {
            message.text(1, name).put(6, &comment);
        });
    }

    /// Removes a table with all that is in it.
    pub(crate) fn delete_table(&mut self, family: Family, name: &str) {
        self.push(family, DELETE_TABLE, 0, |message| {
            message.text(1, name);
        });
    }

    /// A set, or with a type of values a map.
    pub(crate) fn set(
        &mut self,
        family: Family,
        table: &str,
        name: &str,
        key: DataType,
        value: Option<DataType>,
    ) {
        const IS_MAP: u32 = 8;
        const IS_CONCATENATED: u32 = 0x80;
        let concatenated = if key == DataType::InterfaceAndAddress { IS_CONCATENATED } else { 0 };
        let flags = concatenated | if value.is_some() { IS_MAP } else { 0 };
        self.push(family, NEW_SET, CREATE, |message| {
            message.text(1, table).text(2, name).big_endian(3, flags);
            message.big_endian(4, key.number()).big_endian(5, key.length());
            if let Some(value) = value {
                message.big_endian(6, value.number()).big_endian(7, value.length());
            }
            // Within the transaction; names tell sets apart here.
            let addresses = matches!(key, DataType::Address(_));
            message.big_endian(10, 1).put(13, if addresses { &NETWORK_ORDER } else { &BYTE_ORDERS });
            if concatenated != 0 {
                // NFTA_SET_DESC, its NFTA_SET_DESC_CONCAT: the lengths of the parts.
                message.nest(9, |description| {
                    description.nest(2, |parts| {
                        for length in [4, 16] {
                            parts.nest(1, |part| {
                                part.big_endian(1, length);
                            });
                        }
                    });
                });
            }
        });
    }

    /// A chain of filters that lets pass what it does not drop. `priority`: its place among the chains at its hook; 0 is
    /// that of ordinary filters (`NF_IP_PRI_FILTER`).
    pub(crate) fn chain(&mut self, family: Family, table: &str, name: &str, hook: Hook, priority: i32) {
        let number = match hook {
            Hook::Input => 1,
            Hook::Output => 3,
        };
        self.push(family, NEW_CHAIN, CREATE, |message| {
            message.text(1, table).text(3, name).nest(4, |hook| {
                hook.big_endian(1, number).put(2, &priority.to_be_bytes());
            });
            message.text(7, "filter");
        });
    }

    /// A rule at the end of a chain. `counted`: it counts the packets for which it does something.
    pub(crate) fn rule(
        &mut self,
        family: Family,
        table: &str,
        chain: &str,
        steps: &[Expression<'_>],
        counted: bool,
    ) {
        let acts = steps.iter().position(Expression::acts).unwrap_or(steps.len());
        let (conditions, effects) = steps.split_at(acts);
        let counter = counted.then_some(&Expression::Count);
        self.push(family, NEW_RULE, CREATE | APPEND, |message| {
            message.text(1, table).text(2, chain).nest(4, |list| {
                for step in conditions.iter().chain(counter).chain(effects) {
                    list.nest(1, |element| expression(element, *step));
                }
            });
        });
    }

    /// An element of a set, or of a map with its value.
    pub(crate) fn add(&mut self, family: Family, table: &str, set: &str, key: &[u8], value: Option<&[u8]>) {
        self.elements(family, NEW_ELEMENTS, CREATE, table, set, key, value);
    }

    /// Takes an element out of a set.
    pub(crate) fn remove(&mut self, family: Family, table: &str, set: &str, key: &[u8]) {
        self.elements(family, DELETE_ELEMENTS, 0, table, set, key, None);
    }

    #[expect(clippy::too_many_arguments, reason = "what an element consists of")]
    fn elements(
        &mut self,
        family: Family,
        kind: u16,
        flags: u16,
        table: &str,
        set: &str,
        key: &[u8],
        value: Option<&[u8]>,
    ) {
        self.push(family, kind, flags, |message| {
            message.text(1, table).text(2, set).nest(3, |list| {
                list.nest(1, |element| {
                    element.nest(1, |data| {
                        data.put(1, key);
                    });
                    if let Some(value) = value {
                        element.nest(2, |data| {
                            data.put(1, value);
                        });
                    }
                });
            });
        });
    }

    fn push(&mut self, family: Family, kind: u16, flags: u16, fill: impl FnOnce(&mut Attributes)) {
        let family = match family {
            Family::Ipv4 => libc::NFPROTO_IPV4,
            Family::Ipv6 => libc::NFPROTO_IPV6,
        };
        let mut message = Attributes::after(head(family as u8, 0));
        fill(&mut message);
        self.batch.push(RawMessage { kind: SUBSYSTEM << 8 | kind, body: &message.into_bytes() }, flags);
    }
}

/// `struct nfgenmsg`.
fn head(family: u8, resource: u16) -> Vec<u8> {
    let [high, low] = resource.to_be_bytes();
    vec![family, 0, high, low]
}

fn expression(element: &mut Attributes, step: Expression<'_>) {
    const META_OUTPUT_INTERFACE: u32 = 5;
    const META_PROTOCOL: u32 = 16;
    let mut of = |name: &str, fill: &dyn Fn(&mut Attributes)| {
        element.text(1, name).nest(2, |data| fill(data));
    };
    match step {
        Expression::Protocol(to) => of("meta", &|data| {
            data.big_endian(1, to.number()).big_endian(2, META_PROTOCOL);
        }),
        Expression::OutputInterface(to) => of("meta", &|data| {
            data.big_endian(1, to.number()).big_endian(2, META_OUTPUT_INTERFACE);
        }),
        Expression::Payload(header, offset, length, to) => of("payload", &|data| {
            let base = match header {
                Header::Network => 1,
                Header::Transport => 2,
            };
            data.big_endian(1, to.number()).big_endian(2, base);
            data.big_endian(3, offset).big_endian(4, length);
        }),
        Expression::Equals(register, bytes) => of("cmp", &|data| {
            // NFT_CMP_EQ.
            data.big_endian(1, register.number()).big_endian(2, 0).nest(3, |value| {
                value.put(1, bytes);
            });
        }),
        Expression::In(set, register) => of("lookup", &|data| {
            data.text(1, set).big_endian(2, register.number());
        }),
        Expression::Map(set, register) => of("lookup", &|data| {
            data.text(1, set).big_endian(2, register.number()).big_endian(3, register.number());
        }),
        Expression::Duplicate(address, interface) => of("dup", &|data| {
            data.big_endian(1, address.number()).big_endian(2, interface.number());
        }),
        Expression::Count => of("counter", &|_| {}),
        Expression::Drop => of("immediate", &|data| verdict(data, NF_DROP)),
        Expression::Accept => of("immediate", &|data| verdict(data, NF_ACCEPT)),
    }
}

const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;

fn verdict(data: &mut Attributes, code: u32) {
    const VERDICT_REGISTER: u32 = 0;
    data.big_endian(1, VERDICT_REGISTER).nest(2, |value| {
        value.nest(2, |verdict| {
            verdict.big_endian(1, code);
        });
    });
}

/// The key of an interface in a set.
pub(crate) fn interface_key(index: InterfaceIndex) -> [u8; 4] {
    index.get().to_ne_bytes()
}

/// A blocking `NETLINK_NETFILTER` socket.
#[derive(Debug)]
pub(crate) struct NftablesSocket(NetlinkSocket);

impl NftablesSocket {
    /// Opens it in the calling thread's network namespace, where it stays.
    ///
    /// # Errors
    /// In the kernel's words; EPROTONOSUPPORT where it has no netfilter.
    pub(crate) fn open() -> Result<Self, KernelError> {
        let options = Options {
            protocol: NETLINK_NETFILTER,
            groups: &[],
            receive_queue: QUEUE_BYTES,
            send_queue: QUEUE_BYTES,
        };
        NetlinkSocket::open(options).map(Self)
    }

    /// Carries a transaction out.
    ///
    /// # Errors
    /// The first refusal; nothing has changed then.
    pub(crate) fn commit(&mut self, transaction: Transaction) -> Result<(), KernelError> {
        let mut batch = transaction.batch;
        batch.push(RawMessage { kind: BATCH_END, body: &head(0, SUBSYSTEM) }, 0);
        self.0.transact(batch)
    }

    /// All tables of both families, whoever built them.
    ///
    /// # Errors
    /// In the kernel's words.
    pub(crate) fn tables(&mut self) -> Result<Vec<HeldTable>, KernelError> {
        let request = RawMessage { kind: SUBSYSTEM << 8 | GET_TABLE, body: &head(0, 0) };
        self.0.dump(request, |_, body| HeldTable::read(body))
    }
}
