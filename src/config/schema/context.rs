//! The places where keywords stand.

use super::Support;

macro_rules! contexts {
    ($($(#[$doc:meta])* $name:ident = $path:literal,)*) => {
        /// A block of the language, or a list of words that are not keywords of a block.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub(crate) enum Context {
            $($(#[$doc])* $name,)*
        }

        impl Context {
            /// All, in their order.
            pub(crate) const ALL: [Self; [$($path),*].len()] = [$(Self::$name),*];

            /// The path of keywords that leads there: `virtual_server/real_server`.
            pub(crate) const fn path(self) -> &'static str {
                match self { $(Self::$name => $path),* }
            }
        }
    };
}

contexts! {
    /// Outside all blocks.
    Root = "(root)",
    /// `global_defs`.
    GlobalDefs = "global_defs",
    /// `track_group`.
    TrackGroup = "track_group",
    /// `vrrp_sync_group`.
    SyncGroup = "vrrp_sync_group",
    /// `garp_group`.
    GarpGroup = "garp_group",
    /// `vrrp_instance`.
    VrrpInstance = "vrrp_instance",
    /// `authentication`.
    Authentication = "vrrp_instance/authentication",
    /// `auth_hmac`.
    AuthHmac = "vrrp_instance/auth_hmac",
    /// `vrrp_script`.
    VrrpScript = "vrrp_script",
    /// `vrrp_track_process`.
    TrackProcess = "vrrp_track_process",
    /// `track_file`.
    TrackFile = "track_file",
    /// `vrrp_track_file`, the old spelling.
    VrrpTrackFile = "vrrp_track_file",
    /// `bfd_instance`.
    BfdInstance = "bfd_instance",
    /// `SSL`.
    Ssl = "SSL",
    /// `virtual_server`.
    VirtualServer = "virtual_server",
    /// `real_server`.
    RealServer = "virtual_server/real_server",
    /// `BFD_CHECK`.
    BfdCheck = "virtual_server/real_server/BFD_CHECK",
    /// `DNS_CHECK`.
    DnsCheck = "virtual_server/real_server/DNS_CHECK",
    /// `FILE_CHECK`.
    FileCheck = "virtual_server/real_server/FILE_CHECK",
    /// `HTTP_GET`.
    HttpGet = "virtual_server/real_server/HTTP_GET",
    /// `url` of `HTTP_GET`.
    HttpUrl = "virtual_server/real_server/HTTP_GET/url",
    /// `MISC_CHECK`.
    MiscCheck = "virtual_server/real_server/MISC_CHECK",
    /// `PING_CHECK`.
    PingCheck = "virtual_server/real_server/PING_CHECK",
    /// `SMTP_CHECK`.
    SmtpCheck = "virtual_server/real_server/SMTP_CHECK",
    /// `host` of `SMTP_CHECK`.
    SmtpHost = "virtual_server/real_server/SMTP_CHECK/host",
    /// `SSL_GET`.
    SslGet = "virtual_server/real_server/SSL_GET",
    /// `url` of `SSL_GET`.
    SslUrl = "virtual_server/real_server/SSL_GET/url",
    /// `TCP_CHECK`.
    TcpCheck = "virtual_server/real_server/TCP_CHECK",
    /// `UDP_CHECK`.
    UdpCheck = "virtual_server/real_server/UDP_CHECK",
    /// What the reader of lines knows: include, definitions, conditions.
    Language = "(lexer)",
    /// Options of an address line.
    AddressLine = "ADDRESS-LINE",
    /// Options of a route line.
    RouteLine = "ROUTE-LINE",
    /// Options of a rule line.
    RuleLine = "RULE-LINE",
    /// Options after a name in `track_script` and the like.
    TrackLine = "TRACK-LINE",
    /// Options after an address in `unicast_peer`.
    PeerLine = "PEER-LINE",
    /// Words of a line of `virtual_server_group`.
    GroupLine = "GROUP-LINE",
    /// Words after `use_vmac`.
    VmacWords = "VMAC-WORDS",
    /// Words after `use_ipvlan`.
    IpvlanWords = "IPVLAN-WORDS",
    /// Words after the method of `lvs_method`.
    MethodWords = "METHOD-WORDS",
    /// Words after the interface of `lvs_sync_daemon`.
    SyncDaemonWords = "SYNC-DAEMON-WORDS",
    /// Words of `lvs_timeouts`.
    TimeoutWords = "TIMEOUT-WORDS",
}

impl Context {
    /// The context of a path.
    pub(crate) fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|context| context.path() == path)
    }

    /// Where that is, in words: `outside all blocks`, or ``in `vrrp_instance` ``.
    pub(crate) fn phrase(self) -> String {
        match self {
            Self::Root => "outside all blocks".to_owned(),
            _ => format!("in `{}`", self.path()),
        }
    }

    /// Whether it is a block, not a list of inline words.
    pub(crate) const fn is_block(self) -> bool {
        !matches!(
            self,
            Self::Language
                | Self::AddressLine
                | Self::RouteLine
                | Self::RuleLine
                | Self::TrackLine
                | Self::PeerLine
                | Self::GroupLine
                | Self::VmacWords
                | Self::IpvlanWords
                | Self::MethodWords
                | Self::SyncDaemonWords
                | Self::TimeoutWords
        )
    }

    /// The block that a keyword opens here.
    pub(crate) fn opened_by(self, keyword: &str) -> Option<Self> {
        let inner = Self::ALL.into_iter().find(|inner| {
            let path = inner.path();
            match self {
                Self::Root => path == keyword,
                _ => path
                    .strip_prefix(self.path())
                    .and_then(|rest| rest.strip_prefix('/'))
                    .is_some_and(|rest| rest == keyword),
            }
        })?;
        inner.is_block().then_some(inner)
    }

    /// Support of keywords that have none of their own in the table.
    pub(super) const fn inherited_support(self) -> Support {
        match self {
            Self::BfdInstance | Self::BfdCheck => Support::Refused("BFD is not served yet"),
            _ => Support::ActedOn,
        }
    }
}
