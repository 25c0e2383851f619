//! Commands that no scene can run: what can be said of them without.

use std::path::Path;
use std::process::Command;

use crate::page::Block;
use crate::{PROGRAM, SOURCE, scene};

/// What a block may need, the programs that it may call then, and who shows that they work.
const NEEDS: &[(&str, &[&str])] = &[
    // tests/run, and the tests of the drill, of the simulator and of the package.
    ("cargo", &["cargo", "rustup", "tests/run", "./tests/run", "fuzz/run", "git", "cd"]),
    // tests/package.rs and tests/daemon_systemd.rs, with a systemd of their own.
    ("systemd", &["systemctl", "journalctl", "systemd-analyze"]),
    // tests/package.rs: the package is built and installed with dpkg.
    ("apt", &["apt-get", "apt", "dpkg"]),
    // tests/daemon_web.rs and tests/daemon_page.rs: a Prometheus and a browser.
    ("http", &["curl", "promtool"]),
    // Works on this machine's own namespaces; tests/drill.rs.
    ("drill", &["alived"]),
];

const NO_COMMANDS: &[&str] = &["text", "json", "toml", "ini", "yaml"];

/// Refuses what is neither run nor marked, and what is marked and wrong.
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn judge(block: Block) {
    let place = &block.place;
    match (&*block.language, block.attribute("elsewhere")) {
        ("console" | "sh", None) => {}
        ("conf", None) => scene::judge(&block.text, place),
        (language, None) if NO_COMMANDS.contains(&language) => {
            let command = block.text.lines().find(|line| {
                ["$ ", "# alived", "alived ", "systemctl "].iter().any(|start| line.starts_with(start))
            });
            assert!(command.is_none(), "{place}: `{command:?}` is a command in a block that has none");
        }
        ("console" | "sh", Some(need)) => {
            let Some((_, programs)) = NEEDS.iter().find(|(name, _)| *name == need) else {
                panic!("{place}: nothing is known of elsewhere={need}")
            };
            for line in commands(&block) {
                let program = line.split(' ').next().unwrap();
                assert!(programs.contains(&program), "{place}: `{line}` is not run by anything");
                if let Err(wrong) = spelled(line) {
                    panic!("{place}: `{line}`: {wrong}");
                }
            }
        }
        (language, need) => panic!("{place}: what is a block of `{language}` ({need:?})?"),
    }
}

/// The commands of a block, one by one, without what explains them.
fn commands(block: &Block) -> Vec<&str> {
    let console = block.language == "console";
    let lines =
        block.text.lines().filter_map(|line| if console { line.strip_prefix("$ ") } else { Some(line) });
    lines
        .flat_map(|line| line.split(" # ").next().unwrap().split(" && "))
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// Whether a command of ours, or of cargo, is one that exists with these flags. Others are not looked at.
pub(crate) fn spelled(command: &str) -> Result<(), String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words[..] {
        ["alived", ref words @ ..] => ours(words),
        ["cargo", "bench", "--bench", name, ..] => exists(&format!("benches/{name}.rs")),
        ["cargo", "run", ref rest @ ..] => match rest.iter().position(|word| *word == "--") {
            Some(at) => ours(&rest[at + 1..]),
            None => Ok(()),
        },
        ["./tests/run" | "tests/run", ref steps @ ..] => {
            let script = std::fs::read_to_string(Path::new(SOURCE).join("tests/run")).unwrap();
            steps.iter().all(|step| script.contains(step)).then_some(()).ok_or_else(|| "no such step".into())
        }
        ["systemctl", _, .., unit] if words.len() > 2 => ["alived", "keepalived", "daemon-reload"]
            .contains(&unit)
            .then_some(())
            .ok_or_else(|| format!("no unit {unit}")),
        _ => Ok(()),
    }
}

fn exists(file: &str) -> Result<(), String> {
    let path = Path::new(SOURCE).join(file);
    let folder = path.with_extension("").join("main.rs");
    if path.exists() || folder.exists() { Ok(()) } else { Err(format!("there is no {file}")) }
}

fn help(words: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(words).arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The words after `alived`. Brackets and capitals stand for what a reader puts there.
fn ours(words: &[&str]) -> Result<(), String> {
    let words: Vec<&str> = words.iter().map(|word| word.trim_matches(['[', ']'])).collect();
    let Some(first) = words.first().filter(|word| **word != "…") else { return Ok(()) };
    let general = help(&[]);
    let is_subcommand = first.starts_with(|c: char| c.is_ascii_lowercase());
    let (help, rest) =
        if is_subcommand { (help(&[first]), &words[1..]) } else { (general.clone(), &words[..]) };
    if is_subcommand && help == general {
        return Err(format!("there is no subcommand {first}"));
    }
    for flag in rest.iter().filter(|word| word.starts_with('-') && word.len() > 1) {
        let name = flag.split(['=', '[', '|']).next().unwrap();
        let name = if name.starts_with("--") { name } else { &name[..2] };
        let known =
            help.split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | '=')).any(|word| word == name);
        if !known {
            return Err(format!("`alived {}` has no {name}", if is_subcommand { first } else { "" }));
        }
    }
    Ok(())
}

#[test]
fn what_is_wrong_is_found() {
    for good in [
        "alived",
        "alived status [NAME] [--watch]",
        "alived -t -f /etc/keepalived/keepalived.conf",
        "alived events [NAME] [-f] [-n COUNT]",
        "cargo bench --bench engine",
        "cargo run --release -- sim --seed 7",
        "ls",
    ] {
        assert_eq!(spelled(good), Ok(()), "{good}");
    }
    for bad in [
        "alived statuses",
        "alived status --whatever",
        "alived --nothing",
        "cargo bench --bench no",
        "alived explain -f VI_1",
    ] {
        spelled(bad).unwrap_err();
    }
}
