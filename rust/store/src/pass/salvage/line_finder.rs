//! Where entries lie in a store that does not parse, as far as its line breaks prove it.
//!
//! A string of JSON has no raw line break. So in a store with one indentation, the gateway's two
//! spaces or any other, these lines are the beginning of an entry and of nothing else:
//!
//! ```text
//!   "key": {          a line with exactly one indentation
//!     "field": …      the next line, with exactly two
//! ```
//!
//! A value further in has its first line at three or more. The entry ends at the next line with
//! one indentation or less, which is its closing bracket; a lexer of its own says whether what
//! lies between is valid. Whatever damage there is elsewhere, an entry that was found like this
//! and does not touch it is one of the store's, and each of the store's is found.
//!
//! Two kinds are found and not taken, but told as unsure. One is where a beginning could be read
//! in two ways: a key after damaged bytes may be the rest of a longer one. The other are entries of
//! one line that nothing proves: a field further in looks the same once its indentation is damaged.
//! Such an entry is taken in a row after proven ones.

use crate::bytes::lex::{Chunk, Lexer};
use crate::entry::{Entries, Entry, EntryVisitor};
use crate::input::error::{Error, Result};
use crate::input::io::{read_full, read_range, Control, ReadAt};
use crate::input::limits::{BUFFER_BYTES, LINE_BYTES};
use crate::pass::salvage::indentation::Indentation;
use crate::pass::salvage::line::Line;
use crate::pass::salvage::single::{is_escaped, is_single};

/// Hears of what is proven, in file order.
pub(crate) trait Proven {
    /// Hears of an entry at `[start, end)`. `torn` entries were left behind since the one before.
    fn entry(&mut self, start: u64, end: u64, hash: u128, torn: u64) -> Result<()>;
}

/// An entry that has begun.
#[derive(Debug, Clone, Copy)]
struct Open {
    start: u64,
    is_proven: bool,
    /// Where a beginning was met inside of it.
    suspect: Option<u64>,
}

/// Reads a damaged store line by line; see the module.
pub(crate) struct LineFinder<'a, P> {
    input: &'a dyn ReadAt,
    control: &'a Control,
    indentation: Indentation,
    pub inner: P,
    /// Entries of which a beginning or an end was met since the last one that is proven.
    pub torn: u64,
    /// The first byte of what may be a whole entry, and is not proven.
    pub unsure: Option<u64>,
    /// The same of a line that is a field's, unless the store has entries of one line.
    unsure_if_single: Option<u64>,
    /// Entries of one line were taken.
    singles: u64,
    /// The last line is the end of the store.
    pub has_end: bool,
    /// Where the store has ended, if something follows that may be another.
    over_at: Option<u64>,
    line: Line,
    previous: Option<Line>,
    open: Option<Open>,
    /// What lies before the previous line is proven, down to its separator.
    in_row: bool,
    /// The line before the previous one has a name at the place of a key, and is not an entry:
    /// what follows may be the rest of a broken key.
    after_key: bool,
    scratch: Vec<u8>,
}

impl<'a, P: Proven> LineFinder<'a, P> {
    pub(crate) fn new(
        input: &'a dyn ReadAt,
        control: &'a Control,
        indentation: Indentation,
        inner: P,
    ) -> Self {
        Self {
            input,
            control,
            indentation,
            inner,
            torn: 0,
            unsure: None,
            unsure_if_single: None,
            singles: 0,
            has_end: false,
            over_at: None,
            line: Line::default(),
            previous: None,
            open: None,
            in_row: false,
            after_key: false,
            scratch: vec![0; BUFFER_BYTES],
        }
    }

