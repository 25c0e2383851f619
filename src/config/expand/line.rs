//! One physical line: its end, its comment, and what is special in it.

/// What a line contains outside double quotes, found in one pass.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Scan {
    /// Bytes before the comment.
    pub(super) content: usize,
    /// A `$`, inside quotes too.
    pub(super) dollar: bool,
    /// A `{` or `}`.
    pub(super) brace: bool,
    /// A `"`.
    pub(super) quote: bool,
    /// The last `"` has no partner.
    pub(super) unterminated: Option<usize>,
    /// A NUL byte.
    pub(super) nul: bool,
}

const PLAIN: u8 = 0;
const COMMENT: u8 = 1;
const QUOTE: u8 = 2;
const DOLLAR: u8 = 3;
const BRACE: u8 = 4;
const NUL: u8 = 5;

static CLASS: [u8; 256] = {
    let mut class = [PLAIN; 256];
    class[b'#' as usize] = COMMENT;
    class[b'!' as usize] = COMMENT;
    class[b'"' as usize] = QUOTE;
    class[b'$' as usize] = DOLLAR;
    class[b'{' as usize] = BRACE;
    class[b'}' as usize] = BRACE;
    class[0] = NUL;
    class
};

/// Scans a line without its end. `#` and `!` begin a comment except inside `"…"`; a backslash before them
/// goes and the comment begins all the same, as in keepalived.
pub(super) fn scan(line: &str) -> Scan {
    let mut scan = Scan { content: line.len(), ..Scan::default() };
    let mut quote = None;
    for (index, byte) in line.bytes().enumerate() {
        match CLASS[byte as usize] {
            PLAIN => {}
            COMMENT if quote.is_none() => {
                scan.content = if line[..index].ends_with('\\') { index - 1 } else { index };
                // What is wrong inside a comment is nobody's business, but for NUL, which drops the line.
                scan.nul = scan.nul || line.as_bytes()[index..].contains(&0);
                return scan;
            }
            QUOTE => {
                scan.quote = true;
                quote = if quote.is_none() { Some(index) } else { None };
            }
            DOLLAR => scan.dollar = true,
            BRACE if quote.is_none() => scan.brace = true,
            NUL => scan.nul = true,
            _ => {}
        }
    }
    scan.unterminated = quote;
    scan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(line: &str) -> &str {
        &line[..scan(line).content]
    }

    #[test]
    fn comments_end_a_line_but_not_inside_double_quotes() {
        assert_eq!(content("a b # c"), "a b ");
        assert_eq!(content("a ! c"), "a ");
        assert_eq!(content("a \"x#y!z\" # c"), "a \"x#y!z\" ");
        assert_eq!(content("a 'x#y'"), "a 'x");
        assert_eq!(content("a\\#b"), "a");
        assert_eq!(scan("a \"b").unterminated, Some(2));
        assert!(scan("a { b").brace);
        assert!(!scan("a \"{\" b").brace);
        assert!(scan("a # \0").nul);
    }
}
