//! Whether a master keeps its pace: the longest time between two of its advertisements, beside the longest time that
//! this machine kept anybody waiting meanwhile. Beside `host`: `#[path = "../support/pace.rs"] mod pace;`.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, unreachable_pub)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alived::sys::capture::Capture;
use alived::wire::ip::{VRRP_PROTOCOL, parse_ipv4};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::host::Host;

/// How long a thread sleeps that measures how late it is woken.
const NAP: Duration = Duration::from_millis(1);

/// Looks until it is asked.
pub struct Pace {
    capture: Capture,
    measures: Vec<JoinHandle<Duration>>,
    ends: Arc<AtomicBool>,
}

impl Pace {
    /// Looks at what the host sends, at the other end of its cable; and on each processor at how late the machine is.
    pub fn start(host: &Host) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let processors = std::thread::available_parallelism().unwrap().get();
        let measure = |processor| {
            let ends = Arc::clone(&ends);
            std::thread::spawn(move || {
                let mut own = CpuSet::new();
                own.set(processor).unwrap();
                // Where it is forbidden, it measures wherever it is.
                let _ = sched_setaffinity(Pid::from_raw(0), &own);
                latest(&ends)
            })
        };
        let measures = (0..processors).map(measure).collect();
        Self { capture: host.switch.run(Capture::open).unwrap().unwrap(), measures, ends }
    }

    /// The master of the virtual router, which is of IPv4 and in nobody else's network, has kept this interval: nowhere
    /// was more than a tenth of it missing that the machine is not to blame for. Advertisements of that time.
    #[track_caller]
    pub fn assert_kept(mut self, vrid: u8, interval: Duration) -> usize {
        self.ends.store(true, Ordering::Relaxed);
        let stall = self.measures.drain(..).map(|measure| measure.join().unwrap()).max().unwrap();
        let mut times = Vec::new();
        while let Some(frame) = self.capture.read().unwrap() {
            let packet = frame.bytes.get(14..).and_then(|packet| parse_ipv4(packet).ok());
            let of = packet.filter(|packet| packet.protocol == VRRP_PROTOCOL);
            if of.is_some_and(|packet| packet.payload.get(1) == Some(&vrid)) {
                times.push(frame.time);
            }
        }
        let gaps = times.windows(2).map(|pair| pair[1].saturating_since(pair[0]));
        let gap = gaps.max().unwrap_or(Duration::MAX);
        println!(
            "{} advertisements, longest gap {gap:?}, longest stall of the machine {stall:?}",
            times.len()
        );
        assert!(gap < interval.mul_f64(1.1) + stall, "a gap of {gap:?}, the machine was late by {stall:?}");
        times.len()
    }
}

/// How late a thread was at most that sleeps again and again.
fn latest(ends: &AtomicBool) -> Duration {
    let mut latest = Duration::ZERO;
    while !ends.load(Ordering::Relaxed) {
        let begun = Instant::now();
        std::thread::sleep(NAP);
        latest = latest.max(begun.elapsed().saturating_sub(NAP));
    }
    latest
}
