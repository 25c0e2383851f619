//! `alived drain`, `weight` and `restore`: orders for real servers.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::client::{Client, EXITS, Failure, PATIENCE, REFUSED, Which};
use super::operator::seconds;
use crate::cli::{print, say};
use crate::control::{Command, WEIGHT_MAX};
use crate::status::{OrderWord, Orders, RealServerOrder};
use crate::sys::clock;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// How long a worker may be gone that is replaced by another one.
const REPLACED: Duration = Duration::from_secs(60);

/// The word for a weight as configured.
const CONFIGURED: &str = "configured";

const DRAIN_EXITS: &str = "Exit status: 0 drained without cutting a connection, 1 connections were cut, it was ended meanwhile, \
                           or there is no such real server, 3 no daemon answers, 64 bad command line.";

/// Which real servers.
#[derive(Clone, Debug, Args)]
struct Whom {
    /// Only in the virtual server of this name ([192.0.2.1]:tcp:80)
    #[arg(long, value_name = "VIRTUAL_SERVER")]
    of: Option<String>,
    /// The answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// Take a real server out of service without cutting connections
///
/// It gets no new connections (weight 0). When those that it has are over, or at the limit, it is removed from the kernel's
/// table, and that is said: then it may be stopped. It stays out, over reloads, too, until the time is over or `restore`.
/// Counts as no weight for the quorum, so that a sorry server stands in where too few are left. Without a name, shows
/// what was ordered.
#[derive(Debug, Args)]
#[command(after_help = DRAIN_EXITS)]
pub(in crate::cli) struct Drain {
    /// A real server ([10.0.0.1]:tcp:80, 10.0.0.1:80, its snmp_name), an address for all of its ports, or a virtual server
    /// for all of its real servers
    #[arg(value_name = "SERVER")]
    server: Option<String>,
    /// Serve again after this time: 90s, 30m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = seconds, requires = "server")]
    time: Option<u32>,
    /// Cut the connections that are left after this time; default the limit of alived.toml (60s)
    #[arg(long, value_name = "TIME", value_parser = seconds, requires = "server")]
    limit: Option<u32>,
    /// Do not wait until it is drained
    #[arg(long, requires = "server")]
    no_wait: bool,
    #[command(flatten)]
    whom: Whom,
}

/// Give a real server another weight
///
/// It holds over what the configuration and checks say, over reloads, too, until the time is over or `restore`. 0 gives it no
/// new connections and leaves it in the table.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(in crate::cli) struct Weight {
    /// A real server ([10.0.0.1]:tcp:80, 10.0.0.1:80, its snmp_name), an address for all of its ports, or a virtual server
    /// for all of its real servers
    #[arg(value_name = "SERVER")]
    server: String,
    /// 0 to 2147483647, or the word configured for what it was
    #[arg(value_name = "WEIGHT", value_parser = weight_of)]
    weight: WeightWord,
    /// As configured again after this time: 90s, 30m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    time: Option<u32>,
    #[command(flatten)]
    whom: Whom,
}

/// Have a real server serve as configured again
///
/// Ends the effect of `drain` and `weight`.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(in crate::cli) struct Restore {
    /// As of `drain`, or all
    #[arg(value_name = "SERVER|all")]
    server: String,
    #[command(flatten)]
    whom: Whom,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum WeightWord {
    Number(u32),
    Configured,
}

fn weight_of(text: &str) -> Result<WeightWord, String> {
    if text == CONFIGURED {
        return Ok(WeightWord::Configured);
    }
    let number = text.parse().ok().filter(|weight| *weight <= WEIGHT_MAX);
    number
        .map(WeightWord::Number)
        .ok_or_else(|| format!("write a number from 0 to {WEIGHT_MAX}, or {CONFIGURED}"))
}

/// Runs `drain`.
pub(in crate::cli) fn drain(arguments: &Drain) -> ExitCode {
    let Drain { server, time, limit, no_wait, whom } = arguments;
    let client = whom.which.lvs();
    let Some(server) = server else { return tell(ask(&client, Command::Orders {}), "drain", whom.json) };
    let (real_server, virtual_server) = (server.clone(), whom.of.clone());
    let command = Command::Drain { real_server, virtual_server, seconds: *time, limit: *limit };
    let ordered = match ask(&client, command) {
        Ok(ordered) if *no_wait => return tell(Ok(ordered), "drain", whom.json),
        Ok(ordered) => ordered,
        Err(failure) => return failure.tell("drain"),
    };
    match wait(&client, ordered, whom.json) {
        Ok(orders) => {
            let is_well = |real: &RealServerOrder| {
                real.order.as_ref().is_some_and(|order| order.state == OrderWord::Drained && order.cut == 0)
            };
            let well = orders.real_servers.iter().all(is_well);
            if whom.json {
                print_json(&orders);
            }
            if well { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }
        }
        Err(failure) => failure.tell("drain"),
    }
}

