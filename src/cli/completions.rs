//! `alived completions`: what a shell needs to complete the command line.

use std::process::ExitCode;

use clap::{Arg, ArgAction, Args, ValueHint};
use clap_complete::Shell;

use super::commands;
use super::flags::{Argument, FLAGS, Flag};

/// Print completions for a shell
///
/// For bash: `alived completions bash >/etc/bash_completion.d/alived`. Packages have those of bash, fish and zsh.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut command_line(), "alived", &mut text);
    super::print(&String::from_utf8_lossy(&text));
    ExitCode::SUCCESS
}

/// All of it: the subcommands, and keepalived's flags, which are read by getopt's rules and not by clap.
fn command_line() -> clap::Command {
    commands::command_line().disable_help_flag(true).args(FLAGS.iter().map(argument))
}

fn argument(flag: &Flag) -> Arg {
    let argument = Arg::new(flag.long).long(flag.long).help(flag.help);
    let argument = match flag.short {
        Some(short) => argument.short(short),
        None => argument,
    };
    let what = match flag.argument {
        Argument::None => return argument.action(ArgAction::SetTrue),
        Argument::Required(what) | Argument::Optional(what) => what,
    };
    let hint = match what {
        "FILE" | "LOG" | "SOCKET" => ValueHint::FilePath,
        _ => ValueHint::Other,
    };
    let argument = argument.value_name(what).value_hint(hint);
    match flag.argument {
        Argument::Optional(_) => argument.num_args(0..=1).require_equals(true),
        _ => argument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_subcommands_are_completed() {
        command_line().debug_assert();
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command_line(), "alived", &mut text);
            let text = String::from_utf8(text).unwrap();
            for word in ["dont-fork", "vrrp_pid", "failover", "over-restart"] {
                assert!(text.contains(word), "{shell}: {word}");
            }
        }
    }
}
