//! The texts that a configuration is made of, all in one space of positions.
//!
//! A position is 4 bytes and tells file, line and column; a [`Span`] is two of them. Text that comes out of
//! an expansion (`$NAME`, `~SEQ`, `~LST`) has positions of its own, and remembers for each piece where it was
//! written and for each line where it was used.

use core::num::NonZeroU32;
use core::ops::Range;

/// A place in the texts of a [`SourceMap`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position(NonZeroU32);

impl Position {
    /// The first place of all.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    const fn from_offset(offset: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(offset))
    }

    const fn offset(self) -> u32 {
        self.0.get() - 1
    }

    /// The place `bytes` further on.
    pub const fn advance(self, bytes: u32) -> Self {
        Self(self.0.saturating_add(bytes))
    }
}

/// A run of bytes within one text.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Span {
    /// First byte.
    pub start: Position,
    /// Number of bytes.
    pub length: u32,
}

impl Span {
    /// The part that begins `from` bytes after the start and is `length` bytes long.
    pub const fn part(self, from: u32, length: u32) -> Self {
        Self { start: self.start.advance(from), length }
    }

    /// From the start of this to the end of `last`; both must be in one text.
    pub const fn to(self, last: Self) -> Self {
        let end = last.start.offset() + last.length;
        Self { start: self.start, length: end.saturating_sub(self.start.offset()) }
    }
}

/// Where a piece of expanded text comes from.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Its own place.
    at: Position,
    /// Where it was written.
    from: Span,
    /// Whether it was copied byte by byte, or stands for the whole of `from` (a counter of `~SEQ`).
    copied: bool,
}

/// One line that an expansion gave.
#[derive(Clone, Copy, Debug)]
struct ExpandedLine {
    at: Position,
    /// The line that made it appear.
    used: Span,
}

/// A file, or a run of expanded lines.
#[derive(Debug)]
struct Text {
    base: u32,
    /// Name of the file; `None` for expanded text.
    name: Option<Box<str>>,
    text: String,
    /// Offsets of the line starts of a file, made when the first is asked for.
    lines: std::sync::OnceLock<Vec<u32>>,
}

/// A place as people are told it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Location<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The whole line, without its end.
    pub text: &'a str,
    /// The bytes of `text` that are meant.
    pub start: usize,
    /// End of these.
    pub end: usize,
}

/// All texts of one configuration.
#[derive(Debug, Default)]
pub struct SourceMap {
    texts: Vec<Text>,
    pieces: Vec<Piece>,
    expanded: Vec<ExpandedLine>,
    next: u32,
    files: u32,
}

/// The position space (4 GiB) is used up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SourceSpaceExhausted;

impl SourceMap {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file's text.
    ///
    /// # Errors
    /// When all texts together exceed 4 GiB.
    pub fn add_file(&mut self, name: &str, text: String) -> Result<Span, SourceSpaceExhausted> {
        self.files += 1;
        self.add_text(Some(name.into()), text)
    }

    fn add_text(&mut self, name: Option<Box<str>>, text: String) -> Result<Span, SourceSpaceExhausted> {
        let base = self.next;
        let length = u32::try_from(text.len()).map_err(|_| SourceSpaceExhausted)?;
        // One byte more, so that the place after the last byte belongs to the text too.
        self.next = base.checked_add(length).and_then(|n| n.checked_add(2)).ok_or(SourceSpaceExhausted)?;
        self.texts.push(Text { base, name, text, lines: std::sync::OnceLock::new() });
        Ok(Span { start: Position::from_offset(base), length })
    }

    /// How many files were added.
    pub fn file_count(&self) -> u32 {
        self.files
    }

    fn text_at(&self, position: Position) -> Option<&Text> {
        let offset = position.offset();
        let index = match self.texts.last() {
            Some(last) if last.base <= offset => self.texts.len(),
            _ => self.texts.partition_point(|text| text.base <= offset),
        };
        self.texts.get(index.checked_sub(1)?)
    }

    /// The text of a span; empty when the span is none of this map's.
    pub fn text(&self, span: Span) -> &str {
        self.text_at(span.start)
            .and_then(|text| {
                let start = (span.start.offset() - text.base) as usize;
                text.text.get(start..start + span.length as usize)
            })
            .unwrap_or("")
    }

