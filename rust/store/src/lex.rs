//! Bit masks → tokens → grammar, resumable at any byte.
//!
//! Each 64-byte block becomes masks ([`crate::simd`]); a block that lies inside one string and
//! holds nothing special costs one test. Tokens (operators, opening quotes, first bytes of
//! numbers and literals) are checked all at once in blocks of inner levels, which are nearly all
//! (`inner`), and drive a table of ten states in the others; nesting is a stack of bits. Strings
//! are checked on the masks: control characters, escapes, four hex digits after `\u`.
//!
//! What a [`Visitor`] hears of is the outer two levels: entries (key and value) and the
//! top-level fields of an entry that is an object. All below is validated and skipped.
//! Everything that must survive the end of a buffer is a field of [`Lexer`]; a block may have
//! fewer than 64 bytes, so any split of the input gives the same events.

use crate::error::{Error, Kind, Result};
use crate::grammar::{
    ARRAY_NEXT, BAD, COLON, DONE, NEXT, OBJECT_NEXT, ROOT, STEP, TOKEN, T_CLOSE_ARRAY,
    T_CLOSE_OBJECT, T_OPEN_ARRAY, T_OPEN_OBJECT, T_QUOTE, T_SCALAR,
};
use crate::limits::MAX_DEPTH;
use crate::number;
use crate::simd::{dispatch, Brackets, Kernel, Level, Numbers, Work};
use crate::utf8::Utf8;

mod inner;
mod parts;
mod strings;

pub use parts::{Chunk, Part, Shape, Visitor};

/// Checked to be UTF-8, and then scanned while the first-level cache still has it.
const PIECE_BYTES: usize = 4 * 1024;

/// The whole state between two bytes of input.
pub struct Lexer {
    level: Level,
    state: u8,
    depth: u64,
    /// One bit for each of the innermost levels, 1 = object: the current one is lowest.
    top: u64,
    /// Those further out, 64 at a time.
    stack: Vec<u64>,
    /// The entry whose inside we are in is an object: level 2 is reported.
    entry_is_object: bool,
    /// All ones inside a string.
    in_string: u64,
    /// 1 if the next byte is escaped.
    escaped: u64,
    /// Hex digits still due after `\u`.
    hex_due: usize,
    /// 1 if the previous byte belonged to a number or literal.
    in_scalar: u64,
    scalar: u8,
    /// A reported string or scalar is open: its end must be told.
    watching: bool,
    utf8: Utf8,
    /// The bytes were validated before.
    knows: bool,
    /// Levels inside the innermost one of the stack, if so.
    skimmed: u64,
}

impl Default for Lexer {
    fn default() -> Self {
        Self::new()
    }
}

