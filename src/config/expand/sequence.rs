//! Repetition: `~SEQ(VAR, START, STEP, END) text` and `~LST(VAR, v1, v2, …) text`.

use std::rc::Rc;

use super::definition::{Definition, name_length};
use super::{Expander, Frame, Stop};
use crate::config::diagnostics::Diagnostic;
use crate::config::source::Span;

/// A repetition under way.
pub(super) struct Loop {
    names: Vec<Box<str>>,
    values: Values,
    /// The text to repeat.
    rest: Span,
    /// The whole line.
    line: Span,
}

enum Values {
    Sequence { next: i64, step: i64, left: u64, hexadecimal: bool },
    List { tuples: Vec<Vec<String>>, next: usize },
}

impl Expander<'_> {
    /// Takes a line that begins with `~`.
    pub(super) fn begin_loop(&mut self, line: Span) -> Result<(), Stop> {
        let depth = self.frames.iter().filter(|frame| matches!(frame, Frame::Loop(_))).count();
        if depth >= self.options.limits.expansion_depth {
            return Err(self.exceeded(
                "expansion-depth",
                format!("more than {} repetitions within each other", self.options.limits.expansion_depth),
                line,
            ));
        }
        let text = self.sources.text(line);
        let inner = text.find('(').zip(closing_parenthesis(text)).filter(|(open, close)| open < close);
        let expanded = match inner {
            // `~LST` takes its values as they are written.
            Some((open, close)) if text.starts_with("~SEQ") && !text.contains("($") => self.substitute_part(
                line.part(u32::try_from(open + 1).unwrap_or(0), u32::try_from(close - open - 1).unwrap_or(0)),
            )?,
            _ => None,
        };
        match parse(self.sources.text(line), expanded.map(|span| self.sources.text(span))) {
            Ok(parsed) => {
                if let Values::Sequence { left, .. } = parsed.values {
                    let limit = self.options.limits.expanded_lines;
                    if self.made_lines.saturating_add(left) > limit {
                        return Err(self.exceeded(
                            "expanded-lines",
                            format!("this ~SEQ gives {left} lines; all expansions may give {limit}"),
                            line,
                        ));
                    }
                }
                let from = u32::try_from(parsed.rest).unwrap_or(line.length);
                self.frames.push(Frame::Loop(Box::new(Loop {
                    names: parsed.names,
                    values: parsed.values,
                    rest: line.part(from, line.length.saturating_sub(from)),
                    line,
                })));
            }
            Err(why) => self.diagnostics.push(
                Diagnostic::error("invalid-repetition", why)
                    .at(line)
                    .note("the line is ignored")
                    .help("write ~SEQ(VAR, START, STEP, END) text or ~LST(VAR, v1, v2, …) text"),
            ),
        }
        Ok(())
    }

    /// Defines the variables for the next round of the loop on top; `None` when it has ended.
    pub(super) fn next_round(&mut self) -> Result<Option<Span>, Stop> {
        let Some(Frame::Loop(round)) = self.frames.last_mut() else { return Ok(None) };
        let (rest, line) = (round.rest, round.line);
        let current: Option<Vec<Rc<str>>> = match &mut round.values {
            Values::Sequence { left: 0, .. } => None,
            Values::Sequence { next, step, left, hexadecimal } => {
                let value = *next;
                *left -= 1;
                *next = next.saturating_add(*step);
                let text = if *hexadecimal { format!("{value:x}") } else { value.to_string() };
                Some(vec![text.into()])
            }
            Values::List { tuples, next } => {
                let tuple = tuples.get(*next);
                *next += 1;
                tuple.map(|tuple| tuple.iter().map(|value| value.as_str().into()).collect())
            }
        };
        let Some(current) = current else {
            self.frames.pop();
            return Ok(None);
        };
        // A loop of loops makes rounds faster than lines: both count.
        self.made_lines += 1;
        if self.made_lines > self.options.limits.expanded_lines {
            let limit = self.options.limits.expanded_lines;
            return Err(self.exceeded(
                "expanded-lines",
                format!("more than {limit} lines of expansions"),
                line,
            ));
        }
        let names: Vec<Box<str>> = match self.frames.last() {
            Some(Frame::Loop(round)) => round.names.clone(),
            _ => Vec::new(),
        };
        let mut values = current.into_iter();
        for name in names {
            let value = values.next().unwrap_or_else(|| "".into());
            self.definitions.insert(name, Definition::Counter(value));
        }
        Ok(Some(rest))
    }
}

struct Parsed {
    names: Vec<Box<str>>,
    values: Values,
    /// Where the text to repeat begins.
    rest: usize,
}

/// A repetition whose parentheses hold `expanded`, if given, in place of what is written in them.
fn parse(text: &str, expanded: Option<&str>) -> Result<Parsed, String> {
    let close = closing_parenthesis(text).ok_or("the `)` of this repetition is missing")?;
    let open = text.find('(').ok_or("a `(` must follow ~SEQ or ~LST")?;
    let keyword = text.get(..open).unwrap_or("");
    let inner = expanded.or_else(|| text.get(open + 1..close)).unwrap_or("");
    let (names, values) = match keyword {
        "~SEQ" => sequence(inner, false)?,
        "~SEQx" => sequence(inner, true)?,
        "~LST" => list(inner)?,
        other => return Err(format!("`{other}` is no repetition: there are ~SEQ, ~SEQx and ~LST")),
    };
    Ok(Parsed { names, values, rest: close + 1 })
}

