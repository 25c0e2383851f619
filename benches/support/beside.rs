//! What a bench beside keepalived is asked for and compares: `#[path = "support/beside.rs"] mod beside;`.

#![allow(unreachable_pub)]

use std::error::Error;
use std::process::ExitCode;

use alived::drill::{Kind, Program};
use alived::sys::namespace::acquire_privilege;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The command line, and who takes part.
pub struct Beside {
    /// `--quick`.
    pub quick: bool,
    /// keepalived, where it is installed, comes first; `--other=PROGRAM`, another build of ours, last.
    pub contenders: Vec<(&'static str, Program)>,
    rows: Vec<String>,
}

impl Beside {
    /// Whether a row is to be measured: all are unless some are named.
    pub fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted == row)
    }
}

/// Runs a bench where network namespaces are allowed.
pub fn run(bench: impl FnOnce(&Beside) -> Result<()>) -> ExitCode {
    if let Err(forbidden) = acquire_privilege() {
        println!("not run: this machine forbids network namespaces ({})", forbidden.error);
        return ExitCode::SUCCESS;
    }
    match bench(&beside()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn beside() -> Beside {
    let arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (options, rows): (Vec<String>, Vec<String>) = arguments.partition(|a| a.starts_with("--"));
    let ours = Program::new(Kind::Alived, env!("CARGO_BIN_EXE_alived"));
    let plain = Program { arguments: vec!["--realtime=off".to_owned()], ..ours.clone() };
    let mut contenders = vec![("alived", ours), ("alived, no FIFO", plain)];
    let other = options.iter().find_map(|option| option.strip_prefix("--other="));
    contenders.extend(other.map(|path| ("alived, other build", Program::new(Kind::Alived, path))));
    match Program::keepalived() {
        Some(program) => contenders.insert(0, ("keepalived", program)),
        None => println!("keepalived is not installed: ours alone, no ratios"),
    }
    Beside { quick: options.iter().any(|option| option == "--quick"), contenders, rows }
}
