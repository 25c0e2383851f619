//! Printing lines that are longer than what is read: in pieces, each a definition.

use core::fmt::Write as _;

/// Bytes that are read of a line.
const MOST: usize = 1023;
/// Bytes of a piece, before what needs a name is replaced.
const PIECE: usize = 100;
/// Names in a definition of names.
const NAMES: usize = 60;

/// A text whose lines can all be read: a longer one becomes definitions and their names.
pub(super) fn shorten(text: String) -> String {
    if text.lines().all(|line| line.len() <= MOST) {
        return text;
    }
    let mut definitions =
        Definitions { prefix: unused(&text), count: 0, text: String::with_capacity(text.len()) };
    for line in text.lines() {
        if line.len() <= MOST {
            definitions.line(line);
        } else {
            definitions.long_line(line.trim_start());
        }
    }
    definitions.text
}

/// A beginning of names that the text does not refer to.
fn unused(text: &str) -> String {
    let mut prefix = "_L".to_owned();
    while text.contains(&format!("${prefix}")) || text.contains(&format!("${{{prefix}")) {
        prefix.insert(0, '_');
    }
    prefix
}

struct Definitions {
    prefix: String,
    count: usize,
    text: String,
}

impl Definitions {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn long_line(&mut self, line: &str) {
        if self.count == 0 {
            // Stands for nothing, and keeps blanks and backslashes at the ends of a piece.
            let _ = self.define("");
        }
        let nothing = self.name(1);
        let mut names = Vec::new();
        for piece in pieces(line) {
            // Either would begin a comment.
            let piece = piece.replace('#', "${_HASH}").replace('!', "${_BANG}");
            names.push(self.define(&format!("{nothing}{piece}{nothing}")));
        }
        while names.len() > NAMES {
            names = names.chunks(NAMES).map(|names| self.define(&names.concat())).collect();
        }
        self.line(&names.concat());
    }

    fn define(&mut self, value: &str) -> String {
        self.count += 1;
        let _ = writeln!(self.text, "${}{}={value}", self.prefix, self.count);
        self.name(self.count)
    }

    fn name(&self, number: usize) -> String {
        format!("${{{}{number}}}", self.prefix)
    }
}

/// Cuts a line. A `$` ends its piece, so that it refers to nothing there.
fn pieces(line: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let most =
            (1..=PIECE.min(rest.len())).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        let dollar = rest.bytes().take(most).position(|byte| byte == b'$');
        let (piece, more) = rest.split_at(dollar.map_or(most, |at| at + 1));
        pieces.push(piece);
        rest = more;
    }
    pieces
}
