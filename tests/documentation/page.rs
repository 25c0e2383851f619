//! A page of Markdown, as far as these tests need it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::SOURCE;

/// One page.
pub(crate) struct Page {
    path: PathBuf,
    text: String,
}

/// What a page has of interest, in its order.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    /// `<!-- scene: NAME -->`: its name.
    Scene(String),
    /// `<!-- on HOST: COMMAND -->`, which may have many lines.
    Change {
        host: String,
        script: String,
    },
    Block(Block),
}

/// A fenced block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// File and line.
    pub(crate) place: String,
    pub(crate) language: String,
    attributes: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Block {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }
}

impl Page {
    pub(crate) fn named(name: &str) -> Self {
        let folder = Path::new(SOURCE);
        let path =
            if name == "README" { folder.join("README.md") } else { folder.join(format!("docs/{name}.md")) };
        Self::read(&path)
    }

    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path: path.to_owned(), text }
    }

    pub(crate) fn lines(&self) -> usize {
        self.text.lines().count()
    }

    pub(crate) fn place(&self, line: usize) -> String {
        let file = self.path.strip_prefix(SOURCE).unwrap_or(&self.path);
        format!("{}:{line}", file.display())
    }

    pub(crate) fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut lines = self.text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            let place = self.place(at + 1);
            if let Some(first) = line.strip_prefix("```") {
                let mut words = first.split_whitespace();
                let language = words.next().unwrap_or("").to_owned();
                let attributes = words
                    .map(|word| {
                        word.split_once('=').unwrap_or_else(|| panic!("{place}: `{word}` has no value"))
                    })
                    .map(|(key, value)| (key.to_owned(), value.to_owned()));
                let attributes = attributes.collect();
                let body: Vec<&str> =
                    lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
                parts.push(Part::Block(Block { place, language, attributes, text: body.join("\n") }));
            } else if let Some(first) = line.strip_prefix("<!-- ") {
                let mut comment = vec![first];
                while !comment.last().unwrap().ends_with("-->") {
                    comment.push(lines.next().unwrap_or_else(|| panic!("{place}: a comment without end")).1);
                }
                let comment = comment.join("\n");
                let comment = comment.trim_end_matches("-->").trim();
                parts.push(match comment.split_once(": ") {
                    Some(("scene", name)) => Part::Scene(name.to_owned()),
                    Some((words, script)) if words.starts_with("on ") => {
                        Part::Change { host: words[3..].to_owned(), script: script.to_owned() }
                    }
                    _ => panic!("{place}: a comment of no known kind"),
                });
            } else {
                assert!(!line.contains("```") && !line.contains("<!--"), "{place}: begins within a line");
            }
        }
        parts
    }

    /// The names of its scenes.
    pub(crate) fn scenes(&self) -> Vec<String> {
        let scene = |part| if let Part::Scene(name) = part { Some(name) } else { None };
        self.parts().into_iter().filter_map(scene).collect()
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block> {
        self.parts()
            .into_iter()
            .filter_map(|part| if let Part::Block(block) = part { Some(block) } else { None })
    }

    /// The lines outside of blocks and comments, with their numbers.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let (mut fenced, mut comment) = (false, false);
        self.text.lines().enumerate().filter_map(move |(at, line)| {
            if line.starts_with("```") {
                fenced = !fenced;
                return None;
            }
            comment |= !fenced && line.starts_with("<!--");
            let prose = !fenced && !comment;
            comment &= !line.ends_with("-->");
            prose.then_some((at + 1, line))
        })
    }

    /// What stands between backticks within a line.
    pub(crate) fn inline(&self) -> impl Iterator<Item = (usize, String)> {
        self.prose().flat_map(|(line, text)| {
            text.split('`').skip(1).step_by(2).map(move |code| (line, code.replace("\\|", "|")))
        })
    }

    /// Where its links lead, but for those to other machines.
    pub(crate) fn links(&self) -> impl Iterator<Item = (usize, String)> {
        self.prose().flat_map(|(line, text)| {
            let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            targets.filter(|target| !target.contains("://")).map(move |target| (line, target.to_owned()))
        })
    }

    /// What links to its headings may name.
    pub(crate) fn anchors(&self) -> impl Iterator<Item = String> {
        self.prose().filter_map(|(_, line)| {
            let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
            let kept = heading.to_lowercase();
            let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            Some(kept.map(|c| if c == ' ' { '-' } else { c }).collect())
        })
    }
}
