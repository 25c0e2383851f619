//! `alived drill --director`: two directors, three real servers and a client that asks all the while, in one kernel with
//! IPVS; what happens to a real server or to a director, how soon the kernel's table shows it, and which requests fail.
//!
//! The laboratory is that of the other drills with real servers beside the routers, which the directors reach by direct
//! routing. `servers` are processes of this program, `client` asks them through the virtual address, `table` reads the
//! kernel's table all the while, `verdict` judges.

mod client;
pub mod report;
mod scenario;
pub mod serve;
mod servers;
mod stage;
mod table;
mod verdict;

use core::fmt::Write;
use std::time::Duration;

pub use scenario::Scenario;
pub use servers::SUBCOMMAND as SERVER_SUBCOMMAND;
pub use stage::{Measures, Outcome, run};

use super::lab::Layout;
use super::plan::{Plan, RouterText};

/// Real servers of the drill.
pub const REAL_SERVERS: u8 = 3;

/// Port of the virtual server and of the real servers.
const PORT: u16 = 80;

/// The virtual server of the directors, and how its real servers are checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Service {
    /// How many real servers: 1 to 80.
    pub real_servers: u8,
    /// `delay_loop`, in whole milliseconds.
    pub delay_loop: Duration,
    /// `connect_timeout`, in whole milliseconds.
    pub connect_timeout: Duration,
    /// `retry`.
    pub retry: u32,
    /// `delay_before_retry`, in whole milliseconds.
    pub delay_before_retry: Duration,
}

/// What to drill.
#[derive(Clone, Debug)]
pub struct DirectorPlan {
    /// The directors; with a [`Service`].
    pub routers: Plan,
    /// The same service.
    pub service: Service,
    /// Requests that the client makes in a second, each over a new connection: 1 to 1,000.
    pub rate: u16,
    /// What to do, in this order.
    pub scenarios: Vec<Scenario>,
}

impl Service {
    /// What the configuration has before the virtual router.
    pub(super) fn settings(&self, router: &RouterText) -> String {
        format!("global_defs {{\n    lvs_sync_daemon {} {}\n}}\n", router.interface, router.name)
    }

    /// The virtual server.
    pub(super) fn text(&self, layout: Layout) -> String {
        let mut text = format!(
            "virtual_server {} {PORT} {{\n    delay_loop {}\n    lvs_sched rr\n    lvs_method DR\n    protocol TCP\n",
            layout.gateway(),
            seconds(self.delay_loop)
        );
        for number in 0..usize::from(self.real_servers) {
            let _ = write!(
                text,
                "    real_server {} {PORT} {{\n        weight 1\n        HTTP_GET {{\n            url {{\n                \
                 path /\n                status_code 200\n            }}\n            connect_timeout {}\n            \
                 retry {}\n            delay_before_retry {}\n        }}\n    }}\n",
                layout.real_server(number),
                seconds(self.connect_timeout),
                self.retry,
                seconds(self.delay_before_retry)
            );
        }
        text + "}\n"
    }

    /// The time within which the configuration promises that a change is seen.
    fn bound(&self, scenario: Scenario) -> Option<Duration> {
        // The check before may have ended well a moment ago.
        let next = self.delay_loop;
        match scenario {
            Scenario::Die | Scenario::Wrong => Some(next + self.delay_before_retry * self.retry),
            Scenario::Hang => Some(
                next + self.connect_timeout + (self.delay_before_retry + self.connect_timeout) * self.retry,
            ),
            Scenario::Return => Some(next),
            Scenario::Drain | Scenario::Director => None,
        }
    }
}

/// Seconds as a configuration has them.
fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_what_the_configuration_promises() {
        let ms = Duration::from_millis;
        let service = Service {
            real_servers: 3,
            delay_loop: ms(1000),
            connect_timeout: ms(200),
            retry: 2,
            delay_before_retry: ms(50),
        };
        assert_eq!(service.bound(Scenario::Die), Some(ms(1100)));
        assert_eq!(service.bound(Scenario::Wrong), Some(ms(1100)));
        assert_eq!(service.bound(Scenario::Hang), Some(ms(1700)));
        assert_eq!(service.bound(Scenario::Return), Some(ms(1000)));
        assert_eq!(service.bound(Scenario::Drain), None);
        assert_eq!(seconds(ms(1050)), "1.050");
    }
}
