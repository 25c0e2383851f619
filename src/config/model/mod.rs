//! The typed model: what a configuration says, keyword by keyword, before anything is derived from it.
//!
//! Each block of the language is a struct and each keyword a field with its own type, so that a value that is
//! out of range cannot be in it. `config::lower` derives from it what the engines are told.

pub(crate) mod block;
mod check;
mod global;
mod instance;
mod track;
mod virtual_server;

pub(crate) use block::Block;
pub(crate) use check::{BfdCheck, DnsCheck, FileCheck, HttpGet, MiscCheck, SslGet, UdpCheck};
pub(crate) use global::GlobalDefs;
pub(crate) use instance::{AuthHmac, VrrpInstance};
pub(crate) use track::{BfdInstance, GarpGroup, SyncGroup, TrackFile, TrackGroup, TrackProcess, VrrpScript};
pub(crate) use virtual_server::{RealServer, Ssl, VirtualServer, VirtualServerGroup};

use super::values::{AddressLine, Flag, Name, Natural, OptionalText, RouteLine, RuleLine};
use crate::track::{InterfaceDelay, LinkPolling};
use block::block;

pub(in crate::config) const U32_MAX: u32 = u32::MAX;
pub(super) const I32_MAX: i32 = i32::MAX;
pub(super) const I32_MIN: i32 = i32::MIN;
/// Longest time in seconds, in microseconds: keepalived keeps them in 32 bits of seconds.
pub(super) const TIMER_MAX: u64 = 4_294_967_295_000_000;
/// Longest time of a BFD interval, in microseconds.
pub(super) const MS_MAX: u64 = 4_294_967_000;

block! {
    /// A whole configuration.
    Config in Root, header ();
    once "linkbeat_use_polling" linkbeat_use_polling: Flag;
    once "net_namespace" net_namespace: Name<0>;
    once "net_namespace_ipvs" net_namespace_ipvs: OptionalText;
    once "namespace_with_ipsets" namespace_with_ipsets: Flag;
    once "use_pid_dir" use_pid_dir: Flag;
    once "instance" instance: Name<0>;
    once "child_wait_time" child_wait_time: Natural<0, U32_MAX>;
    merge "global_defs" global: GlobalDefs;
    blocks "track_group" track_groups: TrackGroup;
    lines "static_ipaddress" static_addresses: AddressLine;
    lines "static_routes" static_routes: RouteLine;
    lines "static_rules" static_rules: RuleLine;
    lines "linkbeat_interfaces" linkbeat_interfaces: LinkPolling;
    lines "interface_up_down_delays" interface_delays: InterfaceDelay;
    blocks "vrrp_script" scripts: VrrpScript;
    blocks "vrrp_track_process" processes: TrackProcess;
    blocks "track_file" | "vrrp_track_file" files: TrackFile;
    blocks "bfd_instance" bfd_instances: BfdInstance;
    blocks "garp_group" garp_groups: GarpGroup;
    blocks "vrrp_sync_group" sync_groups: SyncGroup;
    blocks "vrrp_instance" instances: VrrpInstance;
    blocks "SSL" ssl: Ssl;
    blocks "virtual_server_group" virtual_server_groups: VirtualServerGroup;
    blocks "virtual_server" virtual_servers: VirtualServer;
}

impl Default for Config {
    fn default() -> Self {
        Self::new(super::values::At { value: (), at: super::source::Position::FIRST })
    }
}