/// Runs `weight`.
pub(in crate::cli) fn weight(arguments: &Weight) -> ExitCode {
    let Weight { server, weight, time, whom } = arguments;
    let (real_server, virtual_server) = (server.clone(), whom.of.clone());
    let command = match *weight {
        WeightWord::Number(weight) => Command::Weight { real_server, virtual_server, weight, seconds: *time },
        WeightWord::Configured => Command::Restore { real_server, virtual_server },
    };
    tell(ask(&whom.which.lvs(), command), "weight", whom.json)
}

/// Runs `restore`.
pub(in crate::cli) fn restore(arguments: &Restore) -> ExitCode {
    let Restore { server, whom } = arguments;
    let command = Command::Restore { real_server: server.clone(), virtual_server: whom.of.clone() };
    tell(ask(&whom.which.lvs(), command), "restore", whom.json)
}

fn ask(client: &Client, command: Command) -> Result<Orders, Failure> {
    let result = client.ask(command, PATIENCE)?;
    serde_json::from_value(result)
        .map_err(|error| Failure::Unreachable(format!("the answer is not understood: {error}")))
}

/// Waits until none of them drains any more, and tells of each that does not.
fn wait(client: &Client, ordered: Orders, json: bool) -> Result<Orders, Failure> {
    let mut result = ordered;
    let mut told = vec![false; result.real_servers.len()];
    loop {
        for (real, told) in result.real_servers.iter().zip(&mut told) {
            let drains = real.order.as_ref().is_some_and(|order| order.state == OrderWord::Draining);
            if !drains && !core::mem::replace(told, true) && !json {
                print(&line(real));
            }
        }
        if told.iter().all(|told| *told) {
            return Ok(result);
        }
        std::thread::sleep(LOOK);
        let now = ask_patiently(client)?;
        for real in &mut result.real_servers {
            let same = |other: &&RealServerOrder| {
                other.virtual_server == real.virtual_server && other.real_server == real.real_server
            };
            real.order = now.real_servers.iter().find(same).and_then(|other| other.order.clone());
        }
    }
}

/// Asks for all orders; a worker that dies meanwhile is replaced by one that knows them.
fn ask_patiently(client: &Client) -> Result<Orders, Failure> {
    let start = Instant::now();
    loop {
        match ask(client, Command::Orders {}) {
            Err(Failure::Unreachable(_)) if start.elapsed() < REPLACED => std::thread::sleep(LOOK),
            other => return other,
        }
    }
}

fn tell(answer: Result<Orders, Failure>, subcommand: &str, json: bool) -> ExitCode {
    match answer {
        Ok(orders) => {
            if json {
                print_json(&orders);
            } else if orders.real_servers.is_empty() {
                say("no real server is drained or has its weight by command\n");
            } else {
                orders.real_servers.iter().for_each(|real| print(&line(real)));
            }
            ExitCode::SUCCESS
        }
        Err(failure) => failure.tell(subcommand),
    }
}

fn print_json(orders: &Orders) {
    // Only maps with keys that are no strings cannot be written, and there are none.
    print(&format!("{}\n", serde_json::to_string(orders).unwrap_or_default()));
}

fn line(real: &RealServerOrder) -> String {
    let RealServerOrder { virtual_server, real_server, order } = real;
    let words = match order {
        Some(order) => order.text(clock::wall().as_unix_micros()),
        None => "as configured".to_owned(),
    };
    format!("RS {real_server} of VS {virtual_server}: {words}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::tests::read;
    use crate::status::OrderStatus;

    #[test]
    fn weights_are_numbers_or_as_configured() {
        let weight = |text| read::<Weight>(&["10.0.0.1:80", text]).map(|arguments| arguments.weight);
        assert_eq!(weight("0"), Ok(WeightWord::Number(0)));
        assert_eq!(weight("2147483647"), Ok(WeightWord::Number(2_147_483_647)));
        assert_eq!(weight("configured"), Ok(WeightWord::Configured));
        assert!(weight("2147483648").is_err() && weight("-1").is_err() && weight("").is_err());
        assert!(read::<Drain>(&["--limit", "30s"]).is_err(), "a limit is that of a server");
        assert!(read::<Restore>(&[]).is_err(), "nobody restores everything by leaving out a word");
    }

    #[test]
    fn orders_are_told_in_a_line() {
        let order = OrderStatus {
            state: OrderWord::Drained,
            weight: 0,
            connections: 0,
            cut: 2,
            since_unix_us: 0,
            until_unix_us: None,
            limit_unix_us: None,
        };
        let mut real = RealServerOrder {
            virtual_server: "FWM 7".to_owned(),
            real_server: "[10.0.0.1]:none:80".to_owned(),
            order: Some(order.clone()),
        };
        let of = "RS [10.0.0.1]:none:80 of VS FWM 7: ";
        assert_eq!(line(&real), format!("{of}drained by command, 2 connections cut\n"));
        real.order = Some(OrderStatus { state: OrderWord::Weight, weight: 5, ..order });
        assert_eq!(line(&real), format!("{of}weight 5 by command\n"));
        real.order = None;
        assert_eq!(line(&real), format!("{of}as configured\n"));
    }
}
