//! `vrrp_instance`.

use super::U32_MAX;
use super::block::block;
use crate::config::values::{
    Address, AddressLine, AuthKey, AuthType, Bool, Flag, Interface, IpvlanSettings, Leading, Name, Natural,
    OptionalAll, OptionalNatural, OptionalScript, RouteLine, RuleLine, Seconds, SecretText, TrackedName,
    UnicastPeer, VmacSettings, Words,
};
use crate::kernel::Script;
use crate::vrrp::{AntiReplay, HmacMode, InitialState};
use crate::wire::vrrp::Priority;

block! {
    /// `vrrp_instance`.
    VrrpInstance in VrrpInstance, header Name<0>;
    once "use_vmac" use_vmac: VmacSettings;
    once "use_vmac_addr" use_vmac_addr: Flag;
    once "vmac_xmit_base" vmac_xmit_base: Flag;
    once "use_ipvlan" use_ipvlan: IpvlanSettings;
    lines "unicast_peer" unicast_peer: UnicastPeer;
    once "unicast_fault_no_peer" unicast_fault_no_peer: Flag;
    once "check_unicast_src" check_unicast_src: Flag;
    once "old_unicast_checksum" old_unicast_checksum: Words<0, 1>;
    once "native_ipv6" native_ipv6: Flag;
    once "state" state: InitialState;
    once "interface" interface: Interface;
    once "vrf" vrf: Interface;
    once "dont_track_primary" dont_track_primary: Flag;
    lines "track_interface" track_interface: TrackedName<253>;
    lines "track_script" track_script: TrackedName<253>;
    lines "track_file" track_file: TrackedName<254>;
    lines "track_process" track_process: TrackedName<254>;
    lines "track_bfd" track_bfd: TrackedName<253>;
    once "mcast_src_ip" mcast_src_ip: Address;
    once "unicast_src_ip" unicast_src_ip: Address;
    once "mcast_dst_ip" mcast_dst_ip: Address;
    once "track_src_ip" track_src_ip: Flag;
    once "virtual_router_id" virtual_router_id: Natural<1, 255>;
    once "unicast_ttl" unicast_ttl: Natural<0, 255>;
    once "version" version: Natural<2, 3>;
    once "priority" priority: Priority;
    once "advert_int" advert_int: Seconds<10_000, 255_000_000>;
    lines "virtual_ipaddress" virtual_ipaddress: AddressLine;
    lines "virtual_ipaddress_excluded" virtual_ipaddress_excluded: AddressLine;
    once "no_virtual_ipaddress" no_virtual_ipaddress: Flag;
    once "promote_secondaries" promote_secondaries: Flag;
    once "linkbeat_use_polling" linkbeat_use_polling: Flag;
    once "v3_checksum_as_v2" v3_checksum_as_v2: Bool;
    lines "virtual_routes" virtual_routes: RouteLine;
    lines "virtual_rules" virtual_rules: RuleLine;
    once "accept" accept: Flag;
    once "no_accept" no_accept: Flag;
    once "skip_check_adv_addr" skip_check_adv_addr: Bool;
    once "strict_mode" strict_mode: Bool;
    once "preempt" preempt: Flag;
    once "nopreempt" nopreempt: Flag;
    once "preempt_delay" preempt_delay: Seconds<0, 1_000_000_000>;
    once "debug" debug: Natural<0, 4>;
    once "notify_backup" notify_backup: Script;
    once "notify_master" notify_master: Script;
    once "notify_fault" notify_fault: Script;
    once "notify_stop" notify_stop: Script;
    once "notify_deleted" notify_deleted: OptionalScript;
    once "notify" notify: Script;
    once "notify_master_rx_lower_pri" notify_master_rx_lower_pri: Script;
    once "smtp_alert" smtp_alert: Bool;
    once "notify_priority_changes" notify_priority_changes: Bool;
    once "lvs_sync_daemon_interface" lvs_sync_daemon_interface: Interface;
    once "garp_master_delay" garp_master_delay: Leading<0, U32_MAX>;
    once "garp_master_refresh" garp_master_refresh: Leading<0, U32_MAX>;
    once "garp_master_repeat" garp_master_repeat: Leading<1, U32_MAX>;
    once "garp_master_refresh_repeat" garp_master_refresh_repeat: Leading<1, U32_MAX>;
    once "garp_lower_prio_delay" garp_lower_prio_delay: Leading<0, U32_MAX>;
    once "garp_lower_prio_repeat" garp_lower_prio_repeat: Leading<0, U32_MAX>;
    once "down_timer_adverts" down_timer_adverts: Leading<1, 100>;
    once "timer_expired_backup" | "thread_timer_expired" timer_expired_backup: OptionalNatural<1, 254>;
    once "garp_extra_if" | "vmac_garp_intvl" garp_extra_if: OptionalAll<0, 86400>;
    once "lower_prio_no_advert" lower_prio_no_advert: Bool;
    once "higher_prio_send_advert" higher_prio_send_advert: Bool;
    once "owner_ignore_adverts" owner_ignore_adverts: Bool;
    once "kernel_rx_buf_size" kernel_rx_buf_size: Natural<0, U32_MAX>;
    block "authentication" authentication: Authentication;
    block "auth_hmac" auth_hmac: AuthHmac;
}

block! {
    /// `authentication`.
    Authentication in Authentication, header ();
    once "auth_type" auth_type: AuthType;
    once "auth_pass" auth_pass: SecretText;
}

block! {
    /// `auth_hmac`.
    AuthHmac in AuthHmac, header ();
    many "key" keys: AuthKey;
    once "active_key" active_key: Natural<1, 255>;
    once "time_window" time_window: Natural<1, 300>;
    once "anti_replay" anti_replay: AntiReplay;
    once "mode" mode: HmacMode;
}
