//! The text of `--help`.

use std::fmt::Write;

use super::commands;
use super::flags::{Argument, FLAGS};

pub(super) const EXAMPLES: &str = "  alived -t -f my.conf             judge a configuration
  alived -n -l -f my.conf          run it in the foreground, log lines on the terminal
  alived                           run /etc/keepalived/keepalived.conf in the background
  kill -$(alived --signum=RELOAD) $(cat /run/keepalived.pid)
                                   read the configuration again
  alived explain VI_1              why it is master or is not, and what would change that
  alived failover all --for 30m    hand over to the other router without losing a packet
  alived maintenance on --for 2h   the same, and stay out of the election whatever happens
  alived drain 10.0.0.1:80         take a real server out of service without cutting connections
  alived drill                     try failovers on this machine, in network namespaces
";

pub(super) const SIGNALS: &str = "\
STOP RELOAD DATA STATS STATS_CLEAR JSON TDUMP SWITCHOVER SWITCHBACK.
Send them to the process named in /run/keepalived.pid.";

pub(super) const EXIT_STATUS: &str = "\
0 stopped in order, or already running; 1 cannot run; 2 error in the configuration;
4 permission missing; of -t: 0 clean, 4 unreadable, 5 something to correct, 6 insecure script.";

/// The whole help. `program` is the name it was started under.
pub(super) fn text(program: &str) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{program} keeps addresses alive: VRRP routers for Linux, configured by keepalived.conf.\n\n\
         Usage:\n  {program} [FLAG...]             run the daemon"
    );
    if program != "keepalived" {
        let _ = writeln!(
            text,
            "  {program} SUBCOMMAND [ARG...]   see {program} SUBCOMMAND --help\n\nSubcommands:"
        );
        for (name, help) in commands::list() {
            let _ = writeln!(text, "  {name:<11} {help}");
        }
    }
    let _ = writeln!(text, "\nExamples:\n{EXAMPLES}\nFlags:");
    for flag in FLAGS {
        let short = flag.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
        let argument = match flag.argument {
            Argument::None => String::new(),
            Argument::Required(what) => format!("={what}"),
            Argument::Optional(what) => format!("[={what}]"),
        };
        let left = format!("{short}--{}{argument}", flag.long);
        let gap = if left.len() > 30 { format!("\n{:34}", "") } else { String::new() };
        let _ = writeln!(text, "  {left:<31} {gap}{}", flag.help);
    }
    let _ = writeln!(text, "\nSignals (--signum): {SIGNALS}\n\nExit status: {EXIT_STATUS}");
    text
}
