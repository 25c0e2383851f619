//! Numbers of `linux/ip_vs.h`.

/// `IPVS_CMD_*`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Command {
    NewService = 1,
    SetService = 2,
    DeleteService = 3,
    GetService = 4,
    NewDestination = 5,
    SetDestination = 6,
    DeleteDestination = 7,
    GetDestination = 8,
    NewDaemon = 9,
    DeleteDaemon = 10,
    GetDaemon = 11,
    SetConfiguration = 12,
    GetConfiguration = 13,
    GetInformation = 15,
    Zero = 16,
    Flush = 17,
}

/// `IPVS_CMD_ATTR_*`.
pub(super) mod command {
    pub(in super::super) const SERVICE: u16 = 1;
    pub(in super::super) const DESTINATION: u16 = 2;
    pub(in super::super) const DAEMON: u16 = 3;
    pub(in super::super) const TIMEOUT_TCP: u16 = 4;
    pub(in super::super) const TIMEOUT_TCP_FIN: u16 = 5;
    pub(in super::super) const TIMEOUT_UDP: u16 = 6;
}

/// `IPVS_SVC_ATTR_*`.
pub(super) mod service {
    pub(in super::super) const FAMILY: u16 = 1;
    pub(in super::super) const PROTOCOL: u16 = 2;
    pub(in super::super) const ADDRESS: u16 = 3;
    pub(in super::super) const PORT: u16 = 4;
    pub(in super::super) const MARK: u16 = 5;
    pub(in super::super) const SCHEDULER: u16 = 6;
    pub(in super::super) const FLAGS: u16 = 7;
    pub(in super::super) const TIMEOUT: u16 = 8;
    pub(in super::super) const NETMASK: u16 = 9;
    pub(in super::super) const STATISTICS: u16 = 10;
    pub(in super::super) const ENGINE: u16 = 11;
    pub(in super::super) const STATISTICS_64: u16 = 12;

    /// `IP_VS_SVC_F_*`.
    pub(in super::super) mod flag {
        pub(in super::super::super) const PERSISTENT: u32 = 0x01;
        pub(in super::super::super) const ONE_PACKET: u32 = 0x04;
        pub(in super::super::super) const SCHEDULER_1: u32 = 0x08;
        pub(in super::super::super) const SCHEDULER_2: u32 = 0x10;
        pub(in super::super::super) const SCHEDULER_3: u32 = 0x20;
    }
}

/// `IPVS_DEST_ATTR_*`.
pub(super) mod destination {
    pub(in super::super) const ADDRESS: u16 = 1;
    pub(in super::super) const PORT: u16 = 2;
    pub(in super::super) const METHOD: u16 = 3;
    pub(in super::super) const WEIGHT: u16 = 4;
    pub(in super::super) const UPPER_THRESHOLD: u16 = 5;
    pub(in super::super) const LOWER_THRESHOLD: u16 = 6;
    pub(in super::super) const ACTIVE: u16 = 7;
    pub(in super::super) const INACTIVE: u16 = 8;
    pub(in super::super) const PERSISTENT: u16 = 9;
    pub(in super::super) const STATISTICS: u16 = 10;
    pub(in super::super) const FAMILY: u16 = 11;
    pub(in super::super) const STATISTICS_64: u16 = 12;
    pub(in super::super) const TUNNEL_TYPE: u16 = 13;
    pub(in super::super) const TUNNEL_PORT: u16 = 14;
    pub(in super::super) const TUNNEL_FLAGS: u16 = 15;

    /// `IP_VS_CONN_F_*`: how packets are passed on.
    pub(in super::super) mod method {
        pub(in super::super::super) const MASK: u32 = 7;
        pub(in super::super::super) const NAT: u32 = 0;
        pub(in super::super::super) const TUNNEL: u32 = 2;
        pub(in super::super::super) const DIRECT: u32 = 3;
    }

    /// `IP_VS_CONN_F_TUNNEL_TYPE_*`.
    pub(in super::super) mod tunnel {
        pub(in super::super::super) const IPIP: u8 = 0;
        pub(in super::super::super) const GUE: u8 = 1;
        pub(in super::super::super) const GRE: u8 = 2;
    }

    /// `IP_VS_TUNNEL_ENCAP_FLAG_*`.
    pub(in super::super) mod encapsulation {
        pub(in super::super::super) const CHECKSUM: u16 = 1;
        pub(in super::super::super) const REMOTE_CHECKSUM: u16 = 2;
    }
}

/// `IPVS_DAEMON_ATTR_*`.
pub(super) mod daemon {
    pub(in super::super) const STATE: u16 = 1;
    pub(in super::super) const INTERFACE: u16 = 2;
    pub(in super::super) const ID: u16 = 3;
    pub(in super::super) const MAX_LENGTH: u16 = 4;
    pub(in super::super) const GROUP: u16 = 5;
    pub(in super::super) const GROUP_6: u16 = 6;
    pub(in super::super) const PORT: u16 = 7;
    pub(in super::super) const TTL: u16 = 8;

    /// `IP_VS_STATE_MASTER`.
    pub(in super::super) const MASTER: u32 = 1;
    /// `IP_VS_STATE_BACKUP`.
    pub(in super::super) const BACKUP: u32 = 2;
}

/// `IPVS_INFO_ATTR_*`.
pub(super) mod information {
    pub(in super::super) const VERSION: u16 = 1;
    pub(in super::super) const TABLE_SIZE: u16 = 2;
}
