//! What a pass hears of: pieces of the input, and the parts of the document in them.

use crate::input::buffer_pool::PooledBuffer;
use crate::input::error::Result;
use std::sync::Arc;

/// A piece of the input and where it begins.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// Offset of its first byte in the file.
    pub base: u64,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// They are known to be ASCII.
    pub(crate) is_ascii: bool,
    /// From here on the lexer has met no backslash, as far as it is.
    pub(crate) plain_from: u64,
    /// The buffer they are in, for who wants to hold on to it.
    pub(crate) buffer: Option<&'a Arc<PooledBuffer>>,
}

impl<'a> Chunk<'a> {
    /// Makes one of bytes that nobody holds on to.
    #[must_use]
    pub fn new(base: u64, bytes: &'a [u8]) -> Self {
        Self {
            base,
            bytes,
            is_ascii: false,
            plain_from: u64::MAX,
            buffer: None,
        }
    }

    /// Makes one of a pooled buffer.
    pub(crate) fn of(buffer: &'a Arc<PooledBuffer>) -> Self {
        Self {
            base: buffer.base(),
            bytes: buffer.bytes(),
            is_ascii: buffer.is_ascii(),
            plain_from: u64::MAX,
            buffer: Some(buffer),
        }
    }

    /// Returns the part of `[from, to)` that lies in this piece.
    #[must_use]
    pub fn slice(&self, from: u64, to: u64) -> &'a [u8] {
        let len = self.bytes.len();
        let clamp =
            |at: u64| usize::try_from(at.saturating_sub(self.base)).map_or(len, |at| at.min(len));
        &self.bytes[clamp(from)..clamp(to).max(clamp(from))]
    }

    /// Returns `[from, to)`, which lies in this piece; nothing otherwise.
    #[inline]
    pub(crate) fn whole(&self, from: u64, to: u64) -> &'a [u8] {
        let at =
            |offset: u64| usize::try_from(offset.wrapping_sub(self.base)).unwrap_or(usize::MAX);
        self.bytes.get(at(from)..at(to)).unwrap_or_default()
    }

    /// Returns the offset after its last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }
}

/// What a value is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// Anything else.
    Scalar,
}

impl Shape {
    #[inline(always)]
    pub(super) fn of(byte: u8) -> Self {
        match byte {
            b'{' => Self::Object,
            b'[' => Self::Array,
            b'"' => Self::String,
            _ => Self::Scalar,
        }
    }
}

/// A part of the document that is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The key of an entry, quotes included.
    Key,
    /// The value of an entry.
    Entry(Shape),
    /// The name of a top-level field of an entry, quotes included.
    Name,
    /// The value of such a field.
    Field(Shape),
}

impl Part {
    #[inline(always)]
    pub(super) fn shape(self) -> Shape {
        match self {
            Self::Key | Self::Name => Shape::String,
            Self::Entry(shape) | Self::Field(shape) => shape,
        }
    }
}

/// What becomes of a part. Offsets are of its first byte and after its last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'c> {
    /// It lies in one piece, as most do: where it begins, and its bytes. What is in it is not told.
    Whole(Part, u64, &'c [u8]),
    /// It has begun, and the piece ends.
    Begin(Part, u64),
    /// The part that has begun in a piece before ends.
    End(u64),
    /// An entry that is an object begins; its fields are told one by one.
    ObjectBegin(u64),
    /// It ends.
    ObjectEnd(u64),
    /// The root object closes: offset of its brace.
    RootEnd(u64),
}

/// Hears of the outer two levels.
pub trait Visitor {
    /// Hears what becomes of a part.
    ///
    /// # Errors
    ///
    /// Ends the pass.
    fn event(&mut self, event: Event<'_>, chunk: &Chunk<'_>) -> Result<()>;
    /// Hears that the piece is used up. What lies in it must be taken now.
    fn chunk_end(&mut self, chunk: &Chunk<'_>);
}

/// Returns a key or a name without its quotes.
#[inline(always)]
pub(crate) fn unquoted(raw: &[u8]) -> &[u8] {
    &raw[1..raw.len() - 1]
}