    /// The byte before a position within the same text.
    pub fn byte_before(&self, position: Position) -> Option<u8> {
        let text = self.text_at(position)?;
        let at = (position.offset() - text.base) as usize;
        text.text.as_bytes().get(at.checked_sub(1)?).copied()
    }

    /// The word that begins at a position: up to a blank, a quote or a brace.
    pub fn word_at(&self, position: Position) -> Span {
        let Some(text) = self.text_at(position) else { return Span { start: position, length: 0 } };
        let at = (position.offset() - text.base) as usize;
        let rest = text.text.get(at..).unwrap_or("");
        let quoted = self.byte_before(position) == Some(b'"');
        let length = rest
            .bytes()
            .position(|b| if quoted { matches!(b, b'"' | b'\n') } else { b" \t\r\n\"{}".contains(&b) })
            .unwrap_or(rest.len());
        Span { start: position, length: u32::try_from(length).unwrap_or(0) }
    }

    /// Begins a line of expanded text, used by the line `used`.
    ///
    /// # Errors
    /// When all texts together exceed 4 GiB.
    pub fn begin_expanded_line(&mut self, used: Span) -> Result<(), SourceSpaceExhausted> {
        if !matches!(self.texts.last(), Some(Text { name: None, .. })) {
            self.add_text(None, String::new())?;
        }
        let at = self.append("\n")?;
        self.expanded.push(ExpandedLine { at: at.advance(1), used });
        Ok(())
    }

    /// Appends to the line begun last. `copied` = `from` is `text` itself; otherwise `text` stands for it.
    ///
    /// # Errors
    /// When all texts together exceed 4 GiB.
    pub fn push_expanded(
        &mut self,
        text: &str,
        from: Span,
        copied: bool,
    ) -> Result<(), SourceSpaceExhausted> {
        let at = self.append(text)?;
        self.pieces.push(Piece { at, from, copied });
        Ok(())
    }

    /// As [`SourceMap::push_expanded`] with text of this map.
    ///
    /// # Errors
    /// When all texts together exceed 4 GiB.
    pub fn push_expanded_copy(&mut self, from: Span) -> Result<(), SourceSpaceExhausted> {
        let Some((last, earlier)) = self.texts.split_last_mut() else { return Err(SourceSpaceExhausted) };
        let at = last.base + u32::try_from(last.text.len()).map_err(|_| SourceSpaceExhausted)?;
        let offset = from.start.offset();
        let range = |text: &Text| {
            let start = (offset - text.base) as usize;
            start..start + from.length as usize
        };
        if offset >= last.base {
            last.text.extend_from_within(range(last));
        } else if let Some(text) =
            earlier.partition_point(|text| text.base <= offset).checked_sub(1).and_then(|i| earlier.get(i))
        {
            last.text.push_str(text.text.get(range(text)).unwrap_or(""));
        }
        self.next = self.next.checked_add(from.length).ok_or(SourceSpaceExhausted)?;
        self.pieces.push(Piece { at: Position::from_offset(at), from, copied: true });
        Ok(())
    }

    fn append(&mut self, more: &str) -> Result<Position, SourceSpaceExhausted> {
        let Some(text) = self.texts.last_mut() else { return Err(SourceSpaceExhausted) };
        let at = text.base + u32::try_from(text.text.len()).map_err(|_| SourceSpaceExhausted)?;
        let length = u32::try_from(more.len()).map_err(|_| SourceSpaceExhausted)?;
        self.next = self.next.checked_add(length).ok_or(SourceSpaceExhausted)?;
        text.text.push_str(more);
        Ok(Position::from_offset(at))
    }

    /// The line begun last, without the blanks at its ends.
    pub fn expanded_line(&self) -> Option<Span> {
        let line = self.expanded.last()?;
        let text = self.texts.last()?;
        let start = (line.at.offset() - text.base) as usize;
        let rest = text.text.get(start..)?;
        let length = u32::try_from(rest.trim_end().len()).ok()?;
        let lead = u32::try_from(rest.len() - rest.trim_start().len()).ok()?;
        Some(Span { start: line.at.advance(lead), length: length.saturating_sub(lead) })
    }

