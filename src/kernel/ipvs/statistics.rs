//! What IPVS counts.

/// Counters since the start, and rates of the last seconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Statistics {
    /// Connections that were scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub incoming_packets: u64,
    /// Packets to clients, where they come back through the director.
    pub outgoing_packets: u64,
    /// Bytes from clients.
    pub incoming_bytes: u64,
    /// Bytes to clients.
    pub outgoing_bytes: u64,
    /// Connections in a second.
    pub connection_rate: u64,
    /// Packets from clients in a second.
    pub incoming_packet_rate: u64,
    /// Packets to clients in a second.
    pub outgoing_packet_rate: u64,
    /// Bytes from clients in a second.
    pub incoming_byte_rate: u64,
    /// Bytes to clients in a second.
    pub outgoing_byte_rate: u64,
}
