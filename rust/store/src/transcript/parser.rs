//! Reads a line at a time, resumable at any byte.
//!
//! An automaton of its own beside [`crate::bytes::lex`]: what matters here lies four levels deep,
//! and a damaged line must not end the reading. Texts are skipped 64 bytes at a time; all else is
//! little, and is taken byte by byte. Whatever is not certain makes the line [`Reads::Not`], and
//! what is left of it is skipped.

use super::record::{Edit, Reads, Record, Short, What, EDITS};
use super::LONG_TEXT_BYTES;
use crate::bytes::grammar::{
    ARRAY_NEXT, BAD, DONE, NEXT, OBJECT_NEXT, ROOT, TOKEN, T_CLOSE_ARRAY, T_CLOSE_OBJECT,
    T_OPEN_ARRAY, T_OPEN_OBJECT, T_QUOTE, T_SCALAR,
};
use crate::bytes::number;
use crate::bytes::simd::{dispatch, Kernel, Level, Work};
use crate::bytes::utf8::Utf8;

mod strings;

/// Levels of nesting that are read; a line with more stays as it is.
const DEPTH: usize = 512;
/// Checked to be UTF-8 while the first-level cache still has it.
const PIECE_BYTES: usize = 16 * 1024;

/// Where in a record something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Elsewhere,
    Root,
    Message,
    Content,
    Block,
}

/// A name that matters in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Type,
    Id,
    Parent,
    Target,
    Message,
    Role,
    Content,
    BlockType,
    Text,
    Other,
}

/// What becomes of the string that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Skip,
    Name,
    Value(Name),
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Between,
    Text,
    Scalar,
    /// Up to the line's end, because it does not read.
    Lost,
}

/// The text of a block, as far as it was read.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// Bytes of UTF-8 and characters so far.
    bytes: u64,
    chars: u64,
    /// Where the head ends, and its characters.
    cut_at: u64,
    cut_chars: u64,
    /// The end of the whole text.
    end: u64,
}

const NO_TEXT: Measured = Measured {
    bytes: 0,
    chars: 0,
    cut_at: 0,
    cut_chars: 0,
    end: 0,
};

/// The state between two bytes.
#[allow(clippy::struct_excessive_bools)] // each is a fact of its own
pub(super) struct Parser {
    level: Level,
    mode: Mode,
    state: u8,
    depth: usize,
    /// A bit for each level: 1 = object.
    stack: [u64; DEPTH / 64],
    places: [Place; 5],
    name: Name,
    /// A bit for each name that was met, by place.
    met: u16,
    string: Use,
    capture: Short,
    captured_whole: bool,
    has_escape: bool,
    /// 1: after a backslash; 2 to 5: hex digits due.
    escape: u8,
    unit: u16,
    /// The last thing read was the first half of a pair.
    half: bool,
    scalar: u8,
    text: Measured,
    /// That of the block, once it was read whole.
    block_text: Option<Measured>,
    block_start: u64,
    block_is_image: bool,
    block_is_text: bool,
    has_tokens: bool,
    is_odd: bool,
    utf8: Utf8,
    pub(super) record: Record,
}

impl Parser {
    pub(super) fn new() -> Self {
        let mut parser = Self {
            level: Level::best(),
            mode: Mode::Between,
            state: ROOT,
            depth: 0,
            stack: [0; DEPTH / 64],
            places: [Place::Elsewhere; 5],
            name: Name::Other,
            met: 0,
            string: Use::Skip,
            capture: Short::EMPTY,
            captured_whole: true,
            has_escape: false,
            escape: 0,
            unit: 0,
            half: false,
            scalar: number::START,
            text: NO_TEXT,
            block_text: None,
            block_start: 0,
            block_is_image: false,
            block_is_text: false,
            has_tokens: false,
            is_odd: false,
            utf8: Utf8::default(),
            record: Record::new(),
        };
        parser.begin(0);
        parser
    }

