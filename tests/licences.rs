//! Everything that goes into the program may be used under a permissive licence, and nothing around it is
//! copyleft.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Licences that let the program be distributed under MIT or Apache-2.0.
const PERMISSIVE: &[&str] =
    &["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "Unlicense", "Zlib"];

/// Also fine in what only builds or tests the program.
const PERMISSIVE_TOOLS: &[&str] = &["Unicode-3.0", "Unicode-DFS-2016", "CC0-1.0", "BSL-1.0"];

#[test]
fn every_dependency_is_permissive() {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();

    let packages: BTreeMap<&str, &Value> =
        list(&metadata["packages"]).map(|package| (text(&package["id"]), package)).collect();
    let shipped = shipped(&metadata, &packages);
    assert!(shipped.len() > 3 && shipped.len() < packages.len(), "the graph was understood");

    let mut violations = Vec::new();
    for (id, package) in packages {
        let licence = text(&package["license"]);
        let tools = if shipped.contains(id) { &[][..] } else { PERMISSIVE_TOOLS };
        if !satisfied(licence, &|name| PERMISSIVE.contains(&name) || tools.contains(&name)) {
            violations.push(format!("{}: {licence:?}", text(&package["name"])));
        }
    }
    assert!(violations.is_empty(), "not permissive: {violations:?}");
}

#[test]
fn every_library_has_a_row_in_the_documentation() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let used: BTreeSet<String> = ["dependencies", "dev-dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|section| manifest.get(section)?.as_table())
        .flat_map(|section| section.keys().cloned())
        .collect();
    assert!(used.contains("libc") && used.contains("proptest"), "the manifest was understood");

    let described: BTreeSet<String> = read("docs/libraries.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .filter(|names| *names != "library")
        .flat_map(|names| names.split(", ").map(str::to_owned))
        .collect();
    let missing: Vec<_> = used.difference(&described).collect();
    assert!(missing.is_empty(), "in Cargo.toml without a row in docs/libraries.md: {missing:?}");
    let gone: Vec<_> = described.difference(&used).collect();
    assert!(gone.is_empty(), "in docs/libraries.md, but not in Cargo.toml: {gone:?}");
}

/// The packages whose code is in the program: normal dependencies, and theirs, without procedural macros.
fn shipped<'a>(metadata: &'a Value, packages: &BTreeMap<&str, &Value>) -> BTreeSet<&'a str> {
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata["resolve"]["nodes"]).map(|node| (text(&node["id"]), node)).collect();
    let mut shipped = BTreeSet::new();
    let mut waiting = vec![text(&metadata["resolve"]["root"])];
    while let Some(id) = waiting.pop() {
        let is_macro = list(&packages[id]["targets"])
            .any(|target| list(&target["kind"]).any(|kind| kind == "proc-macro"));
        if is_macro || !shipped.insert(id) {
            continue;
        }
        let normal = list(&nodes[id]["deps"])
            .filter(|dependency| list(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null()));
        waiting.extend(normal.map(|dependency| text(&dependency["pkg"])));
    }
    shipped
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// Whether an SPDX expression can be met: one side of `OR` (or the old `/`), both sides of `AND`.
fn satisfied(expression: &str, permitted: &dyn Fn(&str) -> bool) -> bool {
    let expression = expression.replace('/', " OR ");
    let expression = expression.trim();
    if let Some((left, right)) = split(expression, " OR ") {
        return satisfied(left, permitted) || satisfied(right, permitted);
    }
    if let Some((left, right)) = split(expression, " AND ") {
        return satisfied(left, permitted) && satisfied(right, permitted);
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => satisfied(inner, permitted),
        // "Apache-2.0 WITH LLVM-exception" permits more than without.
        None => permitted(expression.split(" WITH ").next().unwrap()),
    }
}

/// Splits at the first `operator` outside parentheses.
fn split<'a>(expression: &'a str, operator: &str) -> Option<(&'a str, &'a str)> {
    let outside = |at: &usize| {
        let before = &expression[..*at];
        before.matches('(').count() == before.matches(')').count()
    };
    let at = expression.match_indices(operator).map(|(at, _)| at).find(outside)?;
    Some((&expression[..at], &expression[at + operator.len()..]))
}

#[test]
fn expressions_are_understood() {
    let permissive = |expression: &str| satisfied(expression, &|name| PERMISSIVE.contains(&name));
    for good in
        ["MIT", "MIT/Apache-2.0", "GPL-2.0 OR MIT", "(MIT OR Apache-2.0) AND ISC", "MIT AND (ISC OR X)"]
    {
        assert!(permissive(good), "{good}");
    }
    assert!(permissive("Apache-2.0 WITH LLVM-exception OR X"));
    for bad in ["", "GPL-3.0-or-later", "MIT AND LGPL-3.0", "(MIT OR ISC) AND Unicode-3.0", "MPL-2.0"] {
        assert!(!permissive(bad), "{bad}");
    }
}
