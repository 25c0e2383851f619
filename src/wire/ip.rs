//! IPv4 and IPv6 headers (RFC 791, RFC 8200).

/// Protocol number of VRRP in both families (RFC 9568 §5.1.1.4, §5.1.2.4).
pub const VRRP_PROTOCOL: u8 = 112;
