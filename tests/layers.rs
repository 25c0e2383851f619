//! The architecture holds: which module may use which, where effects and `unsafe` may be, how long files are.
//!
//! Reads the sources as text. `crate::` paths count wherever they stand, and `super::` chains that reach the
//! crate's root; comments and strings do not.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module of `src/` with its layer. A module uses modules of lower layers only, or itself.
const LAYERS: &[(&str, u8)] = &[
    ("time", 0),
    ("timer", 0),
    ("prng", 0),
    ("secret", 0),
    ("net", 0),
    ("wire", 1),
    ("kernel", 1),
    ("wanted", 2),
    ("vrrp", 2),
    ("track", 2),
    ("bfd", 2),
    ("lvs", 2),
    ("check", 2),
    ("sys", 2),
    ("node", 3),
    ("notify", 3),
    ("config", 4),
    ("status", 4),
    ("control", 4),
    ("recording", 4),
    ("sim", 4),
    ("daemon", 5),
    ("cli", 6),
    ("drill", 6),
];

/// The module of layer 2 that engines, blind to each other, may use.
const BELOW_ENGINES: &str = "wanted";

/// Modules that may touch the world outside the process.
const EFFECTS: &[&str] = &["sys", "daemon", "cli", "drill"];

/// The roots of programs, which call `cli`.
const PROGRAMS: &[&str] = &["main", "simulate"];

/// What only [`EFFECTS`] may name.
const EFFECTFUL_PATHS: &[&str] = &[
    "std::env::",
    "std::fs",
    "std::os::",
    "std::process",
    "std::thread",
    "libc::",
    "netlink_sys::",
    "nix::",
    "sd_notify::",
    "socket2::",
    "tokio::",
    "eprintln!",
    "println!",
];

/// Names among these without an effect: the library of HTTP/2 takes its connection by these traits, which two buffers
/// satisfy.
const PURE_IMPORTS: &[&str] = &["use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};"];

const LINES_MAX: usize = 800;

#[test]
fn the_architecture_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut violations = Vec::new();
    let sources = rust_files(&root.join("src"));
    assert!(sources.len() > 10, "the sources are read");
    for path in &sources {
        let text = fs::read_to_string(path).unwrap();
        let name = path.strip_prefix(root.join("src")).unwrap();
        violations.extend(check(&name.to_string_lossy(), &text));
    }
    for folder in ["src", "tests", "benches", "fuzz/fuzz_targets"] {
        for path in rust_files(&root.join(folder)) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            if lines > LINES_MAX {
                violations.push(format!("{}: {lines} lines, split it before {LINES_MAX}", path.display()));
            }
        }
    }
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let nested =
        paths.into_iter().flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    nested.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// What is wrong with the file `name` (relative to `src/`), line by line.
fn check(name: &str, text: &str) -> Vec<String> {
    let layers: BTreeMap<&str, u8> = LAYERS.iter().copied().collect();
    let segments: Vec<&str> = name.trim_end_matches(".rs").split('/').filter(|s| *s != "mod").collect();
    let own = segments[0];
    if own == "lib" || PROGRAMS.contains(&own) {
        // The root names all modules; programs call `cli`.
        return lifted_bans(name, own, &code(text));
    }
    let Some(&own_layer) = layers.get(own) else {
        return vec![format!("{name}: module `{own}` has no layer: add it to LAYERS")];
    };

    let code = code(text);
    let mut violations = lifted_bans(name, own, &code);
    for (line, used) in used_modules(&code, segments.len()) {
        let Some(&layer) = layers.get(used.as_str()) else { continue };
        let fits = used == own
            || layer < own_layer
                && !(layer == 2 && sees_no_engine(own) || used == "sys" && !has_effects(own))
            || layer == own_layer && matches!(layer, 0 | 6)
            || used == BELOW_ENGINES && own_layer == 2 && !sees_no_engine(own);
        if !fits {
            violations.push(format!("{name}:{line}: `{own}` must not use `{used}`"));
        }
    }
    violations
}

fn sees_no_engine(module: &str) -> bool {
    module == "sys"
}

fn has_effects(module: &str) -> bool {
    EFFECTS.contains(&module) || PROGRAMS.contains(&module)
}

/// `unsafe` outside `sys`, and effects or lifted bans outside [`EFFECTS`].
fn lifted_bans(name: &str, own: &str, code: &str) -> Vec<String> {
    let mut violations = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        let names = |path: &str| {
            let starts_word = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            line.match_indices(path).any(|(at, _)| starts_word(at))
        };
        if own != "sys" && (names("unsafe ") || names("unsafe_code")) {
            violations.push(format!("{name}:{number}: `unsafe` belongs to `sys`"));
        }
        if has_effects(own) {
            continue;
        }
        if names("clippy::disallowed_") {
            violations.push(format!("{name}:{number}: only {EFFECTS:?} lift the bans of clippy.toml"));
        }
        if PURE_IMPORTS.contains(&line.trim()) {
            continue;
        }
        for path in EFFECTFUL_PATHS.iter().filter(|path| names(path)) {
            violations.push(format!("{name}:{number}: `{path}` belongs to {EFFECTS:?}"));
        }
    }
    violations
}

