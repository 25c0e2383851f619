//! From files to logical lines: comments, includes, conditions, definitions, sequences and lists.
//!
//! The order within a line is keepalived's: comment, include, `@` condition, `$NAME=`
//! definition, `~SEQ` and `~LST`, substitution, then again from the include test. A line that becomes `@…`
//! by substitution is evaluated, as the manual says and 2.2.7 does.

mod definition;
mod include;
mod line;
mod sequence;
mod substitute;

use std::collections::BTreeMap;
use std::rc::Rc;

use super::LoadOptions;
use super::diagnostics::{Diagnostic, Diagnostics};
use super::host::Host;
use super::limits::advice;
use super::source::{SourceMap, SourceSpaceExhausted, Span};
use crate::prng::Prng;
use definition::Definition;
pub(super) use include::IncludeChecks;
use line::{Scan, scan};
use sequence::Loop;

/// keepalived's line buffer: 1024 bytes with the final NUL.
const LINE_BYTES: usize = 1023;

/// A line that is ready to be cut into words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Its text, without blanks at the ends and without comment. Never empty.
    pub span: Span,
    /// It has a brace outside quotes.
    pub braces: bool,
    /// It has a `"`.
    pub quotes: bool,
}

/// Where lines come from.
enum Frame {
    /// A file that is being read.
    File(include::OpenFile),
    /// A file that an `include` matched and that waits for its turn.
    Pending { path: String, directory_of: String, used: Option<Span>, checks: IncludeChecks },
    /// The lines of a multi-line definition.
    Body { lines: Rc<[Span]>, next: usize },
    /// A `~SEQ` or `~LST`.
    Loop(Box<Loop>),
}

/// Reading stops for good: the reason was reported.
pub(super) struct Stop;

impl From<SourceSpaceExhausted> for Stop {
    fn from(_: SourceSpaceExhausted) -> Self {
        Self
    }
}

/// Reads files and gives their logical lines one by one.
pub(super) struct Expander<'h> {
    host: &'h dyn Host,
    options: &'h LoadOptions,
    diagnostics: &'h Diagnostics,
    /// All texts read and made so far.
    pub sources: SourceMap,
    frames: Vec<Frame>,
    definitions: BTreeMap<Box<str>, Definition>,
    config_id: String,
    random: Option<Prng>,
    checks: IncludeChecks,
    total_bytes: u64,
    made_lines: u64,
    made_bytes: usize,
    stopped: bool,
}

impl<'h> Expander<'h> {
    /// Begins with the main file, which may be a pattern.
    pub(super) fn new(
        host: &'h dyn Host,
        options: &'h LoadOptions,
        diagnostics: &'h Diagnostics,
        main_file: &str,
    ) -> Self {
        let config_id = options.config_id.clone().unwrap_or_else(|| {
            let name = host.node_name();
            name.split('.').next().unwrap_or("").to_owned()
        });
        let mut expander = Self {
            host,
            options,
            diagnostics,
            sources: SourceMap::new(),
            frames: Vec::new(),
            definitions: BTreeMap::new(),
            config_id,
            random: None,
            checks: if options.all_include_checks { IncludeChecks::ALL } else { IncludeChecks::NONE },
            total_bytes: 0,
            made_lines: 0,
            made_bytes: 0,
            stopped: false,
        };
        expander.open_main(main_file);
        expander
    }

    /// The next logical line; `None` at the end or after an error that ends reading.
    pub(super) fn next_line(&mut self) -> Option<Line> {
        loop {
            if self.stopped {
                return None;
            }
            if self.diagnostics.exhausted() {
                self.give_up();
                return None;
            }
            let raw = match self.frames.last_mut()? {
                Frame::File(file) => match file.next_line(&self.sources) {
                    Some(raw) => Some(raw),
                    None => {
                        self.close_file();
                        continue;
                    }
                },
                Frame::Body { lines, next } => match lines.get(*next) {
                    Some(&raw) => {
                        *next += 1;
                        Some(raw)
                    }
                    None => {
                        self.frames.pop();
                        continue;
                    }
                },
                Frame::Pending { .. } => {
                    self.open_pending();
                    continue;
                }
                Frame::Loop(_) => match self.next_round() {
                    Ok(raw) => raw,
                    Err(Stop) => {
                        self.stopped = true;
                        return None;
                    }
                },
            };
            let Some(raw) = raw else { continue };
            match self.logical(raw) {
                Ok(Some(line)) => return Some(line),
                Ok(None) => {}
                Err(Stop) => {
                    self.stopped = true;
                    return None;
                }
            }
        }
    }