    /// Whether a position is in expanded text.
    pub fn is_expanded(&self, position: Position) -> bool {
        self.text_at(position).is_some_and(|text| text.name.is_none())
    }

    /// Where the text of a span was written, in a file. Several pieces: the first.
    pub fn written(&self, span: Span) -> Span {
        let mut span = span;
        // Each step leads to text that was there before, so this ends.
        while self.is_expanded(span.start) {
            let index = self.pieces.partition_point(|piece| piece.at <= span.start);
            let Some(piece) = index.checked_sub(1).and_then(|index| self.pieces.get(index)) else { break };
            let skip = span.start.offset() - piece.at.offset();
            let next = if piece.copied && skip < piece.from.length.max(1) {
                Span {
                    start: piece.from.start.advance(skip),
                    length: span.length.min(piece.from.length - skip.min(piece.from.length)),
                }
            } else {
                piece.from
            };
            if next.start >= span.start {
                break;
            }
            span = next;
        }
        span
    }

    /// The lines that made the text of a span appear, innermost first; empty for text of a file.
    pub fn uses(&self, span: Span) -> Vec<Span> {
        let mut uses = Vec::new();
        let mut span = span;
        while self.is_expanded(span.start) && uses.len() < 8 {
            let index = self.expanded.partition_point(|line| line.at <= span.start);
            let Some(line) = index.checked_sub(1).and_then(|index| self.expanded.get(index)) else { break };
            if line.used.start >= span.start {
                break;
            }
            uses.push(line.used);
            span = line.used;
        }
        uses
    }

    /// File, line and column of a span in a file.
    pub fn location(&self, span: Span) -> Option<Location<'_>> {
        let text = self.text_at(span.start)?;
        let file = text.name.as_deref()?;
        let at = ((span.start.offset() - text.base) as usize).min(text.text.len());
        let lines = text.lines.get_or_init(|| {
            let ends = memchr::memchr_iter(b'\n', text.text.as_bytes());
            std::iter::once(0).chain(ends.filter_map(|end| u32::try_from(end + 1).ok())).collect()
        });
        let line = lines.partition_point(|&start| start as usize <= at).max(1);
        let Range { start, end } = line_range(lines, line, text.text.len());
        let whole = text.text.get(start..end)?;
        let whole = whole.trim_end_matches(['\n', '\r']);
        let from = (at - start).min(whole.len());
        let to = (from + span.length as usize).min(whole.len());
        Some(Location {
            file,
            line: u32::try_from(line).ok()?,
            column: u32::try_from(whole.get(..from)?.chars().count() + 1).ok()?,
            text: whole,
            start: from,
            end: to,
        })
    }
}

fn line_range(lines: &[u32], line: usize, length: usize) -> Range<usize> {
    let start = lines.get(line - 1).map_or(0, |&start| start as usize);
    let end = lines.get(line).map_or(length, |&next| next as usize);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn location_counts_lines_and_characters() {
        let mut map = SourceMap::new();
        let file = map.add_file("a.conf", "one\nzwö drei\n".to_owned()).unwrap();
        let word = file.part(9, 4);
        assert_eq!(map.text(word), "drei");
        let location = map.location(word).unwrap();
        assert_eq!((location.line, location.column, location.text), (2, 5, "zwö drei"));
        assert_eq!(&location.text[location.start..location.end], "drei");
    }

    #[test]
    fn expanded_text_knows_where_it_was_written_and_used() {
        let mut map = SourceMap::new();
        let file = map.add_file("a.conf", "$A=hello\nsay $A\n".to_owned()).unwrap();
        let (value, used) = (file.part(3, 5), file.part(9, 6));
        map.begin_expanded_line(used).unwrap();
        map.push_expanded_copy(file.part(9, 4)).unwrap();
        map.push_expanded_copy(value).unwrap();
        let line = map.expanded_line().unwrap();
        assert_eq!(map.text(line), "say hello");
        assert_eq!(map.written(line.part(4, 5)), value);
        assert_eq!(map.written(line.part(0, 3)), file.part(9, 3));
        assert_eq!(map.uses(line), vec![used]);
        assert!(map.uses(value).is_empty());
    }
}
