//! Words, statements and blocks: everything that needs no knowledge of keywords.
//!
//! Statements come in batches, each ending with a closed block of the outermost level or after so many
//! statements without block, so that a file of any length costs the memory of its largest block.

mod unclosed;

use super::diagnostics::{Diagnostic, Diagnostics, Status};
use super::expand::{Expander, Line};
use super::limits::{Limits, advice};
use super::schema::{Context, schema};
use super::source::{Position, SourceMap, Span};

const NONE: u32 = u32::MAX;

/// Statements of the outermost level that are gathered at most before they are handed on.
const BATCH: usize = 4096;

/// A statement: a keyword, its arguments, perhaps a block.
#[derive(Clone, Copy, Debug)]
struct Node {
    words: u32,
    word_count: u32,
    /// From the first word to the last, quotes included.
    text: Span,
    open: Option<Position>,
    close: Option<Position>,
    first_child: u32,
    next: u32,
}

/// Statements in the order they were written.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    words: Vec<Span>,
    /// The block whose `}` is missing.
    unclosed: Option<u32>,
}

/// A statement of a [`Tree`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement<'t> {
    tree: &'t Tree,
    index: u32,
}

impl Tree {
    fn clear(&mut self) {
        self.nodes.clear();
        self.words.clear();
        self.unclosed = None;
    }

    /// First word of a statement.
    fn keyword<'s>(&self, node: u32, sources: &'s SourceMap) -> &'s str {
        let node = self.nodes.get(node as usize);
        node.and_then(|node| self.words.get(node.words as usize)).map_or("", |word| sources.text(*word))
    }

    fn push(&mut self, words: u32, text: Span) -> u32 {
        let index = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        self.nodes.push(Node {
            words,
            word_count: u32::try_from(self.words.len()).unwrap_or(NONE) - words,
            text,
            open: None,
            close: None,
            first_child: NONE,
            next: NONE,
        });
        index
    }

    /// The outermost statements.
    pub(super) fn statements(&self) -> Statements<'_> {
        Statements { tree: self, next: if self.nodes.is_empty() { NONE } else { 0 } }
    }
}

/// Statements of one block.
#[derive(Clone, Debug)]
pub(crate) struct Statements<'t> {
    tree: &'t Tree,
    next: u32,
}

impl<'t> Iterator for Statements<'t> {
    type Item = Statement<'t>;

    fn next(&mut self) -> Option<Statement<'t>> {
        let node = self.tree.nodes.get(self.next as usize)?;
        let statement = Statement { tree: self.tree, index: self.next };
        self.next = node.next;
        Some(statement)
    }
}

impl<'t> Statement<'t> {
    fn node(self) -> Node {
        // A statement is only made with an index of its tree.
        self.tree.nodes[self.index as usize]
    }

    /// Its words; never empty. The first is the keyword.
    pub(crate) fn words(self) -> &'t [Span] {
        let node = self.node();
        let start = node.words as usize;
        &self.tree.words[start..start + node.word_count as usize]
    }

    /// From the first word to the last, quotes included.
    pub(crate) fn text(self) -> Span {
        self.node().text
    }

    /// Where its block opens.
    pub(crate) fn block(self) -> Option<Span> {
        self.node().open.map(|start| Span { start, length: 1 })
    }

    /// Whether its block is closed; true without block.
    pub(crate) fn is_closed(self) -> bool {
        let node = self.node();
        node.open.is_none() || node.close.is_some()
    }

    /// Whether it stands where it does for want of a `}` above, as far as can be told: it comes after the
    /// block whose `}` is missing.
    pub(crate) fn is_adrift(self) -> bool {
        self.tree.unclosed.is_some_and(|unclosed| unclosed < self.index)
    }

    /// The statements of its block.
    pub(crate) fn children(self) -> Statements<'t> {
        Statements { tree: self.tree, next: self.node().first_child }
    }
}

struct OpenBlock {
    node: u32,
    last_child: u32,
}

