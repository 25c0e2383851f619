//! Whether output is as a page shows it.

use fancy_regex::Regex;

/// What is printed may have other numbers, and other units of time.
const NUMBER: &str = r"\d+(?:[.,]\d+)*(?: (?:us|µs|ms|s|min|h|d)\b)?";

/// Says what is missing where `printed` is not as shown.
pub(crate) fn compare(shown: &[&str], printed: &str) -> Result<(), String> {
    let printed: Vec<&str> = printed.lines().filter(|line| !line.trim().is_empty()).collect();
    let shown: Vec<&str> = shown.iter().copied().filter(|line| !line.trim().is_empty()).collect();
    let mut at = 0;
    // Where a `…` alone allows lines in between.
    let mut gap = false;
    for line in &shown {
        if line.trim() == "…" {
            gap = true;
            continue;
        }
        let pattern = pattern(line);
        let rest = printed.get(at..).unwrap_or_default();
        let found = rest.iter().position(|printed| pattern.is_match(&squeezed(printed)).unwrap());
        match found {
            Some(distance) if gap || distance == 0 => at += distance + 1,
            _ => return Err(format!("no line `{line}` {}", if gap { "in what follows" } else { "there" })),
        }
        gap = false;
    }
    if at < printed.len() && !gap {
        return Err(format!("a line too many: `{}`", printed[at]));
    }
    Ok(())
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn pattern(line: &str) -> Regex {
    let numbers = Regex::new(NUMBER).unwrap();
    let parts = squeezed(line)
        .split('…')
        .map(|part| {
            let mut pattern = String::new();
            let mut end = 0;
            for number in numbers.find_iter(part).map(Result::unwrap) {
                pattern += &fancy_regex::escape(&part[end..number.start()]);
                pattern += NUMBER;
                end = number.end();
            }
            pattern + &fancy_regex::escape(&part[end..])
        })
        .collect::<Vec<_>>();
    Regex::new(&format!("^{}$", parts.join(".*"))).unwrap()
}

#[test]
fn shapes_are_compared() {
    let printed = "VI_1  MASTER  since 850 ms (192.0.2.1)\n\n  peer 192.0.2.3\n  next: in 100 ms\n";
    compare(&["VI_1 MASTER since 3.5 s (192.0.2.7)", "  peer …", "", "  next: in 1 s"], printed).unwrap();
    compare(&["VI_1 MASTER …", "…", "  next: in 1 s"], printed).unwrap();
    compare(&["…"], printed).unwrap();
    for wrong in [
        &["VI_1 MASTER …", "  next: in 1 s"][..],
        &["VI_1 BACKUP …", "…"],
        &["VI_1 MASTER …"],
        &["VI_1 MASTER …", "…", "  next: in a second"],
        &["VI_1 MASTER since 3.5 s", "…"],
    ] {
        compare(wrong, printed).unwrap_err();
    }
}
