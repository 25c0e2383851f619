//! Generic netlink (`linux/genetlink.h`): protocols that the kernel numbers as they are loaded.

use netlink_packet_generic::constants::{CTRL_ATTR_FAMILY_ID, GENL_HDRLEN};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlMessage};

use super::datagram::{attributes, u16_at};
use super::transport::NetlinkSocket;
use crate::kernel::KernelError;

/// The number of a family in this kernel, which may load a module for it.
///
/// # Errors
/// In the kernel's words; ENOENT where it has none.
pub(super) fn family_number<F: GenlFamily>(socket: &mut NetlinkSocket) -> Result<u16, KernelError> {
    let name = GenlCtrlAttrs::FamilyName(F::family_name().to_owned());
    let request = GenlMessage::from_payload(GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: vec![name] });
    let numbers = socket.query(request, |_, body| {
        let (_, value) = attributes(content(body)?).find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_ID)?;
        u16_at(value, 0)
    })?;
    let unknown = || KernelError { errno: libc::ENOENT, message: "it does not say its number".to_owned() };
    numbers.first().copied().ok_or_else(unknown)
}

/// What follows the header (`struct genlmsghdr`).
pub(super) fn content(body: &[u8]) -> Option<&[u8]> {
    body.get(GENL_HDRLEN..)
}