/// Cuts lines into statements.
pub(super) struct Parser<'h> {
    /// Gives the lines.
    pub expander: Expander<'h>,
    diagnostics: &'h Diagnostics,
    tree: Tree,
    stack: Vec<OpenBlock>,
    last_root: u32,
    /// The outermost statement before the last one.
    root_before: u32,
    /// A statement that belongs to the next batch: its block may follow.
    held: Option<(Vec<Span>, Span)>,
    /// The outermost block that was closed last, and its `}`.
    last_closed: Option<(Span, Position)>,
    /// The outermost block that came last has no `{`.
    headless: bool,
    strays: Vec<(Position, Position)>,
    limits: Limits,
}

impl<'h> Parser<'h> {
    /// Reads from `expander`.
    pub(super) fn new(expander: Expander<'h>, diagnostics: &'h Diagnostics, limits: Limits) -> Self {
        Self {
            expander,
            diagnostics,
            tree: Tree::default(),
            stack: Vec::new(),
            last_root: NONE,
            root_before: NONE,
            held: None,
            last_closed: None,
            headless: false,
            strays: Vec::new(),
            limits,
        }
    }

    /// Where statements were left outside of all blocks by a `}` too many: from the end of the block that was
    /// closed too early to the `}` that then closes nothing.
    pub(super) fn strays(&self) -> &[(Position, Position)] {
        &self.strays
    }

    /// Reads the next batch; `None` at the end. Blocks that are not closed at the end are reported here, and
    /// say so ([`Statement::is_closed`]).
    pub(super) fn next_batch(&mut self) -> Option<(&Tree, &SourceMap)> {
        self.headless = self.is_headless();
        self.tree.clear();
        (self.last_root, self.root_before) = (NONE, NONE);
        if let Some((words, text)) = self.held.take() {
            self.tree.words.extend(words);
            self.add(0, text);
        }
        loop {
            let Some(line) = self.expander.next_line() else {
                if !self.stack.is_empty() && !self.expander.stopped() {
                    self.report_unclosed();
                }
                self.stack.clear();
                break;
            };
            if !self.line(line) {
                self.stack.clear();
                return None;
            }
            let last = self.tree.nodes.get(self.last_root as usize);
            if let (true, Some(last)) = (self.stack.is_empty(), last) {
                if let Some(close) = last.close {
                    let name = self.tree.keyword(self.last_root, &self.expander.sources);
                    if schema().find(Context::Root, name).is_some() {
                        self.last_closed = Some((last.text, close));
                    }
                    break;
                }
                if self.tree.nodes.len() >= BATCH {
                    self.hold_back();
                    break;
                }
            }
        }
        if self.tree.nodes.is_empty() { None } else { Some((&self.tree, &self.expander.sources)) }
    }

    /// Moves the last outermost statement, which has no block yet, to the next batch.
    fn hold_back(&mut self) {
        let Some(node) = self.tree.nodes.pop() else { return };
        self.held = Some((self.tree.words.split_off(node.words as usize), node.text));
        if let Some(before) = self.tree.nodes.get_mut(self.root_before as usize) {
            before.next = NONE;
        }
    }

    /// Whether the last known keyword outside all blocks should have opened one.
    fn is_headless(&self) -> bool {
        let mut headless = self.headless;
        for statement in self.tree.statements() {
            let name = self.tree.keyword(statement.index, &self.expander.sources);
            if let Some(keyword) = schema().find(Context::Root, name) {
                headless = keyword.takes_block() && statement.block().is_none();
            }
        }
        headless
    }

