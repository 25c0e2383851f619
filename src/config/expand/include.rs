//! Files and `include` with its variants (`includer`, `includem`, … are one letter for each check).

use super::{Expander, Frame, Stop};
use crate::config::diagnostics::{Diagnostic, Status};
use crate::config::host::ReadError;
use crate::config::limits::advice;
use crate::config::source::{SourceMap, Span};

/// Which missing includes are errors (`include_check`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct IncludeChecks {
    /// `read`: a file that matches must be readable.
    pub read: bool,
    /// `match`: a name without wildcard must match.
    pub matched: bool,
    /// `wildcard_match`: a name with wildcards must match something.
    pub wildcard: bool,
    /// `brace_match`: each alternative in braces must match.
    pub brace: bool,
}

impl IncludeChecks {
    /// No check.
    pub(crate) const NONE: Self = Self { read: false, matched: false, wildcard: false, brace: false };
    /// Every check (`-e`).
    pub(crate) const ALL: Self = Self { read: true, matched: true, wildcard: true, brace: true };

    fn with_suffix(self, suffix: &str) -> Option<Self> {
        let mut checks = self;
        match suffix {
            "" => {}
            "r" => checks.read = true,
            "m" => (checks.read, checks.matched) = (true, true),
            "w" => (checks.read, checks.wildcard) = (true, true),
            "b" => (checks.read, checks.brace) = (true, true),
            "a" => checks = Self::ALL,
            _ => return None,
        }
        Some(checks)
    }
}

/// A file being read.
pub(super) struct OpenFile {
    text: Span,
    cursor: u32,
    /// The directory it lies in.
    pub(super) directory: String,
    canonical: String,
    checks: IncludeChecks,
    expansion_depth: usize,
}

impl OpenFile {
    /// The next physical line without its end.
    pub(super) fn next_line(&mut self, sources: &SourceMap) -> Option<Span> {
        if self.cursor >= self.text.length {
            return None;
        }
        let rest = self.text.part(self.cursor, self.text.length - self.cursor);
        let bytes = sources.text(rest).as_bytes();
        let length = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
        let length = u32::try_from(length).ok()?;
        self.cursor = self.cursor.saturating_add(length).saturating_add(1);
        Some(rest.part(0, length))
    }
}

