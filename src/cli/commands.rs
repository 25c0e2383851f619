//! Subcommands of our own; keepalived's flags are in [`super::flags`].

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use super::{
    check, completions, control, doctor, drill, genhash, keywords, man, print, protocol, replay, sim,
};

/// The command line after the program's name, where it begins with a subcommand.
#[derive(Debug, Parser)]
#[command(name = "alived", disable_help_subcommand = true, max_term_width = 110)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// All subcommands, in the order of `--help`.
#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Arguments),
    Print(print::Arguments),
    Keywords(keywords::Arguments),
    Status(control::Status),
    Explain(control::Explain),
    Events(control::Events),
    Stats(control::Stats),
    Failover(control::Failover),
    Failback(control::Failback),
    Maintenance(control::Maintenance),
    Drain(control::Drain),
    Weight(control::Weight),
    Restore(control::Restore),
    Plan(control::Plan),
    Reload(control::Reload),
    Restart(control::Restart),
    LogLevel(control::LogLevel),
    Record(control::Record),
    Replay(replay::Arguments),
    Doctor(doctor::Arguments),
    Genhash(genhash::Arguments),
    Protocol(protocol::Arguments),
    Drill(drill::Arguments),
    Sim(sim::Arguments),
    // For who makes packages.
    #[command(hide = true)]
    Man(man::Arguments),
    #[command(hide = true)]
    Completions(completions::Arguments),
    // Processes of the drill.
    #[command(hide = true, name = crate::drill::director::SERVER_SUBCOMMAND)]
    DrillServer(drill::Server),
    #[command(hide = true, name = drill::INIT)]
    DrillKernel(drill::Init),
}

/// Names of the subcommands and what they are for.
pub(super) fn list() -> Vec<(String, String)> {
    let about = |command: &clap::Command| command.get_about().map(ToString::to_string).unwrap_or_default();
    shown().iter().map(|command| (command.get_name().to_owned(), about(command))).collect()
}

/// The subcommands that help texts show.
pub(super) fn shown() -> Vec<clap::Command> {
    let mut whole = command_line();
    // What each of them writes names the program, too.
    whole.build();
    let shown = whole.get_subcommands().filter(|command| !command.is_hide_set());
    shown.cloned().collect()
}

/// The whole command line, but for keepalived's flags.
pub(super) fn command_line() -> clap::Command {
    CommandLine::command()
}

/// Whether that word is a subcommand.
pub(super) fn exists(word: &str) -> bool {
    // The daemon's start does without all that the subcommands are.
    !word.starts_with('-') && CommandLine::command().find_subcommand(word).is_some()
}

/// Runs a subcommand: its name and its arguments.
pub(super) fn run(words: &[OsString]) -> ExitCode {
    let program = OsString::from("alived");
    match CommandLine::try_parse_from(std::iter::once(&program).chain(words)) {
        Ok(line) => match line.command {
            Command::Check(arguments) => check::run(&arguments),
            Command::Print(arguments) => print::run(&arguments),
            Command::Keywords(arguments) => keywords::run(&arguments),
            Command::Status(arguments) => control::status(&arguments),
            Command::Explain(arguments) => control::explain(&arguments),
            Command::Failover(arguments) => control::failover(&arguments),
            Command::Failback(arguments) => control::failback(&arguments),
            Command::Maintenance(arguments) => control::maintenance(&arguments),
            Command::Drain(arguments) => control::drain(&arguments),
            Command::Weight(arguments) => control::weight(&arguments),
            Command::Restore(arguments) => control::restore(&arguments),
            Command::Events(arguments) => control::events(&arguments),
            Command::Stats(arguments) => control::stats(&arguments),
            Command::Plan(arguments) => control::plan(&arguments),
            Command::Reload(arguments) => control::reload(&arguments),
            Command::Restart(arguments) => control::restart(&arguments),
            Command::LogLevel(arguments) => control::log_level(&arguments),
            Command::Record(arguments) => control::record(&arguments),
            Command::Replay(arguments) => replay::run(&arguments),
            Command::Doctor(arguments) => doctor::run(&arguments),
            Command::Genhash(arguments) => genhash::run(&arguments),
            Command::Protocol(arguments) => protocol::run(&arguments),
            Command::Drill(arguments) => drill::main(&arguments),
            Command::Sim(arguments) => sim::main(&arguments),
            Command::Man(arguments) => man::run(&arguments),
            Command::Completions(arguments) => completions::run(&arguments),
            Command::DrillServer(arguments) => drill::serve(&arguments),
            Command::DrillKernel(_) => drill::init(),
        },
        Err(refusal) => {
            // A closed pipe is no error of ours.
            let _ = refusal.print();
            ExitCode::from(if refusal.use_stderr() { usage_status(words) } else { 0 })
        }
    }
}

/// The exit status for a bad command line: one that the subcommand uses for nothing else.
fn usage_status(words: &[OsString]) -> u8 {
    match words.first().and_then(|name| name.to_str()) {
        Some("drill") => drill::EXIT_USAGE,
        Some("sim") => sim::EXIT_USAGE,
        Some("genhash") => super::EXIT_USAGE,
        _ => super::EXIT_USAGE_OF_FILES,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Args;

    use super::*;

    /// Reads the arguments of one subcommand.
    pub(in crate::cli) fn read<T: Args>(words: &[&str]) -> Result<T, String> {
        #[derive(Parser)]
        struct Only<T: Args> {
            #[command(flatten)]
            arguments: T,
        }
        let words = std::iter::once("alived").chain(words.iter().copied());
        Only::<T>::try_parse_from(words).map(|only| only.arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
        assert!(list().iter().all(|(_, about)| !about.is_empty()), "{:?}", list());
        assert!(exists("check") && !exists("chec") && !exists("help"));
    }

    #[test]
    fn every_flag_says_what_it_is_for() {
        for command in CommandLine::command().get_subcommands() {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }
}