    /// Whether reading ended before the end of the text, so that open blocks mean nothing.
    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    /// Sets the include checks (`include_check` in `global_defs`) from here on.
    pub(super) fn set_include_checks(&mut self, change: impl FnOnce(IncludeChecks) -> IncludeChecks) {
        if !self.options.all_include_checks {
            self.checks = change(self.checks);
        }
    }

    /// Fixes the draws of `${_RANDOM}` from here on (`random_seed`).
    pub(super) fn set_random_seed(&mut self, seed: u64) {
        self.random = Some(Prng::new(seed));
    }

    fn logical(&mut self, raw: Span) -> Result<Option<Line>, Stop> {
        let mut raw = raw;
        let mut expanded = false;
        // Substitution may give an include, a condition or a definition: once more then, not for ever.
        for _ in 0..=self.options.limits.expansion_depth {
            let text = self.sources.text(raw);
            let scan = scan(text);
            if scan.nul {
                self.diagnostics.push(
                    Diagnostic::error("nul-byte", "this line contains a NUL byte and is ignored")
                        .at(raw)
                        .help("remove the byte; was the file written by a broken editor or a full disk?"),
                );
                return Ok(None);
            }
            if !expanded && text.len() > LINE_BYTES {
                let length = text.len();
                self.diagnostics.push(
                    Diagnostic::error(
                        "line-too-long",
                        format!("this line has {length} bytes; lines over {LINE_BYTES} bytes are ignored"),
                    )
                    .at(raw.part(0, 1))
                    .help("put each value on a line of its own"),
                );
                return Ok(None);
            }
            let line = self.trim(raw.part(0, u32::try_from(scan.content).unwrap_or(0)));
            let line = match behind_brace(self.sources.text(line)).filter(|_| scan.brace) {
                Some(at) => {
                    let at = u32::try_from(at).unwrap_or(0);
                    let rest = line.part(at, line.length.saturating_sub(at));
                    // Each cut reads the rest once more.
                    self.count_bytes(rest.length as usize, line)?;
                    if let Some(Frame::Body { lines, next }) = self.frames.last()
                        && *next >= lines.len()
                    {
                        self.frames.pop();
                    }
                    let lines: Rc<[Span]> = [rest].into();
                    self.frames.push(Frame::Body { lines, next: 0 });
                    self.trim(line.part(0, at))
                }
                None => line,
            };
            let Some(first) = self.sources.text(line).bytes().next() else { return Ok(None) };
            match first {
                b'i' if self.include(line)? => return Ok(None),
                b'@' => {
                    let Some(rest) = self.condition(line) else {
                        self.skip_body(line);
                        return Ok(None);
                    };
                    raw = rest;
                    continue;
                }
                b'$' if self.define(line) => return Ok(None),
                b'~' => {
                    self.begin_loop(line)?;
                    return Ok(None);
                }
                _ => {}
            }
            if scan.dollar {
                match self.substitute(line)? {
                    substitute::Outcome::Unchanged => {}
                    substitute::Outcome::Line(made) => {
                        raw = made;
                        expanded = true;
                        continue;
                    }
                    substitute::Outcome::Body => return Ok(None),
                }
            }
            return Ok(self.finish(line, scan));
        }
        Ok(None)
    }

    fn finish(&self, line: Span, scan: Scan) -> Option<Line> {
        if let Some(at) = scan.unterminated {
            let at = line.part(u32::try_from(at).unwrap_or(0).min(line.length), 1);
            self.diagnostics.push(
                Diagnostic::error("unterminated-quote", "this quote is not closed on its line")
                    .at(at)
                    .label("opened here")
                    .help("close it with `\"`, or remove it: a value cannot go over several lines"),
            );
        }
        let mut line = line;
        // Outside definitions a backslash at the end of a line is cut off.
        let text = self.sources.text(line);
        if text.ends_with('\\') {
            let cut = text.trim_end_matches('\\').trim_end().len();
            line = line.part(0, u32::try_from(cut).unwrap_or(0));
            if line.length == 0 {
                return None;
            }
        }
        Some(Line { span: line, braces: scan.brace, quotes: scan.quote })
    }

