//! Bit masks → tokens → grammar, resumable at any byte.
//!
//! Each 64-byte block becomes masks ([`crate::bytes::simd`]); a block that lies inside one string and
//! holds nothing special costs one test. Tokens (operators, opening quotes, first bytes of
//! numbers and literals) are checked all at once (`blocks`); where a block is short, or something
//! in it is rare or wrong, they drive a table of ten states one by one. Nesting is a stack of
//! bits. Strings are checked on the masks: control characters, escapes, four hex digits after
//! `\u`.
//!
//! What a [`Visitor`] hears of is the outer two levels: entries (key and value) and the
//! top-level fields of an entry that is an object. Where their tokens are is noted block by block,
//! and told a piece at a time (`places`). All below is validated and skipped.
//! Everything that must survive the end of a buffer is a field of [`Lexer`]; a block may have
//! fewer than 64 bytes, so any split of the input gives the same events.

use crate::bytes::grammar::{
    ARRAY_NEXT, BAD, DONE, NEXT, OBJECT_NEXT, ROOT, TOKEN, T_CLOSE_ARRAY, T_CLOSE_OBJECT,
    T_OPEN_ARRAY, T_OPEN_OBJECT, T_QUOTE, T_SCALAR,
};
use crate::bytes::number;
use crate::bytes::simd::{dispatch, Brackets, Kernel, Level, Numbers, Work};
use crate::bytes::utf8::Utf8;
use crate::input::error::{Error, Kind, Result};
use crate::input::limits::MAX_DEPTH;

mod blocks;
mod parts;
mod places;
mod strings;