    /// Begins a line at `start`.
    pub(super) fn begin(&mut self, start: u64) {
        self.mode = Mode::Between;
        self.state = ROOT;
        self.depth = 0;
        self.met = 0;
        self.escape = 0;
        self.half = false;
        self.has_tokens = false;
        self.is_odd = false;
        self.utf8 = Utf8::default();
        self.record.clear(start);
    }

    /// Takes bytes that stand at `base`. Returns how many it took: all, or up to a line feed and
    /// that included, where the second value is true and [`Parser::record`] is whole.
    pub(super) fn feed(&mut self, bytes: &[u8], base: u64, is_ascii: bool) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() {
            let piece = if is_ascii && self.utf8.is_whole() {
                &bytes[at..]
            } else {
                &bytes[at..bytes.len().min(at + PIECE_BYTES)]
            };
            let start = base + at as u64;
            let (took, ended) = dispatch(
                self.level,
                Feed {
                    parser: self,
                    bytes: piece,
                    base: start,
                    is_ascii,
                },
            );
            let line = &piece[..took - usize::from(ended)];
            if !(is_ascii && self.utf8.is_whole()) && self.utf8.check(line, start).is_err() {
                self.is_odd = true;
                self.utf8 = Utf8::default();
            }
            at += took;
            if ended {
                self.end(base + at as u64 - 1);
                return (at, true);
            }
        }
        (at, false)
    }

    /// Ends the line at `end`, which is its line feed or the end of the file.
    pub(super) fn end(&mut self, end: u64) {
        self.record.end = end;
        let is_whole = match self.mode {
            Mode::Between => self.state == DONE,
            Mode::Scalar | Mode::Text | Mode::Lost => false,
        };
        self.record.reads = if !self.has_tokens && self.mode == Mode::Between && !self.is_odd {
            Reads::Blank
        } else if is_whole && !self.is_odd && self.utf8.is_whole() {
            Reads::Surely
        } else {
            Reads::Not
        };
        self.record.settle();
    }

    #[inline(always)]
    fn place(&self) -> Place {
        self.places
            .get(self.depth)
            .copied()
            .unwrap_or(Place::Elsewhere)
    }

    /// Takes what lies between strings and scalars; returns how much, and whether a line ended.
    #[inline(always)]
    fn between(&mut self, bytes: &[u8], base: u64) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            match byte {
                b' ' | b'\t' | b'\r' => {
                    at += 1;
                    continue;
                }
                b'\n' => return (at + 1, true),
                _ => {}
            }
            self.has_tokens = true;
            let class = TOKEN[usize::from(byte)];
            let before = self.state;
            let after = NEXT[usize::from(before & 15)][usize::from(class & 7)];
            if after == BAD {
                self.mode = Mode::Lost;
                return (at, false);
            }
            self.state = after;
            match class {
                T_QUOTE => {
                    self.open_string(before, base + at as u64 + 1);
                    return (at + 1, false);
                }
                T_SCALAR => {
                    self.mode = Mode::Scalar;
                    self.scalar = number::START;
                    return (at, false);
                }
                T_OPEN_OBJECT | T_OPEN_ARRAY => {
                    let is_opened = self.open(class == T_OPEN_OBJECT, base + at as u64);
                    if !is_opened {
                        return (at, false);
                    }
                }
                T_CLOSE_OBJECT | T_CLOSE_ARRAY => {
                    if self.is_object() != (class == T_CLOSE_OBJECT) {
                        self.mode = Mode::Lost;
                        return (at, false);
                    }
                    self.close(base + at as u64 + 1);
                }
                _ => {}
            }
            at += 1;
        }
        (at, false)
    }

    #[inline(always)]
    fn is_object(&self) -> bool {
        let level = self.depth.wrapping_sub(1);
        self.stack
            .get(level / 64)
            .is_some_and(|bits| bits >> (level % 64) & 1 != 0)
    }

    #[inline(always)]
    fn open(&mut self, is_object: bool, at: u64) -> bool {
        if self.depth == DEPTH {
            self.mode = Mode::Lost;
            return false;
        }
        let inside = match (self.depth, self.place(), self.name, is_object) {
            (0, _, _, true) => Place::Root,
            (1, Place::Root, Name::Message, true) => Place::Message,
            (2, Place::Message, Name::Content, false) => Place::Content,
            (3, Place::Content, _, true) => Place::Block,
            _ => Place::Elsewhere,
        };
        let (word, bit) = (self.depth / 64, 1u64 << (self.depth % 64));
        if is_object {
            self.stack[word] |= bit;
        } else {
            self.stack[word] &= !bit;
        }
        self.depth += 1;
        if let Some(place) = self.places.get_mut(self.depth) {
            *place = inside;
        }
        if inside == Place::Block {
            self.block_start = at;
            self.block_is_image = false;
            self.block_is_text = false;
            self.block_text = None;
            self.met &= !(bit_of(Name::BlockType) | bit_of(Name::Text));
        }
        self.name = Name::Other;
        true
    }

    #[inline(always)]
    fn close(&mut self, end: u64) {
        if self.place() == Place::Block {
            self.end_block(end);
        }
        self.depth -= 1;
        self.name = Name::Other;
        if self.depth == 0 {
            self.state = DONE;
            self.is_odd = self.is_odd || self.places[1] != Place::Root;
        } else {
            self.state = self.after_value();
        }
    }

    fn end_block(&mut self, end: u64) {
        let edit = match self.block_text {
            _ if self.block_is_image => Edit {
                start: self.block_start,
                end,
                what: What::Image,
            },
            Some(text) if self.block_is_text && text.bytes > LONG_TEXT_BYTES => Edit {
                start: text.cut_at,
                end: text.end,
                what: What::Rest(text.chars - text.cut_chars),
            },
            _ => return,
        };
        if self.record.edits.len() == EDITS {
            self.is_odd = true;
        } else {
            self.record.edits.push(edit);
        }
    }

    #[inline(always)]
    fn after_value(&self) -> u8 {
        if self.is_object() {
            OBJECT_NEXT
        } else {
            ARRAY_NEXT
        }
    }

    #[inline(always)]
    fn in_scalar(&mut self, bytes: &[u8]) -> usize {
        let len = bytes
            .iter()
            .position(|byte| {
                matches!(
                    byte,
                    b' ' | b'\t' | b'\r' | b'\n' | b'{' | b'}' | b'[' | b']' | b':' | b',' | b'"'
                )
            })
            .unwrap_or(bytes.len());
        if number::advance(&mut self.scalar, &bytes[..len]).is_err() {
            self.mode = Mode::Lost;
        } else if len < bytes.len() {
            if number::is_complete(self.scalar) {
                self.mode = Mode::Between;
                self.name = Name::Other;
            } else {
                self.mode = Mode::Lost;
            }
        }
        len
    }

    /// Skips to the line feed.
    #[inline(always)]
    fn lost<K: Kernel>(bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() {
            if let Some(block) = bytes[at..].first_chunk::<64>() {
                let plain = K::strings(K::load(block)).control.trailing_zeros() as usize;
                if plain > 0 {
                    at += plain;
                    continue;
                }
            }
            if bytes[at] == b'\n' {
                return (at + 1, true);
            }
            at += 1;
        }
        (at, false)
    }
}

fn bit_of(name: Name) -> u16 {
    1 << name as u16
}

struct Feed<'a> {
    parser: &'a mut Parser,
    bytes: &'a [u8],
    base: u64,
    is_ascii: bool,
}

impl Work for Feed<'_> {
    type Output = (usize, bool);
    #[inline(always)]
    fn run<K: Kernel>(self) -> Self::Output {
        let parser = self.parser;
        let mut at = 0;
        while at < self.bytes.len() {
            let (rest, base) = (&self.bytes[at..], self.base + at as u64);
            let (took, ended) = match parser.mode {
                Mode::Between => parser.between(rest, base),
                Mode::Text => parser.in_text::<K>(rest, base, self.is_ascii),
                Mode::Scalar => (parser.in_scalar(rest), false),
                Mode::Lost => Parser::lost::<K>(rest),
            };
            at += took;
            if ended {
                return (at, true);
            }
        }
        (at, false)
    }
}
