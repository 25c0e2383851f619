//! Receipt of advertisements (RFC 9568 §7.1, RFC 3768 §7.1).

use core::net::IpAddr;

use super::authenticator::Shown;
use super::router_core::Core;
use super::{AddressDifference, Datagram, Output, PacketReport, ReportKind};
use crate::time::Now;
use crate::wire::ah;
use crate::wire::vrrp::{
    AuthenticationData, ChecksumMode, Expectation, Framed, Message, PacketHeader, Rejection, frame,
};

impl Core {
    /// Takes a message for this virtual router while it stands by or serves. Every message is checked, also one that says
    /// what the one before it said: when and by which way it came is its own.
    ///
    /// # Errors
    /// Why it is of no use.
    pub(super) fn receive<'a>(
        &mut self,
        now: Now,
        datagram: &Datagram<'a>,
        out: &mut Output<'_>,
    ) -> Result<Message<'a>, Rejection> {
        let (message, old_checksum) = match self.check(now, datagram, out) {
            Ok(checked) => checked,
            Err(rejection) => {
                self.reject(now, datagram.source, rejection, out);
                return Err(rejection);
            }
        };
        self.note_checksum(now, datagram.source, old_checksum, out);
        self.counters.advertisements_received += 1;
        if message.priority.is_leaving() {
            self.counters.priority_zero_received += 1;
        }
        // Who leaves at once is nobody to wait for.
        let is_new = self.peers.note_accepted(now.instant, datagram.source, &message);
        if is_new && !message.priority.is_leaving() {
            let (from, priority) = (datagram.source, message.priority);
            self.report_packet(now, ReportKind::PeerHeard { from, priority }, out);
        }
        self.compare_addresses(now, datagram.source, &message, out);
        Ok(message)
    }

    /// Takes a message for this virtual router while it cannot take part: who stands back wants to know whether
    /// somebody else is there; and who will take part again, which advertisements are no longer fresh then.
    pub(super) fn overhear(&mut self, now: Now, datagram: &Datagram<'_>, out: &mut Output<'_>) {
        let remembers = self.config.hmac.is_some()
            || matches!(self.config.authentication, AuthenticationData::AuthenticationHeader(_));
        let abstains = self.abstention.reason().is_some();
        if (abstains || remembers)
            && let Ok((message, _)) = self.check(now, datagram, out)
            && abstains
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

    /// Every check of RFC 9568 §7.1, those that need no state in [`frame`] and [`Framed::message`]; between them, as in
    /// keepalived, those of authentication. True for a message that is summed as keepalived did by unicast until 1.3.6.
    fn check<'a>(
        &mut self,
        now: Now,
        datagram: &Datagram<'a>,
        out: &mut Output<'_>,
    ) -> Result<(Message<'a>, bool), Rejection> {
        let source = datagram.source;
        let header =
            PacketHeader { source, destination: datagram.destination, hop_limit: datagram.hop_limit };
        let expected = Expectation {
            family: self.family(),
            version: self.config.version,
            interval: self.config.interval,
            authentication: self.config.authentication,
            checksum: self.config.checksum,
            multicast: !self.config.destinations.is_unicast(),
            hop_limits: self.config.accepted_hop_limits(source),
            trailer: self.config.hmac.is_some(),
        };
        let sealed = match self.config.authentication {
            AuthenticationData::AuthenticationHeader(password) => {
                let packet = ah::parse(datagram.payload).ok_or(Rejection::HeaderMalformed)?;
                Some((packet, password))
            }
            AuthenticationData::None | AuthenticationData::SimplePassword(_) => None,
        };
        let payload = sealed.map_or(datagram.payload, |(packet, _)| packet.message);
        let framed = frame(&header, payload, &expected)?;
        let mut old_checksum = false;
        let message = match (framed.message(), self.config.old_checksum.group()) {
            (Err(Rejection::Checksum), Some(group)) if self.config.destinations.is_unicast() => {
                old_checksum = true;
                let checksum = ChecksumMode::Group(group);
                frame(&header, payload, &Expectation { checksum, ..expected })
                    .and_then(|framed| framed.message())
            }
            (checked, _) => checked,
        };
        // What is our own, come back to us, says nothing of another sender.
        let own = self.environment.source == Some(source);
        if !own {
            self.check_trailer(now, datagram, &framed, message.is_ok(), out)?;
            if let Some((packet, password)) = sealed {
                self.authenticator.check_header(now, datagram, &packet, &password)?;
            }
        }
        let message = message?;
        if own {
            return Err(Rejection::OwnAddress { source });
        }
        let destinations = &self.config.destinations;
        if self.config.check_source && destinations.is_unicast() && destinations.peer(source).is_none() {
            return Err(Rejection::Stranger { source });
        }
        Ok((message, old_checksum))
    }

    fn check_trailer(
        &mut self,
        now: Now,
        datagram: &Datagram<'_>,
        framed: &Framed<'_>,
        whole: bool,
        out: &mut Output<'_>,
    ) -> Result<(), Rejection> {
        let silence = self.master_down_interval();
        let Some(hmac) = &self.config.hmac else { return Ok(()) };
        let from = datagram.source;
        let checked = self.authenticator.check_trailer(now, datagram, framed, hmac, silence, whole);
        if let Ok(Shown::Agrees(after)) = checked {
            self.report(ReportKind::ClockAgrees { from, after }, out);
        }
        if let Err(Rejection::TrailerStale { ahead_us, window, authentic: true }) = checked
            && self.authenticator.has_left(now.instant, from)
        {
            self.report_packet(now, ReportKind::ClockDiffers { from, ahead_us, window }, out);
        }
        checked.map(|_| ())
    }

    /// A peer that sums as keepalived did by unicast until 1.3.6 understands nothing else.
    fn note_checksum(&mut self, now: Now, from: IpAddr, old: bool, out: &mut Output<'_>) {
        let changed = if old {
            // Only who is sent anything, so that forged sources take no memory.
            self.config.destinations.peer(from).is_some() && self.old_checksum_peers.insert(from)
        } else {
            !self.old_checksum_peers.is_empty() && self.old_checksum_peers.remove(&from)
        };
        if changed {
            self.outgoing.forget();
            self.report_packet(now, ReportKind::ChecksumOfPeer { peer: from, old }, out);
        }
    }

    /// RFC 9568 §7.1: the address list may be compared; a difference is counted and told, the advertisement
    /// used all the same, as keepalived does since 2.3.3.
    fn compare_addresses(&mut self, now: Now, from: IpAddr, heard: &Message<'_>, out: &mut Output<'_>) {
        if self.config.skip_check_adv_addr && self.compared == Some(from) {
            return;
        }
        self.compared = Some(from);
        let own = self.config.addresses.iter().map(|address| address.spec.prefix.address());
        let difference = AddressDifference::of(heard.addresses(), own);
        self.counters.address_list_mismatches += u64::from(difference.is_some());
        let may_tell = self.limits.is_free(now.instant, PacketReport::AddressListMismatch);
        let tell = self.peers.note_differing(from, difference.clone(), may_tell);
        if let Some(difference) = difference.filter(|_| tell) {
            self.report_packet(now, ReportKind::AddressListMismatch { from, difference }, out);
        }
    }

    fn reject(&mut self, now: Now, from: IpAddr, rejection: Rejection, out: &mut Output<'_>) {
        self.counters.count_rejection(&rejection);
        // Whose clock differs is told by a report of its own.
        let told = matches!(rejection, Rejection::TrailerStale { authentic: true, .. });
        let may_tell = !told && self.limits.is_free(now.instant, PacketReport::Rejected);
        if self.peers.note_rejected(now.instant, from, rejection, may_tell) {
            let version = self.config.version;
            self.report_packet(now, ReportKind::Rejected { from, rejection, version }, out);
        }
    }
}
