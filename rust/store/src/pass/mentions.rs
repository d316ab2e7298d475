//! Which of some names occur in any byte of a file, however the file writes them.
//!
//! The names are asked together, and a file of any size and kind is read once. A name occurs where
//! its bytes stand, in any case of letters, or where they would stand once JSON's escapes are
//! undone, of any depth of texts in texts. Nothing is parsed, so a name in a damaged file, in a key or
//! inside a longer word occurs as well: whoever asks keeps what is named, and may keep too much.
//!
//! The first eight bytes of each name go into a filter of bits. Only where those of the text are in it
//! too, the text is looked up in a table, once for each length that such names have.

use crate::input::error::Result;
use crate::input::io::{read_full, Control, ReadAt};
use crate::input::limits::{BUFFER_BYTES, MENTIONS, MENTION_BYTES, MENTION_WINDOW};
use std::collections::HashMap;

const FILTER_BITS: u32 = 20;
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
/// What stands for a character that no name has.
const OTHER: u8 = 0xFF;

/// Says why names cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There are more than [`MENTIONS`].
    TooMany,
    /// One is shorter than [`MENTION_WINDOW`], longer than [`MENTION_BYTES`], or not ASCII.
    Name,
}

/// Names that are asked for, and which of them occurred so far.
///
/// # Memory
///
/// O(names), of which there are at most [`MENTIONS`]: 128 KiB, and for each name its length twice
/// and some 150 bytes. Reading takes 1 MiB, whatever is read.
pub struct Mentions {
    index: HashMap<Box<[u8]>, Vec<u32>>,
    lengths: HashMap<[u8; MENTION_WINDOW], Vec<u8>>,
    filter: Vec<u64>,
    found: Vec<bool>,
    raw: Stream,
    plain: Stream,
    escapes: Escapes,
}

impl Mentions {
    /// Asks for names.
    ///
    /// # Errors
    ///
    /// One of them cannot be asked for, or they are too many.
    pub fn new<S: AsRef<str>>(
        names: impl IntoIterator<Item = S>,
    ) -> std::result::Result<Self, Refused> {
        let mut asked = Self {
            index: HashMap::new(),
            lengths: HashMap::new(),
            filter: vec![0; 1 << (FILTER_BITS - 6)],
            found: Vec::new(),
            raw: Stream::default(),
            plain: Stream::default(),
            escapes: Escapes::Text,
        };
        for name in names {
            asked.add(name.as_ref())?;
        }
        Ok(asked)
    }

    fn add(&mut self, name: &str) -> std::result::Result<(), Refused> {
        if self.found.len() >= MENTIONS {
            return Err(Refused::TooMany);
        }
        let name = name.to_ascii_lowercase().into_bytes();
        // A backslash would be taken for the beginning of an escape.
        let is_plain = name.is_ascii() && !name.contains(&b'\\');
        let (Some(window), Ok(length), true) = (first(&name), u8::try_from(name.len()), is_plain)
        else {
            return Err(Refused::Name);
        };
        let at = u32::try_from(self.found.len()).map_err(|_| Refused::TooMany)?;
        self.found.push(false);
        let bit = place(window);
        self.filter[bit / 64] |= 1 << (bit % 64);
        let lengths = self.lengths.entry(window).or_default();
        if !lengths.contains(&length) {
            lengths.push(length);
        }
        self.index.entry(name.into()).or_default().push(at);
        Ok(())
    }

    /// Reads a file from its first byte to its last; returns how many bytes it has.
    ///
    /// # Errors
    ///
    /// `Io` or `Cancelled`; what was found stays found.
    pub fn scan(&mut self, input: &dyn ReadAt, control: &Control) -> Result<u64> {
        self.begin();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut at = 0;
        loop {
            let filled = read_full(input, &mut buffer, at)?;
            if filled == 0 {
                return Ok(at);
            }
            self.feed(&buffer[..filled]);
            at += filled as u64;
            control.advance(filled)?;
        }
    }

    /// Begins another text: no name goes on from one into the next.
    pub fn begin(&mut self) {
        self.raw.tail.clear();
        self.plain.tail.clear();
        self.escapes = Escapes::Text;
    }

