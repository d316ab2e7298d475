//! Blocks that are whole and in order, which are nearly all: each is checked at once, on its
//! masks, in a loop that keeps its state in registers. Whatever is rare or wrong is left to
//! [`Lexer::block`].

use super::outline::Outline;
use super::strings::{find_escaped, is_escape};
use super::Lexer;
use crate::bytes::grammar::{accepts, successors, Tokens};
use crate::bytes::number;
use crate::bytes::simd::{Brackets, Kernel, Separators};
use crate::input::limits::MAX_DEPTH;

/// What the loop carries from block to block.
#[derive(Clone, Copy)]
struct Carried {
    in_string: u64,
    escaped: u64,
    in_scalar: u64,
    scalar: u8,
    state: u8,
    depth: u64,
    top: u64,
}

/// Where the parts of a block are.
#[derive(Clone, Copy, Default)]
struct Found {
    /// Quotes that open and close.
    quotes: u64,
    /// Bytes of numbers and literals.
    scalars: u64,
    /// First bytes of numbers and literals.
    starts: u64,
    /// `{ [`
    open: u64,
    /// `} ]`
    close: u64,
    /// The outermost level that a bracket closed down to.
    lowest: u64,
    /// Escaped ones too.
    backslashes: u64,
}

impl Lexer {
    /// Takes blocks of a piece up to the first that has to be looked at more closely; returns how
    /// many. The first begins at `from` in the piece, and that at `base` in the file.
    #[inline(always)]
    pub(super) fn whole_blocks<K: Kernel>(
        &mut self,
        blocks: &[[u8; 64]],
        from: usize,
        base: u64,
        outline: &mut Outline,
    ) -> usize {
        if self.hex_due > 0 || self.depth == 0 {
            return 0;
        }
        let mut now = Carried {
            in_string: self.in_string,
            escaped: self.escaped,
            in_scalar: self.in_scalar,
            scalar: self.scalar,
            state: self.state,
            depth: self.depth,
            top: self.top,
        };
        let mut outer = self.is_outer();
        let mut at = from;
        let mut done = 0;
        for block in blocks {
            let Some((after, found)) = check::<K>(block, now) else {
                break;
            };
            done += 1;
            if found.backslashes != 0 {
                self.plain_from = base + at as u64 + 64;
            }
            if outer || found.lowest <= 2 {
                let within = self.find_outer(block, now.depth, found, outer);
                let Found {
                    quotes,
                    scalars,
                    starts,
                    open,
                    close,
                    ..
                } = found;
                let ends = !scalars & (scalars << 1 | now.in_scalar);
                outline.note::<K>((quotes | starts | ends | open | close) & within, at);
                outer = self.is_outer_at(after.depth);
                if self.knows && !outer {
                    now = after;
                    break; // to be skimmed
                }
            }
            now = after;
            at += 64;
        }
        self.in_string = now.in_string;
        self.escaped = now.escaped;
        self.in_scalar = now.in_scalar;
        self.scalar = now.scalar;
        (self.state, self.depth, self.top) = (now.state, now.depth, now.top);
        done
    }

    /// Returns a bit for each place of a block that is in the outer two levels, the brackets of
    /// what lies deeper included.
    #[inline(always)]
    fn find_outer(
        &mut self,
        block: &[u8; 64],
        mut depth: u64,
        found: Found,
        mut outer: bool,
    ) -> u64 {
        let mut within = 0u64.wrapping_sub(u64::from(outer));
        let mut brackets = found.open | found.close;
        while brackets != 0 {
            let bracket = brackets & brackets.wrapping_neg();
            if found.open & bracket != 0 {
                if outer {
                    if depth == 1 {
                        let at = bracket.trailing_zeros();
                        self.entry_is_object = block[at as usize & 63] == b'{';
                    }
                    outer = self.is_outer_at(depth + 1);
                    if !outer {
                        within &= bracket | (bracket - 1);
                    }
                }
                depth += 1;
            } else {
                depth -= 1;
                if !outer && self.is_outer_at(depth) {
                    outer = true;
                    within |= bracket.wrapping_neg();
                }
            }
            brackets ^= bracket;
        }
        within
    }
}

/// Checks a block; `None` if it has to be looked at more closely.
#[inline(always)]
fn check<K: Kernel>(block: &[u8; 64], mut now: Carried) -> Option<(Carried, Found)> {
    let loaded = K::load(block);
    let masks = K::strings(loaded);
    let nothing = Found {
        lowest: u64::MAX,
        backslashes: masks.backslash,
        ..Found::default()
    };
    if now.in_string != 0
        && (masks.quote | masks.backslash | masks.control) == 0
        && now.escaped == 0
    {
        return Some((now, nothing));
    }
    let mut escaped = 0;
    if (masks.backslash | now.escaped) != 0 {
        (escaped, now.escaped) = find_escaped(masks.backslash, now.escaped);
        if !escapes_are_whole(block, escaped) {
            return None;
        }
    }
    let quotes = masks.quote & !escaped;
    let in_string = K::prefix_xor(quotes) ^ now.in_string;
    now.in_string = 0u64.wrapping_sub(in_string >> 63);
    if masks.control & in_string != 0 {
        return None;
    }
    if in_string & !quotes == !0 {
        return Some((now, nothing));
    }

    let structure = K::structure(loaded);
    let scalars = !(structure.op | structure.space | quotes | in_string);
    let starts = scalars & !((scalars << 1) | now.in_scalar);
    let op = structure.op & !in_string;
    if (op & masks.control) != 0 {
        return None;
    }
    if (scalars | now.in_scalar) != 0 {
        let numbers = K::numbers(loaded);
        let zeros = starts & numbers.zero;
        if (scalars & !numbers.digit | (zeros << 1) & scalars) == 0
            && (now.in_scalar == 0 || now.scalar == number::INT)
        {
            // Nothing but digits, which is most of them.
            now.scalar = if zeros >> 63 != 0 {
                number::ZERO
            } else {
                number::INT
            };
        } else if !scalars_are_right(block, scalars, starts, &mut now) {
            return None;
        }
        now.in_scalar = scalars >> 63;
    }
    let opens = quotes & in_string;
    let all = op | opens | starts;
    let mut found = Found {
        quotes,
        scalars,
        starts,
        ..nothing
    };
    if all == 0 {
        return Some((now, found));
    }

    let Separators { colon, comma } = K::separators(loaded);
    let Brackets { open, close } = K::brackets(loaded);
    let tokens = Tokens {
        all,
        quote: opens,
        colon,
        comma,
        open,
        close,
    };
    (found.open, found.close) = (open & all, close & all);
    let in_object = nest::<K>(block, &mut found, &mut now)?;
    now.state = accepts(now.state, tokens, in_object, now.top & 1 != 0)?;
    Some((now, found))
}

