//! Diagnostics as people read them: in the manner of rustc, or one line for a log.

use core::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::mask::{MASK, secret_ranges};
use super::{Diagnostic, Dropped, Severity};
use crate::config::source::{Location, SourceMap, Span};

/// How to render.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Style {
    /// Colour, for a terminal.
    pub colour: bool,
    /// Show passwords and keys in source lines.
    pub show_secrets: bool,
}

/// One source line, secrets masked, with the offending bytes in it.
struct Line {
    file: String,
    number: usize,
    text: String,
    start: usize,
    end: usize,
}

impl Line {
    fn new(location: &Location<'_>, style: Style) -> Self {
        let mut text = String::with_capacity(location.text.len());
        let (mut start, mut end) = (location.start, location.end.max(location.start));
        let mut copied = 0;
        let ranges = if style.show_secrets { Vec::new() } else { secret_ranges(location.text) };
        for (from, to) in ranges {
            text.push_str(location.text.get(copied..from).unwrap_or(""));
            let at = text.len();
            text.push_str(MASK);
            let shift = |byte: usize| {
                if byte >= to {
                    byte - (to - from) + MASK.len()
                } else {
                    byte.min(from).max(if byte > from { at + MASK.len() } else { 0 })
                }
            };
            (start, end) = (if start >= from && start < to { at } else { shift(start) }, shift(end));
            copied = to;
        }
        text.push_str(location.text.get(copied..).unwrap_or(""));
        // A span may end within a character, where a text is no UTF-8.
        start = (0..=start.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        end = (end.max(start)..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        Self { file: location.file.to_owned(), number: location.line as usize, text, start, end }
    }
}

/// The beginning of a source line, as much as anybody reads: a line may be as long as the file.
fn readable<'a>(location: Location<'a>) -> Location<'a> {
    const BYTES: usize = 2000;
    if location.text.len() <= BYTES || location.start >= BYTES / 2 {
        return location;
    }
    let cut = (0..=BYTES).rev().find(|at| location.text.is_char_boundary(*at)).unwrap_or(0);
    Location { text: &location.text[..cut], end: location.end.min(cut), ..location }
}

/// A diagnostic in the manner of rustc, of several lines.
pub fn render(diagnostic: &Diagnostic, sources: &SourceMap, style: Style) -> String {
    let mut lines: Vec<(Line, String, bool)> = Vec::new();
    let mut add = |span: Span, label: &str, primary: bool| {
        let written = sources.location(sources.written(span)).map(readable);
        if let Some(location) = &written {
            lines.push((Line::new(location, style), label.to_owned(), primary));
        }
        for used in sources.uses(span) {
            if let Some(location) = sources.location(used).map(readable) {
                // A repetition is written and used on one line.
                if written
                    .is_some_and(|written| (written.file, written.line) == (location.file, location.line))
                {
                    continue;
                }
                lines.push((Line::new(&location, style), "used here".to_owned(), false));
            }
        }
    };
    if let Some(span) = diagnostic.span {
        add(span, &diagnostic.label, true);
    }
    for (span, label) in &diagnostic.related {
        add(*span, label, false);
    }

    let level = match diagnostic.severity {
        Severity::Hint => Level::HELP.with_name("hint"),
        Severity::Warning => Level::WARNING,
        Severity::Error | Severity::Fatal => Level::ERROR,
    };
    let mut group = Group::with_title(level.primary_title(diagnostic.message.as_str()).id(diagnostic.code));
    let mut fresh: Option<Snippet<'_, annotate_snippets::Annotation<'_>>> = None;
    let mut current: Option<(&str, usize)> = None;
    for (line, label, primary) in &lines {
        let kind = if *primary { AnnotationKind::Primary } else { AnnotationKind::Context };
        let mut annotation = kind.span(line.start..line.end);
        if !label.is_empty() {
            annotation = annotation.label(label.as_str());
        }
        if current == Some((line.file.as_str(), line.number)) {
            fresh = fresh.map(|snippet| snippet.annotation(annotation));
            continue;
        }
        if let Some(snippet) = fresh.take() {
            group = group.element(snippet);
        }
        current = Some((line.file.as_str(), line.number));
        fresh = Some(
            Snippet::source(line.text.as_str())
                .line_start(line.number)
                .path(line.file.as_str())
                .annotation(annotation),
        );
    }
    if let Some(snippet) = fresh {
        group = group.element(snippet);
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if style.colour { Renderer::styled() } else { Renderer::plain() };
    let mut text = renderer.render(&[group]).to_string();
    text.push('\n');
    text
}

/// `FILE:LINE:COL: error: MESSAGE`, for logs and editors.
pub fn one_line(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let mut text = String::new();
    let location = diagnostic.span.and_then(|span| sources.location(sources.written(span)));
    if let Some(location) = location {
        let _ = write!(text, "{}:{}:{}: ", location.file, location.line, location.column);
    }
    let _ = write!(text, "{}[{}]: {}", diagnostic.severity.word(), diagnostic.code, diagnostic.message);
    if let Some(span) = diagnostic.span {
        for used in sources.uses(span) {
            if let Some(location) = sources.location(used) {
                let _ = write!(text, " (used at {}:{})", location.file, location.line);
            }
        }
    }
    for help in &diagnostic.help {
        let _ = write!(text, "; {help}");
    }
    text
}

/// All diagnostics with a closing count.
pub fn render_all(diagnostics: &[Diagnostic], dropped: Dropped, sources: &SourceMap, style: Style) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&render(diagnostic, sources, style));
        text.push('\n');
    }
    let count = |wanted: &[Severity]| diagnostics.iter().filter(|d| wanted.contains(&d.severity)).count();
    let errors = count(&[Severity::Error, Severity::Fatal]) + dropped.errors;
    let warnings = count(&[Severity::Warning]);
    if errors + warnings + dropped.remarks > 0 {
        let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let _ = write!(text, "{}, {}", plural(errors, "error"), plural(warnings, "warning"));
        let remarks = format!("{} warnings and hints", dropped.remarks);
        let hidden = match dropped {
            Dropped { errors: 0, remarks: 0 } => None,
            Dropped { errors: 0, .. } => Some(remarks),
            Dropped { errors, remarks: 0 } => Some(plural(errors, "error")),
            Dropped { errors, .. } => Some(format!("{} and {remarks}", plural(errors, "error"))),
        };
        if let Some(hidden) = hidden {
            let _ = write!(text, "; {hidden} not shown (limit diagnostics)");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FakeHost, LoadOptions, load};

    #[test]
    fn text_that_is_no_utf_8_is_rendered() {
        let host =
            FakeHost::with_file("/k.conf", b"vrrp_instance\xffVI_1 { interface ${IF}\n\xff\xfe {".as_slice());
        let loaded = load(&host, "/k.conf", &LoadOptions::default());
        assert!(loaded.render(Style::default()).contains("vrrp_instance\u{fffd}VI_1"));
    }
}
