//! What a host loses: one small UDP packet a millisecond, one way, from the client through the virtual
//! address as gateway to the server behind the routers.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::lab::Lab;
use crate::net::Family;
use crate::sys::clock;
use crate::time::WallTime;

/// Time from probe to probe.
const PERIOD: Duration = Duration::from_millis(1);

/// How long a probe may be under way before it counts as lost.
const PATIENCE: Duration = Duration::from_millis(100);

/// UDP "discard".
const PORT: u16 = 9;

/// A probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Probe {
    /// When it was sent.
    pub sent: WallTime,
    /// Whether it arrived.
    pub arrived: bool,
}

/// All probes of a run, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProbeRun {
    /// The probes.
    pub probes: Vec<Probe>,
}

impl ProbeRun {
    /// Probes sent at `since` or later.
    fn since(&self, since: WallTime) -> &[Probe] {
        &self.probes[self.probes.partition_point(|probe| probe.sent < since)..]
    }

    /// How many probes sent at `since` or later were lost.
    pub fn lost(&self, since: WallTime) -> usize {
        self.since(since).iter().filter(|probe| !probe.arrived).count()
    }

    /// Whether most of the last 50 probes arrived.
    pub fn flowing(&self) -> bool {
        let last = &self.probes[self.probes.len().saturating_sub(50)..];
        last.iter().filter(|probe| probe.arrived).count() * 2 > last.len()
    }

    /// The longest run of lost probes: when its first was sent, and the time to the next one that arrived.
    /// `None` when nothing was lost.
    pub fn blackout(&self, since: WallTime) -> Option<(WallTime, Duration)> {
        let mut longest: Option<(WallTime, Duration)> = None;
        let mut lost_since = None;
        let probes = self.since(since);
        let end = probes.last().map(|probe| probe.sent);
        let boundaries = probes.iter().map(|probe| (probe.sent, probe.arrived));
        for (time, arrived) in boundaries.chain(end.map(|end| (end, true))) {
            match (lost_since, arrived) {
                (None, false) => lost_since = Some(time),
                (Some(first), true) => {
                    let length = time.saturating_since(first);
                    if longest.is_none_or(|(_, so_far)| length > so_far) {
                        longest = Some((first, length));
                    }
                    lost_since = None;
                }
                _ => {}
            }
        }
        longest
    }
}

/// Probes under way: sent and counted on two threads.
#[derive(Debug)]
pub struct Probes {
    stop: Arc<AtomicBool>,
    arrived: Arc<Mutex<Vec<bool>>>,
    sender: Option<JoinHandle<Vec<WallTime>>>,
    receiver: Option<JoinHandle<()>>,
}

impl Probes {
    /// Starts sending.
    pub fn start(lab: &Lab) -> io::Result<Self> {
        let any: IpAddr = match lab.layout.family {
            Family::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let outgoing = lab.client.namespace.run(|| UdpSocket::bind((any, 0)))??;
        let incoming = lab.server.namespace.run(|| bind_when_free((any, PORT).into()))??;
        outgoing.set_nonblocking(true)?;
        incoming.set_read_timeout(Some(Duration::from_millis(20)))?;
        let server = SocketAddr::from((lab.layout.server(), PORT));
        let stop = Arc::new(AtomicBool::new(false));
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let stopping = Arc::clone(&stop);
        let sender = std::thread::Builder::new()
            .name("probe".to_owned())
            .spawn(move || send(&outgoing, server, &stopping))?;
        let (stopping, shared) = (Arc::clone(&stop), Arc::clone(&arrived));
        let receiver = std::thread::Builder::new()
            .name("count".to_owned())
            .spawn(move || count(&incoming, &stopping, &shared))?;
        Ok(Self { stop, arrived, sender: Some(sender), receiver: Some(receiver) })
    }

    /// How many have arrived.
    pub fn arrived(&self) -> usize {
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.iter().filter(|&&arrived| arrived).count()
    }

    /// Stops, waits for stragglers, and tells what became of each probe.
    pub fn finish(mut self) -> ProbeRun {
        let sent = self.end();
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let probes = sent
            .into_iter()
            .enumerate()
            .map(|(number, sent)| Probe { sent, arrived: arrived.get(number).copied().unwrap_or(false) })
            .collect();
        ProbeRun { probes }
    }

    fn end(&mut self) -> Vec<WallTime> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if let Some(thread) = self.receiver.take() {
            let _ = thread.join();
        }
        sent
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.end();
    }
}

/// A process that another thread is just starting holds the sockets of this one until it runs its program:
/// the port of probes that have ended may be taken for a moment.
fn bind_when_free(address: SocketAddr) -> io::Result<UdpSocket> {
    for _ in 0..200 {
        match UdpSocket::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
    UdpSocket::bind(address)
}

fn send(socket: &UdpSocket, server: SocketAddr, stop: &AtomicBool) -> Vec<WallTime> {
    let mut sent = Vec::new();
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let Ok(number) = u32::try_from(sent.len()) else { break };
        sent.push(clock::wall());
        // A refusal (no route, queue full) is a lost probe like any other.
        let _ = socket.send_to(&number.to_be_bytes(), server);
        let now = Instant::now();
        next += PERIOD;
        if next < now {
            // This thread was not run: probes that were not sent say nothing of the network.
            next = now + PERIOD;
        }
        std::thread::sleep(next - now);
    }
    sent
}

fn count(socket: &UdpSocket, stop: &AtomicBool, arrived: &Mutex<Vec<bool>>) {
    let mut bytes = [0u8; 64];
    let mut stopped = None;
    loop {
        if let Ok(4) = socket.recv(&mut bytes)
            && let Some(number) = bytes.first_chunk().map(|number| u32::from_be_bytes(*number) as usize)
        {
            let mut arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
            // A number far ahead would be no probe of ours; an hour of probes is 3.6 million.
            if number >= arrived.len() && number < arrived.len() + 10_000_000 {
                arrived.resize(number + 1, false);
            }
            if let Some(entry) = arrived.get_mut(number) {
                *entry = true;
            }
        }
        if stop.load(Ordering::Relaxed) && stopped.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pattern: &str) -> ProbeRun {
        let probes = pattern.bytes().enumerate();
        let probes = probes.map(|(number, byte)| Probe {
            sent: WallTime::from_unix_micros(number as u64 * 1000),
            arrived: byte == b'+',
        });
        ProbeRun { probes: probes.collect() }
    }

    fn at(ms: u64) -> WallTime {
        WallTime::from_unix_micros(ms * 1000)
    }

    #[test]
    fn the_longest_run_counts_to_the_next_arrival() {
        let run = run("+-++---+-+");
        assert_eq!(run.blackout(at(0)), Some((at(4), Duration::from_millis(3))));
        assert_eq!(run.lost(at(0)), 5);
        assert_eq!(run.lost(at(5)), 3);
    }

    #[test]
    fn nothing_lost_is_no_blackout() {
        assert_eq!(run("+++").blackout(at(0)), None);
        assert_eq!(run("-++").blackout(at(1)), None);
    }

    #[test]
    fn a_run_that_does_not_end_lasts_to_the_last_probe() {
        assert_eq!(run("++---").blackout(at(0)), Some((at(2), Duration::from_millis(2))));
    }
}
