//! ARP over Ethernet (RFC 826): gratuitous requests, by which a master tells the hosts of the LAN where its
//! addresses are now (RFC 9568 §6.4.1, RFC 5227 §3).

use core::net::Ipv4Addr;

use etherparse::{ArpEthIpv4Packet, ArpOperation, ArpPacket, EtherType, Ethernet2Header};

use crate::net::MacAddress;

/// Bytes in an ARP frame, without padding and check sequence.
pub const FRAME_LENGTH: usize = Ethernet2Header::LEN + ArpEthIpv4Packet::LEN;

/// The operation of an ARP packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// 1: who has the target address?
    Request,
    /// 2: the sender address is here.
    Reply,
}

/// An ARP packet for IPv4 in its Ethernet frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ArpFrame {
    /// Destination of the frame.
    pub destination: MacAddress,
    /// Source of the frame, normally the sender's MAC.
    pub source: MacAddress,
    /// What it asks or says.
    pub operation: Operation,
    /// MAC of [`ArpFrame::sender`]: what the hosts remember.
    pub sender_mac: MacAddress,
    /// The address that the sender speaks for.
    pub sender: Ipv4Addr,
    /// MAC of the target; ignored in requests.
    pub target_mac: MacAddress,
    /// The address asked for.
    pub target: Ipv4Addr,
}

impl ArpFrame {
    /// The announcement of `address` as keepalived sends it: a broadcast request whose sender and target are
    /// both `address`, and whose target MAC is the broadcast address.
    pub const fn gratuitous(mac: MacAddress, address: Ipv4Addr) -> Self {
        Self {
            destination: MacAddress::BROADCAST,
            source: mac,
            operation: Operation::Request,
            sender_mac: mac,
            sender: address,
            target_mac: MacAddress::BROADCAST,
            target: address,
        }
    }

    /// The same as a broadcast reply (RFC 5227 §3), which tells as much and is answered by nobody.
    pub const fn gratuitous_reply(mac: MacAddress, address: Ipv4Addr) -> Self {
        Self { operation: Operation::Reply, target_mac: mac, ..Self::gratuitous(mac, address) }
    }

    /// Whether it announces the sender's own address, as request or as reply (RFC 5227 §3).
    pub fn is_gratuitous(&self) -> bool {
        self.sender == self.target
    }

    /// The bytes of the frame.
    pub fn encode(&self) -> [u8; FRAME_LENGTH] {
        let ethernet = Ethernet2Header {
            source: self.source.0,
            destination: self.destination.0,
            ether_type: EtherType::ARP,
        };
        let packet = ArpEthIpv4Packet {
            operation: match self.operation {
                Operation::Request => ArpOperation::REQUEST,
                Operation::Reply => ArpOperation::REPLY,
            },
            sender_mac: self.sender_mac.0,
            sender_ipv4: self.sender.octets(),
            target_mac: self.target_mac.0,
            target_ipv4: self.target.octets(),
        };
        let mut frame = [0; FRAME_LENGTH];
        frame[..Ethernet2Header::LEN].copy_from_slice(&ethernet.to_bytes());
        frame[Ethernet2Header::LEN..].copy_from_slice(&packet.to_bytes());
        frame
    }

    /// Reads an untagged Ethernet frame; `None` unless it is an ARP request or reply for IPv4.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (ethernet, payload) = Ethernet2Header::from_slice(frame).ok()?;
        if ethernet.ether_type != EtherType::ARP {
            return None;
        }
        let packet = ArpPacket::from_slice(payload).ok()?.try_eth_ipv4().ok()?;
        Some(Self {
            destination: MacAddress(ethernet.destination),
            source: MacAddress(ethernet.source),
            operation: match packet.operation {
                ArpOperation::REQUEST => Operation::Request,
                ArpOperation::REPLY => Operation::Reply,
                _ => return None,
            },
            sender_mac: MacAddress(packet.sender_mac),
            sender: packet.sender_ipv4_addr(),
            target_mac: MacAddress(packet.target_mac),
            target: packet.target_ipv4_addr(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x0a]);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 52);
    const BYTES: &[u8; FRAME_LENGTH] = b"\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x0a\x08\x06\
        \x00\x01\x08\x00\x06\x04\x00\x01\x02\0\0\0\0\x0a\xc0\x00\x02\x34\xff\xff\xff\xff\xff\xff\xc0\x00\x02\x34";

    #[test]
    fn gratuitous_request_goes_there_and_back() {
        let frame = ArpFrame::gratuitous(MAC, ADDRESS);
        assert_eq!(frame.encode(), *BYTES);
        assert_eq!(ArpFrame::parse(BYTES), Some(frame));
        assert!(frame.is_gratuitous());
        let padded = [&BYTES[..], &[0; 18]].concat();
        assert_eq!(ArpFrame::parse(&padded), Some(frame));
    }

    #[test]
    fn replies_are_read_too() {
        let reply = ArpFrame {
            destination: MAC,
            operation: Operation::Reply,
            target_mac: MAC,
            target: Ipv4Addr::new(192, 0, 2, 1),
            ..ArpFrame::gratuitous(MacAddress([2, 0, 0, 0, 0, 11]), ADDRESS)
        };
        assert_eq!(ArpFrame::parse(&reply.encode()), Some(reply));
        assert!(!reply.is_gratuitous());
        let reply = ArpFrame::gratuitous_reply(MAC, ADDRESS);
        assert_eq!(ArpFrame::parse(&reply.encode()), Some(reply));
        assert!(reply.is_gratuitous() && reply.operation == Operation::Reply);
    }

    #[test]
    fn anything_else_is_none() {
        for length in 0..FRAME_LENGTH {
            assert_eq!(ArpFrame::parse(&BYTES[..length]), None, "cut after {length} bytes");
        }
        // Ethernet type, hardware type, protocol type, their lengths, operation.
        for index in [12, 13, 14, 15, 16, 17, 18, 19, 20, 21] {
            let mut frame = *BYTES;
            frame[index] ^= 0x80;
            assert_eq!(ArpFrame::parse(&frame), None, "byte {index} changed");
        }
    }
}
