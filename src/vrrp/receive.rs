//! Receipt of advertisements (RFC 9568 §7.1, RFC 3768 §7.1).

use core::net::IpAddr;

use super::router_core::Core;
use super::{Datagram, Destinations, Output, PacketReport, ReportKind};
use crate::time::Now;
use crate::wire::vrrp::{Expectation, Message, PacketHeader, Rejection, check};

impl Core {
    /// Takes a message for this virtual router while it stands by or serves. `None` if it is of no use. Every message
    /// is checked, also one that says what the one before it said: when and by which way it came is its own.
    pub(super) fn receive<'a>(
        &mut self,
        now: Now,
        datagram: &Datagram<'a>,
        out: &mut Output<'_>,
    ) -> Option<Message<'a>> {
        let message = match self.check(datagram) {
            Ok(message) => message,
            Err(rejection) => {
                self.reject(now, datagram.source, rejection, out);
                return None;
            }
        };
        if self.config.owner_ignore_adverts && self.priority.get().is_owner() {
            return None;
        }
        self.counters.advertisements_received += 1;
        if message.priority.is_leaving() {
            self.counters.priority_zero_received += 1;
        }
        self.compare_addresses(now, datagram.source, &message, out);
        self.peers.note_accepted(now.instant, datagram.source, &message);
        Some(message)
    }

    /// Takes a message for this virtual router while it cannot take part: who stands back wants to know whether
    /// somebody else is there.
    pub(super) fn overhear(&mut self, now: Now, datagram: &Datagram<'_>) {
        if self.abstention.reason().is_some()
            && let Ok(message) = self.check(datagram)
        {
            self.note_company(now, &message);
        }
    }

    /// There is another master: who cannot do its work can leave it to that one.
    pub(super) fn note_company(&mut self, now: Now, heard: &Message<'_>) {
        if !heard.priority.is_leaving() {
            let silence = self.master_down_interval_at(heard.interval);
            self.abstention.hear(now.instant, silence);
        }
    }

    /// Every check of RFC 9568 §7.1, those that need no state in [`check`].
    fn check<'a>(&self, datagram: &Datagram<'a>) -> Result<Message<'a>, Rejection> {
        let header = PacketHeader {
            source: datagram.source,
            destination: datagram.destination,
            hop_limit: datagram.hop_limit,
        };
        let expected = Expectation {
            family: self.family(),
            version: self.config.version,
            interval: self.config.interval,
            authentication: self.config.authentication,
            checksum: self.config.checksum,
            multicast: matches!(self.config.destinations, Destinations::Multicast(_)),
            hop_limits: self.config.accepted_hop_limits,
            trailer: false,
        };
        let message = check(&header, datagram.payload, &expected)?;
        if self.environment.source == Some(datagram.source) {
            return Err(Rejection::OwnAddress { source: datagram.source });
        }
        Ok(message)
    }

    /// RFC 9568 §7.1: the address list may be compared; a difference is counted and told, the advertisement
    /// used all the same, as keepalived does since 2.3.3.
    fn compare_addresses(&mut self, now: Now, from: IpAddr, heard: &Message<'_>, out: &mut Output<'_>) {
        if self.config.skip_check_adv_addr && self.reported.compared == Some(from) {
            return;
        }
        self.reported.compared = Some(from);
        if !self.differs_in_addresses(heard) {
            self.reported.differing = self.reported.differing.filter(|differing| *differing != from);
            return;
        }
        self.counters.address_list_mismatches += 1;
        if self.reported.differing != Some(from) {
            self.reported.differing = Some(from);
            self.report_packet(now, ReportKind::AddressListMismatch { from }, out);
        }
    }

    fn differs_in_addresses(&self, heard: &Message<'_>) -> bool {
        let own = || self.config.addresses.iter().map(|address| address.spec.prefix.address());
        if own().eq(heard.addresses()) {
            return false;
        }
        let mut own: Vec<_> = own().collect();
        let mut theirs: Vec<_> = heard.addresses().collect();
        own.sort_unstable();
        theirs.sort_unstable();
        own != theirs
    }

    fn reject(&mut self, now: Now, from: IpAddr, rejection: Rejection, out: &mut Output<'_>) {
        self.counters.count_rejection(&rejection);
        let may_tell = self.limits.is_free(now.instant, PacketReport::Rejected);
        if self.peers.note_rejected(now.instant, from, rejection, may_tell) {
            self.report_packet(now, ReportKind::Rejected { from, rejection }, out);
        }
    }
}
