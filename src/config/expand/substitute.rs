//! References: `${NAME}` anywhere, `$NAME` before a blank, a comma, a `)` or the end of the line.

use std::rc::Rc;

use super::definition::{Definition, name_length};
use super::{Expander, Frame, Stop};
use crate::config::diagnostics::Diagnostic;
use crate::config::source::Span;
use crate::prng::Prng;

/// What became of a line.
pub(super) enum Outcome {
    /// It refers to nothing.
    Unchanged,
    /// Its expansion.
    Line(Span),
    /// It was the name of several lines, which come next.
    Body,
}

/// What is being expanded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scope {
    /// A line, which may end with a definition of several lines.
    Line,
    /// A part of a line, or a definition within one.
    Value,
    /// The name of a file: only references in braces count, and what is not defined stays.
    Path,
}

/// A reference within a text.
struct Reference<'a> {
    /// Byte of its `$`.
    start: usize,
    end: usize,
    name: &'a str,
    /// What follows the name inside braces (`${_ENV HOME}`).
    parameters: &'a str,
    braces: bool,
}

fn next_reference(text: &str, from: usize) -> Option<Reference<'_>> {
    let mut at = from;
    loop {
        let start = at + memchr::memchr(b'$', text.as_bytes().get(at..)?)?;
        let after = text.get(start + 1..)?;
        if let Some(inner) = after.strip_prefix('{') {
            let length = name_length(inner);
            let close = inner.find('}');
            if let (true, Some(close)) = (length > 0, close) {
                let rest = inner.get(length..close).unwrap_or("");
                if rest.is_empty() || rest.starts_with([' ', '\t']) {
                    return Some(Reference {
                        start,
                        end: start + 2 + close + 1,
                        name: inner.get(..length)?,
                        parameters: rest.trim(),
                        braces: true,
                    });
                }
            }
        } else {
            let length = name_length(after);
            let follows = after.as_bytes().get(length);
            if length > 0 && follows.is_none_or(|b| matches!(b, b' ' | b'\t' | b',' | b')')) {
                let name = after.get(..length)?;
                return Some(Reference {
                    start,
                    end: start + 1 + length,
                    name,
                    parameters: "",
                    braces: false,
                });
            }
        }
        at = start + 1;
    }
}

/// What a definition within a definition counts as besides its text: definitions that double each other take time for
/// each, however short they are.
const NESTED_BYTES: usize = 32;