    /// Reads the whole input.
    pub(crate) fn run(&mut self) -> Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut at = 0;
        loop {
            let filled = read_full(self.input, &mut buffer, at)?;
            if filled == 0 {
                break;
            }
            self.take(&Chunk::new(at, &buffer[..filled]))?;
            at += filled as u64;
            self.control.advance(filled)?;
        }
        let nothing = Chunk::new(at, &[]);
        if self.line.start < at {
            if !self.line.is_headed {
                self.head(&nothing)?;
            }
            self.end_line(at);
        }
        self.head(&nothing)?;
        self.torn += u64::from(self.open.take().is_some());
        if self.singles > 0 {
            self.unsure = self.unsure.or(self.unsure_if_single);
        }
        Ok(())
    }

    fn take(&mut self, chunk: &Chunk<'_>) -> Result<()> {
        let (mut at, mut bytes) = (chunk.base, chunk.bytes);
        while !bytes.is_empty() {
            if !self.line.is_headed {
                let byte = self.indentation.byte;
                let run = bytes.iter().take_while(|other| **other == byte).count();
                self.line.lead += run as u64;
                (at, bytes) = (at + run as u64, &bytes[run..]);
                let Some(first) = bytes.first() else { break };
                (self.line.first, self.line.is_headed) = (*first, true);
                self.head(chunk)?;
            }
            let Some(len) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.line.push(bytes);
                break;
            };
            self.line.push(&bytes[..len]);
            at += len as u64;
            self.end_line(at);
            (at, bytes) = (at + 1, &bytes[len + 1..]);
        }
        Ok(())
    }

    fn end_line(&mut self, at: u64) {
        self.line.end = at;
        self.previous = Some(self.line);
        self.line = Line {
            start: at + 1,
            ..Line::default()
        };
    }

    /// Takes a line whose indentation is known, which tells what the line before it was.
    fn head(&mut self, chunk: &Chunk<'_>) -> Result<()> {
        let width = self.indentation.width;
        let line = self.line;
        let closes = line.lead == width && line.closes();
        if let Some(previous) = self.previous.take() {
            let was_end = self.look_back(&previous, chunk)?;
            if !previous.is_blank() {
                let is_key = previous.lead <= width && previous.first == b'"';
                self.after_key = is_key && !self.in_row && !was_end;
            }
            if was_end && line.lead == 0 && line.first == b'}' {
                self.over_at = Some(line.start);
            }
        }
        if !line.is_blank() {
            self.has_end = line.lead == 0 && line.first == b'}';
        }
        if closes {
            return self.close(line.start + width + 1, chunk);
        }
        if line.lead <= width && !line.is_blank() {
            if let Some(open) = &mut self.open {
                open.is_proven = false; // it should have ended
            }
        }
        Ok(())
    }

    /// Says whether the line is the end of an entry after which none need follow.
    fn look_back(&mut self, line: &Line, chunk: &Chunk<'_>) -> Result<bool> {
        let width = self.indentation.width;
        let was_in_row = std::mem::take(&mut self.in_row);
        let is_exact = line.lead == width && line.first == b'"';
        let (next, is_outer) = (self.line, self.line.lead <= width);
        if let Some(opening) = line
            .opening()
            .filter(|_| !next.is_blank() && !next.closes())
        {
            if next.lead == 2 * width || is_exact && !is_outer {
                self.begin(line, opening, chunk)?;
                return Ok(false);
            }
        }
        if is_exact && was_in_row && self.single(line, chunk)? {
            self.in_row = line.has_comma();
            return Ok(!self.in_row);
        }
        if line.ends_proven && line.text_end() <= line.after_bracket() + 1 {
            self.in_row = line.has_comma();
            return Ok(line.text_end() == line.after_bracket());
        }
        if line.start == 0 && line.first == b'{' && line.text_end() == 1 {
            self.in_row = true;
            return Ok(false);
        }
        let ends = is_outer && !next.is_blank() && !(next.lead == width && next.closes());
        let is_followed = self.is_single_followed(line);
        let first = is_exact || is_followed || ends && line.lead <= width;
        let at_end = next.first == 0;
        if self.hides_entry(line, line.text_end(), first, ends || at_end, chunk)? {
            self.be_unsure(line.start);
        } else if ends && self.hides_entry(line, line.text_end(), true, true, chunk)? {
            self.unsure_if_single.get_or_insert(line.start);
        }
        Ok(false)
    }

    /// Takes a line that ends as the first line of an entry does, where the next one is further in.
    fn begin(&mut self, line: &Line, opening: u64, chunk: &Chunk<'_>) -> Result<()> {
        let width = self.indentation.width;
        let found = self.find_key(line.start, line.text_end() - opening, chunk)?;
        let is_exact = line.lead == width && found == Some(line.start + width);
        if !is_exact && self.hides_entry(line, line.text_end(), line.lead <= width, true, chunk)? {
            self.be_unsure(line.start);
        }
        let Some(key) = found else {
            return Ok(()); // the key is damaged, and so the entry
        };
        if let Some(open) = self.open.as_mut().filter(|open| open.is_proven) {
            open.suspect = Some(key);
            return Ok(());
        }
        self.torn += u64::from(self.open.is_some());
        self.open = Some(Open {
            start: key,
            is_proven: is_exact && !self.after_key && self.line.lead == 2 * width,
            suspect: None,
        });
        Ok(())
    }

    /// Finds the quote that the key begins with whose last quote is at `close`. If there is
    /// none, one after a backslash may have been it.
    fn find_key(&mut self, from: u64, close: u64, chunk: &Chunk<'_>) -> Result<Option<u64>> {
        let start = from.max(close.saturating_sub(LINE_BYTES));
        let text = self.look(start, close, chunk)?;
        let is_mark = |byte: &u8| *byte == b'"' || *byte < b' ';
        let mut found = None;
        let mut end = text.len();
        while let Some(at) = text[..end].iter().rposition(is_mark) {
            if text[at] != b'"' {
                return Ok(found);
            }
            found = Some(start + at as u64);
            if !is_escaped(text, at) {
                return Ok(found);
            }
            end = at;
        }
        if start > from {
            self.be_unsure(from); // too long a key to say
        }
        Ok(found)
    }

    /// Takes the line at which the open entry has to end: keeps the entry if it is one.
    fn close(&mut self, end: u64, chunk: &Chunk<'_>) -> Result<()> {
        if let Some(open) = self.open.take() {
            if let Some(hash) = self.check(open.start, end, chunk)? {
                if open.is_proven {
                    self.line.ends_proven = true;
                    return self.keep(open.start, end, hash);
                }
                self.be_unsure(open.start);
            } else if let Some(suspect) = open.suspect {
                if self.check(suspect, end, chunk)?.is_some() {
                    self.be_unsure(suspect);
                }
            }
        }
        self.torn += 1;
        Ok(())
    }

    /// Takes an entry of one line, in a row after proven ones, with what must follow it.
    fn single(&mut self, line: &Line, chunk: &Chunk<'_>) -> Result<bool> {
        if !self.is_single_followed(line) || self.open.is_some() {
            return Ok(false);
        }
        let start = line.start + line.lead;
        let end = line.text_end() - u64::from(line.has_comma());
        let Some(hash) = self.check(start, end, chunk)? else {
            return Ok(false);
        };
        self.singles += 1;
        self.keep(start, end, hash)?;
        Ok(true)
    }

    /// Says whether what follows a line is what follows an entry of one line.
    fn is_single_followed(&self, line: &Line) -> bool {
        let next = self.line;
        if line.has_comma() {
            next.lead == self.indentation.width && next.first == b'"'
        } else {
            next.lead == 0 && next.first == b'}'
        }
    }

    fn keep(&mut self, start: u64, end: u64, hash: u128) -> Result<()> {
        if self.over_at.is_some() {
            self.be_unsure(start);
            self.torn += 1;
            return Ok(());
        }
        let torn = std::mem::take(&mut self.torn);
        self.inner.entry(start, end, hash, torn)
    }

    fn be_unsure(&mut self, at: u64) {
        self.unsure.get_or_insert(at);
    }

    /// Says whether an entry of one line may be part of a line, up to `end`: its first name if
    /// `first`, any later one if `rest`.
    fn hides_entry(
        &mut self,
        line: &Line,
        end: u64,
        first: bool,
        rest: bool,
        chunk: &Chunk<'_>,
    ) -> Result<bool> {
        if !(first || rest) {
            return Ok(false);
        }
        if end.saturating_sub(line.start) > LINE_BYTES {
            return Ok(first && self.hides_long(line, end, chunk)?);
        }
        let start = usize::try_from(line.lead).unwrap_or(usize::MAX);
        let text = self.look(line.start, end, chunk)?;
        Ok((0..text.len()).any(|at| {
            let is_wanted = if at == start { first } else { rest };
            is_wanted && text[at] == b'"' && is_single(&text[at..])
        }))
    }

    /// Says whether a long line may hide an entry: it has a name that is not the first thing on it,
    /// or is whole.
    fn hides_long(&mut self, line: &Line, end: u64, chunk: &Chunk<'_>) -> Result<bool> {
        let (mut was_quote, mut names) = (false, 0);
        read_range(self.input, line.start, end, &mut self.scratch, |bytes| {
            for byte in bytes {
                names += u64::from(was_quote && *byte == b':');
                was_quote = *byte == b'"' || was_quote && byte.is_ascii_whitespace();
            }
            Ok(())
        })?;
        if names != 1 || line.first != b'"' {
            return Ok(names > 0);
        }
        let start = line.start + line.lead;
        let end = end - u64::from(line.has_comma());
        Ok(self.check(start, end, chunk)?.is_some())
    }

    /// Returns the bytes `[from, to)`, which are few.
    fn look<'b>(&'b mut self, from: u64, to: u64, chunk: &Chunk<'b>) -> Result<&'b [u8]> {
        if from >= chunk.base && to <= chunk.end() {
            return Ok(chunk.slice(from, to));
        }
        let want = usize::try_from(to - from).map_or(self.scratch.len(), |len| len);
        let want = want.min(self.scratch.len());
        let got = read_full(self.input, &mut self.scratch[..want], from)?;
        Ok(&self.scratch[..got])
    }

    /// Says whether `[start, end)` is one entry and nothing else: its hash if it is.
    fn check(&mut self, start: u64, end: u64, chunk: &Chunk<'_>) -> Result<Option<u128>> {
        let mut lexer = Lexer::new();
        let mut entries = Entries::new(One::default(), 0);
        let brace = start.saturating_sub(1);
        let checked = (|| {
            lexer.feed(&Chunk::new(brace, b"{"), &mut entries)?;
            if start >= chunk.base && end <= chunk.end() {
                lexer.feed(&Chunk::new(start, chunk.slice(start, end)), &mut entries)?;
            } else {
                let mut at = start;
                read_range(self.input, start, end, &mut self.scratch, |bytes| {
                    self.control.check()?;
                    lexer.feed(&Chunk::new(at, bytes), &mut entries)?;
                    at += bytes.len() as u64;
                    Ok(())
                })?;
            }
            lexer.feed(&Chunk::new(end, b"}"), &mut entries)?;
            lexer.finish(end + 1)
        })();
        match checked {
            Ok(()) => {}
            Err(Error::Invalid { .. }) => return Ok(None),
            Err(other) => return Err(other),
        }
        let one = entries.inner;
        Ok((one.count == 1 && (one.start, one.end) == (start, end)).then_some(one.hash))
    }
}

/// The one entry of what is checked.
#[derive(Default)]
struct One {
    count: u64,
    start: u64,
    end: u64,
    hash: u128,
}

impl EntryVisitor for One {
    fn entry(&mut self, entry: &Entry, chunk: &Chunk<'_>) -> Result<()> {
        self.count += 1;
        (self.start, self.end) = (entry.places.span.start, entry.places.span.end);
        self.hash = entry.member_hash(chunk);
        Ok(())
    }
}
