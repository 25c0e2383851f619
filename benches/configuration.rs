//! Reading configurations: ours beside keepalived, in one run.
//!
//! `cargo bench --bench configuration [-- --quick]`. Each figure is the median of 10 runs (3 with `--quick`) of
//! `-t`: processor time in all, as the machine may be busy, and the highest resident memory. keepalived's column
//! is empty where it is not installed or not asked; what takes it more than 2 s is measured 3 times only.
//!
//! Where the size doubles from one row to the next, the last column says how many times as much the second
//! costs, less what `-t` of an empty file costs.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::print_stdout)]

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const OURS: &str = env!("CARGO_BIN_EXE_alived");
const SLOW_US: i64 = 2_000_000;

/// What one run of `-t` cost.
#[derive(Clone, Copy)]
struct Cost {
    cpu_us: i64,
    memory_kb: i64,
}

/// A file to read.
struct Row {
    name: String,
    /// Rows of one kind are compared when the size doubles.
    kind: &'static str,
    size: u32,
    text: String,
    /// Whether keepalived is measured too.
    beside: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    // This program measures in a process of its own, whose children are then the measured program alone.
    let outcome = match arguments.iter().position(|argument| argument == MEASURE) {
        Some(at) => measure(arguments.get(at + 1..).unwrap_or_default()),
        None => run(arguments.iter().any(|argument| argument == "--quick")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(quick: bool) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("alived-bench-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let outcome = table(&folder, if quick { 3 } else { 10 });
    fs::remove_dir_all(&folder)?;
    outcome
}

fn table(folder: &Path, runs: usize) -> Result<()> {
    let load = || fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("median of {runs} runs; load of the machine before: {}", load().trim());
    println!(
        "{:<44} {:>10} {:>9} {:>13} {:>9} {:>6} {:>6}",
        "-t of", "alived ms", "KB", "keepalived ms", "KB", "ratio", "twice"
    );
    let file = folder.join("bench.conf");
    fs::write(&file, "")?;
    let start = median(runs, OURS, &file)?;
    let mut earlier: Option<(&'static str, u32, Cost)> = None;
    for row in rows()? {
        fs::write(&file, &row.text)?;
        let ours = median(runs, OURS, &file)?;
        let beside = if row.beside { median(runs, "keepalived", &file).ok() } else { None };
        let twice = earlier
            .filter(|(kind, size, _)| *kind == row.kind && size * 2 == row.size)
            .map(|(_, _, half)| ratio(ours.cpu_us - start.cpu_us, half.cpu_us - start.cpu_us));
        let column = |value: Option<String>| value.unwrap_or_default();
        println!(
            "{:<44} {:>10} {:>9} {:>13} {:>9} {:>6} {:>6}",
            row.name,
            milliseconds(ours.cpu_us),
            ours.memory_kb,
            column(beside.map(|cost| milliseconds(cost.cpu_us))),
            column(beside.map(|cost| cost.memory_kb.to_string())),
            column(beside.map(|cost| ratio(ours.cpu_us, cost.cpu_us))),
            column(twice),
        );
        earlier = Some((row.kind, row.size, ours));
    }
    println!("load of the machine after: {}", load().trim());
    Ok(())
}

fn milliseconds(us: i64) -> String {
    format!("{}.{}", us / 1000, us % 1000 / 100)
}

fn ratio(of: i64, to: i64) -> String {
    format!("{:.2}", of as f64 / to.max(1) as f64)
}

fn rows() -> Result<Vec<Row>> {
    let row = |kind, size, beside, text| Row {
        name: if size == 0 {
            "nothing: the start of the process".to_owned()
        } else {
            format!("{size} {kind}")
        },
        kind,
        size,
        text,
        beside,
    };
    let mut rows = vec![row("", 0, true, String::new())];
    for servers in [5_000, 10_000] {
        let kind = "virtual servers x 10 real servers";
        rows.push(row(kind, servers, true, virtual_servers(servers, 10)?));
    }
    for count in [20_000, 40_000, 80_000, 160_000] {
        // keepalived's checks are quadratic.
        rows.push(row("virtual addresses", count, count <= 20_000, addresses(count)?));
    }
    for count in [4_000, 8_000, 16_000] {
        rows.push(row("virtual routers", count, count <= 4_000, routers(count)?));
    }
    for count in [1_000, 999_000] {
        rows.push(row("faulty lines", count, true, "nonsense here\n".repeat(count as usize)));
    }
    Ok(rows)
}

fn virtual_servers(servers: u32, each: u32) -> Result<String> {
    let mut text = String::new();
    for server in 0..servers {
        let (high, low) = (server / 256, server % 256);
        writeln!(text, "virtual_server 10.{high}.{low}.1 80 {{")?;
        writeln!(text, "    delay_loop 6\n    lvs_sched wrr\n    lvs_method NAT\n    protocol TCP")?;
        for real in 1..=each {
            writeln!(
                text,
                "    real_server 172.16.{low}.{real} 80 {{\n        weight 1\n        TCP_CHECK {{"
            )?;
            writeln!(text, "            connect_timeout 3\n        }}\n    }}")?;
        }
        writeln!(text, "}}")?;
    }
    Ok(text)
}

fn addresses(count: u32) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "vrrp_instance V {{\n    interface lo\n    virtual_router_id 1")?;
    writeln!(
        text,
        "    virtual_ipaddress {{\n        192.0.2.1/24\n    }}\n    virtual_ipaddress_excluded {{"
    )?;
    for index in 0..count {
        writeln!(text, "        10.{}.{}.{}/32", index >> 16, index >> 8 & 255, index & 255)?;
    }
    writeln!(text, "    }}\n}}")?;
    Ok(text)
}

/// As many routers share one interface as there are identifiers; the rest differ by their group.
fn routers(count: u32) -> Result<String> {
    let mut text = String::new();
    for index in 0..count {
        let (group, vrid) = (index / 255, index % 255 + 1);
        writeln!(text, "vrrp_instance V{index} {{\n    interface lo\n    virtual_router_id {vrid}")?;
        writeln!(text, "    mcast_dst_ip 239.0.{group}.1\n    virtual_ipaddress {{")?;
        writeln!(text, "        10.{group}.{vrid}.1/32\n    }}\n}}")?;
    }
    Ok(text)
}

fn median(runs: usize, program: &str, file: &Path) -> Result<Cost> {
    let mut costs = Vec::new();
    while costs.len() < runs {
        let cost = cost(program, file)?;
        costs.push(cost);
        if cost.cpu_us > SLOW_US && costs.len() >= 3 {
            break;
        }
    }
    costs.sort_by_key(|cost| cost.cpu_us);
    costs.get(costs.len() / 2).copied().ok_or_else(|| "no run".into())
}

const MEASURE: &str = "--measure";

/// Runs `program -t -f file`. Its exit status does not matter, its cost does.
fn cost(program: &str, file: &Path) -> Result<Cost> {
    let output = Command::new(std::env::current_exe()?).arg(MEASURE).arg(program).arg(file).output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<i64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        &[cpu_us, memory_kb] if output.status.success() => Ok(Cost { cpu_us, memory_kb }),
        _ => Err(text.into()),
    }
}

/// The other side of [`cost`]: prints microseconds and kilobytes.
fn measure(arguments: &[String]) -> Result<()> {
    let [program, file] = arguments else { return Err("a program and a file".into()) };
    let mut command = Command::new(program);
    command.arg("-t").arg("-f").arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu_us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    println!("{cpu_us} {}", usage.max_rss());
    Ok(())
}
