//! README.md and docs/ as they are read: every command in them is run, what it prints is as shown, every link leads
//! somewhere.
//!
//! Fenced blocks:
//! - `console`: lines that begin with `$ ` are run, the others are what they print. Numbers and durations need not be the
//!   same ones, `…` stands for any text in a line, and for any lines where it is alone.
//! - `sh`: run as a script.
//! - `conf`: a configuration that `alived -t` finds no fault with.
//! - everything else has no commands in it.
//!
//! After the language: `on=gw2` (else gw1), `exit=1` (else 0), `ends=interrupted` for what goes on, `elsewhere=WHAT` for what cannot run here
//! ([`elsewhere`]). Commands run in a scene ([`scene::Scene`]), which a comment begins and others change:
//!
//! ```text
//! <!-- scene: pair -->
//! <!-- on gw2: ip link set eth0 down -->
//! ```
//!
//! `ALIVED_DOCS=show` shows what each command prints and compares nothing, for who writes a page.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_types)]

mod elsewhere;
mod page;
mod scene;
#[path = "../support/second_kernel.rs"]
mod second_kernel;
mod shape;
#[path = "../support/skip.rs"]
mod skip;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use page::Page;
use scene::Kind;

pub(crate) const SOURCE: &str = env!("CARGO_MANIFEST_DIR");
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_alived");

/// README.md, and what is in docs/.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(Path::new(SOURCE).join("docs")).unwrap();
    let mut pages: Vec<PathBuf> = docs
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.push(Path::new(SOURCE).join("README.md"));
    pages.sort();
    pages
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// A test for each page that has scenes.
macro_rules! scenes {
    ($($test:ident: $page:literal,)*) => {
        const WITH_SCENES: &[&str] = &[$($page),*];
        $(#[test]
        fn $test() {
            scene::play(&Page::named($page), &[Kind::Fresh, Kind::Pair]);
        })*
    };
}

scenes! {
    the_readme: "README",
    the_quick_start: "quick-start",
    migrating: "migrating",
    the_cookbook: "cookbook",
    drills: "drills",
    troubleshooting: "troubleshooting",
    security: "security",
    commands: "commands",
    logging: "logging",
    the_control_protocol: "control-protocol",
}

#[test]
fn scenes_with_virtual_servers() {
    second_kernel::run(|| {
        let pages = WITH_SCENES.iter().map(|name| Page::named(name));
        for page in pages.filter(|page| page.scenes().iter().any(|scene| scene == "director")) {
            scene::play(&page, &[Kind::Director]);
        }
    });
}

#[test]
fn no_page_has_commands_that_nobody_runs() {
    for path in pages() {
        let page = Page::read(&path);
        let scenes = page.scenes();
        assert!(
            scenes.is_empty() || WITH_SCENES.contains(&&*name(&path)),
            "{}: list it in scenes!",
            path.display()
        );
        page.blocks().for_each(elsewhere::judge);
    }
    for page in WITH_SCENES {
        assert!(!Page::named(page).scenes().is_empty(), "{page} has no scene");
    }
}

#[test]
fn commands_within_the_text_are_spelled_right() {
    for path in pages() {
        for (line, code) in Page::read(&path).inline() {
            if let Err(wrong) = elsewhere::spelled(&code) {
                panic!("{}:{line}: `{code}`: {wrong}", path.display());
            }
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for path in pages() {
        for (line, target) in Page::read(&path).links() {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(file.exists(), "{}:{line}: there is no {target}", path.display());
            let anchors: BTreeSet<String> = match file.extension() {
                Some(extension) if extension == "md" => Page::read(&file).anchors().collect(),
                _ => BTreeSet::new(),
            };
            assert!(
                anchor.is_empty() || anchors.contains(anchor),
                "{}:{line}: {target} is none of {anchors:?}",
                path.display()
            );
        }
    }
}

#[test]
fn the_readme_is_short_and_leads_to_every_page() {
    let readme = Page::named("README");
    assert!(readme.lines() <= 200, "{} lines; reference belongs into docs/", readme.lines());
    let links: BTreeSet<String> = readme.links().map(|(_, target)| target).collect();
    for path in pages().iter().filter(|path| name(path) != "README") {
        let file = format!("docs/{}.md", name(path));
        assert!(
            links.iter().any(|link| link.split('#').next() == Some(&*file)),
            "README.md does not lead to {file}"
        );
    }
}