impl Expander<'_> {
    pub(super) fn open_main(&mut self, main_file: &str) {
        let paths = if main_file.contains(['*', '?', '[', '{']) {
            self.host.glob(main_file).unwrap_or_default()
        } else {
            vec![main_file.to_owned()]
        };
        if paths.is_empty() {
            self.diagnostics.push(
                Diagnostic::fatal("no-file", format!("no file matches `{main_file}`"))
                    .help("name the configuration with -f FILE"),
            );
        }
        for path in paths.into_iter().rev() {
            self.frames.push(Frame::Pending {
                directory_of: directory_of(&path),
                path,
                used: None,
                checks: self.checks,
            });
        }
    }

    /// Opens the file that waits on top of the stack.
    pub(super) fn open_pending(&mut self) {
        let Some(Frame::Pending { path, directory_of, used, checks }) = self.frames.pop() else { return };
        let canonical = self.host.canonical_path(&path);
        let limits = &self.options.limits;
        let open = self.frames.iter().filter_map(|frame| match frame {
            Frame::File(file) => Some(file),
            _ => None,
        });
        if open.clone().any(|file| file.canonical == canonical) {
            let chain: Vec<&str> = open.map(|file| file.canonical.as_str()).collect();
            let mut diagnostic =
                Diagnostic::fatal("include-loop", format!("`{path}` includes itself and would never end"))
                    .note(format!("files being read: {}", chain.join(", ")))
                    .help("remove one of the includes");
            diagnostic.span = used;
            self.diagnostics.push(diagnostic);
            return;
        }
        if open.count() >= limits.include_depth {
            let at = used.unwrap_or_else(|| self.no_span());
            let _stop = self.exceeded(
                "include-depth",
                format!("files are included more than {} deep", limits.include_depth),
                at,
            );
            return;
        }
        if self.sources.file_count() >= limits.files {
            let at = used.unwrap_or_else(|| self.no_span());
            let _stop = self.exceeded("files", format!("more than {} files", limits.files), at);
            self.stopped = true;
            return;
        }
        match self.host.read_file(&path, limits.file_bytes) {
            Ok(bytes) => self.open_text(&path, bytes, directory_of, canonical, used),
            Err(error) => self.refuse_file(&path, &error, used, checks),
        }
    }

    fn open_text(
        &mut self,
        path: &str,
        bytes: Vec<u8>,
        directory: String,
        canonical: String,
        used: Option<Span>,
    ) {
        self.total_bytes += bytes.len() as u64;
        if self.total_bytes > self.options.limits.total_bytes {
            let at = used.unwrap_or_else(|| self.no_span());
            let limit = self.options.limits.total_bytes;
            let _stop = self.exceeded("total-bytes", format!("all files exceed {limit} bytes"), at);
            self.stopped = true;
            return;
        }
        let (text, faults) = decode(bytes);
        let Ok(text) = self.sources.add_file(path, text) else {
            self.stopped = true;
            return;
        };
        for (offset, what) in faults {
            let at = text.part(offset, 1);
            self.diagnostics.push(match what {
                Fault::ByteOrderMark => Diagnostic::warning(
                    "byte-order-mark",
                    "the file begins with a byte-order mark, which keepalived takes for part of the first word",
                )
                .at(at)
                .help("save the file as UTF-8 without BOM"),
                Fault::NotUtf8 => Diagnostic::error("not-utf-8", "these bytes are not UTF-8")
                    .at(at)
                    .help("save the file as UTF-8"),
            });
        }
        let file = OpenFile {
            text,
            cursor: 0,
            directory,
            canonical,
            checks: self.checks,
            expansion_depth: self.frames.len(),
        };
        self.frames.push(Frame::File(file));
    }

    fn refuse_file(&mut self, path: &str, error: &ReadError, used: Option<Span>, checks: IncludeChecks) {
        let why = match error {
            ReadError::NotFound => format!("there is no file `{path}`"),
            ReadError::NotRegular(what) => format!("`{path}` is {what}, not a regular file"),
            ReadError::Executable => {
                format!("`{path}` has an execute permission and is not read; run chmod a-x on it")
            }
            ReadError::TooLarge(size) => format!(
                "`{path}` has {size} bytes, more than the {} that are read",
                self.options.limits.file_bytes
            ),
            ReadError::Other(why) => format!("`{path}` cannot be read: {why}"),
        };
        let mut diagnostic = match (used, error) {
            (None, ReadError::TooLarge(_)) => Diagnostic::fatal("limit", why),
            (None, _) => Diagnostic::fatal("no-file", why).help("name the configuration with -f FILE"),
            (Some(_), ReadError::TooLarge(_)) => Diagnostic::fatal("limit", why),
            (Some(_), _) if checks.read => Diagnostic::fatal("include-failed", why).status(Status::Security),
            (Some(_), _) => Diagnostic::warning("include-skipped", format!("{why}: it is skipped"))
                .help("write includer instead of include to make this an error"),
        };
        if matches!(error, ReadError::TooLarge(_)) {
            diagnostic = diagnostic.help(format!("if this is meant, {}", advice("file-bytes")));
        }
        diagnostic.span = used;
        self.diagnostics.push(diagnostic);
    }

    pub(super) fn close_file(&mut self) {
        if let Some(Frame::File(file)) = self.frames.pop() {
            self.checks = file.checks;
            debug_assert!(self.frames.len() <= file.expansion_depth);
        }
    }

    /// Whether the line is an include, which is then carried out.
    /// Parameters in braces are expanded first; without braces they stay as they are, as in keepalived.
    pub(super) fn include(&mut self, line: Span) -> Result<bool, Stop> {
        let text = self.sources.text(line);
        let Some(rest) = text.strip_prefix("include") else { return Ok(false) };
        let suffix_end = rest.find([' ', '\t']).unwrap_or(rest.len());
        let (suffix, pattern) = rest.split_at(suffix_end);
        let Some(checks) = self.checks.with_suffix(suffix) else { return Ok(false) };
        let skipped = text.len() - pattern.trim_start().len();
        let written = pattern.trim().trim_matches('"').to_owned();
        let used =
            line.part(u32::try_from(skipped).unwrap_or(0), u32::try_from(text.len() - skipped).unwrap_or(0));
        if written.is_empty() {
            self.diagnostics.push(
                Diagnostic::error("missing-argument", "include needs the name of a file or a pattern")
                    .at(line)
                    .status(Status::MissingArgument),
            );
            return Ok(true);
        }
        let pattern = match self.substitute_parameters(used)? {
            Some(made) => self.sources.text(made).trim().trim_matches('"').to_owned(),
            None => written.clone(),
        };
        let directory = self.directory();
        let mut paths = Vec::new();
        for alternative in expand_braces(&pattern) {
            let full = if alternative.starts_with('/') || directory.is_empty() {
                alternative.clone()
            } else {
                format!("{directory}/{alternative}")
            };
            let nothing = alternative.is_empty();
            let found = if nothing { Vec::new() } else { self.host.glob(&full).unwrap_or_default() };
            if found.is_empty() {
                self.no_match(
                    &Unmatched { name: &alternative, pattern: &pattern, written: &written },
                    used,
                    checks,
                );
            }
            paths.extend(found);
        }
        for path in paths.into_iter().rev() {
            self.frames.push(Frame::Pending {
                directory_of: directory_of(&path),
                path,
                used: Some(used),
                checks,
            });
        }
        Ok(true)
    }

    fn no_match(&self, unmatched: &Unmatched<'_>, used: Span, checks: IncludeChecks) {
        let Unmatched { name, pattern, written } = *unmatched;
        let wildcard = name.contains(['*', '?', '[']);
        let demanded = if pattern.contains('{') && checks.brace {
            true
        } else if wildcard {
            checks.wildcard
        } else {
            checks.matched
        };
        let expanded = pattern != written;
        let message = format!("no file matches `{}`", if written.contains("${") { written } else { name });
        let mut diagnostic = if demanded {
            Diagnostic::fatal("include-failed", message)
                .status(Status::Security)
                .at(used)
                .label("demanded by an include check")
        } else {
            let stricter = if wildcard { "includew" } else { "includem" };
            Diagnostic::warning("include-skipped", format!("{message}: the include is skipped"))
                .at(used)
                .help(format!("write {stricter} instead of include to make this an error"))
        };
        if expanded {
            diagnostic = diagnostic.note(format!("the parameters expanded, it is `{name}`"));
        }
        if pattern.contains("${") {
            diagnostic = diagnostic.note("a parameter in it is not defined at this point");
        }
        self.diagnostics.push(diagnostic);
    }

    /// The directory of the file being read.
    pub(super) fn directory(&self) -> String {
        self.frames
            .iter()
            .rev()
            .find_map(|frame| match frame {
                Frame::File(file) => Some(file.directory.clone()),
                _ => None,
            })
            .unwrap_or_default()
    }

    fn no_span(&self) -> Span {
        Span { start: crate::config::source::Position::FIRST, length: 0 }
    }
}