impl Expander<'_> {
    /// Expands the references of a line.
    pub(super) fn substitute(&mut self, line: Span) -> Result<Outcome, Stop> {
        let text = self.sources.text(line);
        if next_reference(text, 0).is_none() {
            return Ok(Outcome::Unchanged);
        }
        if let Some(lines) = self.whole_line_body(text) {
            return self.push_body(&lines, line);
        }
        self.begin_expansion(line)?;
        let mut stack = Vec::new();
        let mut body = None;
        let changed = self.expand(line, line, Scope::Line, &mut stack, &mut body)?;
        let made = self.sources.expanded_line();
        if let Some(lines) = body {
            self.push_frame_body(&lines, 1, line)?;
        } else if !changed {
            return Ok(Outcome::Unchanged);
        }
        Ok(made.map_or(Outcome::Unchanged, Outcome::Line))
    }

    /// The references of a part of a line expanded that stand in braces; `None` if there are none. What is not
    /// defined stays as it is.
    pub(super) fn substitute_parameters(&mut self, part: Span) -> Result<Option<Span>, Stop> {
        if !self.sources.text(part).contains("${") {
            return Ok(None);
        }
        self.expand_part(part, Scope::Path)
    }

    /// The references of a part of a line expanded; `None` if there are none.
    pub(super) fn substitute_part(&mut self, part: Span) -> Result<Option<Span>, Stop> {
        if next_reference(self.sources.text(part), 0).is_none() {
            return Ok(None);
        }
        self.expand_part(part, Scope::Value)
    }

    fn expand_part(&mut self, part: Span, scope: Scope) -> Result<Option<Span>, Stop> {
        self.begin_expansion(part)?;
        let changed = self.expand(part, part, scope, &mut Vec::new(), &mut None)?;
        Ok(self.sources.expanded_line().filter(|_| changed))
    }

    fn whole_line_body(&self, text: &str) -> Option<Rc<[Span]>> {
        let reference = next_reference(text, 0)?;
        match self.definitions.get(reference.name) {
            Some(Definition::Multiple(lines)) if reference.start == 0 && reference.end == text.len() => {
                Some(Rc::clone(lines))
            }
            _ => None,
        }
    }

    /// Lines of a definition keep their own places; the line that used it is where its expansion is told.
    fn push_body(&mut self, lines: &[Span], used: Span) -> Result<Outcome, Stop> {
        self.push_frame_body(lines, 0, used)?;
        Ok(Outcome::Body)
    }

    fn push_frame_body(&mut self, lines: &[Span], from: usize, used: Span) -> Result<(), Stop> {
        let limit = self.options.limits.expansion_depth;
        if self.frames.iter().filter(|frame| matches!(frame, Frame::Body { .. })).count() >= limit {
            return Err(self.exceeded(
                "expansion-depth",
                format!("definitions refer to each other more than {limit} deep; does one contain itself?"),
                used,
            ));
        }
        // Each line becomes text of this use, so that an error in it can tell both places.
        let mut copies = Vec::with_capacity(lines.len().saturating_sub(from));
        for line in lines.iter().skip(from) {
            self.begin_expansion(used)?;
            self.count_bytes(line.length as usize, used)?;
            self.sources.push_expanded_copy(*line)?;
            copies.extend(self.sources.expanded_line());
        }
        self.frames.push(Frame::Body { lines: copies.into(), next: 0 });
        Ok(())
    }

    /// Appends `text` with its references expanded to the line begun; whether anything was replaced.
    fn expand(
        &mut self,
        span: Span,
        used: Span,
        scope: Scope,
        stack: &mut Vec<Box<str>>,
        body: &mut Option<Rc<[Span]>>,
    ) -> Result<bool, Stop> {
        let text = self.sources.text(span).to_owned();
        let mut copied = 0;
        let mut at = 0;
        let mut changed = false;
        while let Some(reference) = next_reference(&text, at) {
            at = reference.end;
            if scope == Scope::Path && !reference.braces {
                continue;
            }
            let place = part(span, reference.start, reference.end);
            let definition = self.definitions.get(reference.name).cloned();
            let replacement = match definition {
                Some(Definition::Multiple(_)) if scope != Scope::Line || reference.end != text.len() => {
                    continue;
                }
                Some(definition) => Replacement::Definition(definition),
                None => match self.built_in(&reference, place) {
                    Some(value) => Replacement::Text(value),
                    None => {
                        if scope != Scope::Path && reference.braces && !is_quoted(&text, reference.start) {
                            self.undefined(reference.name, place);
                            // Without the braces, which would be taken for a block.
                            Replacement::Text(format!("${}", reference.name))
                        } else {
                            continue;
                        }
                    }
                },
            };
            self.copy(span, copied, reference.start, used)?;
            copied = reference.end;
            changed = true;
            match replacement {
                Replacement::Text(value) => {
                    self.count_bytes(value.len(), used)?;
                    self.sources.push_expanded(&value, place, false)?;
                }
                Replacement::Definition(Definition::Counter(value)) => {
                    self.count_bytes(value.len(), used)?;
                    self.sources.push_expanded(&value, place, false)?;
                }
                Replacement::Definition(Definition::Single(value)) => {
                    if !stack.is_empty() {
                        self.count_bytes(NESTED_BYTES, used)?;
                    }
                    self.enter(reference.name, stack, used)?;
                    self.expand(value, used, Scope::Value, stack, body)?;
                    stack.pop();
                }
                Replacement::Definition(Definition::Multiple(lines)) => {
                    if let Some(&first) = lines.first() {
                        self.enter(reference.name, stack, used)?;
                        self.expand(first, used, Scope::Value, stack, body)?;
                        stack.pop();
                    }
                    *body = Some(lines);
                }
            }
        }
        self.copy(span, copied, text.len(), used)?;
        Ok(changed)
    }

    fn copy(&mut self, span: Span, from: usize, to: usize, used: Span) -> Result<(), Stop> {
        if to > from {
            self.count_bytes(to - from, used)?;
            self.sources.push_expanded_copy(part(span, from, to))?;
        }
        Ok(())
    }

    fn enter(&self, name: &str, stack: &mut Vec<Box<str>>, used: Span) -> Result<(), Stop> {
        if stack.iter().any(|outer| **outer == *name) {
            self.diagnostics.push(
                Diagnostic::fatal("recursive-definition", format!("the definition ${name} contains itself"))
                    .at(used)
                    .label("expanded here")
                    .help("let one of the definitions involved not refer back"),
            );
            return Err(Stop);
        }
        if stack.len() >= self.options.limits.expansion_depth {
            let limit = self.options.limits.expansion_depth;
            let message = format!("definitions refer to each other more than {limit} deep");
            return Err(self.exceeded("expansion-depth", message, used));
        }
        stack.push(name.into());
        Ok(())
    }

    fn undefined(&self, name: &str, place: Span) {
        let mut diagnostic =
            Diagnostic::error("undefined-parameter", format!("the parameter ${{{name}}} is not defined"))
                .at(place)
                .label("not defined at this point");
        let names = self.definitions.keys().map(|name| &**name).chain(BUILT_IN);
        match crate::config::schema::nearest(name, names) {
            Some(near) => diagnostic = diagnostic.help(format!("did you mean ${{{near}}}?")),
            None => {
                diagnostic = diagnostic.help(format!(
                    "define it before with ${name}=VALUE; environment variables are ${{_ENV NAME}}"
                ));
            }
        }
        self.diagnostics.push(diagnostic);
    }

    fn built_in(&mut self, reference: &Reference<'_>, place: Span) -> Option<String> {
        match reference.name {
            "_PWD" if reference.parameters.is_empty() => {
                let directory = self.directory();
                Some(if directory.is_empty() { ".".to_owned() } else { self.host.canonical_path(&directory) })
            }
            "_INSTANCE" if reference.parameters.is_empty() => Some(self.config_id.clone()),
            "_HASH" if reference.parameters.is_empty() => Some("#".to_owned()),
            "_BANG" if reference.parameters.is_empty() => Some("!".to_owned()),
            "_ENV" => {
                let name = reference.parameters;
                let valid = !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b' '));
                valid.then(|| self.host.environment(name).unwrap_or_default())
            }
            "_RANDOM" => self.random_number(reference.parameters, place),
            _ => None,
        }
    }

    fn random_number(&mut self, parameters: &str, place: Span) -> Option<String> {
        let numbers: Option<Vec<u32>> = parameters.split_whitespace().map(|word| word.parse().ok()).collect();
        let (low, high) = match numbers.as_deref() {
            Some([]) => (0, 32767),
            Some([low]) => (*low, 32767),
            Some([low, high]) => (*low, *high),
            _ => {
                self.diagnostics.push(
                    Diagnostic::error("invalid-number", "${_RANDOM MIN MAX} takes one or two numbers")
                        .at(place),
                );
                return None;
            }
        };
        if low > high {
            self.diagnostics.push(
                Diagnostic::error("invalid-number", format!("{low} is more than {high}: {low} is used"))
                    .at(place),
            );
        }
        let host = self.host;
        let random = self.random.get_or_insert_with(|| Prng::new(host.random_seed()));
        Some(random.between(u64::from(low), u64::from(high)).to_string())
    }
}

enum Replacement {
    Text(String),
    Definition(Definition),
}

const BUILT_IN: [&str; 6] = ["_PWD", "_INSTANCE", "_RANDOM", "_ENV", "_HASH", "_BANG"];

fn part(span: Span, from: usize, to: usize) -> Span {
    span.part(u32::try_from(from).unwrap_or(0), u32::try_from(to - from).unwrap_or(0))
}

fn is_quoted(text: &str, at: usize) -> bool {
    text.bytes().take(at).filter(|&b| b == b'"').count() % 2 == 1
}
