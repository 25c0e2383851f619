//! The `alived` program.

fn main() -> std::process::ExitCode {
    alived::cli::main(std::env::args_os())
}