impl Lexer {
    /// Makes one with the best kernel of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self::with_level(Level::best())
    }

    /// Makes one with a given kernel.
    #[must_use]
    pub fn with_level(level: Level) -> Self {
        Self {
            level,
            state: ROOT,
            depth: 0,
            top: 0,
            stack: Vec::new(),
            entry_is_object: false,
            in_string: 0,
            escaped: 0,
            hex_due: 0,
            in_scalar: 0,
            scalar: number::START,
            watching: false,
            utf8: Utf8::default(),
            knows: false,
            skimmed: 0,
        }
    }

    /// Makes it one for bytes that were validated before, which finds the same parts in them and
    /// passes over what is inside these. Of other bytes it tells anything or refuses them: its
    /// caller has to find out, by a digest, and to forget what it was told.
    #[must_use]
    pub fn of_validated(self) -> Self {
        Self {
            knows: true,
            ..self
        }
    }

    /// Says whether text outside Latin-1 was seen.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        self.utf8.wide
    }

    /// Takes the next piece of input.
    ///
    /// # Errors
    ///
    /// The first offence of the input, or what the visitor says. The lexer is then spent.
    pub fn feed<V: Visitor>(&mut self, chunk: Chunk<'_>, visitor: &mut V) -> Result<()> {
        dispatch(
            self.level,
            Feed {
                lexer: self,
                chunk,
                visitor,
            },
        )?;
        visitor.chunk_end(chunk);
        Ok(())
    }

    /// Says that the input ends at `offset`.
    ///
    /// # Errors
    ///
    /// `Empty` or `Truncated`.
    pub fn finish(&self, offset: u64) -> Result<()> {
        match self.state {
            DONE => Ok(()),
            ROOT if self.in_scalar == 0 && self.in_string == 0 => {
                Err(Error::invalid(Kind::Empty, offset))
            }
            _ => Err(Error::invalid(Kind::Truncated, offset)),
        }
    }

    #[inline(always)]
    fn run<K: Kernel, V: Visitor>(&mut self, chunk: Chunk<'_>, visitor: &mut V) -> Result<()> {
        let mut base = chunk.base;
        for piece in chunk.bytes.chunks(PIECE_BYTES) {
            // Nothing after a byte that is not UTF-8 may be told: the scan ends with it. The byte
            // itself is scanned, because outside strings it is an offence of another kind, which
            // a cut before its continuation would find first.
            let bad_at = if self.knows || (chunk.is_ascii && self.utf8.is_whole()) {
                None
            } else {
                self.utf8.check(piece, base).err()
            };
            let good = chunk.slice(base, bad_at.map_or(base + piece.len() as u64, |at| at + 1));
            let (mut blocks, rest) = good.as_chunks::<64>();
            while !blocks.is_empty() {
                if !self.knows && !self.is_outer() {
                    let done = self.inner_blocks::<K>(blocks);
                    blocks = &blocks[done..];
                    base += 64 * done as u64;
                }
                let Some((block, more)) = blocks.split_first() else {
                    break;
                };
                self.block::<K, V>(block, 64, base, chunk, visitor)?;
                blocks = more;
                base += 64;
            }
            if !rest.is_empty() {
                let mut block = [b' '; 64];
                block[..rest.len()].copy_from_slice(rest);
                self.block::<K, V>(&block, rest.len(), base, chunk, visitor)?;
                base += rest.len() as u64;
            }
            if let Some(offset) = bad_at {
                return Err(Error::invalid(Kind::Utf8, offset));
            }
        }
        Ok(())
    }

    #[inline(always)]
    #[allow(clippy::too_many_lines)] // one thing after the other, on the same masks
    fn block<K: Kernel, V: Visitor>(
        &mut self,
        block: &[u8; 64],
        len: usize,
        base: u64,
        chunk: Chunk<'_>,
        visitor: &mut V,
    ) -> Result<()> {
        let loaded = K::load(block);
        let masks = K::strings(loaded);
        let valid = below(len);
        // Wholly inside a string, nothing special: most blocks of long texts.
        if self.in_string != 0
            && (masks.quote | masks.backslash | masks.control) == 0
            && (self.escaped | self.hex_due as u64) == 0
        {
            return Ok(());
        }
        let escaped = self.escaped_mask(masks.backslash & valid, len);
        let quotes = masks.quote & !escaped & valid;
        let was_in_string = self.in_string;
        let in_string = K::prefix_xor(quotes) ^ was_in_string;
        // The last bit as a sign, spread: the state after the block.
        self.in_string = 0u64.wrapping_sub(in_string >> 63);

        let mut due = valid;
        let (mut stop, mut fault) = (len, None);
        if !self.knows {
            (stop, fault) = self.string_fault(
                block,
                len,
                masks.control & in_string & valid,
                escaped & in_string & valid,
            );
        } else if !self.is_outer() {
            let outside = !(in_string | quotes) & valid;
            let Some(bracket) = self.skim::<K>(loaded, outside) else {
                return Ok(());
            };
            due &= bracket.wrapping_neg();
        }

        if self.watching && was_in_string != 0 && quotes != 0 {
            let close = quotes.trailing_zeros() as usize;
            if close < stop {
                self.watching = false;
                visitor.end(base + close as u64 + 1, chunk)?;
            }
        }

        if (in_string & !quotes | !valid) == !0 {
            // All of it is inside a string.
            return Self::tell(fault, base, stop);
        }

        let structure = K::structure(loaded);
        let scalars = !(structure.op | structure.space | quotes | in_string) & due;
        let starts = scalars & !((scalars << 1) | self.in_scalar);
        // Two controls look like operators; they begin no scalar, and the automaton says so.
        let mut plain = (structure.op & masks.control & !in_string & valid) == 0;
        if (scalars | self.in_scalar) != 0 {
            plain = plain && self.scalars_are_plain(K::numbers(loaded), scalars, starts, len);
            if self.in_scalar != 0 {
                self.scalar_goes_on(block, scalars, 0, plain, base, chunk, visitor)?;
            }
            self.in_scalar = (scalars >> (len - 1)) & 1;
        }

        let opens = quotes & in_string;
        let mut tokens = ((structure.op & !in_string) | opens | starts) & due & below(stop);
        let mut outer = self.is_outer();
        while tokens != 0 {
            if !outer {
                tokens = self.skip_inner(block, tokens, scalars, plain, base, chunk, visitor)?;
                if tokens == 0 {
                    break;
                }
            }
            let at = tokens.trailing_zeros() as usize;
            tokens &= tokens - 1;
            let class = TOKEN[usize::from(block[at & 63])];
            let before = self.state;
            let after = NEXT[usize::from(before & 15)][usize::from(class & 7)];
            if after == BAD {
                return Err(Self::refuse(before, class, block[at], base + at as u64));
            }
            self.state = after;
            match class {
                T_OPEN_OBJECT | T_OPEN_ARRAY => {
                    let offset = base + at as u64;
                    let is_object = class == T_OPEN_OBJECT;
                    if outer && self.depth > 0 {
                        let shape = if is_object {
                            Shape::Object
                        } else {
                            Shape::Array
                        };
                        if self.depth == 1 {
                            self.entry_is_object = is_object;
                        }
                        visitor.begin(self.value_part(shape), offset, chunk);
                    }
                    self.push(is_object, offset)?;
                    outer = self.is_outer();
                }
                T_CLOSE_OBJECT | T_CLOSE_ARRAY => {
                    self.pop(base + at as u64, chunk, visitor)?;
                    outer = self.is_outer();
                }
                T_QUOTE if outer => {
                    let part = match (after, self.depth) {
                        (COLON, 1) => Part::Key,
                        (COLON, _) => Part::Name,
                        _ => self.value_part(Shape::String),
                    };
                    let from = base + at as u64;
                    let closes = quotes & !below(at + 1);
                    let close = closes.trailing_zeros() as usize;
                    if close < stop {
                        visitor.whole(part, from, base + close as u64 + 1, chunk)?;
                    } else {
                        visitor.begin(part, from, chunk);
                        self.watching = true;
                    }
                }
                T_SCALAR if outer || !plain => {
                    if !plain {
                        self.scalar = number::START;
                    }
                    let from = base + at as u64;
                    let end = (!scalars & !below(at)).trailing_zeros() as usize;
                    self.watching = outer && end >= len;
                    if self.watching {
                        visitor.begin(self.value_part(Shape::Scalar), from, chunk);
                    }
                    self.scalar_goes_on(block, scalars, at, plain, base, chunk, visitor)?;
                    if outer && end < len {
                        let part = self.value_part(Shape::Scalar);
                        visitor.whole(part, from, base + end as u64, chunk)?;
                    }
                }
                _ => {}
            }
        }
        Self::tell(fault, base, stop)
    }

    #[inline(always)]
    fn tell(fault: Option<Kind>, base: u64, stop: usize) -> Result<()> {
        match fault {
            Some(kind) => Err(Error::invalid(kind, base + stop as u64)),
            None => Ok(()),
        }
    }

    /// Takes the tokens of levels that are not reported, up to one that may close the last of
    /// these; returns it and those after it.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // inlined: these are registers
    fn skip_inner<V: Visitor>(
        &mut self,
        block: &[u8; 64],
        mut tokens: u64,
        scalars: u64,
        plain: bool,
        base: u64,
        chunk: Chunk<'_>,
        visitor: &mut V,
    ) -> Result<u64> {
        let (mut state, mut depth, mut top) = (self.state << 3, self.depth, self.top);
        // One bit a class: those that are more than a step of the table.
        let special: u32 = if plain {
            0b1111
        } else {
            0b1111 | 1 << T_SCALAR
        };
        let outcome = loop {
            if tokens == 0 {
                break Ok(0);
            }
            let at = tokens.trailing_zeros() as usize & 63;
            let class = TOKEN[usize::from(block[at])];
            let after = STEP[usize::from(state | class)];
            if after == BAD << 3 {
                let refused = Self::refuse(state >> 3, class, block[at], base + at as u64);
                break Err(refused);
            }
            if special >> class & 1 == 0 {
                state = after;
                tokens &= tokens - 1;
                continue;
            }
            if class == T_SCALAR {
                state = after;
                self.scalar = number::START;
                // Nothing is watched here: the visitor hears of nothing.
                let goes_on = self.scalar_goes_on(block, scalars, at, plain, base, chunk, visitor);
                if let Err(error) = goes_on {
                    break Err(error);
                }
            } else if class == T_OPEN_OBJECT || class == T_OPEN_ARRAY {
                if depth >= MAX_DEPTH {
                    break Err(Error::invalid(Kind::Depth, base + at as u64));
                }
                if depth.is_multiple_of(64) {
                    self.stack.push(top);
                }
                top = top << 1 | u64::from(class == T_OPEN_OBJECT);
                depth += 1;
                state = after;
            } else {
                if depth <= 3 {
                    break Ok(tokens);
                }
                depth -= 1;
                top >>= 1;
                if depth.is_multiple_of(64) {
                    top = self.stack.pop().unwrap_or_default();
                }
                state = if top & 1 != 0 {
                    OBJECT_NEXT << 3
                } else {
                    ARRAY_NEXT << 3
                };
            }
            tokens &= tokens - 1;
        };
        let state = state >> 3;
        (self.state, self.depth, self.top) = (state, depth, top);
        outcome
    }

    /// Passes over levels that are not reported, of which only the depth matters. Returns the
    /// bracket that closes the innermost level the lexer knows of, if it is in this block.
    #[inline(always)]
    fn skim<K: Kernel>(&mut self, loaded: K::Block, outside: u64) -> Option<u64> {
        self.in_scalar = 0;
        let Brackets { open, close } = K::brackets(loaded);
        let (mut open, mut close) = (open & outside, close & outside);
        while u64::from(close.count_ones()) > self.skimmed {
            // It may end here. One run of closing brackets after the other, then.
            let bracket = close & close.wrapping_neg();
            let before = open & (bracket - 1);
            self.skimmed += u64::from(before.count_ones());
            open ^= before;
            if self.skimmed == 0 {
                self.state = if self.top & 1 != 0 {
                    OBJECT_NEXT
                } else {
                    ARRAY_NEXT
                };
                return Some(bracket);
            }
            self.skimmed -= 1;
            close ^= bracket;
        }
        self.skimmed += u64::from(open.count_ones());
        self.skimmed -= u64::from(close.count_ones());
        None
    }

    /// Says whether parts of the current level are reported.
    #[inline(always)]
    fn is_outer(&self) -> bool {
        self.depth < 2 || (self.depth == 2 && self.entry_is_object)
    }

    /// Says whether all numbers of a block are digits and nothing else, which is most of them and
    /// needs no automaton. If so, its state is already what it will be at the block's end.
    #[inline(always)]
    fn scalars_are_plain(
        &mut self,
        numbers: Numbers,
        scalars: u64,
        starts: u64,
        len: usize,
    ) -> bool {
        let after_zero = ((starts & numbers.zero) << 1) & scalars;
        if (scalars & !numbers.digit | after_zero) != 0
            || (self.in_scalar != 0 && self.scalar != number::INT)
        {
            return false;
        }
        let is_zero = ((starts & numbers.zero) >> (len - 1)) & 1 != 0;
        self.scalar = if is_zero { number::ZERO } else { number::INT };
        true
    }

    #[inline(always)]
    fn value_part(&self, shape: Shape) -> Part {
        if self.depth == 1 {
            Part::Entry(shape)
        } else {
            Part::Field(shape)
        }
    }

    /// Feeds the number or literal from `from` on, and ends it if it ends in this block.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // inlined: these are registers
    fn scalar_goes_on<V: Visitor>(
        &mut self,
        block: &[u8; 64],
        scalars: u64,
        from: usize,
        plain: bool,
        base: u64,
        chunk: Chunk<'_>,
        visitor: &mut V,
    ) -> Result<()> {
        let len = usize::try_from(chunk.end() - base).map_or(64, |len| len.min(64));
        let end = (!scalars & !below(from)).trailing_zeros() as usize;
        let limit = end.min(len);
        if !plain {
            if let Err(at) = number::advance(&mut self.scalar, &block[from..limit]) {
                return Err(Error::invalid(Kind::Scalar, base + (from + at) as u64));
            }
        }
        if end >= len {
            return Ok(()); // goes on: the next block tells
        }
        if !plain && !number::is_complete(self.scalar) {
            return Err(Error::invalid(Kind::Scalar, base + end as u64));
        }
        if self.watching {
            self.watching = false;
            visitor.end(base + end as u64, chunk)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn push(&mut self, is_object: bool, offset: u64) -> Result<()> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::invalid(Kind::Depth, offset));
        }
        if self.depth.is_multiple_of(64) && self.depth > 0 {
            self.stack.push(self.top);
        }
        self.top = self.top << 1 | u64::from(is_object);
        self.depth += 1;
        Ok(())
    }

    #[inline(always)]
    fn pop<V: Visitor>(&mut self, offset: u64, chunk: Chunk<'_>, visitor: &mut V) -> Result<()> {
        self.depth -= 1;
        if self.depth == 0 {
            self.state = DONE;
            return visitor.root_end(offset, chunk);
        }
        self.top >>= 1;
        if self.depth.is_multiple_of(64) {
            self.top = self.stack.pop().unwrap_or_default(); // pushed on the way in
        }
        let is_object = self.top & 1 != 0;
        self.state = if is_object { OBJECT_NEXT } else { ARRAY_NEXT };
        if self.depth == 1 || (self.depth == 2 && self.entry_is_object) {
            visitor.end(offset + 1, chunk)?;
        }
        Ok(())
    }

    #[cold]
    fn refuse(state: u8, class: u8, byte: u8, offset: u64) -> Error {
        let kind = match state {
            DONE => Kind::Trailing,
            ROOT if class == T_OPEN_ARRAY || class == T_QUOTE => Kind::Root,
            ROOT if byte.is_ascii_alphanumeric() || byte == b'-' => Kind::Root,
            _ => Kind::Syntax,
        };
        Error::invalid(kind, offset)
    }
}

struct Feed<'a, 'c, V> {
    lexer: &'a mut Lexer,
    chunk: Chunk<'c>,
    visitor: &'a mut V,
}

impl<V: Visitor> Work for Feed<'_, '_, V> {
    type Output = Result<()>;
    #[inline(always)]
    fn run<K: Kernel>(self) -> Result<()> {
        self.lexer.run::<K, V>(self.chunk, self.visitor)
    }
}

/// Ones below bit `len`, which may be 64.
#[inline(always)]
fn below(len: usize) -> u64 {
    if len >= 64 {
        !0
    } else {
        (1 << len) - 1
    }
}