/// Says whether every escape is one, and ends in the block.
#[inline(always)]
fn escapes_are_whole(block: &[u8; 64], mut escaped: u64) -> bool {
    while escaped != 0 {
        let at = escaped.trailing_zeros() as usize & 63;
        escaped &= escaped - 1;
        let good = match block[at] {
            b'u' => block
                .get(at + 1..at + 5)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
            byte => is_escape(byte),
        };
        if !good {
            return false;
        }
    }
    true
}

/// Says whether the numbers and literals of a block are right, as far as it goes.
#[inline(always)]
fn scalars_are_right(block: &[u8; 64], scalars: u64, mut starts: u64, now: &mut Carried) -> bool {
    if now.in_scalar != 0 && !scalar_is_right(block, scalars, 0, &mut now.scalar) {
        return false;
    }
    while starts != 0 {
        let at = starts.trailing_zeros();
        starts &= starts - 1;
        now.scalar = number::START;
        if !scalar_is_right(block, scalars, at, &mut now.scalar) {
            return false;
        }
    }
    true
}

/// Feeds a number or literal to its automaton, up to its end or that of the block. Says whether
/// it is right so far.
#[inline(always)]
fn scalar_is_right(block: &[u8; 64], scalars: u64, at: u32, state: &mut u8) -> bool {
    let end = (!(scalars >> at)).trailing_zeros() + at;
    number::advance(state, &block[at as usize..end as usize]).is_ok()
        && (end == 64 || number::is_complete(*state))
}

/// Follows the brackets of a block. Returns a bit for each place whose innermost bracket is curly;
/// `None` if a bracket does not match, closes the root, or passes a multiple of 64.
#[inline(always)]
fn nest<K: Kernel>(block: &[u8; 64], found: &mut Found, now: &mut Carried) -> Option<u64> {
    let all = found.open | found.close;
    let mut leaves = 0;
    // Where a block might pass the deepest level, each bracket is looked at.
    if all.count_ones() >= MANY && now.depth < MAX_DEPTH - 64 {
        leaves = find_leaves(found.open, found.close);
    }
    let mut in_object = 0u64.wrapping_sub(now.top & 1);
    let changes = follow(block, all & !leaves, found, now)?;
    if changes != 0 {
        in_object ^= K::prefix_xor(changes) << 1;
    }
    if leaves != 0 {
        let curly = K::curly(K::load(block));
        let matching = successors(leaves & found.open & curly, all);
        if matching != leaves & found.close & curly {
            return None;
        }
        in_object ^= K::prefix_xor(leaves & (in_object ^ curly)) << 1;
    }
    Some(in_object)
}

/// From this many brackets on, those of a block's innermost values are followed all at once.
const MANY: u32 = 8;
const _: () = assert!(MAX_DEPTH.is_multiple_of(64));

/// Finds the brackets of values that hold no other: an opening one, and a closing one next to it.
#[inline(always)]
fn find_leaves(open: u64, close: u64) -> u64 {
    let all = open | close;
    let before = successors(close.reverse_bits(), all.reverse_bits()).reverse_bits();
    open & before | close & successors(open, all)
}

/// Follows brackets one by one. Returns a bit for each place where an object gives way to an array,
/// or an array to an object; `None` as [`nest`]. Level 0 is a multiple of 64, and so is the deepest.
#[inline(always)]
fn follow(
    block: &[u8; 64],
    mut brackets: u64,
    found: &mut Found,
    now: &mut Carried,
) -> Option<u64> {
    let mut changes = 0u64;
    while brackets != 0 {
        let at = brackets.trailing_zeros();
        let bracket = brackets & brackets.wrapping_neg();
        let is_object = u64::from(block[at as usize & 63] >> 5 & 1);
        let outside = now.top;
        if found.open & bracket != 0 {
            if now.depth.is_multiple_of(64) {
                return None;
            }
            now.top = now.top << 1 | is_object;
            now.depth += 1;
        } else {
            now.depth -= 1;
            if now.top & 1 != is_object || now.depth.is_multiple_of(64) {
                return None;
            }
            now.top >>= 1;
            found.lowest = found.lowest.min(now.depth);
        }
        changes |= ((outside ^ now.top) & 1) << at;
        brackets ^= bracket;
    }
    Some(changes)
}
