//! Health checks.

use super::block::block;
use super::{TIMER_MAX, U32_MAX};
use crate::check::{BodyDigest, DnsType, HttpVersion, StatusCodes};
use crate::config::values::{
    Address, Bool, Flag, HexPattern, Interface, Name, Natural, OptionalText, Pattern, Seconds, ServerWeight,
    Text, Words,
};
use crate::kernel::{NamedUser, Script};

/// A check that connects: its own keywords after those that all of them have. The first literals are the names
/// of `retry`.
macro_rules! probe {
    (
        $(#[$doc:meta])*
        $name:ident in $context:ident, $retry:literal $(| $old_retry:literal)*;
        $($row:tt)*
    ) => {
        block! {
            $(#[$doc])*
            $name in $context, header ();
            once "connect_ip" connect_ip: Address;
            once "connect_port" connect_port: Natural<1, 65535>;
            once "bindto" bindto: Address;
            once "bind_port" bind_port: Natural<1, 65535>;
            once "bind_if" bind_if: Interface;
            once "connect_timeout" connect_timeout: Seconds<1, TIMER_MAX>;
            once "fwmark" fwmark: Natural<0, U32_MAX>;
            once $retry $(| $old_retry)* retry: Natural<0, U32_MAX>;
            once "delay_before_retry" delay_before_retry: Seconds<0, TIMER_MAX>;
            once "warmup" warmup: Seconds<0, TIMER_MAX>;
            once "delay_loop" delay_loop: Seconds<1, TIMER_MAX>;
            once "alpha" alpha: Bool;
            once "log_all_failures" log_all_failures: Bool;
            $($row)*
        }
    };
}

/// A page that is fetched: its own keywords after those that all of them have.
macro_rules! page {
    ($(#[$doc:meta])* $name:ident in $context:ident; $($row:tt)*) => {
        block! {
            $(#[$doc])*
            $name in $context, header ();
            once "path" path: Text;
            once "digest" digest: BodyDigest;
            once "status_code" status_code: StatusCodes;
            once "virtualhost" virtualhost: Text;
            once "regex" regex: Pattern;
            once "regex_no_match" regex_no_match: Flag;
            once "regex_options" regex_options: Words<1, 64>;
            once "regex_min_offset" regex_min_offset: Natural<0, U32_MAX>;
            once "regex_max_offset" regex_max_offset: Natural<0, U32_MAX>;
            once "regex_stack" regex_stack: Words<1, 2>;
            $($row)*
        }
    };
}

block! {
    /// `BFD_CHECK`.
    BfdCheck in BfdCheck, header ();
    once "name" name: Name<0>;
    once "alpha" alpha: Bool;
}

probe! {
    /// `DNS_CHECK`.
    DnsCheck in DnsCheck, "retry";
    once "type" query_type: DnsType;
    once "name" name: Text;
}

block! {
    /// `FILE_CHECK`.
    FileCheck in FileCheck, header ();
    once "track_file" track_file: Name<0>;
    once "weight" weight: ServerWeight;
}

probe! {
    /// `HTTP_GET`.
    HttpGet in HttpGet, "retry" | "nb_get_retry";
    once "virtualhost" virtualhost: Text;
    once "http_protocol" http_protocol: HttpVersion;
    once "enable_sni" enable_sni: Bool;
    once "sni_name" sni_name: OptionalText;
    once "fast_recovery" fast_recovery: Bool;
    blocks "url" urls: HttpUrl;
}

page! {
    /// `url`.
    HttpUrl in HttpUrl;
}

block! {
    /// `MISC_CHECK`.
    MiscCheck in MiscCheck, header ();
    once "retry" retry: Natural<0, U32_MAX>;
    once "delay_before_retry" delay_before_retry: Seconds<0, TIMER_MAX>;
    once "warmup" warmup: Seconds<0, TIMER_MAX>;
    once "delay_loop" delay_loop: Seconds<1, TIMER_MAX>;
    once "alpha" alpha: Bool;
    once "log_all_failures" log_all_failures: Bool;
    once "misc_path" misc_path: Script;
    once "misc_timeout" misc_timeout: Natural<0, U32_MAX>;
    once "misc_dynamic" misc_dynamic: Flag;
    once "user" user: NamedUser;
}

probe! {
    /// `PING_CHECK`.
    PingCheck in PingCheck, "retry";
}

probe! {
    /// `SMTP_CHECK`.
    SmtpCheck in SmtpCheck, "retry";
    once "helo_name" helo_name: Text;
    blocks "host" hosts: SmtpHost;
}

probe! {
    /// `host`.
    SmtpHost in SmtpHost, "retry";
}

probe! {
    /// `SSL_GET`.
    SslGet in SslGet, "retry" | "nb_get_retry";
    once "virtualhost" virtualhost: Text;
    once "http_protocol" http_protocol: HttpVersion;
    once "enable_sni" enable_sni: Bool;
    once "sni_name" sni_name: OptionalText;
    once "fast_recovery" fast_recovery: Bool;
    once "tls_compliant" tls_compliant: Bool;
    blocks "url" urls: SslUrl;
}

page! {
    /// `url`.
    SslUrl in SslUrl;
    once "tls_compliant" tls_compliant: Bool;
}

probe! {
    /// `TCP_CHECK`.
    TcpCheck in TcpCheck, "retry";
}

probe! {
    /// `UDP_CHECK`.
    UdpCheck in UdpCheck, "retry";
    once "payload" payload: HexPattern<false>;
    once "require_reply" require_reply: HexPattern<true>;
    once "min_reply_length" min_reply_length: Natural<0, 65535>;
    once "max_reply_length" max_reply_length: Natural<0, 65535>;
}
