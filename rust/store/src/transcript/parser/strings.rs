//! Strings: what they are for, and how long a text is.

use super::super::record::{Kind, Role, Short};
use super::super::HEAD_BYTES;
use super::{bit_of, Measured, Mode, Name, Parser, Place, Use, NO_TEXT};
use crate::bytes::grammar::{COLON, OBJECT_FIRST, OBJECT_KEY};
use crate::bytes::simd::Kernel;

impl Parser {
    #[inline(always)]
    pub(super) fn open_string(&mut self, before: u8, start: u64) {
        self.mode = Mode::Text;
        self.escape = 0;
        self.half = false;
        self.has_escape = false;
        self.captured_whole = true;
        self.capture = Short::EMPTY;
        let place = self.place();
        let is_name = before == OBJECT_FIRST || before == OBJECT_KEY;
        self.string = match (place, is_name, self.name) {
            (Place::Root | Place::Message | Place::Block, true, _) => Use::Name,
            (Place::Block, false, Name::Text) => {
                self.text = Measured {
                    cut_at: start,
                    ..NO_TEXT
                };
                Use::Text
            }
            (
                Place::Root | Place::Message | Place::Block,
                false,
                name @ (Name::Type
                | Name::Id
                | Name::Parent
                | Name::Target
                | Name::Role
                | Name::BlockType),
            ) => Use::Value(name),
            _ => Use::Skip,
        };
    }

    /// Ends a string whose closing quote stands at `end`.
    #[inline(always)]
    fn close_string(&mut self, end: u64) {
        self.mode = Mode::Between;
        match self.string {
            Use::Skip => {}
            Use::Text => self.block_text = Some(Measured { end, ..self.text }),
            Use::Name => {
                self.name = self.find_name();
                if self.name != Name::Other {
                    self.is_odd = self.is_odd || self.met & bit_of(self.name) != 0;
                    self.met |= bit_of(self.name);
                }
            }
            Use::Value(name) => self.take(name),
        }
        if self.state != COLON {
            self.name = Name::Other;
        }
    }

    fn find_name(&mut self) -> Name {
        // An escaped name may be any name.
        self.is_odd = self.is_odd || self.has_escape;
        if !self.captured_whole {
            return Name::Other;
        }
        match (self.place(), self.capture.as_bytes()) {
            (Place::Root, b"type") => Name::Type,
            (Place::Root, b"id") => Name::Id,
            (Place::Root, b"parentId") => Name::Parent,
            (Place::Root, b"targetId") => Name::Target,
            (Place::Root, b"message") => Name::Message,
            (Place::Message, b"role") => Name::Role,
            (Place::Message, b"content") => Name::Content,
            (Place::Block, b"type") => Name::BlockType,
            (Place::Block, b"text") => Name::Text,
            _ => Name::Other,
        }
    }

    fn take(&mut self, name: Name) {
        self.is_odd = self.is_odd || self.has_escape;
        let text = self.capture.as_bytes();
        let whole = self.captured_whole;
        let id = whole.then_some(self.capture);
        match name {
            Name::Type => {
                self.record.kind = Some(match text {
                    b"message" if whole => Kind::Message,
                    b"session" if whole => Kind::Session,
                    b"leaf" if whole => Kind::Leaf,
                    _ => Kind::Other,
                });
            }
            Name::Role => {
                self.record.role = Some(match text {
                    b"user" if whole => Role::User,
                    b"assistant" if whole => Role::Assistant,
                    b"toolResult" if whole => Role::ToolResult,
                    _ => Role::Other,
                });
            }
            Name::BlockType => {
                self.block_is_image = whole && text == b"image";
                self.block_is_text = whole && text == b"text";
            }
            Name::Id => self.record.id = id,
            Name::Parent => self.record.parent = id,
            Name::Target => self.record.target = id,
            _ => {}
        }
        // Who is called by a longer name than we look at cannot be told from others.
        self.is_odd = self.is_odd || (!whole && matches!(name, Name::Id | Name::Parent));
    }