fn directory_of(path: &str) -> String {
    match path.rfind('/') {
        Some(0) => "/".to_owned(),
        Some(end) => path.get(..end).unwrap_or("").to_owned(),
        None => String::new(),
    }
}

/// A name that matches no file.
struct Unmatched<'a> {
    /// One alternative of the pattern.
    name: &'a str,
    /// The whole pattern, its parameters expanded.
    pattern: &'a str,
    /// As written.
    written: &'a str,
}

enum Fault {
    ByteOrderMark,
    NotUtf8,
}

/// Text of a file. Bytes that are not UTF-8 are replaced, and reported unless they stand in a comment.
fn decode(bytes: Vec<u8>) -> (String, Vec<(u32, Fault)>) {
    let mut faults = Vec::new();
    let mut text = String::from_utf8(bytes).unwrap_or_else(|error| {
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let content = super::scan(line.trim_end_matches('\n')).content;
            if let Some(at) = line.get(..content).and_then(|content| content.find('\u{fffd}')) {
                faults.push((u32::try_from(start + at).unwrap_or(0), Fault::NotUtf8));
            }
            start += line.len();
        }
        text
    });
    if text.starts_with('\u{feff}') {
        text.drain(..3);
        faults.insert(0, (0, Fault::ByteOrderMark));
        for (offset, _) in faults.iter_mut().skip(1) {
            *offset -= 3;
        }
    }
    (text, faults)
}

/// `a{b,c}d` as `abd`, `acd`; nested braces too. At most 1,000 alternatives.
fn expand_braces(pattern: &str) -> Vec<String> {
    let mut waiting = vec![pattern.to_owned()];
    let mut done = Vec::new();
    while let Some(text) = waiting.pop() {
        match first_braces(&text) {
            Some((open, close, commas)) if done.len() + waiting.len() < 1000 => {
                let mut ends = commas;
                ends.push(close);
                let mut from = open + 1;
                let mut alternatives = Vec::new();
                for end in ends {
                    alternatives.push(format!("{}{}{}", &text[..open], &text[from..end], &text[close + 1..]));
                    from = end + 1;
                }
                waiting.extend(alternatives.into_iter().rev());
            }
            _ => done.push(text),
        }
    }
    done
}

fn first_braces(text: &str) -> Option<(usize, usize, Vec<usize>)> {
    let open = text.find('{')?;
    let mut depth = 0_usize;
    let mut commas = Vec::new();
    for (index, byte) in text.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some((open, index, commas)),
            b'}' => depth -= 1,
            b',' if depth == 1 => commas.push(index),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_give_alternatives() {
        assert_eq!(expand_braces("a{b,c{d,e}}f"), ["abf", "acdf", "acef"]);
        assert_eq!(expand_braces("a{b"), ["a{b"]);
        assert_eq!(expand_braces("*.conf"), ["*.conf"]);
    }

    #[test]
    fn bad_bytes_are_reported_outside_comments_only() {
        let (text, faults) = decode(b"\xef\xbb\xbfa \xff # \xff\nb # \xfc\n".to_vec());
        assert!(text.starts_with("a "));
        let kinds: Vec<(u32, bool)> =
            faults.iter().map(|(at, fault)| (*at, matches!(fault, Fault::NotUtf8))).collect();
        assert_eq!(kinds, [(0, false), (2, true)]);
    }
}
