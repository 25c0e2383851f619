//! What PCRE2 writes otherwise than fancy-regex.

/// `$` and `\Z` of PCRE2: at the end, or before a line feed there.
const END: &str = r"(?=\n?\z)";
/// `\h` and `\v` of PCRE2, as the inside of a class.
const HORIZONTAL: &str = r"\t\x20";
const VERTICAL: &str = r"\n\x0b\x0c\r";

/// The pattern as fancy-regex writes it. `end_is_line`: `$` matches before a last line feed, too.
pub(super) fn translate(pattern: &str, end_is_line: bool) -> String {
    let end_is_line = end_is_line && !sets_multi_line(pattern);
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('Q') => quote(&mut rest, &mut out),
                Some('E') => {}
                Some('Z') => out.push_str(END),
                Some(letter @ ('h' | 'H' | 'v' | 'V')) => {
                    let not = if letter.is_ascii_uppercase() { "^" } else { "" };
                    let inside = if letter.eq_ignore_ascii_case(&'h') { HORIZONTAL } else { VERTICAL };
                    out.push_str(&format!("[{not}{inside}]"));
                }
                Some('0') => octal(&mut rest, &mut out),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' => class(&mut rest, &mut out),
            '$' if end_is_line => out.push_str(END),
            other => out.push(other),
        }
    }
    out
}

/// Whether there is `(?m…)` in it: then `$` is what that makes of it.
fn sets_multi_line(pattern: &str) -> bool {
    pattern
        .split("(?")
        .skip(1)
        .any(|group| group.chars().take_while(|c| c.is_ascii_alphabetic()).any(|letter| letter == 'm'))
}

type Chars<'a> = core::iter::Peekable<core::str::Chars<'a>>;

/// `\Q…\E`: as it stands.
fn quote(rest: &mut Chars<'_>, out: &mut String) {
    while let Some(c) = rest.next() {
        if c == '\\' && rest.peek() == Some(&'E') {
            rest.next();
            return;
        }
        if c.is_ascii_punctuation() || c == ' ' {
            out.push('\\');
        }
        out.push(c);
    }
}

/// `\0` and up to two digits more.
fn octal(rest: &mut Chars<'_>, out: &mut String) {
    let mut value = 0;
    for _ in 0..2 {
        let Some(digit) = rest.peek().and_then(|c| c.to_digit(8)) else { break };
        value = value * 8 + digit;
        rest.next();
    }
    out.push_str(&format!("\\x{value:02x}"));
}

/// A class in brackets, where a bracket inside is one, and nothing is an operator.
fn class(rest: &mut Chars<'_>, out: &mut String) {
    out.push('[');
    if rest.peek() == Some(&'^') {
        rest.next();
        out.push('^');
    }
    let mut first = true;
    while let Some(c) = rest.next() {
        match c {
            ']' if first => out.push_str("\\]"),
            ']' => {
                out.push(']');
                return;
            }
            '[' if rest.peek() == Some(&':') => {
                out.push('[');
                for c in rest.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '\\' => match rest.next() {
                Some('h') => out.push_str(HORIZONTAL),
                Some('v') => out.push_str(VERTICAL),
                Some('b') => out.push_str("\\x08"),
                Some('0') => octal(rest, out),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' | '&' | '~' => out.extend(['\\', c]),
            other => out.push(other),
        }
        first = false;
    }
}
