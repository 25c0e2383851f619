//! Reading configurations: ours beside keepalived, in one run.
//!
//! `cargo bench --bench configuration [-- --quick]`. Rows: 10,000 virtual servers with 10 real servers each
//! (660,000 lines), 20,000 and 40,000 virtual addresses, 2,000 and 4,000 virtual routers, 1,000 errors. Each
//! figure is the median of 5 runs (3 with `--quick`) of `-t`: CPU time, as the machine may be busy, and the
//! highest resident memory. keepalived's column is empty where it is not installed.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::print_stdout)]

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What one run of `-t` cost.
#[derive(Clone, Copy)]
struct Cost {
    cpu_ms: i64,
    memory_kb: u64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let runs = if quick { 3 } else { 5 };
    let folder = std::env::temp_dir().join(format!("alived-bench-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let outcome = rows(&folder, runs);
    fs::remove_dir_all(&folder)?;
    outcome
}

fn rows(folder: &Path, runs: usize) -> Result<()> {
    println!(
        "{:<44} {:>10} {:>9} {:>12} {:>9} {:>7}",
        "-t of", "alived ms", "KB", "keepalived", "KB", "ratio"
    );
    let mut earlier: Option<(usize, Cost)> = None;
    for (name, size, text) in [
        ("10,000 virtual servers x 10 real servers", 0, virtual_servers(10_000, 10)?),
        ("20,000 virtual addresses", 20_000, addresses(20_000)?),
        ("40,000 virtual addresses", 40_000, addresses(40_000)?),
        ("2,000 virtual routers", 2_000, routers(2_000)?),
        ("4,000 virtual routers", 4_000, routers(4_000)?),
        ("1,000 errors", 0, "nonsense here\n".repeat(1_000)),
    ] {
        let file = folder.join("bench.conf");
        fs::write(&file, text)?;
        let ours = median(runs, || cost(env!("CARGO_BIN_EXE_alived"), &file))?;
        let beside = median(runs, || cost("keepalived", &file)).ok();
        let column = |value: Option<String>| value.unwrap_or_default();
        println!(
            "{name:<44} {:>10} {:>9} {:>12} {:>9} {:>7}",
            ours.cpu_ms,
            ours.memory_kb,
            column(beside.map(|cost| cost.cpu_ms.to_string())),
            column(beside.map(|cost| cost.memory_kb.to_string())),
            column(beside.map(|cost| format!("{:.2}", ours.cpu_ms as f64 / cost.cpu_ms.max(1) as f64))),
        );
        if let Some((_, before)) = earlier.filter(|(half, _)| half * 2 == size && size > 0) {
            println!(
                "    twice the input costs {:.2} times",
                ours.cpu_ms as f64 / before.cpu_ms.max(1) as f64
            );
        }
        earlier = Some((size, ours));
    }
    Ok(())
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

fn median(runs: usize, mut measure: impl FnMut() -> Result<Cost>) -> Result<Cost> {
    let mut costs = (0..runs).map(|_| measure()).collect::<Result<Vec<Cost>>>()?;
    costs.sort_by_key(|cost| cost.cpu_ms);
    costs.get(runs / 2).copied().ok_or_else(|| "no run".into())
}

/// Runs `program -t -f file`. Its exit status does not matter, its cost does.
fn cost(program: &str, file: &Path) -> Result<Cost> {
    let cpu = || -> Result<i64> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        Ok(usage.user_time().num_milliseconds() + usage.system_time().num_milliseconds())
    };
    let before = cpu()?;
    let mut child = Command::new(program)
        .arg("-t")
        .arg("-f")
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // The high-water mark is gone with the process: look at it while it lives.
    let status = format!("/proc/{}/status", child.id());
    let mut memory_kb = 0;
    while child.try_wait()?.is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let value = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok());
        memory_kb = memory_kb.max(value.unwrap_or(0));
        thread::sleep(Duration::from_millis(2));
    }
    Ok(Cost { cpu_ms: cpu()? - before, memory_kb })
}