fn closing_parenthesis(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b')' && !quoted
    })
}

fn variable(text: &str) -> Result<Box<str>, String> {
    let text = text.trim();
    if text.is_empty() || name_length(text) != text.len() {
        return Err(format!("`{text}` is no name for a variable: letters, digits and _ only"));
    }
    Ok(text.into())
}

fn sequence(inner: &str, hexadecimal: bool) -> Result<(Vec<Box<str>>, Values), String> {
    let mut parts = inner.split(',').map(str::trim);
    let name = variable(parts.next().unwrap_or(""))?;
    let numbers: Vec<i64> = parts.map(c_number).collect::<Result<_, _>>()?;
    let (start, step, end) = match *numbers.as_slice() {
        [end] => (if end < 0 { -1 } else { 1 }, None, end),
        [start, end] => (start, None, end),
        [start, step, end] => (start, Some(step), end),
        _ => return Err(format!("~SEQ takes 1 to 3 numbers, not {}", numbers.len())),
    };
    let step = step.unwrap_or(if end < start { -1 } else { 1 });
    if step == 0 || (start < end && step < 0) || (start > end && step > 0) {
        return Err(format!("a step of {step} never leads from {start} to {end}"));
    }
    if hexadecimal && (start < 0 || end < 0) {
        return Err("~SEQx takes no negative numbers".to_owned());
    }
    let left = start.abs_diff(end) / step.unsigned_abs() + 1;
    Ok((vec![name], Values::Sequence { next: start, step, left, hexadecimal }))
}

/// As `strtol` with base 0: decimal, 0x hexadecimal, 0 octal; 32 bits.
fn c_number(text: &str) -> Result<i64, String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        i64::from_str_radix(hex, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    match value {
        Ok(value) if i32::try_from(value * sign).is_ok() && !digits.starts_with(['+', '-']) => {
            Ok(value * sign)
        }
        _ => Err(format!("`{text}` is no number from -2147483648 to 2147483647")),
    }
}

fn list(inner: &str) -> Result<(Vec<Box<str>>, Values), String> {
    let mut items = Vec::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (item, tail) = if let Some(tuple) = rest.strip_prefix('{') {
            let end = tuple.find('}').ok_or("a `}` is missing in this ~LST")?;
            let tail = tuple.get(end + 1..).unwrap_or("").trim_start();
            (tuple.get(..end).unwrap_or("").split(',').map(|v| v.trim().to_owned()).collect(), tail)
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            (vec![rest.get(..end).unwrap_or("").trim().to_owned()], rest.get(end..).unwrap_or(""))
        };
        items.push(item);
        rest = match tail.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if tail.is_empty() => "",
            None => return Err(format!("a comma is missing before `{tail}`")),
        };
    }
    let mut items = items.into_iter();
    let names: Vec<Box<str>> =
        items.next().unwrap_or_default().iter().map(|name| variable(name)).collect::<Result<_, _>>()?;
    let tuples: Vec<Vec<String>> = items.collect();
    if names.is_empty() || tuples.is_empty() {
        return Err("~LST needs a variable and at least one value".to_owned());
    }
    for tuple in &tuples {
        if tuple.len() > names.len() {
            return Err(format!("`{}` has too many values for {} variable(s)", tuple.join(","), names.len()));
        }
        if let Some(value) = tuple.iter().find(|value| value.contains([' ', '\t'])) {
            return Err(format!("the value `{value}` contains a blank, which ~LST does not allow"));
        }
    }
    Ok((names, Values::List { tuples, next: 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<i64> {
        let Ok(Parsed { values: Values::Sequence { next, step, left, .. }, .. }) = parse(text, None) else {
            return Vec::new();
        };
        (0..left as i64).map(|i| next + i * step).collect()
    }

    #[test]
    fn sequences_count_as_documented() {
        assert_eq!(values("~SEQ(N, 3) x"), [1, 2, 3]);
        assert_eq!(values("~SEQ(N,-2) x"), [-1, -2]);
        assert_eq!(values("~SEQ(N,5,8) x"), [5, 6, 7, 8]);
        assert_eq!(values("~SEQ(N,8,2,12) x"), [8, 10, 12]);
        assert_eq!(values("~SEQ(N,0x10,010) x"), [16, 15, 14, 13, 12, 11, 10, 9, 8]);
        assert!(parse("~SEQ(N,1,0,5) x", None).is_err());
        assert!(parse("~SEQ(N,1,-1,5) x", None).is_err());
        assert!(parse("~SEQ(1N,5) x", None).is_err());
        assert!(parse("~FOO(N,5) x", None).is_err());
    }

    #[test]
    fn lists_take_tuples() {
        let parsed = parse("~LST({A,B}, {a1,b1}, {a2}) rest", None).ok().unwrap();
        assert_eq!(parsed.names.len(), 2);
        assert!(matches!(parsed.values, Values::List { tuples, .. } if tuples.len() == 2));
        assert!(parse("~LST({A}, {a,b}) x", None).is_err());
        assert!(parse("~LST(A, \"a b\") x", None).is_err());
    }
}
