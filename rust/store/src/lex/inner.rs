//! Blocks of levels that are not reported, which are nearly all: a loop that keeps its state in
//! registers and leaves whatever is rare or wrong to [`Lexer::block`].

use super::strings::{find_escaped, is_escape};
use super::Lexer;
use crate::grammar::{accepts, Tokens};
use crate::limits::MAX_DEPTH;
use crate::number;
use crate::simd::{Brackets, Kernel, Separators};

/// What the loop carries from block to block.
#[derive(Clone, Copy)]
struct Inside {
    in_string: u64,
    escaped: u64,
    in_scalar: u64,
    state: u8,
    depth: u64,
    top: u64,
}

impl Lexer {
    /// Takes blocks up to the first that has to be looked at more closely; returns how many.
    #[inline(always)]
    pub(super) fn inner_blocks<K: Kernel>(&mut self, blocks: &[[u8; 64]]) -> usize {
        if self.hex_due > 0 || (self.in_scalar != 0 && self.scalar != number::INT) {
            return 0;
        }
        let mut inside = Inside {
            in_string: self.in_string,
            escaped: self.escaped,
            in_scalar: self.in_scalar,
            state: self.state,
            depth: self.depth,
            top: self.top,
        };
        let mut done = 0;
        for block in blocks {
            match inner_block::<K>(block, inside) {
                Some(after) => inside = after,
                None => break,
            }
            done += 1;
        }
        self.in_string = inside.in_string;
        self.escaped = inside.escaped;
        self.in_scalar = inside.in_scalar;
        if inside.in_scalar != 0 {
            self.scalar = number::INT;
        }
        (self.state, self.depth, self.top) = (inside.state, inside.depth, inside.top);
        done
    }
}

#[inline(always)]
fn inner_block<K: Kernel>(block: &[u8; 64], mut inside: Inside) -> Option<Inside> {
    let loaded = K::load(block);
    let masks = K::strings(loaded);
    if inside.in_string != 0
        && (masks.quote | masks.backslash | masks.control) == 0
        && inside.escaped == 0
    {
        return Some(inside);
    }
    let mut escaped = 0;
    if (masks.backslash | inside.escaped) != 0 {
        (escaped, inside.escaped) = find_escaped(masks.backslash, inside.escaped);
        let mut left = escaped;
        while left != 0 {
            let at = left.trailing_zeros() as usize & 63;
            left &= left - 1;
            if !is_escape(block[at]) || block[at] == b'u' {
                return None;
            }
        }
    }
    let quotes = masks.quote & !escaped;
    let in_string = K::prefix_xor(quotes) ^ inside.in_string;
    inside.in_string = 0u64.wrapping_sub(in_string >> 63);
    if masks.control & in_string != 0 {
        return None;
    }
    if in_string & !quotes == !0 {
        return Some(inside);
    }

    let structure = K::structure(loaded);
    let scalars = !(structure.op | structure.space | quotes | in_string);
    let starts = scalars & !((scalars << 1) | inside.in_scalar);
    let op = structure.op & !in_string;
    if (op & masks.control) != 0 {
        return None;
    }
    if (scalars | inside.in_scalar) != 0 {
        let numbers = K::numbers(loaded);
        let zeros = starts & numbers.zero;
        if (scalars & !numbers.digit | (zeros << 1) & scalars | zeros >> 63) == 0 {
            inside.in_scalar = scalars >> 63;
        } else if inside.in_scalar == 0 && scalars_are_whole(block, scalars, starts) {
            inside.in_scalar = 0;
        } else {
            return None;
        }
    }
    let all = op | (quotes & in_string) | starts;
    if all == 0 {
        return Some(inside);
    }

    let Separators { colon, comma } = K::separators(loaded);
    let Brackets { open, close } = K::brackets(loaded);
    let tokens = Tokens {
        all,
        quote: quotes & in_string,
        colon,
        comma,
        open,
        close,
    };
    let before = inside.top;
    let changes = nest(block, tokens, &mut inside)?;
    let mut in_object = 0u64.wrapping_sub(before & 1);
    if changes != 0 {
        in_object ^= K::prefix_xor(changes) << 1;
    }
    inside.state = accepts(inside.state, tokens, in_object, inside.top & 1 != 0)?;
    Some(inside)
}

/// Says whether every scalar of a block ends in it and is a number or literal.
#[inline(always)]
fn scalars_are_whole(block: &[u8; 64], scalars: u64, mut starts: u64) -> bool {
    while starts != 0 {
        let at = starts.trailing_zeros();
        starts &= starts - 1;
        let end = (!(scalars >> at)).trailing_zeros() + at;
        if end >= 64 {
            return false;
        }
        let mut state = number::START;
        let fed = number::advance(&mut state, &block[at as usize..end as usize]);
        if fed.is_err() || !number::is_complete(state) {
            return false;
        }
    }
    true
}

/// Follows the brackets of a block. Returns where an object gives way to an array, or an array to
/// an object; `None` if one does not match, closes what is reported, or passes a multiple of 64.
#[inline(always)]
fn nest(block: &[u8; 64], tokens: Tokens, inside: &mut Inside) -> Option<u64> {
    let mut brackets = (tokens.open | tokens.close) & tokens.all;
    let mut changes = 0u64;
    while brackets != 0 {
        let at = brackets.trailing_zeros();
        let bracket = brackets & brackets.wrapping_neg();
        let is_object = u64::from(block[at as usize & 63] >> 5 & 1);
        let outside = inside.top;
        if tokens.open & bracket != 0 {
            if inside.depth.is_multiple_of(64) || inside.depth >= MAX_DEPTH {
                return None;
            }
            inside.top = inside.top << 1 | is_object;
            inside.depth += 1;
        } else {
            if inside.top & 1 != is_object || inside.depth <= 3 {
                return None;
            }
            inside.top >>= 1;
            inside.depth -= 1;
            if inside.depth.is_multiple_of(64) {
                return None;
            }
        }
        changes |= ((outside ^ inside.top) & 1) << at;
        brackets ^= bracket;
    }
    Some(changes)
}
