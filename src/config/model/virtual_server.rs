//! Virtual servers and real servers.

use thin_vec::ThinVec;

use super::block::{Block, Canonical, block, read_entries};
use super::check::{
    BfdCheck, DnsCheck, FileCheck, HttpGet, MiscCheck, PingCheck, SmtpCheck, SslGet, TcpCheck, UdpCheck,
};
use super::{TIMER_MAX, U32_MAX};
use crate::config::schema::{Context, Keyword};
use crate::config::tree::Statement;
use crate::config::values::{
    Args, Argument, At, Bool, Flag, Name, Natural, OptionalNatural, Reading, Seconds, SecretText, Text,
    VirtualServerKey,
};
use crate::kernel::Script;
use crate::kernel::ipvs::{ForwardingMethod, HostPort, PersistenceGranularity, Protocol, Scheduler};
use crate::lvs::GroupMember;
use crate::net::Family;

block! {
    /// `SSL`.
    Ssl in Ssl, header ();
    once "password" password: SecretText;
    once "ca" ca: Text;
    once "certificate" certificate: Text;
    once "key" key: Text;
}

block! {
    /// `virtual_server`.
    VirtualServer in VirtualServer, header VirtualServerKey;
    once "ip_family" ip_family: Family;
    once "retry" retry: Natural<1, U32_MAX>;
    once "delay_before_retry" delay_before_retry: Seconds<0, TIMER_MAX>;
    once "warmup" warmup: Seconds<0, TIMER_MAX>;
    once "connect_timeout" connect_timeout: Seconds<1, TIMER_MAX>;
    once "delay_loop" delay_loop: Seconds<1, TIMER_MAX>;
    once "inhibit_on_failure" inhibit_on_failure: Flag;
    once "lvs_sched" | "lb_algo" lvs_sched: Scheduler;
    once "hashed" hashed: Flag;
    once "ops" ops: Flag;
    once "flag-1" flag_1: Flag;
    once "flag-2" flag_2: Flag;
    once "flag-3" flag_3: Flag;
    once "sh-port" sh_port: Flag;
    once "sh-fallback" sh_fallback: Flag;
    once "mh-port" mh_port: Flag;
    once "mh-fallback" mh_fallback: Flag;
    once "lvs_method" | "lb_kind" lvs_method: ForwardingMethod;
    once "persistence_engine" persistence_engine: Name<15>;
    once "persistence_timeout" persistence_timeout: OptionalNatural<1, 2_678_400>;
    once "persistence_granularity" persistence_granularity: PersistenceGranularity;
    once "protocol" protocol: Protocol;
    once "ha_suspend" ha_suspend: Flag;
    once "smtp_alert" smtp_alert: Bool;
    once "virtualhost" virtualhost: Text;
    once "snmp_name" snmp_name: Text;
    once "alpha" alpha: Flag;
    once "omega" omega: Flag;
    once "quorum_up" quorum_up: Script;
    once "quorum_down" quorum_down: Script;
    once "quorum" quorum: Natural<1, U32_MAX>;
    once "hysteresis" hysteresis: Natural<0, U32_MAX>;
    once "weight" weight: Natural<1, 2_147_483_647>;
    once "sorry_server" sorry_server: HostPort;
    once "sorry_server_inhibit" sorry_server_inhibit: Flag;
    once "sorry_server_lvs_method" sorry_server_lvs_method: ForwardingMethod;
    blocks "real_server" real_servers: RealServer;
}

block! {
    /// `real_server`.
    RealServer in RealServer, header HostPort;
    once "weight" weight: Natural<0, 2_147_483_647>;
    once "lvs_method" lvs_method: ForwardingMethod;
    once "uthreshold" uthreshold: Natural<0, U32_MAX>;
    once "lthreshold" lthreshold: Natural<0, U32_MAX>;
    once "inhibit_on_failure" inhibit_on_failure: Bool;
    once "notify_up" notify_up: Script;
    once "notify_down" notify_down: Script;
    once "alpha" alpha: Bool;
    once "retry" retry: Natural<1, U32_MAX>;
    once "delay_before_retry" delay_before_retry: Seconds<0, TIMER_MAX>;
    once "warmup" warmup: Seconds<0, TIMER_MAX>;
    once "connect_timeout" connect_timeout: Seconds<1, TIMER_MAX>;
    once "delay_loop" delay_loop: Seconds<1, TIMER_MAX>;
    once "smtp_alert" smtp_alert: Bool;
    once "virtualhost" virtualhost: Text;
    once "snmp_name" snmp_name: Text;
    blocks "MISC_CHECK" misc_checks: MiscCheck;
    blocks "SMTP_CHECK" smtp_checks: SmtpCheck;
    blocks "TCP_CHECK" tcp_checks: TcpCheck;
    blocks "PING_CHECK" ping_checks: PingCheck;
    blocks "UDP_CHECK" udp_checks: UdpCheck;
    blocks "HTTP_GET" http_checks: HttpGet;
    blocks "SSL_GET" ssl_checks: SslGet;
    blocks "DNS_CHECK" dns_checks: DnsCheck;
    blocks "FILE_CHECK" file_checks: FileCheck;
    blocks "BFD_CHECK" bfd_checks: BfdCheck;
}

/// `virtual_server_group NAME { … }`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VirtualServerGroup {
    /// Its name.
    pub header: At<Name<0>>,
    /// Its members.
    pub endpoints: ThinVec<At<GroupMember>>,
}

impl Block for VirtualServerGroup {
    const CONTEXT: Context = Context::Root;

    fn begin(args: &mut Args<'_>) -> Option<Self> {
        let at = args.position();
        Some(Self { header: At { value: Name::parse(args)?, at }, endpoints: ThinVec::new() })
    }

    fn read(&mut self, reading: &Reading<'_>, keyword: &'static Keyword, statement: Statement<'_>) {
        read_entries(reading, keyword, statement, &mut self.endpoints);
        self.endpoints.shrink_to_fit();
    }

    fn set(&mut self, _: &Reading<'_>, _: &'static Keyword, _: Statement<'_>) -> bool {
        false
    }

    fn print(&self, keyword: &str, out: &mut Canonical) {
        out.block(keyword, &self.header.value, |out| self.print_body(out));
    }

    fn print_body(&self, out: &mut Canonical) {
        out.entries(&self.endpoints);
    }
}

#[cfg(test)]
impl super::block::Sample for VirtualServerGroup {
    fn sample(random: &mut crate::prng::Prng) -> Self {
        let endpoints = (0..random.below(4)).map(|_| super::block::sample_at(random)).collect();
        Self { header: super::block::sample_at(random), endpoints }
    }
}
