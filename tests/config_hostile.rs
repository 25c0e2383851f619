//! Files that are no good: a clear error soon, whatever is in them.
//!
//! Each is judged by the program itself, `alived -t`, with a bound on its memory and on how long it is waited for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use alived::drill::Folder;

/// Kilobytes of address space: 1 GiB, far above what any of them takes and far below what they ask for.
const MEMORY_KB: u32 = 1 << 20;

/// Exit status and messages of `alived -t`.
fn judge(file: &Path) -> (i32, String) {
    let log = file.with_extension("log");
    let mut child = Command::new("/bin/sh")
        .args(["-c", &format!("ulimit -v {MEMORY_KB}; exec \"$0\" -t -f \"$1\"")])
        .arg(env!("CARGO_BIN_EXE_alived"))
        .arg(file)
        .stdin(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{} hangs", file.display());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = fs::read_to_string(&log).unwrap();
    (child.wait().unwrap().code().expect("not killed"), text)
}

/// Judges a text and looks for the words in what is said.
fn expect(folder: &Folder, name: &str, text: impl AsRef<[u8]>, status: i32, words: &str) {
    let file = folder.path().join(name);
    fs::write(&file, text).unwrap();
    let (found, said) = judge(&file);
    let start: String = said.chars().take(2000).collect();
    assert_eq!(found, status, "{name}: {start}");
    assert!(said.contains(words), "{name}: {start}");
    assert!(said.len() < 10 << 20, "{name}: {} bytes of messages", said.len());
}

#[test]
fn expansions_without_end_are_stopped_by_a_named_limit() {
    let folder = Folder::create().unwrap();
    let doubled =
        |first: &str, each: &dyn Fn(u32) -> String| (1..60).fold(first.to_owned(), |text, n| text + &each(n));
    let single =
        doubled("$A0=xxxxxxxxxx\n", &|n| format!("$A{n}=${{A{0}}}${{A{0}}}\n", n - 1)) + "x ${A30}\n";
    let several =
        doubled("$A0= \\\nx \\\ny\n", &|n| format!("$A{n}= \\\n$A{0} \\\n$A{0}\n", n - 1)) + "$A30\n";
    for (name, text, status, words) in [
        ("itself.conf", "include itself.conf\n", 4, "includes itself"),
        ("recursive", "$A=${B}\n$B=${A}\nx ${A}\n", 4, "contains itself"),
        ("recursive-lines", "$A= \\\n$A \\\nx\n$A\n", 4, "does one contain itself?"),
        ("sequence", "~SEQ(N,1,2000000000) x${N}\n", 4, "--limit expanded-lines="),
        ("down", "~SEQ(N,2147483647,-1,-2147483648) x\n", 4, "--limit expanded-lines="),
        ("nested", "~SEQ(A,1,1000) ~SEQ(B,1,1000) ~SEQ(C,1,1000) # x\n", 4, "more than 1000000 lines"),
        ("doubling", &single, 4, "--limit expanded-bytes="),
        ("doubling-lines", &several, 5, "--limit errors="),
    ] {
        expect(&folder, name, text, status, words);
    }
    let (a, b) = (folder.path().join("a.conf"), folder.path().join("b.conf"));
    fs::write(&a, "include b.conf\n").unwrap();
    fs::write(&b, "include a.conf\n").unwrap();
    let (status, said) = judge(&a);
    assert_eq!(status, 4);
    assert!(said.contains("includes itself") && said.contains("b.conf"), "{said}");
}

#[test]
fn masses_of_anything_are_refused_or_counted() {
    let folder = Folder::create().unwrap();
    expect(&folder, "large", vec![b'#'; 65 << 20], 4, "--limit file-bytes=");
    expect(&folder, "deep", "a {\n".repeat(10_000), 5, "nested more than 32 deep");
    expect(&folder, "deep-line", "{".repeat(1000), 5, "belongs to no keyword");
    expect(&folder, "closing", "}\n".repeat(10_000), 5, "10000 errors");
    expect(&folder, "faults", "nonsense here\n".repeat(999_000), 5, "reading ended after 100000 errors");
    expect(&folder, "lines", "x\n".repeat(1 << 22), 5, "reading ended after 100000 errors");
    let block = format!("vrrp_instance A {{\n{}}}\n", "x\n".repeat(2_000_001));
    expect(&folder, "block", block, 5, "--limit block-lines=");
    expect(&folder, "nul", "\0\n".repeat(200_000), 5, "reading ended after 100000 errors");
    expect(&folder, "line", "x".repeat(60 << 20), 5, "lines over 1023 bytes are ignored");
    expect(&folder, "thousand", "nonsense\n".repeat(1_000), 5, "1000 errors, 0 warnings\n");
}

#[test]
fn strange_bytes_are_named() {
    let folder = Folder::create().unwrap();
    let good = "global_defs {\n router_id a\n}\n";
    expect(&folder, "crlf", good.replace('\n', "\r\n"), 0, "");
    expect(&folder, "mark", format!("\u{feff}{good}"), 0, "byte-order mark");
    expect(&folder, "nul", good.replace('a', "\0"), 5, "NUL byte");
    expect(&folder, "latin", b"global_defs {\n router_id caf\xe9\n}\n", 5, "not UTF-8");
    expect(&folder, "latin-comment", b"# caf\xe9\n", 0, "");
    let bytes: Vec<u8> = (0..=255).cycle().take(1 << 17).collect();
    expect(&folder, "binary", bytes, 5, "NUL byte");
    let wide: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    expect(&folder, "wide", wide, 5, "NUL byte");
}

#[test]
fn what_is_no_file_is_named_and_never_waited_for() {
    let folder = Folder::create().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("directory")).unwrap();
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    symlink("nowhere", path("dangling")).unwrap();
    symlink("loop", path("loop")).unwrap();
    fs::write(path("program"), "x\n").unwrap();
    fs::set_permissions(path("program"), fs::Permissions::from_mode(0o755)).unwrap();
    for (name, words) in [
        ("directory", "is a directory"),
        ("fifo", "is a FIFO"),
        ("dangling", "there is no file"),
        ("absent", "there is no file"),
        ("loop", "symbolic links"),
        ("program", "execute permission"),
    ] {
        let (status, said) = judge(&path(name));
        assert_eq!(status, 4, "{name}: {said}");
        assert!(said.contains(words), "{name}: {said}");
        let skipped = if name == "dangling" || name == "absent" { "" } else { words };
        expect(&folder, "includes", format!("include {name}\n"), 0, skipped);
        expect(&folder, "demands", format!("includem {name}\n"), 6, skipped);
    }
    // As files that vanish between the search for them and reading: the pattern finds the link, not its end.
    symlink("nowhere", path("gone.inc")).unwrap();
    expect(&folder, "vanishing", "include *.inc\n", 0, "there is no file");
    expect(&folder, "vanishing", "includer *.inc\n", 6, "there is no file");
    // A file of the kernel that gives its text when there is some: it is there for root only, and not waited for.
    expect(&folder, "devices", "include /dev/zero\ninclude /proc/kmsg\n", 0, "FIFO, socket or device");
}
