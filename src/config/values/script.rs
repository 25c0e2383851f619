//! Commands and who runs them.
//!
//! A tokeniser with quotes runs twice: the first pass finds the command among the words of the line and
//! leaves escapes alone, the second splits the command into arguments and resolves them. keepalived 2.2.7
//! resolves escapes in both passes, 2.4.3 as here.

use std::ffi::{CStr, CString};

use super::words::{Args, Argument, Printed};
use crate::config::lints;
use crate::kernel::{NamedUser, Script, ScriptUser};
#[cfg(test)]
use crate::prng::Prng;

/// `USER`, `USER GROUP`; `USER :GROUP` and `USER :` ask for the user's supplementary groups.
impl Argument for NamedUser {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let (user, _) = args.required()?;
        let group = args.next().map(|(group, _)| group);
        Some(named_user(user, group))
    }

    fn print(&self, out: &mut Printed) {
        out.word(&self.user);
        match (&self.group, self.supplementary_groups) {
            (None, false) => {}
            (None, true) => out.word(":"),
            (Some(group), false) => out.word(group),
            (Some(group), true) => out.word(&format!(":{group}")),
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let group = [None, Some("nogroup"), Some(":nogroup"), Some(":")][random.below(4) as usize];
        named_user("nobody", group)
    }
}

fn named_user(user: &str, group: Option<&str>) -> NamedUser {
    let name = group.map(|group| group.trim_start_matches(':')).filter(|name| !name.is_empty());
    NamedUser {
        user: user.into(),
        group: name.map(Into::into),
        supplementary_groups: group.is_some_and(|group| group.starts_with(':')),
    }
}

impl Argument for Script {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let (_, place) = args.peek().or_else(|| args.required())?;
        let rest = after_keyword(args);
        args.skip_rest();
        let mut outer = match tokenise(rest, Escapes::Keep) {
            Ok(words) => words.into_iter(),
            Err(why) => {
                args.reject(place, why);
                return None;
            }
        };
        let words = match tokenise(&outer.next()?, Escapes::Resolve) {
            Ok(words) => words,
            Err(why) => {
                args.reject(place, why);
                return None;
            }
        };
        let seen: Vec<&str> = words.iter().map(String::as_str).collect();
        lints::command(args.reading, args.name(), place, &seen, outer.as_slice());
        // The tokeniser refuses NUL bytes.
        let mut words = words.into_iter().map_while(|word| CString::new(word).ok());
        let Some(program) = words.next().filter(|program| !program.is_empty()) else {
            args.reject(place, "the command is empty");
            return None;
        };
        let takes_user = !matches!(args.name(), "script" | "misc_path");
        let user = match outer.next() {
            Some(user) if takes_user => ScriptUser::Named(named_user(&user, outer.next().as_deref())),
            Some(_) => {
                let help = format!("put the command and its arguments in quotes: {} \"…\"", args.name());
                args.extra_words(place, &help);
                ScriptUser::Default
            }
            None => ScriptUser::Default,
        };
        Some(Self { program, arguments: words.collect(), user })
    }

    fn print(&self, out: &mut Printed) {
        out.value(quote(self.words().map(CStr::to_string_lossy)));
        if let Some(user) = self.user.named() {
            user.print(out);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let words =
            ["-x", "two words", "", "quo'te", "do\"uble", "back\\slash", "$HOME", "${X}", "#!{}", "tab\t"];
        let mut script = Self::new(c"/usr/bin/true".into());
        for _ in 0..random.below(4) {
            script.arguments.push(CString::new(words[random.below(words.len() as u64) as usize]).unwrap());
        }
        script
    }
}

/// All that follows the keyword of a statement, quotes included.
pub(super) fn after_keyword<'a>(args: &Args<'a>) -> &'a str {
    let text = args.reading.sources.text(args.statement.text());
    text.split_once([' ', '\t', '"']).map_or("", |(keyword, _)| &text[keyword.len()..])
}

/// What a pass does with a backslash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Escapes {
    Keep,
    Resolve,
}

