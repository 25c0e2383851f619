//! Receipt of advertisements (RFC 9568 §7.1, RFC 3768 §7.1).

use core::net::IpAddr;

use super::router_core::Core;
use super::{Datagram, Destinations, Output, PacketReport, ReportKind};
use crate::time::Now;
use crate::wire::vrrp::{Advertisement, Expectation, PacketHeader, Rejection, decode};

/// The last message that passed all checks: a master repeats itself, and equal bytes with an equal header
/// have an equal meaning.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    pub(super) source: IpAddr,
    destination: IpAddr,
    payload: Box<[u8]>,
    pub(super) advertisement: Advertisement,
    list_differs: bool,
}

impl Core {
    /// Takes a message for this virtual router while it stands by or serves. `None` if it is of no use.
    pub(super) fn receive(
        &mut self,
        now: Now,
        datagram: &Datagram<'_>,
        out: &mut Output<'_>,
    ) -> Option<Box<Recent>> {
        let recent = match self.recent.take() {
            Some(recent) if recent.repeats(datagram) => recent,
            _ => match self.check(datagram) {
                Ok(advertisement) => self.compare_addresses(now, datagram, advertisement, out),
                Err(rejection) => {
                    self.reject(now, datagram.source, rejection, out);
                    return None;
                }
            },
        };
        if self.config.owner_ignore_adverts && self.priority.get().is_owner() {
            self.recent = Some(recent);
            return None;
        }
        self.counters.advertisements_received += 1;
        if recent.advertisement.priority.is_leaving() {
            self.counters.priority_zero_received += 1;
        }
        if recent.list_differs {
            self.counters.address_list_mismatches += 1;
        }
        self.peers.note_accepted(now.instant, recent.source, &recent.advertisement);
        Some(recent)
    }

    /// Takes a message for this virtual router while it cannot take part: who stands back wants to know whether
    /// somebody else is there.
    pub(super) fn overhear(&mut self, now: Now, datagram: &Datagram<'_>) {
        if self.abstention.reason().is_some()
            && let Ok(advertisement) = self.check(datagram)
        {
            self.note_company(now, &advertisement);
        }
    }

    /// There is another master: who cannot do its work can leave it to that one.
    pub(super) fn note_company(&mut self, now: Now, advertisement: &Advertisement) {
        if !advertisement.priority.is_leaving() {
            let silence = self.master_down_interval_at(advertisement.interval);
            self.abstention.hear(now.instant, silence);
        }
    }

    /// Every check of RFC 9568 §7.1, the stateless ones in [`decode`].
    fn check(&self, datagram: &Datagram<'_>) -> Result<Advertisement, Rejection> {
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
            trailer: false,
        };
        let advertisement = decode(&header, datagram.payload, &expected)?;
        if self.environment.source == Some(datagram.source) {
            return Err(Rejection::OwnAddress { source: datagram.source });
        }
        Ok(advertisement)
    }

    /// RFC 9568 §7.1: the address list may be compared; a difference is counted and told, the advertisement
    /// used all the same, as keepalived does since 2.3.3.
    fn compare_addresses(
        &mut self,
        now: Now,
        datagram: &Datagram<'_>,
        heard: Advertisement,
        out: &mut Output<'_>,
    ) -> Box<Recent> {
        let source = Some(datagram.source);
        let skip = self.config.skip_check_adv_addr && self.reported.compared == source;
        let list_differs = !skip && self.differs_in_addresses(&heard);
        self.reported.compared = source;
        if list_differs && self.reported.differing != source {
            self.reported.differing = source;
            self.report_packet(now, ReportKind::AddressListMismatch { from: datagram.source }, out);
        } else if !list_differs && self.reported.differing == source {
            self.reported.differing = None;
        }
        Box::new(Recent {
            source: datagram.source,
            destination: datagram.destination,
            payload: datagram.payload.into(),
            advertisement: heard,
            list_differs,
        })
    }

    fn differs_in_addresses(&self, heard: &Advertisement) -> bool {
        let own = || self.config.addresses.iter().map(|address| address.spec.prefix.address());
        if own().eq(heard.addresses.iter().copied()) {
            return false;
        }
        let mut own: Vec<_> = own().collect();
        let mut theirs = heard.addresses.clone();
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

impl Recent {
    fn repeats(&self, datagram: &Datagram<'_>) -> bool {
        self.source == datagram.source
            && self.destination == datagram.destination
            && *self.payload == *datagram.payload
            // A multicast message was accepted with 255 only, a unicast one with any value.
            && (!self.destination.is_multicast() || datagram.hop_limit == Some(255))
    }
}