    fn trim(&self, span: Span) -> Span {
        let text = self.sources.text(span);
        let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n' | '\x0b' | '\x0c');
        let lead = text.len() - text.trim_start_matches(blank).len();
        let length = text.trim_matches(blank).len();
        span.part(u32::try_from(lead).unwrap_or(0), u32::try_from(length).unwrap_or(0))
    }

    /// The rest of an `@ID` line, if this is the configuration it speaks to.
    fn condition(&self, line: Span) -> Option<Span> {
        let text = self.sources.text(line);
        let word_end = text.find([' ', '\t']).unwrap_or(text.len());
        let (word, rest) = text.split_at(word_end);
        let word = word.strip_prefix('@')?;
        let matches = match word.strip_prefix('^') {
            Some(id) => id != self.config_id,
            None => word == self.config_id,
        };
        if !matches || rest.trim().is_empty() {
            return None;
        }
        Some(line.part(u32::try_from(word_end).ok()?, u32::try_from(rest.len()).ok()?))
    }

    /// Begins a line of expanded text, within the limits.
    fn begin_expansion(&mut self, used: Span) -> Result<(), Stop> {
        self.made_lines += 1;
        if self.made_lines > self.options.limits.expanded_lines {
            return Err(self.exceeded(
                "expanded-lines",
                format!("more than {} lines of expansions", self.options.limits.expanded_lines),
                used,
            ));
        }
        Ok(self.sources.begin_expanded_line(used)?)
    }

    fn count_bytes(&mut self, bytes: usize, used: Span) -> Result<(), Stop> {
        self.made_bytes = self.made_bytes.saturating_add(bytes);
        if self.made_bytes > self.options.limits.expanded_bytes {
            return Err(self.exceeded(
                "expanded-bytes",
                format!("more than {} bytes of expansions", self.options.limits.expanded_bytes),
                used,
            ));
        }
        Ok(())
    }

    /// Ends reading: there are errors enough.
    fn give_up(&mut self) {
        self.stopped = true;
        let limit = self.options.limits.errors;
        self.diagnostics.push(
            Diagnostic::fatal("limit", format!("reading ended after {limit} errors"))
                .note("what follows in the file was not judged")
                .help(format!("is this a keepalived.conf? If it is, {}", advice("errors"))),
        );
    }

    fn exceeded(&self, limit: &str, message: String, at: Span) -> Stop {
        self.diagnostics.push(
            Diagnostic::fatal("limit", message).at(at).help(format!("if this is meant, {}", advice(limit))),
        );
        Stop
    }
}

/// Where a line goes on, behind a brace, with what is read as a line of its own: a condition, a repetition, a
/// definition.
fn behind_brace(line: &str) -> Option<usize> {
    let mut quoted = false;
    // What begins like that itself is cut when its own time comes.
    if line.starts_with(['@', '~', '$']) {
        return None;
    }
    for (index, byte) in line.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'{' | b'}' if !quoted && !within_reference(line, index) => {
                let rest = line.get(index + 1..)?.trim_start_matches([' ', '\t']);
                let definition = rest.strip_prefix('$').is_some_and(|rest| {
                    let name = definition::name_length(rest);
                    name > 0 && rest.as_bytes().get(name) == Some(&b'=')
                });
                if definition || rest.starts_with(['@', '~']) {
                    return Some(line.len() - rest.len());
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether the brace at `index` belongs to a `${NAME}`.
fn within_reference(line: &str, index: usize) -> bool {
    let before = line.get(..index).unwrap_or("");
    if line.as_bytes().get(index) == Some(&b'{') {
        return before.ends_with('$');
    }
    before.rfind(['{', '}']).is_some_and(|open| line.get(..open).is_some_and(|text| text.ends_with('$')))
}
