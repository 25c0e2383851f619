//! A program that only simulates, for many seeds: it is built with all that `alived` rests on, and in a fraction of the time
//! that a quick build of `alived` takes.

fn main() -> std::process::ExitCode {
    alived::cli::main(std::env::args_os())
}
