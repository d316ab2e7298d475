//! Bit masks → tokens → grammar, resumable at any byte.
//!
//! Each 64-byte block becomes masks ([`crate::bytes::simd`]). A block that lies inside one string
//! and holds nothing special costs one test. Tokens are operators, opening quotes, and first bytes
//! of numbers and literals. `blocks` checks all tokens of a block at once; a block that is short,
//! rare or wrong goes through [`Lexer::block`], which drives a table of ten states token by token.
//! Nesting is a stack of bits. Strings are checked on the masks: control characters, escapes, four
//! hex digits after `\u`.
//!
//! A [`Visitor`] hears of the outer two levels: entries (key and value), and the top-level fields
//! of an entry that is an object. `outline` notes where their tokens are, block by block, and
//! reports them piece by piece. All below is validated and passed over.
//!
//! # Before you change this
//!
//! 1. **Any split of the input gives the same events.** Whatever must survive the end of a buffer is
//!    a field of [`Lexer`], and a block may have fewer than 64 bytes. Held by: `tests/scanner.rs`
//!    and the fuzz target `scanner`, at two chunkings.
//! 2. **The first offence of the input is the one that is told**, at every split. So nothing after
//!    a byte that is not UTF-8 is scanned, nothing after a fault in a string is a token, and
//!    `blocks` never refuses: it leaves the block to [`Lexer::block`], which finds the byte.
//! 3. **Nothing is reported before the grammar has accepted it.** `outline` derives what a token is
//!    from what was due, and does not check again. It has room for one token a byte of a piece.
//! 4. **`blocks` and [`Lexer::block`] are two ways to one state.** A field that one of them reads or
//!    writes is known to the other: `blocks` keeps its copies in registers (`Carried`) and stores
//!    them when it ends.
//! 5. **What runs under [`dispatch`] is `#[inline(always)]`**, or the compiler leaves the kernel's
//!    vector instructions out of it and no test notices. What is out of line on purpose
//!    (`Reporter::tell`, `Utf8::check_piece`) says so. Measure with `rust/bench` after each change.
//! 6. **After [`Lexer::of_validated`] nothing is checked below the outer two levels.** Only a caller
//!    that compares a digest may ask for that.

use crate::bytes::grammar::{
    ARRAY_NEXT, BAD, DONE, NEXT, OBJECT_NEXT, ROOT, TOKEN, T_CLOSE_ARRAY, T_CLOSE_OBJECT,
    T_OPEN_ARRAY, T_OPEN_OBJECT, T_QUOTE, T_SCALAR,
};
use crate::bytes::number;
use crate::bytes::simd::{dispatch, Kernel, Level, Numbers, Work};
use crate::bytes::utf8::Utf8;
use crate::input::error::{Error, ErrorKind, Result};
use crate::input::limits::MAX_DEPTH;

mod blocks;
mod outline;
mod parts;
mod skim;
mod strings;

use outline::{Outline, Reporter};
pub(crate) use parts::unquoted;
pub use parts::{Chunk, Event, Part, Shape, Visitor};

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
    teller: Reporter,
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
            teller: Reporter::new(),
            utf8: Utf8::default(),
            knows: false,
            skimmed: 0,
            plain_from: 0,
        }
    }

    /// Makes a lexer for bytes that were validated before: it finds the same parts and passes over
    /// what is inside them. Of other bytes it reports anything, or refuses them. Its caller has to
    /// compare a digest, and to forget all reports if the bytes are others.
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
                Err(Error::invalid(ErrorKind::Empty, offset))
            }
            _ => Err(Error::invalid(ErrorKind::Truncated, offset)),
        }
    }

    #[inline(always)]
    fn run<K: Kernel, V: Visitor>(&mut self, chunk: &Chunk<'_>, visitor: &mut V) -> Result<()> {
        let mut outline = Outline::new();
        let mut base = chunk.base;
        for piece in chunk.bytes.chunks(PIECE_BYTES) {
            let scanned = self.piece::<K>(piece, base, chunk.is_ascii, &mut outline);
            let chunk = Chunk {
                plain_from: self.plain_from,
                ..*chunk
            };
            self.teller
                .tell(&mut outline, piece, base, &chunk, visitor)?;
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
        outline: &mut Outline,
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
                self.whole_blocks::<K>(blocks, at, base, outline)
            };
            blocks = &blocks[done..];
            at += 64 * done;
            let Some((block, more)) = blocks.split_first() else {
                break;
            };
            self.noted_block::<K>(block, 64, at, base, outline)?;
            blocks = more;
            at += 64;
        }
        if !rest.is_empty() {
            let mut block = [b' '; 64];
            block[..rest.len()].copy_from_slice(rest);
            self.noted_block::<K>(&block, rest.len(), at, base, outline)?;
        }
        match bad_at {
            Some(offset) => Err(Error::invalid(ErrorKind::Utf8, offset)),
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
        outline: &mut Outline,
    ) -> Result<()> {
        let mut noted = 0;
        let checked = self.block::<K>(block, len, base + at as u64, &mut noted);
        outline.note::<K>(noted, at);
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
    fn tell(fault: Option<ErrorKind>, base: u64, stop: usize) -> Result<()> {
        match fault {
            Some(kind) => Err(Error::invalid(kind, base + stop as u64)),
            None => Ok(()),
        }
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
                return Err(Error::invalid(ErrorKind::Scalar, base + (from + at) as u64));
            }
            if end < len && !number::is_complete(self.scalar) {
                return Err(Error::invalid(ErrorKind::Scalar, base + end as u64));
            }
        }
        Ok(end)
    }

    #[inline(always)]
    fn push(&mut self, is_object: bool, offset: u64) -> Result<()> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::invalid(ErrorKind::Depth, offset));
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

    /// Returns the state after a value inside the bracket that `top` has lowest.
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
            DONE => ErrorKind::Trailing,
            ROOT if class == T_OPEN_ARRAY || class == T_QUOTE => ErrorKind::Root,
            ROOT if byte.is_ascii_alphanumeric() || byte == b'-' => ErrorKind::Root,
            _ => ErrorKind::Syntax,
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

/// Returns ones below bit `len`, which may be 64.
#[inline(always)]
fn below(len: usize) -> u64 {
    if len >= 64 {
        !0
    } else {
        (1 << len) - 1
    }
}