pub(crate) use parts::unquoted;
pub use parts::{Chunk, Event, Part, Shape, Visitor};
use places::{Places, Teller};
use strings::find_escaped;

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
    teller: Teller,
    utf8: Utf8,
    /// The bytes were validated before.
    knows: bool,
    /// Levels inside the innermost one of the stack, if so.
    skimmed: u64,
    /// The end of the last block that has a backslash.
    plain_from: u64,
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
            teller: Teller::new(),
            utf8: Utf8::default(),
            knows: false,
            skimmed: 0,
            plain_from: 0,
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
    pub fn feed<V: Visitor>(&mut self, chunk: &Chunk<'_>, visitor: &mut V) -> Result<()> {
        dispatch(
            self.level,
            Feed {
                lexer: self,
                chunk,
                visitor,
            },
        )?;
        self.teller.chunk_end(chunk, visitor)?;
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
    fn run<K: Kernel, V: Visitor>(&mut self, chunk: &Chunk<'_>, visitor: &mut V) -> Result<()> {
        let mut places = Places::new();
        let mut base = chunk.base;
        for piece in chunk.bytes.chunks(PIECE_BYTES) {
            let scanned = self.piece::<K>(piece, base, chunk.is_ascii, &mut places);
            let chunk = Chunk {
                plain_from: self.plain_from,
                ..*chunk
            };
            self.teller
                .tell(&mut places, piece, base, &chunk, visitor)?;
            scanned?;
            base += piece.len() as u64;
        }
        Ok(())
    }

    /// Takes a piece, up to its first offence if it has one.
    #[inline(always)]
    fn piece<K: Kernel>(
        &mut self,
        piece: &[u8],
        base: u64,
        is_ascii: bool,
        places: &mut Places,
    ) -> Result<()> {
        // Nothing after a byte that is not UTF-8 may be told: the scan ends with it. The byte
        // itself is scanned, because outside strings it is an offence of another kind, which
        // a cut before its continuation would find first.
        let bad_at = if self.knows || (is_ascii && self.utf8.is_whole()) {
            None
        } else {
            self.utf8.check(piece, base).err()
        };
        let good = match bad_at {
            Some(at) => Chunk::new(base, piece).slice(base, at + 1),
            None => piece,
        };
        let (mut blocks, rest) = good.as_chunks::<64>();
        let mut at = 0;
        while !blocks.is_empty() {
            let done = if self.knows && !self.is_outer() {
                self.skim_blocks::<K>(blocks)
            } else {
                self.whole_blocks::<K>(blocks, at, base, places)
            };
            blocks = &blocks[done..];
            at += 64 * done;
            let Some((block, more)) = blocks.split_first() else {
                break;
            };
            self.noted_block::<K>(block, 64, at, base, places)?;
            blocks = more;
            at += 64;
        }
        if !rest.is_empty() {
            let mut block = [b' '; 64];
            block[..rest.len()].copy_from_slice(rest);
            self.noted_block::<K>(&block, rest.len(), at, base, places)?;
        }
        match bad_at {
            Some(offset) => Err(Error::invalid(Kind::Utf8, offset)),
            None => Ok(()),
        }
    }

    /// Takes a block and notes the places in it, up to the offence if it has one.
    #[inline(always)]
    fn noted_block<K: Kernel>(
        &mut self,
        block: &[u8; 64],
        len: usize,
        at: usize,
        base: u64,
        places: &mut Places,
    ) -> Result<()> {
        let mut noted = 0;
        let checked = self.block::<K>(block, len, base + at as u64, &mut noted);
        places.note::<K>(noted, at);
        checked
    }

    /// Takes the tokens of a block one by one; gives `noted` a bit for each place to be noted.
    #[inline(always)]
    #[allow(clippy::too_many_lines)] // one thing after the other, on the same masks
    fn block<K: Kernel>(
        &mut self,
        block: &[u8; 64],
        len: usize,
        base: u64,
        noted: &mut u64,
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
        if masks.backslash & valid != 0 {
            self.plain_from = base + 64;
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

        let mut outer = self.is_outer();
        if outer && was_in_string != 0 && quotes != 0 {
            let close = quotes.trailing_zeros() as usize;
            if close < stop {
                *noted |= 1 << close;
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
                let end = self.scalar_goes_on(block, scalars, 0, plain, base, len)?;
                if outer && end < len {
                    *noted |= 1 << end;
                }
            }
            self.in_scalar = (scalars >> (len - 1)) & 1;
        }

        let opens = quotes & in_string;
        let mut tokens = ((structure.op & !in_string) | opens | starts) & due & below(stop);
        while tokens != 0 {
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
                    let is_object = class == T_OPEN_OBJECT;
                    if outer && self.depth > 0 {
                        *noted |= 1 << at;
                    }
                    if self.depth == 1 {
                        self.entry_is_object = is_object;
                    }
                    self.push(is_object, base + at as u64)?;
                    outer = self.is_outer();
                }
                T_CLOSE_OBJECT | T_CLOSE_ARRAY => {
                    self.pop();
                    outer = self.is_outer();
                    if outer {
                        *noted |= 1 << at;
                    }
                }
                T_QUOTE if outer => {
                    *noted |= 1 << at;
                    let close = (quotes & !below(at + 1)).trailing_zeros() as usize;
                    if close < stop {
                        *noted |= 1 << close;
                    }
                }
                T_SCALAR if outer || !plain => {
                    if !plain {
                        self.scalar = number::START;
                    }
                    let end = self.scalar_goes_on(block, scalars, at, plain, base, len)?;
                    if outer {
                        *noted |= 1 << at;
                        if end < len {
                            *noted |= 1 << end;
                        }
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
                self.state = self.after_value();
                return Some(bracket);
            }
            self.skimmed -= 1;
            close ^= bracket;
        }
        self.skimmed += u64::from(open.count_ones());
        self.skimmed -= u64::from(close.count_ones());
        None
    }

    /// Skims blocks up to the first in which the level may end; returns how many.
    #[inline(always)]
    fn skim_blocks<K: Kernel>(&mut self, blocks: &[[u8; 64]]) -> usize {
        let (mut in_string, mut escaped, mut levels) = (self.in_string, self.escaped, self.skimmed);
        let mut done = 0;
        for block in blocks {
            let loaded = K::load(block);
            let masks = K::strings(loaded);
            if in_string == 0 || (masks.quote | masks.backslash | escaped) != 0 {
                let (skipped, carry) = find_escaped(masks.backslash, escaped);
                let quotes = masks.quote & !skipped;
                let strings = K::prefix_xor(quotes) ^ in_string;
                let outside = !(strings | quotes);
                let Brackets { open, close } = K::brackets(loaded);
                let closed = u64::from((close & outside).count_ones());
                if closed > levels {
                    break;
                }
                levels += u64::from((open & outside).count_ones());
                levels -= closed;
                in_string = 0u64.wrapping_sub(strings >> 63);
                escaped = carry;
            }
            done += 1;
        }
        (self.in_string, self.escaped, self.skimmed) = (in_string, escaped, levels);
        self.in_scalar = 0;
        done
    }

    /// Says whether parts of the current level are reported.
    #[inline(always)]
    fn is_outer(&self) -> bool {
        self.is_outer_at(self.depth)
    }

    #[inline(always)]
    fn is_outer_at(&self, depth: u64) -> bool {
        depth < 2 || (depth == 2 && self.entry_is_object)
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

    /// Feeds the number or literal from `from` on. Returns its end; `len`, if it goes on.
    #[inline(always)]
    fn scalar_goes_on(
        &mut self,
        block: &[u8; 64],
        scalars: u64,
        from: usize,
        plain: bool,
        base: u64,
        len: usize,
    ) -> Result<usize> {
        let end = (!scalars & !below(from)).trailing_zeros() as usize;
        let end = end.min(len);
        if !plain {
            if let Err(at) = number::advance(&mut self.scalar, &block[from..end]) {
                return Err(Error::invalid(Kind::Scalar, base + (from + at) as u64));
            }
            if end < len && !number::is_complete(self.scalar) {
                return Err(Error::invalid(Kind::Scalar, base + end as u64));
            }
        }
        Ok(end)
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
    fn pop(&mut self) {
        self.depth -= 1;
        if self.depth == 0 {
            self.state = DONE;
            return;
        }
        self.top >>= 1;
        if self.depth.is_multiple_of(64) {
            self.top = self.stack.pop().unwrap_or_default(); // pushed on the way in
        }
        self.state = self.after_value();
    }

    /// The state after a value, where the innermost bracket is that of `top`.
    #[inline(always)]
    fn after_value(&self) -> u8 {
        if self.top & 1 != 0 {
            OBJECT_NEXT
        } else {
            ARRAY_NEXT
        }
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
    chunk: &'a Chunk<'c>,
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