/// The top-level modules that a file uses, by line. `depth` is the number of modules the file is nested in.
fn used_modules(code: &str, depth: usize) -> Vec<(usize, String)> {
    let to_root = "super::".repeat(depth);
    let mut used = Vec::new();
    for prefix in ["crate::", &to_root] {
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '$')) {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            used.extend(heads(&code[at + prefix.len()..]).into_iter().map(|head| (line, head)));
        }
    }
    used
}

/// The first names of the paths that begin here: one, or those of a group in braces.
fn heads(rest: &str) -> Vec<String> {
    let identifier =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let Some(group) = rest.strip_prefix('{') else { return vec![identifier(rest)] };
    let (mut level, mut start, mut heads) = (0, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => level += 1,
            '}' if level > 0 => level -= 1,
            ',' | '}' if level == 0 => {
                heads.push(identifier(&group[start..at]));
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    heads
}

/// `text` with comments, strings and character literals blanked out, line by line.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if let Some(hashes) = raw_string(rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            rest[open..].find(&end).map_or(rest.len(), |at| open + at + end.len())
        } else if first == '"' {
            string_length(rest)
        } else if first == '\'' {
            character_length(rest)
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let (blank, after) = rest.split_at(length.max(1));
        code.extend(blank.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    code
}

/// Number of hashes of a raw string that begins here.
fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// A character literal's length, or 1 for the quote of a lifetime.
fn character_length(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((at, _))) => rest[at + 1..].find('\'').map_or(1, |end| at + 1 + end + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[test]
fn a_bad_file_is_noticed() {
    let bad = |name: &str, text: &str| check(name, text).len();

    assert_eq!(bad("wire/vrrp/decode.rs", "use crate::node::HaNode;"), 1);
    assert_eq!(bad("wire/vrrp/decode.rs", "use crate::kernel::Link;"), 1, "siblings are blind to each other");
    assert_eq!(bad("wire/vrrp/decode.rs", "fn f() { let x = crate::vrrp::default_group(y); }"), 1, "inline");
    assert_eq!(bad("wire/vrrp/decode.rs", "use super::super::super::vrrp::State;"), 1, "by way of the root");
    assert_eq!(bad("wire/ip.rs", "use crate::{net::Family, node::{A, B}, sys::C};"), 2, "grouped");
    assert_eq!(bad("vrrp/router.rs", "use crate::sys::clock;"), 1);
    assert_eq!(bad("vrrp/router.rs", "use crate::bfd::Session;"), 1);
    assert_eq!(bad("sys/mod.rs", "use crate::vrrp::Action;"), 1);
    assert_eq!(bad("sys/mod.rs", "use crate::wanted::Kind;"), 1);
    assert_eq!(bad("wanted/mod.rs", "use crate::vrrp::State; use crate::sys::clock;"), 2);
    assert_eq!(bad("node/mod.rs", "use crate::sys::clock;"), 1, "node and sys meet in daemon alone");
    assert_eq!(bad("sim/mod.rs", "use crate::sys::clock;"), 1);
    assert_eq!(bad("config/mod.rs", "use crate::sim::Cluster;"), 1);
    assert_eq!(bad("daemon/mod.rs", "use crate::cli::Flags;"), 1);
    assert_eq!(bad("surprise/mod.rs", ""), 1, "a module without a layer");

    assert_eq!(bad("net/mod.rs", "#![allow(unsafe_code)]"), 1);
    assert_eq!(bad("daemon/mod.rs", "fn f() { unsafe { g() } }"), 1);
    assert_eq!(bad("node/mod.rs", "#![allow(clippy::disallowed_methods)]"), 1);
    assert_eq!(bad("lib.rs", "#![allow(clippy::disallowed_types)]"), 1);
    assert_eq!(
        bad("sim/mod.rs", "#[expect(\n clippy::disallowed_types)] fn f() { std::thread::spawn(g); }"),
        2
    );
    assert_eq!(bad("config/mod.rs", "use std::fs;"), 1);
    assert_eq!(bad("vrrp/router.rs", "println!(\"{x}\");"), 1);
}

#[test]
fn a_good_file_passes() {
    let good = |name: &str, text: &str| assert_eq!(check(name, text), Vec::<String>::new());
    good("timer.rs", "use crate::time::Instant;");
    good("wire/vrrp/decode.rs", "use crate::net::Family; use crate::wire::ip; use super::super::ip;");
    good(
        "vrrp/router.rs",
        "/// See [`crate::node::HaNode`].\n// crate::sys\n/* crate::cli */ use crate::wire::ip;",
    );
    good(
        "vrrp/router.rs",
        r##"const A: &str = "crate::sys \" unsafe"; const B: &str = r#"crate::sys " "#;"##,
    );
    good(
        "vrrp/router.rs",
        "const QUOTE: char = '\"'; fn f<'a>(x: &'a str) -> char { '\\'' } // \" crate::sys",
    );
    good("vrrp/router.rs", "use crate::wanted::WantedSet;");
    good("sys/mod.rs", "#![allow(clippy::disallowed_methods)] use crate::kernel::Link; use std::fs;");
    good("sys/process.rs", "#![allow(unsafe_code)] fn f() { unsafe { g() } }");
    good("daemon/mod.rs", "#![allow(clippy::disallowed_types)] use crate::{node::HaNode, sys::clock};");
    good("drill/mod.rs", "use crate::cli::Terminal; use crate::sys::clock;");
    good("main.rs", "fn main() { alived::cli::main() }");
    good("net/mod.rs", "fn f(offset: u8) { my_libc::f(offset) }");
}