/// Splits at blanks; `"` and `'` both quote, adjacent parts join, a backslash escapes.
pub(super) fn tokenise(text: &str, escapes: Escapes) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                let Some(next) = bytes.next() else { break };
                if escapes == Escapes::Keep {
                    word.get_or_insert_default().extend([b'\\', next]);
                    continue;
                }
                let mut digits = |first: u32, radix: u32, most: usize| {
                    let mut value = first;
                    for _ in 0..most {
                        let Some(digit) = bytes.peek().and_then(|b| char::from(*b).to_digit(radix)) else {
                            break;
                        };
                        value = value * radix + digit;
                        bytes.next();
                    }
                    // `\400` and above wrap as in C.
                    (value & 0xff) as u8
                };
                let escaped = match next {
                    b'a' => 7,
                    b'b' => 8,
                    b'E' => 27,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 11,
                    b'0'..=b'7' => digits(u32::from(next - b'0'), 8, 2),
                    b'x' => digits(0, 16, 2),
                    b'c' => bytes.next().map_or(b'c', |letter| letter.to_ascii_uppercase() & 0x1f),
                    other => other,
                };
                word.get_or_insert_default().push(escaped);
            }
            b'"' | b'\'' if quote.is_none() => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            _ if quote == Some(byte) => quote = None,
            b' ' | b'\t' if quote.is_none() => {
                if let Some(done) = word.take() {
                    words.push(done);
                }
            }
            _ => word.get_or_insert_default().push(byte),
        }
    }
    if let Some(quote) = quote {
        return Err(format!("a quote {} is not closed", char::from(quote)));
    }
    words.extend(word);
    words
        .into_iter()
        .map(|word| {
            if word.contains(&0) {
                return Err("the escapes give a NUL byte".to_owned());
            }
            String::from_utf8(word).map_err(|_| "the escapes give bytes that are not UTF-8".to_owned())
        })
        .collect()
}

/// A command as one quoted word, which both passes of [`tokenise`] turn into it again.
pub(super) fn quote<T: AsRef<str>>(command: impl Iterator<Item = T>) -> String {
    let mut text = String::from("\"");
    for (index, word) in command.enumerate() {
        let word = word.as_ref();
        if index > 0 {
            text.push(' ');
        }
        if word.is_empty() {
            text.push_str("''");
        }
        for c in word.chars() {
            if c.is_ascii_alphanumeric() || "/._-+:=,@%".contains(c) || !c.is_ascii() {
                text.push(c);
            } else if c.is_ascii_control() || matches!(c, '"' | '$') {
                // A backslash does not hide these from the reader of lines.
                text.push_str(&format!("\\x{:02x}", c as u32));
            } else {
                text.push('\\');
                text.push(c);
            }
        }
    }
    text.push('"');
    text
}

/// A FIFO and who owns it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fifo {
    /// Its path.
    pub path: Box<str>,
    /// Its owner.
    pub owner: Option<NamedUser>,
}

impl Argument for Fifo {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let (path, _) = args.required()?;
        let owner = match args.peek() {
            Some(_) => Some(NamedUser::parse(args)?),
            None => None,
        };
        Some(Self { path: path.into(), owner })
    }

    fn print(&self, out: &mut Printed) {
        out.word(&self.path);
        if let Some(owner) = &self.owner {
            owner.print(out);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self {
            path: "/run/alived.fifo".into(),
            owner: random.chance(1, 2).then(|| NamedUser::sample(random)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a program gets from the text after a script keyword.
    fn arguments(text: &str) -> Vec<String> {
        let outer = tokenise(text, Escapes::Keep).unwrap();
        tokenise(&outer[0], Escapes::Resolve).unwrap()[1..].to_vec()
    }

    #[test]
    fn commands_are_split_as_keepalived_splits_them() {
        assert!(arguments("/x/a.sh").is_empty());
        assert_eq!(arguments("\"/x/a.sh a b\""), ["a", "b"]);
        assert_eq!(arguments("\"/x/a.sh 'a b' c\""), ["a b", "c"]);
        assert_eq!(arguments("'/x/a.sh a b'"), ["a", "b"]);
        assert_eq!(arguments(r#""/x/a.sh 'sp\x20a' '\"q q\"' \\t \t""#), ["sp a", "\"q q\"", "\\t", "\t"]);
        assert_eq!(arguments(r#""/x/a.sh a\040b \x41 \cA\|""#), ["a b", "A", "\u{1}|"]);
        assert_eq!(arguments("\"/x/a.sh a\"\"b c\""), ["ab", "c"]);
        assert_eq!(arguments("\"/x/a.sh '' x\""), ["", "x"]);
        assert_eq!(arguments("\"/x/a.sh a # b\""), ["a", "#", "b"]);
    }

    #[test]
    fn a_quoted_command_comes_back_whole() {
        let mut random = Prng::new(7);
        for _ in 0..200 {
            let script = Script::sample(&mut random);
            let words: Vec<_> = script.words().map(|word| word.to_str().unwrap()).collect();
            let outer = tokenise(&quote(words.iter()), Escapes::Keep).unwrap();
            assert_eq!(outer.len(), 1);
            let inner = tokenise(&outer[0], Escapes::Resolve).unwrap();
            assert_eq!(inner, words);
        }
    }
}
