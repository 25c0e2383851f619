//! What the settings of one instance forbid each other: strict mode.

use crate::config::diagnostics::{Diagnostic, Status};
use crate::config::model::{GlobalDefs, VrrpInstance};
use crate::config::source::{Position, Span};
use crate::config::values::{At, Bool, Reading};
use crate::net::Family;
use crate::vrrp::{HmacMode, InitialState};
use crate::wire::vrrp::Version;

/// One instance with what was derived of it so far.
pub(super) struct Rules<'a> {
    pub(super) reading: &'a Reading<'a>,
    pub(super) global: &'a GlobalDefs,
    pub(super) instance: &'a VrrpInstance,
    pub(super) name: &'a str,
    pub(super) family: Family,
    pub(super) version: Version,
}

impl Rules<'_> {
    pub(super) fn place(&self, at: Position) -> Span {
        self.reading.sources.word_at(at)
    }

    pub(super) fn error(
        &self,
        code: &'static str,
        at: Position,
        message: impl core::fmt::Display,
        help: &str,
    ) {
        let name = self.name;
        let diagnostic = Diagnostic::error(code, format!("`{name}`: {message}")).at(self.place(at));
        self.reading.diagnostics.push(if help.is_empty() { diagnostic } else { diagnostic.help(help) });
    }

    /// Whether strict mode holds: its own setting, else `vrrp_strict`.
    pub(super) fn strict(&self) -> bool {
        let own: Option<&At<Bool>> = self.instance.strict_mode.as_ref();
        own.or(self.global.vrrp_strict.as_ref()).is_some_and(|entry| entry.value.0)
    }

    /// The version that the router speaks: strict mode has no version 2 over IPv6.
    pub(super) fn version_in_force(&self) -> Version {
        if self.strict() && self.family == Family::Ipv6 { Version::V3 } else { self.version }
    }

    /// Whether the priority is 255: written, or by `state MASTER` without one.
    pub(super) fn is_owner(&self) -> bool {
        match (&self.instance.priority, &self.instance.state) {
            (Some(priority), _) => priority.value.is_owner(),
            (None, state) => state.as_ref().is_some_and(|entry| entry.value == InitialState::Master),
        }
    }

    /// Reports what `vrrp_strict` and `strict_mode` do not allow.
    pub(super) fn strict_mode(&self) {
        if !self.strict() {
            return;
        }
        let instance = self.instance;
        let own = instance.strict_mode.as_ref().map(|entry| entry.at);
        let source = own
            .or_else(|| self.global.vrrp_strict.as_ref().map(|entry| entry.at))
            .unwrap_or(instance.header.at);
        let clash = |at: Position, what: &str, consequence: &str| {
            let diagnostic = Diagnostic::error(
                "strict-mode",
                format!("`{}`: strict mode does not allow {what}", self.name),
            );
            self.reading.diagnostics.push(
                diagnostic
                    .at(self.place(at))
                    .label(consequence)
                    .related(self.place(source), "strict mode is set here")
                    .help("remove the setting, or strict mode"),
            );
        };
        if let Some(block) = &instance.authentication {
            clash(block.header.at, "authentication", "ignored");
        }
        let mode = instance.auth_hmac.as_ref().and_then(|block| block.mode.as_ref());
        if let Some(entry) = mode.filter(|entry| entry.value != HmacMode::Enforce) {
            clash(entry.at, "an auth_hmac mode other than enforce", "enforce is used");
        }
        if let Some(entry) = instance.preempt_delay.as_ref().filter(|entry| entry.value.0 > 0) {
            clash(entry.at, "preempt_delay", "ignored");
        }
        if let Some(entry) = instance.down_timer_adverts.as_ref().filter(|entry| entry.value.0 != 3) {
            clash(entry.at, "down_timer_adverts other than 3", "3 is used");
        }
        if let Some(entry) = instance.garp_lower_prio_repeat.as_ref().filter(|entry| entry.value.0 != 0) {
            clash(entry.at, "garp_lower_prio_repeat", "0 is used");
        }
        if let Some(entry) = instance.garp_lower_prio_delay.as_ref().filter(|entry| entry.value.0 != 0) {
            clash(entry.at, "garp_lower_prio_delay", "0 is used");
        }
        let answers =
            instance.lower_prio_no_advert.as_ref().or(self.global.vrrp_lower_prio_no_advert.as_ref());
        if let Some(entry) = answers.filter(|entry| !entry.value.0) {
            clash(entry.at, "answering an advertisement of lower priority", "not answered");
        }
        let last_word = instance.higher_prio_send_advert.as_ref();
        if let Some(entry) =
            last_word.or(self.global.vrrp_higher_prio_send_advert.as_ref()).filter(|entry| entry.value.0)
        {
            clash(entry.at, "higher_prio_send_advert", "ignored");
        }
        if let Some(entry) =
            instance.owner_ignore_adverts.as_ref().filter(|entry| !entry.value.0 && self.is_owner())
        {
            clash(entry.at, "an owner that yields", "it ignores what it hears");
        }
        if let Some(entry) = &instance.vmac_xmit_base {
            clash(entry.at, "vmac_xmit_base", "ignored");
        }
        if let Some(entry) = instance.use_vmac.as_ref().filter(|entry| entry.value.mac.is_some()) {
            clash(entry.at, "a MAC address of its own", "the standard one is used");
        }
        let owner = self.is_owner();
        match &instance.state {
            Some(entry) if entry.value == InitialState::Master && !owner => {
                clash(entry.at, "state MASTER unless the priority is 255", "BACKUP is used");
            }
            Some(entry) if entry.value == InitialState::Backup && owner => {
                clash(entry.at, "state BACKUP with priority 255", "MASTER is used");
            }
            _ => {}
        }
        if let Some(entry) = instance.accept.as_ref().filter(|_| self.version == Version::V2) {
            clash(entry.at, "accept in version 2", "ignored");
        }
        if let Some(entry) = instance.version.as_ref()
            && self.family == Family::Ipv6
            && self.version == Version::V2
        {
            clash(entry.at, "version 2 over IPv6", "version 3 is used");
        }
        if self.family == Family::Ipv6 {
            let first = instance.virtual_ipaddress.first();
            let link_local =
                |address| matches!(address, core::net::IpAddr::V6(a) if a.segments()[0] & 0xffc0 == 0xfe80);
            if let Some(entry) = first.filter(|entry| !link_local(entry.value.spec.prefix.address())) {
                clash(entry.at, "a first IPv6 address that is not link-local", "not standard");
            }
        }
        if let Some(peer) = instance.unicast_peer.first() {
            self.reading.diagnostics.push(
                Diagnostic::fatal(
                    "strict-mode",
                    format!("`{}`: strict mode does not allow unicast", self.name),
                )
                .status(Status::Fault)
                .at(self.place(peer.at))
                .related(self.place(source), "strict mode is set here")
                .help("remove unicast_peer, or strict mode"),
            );
        }
    }
}
