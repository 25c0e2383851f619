//! Mail: settings that no alert uses, and those of the sample files.

use crate::config::diagnostics::Diagnostic;
use crate::config::model::{Config, GlobalDefs};
use crate::config::source::Position;
use crate::config::values::{At, Bool, Reading};

/// Domains of the sample files, and those that nobody has (RFC 2606).
const SAMPLE_DOMAINS: [&str; 4] = ["firewall.loc", "example.com", "example.net", "example.org"];
/// `smtp_server` of the sample files.
const SAMPLE_SERVER: &str = "192.168.200.1";

/// Looks at the mail settings. `balances`: there are virtual servers.
pub(in crate::config) fn mail(reading: &Reading<'_>, config: &Config, balances: bool) {
    let Some(global) = config.global.as_deref() else { return };
    let addresses = global.notification_email.iter().chain(&global.notification_email_from);
    let sample = addresses.filter(|entry| is_sample(&entry.value.0)).map(|entry| entry.at);
    let server = global.smtp_server.as_ref().filter(|entry| &*entry.value.host == SAMPLE_SERVER);
    for at in sample.chain(server.map(|entry| entry.at)) {
        reading.lints.note("sample-mail", || {
            Diagnostic::hint("sample-mail", "mail settings of a sample file")
                .at(reading.sources.word_at(at))
                .label("nobody reads what is sent there")
                .help("write your own, or remove all mail settings")
        });
    }
    let Some(first) = first_setting(global).filter(|_| !alerts(config, global, balances)) else { return };
    reading.lints.note("mail-without-alert", || {
        Diagnostic::hint("mail-without-alert", "mail settings, but nothing sends mail")
            .at(reading.sources.word_at(first))
            .help("write smtp_alert where mail is wanted: in global_defs for all, or in single instances and groups")
    });
}

fn is_sample(address: &str) -> bool {
    let domain = address.rsplit('@').next().unwrap_or("").trim_end_matches('>');
    SAMPLE_DOMAINS.iter().any(|sample| sample.eq_ignore_ascii_case(domain))
}

fn first_setting(global: &GlobalDefs) -> Option<Position> {
    let server = global.smtp_server.as_ref().map(|entry| entry.at);
    let to = global.notification_email.first().map(|entry| entry.at);
    server.into_iter().chain(to).chain(global.notification_email_from.as_ref().map(|entry| entry.at)).min()
}

/// Whether anything may send mail. Real servers do unless it is switched off, all others when it is switched on.
fn alerts(config: &Config, global: &GlobalDefs, balances: bool) -> bool {
    let on = |entry: &Option<At<Bool>>| entry.as_ref().is_some_and(|entry| entry.value.0);
    let own = config.instances.iter().map(|block| &block.smtp_alert);
    let own = own.chain(config.sync_groups.iter().map(|block| &block.smtp_alert));
    let all = global.smtp_alert_vrrp.as_ref().or(global.smtp_alert.as_ref());
    let routes = !config.instances.is_empty() && all.is_some_and(|entry| entry.value.0);
    // Single servers may switch it on again, so that they count.
    balances || routes || own.into_iter().any(on)
}
