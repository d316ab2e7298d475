//! Notes where the tokens of the outer two levels are, and reports them as parts of the document.
//! Two steps, because the loop over blocks has no registers left for a visitor's code.

use super::{Chunk, Event, Part, Shape, Visitor, PIECE_BYTES};
use crate::bytes::simd::Kernel;
use crate::input::error::Result;
use std::slice;

/// Where the tokens of the outer two levels are in a piece of the input: quotes, brackets, first
/// bytes of numbers and literals, and what comes after these, which may be a bracket. Offsets from
/// the piece's start, in order.
pub(super) struct Outline {
    at: [u16; PIECE_BYTES + 64],
    count: usize,
}

const _: () = assert!(PIECE_BYTES + 64 <= 1 << 16);

impl Outline {
    pub(super) fn new() -> Self {
        Self {
            at: [0; PIECE_BYTES + 64],
            count: 0,
        }
    }

    /// Notes a place for each bit of a block that begins at `from`.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // all are in a piece
    pub(super) fn note<K: Kernel>(&mut self, bits: u64, from: usize) {
        let rest = self.at.get_mut(self.count..).unwrap_or_default();
        if let Some(into) = rest.first_chunk_mut() {
            K::positions(bits, from as u16, into);
            self.count += bits.count_ones() as usize;
        } // or else there are more than a piece has bytes, which cannot be
    }

    fn take(&mut self) -> &[u16] {
        &self.at[..std::mem::take(&mut self.count)]
    }
}

/// What the next token begins, unless it closes the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Key,
    Entry,
    Name,
    Field,
}

/// What was told, and what is due: between two pieces.
pub(super) struct Reporter {
    due: Due,
    /// None of an entry that is an object: its fields are told one by one.
    open: Open,
}

impl Reporter {
    pub(super) fn new() -> Self {
        Self {
            due: Due::Key,
            open: None,
        }
    }

    /// Tells the parts of the piece that begins at `base`. Its tokens are known to follow the
    /// grammar, so what each of them is, is known from what was due. Out of line, once for all
    /// kernels.
    #[inline(never)]
    pub(super) fn tell<V: Visitor>(
        &mut self,
        outline: &mut Outline,
        piece: &[u8],
        base: u64,
        chunk: &Chunk<'_>,
        visitor: &mut V,
    ) -> Result<()> {
        let mut walk = Walk {
            places: outline.take().iter(),
            piece,
            base,
            chunk,
            visitor,
        };
        if let Some((part, from)) = self.open {
            let Some(to) = walk.end(part) else {
                return Ok(());
            };
            let to = base + to as u64;
            walk.tell(if from >= chunk.base {
                Event::Whole(part, from, chunk.whole(from, to))
            } else {
                Event::End(to)
            })?;
        }
        let mut due = self.due;
        self.open = 'entries: loop {
            if due == Due::Key {
                let Some((from, byte)) = walk.begin() else {
                    break None;
                };
                if byte == b'}' {
                    walk.tell(Event::RootEnd(base + from as u64))?;
                    break None;
                }
                due = Due::Entry;
                if let open @ Some(_) = walk.whole(Part::Key, from)? {
                    break open;
                }
            }
            if due == Due::Entry {
                let Some((from, byte)) = walk.begin() else {
                    break None;
                };
                let part = Part::Entry(Shape::of(byte));
                if part != Part::Entry(Shape::Object) {
                    due = Due::Key;
                    if let open @ Some(_) = walk.whole(part, from)? {
                        break open;
                    }
                    continue;
                }
                due = Due::Name;
                walk.tell(Event::ObjectBegin(base + from as u64))?;
            }
            loop {
                if due == Due::Name {
                    let Some((from, byte)) = walk.begin() else {
                        break 'entries None;
                    };
                    if byte == b'}' {
                        due = Due::Key;
                        walk.tell(Event::ObjectEnd(base + from as u64 + 1))?;
                        break;
                    }
                    due = Due::Field;
                    if let open @ Some(_) = walk.whole(Part::Name, from)? {
                        break 'entries open;
                    }
                }
                let Some((from, byte)) = walk.begin() else {
                    break 'entries None;
                };
                due = Due::Name;
                if let open @ Some(_) = walk.whole(Part::Field(Shape::of(byte)), from)? {
                    break 'entries open;
                }
            }
        };
        self.due = due;
        Ok(())
    }

    /// Tells of the part that goes on in the next chunk.
    pub(super) fn chunk_end<V: Visitor>(&self, chunk: &Chunk<'_>, visitor: &mut V) -> Result<()> {
        match self.open {
            Some((part, from)) if from >= chunk.base => {
                visitor.event(Event::Begin(part, from), chunk)
            }
            _ => Ok(()),
        }
    }
}

/// A part that has begun and not ended, and where.
type Open = Option<(Part, u64)>;

/// How far a piece was told.
struct Walk<'a, V> {
    places: slice::Iter<'a, u16>,
    piece: &'a [u8],
    base: u64,
    chunk: &'a Chunk<'a>,
    visitor: &'a mut V,
}

impl<V: Visitor> Walk<'_, V> {
    /// Takes a token that begins a part or closes the level: its place and its first byte.
    #[inline(always)]
    fn begin(&mut self) -> Option<(usize, u8)> {
        let at = usize::from(*self.places.next()?);
        Some((at, *self.piece.get(at)?))
    }

    /// Returns the place after a part that has begun; `None` if it goes on in the next piece.
    #[inline(always)]
    fn end(&mut self, part: Part) -> Option<usize> {
        if part.shape() != Shape::Scalar {
            return self.places.next().map(|at| usize::from(*at) + 1);
        }
        let at = usize::from(*self.places.as_slice().first()?);
        if self.piece.get(at) != Some(&b'}') {
            self.places.next(); // the end and nothing else
        }
        Some(at)
    }

    /// Tells the part that begins at `from`, unless it goes on in the next piece.
    #[inline(always)]
    fn whole(&mut self, part: Part, from: usize) -> Result<Open> {
        let offset = self.base + from as u64;
        let Some(to) = self.end(part) else {
            return Ok(Some((part, offset)));
        };
        self.tell(Event::Whole(part, offset, &self.piece[from..to]))?;
        Ok(None)
    }

    #[inline(always)]
    fn tell(&mut self, event: Event<'_>) -> Result<()> {
        self.visitor.event(event, self.chunk)
    }
}
