//! Asking for the carrier of an interface, where the kernel does not tell by itself: `linkbeat_interfaces`.
//!
//! Each of these questions may take the kernel's big network lock, and a transceiver's register is read over a slow bus.

#![allow(unsafe_code)]

use std::io;
use std::mem::zeroed;
use std::os::fd::AsRawFd;

use libc::{c_char, c_int, c_ulong, ifreq};
use socket2::{Domain, Socket, Type};

use crate::net::InterfaceName;

/// `ETHTOOL_GLINK`, of `linux/ethtool.h`.
const ETHTOOL_GET_LINK: u32 = 0x0a;
/// `MII_BMSR` and `BMSR_LSTATUS`, of `linux/mii.h`.
const MII_STATUS: u16 = 1;
const MII_LINK: u16 = 4;
/// `SIOCGMIIPHY` and `SIOCGMIIREG`, of `linux/sockios.h`.
const GET_MII_ADDRESS: c_ulong = 0x8947;
const GET_MII_REGISTER: c_ulong = 0x8948;
/// `SIOCETHTOOL`.
const ETHTOOL: c_ulong = 0x8946;

/// How to ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Question {
    /// The status register of the transceiver.
    Mii,
    /// The driver.
    Ethtool,
    /// The flag `IFF_RUNNING`, which every interface has.
    Flags,
}

/// A socket to ask with, in the network namespace where it was opened.
#[derive(Debug)]
pub struct CarrierSocket(Socket);

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// `struct mii_ioctl_data`.
#[repr(C)]
#[derive(Clone, Copy)]
struct MiiData {
    address: u16,
    register: u16,
    value_in: u16,
    value_out: u16,
}

impl CarrierSocket {
    /// Of the calling thread's network namespace.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn open() -> io::Result<Self> {
        Ok(Self(Socket::new(Domain::IPV4, Type::DGRAM, None)?))
    }

    /// Whether the interface has a carrier.
    ///
    /// # Errors
    /// When there is no such interface, or it does not know this question.
    pub fn has_carrier(&self, interface: &InterfaceName, question: Question) -> io::Result<bool> {
        match question {
            Question::Mii => self.ask_transceiver(interface),
            Question::Ethtool => self.ask_driver(interface),
            Question::Flags => self.ask_flags(interface),
        }
    }

    fn ask_flags(&self, interface: &InterfaceName) -> io::Result<bool> {
        let mut request = request(interface);
        self.ask(libc::SIOCGIFFLAGS as c_ulong, &mut request)?;
        // SAFETY: the kernel has filled this member in.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        Ok(c_int::from(flags) & libc::IFF_RUNNING != 0)
    }

    fn ask_driver(&self, interface: &InterfaceName) -> io::Result<bool> {
        let mut value = EthtoolValue { command: ETHTOOL_GET_LINK, data: 0 };
        let mut request = request(interface);
        request.ifr_ifru.ifru_data = (&raw mut value).cast::<c_char>();
        self.ask(ETHTOOL, &mut request)?;
        Ok(value.data != 0)
    }

    fn ask_transceiver(&self, interface: &InterfaceName) -> io::Result<bool> {
        let mut request = request(interface);
        self.ask(GET_MII_ADDRESS, &mut request)?;
        let data = (&raw mut request.ifr_ifru).cast::<MiiData>();
        // SAFETY: the union is longer than these eight bytes, aligned as a pointer, and they are numbers.
        unsafe { (*data).register = MII_STATUS };
        self.ask(GET_MII_REGISTER, &mut request)?;
        // SAFETY: as above.
        let value = unsafe { (*data).value_out };
        Ok(value & MII_LINK != 0)
    }

    fn ask(&self, number: c_ulong, request: &mut ifreq) -> io::Result<()> {
        // SAFETY: each of these requests takes a pointer to this struct, which lives until the call returns.
        match unsafe { libc::ioctl(self.0.as_raw_fd(), number as _, request) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

fn request(interface: &InterfaceName) -> ifreq {
    // SAFETY: a struct of numbers and a union of numbers and pointers, of which 0 is a valid value.
    let mut request: ifreq = unsafe { zeroed() };
    // At most 15 bytes, so that a NUL follows.
    for (to, from) in request.ifr_name.iter_mut().zip(interface.as_str().bytes()) {
        *to = from as c_char;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_flags_and_no_transceiver() {
        let socket = CarrierSocket::open().unwrap();
        let lo: InterfaceName = "lo".parse().unwrap();
        assert!(socket.has_carrier(&lo, Question::Flags).is_ok());
        assert!(socket.has_carrier(&lo, Question::Ethtool).is_ok());
        let error = socket.has_carrier(&lo, Question::Mii).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
        let none = socket.has_carrier(&"no-such".parse().unwrap(), Question::Flags).unwrap_err();
        assert_eq!(none.raw_os_error(), Some(libc::ENODEV));
    }
}