    /// Takes a string from `bytes`; returns how much.
    #[inline(always)]
    pub(super) fn in_text<K: Kernel>(
        &mut self,
        bytes: &[u8],
        base: u64,
        is_ascii: bool,
    ) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() {
            let is_head = self.string == Use::Text && self.text.bytes <= HEAD_BYTES;
            let by_byte = self.escape != 0
                || is_head
                || matches!(self.string, Use::Name | Use::Value(_)) && self.captured_whole;
            if !by_byte {
                if let Some(block) = bytes[at..].first_chunk::<64>() {
                    let masks = K::strings(K::load(block));
                    let special = masks.quote | masks.backslash | masks.control;
                    let plain = special.trailing_zeros() as usize; // 64 for none
                    if plain > 0 {
                        self.count(&block[..plain], is_ascii);
                        at += plain;
                        continue;
                    }
                }
            }
            let byte = bytes[at];
            if byte < 0x20 {
                // A raw control character: no JSON. A line feed ends the line all the same.
                self.mode = Mode::Lost;
                return (at, false);
            }
            if self.escape == 0 && byte == b'"' {
                self.close_string(base + at as u64);
                return (at + 1, false);
            }
            if !self.unit(byte, base + at as u64) {
                self.mode = Mode::Lost;
                return (at, false);
            }
            at += 1;
        }
        (at, false)
    }

    /// Counts bytes of a text that are neither quotes, escapes nor controls.
    #[inline(always)]
    fn count(&mut self, plain: &[u8], is_ascii: bool) {
        if self.string != Use::Text {
            return;
        }
        self.half = false;
        self.text.bytes += plain.len() as u64;
        self.text.chars += if is_ascii {
            plain.len() as u64
        } else {
            plain.iter().filter(|byte| *byte & 0xC0 != 0x80).count() as u64
        };
    }

    /// Takes one byte inside a string; false if it may not stand there.
    #[inline(always)]
    fn unit(&mut self, byte: u8, at: u64) -> bool {
        if matches!(self.string, Use::Name | Use::Value(_)) {
            self.captured_whole = self.captured_whole && self.capture.push(byte);
        }
        match self.escape {
            0 if byte == b'\\' => {
                self.escape = 1;
                self.has_escape = true;
                self.mark(at);
            }
            0 => {
                if byte & 0xC0 != 0x80 {
                    self.mark(at);
                    self.text.chars += 1;
                }
                self.text.bytes += 1;
                self.half = false;
            }
            1 if byte == b'u' => {
                self.escape = 2;
                self.unit = 0;
            }
            1 if matches!(byte, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.escape = 0;
                self.half = false;
                self.text.bytes += 1;
                self.text.chars += 1;
            }
            2..=5 => {
                let Some(digit) = char::from(byte).to_digit(16) else {
                    return false;
                };
                self.unit = self.unit << 4 | u16::try_from(digit).unwrap_or_default();
                self.escape += 1;
                if self.escape == 6 {
                    self.escape = 0;
                    self.end_unit();
                }
            }
            _ => return false,
        }
        true
    }

    /// Counts a `\u` escape: half of a pair has two bytes of four, and the first is the character.
    fn end_unit(&mut self) {
        let is_low = matches!(self.unit, 0xDC00..=0xDFFF);
        self.half = matches!(self.unit, 0xD800..=0xDBFF);
        self.text.bytes += match self.unit {
            0..=0x7F => 1,
            0x80..=0x7FF | 0xD800..=0xDFFF => 2,
            _ => 3,
        };
        self.text.chars += u64::from(!is_low);
    }

    /// Notes that the head may end before what begins at `at`, as long as it is short enough. A pair
    /// of escapes is not parted: whatever follows its first half may be its second.
    #[inline(always)]
    fn mark(&mut self, at: u64) {
        if self.string == Use::Text && !self.half && self.text.bytes <= HEAD_BYTES {
            self.text.cut_at = at;
            self.text.cut_chars = self.text.chars;
        }
    }
}