    /// Takes a line; false when reading must end.
    fn line(&mut self, line: Line) -> bool {
        if self.tree.nodes.len() >= self.limits.block_lines {
            self.too_long();
            return false;
        }
        if !line.braces && !line.quotes {
            self.plain_statement(line.span);
            return true;
        }
        let length = line.span.length;
        let mut from = 0;
        let mut at = 0;
        let mut quoted = false;
        while at < length {
            let byte = self.expander.sources.text(line.span).as_bytes()[at as usize];
            match byte {
                b'"' => quoted = !quoted,
                b'{' if !quoted => {
                    self.statement(line.span.part(from, at - from));
                    if !self.open(line.span.part(at, 1)) {
                        return false;
                    }
                    from = at + 1;
                }
                b'}' if !quoted => {
                    self.statement(line.span.part(from, at - from));
                    self.close(line.span.part(at, 1));
                    from = at + 1;
                }
                _ => {}
            }
            at += 1;
        }
        self.statement(line.span.part(from, length - from));
        true
    }

    /// A statement without quotes, split at blanks.
    fn plain_statement(&mut self, span: Span) {
        let words = u32::try_from(self.tree.words.len()).unwrap_or(NONE);
        let text = self.expander.sources.text(span).as_bytes();
        let mut start = None;
        for (index, &byte) in text.iter().enumerate() {
            let blank = matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c);
            match (start, blank) {
                (None, false) => start = Some(index),
                (Some(from), true) => {
                    self.tree.words.push(part(span, from, index));
                    start = None;
                }
                _ => {}
            }
        }
        if let Some(from) = start {
            self.tree.words.push(part(span, from, text.len()));
        }
        self.add(words, span);
    }

    /// A statement that may have quotes.
    fn statement(&mut self, span: Span) {
        let words = u32::try_from(self.tree.words.len()).unwrap_or(NONE);
        let text = self.expander.sources.text(span).as_bytes();
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            if matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c) {
                at += 1;
            } else if byte == b'"' {
                let rest = text.get(at + 1..).unwrap_or(&[]);
                let length = memchr::memchr(b'"', rest).unwrap_or(rest.len());
                self.tree.words.push(part(span, at + 1, at + 1 + length));
                at += length + 2;
            } else {
                let rest = &text[at..];
                let length = rest
                    .iter()
                    .position(|b| matches!(b, b' ' | b'\t' | b'\r' | b'"' | 0x0b | 0x0c))
                    .unwrap_or(rest.len());
                self.tree.words.push(part(span, at, at + length));
                at += length;
            }
        }
        let lead = text.len() - text.trim_ascii_start().len();
        let trimmed = part(span, lead, lead + text.trim_ascii().len());
        self.add(words, trimmed);
    }

    fn add(&mut self, words: u32, text: Span) {
        let Some(&first) = self.tree.words.get(words as usize) else { return };
        let index = self.tree.push(words, text);
        let previous = match self.stack.last_mut() {
            Some(block) => core::mem::replace(&mut block.last_child, index),
            None => {
                self.root_before = self.last_root;
                core::mem::replace(&mut self.last_root, index)
            }
        };
        match (self.tree.nodes.get_mut(previous as usize), self.stack.last()) {
            (Some(node), _) => node.next = index,
            (None, Some(block)) => {
                let parent = block.node as usize;
                self.tree.nodes[parent].first_child = index;
            }
            (None, None) => {}
        }
        if self.stack.len() == 1 {
            self.adjust_reading(first, words);
        }
    }

    /// Two settings change how the rest is read: `include_check` and `random_seed` in `global_defs`.
    fn adjust_reading(&mut self, keyword: Span, words: u32) {
        let keyword = self.expander.sources.text(keyword);
        if keyword != "include_check" && keyword != "random_seed" {
            return;
        }
        let parent = self.stack.first().map_or(NONE, |block| block.node);
        let Some(parent) =
            self.tree.nodes.get(parent as usize).and_then(|n| self.tree.words.get(n.words as usize))
        else {
            return;
        };
        if self.expander.sources.text(*parent) != "global_defs" {
            return;
        }
        let arguments: Vec<String> = self
            .tree
            .words
            .get(words as usize + 1..)
            .unwrap_or(&[])
            .iter()
            .map(|word| self.expander.sources.text(*word).to_owned())
            .collect();
        if keyword == "random_seed" {
            if let Some(seed) = arguments.first().and_then(|seed| seed.parse().ok()) {
                self.expander.set_random_seed(seed);
            }
        } else {
            self.expander.set_include_checks(|checks| super::values::include_checks(checks, &arguments));
        }
    }

    /// Opens a block; false when that is too deep.
    fn open(&mut self, brace: Span) -> bool {
        let limit = self.limits.block_depth;
        if self.stack.len() >= limit {
            self.diagnostics.push(
                Diagnostic::fatal("limit", format!("blocks are nested more than {limit} deep (block-depth)"))
                    .status(Status::Fault)
                    .at(brace)
                    .help("no block of keepalived.conf nests that deep; look for `{` without `}`"),
            );
            return false;
        }
        let previous = self.stack.last().map_or(self.last_root, |block| block.last_child);
        match self.tree.nodes.get_mut(previous as usize) {
            Some(node) if node.open.is_none() => {
                node.open = Some(brace.start);
                self.stack.push(OpenBlock { node: previous, last_child: NONE });
            }
            _ => {
                // A block of nothing: its content is read and dropped with it.
                self.diagnostics.push(
                    Diagnostic::error("unexpected-brace", "this `{` belongs to no keyword")
                        .at(brace)
                        .help("remove the block, or write its keyword before it"),
                );
                let words = u32::try_from(self.tree.words.len()).unwrap_or(NONE);
                self.tree.words.push(brace);
                self.add(words, brace);
                let index = self.stack.last().map_or(self.last_root, |block| block.last_child);
                if let Some(node) = self.tree.nodes.get_mut(index as usize) {
                    node.open = Some(brace.start);
                }
                self.stack.push(OpenBlock { node: index, last_child: NONE });
            }
        }
        true
    }

    fn close(&mut self, brace: Span) {
        match self.stack.pop() {
            Some(block) => {
                if let Some(node) = self.tree.nodes.get_mut(block.node as usize) {
                    node.close = Some(brace.start);
                }
            }
            None => self.extra_brace(brace),
        }
    }

    fn extra_brace(&mut self, brace: Span) {
        if self.is_headless() {
            // The block that lacks its `{` is reported where it begins.
            return;
        }
        let mut diagnostic =
            Diagnostic::error("extra-brace", "this `}` closes nothing: no block is open here").at(brace);
        diagnostic = match self.last_closed {
            Some((block, close)) if close < brace.start => {
                self.strays.push((close, brace.start));
                let name = self.expander.sources.text(block);
                diagnostic
                    .related(Span { start: close, length: 1 }, format!("`{name}` was closed here"))
                    .help("remove one of the two")
            }
            _ => diagnostic.help("remove it"),
        };
        self.diagnostics.push(diagnostic);
    }

    fn too_long(&self) {
        let limit = self.limits.block_lines;
        let mut diagnostic =
            Diagnostic::fatal("limit", format!("this block has more than {limit} statements"))
                .status(Status::Fault);
        diagnostic.span =
            self.stack.first().and_then(|block| self.tree.nodes.get(block.node as usize)).map(|n| n.text);
        self.diagnostics.push(diagnostic.help(format!("if this is meant, {}", advice("block-lines"))));
    }

    /// Reports the block whose `}` is missing.
    fn report_unclosed(&mut self) {
        let open: Vec<u32> = self.stack.iter().map(|block| block.node).collect();
        if let Some(missing) = unclosed::find(&self.tree, &open, &self.expander.sources) {
            self.diagnostics.push(missing.describe(&self.tree, &open, &self.expander.sources));
            self.tree.unclosed = Some(missing.block);
        }
    }
}

fn part(span: Span, from: usize, to: usize) -> Span {
    span.part(u32::try_from(from).unwrap_or(0), u32::try_from(to - from).unwrap_or(0))
}
