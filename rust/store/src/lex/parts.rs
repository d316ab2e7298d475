//! What a pass hears of: pieces of the input, and the parts of the document in them.

use crate::error::Result;
use crate::lend::Lent;
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
    /// The buffer they are in, for who wants to hold on to it.
    pub(crate) lent: Option<&'a Arc<Lent>>,
}

impl<'a> Chunk<'a> {
    /// Makes one of bytes that nobody holds on to.
    #[must_use]
    pub fn new(base: u64, bytes: &'a [u8]) -> Self {
        Self {
            base,
            bytes,
            is_ascii: false,
            lent: None,
        }
    }

    /// Makes one of a buffer on loan.
    pub(crate) fn of(lent: &'a Arc<Lent>) -> Self {
        Self {
            base: lent.base(),
            bytes: lent.bytes(),
            is_ascii: lent.is_ascii(),
            lent: Some(lent),
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

/// Hears of the outer two levels. Offsets are of the first byte and after the last one.
pub trait Visitor {
    /// A part begins.
    fn begin(&mut self, part: Part, at: u64, chunk: Chunk<'_>);
    /// The part that began last, and has not ended, ends.
    ///
    /// # Errors
    ///
    /// Ends the pass.
    fn end(&mut self, at: u64, chunk: Chunk<'_>) -> Result<()>;
    /// A part begins and ends, and lies in one piece; what is in it is not told.
    ///
    /// # Errors
    ///
    /// Ends the pass.
    fn whole(&mut self, part: Part, from: u64, to: u64, chunk: Chunk<'_>) -> Result<()> {
        self.begin(part, from, chunk);
        self.end(to, chunk)
    }
    /// The piece is used up: what lies in it must be taken now.
    fn chunk_end(&mut self, chunk: Chunk<'_>);
    /// The root object closes at `at` (its brace).
    ///
    /// # Errors
    ///
    /// Ends the pass.
    fn root_end(&mut self, at: u64, chunk: Chunk<'_>) -> Result<()> {
        let _ = (at, chunk);
        Ok(())
    }
}