    /// Reads the next bytes of a text.
    pub fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(BUFFER_BYTES) {
            let piece = piece.to_ascii_lowercase();
            let table = Table {
                index: &self.index,
                lengths: &self.lengths,
                filter: &self.filter,
            };
            self.raw.take(&piece, &table, &mut self.found);
            let plain = self.escapes.undo(&piece);
            self.plain.take(&plain, &table, &mut self.found);
        }
    }

    /// Returns which names occurred, by their places in the order in which they were given.
    #[must_use]
    pub fn found(&self) -> Vec<usize> {
        let places = self.found.iter().enumerate();
        places.filter(|(_, is)| **is).map(|(at, _)| at).collect()
    }
}

struct Table<'a> {
    index: &'a HashMap<Box<[u8]>, Vec<u32>>,
    lengths: &'a HashMap<[u8; MENTION_WINDOW], Vec<u8>>,
    filter: &'a [u64],
}

/// A text that comes in pieces; `tail` is its end, in which a name may have begun.
#[derive(Default)]
struct Stream {
    tail: Vec<u8>,
}

impl Stream {
    fn take(&mut self, piece: &[u8], table: &Table<'_>, found: &mut [bool]) {
        self.tail.extend_from_slice(piece);
        let text = &self.tail;
        for at in 0..text.len().saturating_sub(MENTION_WINDOW - 1) {
            let Some(window) = first(&text[at..]) else {
                break;
            };
            let bit = place(window);
            if table.filter[bit / 64] >> (bit % 64) & 1 == 0 {
                continue;
            }
            for length in table.lengths.get(&window).into_iter().flatten() {
                let name = text.get(at..at + usize::from(*length));
                for place in name
                    .and_then(|name| table.index.get(name))
                    .into_iter()
                    .flatten()
                {
                    found[*place as usize] = true;
                }
            }
        }
        let kept = self.tail.len().min(MENTION_BYTES - 1);
        self.tail.drain(..self.tail.len() - kept);
    }
}

/// Where a text stands between the characters of an escape.
#[derive(Clone, Copy)]
enum Escapes {
    Text,
    /// After one backslash or more: a text in a text doubles them.
    Slashes,
    /// After so many hex digits of a `\u`.
    Hex(u8, u32),
}

impl Escapes {
    /// Undoes the escapes of characters that a name may have, and leaves the others as they are.
    fn undo(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut plain = Vec::with_capacity(piece.len() + MENTION_WINDOW);
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            match *self {
                Self::Text => {
                    let end = rest.iter().position(|byte| *byte == b'\\');
                    plain.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
                    rest = end.map_or(&[], |end| &rest[end + 1..]);
                    if end.is_some() {
                        *self = Self::Slashes;
                    }
                    continue;
                }
                Self::Slashes => match byte {
                    b'\\' => {}
                    b'u' => *self = Self::Hex(0, 0),
                    b'/' => {
                        plain.push(byte);
                        *self = Self::Text;
                    }
                    _ => {
                        plain.extend_from_slice(&[b'\\', byte]);
                        *self = Self::Text;
                    }
                },
                Self::Hex(digits, value) => {
                    let Some(digit) = char::from(byte).to_digit(16) else {
                        plain.push(OTHER);
                        *self = Self::Text; // no escape: the raw text has all that is here
                        continue;
                    };
                    let value = value << 4 | digit;
                    *self = match (digits, u8::try_from(value)) {
                        (0..=2, _) => Self::Hex(digits + 1, value),
                        (_, Ok(b'\\')) => Self::Slashes,
                        (_, told) => {
                            plain.push(told.unwrap_or(OTHER).to_ascii_lowercase());
                            Self::Text
                        }
                    };
                }
            }
            rest = after;
        }
        plain
    }
}

fn first(text: &[u8]) -> Option<[u8; MENTION_WINDOW]> {
    text.first_chunk().copied()
}

#[allow(clippy::cast_possible_truncation)] // so few bits are left
fn place(window: [u8; MENTION_WINDOW]) -> usize {
    (u64::from_le_bytes(window).wrapping_mul(SPREAD) >> (64 - FILTER_BITS)) as usize
}
