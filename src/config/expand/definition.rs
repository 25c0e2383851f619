//! Definitions: `$NAME=VALUE`, single line or several with a backslash at each line's end but the last.

use std::rc::Rc;

use super::{Expander, Frame};
use crate::config::source::Span;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Definition {
    /// Text of one line, expanded when it is used.
    Single(Span),
    /// Lines, each expanded when it is read.
    Multiple(Rc<[Span]>),
    /// A loop's current value, and the loop.
    Counter(Rc<str>),
}

/// Length of the name that `text` begins with; 0 if there is none.
pub(super) fn name_length(text: &str) -> usize {
    let mut length = 0;
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => length += 1,
            b'0'..=b'9' if length > 0 => length += 1,
            _ => break,
        }
    }
    length
}

impl Expander<'_> {
    /// Whether the line, which begins with `$`, is a definition, which is then noted.
    pub(super) fn define(&mut self, line: Span) -> bool {
        let text = self.sources.text(line);
        let name_end = 1 + name_length(text.get(1..).unwrap_or(""));
        if name_end == 1 || text.as_bytes().get(name_end) != Some(&b'=') {
            return false;
        }
        let name: Box<str> = text.get(1..name_end).unwrap_or("").into();
        let value_start = name_end + 1;
        let value = text.get(value_start..).unwrap_or("");
        let several = value.trim_end().ends_with('\\');
        let value = line.part(
            u32::try_from(value_start).unwrap_or(0),
            u32::try_from(value.trim_end_matches('\\').trim_end().len()).unwrap_or(0),
        );
        let definition = if several {
            // Text that begins on this line is the first of the lines.
            let first = self.trim(value);
            Definition::Multiple(self.read_body((first.length > 0).then_some(first)))
        } else {
            Definition::Single(self.trim(value))
        };
        self.definitions.insert(name, definition);
        true
    }

    /// Passes over the lines of a definition whose first line a condition dropped.
    pub(super) fn skip_body(&mut self, line: Span) {
        let text = self.sources.text(line);
        let rest = text.find([' ', '\t']).and_then(|end| text.get(end..)).unwrap_or("").trim_start();
        if let Some(rest) = rest.strip_prefix('$') {
            let name = name_length(rest);
            let value = rest.get(name..).and_then(|rest| rest.strip_prefix('='));
            if name > 0 && value.is_some_and(|value| value.trim_end().ends_with('\\')) {
                let _dropped = self.read_body(None);
            }
        }
    }

    /// The first line and those that follow, to the first without a backslash at its end.
    fn read_body(&mut self, first: Option<Span>) -> Rc<[Span]> {
        let mut lines = Vec::from_iter(first);
        loop {
            let raw = match self.frames.last_mut() {
                Some(Frame::File(file)) => file.next_line(&self.sources),
                Some(Frame::Body { lines, next }) => {
                    *next += 1;
                    lines.get(*next - 1).copied()
                }
                _ => None,
            };
            let Some(raw) = raw else { break };
            let content = super::scan(self.sources.text(raw)).content;
            let line = self.trim(raw.part(0, u32::try_from(content).unwrap_or(0)));
            let text = self.sources.text(line);
            let more = text.ends_with('\\');
            let kept = text.strip_suffix('\\').unwrap_or(text).trim_end().len();
            if kept > 0 {
                lines.push(line.part(0, u32::try_from(kept).unwrap_or(0)));
            } else if !more {
                // An empty line without backslash inside a definition is passed over, unless it ends it.
                break;
            }
            if !more {
                break;
            }
        }
        lines.into()
    }
}
