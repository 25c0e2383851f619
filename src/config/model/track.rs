//! Groups, trackers and BFD sessions.

use super::block::block;
use super::{MS_MAX, TIMER_MAX, U32_MAX};
use crate::config::values::{
    Address, Bool, Flag, Integer, Interface, Micros, Name, Natural, Seconds, Text, TrackedName,
    TrackerWeight, Words,
};
use crate::kernel::{NamedUser, Script};
use crate::track::{InitialContent, ParameterMatch};

block! {
    /// `track_group`.
    TrackGroup in TrackGroup, header Name<0>;
    words "group" group: Name<0>;
}

block! {
    /// `vrrp_sync_group`.
    SyncGroup in SyncGroup, header Name<0>;
    words "group" group: Name<0>;
    lines "track_interface" track_interface: TrackedName<253>;
    lines "track_script" track_script: TrackedName<253>;
    lines "track_file" track_file: TrackedName<254>;
    lines "track_process" track_process: TrackedName<254>;
    lines "track_bfd" track_bfd: TrackedName<253>;
    once "notify_backup" notify_backup: Script;
    once "notify_master" notify_master: Script;
    once "notify_fault" notify_fault: Script;
    once "notify_stop" notify_stop: Script;
    once "notify" notify: Script;
    once "smtp_alert" smtp_alert: Bool;
    once "sync_group_tracking_weight" | "global_tracking" sync_group_tracking_weight: Flag;
    once "notify_priority_changes" notify_priority_changes: Bool;
}

block! {
    /// `garp_group`.
    GarpGroup in GarpGroup, header ();
    once "garp_interval" garp_interval: Seconds<1, TIMER_MAX>;
    once "gna_interval" gna_interval: Seconds<1, TIMER_MAX>;
    once "interface" interface: Interface;
    words "interfaces" interfaces: Interface;
}

block! {
    /// `vrrp_script`.
    VrrpScript in VrrpScript, header Name<0>;
    once "script" script: Script;
    once "interval" interval: Seconds<0, TIMER_MAX>;
    once "timeout" timeout: Seconds<0, TIMER_MAX>;
    once "weight" weight: TrackerWeight<253>;
    once "rise" rise: Natural<1, U32_MAX>;
    once "fall" fall: Natural<1, U32_MAX>;
    once "user" user: NamedUser;
    once "init_fail" init_fail: Flag;
}

block! {
    /// `vrrp_track_process`.
    TrackProcess in TrackProcess, header Name<0>;
    once "process" process: Words<1, 256>;
    once "param_match" param_match: ParameterMatch;
    once "weight" weight: TrackerWeight<254>;
    once "quorum" quorum: Natural<1, 65535>;
    once "quorum_max" quorum_max: Natural<0, 65535>;
    once "delay" delay: Seconds<1, 3_600_000_000>;
    once "terminate_delay" terminate_delay: Seconds<1, 3_600_000_000>;
    once "fork_delay" fork_delay: Seconds<1, 3_600_000_000>;
    once "full_command" full_command: Flag;
}

block! {
    /// `track_file`.
    TrackFile in TrackFile, header Name<0>;
    once "file" file: Text;
    once "weight" weight: TrackerWeight<254>;
    once "init_file" init_file: InitialContent;
}

block! {
    /// `bfd_instance`.
    BfdInstance in BfdInstance, header Name<31>;
    once "source_ip" source_ip: Address;
    once "neighbor_ip" | "neighbour_ip" neighbor_ip: Address;
    once "min_rx" min_rx: Micros<1, MS_MAX, 3>;
    once "min_tx" min_tx: Micros<1, MS_MAX, 3>;
    once "idle_tx" idle_tx: Micros<1_000_000, MS_MAX, 3>;
    once "multiplier" multiplier: Natural<1, 255>;
    once "passive" passive: Flag;
    once "ttl" | "hoplimit" ttl: Natural<1, 255>;
    once "max_hops" max_hops: Integer<-1, 255>;
    once "multihop" multihop: Bool;
    once "weight" weight: TrackerWeight<253>;
    once "vrrp" vrrp: Flag;
    once "checker" checker: Flag;
}
