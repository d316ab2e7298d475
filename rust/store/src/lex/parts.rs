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
    /// From here on the lexer has met no backslash, as far as it is.
    pub(crate) plain_from: u64,
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
            plain_from: u64::MAX,
            lent: None,
        }
    }

    /// Makes one of a buffer on loan.
    pub(crate) fn of(lent: &'a Arc<Lent>) -> Self {
        Self {
            base: lent.base(),
            bytes: lent.bytes(),
            is_ascii: lent.is_ascii(),
            plain_from: u64::MAX,
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

/// What becomes of a part. Offsets are of its first byte and after its last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It lies in one piece, as most do; what is in it is not told.
    Whole(Part, u64, u64),
    /// An entry that is an object begins, or the piece ends in the middle of another part.
    Begin(Part, u64),
    /// The part that began last, and has not ended, ends.
    End(u64),
    /// The root object closes: offset of its brace.
    RootEnd(u64),
}

/// Hears of the outer two levels.
pub trait Visitor {
    /// Something becomes of a part.
    ///
    /// # Errors
    ///
    /// Ends the pass.
    fn event(&mut self, event: Event, chunk: &Chunk<'_>) -> Result<()>;
    /// The piece is used up: what lies in it must be taken now.
    fn chunk_end(&mut self, chunk: &Chunk<'_>);
}

/// What is to be told: collected first, so that the lexer's loop calls nobody.
pub(super) struct Events<'a> {
    room: &'a mut Room,
    count: usize,
}

/// More than one block can have: one for each byte, and the end of what began before it.
const MOST: usize = 65;
pub(super) type Room = [Event; 256];

impl<'a> Events<'a> {
    pub(super) const ROOM: Room = [Event::End(0); 256];

    #[inline(always)]
    pub(super) fn new(room: &'a mut Room) -> Self {
        Self { room, count: 0 }
    }

    /// Takes one; `is_full` was asked before the block.
    #[inline(always)]
    pub(super) fn push(&mut self, event: Event) {
        self.room[self.count % Self::ROOM.len()] = event;
        self.count += 1;
    }

    /// Says that another block may have more than there is room for.
    #[inline(always)]
    pub(super) fn is_full(&self) -> bool {
        self.count > Self::ROOM.len() - MOST
    }

    /// Tells all of it.
    #[inline(always)]
    pub(super) fn tell<V: Visitor>(
        &mut self,
        chunk: &Chunk<'_>,
        plain_from: u64,
        visitor: &mut V,
    ) -> Result<()> {
        let count = std::mem::take(&mut self.count);
        if count == 0 {
            return Ok(());
        }
        let chunk = Chunk {
            plain_from,
            ..*chunk
        };
        tell(&self.room[..count], &chunk, visitor)
    }
}

/// Out of line, once for all callers.
#[inline(never)]
fn tell<V: Visitor>(events: &[Event], chunk: &Chunk<'_>, visitor: &mut V) -> Result<()> {
    events
        .iter()
        .try_for_each(|event| visitor.event(*event, chunk))
}
